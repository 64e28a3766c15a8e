//! Environment variables as the configuration sees and changes them.

use std::collections::BTreeMap;

/// A copy of the process environment that `setenv` and its kin change while the configuration is read.
/// Whoever loads the configuration decides what becomes of the changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    vars: BTreeMap<String, String>,
}

impl Environment {
    pub fn new() -> Self {
        Self::default()
    }

    /// The variables of this process. Those that are not UTF-8 cannot be named in a configuration and are left out.
    pub fn from_process() -> Self {
        let vars = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self { vars }
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.vars.get(name).map(String::as_str)
    }

    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.vars.insert(name.into(), value.into());
    }

    pub fn unset(&mut self, name: &str) {
        self.vars.remove(name);
    }

    /// Removes everything but the variables named (`resetenv`).
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.vars.retain(|name, _| keep(name));
    }

    /// Variables in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.vars.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether `setenv` can name a variable so: not empty, no `=`, no NUL.
    pub fn is_valid_name(name: &str) -> bool {
        !name.is_empty() && !name.contains(['=', '\0'])
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(iter: I) -> Self {
        Self { vars: iter.into_iter().map(|(n, v)| (n.into(), v.into())).collect() }
    }
}
