//! `option <name>` (configuration manual, 4.2).

use std::net::IpAddr;

use proxy_types::{Diagnostic, Spanned};

use crate::args::{Args, Polarity};
use crate::context::{Context, Parsed};
use crate::keyword::{On, Row, Shape, Table, find, inert, removed, row, suggest};
use crate::lexer::Word;
use crate::line::check;
use crate::model::{
    Except, Flag, ForwardFor, Forwarded, ForwardedPart, HttpConnectionMode, LogOption, Proxy,
    Redispatch, RestrictNames,
};
use crate::place::{check_section, check_shape};

#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// On or off.
    Flag(Flag),
    /// Three names for one setting.
    Connection(HttpConnectionMode),
    /// With arguments of its own.
    Parse(fn(&mut Context<'_>, &mut Proxy, &mut Args<'_>) -> Parsed),
}

const M: &str = "4.2";

const fn flag(name: &'static str, on: On, doc: &'static str, flag: Flag) -> Row<Kind> {
    row(name, on, "", M, doc, Kind::Flag(flag)).negatable()
}

pub(crate) const OPTIONS: Table<Kind> = &[
    &[
        flag(
            "abortonclose",
            On::ALL,
            "drops queued requests of clients that left",
            Flag::AbortOnClose,
        ),
        flag("allbackups", On::DEF_BE, "uses all backup servers at once", Flag::AllBackups),
        flag("clitcpka", On::DEF_FE, "TCP keep-alive toward clients", Flag::CliTcpKa),
        flag(
            "dontlog-normal",
            On::DEF_FE,
            "logs only connections that something went wrong with",
            Flag::DontLogNormal,
        ),
        flag("dontlognull", On::DEF_FE, "does not log connections without data", Flag::DontLogNull),
        row(
            "forwardfor",
            On::ALL,
            "[except <network>] [header <name>] [if-none]",
            M,
            "adds the client's address",
            Kind::Parse(forwardfor),
        ),
        row(
            "forwarded",
            On::DEF_BE,
            "[proto] [host | host-expr <expr>] [by | by-expr <expr>] [by_port | by_port-expr <expr>] \
             [for | for-expr <expr>] [for_port | for_port-expr <expr>]",
            M,
            "adds the Forwarded field of RFC 7239",
            Kind::Parse(forwarded),
        )
        .negatable(),
        row(
            "http-keep-alive",
            On::ALL,
            "",
            M,
            "keeps connections open",
            Kind::Connection(HttpConnectionMode::KeepAlive),
        )
        .negatable(),
        row(
            "http-server-close",
            On::ALL,
            "",
            M,
            "closes server connections after a response",
            Kind::Connection(HttpConnectionMode::ServerClose),
        )
        .negatable(),
        row(
            "httpclose",
            On::ALL,
            "",
            M,
            "closes both connections after a response",
            Kind::Connection(HttpConnectionMode::Close),
        )
        .negatable(),
        flag(
            "accept-unsafe-violations-in-http-request",
            On::DEF_FE,
            "lets requests of doubtful form pass",
            Flag::AcceptUnsafeRequest,
        ),
        flag(
            "accept-unsafe-violations-in-http-response",
            On::DEF_BE,
            "lets responses of doubtful form pass",
            Flag::AcceptUnsafeResponse,
        ),
        row(
            "accept-invalid-http-request",
            On::DEF_FE,
            "",
            M,
            "former name of accept-unsafe-violations-in-http-request",
            Kind::Parse(|cx, proxy, args| {
                renamed(
                    cx,
                    proxy,
                    args,
                    Flag::AcceptUnsafeRequest,
                    "accept-unsafe-violations-in-http-request",
                )
            }),
        )
        .negatable(),
        row(
            "accept-invalid-http-response",
            On::DEF_BE,
            "",
            M,
            "former name of accept-unsafe-violations-in-http-response",
            Kind::Parse(|cx, proxy, args| {
                renamed(
                    cx,
                    proxy,
                    args,
                    Flag::AcceptUnsafeResponse,
                    "accept-unsafe-violations-in-http-response",
                )
            }),
        )
        .negatable(),
        flag(
            "checkcache",
            On::DEF_BE,
            "blocks cacheable responses that set cookies",
            Flag::CheckCache,
        ),
        flag(
            "disable-h2-upgrade",
            On::DEF_FE,
            "takes HTTP/2 only where it was agreed on",
            Flag::DisableH2Upgrade,
        ),
        flag(
            "h1-case-adjust-bogus-client",
            On::DEF_FE,
            "spells header names for clients as h1-case-adjust says",
            Flag::H1CaseAdjustClient,
        ),
        flag(
            "h1-case-adjust-bogus-server",
            On::DEF_BE,
            "spells header names for servers as h1-case-adjust says",
            Flag::H1CaseAdjustServer,
        ),
        flag(
            "http-buffer-request",
            On::ALL,
            "waits for the body before it chooses",
            Flag::HttpBufferRequest,
        ),
        flag(
            "http-drop-request-trailers",
            On::DEF_BE,
            "keeps trailers from servers",
            Flag::HttpDropRequestTrailers,
        ),
        flag(
            "http-drop-response-trailers",
            On::DEF_FE,
            "keeps trailers from clients",
            Flag::HttpDropResponseTrailers,
        ),
        flag(
            "http-ignore-probes",
            On::DEF_FE,
            "neither answers nor logs connections without data",
            Flag::HttpIgnoreProbes,
        ),
        flag(
            "http-no-delay",
            On::ALL,
            "sends every part of a message at once, as is always done",
            Flag::HttpNoDelay,
        ),
        flag(
            "http-pretend-keepalive",
            On::DEF_BE,
            "does not tell servers that the connection will close",
            Flag::HttpPretendKeepalive,
        ),
        flag(
            "http-use-proxy-header",
            On::DEF_FE,
            "reads Proxy-Connection of requests to proxies",
            Flag::HttpUseProxyHeader,
        ),
        flag(
            "idle-close-on-response",
            On::DEF_FE,
            "lets idle clients have one more response at a soft stop",
            Flag::IdleCloseOnResponse,
        ),
        flag(
            "independent-streams",
            On::ALL,
            "lets each direction time out on its own",
            Flag::IndependentStreams,
        ),
        row(
            "http-restrict-req-hdr-names",
            On::ALL,
            "{ preserve | delete | reject }",
            M,
            "what happens to odd header names of requests",
            Kind::Parse(restrict_req_hdr_names),
        ),
        row(
            "originalto",
            On::ALL,
            "[except <network>] [header <name>] [if-none]",
            M,
            "adds the address the client connected to",
            Kind::Parse(originalto),
        ),
        row("httplog", On::DEF_FE, "[clf]", M, "the log format of HTTP", Kind::Parse(httplog)),
        row(
            "httpslog",
            On::DEF_FE,
            "",
            M,
            "the log format of HTTP over TLS",
            Kind::Parse(httpslog),
        ),
        flag(
            "log-health-checks",
            On::DEF_BE,
            "logs changes of check results",
            Flag::LogHealthChecks,
        ),
        flag(
            "log-separate-errors",
            On::DEF_FE,
            "logs what went wrong at level err",
            Flag::LogSeparateErrors,
        ),
        flag("logasap", On::DEF_FE, "logs without waiting for the end", Flag::LogAsap),
        flag("nolinger", On::ALL, "resets connections instead of lingering", Flag::NoLinger),
        flag("persist", On::DEF_BE, "keeps clients on servers that are down", Flag::Persist),
        flag(
            "prefer-last-server",
            On::DEF_BE,
            "keeps a connection's requests on one server",
            Flag::PreferLastServer,
        ),
        row(
            "redispatch",
            On::DEF_BE,
            "[<interval>]",
            M,
            "retries on other servers",
            Kind::Parse(redispatch),
        )
        .negatable(),
        flag("socket-stats", On::DEF_FE, "statistics of each listening socket", Flag::SocketStats),
        flag("splice-auto", On::ALL, "lets the kernel move bytes when it pays", Flag::SpliceAuto),
        flag(
            "splice-request",
            On::ALL,
            "lets the kernel move bytes of requests",
            Flag::SpliceRequest,
        ),
        flag(
            "splice-response",
            On::ALL,
            "lets the kernel move bytes of responses",
            Flag::SpliceResponse,
        ),
        flag("srvtcpka", On::DEF_BE, "TCP keep-alive toward servers", Flag::SrvTcpKa),
        row(
            "httpchk",
            On::DEF_BE,
            "[<method>] [<uri> [<version> [<host>]]]",
            M,
            "checks by HTTP requests",
            Kind::Parse(|cx, p, args| check::httpchk(cx, &mut p.settings.checks, args)),
        )
        .negatable(),
        row(
            "external-check",
            On::DEF_BE,
            "",
            M,
            "checks by a program",
            Kind::Parse(|cx, p, args| check::external(cx, &mut p.settings.checks, args)),
        )
        .negatable(),
        row(
            "spop-check",
            On::DEF_BE,
            "",
            M,
            "checks by SPOP",
            Kind::Parse(|cx, p, args| check::spop(cx, &mut p.settings.checks, args)),
        )
        .negatable(),
        row(
            "ldap-check",
            On::DEF_BE,
            "",
            M,
            "checks by LDAP",
            Kind::Parse(|cx, p, args| check::ldap(cx, &mut p.settings.checks, args)),
        )
        .negatable(),
        row(
            "mysql-check",
            On::DEF_BE,
            "[user <username> [post-41|pre-41|post-80]]",
            M,
            "checks by MySQL",
            Kind::Parse(|cx, p, args| check::mysql(cx, &mut p.settings.checks, args)),
        )
        .negatable(),
        row(
            "pgsql-check",
            On::DEF_BE,
            "user <username>",
            M,
            "checks by PostgreSQL",
            Kind::Parse(|cx, p, args| check::pgsql(cx, &mut p.settings.checks, args)),
        )
        .negatable(),
        row(
            "redis-check",
            On::DEF_BE,
            "",
            M,
            "checks by Redis",
            Kind::Parse(|cx, p, args| check::redis(cx, &mut p.settings.checks, args)),
        )
        .negatable(),
        row(
            "smtpchk",
            On::DEF_BE,
            "[<hello> <domain>]",
            M,
            "checks by SMTP",
            Kind::Parse(|cx, p, args| check::smtp(cx, &mut p.settings.checks, args)),
        )
        .negatable(),
        row(
            "ssl-hello-chk",
            On::DEF_BE,
            "",
            M,
            "checks by a hello of SSL 3.0",
            Kind::Parse(|cx, p, args| check::ssl_hello(cx, &mut p.settings.checks, args)),
        )
        .negatable(),
        row(
            "tcp-check",
            On::DEF_BE,
            "",
            M,
            "checks by scripts",
            Kind::Parse(|cx, p, args| check::tcp_check(cx, &mut p.settings.checks, args)),
        )
        .negatable(),
        flag("tcp-smart-accept", On::DEF_FE, "spares an ACK when accepting", Flag::TcpSmartAccept),
        flag(
            "tcp-smart-connect",
            On::DEF_BE,
            "spares an ACK when connecting",
            Flag::TcpSmartConnect,
        ),
        row("tcpka", On::ALL, "", M, "TCP keep-alive on both sides", Kind::Parse(tcpka)),
        row("tcplog", On::DEF_FE, "[clf]", M, "the log format of TCP", Kind::Parse(tcplog)),
        removed("forceclose", "2.0", "use 'option httpclose'"),
        removed("http-tunnel", "2.1", "remove it, tunnels are established by CONNECT and upgrades"),
        removed("http-use-htx", "2.0", "remove it, there is no other mode"),
        removed("http_proxy", "2.5", "use 'http-request set-dst' with 'http-request set-uri'"),
        removed("tcpsplice", "1.5", "use 'option splice-auto'"),
        removed("transparent", "3.5", "use 'server <name> 0.0.0.0'"),
    ],
    &[inert(
        "use-small-buffers",
        On::DEF_BE,
        M,
        Shape::Optionals(&["queue", "l7-retries", "check"]),
        "requests that wait take as much memory as they need",
    )
    .negatable()],
    &[inert("contstats", On::DEF_FE, M, Shape::None, "counters are always up to date").negatable()],
];

pub(crate) fn option(cx: &mut Context<'_>, proxy: &mut Proxy, args: &mut Args<'_>) -> Parsed {
    let Some(word) = args.deepen().filter(|w| !w.value.is_empty()) else {
        return Err(args.missing(cx, "an option name"));
    };
    let Some(row) = find(OPTIONS, &word.value) else {
        let message = format!("unknown option '{}'", word.value);
        let near = suggest(OPTIONS, &word.value);
        return Err(cx.report(Diagnostic::alert(message).at(word.span).did_you_mean(near)));
    };
    if args.polarity != Polarity::Set && !row.negatable {
        let message = format!("negation/default is not supported for option '{}'", row.name);
        return Err(cx.alert(args.span(), message));
    }
    check_section(cx, row, proxy, args)?;
    check_shape(cx, row, args, true)?;
    match cx.carried(row, "'option'", "", word.span)? {
        Kind::Flag(flag) => {
            args.end(cx)?;
            set_flag(proxy, flag, args);
            Ok(())
        }
        Kind::Connection(mode) => {
            args.end(cx)?;
            let current = proxy.settings.http_connection_mode;
            proxy.settings.http_connection_mode = match args.polarity {
                Polarity::Set => Some(Spanned::new(mode, args.span())),
                // Only what is in force can be taken back.
                _ => current.filter(|current| current.value != mode),
            };
            Ok(())
        }
        Kind::Parse(parse) => parse(cx, proxy, args),
    }
}

fn set_flag(proxy: &mut Proxy, flag: Flag, args: &Args<'_>) {
    match args.polarity {
        Polarity::Default => proxy.settings.flags.reset(flag),
        polarity => {
            proxy.settings.flags.set(flag, Spanned::new(polarity == Polarity::Set, args.span()));
        }
    }
}

/// An option that has another name now.
fn renamed(
    cx: &mut Context<'_>,
    proxy: &mut Proxy,
    args: &mut Args<'_>,
    flag: Flag,
    name: &str,
) -> Parsed {
    let message = format!("'{}' is deprecated, please use 'option {name}' instead.", args.name());
    cx.warn(args.span(), message);
    args.end(cx)?;
    set_flag(proxy, flag, args);
    Ok(())
}

fn tcpka(cx: &mut Context<'_>, proxy: &mut Proxy, args: &mut Args<'_>) -> Parsed {
    args.end(cx)?;
    set_flag(proxy, Flag::CliTcpKa, args);
    set_flag(proxy, Flag::SrvTcpKa, args);
    Ok(())
}

fn httplog(cx: &mut Context<'_>, proxy: &mut Proxy, args: &mut Args<'_>) -> Parsed {
    log_option(cx, proxy, args, |clf| LogOption::Http { clf })
}

fn httpslog(cx: &mut Context<'_>, proxy: &mut Proxy, args: &mut Args<'_>) -> Parsed {
    args.end(cx)?;
    proxy.settings.log_option = Some(Spanned::new(LogOption::Https, args.span()));
    Ok(())
}

fn tcplog(cx: &mut Context<'_>, proxy: &mut Proxy, args: &mut Args<'_>) -> Parsed {
    log_option(cx, proxy, args, |clf| LogOption::Tcp { clf })
}

fn log_option(
    cx: &mut Context<'_>,
    proxy: &mut Proxy,
    args: &mut Args<'_>,
    format: fn(bool) -> LogOption,
) -> Parsed {
    let clf = args.peek().is_some();
    if clf {
        args.choice(cx, &[("clf", ())])?;
    }
    args.end(cx)?;
    proxy.settings.log_option = Some(Spanned::new(format(clf), args.span()));
    proxy.settings.log_format = None;
    Ok(())
}

fn redispatch(cx: &mut Context<'_>, proxy: &mut Proxy, args: &mut Args<'_>) -> Parsed {
    let span = args.span();
    let value = match args.polarity {
        Polarity::Default => None,
        Polarity::No => Some(Redispatch(0)),
        Polarity::Set if args.peek().is_some() => {
            Some(Redispatch(args.number(cx, i32::MIN..=i32::MAX)?.value))
        }
        Polarity::Set => Some(Redispatch(-1)),
    };
    args.end(cx)?;
    proxy.settings.redispatch = value.map(|v| Spanned::new(v, span));
    Ok(())
}

fn forwardfor(cx: &mut Context<'_>, proxy: &mut Proxy, args: &mut Args<'_>) -> Parsed {
    proxy.settings.forwardfor = Some(address_header(cx, args)?);
    Ok(())
}

fn originalto(cx: &mut Context<'_>, proxy: &mut Proxy, args: &mut Args<'_>) -> Parsed {
    proxy.settings.originalto = Some(address_header(cx, args)?);
    Ok(())
}

fn forwarded(cx: &mut Context<'_>, proxy: &mut Proxy, args: &mut Args<'_>) -> Parsed {
    if args.polarity != Polarity::Set {
        proxy.settings.forwarded = None;
        return args.end(cx);
    }
    let span = args.span();
    let mut value = Forwarded::default();
    if args.peek().is_none() {
        value.proto = true;
        value.client = Some(ForwardedPart::Own);
    }
    while let Some(word) = args.optional() {
        let (name, by_expression) = match word.value.strip_suffix("-expr") {
            Some(name) => (name, true),
            None => (word.value.as_str(), false),
        };
        let part = match name {
            "proto" if !by_expression => {
                value.proto = true;
                continue;
            }
            "host" => &mut value.host,
            "by" => &mut value.by,
            "by_port" => &mut value.by_port,
            "for" => &mut value.client,
            "for_port" => &mut value.client_port,
            _ => {
                let names = ["proto", "host", "by", "by_port", "for", "for_port"];
                let message = format!("'option forwarded' does not know '{}'", word.value);
                let near = proxy_types::text::nearest(name, names);
                return Err(cx.report(Diagnostic::alert(message).at(word.span).did_you_mean(near)));
            }
        };
        *part = Some(match by_expression {
            true => ForwardedPart::Expr(args.string(cx, "an expression")?),
            false => ForwardedPart::Own,
        });
    }
    let nodes = [("by", &value.by, &value.by_port), ("for", &value.client, &value.client_port)];
    for (name, _, _) in nodes.into_iter().filter(|(_, node, port)| node.is_none() && port.is_some())
    {
        let text = format!("'{name}_port' ignored: neither '{name}' nor '{name}-expr' is there");
        cx.warn(span, text);
    }
    proxy.settings.forwarded = Some(Spanned::new(value, span));
    Ok(())
}

fn restrict_req_hdr_names(cx: &mut Context<'_>, proxy: &mut Proxy, args: &mut Args<'_>) -> Parsed {
    const CHOICES: &[(&str, RestrictNames)] = &[
        ("preserve", RestrictNames::Preserve),
        ("delete", RestrictNames::Delete),
        ("reject", RestrictNames::Reject),
    ];
    proxy.settings.restrict_req_hdr_names = Some(args.choice(cx, CHOICES)?);
    args.end(cx)
}

/// RFC 9110 section 5.6.2: the bytes of a token.
pub(crate) fn is_header_name(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

fn address_header(cx: &mut Context<'_>, args: &mut Args<'_>) -> Parsed<Spanned<ForwardFor>> {
    let span = args.span();
    let mut value = ForwardFor { except: None, header: None, if_none: None };
    while let Some(word) = args.optional() {
        match word.value.as_str() {
            "except" => {
                let network = args.word(cx, "<address>[/mask] after 'except'")?;
                value.except = Some(except(cx, args, network)?);
            }
            "header" => {
                let name = args.string(cx, "a header name after 'header'")?;
                if !is_header_name(&name) {
                    let message = format!("'{name}' is not a header name");
                    return Err(args.wrong(cx, name.span, message));
                }
                value.header = Some(name);
            }
            "if-none" => value.if_none = Some(word.span),
            other => {
                let message = format!(
                    "'{}' expects 'except', 'header' or 'if-none', got '{other}'",
                    args.name()
                );
                return Err(cx.alert(word.span, message));
            }
        }
    }
    Ok(Spanned::new(value, span))
}

fn except(cx: &mut Context<'_>, args: &Args<'_>, word: &Word) -> Parsed<Spanned<Except>> {
    match network(&word.value) {
        Some(value) => Ok(Spanned::new(value, word.span)),
        None => Err(args.wrong(cx, word.span, format!("'{}' is not <address>[/mask]", word.value))),
    }
}

/// `address`, `address/bits` or `address/mask`.
pub(super) fn network(text: &str) -> Option<Except> {
    let (ip, mask) = match text.split_once('/') {
        Some((ip, mask)) => (ip, Some(mask)),
        None => (text, None),
    };
    let address = ip.parse::<IpAddr>().ok()?;
    let bits = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match mask {
        None => Some(bits),
        Some(mask) if mask.bytes().all(|b| b.is_ascii_digit()) => {
            mask.parse::<u8>().ok().filter(|prefix| *prefix <= bits)
        }
        Some(mask) => mask.parse::<std::net::Ipv4Addr>().ok().and_then(|mask| {
            let mask = mask.to_bits();
            (address.is_ipv4() && mask.leading_ones() == mask.count_ones())
                .then_some(mask.leading_ones() as u8)
        }),
    };
    prefix.map(|prefix| Except { address, prefix })
}
