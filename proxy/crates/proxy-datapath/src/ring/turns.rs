//! Weighted turns: each server appears as often as its weight says, spread evenly, so that a
//! heavy server does not get its turns in a burst.

use super::candidate::Candidate;

/// Lists the turns of one round.
pub(super) fn build(candidates: &[Candidate], capacity: usize) -> Vec<u16> {
    let counts = turn_counts(candidates, capacity);
    let total: usize = counts.iter().sum();
    // The k-th of n turns is due at (k + 1/2) / n of the round.
    let mut due: Vec<(u64, usize, u16)> = Vec::with_capacity(total);
    for (order, (candidate, &count)) in candidates.iter().zip(&counts).enumerate() {
        for turn in 0..count as u64 {
            due.push((((2 * turn + 1) << 32) / (2 * count as u64), order, candidate.index));
        }
    }
    due.sort_unstable();
    due.into_iter().map(|(_, _, index)| index).collect()
}

/// Turns per server in one round: the weights over their greatest common divisor, scaled down when
/// that does not fit (a server with any weight keeps at least one turn).
fn turn_counts(candidates: &[Candidate], capacity: usize) -> Vec<usize> {
    let divisor = candidates.iter().fold(0, |d, c| gcd(d, usize::from(c.weight))).max(1);
    let mut counts: Vec<usize> =
        candidates.iter().map(|c| usize::from(c.weight) / divisor).collect();
    let total: usize = counts.iter().sum();
    let some = counts.iter().filter(|&&c| c > 0).count();
    if total > capacity {
        let room = capacity.saturating_sub(some);
        for count in counts.iter_mut().filter(|c| **c > 0) {
            *count = 1 + *count * room / total;
        }
    }
    if some > capacity {
        let mut left = capacity;
        for count in counts.iter_mut().filter(|c| **c > 0) {
            *count = usize::from(left > 0);
            left = left.saturating_sub(1);
        }
    }
    counts
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(weights: &[u16], capacity: usize, expected: &[u16]) {
        assert_eq!(build(&servers(weights), capacity), expected);
    }

    fn servers(weights: &[u16]) -> Vec<Candidate> {
        weights
            .iter()
            .enumerate()
            .map(|(i, &weight)| Candidate { index: i as u16, id: i as u64, weight })
            .collect()
    }

    #[test]
    fn turns_are_spread() {
        check(&[], 10, &[]);
        check(&[0], 10, &[]);
        check(&[7], 10, &[0]);
        check(&[1, 1, 1], 10, &[0, 1, 2]);
        check(&[100, 100, 0, 100], 10, &[0, 1, 3]);
        check(&[2, 1], 10, &[0, 1, 0]);
        check(&[4, 2], 10, &[0, 1, 0]);
        check(&[3, 1], 10, &[0, 0, 1, 0]);
        check(&[5, 1, 1], 10, &[0, 0, 0, 1, 2, 0, 0]);
        check(&[1, 1, 1], 2, &[0, 1]);
    }

    /// Over any stretch of the round, a server's turns differ from its share by less than two.
    #[test]
    fn no_bursts() {
        let weights = [256, 100, 31, 7, 1];
        let total: usize = weights.iter().map(|&w| usize::from(w)).sum();
        let ring = build(&servers(&weights), 65_536);
        assert_eq!(ring.len(), total);
        for (index, &weight) in weights.iter().enumerate() {
            let mut seen = 0_f64;
            for (position, &turn) in ring.iter().enumerate() {
                seen += f64::from(u8::from(usize::from(turn) == index));
                let due = (position + 1) as f64 * f64::from(weight) / total as f64;
                assert!((seen - due).abs() < 2.0, "server {index} at {position}: {seen} of {due}");
            }
        }
    }

    #[test]
    fn scaled_down_to_fit() {
        let ring = build(&servers(&[256, 255, 1]), 64);
        assert!(ring.len() <= 64);
        assert_eq!(ring.iter().filter(|&&i| i == 2).count(), 1);
        assert!(ring.iter().filter(|&&i| i == 0).count() >= 30);
    }

    #[test]
    fn many_heavy_servers_fit() {
        let ring = build(&servers(&[255; 300]), 65_536);
        assert_eq!(ring.len(), 300);
        let mut weights = vec![255; 300];
        weights[0] = 254;
        let ring = build(&servers(&weights), 65_536);
        assert!(ring.len() <= 65_536 && ring.len() > 60_000);
    }
}
