//! After 101, after a successful CONNECT, and in mode tcp: bytes both ways, until both sides are done.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use proxy_net::splice;

use super::{Exchange, answer, bandwidth, finish, rules};
use crate::backend::Attached;
use crate::io::Conn;
use crate::mux::h1::{Pump, PumpFault};
use crate::session::Session;
use crate::term::Fault;

/// Carries the tunnel to its end: by splicing when both sides are plain sockets.
pub(super) async fn run(s: &mut Session, x: &mut Exchange) -> Result<(), Fault> {
    answer::flush(s, x).await?;
    let Some(mut attached) = x.server.take() else { return Err(Fault::Internal) };
    let timeouts = Timeouts::new(s, x);
    let inspected = match inspect(s, x, &mut attached, &timeouts).await {
        Ok(inspected) => inspected,
        Err(fault) => {
            x.server = Some(attached);
            finish::drop_server(x);
            return Err(fault);
        }
    };
    let limited = x.to_server.is_filtered() || x.to_client.is_filtered();
    let plain = !inspected
        && !limited
        && x.to_server.is_done()
        && s.client.io.socket().is_some()
        && attached.conn.io.socket().is_some();
    let outcome = if plain {
        splice(s, x, &mut attached, &timeouts).await
    } else {
        if !inspected {
            x.to_server.set_tunnel(x.client_wire(&s.client));
        }
        copy(s, x, &mut attached, &timeouts).await
    };
    x.server = Some(attached);
    x.flow.request_done = true;
    x.flow.response_done = true;
    finish::drop_server(x);
    outcome
}

/// Runs `tcp-response content` rules in mode tcp, while what the client sends goes through. True when there were any.
async fn inspect(
    s: &mut Session,
    x: &mut Exchange,
    attached: &mut Attached,
    timeouts: &Timeouts,
) -> Result<bool, Fault> {
    let (front, back) = (s.front.clone(), x.backend.clone());
    let Some(back) = back.filter(|_| !x.record.request_read) else { return Ok(false) };
    let (rules, delay) = rules::tcp_response(&front, &back);
    if rules.is_empty() {
        return Ok(false);
    }
    x.to_server.set_tunnel(x.client_wire(&s.client));
    s.server_timer.arm(delay.or(timeouts.server));
    let limit = s.thread.env.shared.bufsize;
    let (mut seen, mut at) = (0, 0);
    let verdict = poll_fn(|cx| {
        if s.is_killed() {
            return Poll::Ready(Err(Fault::Killed));
        }
        x.to_server.begin_poll();
        direction(&mut x.to_server, cx, &mut s.client, &mut attached.conn)
            .map_err(|f| blame(&f, Fault::DataClientAbort, Fault::DataServerAbort))?;
        crate::backend::receive(&mut attached.conn, cx, limit)
            .map_err(|_| Fault::DataServerAbort)?;
        let (there, eof) = (attached.conn.input.len(), attached.conn.eof);
        let late = s.server_timer.poll_expired(cx).is_ready();
        if late && delay.is_none() {
            return Poll::Ready(Err(Fault::DataServerTimeout));
        }
        let complete = late || eof || there >= limit || delay.is_none() && there > 0;
        if complete || there > seen {
            seen = there;
            let data = (attached.conn.input.data(), complete);
            if let Some(verdict) = rules::on_server_content(s, x, &back, rules, &mut at, data) {
                return Poll::Ready(Ok(verdict));
            }
        }
        Poll::Pending
    })
    .await;
    s.server_timer.disarm();
    if let rules::Verdict::Close(_) = verdict? {
        s.front.frontend.counters.local().denied_resp.inc();
        back.backend.counters.local().denied_resp.inc();
        return Err(Fault::ResponseDenied);
    }
    Ok(true)
}

/// Both ends are sockets: the kernel carries what comes in bulk.
async fn splice(
    s: &mut Session,
    x: &mut Exchange,
    attached: &mut Attached,
    timeouts: &Timeouts,
) -> Result<(), Fault> {
    let ends = (s.client.take_socket(), attached.conn.take_socket());
    let (Some((client, from_client)), Some((server, from_server))) = ends else {
        return Err(Fault::Internal);
    };
    let config = splice::Config {
        timeouts: splice::Timeouts {
            client: timeouts.client,
            client_fin: timeouts.client_fin,
            server: timeouts.server,
            server_fin: timeouts.server_fin,
        },
        client_nolinger: s.front.frontend.options.nolinger,
        server_nolinger: x.backend.as_ref().is_some_and(|b| b.backend.options.nolinger),
    };
    let mut pair = splice::Pair::new(client, server, from_client, from_server, &config);
    let (shutdowns, server) = (attached.shutdowns, &attached.server);
    let (thread, key) = (&s.thread, s.key);
    let killed = || thread.stop.is_killed() || thread.is_killed(key);
    let end = pair
        .run(|_| {
            let ended = server.shutdowns() != shutdowns || killed();
            if ended { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    let counts = pair.counts();
    x.to_server.received += counts.from_client;
    x.to_server.forwarded += counts.to_server;
    x.to_client.received += counts.from_server;
    x.to_client.forwarded += counts.to_client;
    let process = s.thread.env.registry().process.counters.local();
    process.spliced_bytes_out.add(counts.spliced);
    match end {
        splice::End::Normal => Ok(()),
        splice::End::ClientAbort => Err(Fault::DataClientAbort),
        splice::End::ServerAbort => Err(Fault::DataServerAbort),
        splice::End::ClientTimeout => Err(Fault::DataClientTimeout),
        splice::End::ServerTimeout => Err(Fault::DataServerTimeout),
        splice::End::Interrupted if killed() => Err(Fault::Killed),
        splice::End::Interrupted => Err(Fault::DataServerDown),
    }
}

/// Either end is no socket: bytes go through the thread's buffer.
async fn copy(
    s: &mut Session,
    x: &mut Exchange,
    attached: &mut Attached,
    timeouts: &Timeouts,
) -> Result<(), Fault> {
    x.to_client.set_tunnel(super::server_wire(&attached.conn));
    s.client_timer.arm(timeouts.client);
    s.server_timer.arm(timeouts.server);
    let (shutdowns, server) = (attached.shutdowns, attached.server.clone());
    poll_fn(|cx| {
        if server.shutdowns() != shutdowns {
            return Poll::Ready(Err(Fault::DataServerDown));
        }
        if s.is_killed() {
            return Poll::Ready(Err(Fault::Killed));
        }
        poll(s, x, &mut attached.conn, timeouts, cx)
    })
    .await
}

/// `timeout tunnel`, or what stands in for it; shorter once a side has ended.
struct Timeouts {
    client: Option<Duration>,
    server: Option<Duration>,
    client_fin: Option<Duration>,
    server_fin: Option<Duration>,
}

impl Timeouts {
    fn new(s: &Session, x: &Exchange) -> Self {
        let front = &s.front.frontend.timeouts;
        let back = x.backend.as_ref().map(|b| &b.backend.timeouts);
        let set = x.overrides.timeouts.get();
        let tunnel = super::in_force(set.tunnel, back.and_then(|t| t.tunnel).or(front.tunnel));
        let client = super::in_force(set.client, front.client);
        let server = super::in_force(set.server, back.and_then(|t| t.server));
        Self {
            client: tunnel.or(client),
            server: tunnel.or(server),
            client_fin: front.client_fin.or(tunnel).or(client),
            server_fin: back.and_then(|t| t.server_fin).or(tunnel).or(server),
        }
    }
}

fn poll(
    s: &mut Session,
    x: &mut Exchange,
    server: &mut Conn,
    timeouts: &Timeouts,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Fault>> {
    x.to_server.begin_poll();
    x.to_client.begin_poll();
    let up = direction(&mut x.to_server, cx, &mut s.client, server);
    let up = up.map_err(|f| blame(&f, Fault::DataClientAbort, Fault::DataServerAbort))?;
    let down = direction(&mut x.to_client, cx, server, &mut s.client);
    let down = down.map_err(|f| blame(&f, Fault::DataServerAbort, Fault::DataClientAbort))?;
    if up && down {
        return Poll::Ready(Ok(()));
    }
    let moved = bandwidth::waits(&x.to_server)
        || bandwidth::waits(&x.to_client)
        || x.to_server.did_read
        || x.to_server.did_write
        || x.to_client.did_read
        || x.to_client.did_write;
    if moved {
        s.client_timer.arm(if down { timeouts.client_fin } else { timeouts.client });
        s.server_timer.arm(if up { timeouts.server_fin } else { timeouts.server });
    }
    if s.client_timer.poll_expired(cx).is_ready() {
        return Poll::Ready(Err(Fault::DataClientTimeout));
    }
    if s.server_timer.poll_expired(cx).is_ready() {
        return Poll::Ready(Err(Fault::DataServerTimeout));
    }
    Poll::Pending
}

/// Moves one direction; true once it ended and its end was passed on.
fn direction(
    pump: &mut Pump,
    cx: &mut Context<'_>,
    src: &mut Conn,
    dst: &mut Conn,
) -> Result<bool, PumpFault> {
    match pump.poll(cx, src, dst) {
        Poll::Pending => Ok(false),
        Poll::Ready(Ok(())) => Ok(dst.poll_shutdown(cx).is_ready()),
        Poll::Ready(Err(fault)) => Err(fault),
    }
}

fn blame(fault: &PumpFault, reading: Fault, writing: Fault) -> Fault {
    match fault {
        PumpFault::Write(_) => writing,
        PumpFault::Closed
        | PumpFault::Read(_)
        | PumpFault::Framing(_)
        | PumpFault::Transform(_) => reading,
    }
}
