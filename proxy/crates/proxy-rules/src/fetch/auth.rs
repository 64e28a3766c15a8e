//! Credentials of the request (RFC 7617, RFC 6750; configuration manual, 7.3.6 and 12.2).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::http_req::head;
use crate::sample::args::{Arg, ArgDef, ArgKind, opt, req};
use crate::sample::{Args, Cursor, EvalCtx, FetchDef, Sample, Type, Validity};

const LIST: &[ArgDef] = &[req(ArgKind::Userlist)];
const AT: Validity = Validity::REQUEST;

pub(super) const FETCHES: &[FetchDef] = &[
    FetchDef::new(
        "http_auth",
        LIST,
        Type::Bool,
        AT,
        http_auth,
        "True when name and password are those of a user of the list.",
    )
    .eg(&[("http_auth(users)", Some("1"))]),
    FetchDef::new(
        "http_auth_bearer",
        &[opt(ArgKind::Str)],
        Type::Str,
        AT,
        bearer,
        "Token of a Bearer Authorization field, or of the field given.",
    )
    .eg(&[("http_auth_bearer(x-token)", Some("abc.def")), ("http_auth_bearer", None)]),
    FetchDef::new(
        "http_auth_group",
        LIST,
        Type::Str,
        AT,
        group,
        "The groups of the user in ACLs, its name elsewhere, when name and password are right.",
    )
    .eg(&[("http_auth_group(users)", Some("tiger"))]),
    FetchDef::new("http_auth_pass", &[], Type::Str, AT, pass, "Password of Basic credentials.")
        .eg(&[("http_auth_pass", Some("scott"))]),
    FetchDef::new("http_auth_type", &[], Type::Str, AT, scheme, "Scheme of the credentials.")
        .eg(&[("http_auth_type", Some("Basic"))]),
    FetchDef::new("http_auth_user", &[], Type::Str, AT, user, "Name of Basic credentials.")
        .eg(&[("http_auth_user", Some("tiger"))]),
];

/// Scheme and credentials. A request to a proxy, which names the whole target, says so in its own field.
fn credentials<'a>(cx: &EvalCtx<'a>, cursor: &mut Cursor) -> Option<(&'a [u8], &'a [u8])> {
    let head = head(cx, cursor)?;
    let to_proxy = !head.target().starts_with(b"/") && !head.target().starts_with(b"*");
    let name: &[u8] = if to_proxy { b"proxy-authorization" } else { b"authorization" };
    split(head.headers().get(name)?)
}

fn split(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(b' ', value).filter(|end| *end > 0)?;
    Some((&value[..end], proxy_http::value::trim(&value[end..])))
}

/// Name and password.
fn basic<'a>(cx: &EvalCtx<'a>, cursor: &mut Cursor) -> Option<(&'a [u8], &'a [u8])> {
    let (scheme, text) = credentials(cx, cursor)?;
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return None;
    }
    let room = cx.scratch.alloc_slice_fill_copy(base64::decoded_len_estimate(text.len()), 0u8);
    let len = STANDARD.decode_slice(text, room).ok()?;
    let room: &'a [u8] = &room[..len];
    let colon = memchr::memchr(b':', room)?;
    Some((&room[..colon], &room[colon + 1..]))
}

fn known<'a>(cx: &EvalCtx<'a>, args: &Args, cursor: &mut Cursor) -> Option<&'a crate::users::User> {
    let Arg::Name(list) = args.get(0) else { return None };
    let (name, password) = basic(cx, cursor)?;
    cx.userlist(list)?.authenticate(name, password)
}

fn http_auth<'a>(cx: &EvalCtx<'a>, args: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    let found = known(cx, args, cursor).is_some();
    if cursor.may_change && !cx.complete {
        return None;
    }
    Some(Sample::Bool(found))
}

fn group<'a>(cx: &EvalCtx<'a>, args: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    let user = known(cx, args, cursor)?;
    if !cursor.iterate {
        return Some(Sample::Str(user.name.as_bytes()));
    }
    let group = user.groups.get(cursor.at[0] as usize)?;
    cursor.at[0] += 1;
    cursor.more = true;
    Some(Sample::Str(group.as_bytes()))
}

fn bearer<'a>(cx: &EvalCtx<'a>, args: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    let (scheme, token) = match args.str(0).filter(|name| !name.is_empty()) {
        None => credentials(cx, cursor)?,
        Some(name) => split(head(cx, cursor)?.headers().get(name)?)?,
    };
    (scheme.eq_ignore_ascii_case(b"bearer") && !token.is_empty()).then_some(Sample::Str(token))
}

fn pass<'a>(cx: &EvalCtx<'a>, _: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    basic(cx, cursor).map(|(_, password)| Sample::Str(password))
}

fn scheme<'a>(cx: &EvalCtx<'a>, _: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    let (scheme, _) = credentials(cx, cursor)?;
    let known: &[&'static str] = &["Basic", "Bearer", "Digest"];
    let name = known.iter().find(|name| scheme.eq_ignore_ascii_case(name.as_bytes()));
    Some(Sample::Str(name.map_or(scheme, |name| name.as_bytes())))
}

fn user<'a>(cx: &EvalCtx<'a>, _: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    basic(cx, cursor).map(|(name, _)| Sample::Str(name))
}
