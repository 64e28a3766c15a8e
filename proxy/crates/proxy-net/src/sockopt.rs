//! Socket options by their configuration names, and the keepalive settings shared by both sides.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

use crate::sys;

/// `option clitcpka`/`srvtcpka` with `clitcpka-cnt`, `-idle`, `-intvl` (configuration manual, 4.2). What is not
/// given keeps the system's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Keepalive {
    pub count: Option<u32>,
    pub idle: Option<Duration>,
    pub interval: Option<Duration>,
}

impl Keepalive {
    pub(crate) fn apply(&self, socket: &SockRef<'_>) -> io::Result<()> {
        let mut k = TcpKeepalive::new();
        if let Some(n) = self.count {
            k = k.with_retries(n);
        }
        if let Some(d) = self.idle {
            k = k.with_time(d);
        }
        if let Some(d) = self.interval {
            k = k.with_interval(d);
        }
        socket.set_tcp_keepalive(&k)
    }
}

/// Buffers of a socket in the kernel, in bytes; what is not given is as the system has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Buffers {
    /// `tune.rcvbuf.*`.
    pub receive: Option<u32>,
    /// `tune.sndbuf.*`.
    pub send: Option<u32>,
    /// `tune.notsent-lowat.*`: the socket is writable while less than this waits to be sent.
    pub unsent: Option<u32>,
}

impl Buffers {
    pub(crate) fn apply(&self, socket: &SockRef<'_>) -> io::Result<()> {
        if let Some(bytes) = self.receive {
            socket.set_recv_buffer_size(bytes as usize)?;
        }
        if let Some(bytes) = self.send {
            socket.set_send_buffer_size(bytes as usize)?;
        }
        if let Some(bytes) = self.unsent {
            let bytes = i32::try_from(bytes).unwrap_or(i32::MAX);
            sys::set_int(socket.as_fd(), libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, bytes)?;
        }
        Ok(())
    }
}

/// `cc`: congestion control by its name. What the kernel does not have or permit is said, and its own stays.
pub(crate) fn set_congestion(socket: &SockRef<'_>, name: &str) {
    if let Err(error) = socket.set_tcp_congestion(name.as_bytes()) {
        tracing::warn!(algorithm = name, %error, "cannot set the congestion control");
    }
}

/// The mark that netfilter sees on packets. Without the rights for it that is said, and packets go unmarked.
pub fn set_mark(fd: &impl AsFd, mark: u32) {
    let socket = SockRef::from(fd);
    if let Err(error) = socket.set_mark(mark) {
        tracing::debug!(mark, %error, "cannot mark packets");
    }
}

/// The type of service of IPv4 packets, or the traffic class of IPv6 ones: a socket of IPv6 may send both.
pub fn set_tos(fd: &impl AsFd, tos: u8) {
    let socket = SockRef::from(fd);
    let v4 = socket.set_tos_v4(u32::from(tos));
    let v6 = socket.set_tclass_v6(u32::from(tos));
    if let (Err(error), Err(_)) = (v4, v6) {
        tracing::debug!(tos, %error, "cannot set the type of service");
    }
}

/// Makes the coming close send a RST and forget what was not acknowledged (`option nolinger`).
pub fn reset_on_close(fd: &impl AsFd) -> io::Result<()> {
    SockRef::from(fd).set_linger(Some(Duration::ZERO))
}

/// Makes the coming close send nothing at all: the peer goes on believing in the connection (`TCP_REPAIR`, tcp(7)).
///
/// # Errors
/// `CAP_NET_ADMIN` is missing, or the connection is not established.
pub(crate) fn silence(fd: &impl AsFd) -> io::Result<()> {
    sys::set_int(fd.as_fd(), libc::IPPROTO_TCP, libc::TCP_REPAIR, 1)
}

/// `mss`: positive values are announced, negative ones reduce what was negotiated (accepted sockets only).
pub(crate) fn set_mss(fd: &impl AsFd, mss: u32) -> io::Result<()> {
    SockRef::from(fd).set_tcp_mss(mss)
}

/// `defer-accept`: at most this many seconds until a silent connection is accepted nevertheless.
pub(crate) fn set_defer_accept(fd: &impl AsFd, seconds: i32) -> io::Result<()> {
    sys::set_int(fd, libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, seconds)
}

/// `tfo` on a listener: at most this many connections that have not finished their handshake.
pub(crate) fn set_fastopen(fd: &impl AsFd, pending: i32) -> io::Result<()> {
    sys::set_int(fd, libc::IPPROTO_TCP, libc::TCP_FASTOPEN, pending)
}

/// `tfo` on a server: the first data goes out with the SYN.
pub(crate) fn set_fastopen_connect(fd: &impl AsFd) -> io::Result<()> {
    sys::set_int(fd, libc::IPPROTO_TCP, libc::TCP_FASTOPEN_CONNECT, 1)
}

/// Binding to an address leaves the choice of the port to the connect, so that ports are shared between destinations.
pub(crate) fn set_bind_address_no_port(fd: &impl AsFd) -> io::Result<()> {
    sys::set_int(fd, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1)
}

/// Sends every new connection to a group of `SO_REUSEPORT` sockets to the one that was bound first, or to all
/// of them again. Connections that wait elsewhere stay where they are.
pub(crate) fn steer_to_first(fd: &impl AsFd, on: bool) -> io::Result<()> {
    /// From Linux' `asm-generic/socket.h`.
    const SO_DETACH_REUSEPORT_BPF: i32 = 68;
    if !on {
        return sys::set_int(fd, libc::SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, 0);
    }
    // `ret #0`
    let mut program = [libc::sock_filter { code: libc::BPF_RET as u16, jt: 0, jf: 0, k: 0 }];
    let program = libc::sock_fprog { len: 1, filter: program.as_mut_ptr() };
    nix::sys::socket::setsockopt(fd, nix::sys::socket::sockopt::AttachReusePortCbpf, &program)
        .map_err(io::Error::from)
}

/// `tcp-ss`: the first packet of connections is kept, with the headers of IP and TCP (1), and of Ethernet, too (2).
pub(crate) fn set_save_syn(fd: &impl AsFd, mode: i32) -> io::Result<()> {
    const TCP_SAVE_SYN: i32 = 27;
    sys::set_int(fd, libc::IPPROTO_TCP, TCP_SAVE_SYN, mode)
}

/// The first packet of an accepted connection, if it was kept; the kernel gives it once.
///
/// # Errors
/// No connection of TCP.
pub fn saved_syn(fd: &impl AsFd) -> io::Result<Vec<u8>> {
    const TCP_SAVED_SYN: i32 = 28;
    // Ethernet with VLANs, the longest header of IP with extensions, and of TCP.
    let mut packet = vec![0; 512];
    let len = sys::get_bytes(fd, libc::IPPROTO_TCP, TCP_SAVED_SYN, &mut packet)?;
    packet.truncate(len);
    Ok(packet)
}

/// `tcp-md5sig`: segments are signed (RFC 2385), those of others fall on the floor. `peer` is whom the other side must
/// be; a listener signs with everyone of the family of its address, and of IPv4 when that is IPv6.
///
/// # Errors
/// The kernel has no such signatures, or the password is longer than [`MD5_PASSWORD_MAX`].
pub(crate) fn set_md5(fd: &impl AsFd, password: &str, peer: Md5Peer) -> io::Result<()> {
    let sign = |ip: IpAddr, all: bool| {
        let mut option = [0u8; 216];
        let (family, at, octets) = match ip {
            IpAddr::V4(ip) => (libc::AF_INET, 4, ip.octets().to_vec()),
            IpAddr::V6(ip) => (libc::AF_INET6, 8, ip.octets().to_vec()),
        };
        option[..2].copy_from_slice(&(family as u16).to_ne_bytes());
        option[at..at + octets.len()].copy_from_slice(&octets);
        // Behind the address of 128 bytes: flags, length of the prefix, length of the key, interface, key.
        let key = password.as_bytes();
        let room = option.get_mut(136..136 + key.len());
        room.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?.copy_from_slice(key);
        option[128] = u8::from(all);
        option[130..132].copy_from_slice(&(key.len() as u16).to_ne_bytes());
        sys::set_bytes(fd, libc::IPPROTO_TCP, TCP_MD5SIG_EXT, &option)
    };
    match peer {
        Md5Peer::Only(ip) => sign(ip, false),
        Md5Peer::AnyV4 => sign(Ipv4Addr::UNSPECIFIED.into(), true),
        Md5Peer::Any => {
            // Addresses of IPv4 count as such on sockets of IPv6, too.
            sign(Ipv4Addr::UNSPECIFIED.into(), true)?;
            sign(Ipv6Addr::UNSPECIFIED.into(), true)
        }
    }
}

/// Most bytes of a password of [`set_md5`] (`TCP_MD5SIG_MAXKEYLEN`).
pub const MD5_PASSWORD_MAX: usize = 80;
const TCP_MD5SIG_EXT: i32 = 32;

/// Whose segments [`set_md5`] is about.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Md5Peer {
    /// Every address.
    Any,
    /// Every address of IPv4.
    AnyV4,
    Only(IpAddr),
}

/// What the kernel measures on a connection of TCP (`struct tcp_info` of linux/tcp.h). Times are in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TcpInfo {
    pub unacked: u32,
    pub sacked: u32,
    pub lost: u32,
    pub retrans: u32,
    pub fackets: u32,
    pub rtt: u32,
    pub rttvar: u32,
    pub reordering: u32,
}

/// The kernel's measurements.
///
/// # Errors
/// No connection of TCP.
pub fn tcp_info(fd: &impl AsFd) -> io::Result<TcpInfo> {
    let mut bytes = [0; 104];
    sys::get_bytes(fd, libc::IPPROTO_TCP, libc::TCP_INFO, &mut bytes)?;
    // Eight bytes of states and flags, then numbers of four bytes each.
    let word = |index: usize| {
        let at = 8 + 4 * index;
        bytes[at..at + 4].try_into().map_or(0, u32::from_ne_bytes)
    };
    Ok(TcpInfo {
        unacked: word(4),
        sacked: word(5),
        lost: word(6),
        retrans: word(7),
        fackets: word(8),
        rtt: word(15),
        rttvar: word(16),
        reordering: word(20),
    })
}

/// Whether the socket listens.
pub fn is_listening(fd: &impl AsFd) -> bool {
    sys::get_int(fd, libc::SOL_SOCKET, libc::SO_ACCEPTCONN).is_ok_and(|v| v != 0)
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_silenced_socket_closes_without_a_word() -> io::Result<()> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let mut client = TcpStream::connect(listener.local_addr()?)?;
        client.set_nonblocking(true)?;
        let (server, _) = listener.accept()?;
        match silence(&server) {
            // Plain users have no such privilege.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => return Ok(()),
            silenced => silenced?,
        }
        // On the loopback device what a close sends has arrived when the call returns.
        drop(server);
        assert_eq!(client.read(&mut [0]).map_err(|e| e.kind()), Err(ErrorKind::WouldBlock));
        Ok(())
    }
}
