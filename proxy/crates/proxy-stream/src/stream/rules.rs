//! Running rule sets on the messages of a stream, and what follows from their verdicts.

use proxy_http::h1::{self, Progress};
use proxy_http::{BodyLen, HeaderList, RequestHead, ResponseHead};
use proxy_names::Family;
use proxy_net::clock::Tick;
use proxy_net::sockopt;
use proxy_rules::acl;
use proxy_rules::action::ServiceDef;
use proxy_rules::action::{Cause, Close, Content, Flow, Reply as RuleReply, Resolve, RuleEnv};
use proxy_rules::capture::CaptureSlot;
use proxy_rules::ruleset::{Found, RuleSet};
use proxy_rules::sample::{EvalCtx, Sample};
use proxy_rules::vars::VarRef;
use proxy_state::lb::key;
use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::{Exchange, bandwidth, buffer};
use crate::backend::OnEof;
use crate::env::{Back, BalanceKey, Front};
use crate::log::{self, View};
use crate::reply::{self, ErrorReply, Reply};
use crate::session::Session;
use crate::term::Fault;

/// What rules decided.
pub(super) enum Verdict {
    /// On with the message.
    Go,
    /// This answer takes the place of what would follow.
    Answer(Reply, Cause),
    /// The connection ends without an answer.
    Close(Close),
    /// On with the next rule after this time.
    Pause(Duration),
    /// An internal service answers.
    Service(&'static ServiceDef),
    /// On with the next rule once the body, or `at_least` bytes of it, are there.
    Body { limit: Duration, at_least: u64 },
    /// On with the next rule once the client's TLS handshake is complete.
    Handshake,
    /// On with the next rule once a name is resolved, or cannot be.
    Resolve(Box<Resolving>),
}

/// A name whose address goes to a variable.
pub(super) struct Resolving {
    section: String,
    name: String,
    prefer: Family,
    var: VarRef,
}

impl Resolving {
    fn new(wanted: &Resolve<'_>) -> Box<Self> {
        Box::new(Self {
            section: wanted.section.to_owned(),
            name: wanted.name.to_owned(),
            prefer: match wanted.prefer {
                proxy_types::addr::Family::V4 => Family::V4,
                proxy_types::addr::Family::Any | proxy_types::addr::Family::V6 => Family::V6,
            },
            var: wanted.var,
        })
    }
}

/// Runs rule sets of the request side in order, up to the first that decides something. Rules may wait.
pub(super) async fn first_verdict(
    s: &mut Session,
    x: &mut Exchange,
    back: Option<&Back>,
    sets: [Option<&RuleSet>; 2],
) -> Result<Verdict, Fault> {
    for rules in sets.into_iter().flatten().filter(|rules| !rules.is_empty()) {
        let mut at = 0;
        loop {
            match step(s, x, back, rules, &mut at) {
                Verdict::Go => break,
                Verdict::Pause(delay) => Box::pin(pause(s, delay)).await?,
                Verdict::Resolve(wanted) => {
                    Box::pin(resolve(s, x, back, &wanted, OnEof::Leave)).await?;
                }
                Verdict::Body { limit, at_least } => {
                    let until = s.thread.tick() + limit;
                    Box::pin(buffer::wait_until(s, x, Some(until), at_least)).await?;
                }
                Verdict::Handshake => Box::pin(handshake(s)).await?,
                verdict => return Ok(verdict),
            }
        }
    }
    Ok(Verdict::Go)
}

/// Where `do-log` writes.
fn logger<'a>(s: &'a Session, x: &Exchange) -> Option<log::DoLog<'a>> {
    let log = s.front.log.as_ref()?;
    Some(log::DoLog { log, level: x.effects.log_level, thread: &s.thread })
}

/// Lets time pass, unless the client leaves.
async fn pause(s: &mut Session, delay: Duration) -> Result<(), Fault> {
    s.client_timer.disarm();
    s.server_timer.arm(Some(delay));
    let outcome = poll_fn(|cx| {
        if s.is_killed() {
            return Poll::Ready(Err(Fault::Killed));
        }
        if s.server_timer.poll_expired(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        match crate::backend::client_left(&mut s.client, cx, OnEof::Leave) {
            true => Poll::Ready(Err(Fault::RequestAbort)),
            false => Poll::Pending,
        }
    })
    .await;
    s.server_timer.disarm();
    outcome
}

/// Waits for the end of the client's TLS handshake, as long as one may take.
async fn handshake(s: &mut Session) -> Result<(), Fault> {
    let tls = s.facts.connection.tls.clone();
    let Some(early) = tls.as_ref().and_then(|tls| tls.early.as_ref()) else { return Ok(()) };
    s.client_timer.arm(s.front.frontend.timeouts.client_hs());
    let outcome = poll_fn(|cx| {
        // Streams of a connection do not read it themselves; whoever does wakes them.
        let _ = s.client.io.poll_handshake(cx);
        if let Poll::Ready(complete) = early.poll_end(cx) {
            return Poll::Ready(if complete { Ok(()) } else { Err(Fault::RequestAbort) });
        }
        if s.is_killed() {
            return Poll::Ready(Err(Fault::Killed));
        }
        s.client_timer.poll_expired(cx).map(|()| Err(Fault::RequestTimeout))
    })
    .await;
    s.client_timer.disarm();
    outcome
}

/// Waits for the address of a name, unless the client leaves, and sets the variable to it. The section's times bound
/// how long that takes.
pub(super) async fn resolve(
    s: &mut Session,
    x: &Exchange,
    back: Option<&Back>,
    wanted: &Resolving,
    on_eof: OnEof,
) -> Result<(), Fault> {
    let Some(asker) = s.thread.env.names.clone() else { return Ok(()) };
    s.client_timer.disarm();
    let mut asking = pin!(asker.ask(&wanted.section, &wanted.name, wanted.prefer));
    let found = poll_fn(|cx| {
        if s.thread.stop.is_killed() {
            return Poll::Ready(Err(Fault::Killed));
        }
        if let Poll::Ready(found) = asking.as_mut().poll(cx) {
            return Poll::Ready(Ok(found));
        }
        match crate::backend::client_left(&mut s.client, cx, on_eof) {
            true => Poll::Ready(Err(Fault::RequestAbort)),
            false => Poll::Pending,
        }
    })
    .await?;
    if let Some(ip) = found {
        let address = match ip {
            IpAddr::V4(ip) => Sample::Ipv4(ip),
            IpAddr::V6(ip) => Sample::Ipv6(ip),
        };
        with_context(s, x, back, |cx| cx.set_var(wanted.var, address));
    }
    Ok(())
}

/// Runs one rule set of the request side that does not wait.
pub(super) fn on_request(
    s: &Session,
    x: &mut Exchange,
    back: Option<&Back>,
    rules: &RuleSet,
) -> Verdict {
    if rules.is_empty() {
        return Verdict::Go;
    }
    step(s, x, back, rules, &mut 0)
}

/// Runs a rule set of the request side from `at` up to its end or a wait.
fn step(
    s: &Session,
    x: &mut Exchange,
    back: Option<&Back>,
    rules: &RuleSet,
    at: &mut usize,
) -> Verdict {
    let before = fingerprint(x.request.headers());
    let body = x.request.body();
    let verdict = run(s, x, back, rules, at, None);
    if fingerprint(x.request.headers()) != before {
        keep_request_framing(&mut x.request, body);
    }
    verdict
}

/// Runs one rule set of the response side.
pub(super) fn on_response(
    s: &Session,
    x: &mut Exchange,
    back: Option<&Back>,
    rules: &RuleSet,
) -> Verdict {
    on_response_from(s, x, back, rules, &mut 0, None)
}

/// [`on_response`] from `at` up to the end or a wait; `data` is what is known of the body.
pub(super) fn on_response_from(
    s: &Session,
    x: &mut Exchange,
    back: Option<&Back>,
    rules: &RuleSet,
    at: &mut usize,
    data: Option<&[u8]>,
) -> Verdict {
    if rules.is_empty() {
        return Verdict::Go;
    }
    let before = fingerprint(x.response.headers());
    let body = x.response.body();
    let verdict = run(s, x, back, rules, at, Some(data));
    if fingerprint(x.response.headers()) != before {
        keep_response_framing(&mut x.response, body);
    }
    verdict
}

fn run(
    s: &Session,
    x: &mut Exchange,
    back: Option<&Back>,
    rules: &RuleSet,
    at: &mut usize,
    // Rules of responses, and what is known of the body.
    response: Option<Option<&[u8]>>,
) -> Verdict {
    let bump = s.thread.bump.borrow();
    let peeked = x.peeked(s.client.input.data()).map(|body| &*bump.alloc_slice_copy(body));
    let logger = logger(s, x);
    let mut base = s.context(&bump);
    base.logger = logger.as_ref().map(|logger| logger as _);
    base.backend = back.or(s.front.listen.as_deref()).map(|b| &*b.backend);
    base.server = x.record.server.as_deref();
    base.server_connection = x.record.server_connection.as_deref();
    base.server_link = x.record.server_link.as_deref();
    base.server_socket = x.server.as_ref().map(|attached| attached as _);
    base.http = x.record.request_read;
    base.req_data = peeked.filter(|_| response.is_none());
    base.res_data = response.flatten();
    base.vars = Some(&x.vars);
    base.captured = Some(&x.captured);
    base.last_rule = Some(&x.last_rule);
    base.waiting_rule = Some(&x.waiting_rule);
    base.overrides = Some(&x.overrides);
    let moved =
        [x.to_server.received, x.to_server.forwarded, x.to_client.received, x.to_client.forwarded];
    let so_far = View::new(s, &x.record, x.number, x.unique_id.as_deref(), moved);
    base.stream = Some(&so_far);
    base.tracked = Some(&x.tracked);
    let mut env = RuleEnv {
        base,
        request: Some(&mut x.request),
        response: response.is_some().then_some(&mut x.response),
        effects: &mut x.effects,
    };
    // A page may have to be made, which is an evaluation of its own.
    let mut wanted = None;
    let mut page = |answer: &RuleReply<'_>, section: Option<&str>, fields: &[(&[u8], &[u8])]| {
        let fields = fields.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
        wanted = Some(Page {
            status: answer.status,
            cause: answer.cause,
            section: section.map(Into::into),
            fields,
        });
        Verdict::Go
    };
    let verdict = match rules.run_from(at, &mut env) {
        // Everything there is to wait for has come (see `Thread::context`).
        Flow::Next | Flow::Stop | Flow::Wait => Verdict::Go,
        Flow::Pause { ms } => Verdict::Pause(Duration::from_millis(u64::from(ms))),
        Flow::Body { ms, at_least } => {
            Verdict::Body { limit: Duration::from_millis(u64::from(ms)), at_least }
        }
        Flow::Handshake => Verdict::Handshake,
        Flow::Resolve(wanted) => Verdict::Resolve(Resolving::new(&wanted)),
        Flow::Close(close) => Verdict::Close(close),
        Flow::Service(service) => Verdict::Service(service),
        Flow::Reply(answer) => match answer.content {
            Content::ErrorPage => page(&answer, None, &[]),
            Content::ErrorPageWith(fields) => page(&answer, None, fields),
            Content::SectionPage(name) => page(&answer, Some(name), &[]),
            Content::Made { .. } | Content::Stored(_) => {
                Verdict::Answer(make(&answer), answer.cause)
            }
        },
    };
    drop(bump);
    s.thread.bump.borrow_mut().reset();
    after_rules(s, x, back);
    match wanted {
        None => verdict,
        Some(wanted) => Verdict::Answer(wanted.make(s, x, back), wanted.cause),
    }
}

/// Acts on what rules asked for beside their verdict.
fn after_rules(s: &Session, x: &mut Exchange, back: Option<&Back>) {
    let set = &x.overrides;
    if let Some(mark) = set.client_mark.take() {
        s.with_socket(|socket| sockopt::set_mark(&socket, mark));
    }
    if let Some(tos) = set.client_tos.take() {
        s.with_socket(|socket| sockopt::set_tos(&socket, tos));
    }
    if !x.effects.limits.is_empty() {
        bandwidth::enable(s, x, back);
    }
}

/// The `tcp-response content` rules of a backend, and how long they wait: those of a `listen` section are with its
/// frontend side.
pub(super) fn tcp_response<'a>(
    front: &'a Front,
    back: &'a Back,
) -> (&'a RuleSet, Option<Duration>) {
    match back.tcp_response.is_empty() && back.backend.name == front.frontend.name {
        true => (&front.tcp_response, front.response_delay),
        false => (&back.tcp_response, back.response_delay),
    }
}

/// Runs `tcp-response content` rules on what the server sent so far; [`on_content`] for the other side.
pub(super) fn on_server_content(
    s: &Session,
    x: &mut Exchange,
    back: &Back,
    rules: &RuleSet,
    at: &mut usize,
    data: (&[u8], bool),
) -> Option<Verdict> {
    let bump = s.thread.bump.borrow();
    let logger = logger(s, x);
    let mut base = s.context(&bump);
    base.logger = logger.as_ref().map(|logger| logger as _);
    base.complete = data.1;
    base.backend = Some(&back.backend);
    base.server = x.record.server.as_deref();
    base.server_connection = x.record.server_connection.as_deref();
    base.server_link = x.record.server_link.as_deref();
    base.server_socket = x.server.as_ref().map(|attached| attached as _);
    base.http = x.record.request_read;
    base.res_data = Some(data.0);
    base.vars = Some(&x.vars);
    base.captured = Some(&x.captured);
    base.last_rule = Some(&x.last_rule);
    base.waiting_rule = Some(&x.waiting_rule);
    base.overrides = Some(&x.overrides);
    let moved =
        [x.to_server.received, x.to_server.forwarded, x.to_client.received, x.to_client.forwarded];
    let so_far = View::new(s, &x.record, x.number, x.unique_id.as_deref(), moved);
    base.stream = Some(&so_far);
    base.tracked = Some(&x.tracked);
    let mut env = RuleEnv { base, request: None, response: None, effects: &mut x.effects };
    let verdict = match rules.run_from(at, &mut env) {
        Flow::Wait if !data.1 => None,
        Flow::Close(close) => Some(Verdict::Close(close)),
        // No action of these rule sets answers or pauses.
        _ => Some(Verdict::Go),
    };
    drop(bump);
    s.thread.bump.borrow_mut().reset();
    after_rules(s, x, Some(back));
    verdict
}

/// Runs `tcp-request content` rules on what the client sent so far. `None` waits for more, which
/// happens only while there may be more (not `complete`).
pub(super) fn on_content(
    s: &Session,
    x: &mut Exchange,
    back: Option<&Back>,
    rules: &RuleSet,
    at: &mut usize,
    complete: bool,
) -> Option<Verdict> {
    sniff(s, x);
    let bump = s.thread.bump.borrow();
    let logger = logger(s, x);
    let mut base = s.context(&bump);
    base.logger = logger.as_ref().map(|logger| logger as _);
    base.complete = complete;
    base.backend = back.map(|b| &*b.backend);
    base.req_data = Some(s.client.input.data());
    base.request = x.sniffed.then_some(&x.request);
    base.vars = Some(&x.vars);
    base.captured = Some(&x.captured);
    base.last_rule = Some(&x.last_rule);
    base.waiting_rule = Some(&x.waiting_rule);
    base.overrides = Some(&x.overrides);
    let moved =
        [x.to_server.received, x.to_server.forwarded, x.to_client.received, x.to_client.forwarded];
    let so_far = View::new(s, &x.record, x.number, x.unique_id.as_deref(), moved);
    base.stream = Some(&so_far);
    base.tracked = Some(&x.tracked);
    let mut env = RuleEnv { base, request: None, response: None, effects: &mut x.effects };
    let verdict = match rules.run_from(at, &mut env) {
        Flow::Wait if !complete => None,
        Flow::Resolve(wanted) => Some(Verdict::Resolve(Resolving::new(&wanted))),
        Flow::Close(close) => Some(Verdict::Close(close)),
        // No action of these rule sets answers.
        Flow::Next
        | Flow::Stop
        | Flow::Wait
        | Flow::Reply(_)
        | Flow::Service(_)
        | Flow::Body { .. }
        | Flow::Handshake
        | Flow::Pause { .. } => Some(Verdict::Go),
    };
    drop(bump);
    s.thread.bump.borrow_mut().reset();
    after_rules(s, x, back);
    verdict
}

/// Makes the head of a request visible to rules in mode tcp (configuration manual, 7.3.6).
fn sniff(s: &Session, x: &mut Exchange) {
    if x.sniffed {
        return;
    }
    let data = s.client.input.data();
    // Nothing else begins like a method.
    if data.first().is_some_and(u8::is_ascii_uppercase) {
        let parsed = h1::parse_request(data, &s.thread.env.limits, &mut x.request);
        x.sniffed = matches!(parsed, Ok(Progress::Complete { .. }));
        if !x.sniffed {
            x.request.clear();
        }
    }
}

/// The head of the request, or what was received in place of one.
pub(super) fn show_request<'a>(s: &'a Session, x: &'a Exchange, cx: &mut EvalCtx<'a>) {
    if x.record.request_read {
        cx.request = Some(&x.request);
        cx.req_data = x.peeked(s.client.input.data());
    } else {
        cx.request = x.sniffed.then_some(&x.request);
        cx.req_data = Some(s.client.input.data());
    }
}

/// The backend that `use_backend` rules choose, or the default one. Backends that are not open are passed over, unless
/// `force-be-switch` says otherwise; in place of such a default one a `listen` section goes on itself.
pub(super) fn choose_backend(s: &Session, x: &Exchange) -> Option<Arc<Back>> {
    let front = &s.front;
    let is_own = |back: &Arc<Back>| front.listen.as_ref().is_some_and(|l| Arc::ptr_eq(l, back));
    let default = front.default_backend.as_ref();
    let default_is_open = default.is_none_or(|back| back.backend.is_open() || is_own(back));
    if front.use_backend.is_empty() && (default_is_open || front.force_switch.is_empty()) {
        return default.filter(|_| default_is_open).or(front.listen.as_ref()).cloned();
    }
    let bump = s.thread.bump.borrow();
    let mut cx = s.context(&bump);
    show_request(s, x, &mut cx);
    cx.http = x.record.request_read;
    cx.vars = Some(&x.vars);
    cx.tracked = Some(&x.tracked);
    let forced =
        || front.force_switch.iter().any(|condition| condition.eval(&cx) == acl::Verdict::True);
    let chosen = front.use_backend.choose(&cx, |name| match s.thread.env.backends.get(name) {
        None => Found::Nothing,
        Some(back) if back.backend.is_open() || is_own(&back) || forced() => Found::Usable(back),
        Some(_) => Found::Unusable,
    });
    let chosen = chosen
        .or_else(|| default.filter(|_| default_is_open || forced()).cloned())
        .or_else(|| front.listen.clone());
    drop(bump);
    s.thread.bump.borrow_mut().reset();
    chosen
}

/// Calls `then` with what conditions on the request see.
pub(super) fn with_context<T>(
    s: &Session,
    x: &Exchange,
    back: Option<&Back>,
    then: impl for<'a> FnOnce(&EvalCtx<'a>) -> T,
) -> T {
    let bump = s.thread.bump.borrow();
    let mut cx = s.context(&bump);
    cx.backend = back.or(s.front.listen.as_deref()).map(|back| &*back.backend);
    show_request(s, x, &mut cx);
    cx.overrides = Some(&x.overrides);
    cx.vars = Some(&x.vars);
    cx.tracked = Some(&x.tracked);
    let value = then(&cx);
    drop(bump);
    s.thread.bump.borrow_mut().reset();
    value
}

/// Calls `then` with what rules on the response see.
pub(super) fn with_response<T>(
    s: &Session,
    x: &Exchange,
    back: &Back,
    then: impl for<'a> FnOnce(&EvalCtx<'a>) -> T,
) -> T {
    with_context(s, x, Some(back), |cx| {
        let mut cx = *cx;
        cx.server = x.record.server.as_deref();
        cx.server_connection = x.record.server_connection.as_deref();
        cx.server_link = x.record.server_link.as_deref();
        cx.response = x.record.response_done.map(|_| &x.response);
        then(&cx)
    })
}

/// Calls `then` with what the backend's algorithm hashes of this request; `None` when it has no such thing.
pub(crate) fn with_balance_key<T>(
    s: &Session,
    x: &Exchange,
    back: &Back,
    then: impl FnOnce(Option<&[u8]>) -> T,
) -> T {
    match &back.balance_key {
        None => then(None),
        Some(BalanceKey::Uri { len, depth, whole, path_only }) => {
            let read = x.record.request_read;
            then(read.then(|| key::uri(x.request.target(), *len, *depth, *whole, *path_only)))
        }
        Some(BalanceKey::Value { of, domain_only }) => {
            let bump = s.thread.bump.borrow();
            let mut cx = s.context(&bump);
            cx.backend = Some(&back.backend);
            show_request(s, x, &mut cx);
            cx.vars = Some(&x.vars);
            cx.tracked = Some(&x.tracked);
            let value = of.eval_str(&cx).filter(|value| !value.is_empty());
            let value = if *domain_only { value.map(key::main_domain) } else { value };
            let chosen = then(value);
            drop(bump);
            s.thread.bump.borrow_mut().reset();
            chosen
        }
    }
}

/// Renders `unique-id-format` and sends it along.
pub(super) fn unique_id(s: &Session, x: &mut Exchange) {
    let Some((format, header)) = &s.front.unique_id else { return };
    let bump = s.thread.bump.borrow();
    let mut cx = s.context(&bump);
    let facts = proxy_rules::logformat::LogFacts {
        accepted: s.facts.accepted,
        request: s.thread.date(),
        stream_number: x.number,
        ..proxy_rules::logformat::LogFacts::NONE
    };
    show_request(s, x, &mut cx);
    cx.vars = Some(&x.vars);
    cx.tracked = Some(&x.tracked);
    cx.facts = Some(&facts);
    let id = format.render(&cx).to_vec();
    drop(bump);
    s.thread.bump.borrow_mut().reset();
    if let Some(name) = header.as_ref().filter(|_| x.record.request_read) {
        x.request.headers_mut().append(name.as_bytes(), &id);
    }
    x.unique_id = Some(id);
}

/// The error page for `status`: the backend's, the frontend's, or the built-in one.
pub(super) fn error_page(s: &Session, x: &mut Exchange, back: Option<&Back>, status: u16) -> Reply {
    let own = back.and_then(|b| b.replies.get(status));
    let made = match own.or_else(|| s.front.replies.get(status)) {
        Some(ErrorReply::Stored(reply)) => return Reply::clone(reply),
        Some(ErrorReply::Made(rules)) if x.record.request_read => {
            run(s, x, back, rules, &mut 0, None)
        }
        Some(ErrorReply::Made(_)) | None => Verdict::Go,
    };
    match made {
        Verdict::Answer(reply, _) => reply,
        _ => reply::builtin(status),
    }
}

/// The page of an `http-errors` section, or else that of the proxy.
fn section_page(
    s: &Session,
    x: &mut Exchange,
    back: Option<&Back>,
    section: &str,
    status: u16,
) -> Reply {
    match s.thread.env.http_errors.get(section).and_then(|pages| pages.get(status)) {
        Some(ErrorReply::Stored(reply)) => Reply::clone(reply),
        Some(ErrorReply::Made(_)) | None => error_page(s, x, back, status),
    }
}

/// Whether a rule of a set that decides by its conditions alone, such as `monitor fail`, applies.
pub(super) fn holds(s: &Session, x: &mut Exchange, rules: &RuleSet) -> bool {
    !matches!(on_request(s, x, None, rules), Verdict::Go)
}

/// An error page that a rule asks for.
struct Page {
    status: u16,
    cause: Cause,
    /// The `http-errors` section it is of.
    section: Option<Box<str>>,
    /// Header fields in place of any of their names.
    fields: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Page {
    fn make(&self, s: &Session, x: &mut Exchange, back: Option<&Back>) -> Reply {
        let reply = match &self.section {
            Some(section) => section_page(s, x, back, section, self.status),
            None => error_page(s, x, back, self.status),
        };
        if self.fields.is_empty() {
            return reply;
        }
        let mut head = reply.head().clone();
        for (name, value) in &self.fields {
            head.headers_mut().set(name, value);
        }
        Reply::made(head, reply.body().to_vec())
    }
}

/// The answer that a rule asks for.
fn make(answer: &RuleReply<'_>) -> Reply {
    match answer.content {
        Content::ErrorPage | Content::ErrorPageWith(_) | Content::SectionPage(_) => {
            reply::builtin(answer.status)
        }
        Content::Made { headers, body } => {
            let mut head = ResponseHead::default();
            head.start(answer.status, BodyLen::None);
            for (name, value) in headers {
                head.headers_mut().append(name, value);
            }
            Reply::made(head, body.to_vec())
        }
        Content::Stored(text) => {
            Reply::parse(text, answer.status).unwrap_or_else(|_| reply::builtin(answer.status))
        }
    }
}

/// Takes the values that the log will show: the last of each field.
pub(super) fn capture(
    into: &RefCell<Vec<Option<Vec<u8>>>>,
    slots: &[CaptureSlot],
    headers: &HeaderList,
) {
    if slots.is_empty() {
        return;
    }
    let mut into = into.borrow_mut();
    into.clear();
    into.extend(slots.iter().map(|slot| {
        let value = headers.get_all(slot.header.as_deref()?.as_bytes()).next_back()?;
        Some(value[..value.len().min(slot.len)].to_vec())
    }));
}

/// `capture cookie`: the first cookie in the fields `name` whose own name starts so, with its value.
pub(super) fn capture_cookie(
    slot: Option<&CaptureSlot>,
    name: &[u8],
    headers: &HeaderList,
) -> Option<Vec<u8>> {
    let slot = slot?;
    let wanted = slot.header.as_deref()?.as_bytes();
    // A Set-Cookie field has one cookie, and its attributes behind it.
    let parts = if name == b"cookie" { usize::MAX } else { 1 };
    let found = headers.get_all(name).find_map(|value| {
        let pairs = value.split(|b| *b == b';').take(parts).map(proxy_http::value::trim);
        pairs.into_iter().find(|pair| pair.starts_with(wanted))
    })?;
    Some(found[..found.len().min(slot.len)].to_vec())
}

/// Changes whenever a field is added, removed or replaced.
fn fingerprint(headers: &HeaderList) -> (usize, usize) {
    (headers.len(), headers.buffered())
}

/// Rules cannot change how the body ends: its fields are put back to what was received.
fn keep_request_framing(head: &mut RequestHead, body: BodyLen) {
    let headers = head.headers_mut();
    match body {
        BodyLen::None | BodyLen::UntilClose => {
            headers.remove(b"transfer-encoding");
            if headers.get_all(b"content-length").any(|v| v != b"0") {
                headers.remove(b"content-length");
            }
        }
        BodyLen::Length(_) | BodyLen::Chunked => keep_body_fields(headers, body),
    }
}

fn keep_response_framing(head: &mut ResponseHead, body: BodyLen) {
    let headers = head.headers_mut();
    match body {
        // What a HEAD or 304 answer says about length describes a body that is not sent.
        BodyLen::None => {}
        BodyLen::UntilClose => {
            headers.remove(b"content-length");
            headers.remove(b"transfer-encoding");
        }
        BodyLen::Length(_) | BodyLen::Chunked => keep_body_fields(headers, body),
    }
}

fn keep_body_fields(headers: &mut HeaderList, body: BodyLen) {
    match body {
        BodyLen::Length(n) => {
            headers.remove(b"transfer-encoding");
            let text = n.to_string();
            let mut fields = headers.get_all(b"content-length");
            let right = fields.next() == Some(text.as_bytes()) && fields.next().is_none();
            drop(fields);
            if !right {
                headers.set(b"content-length", text.as_bytes());
            }
        }
        _ => {
            headers.remove(b"content-length");
            let mut fields = headers.get_all(b"transfer-encoding");
            let right = fields.next().is_some_and(|v| v.eq_ignore_ascii_case(b"chunked"))
                && fields.next().is_none();
            drop(fields);
            if !right {
                headers.set(b"transfer-encoding", b"chunked");
            }
        }
    }
}

/// When a tarpitted request is let go.
pub(super) fn tarpit_end(
    s: &Session,
    x: &Exchange,
    back: Option<&Back>,
    now: Tick,
) -> Option<Tick> {
    let timeouts = back.map_or(&s.front.frontend.timeouts, |b| &b.backend.timeouts);
    let set = x.overrides.timeouts.get().tarpit;
    set.map(|ms| Duration::from_millis(u64::from(ms)))
        .or_else(|| timeouts.tarpit())
        .or_else(|| s.front.frontend.timeouts.tarpit())
        .map(|d| now + d)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proxy_http::Method;
    use proxy_http::h1::{Limits, parse_request, parse_response, write_request};

    #[track_caller]
    fn request(fields: &str, edit: impl Fn(&mut HeaderList), expected: &str) {
        let mut head = RequestHead::default();
        let text = format!("POST / HTTP/1.1\r\n{fields}\r\n");
        parse_request(text.as_bytes(), &Limits::default(), &mut head).unwrap();
        let (before, body) = (fingerprint(head.headers()), head.body());
        edit(head.headers_mut());
        assert_ne!(fingerprint(head.headers()), before);
        keep_request_framing(&mut head, body);
        let mut out = Vec::new();
        write_request(&head, &mut out);
        let out = String::from_utf8(out).unwrap();
        assert_eq!(out, format!("POST / HTTP/1.1\r\n{expected}\r\n"));
    }

    #[test]
    fn rules_cannot_change_the_framing() {
        let (two, chunked) = ("Content-Length: 2\r\n", "Transfer-Encoding: chunked\r\n");
        request(two, |h| h.append(b"a", b"b"), "Content-Length: 2\r\na: b\r\n");
        request(two, |h| assert_eq!(h.remove(b"content-length"), 1), "content-length: 2\r\n");
        request(two, |h| h.set(b"content-length", b"3"), "content-length: 2\r\n");
        request(two, |h| h.append(b"transfer-encoding", b"chunked"), two);
        request(chunked, |h| h.append(b"content-length", b"0"), chunked);
        request(
            chunked,
            |h| assert_eq!(h.remove(b"transfer-encoding"), 1),
            "transfer-encoding: chunked\r\n",
        );
        request("", |h| h.append(b"content-length", b"5"), "");
        request("", |h| h.append(b"transfer-encoding", b"chunked"), "");
    }

    #[test]
    fn head_answers_keep_their_length() {
        let mut head = ResponseHead::default();
        let text = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n";
        parse_response(text, &Limits::default(), Method::Head, &mut head).unwrap();
        head.headers_mut().append(b"a", b"b");
        let body = head.body();
        keep_response_framing(&mut head, body);
        assert_eq!(head.headers().get(b"content-length"), Some(&b"9"[..]));
    }
}
