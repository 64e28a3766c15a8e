//! `retry-on`: requests that are sent again after a server failed them. `SLUICE_PEER=haproxy` asks HAProxy.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use tests::Sluice;
use tests::client::Client;
use tests::net::loopback;
use tests::peer::ScriptServer;
use tests::sluice::{Peer, peer};
use tests::tools::curl;

/// How a server fails its first request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fails {
    Empty,
    Junk,
    Partial,
    Silent,
    Status(u16),
}

/// Reads a request whose body, if any, ends with `end`.
fn request(client: &mut TcpStream) -> Option<Vec<u8>> {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let head = request.windows(4).position(|w| w == b"\r\n\r\n").map(|at| at + 4);
        if let Some(head) = head {
            let text = String::from_utf8_lossy(&request[..head]).to_ascii_lowercase();
            let chunked = text.contains("transfer-encoding");
            let body = &request[head..];
            let whole = match (text.contains("content-length"), chunked) {
                (_, true) => body.ends_with(b"0\r\n\r\n"),
                (true, _) => body.ends_with(b"end"),
                (false, false) => true,
            };
            if whole {
                return Some(request.split_off(head));
            }
        }
        match client.read(&mut buffer) {
            Ok(count @ 1..) => request.extend_from_slice(&buffer[..count]),
            _ => return None,
        }
    }
}

/// Fails the first request and answers the others with their bodies.
fn flaky(fails: Fails) -> Result<ScriptServer> {
    let count = Arc::new(AtomicU64::new(0));
    ScriptServer::start(move |mut client| {
        let Some(body) = request(&mut client) else { return };
        let answer = |status, body: &[u8]| {
            let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", body.len());
            [head.as_bytes(), body].concat()
        };
        let bytes = if count.fetch_add(1, Ordering::Relaxed) > 0 {
            answer(200, &body)
        } else {
            match fails {
                Fails::Empty => return,
                Fails::Junk => b"what?\r\n\r\n".to_vec(),
                Fails::Partial => b"HTTP/1.1 200 OK\r\na: b".to_vec(),
                Fails::Silent => {
                    let _ = client.read(&mut [0; 1]);
                    return;
                }
                Fails::Status(status) => answer(status, b"no"),
            }
        };
        let _ = client.write_all(&bytes);
    })
}

/// A proxy in front of `server`; `lines` are of its section.
fn proxy(server: &ScriptServer, lines: &str) -> Result<(Sluice, SocketAddr)> {
    let address = loopback()?;
    let lines = lines.replace('\n', "\n    ");
    let config = format!(
        "defaults
    mode http
    timeout connect 2s
    timeout client 9s
    timeout server 300ms
listen web
    bind {address}
    {lines}
    server s {}
",
        server.address()
    );
    Ok((Sluice::config(config).start()?, address))
}

/// Posts a body; the status, and how often the server was asked.
fn check(lines: &str, fails: Fails, expected: (u16, u64)) -> Result<()> {
    let server = flaky(fails)?;
    let (sluice, address) = proxy(&server, lines)?;
    let mut client = Client::connect(address)?;
    client.send("POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: 8\r\n\r\nsome end")?;
    let response = client.response()?;
    assert_eq!((response.status, server.connections()), expected, "{lines} {fails:?}");
    if expected == (200, 2) {
        assert_eq!(response.body, b"some end", "{lines} {fails:?}");
        // Debian's counts twice.
        let counted = if peer() == Peer::Haproxy { 2 } else { 1 };
        assert_eq!(sluice.stats().count("web", "s", "wretr")?, counted, "{lines} {fails:?}");
    }
    Ok(())
}

#[test]
fn failures_are_tried_again_as_asked() -> Result<()> {
    check("retry-on conn-failure", Fails::Empty, (502, 1))?;
    check("retry-on empty-response", Fails::Empty, (200, 2))?;
    check("retry-on empty-response", Fails::Junk, (502, 1))?;
    check("retry-on junk-response", Fails::Junk, (200, 2))?;
    if peer() == Peer::Sluice {
        // Debian's does not count a head that breaks off.
        check("retry-on junk-response", Fails::Partial, (200, 2))?;
    }
    check("retry-on empty-response", Fails::Silent, (504, 1))?;
    check("retry-on response-timeout", Fails::Silent, (200, 2))?;
    check("retry-on 503 404", Fails::Status(503), (200, 2))?;
    check("retry-on 504", Fails::Status(503), (503, 1))?;
    check("retry-on all-retryable-errors", Fails::Status(500), (200, 2))?;
    check("retry-on all-retryable-errors", Fails::Status(404), (404, 1))?;
    check("retry-on all-retryable-errors\nretries 0", Fails::Status(500), (500, 1))?;
    let off = "retry-on all-retryable-errors\nhttp-request disable-l7-retry if { path /x }";
    check(off, Fails::Empty, (502, 1))
}

#[test]
fn bodies_come_again_whatever_carries_them() -> Result<()> {
    let lines = "retry-on empty-response";
    // In chunks, and behind the head.
    let server = flaky(Fails::Empty)?;
    let (_sluice, address) = proxy(&server, lines)?;
    let mut client = Client::connect(address)?;
    client
        .send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")?;
    client.send("3\r\nend\r\n0\r\n\r\n")?;
    let response = client.response()?;
    // The chunks may be others.
    let body = String::from_utf8_lossy(&response.body).replace("\r\n3\r\n", "");
    assert_eq!(response.status, 200);
    assert!(body.contains("\r\nhelloend\r\n0\r\n\r\n"), "{body}");
    // What follows on the connection is not touched.
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n")?;
    assert_eq!(client.response()?.status, 200);
    // Over HTTP/2.
    let server = flaky(Fails::Empty)?;
    let (_sluice, address) = proxy(&server, lines)?;
    let body = curl(None, &format!("--http2-prior-knowledge -d some-end http://{address}/"))?;
    assert_eq!(body, "some-end");
    // More than a buffer holds is sent once only.
    let server = flaky(Fails::Empty)?;
    let (_sluice, address) = proxy(&server, lines)?;
    let mut client = Client::connect(address)?;
    let large = [vec![b'x'; 40_000], b"end".to_vec()].concat();
    client
        .send(format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", large.len()))?;
    client.send(&large)?;
    assert_eq!(client.response()?.status, 502);
    assert_eq!(server.connections(), 1);
    Ok(())
}

#[test]
fn another_server_may_get_the_next_try() -> Result<()> {
    let bad = flaky(Fails::Status(503))?;
    let good = flaky(Fails::Status(200))?;
    let address = loopback()?;
    let config = format!(
        "defaults
    mode http
    timeout connect 2s
    timeout client 9s
    timeout server 9s
listen web
    bind {address}
    balance first
    retry-on 503
    option redispatch 1
    server bad {}
    server good {}
",
        bad.address(),
        good.address()
    );
    let sluice = Sluice::config(config).start()?;
    assert_eq!(tests::client::get(address, "/")?.status, 200);
    assert_eq!((bad.connections(), good.connections()), (1, 1));
    assert_eq!(sluice.stats().count("web", "bad", "wredis")?, 1);
    Ok(())
}
