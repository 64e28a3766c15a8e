//! Clients that userspace has turned away.

use proxy_common::{
    ANSWER_DROP, ANSWER_RESET, POLICY_ROUNDROBIN, Reason, SERVICE_DENIES, SERVICE_FULLNAT,
    SERVICE_GUARD, ServiceEntry, maps,
};

use crate::{
    answers::{Family, V4, V6, address, reset_of, sent},
    bed::{Bed, Hook, Outcome},
    frame::{ACK, SYN, Tcp},
};

fn bed(family: &Family, flags: u8) -> Option<Bed> {
    let mut bed = Bed::new()?;
    bed.service(address(family.vip), POLICY_ROUNDROBIN, flags, &[address(family.server)]);
    Some(bed)
}

fn syn(family: &Family) -> Tcp {
    Tcp::new(address(family.client), address(family.vip), SYN)
}

/// The entry decides, in both families and on both hooks; it is counted.
#[test]
fn who_was_turned_away_stays_away() {
    for family in [&V4, &V6] {
        let Some(mut bed) = bed(family, SERVICE_FULLNAT | SERVICE_DENIES) else { return };
        let client = address(family.client).ip();
        let syn = syn(family);
        bed.deny(client, ANSWER_DROP, u64::MAX);
        for hook in [Hook::Xdp, Hook::Tc] {
            assert_eq!(bed.run(hook, bed.client_if, &syn.bytes()), Outcome::Drop);
        }
        bed.deny(client, ANSWER_RESET, u64::MAX);
        for hook in [Hook::Xdp, Hook::Tc] {
            let outcome = bed.run(hook, bed.client_if, &syn.bytes());
            assert_eq!(outcome, sent(hook, reset_of(&syn)));
        }
        assert_eq!((bed.counter(Reason::DenyList), bed.traffic().denied), (4, 4));
        assert_eq!(bed.flows().len(), 0);
        // Long ago.
        bed.deny(client, ANSWER_DROP, 1);
        assert!(matches!(bed.run(Hook::Tc, bed.client_if, &syn.bytes()), Outcome::Redirect(_)));
        assert_eq!(bed.flows().len(), 2);
        // A connection that is there goes on.
        bed.deny(client, ANSWER_DROP, u64::MAX);
        let ack = Tcp { flags: ACK, ..syn };
        assert!(matches!(bed.run(Hook::Tc, bed.client_if, &ack.bytes()), Outcome::Redirect(_)));
        bed.agree();
    }
}

/// A service that does not deny asks nobody.
#[test]
fn only_services_that_deny_ask() {
    let Some(mut bed) = bed(&V4, SERVICE_FULLNAT) else { return };
    bed.deny(address(V4.client).ip(), ANSWER_DROP, u64::MAX);
    let outcome = bed.run(Hook::Tc, bed.client_if, &syn(&V4).bytes());
    assert!(matches!(outcome, Outcome::Redirect(_)));
    assert_eq!(bed.counter(Reason::DenyList), 0);
}

/// In front of userspace: nothing is carried, nobody is counted but who is turned away.
#[test]
fn a_guard_lets_all_others_through() {
    let Some(mut bed) = bed(&V4, SERVICE_GUARD | SERVICE_DENIES) else { return };
    let mut service: ServiceEntry = bed.get(maps::SERVICES, 0);
    service.ring_len = 0;
    bed.set(maps::SERVICES, 0, service);
    for hook in [Hook::Xdp, Hook::Tc] {
        assert_eq!(bed.run(hook, bed.client_if, &syn(&V4).bytes()), Outcome::Pass);
    }
    assert_eq!((bed.counter(Reason::NoServer), bed.live().0), (0, 0));
    bed.deny(address(V4.client).ip(), ANSWER_DROP, u64::MAX);
    for hook in [Hook::Xdp, Hook::Tc] {
        assert_eq!(bed.run(hook, bed.client_if, &syn(&V4).bytes()), Outcome::Drop);
    }
    assert_eq!(bed.counter(Reason::DenyList), 2);
    bed.agree();
}
