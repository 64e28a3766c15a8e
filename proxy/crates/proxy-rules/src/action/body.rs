//! What `deny`, `return` and `tarpit` answer (configuration manual, 4.4 "return").

use proxy_types::{Diagnostic, Spanned};

use super::def::ActionArgs;
use super::env::{Content, RuleEnv};
use crate::logformat::{LogFormat, Use};
use crate::sample::parse::{Named, fail, show};
use crate::sample::{ParseCx, Parsed, Word};

/// Statuses that have an error page.
const PAGES: [u16; 17] =
    [200, 400, 403, 404, 405, 408, 410, 413, 414, 425, 429, 431, 500, 501, 502, 503, 504];

/// A compiled answer.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) status: u16,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    ErrorPage,
    Section(Box<str>),
    Made { content_type: Option<Box<[u8]>>, payload: Payload, headers: Vec<(Box<[u8]>, LogFormat)> },
    Stored(Box<[u8]>),
}

#[derive(Debug)]
enum Payload {
    Format(LogFormat),
    Raw(Box<[u8]>),
}

impl Body {
    /// Reads `[status <code>] [content-type <type>] [<source> ...] [hdr <name> <fmt>]*`. Without a source, a denial
    /// shows the error page, when there is one, and `return` an empty answer.
    pub(super) fn parse(
        args: &mut ActionArgs<'_, '_>,
        cx: &mut ParseCx<'_>,
        default_status: u16,
        denies: bool,
    ) -> Parsed<Self> {
        let mut status = None;
        let mut content_type: Option<Word<'_>> = None;
        let mut source: Option<Source> = None;
        let mut headers = Vec::new();
        while let Some(word) = args.peek() {
            match word.value {
                b"status" => {
                    args.take();
                    status = Some(args.number(200, 599, "a status")? as u16);
                }
                b"deny_status" if denies => {
                    args.take();
                    status = Some(args.number(200, 599, "a status")? as u16);
                }
                b"content-type" => {
                    args.take();
                    content_type = Some(args.word("a content type")?);
                }
                b"hdr" => {
                    args.take();
                    let name = args.word("the name of a header field")?;
                    headers.push((name.value.into(), args.format("a format", cx)?));
                }
                b"default-errorfiles"
                | b"errorfile"
                | b"errorfiles"
                | b"file"
                | b"lf-file"
                | b"lf-string"
                | b"string" => {
                    args.take();
                    if source.is_some() {
                        return fail(
                            Diagnostic::alert(format!(
                                "{}: the answer is already given",
                                args.what()
                            ))
                            .at(word.span),
                        );
                    }
                    source = Some(Source::parse(word, args, cx)?);
                }
                _ => {
                    return fail(
                        Diagnostic::alert(format!("{} does not know '{}'", args.what(), show(word.value)))
                            .at(word.span)
                            .expected(
                                "status, content-type, default-errorfiles, errorfile, errorfiles, file, lf-file, string, \
                                 lf-string, hdr, or 'if' or 'unless'",
                            ),
                    );
                }
            }
        }
        let span = args.span();
        let status = status.unwrap_or(default_status);
        let pages = || {
            if PAGES.contains(&status) {
                return Ok(());
            }
            fail(
                Diagnostic::alert(format!("status {status} has no error page"))
                    .at(span)
                    .expected(PAGES.map(|s| s.to_string()).join(", ")),
            )
        };
        if let Some(content_type) = content_type
            && !matches!(source, Some(Source::Payload(_)))
        {
            let why = match source {
                None => "because neither errorfile nor payload defined",
                Some(_) => "when used with an errorfile",
            };
            let message = format!(
                "content-type '{}' ignored by the http reply {why}.",
                show(content_type.value)
            );
            cx.diag.push(Diagnostic::warning(message).at(content_type.span));
        }
        let unused = content_type.is_some() || !headers.is_empty();
        let kind = match source {
            None if denies && !unused && PAGES.contains(&status) => Kind::ErrorPage,
            Some(Source::ErrorPage) => {
                pages()?;
                Kind::ErrorPage
            }
            Some(Source::Section(name)) => {
                pages()?;
                Kind::Section(name)
            }
            Some(Source::Stored(text)) => {
                pages()?;
                Kind::Stored(text)
            }
            None => {
                Kind::Made { content_type: None, payload: Payload::Raw(Box::default()), headers }
            }
            Some(Source::Payload(payload)) => {
                let empty = matches!(&payload, Payload::Raw(raw) if raw.is_empty());
                if content_type.is_none() && !empty {
                    return fail(
                        Diagnostic::alert(format!(
                            "{}: a content type must be defined when non-empty payload is configured",
                            args.what()
                        ))
                        .at(span),
                    );
                }
                let content_type = content_type.filter(|_| !empty).map(|w| w.value.into());
                Kind::Made { content_type, payload, headers }
            }
        };
        Ok(Self { status, kind })
    }

    /// The content for the stream as it is.
    pub(super) fn content<'a>(&'a self, env: &RuleEnv<'_, 'a>) -> Content<'a> {
        match &self.kind {
            Kind::ErrorPage => Content::ErrorPage,
            Kind::Section(name) => Content::SectionPage(name),
            Kind::Stored(text) => Content::Stored(text),
            Kind::Made { content_type, payload, headers } => {
                let scratch = env.base.scratch;
                let body = match payload {
                    Payload::Format(format) => env.render(format),
                    Payload::Raw(raw) => raw,
                };
                let mut list = bumpalo::collections::Vec::new_in(scratch);
                for (name, value) in headers {
                    let value = env.render(value);
                    if !value.is_empty() {
                        list.push((&**name, value));
                    }
                }
                list.push((b"content-length".as_slice(), decimal(scratch, body.len())));
                if let Some(content_type) = content_type {
                    list.push((b"content-type".as_slice(), &**content_type));
                }
                Content::Made { headers: list.into_bump_slice(), body }
            }
        }
    }
}

/// A number as text in scratch memory.
pub(super) fn decimal(scratch: &bumpalo::Bump, n: usize) -> &[u8] {
    scratch.alloc_slice_copy(itoa::Buffer::new().format(n).as_bytes())
}

enum Source {
    ErrorPage,
    Payload(Payload),
    Section(Box<str>),
    Stored(Box<[u8]>),
}

impl Source {
    fn parse(
        keyword: Word<'_>,
        args: &mut ActionArgs<'_, '_>,
        cx: &mut ParseCx<'_>,
    ) -> Parsed<Self> {
        if keyword.value == b"default-errorfiles" {
            return Ok(Self::ErrorPage);
        }
        let value = args.word("an argument")?;
        if keyword.value == b"errorfiles" {
            let name: Box<str> = show(value.value).into();
            cx.refs.push(Spanned::new(Named::HttpErrors(name.clone()), value.span));
            return Ok(Self::Section(name));
        }
        let load = |cx: &ParseCx<'_>| {
            cx.loader.load(&show(value.value)).map_err(|why| {
                Box::new(
                    Diagnostic::alert(format!(
                        "failed to open file '{}': {why}",
                        show(value.value)
                    ))
                    .at(value.span),
                )
            })
        };
        Ok(match keyword.value {
            b"errorfile" => Self::Stored(load(cx)?.into()),
            b"file" => Self::Payload(Payload::Raw(load(cx)?.into())),
            b"lf-file" => {
                let content = load(cx)?;
                let format = LogFormat::parse(Spanned::new(&content, value.span), Use::Http, cx)?;
                Self::Payload(Payload::Format(format))
            }
            b"lf-string" => Self::Payload(Payload::Format(LogFormat::parse(value, Use::Http, cx)?)),
            _ => Self::Payload(Payload::Raw(value.value.into())),
        })
    }
}
