//! Sluice's own keywords: when and how the kernel carries a proxy.

/// `l4 off|auto|require`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum L4Policy {
    /// The kernel carries what qualifies, userspace the rest.
    #[default]
    Auto,
    Off,
    /// A proxy that does not qualify makes the start fail.
    Require,
}

/// `l4-mode fullnat|nat|dsr|ipip`: how packets reach servers, and their answers clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum L4Mode {
    #[default]
    FullNat,
    Nat,
    Dsr,
    IpIp,
}

/// What the kernel does with a connection that is not to be: `l4-reject`, `l4-no-server`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum L4Answer {
    /// Leaves it to userspace.
    Userspace,
    Drop,
    /// A reset; ICMP "port unreachable" to a datagram.
    Reset,
    /// ICMP "unreachable".
    Unreachable,
}

/// `l4-hook auto|xdp|xdp-generic|tc`: where the programs are attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum L4Hook {
    #[default]
    Auto,
    Tc,
    Xdp,
    XdpGeneric,
}
