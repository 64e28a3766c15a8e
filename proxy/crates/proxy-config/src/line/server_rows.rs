//! The words of `server` and `default-server` lines, each a row (configuration manual, 5.2).

use proxy_types::{Endpoint, PortSpec, Spanned};

use crate::args::Args;
use crate::context::{Context, Parsed};
use crate::keyword::{On, Row, Table, not_yet, row};
use crate::line::server_address::source_address;
use crate::line::server_draft::{Parse, here};
use crate::line::shared::{guid, md5_password, server_proto};
use crate::line::{names, server_check, tls_server};
use crate::model::{
    HashKey, InitState, LogProto, Observe, OnError, OnMarkedDown, OnMarkedUp, Proto, Ring,
};

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

/// A check interval: zero would be a busy loop.
fn interval(cx: &mut Context<'_>, args: &mut Args<'_>) -> Parsed<Spanned<std::time::Duration>> {
    let value = args.timer(cx)?;
    if value.is_zero() {
        return Err(args.wrong(cx, value.span, "the interval has to be longer than 0"));
    }
    Ok(value)
}
