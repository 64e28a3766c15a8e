//! From the address and options of a `bind` line to sockets that listen (configuration manual, 5.1).
//!
//! An IP address gets one SO_REUSEPORT socket per thread, so that threads do not share an accept queue; a unix or
//! inherited socket is one queue that all threads accept from. Sockets handed over by an old process are taken by
//! address and identity before anything is bound ([`Inherited`]); all of them, since connections may already wait
//! in each one's queue.

mod datagram;
mod error;
mod inherit;
mod steer;
mod unix;

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use proxy_types::SockAddr;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

pub use datagram::{DatagramSocket, bind_datagram};
pub use error::{BindError, BindStep};
pub use inherit::{Identity, Inherited, SocketKind};
pub use steer::Steering;
pub use unix::UnixOwner;

use crate::addr::{raw_addr, sockaddr_of};
use crate::sockopt::{self, Buffers, Keepalive};
use crate::{netns, sys};
use unix::Staged;

/// Seconds a silent connection is held back by `defer-accept`.
const DEFER_SECONDS: i32 = 1;

/// What to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddr {
    Sock(SockAddr),
    /// `fd@N`: a socket that the parent process bound.
    Fd(i32),
}

/// One address of a `bind` line.
#[derive(Debug, Clone)]
pub struct ListenSpec {
    pub addr: ListenAddr,
    pub options: ListenOptions,
}

/// Socket options of a `bind` line.
#[derive(Debug, Clone, Default)]
pub struct ListenOptions {
    /// Connections waiting to be accepted; 0 takes 1024. The kernel caps it at `net.core.somaxconn`.
    pub backlog: u32,
    /// `v6only` (`Some(true)`), `v4v6` (`Some(false)`); otherwise as the system is set.
    pub v6only: Option<bool>,
    pub transparent: bool,
    pub interface: Option<String>,
    pub namespace: Option<String>,
    pub defer_accept: bool,
    /// `option tcp-smart-accept`: what accepted sockets receive is acknowledged with what they send.
    pub smart_accept: bool,
    /// `tcp-ss`; 0 keeps nothing.
    pub save_syn: i32,
    pub tfo: bool,
    /// `tcp-md5sig`.
    pub md5: Option<String>,
    /// Announced MSS.
    pub mss: Option<u32>,
    /// The negative form of `mss`: how much shorter segments to clients are than what they announce.
    pub mss_cut: Option<u32>,
    /// `tcp-ut`.
    pub user_timeout: Option<Duration>,
    /// `option clitcpka`: accepted sockets inherit it.
    pub keepalive: Option<Keepalive>,
    /// `tune.*.client`: accepted sockets inherit them.
    pub buffers: Buffers,
    /// `cc`.
    pub congestion: Option<String>,
    /// `noreuseport`: one socket shared by the threads.
    pub no_reuse_port: bool,
    /// `udp@`: datagrams instead of connections.
    pub datagram: bool,
    /// `mptcp@`.
    pub mptcp: bool,
    /// `mode`, `user`, `group`, `uid`, `gid` of a unix socket.
    pub owner: UnixOwner,
}

/// Sockets that are bound but, for a unix path, not yet visible. See [`Bound::publish`].
#[derive(Debug)]
pub struct Bound {
    /// The real address: with the port that the kernel chose for port 0.
    pub addr: SockAddr,
    pub identity: Identity,
    sockets: Vec<OwnedFd>,
    staged: Option<Staged>,
    backlog: i32,
    mss_cut: Option<u32>,
}

/// One listening socket of one thread.
#[derive(Debug)]
pub struct ListenSocket {
    pub(crate) fd: OwnedFd,
    pub(crate) addr: SockAddr,
    pub(crate) backlog: i32,
    pub(crate) mss_cut: Option<u32>,
}

/// Binds (or takes over) what `spec` asks for. Nothing of it is visible at a unix path before [`Bound::publish`],
/// so a start that fails half way leaves the paths of a running process alone.
pub fn bind(
    spec: &ListenSpec,
    threads: usize,
    inherited: &mut Inherited,
) -> Result<Bound, BindError> {
    let o = &spec.options;
    let backlog = i32::try_from(if o.backlog == 0 { 1024 } else { o.backlog }).unwrap_or(i32::MAX);
    match &spec.addr {
        ListenAddr::Fd(n) => bind_fd(*n, o, backlog),
        ListenAddr::Sock(addr) => {
            let identity = Identity::of_spec(addr, o);
            let taken = inherited.take(&identity);
            match addr {
                SockAddr::Inet(a) => bind_inet(*a, o, backlog, threads, identity, taken),
                SockAddr::Unix(_) | SockAddr::Abstract(_) => {
                    bind_unix(addr, o, backlog, identity, taken)
                }
            }
        }
    }
}

fn bind_inet(
    addr: SocketAddr,
    o: &ListenOptions,
    backlog: i32,
    threads: usize,
    mut identity: Identity,
    mut sockets: Vec<OwnedFd>,
) -> Result<Bound, BindError> {
    let wanted = if o.no_reuse_port { 1 } else { threads.max(1) };
    let error = |step, e| BindError::new(step, SockAddr::Inet(addr), e);
    for s in &sockets {
        // The options of the new configuration count, also on an old socket.
        set_options(&SockRef::from(s), o).map_err(|(step, e)| error(step, e))?;
        listen(&SockRef::from(s), o, backlog).map_err(|e| error(BindStep::Listen, e))?;
    }
    let mut addr = addr;
    // Port 0: all sockets take the port that the kernel gives the first one, by number, because a port that was
    // not asked for is lost when the listener pauses.
    let probe = match addr.port() {
        0 => Some(open_inet(addr, o).map_err(|(step, e)| error(step, e))?),
        _ => None,
    };
    if let Some(real) = probe.as_ref().and_then(|s| s.local_addr().ok()?.as_socket()) {
        addr.set_port(real.port());
    }
    while sockets.len() < wanted {
        let s = match open_inet(addr, o) {
            Ok(s) => s,
            // What was taken over may not be shared: the threads share it.
            Err((BindStep::Bind, e)) if is_in_use(&e) && !sockets.is_empty() => break,
            Err((step, e)) => return Err(error(step, e)),
        };
        listen(&SockRef::from(&s), o, backlog).map_err(|e| error(BindStep::Listen, e))?;
        sockets.push(s.into());
    }
    if probe.is_some() {
        // The kernel puts the last of a group where one leaves.
        drop(probe);
        sockets.rotate_right(1);
    }
    identity.addr = SockAddr::Inet(addr);
    Ok(Bound {
        addr: SockAddr::Inet(addr),
        identity,
        sockets,
        staged: None,
        backlog,
        mss_cut: o.mss_cut,
    })
}

fn is_in_use(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrInUse
}

fn listen(socket: &SockRef<'_>, o: &ListenOptions, backlog: i32) -> io::Result<()> {
    if o.datagram {
        return Ok(());
    }
    socket.listen(backlog)?;
    // Set again each time, because listening forgets it. A socket that cannot be told (unix, MPTCP) acknowledges as it
    // likes.
    let _ = socket.set_tcp_quickack(!o.smart_accept);
    Ok(())
}

fn open_inet(addr: SocketAddr, o: &ListenOptions) -> Result<Socket, (BindStep, io::Error)> {
    let (kind, protocol) = match (o.datagram, o.mptcp) {
        (true, _) => (Type::DGRAM, Protocol::UDP),
        (_, true) => (Type::STREAM, Protocol::from(libc::IPPROTO_MPTCP)),
        _ => (Type::STREAM, Protocol::TCP),
    };
    let socket = netns::within(o.namespace.as_deref(), || {
        Socket::new(Domain::for_address(addr), kind.nonblocking(), Some(protocol))
    })
    .map_err(|e| (BindStep::Socket, e))?;
    socket.set_reuse_address(true).map_err(|e| (BindStep::Option("SO_REUSEADDR"), e))?;
    if !o.no_reuse_port {
        socket.set_reuse_port(true).map_err(|e| (BindStep::Option("SO_REUSEPORT"), e))?;
    }
    if let (SocketAddr::V6(_), Some(only)) = (addr, o.v6only) {
        socket.set_only_v6(only).map_err(|e| (BindStep::Option("v6only"), e))?;
    }
    if o.transparent {
        let set = match addr {
            SocketAddr::V4(_) => socket.set_ip_transparent_v4(true),
            SocketAddr::V6(_) => socket.set_ip_transparent_v6(true),
        };
        set.map_err(|e| (BindStep::Option("transparent"), e))?;
    }
    if let Some(name) = &o.interface {
        let bound = socket.bind_device(Some(name.as_bytes()));
        bound.map_err(|e| (BindStep::Interface(name.clone()), e))?;
    }
    set_options(&SockRef::from(&socket), o)?;
    if let Some(password) = &o.md5 {
        let peer = if addr.is_ipv4() { sockopt::Md5Peer::AnyV4 } else { sockopt::Md5Peer::Any };
        sockopt::set_md5(&socket, password, peer)
            .map_err(|e| (BindStep::Option("tcp-md5sig"), e))?;
    }
    socket.bind(&addr.into()).map_err(|e| (BindStep::Bind, e))?;
    Ok(socket)
}

/// Options that may change on a socket that already listens. Accepted sockets inherit most of them, which saves
/// system calls per connection.
fn set_options(s: &SockRef<'_>, o: &ListenOptions) -> Result<(), (BindStep, io::Error)> {
    let step = |name| move |e| (BindStep::Option(name), e);
    if o.datagram {
        let buffers = Buffers { unsent: None, ..o.buffers };
        return buffers.apply(s).map_err(step("tune.rcvbuf or tune.sndbuf"));
    }
    s.set_tcp_nodelay(true).map_err(step("TCP_NODELAY"))?;
    if let Some(k) = &o.keepalive {
        k.apply(s).map_err(step("clitcpka"))?;
    }
    if let Some(mss) = o.mss {
        s.set_tcp_mss(mss).map_err(step("mss"))?;
    }
    if o.user_timeout.is_some() {
        s.set_tcp_user_timeout(o.user_timeout).map_err(step("tcp-ut"))?;
    }
    o.buffers.apply(s).map_err(step("tune.rcvbuf, tune.sndbuf or tune.notsent-lowat"))?;
    if let Some(name) = &o.congestion {
        sockopt::set_congestion(s, name);
    }
    let fd = s.as_fd();
    if o.save_syn > 0 {
        sockopt::set_save_syn(&fd, o.save_syn).map_err(step("tcp-ss"))?;
    }
    if o.defer_accept {
        sockopt::set_defer_accept(&fd, DEFER_SECONDS).map_err(step("defer-accept"))?;
    }
    if o.tfo {
        sockopt::set_fastopen(&fd, 1024).map_err(step("tfo"))?;
    }
    Ok(())
}

fn bind_unix(
    addr: &SockAddr,
    o: &ListenOptions,
    backlog: i32,
    identity: Identity,
    taken: Vec<OwnedFd>,
) -> Result<Bound, BindError> {
    let error = |step, e| BindError::new(step, addr.clone(), e);
    let (sockets, staged) = if taken.is_empty() {
        let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)
            .map_err(|e| error(BindStep::Socket, e))?;
        let staged = match addr.path() {
            Some(path) => Some(unix::stage(&socket, path, &o.owner).map_err(|(s, e)| error(s, e))?),
            None => {
                let raw = raw_addr(addr).map_err(|e| error(BindStep::Bind, e))?;
                socket.bind(&raw).map_err(|e| error(BindStep::Bind, e))?;
                None
            }
        };
        socket.listen(backlog).map_err(|e| error(BindStep::Listen, e))?;
        (vec![OwnedFd::from(socket)], staged)
    } else {
        if let Some(path) = addr.path() {
            unix::apply_owner(path, &o.owner).map_err(|(s, e)| error(s, e))?;
        }
        (taken, None)
    };
    Ok(Bound { addr: addr.clone(), identity, sockets, staged, backlog, mss_cut: None })
}

fn bind_fd(n: i32, o: &ListenOptions, backlog: i32) -> Result<Bound, BindError> {
    let error = |step, e| BindError::inherited(step, n, e);
    let fd = sys::adopt(n).map_err(|e| error(BindStep::Socket, e))?;
    let socket = SockRef::from(&fd);
    let addr = socket
        .local_addr()
        .and_then(|a| sockaddr_of(&a))
        .map_err(|e| error(BindStep::Socket, e))?;
    if socket.r#type().ok() != Some(Type::STREAM) {
        return Err(error(BindStep::Socket, io::Error::other("not a stream socket")));
    }
    socket.set_nonblocking(true).map_err(|e| error(BindStep::Option("O_NONBLOCK"), e))?;
    if addr.inet().is_some() {
        set_options(&socket, o).map_err(|(s, e)| error(s, e))?;
    }
    listen(&socket, o, backlog).map_err(|e| error(BindStep::Listen, e))?;
    let identity = Identity::of_spec(&addr, o);
    Ok(Bound { addr, identity, sockets: vec![fd], staged: None, backlog, mss_cut: o.mss_cut })
}

impl Bound {
    /// Makes a unix socket visible at its path, replacing atomically what was there. Call it once everything else
    /// is bound.
    pub fn publish(&mut self) -> Result<(), BindError> {
        match self.staged.take() {
            None => Ok(()),
            Some(s) => {
                s.publish().map_err(|e| BindError::new(BindStep::Rename, self.addr.clone(), e))
            }
        }
    }

    /// Lets no new connection come to any of several sockets but the first, until what is returned is dropped: after
    /// the others were closed, or what came to them in between would be reset. `None` for a single socket, and where
    /// another process listens at the address with a socket of its own, which then gets what comes.
    #[must_use]
    pub fn steer_to_first(&self) -> Option<Steering> {
        Steering::begin(&self.addr, &self.sockets)
    }

    /// Descriptors to hand to the next process.
    pub fn sockets(&self) -> &[OwnedFd] {
        &self.sockets
    }

    /// One list of sockets per thread. Every queue is served: with more sockets than threads some thread gets
    /// several, with fewer they are shared.
    ///
    /// # Errors
    /// When a descriptor cannot be duplicated (EMFILE).
    pub fn for_threads(&self, threads: usize) -> io::Result<Vec<Vec<ListenSocket>>> {
        let mut out: Vec<Vec<ListenSocket>> = (0..threads).map(|_| Vec::new()).collect();
        // Two threads that read one datagram socket would each have a part of a flow.
        let shared = if self.identity.kind == SocketKind::Datagram { 0 } else { threads };
        for i in 0..self.sockets.len().max(shared) {
            out[i % threads].push(ListenSocket {
                fd: self.sockets[i % self.sockets.len()].try_clone()?,
                addr: self.addr.clone(),
                backlog: self.backlog,
                mss_cut: self.mss_cut,
            });
        }
        Ok(out)
    }
}

impl ListenSocket {
    /// Takes over a listening socket made elsewhere (a test, a socketpair's accept side).
    pub fn from_fd(fd: OwnedFd) -> io::Result<Self> {
        let socket = SockRef::from(&fd);
        socket.set_nonblocking(true)?;
        let addr = sockaddr_of(&socket.local_addr()?)?;
        Ok(Self { fd, addr, backlog: 1024, mss_cut: None })
    }

    pub fn addr(&self) -> &SockAddr {
        &self.addr
    }
}

#[cfg(test)]
mod tests;
