//! Access to a frame: what the hooks (XDP, tc, the host's tests) do differently.

use proxy_common::{Addr, Reason};

use crate::headers::Header;

/// What the hook does with the frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Goes on as if there were no balancer; the frame has not been touched.
    Pass,
    /// Is thrown away.
    Drop,
    /// Leaves by the interface it came from (XDP).
    Transmit,
    /// Leaves by another interface, or by the neighbour layer (tc).
    Redirect,
    /// Is answered as [`Scratch::answer`](crate::Scratch) says; not for hooks.
    Answer,
}

/// Where a frame leaves to.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Hop {
    pub ifindex: u32,
    /// tc: the next hop's address, unset to let the kernel look for the route when it sends.
    /// XDP: destination and source MAC.
    pub data: [u32; 4],
    /// Longest IP packet that fits, 0 where the kernel sees to that (tc).
    pub mtu: u16,
    /// MTU of the route, 0 when it is not known.
    pub path_mtu: u16,
}

/// What is asked of the routing table.
pub struct Path<'a> {
    pub src: &'a Addr,
    pub dst: &'a Addr,
    /// IP length of the packet, at most 65535.
    pub len: u16,
    /// Interface to use when the hook may not ask.
    pub fallback: u32,
}

/// A frame cannot leave by this hook. Nothing has been changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoWay {
    pub reason: Reason,
    /// Verdict for a packet of a known flow: what only userspace could answer with a reset is
    /// better dropped and sent again by its sender.
    pub known: Verdict,
}

/// Checksums of transport headers that cover addresses by a pseudo-header, or do not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pseudo {
    /// ICMP over IPv4.
    None,
    V4,
    V6,
}

/// One frame at one hook.
///
/// Offsets are from the start of the Ethernet header. Methods that change the frame return false
/// when the kernel refused; the frame can then only be dropped.
pub trait Frame {
    /// Which ways of the flow cache are this hook's.
    const HOOK: u8;

    /// Reads a header, `None` beyond the end.
    fn load<H: Header>(&self, offset: usize) -> Option<H>;

    /// Length of the whole frame, with all segments of a GSO packet.
    fn frame_len(&self) -> u32;

    /// Number of segments on the wire, at least 1.
    fn segments(&self) -> u32;

    /// Interface the frame came in by.
    fn ingress(&self) -> u32;

    /// Asks where a packet with these addresses would leave.
    fn route(&mut self, path: &Path<'_>, hop: &mut Hop) -> Result<(), NoWay>;

    /// Overwrites bytes, without care for checksums.
    fn store<H: Header>(&mut self, offset: usize, header: &H) -> bool;

    /// Overwrites bytes that no checksum in the packet covers but the hardware's sum of the whole packet may.
    fn store_summed<H: Header>(&mut self, offset: usize, header: &H) -> bool;

    /// Applies a [difference](crate::checksum::diff) to the IPv4 header checksum at `offset`.
    fn fix_ip(&mut self, offset: usize, diff: u32) -> bool;

    /// Applies differences to the transport checksum at `offset`: `pseudo` of the addresses, `plain` of
    /// what the transport's own bytes changed by.
    fn fix_l4(&mut self, offset: usize, kind: Pseudo, pseudo: u32, plain: u32) -> bool;

    /// The same for UDP, where zero stands for no checksum (RFC 768) and stays.
    fn fix_udp(&mut self, offset: usize, kind: Pseudo, pseudo: u32, plain: u32) -> bool;

    /// Puts an IP header between the Ethernet header and the packet, of the packet's family.
    fn push<H: Header>(&mut self, header: &H) -> bool;

    /// Makes room of so many bytes, a multiple of four, behind the Ethernet header.
    fn make_room(&mut self, len: usize) -> bool;

    /// Cuts the frame off.
    fn cut(&mut self, len: u32) -> bool;

    /// Whether the transport checksum at `offset` is left to the hardware, and is but a sum of addresses yet.
    fn is_unfinished(&mut self, offset: usize) -> bool;

    /// Sends the frame where it came from, by the addresses in its Ethernet header; the last thing done to it.
    fn reply(&mut self) -> Verdict;

    /// Sends the frame there; the last thing done to it.
    fn send(&mut self, hop: &Hop) -> Verdict;
}
