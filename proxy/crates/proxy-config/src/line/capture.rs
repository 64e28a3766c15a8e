//! `capture` and `declare capture` (configuration manual, 4.2).

use proxy_types::Diagnostic;

use crate::args::Args;
use crate::context::{Context, Parsed};
use crate::model::{CaptureCookie, CaptureLine, Proxy};

const LEN_MAX: u32 = 65_535;

fn length(cx: &mut Context<'_>, args: &mut Args<'_>) -> Parsed<u32> {
    if args.accept("len").is_none() {
        return Err(args.missing(cx, "'len' and a length"));
    }
    let length = args.number(cx, 1..=LEN_MAX)?;
    args.end(cx)?;
    Ok(length.value)
}

fn unknown(cx: &mut Context<'_>, args: &mut Args<'_>, expected: &str) -> Parsed {
    let Some(word) = args.peek() else { return Err(args.missing(cx, expected)) };
    let message = format!("'{}' does not know '{}'", args.name(), word.value);
    Err(cx.report(Diagnostic::alert(message).at(word.span).expected(expected)))
}

pub(crate) fn capture(cx: &mut Context<'_>, proxy: &mut Proxy, args: &mut Args<'_>) -> Parsed {
    let span = args.span();
    if args.accept("cookie").is_some() {
        let name = args.string(cx, "the name of a cookie")?;
        let len = length(cx, args)?;
        proxy.capture_cookie = Some(CaptureCookie { span, name, len });
        return Ok(());
    }
    let response = match (args.accept("request"), args.accept("response")) {
        (Some(_), _) => false,
        (_, Some(_)) => true,
        _ => return unknown(cx, args, "'cookie', 'request header' or 'response header'"),
    };
    if args.accept("header").is_none() {
        return unknown(cx, args, "'header'");
    }
    let header = Some(args.string(cx, "the name of a header field")?);
    let len = length(cx, args)?;
    proxy.captures.push(CaptureLine { span, response, header, len });
    Ok(())
}

pub(crate) fn declare(cx: &mut Context<'_>, proxy: &mut Proxy, args: &mut Args<'_>) -> Parsed {
    let span = args.span();
    if args.accept("capture").is_none() {
        return unknown(cx, args, "'capture'");
    }
    let response = match (args.accept("request"), args.accept("response")) {
        (Some(_), _) => false,
        (_, Some(_)) => true,
        _ => return unknown(cx, args, "'request' or 'response'"),
    };
    let len = length(cx, args)?;
    proxy.captures.push(CaptureLine { span, response, header: None, len });
    Ok(())
}
