//! Requests of distcc, the distributed compiler (configuration manual, 7.3.5; distcc's protocol, versions 1 to 3).

use crate::sample::args::{ArgDef, ArgKind, opt, req};
use crate::sample::{Args, Cursor, EvalCtx, FetchDef, Sample, Type, Validity};

const TOKEN: &[ArgDef] = &[req(ArgKind::Str), opt(ArgKind::Int)];
const AT: Validity = Validity::of("..YYYYYYYYYYYYYYYY.Y..");

pub(super) const FETCHES: &[FetchDef] = &[
    FetchDef::new(
        "distcc_body",
        TOKEN,
        Type::Bin,
        AT,
        body,
        "What stands behind a token of distcc.",
    )
    .check(check)
    .eg(&[("distcc_body(ARGV)", None)]),
    FetchDef::new("distcc_param", TOKEN, Type::Sint, AT, param, "The number of a token of distcc.")
        .check(check)
        .eg(&[("distcc_param(DOTI)", None)]),
];

fn check(args: &mut Args) -> Result<(), String> {
    if args.str(0).is_none_or(|token| token.len() != 4) {
        return Err("a token has four characters, such as ARGV or DOTI".to_owned());
    }
    match args.int(1) {
        None | Some(1..) => Ok(()),
        Some(n) => Err(format!("occurrences are counted from 1, not {n}")),
    }
}

/// The state of a search.
enum Found<'a> {
    /// The number, and what of the body is there.
    Token(u32, &'a [u8]),
    None,
    Partial,
}

/// A token is four characters and eight hexadecimal digits. These have no body behind: version, counts, the end and
/// the status.
const BODILESS: [&[u8]; 5] = [b"DIST", b"ARGC", b"NFIL", b"DONE", b"STAT"];

fn find<'a>(mut data: &'a [u8], wanted: &[u8], occurrence: i64) -> Found<'a> {
    let mut left = occurrence;
    loop {
        let Some((token, rest)) = data.split_at_checked(12) else { return Found::Partial };
        let (name, digits) = token.split_at(4);
        let number = std::str::from_utf8(digits).ok().filter(|d| !d.starts_with('+'));
        let Some(number) = number.and_then(|d| u32::from_str_radix(d, 16).ok()) else {
            return Found::None;
        };
        let length = if BODILESS.contains(&name) { 0 } else { number as usize };
        if name == wanted {
            left -= 1;
            if left == 0 {
                return Found::Token(number, &rest[..length.min(rest.len())]);
            }
        }
        let Some(after) = rest.get(length..) else { return Found::Partial };
        data = after;
    }
}

fn search<'a>(cx: &EvalCtx<'a>, args: &Args, cursor: &mut Cursor) -> Option<(u32, &'a [u8])> {
    let data = cx.req_data?;
    match find(data, args.str(0)?, args.int(1).unwrap_or(1)) {
        Found::Token(number, body) => Some((number, body)),
        Found::None => None,
        Found::Partial => cursor.wait(),
    }
}

fn param<'a>(cx: &EvalCtx<'a>, args: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    search(cx, args, cursor).map(|(number, _)| Sample::Int(number.into()))
}

fn body<'a>(cx: &EvalCtx<'a>, args: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    let (number, body) = search(cx, args, cursor)?;
    if body.len() < number as usize {
        return cursor.wait();
    }
    Some(Sample::Bin(body))
}

#[cfg(test)]
mod tests {
    use crate::sample::example::Traffic;

    #[track_caller]
    fn eval(data: &[u8], text: &str, expected: Option<&str>) {
        let mut traffic = Traffic::new();
        traffic.req_data = data.to_vec();
        assert_eq!(traffic.eval(text), Ok(expected.map(str::to_owned)), "{text}");
    }

    #[test]
    fn tokens_are_found() {
        let request = b"DIST00000001ARGC00000002ARGV00000003gccARGV00000002-cDOTI00001000int x;";
        eval(request, "distcc_param(DIST)", Some("1"));
        eval(request, "distcc_param(ARGC)", Some("2"));
        eval(request, "distcc_body(ARGV)", Some("gcc"));
        eval(request, "distcc_body(ARGV,2)", Some("-c"));
        eval(request, "distcc_body(ARGV,3)", None);
        // The length is known before the file is there.
        eval(request, "distcc_param(DOTI)", Some("4096"));
        eval(request, "distcc_body(DOTI)", None);
        eval(b"GET / HTTP/1.1\r\n", "distcc_param(DIST)", None);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_survived(data in proptest::collection::vec(proptest::num::u8::ANY, 0..80)) {
            let _ = super::find(&data, b"ARGV", 2);
        }
    }
}
