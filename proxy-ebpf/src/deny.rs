//! Clients that userspace has turned away (`l4-deny`).

use proxy_common::{Reason, SourceNet};

use crate::{
    answer::{self, Answer},
    frame::Verdict,
    tables::Tables,
};

/// Looks whether a client is to be turned away. `Some`: its packet goes no further here.
#[inline(always)]
pub fn refuses(tables: &impl Tables, net: &SourceNet, answer: &mut Answer) -> Option<Verdict> {
    let denied = tables.denied(net)?;
    if tables.now_ns() >= denied.until_ns {
        return None;
    }
    tables.count(Reason::DenyList);
    tables.count_service(net.service, |traffic| traffic.denied += 1);
    match answer::of(answer, denied.how as u8, Answer::PROHIBITED) {
        Verdict::Answer => Some(Verdict::Answer),
        _ => Some(Verdict::Drop),
    }
}
