//! Records for log lines.

use crate::FlowKey;

/// How a connection ended.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum EndReason {
    /// FINs of both sides, the client's first.
    ClientFin = 1,
    /// FINs of both sides, the server's first.
    ServerFin = 2,
    /// RST from the client.
    ClientReset = 3,
    /// RST from the server; before the handshake was completed: refused.
    ServerReset = 4,
    /// Idle for longer than its timeout.
    Idle = 5,
    /// Displaced half-open, by the flood or because nothing answered.
    Embryonic = 6,
    /// Ended by the administrator or because its server went down.
    Killed = 7,
    /// A new SYN came on the same addresses and ports before the old connection had ended.
    Replaced = 8,
    /// The server has sent as many datagrams as it was to ([`ServiceEntry::responses`](crate::ServiceEntry)).
    Answered = 9,
}

impl EndReason {
    /// Reads the byte of [`FlowEvent::reason`].
    pub fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::ClientFin,
            2 => Self::ServerFin,
            3 => Self::ClientReset,
            4 => Self::ServerReset,
            5 => Self::Idle,
            6 => Self::Embryonic,
            7 => Self::Killed,
            8 => Self::Replaced,
            9 => Self::Answered,
            _ => return None,
        })
    }
}

/// Record of [`EVENTS`](crate::maps::EVENTS): a connection is over.
///
/// Byte and packet numbers are those of `FLOWS` at that moment: what other CPUs hold in their cache,
/// at most [`Config::flush_ns`](crate::Config) worth, is not in them.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FlowEvent {
    /// Client -> VIP.
    pub forward: FlowKey,
    /// Server -> balancer, or server -> client.
    pub reverse: FlowKey,
    /// See [`FlowEntry`](crate::FlowEntry).
    pub created_ns: u64,
    /// When it ended, on the same clock.
    pub ended_ns: u64,
    pub packets_in: u64,
    pub bytes_in: u64,
    pub packets_out: u64,
    pub bytes_out: u64,
    pub service: u32,
    pub server: u32,
    pub server_generation: u32,
    /// Bits of [`FlowState`](crate::FlowState).
    pub state: u32,
    pub connect_ms: u32,
    /// [`EndReason`] as its number.
    pub reason: u8,
    pub reserved: [u8; 3],
}

const _: () = assert!(size_of::<FlowEvent>() == 152);
