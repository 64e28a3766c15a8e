//! Sending many small messages without ever waiting: datagrams to syslog servers, lines to a descriptor.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use proxy_types::SockAddr;
use socket2::{Domain, SockAddr as RawAddr, SockRef, Socket, Type};

use crate::addr::raw_addr;
use crate::sockopt::Buffers;
use crate::sys;

/// Bytes that a pipe takes whole or not at all (`PIPE_BUF`).
const ATOMIC: usize = 4096;

/// An unconnected datagram socket with its destination: one whose reader goes away and comes back is reached again.
#[derive(Debug)]
pub struct DatagramSender {
    socket: Socket,
    to: RawAddr,
}

impl DatagramSender {
    /// Opens a socket towards an address. Nothing is sent, so a dead destination is no error.
    pub fn open(to: &SockAddr, buffers: Buffers) -> io::Result<Self> {
        let domain = match to {
            SockAddr::Inet(a) => Domain::for_address(*a),
            SockAddr::Unix(_) | SockAddr::Abstract(_) => Domain::UNIX,
        };
        let socket = Socket::new(domain, Type::DGRAM.nonblocking(), None)?;
        Buffers { unsent: None, ..buffers }.apply(&SockRef::from(&socket))?;
        Ok(Self { socket, to: raw_addr(to)? })
    }

    /// Sends datagrams with as few system calls as possible; returns how many were lost.
    pub fn send<'a>(&self, datagrams: impl Iterator<Item = &'a [u8]> + Clone) -> usize {
        let mut rest = datagrams;
        let mut lost = 0;
        while rest.clone().next().is_some() {
            match sys::send_many(&self.socket, Some(&self.to), rest.clone()) {
                Ok(n) => {
                    rest.by_ref().take(n.max(1)).for_each(drop);
                    lost += usize::from(n == 0);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                // The first one was refused. A full queue or a missing reader refuses the others too.
                Err(_) => return lost + rest.count(),
            }
        }
        lost
    }
}

/// A descriptor that lines are written to: a pipe, a terminal, a file, a socket.
#[derive(Debug)]
pub struct LineWriter {
    fd: OwnedFd,
}

impl LineWriter {
    /// Opens a descriptor by number (1 is standard output); the original stays open.
    pub fn open(fd: i32) -> io::Result<Self> {
        Ok(Self { fd: sys::duplicate(fd)? })
    }

    /// Writes whole lines, as many in one call as a pipe takes atomically; returns how many were lost. The
    /// descriptor is shared with other processes, so it is asked for room instead of being made non-blocking.
    pub fn send<'a>(&self, lines: impl Iterator<Item = &'a [u8]>) -> usize {
        let mut lines = lines.peekable();
        let mut block = Vec::with_capacity(ATOMIC);
        let mut lost = 0;
        while let Some(line) = lines.next() {
            block.clear();
            block.extend_from_slice(line);
            let mut count = 1;
            while let Some(line) = lines.next_if(|l| block.len() + l.len() <= ATOMIC) {
                block.extend_from_slice(line);
                count += 1;
            }
            if !self.has_room() || nix::unistd::write(&self.fd, &block).is_err() {
                lost += count;
            }
        }
        lost
    }

    fn has_room(&self) -> bool {
        let mut fds = [PollFd::new(self.fd.as_fd(), PollFlags::POLLOUT)];
        poll(&mut fds, PollTimeout::ZERO).is_ok_and(|n| n > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::UdpSocket;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixDatagram;

    #[test]
    fn all_datagrams_leave_whatever_one_call_takes() {
        let r = UdpSocket::bind("127.0.0.1:0").unwrap();
        r.set_nonblocking(true).unwrap();
        let s = DatagramSender::open(&r.local_addr().unwrap().into(), Buffers::default()).unwrap();
        let lines: Vec<Vec<u8>> = (0..150).map(|i| format!("line {i}\n").into_bytes()).collect();
        let mut buf = [0; 100];
        for count in [0, 1, 2, 8, 9, 64, 65, 150] {
            assert_eq!(s.send(lines[..count].iter().map(Vec::as_slice)), 0);
            for line in &lines[..count] {
                let n = r.recv(&mut buf).unwrap();
                assert_eq!(&buf[..n], line);
            }
            assert!(r.recv(&mut buf).is_err(), "{count}");
        }
    }

    #[test]
    fn a_unix_reader_may_be_absent_and_come_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let s = DatagramSender::open(&SockAddr::Unix(path.clone()), Buffers::default()).unwrap();
        let two = [&b"a\n"[..], b"b\n"];
        assert_eq!(s.send(two.into_iter()), 2);
        let r = UnixDatagram::bind(&path).unwrap();
        assert_eq!(s.send(two.into_iter()), 0);
        let mut buf = [0; 10];
        assert_eq!(r.recv(&mut buf).unwrap(), 2);
        drop(r);
        assert_eq!(s.send(two.into_iter()), 2);
    }

    #[test]
    fn a_pipe_nobody_reads_loses_lines_but_never_blocks() {
        let (mut read, write) = io::pipe().unwrap();
        let w = LineWriter::open(write.as_raw_fd()).unwrap();
        drop(write);
        let line = [b'x'; 1000];
        let lost = w.send(std::iter::repeat_n(&line[..], 200));
        assert!(lost > 0 && lost < 200, "{lost}");
        drop(w);
        let mut all = Vec::new();
        read.read_to_end(&mut all).unwrap();
        assert_eq!(all.len(), (200 - lost) * 1000);
    }
}
