//! Which version this is, of Sluice and of the surface it implements.

/// Version of Sluice itself.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Date of the version, as clients of `show info` parse it.
pub(crate) const RELEASE_DATE: &str = "2026/11/23";

/// The HAProxy version whose surface is implemented, as `version_atleast` and clients compare it.
pub(crate) const COMPATIBLE_WITH: &str = "3.5";

/// The first line of `-v` and of the usage text.
pub(crate) fn banner() -> String {
    format!("Sluice version {VERSION} (HAProxy {COMPATIBLE_WITH} configuration language)")
}
