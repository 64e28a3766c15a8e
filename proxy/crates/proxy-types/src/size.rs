//! Sizes: `64k`, `2m`, `1g`, or plain bytes (configuration manual, 2.6).

/// Why a text is no size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    #[error("missing value")]
    Empty,
    #[error("unexpected character '{found}'")]
    Unexpected { found: char, offset: usize },
    #[error("value too large")]
    Overflow,
}

/// Bytes in `text`: an unsigned integer with an optional unit `k`, `m` or `g` of either case.
pub fn parse_size(text: &str) -> Result<u64, SizeError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let unexpected = |offset: usize| match text.get(offset..).and_then(|t| t.chars().next()) {
        Some(found) => SizeError::Unexpected { found, offset },
        None => SizeError::Empty,
    };
    if digits == 0 {
        return Err(unexpected(0));
    }
    let shift = match text.as_bytes().get(digits) {
        None => 0,
        Some(b'k' | b'K') => 10,
        Some(b'm' | b'M') => 20,
        Some(b'g' | b'G') => 30,
        Some(_) => return Err(unexpected(digits)),
    };
    if shift > 0 && text.len() > digits + 1 {
        return Err(unexpected(digits + 1));
    }
    let value: u64 = text[..digits].parse().map_err(|_| SizeError::Overflow)?;
    value.checked_mul(1 << shift).ok_or(SizeError::Overflow)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<u64, SizeError>) {
        assert_eq!(parse_size(text), expected, "{text:?}");
    }

    #[test]
    fn sizes() {
        check("0", Ok(0));
        check("16384", Ok(16384));
        check("64k", Ok(65536));
        check("2M", Ok(2 << 20));
        check("1g", Ok(1 << 30));
        check("", Err(SizeError::Empty));
        check("k", Err(SizeError::Unexpected { found: 'k', offset: 0 }));
        check("-1", Err(SizeError::Unexpected { found: '-', offset: 0 }));
        check("1.5k", Err(SizeError::Unexpected { found: '.', offset: 1 }));
        check("1kb", Err(SizeError::Unexpected { found: 'b', offset: 2 }));
        check("1é", Err(SizeError::Unexpected { found: 'é', offset: 1 }));
        check("99999999999999999999", Err(SizeError::Overflow));
        check("18446744073709551615k", Err(SizeError::Overflow));
    }
}
