//! Whether a client's address may open a connection (`tcp-request connection` rules).

use proxy_common::{
    Addr, RULES_PER_SERVICE, Reason, SOURCE_ACCEPT, SOURCE_DROP, SOURCE_REJECT, ServiceEntry,
    SourceKey, SourceNet,
};

use crate::{
    answer::{self, Answer},
    frame::Verdict,
    tables::{Scratch, Tables},
};

/// Asks the rules of a service. `Some`: the SYN goes no further here.
#[inline(always)]
pub fn refuses(
    tables: &impl Tables,
    entry: &ServiceEntry,
    service: u32,
    src: &Addr,
    scratch: &mut Scratch,
) -> Option<Verdict> {
    let key = &mut scratch.source;
    key.prefix_len = SourceKey::WHOLE;
    key.net = SourceNet { service, addr: *src };
    let ruling = tables.source(key)?;
    if ruling.rule < RULES_PER_SERVICE {
        let counter = service.wrapping_mul(RULES_PER_SERVICE).wrapping_add(ruling.rule);
        tables.count_rule(counter);
        scratch.rule = counter.wrapping_add(1);
    }
    match ruling.verdict {
        SOURCE_ACCEPT => None,
        SOURCE_REJECT => {
            tables.count(Reason::Denied);
            tables.count_service(service, |traffic| traffic.denied += 1);
            Some(answer::of(&mut scratch.answer, entry.rejects, Answer::PROHIBITED))
        }
        SOURCE_DROP => {
            tables.count(Reason::Denied);
            tables.count_service(service, |traffic| traffic.denied += 1);
            Some(Verdict::Drop)
        }
        _ => {
            tables.count(Reason::Ruled);
            Some(Verdict::Pass)
        }
    }
}
