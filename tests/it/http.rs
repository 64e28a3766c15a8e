//! HTTP/1.1 proxying: messages as they come out on both sides, reuse, errors.

use std::io::{BufRead, Write};
use std::net::{Shutdown, SocketAddr};

use anyhow::Result;
use tests::client::{Client, get, raw};
use tests::net::{free_port, loopback};
use tests::peer::http::filler;
use tests::peer::{HttpServer, ScriptServer};
use tests::sluice::{Peer, peer};
use tests::tools::curl;
use tests::{PATIENCE, Sluice, eventually};

const DEFAULTS: &str = "
defaults
    mode http
    balance roundrobin
    timeout connect 5s
    timeout client 20s
    timeout server 20s
";

/// A balancer with one frontend and one backend; returns it and the frontend's address.
fn proxy(frontend: &str, backend: &str) -> Result<(Sluice, SocketAddr)> {
    let address = loopback()?;
    let config = format!(
        "{DEFAULTS}
frontend web
    bind {address}
    {frontend}
    default_backend app
backend app
    {backend}
"
    );
    Ok((Sluice::config(config).start()?, address))
}

#[test]
fn curl_gets_bodies_of_every_framing() -> Result<()> {
    let server = HttpServer::start("s1")?;
    let (_sluice, address) = proxy("", &format!("server s1 {}", server.address()))?;
    for path in
        ["/bytes/0", "/bytes/10", "/bytes/3000000", "/chunked/3000000", "/until-close/70000"]
    {
        let length: usize = path.rsplit('/').next().unwrap_or_default().parse()?;
        let body = curl(None, &format!("http://{address}{path}"))?;
        assert_eq!(body.len(), length, "{path}");
        assert_eq!(body.into_bytes(), filler(length), "{path}");
    }
    assert_eq!(server.requests(), 5);
    Ok(())
}

#[test]
fn methods_and_statuses_without_a_body() -> Result<()> {
    let server = HttpServer::start("s1")?;
    let (_sluice, address) = proxy("", &format!("server s1 {}", server.address()))?;
    let mut client = Client::connect(address)?;
    client.send("HEAD /bytes/100 HTTP/1.1\r\nhost: a\r\n\r\n")?;
    let response = client.response_to_head()?;
    assert_eq!((response.status, response.header("content-length")), (200, Some("100")));
    assert_eq!(client.get("/status/204")?.status, 204);
    assert_eq!(client.get("/status/304")?.status, 304);
    assert_eq!(client.get("/status/404")?.text(), "s1");
    assert_eq!(client.get("/after")?.status, 200, "framing was kept on one connection");
    Ok(())
}

#[test]
fn keep_alive_reuses_the_server_connection() -> Result<()> {
    let server = HttpServer::start("s1")?;
    let (sluice, address) = proxy("", &format!("server s1 {}", server.address()))?;
    let mut client = Client::connect(address)?;
    for n in 0..20 {
        assert_eq!(client.get(&format!("/{n}"))?.text(), "s1");
    }
    assert_eq!((server.requests(), server.connections()), (20, 1));
    assert_eq!(sluice.stats().count("web", "FRONTEND", "req_tot")?, 20);
    assert_eq!(sluice.stats().count("app", "s1", "stot")?, 20);
    Ok(())
}

#[test]
fn http_server_close_opens_a_connection_per_request() -> Result<()> {
    let server = HttpServer::start("s1")?;
    let backend = format!("option http-server-close\n    server s1 {}", server.address());
    let (_sluice, address) = proxy("", &backend)?;
    let mut client = Client::connect(address)?;
    for _ in 0..5 {
        assert_eq!(client.get("/")?.text(), "s1");
    }
    assert_eq!((server.requests(), server.connections()), (5, 5));
    Ok(())
}

#[test]
fn pipelined_requests_are_answered_in_order() -> Result<()> {
    let server = HttpServer::start("s1")?;
    let (_sluice, address) = proxy("", &format!("server s1 {}", server.address()))?;
    let mut client = Client::connect(address)?;
    let requests: String =
        (1..=10).map(|n| format!("GET /bytes/{n} HTTP/1.1\r\nhost: a\r\n\r\n")).collect();
    client.send(requests)?;
    for n in 1..=10 {
        assert_eq!(client.response()?.body.len(), n);
    }
    Ok(())
}

#[test]
fn request_bodies_arrive_by_length_and_by_chunks() -> Result<()> {
    let server = HttpServer::start("s1")?;
    let (_sluice, address) = proxy("", &format!("server s1 {}", server.address()))?;
    let mut client = Client::connect(address)?;
    client.send("POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello")?;
    assert!(client.response()?.text().ends_with("\r\n\r\nhello"));
    client.send(
        "POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n\
         5\r\nhello\r\n7;ext=1\r\n, world\r\n0\r\n\r\n",
    )?;
    let echoed = client.response()?.text();
    assert!(echoed.ends_with("\r\n\r\nhello, world"), "{echoed}");
    assert!(echoed.to_lowercase().contains("transfer-encoding: chunked"), "{echoed}");
    let big = filler(2_000_000);
    client
        .send(format!("POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", big.len()))?;
    client.send(&big)?;
    assert!(client.response()?.body.ends_with(&big));
    Ok(())
}

#[test]
fn expect_100_continue_is_forwarded() -> Result<()> {
    let server = HttpServer::start("s1")?;
    let (_sluice, address) = proxy("", &format!("server s1 {}", server.address()))?;
    let mut client = Client::connect(address)?;
    client.send(
        "POST /echo HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n",
    )?;
    assert_eq!(client.response()?.status, 100);
    client.send("body")?;
    assert!(client.response()?.text().ends_with("body"));
    Ok(())
}

#[test]
fn hop_by_hop_headers_stop_here_and_the_rest_passes() -> Result<()> {
    let server = HttpServer::start("s1")?;
    let backend = format!("option forwardfor\n    server s1 {}", server.address());
    let (_sluice, address) = proxy("", &backend)?;
    let mut client = Client::connect(address)?;
    client.send(
        "GET /echo HTTP/1.1\r\nHost: Name\r\nX-Case: Kept\r\nConnection: keep-alive\r\n\r\n",
    )?;
    let echoed = client.response()?.text();
    assert!(echoed.starts_with("GET /echo HTTP/1.1\r\n"), "{echoed}");
    let lower = echoed.to_lowercase();
    assert!(lower.contains("\r\nhost: name\r\n"), "{echoed}");
    assert!(lower.contains("\r\nx-case: kept\r\n"), "{echoed}");
    assert!(lower.contains("\r\nx-forwarded-for: 127.0.0.1\r\n"), "{echoed}");
    Ok(())
}

#[test]
fn http_1_0_clients_get_the_connection_closed_or_kept_as_they_ask() -> Result<()> {
    let server = HttpServer::start("s1")?;
    let (_sluice, address) = proxy("", &format!("server s1 {}", server.address()))?;
    let mut client = Client::connect(address)?;
    client.send("GET /bytes/3 HTTP/1.0\r\n\r\n")?;
    assert_eq!(client.response()?.body, b"abc");
    assert!(client.is_closed());
    let mut client = Client::connect(address)?;
    client.send("GET /bytes/3 HTTP/1.0\r\nconnection: keep-alive\r\n\r\n")?;
    let response = client.response()?;
    assert_eq!(response.header("connection"), Some("keep-alive"));
    client.send("GET /bytes/4 HTTP/1.0\r\n\r\n")?;
    assert_eq!(client.response()?.body, b"abcd");
    Ok(())
}

#[test]
fn bad_requests_are_refused_with_400() -> Result<()> {
    let server = HttpServer::start("s1")?;
    let (sluice, address) = proxy("", &format!("server s1 {}", server.address()))?;
    let rows = [
        "not http at all\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nbad header\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nbad name: x\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\ncontent-length: abc\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabc",
        "GET /\u{1} HTTP/1.1\r\nhost: a\r\n\r\n",
    ];
    for request in rows {
        let answer = raw(address, request)?;
        assert!(answer.starts_with("HTTP/1.1 400 Bad request\r\n"), "{request:?}: {answer:?}");
        assert!(answer.to_lowercase().contains("\r\ncontent-type: text/html\r\n"), "{answer:?}");
    }
    assert_eq!(server.requests(), 0, "nothing bad reached the server");
    assert_eq!(sluice.stats().count("web", "FRONTEND", "ereq")?, rows.len() as u64);
    Ok(())
}

#[test]
fn both_framings_together_are_not_smuggled() -> Result<()> {
    let server = HttpServer::start("s1")?;
    let (_sluice, address) = proxy("", &format!("server s1 {}", server.address()))?;
    let mut client = Client::connect(address)?;
    client.send(
        "POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 30\r\ntransfer-encoding: chunked\r\n\r\n\
         0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n",
    )?;
    let response = client.response()?;
    // Refused, or taken as chunked with the length removed and the connection closed after it.
    if response.status == 200 {
        assert!(!response.text().to_lowercase().contains("content-length"), "{}", response.text());
    } else {
        assert_eq!(response.status, 400);
    }
    let _ = client.rest();
    assert_eq!(server.requests_for("/smuggled"), 0);
    Ok(())
}

#[test]
fn a_client_that_sends_no_whole_request_gets_408() -> Result<()> {
    let server = HttpServer::start("s1")?;
    let (_sluice, address) =
        proxy("timeout http-request 200ms", &format!("server s1 {}", server.address()))?;
    let answer = raw(address, "GET / HTTP/1.1\r\nhost:")?;
    assert!(answer.starts_with("HTTP/1.1 408 Request Time-out\r\n"), "{answer:?}");
    Ok(())
}

#[test]
fn server_failures_become_502_503_and_504() -> Result<()> {
    let server = HttpServer::start("s1")?;
    let silent = ScriptServer::start(|stream| {
        // Reads until the proxy gives up.
        let _ = std::io::copy(&mut &stream, &mut std::io::sink());
    })?;
    let nobody = free_port()?;
    let address = loopback()?;
    let config = format!(
        "{DEFAULTS}
    retries 0
frontend web
    bind {address}
    use_backend empty if {{ path /empty }}
    use_backend refused if {{ path /refused }}
    use_backend silent if {{ path /silent }}
    use_backend missing-server if {{ path /none }}
    default_backend app
backend app
    server s1 {}
backend refused
    server s1 127.0.0.1:{nobody}
backend silent
    timeout server 200ms
    server s1 {}
backend empty
backend missing-server
    server s1 127.0.0.1:{nobody} disabled
",
        server.address(),
        silent.address()
    );
    let _sluice = Sluice::config(config).start()?;
    let rows = [
        ("/reset", 502, "Bad Gateway"),
        ("/garbage", 502, "Bad Gateway"),
        ("/refused", 503, "Service Unavailable"),
        ("/empty", 503, "Service Unavailable"),
        ("/none", 503, "Service Unavailable"),
        ("/silent", 504, "Gateway Time-out"),
    ];
    for (path, status, reason) in rows {
        let response = get(address, path)?;
        assert_eq!(response.status, status, "{path}");
        assert_eq!(response.head.lines().next(), Some(&*format!("HTTP/1.1 {status} {reason}")));
        assert_eq!(response.header("content-type"), Some("text/html"), "{path}");
        assert_eq!(response.header("cache-control"), Some("no-cache"), "{path}");
    }
    Ok(())
}

#[test]
fn requests_are_spread_by_algorithm_and_weight() -> Result<()> {
    let servers: Vec<HttpServer> =
        ["s1", "s2", "s3"].iter().map(|name| HttpServer::start(name)).collect::<Result<_>>()?;
    let lines: String = servers
        .iter()
        .zip([1, 2, 3])
        .map(|(server, weight)| {
            format!("    server s{weight} {} weight {weight}\n", server.address())
        })
        .collect();
    let counts = |algorithm: &str, requests: u64| -> Result<Vec<u64>> {
        let before: Vec<u64> = servers.iter().map(HttpServer::requests).collect();
        let (_sluice, address) = proxy("", &format!("balance {algorithm}\n{lines}"))?;
        for n in 0..requests {
            get(address, &format!("/{n}"))?;
        }
        Ok(servers.iter().zip(before).map(|(server, old)| server.requests() - old).collect())
    };
    assert_eq!(counts("roundrobin", 60)?, [10, 20, 30]);
    assert_eq!(counts("static-rr", 60)?, [10, 20, 30]);
    let by_source = counts("source", 12)?;
    assert_eq!(by_source.iter().filter(|count| **count == 12).count(), 1, "{by_source:?}");
    Ok(())
}

#[test]
fn leastconn_avoids_the_busy_server() -> Result<()> {
    let servers = [HttpServer::start("s1")?, HttpServer::start("s2")?];
    let backend = format!(
        "balance leastconn\n    server s1 {}\n    server s2 {}",
        servers[0].address(),
        servers[1].address()
    );
    let (sluice, address) = proxy("", &backend)?;
    let mut busy = Client::connect(address)?;
    busy.send("GET /delay/6000 HTTP/1.1\r\nhost: a\r\n\r\n")?;
    let mut slow = None;
    eventually("the slow request at a server", PATIENCE, || {
        slow = servers.iter().position(|server| server.requests() == 1);
        let in_use = |name| sluice.stats().count("app", name, "scur").unwrap_or(0);
        slow.is_some() && in_use("s1") + in_use("s2") == 1
    })?;
    let slow = slow.expect("found above");
    for _ in 0..6 {
        get(address, "/quick")?;
        // The client has its answer a moment before the server's slot is free again.
        eventually("the end of the quick request", PATIENCE, || {
            let in_use = |name| sluice.stats().count("app", name, "scur").unwrap_or(0);
            in_use("s1") + in_use("s2") == 1
        })?;
    }
    assert_eq!(servers[slow].requests_for("/quick"), 0);
    Ok(())
}

#[test]
fn a_failing_check_takes_the_server_out_and_a_good_one_brings_it_back() -> Result<()> {
    let servers = [HttpServer::start("s1")?, HttpServer::start("s2")?];
    let backend = format!(
        "option httpchk GET /health\n    default-server check inter 50ms fall 2 rise 2\n    \
         server s1 {}\n    server s2 {}",
        servers[0].address(),
        servers[1].address()
    );
    let (sluice, address) = proxy("", &backend)?;
    let status = |wanted: &str| {
        eventually(&format!("s2 {wanted}"), PATIENCE, || {
            sluice.stats().stat("app", "s2", "status").is_ok_and(|status| status == wanted)
        })
    };
    servers[1].set_healthy(false);
    status("DOWN")?;
    for _ in 0..6 {
        assert_eq!(get(address, "/")?.text(), "s1");
    }
    servers[1].set_healthy(true);
    status("UP")?;
    let names: Vec<String> =
        (0..6).map(|_| Ok(get(address, "/")?.text())).collect::<Result<_>>()?;
    assert!(names.contains(&"s2".to_owned()), "{names:?}");
    Ok(())
}

#[test]
fn rules_deny_redirect_rewrite_and_return() -> Result<()> {
    let server = HttpServer::start("s1")?;
    let frontend = "http-request deny if { path /denied }
    http-request deny deny_status 429 if { path /slow-down }
    http-request redirect location /new code 301 if { path /old }
    http-request return status 200 content-type text/plain string \"pong\" if { path /ping }
    http-request set-header x-added %[path,upper]
    http-request del-header x-removed
    http-response set-header x-from %s
    acl is_api path_beg /echo/api
    http-request set-path /echo if is_api";
    let (_sluice, address) = proxy(frontend, &format!("server s1 {}", server.address()))?;
    assert_eq!(get(address, "/denied")?.status, 403);
    assert_eq!(get(address, "/slow-down")?.status, 429);
    let moved = get(address, "/old")?;
    assert_eq!((moved.status, moved.header("location")), (301, Some("/new")));
    let pong = get(address, "/ping")?;
    assert_eq!((pong.status, pong.text().as_str()), (200, "pong"));
    assert_eq!(pong.header("content-type"), Some("text/plain"));
    let mut client = Client::connect(address)?;
    client.send("GET /echo/api HTTP/1.1\r\nhost: a\r\nx-removed: 1\r\n\r\n")?;
    let response = client.response()?;
    assert_eq!(response.header("x-from"), Some("s1"));
    let echoed = response.text();
    assert!(echoed.starts_with("GET /echo HTTP/1.1\r\n"), "{echoed}");
    assert!(echoed.contains("x-added: /ECHO/API\r\n"), "{echoed}");
    assert!(!echoed.contains("x-removed"), "{echoed}");
    Ok(())
}

#[test]
fn cookie_persistence_sticks_to_a_server() -> Result<()> {
    let servers = [HttpServer::start("s1")?, HttpServer::start("s2")?];
    let backend = format!(
        "cookie SRV insert indirect nocache\n    server s1 {} cookie one\n    \
         server s2 {} cookie two",
        servers[0].address(),
        servers[1].address()
    );
    let (_sluice, address) = proxy("", &backend)?;
    let first = get(address, "/")?;
    let cookie = first.header("set-cookie").unwrap_or_default().to_owned();
    let value = if first.text() == "s1" { "one" } else { "two" };
    assert_eq!(cookie, format!("SRV={value}; path=/"));
    for _ in 0..4 {
        let mut client = Client::connect(address)?;
        client.send("GET / HTTP/1.1\r\nhost: a\r\ncookie: SRV=two\r\nconnection: close\r\n\r\n")?;
        assert_eq!(client.response()?.text(), "s2");
    }
    Ok(())
}

#[test]
fn websocket_upgrade_becomes_a_tunnel() -> Result<()> {
    use std::io::{BufRead, BufReader, Write};
    let server = ScriptServer::start(|mut stream| {
        let Ok(copy) = stream.try_clone() else { return };
        let mut reader = BufReader::new(copy);
        let mut line = String::new();
        while reader.read_line(&mut line).is_ok_and(|length| length > 2) {
            line.clear();
        }
        let _ = stream.write_all(
            b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n",
        );
        let _ = std::io::copy(&mut reader, &mut stream);
    })?;
    let (_sluice, address) = proxy("", &format!("server s1 {}", server.address()))?;
    let mut client = Client::connect(address)?;
    client.send("GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n")?;
    assert_eq!(client.response()?.status, 101);
    client.send("any bytes\0 at all")?;
    client.stream().shutdown(Shutdown::Write)?;
    assert_eq!(client.rest()?, b"any bytes\0 at all");
    Ok(())
}

#[test]
fn responses_wait_for_time_and_for_their_body() -> Result<()> {
    let server = ScriptServer::start(|mut stream| {
        let mut reader = std::io::BufReader::new(match stream.try_clone() {
            Ok(reader) => reader,
            Err(_) => return,
        });
        let mut line = String::new();
        while reader.read_line(&mut line).is_ok_and(|n| n > 0) {
            if line.starts_with("GET /late") {
                // The body never comes.
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n");
            } else if line.starts_with("GET /chunks") {
                let _ = stream.write_all(
                    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nsecre\r\n1\r\nt\r\n0\r\n\r\n",
                );
            } else if line.starts_with("GET /length") {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n");
                let _ = stream.write_all(b"public");
            }
            line.clear();
        }
    })?;
    let (_sluice, address) = proxy(
        "http-response wait-for-body time 300ms unless { status 204 }
    http-response deny status 403 if { res.body -m sub secret }
    http-response set-header length %[res.body_len]",
        &format!("retries 0\n    server s1 {}", server.address()),
    )?;
    assert_eq!(get(address, "/chunks")?.status, 403);
    let public = get(address, "/length")?;
    assert_eq!((public.header("length"), public.text().as_str()), (Some("6"), "public"));
    assert_eq!(get(address, "/late")?.status, 504);
    Ok(())
}

#[test]
fn responses_are_paused() -> Result<()> {
    if peer() == Peer::Haproxy {
        // 2.6 does not know the word.
        return Ok(());
    }
    let server = HttpServer::start("s1")?;
    let (_sluice, address) = proxy(
        "http-response pause 200 if { hdr(x) -m found } || { res.hdr(content-length) 10 }
    http-response set-header behind yes",
        &format!("server s1 {}", server.address()),
    )?;
    let mut client = Client::connect(address)?;
    for (path, pause) in [("/bytes/10", 200), ("/bytes/11", 0), ("/bytes/10", 200)] {
        let begun = std::time::Instant::now();
        let response = client.get(path)?;
        assert_eq!((response.status, response.header("behind")), (200, Some("yes")));
        let time = begun.elapsed().as_millis();
        assert!(time + 5 >= pause, "{path}: {time} ms");
    }
    Ok(())
}
