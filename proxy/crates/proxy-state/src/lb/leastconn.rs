//! `leastconn`: the server with the fewest sessions, running and queued, for its weight.

use super::{LbSpec, Pick, PickCtx, Slot};
use std::cmp::Ordering;
use std::sync::atomic;

#[derive(Debug)]
struct LeastConn;

pub(super) fn build(_: &LbSpec, _: &[Slot]) -> Box<dyn Pick> {
    Box::new(LeastConn)
}

/// Compares sessions per weight without dividing.
fn compare(a: (u32, u32), b: (u32, u32)) -> Ordering {
    (u64::from(a.0) * u64::from(b.1)).cmp(&(u64::from(b.0) * u64::from(a.1)))
}

impl Pick for LeastConn {
    /// One walk over the servers from a place that moves on with each pick, so that servers with the same load take turns.
    fn pick(&self, ctx: &PickCtx<'_>) -> Option<usize> {
        let servers = ctx.slots.len();
        let start = ctx.cursor.load(atomic::Ordering::Relaxed);
        let mut best: Option<(usize, (u32, u32))> = None;
        for step in 0..servers {
            let index = start.wrapping_add(step) % servers;
            if !ctx.is_open(index) {
                continue;
            }
            let slot = &ctx.slots[index];
            let sessions = slot.server.sessions.get().saturating_add(slot.server.queued.get());
            let load = (sessions, slot.weight);
            if best.is_none_or(|(_, least)| compare(load, least) == Ordering::Less) {
                best = Some((index, load));
            }
        }
        let (index, _) = best?;
        // The next walk starts behind the one taken: among equals it comes last.
        let next = index + 1;
        ctx.cursor.store(if next == servers { 0 } else { next }, atomic::Ordering::Relaxed);
        Some(index)
    }
}
