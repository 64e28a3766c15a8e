//! What services and servers of a plan look like in the maps.

use proxy_common::{
    ANSWER_DROP, ANSWER_RESET, ANSWER_UNREACHABLE, ANSWER_USERSPACE, Addr, POLICY_HASH_FLOW,
    POLICY_HASH_SOURCE, POLICY_LEASTCONN, POLICY_ROUNDROBIN, Port, REAL_DRAIN, REAL_UP, RealEntry,
    SERVICE_DENIES, SERVICE_DIRECT, SERVICE_FULLNAT, SERVICE_GUARD, SERVICE_LOG, SERVICE_SOURCES,
    SERVICE_TUNNEL, SERVICE_UP,
};

use crate::plan::{PlannedServer, PlannedService};
use crate::spec::{Answer, Mode, Policy, Usable};

pub(super) fn policy(policy: Policy) -> u8 {
    match policy {
        Policy::HashFlow => POLICY_HASH_FLOW,
        Policy::HashSource => POLICY_HASH_SOURCE,
        Policy::LeastConn => POLICY_LEASTCONN,
        Policy::RoundRobin => POLICY_ROUNDROBIN,
    }
}

pub(crate) fn answer(answer: Answer) -> u8 {
    match answer {
        Answer::Userspace => ANSWER_USERSPACE,
        Answer::Drop => ANSWER_DROP,
        Answer::Reset => ANSWER_RESET,
        Answer::Unreachable => ANSWER_UNREACHABLE,
    }
}

pub(super) fn service_flags(service: &PlannedService) -> u8 {
    let mode = match service.mode {
        Mode::FullNat => SERVICE_FULLNAT,
        Mode::Nat => 0,
        Mode::Direct => SERVICE_DIRECT,
        Mode::Tunnel => SERVICE_TUNNEL,
        Mode::Guard => SERVICE_GUARD,
    };
    let denies = if service.denies { SERVICE_DENIES } else { 0 };
    let log = if service.log { SERVICE_LOG } else { 0 };
    let sources = if service.sources.is_some() { SERVICE_SOURCES } else { 0 };
    SERVICE_UP | mode | log | sources | denies
}

pub(super) fn real_entry(server: &PlannedServer, generation: u32) -> RealEntry {
    let flags = match server.usable {
        _ if server.ifindex == 0 => REAL_DRAIN,
        Usable::Up => REAL_UP,
        Usable::Drain => REAL_UP | REAL_DRAIN,
        Usable::Down => 0,
    };
    RealEntry {
        addr: server.addr.ip().into(),
        source: server.source.map(Addr::from).unwrap_or_default(),
        port: Port::new(server.addr.port()),
        flags,
        ifindex: server.ifindex,
        generation,
        weight: u32::from(server.weight).max(1),
        max_connections: server.maxconn,
        reserved: [0; 3],
    }
}
