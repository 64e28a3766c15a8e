//! What passes between a master and its workers.
//!
//! One `SOCK_SEQPACKET` pair per worker carries short text messages, each with at most one
//! descriptor. The master's end survives the master's own `execve` on reload, and a new worker
//! inherits it by fork, which is how it reaches the worker it replaces.
//!
//! ```text
//! worker -> master   READY <pid>
//! worker -> master   unpin <directory>        remove the pins of the kernel path
//! master -> worker   cli <level> + stream      serve a runtime API session on this stream
//! worker -> worker   handover + seqpacket      talk about listeners and the data path on this pair
//! ```

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg,
    sendmsg, socketpair,
};

use crate::sys;

/// Longest message in bytes; a longer one is a broken peer.
const MAX_MESSAGE: usize = 512;

/// A pair of connected message sockets, closed on exec.
pub(crate) fn message_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?)
}

/// A pair of connected stream sockets, closed on exec.
pub(crate) fn stream_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC)?)
}

/// Sends one message, with a descriptor or without.
///
/// # Errors
/// Those of `sendmsg(2)`; a full or closed socket does not block.
pub(crate) fn send(
    socket: BorrowedFd<'_>,
    text: &str,
    fd: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let raw = fd.map(|fd| [fd.as_raw_fd()]);
    let control: Vec<_> =
        raw.as_ref().map(|fds| ControlMessage::ScmRights(fds)).into_iter().collect();
    sendmsg::<()>(
        socket.as_raw_fd(),
        &[IoSlice::new(text.as_bytes())],
        &control,
        MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT,
        None,
    )?;
    Ok(())
}

/// Receives one message without blocking. `Ok(None)` is the end: the peer is gone.
///
/// # Errors
/// `WouldBlock` when nothing is there; `InvalidData` for a message that is too long or not text.
pub(crate) fn receive(socket: BorrowedFd<'_>) -> io::Result<Option<(String, Option<OwnedFd>)>> {
    receive_with(socket, MsgFlags::MSG_DONTWAIT)
}

/// Receives one message, waiting for it as long as the socket's receive timeout allows.
pub(crate) fn receive_blocking(
    socket: BorrowedFd<'_>,
) -> io::Result<Option<(String, Option<OwnedFd>)>> {
    receive_with(socket, MsgFlags::empty())
}

fn receive_with(
    socket: BorrowedFd<'_>,
    flags: MsgFlags,
) -> io::Result<Option<(String, Option<OwnedFd>)>> {
    let mut bytes = [0u8; MAX_MESSAGE];
    let mut control = cmsg_space!([std::os::fd::RawFd; 4]);
    let mut slices = [IoSliceMut::new(&mut bytes)];
    let message = loop {
        match recvmsg::<()>(
            socket.as_raw_fd(),
            &mut slices,
            Some(&mut control),
            flags | MsgFlags::MSG_CMSG_CLOEXEC,
        ) {
            Err(Errno::EINTR) => {}
            other => break other?,
        }
    };
    let mut received = None;
    for item in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(fds) = item {
            for fd in fds {
                // Only one is part of the protocol; what else came is closed again.
                let owned = sys::adopt_fd(fd)?;
                received.get_or_insert(owned);
            }
        }
    }
    let (length, truncated) = (message.bytes, message.flags.contains(MsgFlags::MSG_TRUNC));
    if length == 0 {
        return Ok(None);
    }
    let text = std::str::from_utf8(&bytes[..length])
        .ok()
        .filter(|_| !truncated)
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
    Ok(Some((text.to_owned(), received)))
}

/// Lets a descriptor cross `execve`.
pub(crate) fn keep_on_exec(fd: BorrowedFd<'_>, keep: bool) -> io::Result<()> {
    use nix::fcntl::{FcntlArg, FdFlag, fcntl};
    let flags = if keep { FdFlag::empty() } else { FdFlag::FD_CLOEXEC };
    fcntl(fd, FcntlArg::F_SETFD(flags))?;
    Ok(())
}

/// One process as written in `HAPROXY_PROCESSES` across the master's `execve`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProcessEntry {
    /// 'm' for the master, 'w' for a worker.
    pub(crate) kind: char,
    /// The master's end of the worker's message socket; -1 for the master.
    pub(crate) fd: i32,
    pub(crate) pid: i32,
    pub(crate) reloads: u32,
    pub(crate) failed_reloads: u32,
    /// Start of the process, seconds since the epoch.
    pub(crate) started: u64,
    pub(crate) version: String,
}

/// What a master hands to its next image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReexecState {
    pub(crate) processes: Vec<ProcessEntry>,
    /// Listening sockets of the master CLI, in the order of the `-S` flags.
    pub(crate) cli_sockets: Vec<i32>,
    /// The CLI client that asked for the reload and waits for its outcome.
    pub(crate) reload_client: Option<i32>,
}

const REEXEC: &str = "HAPROXY_MWORKER_REEXEC";
const PROCESSES: &str = "HAPROXY_PROCESSES";
const SOCKETS: &str = "SLUICE_MASTER_SOCKETS";
const CLIENT: &str = "SLUICE_RELOAD_CLIENT";

impl ReexecState {
    /// Reads the state a previous image left, and removes it from the environment.
    pub(crate) fn take_from_env() -> Option<Self> {
        let value = |name: &str| {
            let value = std::env::var(name).ok();
            sys::unset_env(name);
            value
        };
        let reexec = value(REEXEC);
        let (processes, sockets, client) = (value(PROCESSES), value(SOCKETS), value(CLIENT));
        reexec?;
        Some(Self {
            processes: parse_processes(&processes.unwrap_or_default()),
            cli_sockets: sockets
                .unwrap_or_default()
                .split(',')
                .filter_map(|fd| fd.parse().ok())
                .collect(),
            reload_client: client.and_then(|fd| fd.parse().ok()),
        })
    }

    /// Writes the state for the next image.
    pub(crate) fn put_in_env(&self) {
        sys::set_env(REEXEC, "1");
        sys::set_env(PROCESSES, &render_processes(&self.processes));
        let sockets: Vec<_> = self.cli_sockets.iter().map(ToString::to_string).collect();
        sys::set_env(SOCKETS, &sockets.join(","));
        if let Some(fd) = self.reload_client {
            sys::set_env(CLIENT, &fd.to_string());
        }
    }

    /// Takes back what [`Self::put_in_env`] wrote, when the exec failed.
    pub(crate) fn clear_env() {
        for name in [REEXEC, PROCESSES, SOCKETS, CLIENT] {
            sys::unset_env(name);
        }
    }
}

fn render_processes(processes: &[ProcessEntry]) -> String {
    let mut out = String::new();
    for p in processes {
        out.push_str(&format!(
            "|type={};fd={};cfd=-1;pid={};reloads={};failedreloads={};timestamp={};id=1;version={}",
            p.kind, p.fd, p.pid, p.reloads, p.failed_reloads, p.started, p.version
        ));
    }
    out
}

fn parse_processes(text: &str) -> Vec<ProcessEntry> {
    text.split('|').filter(|entry| !entry.is_empty()).filter_map(parse_process).collect()
}

fn parse_process(text: &str) -> Option<ProcessEntry> {
    let field =
        |name: &str| text.split(';').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
    Some(ProcessEntry {
        kind: field("type")?.chars().next()?,
        fd: field("fd")?.parse().ok()?,
        pid: field("pid")?.parse().ok()?,
        reloads: field("reloads")?.parse().ok()?,
        failed_reloads: field("failedreloads")?.parse().ok()?,
        started: field("timestamp")?.parse().ok()?,
        version: field("version")?.to_owned(),
    })
}

/// A blocking receive waits no longer than this.
pub(crate) fn set_receive_timeout(socket: &OwnedFd, limit: std::time::Duration) -> io::Result<()> {
    let limit = nix::sys::time::TimeVal::new(
        i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
        i64::from(limit.subsec_micros()),
    );
    nix::sys::socket::setsockopt(
        &socket.as_fd(),
        nix::sys::socket::sockopt::ReceiveTimeout,
        &limit,
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_survive_the_environment() {
        let entry = ProcessEntry {
            kind: 'w',
            fd: 7,
            pid: 1234,
            reloads: 2,
            failed_reloads: 1,
            started: 1_700_000_000,
            version: "0.1.0".into(),
        };
        let master = ProcessEntry { kind: 'm', fd: -1, ..entry.clone() };
        let text = render_processes(&[master.clone(), entry.clone()]);
        assert_eq!(parse_processes(&text), [master, entry]);
        assert_eq!(parse_processes("|type=w;fd=x|garbage"), []);
    }

    #[test]
    fn a_message_carries_a_descriptor() {
        let (a, b) = message_pair().unwrap();
        let (mine, theirs) = stream_pair().unwrap();
        send(a.as_fd(), "cli admin", Some(theirs.as_fd())).unwrap();
        drop(theirs);
        let (text, fd) = receive(b.as_fd()).unwrap().unwrap();
        assert_eq!(text, "cli admin");
        nix::unistd::write(&mine, b"x").unwrap();
        let mut byte = [0];
        assert_eq!(nix::unistd::read(fd.unwrap().as_fd(), &mut byte).unwrap(), 1);
        assert_eq!(receive(b.as_fd()).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(a);
        assert!(receive(b.as_fd()).unwrap().is_none());
    }
}
