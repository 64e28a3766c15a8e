//! `compression`: what is compressed, how it is told, and what it costs.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::mpsc;

use anyhow::{Context, Result};
use tests::client::{Client, Response};
use tests::net::loopback;
use tests::peer::{HttpServer, ScriptServer, Syslog};
use tests::sluice::{DEFAULTS, Peer, peer};
use tests::{PATIENCE, Sluice, eventually};
use zlib_rs::{Inflate, InflateFlush};

/// What `window` says is zlib's: 16 more for gzip, no header for the raw form.
fn unpack(packed: &[u8], header: bool, window: u8) -> Result<Vec<u8>> {
    let mut inflate = Inflate::new(header, window);
    let mut out = vec![0; 4 << 20];
    inflate
        .decompress(packed, &mut out, InflateFlush::SyncFlush)
        .map_err(|error| anyhow::anyhow!("{error:?}"))?;
    out.truncate(usize::try_from(inflate.total_out())?);
    Ok(out)
}

fn gunzip(packed: &[u8]) -> Result<Vec<u8>> {
    unpack(packed, true, 15 + 16)
}

fn proxy(global: &str, front: &str, back: &str) -> Result<(Sluice, SocketAddr)> {
    let address = loopback()?;
    let config = format!(
        "
    {global}
{DEFAULTS}
frontend web
    bind {address}
    {front}
    default_backend app
backend app
    {back}
"
    );
    Ok((Sluice::config(config).start()?, address))
}

fn ask(client: &mut Client, path: &str, accept: &str) -> Result<Response> {
    client.send(format!("GET {path} HTTP/1.1\r\nhost: a\r\naccept-encoding: {accept}\r\n\r\n"))?;
    client.response()
}

#[test]
fn responses_are_compressed_as_clients_accept() -> Result<()> {
    let log = Syslog::start()?;
    let server = HttpServer::start("s1")?;
    let (sluice, address) = proxy(
        "",
        &format!(
            "compression algo gzip deflate raw-deflate\n    log {} local0\n    \
             log-format \"%HU %[res.comp] %[res.comp_algo]\"",
            log.address()
        ),
        &format!("server s1 {}", server.address()),
    )?;
    let mut client = Client::connect(address)?;
    let (mut taken, mut given) = (0, 0);
    for (path, length) in [
        ("/bytes/5", 5),
        ("/bytes/100000", 100_000),
        ("/bytes/1000000", 1_000_000),
        ("/chunked/5", 5),
        ("/chunked/300000", 300_000),
    ] {
        // What HAProxy's package calls deflate has a wrong checksum now and then.
        let ways = [("gzip", true, 15 + 16), ("deflate", true, 15)];
        let ways = if peer() == Peer::Haproxy { &ways[..1] } else { &ways[..] };
        for &(accept, header, window) in ways {
            let response = ask(&mut client, path, accept)?;
            assert_eq!(response.status, 200);
            assert_eq!(response.header("content-encoding"), Some(accept), "{path}");
            assert_eq!(response.header("vary"), Some("Accept-Encoding"));
            assert_eq!(response.header("transfer-encoding"), Some("chunked"));
            assert_eq!(response.header("content-length"), None);
            let body = unpack(&response.body, header, window)?;
            assert!(body == tests::peer::filler(length), "{path} {accept}");
            let line = log.next_with(path, PATIENCE)?;
            assert_eq!(line, format!("{path} 1 {accept}"));
            taken += length as u64;
            given += response.body.len() as u64;
        }
        let plain = ask(&mut client, path, "br, gzip;q=0")?;
        assert_eq!(plain.header("content-encoding"), None);
        assert!(plain.body == tests::peer::filler(length));
        assert_eq!(log.next_with(path, PATIENCE)?, format!("{path} 0 -"));
    }
    for service in [("web", "FRONTEND"), ("app", "BACKEND")] {
        let count = |column| sluice.stats().count(service.0, service.1, column);
        if peer() == Peer::Sluice {
            assert_eq!(count("comp_in")?, taken);
            assert_eq!(count("comp_out")?, given);
        }
        assert_eq!(count("comp_rsp")?, if peer() == Peer::Haproxy { 5 } else { 10 });
        assert_eq!(count("comp_byp")?, 0);
    }
    Ok(())
}

/// What a server sends can be read before it sends more: nothing waits in the compressor.
#[test]
fn a_compressed_response_keeps_flowing() -> Result<()> {
    let (go_on, wait) = mpsc::channel();
    let wait = std::sync::Mutex::new(wait);
    let server = ScriptServer::start(move |mut stream| {
        let mut head = [0; 1024];
        let _ = stream.read(&mut head);
        let _ = stream
            .write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n");
        if let Ok(wait) = wait.lock() {
            let _ = wait.recv();
        }
        let _ = stream.write_all(b"6\r\n world\r\n0\r\nx-sum: 1\r\n\r\n");
    })?;
    let (_sluice, address) =
        proxy("", "", &format!("compression algo gzip\n    server s1 {}", server.address()))?;
    let mut client = Client::connect(address)?;
    client.send("GET / HTTP/1.1\r\nhost: a\r\naccept-encoding: gzip\r\n\r\n")?;
    while !client.line()?.is_empty() {}
    let size = usize::from_str_radix(&client.line()?, 16)?;
    let mut packed = client.exactly(size)?;
    let early = gunzip(&packed)?;
    // HAProxy's compressor may keep the last bytes for a moment.
    assert!(early == b"hello" || peer() == Peer::Haproxy && b"hello".starts_with(&early));
    assert_eq!(client.line()?, "");
    go_on.send(()).context("the server waits")?;
    loop {
        let size = usize::from_str_radix(&client.line()?, 16)?;
        if size == 0 {
            break;
        }
        packed.extend(client.exactly(size)?);
        assert_eq!(client.line()?, "");
    }
    assert_eq!(gunzip(&packed)?, b"hello world");
    assert_eq!(client.line()?, "x-sum: 1");
    assert_eq!(client.line()?, "");
    Ok(())
}

#[test]
fn http2_clients_get_compressed_responses() -> Result<()> {
    let server = HttpServer::start("s1")?;
    let (_sluice, address) =
        proxy("", "", &format!("compression algo gzip\n    server s1 {}", server.address()))?;
    for path in ["/bytes/200000", "/chunked/200000"] {
        let url = format!("http://{address}{path}");
        let text =
            tests::tools::curl(None, &format!("--http2-prior-knowledge --compressed -D - {url}"))?;
        let (head, body) = text.split_once("\r\n\r\n").context("a head")?;
        assert!(head.contains("content-encoding: gzip"), "{head}");
        assert!(!head.contains("transfer-encoding") && !head.contains("content-length"), "{head}");
        assert!(body.as_bytes() == tests::peer::filler(200_000), "{path}");
    }
    Ok(())
}

/// Beyond `maxcomprate` a response goes as it is, and is counted.
#[test]
fn too_much_at_once_is_not_compressed() -> Result<()> {
    let server = HttpServer::start("s1")?;
    let (sluice, address) = proxy(
        "maxcomprate 1",
        "",
        &format!("compression algo gzip\n    server s1 {}", server.address()),
    )?;
    let mut client = Client::connect(address)?;
    let first = ask(&mut client, "/bytes/500000", "gzip")?;
    assert_eq!(first.header("content-encoding"), Some("gzip"));
    assert!(gunzip(&first.body)? == tests::peer::filler(500_000));
    let second = ask(&mut client, "/bytes/1000", "gzip")?;
    assert_eq!(second.header("content-encoding"), None);
    assert_eq!(second.body.len(), 1000);
    assert_eq!(sluice.stats().count("app", "BACKEND", "comp_rsp")?, 1);
    // HAProxy counts only what passes a compressor that had begun.
    if peer() == Peer::Sluice {
        eventually("the bytes passed by", PATIENCE, || {
            sluice.stats().count("app", "BACKEND", "comp_byp").is_ok_and(|bytes| bytes == 1000)
        })?;
    }
    assert_eq!(sluice.stats().info("CompressBpsRateLim")?, "1024");
    Ok(())
}

/// With memory for one compressor only, a second response at the same time is not compressed; once the first has
/// ended there is memory again.
#[test]
fn memory_for_compressors_is_bounded() -> Result<()> {
    // HAProxy's package compresses without memory of its own.
    if peer() == Peer::Haproxy {
        return Ok(());
    }
    let (go_on, wait) = mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let server = ScriptServer::start(move |mut stream| {
        let mut head = [0; 1024];
        while let Ok(n @ 1..) = stream.read(&mut head) {
            let slow = head[..n].starts_with(b"GET /slow");
            let start = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello";
            let _ = stream.write_all(start);
            if slow && let Ok(wait) = wait.lock() {
                let _ = wait.recv();
            }
            let _ = stream.write_all(b"world");
        }
    })?;
    let (sluice, address) = proxy(
        "maxzlibmem 1\n    tune.zlib.windowsize 15\n    tune.zlib.memlevel 9",
        "",
        &format!("compression algo gzip\n    server s1 {}", server.address()),
    )?;
    // 128 KB of window and 256 KB of hash: two fit into a megabyte.
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut client = Client::connect(address)?;
        client.send("GET /slow HTTP/1.1\r\nhost: a\r\naccept-encoding: gzip\r\n\r\n")?;
        assert!(client.line()?.contains("200"));
        held.push(client);
    }
    let mut client = Client::connect(address)?;
    assert_eq!(ask(&mut client, "/", "gzip")?.header("content-encoding"), None);
    go_on.send(())?;
    go_on.send(())?;
    eventually("memory given back", PATIENCE, || {
        sluice.stats().info("ZlibMemUsage").is_ok_and(|used| used == "0")
    })?;
    assert_eq!(ask(&mut client, "/", "gzip")?.header("content-encoding"), Some("gzip"));
    Ok(())
}

#[test]
fn requests_are_compressed_too() -> Result<()> {
    // Debian's HAProxy cannot.
    if peer() == Peer::Haproxy {
        return Ok(());
    }
    let server = HttpServer::start("s1")?;
    let (_sluice, address) = proxy(
        "",
        "filter comp-req",
        &format!(
            "compression algo-req gzip\n    compression type-req text/plain\n    \
             compression minsize-req 10\n    compression direction request\n    server s1 {}",
            server.address()
        ),
    )?;
    let mut client = Client::connect(address)?;
    let mut post = |kind: &str, framing: &str, body: &str| -> Result<(String, Vec<u8>)> {
        client.send(format!(
            "POST /echo HTTP/1.1\r\nhost: a\r\ncontent-type: {kind}\r\n{framing}\r\n{body}"
        ))?;
        let response = client.response()?;
        let at = response.body.windows(4).position(|w| w == b"\r\n\r\n").context("a head")?;
        let head = String::from_utf8_lossy(&response.body[..at + 2]).to_lowercase();
        Ok((head, response.body[at + 4..].to_vec()))
    };
    let long = "content-length: 20\r\n";
    let (head, body) = post("text/plain", long, "hello hello hello he")?;
    assert!(head.contains("content-encoding: gzip\r\n"), "{head}");
    assert!(head.contains("transfer-encoding: chunked\r\n"), "{head}");
    assert!(!head.contains("content-length"), "{head}");
    assert_eq!(gunzip(&body)?, b"hello hello hello he");
    let chunked = "transfer-encoding: chunked\r\n";
    let (head, body) = post("text/plain", chunked, "3\r\nabc\r\n0\r\n\r\n")?;
    assert!(head.contains("content-encoding: gzip\r\n"), "{head}");
    assert_eq!(gunzip(&body)?, b"abc");
    for (kind, framing, text) in [
        ("text/plain", "content-length: 5\r\n", "hello"),
        ("image/png", long, "hello hello hello he"),
        ("text/plain", "content-encoding: br\r\ncontent-length: 12\r\n", "hello hello "),
    ] {
        let (head, body) = post(kind, framing, text)?;
        assert!(!head.contains("gzip"), "{head}");
        assert_eq!(body, text.as_bytes());
    }
    Ok(())
}

/// What is sent again is compressed again, and its head says so once.
#[test]
fn a_compressed_request_can_be_sent_again() -> Result<()> {
    if peer() == Peer::Haproxy {
        return Ok(());
    }
    let refusing = HttpServer::start("s0")?;
    refusing.set_healthy(false);
    let server = HttpServer::start("s1")?;
    let (_sluice, address) = proxy(
        "",
        "",
        &format!(
            "compression direction request\n    compression algo-req gzip\n    retry-on 503\n    \
             retries 2\n    option redispatch 1\n    balance roundrobin\n    server s0 {}\n    server s1 {}",
            refusing.address(),
            server.address()
        ),
    )?;
    let mut client = Client::connect(address)?;
    client
        .send("POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 20\r\n\r\nhello hello hello he")?;
    let response = client.response()?;
    assert_eq!(response.status, 200);
    let at = response.body.windows(4).position(|w| w == b"\r\n\r\n").context("a head")?;
    let head = String::from_utf8_lossy(&response.body[..at + 2]).to_lowercase();
    assert_eq!(head.matches("content-encoding: gzip\r\n").count(), 1, "{head}");
    assert_eq!(head.matches("transfer-encoding").count(), 1, "{head}");
    assert_eq!(gunzip(&response.body[at + 4..])?, b"hello hello hello he");
    assert_eq!(refusing.requests(), 1);
    Ok(())
}
