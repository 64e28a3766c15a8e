//! Redirections (configuration manual, 4.2 "redirect").

use proxy_types::Diagnostic;

use super::def::{Act, ActionArgs, ActionDef, SetKind, Sets};
use super::env::{Cause, Content, Flow, Reply, RuleEnv};
use crate::logformat::LogFormat;
use crate::sample::def::out;
use crate::sample::parse::{fail, show};
use crate::sample::{ParseCx, Parsed};

pub(super) const ACTIONS: &[ActionDef] = &[ActionDef {
    name: "redirect",
    sets: Sets::of(".....YY."),
    parse: |args, cx| redirect(args, cx, true),
    syntax: "{ location | prefix | scheme } <fmt> [ code <code> ] [ <option> ]*",
    doc: "Sends the client elsewhere.",
}];

/// The `redirect` keyword of proxies: the same, but its texts are no formats.
pub(crate) const STATEMENT: ActionDef = ActionDef {
    name: "redirect",
    sets: Sets::of(".....Y.."),
    parse: |args, cx| redirect(args, cx, false),
    syntax: "{ location | prefix | scheme } <text> [ code <code> ] [ <option> ]*",
    doc: "Sends the client elsewhere, after the http-request rules.",
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Location,
    Prefix,
    Scheme,
}

#[derive(Debug)]
enum Text {
    Format(LogFormat),
    Plain(Box<[u8]>),
}

#[derive(Debug)]
struct Redirect {
    kind: Kind,
    target: Text,
    code: u16,
    /// Content of a Set-Cookie field.
    cookie: Option<Text>,
    drop_query: bool,
    keep_query: bool,
    append_slash: bool,
    ignore_empty: bool,
}

fn redirect(
    args: &mut ActionArgs<'_, '_>,
    cx: &mut ParseCx<'_>,
    formats: bool,
) -> Parsed<Box<dyn Act>> {
    let mut target: Option<(Kind, Text)> = None;
    let mut rule = Redirect {
        kind: Kind::Location,
        target: Text::Plain(Box::default()),
        code: 302,
        cookie: None,
        drop_query: false,
        keep_query: false,
        append_slash: false,
        ignore_empty: false,
    };
    while let Some(word) = args.take() {
        let kind = match word.value {
            b"location" => Some(Kind::Location),
            b"prefix" => Some(Kind::Prefix),
            b"scheme" => Some(Kind::Scheme),
            _ => None,
        };
        if let Some(kind) = kind {
            if args.kind == SetKind::HttpResponse && kind != Kind::Location {
                return fail(
                    Diagnostic::alert(format!(
                        "{}: only 'location' is possible in responses",
                        args.what()
                    ))
                    .at(word.span),
                );
            }
            let text = match formats {
                true => Text::Format(args.format("where to", cx)?),
                false => Text::Plain(args.word("where to")?.value.into()),
            };
            target = Some((kind, text));
            continue;
        }
        match word.value {
            b"append-slash" => rule.append_slash = true,
            b"clear-cookie" => {
                let name = args.word("the name of a cookie")?;
                rule.cookie =
                    Some(Text::Plain([name.value, b"; path=/; Max-Age=0;"].concat().into()));
            }
            b"code" => {
                let (text, span) = args.text("a code")?;
                rule.code = match text.as_str() {
                    "301" | "302" | "303" | "307" | "308" => text.parse().unwrap_or(302),
                    _ => {
                        return fail(
                            Diagnostic::alert(format!(
                                "'code': unsupported HTTP code '{text}' (must be one of 301, 302, 303, 307 or 308)"
                            ))
                            .at(span),
                        );
                    }
                };
            }
            b"drop-query" => rule.drop_query = true,
            b"ignore-empty" => rule.ignore_empty = true,
            b"keep-query" => rule.keep_query = true,
            b"set-cookie" => {
                let cookie = args.word("a cookie")?;
                rule.cookie = Some(Text::Plain([cookie.value, b"; path=/;"].concat().into()));
            }
            b"set-cookie-fmt" => rule.cookie = Some(Text::Format(args.format("a cookie", cx)?)),
            other => {
                return fail(
                    Diagnostic::alert(format!("{} does not know '{}'", args.what(), show(other)))
                        .at(word.span)
                        .expected(
                            "code, prefix, location, scheme, set-cookie, set-cookie-fmt, clear-cookie, drop-query, \
                             keep-query, ignore-empty or append-slash",
                        ),
                );
            }
        }
    }
    let Some((kind, text)) = target else {
        return fail(
            Diagnostic::alert(format!(
                "{} expects a redirection type ('prefix', 'location', or 'scheme')",
                args.what()
            ))
            .at(args.span()),
        );
    };
    rule.kind = kind;
    rule.target = text;
    Ok(Box::new(rule))
}

impl Text {
    fn get<'a>(&'a self, env: &RuleEnv<'_, 'a>) -> &'a [u8] {
        match self {
            Self::Format(format) => env.render(format),
            Self::Plain(text) => text,
        }
    }
}

impl Act for Redirect {
    fn run<'a>(&'a self, env: &mut RuleEnv<'_, 'a>) -> Flow<'a> {
        let scratch = env.base.scratch;
        let target = self.target.get(env);
        if target.is_empty() && self.ignore_empty {
            return Flow::Next;
        }
        let mut location = out(scratch, target.len() + 128);
        match self.kind {
            Kind::Location => {
                location.extend_from_slice(target);
                if self.keep_query
                    && let Some(head) = env.request.as_deref()
                    && head.uri().has_query
                {
                    location.push(if target.contains(&b'?') { b'&' } else { b'?' });
                    location.extend_from_slice(head.query());
                }
            }
            Kind::Prefix => {
                // "/" alone stands for the same place.
                if target != b"/" {
                    location.extend_from_slice(target);
                }
                self.push_path(env, &mut location);
            }
            Kind::Scheme => {
                location.extend_from_slice(target);
                location.extend_from_slice(b"://");
                if let Some(head) = env.request.as_deref() {
                    location.extend_from_slice(head.headers().get(b"host").unwrap_or_default());
                }
                self.push_path(env, &mut location);
            }
        }
        let mut headers = bumpalo::collections::Vec::with_capacity_in(4, scratch);
        headers.push((b"content-length".as_slice(), b"0".as_slice()));
        headers.push((b"location".as_slice(), location.into_bump_slice() as &[u8]));
        if matches!(self.code, 302 | 303 | 307) {
            headers.push((b"cache-control".as_slice(), b"no-cache".as_slice()));
        }
        if let Some(cookie) = &self.cookie {
            headers.push((b"set-cookie".as_slice(), cookie.get(env)));
        }
        let content = Content::Made { headers: headers.into_bump_slice(), body: b"" };
        Flow::Reply(Reply { status: self.code, cause: Cause::Redirect, content })
    }
}

impl Redirect {
    /// The path of the request, `/` when it has none, with what the options make of its query.
    fn push_path(&self, env: &RuleEnv<'_, '_>, location: &mut crate::sample::def::Out<'_>) {
        let Some(head) = env.request.as_deref() else { return };
        let path = head.path();
        if !path.starts_with(b"/") {
            location.push(b'/');
        } else if self.drop_query {
            location.extend_from_slice(path);
            if self.append_slash && !path.ends_with(b"/") {
                location.push(b'/');
            }
        } else {
            location.extend_from_slice(head.path_and_query());
        }
    }
}
