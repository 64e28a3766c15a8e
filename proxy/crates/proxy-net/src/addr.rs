//! Between our address type and the kernel's.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use proxy_types::SockAddr;
use socket2::SockAddr as RawAddr;

/// The kernel's form of an address.
///
/// # Errors
/// When a unix path does not fit into a `sockaddr_un` (107 bytes).
pub(crate) fn raw_addr(addr: &SockAddr) -> io::Result<RawAddr> {
    match addr {
        SockAddr::Inet(a) => Ok((*a).into()),
        SockAddr::Unix(path) => RawAddr::unix(path),
        SockAddr::Abstract(name) => {
            let mut bytes = Vec::with_capacity(name.len() + 1);
            bytes.push(0);
            bytes.extend_from_slice(name);
            RawAddr::unix(std::ffi::OsStr::from_bytes(&bytes))
        }
    }
}

/// Our form of the kernel's.
///
/// # Errors
/// When the family is neither IP nor unix.
pub(crate) fn sockaddr_of(raw: &RawAddr) -> io::Result<SockAddr> {
    if let Some(a) = raw.as_socket() {
        return Ok(SockAddr::Inet(a));
    }
    if let Some(name) = raw.as_abstract_namespace() {
        return Ok(SockAddr::Abstract(name.to_vec()));
    }
    if raw.is_unix() {
        return Ok(SockAddr::Unix(raw.as_pathname().map(PathBuf::from).unwrap_or_default()));
    }
    Err(io::Error::new(io::ErrorKind::Unsupported, "neither an IP nor a unix socket"))
}
