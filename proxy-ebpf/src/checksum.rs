//! The Internet checksum, changed incrementally (RFC 1624, equation 3).
//!
//! All sums are of 16-bit words as they stand in memory: one's complement addition gives the same bytes
//! in either byte order (RFC 1071 section 2 B).

/// Folds a sum of 32-bit words to 32 bits.
#[inline(always)]
fn fold64(sum: u64) -> u32 {
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    ((sum & 0xffff_ffff) + (sum >> 32)) as u32
}

/// Folds to 16 bits.
#[inline(always)]
fn fold32(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}

/// What replacing `old` by `new` adds to a sum.
#[inline(always)]
pub fn diff(old: u32, new: u32) -> u32 {
    fold64(u64::from(!old) + u64::from(new))
}

/// [`diff`] of four words each.
#[inline(always)]
pub fn diff4(old: &[u32; 4], new: &[u32; 4]) -> u32 {
    let mut sum = 0;
    sum += u64::from(!old[0]) + u64::from(new[0]);
    sum += u64::from(!old[1]) + u64::from(new[1]);
    sum += u64::from(!old[2]) + u64::from(new[2]);
    sum += u64::from(!old[3]) + u64::from(new[3]);
    fold64(sum)
}

/// Two differences as one.
#[inline(always)]
pub fn join(a: u32, b: u32) -> u32 {
    fold64(u64::from(a) + u64::from(b))
}

/// The checksum field after a difference.
#[inline(always)]
pub fn apply(check: u16, diff: u32) -> u16 {
    !fold32(join(u32::from(!check), diff))
}

/// The same for UDP: a field of zero says that there is no checksum, and one that comes to zero is written as
/// ones (RFC 768).
#[inline(always)]
pub fn apply_udp(check: u16, diff: u32) -> u16 {
    if check == 0 {
        return 0;
    }
    match apply(check, diff) {
        0 => 0xffff,
        check => check,
    }
}

/// The checksum of what sums up to this.
#[inline(always)]
pub fn finish(sum: u32) -> u16 {
    !fold32(sum)
}

/// The checksum of a header that is the sum of these words.
#[inline(always)]
pub fn whole(words: &[u32; 6]) -> u16 {
    let mut sum = 0;
    sum += u64::from(words[0]) + u64::from(words[1]);
    sum += u64::from(words[2]) + u64::from(words[3]);
    sum += u64::from(words[4]) + u64::from(words[5]);
    apply(0xffff, fold64(sum))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The checksum in full (RFC 1071).
    fn full(words: &[u16]) -> u16 {
        let mut sum: u32 = 0;
        for word in words {
            sum += u32::from(*word);
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(sum as u16)
    }

    #[track_caller]
    fn check(rest: u16, old: u32, new: u32) {
        let halves = |word: u32| [(word & 0xffff) as u16, (word >> 16) as u16];
        let [a, b] = halves(old);
        let [c, d] = halves(new);
        assert_eq!(
            apply(full(&[rest, a, b]), diff(old, new)),
            full(&[rest, c, d]),
            "{rest:#x} {old:#x} -> {new:#x}"
        );
    }

    #[test]
    fn incremental_equals_full() {
        check(0x1234, 0x0a00_0001, 0xc0a8_0a02);
        check(0x4500, 0xffff_ffff, 0x0000_0001);
        check(0xffff, 0x0000_0001, 0xffff_fffe);
        // RFC 1624 section 4: the case that equation 2 of RFC 1141 gets wrong.
        check(0xcd7a, 0x0000_5555, 0x0000_3285);
    }

    #[test]
    fn joined_differences_equal_both() {
        let check = 0x1c46;
        let (a, b) = (diff(0xdead_beef, 0x0102_0304), diff(7, 0xffff_0000));
        assert_eq!(apply(apply(check, a), b), apply(check, join(a, b)));
        assert_eq!(diff4(&[1, 2, 3, 4], &[1, 2, 3, 4]), diff(0, 0));
    }
}
