//! Connections to servers: which request may use which of them, how many there are, and what the kernel carries.

use anyhow::Result;
use tests::certificates::Authority;
use tests::client::{Client, get, raw};
use tests::net::loopback;
use tests::peer::HttpServer;
use tests::peer::http::filler;
use tests::sluice::{DEFAULTS, Peer, peer};
use tests::{PATIENCE, Sluice, eventually};

/// How many of 40 requests, each on a connection of its own to one of eight threads, opened a connection to a server.
fn opened(global: &str, server: &str, receiver: &str) -> Result<usize> {
    let (web, app) = (loopback()?, loopback()?);
    let config = format!(
        "global
    nbthread 8
    {global}
{DEFAULTS}
listen web
    bind {web}
    http-reuse always
    server s1 {app} {server}
listen app
    bind {app} {receiver}
    http-request return status 200
    http-after-response set-header first %[http_first_req]
"
    );
    let _sluice = Sluice::config(config).start()?;
    let mut opened = 0;
    for _ in 0..40 {
        let answer = get(web, "/")?;
        assert_eq!(answer.status, 200);
        opened += usize::from(answer.header("first") == Some("1"));
    }
    Ok(opened)
}

#[test]
fn threads_take_idle_connections_of_each_other() -> Result<()> {
    // One that is given back at the moment when the next request looks for it is missed: some may be more than one.
    let few = opened("", "", "")?;
    assert!(few <= 5, "{few} connections");
    let authority = Authority::new()?;
    let file = authority.issue("app.pem", "app.test", 30)?;
    let few = opened("", "ssl verify none", &format!("ssl crt {file}"))?;
    assert!(few <= 5, "{few} connections over TLS");
    let many = opened("tune.idle-pool.shared off", "", "")?;
    assert!(many > few, "{many} connections");
    Ok(())
}

#[test]
fn the_name_of_a_connection_tells_it_apart() -> Result<()> {
    if peer() == Peer::Haproxy {
        return Ok(());
    }
    let server = HttpServer::start("s1")?;
    let web = loopback()?;
    let config = format!(
        "{DEFAULTS}
listen web
    bind {web}
    server s1 {} pool-conn-name req.hdr(x-name) pool-low-conn 2
",
        server.address()
    );
    let _sluice = Sluice::config(config).start()?;
    let mut client = Client::connect(web)?;
    for (name, connections) in [("a", 1), ("a", 1), ("b", 2), ("a", 2), ("b", 2), ("", 3)] {
        client.send(format!("GET / HTTP/1.1\r\nhost: h\r\nx-name: {name}\r\n\r\n"))?;
        assert_eq!(client.response()?.status, 200);
        assert_eq!(server.connections(), connections, "{name:?}");
    }
    Ok(())
}

/// Idle connections make room, whatever thread they belong to, and busy ones do not.
#[test]
fn strict_maxconn_counts_idle_connections() -> Result<()> {
    if peer() == Peer::Haproxy {
        return Ok(());
    }
    let server = HttpServer::start("s1")?;
    let web = loopback()?;
    let config = format!(
        "global
    nbthread 4
{DEFAULTS}
listen web
    bind {web}
    http-reuse safe
    server s1 {} maxconn 2 strict-maxconn pool-low-conn 100
",
        server.address()
    );
    let sluice = Sluice::config(config).start()?;
    // Each first request of a client wants a connection of its own.
    let mut clients = Vec::new();
    for _ in 0..12 {
        let mut client = Client::connect(web)?;
        assert_eq!(client.get("/")?.status, 200);
        clients.push(client);
        let idle = sluice.stats().count("web", "s1", "srv_icur")?;
        assert!(idle <= 2, "{idle} idle connections");
    }
    assert_eq!(server.connections(), 12);
    Ok(())
}

#[test]
fn the_kernel_carries_bodies() -> Result<()> {
    let server = HttpServer::start("s1")?;
    let web = loopback()?;
    let config = format!(
        "{DEFAULTS}
listen web
    bind {web}
    option splice-request
    option splice-response
    server s1 {}
",
        server.address()
    );
    let sluice = Sluice::config(config).start()?;
    let mut client = Client::connect(web)?;
    for path in ["/bytes/3000000", "/chunked/300000", "/bytes/10", "/until-close/3000000"] {
        let length = path.rsplit('/').next().unwrap_or_default().parse()?;
        let answer = client.get(path)?;
        assert!(answer.body == filler(length), "{path}: {} bytes", answer.body.len());
        if answer.header("connection") == Some("close") {
            client = Client::connect(web)?;
        }
    }
    let body = filler(2_000_000);
    client.send(format!(
        "POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n",
        body.len()
    ))?;
    client.send(&body)?;
    let answer = client.response()?;
    assert!(answer.body.ends_with(&body));
    assert_eq!(client.get("/after")?.status, 200);
    // The whole of it was counted, whoever carried it.
    let stats = sluice.stats();
    eventually("counted", PATIENCE, || {
        let bytes = |column| stats.count("web", "FRONTEND", column).unwrap_or(0);
        bytes("bin") > 2_000_000 && bytes("bout") > 8_300_000
    })?;
    for (service, column) in [
        ("FRONTEND", "h1_spliced_bytes_in"),
        ("FRONTEND", "h1_spliced_bytes_out"),
        ("BACKEND", "h1_spliced_bytes_in"),
        ("BACKEND", "h1_spliced_bytes_out"),
    ] {
        let bytes = stats.count("web", service, column)?;
        assert!(bytes > 1_000_000, "{service} {column}: {bytes}");
    }
    Ok(())
}

/// What `h1_*`, `h2_*` and `ssl_*` count; what HTTP/1 counts the same against HAProxy.
#[test]
fn modules_count_connections_streams_and_handshakes() -> Result<()> {
    let server = HttpServer::start("s1")?;
    let (web, far) = (loopback()?, loopback()?);
    let authority = Authority::new()?;
    let pem = authority.issue("far.pem", "far.test", 30)?;
    let config = format!(
        "
{DEFAULTS}
listen web
    bind {web}
    http-reuse always
    server far {far} ssl verify none alpn h2
listen far
    bind {far} ssl crt {pem} alpn h2
    http-reuse always
    server s1 {}
",
        server.address()
    );
    let sluice = Sluice::config(config).start()?;
    let stats = sluice.stats();
    let mut client = Client::connect(web)?;
    for _ in 0..3 {
        assert_eq!(client.get("/bytes/1000")?.status, 200);
    }
    // To the same host: it is the name that TLS to the server is for.
    client.send("POST /echo HTTP/1.1\r\nhost: sluice.test\r\ncontent-length: 5\r\n\r\nhello")?;
    assert_eq!(client.response()?.status, 200);
    let count = |proxy: &str, service: &str, column: &str| {
        stats.count(proxy, service, column).map_err(|error| error.context(column.to_owned()))
    };
    eventually("the end of the last request", PATIENCE, || {
        count("web", "FRONTEND", "h1_open_streams").is_ok_and(|open| open == 0)
    })?;
    let rows = [
        ("web", "FRONTEND", "h1_total_connections", 1),
        ("web", "FRONTEND", "h1_open_connections", 1),
        ("web", "FRONTEND", "h1_total_streams", 4),
        ("web", "BACKEND", "h2_total_connections", 1),
        ("web", "BACKEND", "h2_open_connections", 1),
        ("web", "BACKEND", "h2_backend_total_streams", 4),
        ("web", "BACKEND", "h2_backend_open_streams", 0),
        ("web", "BACKEND", "h2_headers_rcvd", 4),
        ("web", "BACKEND", "ssl_sess", 1),
        ("web", "far", "ssl_sess", 1),
        ("web", "FRONTEND", "ssl_sess", 0),
        ("far", "FRONTEND", "ssl_sess", 1),
        ("far", "FRONTEND", "ssl_failed_handshake", 0),
        ("far", "FRONTEND", "h2_total_connections", 1),
        ("far", "FRONTEND", "h2_headers_rcvd", 4),
        ("far", "FRONTEND", "h2_data_rcvd", 1),
        ("far", "FRONTEND", "h1_total_connections", 0),
        ("far", "BACKEND", "h1_total_connections", 1),
        ("far", "BACKEND", "h1_total_streams", 4),
        ("far", "BACKEND", "h1_open_streams", 0),
        ("far", "BACKEND", "h1_open_connections", 1),
    ];
    for (proxy, service, column, expected) in rows {
        assert_eq!(count(proxy, service, column)?, expected, "{proxy} {service} {column}");
    }
    for (proxy, service) in [("web", "FRONTEND"), ("far", "BACKEND")] {
        assert!(count(proxy, service, "h1_bytes_in")? > 100);
        assert!(count(proxy, service, "h1_bytes_out")? > 100);
    }
    assert!(count("far", "FRONTEND", "h2_settings_rcvd")? >= 1);
    raw(far, "this is no TLS\r\n\r\n")?;
    eventually("the failed handshake", PATIENCE, || {
        count("far", "FRONTEND", "ssl_failed_handshake").is_ok_and(|failed| failed == 1)
    })?;
    drop(client);
    eventually("the end of the client's connection", PATIENCE, || {
        count("web", "FRONTEND", "h1_open_connections").is_ok_and(|open| open == 0)
    })
}

/// What nobody speaks of is spliced where much comes at once.
#[test]
fn long_bodies_are_spliced_unless_that_is_refused() -> Result<()> {
    let server = HttpServer::start("s1")?;
    for (global, option, spliced) in
        [("", "", true), ("", "no option splice-auto", false), ("nosplice", "", false)]
    {
        let web = loopback()?;
        let config = format!(
            "    {global}
{DEFAULTS}
listen web
    bind {web}
    {option}
    server s1 {}
",
            server.address()
        );
        let sluice = Sluice::config(config).start()?;
        let mut client = Client::connect(web)?;
        let answer = client.get("/bytes/8000000")?;
        assert!(answer.body == filler(8_000_000), "{} bytes", answer.body.len());
        let stats = sluice.stats();
        eventually("counted", PATIENCE, || {
            stats.count("web", "FRONTEND", "bout").unwrap_or(0) > 8_000_000
        })?;
        let bytes = stats.count("web", "FRONTEND", "h1_spliced_bytes_out")?;
        assert_eq!(bytes > 0, spliced, "{global}{option}: {bytes}");
    }
    Ok(())
}
