//! A health check by script: `http-check` and `tcp-check` rules carried out on connections.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::task::Poll;
use std::time::Duration;

use bumpalo::Bump;
use proxy_http::h1::{ChunkDecoder, Keep, Limits, Progress, parse_request, parse_response};
use proxy_http::{BodyLen, Method, RequestHead, ResponseHead};
use proxy_net::clock::{self, Tick};
use proxy_net::timer;
use proxy_rules::check::protocol::Reply;
use proxy_rules::check::{
    Act, Answer, Connect, Expect, Kind, Proto, Script, Status, Step, Verdict,
};
use proxy_rules::logformat::LogFacts;
use proxy_rules::sample::EvalCtx;
use proxy_rules::sample::context::Clock;
use proxy_rules::vars::Vars;
use proxy_state::options;
use proxy_state::server::{CheckResult, CheckSpec, CheckStatus, Server};
use proxy_state::{Backend, Now};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::probe::{self, Failed};
use crate::env::{self, Env};
use crate::io::{Conn, Io};
use crate::mux::h2;

/// Bytes of one read.
const READ: usize = 4096;

/// What a check is about.
pub(super) struct Subject<'a> {
    pub(super) env: &'a Env,
    pub(super) backend: &'a Backend,
    pub(super) server: &'a Server,
    pub(super) spec: &'a CheckSpec,
    pub(super) script: Option<&'a Script>,
    pub(super) connect_limit: Duration,
    /// How long the rest may take once connected; `None` is what is left of `total_limit`.
    pub(super) check_limit: Option<Duration>,
    /// How long the whole check may take.
    pub(super) total_limit: Duration,
    pub(super) now: Now,
}

impl Subject<'_> {
    /// Calls `then` with what expressions see outside of a script.
    pub(super) fn with_cx<T>(&self, then: impl for<'a> FnOnce(&EvalCtx<'a>) -> T) -> T {
        let bump = Bump::new();
        let clock = Clock { now: self.now, date: env::date(), utc_offset: self.env.utc_offset };
        let random = Cell::new(1);
        let mut cx = EvalCtx::new(&bump, &self.env.shared, clock, &random);
        cx.backend = Some(self.backend);
        cx.server = Some(self.server);
        then(&cx)
    }
}

/// A check under way.
struct Talk<'a> {
    subject: &'a Subject<'a>,
    script: &'a Script,
    vars: Vars,
    random: Cell<u64>,
    line: Option<Line>,
    linger: bool,
    over_tls: bool,
    /// Bytes received since the last thing that was sent.
    received: Vec<u8>,
    eof: bool,
    head: ResponseHead,
    /// Where the body begins in `received`, once the head is complete.
    body_at: Option<usize>,
    /// The unique id of this check.
    unique_id: Option<Vec<u8>>,
    deadline: Tick,
}

/// What a check talks on.
enum Line {
    Bytes(Box<dyn Io>),
    /// HTTP/2, each request on a stream of its own.
    H2 {
        dialed: h2::Dialed,
        stream: Option<Conn>,
    },
}

/// Sends the request that `bytes` would be in HTTP/1 on a stream.
async fn request(dialed: &h2::Dialed, bytes: &[u8]) -> io::Result<Conn> {
    let mut head = RequestHead::default();
    let wrong = || io::Error::from(io::ErrorKind::InvalidInput);
    let limits = Limits { relaxed: true, ..Limits::default() };
    // Whatever version the rule names: it does not travel.
    let end = bytes.windows(2).position(|end| end == b"\r\n").ok_or_else(wrong)?;
    let version = bytes[..end].iter().rposition(|b| *b == b' ').ok_or_else(wrong)?;
    let text = [&bytes[..version], b" HTTP/1.1", &bytes[end..]].concat();
    let Ok(Progress::Complete { consumed }) = parse_request(&text, &limits, &mut head) else {
        return Err(wrong());
    };
    let mut body = &text[consumed..];
    let mut stream = dialed.open()?;
    stream.framed()?.send_request(&head, body.is_empty())?;
    while !body.is_empty() {
        let sent = poll_fn(|cx| match stream.framed() {
            Ok(framed) => framed.poll_send(cx, body, true),
            Err(error) => Poll::Ready(Err(error)),
        });
        body = body.get(sent.await?..).ok_or_else(wrong)?;
    }
    Ok(stream)
}

/// Why a check ended before its last rule.
struct End {
    status: CheckStatus,
    code: Option<u32>,
    info: String,
}

impl End {
    fn new(status: CheckStatus, info: impl Into<String>) -> Self {
        Self { status, code: None, info: info.into() }
    }
}

/// Carries the script out.
pub(super) async fn run(subject: &Subject<'_>, script: &Script) -> CheckResult {
    let started = clock::precise();
    let mut talk = Talk {
        subject,
        script,
        vars: Vars::default(),
        random: Cell::new(started.as_millis() | 1),
        line: None,
        linger: false,
        over_tls: false,
        received: Vec::new(),
        eof: false,
        head: ResponseHead::default(),
        body_at: None,
        unique_id: script
            .unique_id
            .as_ref()
            .map(|format| subject.with_cx(|cx| format.render(cx).to_vec())),
        deadline: started + subject.total_limit,
    };
    let end = match talk.steps().await {
        Ok(end) | Err(end) => end,
    };
    talk.close();
    let duration = clock::precise().since(started).as_millis();
    CheckResult {
        status: end.status,
        code: end.code,
        duration_ms: u64::try_from(duration).unwrap_or(u64::MAX),
        info: end.info,
    }
}

impl Talk<'_> {
    /// Runs all rules; what the last one found.
    async fn steps(&mut self) -> Result<End, End> {
        let script = self.script;
        let first = script.steps.iter().find(|s| !matches!(s.act, Act::Set(_) | Act::Unset(_)));
        if !first.is_some_and(|step| matches!(step.act, Act::Connect(_))) {
            let by_server = Connect { by_server: true, ..Connect::default() };
            self.connect(&by_server, None).await?;
        }
        let mut last = self.connected();
        for step in &script.steps {
            match &step.act {
                Act::Set(set) => self.with_cx(|cx| set.run(cx)),
                Act::Unset(var) => self.with_cx(|cx| cx.unset_var(*var)),
                Act::Connect(connect) => {
                    self.connect(connect, Some(step)).await?;
                    last = self.connected();
                }
                Act::Send(send) => {
                    let state = script.send_state.then(|| self.server_state());
                    let bytes = self.with_cx(|cx| send.bytes(cx, state.as_deref()));
                    self.send(&bytes.unwrap_or_default(), step).await?;
                }
                Act::Expect(expect) => last = self.expect(expect, step).await?,
                Act::Reply(reply) => {
                    let mut end = self.reply(*reply, step).await?;
                    // What the greeting said is told at the end, when nothing better is.
                    if end.info.is_empty() {
                        end.info = last.info;
                    }
                    last = end;
                }
            }
        }
        Ok(last)
    }

    /// Whether the check says the first word on a connection of this rule, or none at all.
    fn speaks(&self, connect: Option<&Step>) -> bool {
        let steps = &self.script.steps;
        let own = connect.and_then(|own| steps.iter().position(|step| std::ptr::eq(step, own)));
        let next = steps[own.map_or(0, |own| own + 1)..]
            .iter()
            .find(|step| !matches!(step.act, Act::Set(_) | Act::Unset(_)));
        !next.is_some_and(|step| matches!(step.act, Act::Expect(_) | Act::Reply(_)))
    }

    /// What a connection alone is worth.
    fn connected(&self) -> End {
        let status = if self.over_tls { CheckStatus::L6Ok } else { CheckStatus::L4Ok };
        End::new(status, if self.script.kind == Kind::Tcp { "(tcp-check)" } else { "" })
    }

    async fn connect(&mut self, connect: &Connect, step: Option<&Step>) -> Result<(), End> {
        self.close();
        let subject = self.subject;
        let mut spec = subject.spec.clone();
        if let Some(port) = &connect.port {
            spec.port = self.with_cx(|cx| port.eval(cx)).or(spec.port);
        }
        spec.addr = connect.addr.or(spec.addr);
        // Each connection has its time.
        self.deadline = clock::precise() + subject.total_limit;
        let limit = subject.connect_limit.min(self.left());
        let opened = probe::open(subject, &spec, connect, limit, self.speaks(step)).await;
        match opened {
            Ok((io, over_tls)) => {
                let forced = match connect.proto {
                    Some(proto) => Some(proto == Proto::H2),
                    None if connect.by_server => {
                        let own = subject.spec.proto.or(subject.server.spec.proto);
                        own.map(|proto| proto == options::Proto::H2)
                    }
                    None => None,
                };
                let h2 = forced.unwrap_or_else(|| io.alpn() == Some(b"h2"));
                self.line = Some(if h2 && self.script.kind == Kind::Http {
                    let env = subject.env;
                    let max = (env.limits.max_head, env.limits.max_headers);
                    let dialed = h2::dial(Conn::new(io), &env.h2, max, None, &subject.backend.mux);
                    Line::H2 { dialed, stream: None }
                } else {
                    Line::Bytes(io)
                });
                self.over_tls = over_tls;
                self.linger = connect.linger;
                if let Some(limit) = subject.check_limit {
                    self.deadline = clock::precise() + limit;
                }
                Ok(())
            }
            Err(Failed { status, info }) => {
                Err(End::new(status, format!("{info}{}", self.place(connect, step))))
            }
        }
    }

    /// Which connection of a `tcp-check` script failed.
    fn place(&self, connect: &Connect, step: Option<&Step>) -> String {
        if self.script.kind == Kind::Http {
            return String::new();
        }
        let Some(step) = step else {
            return " at initial connection step of tcp-check".to_owned();
        };
        let what = match &connect.port {
            Some(port) => match self.with_cx(|cx| port.eval(cx)) {
                Some(port) => format!("connect port {port}"),
                None => "connect".to_owned(),
            },
            None => "connect".to_owned(),
        };
        at_step(step, &what)
    }

    async fn send(&mut self, bytes: &[u8], step: &Step) -> Result<(), End> {
        self.received.clear();
        self.body_at = None;
        let left = self.left();
        let Some(line) = &mut self.line else {
            return Err(End::new(CheckStatus::L7Response, ""));
        };
        let sent = timer::timeout(Some(left), async {
            match line {
                Line::Bytes(io) => {
                    io.write_all(bytes).await?;
                    io.flush().await
                }
                Line::H2 { dialed, stream } => {
                    *stream = Some(request(dialed, bytes).await?);
                    Ok(())
                }
            }
        });
        match sent.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(End::new(CheckStatus::L4Connection, probe::words_of(&error))),
            Err(_) if self.script.kind == Kind::Tcp => {
                Err(End::new(CheckStatus::L7Timeout, at_step(step, "send")))
            }
            Err(_) => Err(End::new(CheckStatus::L7Timeout, "")),
        }
    }

    async fn expect(&mut self, expect: &Expect, step: &Step) -> Result<End, End> {
        loop {
            if let Some(end) = self.judge(expect, step) {
                return end;
            }
            self.receive(expect.timeout(), || expect.describe(), step).await?;
        }
    }

    async fn reply(&mut self, reply: Reply, step: &Step) -> Result<End, End> {
        loop {
            let complete = self.eof || self.received.len() >= self.bufsize();
            match reply.judge(&self.received, complete, step.number) {
                Verdict::Wait => {}
                Verdict::Passed { status, code, info } => {
                    return Ok(End { status: meaning(status), code, info });
                }
                Verdict::Failed { status, code, info } => {
                    return Err(End { status: meaning(status), code, info });
                }
            }
            self.receive(reply.timeout(), || "expect".to_owned(), step).await?;
        }
    }

    /// What the answer so far is worth; `None` while more of it is needed.
    fn judge(&mut self, expect: &Expect, step: &Step) -> Option<Result<End, End>> {
        let full = self.received.len() >= self.bufsize();
        let verdict = match self.script.kind {
            Kind::Tcp => {
                let answer = Answer { data: &self.received, complete: self.eof || full };
                self.with_cx(|cx| expect.judge(cx, answer, step.number, step.comment.as_deref()))
            }
            Kind::Http => {
                match self.parse_head() {
                    Ok(true) => {}
                    Ok(false) if self.eof || full => {
                        return Some(Err(End::new(CheckStatus::L7Response, "")));
                    }
                    Ok(false) => return None,
                    Err(end) => return Some(Err(end)),
                }
                if self.script.disable_on_404 && self.head.status() == 404 {
                    let status = CheckStatus::L7OkConditional;
                    return Some(Ok(End { status, code: Some(404), info: String::new() }));
                }
                let (body, complete) = self.body();
                let answer = Answer { data: &body, complete: complete || self.eof || full };
                self.with_cx(|cx| expect.judge(cx, answer, step.number, step.comment.as_deref()))
            }
        };
        match verdict {
            Verdict::Wait => None,
            Verdict::Passed { status, code, info } => {
                Some(Ok(End { status: meaning(status), code, info }))
            }
            Verdict::Failed { status, code, info } => {
                Some(Err(End { status: meaning(status), code, info }))
            }
        }
    }

    async fn receive(
        &mut self,
        timeout: Status,
        what: impl FnOnce() -> String,
        step: &Step,
    ) -> Result<(), End> {
        let left = self.left();
        let mut buffer = [0; READ];
        let received = match &mut self.line {
            Some(Line::Bytes(io)) => timer::timeout(Some(left), io.read(&mut buffer)).await,
            Some(Line::H2 { stream: Some(stream), .. }) if self.body_at.is_none() => {
                let head = &mut self.head;
                let heading = poll_fn(|cx| match stream.framed() {
                    Ok(framed) => framed.poll_response(cx, Method::Get, head),
                    Err(error) => Poll::Ready(Err(error)),
                });
                match timer::timeout(Some(left), heading).await {
                    Ok(Ok(())) => {
                        if self.head.status() >= 200 {
                            self.body_at = Some(0);
                        }
                        return Ok(());
                    }
                    Ok(Err(error)) => Ok(Err(error)),
                    Err(timeout) => Err(timeout),
                }
            }
            Some(Line::H2 { stream: Some(stream), .. }) => {
                let reading = poll_fn(|cx| stream.poll_read(cx, &mut buffer));
                timer::timeout(Some(left), reading).await
            }
            Some(Line::H2 { stream: None, .. }) | None => {
                return Err(End::new(CheckStatus::L7Response, ""));
            }
        };
        match received {
            Ok(Ok(0)) => self.eof = true,
            Ok(Ok(count)) => self.received.extend_from_slice(&buffer[..count]),
            // A server that resets behind its answer has answered; one that only resets gave none.
            Ok(Err(_)) => self.eof = true,
            Err(_) => {
                let info = match self.script.kind {
                    Kind::Http => String::new(),
                    Kind::Tcp => at_step(step, &what()),
                };
                return Err(End::new(meaning(timeout), info));
            }
        }
        Ok(())
    }

    /// Whether the head of the answer is complete.
    fn parse_head(&mut self) -> Result<bool, End> {
        if matches!(self.line, Some(Line::H2 { .. })) {
            return Ok(self.body_at.is_some());
        }
        while self.body_at.is_none() {
            let limits = Limits { relaxed: true, ..self.subject.env.limits };
            match parse_response(&self.received, &limits, Method::Get, &mut self.head) {
                Ok(Progress::Incomplete) => return Ok(false),
                Ok(Progress::Complete { consumed }) if (100..200).contains(&self.head.status()) => {
                    self.received.drain(..consumed);
                }
                Ok(Progress::Complete { consumed }) => self.body_at = Some(consumed),
                Err(_) => return Err(End::new(CheckStatus::L7Response, "")),
            }
        }
        Ok(true)
    }

    /// The body so far, and whether it is whole.
    fn body(&self) -> (Vec<u8>, bool) {
        let raw = &self.received[self.body_at.unwrap_or(self.received.len())..];
        if matches!(self.line, Some(Line::H2 { .. })) {
            return (raw.to_vec(), self.eof || self.head.body() == BodyLen::None);
        }
        match self.head.body() {
            BodyLen::None => (Vec::new(), true),
            BodyLen::Length(length) => {
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                (raw[..raw.len().min(length)].to_vec(), raw.len() >= length)
            }
            BodyLen::Chunked => {
                let mut payload = raw.to_vec();
                match ChunkDecoder::default().filter(&mut payload, Keep::Payload) {
                    Ok(filtered) => {
                        payload.truncate(filtered.produced);
                        (payload, filtered.done)
                    }
                    Err(_) => (Vec::new(), true),
                }
            }
            BodyLen::UntilClose => (raw.to_vec(), self.eof),
        }
    }

    fn bufsize(&self) -> usize {
        self.subject.env.shared.bufsize
    }

    fn left(&self) -> Duration {
        self.deadline.since(clock::precise()).max(Duration::from_millis(1))
    }

    /// Ends the connection, by a reset unless asked otherwise: checks leave no TIME_WAIT behind.
    fn close(&mut self) {
        if let Some(Line::Bytes(io)) = self.line.take()
            && !self.linger
            && let Some(socket) = io.transport()
        {
            socket.set_reset_on_close();
        }
        self.received.clear();
        self.eof = false;
        self.body_at = None;
    }

    fn with_cx<T>(&self, then: impl for<'a> FnOnce(&EvalCtx<'a>) -> T) -> T {
        let subject = self.subject;
        let bump = Bump::new();
        let utc_offset = subject.env.utc_offset;
        let clock = Clock { now: subject.now, date: env::date(), utc_offset };
        let mut cx = EvalCtx::new(&bump, &subject.env.shared, clock, &self.random);
        cx.complete = self.eof;
        cx.backend = Some(subject.backend);
        cx.server = Some(subject.server);
        cx.response = self.body_at.is_some().then_some(&self.head);
        cx.res_data = Some(match self.body_at {
            Some(at) => &self.received[at..],
            None => &self.received,
        });
        cx.check_vars = Some(&self.vars);
        let facts = LogFacts { unique_id: self.unique_id.as_deref(), ..LogFacts::NONE };
        cx.facts = self.unique_id.is_some().then_some(&facts);
        then(&cx)
    }

    /// The value of the header of `http-check send-state`.
    fn server_state(&self) -> String {
        let Subject { env, backend, server, now, .. } = self.subject;
        let state = server.state(*now);
        let word = match (state.health.is_up(), server.op_state()) {
            (_, proxy_state::server::OpState::Stopping) => "NOLB",
            (true, _) => "UP",
            (false, _) => "DOWN",
        };
        let progress =
            state.health.progress().map(|(done, of)| format!(" {done}/{of}")).unwrap_or_default();
        let addr = server.addr();
        let (address, port) = match addr.inet() {
            Some(inet) => (inet.ip().to_string(), inet.port().to_string()),
            None => ("unix".to_owned(), "unix".to_owned()),
        };
        let all = backend.servers();
        let sessions: u32 = all.iter().map(|s| s.sessions.get()).sum();
        format!(
            "{word}{progress}; address={address}; port={port}; name={}/{}; node={}; \
             weight={}/{}; scur={}/{sessions}; qcur={}",
            backend.name,
            server.name,
            env.shared.node,
            server.weight(),
            backend.farm().weight,
            server.sessions.get(),
            server.queued.get(),
        )
    }
}

/// ` at step 2 of tcp-check (connect port 1) comment: 'text'`
fn at_step(step: &Step, what: &str) -> String {
    let mut text = format!(" at step {} of tcp-check ({what})", step.number);
    if let Some(comment) = &step.comment {
        text.push_str(" comment: '");
        text.push_str(comment);
        text.push('\'');
    }
    text
}

fn meaning(status: Status) -> CheckStatus {
    match status {
        Status::L4Ok => CheckStatus::L4Ok,
        Status::L4Connection => CheckStatus::L4Connection,
        Status::L4Timeout => CheckStatus::L4Timeout,
        Status::L6Ok => CheckStatus::L6Ok,
        Status::L6Response => CheckStatus::L6Response,
        Status::L6Timeout => CheckStatus::L6Timeout,
        Status::L7Ok => CheckStatus::L7Ok,
        Status::L7OkConditional => CheckStatus::L7OkConditional,
        Status::L7Response => CheckStatus::L7Response,
        Status::L7Status => CheckStatus::L7Status,
        Status::L7Timeout => CheckStatus::L7Timeout,
    }
}
