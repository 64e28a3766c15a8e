//! What the caller of [`load`](crate::load) knows: the program, its version and its command line.

/// The facts that conditions ask for.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// The version of HAProxy whose configuration language this is.
    pub language_version: &'static str,
    /// Names that `feature()` finds.
    pub features: &'static [&'static str],
    /// Names that `enabled()` finds.
    pub enabled: &'static [&'static str],
    pub tls_library: Option<&'static str>,
    pub openssl_version: Option<&'static str>,
    pub awslc_api: Option<u64>,
    pub fips: bool,
}

impl Default for Program {
    fn default() -> Self {
        Self {
            language_version: "3.5.0",
            features: &["EPOLL", "GETADDRINFO", "LINUX_SPLICE", "PRCTL", "THREAD", "TFO"],
            enabled: &["EPOLL", "FAST-FORWARD", "GETADDRINFO", "REUSEPORT", "SPLICE"],
            tls_library: None,
            openssl_version: None,
            awslc_api: None,
            fips: false,
        }
    }
}

/// How a configuration is to be read.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub program: Program,
    /// `-L` was given: `localpeer` is ignored.
    pub has_local_peer: bool,
}
