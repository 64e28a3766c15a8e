//! The cookie of an RDP connection request (MS-RDPBCGR, 2.2.1.1; configuration manual, 7.3.5).

use crate::sample::args::{ArgDef, ArgKind, opt};
use crate::sample::{Args, Cursor, EvalCtx, FetchDef, Sample, Type, Validity};

const NAME: &[ArgDef] = &[opt(ArgKind::Str)];
const AT: Validity = Validity::REQUEST;

pub(super) const FETCHES: &[FetchDef] = &[
    FetchDef::new("rdp_cookie", NAME, Type::Str, AT, cookie, "Same as `req.rdp_cookie`.")
        .eg(&[("rdp_cookie", None)]),
    FetchDef::new("rdp_cookie_cnt", NAME, Type::Sint, AT, count, "Same as `req.rdp_cookie_cnt`.")
        .eg(&[("rdp_cookie_cnt", None)]),
    FetchDef::new(
        "req.rdp_cookie",
        NAME,
        Type::Str,
        AT,
        cookie,
        "Value of the cookie of an RDP request.",
    )
    .eg(&[("req.rdp_cookie", None)]),
    FetchDef::new(
        "req.rdp_cookie_cnt",
        NAME,
        Type::Sint,
        AT,
        count,
        "1 for an RDP request with the cookie, 0 for another.",
    )
    .eg(&[("req.rdp_cookie_cnt", None)]),
];

enum Found<'a> {
    Cookie(&'a [u8]),
    None,
    Partial,
}

/// TPKT (RFC 2126), X.224 connection request, then `Cookie: name=value` and a line end.
fn find<'a>(data: &'a [u8], name: &[u8]) -> Found<'a> {
    const START: usize = 11;
    let known = [(0, 3u8), (1, 0), (5, 0xe0)];
    if known.iter().any(|(at, byte)| data.get(*at).is_some_and(|b| b != byte)) {
        return Found::None;
    }
    let Some(&[hi, lo]) = data.get(2..4).and_then(|b| <&[u8; 2]>::try_from(b).ok()) else {
        return Found::Partial;
    };
    let size = usize::from(hi) << 8 | usize::from(lo);
    let Some(request) = data.get(..size) else { return Found::Partial };
    let Some(text) = request.get(START..) else { return Found::None };
    const PREFIX: &[u8] = b"Cookie: ";
    let Some(rest) =
        text.get(PREFIX.len()..).filter(|_| text[..PREFIX.len()].eq_ignore_ascii_case(PREFIX))
    else {
        return Found::None;
    };
    let end = rest.iter().position(|b| matches!(b, b'\r' | b'\n')).unwrap_or(rest.len());
    let Some(eq) = memchr::memchr(b'=', &rest[..end]) else { return Found::None };
    match name.is_empty() || rest[..eq].eq_ignore_ascii_case(name) {
        true => Found::Cookie(&rest[eq + 1..end]),
        false => Found::None,
    }
}

fn search<'a>(cx: &EvalCtx<'a>, args: &Args, cursor: &mut Cursor) -> Option<Found<'a>> {
    let data = cx.req_data.filter(|_| cx.request.is_none())?;
    match find(data, args.str(0).unwrap_or_default()) {
        Found::Partial if cx.complete => Some(Found::None),
        Found::Partial => cursor.wait(),
        found => Some(found),
    }
}

fn cookie<'a>(cx: &EvalCtx<'a>, args: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    match search(cx, args, cursor)? {
        Found::Cookie(value) => Some(Sample::Str(value)),
        Found::None | Found::Partial => None,
    }
}

fn count<'a>(cx: &EvalCtx<'a>, args: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    let found = matches!(search(cx, args, cursor)?, Found::Cookie(_));
    Some(Sample::Int(i64::from(found)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests() {
        let mut data = vec![3, 0, 0, 0, 0, 0xe0, 0, 0, 0, 0, 0];
        data.extend(b"Cookie: mstshash=user\r\n\x01\0\x08\0");
        data[3] = data.len() as u8;
        assert!(matches!(find(&data, b"MSTSHASH"), Found::Cookie(b"user")));
        assert!(matches!(find(&data, b""), Found::Cookie(b"user")));
        assert!(matches!(find(&data, b"msts"), Found::None));
        for len in 0..data.len() {
            assert!(matches!(find(&data[..len], b""), Found::Partial), "{len}");
        }
        assert!(matches!(find(b"GET / HTTP/1.1", b""), Found::None));
    }
}
