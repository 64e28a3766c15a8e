//! A bare proxy on one thread, for measurements and for comparing answers: no configuration.
//!
//! `http_proxy LISTEN SERVER...` where both are `address:port`. `LOG=stdout` prints lines,
//! `LOG=1` only makes them; `RULES` holds http-request rules between semicolons; `MODE`, `CLIENT`, `SERVER`,
//! `CONNECT`, `REQUEST` set the connection mode and timeouts in milliseconds.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use proxy_net::{Stream, clock, stop::StopSource};
use proxy_rules::acl::AclTable;
use proxy_rules::action::SetKind;
use proxy_rules::logformat::{LogFormat, Use, formats};
use proxy_rules::ruleset::Rule;
use proxy_rules::sample::context::{Date, Shared};
use proxy_rules::sample::{NoFiles, ParseCx, Place, words};
use proxy_rules::vars::{ProcVars, VarNames};
use proxy_state::options::HttpConnection;
use proxy_state::registry::RegistrySpec;
use proxy_state::{
    BackendSpec, FrontendSpec, ListenerSpec, ProxyOptions, Registry, ServerSpec, SockAddr,
    Timeouts, thread,
};
use proxy_stream::env::{Accepted, Back, Env, Front};
use proxy_stream::log::{Log, Sink};
use proxy_stream::{Thread, serve};
use proxy_types::{Diagnostics, ListenerId, Mode, ProxyId, ServerId, Span, Spanned};

struct Stdout;

impl Sink for Stdout {
    fn line(&self, _: u8, line: &[u8]) {
        println!("{}", String::from_utf8_lossy(line));
    }
}

/// Makes the line and forgets it: the cost of making it.
struct Nowhere;

impl Sink for Nowhere {
    fn line(&self, _: u8, _: &[u8]) {}
}

fn main() {
    let mut args = std::env::args().skip(1);
    let listen: SocketAddr = args.next().and_then(|a| a.parse().ok()).expect("LISTEN");
    let servers: Vec<SocketAddr> = args.map(|a| a.parse().expect("SERVER")).collect();
    thread::set_workers(1);
    thread::register(0);
    let seconds = |var: &str, default| {
        let ms = std::env::var(var).ok().and_then(|v| v.parse().ok()).unwrap_or(default);
        Some(Duration::from_millis(ms))
    };
    let timeouts = Timeouts {
        client: seconds("CLIENT", 2000),
        server: seconds("SERVER", 2000),
        connect: seconds("CONNECT", 1000),
        http_request: seconds("REQUEST", 1000),
        ..Timeouts::default()
    };
    let http_connection = match std::env::var("MODE").as_deref() {
        Ok("server-close") => Some(HttpConnection::ServerClose),
        Ok("close") => Some(HttpConnection::Close),
        _ => None,
    };
    let options = ProxyOptions { http_connection, abortonclose: true, ..ProxyOptions::default() };
    let backend = BackendSpec {
        name: "b".into(),
        id: ProxyId(3),
        mode: Mode::Http,
        timeouts: timeouts.clone(),
        options: options.clone(),
        retries: 3,
        servers: (1..)
            .zip(&servers)
            .map(|(i, a)| ServerSpec::new(format!("s{i}"), ServerId(i), SockAddr::Inet(*a)))
            .collect(),
        ..BackendSpec::default()
    };
    let frontend = FrontendSpec {
        name: "f".into(),
        id: ProxyId(2),
        mode: Mode::Http,
        timeouts,
        options,
        listeners: vec![ListenerSpec {
            id: ListenerId(1),
            name: None,
            addr: SockAddr::Inet(listen),
            maxconn: 0,
            transport: None,
            proto: None,
            raw: false,
            idle_ping: None,
        }],
        ..FrontendSpec::default()
    };
    let spec = RegistrySpec {
        frontends: vec![frontend],
        backends: vec![backend],
        maxconn: 10000,
        ..RegistrySpec::default()
    };
    let registry = Registry::new(spec).expect("registry");
    let back = Arc::new(Back::new(registry.backends()[0].clone()));
    let mut front = Front::new(registry.frontends()[0].clone(), Some(back));
    let shared = Shared {
        registry,
        patterns: Default::default(),
        public_keys: Default::default(),
        userlists: Vec::new(),
        var_names: Default::default(),
        proc_vars: ProcVars::default(),
        hostname: "localhost".into(),
        node: "localhost".into(),
        pid: std::process::id(),
        nbthread: 1,
        started: Date::default(),
        bufsize: 16384,
        jwe: Default::default(),
        is_local: |_| false,
        env: Vec::new(),
    };
    let env = Env::new(shared, clock::precise());
    let (names, mut diag, mut refs) = (VarNames::default(), Diagnostics::default(), Vec::new());
    let mut cx = ParseCx {
        section: "fe",
        listen: false,
        place: Place::Log,
        mode: Mode::Http,
        vars: &names,
        loader: &NoFiles,
        patterns: &proxy_rules::pattern::PatternLists::default(),
        keys: &proxy_rules::jwt::PublicKeys::default(),
        files: &(),
        captures: None,
        acls: None,
        counters: proxy_rules::track::COUNTERS,
        diag: &mut diag,
        refs: &mut refs,
    };
    let sink: Option<Arc<dyn Sink>> = match std::env::var("LOG").as_deref() {
        Ok("stdout") => Some(Arc::new(Stdout)),
        Ok(_) => Some(Arc::new(Nowhere)),
        Err(_) => None,
    };
    front.log = sink.map(|sink| {
        let word = Spanned::new(formats::HTTP.as_bytes(), Span::NONE);
        let format = LogFormat::parse(word, Use::Log, &mut cx).expect("format");
        Log::new(format, sink)
    });
    let mut acls = AclTable::default();
    cx.place = Place::FeHttpRequest;
    for line in std::env::var("RULES").unwrap_or_default().split(';').filter(|l| !l.is_empty()) {
        let list: Vec<_> = line.split(' ').map(|w| Spanned::new(w, Span::NONE)).collect();
        let rule = Rule::parse(SetKind::HttpRequest, &words(&list), &mut acls, &mut cx);
        front.http_request.push(rule.expect("rule"));
    }
    let front = Arc::new(front);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(Default::default())
        .expect("runtime");
    runtime.block_on(async {
        let thread = Thread::start(Arc::new(env), StopSource::new().handle(), 42);
        let listener = tokio::net::TcpListener::bind(listen).await.expect("bind");
        loop {
            let Ok((tcp, src)) = listener.accept().await else { continue };
            let _ = tcp.set_nodelay(true);
            let std = tcp.into_std().expect("std");
            let stream = Stream::from_fd(std.into()).expect("stream");
            let accepted = Accepted {
                listener: front.frontend.listeners[0].clone(),
                src: Some(src),
                dst: Some(listen_addr(&stream, listen)),
                at: clock::precise(),
            };
            let task = serve(thread.clone(), front.clone(), Box::new(stream), accepted);
            tokio::task::spawn_local(task);
        }
    });
}

fn listen_addr(stream: &Stream, listen: SocketAddr) -> SocketAddr {
    stream.local_addr().unwrap_or(listen)
}
