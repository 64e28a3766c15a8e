//! `random(<draws>)`: draws servers at random by weight and takes the least loaded of them.

use super::{LbSpec, Pick, PickCtx, Slot, avalanche};
use crate::server::WEIGHT_SCALE;
use std::cmp::Ordering;

/// Running sums of the weights.
#[derive(Debug)]
struct Random {
    sums: Box<[u32]>,
    draws: u32,
}

pub(super) fn build(spec: &LbSpec, slots: &[Slot]) -> Box<dyn Pick> {
    let mut total = 0;
    let sums = slots
        .iter()
        .map(|slot| {
            total += slot.weight;
            total
        })
        .collect();
    Box::new(Random { sums, draws: spec.draws.max(1) })
}

impl Pick for Random {
    fn pick(&self, ctx: &PickCtx<'_>) -> Option<usize> {
        let total = *self.sums.last()?;
        if self.sums.len() == 1 {
            return ctx.is_open(0).then_some(0);
        }
        let mut random = ctx.random;
        let mut best: Option<usize> = None;
        for _ in 0..self.draws {
            random = avalanche(random);
            let ticket = u32::try_from((u64::from(random) * u64::from(total)) >> 32).unwrap_or(0);
            let drawn = self.sums.partition_point(|&sum| sum <= ticket);
            if best == Some(drawn) || !ctx.is_open(drawn) {
                continue;
            }
            if best.is_none_or(|best| is_better(ctx, drawn, best)) {
                best = Some(drawn);
            }
        }
        // Every draw hit a full server: any open one will do.
        best.or_else(|| (0..ctx.slots.len()).find(|&i| ctx.is_open(i)))
    }
}

/// Whether the server at `a` is less loaded than the one at `b`. Equal loads are told apart by the sessions of
/// the last second (configuration manual, 4.2 "balance random").
fn is_better(ctx: &PickCtx<'_>, a: usize, b: usize) -> bool {
    let (a, b) = (&ctx.slots[a], &ctx.slots[b]);
    let load = |slot: &Slot| {
        let sessions = slot.server.sessions.get().saturating_add(slot.server.queued.get());
        u64::from(sessions) * 256 * u64::from(WEIGHT_SCALE) / u64::from(slot.weight.max(1))
    };
    let rate = |slot: &Slot| slot.server.session_rate.get(ctx.now);
    match load(a).cmp(&load(b)) {
        Ordering::Less => true,
        Ordering::Equal => rate(a) < rate(b),
        Ordering::Greater => false,
    }
}
