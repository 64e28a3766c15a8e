//! What the client offered, as far as `tune.ssl.capture-buffer-size` keeps it (configuration manual, 7.3.4).

use super::{Front, Side};
use crate::sample::args::{ArgDef, ArgKind, opt};
use crate::sample::{Args, Cursor, EvalCtx, FetchDef, Sample, Type, Validity};

/// 0 for all, 1 to leave out GREASE (RFC 8701).
const FILTER: &[ArgDef] = &[opt(ArgKind::Int)];

pub(in crate::fetch) const FETCHES: &[FetchDef] = &[
    FetchDef::new(
        "ssl_fc_cipherlist_bin",
        FILTER,
        Type::Str,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        ciphers,
        "Cipher suites that the client offered.",
    )
    .eg(&[
        ("ssl_fc_cipherlist_bin,hex", Some("0A0A1301C02F")),
        ("ssl_fc_cipherlist_bin(1),hex", Some("1301C02F")),
    ]),
    FetchDef::new(
        "ssl_fc_cipherlist_hex",
        FILTER,
        Type::Bin,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        ciphers_hex,
        "Cipher suites that the client offered, in hexadecimal.",
    )
    .eg(&[("ssl_fc_cipherlist_hex", Some("0A0A1301C02F"))]),
    FetchDef::new(
        "ssl_fc_cipherlist_str",
        FILTER,
        Type::Str,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        ciphers_str,
        "Names of the cipher suites that the client offered.",
    )
    .eg(&[(
        "ssl_fc_cipherlist_str",
        Some("UNKNOWN(0a0a),TLS_AES_128_GCM_SHA256,ECDHE-RSA-AES128-GCM-SHA256"),
    )]),
    FetchDef::new(
        "ssl_fc_cipherlist_xxh",
        &[],
        Type::Sint,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        ciphers_xxh,
        "Hash (xxh64) of the cipher suites that the client offered.",
    )
    .eg(&[("ssl_fc_cipherlist_xxh", Some("-1135630199092780479"))]),
    FetchDef::new(
        "ssl_fc_ecformats_bin",
        &[],
        Type::Str,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        formats,
        "Point formats that the client offered.",
    )
    .eg(&[("ssl_fc_ecformats_bin,hex", Some("00"))]),
    FetchDef::new(
        "ssl_fc_eclist_bin",
        FILTER,
        Type::Str,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        groups,
        "Groups of the key exchange that the client offered.",
    )
    .eg(&[("ssl_fc_eclist_bin,hex", Some("001D0017"))]),
    FetchDef::new(
        "ssl_fc_extlist_bin",
        FILTER,
        Type::Str,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        extensions,
        "Extensions of the ClientHello, in its order.",
    )
    .eg(&[("ssl_fc_extlist_bin,hex", Some("000A000B000D002B"))]),
    FetchDef::new(
        "ssl_fc_protocol_hello_id",
        &[],
        Type::Sint,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        version,
        "Version in the ClientHello.",
    )
    .eg(&[("ssl_fc_protocol_hello_id", Some("771"))]),
    FetchDef::new(
        "ssl_fc_sigalgs_bin",
        FILTER,
        Type::Bin,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        sigalgs,
        "Signature algorithms that the client offered.",
    )
    .eg(&[("ssl_fc_sigalgs_bin,hex", Some("04030804"))]),
    FetchDef::new(
        "ssl_fc_supported_versions_bin",
        FILTER,
        Type::Bin,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        versions,
        "Versions that the client offered.",
    )
    .eg(&[("ssl_fc_supported_versions_bin,hex", Some("03040303"))]),
];

/// The parts of a ClientHello (RFC 8446, 4.1.2), each empty when it is missing.
#[derive(Debug, Default, PartialEq, Eq)]
struct Hello<'a> {
    version: u16,
    ciphers: &'a [u8],
    /// Types and contents.
    extensions: Vec<(u16, &'a [u8])>,
}

const SUPPORTED_GROUPS: u16 = 10;
const EC_POINT_FORMATS: u16 = 11;
const SIGNATURE_ALGORITHMS: u16 = 13;
const SUPPORTED_VERSIONS: u16 = 43;

/// Takes a field with its length in `len` bytes in front.
fn field<'a>(data: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (head, rest) = data.split_at_checked(len)?;
    let size = head.iter().fold(0, |n, byte| n << 8 | usize::from(*byte));
    let (value, rest) = rest.split_at_checked(size)?;
    *data = rest;
    Some(value)
}

/// Reads the body of a ClientHello.
fn parse(body: &[u8]) -> Option<Hello<'_>> {
    let (&[high, low], rest) = body.split_first_chunk::<2>()?;
    // The random number.
    let mut rest = rest.get(32..)?;
    let mut hello = Hello { version: u16::from_be_bytes([high, low]), ..Hello::default() };
    field(&mut rest, 1)?;
    hello.ciphers = field(&mut rest, 2)?;
    field(&mut rest, 1)?;
    let mut extensions = field(&mut rest, 2).unwrap_or_default();
    while let Some((&[high, low], mut after)) = extensions.split_first_chunk::<2>() {
        let Some(content) = field(&mut after, 2) else { break };
        hello.extensions.push((u16::from_be_bytes([high, low]), content));
        extensions = after;
    }
    Some(hello)
}

impl<'a> Hello<'a> {
    /// The list within an extension, whose length stands in `len` bytes in front.
    fn list(&self, kind: u16, len: usize) -> Option<&'a [u8]> {
        let (_, content) = self.extensions.iter().find(|(known, _)| *known == kind)?;
        field(&mut &**content, len)
    }
}

fn of<'a>(cx: &EvalCtx<'a>) -> Option<Hello<'a>> {
    parse(Front::tls(cx)?.hello.as_deref()?)
}

/// Values of RFC 8701: 0x0a0a, 0x1a1a ... 0xfafa.
fn is_grease(pair: &[u8]) -> bool {
    matches!(pair, [a, b] if a == b && a & 0x0f == 0x0a)
}

/// 16-bit values, without GREASE when the argument asks for that.
fn pairs<'a>(cx: &EvalCtx<'a>, args: &Args, values: &[u8]) -> &'a [u8] {
    let all = args.int(0) != Some(1);
    let mut out = crate::sample::def::out(cx.scratch, values.len());
    for pair in values.chunks_exact(2).filter(|pair| all || !is_grease(pair)) {
        out.extend_from_slice(pair);
    }
    out.into_bump_slice()
}

fn ciphers<'a>(cx: &EvalCtx<'a>, args: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Bin(pairs(cx, args, of(cx)?.ciphers)))
}

fn ciphers_hex<'a>(cx: &EvalCtx<'a>, args: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    let values = pairs(cx, args, of(cx)?.ciphers);
    let text: String = values.iter().map(|byte| format!("{byte:02X}")).collect();
    Some(Sample::Str(cx.scratch.alloc_slice_copy(text.as_bytes())))
}

fn ciphers_str<'a>(cx: &EvalCtx<'a>, args: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    let values = pairs(cx, args, of(cx)?.ciphers);
    let name = |pair: &[u8]| {
        let number = u16::from_be_bytes([pair[0], pair[1]]);
        crate::x509::cipher_name(number)
            .map_or_else(|| format!("UNKNOWN({number:04x})"), str::to_owned)
    };
    let names: Vec<String> = values.chunks_exact(2).map(name).collect();
    Some(Sample::Str(cx.scratch.alloc_slice_copy(names.join(",").as_bytes())))
}

fn ciphers_xxh<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    let hash = xxhash_rust::xxh64::xxh64(of(cx)?.ciphers, 0);
    Some(Sample::Int(i64::from_ne_bytes(hash.to_ne_bytes())))
}

fn formats<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    of(cx)?.list(EC_POINT_FORMATS, 1).map(Sample::Bin)
}

fn groups<'a>(cx: &EvalCtx<'a>, args: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Bin(pairs(cx, args, of(cx)?.list(SUPPORTED_GROUPS, 2)?)))
}

fn extensions<'a>(cx: &EvalCtx<'a>, args: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    let kinds: Vec<u8> =
        of(cx)?.extensions.iter().flat_map(|(kind, _)| kind.to_be_bytes()).collect();
    Some(Sample::Bin(pairs(cx, args, &kinds)))
}

fn version<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Int(i64::from(of(cx)?.version)))
}

fn sigalgs<'a>(cx: &EvalCtx<'a>, args: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Bin(pairs(cx, args, of(cx)?.list(SIGNATURE_ALGORITHMS, 2)?)))
}

fn versions<'a>(cx: &EvalCtx<'a>, args: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Bin(pairs(cx, args, of(cx)?.list(SUPPORTED_VERSIONS, 1)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_hello() {
        let mut body = vec![3, 3];
        body.extend([0; 32]);
        body.extend([0, 0, 4, 0x0a, 0x0a, 0x13, 1, 1, 0]);
        body.extend([0, 17, 0, 10, 0, 4, 0, 2, 0, 29, 0, 11, 0, 2, 1, 0, 0x1a, 0x1a, 0]);
        let hello = parse(&body).unwrap();
        assert_eq!((hello.version, hello.ciphers), (0x0303, &[0x0a, 0x0a, 0x13, 1][..]));
        assert_eq!(hello.list(SUPPORTED_GROUPS, 2), Some(&[0, 29][..]));
        assert_eq!(hello.list(EC_POINT_FORMATS, 1), Some(&[0][..]));
        assert_eq!(hello.list(SUPPORTED_VERSIONS, 1), None);
        assert!(is_grease(&[0x1a, 0x1a]) && !is_grease(&[0x1a, 0x2a]) && !is_grease(&[0x13, 0x13]));
        for cut in 0..body.len() {
            let _ = parse(&body[..cut]);
        }
    }
}
