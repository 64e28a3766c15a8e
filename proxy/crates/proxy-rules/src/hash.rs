//! Non-cryptographic hashes with HAProxy's exact results, for keys shared with it.

pub use proxy_state::lb::HashFunction;
use proxy_state::lb::HashSpec;

/// The hash of `key`, spread over all 32 bits when `avalanche` is asked for.
pub fn hash(function: HashFunction, key: &[u8], avalanche: bool) -> u32 {
    HashSpec { function, avalanche, ..HashSpec::default() }.hash(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_haproxy() {
        use HashFunction::{Djb2, Sdbm};
        let both = |f, key: &[u8]| (hash(f, key, false), hash(f, key, true));
        assert_eq!(both(Sdbm, b"AbC"), (543_426_594, 3_998_598_579));
        assert_eq!(both(Djb2, b"AbC"), (193_451_083, 759_204_296));
        assert_eq!(both(Sdbm, b"hello"), (684_824_882, 2_061_535_398));
    }
}
