//! Which addresses are this machine's own.

use std::net::{IpAddr, UdpSocket};

/// Whether a socket could have this address: nothing is sent, and the socket is gone at once. Loopback is local, and
/// so is the unspecified address.
#[must_use]
pub fn is_local(ip: IpAddr) -> bool {
    UdpSocket::bind((ip, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_local_and_documentation_is_not() {
        assert!(is_local("127.0.0.1".parse().unwrap()));
        assert!(!is_local("192.0.2.1".parse().unwrap()));
    }
}
