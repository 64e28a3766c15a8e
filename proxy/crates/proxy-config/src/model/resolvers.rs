//! `resolvers` sections (configuration manual, 5.3.2) and what server lines say about names (5.2).

use std::time::Duration;

use proxy_types::{Address, Span, Spanned};

/// A `resolvers` section. Nothing written means the manual's default.
#[derive(Clone, Debug)]
pub struct Resolvers {
    pub span: Span,
    pub name: Spanned<String>,
    pub nameservers: Vec<NameserverLine>,
    /// 512 bytes by default.
    pub accepted_payload_size: Option<Spanned<u16>>,
    pub hold: ResolversHold,
    /// 3 by default.
    pub resolve_retries: Option<Spanned<u32>>,
    /// 1 s by default.
    pub timeout_resolve: Option<Spanned<Duration>>,
    /// 1 s by default.
    pub timeout_retry: Option<Spanned<Duration>>,
}

/// Where nameservers come from.
#[derive(Clone, Debug)]
pub enum NameserverLine {
    Nameserver(Box<Nameserver>),
    /// `parse-resolv-conf`.
    ResolvConf(Span),
}

/// A `nameserver` line.
#[derive(Clone, Debug)]
pub struct Nameserver {
    pub name: Spanned<String>,
    /// Datagram or stream, with a port.
    pub address: Spanned<Address>,
    /// TCP connections at once; zero or nothing means no limit.
    pub maxconn: Option<Spanned<u32>>,
}

/// `hold` lines.
#[derive(Clone, Copy, Debug, Default)]
pub struct ResolversHold {
    pub nx: Option<Spanned<Duration>>,
    pub obsolete: Option<Spanned<Duration>>,
    pub other: Option<Spanned<Duration>>,
    pub refused: Option<Spanned<Duration>>,
    pub timeout: Option<Spanned<Duration>>,
    pub valid: Option<Spanned<Duration>>,
}

/// An address family that names are resolved to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressFamily {
    V4,
    V6,
}

/// `dns-accept-family`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcceptFamily {
    /// IPv4, and IPv6 when it is routed.
    Auto,
    Both,
    Only(AddressFamily),
}

/// What a server line says about the resolution of its name.
#[derive(Clone, Debug, Default)]
pub struct ServerNames {
    /// The section whose nameservers are asked.
    pub resolvers: Option<Spanned<String>>,
    /// IPv6 by default.
    pub prefer: Option<Spanned<AddressFamily>>,
    /// Networks whose addresses come first.
    pub nets: Vec<super::Except>,
    /// `resolve-opts`: addresses of other servers with the same name will do.
    pub allow_duplicates: bool,
    /// `resolve-opts`: weights of SRV records mean nothing.
    pub ignore_weight: bool,
}
