//! How many connections a client and a service may begin.

use std::net::SocketAddr;

use proxy_common::{
    POLICY_ROUNDROBIN, Reason, SERVICE_FULLNAT, SERVICE_SOURCES, SOURCE_ACCEPT, ServiceEntry,
    SourceRuling, maps,
};

use crate::{
    bed::{Bed, Hook, Outcome},
    frame::{SYN, Tcp, Udp},
};

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

const VIP: &str = "203.0.113.1:80";

fn bed(change: impl Fn(&mut ServiceEntry), udp: bool) -> Option<Bed> {
    let mut bed = Bed::new()?;
    let servers = [address("10.0.0.9:8080")];
    if udp {
        bed.datagrams(address(VIP), POLICY_ROUNDROBIN, SERVICE_FULLNAT, &servers, 0);
    } else {
        bed.service(address(VIP), POLICY_ROUNDROBIN, SERVICE_FULLNAT, &servers);
    }
    bed.configure(|config| config.nat_port_last += 99);
    let mut service: ServiceEntry = bed.get(maps::SERVICES, 0);
    change(&mut service);
    bed.set(maps::SERVICES, 0, service);
    Some(bed)
}

fn syn(bed: &Bed, hook: Hook, host: u8, port: u16) -> Outcome {
    let client = SocketAddr::from(([198, 51, 100, host], port));
    bed.run(hook, bed.client_if, &Tcp::new(client, address(VIP), SYN).bytes())
}

fn goes(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Redirect(_))
}

/// So many of each client, whatever its port and the hook; other clients are not concerned.
#[test]
fn a_client_has_its_rate() {
    let limited = |service: &mut ServiceEntry| {
        service.source_rate = 3;
        service.source_period_ms = 3_600_000;
    };
    let Some(bed) = bed(limited, false) else { return };
    for port in 1..=3 {
        assert!(goes(&syn(&bed, Hook::Tc, 9, port)));
    }
    for hook in [Hook::Tc, Hook::Xdp] {
        assert_eq!(syn(&bed, hook, 9, 4), Outcome::Drop);
    }
    assert!(goes(&syn(&bed, Hook::Xdp, 10, 4)));
    // A SYN of a connection that is there is none more.
    assert!(goes(&syn(&bed, Hook::Tc, 9, 1)));
    assert_eq!((bed.counter(Reason::SourceRate), bed.traffic().denied), (2, 2));
    assert_eq!(bed.traffic().flows_new, 4);
}

/// A period later there is room again.
#[test]
fn a_rate_recovers() {
    let limited = |service: &mut ServiceEntry| {
        service.source_rate = 1;
        service.source_period_ms = 50;
    };
    let Some(bed) = bed(limited, false) else { return };
    assert!(goes(&syn(&bed, Hook::Tc, 9, 1)));
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while !goes(&syn(&bed, Hook::Tc, 9, 2)) {
        assert!(std::time::Instant::now() < deadline);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// What XDP leaves to tc is one connection, to rates and to rules.
#[test]
fn what_is_deferred_counts_once() {
    let limited = |service: &mut ServiceEntry| {
        service.flags |= SERVICE_SOURCES;
        service.rate = 2;
        service.source_rate = 2;
        service.source_period_ms = 3_600_000;
    };
    let Some(mut bed) = bed(limited, false) else { return };
    bed.source(0, "0.0.0.0/0", SourceRuling { verdict: SOURCE_ACCEPT, rule: 3 });
    // Not to be sent to from XDP.
    bed.set(maps::INTERFACES, bed.server_if, 0_u32);
    for port in 1..=2 {
        assert_eq!(syn(&bed, Hook::Xdp, 9, port), Outcome::Pass);
        assert!(goes(&syn(&bed, Hook::Tc, 9, port)));
    }
    assert_eq!((bed.counter(Reason::Deferred), bed.rule(0, 3)), (2, 2));
    assert_eq!((bed.counter(Reason::SourceRate), bed.counter(Reason::Rate)), (0, 0));
    assert_eq!(syn(&bed, Hook::Xdp, 9, 3), Outcome::Drop);
}

#[test]
fn datagrams_have_it_too() {
    let limited = |service: &mut ServiceEntry| {
        service.source_rate = 2;
        service.source_period_ms = 3_600_000;
    };
    let Some(bed) = bed(limited, true) else { return };
    let ask = |port| {
        let client = SocketAddr::from(([198, 51, 100, 9], port));
        bed.run(Hook::Tc, bed.client_if, &Udp::new(client, address(VIP), b"x").bytes())
    };
    assert!(goes(&ask(1)) && goes(&ask(2)));
    assert_eq!(ask(3), Outcome::Drop);
    // A flow that is there goes on.
    assert!(goes(&ask(1)));
}

/// Beyond the rate of the service, userspace makes them wait.
#[test]
fn a_service_has_its_rate() {
    let Some(bed) = bed(|service| service.rate = 2, false) else { return };
    let outcomes: Vec<_> = (1..=6).map(|port| syn(&bed, Hook::Tc, 9, port)).collect();
    assert!(goes(&outcomes[0]) && goes(&outcomes[1]));
    assert!(outcomes.contains(&Outcome::Pass), "{outcomes:?}");
    assert!(bed.counter(Reason::Rate) > 0);
}
