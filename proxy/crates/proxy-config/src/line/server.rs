//! `server` and `default-server` (configuration manual, 5.2).

use proxy_types::{Address, Diagnostic, Endpoint, Host, PortSpec, Spanned, Transport};

use crate::args::Args;
use crate::context::{Context, Parsed};
use crate::keyword::{On, Row, Support, Table, find, not_yet, row, suggest};
use crate::lexer::{Word, sub_span};
use crate::line::server_draft::{Draft, Parse, here};
use crate::line::shared::{guid, interface, is_name_char, md5_password, server_proto};
use crate::line::{names, server_check, server_from, tls_server};
use crate::model::{
    HashKey, InitState, LogProto, NamedDefaultServer, Observe, OnError, OnMarkedDown, OnMarkedUp,
    Peer, Proto, Proxy, ProxyKind, Ring, Server, ServerOptions, SourceAddress, UseSource,
};
use crate::place::check_shape;

const M: &str = "5.2";

pub(crate) const OPTIONS: Table<Parse> = &[
    &[
        row("addr", On::HERE, "<ipv4|ipv6>", M, "address of the checks", |cx, s, args| {
            let address = args.address(cx, "an IP address")?;
            let fits = matches!(
                address.endpoint,
                Endpoint::Inet { port: PortSpec::None | PortSpec::Port(_), .. }
            );
            if !fits {
                return Err(args.wrong(cx, address.span, "an IP address is expected"));
            }
            s.options.check_addr = Some(address);
            Ok(())
        }),
        row("agent-addr", On::HERE, "<addr>", M, "address of the agent", |cx, s, args| {
            let address = args.address(cx, "an address")?;
            if !matches!(address.endpoint, Endpoint::Inet { port: PortSpec::None, .. }) {
                let text = "an IP address or a host name without a port is expected";
                return Err(args.wrong(cx, address.span, text));
            }
            s.options.agent.addr = Some(address);
            Ok(())
        }),
        row("agent-check", On::HERE, "", M, "asks an agent on the server", |_, s, args| {
            s.options.agent.check = here(args, true);
            Ok(())
        }),
        row("agent-inter", On::HERE, "<delay>", M, "interval of the agent check", |cx, s, args| {
            s.options.agent.inter = Some(interval(cx, args)?);
            Ok(())
        }),
        row("agent-port", On::HERE, "<port>", M, "port of the agent", |cx, s, args| {
            s.options.agent.port = Some(args.number(cx, 1..=u16::MAX)?);
            Ok(())
        }),
        row("agent-send", On::HERE, "<string>", M, "what the agent is told", |cx, s, args| {
            s.options.agent.send = Some(args.string(cx, "a string")?);
            Ok(())
        }),
        row("no-agent-check", On::HERE, "", M, "cancels agent-check", |_, s, args| {
            s.options.agent.check = here(args, false);
            Ok(())
        }),
        row(
            "healthcheck",
            On::HERE,
            "<name>",
            M,
            "the section that says how it is checked",
            |cx, s, args| {
                s.options.healthcheck =
                    Some(args.string(cx, "the name of a 'healthcheck' section")?);
                Ok(())
            },
        ),
        row(
            "init-state",
            On::HERE,
            "{ fully-up | up | down | fully-down | none }",
            M,
            "the state before the first check",
            |cx, s, args| {
                const STATES: &[(&str, Option<InitState>)] = &[
                    ("down", Some(InitState::Down)),
                    ("fully-down", Some(InitState::FullyDown)),
                    ("fully-up", Some(InitState::FullyUp)),
                    ("none", None),
                    ("up", Some(InitState::Up)),
                ];
                let state = args.choice(cx, STATES)?;
                s.options.init_state = state.value.map(|value| Spanned::new(value, state.span));
                Ok(())
            },
        ),
        row(
            "slowstart",
            On::HERE,
            "<delay>",
            M,
            "how long a server that came back gets less",
            |cx, s, args| {
                s.options.slowstart = Some(args.timer(cx)?);
                Ok(())
            },
        ),
        row(
            "socks4",
            On::HERE,
            "<addr>:<port>",
            M,
            "SOCKS4 proxy on the way to it",
            |cx, s, args| {
                let address = args.address(cx, "<addr>:<port>")?;
                if !matches!(address.endpoint, Endpoint::Inet { port: PortSpec::Port(1..), .. }) {
                    return Err(args.wrong(
                        cx,
                        address.span,
                        "an IP address and a port are expected",
                    ));
                }
                s.options.socks4 = Some(address);
                Ok(())
            },
        ),
        row("backup", On::HERE, "", M, "used when all others are down", |_, s, args| {
            s.options.backup = here(args, true);
            Ok(())
        }),
        row("check", On::HERE, "", M, "health checks on", |_, s, args| {
            s.options.check = here(args, true);
            Ok(())
        }),
        row("cookie", On::HERE, "<value>", M, "value of the persistence cookie", |cx, s, args| {
            let value = args.string(cx, "a value")?;
            if let Some(bad) =
                value.bytes().find(|b| !b.is_ascii_graphic() || b";,\"\\".contains(b))
            {
                let message = format!("byte 0x{bad:02x} is not permitted in a cookie's value");
                return Err(args.wrong(cx, value.span, message));
            }
            s.options.cookie = Some(value);
            Ok(())
        }),
        row("disabled", On::HERE, "", M, "starts in maintenance", |_, s, args| {
            s.options.disabled = here(args, true);
            Ok(())
        }),
        row("downinter", On::HERE, "<delay>", M, "check interval while down", |cx, s, args| {
            s.options.downinter = Some(interval(cx, args)?);
            Ok(())
        }),
        row("stick", On::HERE, "", M, "takes 'non-stick' back", |_, s, args| {
            s.options.non_stick = here(args, false);
            Ok(())
        }),
        row("non-stick", On::HERE, "", M, "stick tables do not learn it", |_, s, args| {
            s.options.non_stick = here(args, true);
            Ok(())
        }),
        row("enabled", On::HERE, "", M, "cancels disabled", |_, s, args| {
            s.options.disabled = here(args, false);
            Ok(())
        }),
        row(
            "hash-key",
            On::HERE,
            "<key>",
            M,
            "what its places on the hash ring come from",
            |cx, s, args| {
                const KEYS: &[(&str, HashKey)] = &[
                    ("addr", HashKey::Addr),
                    ("addr-port", HashKey::AddrPort),
                    ("guid", HashKey::Guid),
                    ("id", HashKey::Id),
                    ("id32", HashKey::Id32),
                ];
                s.options.hash_key = Some(args.choice(cx, KEYS)?);
                Ok(())
            },
        ),
        row(
            "error-limit",
            On::HERE,
            "<count>",
            M,
            "errors in a row that 'observe' acts at",
            |cx, s, args| {
                s.options.error_limit = Some(args.number(cx, 1..=i32::MAX as u32)?);
                Ok(())
            },
        ),
        row(
            "observe",
            On::HERE,
            "{ layer4 | layer7 }",
            M,
            "learns health from traffic",
            |cx, s, args| {
                const MODES: &[(&str, Observe)] =
                    &[("layer4", Observe::Layer4), ("layer7", Observe::Layer7)];
                s.options.observe = Some(args.choice(cx, MODES)?);
                Ok(())
            },
        ),
        row(
            "on-error",
            On::HERE,
            "{ fastinter | fail-check | sudden-death | mark-down }",
            M,
            "what 'observe' does at its limit",
            |cx, s, args| {
                const MODES: &[(&str, OnError)] = &[
                    ("fail-check", OnError::FailCheck),
                    ("fastinter", OnError::Fastinter),
                    ("mark-down", OnError::MarkDown),
                    ("sudden-death", OnError::SuddenDeath),
                ];
                s.options.on_error = Some(args.choice(cx, MODES)?);
                Ok(())
            },
        ),
        row(
            "track",
            On::HERE,
            "[<backend>/]<server>",
            M,
            "has the state of another server",
            |cx, s, args| {
                s.options.track = Some(args.string(cx, "[<backend>/]<server>")?);
                Ok(())
            },
        ),
        row("fall", On::HERE, "<count>", M, "failures that make a server down", |cx, s, args| {
            s.options.fall = Some(args.number(cx, 1..=i32::MAX as u32)?);
            Ok(())
        }),
        row(
            "fastinter",
            On::HERE,
            "<delay>",
            M,
            "check interval while the state changes",
            |cx, s, args| {
                s.options.fastinter = Some(interval(cx, args)?);
                Ok(())
            },
        ),
        row("id", On::HERE, "<value>", M, "number in the statistics", |cx, s, args| {
            if s.is_default {
                return Err(args.wrong(cx, args.keyword_span(), "not allowed in 'default-server'"));
            }
            s.id = Some(args.number(cx, 1..=i32::MAX as u32)?);
            Ok(())
        }),
        row("inter", On::HERE, "<delay>", M, "check interval", |cx, s, args| {
            s.options.inter = Some(interval(cx, args)?);
            Ok(())
        }),
        row("maxconn", On::HERE, "<maxconn>", M, "connections at once", |cx, s, args| {
            s.options.maxconn = Some(args.number(cx, 0..=i32::MAX as u32)?);
            Ok(())
        }),
        row("maxqueue", On::HERE, "<maxqueue>", M, "requests waiting", |cx, s, args| {
            s.options.maxqueue = Some(args.number(cx, 0..=i32::MAX as u32)?);
            Ok(())
        }),
        row("minconn", On::HERE, "<minconn>", M, "maxconn under low load", |cx, s, args| {
            s.options.minconn = Some(args.number(cx, 0..=i32::MAX as u32)?);
            Ok(())
        }),
        row("no-backup", On::HERE, "", M, "cancels backup", |_, s, args| {
            s.options.backup = here(args, false);
            Ok(())
        }),
        row("no-check", On::HERE, "", M, "health checks off", |_, s, args| {
            s.options.check = here(args, false);
            Ok(())
        }),
        row("no-tfo", On::HERE, "", M, "cancels tfo", |_, s, args| {
            s.options.tfo = here(args, false);
            Ok(())
        }),
        row(
            "on-marked-down",
            On::HERE,
            "shutdown-sessions",
            M,
            "what happens to sessions of a server that fails",
            |cx, s, args| {
                const ACTIONS: &[(&str, OnMarkedDown)] =
                    &[("shutdown-sessions", OnMarkedDown::ShutdownSessions)];
                s.options.on_marked_down = Some(args.choice(cx, ACTIONS)?);
                Ok(())
            },
        ),
        row(
            "on-marked-up",
            On::HERE,
            "shutdown-backup-sessions",
            M,
            "what happens to sessions of backup servers",
            |cx, s, args| {
                const ACTIONS: &[(&str, OnMarkedUp)] =
                    &[("shutdown-backup-sessions", OnMarkedUp::ShutdownBackupSessions)];
                s.options.on_marked_up = Some(args.choice(cx, ACTIONS)?);
                Ok(())
            },
        ),
        row("port", On::HERE, "<port>", M, "port of the checks", |cx, s, args| {
            s.options.check_port = Some(args.number(cx, 1..=u16::MAX)?);
            Ok(())
        }),
        row(
            "max-reuse",
            On::HERE,
            "<count>",
            M,
            "requests that reuse a connection",
            |cx, s, args| {
                s.options.max_reuse = Some(args.number(cx, -1..=i32::MAX)?);
                Ok(())
            },
        ),
        row(
            "pool-conn-name",
            On::HERE,
            "<expr>",
            M,
            "what tells idle connections apart, in place of sni",
            |cx, s, args| {
                s.options.pool_conn_name = Some(args.string(cx, "an expression")?);
                Ok(())
            },
        ),
        row(
            "strict-maxconn",
            On::HERE,
            "",
            M,
            "maxconn counts idle connections, too",
            |_, s, args| {
                s.options.strict_maxconn = here(args, true);
                Ok(())
            },
        ),
        row("ws", On::HERE, "{ auto | h1 | h2 }", M, "what carries WebSockets", |cx, s, args| {
            const WAYS: &[(&str, Option<Proto>)] =
                &[("auto", None), ("h1", Some(Proto::H1)), ("h2", Some(Proto::H2))];
            let way = args.choice(cx, WAYS)?;
            s.options.ws = way.value.map(|value| Spanned::new(value, way.span));
            Ok(())
        }),
        row(
            "pool-low-conn",
            On::HERE,
            "<max>",
            M,
            "idle connections below which a thread takes none of another",
            |cx, s, args| {
                s.options.pool_low_conn = Some(args.number(cx, 0..=i32::MAX as u32)?);
                Ok(())
            },
        ),
        row("pool-max-conn", On::HERE, "<max>", M, "idle connections kept", |cx, s, args| {
            s.options.pool_max_conn = Some(args.number(cx, -1..=i32::MAX)?);
            Ok(())
        }),
        row(
            "pool-purge-delay",
            On::HERE,
            "<delay>",
            M,
            "how often half of the spare idle connections are closed",
            |cx, s, args| {
                s.options.pool_purge_delay = Some(args.timer(cx)?);
                Ok(())
            },
        ),
        row(
            "idle-ping",
            On::HERE,
            "<delay>",
            M,
            "how often silent servers of HTTP/2 are asked whether they live",
            |cx, s, args| {
                s.options.idle_ping = Some(args.timer(cx)?);
                Ok(())
            },
        ),
        row("proto", On::HERE, "<name>", M, "what the server speaks", |cx, s, args| {
            s.options.proto = Some(server_proto(cx, args)?);
            Ok(())
        }),
        row(
            "shard",
            On::HERE,
            "<shard>",
            M,
            "in 'peers': the part of the keys that the peer is told of",
            |cx, s, args| {
                if !s.is_peer {
                    let text = "only possible in 'peers' sections";
                    return Err(args.wrong(cx, args.keyword_span(), text));
                }
                s.options.shard = Some(args.number(cx, 0..=i32::MAX as u32)?);
                Ok(())
            },
        ),
        row("rise", On::HERE, "<count>", M, "successes that make a server up", |cx, s, args| {
            s.options.rise = Some(args.number(cx, 1..=i32::MAX as u32)?);
            Ok(())
        }),
        row(
            "source",
            On::HERE,
            "<addr>[:<pl>[-<ph>]] [interface <name>]",
            M,
            "where connections come from",
            |cx, s, args| {
                s.options.source = Some(source_address(cx, args)?);
                Ok(())
            },
        ),
        row(
            "tcp-ut",
            On::HERE,
            "<delay>",
            M,
            "how long sent data may stay unacknowledged",
            |cx, s, args| {
                s.options.tcp_ut = Some(args.timer(cx)?);
                Ok(())
            },
        ),
        row(
            "tcp-md5sig",
            On::HERE,
            "<password>",
            M,
            "signs the segments of connections (RFC 2385)",
            |cx, s, args| {
                s.options.md5 = Some(md5_password(cx, args)?);
                Ok(())
            },
        ),
        row("tfo", On::HERE, "", M, "TCP fast open", |_, s, args| {
            s.options.tfo = here(args, true);
            Ok(())
        }),
        row("weight", On::HERE, "<weight>", M, "share of the load, 0 to 256", |cx, s, args| {
            s.options.weight = Some(args.number(cx, 0..=256)?);
            Ok(())
        }),
        row("cc", On::HERE, "<algo>", M, "congestion control", |cx, s, args| {
            s.options.congestion = Some(args.string(cx, "the name of an algorithm")?);
            Ok(())
        }),
        row(
            "guid",
            On::HERE,
            "<string>",
            M,
            "identifier that is unique in the configuration",
            |cx, s, args| {
                if s.is_default {
                    let text = "not allowed in 'default-server'";
                    return Err(args.wrong(cx, args.keyword_span(), text));
                }
                s.guid = Some(guid(cx, args)?);
                Ok(())
            },
        ),
        row("namespace", On::HERE, "<name>", M, "network namespace", |cx, s, args| {
            let name = args.string(cx, "the name of a network namespace")?;
            if name.value == "*" {
                let text = "namespaces from the PROXY protocol: known, not carried yet";
                return Err(args.wrong(cx, name.span, text));
            }
            s.options.namespace = Some(name);
            Ok(())
        }),
        row(
            "usesrc",
            On::HERE,
            "{<addr>[:<port>]|client|clientip}",
            M,
            "part of 'source'",
            |cx, _, args| {
                let text = "only possible behind 'source <addr>'";
                Err(args.wrong(cx, args.keyword_span(), text))
            },
        ),
        row(
            "redir",
            On::HERE,
            "<prefix>",
            M,
            "sends GET and HEAD requests there instead",
            |cx, s, args| {
                s.options.redir = Some(args.string(cx, "a prefix")?);
                Ok(())
            },
        ),
    ],
    server_check::CHECK,
    &not_yet(
        On::HERE,
        M,
        "health checks",
        ["check-pool-conn-name", "check-reuse-pool", "no-check-reuse-pool"],
    ),
    &not_yet(On::HERE, M, "server connections", ["quic-cc-algo"]),
    &[
        row(
            "log-bufsize",
            On::HERE,
            "<bufsize>",
            M,
            "bytes that wait for a server of a log backend",
            |cx, s, args| {
                s.options.log_bufsize = Some(args.size(cx, Ring::LEAST_SIZE..=Ring::MOST_SIZE)?);
                Ok(())
            },
        ),
        row(
            "log-proto",
            On::HERE,
            "{ legacy | octet-count }",
            M,
            "how messages are told apart on a connection",
            |cx, s, args| {
                const FORMS: &[(&str, LogProto)] =
                    &[("legacy", LogProto::Legacy), ("octet-count", LogProto::OctetCount)];
                s.options.log_proto = Some(args.choice(cx, FORMS)?);
                Ok(())
            },
        ),
    ],
    FROM,
    names::NAMES,
    tls_server::VERSIONS,
    tls_server::SETTINGS,
    tls_server::TLS,
    tls_server::TLS_LIBRARY,
    tls_server::PROXY,
];

const FROM: &[Row<Parse>] = &[row(
    "from",
    On::HERE,
    "{none|be:[<backend>]|srv:[<backend>/]<server>}",
    M,
    "the settings that it starts with",
    |cx, _, args| {
        let text = "only possible before all other settings";
        Err(args.wrong(cx, args.keyword_span(), text))
    },
)];

/// What a server that is added at run time cannot have: what only a start can bring about, and what cancels settings that it
/// does not have.
const NOT_DYNAMIC: &[&str] = &[
    "init-addr",
    "log-bufsize",
    "log-proto",
    "max-reuse",
    "namespace",
    "no-agent-check",
    "no-check",
    "no-check-ssl",
    "no-send-proxy-v2-ssl",
    "no-send-proxy-v2-ssl-cn",
    "no-ssl",
    "non-stick",
    "redir",
    "resolve-net",
    "resolve-opts",
    "resolve-prefer",
    "resolvers",
    "shard",
    "socks4",
    "ssl-reuse",
    "stick",
    "tcp-ut",
];

/// The words of a server that is added at run time, with their arguments.
pub(crate) fn dynamic_words() -> impl Iterator<Item = (&'static str, &'static str)> {
    OPTIONS
        .iter()
        .flat_map(|group| group.iter())
        .filter(|row| matches!(row.support, Support::Carried(_)))
        .filter(|row| !NOT_DYNAMIC.contains(&row.name) && row.name != "usesrc")
        .map(|row| (row.name, row.syntax))
}

/// What peers and servers have in common, beside TLS.
const OF_PEERS: &[&str] =
    &["cc", "namespace", "no-tfo", "shard", "socks4", "source", "tcp-md5sig", "tcp-ut", "tfo"];
const TLS_OPTIONS: Table<Parse> =
    &[tls_server::VERSIONS, tls_server::SETTINGS, tls_server::TLS, tls_server::TLS_LIBRARY];

/// What servers of rings have beside TLS and the PROXY protocol.
const OF_RINGS: &[&str] =
    &["cc", "log-proto", "namespace", "no-tfo", "source", "tcp-ut", "tfo", "init-addr"];
/// What would change the way to a server of a ring, and does not.
const IMPOSSIBLE_IN_RINGS: &[&str] = &["log-bufsize", "resolvers", "socks4"];

fn of_rings(name: &str) -> bool {
    OF_RINGS.contains(&name)
        || find(TLS_OPTIONS, name).is_some()
        || find(&[tls_server::PROXY], name).is_some()
}

/// A check interval: zero would be a busy loop.
fn interval(cx: &mut Context<'_>, args: &mut Args<'_>) -> Parsed<Spanned<std::time::Duration>> {
    let value = args.timer(cx)?;
    if value.is_zero() {
        return Err(args.wrong(cx, value.span, "the interval has to be longer than 0"));
    }
    Ok(value)
}

/// `<addr>[:<port>[-<port>]] [interface <name>]`, of a server or of a backend.
pub(crate) fn source_address(
    cx: &mut Context<'_>,
    args: &mut Args<'_>,
) -> Parsed<Spanned<SourceAddress>> {
    let address =
        args.address(cx, "<addr>[:<port>[-<port>]], optionally followed by 'interface' <name>")?;
    match address.endpoint {
        Endpoint::Inet { port: PortSpec::Offset(_), .. } => {
            return Err(args.wrong(cx, address.span, "port offset not permitted here"));
        }
        Endpoint::Inet { .. } => {}
        _ => return Err(args.wrong(cx, address.span, "an IP address is expected")),
    }
    let mut interface_name = None;
    let mut use_source = None;
    loop {
        if args.accept("usesrc").is_some() {
            use_source = Some(use_source_of(cx, args)?);
        } else if args.accept("interface").is_some() {
            interface_name = Some(interface(cx, args)?);
        } else {
            break;
        }
    }
    let span = address.span;
    let value = SourceAddress { address: address.value, interface: interface_name, use_source };
    Ok(Spanned::new(value, span))
}

/// What follows `usesrc`: whose address connections seem to come from.
fn use_source_of(cx: &mut Context<'_>, args: &mut Args<'_>) -> Parsed<Spanned<UseSource>> {
    const WHAT: &str = "'client', 'clientip', 'hdr_ip(<name>)' or an address";
    let Some(word) = args.peek() else { return Err(args.missing(cx, WHAT)) };
    let source = match word.value.as_str() {
        "client" => UseSource::Client,
        "clientip" => UseSource::ClientIp,
        name if name.starts_with("hdr_ip(") => {
            let Some(source) = header_of(name) else {
                let message = format!("'{name}' is not 'hdr_ip(<name>[,<occurrence>])'");
                let expected =
                    "the occurrence counts from 1, or from the end when negative (-10 at most)";
                let diagnostic = Diagnostic::alert(format!("'{}' : {message}", args.name()));
                return Err(cx.report(diagnostic.at(word.span).expected(expected)));
            };
            source
        }
        _ => {
            let address = args.address(cx, WHAT)?;
            if !matches!(address.endpoint, Endpoint::Inet { host: Host::Ip(_), .. }) {
                return Err(args.wrong(cx, address.span, format!("expects {WHAT}")));
            }
            return Ok(Spanned::new(UseSource::Address(address.value), address.span));
        }
    };
    args.optional();
    Ok(Spanned::new(source, word.span))
}

/// `hdr_ip(<name>[,<occurrence>])`.
fn header_of(text: &str) -> Option<UseSource> {
    let inside = text.strip_prefix("hdr_ip(")?.strip_suffix(')')?;
    let (name, occurrence) = match inside.split_once(',') {
        Some((name, number)) => (name, number.trim().parse().ok().filter(|n| *n >= -10)?),
        None => (inside, -1),
    };
    let name = name.trim();
    let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && b != b'(');
    is_name.then(|| UseSource::Header { name: name.to_owned(), occurrence })
}

/// Options up to the end of the line, all looked at even when one is wrong.
fn options(cx: &mut Context<'_>, draft: &mut Draft, args: &mut Args<'_>, name: &str) -> Parsed {
    let mut result = Ok(());
    while let Some(word) = args.optional() {
        let plain = word.value.split('(').next().unwrap_or_default();
        let Some(row) = find(OPTIONS, plain) else {
            let message = format!("'{name}' : unknown keyword '{}'", word.value);
            let near = suggest(OPTIONS, &word.value);
            result = Err(cx.report(Diagnostic::alert(message).at(word.span).did_you_mean(near)));
            // Probably its argument.
            if args.peek().is_some_and(|word| find(OPTIONS, &word.value).is_none()) {
                args.optional();
            }
            continue;
        };
        args.rename_option(name, "' : '", row.name);
        if draft.is_dynamic && NOT_DYNAMIC.contains(&row.name) {
            let message = format!("'{}' option is not accepted for dynamic server", row.name);
            return Err(cx.alert(word.span, message));
        }
        if draft.is_peer
            && !matches!(row.support, Support::Removed { .. })
            && !OF_PEERS.contains(&row.name)
            && find(TLS_OPTIONS, row.name).is_none()
        {
            let message = format!("'{name}' : '{}' is not possible in 'peers' sections", row.name);
            result = Err(cx.alert(word.span, message));
            args.rest();
            continue;
        }
        if draft.in_ring && IMPOSSIBLE_IN_RINGS.contains(&row.name) {
            let message = format!("'{name}' : '{}' is not possible in 'ring' sections", row.name);
            result = Err(cx.alert(word.span, message));
            args.rest();
            continue;
        }
        if draft.in_ring && matches!(row.support, Support::Carried(_)) && !of_rings(row.name) {
            // The manual allows them all there and calls them irrelevant.
            let text = format!("'{name}' : '{}' means nothing in 'ring' sections", row.name);
            cx.notice(word.span, text);
        }
        let inert = matches!(row.support, Support::NoEffect(_));
        let parsed = check_shape(cx, row, args, false)
            .and_then(|()| cx.carried(row, format_args!("'{name}' : option"), "", word.span))
            .and_then(|parse| parse(cx, draft, args));
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

pub(crate) fn server(cx: &mut Context<'_>, proxy: &mut Proxy, args: &mut Args<'_>) -> Parsed {
    const WHAT: &str = "<name> and <addr>[:<port>] as arguments";
    let name = args.string(cx, WHAT)?;
    let server = one(cx, proxy, args, name, ("server", WHAT), false)?;
    proxy.servers.push(server);
    Ok(())
}

/// What stands behind `add server <backend>/`.
pub(crate) fn dynamic(cx: &mut Context<'_>, proxy: &Proxy, args: &mut Args<'_>) -> Parsed<Server> {
    const WHAT: &str = "<name> and <addr>[:<port>] as arguments";
    let name = args.string(cx, WHAT)?;
    one(cx, proxy, args, name, ("server", WHAT), true)
}

/// `server-template <prefix> <num | range> ...`: so many servers that differ by their names.
pub(crate) fn template(cx: &mut Context<'_>, proxy: &mut Proxy, args: &mut Args<'_>) -> Parsed {
    const WHAT: &str = "<prefix>, <num | range> and <addr>[:<port>] as arguments";
    let prefix = args.string(cx, WHAT)?;
    let range = args.word(cx, WHAT)?;
    let Some((first, last)) = numbers(&range.value) else {
        let message = format!("wrong server-template number or range '{}'", range.value);
        return Err(cx.report(
            Diagnostic::alert(message)
                .at(range.span)
                .expected("expected a number, or <low>-<high>"),
        ));
    };
    if last - first >= TEMPLATE_MAX {
        let message = format!("'{}' makes more than {TEMPLATE_MAX} servers", range.value);
        return Err(args.wrong(cx, range.span, message));
    }
    let server = one(cx, proxy, args, prefix, ("server-template", WHAT), false)?;
    for number in first..=last {
        let name = format!("{}{number}", server.name.value);
        proxy.servers.push(Server {
            name: Spanned::new(name, server.name.span),
            // One number for all would be taken; the others get theirs as if nothing was written.
            id: server.id.filter(|_| number == first),
            ..server.clone()
        });
    }
    Ok(())
}

/// Servers that one line may make.
const TEMPLATE_MAX: u32 = 100_000;

/// `<num>` is 1 to `<num>`; `<low>-<high>`.
fn numbers(text: &str) -> Option<(u32, u32)> {
    let number = |text: &str| -> Option<u32> {
        text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
    };
    let (first, last) = match text.split_once('-') {
        Some((low, high)) => (number(low)?, number(high)?),
        None => (1, number(text)?),
    };
    (first <= last && last > 0).then_some((first, last))
}

/// What stands behind the name on a line of `keyword`.
fn one(
    cx: &mut Context<'_>,
    proxy: &Proxy,
    args: &mut Args<'_>,
    name: Spanned<String>,
    (keyword, what): (&str, &str),
    is_dynamic: bool,
) -> Parsed<Server> {
    let address_word = args.word(cx, what)?;
    let label = format!("{keyword} {}/{}", proxy.name.value, name.value);
    args.rename(label.clone());
    let bad = name.value.char_indices().find(|(_, c)| !is_name_char(*c));
    let mut result = Ok(());
    if let Some((at, c)) = bad {
        let message = format!("character '{c}' is not permitted in server name '{name}'");
        result = Err(cx.alert(sub_span(&name, at, c.len_utf8()), message));
    }
    let address = args.parse_address(cx, address_word, 0, &address_word.value).and_then(
        |address| match misfit(&address) {
            None => Ok(address),
            Some(text) => {
                Err(args.wrong(cx, address.span, format!("{text} in '{}'", address_word.value)))
            }
        },
    );
    let base = server_from::preset(cx, proxy, args)?;
    let base = base.unwrap_or_else(|| match is_dynamic {
        true => ServerOptions::default(),
        false => proxy.settings.default_server.clone(),
    });
    let in_ring = proxy.kind == ProxyKind::Ring;
    let mut draft = Draft { is_dynamic, in_ring, ..Draft::new(base) };
    let parsed = options(cx, &mut draft, args, &label);
    result?;
    let address = address?;
    parsed?;
    let span = args.span();
    let Draft { options, id, guid, .. } = draft;
    Ok(Server { span, name, address, id, guid, options })
}

/// A `peer` line; that of the process `local` need not have an address.
pub(crate) fn peer(
    cx: &mut Context<'_>,
    proxy: &Proxy,
    args: &mut Args<'_>,
    local: &str,
) -> Parsed<Peer> {
    let name = args.string(cx, "<peername> and <addr>:<port> as arguments")?;
    let is_option = |word: &Word| find(OPTIONS, &word.value).is_some();
    let is_local = name.value == local;
    let address = if is_local && args.peek().is_none_or(is_option) {
        None
    } else {
        let word = args.word(cx, "<addr>:<port> behind the name of a peer")?;
        let address = args.parse_address(cx, word, 0, &word.value)?;
        let datagram = (address.value.transport == Some(Transport::Datagram))
            .then_some("datagram address not acceptable");
        let misfit = datagram.or_else(|| misfit(&address)).filter(|_| !is_local);
        let misfit = misfit.or(match &address.value.endpoint {
            Endpoint::Inet { port: PortSpec::Port(1..), .. } => None,
            Endpoint::Inet { .. } => Some("missing port specification"),
            _ => None,
        });
        if let Some(text) = misfit {
            return Err(args.wrong(cx, address.span, format!("{text} in '{}'", word.value)));
        }
        Some(address)
    };
    let label = format!("peer {}/{}", proxy.name.value, name.value);
    args.rename(label.clone());
    let mut draft = Draft { is_peer: true, ..Draft::new(proxy.settings.default_server.clone()) };
    options(cx, &mut draft, args, &label)?;
    Ok(Peer { span: args.span(), name, address, options: draft.options })
}

pub(crate) fn default_server(
    cx: &mut Context<'_>,
    proxy: &mut Proxy,
    args: &mut Args<'_>,
) -> Parsed {
    if args.peek().is_none() {
        return Err(args.missing(cx, "options of 'server'"));
    }
    let keyword = args.name().to_owned();
    let is_peer = proxy.kind == ProxyKind::Peers;
    let name = match args.accept("name").filter(|_| !is_peer) {
        Some(_) => Some(args.string(cx, "a name after 'name'")?),
        None => None,
    };
    let preset = if is_peer { None } else { server_from::preset(cx, proxy, args)? };
    let is_reset = preset.is_some() && args.peek().is_none();
    let settings = &proxy.settings;
    let known = name.as_ref().map(|name| {
        let named = settings.named_default_servers.iter();
        named.clone().position(|known| known.name.value == name.value)
    });
    let before = match known {
        None => settings.default_server.clone(),
        Some(Some(at)) => settings.named_default_servers[at].options.clone(),
        Some(None) => ServerOptions::default(),
    };
    let draft = Draft { is_default: true, is_peer, ..Draft::new(preset.unwrap_or(before)) };
    let mut draft = draft;
    options(cx, &mut draft, args, &keyword)?;
    let settings = &mut proxy.settings;
    match (name, known.flatten()) {
        (None, _) => {
            settings.default_server = draft.options;
            settings.has_default_server = !is_reset;
        }
        (Some(_), Some(at)) => settings.named_default_servers[at].options = draft.options,
        (Some(name), None) => {
            let named = NamedDefaultServer { name, options: draft.options };
            settings.named_default_servers.push(named);
        }
    }
    Ok(())
}

/// What makes an address unfit to connect to.
fn misfit(address: &Address) -> Option<&'static str> {
    match (&address.endpoint, address.transport) {
        (_, Some(Transport::Quic)) => Some("QUIC: known, not carried yet,"),
        (_, Some(Transport::Mptcp)) => Some("MPTCP: known, not carried yet,"),
        (Endpoint::Inet { port: PortSpec::Range { .. }, .. }, _) => {
            Some("port range not permitted here")
        }
        (Endpoint::Fd(_), _) => Some("a file descriptor is not acceptable here"),
        (Endpoint::SockPair(_), _) => Some("sockpair@: known, not carried yet,"),
        (Endpoint::Abstract { .. } | Endpoint::Inet { .. } | Endpoint::Unix(_), _) => None,
    }
}
