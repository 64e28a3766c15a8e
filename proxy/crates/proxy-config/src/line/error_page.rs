//! `errorfile`, `errorfiles`, `errorloc*` and `http-error` (configuration manual, 4.2 and 12.4).

use proxy_types::{Diagnostic, Spanned};

use crate::args::Args;
use crate::context::{Context, Parsed};
use crate::keyword::{On, Table, find, row, suggest};
use crate::model::{ErrorPage, ErrorSource, HttpErrors, Proxy};

/// 4.2 "errorfile": the statuses that HAProxy itself may answer with.
const STATUSES: &[u16] = &[
    200, 400, 401, 403, 404, 405, 407, 408, 410, 413, 414, 425, 429, 431, 500, 501, 502, 503, 504,
];

type Parse = fn(&mut Context<'_>, &mut HttpErrors, &mut Args<'_>) -> Parsed;

/// Lines of an `http-errors` section.
pub(crate) const HTTP_ERRORS: Table<Parse> = &[&[row(
    "errorfile",
    On::HERE,
    "<code> <file>",
    "12.4",
    "reply of a file instead of an error",
    |cx, section, args| {
        section.files.push(file(cx, args)?);
        Ok(())
    },
)]];

fn status(cx: &mut Context<'_>, args: &mut Args<'_>) -> Parsed<Spanned<u16>> {
    let status = args.number(cx, 200..=599)?;
    if STATUSES.contains(&status.value) {
        return Ok(status);
    }
    let known: Vec<String> = STATUSES.iter().map(u16::to_string).collect();
    let message = format!("{} : status code '{}' not handled", args.name(), status.value);
    Err(cx.report(
        Diagnostic::alert(message)
            .at(status.span)
            .expected(format!("expected one of {}", known.join(", "))),
    ))
}

fn file(cx: &mut Context<'_>, args: &mut Args<'_>) -> Parsed<ErrorPage> {
    let status = status(cx, args)?;
    let path = args.string(cx, "a file name after the status")?;
    args.end(cx)?;
    let source = ErrorSource::File(path);
    Ok(ErrorPage { span: args.span(), statuses: vec![status], source })
}

pub(crate) fn errorfile(cx: &mut Context<'_>, proxy: &mut Proxy, args: &mut Args<'_>) -> Parsed {
    let page = file(cx, args)?;
    proxy.settings.error_pages.push(page);
    Ok(())
}

pub(crate) fn errorfiles(cx: &mut Context<'_>, proxy: &mut Proxy, args: &mut Args<'_>) -> Parsed {
    let name = args.string(cx, "the name of an http-errors section")?;
    let mut statuses = Vec::new();
    while args.peek().is_some() {
        statuses.push(status(cx, args)?);
    }
    let source = ErrorSource::Section(name);
    proxy.settings.error_pages.push(ErrorPage { span: args.span(), statuses, source });
    Ok(())
}

/// `errorloc`, `errorloc302` and `errorloc303`.
pub(crate) fn errorloc(cx: &mut Context<'_>, proxy: &mut Proxy, args: &mut Args<'_>) -> Parsed {
    let code = if args.name() == "errorloc303" { 303 } else { 302 };
    let status = status(cx, args)?;
    let url = args.string(cx, "a URL after the status")?;
    args.end(cx)?;
    let source = ErrorSource::Location { code, url };
    let statuses = vec![status];
    proxy.settings.error_pages.push(ErrorPage { span: args.span(), statuses, source });
    Ok(())
}

pub(crate) fn http_error(cx: &mut Context<'_>, proxy: &mut Proxy, args: &mut Args<'_>) -> Parsed {
    let (span, keyword) = (args.span(), args.keyword_span());
    let all = args.clone().rest().to_vec();
    let (mut code, mut source) = (None, None);
    while let Some(word) = args.optional() {
        match word.value.as_str() {
            "status" => code = Some(status(cx, args)?),
            "default-errorfiles" => source = Some(ErrorSource::Default),
            "errorfile" => source = Some(ErrorSource::File(args.string(cx, "a file name")?)),
            "errorfiles" => {
                let name = args.string(cx, "the name of an http-errors section")?;
                source = Some(ErrorSource::Section(name));
            }
            "content-type" | "file" | "lf-file" | "string" | "lf-string" => {
                args.word(cx, "an argument")?;
            }
            "hdr" => {
                args.string(cx, "the name of a header field")?;
                args.word(cx, "a format")?;
            }
            other => {
                let message = format!("unknown argument '{other}'");
                return Err(args.wrong(cx, word.span, message));
            }
        }
    }
    let Some(code) = code else { return Err(args.missing(cx, "'status <code>'")) };
    let source = source.unwrap_or_else(|| {
        // The answer is made as that of a rule is.
        let mut words = vec![Spanned::new("return".into(), keyword)];
        words.extend(all);
        ErrorSource::Made(words)
    });
    proxy.settings.error_pages.push(ErrorPage { span, statuses: vec![code], source });
    Ok(())
}

/// A line of an `http-errors` section.
pub(crate) fn section_line(
    cx: &mut Context<'_>,
    section: &mut HttpErrors,
    args: &mut Args<'_>,
) -> Parsed {
    let Some(row) = find(HTTP_ERRORS, args.name()) else {
        let message = format!("unknown keyword '{}' in 'http-errors' section", args.name());
        let near = suggest(HTTP_ERRORS, args.name());
        let span = args.keyword_span();
        return Err(cx.report(Diagnostic::alert(message).at(span).did_you_mean(near)));
    };
    let parse = cx.carried(row, "keyword", "in 'http-errors' section", args.keyword_span())?;
    parse(cx, section, args)
}
