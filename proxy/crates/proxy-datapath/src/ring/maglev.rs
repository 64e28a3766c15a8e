//! Maglev hashing (Eisenbud et al., NSDI 2016, section 3.4) with weights: every server walks its
//! own permutation of the table and takes free positions in turns, as often as its weight says.
//! The same servers give the same table on every machine, and the loss of one server moves few of
//! the positions of the others.

use super::candidate::Candidate;

const FREE: u16 = u16::MAX;

/// Fills a table of the largest prime size not above `capacity`.
pub(super) fn build(candidates: &[Candidate], capacity: usize) -> Vec<u16> {
    let size = largest_prime(capacity);
    let Some(max_weight) = candidates.iter().map(|c| u64::from(c.weight)).max() else {
        return Vec::new();
    };
    if size == 0 || max_weight == 0 {
        return Vec::new();
    }
    // The order of turns must not depend on the order of configuration.
    let mut walkers: Vec<Walker> =
        candidates.iter().filter(|c| c.weight > 0).map(|c| Walker::new(c, size as u64)).collect();
    walkers.sort_unstable_by_key(|w| w.id);

    let mut table = vec![FREE; size];
    let mut left = size;
    loop {
        for walker in &mut walkers {
            walker.credit += walker.weight;
            if walker.credit < max_weight {
                continue;
            }
            walker.credit -= max_weight;
            let position = walker.next_free(&table);
            table[position] = walker.index;
            left -= 1;
            if left == 0 {
                return table;
            }
        }
    }
}

struct Walker {
    id: u64,
    index: u16,
    weight: u64,
    credit: u64,
    position: u64,
    skip: u64,
    size: u64,
}

impl Walker {
    fn new(candidate: &Candidate, size: u64) -> Self {
        let position = mix(candidate.id) % size;
        let skip =
            if size > 1 { mix(candidate.id ^ 0x9e37_79b9_7f4a_7c15) % (size - 1) + 1 } else { 1 };
        Self {
            id: candidate.id,
            index: candidate.index,
            weight: u64::from(candidate.weight),
            credit: 0,
            position,
            skip,
            size,
        }
    }

    /// The next position of this server's permutation that nobody has taken. The caller
    /// guarantees that one is free; the size is prime, so the walk visits all of them.
    fn next_free(&mut self, table: &[u16]) -> usize {
        loop {
            let position = self.position as usize;
            self.position = (self.position + self.skip) % self.size;
            if table[position] == FREE {
                return position;
            }
        }
    }
}

/// The finalizer of splitmix64.
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

fn largest_prime(limit: usize) -> usize {
    let is_prime =
        |n: usize| n >= 2 && (2..).take_while(|d| d * d <= n).all(|d| !n.is_multiple_of(d));
    (2..=limit).rev().find(|&n| is_prime(n)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: usize = 65_537;

    fn servers(weights: &[u16]) -> Vec<Candidate> {
        weights
            .iter()
            .enumerate()
            .map(|(i, &weight)| Candidate { index: i as u16, id: mix(i as u64 + 1), weight })
            .collect()
    }

    fn shares(table: &[u16], count: usize) -> Vec<usize> {
        let mut shares = vec![0; count];
        for &index in table {
            shares[usize::from(index)] += 1;
        }
        shares
    }

    #[track_caller]
    fn check_shares(weights: &[u16]) {
        let table = build(&servers(weights), SIZE);
        assert_eq!(table.len(), SIZE);
        let total: usize = weights.iter().map(|&w| usize::from(w)).sum();
        for (share, &weight) in shares(&table, weights.len()).into_iter().zip(weights) {
            let expected = SIZE * usize::from(weight) / total;
            // A server takes whole turns, so its share is exact but for the last round.
            let slack = total.div_ceil(usize::from(*weights.iter().max().unwrap())) + 2;
            assert!(share.abs_diff(expected) <= slack, "{share} for {expected} ({weights:?})");
        }
    }

    #[test]
    fn shares_follow_weights() {
        check_shares(&[1]);
        check_shares(&[1, 1]);
        check_shares(&[100, 100, 100]);
        check_shares(&[1, 2, 4]);
        check_shares(&[256, 1]);
        check_shares(&[10, 20, 30, 40, 50, 60, 70]);
        check_shares(&[1; 500]);
    }

    #[test]
    fn weight_zero_takes_nothing() {
        let table = build(&servers(&[1, 0, 1]), SIZE);
        assert_eq!(shares(&table, 3)[1], 0);
    }

    #[test]
    fn nobody_gives_an_empty_ring() {
        assert_eq!(build(&[], SIZE), []);
        assert_eq!(build(&servers(&[0]), SIZE), []);
    }

    #[test]
    fn order_of_configuration_does_not_matter() {
        let forward = servers(&[3, 1, 2, 5]);
        let mut backward = forward.clone();
        backward.reverse();
        assert_eq!(build(&forward, SIZE), build(&backward, SIZE));
    }

    /// Of the positions a lost server did not hold, very few change hands.
    #[test]
    fn loss_of_a_server_moves_little() {
        for count in [3, 10, 50] {
            let all = servers(&vec![100; count]);
            let before = build(&all, SIZE);
            let after = build(&all[1..], SIZE);
            let moved =
                before.iter().zip(&after).filter(|(b, a)| **b != 0 && a != b).count() as f64;
            let kept = before.iter().filter(|b| **b != 0).count() as f64;
            assert!(moved / kept < 0.05, "{count} servers: {:.3} moved", moved / kept);
        }
    }

    #[test]
    fn small_change_of_weight_moves_little() {
        let before = build(&servers(&[100; 10]), SIZE);
        let mut weights = [100; 10];
        weights[4] = 90;
        let after = build(&servers(&weights), SIZE);
        let moved = before.iter().zip(&after).filter(|(b, a)| a != b).count();
        assert!(moved < SIZE / 10, "{moved} moved");
    }

    #[test]
    fn primes() {
        for (limit, expected) in [(0, 0), (1, 0), (2, 2), (10, 7), (65_536, 65_521), (65_537, SIZE)]
        {
            assert_eq!(largest_prime(limit), expected);
        }
    }
}
