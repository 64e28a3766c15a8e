//! `filter bwlim-in`, `bwlim-out` and `set-bandwidth-limit`: how long transfers take.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tests::Sluice;
use tests::client::{self, Client};
use tests::net::loopback;
use tests::peer::{HttpServer, ScriptServer};
use tests::sluice::{Peer, peer};

/// HAProxy 2.6 knows none of it.
fn here() -> bool {
    peer() == Peer::Sluice
}

fn http(address: SocketAddr, server: SocketAddr, lines: &str) -> String {
    format!(
        "
defaults
    mode http
    timeout connect 5s
    timeout client 1s
    timeout server 1s
frontend www
    bind {address}
    {lines}
    default_backend be
backend be
    server s1 {server}
backend shared
    stick-table type ip size 10 expire 10s store bytes_out_rate(1s)
"
    )
}

/// The limit lets the first period's worth through at once.
fn took(start: Instant, seconds: f64) -> Result<()> {
    let took = start.elapsed();
    ensure!(took > Duration::from_secs_f64(seconds * 0.8), "{took:?} is too fast for {seconds} s");
    ensure!(
        took < Duration::from_secs_f64(seconds * 3.0 + 2.0),
        "{took:?} is too slow for {seconds} s"
    );
    Ok(())
}

#[test]
fn streams_have_limits_of_their_own() -> Result<()> {
    if !here() {
        return Ok(());
    }
    let (address, server) = (loopback()?, HttpServer::start("s1")?);
    let lines = "filter bwlim-out down default-limit 20000 default-period 1s
    filter bwlim-in up default-limit 20000 default-period 1s min-size 1000
    http-request set-bandwidth-limit down if { path_beg /bytes/60000 /chunked /until-close }
    http-request set-bandwidth-limit down limit int(10000) period 500ms if { path_beg /bytes/30000 }
    http-request set-bandwidth-limit up if { method POST }";
    let _sluice = Sluice::config(http(address, server.address(), lines)).start()?;
    // Nothing limits this one.
    let start = Instant::now();
    assert_eq!(client::get(address, "/bytes/100000")?.body.len(), 100_000);
    ensure!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    for (path, length, seconds) in [
        ("/bytes/60000", 60_000, 2.0),
        ("/chunked/60000", 60_000, 2.0),
        ("/until-close/60000", 60_000, 2.0),
        ("/bytes/30000", 30_000, 1.0),
    ] {
        let start = Instant::now();
        assert_eq!(client::get(address, path)?.body.len(), length, "{path}");
        took(start, seconds)?;
    }
    let start = Instant::now();
    let mut client = Client::connect(address)?;
    client.send("POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 60000\r\n\r\n")?;
    client.send(vec![b'x'; 60_000])?;
    ensure!(client.response()?.body.ends_with(b"xxxx"));
    took(start, 2.0)
}

#[test]
fn streams_share_the_limit_of_their_key() -> Result<()> {
    if !here() {
        return Ok(());
    }
    let (address, server) = (loopback()?, HttpServer::start("s1")?);
    let lines = "filter bwlim-out all limit 30000 key src table shared
    http-request set-bandwidth-limit all";
    let _sluice = Sluice::config(http(address, server.address(), lines)).start()?;
    let start = Instant::now();
    let downloads: Vec<_> = (0..3)
        .map(|_| thread::spawn(move || client::get(address, "/bytes/30000").map(|r| r.body.len())))
        .collect();
    for download in downloads {
        assert_eq!(download.join().expect("a download")?, 30_000);
    }
    took(start, 2.0)
}

#[test]
fn connections_without_messages_are_limited_too() -> Result<()> {
    if !here() {
        return Ok(());
    }
    let address = loopback()?;
    let server = ScriptServer::start(|mut socket| {
        use std::io::Write;
        let _ = socket.write_all(&vec![b'x'; 60_000]);
    })?;
    let config = format!(
        "
listen tcp
    mode tcp
    timeout connect 5s
    timeout client 1s
    timeout server 1s
    bind {address}
    filter bwlim-out down default-limit 20000 default-period 1s
    tcp-request content set-bandwidth-limit down
    server s1 {}
",
        server.address()
    );
    let _sluice = Sluice::config(config).start()?;
    let start = Instant::now();
    assert_eq!(Client::connect(address)?.rest()?.len(), 60_000);
    took(start, 2.0)
}
