//! What a proxy speaks.

use std::fmt;

/// HAProxy's `mode` (configuration manual, 4.2 "mode"), and `udp`, which is Sluice's own. The default is
/// [`Mode::Tcp`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    Http,
    /// Of backends whose servers take log messages.
    Log,
    #[default]
    Tcp,
    /// Datagrams.
    Udp,
}

impl Mode {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Log => "log",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
