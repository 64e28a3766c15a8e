//! One of the sockets that share an address gets all new connections for a while: the one that another process keeps.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use nix::sys::stat::fstat;
use proxy_types::SockAddr;

use crate::sockopt;

/// While it lives, one socket of several gets all new connections.
#[derive(Debug)]
pub struct Steering(OwnedFd);

impl Steering {
    pub(super) fn begin(addr: &SockAddr, sockets: &[OwnedFd]) -> Option<Self> {
        let ([first, _, ..], SockAddr::Inet(addr)) = (sockets, addr) else { return None };
        let steer = || {
            if others_listen(*addr, sockets)? {
                return Ok(None);
            }
            sockopt::steer_to_first(first, true)?;
            first.try_clone().map(Self).map(Some)
        };
        let outcome: io::Result<_> = steer();
        outcome.unwrap_or_else(|error| {
            tracing::debug!(%error, "new connections cannot be steered");
            None
        })
    }
}

impl Drop for Steering {
    fn drop(&mut self) {
        if let Err(error) = sockopt::steer_to_first(&self.0, false) {
            tracing::debug!(%error, "new connections are still steered");
        }
    }
}

/// Whether there is a listening socket at the address that is none of these.
fn others_listen(addr: SocketAddr, sockets: &[OwnedFd]) -> io::Result<bool> {
    let own = sockets.iter().map(|socket| fstat(socket.as_fd()).map(|stat| stat.st_ino));
    let own = own.collect::<Result<Vec<_>, _>>()?;
    let table = if addr.is_ipv4() { "tcp" } else { "tcp6" };
    let table = File::open(format!("/proc/thread-self/net/{table}"))?;
    let wanted = shown(addr);
    for line in BufReader::new(table).lines() {
        if listener(&line?, &wanted).is_some_and(|inode| !own.contains(&inode)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// An address as `/proc/net/tcp` and `tcp6` show it: words of 32 bits in the order of the host (proc_net_tcp.txt of
/// the kernel's documentation).
fn shown(addr: SocketAddr) -> String {
    let octets = match addr.ip() {
        std::net::IpAddr::V4(ip) => ip.octets().to_vec(),
        std::net::IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let words =
        octets.chunks_exact(4).map(|word| u32::from_ne_bytes(word.try_into().unwrap_or_default()));
    let words: String = words.map(|word| format!("{word:08X}")).collect();
    format!("{words}:{:04X}", addr.port())
}

/// The inode of a line's socket, if it listens at the address.
fn listener(line: &str, wanted: &str) -> Option<u64> {
    const LISTEN: &str = "0A";
    let mut columns = line.split_ascii_whitespace().skip(1);
    let is_it = columns.next()? == wanted && columns.nth(1)? == LISTEN;
    columns.nth(5).filter(|_| is_it)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::{Domain, Socket, Type};

    fn open(addr: SocketAddr) -> Socket {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None).unwrap();
        socket.set_reuse_port(true).unwrap();
        socket.bind(&addr.into()).unwrap();
        socket.listen(8).unwrap();
        socket
    }

    #[test]
    fn a_socket_of_another_is_found() {
        for any in ["127.0.0.1:0", "[::1]:0"] {
            let first = open(any.parse().unwrap());
            let addr = first.local_addr().unwrap().as_socket().unwrap();
            let sockets = [OwnedFd::from(first), OwnedFd::from(open(addr))];
            assert!(!others_listen(addr, &sockets).unwrap(), "{addr}");
            let steering = Steering::begin(&SockAddr::Inet(addr), &sockets);
            assert!(steering.is_some(), "{addr}");
            // Its kind does not matter: a duplicate is the same socket.
            let other = open(addr);
            assert!(others_listen(addr, &sockets).unwrap(), "{addr}");
            assert!(Steering::begin(&SockAddr::Inet(addr), &sockets).is_none(), "{addr}");
            drop(other);
            assert!(!others_listen(addr, &sockets).unwrap(), "{addr}");
        }
    }
}
