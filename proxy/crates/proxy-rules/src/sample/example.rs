//! The traffic that examples of rows are evaluated on. Tests and the reference manual use it.

use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bumpalo::Bump;
use proxy_http::{Method, RequestHead, ResponseHead, h1};
use proxy_state::registry::RegistrySpec;
use proxy_state::stick::data::{self, id};
use proxy_state::stick::{KeyType, Store, TableSpec};
use proxy_state::{
    Backend, BackendSpec, Frontend, FrontendSpec, ListenerSpec, Now, Registry, Server, ServerSpec,
};
use proxy_types::{Diagnostics, ListenerId, Mode, ProxyId, ServerId, Spanned};

use super::connection::Connection;
use super::context::{
    Clock, Date, EvalCtx, LinkFacts, Session, Shared, Socket, StreamEnd, Task, TaskTimes, TcpInfo,
};
use super::parse::{Loader, NoFiles, ParseCx};
use super::place::Place;
use super::value::Sample;
use crate::acl::AclTable;
use crate::capture::Captured;
use crate::logformat::LogFacts;
use crate::pattern::PatternLists;
use crate::track::{self, Tracked};
use crate::vars::{ProcVars, StreamVars, VarNames, Vars};

/// The request of the examples.
pub const REQUEST: &str = "GET /a/b.png?x=1&y=two&x=3 HTTP/1.1\r\n\
    Host: www.example.com:8080\r\n\
    User-Agent: curl/8.0\r\n\
    X-List: a, b ,c\r\n\
    X-List: d\r\n\
    Cookie: sid=abc123; theme=dark; sid=def\r\n\
    X-Num: -42\r\n\
    X-Forwarded-For: 192.0.2.33, 10.0.0.1\r\n\
    Authorization: Basic dGlnZXI6c2NvdHQ=\r\n\
    X-Token: Bearer abc.def\r\n\
    \r\n";

/// The response of the examples.
pub const RESPONSE: &str = "HTTP/1.1 200 OK\r\n\
    Date: Sun, 22 Nov 2026 10:00:00 GMT\r\n\
    Content-Type: text/html\r\n\
    Content-Length: 1234\r\n\
    Set-Cookie: sid=xyz; Path=/; HttpOnly\r\n\
    Set-Cookie: lang=en\r\n\
    X-Served-By: 10.1.2.3\r\n\
    \r\n";

/// Owner of everything a context borrows. 2026-11-22 10:00:00.123456 UTC, one hour behind local time.
pub struct Traffic {
    pub scratch: Bump,
    pub shared: Shared,
    pub frontend: Arc<Frontend>,
    pub backend: Arc<Backend>,
    pub server: Arc<Server>,
    server_connection: Connection,
    server_link: Rc<LinkFacts>,
    pub random: Cell<u64>,
    pub session: Session,
    pub vars: StreamVars,
    pub names: Arc<VarNames>,
    pub request: RequestHead,
    pub response: ResponseHead,
    pub req_data: Vec<u8>,
    pub res_data: Vec<u8>,
    pub facts: LogFacts<'static>,
    pub captured: Captured,
}

/// The time of the examples.
pub const CLOCK: Clock =
    Clock { now: Now(60_000), date: Date { secs: 1_795_341_600, usec: 123_456 }, utc_offset: 3600 };

impl Traffic {
    /// The traffic above, with `txn.example` "value", `txn.number` 7.
    pub fn new() -> Self {
        let mut request = RequestHead::default();
        let mut response = ResponseHead::default();
        let limits = h1::Limits::default();
        // The texts are constants that a test reads; failing leaves an empty head.
        let _ = h1::parse_request(REQUEST.as_bytes(), &limits, &mut request);
        let _ = h1::parse_response(RESPONSE.as_bytes(), &limits, Method::Get, &mut response);
        let names = Arc::new(VarNames::default());
        let vars = StreamVars::default();
        for (name, value) in
            [("txn.example", Sample::Str(b"value")), ("txn.number", Sample::Int(7))]
        {
            if let Ok(var) = names.parse(name) {
                vars.txn.set(var.id, value);
            }
        }
        let captured = Captured::default();
        Captured::set(&captured.request, 0, 64, b"kept");
        Captured::set(&captured.response, 0, 64, b"nginx");
        let registry = registry();
        let frontend = registry.frontends()[0].clone();
        let backend = registry.backends()[0].clone();
        let server = backend.servers()[0].clone();
        frontend.begin_session(CLOCK.now);
        let traffic = Self {
            scratch: Bump::new(),
            shared: Shared {
                registry,
                patterns: Arc::default(),
                public_keys: Arc::default(),
                userlists: vec![crate::users::example()],
                var_names: names.clone(),
                proc_vars: ProcVars::default(),
                hostname: "lb1".into(),
                node: "lb1".into(),
                pid: 4711,
                nbthread: 2,
                started: Date { secs: CLOCK.date.secs - 60, usec: 0 },
                bufsize: 16384,
                jwe: Default::default(),
                is_local: |ip| ip.is_loopback(),
                env: vec![("LANG".into(), b"C".as_slice().into())],
            },
            random: Cell::new(1),
            session: Session {
                src: Some(SocketAddr::from((Ipv4Addr::new(192, 0, 2, 10), 40000))),
                dst: Some(SocketAddr::from((Ipv4Addr::new(198, 51, 100, 1), 80))),
                accepted: CLOCK.date,
                listener: frontend.listeners[0].clone(),
                vars: Vars::default(),
                tracked: Tracked::default(),
                connection: super::example_tls::client(),
                link: link(3).into(),
            },
            frontend,
            backend,
            server,
            server_connection: super::example_tls::server(),
            server_link: link(4),
            vars,
            names,
            request,
            response,
            req_data: Vec::new(),
            res_data: Vec::new(),
            facts: facts(),
            captured,
        };
        track_client(&traffic);
        traffic
    }

    /// All of it as a context.
    pub fn context(&self) -> EvalCtx<'_> {
        EvalCtx {
            session: Some(&self.session),
            frontend: Some(&self.frontend),
            backend: Some(&self.backend),
            server: Some(&self.server),
            server_connection: Some(&self.server_connection),
            http: true,
            client_socket: Some(&Measured),
            server_socket: Some(&StreamEnd { id: 1, reset: None, aborted: false }),
            task: Some(&Measured),
            server_link: Some(&self.server_link),
            request: Some(&self.request),
            response: Some(&self.response),
            req_data: Some(&self.req_data),
            res_data: Some(&self.res_data),
            vars: Some(&self.vars),
            captured: Some(&self.captured),
            facts: Some(&self.facts),
            ..EvalCtx::new(&self.scratch, &self.shared, CLOCK, &self.random)
        }
    }

    /// What an expression gives here, as text.
    ///
    /// # Errors
    /// The message of the parser.
    pub fn eval(&self, text: &str) -> Result<Option<String>, String> {
        self.eval_with(text, &PatternLists::default(), &NoFiles)
    }

    /// [`Traffic::eval`] with the lists that the expression may name.
    ///
    /// # Errors
    /// The message of the parser.
    pub fn eval_with(
        &self,
        text: &str,
        patterns: &PatternLists,
        loader: &dyn Loader,
    ) -> Result<Option<String>, String> {
        let expr = self.parse_with(patterns, loader, |cx| {
            super::Expr::parse_anywhere(Spanned::builtin(text.as_bytes()), cx)
        });
        let expr = expr.map_err(|d| d.message)?;
        let value = expr.eval_str(&self.context());
        Ok(value.map(|v| String::from_utf8_lossy(v).into_owned()))
    }
}

impl Traffic {
    /// Has something parsed in the surroundings of the examples.
    pub fn parse_with<T>(
        &self,
        patterns: &PatternLists,
        loader: &dyn Loader,
        parse: impl FnOnce(&mut ParseCx<'_>) -> T,
    ) -> T {
        parse(&mut ParseCx {
            place: Place::Log,
            listen: false,
            section: "fe",
            mode: Mode::Http,
            vars: &self.names,
            loader,
            patterns,
            keys: &crate::jwt::PublicKeys::default(),
            files: &(),
            captures: None,
            acls: Some(AclTable::default()),
            counters: track::COUNTERS,
            diag: &mut Diagnostics::new(),
            refs: &mut Vec::new(),
        })
    }
}

/// The client's socket of the examples.
struct Measured;

impl Socket for Measured {
    fn tcp_info(&self) -> Option<TcpInfo> {
        Some(TcpInfo {
            fackets: 1,
            lost: 2,
            reordering: 3,
            retrans: 4,
            rtt: 12_345,
            rttvar: 678,
            sacked: 5,
            unacked: 6,
        })
    }

    fn saved_syn(&self) -> Option<Vec<u8>> {
        let mut packet =
            vec![0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0, 192, 0, 2, 10, 198, 51, 100, 1];
        packet.extend([0x9c, 0x40, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xfa, 0xf0, 0, 0, 0, 0]);
        Some(packet)
    }

    fn stream(&self) -> StreamEnd {
        StreamEnd { id: 3, reset: Some(8), aborted: true }
    }
}

impl Task for Measured {
    fn times(&self) -> TaskTimes {
        TaskTimes { calls: 4, run_ns: 100_000, wait_ns: 8_000 }
    }
}

/// Times and sizes of the examples.
fn facts() -> LogFacts<'static> {
    LogFacts {
        accepted: CLOCK.date,
        request: CLOCK.date,
        handshake: Some(1),
        idle: Some(2),
        request_head: Some(3),
        queue: Some(4),
        connect: Some(5),
        response_head: Some(6),
        total: 30,
        status: Some(200),
        server_status: Some(200),
        bytes_in: 100,
        bytes_out: 1500,
        request_out: 120,
        response_in: 1400,
        request_line: Some(b"GET /a/b.png?x=1&y=two&x=3 HTTP/1.1"),
        unique_id: Some(b"id-1"),
        compressed: Some("gzip"),
        server_http: Some(1),
        stream_number: 18,
        retries: 1,
        first_request: true,
        ..LogFacts::NONE
    }
}

/// Table `fe` with everything but arrays.
fn table() -> TableSpec {
    let stores = data::TYPES.iter().filter(|kind| !kind.is_array);
    TableSpec {
        expire: Some(Duration::from_secs(30)),
        stores: stores
            .map(|kind| Store { kind, count: 1, period: Duration::from_secs(10) })
            .collect(),
        ..TableSpec::new("fe", KeyType::Ipv4, 10)
    }
}

/// The client is tracked as set 0, with one request of 2048 bytes and `gpc0` 7.
fn track_client(traffic: &Traffic) {
    let cx = traffic.context();
    let Some(table) = traffic.shared.registry.table("fe") else { return };
    let client = Sample::Ipv4(Ipv4Addr::new(192, 0, 2, 10));
    track::track(&cx, track::Life::Session, 0, table, client);
    if let Some(held) = track::tracked(&cx, 0) {
        held.count(id::HTTP_REQ_CNT, id::HTTP_REQ_RATE, 1, CLOCK.now);
        held.count_bytes(2048, 0, CLOCK.now);
        if let Some(slot) = table.slot(id::GPC0, 0) {
            held.table.update(&held.entry, |values| values.set(slot, 7, CLOCK.now));
        }
    }
}

/// Frontend `fe` (2) with the listener `web`, backend `be` (3) with the servers `s1` and `s2`.
fn registry() -> Arc<Registry> {
    let listen = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 80));
    let frontend = FrontendSpec {
        name: "fe".to_owned(),
        id: ProxyId(2),
        mode: Mode::Http,
        default_backend: Some("be".to_owned()),
        maxconn: 100,
        listeners: vec![ListenerSpec {
            id: ListenerId(1),
            name: Some("web".to_owned()),
            addr: listen.into(),
            maxconn: 0,
            transport: None,
            proto: None,
            raw: false,
            idle_ping: None,
        }],
        ..FrontendSpec::default()
    };
    let server = |id: u32| {
        let addr = SocketAddr::from((Ipv4Addr::new(10, 0, 0, id as u8), 8080)).into();
        ServerSpec { maxconn: 10, ..ServerSpec::new(format!("s{id}"), ServerId(id), addr) }
    };
    let backend = BackendSpec {
        name: "be".to_owned(),
        id: ProxyId(3),
        mode: Mode::Http,
        retries: 3,
        servers: vec![server(1), server(2)],
        ..BackendSpec::default()
    };
    let spec = RegistrySpec {
        caches: Vec::new(),
        frontends: vec![frontend],
        backends: vec![backend],
        tables: vec![table()],
        maxconn: 1000,
    };
    Registry::new(spec).unwrap_or_else(|e| unreachable!("no server tracks another: {e}"))
}

impl Default for Traffic {
    fn default() -> Self {
        Self::new()
    }
}

/// A connection with `glitches`, with two streams of a hundred.
fn link(glitches: u32) -> Rc<LinkFacts> {
    Rc::new(LinkFacts {
        glitches: Cell::new(glitches),
        streams: Cell::new(2),
        limit: Cell::new(100),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{conv, fetch, known};
    use std::collections::BTreeSet;

    #[test]
    fn every_row_has_examples_that_hold() {
        let fetches = fetch::ALL.iter().flat_map(|r| r.iter()).map(|d| (d.name, d.examples));
        let convs = conv::ALL.iter().flat_map(|r| r.iter()).map(|d| (d.name, d.examples));
        let mut wrong = Vec::new();
        for (name, examples) in fetches.chain(convs) {
            if examples.is_empty() {
                wrong.push(format!("{name} has no example"));
            }
            for &(text, expected) in examples {
                let got = Traffic::new().eval(text);
                if got.as_ref().map(|v| v.as_deref()) != Ok(expected) {
                    wrong.push(format!("{text}: {got:?}, not {expected:?}"));
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn names_are_unique_and_sorted() {
        for rows in fetch::ALL {
            assert!(rows.windows(2).all(|w| w[0].name < w[1].name), "{}", rows[0].name);
        }
        for rows in conv::ALL {
            assert!(rows.windows(2).all(|w| w[0].name < w[1].name), "{}", rows[0].name);
        }
        let all: Vec<_> = fetch::ALL.iter().flat_map(|r| r.iter()).map(|d| d.name).collect();
        assert_eq!(all.len(), all.iter().collect::<BTreeSet<_>>().len());
        let all: Vec<_> = conv::ALL.iter().flat_map(|r| r.iter()).map(|d| d.name).collect();
        assert_eq!(all.len(), all.iter().collect::<BTreeSet<_>>().len());
    }

    #[test]
    fn fetches_are_valid_where_haproxy_says() {
        let mut wrong = Vec::new();
        for def in fetch::ALL.iter().flat_map(|r| r.iter()) {
            let ours: String = def.at.letters().collect();
            let theirs = known::fetch_matrix(def.name);
            if theirs.as_deref() != Some(&ours) {
                wrong.push(format!("{}: {ours}, not {theirs:?}", def.name));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn rows_have_the_types_haproxy_says() {
        let mut wrong = Vec::new();
        let fetches: Vec<_> = known::Kind::Fetch.entries().collect();
        for def in fetch::ALL.iter().flat_map(|r| r.iter()) {
            let tail = format!(": {}", def.out.name());
            let start =
                |e: &&str| e.strip_prefix(def.name).is_some_and(|r| r.starts_with([':', '(']));
            if !fetches.iter().any(|e| start(e) && e.ends_with(&tail)) {
                wrong.push(format!("{}{tail}: {:?}", def.name, fetches.iter().find(|e| start(e))));
            }
        }
        let convs: Vec<_> = known::Kind::Conv.entries().collect();
        for def in conv::ALL.iter().flat_map(|r| r.iter()) {
            let tail = format!(": {} => {}", def.out.name(), def.input.name());
            let start =
                |e: &&str| e.strip_prefix(def.name).is_some_and(|r| r.starts_with([':', '(']));
            if !convs.iter().any(|e| start(e) && e.ends_with(&tail)) {
                wrong.push(format!("{}{tail}: {:?}", def.name, convs.iter().find(|e| start(e))));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
