//! The `global` section (configuration manual, 3).

use proxy_types::{Diagnostic, Spanned};

use crate::args::{Args, Polarity};
use crate::context::{Context, Parsed};
use crate::env::Environment;
use crate::keyword::{On, Row, Table, find, no_effect, not_yet, removed, row, suggest};
use crate::line::{bind, log};
use crate::model::{DefaultPath, Global, L4Hook, L4Mode, L4Policy, MasterWorker, SetVar, Tune};

pub(crate) type Parse = fn(&mut Context<'_>, &mut Global, &mut Args<'_>) -> Parsed;

/// Counters of connections and descriptors fit a signed 32-bit integer.
const COUNT_MAX: u32 = i32::MAX as u32;
/// 3.1 "nbthread" is limited by what one machine may have.
pub(crate) const THREADS_MAX: u32 = 1024;
/// Largest buffer: beyond it a connection would be a memory leak.
const BUFFER_MAX: u32 = 1 << 28;

pub(crate) const fn global(
    name: &'static str,
    syntax: &'static str,
    manual: &'static str,
    doc: &'static str,
    parse: Parse,
) -> Row<Parse> {
    row(name, On::HERE, syntax, manual, doc, parse)
}

pub(crate) const GLOBAL: Table<Parse> = &[
    PROCESS,
    ENVIRONMENT,
    TUNING,
    SLUICE,
    super::tls::GLOBAL,
    super::tls::NOT_YET,
    super::tls::NO_EFFECT,
    &[
        removed("nbproc", "2.5", "use 'nbthread'"),
        removed("debug", "2.0", "use the command line argument '-d'"),
    ],
    &no_effect(
        On::HERE,
        "3.2",
        [
            "busy-polling",
            "force-cfg-parser-pause",
            "max-threads-per-group",
            "no-memory-trimming",
            "noepoll",
            "noevports",
            "nokqueue",
            "nopoll",
            "numa-cpu-mapping",
            "prealloc-fd",
            "profiling.memory",
            "profiling.tasks",
            "stress-level",
            "thread-group",
            "thread-groups",
            "thread-hard-limit",
            "tune.applet.zero-copy-forwarding",
            "tune.buffers.limit",
            "tune.buffers.reserve",
            "tune.bufsize.large",
            "tune.bufsize.small",
            "tune.chksize",
            "tune.defaults.purge",
            "tune.disable-fast-forward",
            "tune.disable-zero-copy-forwarding",
            "tune.epoll.mask-events",
            "tune.events.max-events-at-once",
            "tune.fail-alloc",
            "tune.fd.edge-triggered",
            "tune.fd.tables",
            "tune.glitches.kill.cpu-usage",
            "tune.h1.zero-copy-fwd-recv",
            "tune.h1.zero-copy-fwd-send",
            "tune.h2.be.max-frames-at-once",
            "tune.h2.fe.max-frames-at-once",
            "tune.h2.fe.max-rst-at-once",
            "tune.h2.zero-copy-fwd-send",
            "tune.idle-pool.shared",
            "tune.idletimer",
            "tune.listener.default-shards",
            "tune.listener.multi-queue",
            "tune.max-checks-per-thread",
            "tune.max-rules-at-once",
            "tune.maxpollevents",
            "tune.memory.hot-size",
            "tune.pattern.cache-size",
            "tune.peers.max-updates-at-once",
            "tune.pool-high-fd-ratio",
            "tune.pool-low-fd-ratio",
            "tune.pt.zero-copy-forwarding",
            "tune.quic.zero-copy-fwd-send",
            "tune.recv_enough",
            "tune.ring.queues",
            "tune.runqueue-depth",
            "tune.sched.low-latency",
            "tune.streams-elasticity",
            "tune.takeover-other-tg-connections",
            "warn-blocked-traffic-after",
        ],
    ),
    &not_yet(
        On::HERE,
        "3.1",
        "process",
        [
            "anonkey",
            "close-spread-time",
            "cluster-secret",
            "cpu-affinity",
            "cpu-map",
            "cpu-policy",
            "cpu-set",
            "external-check",
            "harden.reject-privileged-ports.quic",
            "harden.reject-privileged-ports.tcp",
            "insecure-fork-wanted",
            "insecure-setuid-wanted",
            "noktls",
            "pp2-never-send-local",
            "set-dumpable",
            "setcap",
            "shm-stats-file",
            "shm-stats-file-max-objects",
            "stats-file",
            "strict-limits",
            "unix-bind",
            "debug.counters",
            "dns-accept-family",
            "tune.renice.runtime",
            "tune.renice.startup",
        ],
    ),
    &not_yet(
        On::HERE,
        "3.2",
        "limits",
        [
            "max-spread-checks",
            "maxcompcpuusage",
            "maxcomprate",
            "maxpipes",
            "maxsessrate",
            "maxsslconn",
            "maxsslrate",
            "maxzlibmem",
            "nogetaddrinfo",
            "noreuseport",
            "server-state-base",
            "server-state-file",
            "tune.cli.max-payload-size",
            "tune.http.cookielen",
            "tune.notsent-lowat.client",
            "tune.notsent-lowat.server",
            "tune.rcvbuf.backend",
            "tune.rcvbuf.frontend",
            "tune.sndbuf.backend",
            "tune.sndbuf.frontend",
            "tune.stick-counters",
            "tune.vars.check-max-size",
            "tune.vars.global-max-size",
            "tune.vars.proc-max-size",
            "tune.vars.reqres-max-size",
            "tune.vars.sess-max-size",
            "tune.vars.txn-max-size",
        ],
    ),
    &not_yet(
        On::HERE,
        "3.1",
        "HTTP",
        [
            "h1-accept-payload-with-any-method",
            "h1-do-not-close-on-insecure-transfer-encoding",
            "h2-workaround-bogus-websocket-clients",
            "http-err-codes",
            "http-fail-codes",
            "tune.comp.maxlevel",
            "tune.h1.be.glitches-threshold",
            "tune.h1.fe.glitches-threshold",
            "tune.zlib.memlevel",
            "tune.zlib.windowsize",
        ],
    ),
    &not_yet(
        On::HERE,
        "3.2",
        "HTTP/2",
        ["tune.h2.be.glitches-threshold", "tune.h2.fe.glitches-threshold", "tune.h2.log-errors"],
    ),
    H2,
    &not_yet(
        On::HERE,
        "3.2",
        "QUIC",
        [
            "limited-quic",
            "tune.quic.be.cc.cubic-min-losses",
            "tune.quic.be.cc.hystart",
            "tune.quic.be.cc.max-frame-loss",
            "tune.quic.be.cc.max-win-size",
            "tune.quic.be.cc.reorder-ratio",
            "tune.quic.be.max-idle-timeout",
            "tune.quic.be.sec.glitches-threshold",
            "tune.quic.be.stream.data-ratio",
            "tune.quic.be.stream.max-concurrent",
            "tune.quic.be.stream.rxbuf",
            "tune.quic.be.tx.pacing",
            "tune.quic.be.tx.udp-gso",
            "tune.quic.fe.cc.cubic-min-losses",
            "tune.quic.fe.cc.hystart",
            "tune.quic.fe.cc.max-frame-loss",
            "tune.quic.fe.cc.max-win-size",
            "tune.quic.fe.cc.reorder-ratio",
            "tune.quic.fe.max-idle-timeout",
            "tune.quic.fe.sec.glitches-threshold",
            "tune.quic.fe.sec.retry-threshold",
            "tune.quic.fe.sock-per-conn",
            "tune.quic.fe.stream.data-ratio",
            "tune.quic.fe.stream.max-concurrent",
            "tune.quic.fe.stream.max-total",
            "tune.quic.fe.stream.rxbuf",
            "tune.quic.fe.tx.pacing",
            "tune.quic.fe.tx.udp-gso",
            "tune.quic.listen",
            "tune.quic.mem.tx-max",
        ],
    ),
    &not_yet(
        On::HERE,
        "3.4",
        "HTTP client",
        [
            "httpclient.resolvers.disabled",
            "httpclient.resolvers.id",
            "httpclient.resolvers.prefer",
            "httpclient.retries",
            "httpclient.ssl.ca-file",
            "httpclient.ssl.verify",
            "httpclient.timeout.connect",
        ],
    ),
    &not_yet(
        On::HERE,
        "3.2",
        "Lua",
        [
            "lua-load",
            "lua-load-per-thread",
            "lua-prepend-path",
            "tune.lua.bool-sample-conversion",
            "tune.lua.burst-timeout",
            "tune.lua.forced-yield",
            "tune.lua.log.loggers",
            "tune.lua.log.stderr",
            "tune.lua.maxmem",
            "tune.lua.openlibs",
            "tune.lua.service-timeout",
            "tune.lua.session-timeout",
            "tune.lua.task-timeout",
        ],
    ),
    &not_yet(
        On::HERE,
        "3.1",
        "device detection",
        [
            "51degrees-allow-unmatched",
            "51degrees-cache-size",
            "51degrees-data-file",
            "51degrees-difference",
            "51degrees-drift",
            "51degrees-property-name-list",
            "51degrees-property-separator",
            "51degrees-use-performance-graph",
            "51degrees-use-predictive-graph",
            "deviceatlas-json-file",
            "deviceatlas-log-level",
            "deviceatlas-properties-cookie",
            "deviceatlas-separator",
            "wurfl-cache-size",
            "wurfl-data-file",
            "wurfl-information-list",
            "wurfl-information-list-separator",
        ],
    ),
];

/// `h1-case-adjust <from> <to>`.
fn h1_case_adjust(cx: &mut Context<'_>, g: &mut Global, args: &mut Args<'_>) -> Parsed {
    let from = args.string(cx, "a header name in lower case")?;
    let to = args.string(cx, "the same name as it is to be sent")?;
    args.end(cx)?;
    if from.value != to.value.to_ascii_lowercase() {
        let message = format!("'{to}' is not '{from}' in another case");
        return Err(args.wrong(cx, to.span, message));
    }
    if let Some((known, _)) = g.h1_case_adjust.iter().find(|(known, _)| known.value == from.value) {
        let message = format!("'{from}' is adjusted already");
        let diagnostic = Diagnostic::alert(message).at(from.span).label(known.span, "here");
        return Err(cx.report(diagnostic));
    }
    g.h1_case_adjust.push((from, to));
    Ok(())
}

/// Largest window and rxbuf, in bytes (RFC 9113 section 6.9.1).
const WINDOW_MAX: u32 = (1 << 31) - 1;

/// HTTP/2, with clients (`fe`) and servers (`be`).
const H2: &[Row<Parse>] = &[
    global(
        "tune.h2.be.initial-window-size",
        "<number>",
        "3.2",
        "bytes a server may send ahead per stream",
        |cx, g, args| {
            g.tune.h2.back.initial_window_size = Some(args.size(cx, 0..=WINDOW_MAX)?);
            args.end(cx)
        },
    ),
    global(
        "tune.h2.be.max-concurrent-streams",
        "<number>",
        "3.2",
        "requests at once on a connection to a server",
        |cx, g, args| {
            g.tune.h2.back.max_concurrent_streams = Some(args.number(cx, 0..=COUNT_MAX)?);
            args.end(cx)
        },
    ),
    global(
        "tune.h2.be.rxbuf",
        "<size>",
        "3.2",
        "bytes a server may send ahead per connection",
        |cx, g, args| {
            g.tune.h2.back.rxbuf = Some(args.size(cx, 0..=WINDOW_MAX)?);
            args.end(cx)
        },
    ),
    global(
        "tune.h2.fe.initial-window-size",
        "<number>",
        "3.2",
        "bytes a client may send ahead per stream",
        |cx, g, args| {
            g.tune.h2.front.initial_window_size = Some(args.size(cx, 0..=WINDOW_MAX)?);
            args.end(cx)
        },
    ),
    global(
        "tune.h2.fe.max-concurrent-streams",
        "<number> [rq-load ignore] [min <number>]",
        "3.2",
        "requests at once on a client's connection",
        |cx, g, args| {
            g.tune.h2.front.max_concurrent_streams = Some(args.number(cx, 0..=COUNT_MAX)?);
            while let Some(word) = args.optional() {
                match word.value.as_str() {
                    // A limit that follows the load is known, not carried yet.
                    "rq-load" => args.choice(cx, &[("ignore", ())]).map(drop)?,
                    "min" => args.number(cx, 1..=COUNT_MAX).map(drop)?,
                    other => {
                        let message = format!("expects 'rq-load' or 'min', got '{other}'");
                        return Err(args.wrong(cx, word.span, message));
                    }
                }
            }
            Ok(())
        },
    ),
    global(
        "tune.h2.fe.max-total-streams",
        "<number>",
        "3.2",
        "requests after which a client's connection ends",
        |cx, g, args| {
            g.tune.h2.front.max_total_streams = Some(args.number(cx, 0..=COUNT_MAX)?);
            args.end(cx)
        },
    ),
    global(
        "tune.h2.fe.rxbuf",
        "<size>",
        "3.2",
        "bytes a client may send ahead per connection",
        |cx, g, args| {
            g.tune.h2.front.rxbuf = Some(args.size(cx, 0..=WINDOW_MAX)?);
            args.end(cx)
        },
    ),
    global(
        "tune.h2.header-table-size",
        "<number>",
        "3.2",
        "bytes of the header compression table",
        |cx, g, args| {
            g.tune.h2.header_table_size = Some(args.number(cx, 0..=65_536)?);
            args.end(cx)
        },
    ),
    global(
        "tune.h2.initial-window-size",
        "<number>",
        "3.2",
        "bytes a peer may send ahead per stream",
        |cx, g, args| {
            g.tune.h2.initial_window_size = Some(args.size(cx, 0..=WINDOW_MAX)?);
            args.end(cx)
        },
    ),
    global(
        "tune.h2.max-concurrent-streams",
        "<number>",
        "3.2",
        "requests at once on a connection",
        |cx, g, args| {
            g.tune.h2.max_concurrent_streams = Some(args.number(cx, 0..=COUNT_MAX)?);
            args.end(cx)
        },
    ),
    global(
        "tune.h2.max-frame-size",
        "<number>",
        "3.2",
        "largest frame to be received",
        |cx, g, args| {
            g.tune.h2.max_frame_size = Some(args.number(cx, 16_384..=16_777_215)?);
            args.end(cx)
        },
    ),
];

const PROCESS: &[Row<Parse>] = &[
    global("chroot", "<dir>", "3.1", "changes the root directory", |cx, g, args| {
        g.chroot = Some(last_string(cx, args, "a directory")?);
        Ok(())
    }),
    global("daemon", "", "3.1", "runs in the background", |cx, g, args| {
        g.daemon = Some(args.span());
        args.end(cx)
    }),
    global(
        "default-path",
        "{current|config|parent|origin <path>}",
        "3.1",
        "where relative paths start",
        default_path,
    ),
    global("description", "<text>", "3.1", "text of the statistics", |cx, g, args| {
        g.description = Some(rest_text(cx, args, "a text")?);
        Ok(())
    }),
    global(
        "expose-deprecated-directives",
        "",
        "3.1",
        "permits deprecated keywords",
        |cx, g, args| {
            g.expose_deprecated_directives = Some(args.span());
            args.end(cx)
        },
    ),
    global(
        "expose-experimental-directives",
        "",
        "3.1",
        "permits experimental keywords",
        |cx, g, args| {
            g.expose_experimental_directives = Some(args.span());
            args.end(cx)
        },
    ),
    global(
        "fd-hard-limit",
        "<number>",
        "3.1",
        "most file descriptors, whatever the system allows",
        |cx, g, args| {
            g.fd_hard_limit = Some(args.number(cx, 1..=COUNT_MAX)?);
            args.end(cx)
        },
    ),
    global(
        "h1-case-adjust",
        "<from> <to>",
        "3.1",
        "case of a header name for HTTP/1 peers that insist on it",
        h1_case_adjust,
    ),
    global(
        "h1-case-adjust-file",
        "<file>",
        "3.1",
        "as h1-case-adjust, from a file",
        |cx, g, args| {
            g.h1_case_adjust_file = Some(last_string(cx, args, "a file name")?);
            Ok(())
        },
    ),
    global("gid", "<number>", "3.1", "group number of the process", |cx, g, args| {
        g.gid = Some(args.number(cx, 0..=u32::MAX)?);
        args.end(cx)
    }),
    global("grace", "<time>", "3.1", "delay before a soft stop", |cx, g, args| {
        g.grace = Some(args.timer(cx)?);
        args.end(cx)
    }),
    global("group", "<name>", "3.1", "group name of the process", |cx, g, args| {
        g.group = Some(last_string(cx, args, "a group name")?);
        Ok(())
    }),
    global("hard-stop-after", "<time>", "3.1", "longest soft stop", |cx, g, args| {
        g.hard_stop_after = Some(args.timer(cx)?);
        args.end(cx)
    }),
    global("localpeer", "<name>", "3.1", "name of this peer", |cx, g, args| {
        let name = last_string(cx, args, "a name")?;
        cx.env.set("HAPROXY_LOCALPEER", name.value.clone());
        g.localpeer = Some(name);
        Ok(())
    }),
    global(
        "log",
        "<target> [len <length>] [format <format>] <facility> [<level> [<minlevel>]]",
        "3.1",
        "adds a log target",
        |cx, g, args| {
            if args.polarity == Polarity::No {
                args.end(cx)?;
                g.logs.clear();
                return Ok(());
            }
            g.logs.push(log::target(cx, args)?);
            Ok(())
        },
    )
    .negatable(),
    global(
        "log-send-hostname",
        "[<string>]",
        "3.1",
        "host name in syslog headers",
        |cx, g, args| {
            let span = args.span();
            let name = args.optional().map(|word| word.value.clone());
            args.end(cx)?;
            g.log_send_hostname = Some(Spanned::new(name, span));
            Ok(())
        },
    ),
    global("log-tag", "<string>", "3.1", "tag in syslog headers", |cx, g, args| {
        g.log_tag = Some(last_string(cx, args, "a tag")?);
        Ok(())
    }),
    global(
        "master-worker",
        "[exit-on-failure|no-exit-on-failure]",
        "3.1",
        "a master supervises the worker",
        |cx, g, args| {
            let exit_on_failure = match args.peek() {
                None => false,
                Some(_) => {
                    args.choice(cx, &[("exit-on-failure", true), ("no-exit-on-failure", false)])?
                        .value
                }
            };
            g.master_worker = Some(Spanned::new(MasterWorker { exit_on_failure }, args.span()));
            args.end(cx)
        },
    ),
    global(
        "mworker-max-reloads",
        "<number>",
        "3.1",
        "reloads that an old worker survives",
        |cx, g, args| {
            g.mworker_max_reloads = Some(args.number(cx, 0..=COUNT_MAX)?);
            args.end(cx)
        },
    ),
    global("nbthread", "<number>", "3.1", "number of threads", |cx, g, args| {
        g.nbthread = Some(args.number(cx, 1..=THREADS_MAX)?);
        args.end(cx)
    }),
    global("node", "<name>", "3.1", "name of this node", |cx, g, args| {
        g.node = Some(last_string(cx, args, "a name")?);
        Ok(())
    }),
    global("pidfile", "<pidfile>", "3.1", "file for the process id", |cx, g, args| {
        g.pidfile = Some(last_string(cx, args, "a file name")?);
        Ok(())
    }),
    global("quiet", "", "3.3", "no messages while starting", |cx, g, args| {
        g.quiet = Some(args.span());
        args.end(cx)
    }),
    global("stats", "{socket|timeout|maxconn} ...", "3.1", "the runtime API", stats),
    global("uid", "<number>", "3.1", "user number of the process", |cx, g, args| {
        g.uid = Some(args.number(cx, 0..=u32::MAX)?);
        args.end(cx)
    }),
    global("ulimit-n", "<number>", "3.1", "file descriptors of the process", |cx, g, args| {
        g.ulimit_n = Some(args.number(cx, 1..=COUNT_MAX)?);
        args.end(cx)
    }),
    global("user", "<name>", "3.1", "user name of the process", |cx, g, args| {
        g.user = Some(last_string(cx, args, "a user name")?);
        Ok(())
    }),
    global("zero-warning", "", "3.3", "warnings stop the start", |cx, g, args| {
        g.zero_warning = Some(args.span());
        args.end(cx)
    }),
];

const ENVIRONMENT: &[Row<Parse>] = &[
    global(
        "presetenv",
        "<name> <value>",
        "3.1",
        "sets a variable that is not set",
        |cx, _, args| set_env(cx, args, false),
    ),
    global("resetenv", "[<name> ...]", "3.1", "removes all variables but these", |cx, _, args| {
        let keep = args.rest();
        cx.env.retain(|name| keep.iter().any(|word| word.value == name));
        Ok(())
    }),
    global(
        "set-var",
        "<var-name> <expr>",
        "3.1",
        "sets a variable of the process",
        |cx, g, args| set_var(cx, g, args, false),
    ),
    global(
        "set-var-fmt",
        "<var-name> <fmt>",
        "3.1",
        "sets a variable of the process",
        |cx, g, args| set_var(cx, g, args, true),
    ),
    global("setenv", "<name> <value>", "3.1", "sets a variable", |cx, _, args| {
        set_env(cx, args, true)
    }),
    global("unsetenv", "<name> ...", "3.1", "removes variables", |cx, _, args| {
        if args.peek().is_none() {
            return Err(args.missing(cx, "at least one variable name"));
        }
        for word in args.rest() {
            cx.env.unset(&word.value);
        }
        Ok(())
    }),
];

const TUNING: &[Row<Parse>] = &[
    global("maxconn", "<number>", "3.2", "connections of the process", |cx, g, args| {
        let value = args.number(cx, 0..=COUNT_MAX)?;
        args.end(cx)?;
        if let Some(before) = g.maxconn {
            let text = "'maxconn' already specified, the first value is kept";
            cx.report(
                Diagnostic::warning(text).at(value.span).label(before.span, "first specified here"),
            );
            return Ok(());
        }
        g.maxconn = Some(value);
        Ok(())
    }),
    global("maxconnrate", "<number>", "3.2", "connections per second", |cx, g, args| {
        g.maxconnrate = Some(args.number(cx, 0..=COUNT_MAX)?);
        args.end(cx)
    }),
    global("nosplice", "", "3.2", "no splicing in the kernel", |cx, g, args| {
        g.nosplice = Some(args.span());
        args.end(cx)
    }),
    global(
        "spread-checks",
        "<0..50, in percent>",
        "3.2",
        "random change of check intervals",
        |cx, g, args| {
            g.spread_checks = Some(args.number(cx, 0..=50)?);
            args.end(cx)
        },
    ),
    global("tune.bufsize", "<size>", "3.2", "bytes of a buffer", |cx, g, args| {
        buffer(cx, args, 1024, |t| &mut t.bufsize, g)
    }),
    global("tune.http.logurilen", "<number>", "3.2", "bytes of a URI in logs", |cx, g, args| {
        g.tune.http_logurilen = Some(args.number(cx, 1..=65535)?);
        args.end(cx)
    }),
    global("tune.http.maxhdr", "<number>", "3.2", "headers of a message", |cx, g, args| {
        g.tune.http_maxhdr = Some(args.number(cx, 1..=32767)?);
        args.end(cx)
    }),
    global("tune.maxaccept", "<number>", "3.2", "connections accepted in a row", |cx, g, args| {
        g.tune.maxaccept = Some(args.number(cx, -1..=i32::MAX)?);
        args.end(cx)
    }),
    global(
        "tune.maxrewrite",
        "<number>",
        "3.2",
        "bytes of a buffer kept for rewriting",
        |cx, g, args| buffer(cx, args, 1, |t| &mut t.maxrewrite, g),
    ),
    global("tune.pipesize", "<size>", "3.2", "bytes of a splicing pipe", |cx, g, args| {
        buffer(cx, args, 4096, |t| &mut t.pipesize, g)
    }),
    global(
        "tune.rcvbuf.client",
        "<size>",
        "3.2",
        "receive buffer of client sockets",
        |cx, g, args| buffer(cx, args, 1, |t| &mut t.rcvbuf_client, g),
    ),
    global(
        "tune.rcvbuf.server",
        "<size>",
        "3.2",
        "receive buffer of server sockets",
        |cx, g, args| buffer(cx, args, 1, |t| &mut t.rcvbuf_server, g),
    ),
    global(
        "tune.sndbuf.client",
        "<size>",
        "3.2",
        "send buffer of client sockets",
        |cx, g, args| buffer(cx, args, 1, |t| &mut t.sndbuf_client, g),
    ),
    global(
        "tune.sndbuf.server",
        "<size>",
        "3.2",
        "send buffer of server sockets",
        |cx, g, args| buffer(cx, args, 1, |t| &mut t.sndbuf_server, g),
    ),
];

const L4_POLICIES: &[(&str, L4Policy)] =
    &[("off", L4Policy::Off), ("auto", L4Policy::Auto), ("require", L4Policy::Require)];
const L4_MODES: &[(&str, L4Mode)] = &[("fullnat", L4Mode::FullNat), ("nat", L4Mode::Nat)];
const L4_HOOKS: &[(&str, L4Hook)] = &[
    ("auto", L4Hook::Auto),
    ("xdp", L4Hook::Xdp),
    ("xdp-generic", L4Hook::XdpGeneric),
    ("tc", L4Hook::Tc),
];

const SLUICE: &[Row<Parse>] = &[
    global(
        "l4",
        "{off|auto|require}",
        "Sluice",
        "whether the kernel carries TCP proxies",
        |cx, g, args| {
            g.l4 = Some(l4_policy(cx, args)?);
            Ok(())
        },
    ),
    global(
        "l4-hook",
        "{auto|xdp|xdp-generic|tc}",
        "Sluice",
        "where kernel programs are attached",
        |cx, g, args| {
            g.l4_hook = Some(args.choice(cx, L4_HOOKS)?);
            args.end(cx)
        },
    ),
    global(
        "l4-instance",
        "<name>",
        "Sluice",
        "keeps several balancers on one host apart",
        |cx, g, args| {
            let name = last_string(cx, args, "a name")?;
            let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
            if name.len() > 32 || !name.chars().all(fits) {
                let text = "letters, digits, '-' and '_' are expected, 32 at most";
                return Err(args.wrong(cx, name.span, text));
            }
            g.l4_instance = Some(name);
            Ok(())
        },
    ),
    global(
        "l4-interface",
        "<ifname>[,<ifname>]*",
        "Sluice",
        "interfaces that kernel programs are attached to",
        |cx, g, args| {
            let word = args.word(cx, "interface names separated by commas")?;
            args.end(cx)?;
            let mut offset = 0;
            for name in word.value.split(',') {
                let span = crate::lexer::sub_span(word, offset, name.len().max(1));
                offset += name.len() + 1;
                if name.is_empty() || name.len() > 15 || name.contains(['/', ' ']) {
                    return Err(args.wrong(cx, span, format!("invalid interface name '{name}'")));
                }
                g.l4_interfaces.push(Spanned::new(name.to_owned(), span));
            }
            Ok(())
        },
    ),
    global(
        "l4-mode",
        "{fullnat|nat}",
        "Sluice",
        "whether servers see the balancer's address",
        |cx, g, args| {
            g.l4_mode = Some(l4_mode(cx, args)?);
            Ok(())
        },
    ),
];

pub(crate) fn l4_policy(cx: &mut Context<'_>, args: &mut Args<'_>) -> Parsed<Spanned<L4Policy>> {
    let value = args.choice(cx, L4_POLICIES)?;
    args.end(cx)?;
    Ok(value)
}

pub(crate) fn l4_mode(cx: &mut Context<'_>, args: &mut Args<'_>) -> Parsed<Spanned<L4Mode>> {
    let value = args.choice(cx, L4_MODES)?;
    args.end(cx)?;
    Ok(value)
}

/// The one argument of a keyword.
/// `set-var` and `set-var-fmt`: variables of the process only.
fn set_var(
    cx: &mut Context<'_>,
    global: &mut Global,
    args: &mut Args<'_>,
    is_format: bool,
) -> Parsed {
    let span = args.span();
    let name = args.string(cx, "the name of a variable")?;
    if !name.value.starts_with("proc.") {
        let message = format!("'{}': '{}' is no variable of the process", args.name(), name.value);
        let help = "only variables of the scope 'proc' exist here, such as proc.name";
        return Err(cx.report(Diagnostic::alert(message).at(name.span).help(help)));
    }
    let value = last_string(cx, args, if is_format { "a format" } else { "an expression" })?;
    global.set_vars.push(SetVar { span, name, value, is_format });
    Ok(())
}

pub(crate) fn last_string(
    cx: &mut Context<'_>,
    args: &mut Args<'_>,
    what: &str,
) -> Parsed<Spanned<String>> {
    let value = args.string(cx, what)?;
    args.end(cx)?;
    Ok(value)
}

/// All words of the line joined by single spaces.
pub(crate) fn rest_text(
    cx: &mut Context<'_>,
    args: &mut Args<'_>,
    what: &str,
) -> Parsed<Spanned<String>> {
    let first = args.word(cx, what)?;
    let mut text = first.clone();
    for word in args.rest() {
        text.value.push(' ');
        text.value.push_str(&word.value);
        text.span = text.span.to(word.span);
    }
    Ok(text)
}

fn buffer(
    cx: &mut Context<'_>,
    args: &mut Args<'_>,
    min: u32,
    field: fn(&mut Tune) -> &mut Option<Spanned<u32>>,
    g: &mut Global,
) -> Parsed {
    let value = args.size(cx, min..=BUFFER_MAX)?;
    args.end(cx)?;
    *field(&mut g.tune) = Some(value);
    Ok(())
}

fn set_env(cx: &mut Context<'_>, args: &mut Args<'_>, overwrite: bool) -> Parsed {
    const WHAT: &str = "a name and a value";
    let name = args.word(cx, WHAT)?;
    let Some(value) = args.optional() else { return Err(args.missing(cx, WHAT)) };
    args.end(cx)?;
    if !Environment::is_valid_name(&name.value) {
        let message = format!("invalid variable name '{}'", name.value);
        return Err(args.wrong(cx, name.span, message));
    }
    if overwrite || cx.env.get(&name.value).is_none() {
        cx.env.set(name.value.clone(), value.value.clone());
    }
    Ok(())
}

fn default_path(cx: &mut Context<'_>, g: &mut Global, args: &mut Args<'_>) -> Parsed {
    const CHOICES: &[(&str, u8)] = &[("current", 0), ("config", 1), ("parent", 2), ("origin", 3)];
    let span = args.span();
    let value = match args.choice(cx, CHOICES)?.value {
        0 => DefaultPath::Current,
        1 => DefaultPath::Config,
        2 => DefaultPath::Parent,
        _ => DefaultPath::Origin(args.string(cx, "a directory after 'origin'")?.value),
    };
    args.end(cx)?;
    g.default_path = Some(Spanned::new(value, span));
    Ok(())
}

pub(crate) const STATS: Table<Parse> = &[
    &[
        global(
            "maxconn",
            "<connections>",
            "3.1",
            "connections of the runtime API",
            |cx, g, args| {
                g.stats.maxconn = Some(args.number(cx, 1..=COUNT_MAX)?);
                args.end(cx)
            },
        ),
        global(
            "socket",
            "[<address:port>|<path>] [param*]",
            "3.1",
            "where the runtime API listens",
            |cx, g, args| {
                let socket = bind::bind(cx, args, "in 'global' section")?;
                g.stats.sockets.push(socket);
                Ok(())
            },
        ),
        global("timeout", "<timeout>", "3.1", "inactivity of the runtime API", |cx, g, args| {
            let value = args.timer(cx)?;
            if value.is_zero() {
                return Err(args.wrong(cx, value.span, "a positive delay is expected"));
            }
            g.stats.timeout = Some(value);
            args.end(cx)
        }),
    ],
    &not_yet(On::HERE, "3.1", "statistics", ["calculate-max-counters"]),
];

fn stats(cx: &mut Context<'_>, g: &mut Global, args: &mut Args<'_>) -> Parsed {
    const WHAT: &str = "'socket', 'timeout' or 'maxconn'";
    let Some(word) = args.deepen() else { return Err(args.missing(cx, WHAT)) };
    let Some(row) = find(STATS, &word.value) else {
        let message = format!("'stats' expects {WHAT} in 'global' section, got '{}'", word.value);
        let near = suggest(STATS, &word.value);
        return Err(cx.report(Diagnostic::alert(message).at(word.span).did_you_mean(near)));
    };
    let parse = cx.carried(row, "'stats' keyword", "in 'global' section", word.span)?;
    parse(cx, g, args)
}

/// One line of the section.
pub(crate) fn line(cx: &mut Context<'_>, global: &mut Global, args: &mut Args<'_>) -> Parsed {
    let place = "in 'global' section";
    let Some(row) = find(GLOBAL, args.name()) else {
        let message = format!("unknown keyword '{}' {place}", args.name());
        let near = suggest(GLOBAL, args.name());
        let span = args.keyword_span();
        return Err(cx.report(Diagnostic::alert(message).at(span).did_you_mean(near)));
    };
    crate::reader::check_polarity(cx, row, args)?;
    let parse = cx.carried(row, "keyword", place, args.keyword_span())?;
    parse(cx, global, args)
}
