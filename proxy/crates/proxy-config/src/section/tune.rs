//! Limits and tunables of the `global` section (configuration manual, 3.2).

use proxy_rules::track::COUNTERS_MAX;
use proxy_types::{Diagnostic, Spanned};

use super::global_row::{Parse, global};
use crate::args::Args;
use crate::context::{Context, Parsed};
use crate::keyword::{On, Row, Shape, inert};
use crate::lexer::between_commas;
use crate::limits::COUNT_MAX;
use crate::model::{Global, Tune, VarSizes};

/// Largest buffer: beyond it a connection would be a memory leak.
const BUFFER_MAX: u32 = 1 << 28;

/// `tune.defaults.purge`; without arguments `proxies` is meant.
fn purge(cx: &mut Context<'_>, g: &mut Global, args: &mut Args<'_>) -> Parsed {
    let (mut proxies, mut servers) = (false, false);
    match args.optional() {
        None => proxies = true,
        Some(list) => {
            for part in between_commas(list) {
                match part.value {
                    "all" => (proxies, servers) = (true, true),
                    "none" => (proxies, servers) = (false, false),
                    "proxies" => proxies = true,
                    "servers" => servers = true,
                    other => {
                        let text =
                            format!("expects 'all', 'none', 'proxies' or 'servers', got '{other}'");
                        return Err(args.wrong(cx, part.span, text));
                    }
                }
            }
        }
    }
    (g.tune.purge_proxies, g.tune.purge_servers) = (proxies, servers);
    args.end(cx)
}

/// What tunes only what HAProxy's implementation has: its allocator, its scheduler, its pollers.
pub(super) const NO_EFFECT: &[Row<Parse>] = &[
    idle("busy-polling", Shape::None, "threads sleep in the kernel until something happens")
        .negatable(),
    idle("cluster-secret", Shape::Word, "QUIC is not carried"),
    idle("debug.counters", Shape::OnOff, "there are no such counters"),
    idle("force-cfg-parser-pause", Shape::Timer, "reading the configuration is not paused"),
    idle("harden.reject-privileged-ports.quic", Shape::OnOff, "QUIC is not carried"),
    idle("limited-quic", Shape::None, "QUIC is not carried"),
    idle("no-memory-trimming", Shape::None, "memory is not trimmed at certain moments"),
    idle("noepoll", Shape::None, "epoll is the only poller"),
    idle("noevports", Shape::None, "epoll is the only poller"),
    idle("nogetaddrinfo", Shape::None, "getaddrinfo() is the only resolver of the system"),
    idle("nokqueue", Shape::None, "epoll is the only poller"),
    idle("noktls", Shape::None, "TLS in the kernel is not used"),
    idle("nopoll", Shape::None, "epoll is the only poller"),
    idle("prealloc-fd", Shape::None, "the kernel's table of descriptors grows as it needs to"),
    idle("profiling.memory", Shape::OnOff, "memory is profiled by tools outside"),
    idle(
        "profiling.tasks",
        Shape::Choices(&["auto", "on", "off", "lock", "no-lock", "memory", "no-memory"]),
        "tasks are profiled by tools outside",
    ),
    idle("quick-exit", Shape::None, "leaving does not release memory piece by piece"),
    idle("stress-level", Shape::Number(0, 9), "there is no code for stress tests"),
    idle(
        "tune.applet.zero-copy-forwarding",
        Shape::OnOff,
        "services write where data is sent from",
    ),
    idle(
        "tune.buffers.limit",
        Shape::Number(0, COUNT),
        "buffers exist as long as they hold something",
    ),
    idle(
        "tune.buffers.reserve",
        Shape::Number(0, COUNT),
        "buffers exist as long as they hold something",
    ),
    idle("tune.bufsize.large", Shape::Size, "there is one size of buffers"),
    idle("tune.bufsize.small", Shape::Size, "there is one size of buffers"),
    idle("tune.chksize", Shape::Size, "checks take buffers as large as they need"),
    idle("tune.disable-fast-forward", Shape::None, "there is one way of forwarding"),
    idle("tune.disable-zero-copy-forwarding", Shape::None, "there is one way of forwarding"),
    idle("tune.epoll.mask-events", Shape::Word, "events are not masked"),
    idle(
        "tune.events.max-events-at-once",
        Shape::Number(1, 10000),
        "events are handled one by one",
    ),
    idle("tune.fail-alloc", Shape::Number(0, 100), "failures of memory are not simulated"),
    idle("tune.fd.edge-triggered", Shape::OnOff, "epoll is edge-triggered anyway"),
    idle(
        "tune.fd.tables",
        Shape::Choice(&["shared", "per-thread-group"]),
        "threads share the table of descriptors",
    ),
    idle("tune.h1.zero-copy-fwd-recv", Shape::OnOff, "there is one way of forwarding"),
    idle("tune.h1.zero-copy-fwd-send", Shape::OnOff, "there is one way of forwarding"),
    idle(
        "tune.h2.be.max-frames-at-once",
        Shape::Number(0, COUNT),
        "a connection yields after each buffer of frames",
    ),
    idle(
        "tune.h2.fe.max-frames-at-once",
        Shape::Number(0, COUNT),
        "a connection yields after each buffer of frames",
    ),
    idle(
        "tune.h2.fe.max-rst-at-once",
        Shape::Number(0, COUNT),
        "a connection yields after each buffer of frames",
    ),
    idle("tune.h2.zero-copy-fwd-send", Shape::OnOff, "there is one way of forwarding"),
    idle("tune.idletimer", Shape::Timer, "idle streams are not guessed"),
    idle(
        "tune.listener.default-shards",
        Shape::Choice(&["by-process", "by-thread", "by-group"]),
        "each thread has its own listening socket",
    ),
    idle(
        "tune.listener.multi-queue",
        Shape::Choice(&["on", "fair", "off"]),
        "the kernel spreads connections over threads",
    ),
    idle(
        "tune.lua.bool-sample-conversion",
        Shape::Choice(&["normal", "pre-3.1-bug"]),
        "Lua is not carried",
    ),
    idle("tune.lua.burst-timeout", Shape::Timer, "Lua is not carried"),
    idle("tune.lua.forced-yield", Shape::Number(0, COUNT), "Lua is not carried"),
    idle("tune.lua.log.loggers", Shape::OnOff, "Lua is not carried"),
    idle("tune.lua.log.stderr", Shape::Choice(&["on", "auto", "off"]), "Lua is not carried"),
    idle("tune.lua.maxmem", Shape::Number(0, COUNT), "Lua is not carried"),
    idle("tune.lua.openlibs", Shape::Word, "Lua is not carried"),
    idle("tune.lua.service-timeout", Shape::Timer, "Lua is not carried"),
    idle("tune.lua.session-timeout", Shape::Timer, "Lua is not carried"),
    idle("tune.lua.task-timeout", Shape::Timer, "Lua is not carried"),
    idle(
        "tune.max-checks-per-thread",
        Shape::Number(0, COUNT),
        "checks run on a thread of their own",
    ),
    idle(
        "tune.max-rules-at-once",
        Shape::Number(0, COUNT),
        "rules are too quick to be interrupted",
    ),
    idle(
        "tune.maxpollevents",
        Shape::Number(1, 1000000),
        "the runtime asks for as many events as fit",
    ),
    idle("tune.memory.hot-size", Shape::Number(0, COUNT), "memory has no pools"),
    idle(
        "tune.pattern.cache-size",
        Shape::Number(0, COUNT),
        "patterns are looked up in indexes, without a cache",
    ),
    idle(
        "tune.pool-high-fd-ratio",
        Shape::Number(1, 100),
        "idle connections are bounded by 'pool-max-conn'",
    ),
    idle(
        "tune.pool-low-fd-ratio",
        Shape::Number(1, 100),
        "idle connections are bounded by 'pool-max-conn'",
    ),
    idle("tune.pt.zero-copy-forwarding", Shape::OnOff, "there is one way of forwarding"),
    idle("tune.quic.be.cc.cubic-min-losses", Shape::Number(0, COUNT), "QUIC is not carried"),
    idle("tune.quic.be.cc.hystart", Shape::OnOff, "QUIC is not carried"),
    idle("tune.quic.be.cc.max-frame-loss", Shape::Number(0, COUNT), "QUIC is not carried"),
    idle("tune.quic.be.cc.max-win-size", Shape::Size, "QUIC is not carried"),
    idle("tune.quic.be.cc.reorder-ratio", Shape::Number(0, COUNT), "QUIC is not carried"),
    idle("tune.quic.be.max-idle-timeout", Shape::Timer, "QUIC is not carried"),
    idle("tune.quic.be.sec.glitches-threshold", Shape::Number(0, COUNT), "QUIC is not carried"),
    idle("tune.quic.be.stream.data-ratio", Shape::Number(0, COUNT), "QUIC is not carried"),
    idle("tune.quic.be.stream.max-concurrent", Shape::Number(0, COUNT), "QUIC is not carried"),
    idle("tune.quic.be.stream.rxbuf", Shape::Size, "QUIC is not carried"),
    idle("tune.quic.be.tx.pacing", Shape::OnOff, "QUIC is not carried"),
    idle("tune.quic.be.tx.udp-gso", Shape::OnOff, "QUIC is not carried"),
    idle("tune.quic.fe.cc.cubic-min-losses", Shape::Number(0, COUNT), "QUIC is not carried"),
    idle("tune.quic.fe.cc.hystart", Shape::OnOff, "QUIC is not carried"),
    idle("tune.quic.fe.cc.max-frame-loss", Shape::Number(0, COUNT), "QUIC is not carried"),
    idle("tune.quic.fe.cc.max-win-size", Shape::Size, "QUIC is not carried"),
    idle("tune.quic.fe.cc.reorder-ratio", Shape::Number(0, COUNT), "QUIC is not carried"),
    idle("tune.quic.fe.max-idle-timeout", Shape::Timer, "QUIC is not carried"),
    idle("tune.quic.fe.sec.glitches-threshold", Shape::Number(0, COUNT), "QUIC is not carried"),
    idle("tune.quic.fe.sec.retry-threshold", Shape::Number(0, COUNT), "QUIC is not carried"),
    idle(
        "tune.quic.fe.sock-per-conn",
        Shape::Choice(&["default-on", "force-off"]),
        "QUIC is not carried",
    ),
    idle("tune.quic.fe.stream.data-ratio", Shape::Number(0, COUNT), "QUIC is not carried"),
    idle("tune.quic.fe.stream.max-concurrent", Shape::Number(0, COUNT), "QUIC is not carried"),
    idle("tune.quic.fe.stream.max-total", Shape::Number(0, COUNT), "QUIC is not carried"),
    idle("tune.quic.fe.stream.rxbuf", Shape::Size, "QUIC is not carried"),
    idle("tune.quic.fe.tx.pacing", Shape::OnOff, "QUIC is not carried"),
    idle("tune.quic.fe.tx.udp-gso", Shape::OnOff, "QUIC is not carried"),
    idle("tune.quic.listen", Shape::OnOff, "QUIC is not carried"),
    idle("tune.quic.mem.tx-max", Shape::Size, "QUIC is not carried"),
    idle("tune.quic.zero-copy-fwd-send", Shape::OnOff, "QUIC is not carried"),
    idle("tune.recv_enough", Shape::Size, "data is read until there is no more"),
    idle(
        "tune.ring.queues",
        Shape::Number(0, COUNT),
        "rings are not written by several threads at once",
    ),
    idle("tune.runqueue-depth", Shape::Number(0, COUNT), "tasks are scheduled by the runtime"),
    idle("tune.sched.low-latency", Shape::OnOff, "tasks are scheduled by the runtime"),
    idle(
        "tune.streams-elasticity",
        Shape::Number(0, COUNT),
        "streams of a connection do not depend on the load",
    ),
    idle(
        "tune.takeover-other-tg-connections",
        Shape::Choice(&["none", "restricted", "full"]),
        "idle connections stay with their thread",
    ),
    idle("warn-blocked-traffic-after", Shape::Timer, "a blocked thread is not watched"),
];

/// A keyword of this section without effect.
const fn idle(name: &'static str, shape: Shape, why: &'static str) -> Row<Parse> {
    inert(name, On::HERE, "3.2", shape, why)
}

/// What numbers without a bound of their own may be.
const COUNT: i64 = COUNT_MAX as i64;

pub(super) const TUNING: &[Row<Parse>] = &[
    global(
        "maxcompcpuusage",
        "<number>",
        "3.2",
        "CPU usage beyond which nothing is compressed",
        |cx, g, args| {
            g.tune.max_compression_cpu = Some(args.number(cx, 0..=100)?);
            args.end(cx)
        },
    ),
    global("maxcomprate", "<number>", "3.2", "kilobytes compressed per second", |cx, g, args| {
        g.tune.max_compression_rate = Some(args.number(cx, 0..=COUNT_MAX)?);
        args.end(cx)
    }),
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
    global("maxpipes", "<number>", "3.2", "pipes for splicing", |cx, g, args| {
        g.maxpipes = Some(args.number(cx, 0..=COUNT_MAX)?);
        args.end(cx)
    }),
    global("maxsessrate", "<number>", "3.2", "sessions per second", |cx, g, args| {
        g.maxsessrate = Some(args.number(cx, 0..=COUNT_MAX)?);
        args.end(cx)
    }),
    global("maxsslconn", "<number>", "3.2", "connections over TLS", |cx, g, args| {
        g.maxsslconn = Some(args.number(cx, 0..=COUNT_MAX)?);
        args.end(cx)
    }),
    global("maxsslrate", "<number>", "3.2", "connections over TLS per second", |cx, g, args| {
        g.maxsslrate = Some(args.number(cx, 0..=COUNT_MAX)?);
        args.end(cx)
    }),
    global(
        "max-spread-checks",
        "<delay in milliseconds>",
        "3.2",
        "longest time over which first checks are spread",
        |cx, g, args| {
            let value = args.timer(cx)?;
            g.max_spread_checks = Some(value);
            args.end(cx)
        },
    ),
    global("maxzlibmem", "<number>", "3.2", "megabytes used for compression", |cx, g, args| {
        g.tune.max_zlib_memory = Some(args.number(cx, 0..=COUNT_MAX)?);
        args.end(cx)
    }),
    global("noreuseport", "", "3.2", "one listening socket for all threads", |cx, g, args| {
        g.noreuseport = Some(args.span());
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
    global(
        "tune.cli.max-payload-size",
        "<size>",
        "3.2",
        "bytes of a payload of a command",
        |cx, g, args| buffer(cx, args, 1, |t| &mut t.cli_payload, g),
    ),
    global("tune.comp.maxlevel", "<number>", "3.2", "highest compression level", |cx, g, args| {
        g.tune.compression_level = Some(args.number(cx, 0..=9)?);
        args.end(cx)
    }),
    global(
        "tune.h1.be.glitches-threshold",
        "<number>",
        "3.2",
        "odd responses after which a server's connection ends",
        |cx, g, args| {
            g.tune.h1_glitches[1] = Some(args.number(cx, 0..=COUNT_MAX)?);
            args.end(cx)
        },
    ),
    global(
        "tune.h1.fe.glitches-threshold",
        "<number>",
        "3.2",
        "odd requests after which a client's connection ends",
        |cx, g, args| {
            g.tune.h1_glitches[0] = Some(args.number(cx, 0..=COUNT_MAX)?);
            args.end(cx)
        },
    ),
    global(
        "tune.http.cookielen",
        "<number>",
        "3.2",
        "bytes of a captured cookie",
        |cx, g, args| {
            g.tune.http_cookielen = Some(args.number(cx, 1..=65535)?);
            args.end(cx)
        },
    ),
    global("tune.http.logurilen", "<number>", "3.2", "bytes of a URI in logs", |cx, g, args| {
        g.tune.http_logurilen = Some(args.number(cx, 1..=65535)?);
        args.end(cx)
    }),
    global("tune.http.maxhdr", "<number>", "3.2", "headers of a message", |cx, g, args| {
        g.tune.http_maxhdr = Some(args.number(cx, 1..=32767)?);
        args.end(cx)
    }),
    global(
        "tune.defaults.purge",
        "[{all|none|<element>[,...]}]",
        "3.2",
        "which settings commands cannot start new backends and servers from",
        purge,
    ),
    global(
        "tune.stick-counters",
        "<number>",
        "3.2",
        "sets of counters that a connection or a request can track",
        |cx, g, args| {
            g.tune.stick_counters = Some(args.number(cx, 0..=COUNTERS_MAX)?);
            args.end(cx)
        },
    ),
    global(
        "tune.peers.max-updates-at-once",
        "<number>",
        "3.2",
        "updates made for a peer before others have their turn",
        |cx, g, args| {
            g.tune.peers_max_updates = Some(args.number(cx, 1..=i32::MAX as u32)?);
            args.end(cx)
        },
    ),
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
    global(
        "tune.notsent-lowat.client",
        "<size>",
        "3.2",
        "bytes kept unsent in the kernel for clients",
        |cx, g, args| buffer(cx, args, 0, |t| &mut t.notsent_lowat_client, g),
    ),
    global(
        "tune.notsent-lowat.server",
        "<size>",
        "3.2",
        "bytes kept unsent in the kernel for servers",
        |cx, g, args| buffer(cx, args, 0, |t| &mut t.notsent_lowat_server, g),
    ),
    global("tune.pipesize", "<size>", "3.2", "bytes of a splicing pipe", |cx, g, args| {
        buffer(cx, args, 4096, |t| &mut t.pipesize, g)
    }),
    global(
        "tune.rcvbuf.backend",
        "<size>",
        "3.2",
        "receive buffer of sockets that send log messages as datagrams",
        |cx, g, args| buffer(cx, args, 1, |t| &mut t.rcvbuf_backend, g),
    ),
    global(
        "tune.sndbuf.backend",
        "<size>",
        "3.2",
        "send buffer of sockets that send log messages as datagrams",
        |cx, g, args| buffer(cx, args, 1, |t| &mut t.sndbuf_backend, g),
    ),
    global(
        "tune.vars.check-max-size",
        "<size>",
        "3.2",
        "bytes that variables of a health check may hold",
        |cx, g, args| var_size(cx, args, |sizes| &mut sizes.check, g),
    ),
    global(
        "tune.vars.global-max-size",
        "<size>",
        "3.2",
        "bytes that all variables may hold",
        |cx, g, args| var_size(cx, args, |sizes| &mut sizes.global, g),
    ),
    global(
        "tune.vars.proc-max-size",
        "<size>",
        "3.2",
        "bytes that variables of the process, its sessions included may hold",
        |cx, g, args| var_size(cx, args, |sizes| &mut sizes.proc, g),
    ),
    global(
        "tune.vars.reqres-max-size",
        "<size>",
        "3.2",
        "bytes that variables of a request or of a response may hold",
        |cx, g, args| var_size(cx, args, |sizes| &mut sizes.reqres, g),
    ),
    global(
        "tune.vars.sess-max-size",
        "<size>",
        "3.2",
        "bytes that variables of a session, its transactions included may hold",
        |cx, g, args| var_size(cx, args, |sizes| &mut sizes.sess, g),
    ),
    global(
        "tune.vars.txn-max-size",
        "<size>",
        "3.2",
        "bytes that variables of a transaction, its messages included may hold",
        |cx, g, args| var_size(cx, args, |sizes| &mut sizes.txn, g),
    ),
    global(
        "tune.rcvbuf.client",
        "<size>",
        "3.2",
        "receive buffer of client sockets",
        |cx, g, args| buffer(cx, args, 1, |t| &mut t.rcvbuf_client, g),
    ),
    global(
        "tune.rcvbuf.frontend",
        "<size>",
        "3.2",
        "receive buffer of sockets that take datagrams",
        |cx, g, args| buffer(cx, args, 1, |t| &mut t.rcvbuf_frontend, g),
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
        "tune.sndbuf.frontend",
        "<size>",
        "3.2",
        "send buffer of sockets that take datagrams",
        |cx, g, args| buffer(cx, args, 1, |t| &mut t.sndbuf_frontend, g),
    ),
    global(
        "tune.sndbuf.server",
        "<size>",
        "3.2",
        "send buffer of server sockets",
        |cx, g, args| buffer(cx, args, 1, |t| &mut t.sndbuf_server, g),
    ),
    global("tune.zlib.memlevel", "<number>", "3.2", "memory for compression", |cx, g, args| {
        g.tune.zlib_memory_level = Some(args.number(cx, 1..=9)?);
        args.end(cx)
    }),
    global("tune.zlib.windowsize", "<number>", "3.2", "history for compression", |cx, g, args| {
        g.tune.zlib_window = Some(args.number(cx, 8..=15)?);
        args.end(cx)
    }),
];

/// Largest window and rxbuf, in bytes (RFC 9113 section 6.9.1).
const WINDOW_MAX: u32 = (1 << 31) - 1;

/// HTTP/2, with clients (`fe`) and servers (`be`).
pub(super) const H2: &[Row<Parse>] = &[
    global(
        "tune.h2.be.glitches-threshold",
        "<number>",
        "3.2",
        "mistakes after which a server's connection ends",
        |cx, g, args| {
            g.tune.h2.back.glitches = Some(args.number(cx, 0..=COUNT_MAX)?);
            args.end(cx)
        },
    ),
    global(
        "tune.h2.fe.glitches-threshold",
        "<number>",
        "3.2",
        "mistakes after which a client's connection ends",
        |cx, g, args| {
            g.tune.h2.front.glitches = Some(args.number(cx, 0..=COUNT_MAX)?);
            args.end(cx)
        },
    ),
    global(
        "tune.glitches.kill.cpu-usage",
        "<number>",
        "3.2",
        "how busy a thread has to be to end connections for their mistakes",
        |cx, g, args| {
            g.tune.glitches_kill_cpu = Some(args.number(cx, 0..=100)?);
            args.end(cx)
        },
    ),
    global(
        "tune.idle-pool.shared",
        "{full|on|off}",
        "3.2",
        "threads take idle connections of each other, whatever their groups",
        |cx, g, args| {
            let choices = [("full", true), ("on", true), ("off", false)];
            g.tune.idle_pool_shared = Some(args.choice(cx, &choices)?);
            args.end(cx)
        },
    ),
    global(
        "tune.h2.log-errors",
        "{none|connection|stream}",
        "3.2",
        "which mistakes of clients are logged",
        |cx, g, args| {
            let choices = [("none", false), ("connection", true), ("stream", true)];
            g.tune.h2.log_errors = Some(args.choice(cx, &choices)?);
            args.end(cx)
        },
    ),
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
        "<number> [rq-load {<number>|auto|ignore}] [min <number>]",
        "3.2",
        "requests at once on a client's connection",
        |cx, g, args| {
            g.tune.h2.front.max_concurrent_streams = Some(args.number(cx, 0..=COUNT_MAX)?);
            while let Some(word) = args.optional() {
                match word.value.as_str() {
                    "rq-load" => match args.word(cx, "'ignore', 'auto' or a number")? {
                        load if load.value == "ignore" => {}
                        load if load.value == "auto" || load.value.parse::<u32>().is_ok() => {
                            let message =
                                "a limit that follows 'rq-load' is known, not carried yet";
                            return Err(args.wrong(cx, load.span, message));
                        }
                        load => {
                            let message = format!("expects a load, got '{}'", load.value);
                            return Err(args.wrong(cx, load.span, message));
                        }
                    },
                    // The least that a load leaves: without one, HAProxy makes nothing of it either.
                    "min" => {
                        let least = args.number(cx, 1..=COUNT_MAX)?;
                        cx.warn(least.span, "'min' has no effect without 'rq-load'");
                    }
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

fn var_size(
    cx: &mut Context<'_>,
    args: &mut Args<'_>,
    field: fn(&mut VarSizes) -> &mut Option<Spanned<u32>>,
    g: &mut Global,
) -> Parsed {
    let value = args.size(cx, 0..=i32::MAX as u32)?;
    args.end(cx)?;
    *field(&mut g.tune.vars) = Some(value);
    Ok(())
}
