//! `cargo xtask bench tls`: what handshakes, encryption and HTTP/2 cost.
//!
//! As `bench http`: the proxy has a core for itself, the proxies take turns, and figures are CPU time of the proxy.
//! Full handshakes are those of `openssl s_time`, bodies those of `curl`, requests those of `h2load`.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use nix::sys::signal::Signal;
use tests::certificates::Authority;

use super::comparison::Comparison;
use super::machine::pinned;
use super::origin::{LARGE, Origin, SMALL};
use super::peer::{Language, Peer, Running};
use super::process::cpu_time;
use super::report::Scenario;
use super::returning;
use crate::setup::{self, Scope};

/// How to measure.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    compare: Comparison,
}

/// One kind of load.
enum Load {
    /// Options of `s_time`.
    Handshakes(&'static [&'static str]),
    /// Resumed ones of TLS 1.3.
    Returning,
    /// Bodies of 1 MB, this many on one connection.
    Bulk(u32),
    /// Requests, and how many of them at a time on one connection.
    Http2(u32, u32),
}

struct Work {
    name: &'static str,
    key: &'static str,
    load: Load,
}

/// Kinds of keys, as `openssl genpkey` wants to be told.
const KEYS: [(&str, &str); 2] = [
    ("P-256", "-algorithm EC -pkeyopt ec_paramgen_curve:P-256"),
    ("RSA-2048", "-algorithm RSA -pkeyopt rsa_keygen_bits:2048"),
];

const WORKS: [Work; 9] = [
    Work {
        name: "full handshakes, P-256, TLS 1.3",
        key: "P-256",
        load: Load::Handshakes(&["-new", "-tls1_3"]),
    },
    Work {
        name: "full handshakes, P-256, TLS 1.2",
        key: "P-256",
        load: Load::Handshakes(&["-new", "-tls1_2"]),
    },
    Work {
        name: "full handshakes, RSA-2048, TLS 1.3",
        key: "RSA-2048",
        load: Load::Handshakes(&["-new", "-tls1_3"]),
    },
    Work {
        name: "resumed handshakes, TLS 1.2",
        key: "P-256",
        load: Load::Handshakes(&["-reuse", "-tls1_2"]),
    },
    Work { name: "resumed handshakes, TLS 1.3", key: "P-256", load: Load::Returning },
    Work { name: "1 MB bodies", key: "P-256", load: Load::Bulk(300) },
    Work { name: "HTTP/2, one stream", key: "P-256", load: Load::Http2(5_000, 1) },
    Work { name: "HTTP/2, ten streams", key: "P-256", load: Load::Http2(20_000, 10) },
    Work { name: "HTTP/2, a hundred streams", key: "P-256", load: Load::Http2(20_000, 100) },
];

pub(crate) fn main(arguments: &Arguments) -> Result<()> {
    setup::prepare(Scope::Bench)?;
    let compare = &arguments.compare;
    let peers = compare.begin()?;
    let origin = Origin::start()?;
    let authority = authority()?;
    let mut scenarios = Vec::new();
    for work in WORKS.iter().filter(|work| compare.wants(work.name)) {
        scenarios.push(measure(arguments, work, &peers, &origin, &authority)?);
    }
    compare.write(&peers, &scenarios)
}

/// Certificates of every kind of key.
fn authority() -> Result<Authority> {
    let authority = Authority::new()?;
    for (name, options) in KEYS {
        authority.openssl(&format!("genpkey {options} -out {name}.key"))?;
        authority
            .openssl(&format!("req -new -key {name}.key -subj /CN=localhost -out {name}.csr"))?;
        authority.openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -out {name}.crt"
        ))?;
    }
    Ok(authority)
}

/// Puts every kind of load on a build that takes a profile; each process ends by itself.
pub(super) fn train(peer: &Peer, origin: &Origin, seconds: u32) -> Result<()> {
    let authority = authority()?;
    for work in &WORKS {
        println!("  {}", work.name);
        let mut running = start_for(work, peer, origin, &authority)?;
        load(&work.load, running.address, seconds).context(work.name)?;
        running.end(Signal::SIGTERM)?;
    }
    Ok(())
}

fn start_for(work: &Work, peer: &Peer, origin: &Origin, authority: &Authority) -> Result<Running> {
    let read = |end: &str| {
        let path = authority.path(&format!("{}.{end}", work.key));
        std::fs::read_to_string(&path).with_context(|| path.clone())
    };
    let pem = read("crt")? + &read("key")?;
    peer.start(&config(peer.language, origin.address), &[("site.pem", pem)])
}

fn measure(
    arguments: &Arguments,
    work: &Work,
    peers: &[Peer],
    origin: &Origin,
    authority: &Authority,
) -> Result<Scenario> {
    let mut scenario = Scenario::new(work.name);
    for _ in 0..arguments.compare.rounds {
        for peer in peers {
            let running = start_for(work, peer, origin, authority)?;
            // What starts up, and the first of everything, is not counted.
            load(&work.load, running.address, 1)?;
            let before = cpu_time(running.pid());
            let count = load(&work.load, running.address, arguments.compare.seconds)?;
            let used = cpu_time(running.pid()).saturating_sub(before);
            let (figure, value) = figure(&work.load, used, count);
            scenario.add(figure, &peer.name, value);
        }
    }
    scenario.print();
    Ok(scenario)
}

/// What `count` handshakes, bytes or requests cost each.
fn figure(load: &Load, used: Duration, count: f64) -> (&'static str, f64) {
    let each = used.as_secs_f64() / count.max(1.0);
    match load {
        Load::Handshakes(_) | Load::Returning => ("CPU us per handshake", each * 1e6),
        Load::Bulk(_) => ("CPU s per GB", each * 1e9),
        Load::Http2(..) => ("CPU us per request", each * 1e6),
    }
}

/// Puts load on a proxy; returns how many handshakes, bytes or requests it was.
fn load(load: &Load, address: SocketAddr, seconds: u32) -> Result<f64> {
    match load {
        Load::Handshakes(options) => handshakes(options, address, seconds),
        Load::Returning => returning::resume(address, Duration::from_secs(seconds.into())),
        Load::Bulk(count) => {
            let url = format!("https://{address}{}?[1-{count}]", LARGE.0);
            curl(&["--http1.1", &url])?;
            Ok(f64::from(*count) * LARGE.1 as f64)
        }
        Load::Http2(count, streams) => {
            requests(address, *count, *streams)?;
            Ok(f64::from(*count))
        }
    }
}

/// Requests on one connection, so many at a time.
fn requests(address: SocketAddr, count: u32, streams: u32) -> Result<()> {
    let out = pinned(1, "h2load")
        .args(["-c", "1", "-n", &count.to_string(), "-m", &streams.to_string()])
        .arg(format!("https://{address}{}", SMALL.0))
        .stdin(Stdio::null())
        .output()
        .context("h2load")?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    ensure!(text.contains(&format!("status codes: {count} 2xx")), "h2load: {text}");
    Ok(())
}

/// Lines such as `1234 connections in 1.05s; ...` and `1234 connections in 4 real seconds, ...`.
fn handshakes(options: &[&str], address: SocketAddr, seconds: u32) -> Result<f64> {
    let out = pinned(1, "openssl")
        .args(["s_time", "-connect", &address.to_string(), "-time", &seconds.to_string()])
        .args(options)
        .stdin(Stdio::null())
        .output()
        .context("openssl s_time")?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let count = text.lines().find_map(|line| {
        let (count, _) = line.split_once(" connections in ")?;
        line.contains(" real seconds").then(|| count.trim().parse::<f64>().ok()).flatten()
    });
    count.with_context(|| format!("openssl s_time: {text}{}", String::from_utf8_lossy(&out.stderr)))
}

fn curl(options: &[&str]) -> Result<()> {
    let out = pinned(1, "curl")
        .args(["-sSk", "--fail", "-o", "/dev/null"])
        .args(options)
        .stdin(Stdio::null())
        .output()
        .context("curl")?;
    ensure!(out.status.success(), "curl: {}", String::from_utf8_lossy(&out.stderr));
    Ok(())
}

/// TLS in front of the origin, on one thread.
fn config(language: Language, origin: SocketAddr) -> String {
    match language {
        Language::Haproxy => format!(
            "global
    nbthread 1
    ssl-default-bind-options ssl-min-ver TLSv1.2
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend bench
    bind @LISTEN@ ssl crt @DIR@/site.pem alpn h2,http/1.1
    default_backend origin
backend origin
    server origin {origin}
"
        ),
        Language::Nginx => format!(
            "daemon off; master_process off; worker_processes 1; pid @DIR@/nginx.pid;
error_log stderr error; user root;
events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 1000000000;
client_body_temp_path @DIR@/b; proxy_temp_path @DIR@/p; fastcgi_temp_path @DIR@/f;
uwsgi_temp_path @DIR@/u; scgi_temp_path @DIR@/s;
upstream origin {{ server {origin}; keepalive 64; keepalive_requests 1000000000; }}
server {{ listen @LISTEN@ ssl http2; ssl_certificate @DIR@/site.pem; ssl_certificate_key @DIR@/site.pem;
ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache shared:bench:10m;
location / {{ proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection \"\";
proxy_buffers 16 64k; }} }} }}
"
        ),
    }
}
