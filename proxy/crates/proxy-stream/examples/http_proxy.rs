//! A bare proxy on one thread, for measurements and for comparing answers: no configuration, no rules.
//!
//! `http_proxy LISTEN SERVER...` where both are `address:port`. Prints one line per stream with `LOG=1`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use proxy_net::{Stream, clock, stop::StopSource};
use proxy_state::options::HttpConnection;
use proxy_state::registry::RegistrySpec;
use proxy_state::{
    BackendSpec, FrontendSpec, ListenerSpec, ProxyOptions, Registry, ServerSpec, SockAddr,
    Timeouts, thread,
};
use proxy_stream::env::{Accepted, Back, Env, Front};
use proxy_stream::{Thread, serve};
use proxy_types::{ListenerId, Mode, ProxyId, ServerId};

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
        }],
        ..FrontendSpec::default()
    };
    let spec = RegistrySpec { frontends: vec![frontend], backends: vec![backend], maxconn: 10000 };
    let registry = Registry::new(spec).expect("registry");
    let back = Arc::new(Back::new(registry.backends()[0].clone()));
    let front = Arc::new(Front::new(registry.frontends()[0].clone(), Some(back)));
    let mut env = Env::new(registry, clock::precise());
    if std::env::var_os("LOG").is_some() {
        env.observer = Some(Box::new(|front, r| {
            let ms = |v: Option<u32>| v.map_or(-1, i64::from);
            let (b, s) = match (&r.backend, &r.server) {
                (Some(b), Some(s)) => (&*b.backend.name, &*s.name),
                (Some(b), None) => (&*b.backend.name, "<NOSRV>"),
                _ => (&*front.frontend.name, "<NOSRV>"),
            };
            let times = [r.request_ms(), r.queue_ms(), r.connect_ms(), r.response_ms()].map(ms);
            println!(
                "{}/{} {:?}/{} {} {} {}{}-- retries={} silent={}",
                b,
                s,
                times,
                r.active_ms(),
                r.status.map_or(-1, i32::from),
                r.bytes_out,
                r.cause as char,
                r.phase as char,
                r.retries,
                r.silent,
            );
        }));
    }
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
