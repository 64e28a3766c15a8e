//! Limits and tunables of the `global` section (configuration manual, 3.2).

use proxy_types::{Diagnostic, Spanned};

use super::global::{COUNT_MAX, Parse, global};
use crate::args::Args;
use crate::context::{Context, Parsed};
use crate::keyword::{On, Row, no_effect};
use crate::model::{Global, Tune};

/// Largest buffer: beyond it a connection would be a memory leak.
const BUFFER_MAX: u32 = 1 << 28;

/// What tunes only what HAProxy's implementation has: its allocator, its scheduler, its pollers.
pub(super) const NO_EFFECT: &[Row<Parse>] = &no_effect(
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
);

pub(super) const TUNING: &[Row<Parse>] = &[
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

/// Largest window and rxbuf, in bytes (RFC 9113 section 6.9.1).
const WINDOW_MAX: u32 = (1 << 31) - 1;

/// HTTP/2, with clients (`fe`) and servers (`be`).
pub(super) const H2: &[Row<Parse>] = &[
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
