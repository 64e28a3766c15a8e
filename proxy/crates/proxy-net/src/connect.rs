//! Connecting to servers: options, source address, deadline, and errors sorted by what the retry logic and the
//! termination code need to know.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use nix::errno::Errno;
use proxy_types::SockAddr;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::Interest;

use crate::sockopt::{self, Buffers, Keepalive};
use crate::timer::Timer;
use crate::{Stream, addr, netns};

/// How to reach a server: one per server line, shared by its connections.
#[derive(Debug, Clone, Default)]
pub struct ConnectOptions {
    /// `source addr[:port]`.
    pub source: Option<SocketAddr>,
    /// `source ... interface`.
    pub interface: Option<String>,
    /// `option srvtcpka`.
    pub keepalive: Option<Keepalive>,
    /// `mss`.
    pub mss: Option<u32>,
    /// `tcp-ut`.
    pub user_timeout: Option<Duration>,
    /// `tfo`.
    pub fastopen: bool,
    /// `option tcp-smart-connect`: the ACK of the handshake travels with the first data.
    pub smart_connect: bool,
    /// `namespace`.
    pub namespace: Option<String>,
    /// `usesrc`: the source address belongs to somebody else.
    pub transparent: bool,
    /// `tune.*.server`.
    pub buffers: Buffers,
    /// `cc`.
    pub congestion: Option<String>,
    /// `tcp-md5sig`.
    pub md5: Option<String>,
    /// The mark that netfilter sees; needs rights.
    pub mark: Option<u32>,
    /// The type of service, or traffic class.
    pub tos: Option<u8>,
}

/// What kind of failure a connect met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConnectFailure {
    /// Nobody listens (RST): ECONNREFUSED, ECONNRESET, a unix path without listener.
    Refused,
    /// No way there: EHOSTUNREACH, ENETUNREACH, EHOSTDOWN, ENONET.
    Unreachable,
    /// No answer within the deadline, or the kernel's own (ETIMEDOUT).
    Timeout,
    /// No source port or address left: EADDRNOTAVAIL, EADDRINUSE; a unix backlog that is full: EAGAIN.
    Exhausted,
    /// This process or system is out of something: EMFILE, ENFILE, ENOMEM, ENOBUFS.
    Resource,
    /// A socket option or the namespace could not be set, an address that cannot be used, EACCES, EPERM.
    Local,
}

/// A connect that did not succeed.
#[derive(Debug)]
pub struct ConnectError {
    pub failure: ConnectFailure,
    /// The system's error; `None` when our own deadline passed.
    pub cause: Option<io::Error>,
}

impl ConnectError {
    fn timeout() -> Self {
        Self { failure: ConnectFailure::Timeout, cause: None }
    }

    /// Whether trying again, here or elsewhere, may help. A lack of local resources will not go away by retrying.
    pub fn is_retryable(&self) -> bool {
        !matches!(self.failure, ConnectFailure::Resource | ConnectFailure::Local)
    }
}

impl From<io::Error> for ConnectError {
    fn from(e: io::Error) -> Self {
        use ConnectFailure::*;
        let failure = match e.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ECONNREFUSED | Errno::ECONNRESET | Errno::ENOENT | Errno::EPIPE) => Refused,
            Some(
                Errno::EHOSTUNREACH
                | Errno::ENETUNREACH
                | Errno::EHOSTDOWN
                | Errno::ENONET
                | Errno::ENETDOWN,
            ) => Unreachable,
            Some(Errno::ETIMEDOUT) => Timeout,
            Some(Errno::EADDRNOTAVAIL | Errno::EADDRINUSE | Errno::EAGAIN) => Exhausted,
            Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM | Errno::ENOBUFS) => Resource,
            _ => Local,
        };
        Self { failure, cause: Some(e) }
    }
}

impl fmt::Display for ConnectError {
    /// The system's words, as check results and logs quote them: `Connection refused`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            None => f.write_str("timeout"),
            Some(e) => f.write_str(&describe(e)),
        }
    }
}

impl std::error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_ref().map(|e| e as _)
    }
}

/// The C library's text for an error, without Rust's "(os error N)".
pub fn describe(e: &io::Error) -> String {
    let text = e.to_string();
    match e.raw_os_error().and_then(|n| text.strip_suffix(&format!(" (os error {n})"))) {
        Some(words) => words.to_owned(),
        None => text,
    }
}

/// Connects within `limit` (`None`: as long as the kernel tries).
pub async fn connect(
    to: &SockAddr,
    options: &ConnectOptions,
    limit: Option<Duration>,
) -> Result<Stream, ConnectError> {
    let stream = start(to, options)?;
    let timer = Timer::new();
    timer.arm(limit);
    finish(stream, &timer).await
}

/// The same with the caller's timer, which must be armed already.
pub async fn connect_with_timer(
    to: &SockAddr,
    options: &ConnectOptions,
    timer: &Timer,
) -> Result<Stream, ConnectError> {
    finish(start(to, options)?, timer).await
}

/// Sends the SYN (or connects a unix socket at once).
fn start(to: &SockAddr, options: &ConnectOptions) -> Result<Stream, ConnectError> {
    let socket = open(to, options)?;
    match socket.connect(&addr::raw_addr(to)?) {
        Ok(()) => {}
        Err(e) if e.raw_os_error() == Some(libc::EINPROGRESS) => {}
        Err(e) => return Err(e.into()),
    }
    Ok(Stream::from_nonblocking(OwnedFd::from(socket)))
}

fn open(to: &SockAddr, options: &ConnectOptions) -> io::Result<Socket> {
    let SockAddr::Inet(addr) = to else {
        return Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None);
    };
    let socket = netns::within(options.namespace.as_deref(), || {
        Socket::new(Domain::for_address(*addr), Type::STREAM.nonblocking(), Some(Protocol::TCP))
    })?;
    socket.set_tcp_nodelay(true)?;
    if let Some(k) = &options.keepalive {
        k.apply(&SockRef::from(&socket))?;
    }
    if let Some(mss) = options.mss {
        sockopt::set_mss(&socket, mss)?;
    }
    if options.user_timeout.is_some() {
        socket.set_tcp_user_timeout(options.user_timeout)?;
    }
    if options.fastopen {
        sockopt::set_fastopen_connect(&socket)?;
    }
    if options.smart_connect {
        socket.set_tcp_quickack(false)?;
    }
    options.buffers.apply(&SockRef::from(&socket))?;
    if let Some(name) = &options.congestion {
        sockopt::set_congestion(&SockRef::from(&socket), name);
    }
    if let Some(password) = &options.md5 {
        sockopt::set_md5(&socket, password, sockopt::Md5Peer::Only(addr.ip()))?;
    }
    if let Some(mark) = options.mark {
        sockopt::set_mark(&socket, mark);
    }
    if let Some(tos) = options.tos {
        sockopt::set_tos(&socket, tos);
    }
    options.bind_side(&socket)?;
    Ok(socket)
}

impl ConnectOptions {
    /// Binds our side of a socket: the interface and the source address.
    pub(crate) fn bind_side(&self, socket: &Socket) -> io::Result<()> {
        if let Some(name) = &self.interface {
            socket.bind_device(Some(name.as_bytes()))?;
        }
        if let Some(source) = self.source {
            if self.transparent {
                match source {
                    SocketAddr::V4(_) => socket.set_ip_transparent_v4(true)?,
                    SocketAddr::V6(_) => socket.set_ip_transparent_v6(true)?,
                }
            }
            if source.port() == 0 {
                sockopt::set_bind_address_no_port(socket)?;
            } else {
                socket.set_reuse_address(true)?;
            }
            socket.bind(&source.into())?;
        }
        Ok(())
    }
}

async fn finish(stream: Stream, timer: &Timer) -> Result<Stream, ConnectError> {
    let ready = match timer.guard(stream.ready(Interest::WRITABLE)).await {
        Err(_) => return Err(ConnectError::timeout()),
        Ok(ready) => ready?,
    };
    // A failed connect has come to its end, too: only then is there an error to ask for.
    match ready.is_write_closed().then(|| stream.take_error()).transpose()?.flatten() {
        Some(e) => Err(e.into()),
        None => Ok(stream),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn local<F: Future>(f: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build_local(Default::default())
            .unwrap()
            .block_on(f)
    }

    const SECOND: Option<Duration> = Some(Duration::from_secs(1));

    #[test]
    fn a_listener_is_reached_from_the_given_source() {
        local(async {
            let l = TcpListener::bind("127.0.0.1:0").unwrap();
            let to = l.local_addr().unwrap().into();
            let options = ConnectOptions {
                source: Some("127.0.0.9:0".parse().unwrap()),
                keepalive: Some(Keepalive { idle: SECOND, ..Keepalive::default() }),
                smart_connect: true,
                ..ConnectOptions::default()
            };
            let s = connect(&to, &options, SECOND).await.unwrap();
            let (_, peer) = l.accept().unwrap();
            assert_eq!(peer.ip().to_string(), "127.0.0.9");
            assert_eq!(s.local_addr(), Some(peer));
        });
    }

    #[track_caller]
    fn fails(to: SockAddr, limit: Duration, failure: ConnectFailure, text: &str) {
        let e = local(async {
            connect(&to, &ConnectOptions::default(), Some(limit)).await.map(drop).unwrap_err()
        });
        assert_eq!((e.failure, e.to_string().as_str()), (failure, text), "{to:?}");
    }

    #[test]
    fn failures_are_told_apart() {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let second = Duration::from_secs(1);
        fails(closed.into(), second, ConnectFailure::Refused, "Connection refused");
        fails(
            SockAddr::Unix("/nonexistent".into()),
            second,
            ConnectFailure::Refused,
            "No such file or directory",
        );
        // A backlog of zero holds one connection; the kernel drops the SYN of the next one.
        let full = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        full.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
        full.listen(0).unwrap();
        let addr = full.local_addr().unwrap().as_socket().unwrap();
        let _first = std::net::TcpStream::connect(addr).unwrap();
        fails(addr.into(), Duration::from_millis(30), ConnectFailure::Timeout, "timeout");
    }
}
