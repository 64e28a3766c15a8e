//! `bind` and `stats socket`: addresses and their options (configuration manual, 5.1).

use proxy_types::{Address, Diagnostic, Endpoint, PortSpec, Spanned, Transport};

use crate::args::Args;
use crate::context::{Context, Parsed};
use crate::keyword::{On, Table, find, no_effect, not_yet, removed, row, suggest};
use crate::lexer::Word;
use crate::line::tls;
use crate::model::{Bind, CliLevel, Proto};

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
                let word = args.word(cx, "an octal mode such as 660")?;
                let mode = u32::from_str_radix(&word.value, 8).ok().filter(|mode| *mode <= 0o7777);
                let Some(mode) = mode else {
                    return Err(args.wrong(
                        cx,
                        word.span,
                        format!("'{}' is not an octal mode", word.value),
                    ));
                };
                bind.unix.mode = Some(Spanned::new(mode, word.span));
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
        removed("process", "2.5", "use 'thread' to bind a listener to threads"),
    ],
    &no_effect(On::HERE, M, ["nice"]),
    &not_yet(On::HERE, M, "threads", ["shards", "thread"]),
    &not_yet(
        On::HERE,
        M,
        "sockets",
        [
            "cc",
            "guid-prefix",
            "idle-ping",
            "label",
            "namespace",
            "nbconn",
            "severity-output",
            "tcp-md5sig",
            "tcp-ss",
        ],
    ),
    &not_yet(On::HERE, M, "QUIC", ["quic-cc-algo", "quic-force-retry", "quic-socket"]),
    tls::BIND_VERSIONS,
    tls::BIND_SETTINGS,
    tls::BIND_DEFAULTS,
    tls::BIND,
    tls::BIND_NOT_YET,
];

/// A protocol above TCP, by the name of HAProxy's multiplexer.
pub(crate) fn proto(cx: &mut Context<'_>, args: &mut Args<'_>) -> Parsed<Spanned<Proto>> {
    args.choice(cx, &[("h1", Proto::H1), ("h2", Proto::H2)])
}

/// Longest name of a network interface.
const IFNAME_MAX: usize = 15;

pub(crate) fn interface(cx: &mut Context<'_>, args: &mut Args<'_>) -> Parsed<Spanned<String>> {
    let name = args.string(cx, "an interface name")?;
    if name.len() > IFNAME_MAX || name.contains(['/', ' ']) {
        return Err(args.wrong(cx, name.span, format!("invalid interface name '{name}'")));
    }
    Ok(name)
}

/// Reads addresses and options. `place` completes messages: `in 'frontend' section`.
pub(crate) fn bind(cx: &mut Context<'_>, args: &mut Args<'_>, place: &str) -> Parsed<Bind> {
    let word =
        args.word(cx, "{<path>|[addr1]:port1[-end1]}{,[addr]:port[-end]}... as arguments")?;
    let mut bind = Bind { span: args.span(), ..Bind::default() };
    // A wrong address does not keep the options from being looked at.
    let addresses = addresses(cx, args, word);
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
        args.rename(format!("{name} {}", row.name));
        let parsed = cx
            .carried(row, &format!("'{name}' option"), place, word.span)
            .and_then(|parse| parse(cx, &mut bind, args));
        if let Err(reported) = parsed {
            // Behind an option that is not carried its arguments cannot be told from options.
            args.rest();
            result = Err(reported);
        }
    }
    bind.addresses = addresses?;
    result.map(|()| bind)
}

fn addresses(cx: &mut Context<'_>, args: &Args<'_>, word: &Word) -> Parsed<Vec<Spanned<Address>>> {
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
        (_, Some(Transport::Datagram)) => Some("datagram address not acceptable"),
        (_, Some(Transport::Quic)) => Some("QUIC: known, not carried yet,"),
        (_, Some(Transport::Mptcp)) => Some("MPTCP: known, not carried yet,"),
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
