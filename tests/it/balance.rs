//! Balancing algorithms against a real HAProxy: the same keys must meet the same servers.

use std::net::SocketAddr;
use std::process::Command;

use anyhow::Result;
use tests::client::Client;
use tests::net::loopback;
use tests::peer::HttpServer;
use tests::sluice::{DEFAULTS, Files, Peer, peer};
use tests::{PATIENCE, Program, Sluice, eventually};

const SERVERS: usize = 3;
const HAPROXY: &str = "/usr/sbin/haproxy";

fn config(address: SocketAddr, balance: &str, servers: &[HttpServer]) -> String {
    let lines: String = servers
        .iter()
        .enumerate()
        .map(|(n, server)| {
            format!("    server s{} {} weight {}\n", n + 1, server.address(), 10 * (n + 1))
        })
        .collect();
    format!(
        "{DEFAULTS}
listen web
    bind {address}
    {}
{lines}",
        balance.replace('\n', "\n    ")
    )
}

/// The servers that these requests meet, in order.
fn servers_of(address: SocketAddr, requests: &[String]) -> Result<Vec<String>> {
    let mut servers = Vec::new();
    for request in requests {
        let mut client = Client::connect(address)?;
        client.send(request)?;
        servers.push(client.response()?.header("x-server").unwrap_or("?").to_owned());
    }
    Ok(servers)
}

fn check(balance: &str, request: impl Fn(usize) -> String) -> Result<()> {
    if peer() != Peer::Sluice {
        return Ok(());
    }
    let servers =
        (1..=SERVERS).map(|n| HttpServer::start(&format!("s{n}"))).collect::<Result<Vec<_>>>()?;
    let requests: Vec<String> = (0..40).map(request).collect();

    let address = loopback()?;
    let _sluice = Sluice::config(config(address, balance, &servers)).start()?;
    let ours = servers_of(address, &requests)?;

    let address = loopback()?;
    let files = Files::new()?;
    let file = files.write("haproxy.cfg", &config(address, balance, &servers))?;
    let haproxy = Program::start("haproxy", Command::new(HAPROXY).args(["-db", "-f"]).arg(&file))?;
    eventually("haproxy", PATIENCE, || Client::connect(address).is_ok())?;
    let theirs = servers_of(address, &requests)?;
    drop(haproxy);

    assert_eq!(ours, theirs, "{balance}");
    for n in 1..=SERVERS {
        assert!(ours.contains(&format!("s{n}")), "{balance}: s{n} is never chosen: {ours:?}");
    }
    Ok(())
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n")
}

#[test]
fn uri_hashes_the_path_as_far_as_asked() -> Result<()> {
    check("balance uri", |n| get(&format!("/dir{}/page{n}.html?x={n}", n % 7)))?;
    check("balance uri whole", |n| get(&format!("/page?x={n}")))?;
    check("balance uri len 8 depth 2", |n| get(&format!("/d{}/{n}/page", n % 9)))?;
    check("balance uri\nhash-type map-based djb2 avalanche", |n| get(&format!("/page{n}")))
}

#[test]
fn parameters_headers_and_expressions_are_hashed() -> Result<()> {
    check("balance url_param id", |n| get(&format!("/page?a=b&id=user{n}")))?;
    check("balance url_param id\nhash-type map-based crc32", |n| get(&format!("/?id={n}")))?;
    check("balance hdr(User-Agent)\nhash-type map-based wt6", |n| {
        format!("GET / HTTP/1.1\r\nhost: a\r\nuser-agent: browser {n}\r\n\r\n")
    })?;
    check("balance hdr(host) use_domain_only", |n| {
        format!("GET / HTTP/1.1\r\nhost: www.site{n}.org:80\r\n\r\n")
    })?;
    check("balance hash req.hdr(x-key),lower", |n| {
        format!("GET / HTTP/1.1\r\nhost: a\r\nx-key: KEY-{n}\r\n\r\n")
    })
}

/// Without a key the servers take turns.
#[test]
fn without_a_key_servers_take_turns() -> Result<()> {
    check("balance url_param id", |_| get("/page"))?;
    check("balance hdr(x-none)", |_| get("/page"))
}

#[test]
fn first_fills_one_server_after_the_other() -> Result<()> {
    if peer() != Peer::Sluice {
        return Ok(());
    }
    let servers = [HttpServer::start("s1")?, HttpServer::start("s2")?];
    let address = loopback()?;
    let _sluice = Sluice::config(config(address, "balance first", &servers)).start()?;
    let requests: Vec<String> = (0..5).map(|n| get(&format!("/{n}"))).collect();
    assert_eq!(servers_of(address, &requests)?, ["s1"; 5]);
    Ok(())
}

#[test]
fn algorithms_that_need_http_fall_back_with_a_warning() -> Result<()> {
    let config = "defaults\n    mode tcp\n    timeout connect 5s\n    timeout client 9s\n    \
                  timeout server 9s\nlisten raw\n    bind 127.0.0.1:1\n    balance uri\n    \
                  server s1 127.0.0.1:2\n";
    let output = Sluice::config(config).arg("-c").run()?;
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("Falling back to round robin"), "{text}");
    Ok(())
}
