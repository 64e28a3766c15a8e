//! JSON Web Tokens (RFC 7515, 7518, 7519; configuration manual, 7.3.1).

use std::sync::Arc;

use aws_lc_rs::{hmac, signature};
use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, URL_SAFE_NO_PAD};

use super::json::{check_query, query};
use crate::jwe::{self, Key};
use crate::jwt::{Algorithm, Family, Pair, PublicKey};
use crate::sample::args::{Arg, ArgDef, ArgKind, opt, req};
use crate::sample::{Args, ConvDef, EvalCtx, Sample, Type};

const QUERY: &[ArgDef] = &[opt(ArgKind::Str), opt(ArgKind::Str)];

/// `{"alg":"HS256","typ":"JWT"}` . `{"sub":"1","n":5}`, with the key `secret`.
macro_rules! token {
    () => {
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxIiwibiI6NX0.JpxPas6dJDhmYC4_X7SvhcBqYm6Vx1XU268PJdYgwIw"
    };
}

/// "Live long and prosper." under A128KW and A128CBC-HS256 (RFC 7516, A.3).
macro_rules! sealed {
    () => {
        concat!(
            "eyJhbGciOiJBMTI4S1ciLCJlbmMiOiJBMTI4Q0JDLUhTMjU2In0.",
            "6KB707dM9YTIgHtLvtgWQ8mKwboJW3of9locizkDTHzBC2IlrT1oOQ.AxY8DCtDaGlsbGljb3RoZQ.",
            "KDlTtXchhZTGufMYmOYGS4HffxPSUrfmqCHXaI9wOGY.U0m_YmjN04DJvceFICbCVQ"
        )
    };
}

pub(super) const CONVS: &[ConvDef] = &[
    ConvDef::new("jwt_decrypt_cert", &[req(ArgKind::Certificate)], Type::Bin, Type::Bin, decrypt_cert, "The content of an encrypted token that the key of a certificate opens; empty when it does not.")
        .eg(&[(concat!("str(", sealed!(), "),jwt_decrypt_cert(txn.example)"), Some(""))]),
    ConvDef::new("jwt_decrypt_jwk", &[req(ArgKind::Value)], Type::Bin, Type::Bin, decrypt_jwk, "The content of an encrypted token that a JSON Web Key opens; empty when it does not.")
        .eg(&[
            (concat!("str(", sealed!(), r#"),jwt_decrypt_jwk('{"kty":"oct","k":"GawgguFyGrWKav7AX4VKUg"}')"#), Some("Live long and prosper.")),
            (concat!("str(", sealed!(), r#"),jwt_decrypt_jwk('{"kty":"oct","k":"HawgguFyGrWKav7AX4VKUg"}')"#), Some("")),
            (concat!("str(", sealed!(), "),jwt_decrypt_jwk(nonsense)"), Some("")),
        ]),
    ConvDef::new("jwt_decrypt_secret", &[req(ArgKind::Value)], Type::Bin, Type::Bin, decrypt_secret, "The content of an encrypted token that a secret in base64 opens; empty when it does not.")
        .eg(&[
            (concat!("str(", sealed!(), "),jwt_decrypt_secret(GawgguFyGrWKav7AX4VKUg==)"), Some("Live long and prosper.")),
            (concat!("str(", sealed!(), "),jwt_decrypt_secret(GawgguFyGrWKav7AX4VKUg)"), Some("Live long and prosper.")),
            ("str(a.b.c.d.e),jwt_decrypt_secret(GawgguFyGrWKav7AX4VKUg)", Some("")),
        ]),
    ConvDef::new("jwt_header_query", QUERY, Type::Bin, Type::Any, header_query, "The decoded header of a token, or a value in it.")
        .check(check_query)
        .eg(&[
            (concat!("str(", token!(), "),jwt_header_query('$.alg')"), Some("HS256")),
            (concat!("str(", token!(), "),jwt_header_query"), Some("{\"alg\":\"HS256\",\"typ\":\"JWT\"}")),
            ("str(a.b),jwt_header_query", None),
        ]),
    ConvDef::new("jwt_payload_query", QUERY, Type::Bin, Type::Any, payload_query, "The decoded payload of a token, or a value in it.")
        .check(check_query)
        .eg(&[(concat!("str(", token!(), "),jwt_payload_query('$.n',int),add(1)"), Some("6"))]),
    ConvDef::new(
        "jwt_verify",
        &[req(ArgKind::Value), req(ArgKind::PublicKey)],
        Type::Bin,
        Type::Sint,
        verify,
        "Verifies the signature of a token: 1 when it is right, 0 when it is wrong, less for errors.",
    )
    .check(check_verify)
    .eg(&[
        (concat!("str(", token!(), "),jwt_verify(HS256,secret)"), Some("1")),
        (concat!("str(", token!(), "),jwt_verify(HS256,other)"), Some("0")),
        ("str(a.b),jwt_verify(HS256,secret)", Some("-3")),
    ]),
    ConvDef::new(
        "jwt_verify_cert",
        &[req(ArgKind::Value), req(ArgKind::Certificate)],
        Type::Bin,
        Type::Sint,
        verify_cert,
        "Verifies the signature of a token by a certificate: 1 when it is right, 0 when it is wrong, less for errors.",
    )
    .check(check_verify_cert)
    .eg(&[
        (concat!("str(", token!(), "),jwt_verify_cert(RS256,txn.example)"), Some("-5")),
        (concat!("str(", token!(), "),jwt_verify_cert(HS256,txn.example)"), Some("-2")),
    ]),
];

/// The parts of a token in compact form: three of a signed one, five of an encrypted one.
fn parts(token: &[u8]) -> Option<([&[u8]; 5], usize)> {
    let mut parts: [&[u8]; 5] = [b""; 5];
    let mut count = 0;
    for part in token.split(|b| *b == b'.') {
        *parts.get_mut(count)? = part;
        count += 1;
    }
    matches!(count, 3 | 5).then_some((parts, count))
}

fn decode<'a>(cx: &EvalCtx<'a>, part: &[u8]) -> Option<&'a [u8]> {
    let room = cx.scratch.alloc_slice_fill_copy(base64::decoded_len_estimate(part.len()), 0u8);
    let len = URL_SAFE_NO_PAD.decode_slice(part, room).ok()?;
    Some(&room[..len])
}

fn of_part<'a>(cx: &EvalCtx<'a>, args: &'a Args, part: &[u8]) -> Option<Sample<'a>> {
    let text = decode(cx, part)?;
    if args.is_given(0) { query(cx, args, text) } else { Some(Sample::Str(text)) }
}

/// Base64 whose padding may be missing.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

fn decrypt<'a>(cx: &EvalCtx<'a>, token: &[u8], key: Option<Key>) -> Option<Sample<'a>> {
    let plain = key.and_then(|key| jwe::decrypt(token, &key, cx.shared.jwe));
    Some(Sample::Bin(cx.scratch.alloc_slice_copy(&plain.unwrap_or_default())))
}

fn decrypt_cert<'a>(cx: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    let pair = certificate(cx, args, 0);
    decrypt(cx, value.bytes()?, pair.and_then(|pair| pair.key().cloned()))
}

/// The certificate that was read for the constant argument, or the one of the name that a variable holds.
fn certificate<'a>(cx: &EvalCtx<'a>, args: &'a Args, at: usize) -> Option<Arc<Pair>> {
    match args.get(at) {
        Arg::Certificate(source) => source.pair(),
        _ => cx.shared.public_keys.certificate(args.text(at, cx)?)?.pair(),
    }
}

fn decrypt_jwk<'a>(cx: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    decrypt(cx, value.bytes()?, Key::from_jwk(args.text(0, cx)?))
}

fn decrypt_secret<'a>(cx: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    let secret = LENIENT.decode(args.text(0, cx)?).ok();
    decrypt(cx, value.bytes()?, secret.map(Key::Secret))
}

fn header_query<'a>(cx: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    let (parts, _) = parts(value.bytes()?)?;
    of_part(cx, args, parts[0])
}

fn payload_query<'a>(cx: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    let (parts, count) = parts(value.bytes()?)?;
    of_part(cx, args, parts[1]).filter(|_| count == 3)
}

/// A constant algorithm must be known; a constant key is kept as a secret when the algorithm is one of HMAC.
fn check_verify(args: &mut Args) -> Result<(), String> {
    let Some(name) = args.str(0) else { return Ok(()) };
    let Some(algorithm) = Algorithm::find(name) else {
        return Err(format!("unknown JWT algorithm '{}'", String::from_utf8_lossy(name)));
    };
    match args.get(1) {
        Arg::Str(_) if algorithm.needs_public_key() => {
            let name = String::from_utf8_lossy(args.str(1).unwrap_or_default()).into_owned();
            Err(format!("the public key '{name}' cannot be read"))
        }
        Arg::PublicKey(key) if !algorithm.needs_public_key() => {
            let secret = Arg::Str(key.name().as_bytes().into());
            args.0[1] = secret;
            Ok(())
        }
        _ => Ok(()),
    }
}

const FAILURE: i64 = 0;
const UNKNOWN_ALGORITHM: i64 = -1;
const UNMANAGED_ALGORITHM: i64 = -2;
const INVALID_TOKEN: i64 = -3;
const UNKNOWN_KEY: i64 = -5;

fn verify<'a>(cx: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    Some(Sample::Int(verdict(cx, args, value.bytes()?)?))
}

/// A constant algorithm must be known, and not be one of HMAC.
fn check_verify_cert(args: &mut Args) -> Result<(), String> {
    let Some(name) = args.str(0) else { return Ok(()) };
    match Algorithm::find(name) {
        Some(_) => Ok(()),
        None => Err(format!("unknown JWT algorithm '{}'", String::from_utf8_lossy(name))),
    }
}

fn verdict<'a>(cx: &EvalCtx<'a>, args: &'a Args, token: &'a [u8]) -> Option<i64> {
    let Some(algorithm) = Algorithm::find(args.text(0, cx)?) else {
        return Some(UNKNOWN_ALGORITHM);
    };
    let Some((signed, signature)) = signed(cx, token) else { return Some(INVALID_TOKEN) };
    let verified = match algorithm {
        // A token without a signature proves nothing, and nothing is what it must carry.
        Algorithm::None => return Some(i64::from(signature.is_empty())),
        Algorithm::Hmac(digest) => {
            let secret = match args.get(1) {
                Arg::PublicKey(key) => key.name().as_bytes(),
                _ => args.text(1, cx)?,
            };
            hmac::verify(&hmac::Key::new(digest, secret), signed, signature).is_ok()
        }
        Algorithm::Signature { family, verification } => {
            let Some(key) = key(cx, args) else { return Some(UNKNOWN_KEY) };
            if key.family() != family {
                return Some(UNMANAGED_ALGORITHM);
            }
            let key = signature::UnparsedPublicKey::new(verification, key.der());
            key.verify(signed, signature).is_ok()
        }
    };
    Some(if verified { 1 } else { FAILURE })
}

/// What of a token is signed, and the signature; `None` when it is none.
fn signed<'a>(cx: &EvalCtx<'a>, token: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let ([header, payload, signature, ..], 3) = parts(token)? else { return None };
    if header.is_empty() || payload.is_empty() {
        return None;
    }
    Some((&token[..header.len() + 1 + payload.len()], decode(cx, signature)?))
}

fn verify_cert<'a>(cx: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    Some(Sample::Int(verdict_of_cert(cx, args, value.bytes()?)?))
}

fn verdict_of_cert<'a>(cx: &EvalCtx<'a>, args: &'a Args, token: &'a [u8]) -> Option<i64> {
    let Some(algorithm) = Algorithm::find(args.text(0, cx)?) else {
        return Some(UNKNOWN_ALGORITHM);
    };
    let Some((signed, signature)) = signed(cx, token) else { return Some(INVALID_TOKEN) };
    Some(match algorithm {
        Algorithm::None => i64::from(signature.is_empty()),
        Algorithm::Hmac(_) => UNMANAGED_ALGORITHM,
        Algorithm::Signature { family, verification } => {
            let pair = certificate(cx, args, 1).filter(|pair| pair.family() != Family::None);
            let Some(pair) = pair else { return Some(UNKNOWN_KEY) };
            if pair.family() != family {
                return Some(UNMANAGED_ALGORITHM);
            }
            let key = signature::UnparsedPublicKey::new(verification, pair.spki());
            if key.verify(signed, signature).is_ok() { 1 } else { FAILURE }
        }
    })
}

/// The key that was read for the constant argument, or for the name that a variable holds.
fn key<'a>(cx: &EvalCtx<'a>, args: &'a Args) -> Option<Arc<PublicKey>> {
    match args.get(1) {
        Arg::PublicKey(key) => Some(key.clone()),
        _ => cx.shared.public_keys.get(args.text(1, cx)?),
    }
    .filter(|key| key.family() != Family::None)
}
