//! `roundrobin` and `static-rr`: a fixed sequence in which each server appears as often as its weight says, spread evenly, and
//! one cursor for all threads.

use super::{LbSpec, Pick, PickCtx, Slot};
use std::sync::atomic::Ordering;

/// Positions of servers, one turn per element.
#[derive(Debug)]
struct Sequence(Box<[u32]>);

/// Work above which [`spread`] sorts instead of counting credits: some tens of milliseconds.
const CREDIT_STEPS_MAX: u64 = 20_000_000;

/// The turns of one cycle. Weights are divided by their greatest common divisor first.
///
/// At each turn every server earns its weight and the one owed most pays the sum of all weights. What is owed is rounded
/// down to whole turns and the first in the order of the configuration wins among equals, which gives the very sequence
/// that HAProxy's static maps have: clients hashed by address meet the same server behind either.
fn spread(weights: &[u32]) -> Box<[u32]> {
    let divisor = weights.iter().fold(0, |a, &b| gcd(a, b)).max(1);
    let weights: Vec<i64> = weights.iter().map(|w| i64::from(w / divisor)).collect();
    let total: i64 = weights.iter().sum();
    let steps = total.unsigned_abs().saturating_mul(weights.len() as u64);
    if steps > CREDIT_STEPS_MAX {
        return spread_sorted(&weights);
    }
    let mut credits = vec![0; weights.len()];
    let mut turns = Vec::new();
    for _ in 0..total {
        let mut best = (0, i64::MIN);
        for (index, (credit, weight)) in credits.iter_mut().zip(&weights).enumerate() {
            *credit += weight;
            let owed = (*credit + total) / total;
            if *weight > 0 && owed > best.1 {
                best = (index, owed);
            }
        }
        credits[best.0] -= total;
        turns.push(u32::try_from(best.0).unwrap_or(u32::MAX));
    }
    turns.into()
}

/// The same without the walk over all servers per turn: the k-th of w turns of a server stands at (2k+1)/2w of the cycle,
/// equal places in the order of the configuration.
fn spread_sorted(weights: &[i64]) -> Box<[u32]> {
    let mut turns: Vec<(i64, i64, u32)> = Vec::new();
    for (index, &weight) in (0..).zip(weights) {
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
        check(&[1, 2, 3], &[0, 2, 1, 2, 1, 2]);
        check(&[10, 20, 30], &[0, 2, 1, 2, 1, 2]);
        check(&[1, 4], &[0, 1, 1, 1, 1]);
        check(&[0, 3], &[1]);
        check(&[256], &[0]);
        check(&[], &[]);
    }

    #[test]
    fn large_farms_are_spread_by_sorting() {
        assert_eq!(&*spread_sorted(&[1, 2, 3]), &[2, 1, 0, 2, 1, 2]);
        let weights: Vec<u32> = (0..4095).map(|i| 100 + i % 157).collect();
        let turns = spread(&weights);
        assert_eq!(turns.len(), weights.iter().sum::<u32>() as usize);
        assert_eq!(turns.iter().filter(|&&i| i == 7).count(), 107);
    }
}
