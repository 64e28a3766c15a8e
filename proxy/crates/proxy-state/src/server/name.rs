//! The name of a server, which a command may change.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

/// A name that lives as long as its server: one that was given up stays in memory, as those who look at it may still do.
#[derive(Default)]
pub struct Name {
    text: Arc<str>,
    newer: OnceLock<Box<Self>>,
}

impl Name {
    pub(super) fn new(text: impl Into<Arc<str>>) -> Self {
        Self { text: text.into(), newer: OnceLock::new() }
    }

    fn current(&self) -> &Self {
        let mut name = self;
        while let Some(newer) = name.newer.get() {
            name = newer;
        }
        name
    }

    /// The name for those who keep it.
    #[must_use]
    pub fn shared(&self) -> Arc<str> {
        self.current().text.clone()
    }

    /// One caller at a time.
    pub(super) fn change(&self, text: &str) {
        let _ = self.current().newer.set(Box::new(Self::new(text)));
    }
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        &self.current().text
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}
