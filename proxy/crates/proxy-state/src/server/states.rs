//! Operational and administrative state, named as HAProxy names them.

use std::fmt;

/// Operational state; the numbers are `srv_op_state` of `show servers state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum OpState {
    /// Down.
    Stopped = 0,
    /// Up.
    Running = 2,
    /// Up, but takes no new sessions: the check answered 404 with `disable-on-404`, or forced so.
    Stopping = 3,
}

impl OpState {
    pub(super) fn from_u8(n: u8) -> Self {
        match n {
            0 => Self::Stopped,
            3 => Self::Stopping,
            _ => Self::Running,
        }
    }
}

/// Why a server is out of service by decision: a set of bits, `srv_admin_state` of `show servers state`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Admin(pub u8);

impl Admin {
    /// Maintenance asked for (command line, `disabled`).
    pub const FORCED_MAINT: Self = Self(0x01);
    /// Maintenance inherited from the tracked server.
    pub const INHERITED_MAINT: Self = Self(0x02);
    /// Maintenance because of `disabled` in the configuration; comes with `FORCED_MAINT`.
    pub const CONFIGURED_MAINT: Self = Self(0x04);
    /// Drain asked for.
    pub const FORCED_DRAIN: Self = Self(0x08);
    /// Drain inherited from the tracked server.
    pub const INHERITED_DRAIN: Self = Self(0x10);
    /// Maintenance because the name could not be resolved.
    pub const RESOLUTION_MAINT: Self = Self(0x20);

    /// The host name is of an SRV record; or a command changed it, and it was not resolved since.
    pub const FQDN_CHANGED: Self = Self(0x40);

    const MAINT: u8 = 0x01 | 0x02 | 0x20;
    const DRAIN: u8 = 0x08 | 0x10;

    pub fn contains(self, bits: Self) -> bool {
        self.0 & bits.0 == bits.0
    }

    /// In maintenance for any reason.
    pub fn is_maint(self) -> bool {
        self.0 & Self::MAINT != 0
    }

    /// Draining for any reason.
    pub fn is_drain(self) -> bool {
        self.0 & Self::DRAIN != 0
    }

    #[must_use]
    pub fn with(self, bits: Self) -> Self {
        Self(self.0 | bits.0)
    }

    #[must_use]
    pub fn without(self, bits: Self) -> Self {
        Self(self.0 & !bits.0)
    }
}

/// The `status` column of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    Maint,
    /// Maintenance of the tracked server, `backend/server`.
    MaintVia(String),
    MaintResolution,
    /// Down; health and rise when on its way up.
    Down(Option<(u32, u32)>),
    /// Up; failures left and fall when on its way down.
    Up(Option<(u32, u32)>),
    /// Stopping; failures left and fall when on its way down.
    NoLb(Option<(u32, u32)>),
    Drain,
    /// Draining, and there is an agent.
    DrainByAgent,
    /// Down because its agent says so.
    DownByAgent,
    /// Up without anyone checking.
    NoCheck,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, progress) = match self {
            Self::Maint => ("MAINT", None),
            Self::MaintVia(via) => return write!(f, "MAINT (via {via})"),
            Self::MaintResolution => ("MAINT (resolution)", None),
            Self::Down(p) => ("DOWN", *p),
            Self::Up(p) => ("UP", *p),
            Self::NoLb(p) => ("NOLB", *p),
            Self::Drain => ("DRAIN", None),
            Self::DrainByAgent => ("DRAIN (agent)", None),
            Self::DownByAgent => ("DOWN (agent)", None),
            Self::NoCheck => ("no check", None),
        };
        f.write_str(word)?;
        match progress {
            Some((done, of)) => write!(f, " {done}/{of}"),
            None => Ok(()),
        }
    }
}
