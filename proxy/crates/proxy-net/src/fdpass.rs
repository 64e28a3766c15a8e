//! Handing open descriptors to another process over a unix socket (SCM_RIGHTS).
//!
//! A worker hands all its listening sockets to its successor: [`send_sockets`] / [`receive_sockets`]. The master
//! hands single ends of socketpairs to a worker: [`send_fd`] / [`receive_fd`].
//!
//! Wire form of a hand-over, numbers little-endian: batches of at most 253 descriptors, each a 12-byte header
//! (magic `SLF1`, descriptors in this batch u16, zero u16, bytes of description u32) that carries the descriptors,
//! then the descriptions in the same order. A batch of zero ends it. The version is in the magic: a process that
//! does not know it reports an error and binds for itself.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use proxy_types::SockAddr;

use crate::listener::{Identity, SocketKind};
use crate::sys::{self, SCM_MAX_FD};

const MAGIC: [u8; 4] = *b"SLF1";
const HEADER: usize = 12;
/// Address, interface and namespace with their lengths: no description is longer.
const MAX_DESCRIPTION: usize = 512;

/// Why a hand-over failed.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    #[error("the other process closed the connection")]
    Closed,
    #[error("the other process did not answer in time")]
    TimedOut,
    #[error("the other process speaks another version of the socket hand-over")]
    Version,
    #[error("malformed socket hand-over: {0}")]
    Malformed(&'static str),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A blocking socket operation with one deadline for all of it.
pub(crate) struct Channel<'a> {
    fd: BorrowedFd<'a>,
    deadline: Instant,
}

/// Sends listening sockets with what identifies them. Works on blocking and non-blocking sockets; takes `limit` at most.
pub fn send_sockets<'a>(
    over: &impl AsFd,
    sockets: impl IntoIterator<Item = (&'a Identity, BorrowedFd<'a>)>,
    limit: Duration,
) -> Result<(), PassError> {
    let channel = Channel::new(over, limit);
    let all: Vec<_> = sockets.into_iter().collect();
    for batch in all.chunks(SCM_MAX_FD) {
        let mut text = Vec::new();
        for (identity, _) in batch {
            encode(identity, &mut text);
        }
        let fds: Vec<i32> = batch.iter().map(|(_, fd)| fd.as_raw_fd()).collect();
        channel.send(&header(batch.len(), text.len()), &fds)?;
        channel.send(&text, &[])?;
    }
    channel.send(&header(0, 0), &[])
}

/// Receives what [`send_sockets`] sends.
pub fn receive_sockets(
    over: &impl AsFd,
    limit: Duration,
) -> Result<Vec<(Identity, OwnedFd)>, PassError> {
    let channel = Channel::new(over, limit);
    let mut all = Vec::new();
    loop {
        let mut head = [0; HEADER];
        let mut fds = Vec::new();
        channel.receive(&mut head, &mut fds)?;
        if head[..4] != MAGIC {
            return Err(PassError::Version);
        }
        let count = usize::from(u16::from_le_bytes([head[4], head[5]]));
        let len = u32::from_le_bytes([head[8], head[9], head[10], head[11]]) as usize;
        if count == 0 {
            return Ok(all);
        }
        if count > SCM_MAX_FD || len > count * MAX_DESCRIPTION {
            return Err(PassError::Malformed("batch too large"));
        }
        if fds.len() != count {
            return Err(PassError::Malformed("descriptors missing"));
        }
        let mut text = vec![0; len];
        channel.receive(&mut text, &mut fds)?;
        let mut rest = text.as_slice();
        for fd in fds {
            all.push((decode(&mut rest).ok_or(PassError::Malformed("description"))?, fd));
        }
    }
}

/// Sends one descriptor with a few bytes that say what it is.
pub fn send_fd(
    over: &impl AsFd,
    fd: BorrowedFd<'_>,
    bytes: &[u8],
    limit: Duration,
) -> Result<(), PassError> {
    Channel::new(over, limit).send(bytes, &[fd.as_raw_fd()])
}

/// Receives up to `bytes.len()` bytes and the descriptor that came with them, if any. Returns the byte count; zero is
/// the end. Does not wait: `WouldBlock` on a non-blocking socket without data.
pub fn receive_fd(over: &impl AsFd, bytes: &mut [u8]) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut fds = Vec::new();
    let n = sys::recv_with_fds(over, bytes, &mut fds)?;
    Ok((n, fds.into_iter().next()))
}

impl<'a> Channel<'a> {
    pub(crate) fn new(over: &'a impl AsFd, limit: Duration) -> Self {
        Self { fd: over.as_fd(), deadline: Instant::now() + limit }
    }

    fn wait(&self, for_what: PollFlags) -> Result<(), PassError> {
        loop {
            let left = self.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(PassError::TimedOut);
            }
            let ms = left.as_millis().clamp(1, 60_000) as u16;
            match poll(&mut [PollFd::new(self.fd, for_what)], PollTimeout::from(ms)) {
                Ok(0) | Err(Errno::EINTR) => {}
                Ok(_) => return Ok(()),
                Err(e) => return Err(io::Error::from(e).into()),
            }
        }
    }

    /// Sends all bytes; the descriptors go with the first of them.
    pub(crate) fn send(&self, mut bytes: &[u8], mut fds: &[i32]) -> Result<(), PassError> {
        while !bytes.is_empty() {
            self.wait(PollFlags::POLLOUT)?;
            let rights = [ControlMessage::ScmRights(fds)];
            let control = if fds.is_empty() { &[][..] } else { &rights[..] };
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
            match sendmsg::<()>(self.fd.as_raw_fd(), &[IoSlice::new(bytes)], control, flags, None) {
                Ok(n) => {
                    bytes = &bytes[n..];
                    fds = &[];
                }
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(Errno::EPIPE | Errno::ECONNRESET) => return Err(PassError::Closed),
                Err(e) => return Err(io::Error::from(e).into()),
            }
        }
        Ok(())
    }

    /// Fills `bytes`, and adds the descriptors that came with them.
    pub(crate) fn receive(
        &self,
        mut bytes: &mut [u8],
        fds: &mut Vec<OwnedFd>,
    ) -> Result<(), PassError> {
        while !bytes.is_empty() {
            let count = self.receive_some(bytes, fds)?;
            bytes = &mut bytes[count..];
        }
        Ok(())
    }

    /// Receives at least one byte.
    pub(crate) fn receive_some(
        &self,
        bytes: &mut [u8],
        fds: &mut Vec<OwnedFd>,
    ) -> Result<usize, PassError> {
        loop {
            self.wait(PollFlags::POLLIN)?;
            match sys::recv_with_fds(self.fd, bytes, fds) {
                Ok(0) => return Err(PassError::Closed),
                Ok(count) => return Ok(count),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::ConnectionReset => {
                    return Err(PassError::Closed);
                }
                Err(e) => return Err(e.into()),
            }
        }
    }
}

fn header(count: usize, len: usize) -> [u8; HEADER] {
    let mut h = [0; HEADER];
    h[..4].copy_from_slice(&MAGIC);
    h[4..6].copy_from_slice(&(count as u16).to_le_bytes());
    h[8..].copy_from_slice(&(len as u32).to_le_bytes());
    h
}

/// kind, transparent, v6only (0 no, 1 yes, 2 open), then address, interface and namespace as length and bytes.
fn encode(id: &Identity, out: &mut Vec<u8>) {
    out.push(match id.kind {
        SocketKind::Stream => 0,
        SocketKind::Datagram => 1,
    });
    out.push(u8::from(id.transparent));
    out.push(id.v6only.map_or(2, u8::from));
    let (family, addr) = match &id.addr {
        SockAddr::Inet(a) => (0, a.to_string().into_bytes()),
        SockAddr::Unix(p) => (1, p.as_os_str().as_encoded_bytes().to_vec()),
        SockAddr::Abstract(n) => (2, n.clone()),
    };
    out.push(family);
    let empty = String::new();
    let texts = [
        addr.as_slice(),
        id.interface.as_ref().unwrap_or(&empty).as_bytes(),
        id.namespace.as_ref().unwrap_or(&empty).as_bytes(),
    ];
    for text in texts {
        // Each is bounded by the kernel (108, 15) or by a file name (255).
        let text = &text[..text.len().min(255)];
        out.push(text.len() as u8);
        out.extend_from_slice(text);
    }
}

fn decode(rest: &mut &[u8]) -> Option<Identity> {
    use std::os::unix::ffi::OsStringExt;
    let (head, tail) = rest.split_first_chunk::<4>()?;
    *rest = tail;
    let mut text = || -> Option<Vec<u8>> {
        let (len, tail) = rest.split_first()?;
        let (text, tail) = tail.split_at_checked(usize::from(*len))?;
        *rest = tail;
        Some(text.to_vec())
    };
    let (addr, interface, namespace) = (text()?, text()?, text()?);
    let name = |bytes: Vec<u8>| match bytes.is_empty() {
        true => Some(None),
        false => String::from_utf8(bytes).ok().map(Some),
    };
    Some(Identity {
        kind: match head[0] {
            0 => SocketKind::Stream,
            1 => SocketKind::Datagram,
            _ => return None,
        },
        transparent: head[1] != 0,
        v6only: match head[2] {
            2 => None,
            n => Some(n != 0),
        },
        addr: match head[3] {
            0 => SockAddr::Inet(str::from_utf8(&addr).ok()?.parse().ok()?),
            1 => SockAddr::Unix(std::ffi::OsString::from_vec(addr).into()),
            2 => SockAddr::Abstract(addr),
            _ => return None,
        },
        interface: name(interface)?,
        namespace: name(namespace)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;
    use std::net::TcpListener;
    use std::os::unix::net::UnixStream;

    const LIMIT: Duration = Duration::from_secs(5);

    fn identity(n: u16) -> Identity {
        Identity {
            kind: SocketKind::Stream,
            addr: SockAddr::Inet(([127, 0, 0, 1], n).into()),
            v6only: None,
            interface: n.is_multiple_of(3).then(|| "eth0".to_owned()),
            namespace: n.is_multiple_of(5).then(|| "blue".to_owned()),
            transparent: n.is_multiple_of(2),
        }
    }

    #[test]
    fn a_thousand_sockets_arrive_in_order_and_work() {
        let (a, b) = UnixStream::pair().unwrap();
        b.set_nonblocking(true).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let ids: Vec<Identity> = (0..600).map(identity).collect();
        let got = std::thread::scope(|s| {
            s.spawn(|| {
                send_sockets(&a, ids.iter().map(|i| (i, listener.as_fd())), LIMIT).unwrap();
            });
            receive_sockets(&b, LIMIT).unwrap()
        });
        assert!(got.iter().map(|(i, _)| i).eq(&ids));
        let last = TcpListener::from(got.into_iter().last().unwrap().1);
        assert_eq!(last.local_addr().unwrap(), listener.local_addr().unwrap());
    }

    #[test]
    fn one_descriptor_travels_with_its_words() {
        let (a, b) = UnixStream::pair().unwrap();
        let (mut c, d) = UnixStream::pair().unwrap();
        send_fd(&a, d.as_fd(), b"cli admin\n", LIMIT).unwrap();
        drop(d);
        let mut bytes = [0; 64];
        let (n, fd) = receive_fd(&b, &mut bytes).unwrap();
        assert_eq!(&bytes[..n], b"cli admin\n");
        c.write_all(b"x").unwrap();
        let mut one = [0; 1];
        nix::unistd::read(fd.unwrap(), &mut one).unwrap();
        assert_eq!(&one, b"x");
        drop(a);
        assert!(matches!(receive_fd(&b, &mut bytes), Ok((0, None))));
    }

    #[test]
    fn a_silent_closed_or_foreign_peer_is_an_error() {
        let (a, b) = UnixStream::pair().unwrap();
        let quick = Duration::from_millis(10);
        assert!(matches!(receive_sockets(&b, quick), Err(PassError::TimedOut)));
        (&a).write_all(b"Unknown command.\n").unwrap();
        assert!(matches!(receive_sockets(&b, quick), Err(PassError::Version)));
        drop(a);
        let (a, b) = UnixStream::pair().unwrap();
        (&a).write_all(&header(3, 30)).unwrap();
        assert!(matches!(receive_sockets(&b, quick), Err(PassError::Malformed(_))));
        drop(a);
        assert!(matches!(receive_sockets(&b, quick), Err(PassError::Closed)));
    }

    proptest! {
        #[test]
        fn descriptions_survive_and_garbage_does_not_panic(n: u16, garbage: Vec<u8>) {
            let mut bytes = Vec::new();
            encode(&identity(n), &mut bytes);
            let mut rest = bytes.as_slice();
            prop_assert_eq!(decode(&mut rest), Some(identity(n)));
            prop_assert!(rest.is_empty());
            let _ = decode(&mut garbage.as_slice());
        }
    }
}
