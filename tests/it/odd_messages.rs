//! Messages that most never send: what becomes of them, and what settings make of that.

use std::net::SocketAddr;

use anyhow::Result;
use tests::Sluice;
use tests::client::{Client, raw};
use tests::net::loopback;
use tests::peer::HttpServer;
use tests::sluice::{DEFAULTS, Peer, peer};

/// A balancer with these lines in its global section and its frontend.
fn serve(global: &str, frontend: &str, server: &HttpServer) -> Result<(Sluice, SocketAddr)> {
    let address = loopback()?;
    let config = format!(
        "
    {global}
{DEFAULTS}
frontend web
    bind {address}
    {frontend}
    default_backend app
backend app
    server s1 {}
",
        server.address()
    );
    Ok((Sluice::config(config).start()?, address))
}

/// A request in HTTP/1.0 by a method that has no payload may be read differently on the way here.
#[test]
fn old_requests_have_no_unexpected_payload() -> Result<()> {
    // Debian's HAProxy does not know this yet.
    if peer() == Peer::Haproxy {
        return Ok(());
    }
    let server = HttpServer::start("s1")?;
    let request = "GET /echo HTTP/1.0\r\ncontent-length: 5\r\n\r\nhello";
    for (global, status) in [("", 413), ("h1-accept-payload-with-any-method", 200)] {
        let (_sluice, address) = serve(global, "", &server)?;
        let mut client = Client::connect(address)?;
        client.send(request)?;
        assert_eq!(client.response()?.status, status, "{global}");
        let post = raw(address, request.replace("GET", "POST"))?;
        assert!(post.starts_with("HTTP/1.1 200"), "{post}");
    }
    Ok(())
}

#[test]
fn two_lengths_end_the_connection_unless_told_otherwise() -> Result<()> {
    let server = HttpServer::start("s1")?;
    let request = "POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\
                   transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let options: &[(&str, bool)] = match peer() {
        Peer::Haproxy => &[("", false)],
        Peer::Sluice => &[("", false), ("h1-do-not-close-on-insecure-transfer-encoding", true)],
    };
    for &(global, stays) in options {
        let (_sluice, address) = serve(global, "", &server)?;
        let mut client = Client::connect(address)?;
        client.send(request)?;
        let response = client.response()?;
        assert!(!response.text().contains("content-length"), "{}", response.text());
        assert_eq!(response.header("connection"), (!stays).then_some("close"), "{global}");
        if stays {
            assert_eq!(client.get("/")?.status, 200);
        } else {
            assert!(client.is_closed());
        }
    }
    Ok(())
}

/// Heads that only the relaxed rules take are counted for each connection.
#[test]
fn odd_heads_wear_a_connection_out() -> Result<()> {
    if peer() == Peer::Haproxy {
        return Ok(());
    }
    let server = HttpServer::start("s1")?;
    let (_sluice, address) = serve(
        "tune.h1.fe.glitches-threshold 4",
        "option accept-unsafe-violations-in-http-request",
        &server,
    )?;
    let odd = "GET /#x HTTP/1.1\r\nhost: a\r\n\r\n";
    let mut client = Client::connect(address)?;
    for n in 1..=2 {
        client.send(odd)?;
        let response = client.response()?;
        assert_eq!((response.status, response.header("connection")), (200, None), "{n}");
    }
    // What is well formed costs nothing.
    assert_eq!(client.get("/")?.header("connection"), None);
    client.send(odd)?;
    assert_eq!(client.response()?.header("connection"), Some("close"));
    assert!(client.is_closed());
    // Pipelined, the last one gets no answer at all.
    let answers = raw(address, odd.repeat(4))?;
    assert_eq!(answers.matches("HTTP/1.1 200").count(), 3, "{answers}");
    Ok(())
}

/// Clients learn of WebSocket over HTTP/2 from a setting of the server (RFC 8441 section 3).
#[test]
fn websocket_over_http2_is_told_or_not() -> Result<()> {
    let server = HttpServer::start("s1")?;
    for (global, told) in [("", true), ("h2-workaround-bogus-websocket-clients", false)] {
        let (_sluice, address) = serve(global, "", &server)?;
        let mut client = Client::connect(address)?;
        client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")?;
        let head = client.exactly(9)?;
        assert_eq!(head[3], 4, "the first frame is SETTINGS");
        let length = usize::from(head[1]) << 8 | usize::from(head[2]);
        let settings = client.exactly(length)?;
        let found = settings.chunks(6).any(|setting| setting == [0, 8, 0, 0, 0, 1]);
        assert_eq!(found, told, "{global} {settings:?}");
    }
    Ok(())
}

/// `option forwarded` (RFC 7239).
#[test]
fn the_forwarded_field_tells_what_it_is_asked_for() -> Result<()> {
    // Debian's HAProxy does not have it.
    if peer() == Peer::Haproxy {
        return Ok(());
    }
    let server = HttpServer::start("s1")?;
    let rows = [
        ("", "proto=http;for=192.0.2.7"),
        ("proto", "proto=http"),
        (
            "host by by_port for for_port",
            "host=\"a.test\";by=\"127.0.0.1:PORT\";for=\"192.0.2.7:MINE\"",
        ),
        ("for-expr src,xxh32,hex", "for=_00000000F43A09FB"),
        (
            "host-expr str(b.test) by-expr str(_me) for-expr ipv6(2001:db8::1) for_port-expr int(8)",
            "host=\"b.test\";by=_me;for=\"[2001:db8::1]:8\"",
        ),
        ("for-expr hdr(none) by", "by=127.0.0.1;for=unknown"),
    ];
    for (words, expected) in rows {
        let address = loopback()?;
        let config = format!(
            "
{DEFAULTS}
    option forwarded host
listen web
    bind {address}
    http-request set-src str(192.0.2.7)
    option forwarded {words}
    server s1 {}
",
            server.address()
        );
        let _sluice = Sluice::config(config).start()?;
        let mut client = Client::connect(address)?;
        client.send("GET /echo HTTP/1.1\r\nhost: a.test\r\nforwarded: for=x\r\n\r\n")?;
        let text = client.response()?.text();
        let fields: Vec<&str> =
            text.lines().filter_map(|line| line.strip_prefix("forwarded: ")).collect();
        let mine = client.stream().local_addr()?.port().to_string();
        let expected = expected.replace("PORT", &address.port().to_string()).replace("MINE", &mine);
        assert_eq!(fields, ["for=x", &expected], "{words}");
    }
    Ok(())
}
