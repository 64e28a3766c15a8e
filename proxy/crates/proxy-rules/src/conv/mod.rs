//! The converters, one file per topic, one row each (configuration manual, 7.3.1).

mod convert;
mod map;
mod number;
mod string;
mod var;

use crate::sample::ConvDef;

pub(crate) use var::VarCondition;

/// Every row.
pub const ALL: &[&[ConvDef]] =
    &[convert::CONVS, map::CONVS, number::CONVS, string::CONVS, var::CONVS];

/// The row called `name`.
pub fn find(name: &str) -> Option<&'static ConvDef> {
    ALL.iter().flat_map(|rows| rows.iter()).find(|def| def.name == name)
}
