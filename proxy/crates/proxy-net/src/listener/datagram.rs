//! Sockets that receive datagrams (configuration manual, 12.6 "dgram-bind").

use std::net::{SocketAddr, UdpSocket};

use proxy_types::SockAddr;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::{BindError, BindStep, Identity, Inherited, ListenOptions, SocketKind};
use crate::netns;

/// A bound socket that does not block, and what makes it interchangeable.
#[derive(Debug)]
pub struct DatagramSocket {
    pub identity: Identity,
    pub socket: UdpSocket,
}

/// Binds (or takes over) a socket for datagrams: one that is handed over loses none of those that wait in it.
///
/// # Errors
/// The step that failed.
pub fn bind_datagram(
    addr: SocketAddr,
    o: &ListenOptions,
    inherited: &mut Inherited,
) -> Result<DatagramSocket, BindError> {
    let of_stream = Identity::of_spec(&SockAddr::Inet(addr), o);
    let identity = Identity { kind: SocketKind::Datagram, ..of_stream };
    let error = |step, e| BindError::new(step, SockAddr::Inet(addr), e);
    if let Some(fd) = inherited.take(&identity).pop() {
        return Ok(DatagramSocket { identity, socket: fd.into() });
    }
    let socket = netns::within(o.namespace.as_deref(), || {
        Socket::new(Domain::for_address(addr), Type::DGRAM.nonblocking(), Some(Protocol::UDP))
    })
    .map_err(|e| error(BindStep::Socket, e))?;
    if let (SocketAddr::V6(_), Some(only)) = (addr, o.v6only) {
        socket.set_only_v6(only).map_err(|e| error(BindStep::Option("v6only"), e))?;
    }
    if o.transparent {
        let set = match addr {
            SocketAddr::V4(_) => socket.set_ip_transparent_v4(true),
            SocketAddr::V6(_) => socket.set_ip_transparent_v6(true),
        };
        set.map_err(|e| error(BindStep::Option("transparent"), e))?;
    }
    if let Some(name) = &o.interface {
        let bound = socket.bind_device(Some(name.as_bytes()));
        bound.map_err(|e| error(BindStep::Interface(name.clone()), e))?;
    }
    o.buffers
        .apply(&SockRef::from(&socket))
        .map_err(|e| error(BindStep::Option("tune.rcvbuf.frontend or tune.sndbuf.frontend"), e))?;
    socket.bind(&addr.into()).map_err(|e| error(BindStep::Bind, e))?;
    Ok(DatagramSocket { identity, socket: socket.into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sockopt::Buffers;

    #[test]
    fn what_waits_in_a_socket_is_handed_over() {
        let free = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let options = ListenOptions::default();
        let old = bind_datagram(free, &options, &mut Inherited::none()).unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        sender.send_to(b"waits", free).unwrap();
        let again = bind_datagram(free, &options, &mut Inherited::none()).unwrap_err();
        assert!(again.is_in_use(), "{again}");
        let mut inherited = Inherited::none();
        inherited.add(old.identity, old.socket.into());
        let new = bind_datagram(free, &options, &mut inherited).unwrap();
        let mut buffer = [0; 10];
        assert_eq!(new.socket.recv(&mut buffer).unwrap(), 5);
    }

    #[test]
    fn buffers_are_as_asked_for() {
        let buffers = Buffers { receive: Some(65_536), send: Some(32_768), unsent: None };
        let options = ListenOptions { buffers, ..ListenOptions::default() };
        let bound = bind_datagram("127.0.0.1:0".parse().unwrap(), &options, &mut Inherited::none());
        let socket = bound.unwrap().socket;
        let socket = SockRef::from(&socket);
        // The kernel doubles what is asked for.
        assert_eq!(socket.recv_buffer_size().unwrap(), 131_072);
        assert_eq!(socket.send_buffer_size().unwrap(), 65_536);
    }
}
