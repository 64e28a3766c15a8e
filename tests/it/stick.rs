//! Persistence and stick tables: the same on Sluice and on HAProxy.

use std::net::SocketAddr;

use anyhow::Result;
use tests::Sluice;
use tests::client::Client;
use tests::net::loopback;
use tests::peer::HttpServer;
use tests::sluice::DEFAULTS;
use tests::wait::{PATIENCE, eventually};

fn start(lines: &str) -> Result<(Sluice, SocketAddr, Vec<HttpServer>)> {
    let servers = ["s1", "s2"].into_iter().map(HttpServer::start).collect::<Result<Vec<_>>>()?;
    let address = loopback()?;
    let config = format!(
        "
defaults
    mode http
    balance roundrobin
    timeout connect 5s
    timeout client 20s
    timeout server 20s
listen web
    bind {address}
    {}
    server s1 {} cookie a
    server s2 {} cookie b
",
        lines.replace('\n', "\n    "),
        servers[0].address(),
        servers[1].address()
    );
    Ok((Sluice::config(config).start()?, address, servers))
}

/// The server that a request on a connection of its own meets, and the cookie it gets.
fn ask(address: SocketAddr, path: &str, fields: &str) -> Result<(String, Option<String>)> {
    let mut client = Client::connect(address)?;
    client.send(format!("GET {path} HTTP/1.1\r\nhost: a\r\n{fields}\r\n"))?;
    let response = client.response()?;
    let field = |name: &str| response.header(name).map(str::to_owned);
    Ok((field("x-server").unwrap_or_default(), field("set-cookie")))
}

#[test]
fn a_cookie_brings_clients_back() -> Result<()> {
    let (_sluice, address, _servers) = start("cookie SRV insert indirect nocache")?;
    for (server, cookie) in [("s1", "a"), ("s2", "b")] {
        let expected = format!("SRV={cookie}; path=/");
        assert_eq!(ask(address, "/", "")?, (server.to_owned(), Some(expected)));
    }
    for (server, cookie) in [("s2", "b"), ("s2", "b"), ("s1", "a"), ("s1", "a")] {
        let fields = format!("cookie: SRV={cookie}\r\n");
        assert_eq!(ask(address, "/", &fields)?, (server.to_owned(), None));
    }
    Ok(())
}

#[test]
fn a_table_brings_clients_back() -> Result<()> {
    let (_sluice, address, _servers) =
        start("stick-table type string len 16 size 100 expire 1m\nstick on req.hdr(x-user)")?;
    let mut met = Vec::new();
    for user in ["u1", "u2", "u1", "u1", "u2", "u2", "u1"] {
        met.push((user, ask(address, "/", &format!("x-user: {user}\r\n"))?.0));
    }
    for (user, server) in &met {
        let first = met.iter().find(|(other, _)| other == user).map(|(_, server)| server);
        assert_eq!(first, Some(server), "{met:?}");
    }
    assert_ne!(met[0].1, met[1].1, "{met:?}");
    Ok(())
}

#[test]
fn more_sets_of_counters_can_be_tracked() -> Result<()> {
    let servers = [HttpServer::start("s1")?];
    let address = loopback()?;
    let config = format!(
        "
global
    tune.stick-counters 12
{DEFAULTS}
listen web
    bind {address}
    stick-table type string len 16 size 100 expire 1m store gpc(2),http_req_cnt
    http-request track-sc11 path
    http-request track-sc3 req.hdr(x-user)
    http-request sc-inc-gpc(1,11) if {{ sc_tracked(3) }}
    http-request deny if {{ sc_http_req_cnt(11) gt 2 }}
    server s1 {}
",
        servers[0].address()
    );
    let sluice = Sluice::config(config).start()?;
    for (fields, expected) in [("", "s1"), ("x-user: u\r\n", "s1"), ("", "")] {
        assert_eq!(ask(address, "/a", fields)?.0, expected, "{fields}");
    }
    let text = sluice.stats().command("show table web")?;
    assert!(text.contains("used:2"), "{text}");
    assert!(text.lines().any(|row| row.ends_with(" http_req_cnt=3 gpc0=0 gpc1=1")), "{text}");
    // The default is three.
    let output = Sluice::config(
        "frontend f\n    bind 127.0.0.1:0\n    http-request track-sc3 src\n    stick-table type ip size 1\n",
    )
    .arg("-c")
    .run()?;
    assert!(!output.status.success());
    Ok(())
}

#[test]
fn what_is_tracked_is_counted() -> Result<()> {
    let (sluice, address, _servers) = start(
        "stick-table type ip size 100 expire 1m store gpc0,gpt0,conn_cnt,http_req_cnt,http_err_cnt,http_fail_cnt
http-request track-sc0 src
http-request sc-inc-gpc0(0) if { path /count }
http-request sc-set-gpt0(0) 7
http-request deny if { path /deny }
http-request deny if { sc_http_req_cnt(0) gt 4 }",
    )?;
    for path in ["/", "/count", "/deny", "/count"] {
        ask(address, path, "")?;
    }
    // The fifth is one too many: no server sees it.
    assert_eq!(ask(address, "/", "")?.0, "");
    let text = sluice.stats().command("show table web")?;
    let values =
        text.lines().nth(1).and_then(|line| line.split_once(" gpt0=")).map(|(_, rest)| rest);
    let expected = "7 gpc0=2 conn_cnt=5 http_req_cnt=5 http_err_cnt=2 http_fail_cnt=0";
    assert_eq!(values, Some(expected), "{text}");
    // What a session still holds is not removed, and a session outlives its client for a moment.
    let shown =
        |part: &str| sluice.stats().command("show table web").is_ok_and(|text| text.contains(part));
    eventually("the last session to end", PATIENCE, || shown(" use=0 "))?;
    sluice.stats().command("clear table web key 127.0.0.1")?;
    assert!(shown("used:0"));
    Ok(())
}
