//! `log-forward` sections (configuration manual, 12.6).

use proxy_types::{Diagnostic, Endpoint, PortSpec, Spanned, Transport};

use crate::args::{Args, Polarity};
use crate::context::{Context, Parsed};
use crate::keyword::{On, Table, find, row, suggest};
use crate::lexer::sub_span;
use crate::line::shared::is_name_char;
use crate::line::{bind, timeout};
use crate::model::{Bind, HostStrategy, LogForward, Proxy, ProxyKind};

pub(crate) type Parse = fn(&mut Context<'_>, &mut LogForward, &mut Args<'_>) -> Parsed;

const M: &str = "12.6";

pub(crate) const LOG_FORWARD: Table<Parse> = &[&[
    row("backlog", On::HERE, "<conns>", M, "length of the listen queues", |cx, section, args| {
        section.proxy.settings.backlog = Some(args.number(cx, 0..=i32::MAX as u32)?);
        args.end(cx)
    }),
    row(
        "bind",
        On::HERE,
        "<addr> [param*]",
        M,
        "listens for messages over TCP",
        |cx, section, args| {
            let bind = bind::bind(cx, args, "in 'log-forward' section")?;
            if let Some(proto) = bind.proto {
                let text = "'proto' has no meaning for syslog";
                return Err(args.wrong(cx, proto.span, text));
            }
            section.proxy.binds.push(bind);
            Ok(())
        },
    ),
    row(
        "dgram-bind",
        On::HERE,
        "<addr> [param*]",
        M,
        "listens for messages over UDP",
        dgram_bind,
    ),
    row(
        "log",
        On::HERE,
        "global | <target> [len <length>] [format <format>] [sample <ranges>:<size>] <facility> [<level> [<minlevel>]]",
        M,
        "where messages go",
        log as Parse,
    )
    .negatable(),
    row(
        "maxconn",
        On::HERE,
        "<conns>",
        M,
        "connections at once, 10 by default",
        |cx, section, args| {
            section.proxy.settings.maxconn = Some(args.number(cx, 1..=i32::MAX as u32)?);
            args.end(cx)
        },
    ),
    row("option", On::HERE, "<name>", M, "switches a feature on", option as Parse).negatable(),
    row(
        "timeout",
        On::HERE,
        "client <timeout>",
        M,
        "how long a sender may be silent",
        |cx, section, args| {
            if args.peek().is_none_or(|word| word.value != "client") {
                return Err(args.missing(cx, "'client' and a time"));
            }
            timeout::plain(cx, &mut section.proxy.settings.timeouts, args)
        },
    ),
]];

type SetOption = fn(&mut Context<'_>, &mut LogForward, &mut Args<'_>, bool) -> Parsed;

pub(crate) const OPTIONS: Table<SetOption> = &[&[
    row(
        "assume-rfc6587-ntf",
        On::HERE,
        "",
        M,
        "messages over TCP end with their line, whatever they begin with",
        assume_ntf as SetOption,
    )
    .negatable(),
    row(
        "dont-parse-log",
        On::HERE,
        "",
        M,
        "messages are passed on as they are",
        dont_parse as SetOption,
    )
    .negatable(),
    row(
        "host",
        On::HERE,
        "{ replace | fill | keep | append }",
        M,
        "what becomes of the host name in messages",
        host as SetOption,
    ),
]];

fn log(cx: &mut Context<'_>, section: &mut LogForward, args: &mut Args<'_>) -> Parsed {
    super::proxy::log_line(cx, &mut section.proxy, args)
}

fn assume_ntf(
    _: &mut Context<'_>,
    section: &mut LogForward,
    args: &mut Args<'_>,
    on: bool,
) -> Parsed {
    section.assume_ntf = on.then(|| args.keyword_span());
    Ok(())
}

fn dont_parse(
    _: &mut Context<'_>,
    section: &mut LogForward,
    args: &mut Args<'_>,
    on: bool,
) -> Parsed {
    section.dont_parse = on.then(|| args.keyword_span());
    Ok(())
}

fn host(cx: &mut Context<'_>, section: &mut LogForward, args: &mut Args<'_>, _: bool) -> Parsed {
    section.host = Some(args.choice(cx, HostStrategy::ALL)?);
    Ok(())
}

fn option(cx: &mut Context<'_>, section: &mut LogForward, args: &mut Args<'_>) -> Parsed {
    let on = args.polarity != Polarity::No;
    let names: Vec<_> = OPTIONS.iter().flat_map(|group| group.iter()).map(|row| row.name).collect();
    let Some(word) = args.deepen() else {
        return Err(args.missing(cx, &format!("one of {}", names.join(", "))));
    };
    let Some(row) = find(OPTIONS, &word.value) else {
        let message = format!("unknown option '{}' in 'log-forward' section", word.value);
        let near = suggest(OPTIONS, &word.value);
        let expected = format!("expected one of {}", names.join(", "));
        return Err(cx.report(
            Diagnostic::alert(message).at(word.span).expected(expected).did_you_mean(near),
        ));
    };
    crate::place::check_polarity(cx, row, args)?;
    let set = cx.carried(row, "option", "in 'log-forward' section", word.span)?;
    set(cx, section, args, on)?;
    args.end(cx)
}

/// What of a `bind` line means something for datagrams.
fn dgram_bind(cx: &mut Context<'_>, section: &mut LogForward, args: &mut Args<'_>) -> Parsed {
    let bind = bind::datagram(cx, args, "in 'log-forward' section")?;
    for address in &bind.addresses {
        let text = match (&address.value.endpoint, address.value.transport) {
            (_, Some(Transport::Stream | Transport::Mptcp | Transport::Quic)) => {
                "a datagram address is expected"
            }
            (Endpoint::Inet { port: PortSpec::Port(_) | PortSpec::Range { .. }, .. }, _) => {
                continue;
            }
            (Endpoint::Inet { .. }, _) => "missing port specification",
            _ => "an IPv4 or IPv6 address and a port are expected",
        };
        return Err(args.wrong(cx, address.span, format!("{text} in '{address}'")));
    }
    let useless = |bind: &Bind| {
        let tls = bind.tls.ssl.map(|span| ("ssl", span));
        let rest = [
            ("accept-proxy", bind.accept_proxy),
            ("defer-accept", bind.defer_accept),
            ("tfo", bind.tfo),
            ("backlog", bind.backlog.map(|value| value.span)),
            ("maxconn", bind.maxconn.map(|value| value.span)),
            ("mss", bind.mss.map(|value| value.span)),
            ("tcp-ut", bind.tcp_ut.map(|value| value.span)),
            ("thread", bind.threads.as_ref().map(|value| value.span)),
            ("shards", bind.shards.map(|value| value.span)),
        ];
        let rest = rest.into_iter().filter_map(|(name, span)| Some((name, span?)));
        tls.into_iter().chain(rest).collect::<Vec<_>>()
    };
    for (name, span) in useless(&bind) {
        cx.notice(span, format!("'dgram-bind' : '{name}' means nothing for datagrams"));
    }
    section.dgram_binds.push(bind);
    Ok(())
}

/// Opens a section.
pub(crate) fn open(cx: &mut Context<'_>, args: &mut Args<'_>) -> LogForward {
    let span = args.span();
    let name = args.string(cx, "a name as argument");
    let _ = args.end(cx);
    let name = name.unwrap_or_else(|_| Spanned::new(String::new(), span));
    if let Some((at, c)) = name.value.char_indices().find(|(_, c)| !is_name_char(*c)) {
        let message = format!("character '{c}' is not permitted in 'log-forward' name '{name}'");
        cx.alert(sub_span(&name, at, c.len_utf8()), message);
    }
    LogForward {
        span,
        proxy: Proxy::new(ProxyKind::LogForward, name.clone(), span),
        name,
        dgram_binds: Vec::new(),
        dont_parse: None,
        assume_ntf: None,
        host: None,
    }
}

/// One line of the section.
pub(crate) fn line(cx: &mut Context<'_>, section: &mut LogForward, args: &mut Args<'_>) -> Parsed {
    let Some(row) = find(LOG_FORWARD, args.name()) else {
        let message = format!("unknown keyword '{}' in 'log-forward' section", args.name());
        let near = suggest(LOG_FORWARD, args.name());
        let span = args.keyword_span();
        return Err(cx.report(Diagnostic::alert(message).at(span).did_you_mean(near)));
    };
    crate::place::check_polarity(cx, row, args)?;
    let parse = cx.carried(row, "keyword", "in 'log-forward' section", args.keyword_span())?;
    parse(cx, section, args)
}

/// The section as a whole.
pub(crate) fn check(cx: &mut Context<'_>, section: &LogForward) {
    if section.proxy.binds.is_empty() && section.dgram_binds.is_empty() {
        let message = format!(
            "log-forward '{}' has neither 'bind' nor 'dgram-bind' lines: it receives nothing",
            section.name
        );
        cx.warn(section.span, message);
    }
    if section.proxy.settings.logs.is_empty() {
        let message =
            format!("log-forward '{}' has no 'log' line: messages are lost", section.name);
        cx.warn(section.span, message);
    }
}
