//! `cargo xtask bench http`.
//!
//! One core for the proxy, the other for load and origin; the proxies take turns, several rounds, and
//! medians are shown. CPU time is the proxy's, user and system together, read from the scheduler.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::comparison::Comparison;
use super::origin::{LARGE, MEDIUM, Origin, SMALL};
use super::peer::{Language, Peer, Running};
use super::process::{cpu_time, own_memory, system_calls};
use super::report::Scenario;
use super::wrk::{self, Load, Outcome};
use crate::setup::{self, Scope};

/// How to measure.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    compare: Comparison,
    /// Connections that wait in the scenario of idle ones
    #[arg(long, default_value_t = 5000)]
    idle: u32,
}

/// One kind of load.
pub(super) struct Work {
    pub(super) name: &'static str,
    path: &'static str,
    connections: u32,
    close: bool,
    config: Config,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Config {
    /// One frontend, one server, no log.
    Plain,
    /// What a site has: rules, maps, a log line per request.
    Realistic,
}

pub(super) const WORKS: [Work; 5] = [
    Work {
        name: "small bodies, keep-alive",
        path: SMALL.0,
        connections: 64,
        close: false,
        config: Config::Plain,
    },
    Work {
        name: "16 KB bodies, keep-alive",
        path: MEDIUM.0,
        connections: 64,
        close: false,
        config: Config::Plain,
    },
    Work {
        name: "1 MB bodies, keep-alive",
        path: LARGE.0,
        connections: 16,
        close: false,
        config: Config::Plain,
    },
    Work {
        name: "realistic configuration",
        path: SMALL.0,
        connections: 64,
        close: false,
        config: Config::Realistic,
    },
    Work {
        name: "a connection per request",
        path: SMALL.0,
        connections: 64,
        close: true,
        config: Config::Plain,
    },
];

const HEADERS: &[&str] = &[
    "Host: www.example.com",
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language: en-GB,en;q=0.5",
    "Accept-Encoding: gzip, deflate, br",
    "Cookie: session=0123456789abcdef; theme=dark",
    "Referer: https://www.example.com/start",
];

const CPU: &str = "CPU us per request";

pub(crate) fn main(arguments: &Arguments) -> Result<()> {
    setup::prepare(Scope::Bench)?;
    let compare = &arguments.compare;
    let peers = compare.begin()?;
    let origin = Origin::start()?;
    let mut scenarios = Vec::new();
    for work in WORKS.iter().filter(|work| compare.wants(work.name)) {
        scenarios.push(measure(arguments, work, &peers, &origin)?);
    }
    let idle = format!("{} idle connections", arguments.idle);
    if compare.wants(&idle) {
        scenarios.push(measure_idle(arguments, &idle, &peers, &origin)?);
    }
    compare.write(&peers, &scenarios)
}

fn measure(
    arguments: &Arguments,
    work: &Work,
    peers: &[Peer],
    origin: &Origin,
) -> Result<Scenario> {
    let sink = Sink::start()?;
    let mut scenario = Scenario::new(work.name);
    let mut running: Vec<(&Peer, Running)> = Vec::new();
    for peer in peers {
        if let Some(proxy) = start_for(work, peer, origin, &sink)? {
            running.push((peer, proxy));
        }
    }
    let load = |proxy: &Running, seconds| load_of(work, proxy, seconds);
    for (peer, proxy) in &running {
        load(proxy, 1).with_context(|| format!("warming {} up", peer.name))?;
    }
    for _ in 0..arguments.compare.rounds {
        for (peer, proxy) in &running {
            let lines = sink.lines();
            let before = cpu_time(proxy.pid());
            let outcome =
                load(proxy, arguments.compare.seconds).with_context(|| peer.name.clone())?;
            let used = cpu_time(proxy.pid()).saturating_sub(before);
            let requests = outcome.requests as f64;
            scenario.add(CPU, &peer.name, used.as_secs_f64() * 1e6 / requests);
            scenario.add("requests per second", &peer.name, outcome.per_second);
            if work.config == Config::Realistic {
                let logged = (sink.lines() - lines) as f64 / requests;
                scenario.add("log lines per request", &peer.name, logged);
            }
        }
    }
    for (peer, proxy) in &running {
        let counted = system_calls(proxy.pid(), || load(proxy, 1))?;
        if let Some((calls, outcome)) = counted {
            scenario.add(
                "system calls per request",
                &peer.name,
                calls as f64 / outcome.requests as f64,
            );
        }
    }
    scenario.print();
    Ok(scenario)
}

/// Starts a proxy for a kind of load; `None` when its language cannot say what it has to do.
pub(super) fn start_for(
    work: &Work,
    peer: &Peer,
    origin: &Origin,
    sink: &Sink,
) -> Result<Option<Running>> {
    let config = match (work.config, peer.language) {
        (Config::Realistic, Language::Nginx) => return Ok(None),
        (Config::Realistic, Language::Haproxy) => realistic(origin.address, sink.address),
        (Config::Plain, language) => plain(language, origin.address),
    };
    peer.start(&config, &realistic_files()).with_context(|| peer.name.clone()).map(Some)
}

pub(super) fn load_of(work: &Work, proxy: &Running, seconds: u32) -> Result<Outcome> {
    wrk::run(Load {
        target: proxy.address,
        path: work.path,
        connections: work.connections,
        seconds,
        close: work.close,
        headers: HEADERS,
    })
}

/// Memory of connections that had one request and wait for the next.
fn measure_idle(
    arguments: &Arguments,
    name: &str,
    peers: &[Peer],
    origin: &Origin,
) -> Result<Scenario> {
    raise_descriptor_limit(u64::from(arguments.idle) + 1000)?;
    let mut scenario = Scenario::new(name);
    for peer in peers {
        let proxy = peer.start(&plain(peer.language, origin.address), &[])?;
        // What is allocated once for all connections is there after some traffic.
        wrk::run(Load {
            target: proxy.address,
            path: SMALL.0,
            connections: 64,
            seconds: 1,
            close: false,
            headers: HEADERS,
        })?;
        let before = own_memory(proxy.pid());
        let clients = (0..arguments.idle)
            .map(|_| ask_once(proxy.address))
            .collect::<Result<Vec<_>>>()
            .with_context(|| peer.name.clone())?;
        let after = own_memory(proxy.pid());
        let each = after.saturating_sub(before) as f64 / f64::from(arguments.idle);
        scenario.add("bytes per connection", &peer.name, each);
        drop(clients);
    }
    scenario.print();
    Ok(scenario)
}

fn raise_descriptor_limit(wanted: u64) -> Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < wanted {
        ensure!(hard >= wanted, "{wanted} descriptors are needed, the hard limit is {hard}");
        setrlimit(Resource::RLIMIT_NOFILE, wanted, hard)?;
    }
    Ok(())
}

fn ask_once(address: SocketAddr) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut request = format!("GET {} HTTP/1.1\r\n", SMALL.0);
    for header in HEADERS {
        request.push_str(header);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    let mut buffer = [0; 2048];
    loop {
        let count = stream.read(&mut buffer)?;
        ensure!(count > 0, "the proxy closed");
        answer.extend_from_slice(&buffer[..count]);
        if let Some(head) = answer.windows(4).position(|end| end == b"\r\n\r\n")
            && answer.len() >= head + 4 + SMALL.1
        {
            break;
        }
    }
    if !answer.starts_with(b"HTTP/1.1 200") {
        bail!("{}", String::from_utf8_lossy(&answer));
    }
    Ok(stream)
}

fn plain(language: Language, origin: SocketAddr) -> String {
    match language {
        Language::Haproxy => format!(
            "global\n    nbthread 1\n    maxconn 8000\n\n\
             defaults\n    mode http\n    timeout connect 5s\n    timeout client 60s\n    \
             timeout server 60s\n\n\
             frontend web\n    bind @LISTEN@\n    default_backend app\n\n\
             backend app\n    server s1 {origin}\n"
        ),
        Language::Nginx => format!(
            "daemon off; master_process off; worker_processes 1; pid @DIR@/nginx.pid;\n\
             error_log stderr error;\n\
             events {{ worker_connections 16384; }}\n\
             http {{ access_log off; keepalive_requests 1000000000; keepalive_timeout 60s;\n\
             client_body_temp_path @DIR@/b; proxy_temp_path @DIR@/p; fastcgi_temp_path @DIR@/f;\n\
             uwsgi_temp_path @DIR@/u; scgi_temp_path @DIR@/s;\n\
             upstream app {{ server {origin}; keepalive 128; }}\n\
             server {{ listen @LISTEN@ backlog=4096; location / {{ proxy_pass http://app;\n\
             proxy_http_version 1.1; proxy_set_header Connection \"\"; }} }} }}\n"
        ),
    }
}

/// Twenty rules, three maps, forwardfor, and a log line for each request.
fn realistic(origin: SocketAddr, log: SocketAddr) -> String {
    format!(
        "global
    nbthread 1
    maxconn 8000
    log {log} len 2048 local0 info

defaults
    mode http
    log global
    option httplog
    option forwardfor
    timeout connect 5s
    timeout client 60s
    timeout server 60s

frontend web
    bind @LISTEN@
    acl is_static path_end -i .css .js .png .jpg .gif .svg
    acl is_api path_beg /api/ /v1/ /v2/
    acl is_admin path_beg /admin
    acl internal src 10.0.0.0/8 192.168.0.0/16
    acl bad_agent hdr_sub(user-agent) -i sqlmap nikto masscan
    http-request deny if bad_agent
    http-request deny if is_admin !internal
    http-request deny if {{ path,map_beg(@DIR@/denied.map) -m found }}
    http-request redirect code 301 location /%[path,regsub(^/old/,)] if {{ path_beg /old/ }}
    http-request set-var(txn.host) req.hdr(host),lower
    http-request set-var(txn.tenant) var(txn.host),map_str(@DIR@/tenants.map,none)
    http-request set-header X-Tenant %[var(txn.tenant)]
    http-request set-header X-Request-Start %[date]
    http-request set-header X-Forwarded-Proto http
    http-request set-header X-Forwarded-Host %[req.hdr(host)]
    http-request del-header Proxy
    http-request set-header X-Static 1 if is_static
    http-request set-header X-Country %[src,map_ip(@DIR@/countries.map,zz)]
    http-response set-header Strict-Transport-Security max-age=31536000
    http-response set-header X-Frame-Options SAMEORIGIN
    http-response set-header X-Content-Type-Options nosniff
    http-response del-header Server
    http-response set-header X-Tenant %[var(txn.tenant)]
    use_backend api if is_api
    use_backend static if is_static
    default_backend app

backend app
    balance roundrobin
    server s1 {origin}

backend api
    server s1 {origin}

backend static
    server s1 {origin}
"
    )
}

fn realistic_files() -> Vec<(&'static str, String)> {
    let lines = |count: u32, line: fn(u32) -> String| (0..count).map(line).collect::<String>();
    vec![
        ("denied.map", lines(200, |n| format!("/private/{n}/ 1\n"))),
        (
            "tenants.map",
            lines(1000, |n| format!("tenant{n}.example.com t{n}\n")) + "www.example.com main\n",
        ),
        (
            "countries.map",
            lines(1000, |n| format!("{}.{}.0.0/16 c{}\n", 11 + n / 250, n % 250, n % 200)),
        ),
    ]
}

/// Receives log lines and counts them.
pub(super) struct Sink {
    address: SocketAddr,
    count: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Sink {
    pub(super) fn start() -> Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        let address = socket.local_addr()?;
        let (count, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (counter, end) = (Arc::clone(&count), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while !end.load(Ordering::Relaxed) {
                if socket.recv(&mut buffer).is_ok() {
                    counter.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Ok(Self { address, count, stop, thread: Some(thread) })
    }

    fn lines(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
