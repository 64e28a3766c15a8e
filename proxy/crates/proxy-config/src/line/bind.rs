//! `bind` and `stats socket`: addresses and their options (configuration manual, 5.1).

use proxy_types::{Address, Diagnostic, Endpoint, PortSpec, Spanned, Transport};

use crate::args::Args;
use crate::context::{Context, Parsed};
use crate::keyword::{On, Shape, Support, Table, find, inert, not_yet, removed, row, suggest};
use crate::lexer::Word;
use crate::limits::THREADS_MAX;
use crate::line::shared::{guid, interface, md5_password, proto};
use crate::line::{threads, tls};
use crate::model::{Bind, CliLevel, SeverityOutput, Shards};
use crate::place::check_shape;

pub(crate) type Parse = fn(&mut Context<'_>, &mut Bind, &mut Args<'_>) -> Parsed;

const M: &str = "5.1";

pub(crate) const OPTIONS: Table<Parse> = &[
    &[
        row(
            "accept-netscaler-cip",
            On::HERE,
            "<magic number>",
            M,
            "NetScaler's header tells the client's address",
            |cx, bind, args| {
                let word = args.word(cx, "a magic number")?;
                let text = word.value.as_str();
                let number = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
                    Some(hex) => u32::from_str_radix(hex, 16).ok(),
                    None => text.parse().ok(),
                };
                let Some(number) = number.filter(|number| *number != 0) else {
                    let message = format!("'{text}' is no magic number");
                    return Err(args.wrong(cx, word.span, message));
                };
                bind.accept_netscaler_cip = Some(Spanned::new(number, word.span));
                Ok(())
            },
        ),
        row(
            "accept-proxy",
            On::HERE,
            "",
            M,
            "the PROXY protocol tells the client's address",
            |_, bind, args| {
                bind.accept_proxy = Some(args.keyword_span());
                Ok(())
            },
        ),
        row("backlog", On::HERE, "<backlog>", M, "length of the listen queue", |cx, bind, args| {
            bind.backlog = Some(args.number(cx, 0..=i32::MAX as u32)?);
            Ok(())
        }),
        row("defer-accept", On::HERE, "", M, "accepts once data arrived", |_, bind, args| {
            bind.defer_accept = Some(args.keyword_span());
            Ok(())
        }),
        row(
            "expose-fd",
            On::HERE,
            "listeners",
            M,
            "a new process may fetch the listeners here",
            |cx, bind, args| {
                bind.expose_fd_listeners = Some(args.choice(cx, &[("listeners", ())])?.span);
                Ok(())
            },
        ),
        row("gid", On::HERE, "<gid>", M, "group number of a UNIX socket", |cx, bind, args| {
            bind.unix.gid = Some(args.number(cx, 0..=u32::MAX)?);
            Ok(())
        }),
        row("group", On::HERE, "<group>", M, "group name of a UNIX socket", |cx, bind, args| {
            bind.unix.group = Some(args.string(cx, "a group name")?);
            Ok(())
        }),
        row("id", On::HERE, "<id>", M, "number in the statistics", |cx, bind, args| {
            bind.id = Some(args.number(cx, 1..=i32::MAX as u32)?);
            Ok(())
        }),
        row(
            "interface",
            On::HERE,
            "<interface>",
            M,
            "accepts from this interface only",
            |cx, bind, args| {
                bind.interface = Some(interface(cx, args)?);
                Ok(())
            },
        ),
        row(
            "level",
            On::HERE,
            "<level>",
            M,
            "what the runtime API allows here",
            |cx, bind, args| {
                const LEVELS: &[(&str, CliLevel)] = &[
                    ("user", CliLevel::User),
                    ("operator", CliLevel::Operator),
                    ("admin", CliLevel::Admin),
                ];
                bind.level = Some(args.choice(cx, LEVELS)?);
                Ok(())
            },
        ),
        row(
            "maxconn",
            On::HERE,
            "<maxconn>",
            M,
            "connections of each listener",
            |cx, bind, args| {
                bind.maxconn = Some(args.number(cx, 0..=i32::MAX as u32)?);
                Ok(())
            },
        ),
        row(
            "mode",
            On::HERE,
            "<mode>",
            M,
            "octal permissions of a UNIX socket",
            |cx, bind, args| {
                bind.unix.mode = Some(file_mode(cx, args)?);
                Ok(())
            },
        ),
        row("mss", On::HERE, "<maxseg>", M, "largest TCP segment", |cx, bind, args| {
            bind.mss = Some(args.number(cx, -65535..=65535)?);
            Ok(())
        }),
        row("name", On::HERE, "<name>", M, "name in the statistics", |cx, bind, args| {
            bind.name = Some(args.string(cx, "a name")?);
            Ok(())
        }),
        row(
            "idle-ping",
            On::HERE,
            "<delay>",
            M,
            "how often silent clients of HTTP/2 are asked whether they live",
            |cx, bind, args| {
                bind.idle_ping = Some(args.timer(cx)?);
                Ok(())
            },
        ),
        row("proto", On::HERE, "<name>", M, "what clients speak", |cx, bind, args| {
            bind.proto = Some(proto(cx, args)?);
            Ok(())
        }),
        row(
            "tcp-ut",
            On::HERE,
            "<delay>",
            M,
            "how long sent data may stay unacknowledged",
            |cx, bind, args| {
                bind.tcp_ut = Some(args.timer(cx)?);
                Ok(())
            },
        ),
        row("tfo", On::HERE, "", M, "TCP fast open", |_, bind, args| {
            bind.tfo = Some(args.keyword_span());
            Ok(())
        }),
        row(
            "transparent",
            On::HERE,
            "",
            M,
            "binds addresses of other hosts, too",
            |_, bind, args| {
                bind.transparent = Some(args.keyword_span());
                Ok(())
            },
        ),
        row("uid", On::HERE, "<uid>", M, "user number of a UNIX socket", |cx, bind, args| {
            bind.unix.uid = Some(args.number(cx, 0..=u32::MAX)?);
            Ok(())
        }),
        row("user", On::HERE, "<user>", M, "user name of a UNIX socket", |cx, bind, args| {
            bind.unix.user = Some(args.string(cx, "a user name")?);
            Ok(())
        }),
        row("v4v6", On::HERE, "", M, "IPv6 sockets take IPv4 clients", |_, bind, args| {
            bind.v4v6 = Some(args.keyword_span());
            Ok(())
        }),
        row("v6only", On::HERE, "", M, "IPv6 sockets take IPv6 clients only", |_, bind, args| {
            bind.v6only = Some(args.keyword_span());
            Ok(())
        }),
        row("cc", On::HERE, "<algo>", M, "congestion control", |cx, bind, args| {
            bind.congestion = Some(args.string(cx, "the name of an algorithm")?);
            Ok(())
        }),
        row(
            "guid-prefix",
            On::HERE,
            "<string>",
            M,
            "identifiers of the listeners, numbered",
            |cx, bind, args| {
                bind.guid_prefix = Some(guid(cx, args)?);
                Ok(())
            },
        ),
        row("label", On::HERE, "<label>", M, "a name for a group of sockets", |cx, bind, args| {
            bind.label = Some(args.string(cx, "a label")?);
            Ok(())
        }),
        row("namespace", On::HERE, "<name>", M, "network namespace", |cx, bind, args| {
            bind.namespace = Some(args.string(cx, "the name of a network namespace")?);
            Ok(())
        }),
        inert(
            "nice",
            On::HERE,
            M,
            Shape::Number(-1024, 1024),
            "connections of a thread take turns",
        ),
        row(
            "severity-output",
            On::HERE,
            "{none|number|string}",
            M,
            "severity in front of messages of the runtime API",
            |cx, bind, args| {
                const FORMS: &[(&str, SeverityOutput)] = &[
                    ("none", SeverityOutput::None),
                    ("number", SeverityOutput::Number),
                    ("string", SeverityOutput::String),
                ];
                bind.severity_output = Some(args.choice(cx, FORMS)?);
                Ok(())
            },
        ),
        row(
            "shards",
            On::HERE,
            "{<number>|by-thread|by-group}",
            M,
            "listening sockets per address",
            |cx, bind, args| {
                let what = "a number, 'by-thread' or 'by-group'";
                let word = args.word(cx, what)?;
                let shards = match word.value.as_str() {
                    "by-group" => Shards::ByGroup,
                    "by-thread" => Shards::ByThread,
                    number => match number.parse::<u32>() {
                        Ok(number) if (1..=THREADS_MAX).contains(&number) => Shards::Count(number),
                        _ => {
                            let message = format!("'{number}' is not {what}");
                            return Err(args.wrong(cx, word.span, message));
                        }
                    },
                };
                bind.shards = Some(Spanned::new(shards, word.span));
                Ok(())
            },
        ),
        row(
            "thread",
            On::HERE,
            "[<thread-group>/]<thread-set>[,...]",
            M,
            "threads that accept here",
            |cx, bind, args| {
                let word = args.word(cx, "[<thread-group>/]<thread-set>[,...]")?;
                let sets = threads::thread_sets(cx, args, word)?;
                bind.threads = Some(Spanned::new(sets, word.span));
                Ok(())
            },
        ),
        row(
            "tcp-ss",
            On::HERE,
            "<mode>",
            M,
            "keeps the first packet of connections for rules to look at",
            |cx, bind, args| {
                bind.tcp_ss = Some(args.number(cx, 0..=2)?);
                Ok(())
            },
        ),
        row(
            "tcp-md5sig",
            On::HERE,
            "<password>",
            M,
            "signs the segments of connections (RFC 2385)",
            |cx, bind, args| {
                bind.md5 = Some(md5_password(cx, args)?);
                Ok(())
            },
        ),
        removed("process", "2.5", "use 'thread' to bind a listener to threads"),
    ],
    &not_yet(On::HERE, M, "sockets", ["nbconn"]),
    &not_yet(On::HERE, M, "QUIC", ["quic-cc-algo", "quic-force-retry", "quic-socket"]),
    tls::BIND_VERSIONS,
    tls::BIND_SETTINGS,
    tls::BIND_DEFAULTS,
    tls::BIND,
    tls::BIND_NOT_YET,
];

/// Permission bits of a file.
pub(crate) fn file_mode(cx: &mut Context<'_>, args: &mut Args<'_>) -> Parsed<Spanned<u32>> {
    let word = args.word(cx, "an octal mode such as 660")?;
    let mode = u32::from_str_radix(&word.value, 8).ok().filter(|mode| *mode <= 0o7777);
    match mode {
        Some(mode) => Ok(Spanned::new(mode, word.span)),
        None => Err(args.wrong(cx, word.span, format!("'{}' is not an octal mode", word.value))),
    }
}

/// Reads addresses and options. `place` completes messages: `in 'frontend' section`.
pub(crate) fn bind(cx: &mut Context<'_>, args: &mut Args<'_>, place: &str) -> Parsed<Bind> {
    bind_from(cx, args, place, Bind::default())
}

/// A line whose addresses are for datagrams. Which of them fit is for the caller to say.
pub(crate) fn datagram(cx: &mut Context<'_>, args: &mut Args<'_>, place: &str) -> Parsed<Bind> {
    let word = args.word(cx, "[addr]:port[-end]{,[addr]:port[-end]}... as arguments")?;
    let mut bind = Bind { span: args.span(), ..Bind::default() };
    let addresses = addresses(cx, args, word, |_| None);
    let result = options(cx, &mut bind, args, place);
    bind.addresses = addresses?;
    result.map(|()| bind)
}

/// The same, with what `base` says already.
pub(crate) fn bind_from(
    cx: &mut Context<'_>,
    args: &mut Args<'_>,
    place: &str,
    base: Bind,
) -> Parsed<Bind> {
    let word =
        args.word(cx, "{<path>|[addr1]:port1[-end1]}{,[addr]:port[-end]}... as arguments")?;
    let mut bind = Bind { span: args.span(), ..base };
    // A wrong address does not keep the options from being looked at.
    let addresses = addresses(cx, args, word, misfit);
    let result = options(cx, &mut bind, args, place);
    bind.addresses = addresses?;
    result.map(|()| bind)
}

/// Reads options without an address, on top of those of `base`.
pub(crate) fn default_bind(
    cx: &mut Context<'_>,
    args: &mut Args<'_>,
    place: &str,
    mut base: Bind,
) -> Parsed<Bind> {
    if args.peek().is_none() {
        return Err(args.missing(cx, "options of 'bind'"));
    }
    options(cx, &mut base, args, place).map(|()| base)
}

/// Options up to the end of the line, all looked at even when one is wrong.
fn options(cx: &mut Context<'_>, bind: &mut Bind, args: &mut Args<'_>, place: &str) -> Parsed {
    let mut result = Ok(());
    let name = args.name().to_owned();
    while let Some(word) = args.optional() {
        let Some(row) = find(OPTIONS, &word.value) else {
            let message = format!("'{name}' {place}: unknown keyword '{}'", word.value);
            let near = suggest(OPTIONS, &word.value);
            result = Err(cx.report(Diagnostic::alert(message).at(word.span).did_you_mean(near)));
            // Probably its argument.
            if args.peek().is_some_and(|word| find(OPTIONS, &word.value).is_none()) {
                args.optional();
            }
            continue;
        };
        args.rename_option(&name, " ", row.name);
        let inert = matches!(row.support, Support::NoEffect(_));
        let parsed = check_shape(cx, row, args, false)
            .and_then(|()| cx.carried(row, format_args!("'{name}' option"), place, word.span))
            .and_then(|parse| parse(cx, bind, args));
        if let Err(reported) = parsed
            && !inert
        {
            // Behind an option that is not carried its arguments cannot be told from options.
            args.rest();
            result = Err(reported);
        }
    }
    result
}

fn addresses(
    cx: &mut Context<'_>,
    args: &Args<'_>,
    word: &Word,
    misfit: fn(&Address) -> Option<&'static str>,
) -> Parsed<Vec<Spanned<Address>>> {
    let mut list = Vec::new();
    let mut result = Ok(());
    let mut offset = 0;
    for text in word.value.split(',') {
        match args.parse_address(cx, word, offset, text) {
            Ok(address) => match misfit(&address) {
                None => list.push(address),
                Some(text_of) => {
                    result = Err(args.wrong(cx, address.span, format!("{text_of} in '{text}'")));
                }
            },
            Err(reported) => result = Err(reported),
        }
        offset += text.len() + 1;
    }
    result.map(|()| list)
}

/// What makes an address unfit to listen to.
fn misfit(address: &Address) -> Option<&'static str> {
    match (&address.endpoint, address.transport) {
        // Whether the section takes datagrams is known when all of it was read.
        (Endpoint::Inet { .. }, Some(Transport::Datagram))
            if !matches!(address.port(), PortSpec::Port(1..) | PortSpec::Range { .. }) =>
        {
            Some("missing port specification")
        }
        (Endpoint::Inet { .. }, Some(Transport::Datagram)) => None,
        (_, Some(Transport::Datagram)) => Some("datagram address not acceptable"),
        (_, Some(Transport::Quic)) => Some("QUIC: known, not carried yet,"),
        (Endpoint::Inet { port, .. }, _) => match port {
            PortSpec::None => Some("missing port specification"),
            PortSpec::Offset(_) => Some("port offset not permitted here"),
            PortSpec::Port(0) => Some("invalid port '0'"),
            PortSpec::Port(_) | PortSpec::Range { .. } => None,
        },
        (Endpoint::SockPair(_), _) => Some("sockpair@: known, not carried yet,"),
        (Endpoint::Abstract { .. } | Endpoint::Fd(_) | Endpoint::Unix(_), _) => None,
    }
}
