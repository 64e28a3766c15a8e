//! Names with values (FastCGI specification, 3.4).

/// Appends a name and its value.
pub fn write(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    for text in [name, value] {
        match u8::try_from(text.len()) {
            Ok(length @ 0..=0x7f) => out.push(length),
            _ => {
                let length = u32::try_from(text.len()).unwrap_or(u32::MAX) | 0x8000_0000;
                out.extend_from_slice(&length.to_be_bytes());
            }
        }
    }
    out.extend_from_slice(name);
    out.extend_from_slice(value);
}

/// The pairs in `data`, as long as they are whole.
pub fn read(data: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = data;
    std::iter::from_fn(move || {
        let (name, after) = length(rest)?;
        let (value, after) = length(after)?;
        let (name, after) = after.split_at_checked(name)?;
        let (value, after) = after.split_at_checked(value)?;
        rest = after;
        Some((name, value))
    })
}

fn length(data: &[u8]) -> Option<(usize, &[u8])> {
    let (&first, rest) = data.split_first()?;
    if first < 0x80 {
        return Some((usize::from(first), rest));
    }
    let (length, rest) = data.split_first_chunk::<4>()?;
    Some(((u32::from_be_bytes(*length) & 0x7fff_ffff) as usize, rest))
}

/// The parameter of a request field: `HTTP_` and the name in capitals, with `_` for what no variable may have.
pub fn field_name(field: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP_");
    out.extend(field.iter().map(|byte| match byte {
        b if b.is_ascii_alphanumeric() => b.to_ascii_uppercase(),
        _ => b'_',
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lengths_have_one_byte_or_four() {
        let mut out = Vec::new();
        write(&mut out, b"A", &[b'x'; 127]);
        write(&mut out, b"B", &[b'y'; 128]);
        assert_eq!(out[..3], [1, 127, b'A']);
        assert_eq!(out[130..136], [1, 0x80, 0, 0, 128, b'B']);
        let mut name = Vec::new();
        field_name(b"x-Real_ip", &mut name);
        assert_eq!(name, b"HTTP_X_REAL_IP");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(pairs in prop::collection::vec(
            (prop::collection::vec(any::<u8>(), 0..20), prop::collection::vec(any::<u8>(), 0..300)), 0..6)
        ) {
            let mut out = Vec::new();
            pairs.iter().for_each(|(name, value)| write(&mut out, name, value));
            let found: Vec<_> = read(&out).map(|(n, v)| (n.to_vec(), v.to_vec())).collect();
            prop_assert_eq!(found, pairs);
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            prop_assert!(read(&bytes).count() <= bytes.len());
        }
    }
}
