//! A proxy on a thread of its own between a scripted client and scripted servers, all on loopback.

use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use proxy_net::stop::StopSource;
use proxy_net::{Stream, clock};
use proxy_rules::acl::AclTable;
use proxy_rules::action::SetKind;
use proxy_rules::logformat::{LogFormat, Use};
use proxy_rules::ruleset::Rule;
use proxy_rules::sample::context::{Date, Shared};
use proxy_rules::sample::{NoFiles, ParseCx, Place, words};
use proxy_rules::vars::{ProcVars, VarNames};
use proxy_state::registry::RegistrySpec;
use proxy_state::{
    BackendSpec, FrontendSpec, ListenerSpec, ProxyOptions, Registry, ServerSpec, SockAddr, Timeouts,
};
use proxy_stream::env::{Accepted, Back, Env, Front};
use proxy_stream::log::{Log, Sink};
use proxy_stream::{Thread, serve, serve_tcp};
use proxy_types::{Diagnostics, ListenerId, Mode, ProxyId, ServerId, Span, Spanned};

/// Longest wait for anything that is expected.
const PATIENCE: Duration = Duration::from_secs(5);
/// What the tests look at of a stream.
const FORMAT: &str = "%b/%s %ST %tsc %rc";

/// A step of a peer.
#[derive(Clone, Copy)]
pub(crate) enum Do {
    /// Sends this.
    Send(&'static str),
    /// Receives exactly this.
    Get(&'static str),
    /// Receives the end of the stream.
    Eof,
    /// As [`Do::Eof`], but a reset is as good.
    End,
    /// Sends back what comes, to its end.
    Echo,
    /// Ends its own direction.
    Shut,
    /// Closes with a reset.
    Reset,
    /// Waits until another peer passes [`Do::Signal`].
    Await,
    /// Lets a waiting peer go on.
    Signal,
}

/// What may differ between tests.
pub(crate) struct Setup {
    pub(crate) options: ProxyOptions,
    pub(crate) timeouts: Timeouts,
    pub(crate) retries: u32,
    pub(crate) redispatch: Option<i32>,
    pub(crate) maxconn: u32,
    /// Servers that refuse connections come first, as many as this.
    pub(crate) dead_servers: usize,
    pub(crate) rules: &'static [&'static str],
    pub(crate) mode: Mode,
    pub(crate) inspect_delay: Option<Duration>,
    pub(crate) format: &'static str,
    pub(crate) no_servers: bool,
}

impl Default for Setup {
    fn default() -> Self {
        let long = Some(PATIENCE);
        Self {
            options: ProxyOptions { abortonclose: true, ..ProxyOptions::default() },
            timeouts: Timeouts {
                client: long,
                server: long,
                connect: long,
                http_request: long,
                ..Timeouts::default()
            },
            retries: 0,
            redispatch: None,
            maxconn: 0,
            dead_servers: 0,
            rules: &[],
            mode: Mode::Http,
            inspect_delay: None,
            format: FORMAT,
            no_servers: false,
        }
    }
}

/// Runs servers' scripts, one per connection in order, and the client's; then compares the log lines.
#[track_caller]
pub(crate) fn check(setup: Setup, servers: &[&'static [Do]], client: &[Do], log: &[&str]) {
    let lab = Lab::start(setup, servers);
    let stream = TcpStream::connect(lab.proxy).expect("connect");
    play(stream, client, "client", &lab.gate);
    for expected in log {
        let line = lab.lines.recv_timeout(PATIENCE).expect("a log line");
        assert_eq!(line, *expected);
    }
    lab.finish();
}

pub(crate) struct Lab {
    pub(crate) proxy: SocketAddr,
    pub(crate) lines: Receiver<String>,
    pub(crate) registry: Arc<Registry>,
    gate: Gate,
    stop: StopSource,
    server: JoinHandle<()>,
    worker: JoinHandle<()>,
}

/// Lets one peer wait for another.
#[derive(Clone)]
struct Gate(Arc<(std::sync::Mutex<[u32; 2]>, std::sync::Condvar)>);

impl Gate {
    /// Signals of the client, and of the servers.
    fn side(who: &str) -> usize {
        usize::from(who == "server")
    }

    fn signal(&self, who: &str) {
        self.0.0.lock().expect("gate")[Self::side(who)] += 1;
        self.0.1.notify_all();
    }

    /// Waits for a signal of the other side.
    fn wait(&self, who: &str) {
        let other = 1 - Self::side(who);
        let guard = self.0.0.lock().expect("gate");
        let (mut guard, late) =
            self.0.1.wait_timeout_while(guard, PATIENCE, |n| n[other] == 0).expect("gate");
        assert!(!late.timed_out(), "nobody signalled");
        guard[other] -= 1;
    }
}

impl Lab {
    pub(crate) fn start(setup: Setup, scripts: &[&'static [Do]]) -> Self {
        let gate = Gate(Arc::default());
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let mut addrs: Vec<_> = (0..setup.dead_servers).map(|_| closed_port()).collect();
        addrs.push(listener.local_addr().expect("addr"));
        let server = std::thread::spawn({
            let (scripts, gate) = (scripts.to_vec(), gate.clone());
            move || {
                let mut peers = Vec::new();
                for script in scripts {
                    let (stream, _) = listener.accept().expect("accept");
                    let gate = gate.clone();
                    peers.push(std::thread::spawn(move || play(stream, script, "server", &gate)));
                }
                peers.into_iter().for_each(|peer| peer.join().expect("server script"));
            }
        });
        let (lines_in, lines) = channel();
        let (front, env) = build(&setup, &addrs, lines_in);
        let registry = env.shared.registry.clone();
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let proxy = listener.local_addr().expect("addr");
        let stop = StopSource::new();
        let handle = stop.handle();
        let worker = std::thread::spawn(move || {
            listener.set_nonblocking(true).expect("nonblocking");
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build_local(Default::default())
                .expect("runtime")
                .block_on(async {
                    let thread = Thread::start(Arc::new(env), handle.clone(), 1);
                    let listener = tokio::net::TcpListener::from_std(listener).expect("listener");
                    loop {
                        let (tcp, src) = tokio::select! {
                            accepted = listener.accept() => accepted.expect("accept"),
                            () = handle.draining() => break,
                        };
                        let stream = Stream::from_fd(tcp.into_std().expect("std").into());
                        let accepted = Accepted {
                            listener: front.frontend.listeners[0].clone(),
                            src: Some(src),
                            dst: Some(proxy),
                            at: clock::precise(),
                        };
                        let stream = stream.expect("stream");
                        let (thread, front) = (thread.clone(), front.clone());
                        match front.frontend.mode {
                            Mode::Http => tokio::task::spawn_local(serve(
                                thread,
                                front,
                                Box::new(stream),
                                accepted,
                            )),
                            Mode::Log | Mode::Tcp | Mode::Udp => {
                                tokio::task::spawn_local(serve_tcp(thread, front, stream, accepted))
                            }
                        };
                    }
                    handle.jobs().none_left().await;
                });
        });
        Self { proxy, lines, registry, gate, stop, server, worker }
    }

    /// Drains the proxy; no session and no gauge may be left.
    pub(crate) fn finish(self) {
        self.finish_with_lines();
    }

    /// The same; returns the lines that nobody looked at.
    pub(crate) fn finish_with_lines(self) -> Vec<String> {
        self.stop.drain();
        self.server.join().expect("servers");
        self.worker.join().expect("worker");
        let (front, back) = (&self.registry.frontends()[0], &self.registry.backends()[0]);
        assert_eq!((front.sessions.get(), back.sessions.get(), back.queued.get()), (0, 0, 0));
        assert_eq!(self.registry.process.connections.get(), 0);
        for server in back.servers().iter() {
            let gauges = [&server.sessions, &server.used_connections, &server.queued];
            assert_eq!(gauges.map(|g| g.get()), [0, 0, 0], "of {}", server.name);
            assert_eq!(server.idle.sum(), 0);
        }
        self.lines.try_iter().collect()
    }
}

fn closed_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("port")
}

struct Lines(std::sync::Mutex<Sender<String>>);

impl Sink for Lines {
    fn line(&self, _: u8, line: &[u8]) {
        let line = String::from_utf8_lossy(line).into_owned();
        let _ = self.0.lock().map(|sender| sender.send(line));
    }
}

fn build(setup: &Setup, servers: &[SocketAddr], lines: Sender<String>) -> (Arc<Front>, Env) {
    let backend = BackendSpec {
        name: "b".into(),
        id: ProxyId(3),
        mode: setup.mode,
        timeouts: setup.timeouts.clone(),
        options: setup.options.clone(),
        retries: setup.retries,
        redispatch: setup.redispatch,
        servers: (1..)
            .zip(servers)
            .filter(|_| !setup.no_servers)
            .map(|(i, addr)| {
                let name = format!("s{i}");
                let mut spec = ServerSpec::new(name, ServerId(i), SockAddr::Inet(*addr));
                spec.maxconn = setup.maxconn;
                spec
            })
            .collect(),
        ..BackendSpec::default()
    };
    let frontend = FrontendSpec {
        name: "f".into(),
        id: ProxyId(2),
        mode: setup.mode,
        timeouts: setup.timeouts.clone(),
        options: setup.options.clone(),
        listeners: vec![ListenerSpec {
            id: ListenerId(1),
            name: None,
            addr: SockAddr::Inet(([127, 0, 0, 1], 0).into()),
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
        maxconn: 100,
        ..RegistrySpec::default()
    };
    let registry = Registry::new(spec).expect("registry");
    let back = Arc::new(Back::new(registry.backends()[0].clone()));
    let mut front = Front::new(registry.frontends()[0].clone(), Some(back.clone()));
    front.inspect_delay = setup.inspect_delay;
    let names = VarNames::default();
    let (mut diag, mut refs) = (Diagnostics::default(), Vec::new());
    let mut acls = AclTable::default();
    let mut cx = ParseCx {
        section: "fe",
        listen: false,
        place: Place::FeHttpRequest,
        mode: setup.mode,
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
    for line in setup.rules {
        let list: Vec<_> = line.split(' ').map(|w| Spanned::new(w, Span::NONE)).collect();
        let list = words(&list);
        let (kind, set) = match list[0].value {
            b"http-request" => (SetKind::HttpRequest, &mut front.http_request),
            b"http-response" => (SetKind::HttpResponse, &mut front.http_response),
            b"http-after-response" => (SetKind::HttpAfterResponse, &mut front.http_after_response),
            b"tcp-request" if list[1].value == b"content" => {
                (SetKind::TcpRequest, &mut front.tcp_content)
            }
            b"tcp-request" => (SetKind::TcpConnection, &mut front.tcp_connection),
            _ => panic!("unknown rule set: {line}"),
        };
        cx.place = kind.place(true);
        let skip = if kind == SetKind::TcpRequest { 2 } else { 1 };
        set.push(Rule::parse(kind, &list[skip..], &mut acls, &mut cx).expect(line));
    }
    cx.place = Place::Log;
    let word = Spanned::new(setup.format.as_bytes(), Span::NONE);
    let format = LogFormat::parse(word, Use::Log, &mut cx).expect("format");
    let sink = Arc::new(Lines(std::sync::Mutex::new(lines)));
    front.log = Some(Log::new(format, sink));
    let shared = Shared {
        registry,
        patterns: Default::default(),
        public_keys: Default::default(),
        userlists: Vec::new(),
        var_names: Default::default(),
        proc_vars: ProcVars::default(),
        hostname: "host".into(),
        node: "node".into(),
        pid: 1,
        nbthread: 1,
        started: Date::default(),
        bufsize: 16384,
        jwe: Default::default(),
        is_local: |_| false,
        env: Vec::new(),
    };
    let env = Env::new(shared, clock::precise());
    env.backends.insert(back);
    (Arc::new(front), env)
}

/// Follows a script; whatever differs from it is a panic that names the step.
fn play(mut stream: TcpStream, script: &[Do], who: &str, gate: &Gate) {
    stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
    stream.set_nodelay(true).expect("nodelay");
    let reset = Cell::new(false);
    for (at, step) in script.iter().enumerate() {
        let what = format!("{who}, step {at}");
        match step {
            Do::Send(text) => stream.write_all(text.as_bytes()).expect(&what),
            Do::Get(expected) => {
                let mut got = Vec::new();
                let mut byte = [0];
                while got.len() < expected.len() {
                    match stream.read(&mut byte) {
                        Ok(1) => got.push(byte[0]),
                        Ok(_) => break,
                        Err(e) => panic!("{what}: {e} after {:?}", String::from_utf8_lossy(&got)),
                    }
                }
                assert_eq!(String::from_utf8_lossy(&got), *expected, "{what}");
            }
            Do::Eof => {
                let mut rest = Vec::new();
                let end = stream.read_to_end(&mut rest);
                assert!(rest.is_empty(), "{what}: {:?}", String::from_utf8_lossy(&rest));
                // A connection that the proxy does not keep towards a server ends with a reset.
                assert!(end.is_ok() || who == "server", "{what}: {end:?}");
            }
            Do::End => {
                let mut rest = Vec::new();
                let end = stream.read_to_end(&mut rest);
                let reset = |e: &std::io::Error| e.kind() == std::io::ErrorKind::ConnectionReset;
                assert!(rest.is_empty(), "{what}: {:?}", String::from_utf8_lossy(&rest));
                assert!(end.as_ref().err().is_none_or(reset), "{what}: {end:?}");
            }
            Do::Echo => {
                let mut back = stream.try_clone().expect(&what);
                std::io::copy(&mut stream, &mut back).expect(&what);
                stream.shutdown(Shutdown::Write).expect(&what);
            }
            Do::Shut => stream.shutdown(Shutdown::Write).expect(&what),
            Do::Reset => reset.set(true),
            Do::Await => gate.wait(who),
            Do::Signal => gate.signal(who),
        }
    }
    if reset.get() {
        let socket = socket2::SockRef::from(&stream);
        socket.set_linger(Some(Duration::ZERO)).expect("linger");
    }
}

impl Lab {
    /// Sends a request while another one, already with the server, holds its only slot.
    pub(crate) fn two_at_once(&self, request: &'static str, response: &'static str) {
        let first = TcpStream::connect(self.proxy).expect("connect");
        (&first).write_all(request.as_bytes()).expect("send");
        self.gate.wait("client");
        let second = TcpStream::connect(self.proxy).expect("connect");
        (&second).write_all(request.as_bytes()).expect("send");
        let queued = &self.registry.backends()[0];
        let waiting = || queued.queued.get() + queued.servers()[0].queued.get();
        while waiting() == 0 {
            std::thread::yield_now();
        }
        self.gate.signal("client");
        for stream in [first, second] {
            play(stream, &[Do::Get(response)], "client", &self.gate);
        }
    }
}

/// Bytes of the task of a session.
pub(crate) fn session_size() -> usize {
    let (lines, _keep) = channel();
    let (front, env) = build(&Setup::default(), &[closed_port()], lines);
    let handle = StopSource::new().handle();
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(Default::default())
        .expect("runtime")
        .block_on(async {
            let thread = Thread::start(Arc::new(env), handle, 1);
            let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
            let tcp = TcpStream::connect(listener.local_addr().expect("addr")).expect("connect");
            let stream = Stream::from_fd(tcp.into()).expect("stream");
            let accepted = Accepted {
                listener: front.frontend.listeners[0].clone(),
                src: None,
                dst: None,
                at: clock::precise(),
            };
            size_of_val(&serve(thread, front, Box::new(stream), accepted))
        })
}

impl Lab {
    /// Lets a waiting server go on.
    pub(crate) fn signal_server(&self) {
        self.gate.signal("client");
    }
}
