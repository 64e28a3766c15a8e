//! Datagram sockets of mode udp: those that clients send to, and one for each flow towards its server.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;

use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt,
    sockopt as options,
};
use socket2::{Domain, SockRef, Socket, Type};
use tokio::io::unix::AsyncFd;
use tokio::net::UdpSocket;

use crate::accept::{Listening, Switch};
use crate::connect::ConnectOptions;
use crate::listener::ListenSocket;
use crate::stop::{Phase, Stop};
use crate::{netns, sys};

/// The longest datagram, and some more.
const LONGEST: usize = 1 << 16;
/// Room for one address of either family.
const CONTROL: usize = 128;

/// A datagram of a client.
#[derive(Debug, Clone, Copy)]
pub struct Received<'a> {
    pub data: &'a [u8],
    pub client: SocketAddr,
    /// The address it was sent to, where the socket listens on all of them.
    pub local: Option<IpAddr>,
}

/// Takes datagrams. Must not block.
pub trait Receiver {
    fn received(&self, datagram: Received<'_>);
    /// The socket cannot be read from.
    fn failed(&self, error: &io::Error);
}

/// A socket that clients send to. Shared by the flows of a thread.
#[derive(Debug)]
pub struct Door {
    io: AsyncFd<OwnedFd>,
    v6: bool,
    /// Answers must say which address they come from.
    wildcard: bool,
}

impl Door {
    /// Registers a bound socket with the reactor of this thread.
    ///
    /// # Errors
    /// Those of the system calls.
    pub fn open(socket: ListenSocket) -> io::Result<Self> {
        let ListenSocket { fd, addr, .. } = socket;
        let inet = addr.inet().ok_or_else(|| io::Error::other("datagrams need an IP address"))?;
        let wildcard = inet.ip().is_unspecified();
        if wildcard {
            if inet.is_ipv6() {
                setsockopt(&fd, options::Ipv6RecvPacketInfo, &true)?;
            } else {
                setsockopt(&fd, options::Ipv4PacketInfo, &true)?;
            }
        }
        Ok(Self { io: sys::register(fd)?, v6: inet.is_ipv6(), wildcard })
    }

    /// Sends a datagram to a client from the address it had sent to. A full buffer loses it, as the network may.
    ///
    /// # Errors
    /// Those of sendmsg(2).
    pub fn send(&self, data: &[u8], client: SocketAddr, from: Option<IpAddr>) -> io::Result<()> {
        let fd = self.io.get_ref().as_raw_fd();
        let iov = [IoSlice::new(data)];
        let to = SockaddrStorage::from(client);
        let flags = MsgFlags::MSG_DONTWAIT;
        let sent = match from {
            Some(IpAddr::V4(ip)) if !self.v6 => {
                let info = libc::in_pktinfo {
                    ipi_ifindex: 0,
                    ipi_spec_dst: libc::in_addr { s_addr: u32::from(ip).to_be() },
                    ipi_addr: libc::in_addr { s_addr: 0 },
                };
                sendmsg(fd, &iov, &[ControlMessage::Ipv4PacketInfo(&info)], flags, Some(&to))
            }
            Some(ip) if self.v6 => {
                let ip = match ip {
                    IpAddr::V4(ip) => ip.to_ipv6_mapped(),
                    IpAddr::V6(ip) => ip,
                };
                let info = libc::in6_pktinfo {
                    ipi6_addr: libc::in6_addr { s6_addr: ip.octets() },
                    ipi6_ifindex: 0,
                };
                sendmsg(fd, &iov, &[ControlMessage::Ipv6PacketInfo(&info)], flags, Some(&to))
            }
            _ => sendmsg(fd, &iov, &[], flags, Some(&to)),
        };
        sent.map(drop).map_err(io::Error::from)
    }

    fn receive(&self, data: &mut [u8], control: &mut [u8]) -> io::Result<Arrived> {
        let mut iov = [IoSliceMut::new(data)];
        let control = self.wildcard.then_some(control);
        let fd = self.io.get_ref().as_raw_fd();
        let message = recvmsg::<SockaddrStorage>(fd, &mut iov, control, MsgFlags::MSG_DONTWAIT)?;
        let client = message.address.as_ref().and_then(socket_addr);
        let mut local = None;
        if self.wildcard {
            for control in message.cmsgs()? {
                match control {
                    ControlMessageOwned::Ipv4PacketInfo(info) => {
                        local = Some(IpAddr::from(info.ipi_addr.s_addr.to_ne_bytes()));
                    }
                    ControlMessageOwned::Ipv6PacketInfo(info) => {
                        local = Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).into());
                    }
                    _ => {}
                }
            }
        }
        let client = client.ok_or_else(|| io::Error::other("a datagram of no IP address"))?;
        Ok(Arrived { len: message.bytes, client, local })
    }
}

struct Arrived {
    len: usize,
    client: SocketAddr,
    local: Option<IpAddr>,
}

fn socket_addr(storage: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = storage.as_sockaddr_in() {
        return Some(SocketAddr::new(v4.ip().into(), v4.port()));
    }
    storage.as_sockaddr_in6().map(|v6| {
        std::net::SocketAddrV6::new(v6.ip(), v6.port(), v6.flowinfo(), v6.scope_id()).into()
    })
}

/// Hands over what comes in until the soft stop or until the switch closes the socket; at most `batch` datagrams are
/// taken before other tasks run. While the switch is off, they are thrown away.
///
/// # Errors
/// When the reactor gives the socket up.
pub async fn run(
    door: Rc<Door>,
    receiver: Rc<dyn Receiver>,
    switch: Switch,
    stop: Stop,
    batch: usize,
) -> io::Result<()> {
    let mut data = vec![0; LONGEST];
    let mut control = vec![0; CONTROL];
    loop {
        if switch.get() == Listening::Closed {
            return Ok(());
        }
        let mut ready = tokio::select! {
            biased;
            () = stop.reached(Phase::Draining) => return Ok(()),
            () = switch.closed() => return Ok(()),
            ready = door.io.readable() => ready?,
        };
        for _ in 0..batch.max(1) {
            match ready.try_io(|_| door.receive(&mut data, &mut control)) {
                Err(_would_block) => break,
                Ok(Ok(_)) if switch.get() == Listening::Paused => {}
                Ok(Ok(Arrived { len, client, local })) => {
                    receiver.received(Received { data: &data[..len], client, local });
                }
                // What an answer met on its way (ICMP) is said to the next call.
                Ok(Err(error)) if is_of_one_datagram(&error) => {}
                Ok(Err(error)) => {
                    receiver.failed(&error);
                    break;
                }
            }
        }
        drop(ready);
        tokio::task::yield_now().await;
    }
}

/// Errors that concern one datagram or one peer, not the socket (ip(7), udp(7)).
fn is_of_one_datagram(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNREFUSED
                | libc::EHOSTUNREACH
                | libc::ENETUNREACH
                | libc::EMSGSIZE
                | libc::EPERM
                | libc::EINTR
        )
    )
}

/// A socket of one flow, towards its server.
///
/// # Errors
/// When it cannot be made, or there is no way to the server.
pub fn connect(to: SocketAddr, how: &ConnectOptions) -> io::Result<UdpSocket> {
    let socket = netns::within(how.namespace.as_deref(), || {
        Socket::new(Domain::for_address(to), Type::DGRAM.nonblocking().cloexec(), None)
    })?;
    how.buffers.apply(&SockRef::from(&socket))?;
    how.bind_side(&socket)?;
    socket.connect(&to.into())?;
    UdpSocket::from_std(socket.into())
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::time::Duration;

    use super::*;
    use crate::listener::{Inherited, ListenAddr, ListenOptions, ListenSpec, bind};
    use crate::stop::StopSource;

    /// Sends everything back.
    struct Echo(Rc<Door>, RefCell<Vec<Option<IpAddr>>>);

    impl Receiver for Echo {
        fn received(&self, datagram: Received<'_>) {
            let Received { data, client, local } = datagram;
            self.1.borrow_mut().push(local);
            self.0.send(data, client, local).unwrap();
        }
        fn failed(&self, error: &io::Error) {
            panic!("{error}");
        }
    }

    fn listen(addr: &str) -> ListenSocket {
        let spec = ListenSpec {
            addr: ListenAddr::Sock(addr.parse::<SocketAddr>().unwrap().into()),
            options: ListenOptions { datagram: true, ..ListenOptions::default() },
        };
        let bound = bind(&spec, 1, &mut Inherited::none()).unwrap();
        bound.for_threads(1).unwrap().remove(0).remove(0)
    }

    /// A client connected to one of many addresses of a host only takes answers from there.
    #[track_caller]
    fn check(listens: &str, asks: &str) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, async {
            let socket = listen(listens);
            let port = socket.addr().port().unwrap();
            let stop = StopSource::new();
            let door = Rc::new(Door::open(socket).unwrap());
            let echo = Rc::new(Echo(door.clone(), RefCell::default()));
            let task =
                tokio::task::spawn_local(run(door, echo.clone(), Switch::new(), stop.handle(), 8));
            let asks: SocketAddr = format!("{asks}:{port}").parse().unwrap();
            let client = connect(asks, &ConnectOptions::default()).unwrap();
            client.send(b"ask").await.unwrap();
            let mut data = [0; 16];
            let answer = tokio::time::timeout(Duration::from_secs(10), client.recv(&mut data));
            assert_eq!(answer.await.unwrap().unwrap(), 3, "{listens}");
            assert_eq!(&data[..3], b"ask");
            let wildcard = listens.starts_with("0.0.0.0") || listens.starts_with("[::]");
            assert_eq!(echo.1.borrow()[0].is_some(), wildcard);
            stop.drain();
            task.await.unwrap().unwrap();
        });
    }

    #[test]
    fn answers_come_from_where_was_asked() {
        check("127.0.0.1:0", "127.0.0.1");
        check("0.0.0.0:0", "127.0.0.7");
        check("[::1]:0", "[::1]");
        check("[::]:0", "[::1]");
        check("[::]:0", "127.0.0.9");
    }
}
