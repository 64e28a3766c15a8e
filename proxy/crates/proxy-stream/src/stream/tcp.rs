//! A connection in mode tcp, from its first rule on content to the record of its end.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use proxy_rules::logformat::Origin;
use proxy_rules::ruleset::RuleSet;
use proxy_types::Mode;

use super::rules::{self, Verdict};
use super::{Exchange, finish, persist, request, trace, tunnel};
use crate::backend::{self, OnEof};
use crate::env::Back;
use crate::log;
use crate::session::Session;
use crate::term::Fault;

/// What became of a connection.
pub(crate) enum Outcome {
    Done,
    /// It goes on in mode http. The stream that began it becomes that of the first request.
    Http,
}

/// Serves a connection that the rules of connections and sessions let in.
pub(crate) async fn run(s: &mut Session, x: &mut Exchange) -> Outcome {
    match process(s, x).await {
        Ok(Outcome::Done) => {}
        Ok(Outcome::Http) => return Outcome::Http,
        Err(fault) => {
            let verdict = fault.verdict();
            (x.record.cause, x.record.phase) = (verdict.cause, verdict.phase);
            finish::blame(s, x, verdict.blame);
            finish::trace_fault(s, x, fault);
        }
    }
    // What came, but did not get as far as the tunnel.
    x.record.bytes_in += s.client.input.len() as u64;
    if s.front.frontend.options.nolinger {
        s.client.reset_on_close();
    }
    finish::finish(s, x);
    Outcome::Done
}

async fn process(s: &mut Session, x: &mut Exchange) -> Result<Outcome, Fault> {
    x.number = s.thread.next_stream();
    s.thread.begin_stream(s.key, x.number, s.front.frontend.id, s.facts.src);
    request::trace_begin(s, x);
    // No field fills the slots of a connection without messages: rules do.
    x.captured.request.borrow_mut().resize(s.front.request_captures.len(), None);
    rules::unique_id(s, x);
    log::step(s, x, Origin::TxnAccept);
    let front = s.front.clone();
    trace::attach(s, x, &front.tracers, &front.frontend.name);
    if !inspect(s, x, None, &front.tcp_content, front.inspect_delay).await? {
        return Ok(Outcome::Done);
    }
    let raw = s.facts.listener.raw;
    if x.effects.switch_mode.is_some() {
        return if raw { Err(Fault::Internal) } else { Ok(Outcome::Http) };
    }
    log::step(s, x, Origin::TxnRequest);
    let back = rules::choose_backend(s, x).ok_or(Fault::NoServer)?;
    if back.backend.mode == Mode::Http {
        return if raw { Err(Fault::Internal) } else { Ok(Outcome::Http) };
    }
    if back.backend.name != front.frontend.name {
        x.overrides.leave_section();
    }
    back.backend.begin_session(s.thread.now(s.thread.tick()));
    x.record.backend = Some(back.clone());
    trace::attach(s, x, &back.tracers, &back.backend.name);
    s.thread.note(s.key, |row| row.backend = Some(back.backend.id));
    request::trace_backend(s, x);
    if !inspect(s, x, Some(&back), &back.tcp_content, back.inspect_delay).await? {
        return Ok(Outcome::Done);
    }
    persist::bind(s, x, &back);
    x.record.head_done = Some(x.record.start);
    x.backend = Some(back);
    s.client_timer.arm(front.frontend.timeouts.client);
    backend::attach(s, x).await?;
    super::store_server(s, x, false);
    tunnel::run(s, x).await?;
    Ok(Outcome::Done)
}

/// Runs rules on content until they decide: at once if they can, else as data comes, at the latest with
/// what is there after `delay`. False when the connection is refused.
async fn inspect(
    s: &mut Session,
    x: &mut Exchange,
    back: Option<&Arc<Back>>,
    rules: &RuleSet,
    delay: Option<Duration>,
) -> Result<bool, Fault> {
    if rules.is_empty() {
        return Ok(true);
    }
    let back = back.map(|b| &**b);
    s.client_timer.arm(s.front.frontend.timeouts.client);
    s.server_timer.arm(delay);
    let mut progress = Progress::default();
    let verdict = loop {
        let verdict = poll_fn(|cx| poll_rules(s, x, back, rules, delay, &mut progress, cx)).await;
        let Ok(Verdict::Resolve(wanted)) = verdict else { break verdict };
        Box::pin(rules::resolve(s, x, back, &wanted, OnEof::Stay)).await?;
        s.client_timer.arm(s.front.frontend.timeouts.client);
        progress.seen = None;
    };
    s.client_timer.disarm();
    s.server_timer.disarm();
    Ok(request::apply(s, x, back, verdict?).is_none())
}

/// How far rules on content came.
#[derive(Default)]
struct Progress {
    /// How much there was when they last ran.
    seen: Option<usize>,
    /// The rule to go on with.
    at: usize,
}

fn poll_rules(
    s: &mut Session,
    x: &mut Exchange,
    back: Option<&Back>,
    rules: &RuleSet,
    delay: Option<Duration>,
    progress: &mut Progress,
    cx: &mut Context<'_>,
) -> Poll<Result<Verdict, Fault>> {
    if s.is_killed() {
        return Poll::Ready(Err(Fault::Killed));
    }
    let limit = s.thread.env.shared.bufsize;
    if backend::receive(&mut s.client, cx, limit).is_err() {
        return Poll::Ready(Err(Fault::RequestAbort));
    }
    let there = s.client.input.len();
    let complete = delay.is_none()
        || s.client.eof
        || there >= limit
        || s.server_timer.poll_expired(cx).is_ready();
    if complete || progress.seen != Some(there) {
        if progress.seen.replace(there).is_some() {
            s.client_timer.arm(s.front.frontend.timeouts.client);
        }
        if let Some(verdict) = rules::on_content(s, x, back, rules, &mut progress.at, complete) {
            return Poll::Ready(Ok(verdict));
        }
    }
    s.client_timer.poll_expired(cx).map(|()| Err(Fault::RequestTimeout))
}
