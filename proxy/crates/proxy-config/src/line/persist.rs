//! Persistence and choice of servers by rules (configuration manual, 4.2).

use std::time::Duration;

use proxy_types::time::Unit;
use proxy_types::{Diagnostic, Spanned};

use super::rules::condition;
use crate::args::{Args, Polarity, last_string};
use crate::context::{Context, Parsed};
use crate::keyword::{On, Row, row};
use crate::lexer::sub_span;
use crate::model::{Cookie, CookieMode, PersistRule, Proxy, UseServer};

type Parse = fn(&mut Context<'_>, &mut Proxy, &mut Args<'_>) -> Parsed;

const M: &str = "4.2";

pub(crate) const PERSISTENCE: &[Row<Parse>] = &[
    row(
        "cookie",
        On::DEF_BE,
        "<name> [ rewrite | insert | prefix ] [<option>]*",
        M,
        "binds clients to servers by a cookie",
        cookie,
    ),
    row(
        "dynamic-cookie-key",
        On::DEF_BE,
        "<string>",
        M,
        "secret that dynamic cookies are made with",
        |cx, p, args| {
            p.settings.dynamic_cookie_key = Some(last_string(cx, args, "a secret key")?);
            Ok(())
        },
    ),
    row(
        "force-persist",
        On::BE,
        "{ if | unless } <condition>",
        M,
        "keeps requests on servers that are down",
        |cx, p, args| persist_rule(cx, p, args, true),
    ),
    row(
        "ignore-persist",
        On::BE,
        "{ if | unless } <condition>",
        M,
        "balances requests whatever binds them",
        |cx, p, args| persist_rule(cx, p, args, false),
    ),
    row(
        "persist",
        On::DEF_BE,
        "rdp-cookie[(<name>)]",
        M,
        "binds clients to servers by the RDP cookie",
        persist as Parse,
    )
    .negatable(),
    row(
        "use-server",
        On::BE,
        "<server> { if | unless } <condition>",
        M,
        "server when a condition holds",
        use_server,
    ),
];

/// A cookie's own delay, in seconds when it has no unit; at most what 30 bits of a date can tell.
fn delay(cx: &mut Context<'_>, args: &mut Args<'_>, option: &str) -> Parsed<Duration> {
    let value = args.timer_in(cx, Unit::Second)?;
    if value.value.subsec_nanos() != 0 || value.value.is_zero() || value.value.as_secs() >= 1 << 31
    {
        let message = format!("'{option}' is a whole number of seconds from 1 to 2147483647");
        return Err(args.wrong(cx, value.span, message));
    }
    Ok(value.value)
}

fn cookie(cx: &mut Context<'_>, proxy: &mut Proxy, args: &mut Args<'_>) -> Parsed {
    let span = args.span();
    let name = args.string(cx, "a cookie name")?;
    let is_token = |b: u8| b.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(&b);
    if let Some((at, c)) = name.char_indices().find(|(_, c)| !c.is_ascii() || !is_token(*c as u8)) {
        let message = format!("character '{c}' is not permitted in a cookie name");
        return Err(args.wrong(cx, sub_span(&name, at, c.len_utf8()), message));
    }
    let mut value = Cookie { name: name.value, ..Cookie::default() };
    while let Some(word) = args.optional() {
        let mode = match word.value.as_str() {
            "insert" => Some(CookieMode::Insert),
            "prefix" => Some(CookieMode::Prefix),
            "rewrite" => Some(CookieMode::Rewrite),
            _ => None,
        };
        if let Some(mode) = mode {
            if value.mode != CookieMode::Passive && value.mode != mode {
                let message = "supports only one of 'rewrite', 'insert' and 'prefix'";
                return Err(args.wrong(cx, word.span, message));
            }
            value.mode = mode;
            continue;
        }
        match word.value.as_str() {
            "indirect" => value.indirect = true,
            "nocache" => value.nocache = true,
            "postonly" => value.postonly = true,
            "preserve" => value.preserve = true,
            "httponly" => value.httponly = true,
            "secure" => value.secure = true,
            "dynamic" => value.dynamic = true,
            "domain" => {
                let domain = args.string(cx, "a domain after 'domain'")?;
                if !domain.bytes().all(|b| b.is_ascii_graphic() && b != b';' && b != b',') {
                    let message = format!("domain '{domain}' contains invalid characters");
                    return Err(args.wrong(cx, domain.span, message));
                }
                value.domains.push(domain.value);
            }
            "attr" => {
                let attribute = args.string(cx, "an attribute after 'attr'")?;
                if attribute.bytes().any(|b| b.is_ascii_control() || b == b';') {
                    let message =
                        format!("attribute '{attribute}' contains a control character or ';'");
                    return Err(args.wrong(cx, attribute.span, message));
                }
                value.attributes.push(attribute.value);
            }
            "maxidle" => value.maxidle = Some(delay(cx, args, "maxidle")?),
            "maxlife" => value.maxlife = Some(delay(cx, args, "maxlife")?),
            other => {
                let words = [
                    "rewrite", "insert", "prefix", "indirect", "nocache", "postonly", "preserve",
                    "httponly", "secure", "domain", "maxidle", "maxlife", "dynamic", "attr",
                ];
                let near = proxy_types::text::nearest(other, words);
                let message = format!("'cookie' does not know '{other}'");
                return Err(cx.report(
                    Diagnostic::alert(message)
                        .at(word.span)
                        .expected(format!("expected one of {}", words.join(", ")))
                        .did_you_mean(near),
                ));
            }
        }
    }
    let dated = value.maxidle.is_some() || value.maxlife.is_some();
    if dated && value.mode != CookieMode::Insert {
        let text =
            "'cookie' : 'maxidle' and 'maxlife' ignored: only cookies that are inserted have dates";
        cx.warn(span, text);
        (value.maxidle, value.maxlife) = (None, None);
    }
    if value.preserve && value.mode != CookieMode::Insert && !value.indirect {
        return Err(args.wrong(cx, span, "'preserve' needs 'insert' or 'indirect'"));
    }
    proxy.settings.cookie = Some(Spanned::new(value, span));
    Ok(())
}

fn persist_rule(
    cx: &mut Context<'_>,
    proxy: &mut Proxy,
    args: &mut Args<'_>,
    force: bool,
) -> Parsed {
    let span = args.span();
    match condition(cx, args)? {
        Some(condition) => proxy.persist_rules.push(PersistRule { span, force, condition }),
        None => return Err(args.missing(cx, "'if' or 'unless' and a condition")),
    }
    Ok(())
}

fn persist(cx: &mut Context<'_>, proxy: &mut Proxy, args: &mut Args<'_>) -> Parsed {
    let word = args.word(cx, "'rdp-cookie' or 'rdp-cookie(<name>)'")?;
    let name = match word.value.strip_prefix("rdp-cookie") {
        Some("") => Some("msts"),
        Some(rest) => rest.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')),
        None => None,
    };
    let Some(name) = name.filter(|name| !name.is_empty()) else {
        let message = format!("only supports 'rdp-cookie[(<name>)]', got '{}'", word.value);
        return Err(args.wrong(cx, word.span, message));
    };
    args.end(cx)?;
    let set = args.polarity == Polarity::Set;
    proxy.settings.persist_rdp = set.then(|| Spanned::new(name.to_owned(), word.span));
    Ok(())
}

fn use_server(cx: &mut Context<'_>, proxy: &mut Proxy, args: &mut Args<'_>) -> Parsed {
    let span = args.span();
    let target = args.word(cx, "a server name")?.clone();
    let condition = condition(cx, args)?;
    if condition.is_none() {
        return Err(args.missing(cx, "'if' or 'unless' and a condition"));
    }
    proxy.use_servers.push(UseServer { span, target, condition });
    Ok(())
}
