//! What setup looks for, and what it found.

/// For what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scope {
    /// Building Sluice with its kernel programs.
    Build,
    /// And showing it: the programs of the demo.
    Demo,
    /// And testing it: the programs of the tests.
    Test,
    /// And measuring it: what `cargo xtask bench` looks with.
    Bench,
}

/// What was found, one line each; what is missing is collected.
pub(super) struct Report {
    /// Whether to install.
    pub(super) install: bool,
    /// Say only what is not in order.
    pub(super) terse: bool,
    pub(super) missing: Vec<String>,
}

impl Report {
    pub(super) fn ok(&self, what: &str) {
        if !self.terse {
            println!("  ok       {what}");
        }
    }

    pub(super) fn doing(&self, what: &str) {
        println!("  install  {what}");
    }

    pub(super) fn missing(&mut self, what: &str, consequence: &str, remedy: &str) {
        println!("  missing  {what}: {consequence}");
        println!("           {remedy}");
        self.missing.push(what.to_owned());
    }
}
