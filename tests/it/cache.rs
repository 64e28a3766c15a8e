//! HTTP caches: what is kept, for whom, and for how long.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use tests::client::{Client, Response};
use tests::net::loopback;
use tests::peer::{ScriptServer, Syslog};
use tests::sluice::{DEFAULTS, Peer, peer};
use tests::tools::curl;
use tests::{PATIENCE, Sluice};

/// A server whose answers say their number in `x-number`. The path is the fields to answer with, `+` for a blank and
/// `~` for the end of a line; the query is the length of the body.
struct Origin {
    server: ScriptServer,
    requests: Arc<AtomicU64>,
}

impl Origin {
    fn start() -> Result<Self> {
        let requests = Arc::new(AtomicU64::new(0));
        let counter = requests.clone();
        let server = ScriptServer::start(move |mut stream| {
            let mut head = Vec::new();
            let mut byte = [0];
            while let Ok(1) = stream.read(&mut byte) {
                head.push(byte[0]);
                if !head.ends_with(b"\r\n\r\n") {
                    continue;
                }
                let number = counter.fetch_add(1, Ordering::Relaxed) + 1;
                let text = String::from_utf8_lossy(&head).into_owned();
                let target = text.split(' ').nth(1).unwrap_or_default();
                let (path, query) = target.split_once('?').unwrap_or((target, "5"));
                let fields = path.trim_start_matches('/').replace('+', " ").replace('~', "\r\n");
                let length: usize = query.parse().unwrap_or(5);
                let lines = if fields.contains(':') { fields + "\r\n" } else { String::new() };
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nx-number: {number}\r\n{lines}content-length: {length}\r\n\r\n{}",
                    "x".repeat(length)
                );
                head.clear();
                if stream.write_all(answer.as_bytes()).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { server, requests })
    }

    fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}

fn proxy(origin: &Origin, cache: &str, lines: &str) -> Result<(Sluice, SocketAddr)> {
    let address = loopback()?;
    let config = format!(
        "
{DEFAULTS}
listen web
    bind {address}
    http-request cache-use store
    http-response cache-store store
    {lines}
    server s1 {}
cache store
    total-max-size 4
    {cache}
",
        origin.server.address()
    );
    Ok((Sluice::config(config).start()?, address))
}

fn ask(client: &mut Client, target: &str, fields: &str) -> Result<Response> {
    client.send(format!("GET {target} HTTP/1.1\r\nhost: a\r\n{fields}\r\n"))?;
    client.response()
}

fn number(response: &Response) -> &str {
    response.header("x-number").unwrap_or_default()
}

#[test]
fn a_stored_response_spares_the_server() -> Result<()> {
    let log = Syslog::start()?;
    let origin = Origin::start()?;
    let lines = format!("log {} local0\n    option httplog", log.address());
    let (sluice, address) = proxy(&origin, "", &lines)?;
    let mut client = Client::connect(address)?;
    let target = "/cache-control:max-age=30~age:7?9000";
    let first = ask(&mut client, target, "")?;
    assert_eq!((number(&first), first.body.len()), ("1", 9000));
    assert!(log.next_with("max-age", PATIENCE)?.contains(" web/s1 "));
    for _ in 0..3 {
        let again = ask(&mut client, target, "")?;
        assert_eq!((number(&again), again.body.len()), ("1", 9000));
        let age: u64 = again.header("age").context("an age")?.parse()?;
        assert!((7..=9).contains(&age), "{age}");
        let line = log.next_with("max-age", PATIENCE)?;
        assert!(line.contains(" web/<CACHE> ") && line.contains(" 200 "), "{line}");
        assert!(line.contains(" LR-- "), "{line}");
    }
    assert_eq!(origin.requests(), 1);
    // Another host is another resource.
    client.send(format!("GET {target} HTTP/1.1\r\nhost: b\r\n\r\n"))?;
    assert_eq!(number(&client.response()?), "2");
    assert_eq!(sluice.stats().count("web", "FRONTEND", "cache_lookups")?, 5);
    assert_eq!(sluice.stats().count("web", "FRONTEND", "cache_hits")?, 3);
    let shown = sluice.stats().command("show cache")?;
    assert!(shown.contains(": store (shctx:0x"), "{shown}");
    assert_eq!(shown.matches("size:").count(), 2, "{shown}");
    Ok(())
}

#[test]
fn what_must_not_be_kept_is_not() -> Result<()> {
    let origin = Origin::start()?;
    let (_sluice, address) = proxy(&origin, "max-object-size 2000", "")?;
    let mut client = Client::connect(address)?;
    for (target, fields) in [
        ("/x-a:b", ""),
        ("/cache-control:max-age=0", ""),
        ("/cache-control:private,max-age=9", ""),
        ("/cache-control:max-age=9~vary:accept-encoding", ""),
        ("/cache-control:max-age=9?3000", ""),
        ("/cache-control:max-age=9?1", "authorization: Basic eA==\r\n"),
        ("/cache-control:max-age=9?2", "cache-control: no-store\r\n"),
    ] {
        let one = ask(&mut client, target, fields)?;
        let two = ask(&mut client, target, fields)?;
        assert_ne!(number(&one), number(&two), "{target}");
    }
    // The client wants a fresh one, which others get from the cache then.
    let target = "/cache-control:max-age=9?7";
    ask(&mut client, target, "")?;
    let fresh = ask(&mut client, target, "cache-control: no-cache\r\n")?;
    assert_ne!(number(&fresh), number(&ask(&mut client, "/x-a:b", "")?));
    assert!(ask(&mut client, target, "")?.header("age").is_some());
    Ok(())
}

#[test]
fn conditional_requests_get_304() -> Result<()> {
    let origin = Origin::start()?;
    let (_sluice, address) = proxy(&origin, "", "")?;
    let mut client = Client::connect(address)?;
    let target = "/etag:%22v1%22~x-a:b".replace("%22", "\"");
    ask(&mut client, &target, "")?;
    for (fields, status) in [
        ("if-none-match: \"v1\"\r\n", 304),
        ("if-none-match: W/\"v1\", \"v2\"\r\n", 304),
        ("if-none-match: *\r\n", 304),
        ("if-none-match: \"v2\"\r\n", 200),
        ("if-modified-since: Thu, 22 Oct 2009 16:51:12 GMT\r\n", 200),
    ] {
        let response = ask(&mut client, &target, fields)?;
        assert_eq!(response.status, status, "{fields}");
        assert_eq!(response.header("etag"), Some("\"v1\""));
    }
    assert_eq!(origin.requests(), 1);
    Ok(())
}

#[test]
fn variants_by_vary() -> Result<()> {
    // HAProxy 2.6 forgets the first variant when the second comes.
    if peer() == Peer::Haproxy {
        return Ok(());
    }
    let origin = Origin::start()?;
    let (_sluice, address) = proxy(&origin, "process-vary on\n    max-secondary-entries 2", "")?;
    let mut client = Client::connect(address)?;
    let target = "/cache-control:max-age=9~vary:referer";
    for (who, expected) in [("x", "1"), ("y", "2"), ("x", "1"), ("z", "3"), ("z", "4"), ("y", "2")]
    {
        let response = ask(&mut client, target, &format!("referer: http://{who}\r\n"))?;
        assert_eq!(number(&response), expected, "{who}");
    }
    let target = "/cache-control:max-age=9~vary:accept-encoding~content-encoding:gzip";
    for (accept, expected) in [("gzip", "5"), ("br, gzip", "5"), ("gzip;q=0, *", "6")] {
        let response = ask(&mut client, target, &format!("accept-encoding: {accept}\r\n"))?;
        assert_eq!(number(&response), expected, "{accept}");
    }
    Ok(())
}

#[test]
fn a_change_makes_the_stored_response_obsolete() -> Result<()> {
    let origin = Origin::start()?;
    let (_sluice, address) = proxy(&origin, "", "")?;
    let mut client = Client::connect(address)?;
    let target = "/cache-control:max-age=9";
    ask(&mut client, target, "")?;
    assert_eq!(number(&ask(&mut client, target, "")?), "1");
    client.send(format!("POST {target} HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"))?;
    assert_eq!(number(&client.response()?), "2");
    assert_eq!(number(&ask(&mut client, target, "")?), "3");
    Ok(())
}

/// The cache holds what the server sent; each client gets it as it wants it.
#[test]
fn stored_responses_are_compressed_for_those_who_want_it() -> Result<()> {
    let origin = Origin::start()?;
    let (_sluice, address) = proxy(&origin, "max-object-size 1000000", "compression algo gzip")?;
    let path = "/cache-control:max-age=9?400000";
    let url = format!("http://{address}{path}");
    for (options, coded) in [
        ("--http2-prior-knowledge --compressed", true),
        ("--http2-prior-knowledge", false),
        ("--http1.1 --compressed", true),
        ("--http1.1", false),
    ] {
        let text = curl(None, &format!("{options} -D - {url}"))?;
        let (head, body) = text.split_once("\r\n\r\n").context("a head")?;
        assert_eq!(head.contains("content-encoding: gzip"), coded, "{options}: {head}");
        assert!(body.len() == 400_000 && body.bytes().all(|b| b == b'x'), "{options}");
    }
    // HAProxy 2.6 keeps no response that it compressed.
    if peer() == Peer::Sluice {
        assert_eq!(origin.requests(), 1);
    }
    Ok(())
}

#[test]
fn hints_of_a_response_that_is_gone() -> Result<()> {
    // Debian's HAProxy does not know them.
    if peer() == Peer::Haproxy {
        return Ok(());
    }
    let origin = Origin::start()?;
    let (sluice, address) = proxy(&origin, "early-hints only", "")?;
    let mut client = Client::connect(address)?;
    let target = "/cache-control:max-age=9~link:<a>;rel=preload,<b>;rel=next";
    assert_eq!(ask(&mut client, target, "")?.status, 200);
    let hint = ask(&mut client, target, "")?;
    assert_eq!((hint.status, hint.header("link")), (103, Some("<a>;rel=preload")));
    assert_eq!(client.response()?.status, 200);
    assert_eq!(sluice.stats().count("web", "FRONTEND", "cache_hint_hits")?, 1);
    assert_eq!(origin.requests(), 2);
    Ok(())
}
