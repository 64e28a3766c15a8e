//! Sections that are known and not carried yet. Their keywords are listed for "did you mean" and coverage.

use crate::keyword::{Table, removed};

/// A section that this program cannot carry.
pub(crate) struct OtherSection {
    pub(crate) name: &'static str,
    /// Section of the configuration manual.
    pub(crate) manual: &'static str,
    pub(crate) keywords: Table<()>,
}

const fn section(name: &'static str, manual: &'static str, keywords: Table<()>) -> OtherSection {
    OtherSection { name, manual, keywords }
}

pub(crate) const SECTIONS: &[OtherSection] = &[section(
    "program",
    "",
    &[&[removed("command", "3.3", "run the program from the service manager")]],
)];

pub(crate) fn find(name: &str) -> Option<&'static OtherSection> {
    SECTIONS.iter().find(|section| section.name == name)
}
