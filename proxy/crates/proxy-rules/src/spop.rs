//! The encodings of SPOP, the protocol of stream processing offload agents (its own document, 3.1): numbers of
//! variable length, and texts behind theirs. Header fields in binary form are made of them, too.

/// Appends a number of variable length.
pub fn put_number(out: &mut impl Extend<u8>, mut value: u64) {
    let mut put = |byte: u64| out.extend([byte as u8]);
    if value < 240 {
        return put(value);
    }
    put(value & 0xff | 240);
    value = (value - 240) >> 4;
    while value >= 128 {
        put(value & 0xff | 128);
        value = (value - 128) >> 7;
    }
    put(value);
}

/// Appends a text or binary value behind its length.
pub fn put_text(out: &mut impl Extend<u8>, text: &[u8]) {
    put_number(out, text.len() as u64);
    out.extend(text.iter().copied());
}

/// Takes values off the front of what was received. `None` is the end, or what is no such value.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub fn number(&mut self) -> Option<u64> {
        let first = u64::from(self.byte()?);
        if first < 240 {
            return Some(first);
        }
        let mut value = first;
        let mut shift = 4;
        loop {
            let byte = u64::from(self.byte()?);
            value = value.checked_add(byte.checked_shl(shift)?)?;
            if byte < 128 {
                return Some(value);
            }
            shift = Some(shift + 7).filter(|shift| *shift < 64)?;
        }
    }

    pub fn text(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        self.take(length)
    }
}

/// Names and values of header fields in binary form, up to the empty pair at their end; ends early where they are
/// malformed.
pub fn fields(list: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = Reader(list);
    std::iter::from_fn(move || {
        let (name, value) = (rest.text()?, rest.text()?);
        (!name.is_empty()).then_some((name, value))
    })
}

/// The names of a list that has no values, up to the empty one at its end, or the end of the list.
pub fn names(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Reader(list);
    std::iter::from_fn(move || rest.text().filter(|name| !name.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        for value in [0, 1, 239, 240, 241, 2287, 2288, 16380, 1 << 20, u64::from(u32::MAX)] {
            let mut bytes = Vec::new();
            put_number(&mut bytes, value);
            assert_eq!(Reader(&bytes).number(), Some(value));
        }
        let mut bytes = Vec::new();
        put_number(&mut bytes, 16380);
        assert_eq!(bytes, b"\xfc\xf0\x06");
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_survived(data in proptest::collection::vec(proptest::num::u8::ANY, 0..60)) {
            assert!(fields(&data).count() <= data.len());
            let mut reader = Reader(&data);
            while reader.number().is_some() {}
        }
    }
}
