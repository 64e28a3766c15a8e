//! Counters and live numbers.

/// Value of [`SERVICE_COUNTERS`](crate::maps::SERVICE_COUNTERS) and
/// [`SERVER_COUNTERS`](crate::maps::SERVER_COUNTERS), per CPU; never goes down.
///
/// Both count every packet at once, so they do not lag behind as
/// [`FlowEntry`](crate::FlowEntry) does.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Traffic {
    /// Connections begun (SYN sent on to a server).
    pub flows_new: u64,
    /// Connections over, by any path.
    pub flows_ended: u64,
    /// Connections that ended before the handshake was completed (refused, timed out, displaced).
    pub flows_failed: u64,
    /// Connections whose handshake was completed.
    pub flows_established: u64,
    /// TCP segments and datagrams from clients.
    pub packets_in: u64,
    /// Payload bytes from clients.
    pub bytes_in: u64,
    /// TCP segments and datagrams from servers.
    pub packets_out: u64,
    /// Payload bytes from servers.
    pub bytes_out: u64,
    /// SYNs left to userspace: at the connection limit. Services only.
    pub passed_full: u64,
    /// SYNs left to userspace, or answered: no usable server. Services only.
    pub passed_no_server: u64,
    /// SYNs left to userspace: no free source port, or no room for the flow.
    pub passed_no_room: u64,
    /// SYNs dropped or answered by a rule, or beyond the rate of their client. Services only.
    pub denied: u64,
}

/// Value of [`SERVICE_LIVE`](crate::maps::SERVICE_LIVE) and
/// [`SERVER_LIVE`](crate::maps::SERVER_LIVE): shared by all CPUs, changed atomically by the programs
/// only. The user side writes zero when it gives an index to something new that has no flows.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Live {
    /// Connections not over yet.
    pub connections: u32,
    /// Highest value of `connections`; may miss a peak that two CPUs made together.
    pub peak: u32,
    /// Place of the ring to use next, before the modulo. Services only.
    pub cursor: u32,
    pub reserved: u32,
}

/// Index in [`COUNTERS`](crate::maps::COUNTERS) (`u64`, per CPU): packets by what became of them,
/// apart from those that were translated and those that were none of ours.
#[repr(u32)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Reason {
    /// Passed: for a VIP, not a SYN, and no flow knows it (userspace carries it, or it is stray).
    NoFlow,
    /// Passed: SYN to a service without a usable server.
    NoServer,
    /// Passed: SYN to a service or servers at their connection limit.
    Full,
    /// Passed: every source port tried toward the server was taken.
    NoPort,
    /// Passed: no room in the flow table.
    NoRoom,
    /// Passed: no route, or an interface the program may not send to.
    NoRoute,
    /// Passed by XDP to the tc program of the same interface: neighbour not resolved, packet too
    /// big for the way out, or forwarding disabled.
    Deferred,
    /// Passed: TTL or hop limit of one or less.
    TtlExpired,
    /// Passed: fragment, IP options, extension header or VLAN tag this form does not take.
    NotSimple,
    /// Passed: lengths that do not fit.
    Malformed,
    /// Dropped: the kernel refused to change or send a packet already partly changed.
    RewriteFailed,
    /// A new half-open flow took the place of one in `EMBRYONIC`.
    EmbryonicEvicted,
    /// A closed flow left `FLOWS` for the next one in `CLOSING`.
    ClosingRecycled,
    /// A SYN began a new connection on the key of a closed one.
    Reopened,
    /// Events lost because the ring buffer was full.
    EventLost,
    /// ICMP errors translated.
    IcmpTranslated,
    /// Packets found in the flow cache.
    CacheHit,
    /// Packets of known flows that were not in the flow cache.
    CacheMiss,
    /// Flows put out of the cache by others.
    CacheEvicted,
    /// Dropped: a server's refusal; the client's next SYN goes to another server.
    Refused,
    /// Dropped: a rule forbids the client's address.
    Denied,
    /// Passed: a rule about the client's address that userspace carries out.
    Ruled,
    /// Fragments sent the way of the first one.
    Fragment,
    /// Passed: SYN beyond the rate of its service.
    Rate,
    /// Dropped: SYN beyond the rate of its client.
    SourceRate,
    /// Answered by a reset: what came is counted by its own reason, too.
    Reset,
    /// Answered by ICMP "unreachable", likewise.
    Unreachable,
    /// Dropped or answered: userspace has turned the client away before.
    DenyList,
    /// Dropped: longer than the way out, of which the sender is told by ICMP when it may not be cut.
    TooBig,
    /// A connection that another balancer has begun was entered.
    PickedUp,
    /// Dropped: more ICMP answers were due than are sent in a second.
    AnswerLimited,
}

impl Reason {
    /// Number of counters, the size of the map.
    pub const COUNT: u32 = Self::ALL.len() as u32;

    /// Each reason with the name that statistics show.
    pub const ALL: [(Self, &'static str); 31] = [
        (Self::NoFlow, "no_flow"),
        (Self::NoServer, "no_server"),
        (Self::Full, "full"),
        (Self::NoPort, "no_port"),
        (Self::NoRoom, "no_room"),
        (Self::NoRoute, "no_route"),
        (Self::Deferred, "deferred"),
        (Self::TtlExpired, "ttl_expired"),
        (Self::NotSimple, "not_simple"),
        (Self::Malformed, "malformed"),
        (Self::RewriteFailed, "rewrite_failed"),
        (Self::EmbryonicEvicted, "embryonic_evicted"),
        (Self::ClosingRecycled, "closing_recycled"),
        (Self::Reopened, "reopened"),
        (Self::EventLost, "event_lost"),
        (Self::IcmpTranslated, "icmp_translated"),
        (Self::CacheHit, "cache_hit"),
        (Self::CacheMiss, "cache_miss"),
        (Self::CacheEvicted, "cache_evicted"),
        (Self::Refused, "refused"),
        (Self::Denied, "denied"),
        (Self::Ruled, "ruled"),
        (Self::Fragment, "fragment"),
        (Self::Rate, "rate"),
        (Self::SourceRate, "source_rate"),
        (Self::Reset, "reset"),
        (Self::Unreachable, "unreachable"),
        (Self::DenyList, "deny_list"),
        (Self::TooBig, "too_big"),
        (Self::PickedUp, "picked_up"),
        (Self::AnswerLimited, "answer_limited"),
    ];
}

const _: () = assert!(size_of::<Traffic>() == 96);
const _: () = assert!(size_of::<Live>() == 16);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_stand_at_their_index() {
        for (index, (reason, _)) in Reason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index);
        }
    }
}
