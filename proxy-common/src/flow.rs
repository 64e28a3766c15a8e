//! Tracked connections: two entries of [`FLOWS`](crate::maps::FLOWS), one per direction.

use crate::{Addr, Port};

/// Five-tuple of one direction, as a packet of that direction shows it on arrival.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct FlowKey {
    pub src: Addr,
    pub dst: Addr,
    pub sport: Port,
    pub dport: Port,
    /// IP protocol, see [`proto`](crate::proto).
    pub proto: u8,
    /// Always zero.
    pub hook: u8,
    /// Always zero.
    pub reserved: u16,
}

/// Which way the packets of an entry go.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Direction {
    /// From the client, key client -> VIP.
    Forward,
    /// From the server, key server -> balancer (full NAT) or server -> client (NAT).
    Reverse,
}

/// What to do with the packets of one direction, and what was seen of them.
///
/// The entry of the forward direction is the connection's record: state, start and ends are
/// kept there only. Each side counts its own packets and bytes.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FlowEntry {
    /// Time of the SYN, `CLOCK_MONOTONIC_COARSE` in nanoseconds; also the connection's identity
    /// when a key is used again.
    pub created_ns: u64,
    /// Time of the last packet written back, at most [`Config::flush_ns`](crate::Config) late.
    pub seen_ns: u64,
    /// TCP segments (GSO packets count each of theirs).
    pub packets: u64,
    /// Bytes of TCP payload.
    pub bytes: u64,
    pub new_src: Addr,
    pub new_dst: Addr,
    pub new_sport: Port,
    pub new_dport: Port,
    /// Index in [`SERVICES`](crate::maps::SERVICES).
    pub service: u32,
    /// Index in [`REALS`](crate::maps::REALS).
    pub server: u32,
    /// [`RealEntry::generation`](crate::RealEntry) at the time of the SYN; another one there means
    /// that the index has been given to another server since.
    pub server_generation: u32,
    /// Bits of [`FlowState`], forward entry only; changed by atomic OR.
    pub state: u32,
    /// Interface toward `new_dst`: the server's, or where the client's SYN came in. Used when the
    /// routing table has no better answer.
    pub ifindex: u32,
    /// Milliseconds from SYN to the server's SYN-ACK, forward entry only.
    pub connect_ms: u32,
    /// 0: forward, 1: reverse.
    pub direction: u8,
    /// Servers that refused this client's SYN before, forward entry only.
    pub refused: u8,
    /// MTU of the route to the server at the time of the SYN, 0 when it is not known.
    pub mtu: u16,
}

impl FlowEntry {
    /// Value of `direction` in the client's entry.
    pub const FORWARD: u8 = 0;
    /// Value of `direction` in the server's entry.
    pub const REVERSE: u8 = 1;

    /// Which way packets matching this entry go.
    pub fn direction(&self) -> Direction {
        if self.direction == Self::FORWARD { Direction::Forward } else { Direction::Reverse }
    }

    /// Key of the opposite direction's entry.
    #[inline(always)]
    pub fn peer_key(&self, proto: u8) -> FlowKey {
        FlowKey {
            src: self.new_dst,
            dst: self.new_src,
            sport: self.new_dport,
            dport: self.new_sport,
            proto,
            hook: 0,
            reserved: 0,
        }
    }

    /// The connection's state, meaningful on the forward entry.
    pub fn state(&self) -> FlowState {
        FlowState(self.state)
    }
}

/// What a connection has shown so far: bits that are only ever set, so that packets of both
/// directions on all CPUs may record what they saw with one atomic OR.
///
/// ```text
///  SYN ──> (0) ──server SYN-ACK──> SYN_ACK ──client ACK──> ESTABLISHED
///                 FIN of one side ──> CLIENT_FIN or SERVER_FIN
///                 FIN of both sides, or RST of either ──> + ENDED
/// ```
/// A UDP flow is `SYN_ACK` and `ESTABLISHED` with the server's first datagram, or `ESTABLISHED` alone with a
/// datagram of the client a second after the first one. `SERVER_RST` says that nobody listens there.
///
/// `ENDED` is set by exactly one party (whoever finds it clear), which gives the connection back to
/// the live counts and sends its event; the entries stay in `FLOWS` until their slot of
/// [`CLOSING`](crate::maps::CLOSING) is needed, so that last retransmissions still find the way.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FlowState(pub u32);

impl FlowState {
    /// The server answered the SYN.
    pub const SYN_ACK: u32 = 1;
    /// The client acknowledged the server's SYN-ACK.
    pub const ESTABLISHED: u32 = 1 << 1;
    pub const CLIENT_FIN: u32 = 1 << 2;
    pub const SERVER_FIN: u32 = 1 << 3;
    pub const CLIENT_RST: u32 = 1 << 4;
    pub const SERVER_RST: u32 = 1 << 5;
    /// The first FIN came from the server (else from the client, when there was any).
    pub const SERVER_FIN_FIRST: u32 = 1 << 6;
    /// Accounted as over.
    pub const ENDED: u32 = 1 << 7;
    /// A slot of [`CLOSING`](crate::maps::CLOSING) has been given to it.
    pub const CLOSING: u32 = 1 << 8;
    /// One way ([`SERVICE_DIRECT`](crate::SERVICE_DIRECT)), from the start. There is no reverse entry, `new_dst` is
    /// the server, and the ports of both are zero.
    pub const DIRECT: u32 = 1 << 9;
    /// One way, inside of IP ([`SERVICE_TUNNEL`](crate::SERVICE_TUNNEL)), from the start; `new_src` and `new_dst` are
    /// the addresses outside.
    pub const TUNNEL: u32 = 1 << 10;
    /// Either way of one direction.
    pub const ONE_WAY: u32 = Self::DIRECT | Self::TUNNEL;

    /// Whether the handshake has not been completed, so that a SYN flood may displace the flow.
    #[inline(always)]
    pub fn is_embryonic(self) -> bool {
        self.0 & (Self::ESTABLISHED | Self::ENDED) == 0
    }

    /// Whether the server's packets are not seen.
    #[inline(always)]
    pub fn is_one_way(self) -> bool {
        self.0 & Self::ONE_WAY != 0
    }

    /// Whether the connection counts as over.
    #[inline(always)]
    pub fn is_ended(self) -> bool {
        self.0 & Self::ENDED != 0
    }

    /// Reads the bits as one of the names people use.
    pub fn status(self) -> FlowStatus {
        if self.is_ended() {
            FlowStatus::Closed
        } else if self.0 & (Self::CLIENT_FIN | Self::SERVER_FIN) != 0 {
            FlowStatus::HalfClosed
        } else if self.0 & Self::ESTABLISHED != 0 {
            FlowStatus::Established
        } else if self.0 & Self::SYN_ACK != 0 {
            FlowStatus::SynReceived
        } else {
            FlowStatus::SynSent
        }
    }
}

/// [`FlowState`] in one word.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FlowStatus {
    /// The SYN was sent on; nothing came back.
    SynSent,
    /// The server accepted; the client has not answered.
    SynReceived,
    Established,
    /// One side has sent FIN.
    HalfClosed,
    /// Both FINs or a RST were seen; entries remain for late packets only.
    Closed,
}

/// One place of [`EMBRYONIC`](crate::maps::EMBRYONIC) and [`CLOSING`](crate::maps::CLOSING): a
/// connection that gives way to the next one. All zero: free.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Slot {
    /// Forward key.
    pub key: FlowKey,
    /// [`FlowEntry::created_ns`] of the connection meant.
    pub created_ns: u64,
}

/// Per-CPU heads of the two FIFO rings, the only value of [`CPU_STATE`](crate::maps::CPU_STATE).
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CpuState {
    /// Next place of this CPU's region of [`EMBRYONIC`](crate::maps::EMBRYONIC), before masking.
    pub embryonic_head: u32,
    /// Next place of this CPU's region of [`CLOSING`](crate::maps::CLOSING), before masking.
    pub closing_head: u32,
    /// One more than the [`Reason`](crate::Reason) counted last for the present packet; 0: none. Apart from those of the
    /// cache.
    pub noted: u32,
    pub reserved: u32,
}

const _: () = assert!(size_of::<FlowKey>() == 40 && align_of::<FlowKey>() == 4);
const _: () = assert!(size_of::<FlowEntry>() == 96 && align_of::<FlowEntry>() == 8);
const _: () = assert!(size_of::<Slot>() == 48);
const _: () = assert!(size_of::<CpuState>() == 16);

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bits: u32, status: FlowStatus) {
        assert_eq!(FlowState(bits).status(), status);
    }

    #[test]
    fn state_reads_as_one_word() {
        const OPEN: u32 = FlowState::SYN_ACK | FlowState::ESTABLISHED;
        check(0, FlowStatus::SynSent);
        check(FlowState::SYN_ACK, FlowStatus::SynReceived);
        check(OPEN, FlowStatus::Established);
        check(OPEN | FlowState::SERVER_FIN, FlowStatus::HalfClosed);
        check(FlowState::SERVER_RST | FlowState::ENDED, FlowStatus::Closed);
    }

    #[test]
    fn peer_key_of_peer_is_the_key() {
        let key = FlowKey {
            src: Addr::mapped(1),
            dst: Addr::mapped(2),
            sport: Port::new(3),
            dport: Port::new(4),
            proto: 6,
            ..FlowKey::default()
        };
        let reverse = FlowEntry {
            new_src: key.dst,
            new_dst: key.src,
            new_sport: key.dport,
            new_dport: key.sport,
            ..FlowEntry::default()
        };
        assert_eq!(reverse.peer_key(6), key);
    }
}
