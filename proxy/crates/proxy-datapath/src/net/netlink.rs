//! One blocking request to the kernel's network configuration at a time, in the network namespace
//! of the calling thread.

use std::fmt::Debug;
use std::io;

use netlink_packet_core::{
    DecodeError, Emitable, NLM_F_DUMP, NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader,
    NetlinkMessage, NetlinkPayload, NetlinkSerializable, NlasIterator, ParseableParametrized,
};
use netlink_packet_generic::ctrl::nlas::GenlCtrlAttrs;
use netlink_packet_generic::ctrl::{GenlCtrl, GenlCtrlCmd};
use netlink_packet_generic::{GenlFamily, GenlHeader, GenlMessage};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::protocols::{NETLINK_GENERIC, NETLINK_ROUTE};
use netlink_sys::{Socket, SocketAddr};
use rustc_hash::FxHashMap;

/// The kernel's network configuration could not be read.
#[derive(Debug, thiserror::Error)]
#[error("reading the network configuration ({what}): {error}")]
pub struct NetlinkError {
    what: &'static str,
    #[source]
    error: io::Error,
}

impl NetlinkError {
    /// The kernel's errno, when it gave one.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        self.error.raw_os_error()
    }
}

pub(super) struct RouteSocket(Connection);

impl RouteSocket {
    pub(super) fn open() -> Result<Self, NetlinkError> {
        Connection::open(NETLINK_ROUTE)
            .map(Self)
            .map_err(|error| NetlinkError { what: "socket", error })
    }

    /// All answers to a dump request.
    pub(super) fn dump(
        &mut self,
        what: &'static str,
        request: RouteNetlinkMessage,
    ) -> Result<Vec<RouteNetlinkMessage>, NetlinkError> {
        self.0
            .request(request, NLM_F_REQUEST | NLM_F_DUMP)
            .map_err(|error| NetlinkError { what, error })
    }

    /// The one answer to a question.
    pub(super) fn ask(
        &mut self,
        what: &'static str,
        request: RouteNetlinkMessage,
    ) -> Result<RouteNetlinkMessage, NetlinkError> {
        self.0
            .request(request, NLM_F_REQUEST)
            .and_then(|mut answers| {
                answers.pop().ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
            })
            .map_err(|error| NetlinkError { what, error })
    }
}

struct Connection {
    socket: Socket,
    sequence: u32,
}

impl Connection {
    fn open(protocol: isize) -> io::Result<Self> {
        let mut socket = Socket::new(protocol)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self { socket, sequence: 0 })
    }

    fn request<T>(&mut self, request: T, flags: u16) -> io::Result<Vec<T>>
    where
        T: NetlinkSerializable + NetlinkDeserializable + Debug,
    {
        self.sequence += 1;
        let mut header = NetlinkHeader::default();
        header.flags = flags;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(request));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;
        self.answers(flags & NLM_F_DUMP == NLM_F_DUMP)
    }

    fn answers<T: NetlinkDeserializable>(&mut self, many: bool) -> io::Result<Vec<T>> {
        let mut answers = Vec::new();
        loop {
            let (datagram, _) = self.socket.recv_from_full()?;
            let mut rest = datagram.as_slice();
            while rest.len() >= 16 {
                let message = NetlinkMessage::<T>::deserialize(rest).map_err(invalid)?;
                let step = (message.header.length as usize).next_multiple_of(4).max(16);
                rest = rest.get(step..).unwrap_or_default();
                if message.header.sequence_number != self.sequence {
                    continue;
                }
                match message.payload {
                    NetlinkPayload::Done(_) => return Ok(answers),
                    NetlinkPayload::Error(error) if error.code.is_some() => {
                        return Err(error.to_io());
                    }
                    NetlinkPayload::InnerMessage(inner) => answers.push(inner),
                    _ => {}
                }
            }
            if !many {
                return Ok(answers);
            }
        }
    }
}

fn invalid(error: DecodeError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}

/// What each driver can do with XDP (`NETDEV_A_DEV_XDP_FEATURES`), by interface index; `None` on
/// kernels that do not tell (before Linux 6.3).
pub(super) fn xdp_features() -> Option<FxHashMap<u32, u64>> {
    let mut connection = Connection::open(NETLINK_GENERIC).ok()?;
    let mut ask = GenlMessage::from_payload(GenlCtrl {
        cmd: GenlCtrlCmd::GetFamily,
        nlas: vec![GenlCtrlAttrs::FamilyName(NetdevGet::family_name().to_owned())],
    });
    ask.set_resolved_family_id(0);
    let family = connection.request(ask, NLM_F_REQUEST).ok()?.into_iter().find_map(|answer| {
        answer.payload.nlas.into_iter().find_map(|nla| match nla {
            GenlCtrlAttrs::FamilyId(id) => Some(id),
            _ => None,
        })
    })?;
    let mut ask = GenlMessage::from_payload(NetdevGet::default());
    ask.set_resolved_family_id(family);
    let devices = connection.request(ask, NLM_F_REQUEST | NLM_F_DUMP).ok()?;
    Some(devices.into_iter().map(|d| (d.payload.ifindex, d.payload.xdp_features)).collect())
}

/// `NETDEV_CMD_DEV_GET` of the generic netlink family `netdev`
/// (`Documentation/netlink/specs/netdev.yaml`).
#[derive(Debug, Clone, Default)]
struct NetdevGet {
    ifindex: u32,
    xdp_features: u64,
}

impl NetdevGet {
    const COMMAND: u8 = 1;
    const ATTR_IFINDEX: u16 = 1;
    const ATTR_XDP_FEATURES: u16 = 3;
}

impl GenlFamily for NetdevGet {
    fn family_name() -> &'static str {
        "netdev"
    }

    fn command(&self) -> u8 {
        Self::COMMAND
    }

    fn version(&self) -> u8 {
        1
    }
}

impl Emitable for NetdevGet {
    fn buffer_len(&self) -> usize {
        0
    }

    fn emit(&self, _: &mut [u8]) {}
}

impl ParseableParametrized<[u8], GenlHeader> for NetdevGet {
    fn parse_with_param(bytes: &[u8], _: GenlHeader) -> Result<Self, DecodeError> {
        let mut device = Self::default();
        for nla in NlasIterator::new(bytes) {
            let nla = nla?;
            match nla.kind() {
                Self::ATTR_IFINDEX => device.ifindex = netlink_packet_core::parse_u32(nla.value())?,
                Self::ATTR_XDP_FEATURES => {
                    device.xdp_features = netlink_packet_core::parse_u64(nla.value())?;
                }
                _ => {}
            }
        }
        Ok(device)
    }
}
