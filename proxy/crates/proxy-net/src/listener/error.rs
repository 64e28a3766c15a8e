//! Why an address cannot be listened on, in HAProxy's words plus what to do about it.

use std::fmt;
use std::io;

use nix::errno::Errno;
use proxy_types::SockAddr;

use crate::connect::describe;

/// The step that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BindStep {
    Socket,
    Option(&'static str),
    Interface(String),
    Bind,
    Listen,
    /// Owner or mode of a unix socket.
    Permissions,
    /// Moving a unix socket to its path.
    Rename,
    /// `thread` names none of the threads.
    Threads,
}

/// A `bind` line that could not be turned into sockets.
#[derive(Debug)]
pub struct BindError {
    pub step: BindStep,
    /// The address as in messages: `127.0.0.1:80`, `/run/x.sock`, `fd@3`.
    pub addr: String,
    pub cause: io::Error,
    unix: bool,
}

impl BindError {
    pub(super) fn new(step: BindStep, addr: SockAddr, cause: io::Error) -> Self {
        let unix = addr.inet().is_none();
        Self { step, addr: addr.for_messages().to_string(), cause, unix }
    }

    pub(super) fn inherited(step: BindStep, fd: i32, cause: io::Error) -> Self {
        Self { step, addr: format!("fd@{fd}"), cause, unix: false }
    }

    /// No thread of the process is one of those that the line names.
    pub fn no_thread(addr: String) -> Self {
        let cause = io::Error::other("no such thread");
        Self { step: BindStep::Threads, addr, cause, unix: false }
    }

    /// Whether another process listens there, so that asking it to pause and trying again may help.
    pub fn is_in_use(&self) -> bool {
        self.errno() == Some(Errno::EADDRINUSE)
    }

    fn errno(&self) -> Option<Errno> {
        self.cause.raw_os_error().map(Errno::from_raw)
    }

    /// What to do about it; `None` when the error says it all.
    pub fn hint(&self) -> Option<&'static str> {
        match (&self.step, self.errno()?) {
            (BindStep::Bind, Errno::EADDRINUSE) => {
                Some("another process listens there: 'ss -ltnp' shows which")
            }
            (BindStep::Bind, Errno::EADDRNOTAVAIL) => {
                Some("no interface has this address: add it, or use 'transparent'")
            }
            (BindStep::Bind, Errno::EACCES) if !self.unix => Some(
                "ports below net.ipv4.ip_unprivileged_port_start need root or CAP_NET_BIND_SERVICE",
            ),
            (BindStep::Option("transparent"), Errno::EPERM) => {
                Some("'transparent' needs root or CAP_NET_ADMIN")
            }
            (BindStep::Interface(_), Errno::EPERM) => Some("'interface' needs root or CAP_NET_RAW"),
            (BindStep::Socket, Errno::EMFILE) => Some("raise 'ulimit-n' or lower 'maxconn'"),
            (BindStep::Socket, Errno::EAFNOSUPPORT) => Some("the system has no IPv6"),
            (BindStep::Bind, Errno::ENOENT) if self.unix => Some("the directory does not exist"),
            (BindStep::Bind, Errno::EACCES) if self.unix => Some("the directory is not writable"),
            _ => None,
        }
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.unix { "UNIX " } else { "" };
        match &self.step {
            BindStep::Socket => write!(f, "cannot create {kind}listening socket")?,
            BindStep::Option(name) => write!(f, "cannot set '{name}'")?,
            BindStep::Interface(name) => write!(f, "cannot bind to device '{name}'")?,
            BindStep::Bind => write!(f, "cannot bind {kind}socket")?,
            BindStep::Listen => write!(f, "cannot listen to {kind}socket")?,
            BindStep::Permissions => write!(f, "cannot change {kind}socket ownership")?,
            BindStep::Threads => write!(f, "'thread' names no thread of this process")?,
            BindStep::Rename => write!(f, "cannot switch final and temporary {kind}sockets")?,
        }
        write!(f, " ({})", describe(&self.cause))?;
        if self.unix { write!(f, " [{}]", self.addr) } else { write!(f, " for [{}]", self.addr) }
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}
