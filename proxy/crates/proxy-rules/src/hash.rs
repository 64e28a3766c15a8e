//! Non-cryptographic hashes with HAProxy's exact results, for keys shared with it and for `balance hash`.

/// `sdbm`: the hash of Ozan Yigit's database library.
pub fn sdbm(key: &[u8]) -> u32 {
    key.iter()
        .fold(0u32, |h, &b| u32::from(b).wrapping_add(h << 6).wrapping_add(h << 16).wrapping_sub(h))
}

/// `djb2`: Bernstein's hash, started from 5381.
pub fn djb2(key: &[u8]) -> u32 {
    key.iter().fold(5381u32, |h, &b| (h << 5).wrapping_add(h).wrapping_add(u32::from(b)))
}

/// Full avalanche: spreads every input bit over the 32 bits of the result. Bob Jenkins' 32-bit integer hash and a
/// multiplication, as observed on the results of HAProxy's `djb2(1)` and `sdbm(1)`.
pub fn full(mut a: u32) -> u32 {
    a = a.wrapping_add(0x7ed5_5d16).wrapping_add(a << 12);
    a = (a ^ 0xc761_c23c) ^ (a >> 19);
    a = a.wrapping_add(0x1656_67b1).wrapping_add(a << 5);
    a = a.wrapping_add(0xd3a2_646c) ^ (a << 9);
    a = a.wrapping_add(0xfd70_46c5).wrapping_add(a << 3);
    a = (a ^ 0xb55a_4f09) ^ (a >> 16);
    a.wrapping_mul(3_221_225_473)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_haproxy() {
        assert_eq!((sdbm(b"AbC"), full(sdbm(b"AbC"))), (543_426_594, 3_998_598_579));
        assert_eq!((djb2(b"AbC"), full(djb2(b"AbC"))), (193_451_083, 759_204_296));
        assert_eq!((sdbm(b"hello"), full(sdbm(b"hello"))), (684_824_882, 2_061_535_398));
    }
}
