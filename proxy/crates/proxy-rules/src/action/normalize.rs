//! Bringing targets into one form (configuration manual, 4.4 "normalize-uri"; RFC 3986, 6.2.2).

use proxy_types::Diagnostic;

use super::def::{Act, ActionArgs, ActionDef, Sets};
use super::env::{Cause, Content, Flow, Reply, RuleEnv};
use crate::logformat::encode::RESERVED;
use crate::regex::hex;
use crate::sample::parse::fail;
use crate::sample::{ParseCx, Parsed};

pub(super) const ACTIONS: &[ActionDef] = &[ActionDef {
    name: "normalize-uri",
    sets: Sets::of(".....Y.."),
    parse: normalize,
    syntax: "<normalizer> [ full | strict ]",
    doc: "Brings the target into one form.",
}];

/// Every normalizer, with the option it takes.
const NORMALIZERS: [(&str, &str, Kind); 8] = [
    ("fragment-encode", "", Kind::FragmentEncode),
    ("fragment-strip", "", Kind::FragmentStrip),
    ("path-merge-slashes", "", Kind::MergeSlashes),
    ("path-strip-dot", "", Kind::StripDot),
    ("path-strip-dotdot", "full", Kind::StripDotDot),
    ("percent-decode-unreserved", "strict", Kind::DecodeUnreserved),
    ("percent-to-uppercase", "strict", Kind::Uppercase),
    ("query-sort-by-name", "", Kind::SortQuery),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    DecodeUnreserved,
    FragmentEncode,
    FragmentStrip,
    MergeSlashes,
    SortQuery,
    StripDot,
    StripDotDot,
    Uppercase,
}

#[derive(Debug)]
struct Normalize {
    kind: Kind,
    /// `strict` or `full`.
    option: bool,
}

fn normalize(args: &mut ActionArgs<'_, '_>, _: &mut ParseCx<'_>) -> Parsed<Box<dyn Act>> {
    let names = NORMALIZERS.map(|(name, ..)| name);
    let (name, span) = args.text(&format!("a normalizer ({})", names.join(", ")))?;
    let Some((_, option, kind)) = NORMALIZERS.into_iter().find(|(n, ..)| *n == name) else {
        return fail(
            Diagnostic::alert(format!("unknown normalizer '{name}'"))
                .at(span)
                .did_you_mean(proxy_types::text::nearest(&name, names))
                .expected(names.join(", ")),
        );
    };
    let option = !option.is_empty() && args.take_keyword(option);
    Ok(Box::new(Normalize { kind, option }))
}

/// The text has a percent sign that encodes nothing.
struct Broken;

type Out<'a> = bumpalo::collections::Vec<'a, u8>;

/// Goes through percent-encodings; `write` gets the byte and its two digits.
fn percent(
    text: &[u8],
    strict: bool,
    out: &mut Out<'_>,
    write: impl Fn(&mut Out<'_>, u8, [u8; 2]),
) -> Result<(), Broken> {
    let mut rest = text;
    while let Some((&b, after)) = rest.split_first() {
        rest = after;
        match (b, after) {
            (b'%', [hi, lo, tail @ ..]) if hi.is_ascii_hexdigit() && lo.is_ascii_hexdigit() => {
                write(out, hex(*hi) << 4 | hex(*lo), [*hi, *lo]);
                rest = tail;
            }
            (b'%', _) if strict => return Err(Broken),
            _ => out.push(b),
        }
    }
    Ok(())
}

fn strip_dot(path: &[u8], out: &mut Out<'_>) {
    let Some(tail) = path.strip_prefix(b"/") else {
        out.extend_from_slice(path);
        return;
    };
    out.push(b'/');
    for segment in tail.split_inclusive(|b| *b == b'/') {
        if !matches!(segment, b"." | b"./") {
            out.extend_from_slice(segment);
        }
    }
}

/// Segments of a path, each with the slash behind it, written one by one with those above taken back.
fn strip_dotdot(path: &[u8], full: bool, out: &mut Out<'_>) {
    let Some(tail) = path.strip_prefix(b"/") else {
        out.extend_from_slice(path);
        return;
    };
    out.push(b'/');
    // Where each kept segment starts; a `..` that leads above the root cannot be taken back.
    let mut starts: smallvec::SmallVec<[usize; 16]> = smallvec::SmallVec::new();
    let mut rest = tail;
    loop {
        let end = memchr::memchr(b'/', rest);
        let segment = &rest[..end.unwrap_or(rest.len())];
        match (segment == b"..", starts.pop()) {
            (true, Some(start)) => out.truncate(start),
            (true, None) if full => {}
            (is_parent, popped) => {
                starts.extend(popped);
                if !is_parent {
                    starts.push(out.len());
                }
                out.extend_from_slice(segment);
                if end.is_some() {
                    out.push(b'/');
                }
                if is_parent {
                    // Above it nothing can be taken back.
                    starts.clear();
                }
            }
        }
        match end {
            Some(end) => rest = &rest[end + 1..],
            None => break,
        }
    }
}

fn sort_query(query: &[u8], out: &mut Out<'_>) {
    let mut parts: smallvec::SmallVec<[&[u8]; 16]> = query.split(|b| *b == b'&').collect();
    parts.sort_by_key(|part| part.split(|b| *b == b'=').next().unwrap_or(part));
    for (i, part) in parts.iter().enumerate() {
        if i > 0 {
            out.push(b'&');
        }
        out.extend_from_slice(part);
    }
}

impl Normalize {
    /// Appends the new form of the path with its query.
    fn apply(&self, text: &[u8], out: &mut Out<'_>) -> Result<(), Broken> {
        let fragment = memchr::memchr(b'#', text);
        let (main, tail) = text.split_at(fragment.unwrap_or(text.len()));
        let query = memchr::memchr(b'?', main).unwrap_or(main.len());
        let (path, query) = main.split_at(query);
        match self.kind {
            Kind::FragmentStrip => out.extend_from_slice(main),
            Kind::FragmentEncode => {
                for &b in text {
                    match b {
                        b'#' => out.extend_from_slice(b"%23"),
                        _ => out.push(b),
                    }
                }
            }
            Kind::MergeSlashes => {
                for &b in path {
                    if b != b'/' || out.last() != Some(&b'/') {
                        out.push(b);
                    }
                }
                out.extend_from_slice(query);
                out.extend_from_slice(tail);
            }
            Kind::StripDot => {
                strip_dot(path, out);
                out.extend_from_slice(query);
                out.extend_from_slice(tail);
            }
            Kind::StripDotDot => {
                strip_dotdot(path, self.option, out);
                out.extend_from_slice(query);
                out.extend_from_slice(tail);
            }
            Kind::DecodeUnreserved => {
                percent(text, self.option, out, |out, byte, digits| match RESERVED.has(byte) {
                    false => out.push(byte),
                    true => out.extend_from_slice(&[b'%', digits[0], digits[1]]),
                })?;
            }
            Kind::Uppercase => {
                percent(text, self.option, out, |out, _, digits| {
                    let upper = digits.map(|d| d.to_ascii_uppercase());
                    out.extend_from_slice(&[b'%', upper[0], upper[1]]);
                })?;
            }
            Kind::SortQuery => {
                out.extend_from_slice(path);
                if let [mark, query @ ..] = query {
                    out.push(*mark);
                    sort_query(query, out);
                }
                out.extend_from_slice(tail);
            }
        }
        Ok(())
    }
}

impl Act for Normalize {
    fn run<'a>(&'a self, env: &mut RuleEnv<'_, 'a>) -> Flow<'a> {
        let scratch = env.base.scratch;
        let Some(head) = env.request.as_deref_mut() else { return Flow::Next };
        let target = head.path_and_query();
        if !target.starts_with(b"/") {
            return Flow::Next;
        }
        let mut out = Out::with_capacity_in(target.len(), scratch);
        match self.apply(target, &mut out) {
            Ok(()) => {
                if out != target {
                    head.set_path_and_query(&out);
                }
                Flow::Next
            }
            Err(Broken) => {
                Flow::Reply(Reply { status: 400, cause: Cause::Bad, content: Content::ErrorPage })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(normalizer: &str, option: bool, text: &str, expected: Option<&str>) {
        let (.., kind) = NORMALIZERS.into_iter().find(|(n, ..)| *n == normalizer).unwrap();
        let scratch = bumpalo::Bump::new();
        let mut out = Out::new_in(&scratch);
        let result = Normalize { kind, option }.apply(text.as_bytes(), &mut out);
        let got = result.is_ok().then(|| String::from_utf8_lossy(&out).into_owned());
        assert_eq!(got.as_deref(), expected, "{normalizer} {text}");
    }

    #[test]
    fn examples_of_the_manual() {
        check("fragment-encode", false, "/#foo", Some("/%23foo"));
        check("fragment-strip", false, "/#foo", Some("/"));
        for (text, expected) in [
            ("/.", "/"),
            ("/./bar/", "/bar/"),
            ("/a/./a", "/a/a"),
            ("/.well-known/", "/.well-known/"),
            ("/a/.", "/a/"),
            ("/a//b/./", "/a//b/"),
            ("/./.", "/"),
            ("//./a", "//a"),
        ] {
            check("path-strip-dot", false, text, Some(expected));
        }
        for (text, expected) in [
            ("/foo/../", "/"),
            ("/foo/../bar/", "/bar/"),
            ("/foo/bar/../", "/foo/"),
            ("/../bar/", "/../bar/"),
            ("/bar/../../", "/../"),
            ("/foo//../", "/foo/"),
            ("/foo/%2E%2E/", "/foo/%2E%2E/"),
            ("/foo/..", "/"),
            ("/a/b/..?x=/../", "/a/?x=/../"),
        ] {
            check("path-strip-dotdot", false, text, Some(expected));
        }
        check("path-strip-dotdot", true, "/../bar/", Some("/bar/"));
        check("path-strip-dotdot", true, "/bar/../../", Some("/"));
        check("path-strip-dotdot", true, "/../../a/../b", Some("/b"));
        check("path-merge-slashes", false, "//", Some("/"));
        check("path-merge-slashes", false, "/foo//bar?a//b", Some("/foo/bar?a//b"));
        for (text, plain, strict) in [
            ("/%61dmin", "/admin", Some("/admin")),
            ("/foo%3Fbar=baz", "/foo%3Fbar=baz", Some("/foo%3Fbar=baz")),
            ("/%%36%36", "/%66", None),
            ("/%ZZ", "/%ZZ", None),
        ] {
            check("percent-decode-unreserved", false, text, Some(plain));
            check("percent-decode-unreserved", true, text, strict);
        }
        check("percent-to-uppercase", false, "/%6f%zz", Some("/%6F%zz"));
        check("percent-to-uppercase", true, "/%zz", None);
        check("query-sort-by-name", false, "/?c=3&a=1&b=2", Some("/?a=1&b=2&c=3"));
        check("query-sort-by-name", false, "/?aaa=3&a=1&aa=2", Some("/?a=1&aa=2&aaa=3"));
        check("query-sort-by-name", false, "/?a=3&b=4&a=1&b=5&a=2", Some("/?a=3&a=1&a=2&b=4&b=5"));
    }
}
