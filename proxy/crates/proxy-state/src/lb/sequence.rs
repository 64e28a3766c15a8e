//! `roundrobin` and `static-rr`: a fixed sequence in which each server appears as often as its weight says, spread evenly, and
//! one cursor for all threads.

use super::{LbSpec, Pick, PickCtx, Slot};
use std::sync::atomic::Ordering;

/// Positions of servers, one turn per element.
#[derive(Debug)]
struct Sequence(Box<[u32]>);

/// Spreads the turns: the k-th of w turns of a server stands at (2k+1)/2w of the cycle, equal places
/// in the order of the configuration. Weights are divided by their greatest common divisor first.
fn spread(weights: &[u32]) -> Box<[u32]> {
    let divisor = weights.iter().fold(0, |a, &b| gcd(a, b)).max(1);
    let mut turns: Vec<(u64, u64, u32)> = Vec::new();
    for (index, &weight) in (0..).zip(weights) {
        let weight = u64::from(weight / divisor);
        turns.extend((0..weight).map(|k| (2 * k + 1, 2 * weight, index)));
    }
    // Places compare as fractions: a/b < c/d when ad < cb.
    turns.sort_by(|a, b| (a.0 * b.1).cmp(&(b.0 * a.1)).then(a.2.cmp(&b.2)));
    turns.into_iter().map(|(_, _, index)| index).collect()
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The sequence of some servers.
pub(super) fn spread_slots(slots: &[Slot]) -> Box<[u32]> {
    let weights: Vec<u32> = slots.iter().map(|s| s.weight).collect();
    spread(&weights)
}

pub(super) fn build(_: &LbSpec, slots: &[Slot]) -> Box<dyn Pick> {
    Box::new(Sequence(spread_slots(slots)))
}

impl Pick for Sequence {
    fn pick(&self, ctx: &PickCtx<'_>) -> Option<usize> {
        let length = self.0.len();
        if length == 0 {
            return None;
        }
        let start = ctx.cursor.fetch_add(1, Ordering::Relaxed);
        // Full servers lose their turn. When a few turns find none open, ask each server once instead of walking
        // the whole sequence.
        for step in 0..length.min(2 * ctx.slots.len()) {
            let index = self.0[start.wrapping_add(step) % length] as usize;
            if ctx.is_open(index) {
                if step > 0 {
                    ctx.cursor.fetch_add(step, Ordering::Relaxed);
                }
                return Some(index);
            }
        }
        let servers = ctx.slots.len();
        (0..servers).map(|step| start.wrapping_add(step) % servers).find(|&i| ctx.is_open(i))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(weights: &[u32], expected: &[u32]) {
        assert_eq!(&*spread(weights), expected);
    }

    #[test]
    fn turns_are_spread_by_weight() {
        check(&[1, 1, 1], &[0, 1, 2]);
        check(&[100, 100], &[0, 1]);
        check(&[1, 2, 3], &[2, 1, 0, 2, 1, 2]);
        check(&[10, 20, 30], &[2, 1, 0, 2, 1, 2]);
        check(&[1, 4], &[1, 1, 0, 1, 1]);
        check(&[256], &[0]);
        check(&[], &[]);
    }
}
