//! The converters, one file per topic, one row each (configuration manual, 7.3.1).

mod number;
mod string;

use crate::sample::ConvDef;

/// Every row.
pub const ALL: &[&[ConvDef]] = &[number::CONVS, string::CONVS];

/// The row called `name`.
pub fn find(name: &str) -> Option<&'static ConvDef> {
    ALL.iter().flat_map(|rows| rows.iter()).find(|def| def.name == name)
}
