//! Stick tables shared with peers: of this program, and of a real HAProxy.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::{Context, Result};
use tests::Sluice;
use tests::certificates::Authority;
use tests::client::get;
use tests::net::loopback;
use tests::peer::HttpServer;
use tests::sluice::{DEFAULTS, Peer};
use tests::wait::{PATIENCE, eventually};

/// Both ends of a section of two peers, `a` and `b`.
struct Mesh {
    /// Where each listens for the other.
    peers: [SocketAddr; 2],
    /// Where clients connect.
    web: [SocketAddr; 2],
    server: HttpServer,
    /// Options behind `bind` lines, and of `default-server`.
    bind: String,
    default_server: String,
}

impl Mesh {
    fn new() -> Result<Self> {
        Ok(Self {
            peers: [loopback()?, loopback()?],
            web: [loopback()?, loopback()?],
            server: HttpServer::start("s1")?,
            bind: String::new(),
            default_server: "tcp-ut 30s".to_owned(),
        })
    }

    fn config(&self, node: usize) -> String {
        let Self { peers, web, server, bind, default_server } = self;
        let line = |other: usize| {
            let name = ["a", "b"][other];
            match other == node {
                true => format!("server {name}"),
                false => format!("server {name} {}", peers[other]),
            }
        };
        format!(
            "
peers mesh
    bind {} {bind}
    default-server {default_server}
    {}
    {}
    table own type ip size 100 expire 30s store gpc0
{DEFAULTS}
listen web
    bind {}
    stick-table type string len 20 size 10k expire 1m store server_id,server_key,conn_cur,http_req_cnt,http_req_rate(60s),gpt(3),gpc(2),gpc_rate(2,60s) peers mesh
    http-request track-sc0 path
    http-request track-sc1 src table mesh/own
    http-request sc-inc-gpc(1,0)
    http-request sc-inc-gpc0(1)
    http-request sc-set-gpt(2,0) 7
    stick on path
    server s1 {}
",
            peers[node],
            line(0),
            line(1),
            web[node],
            server.address(),
        )
    }

    fn start(&self, node: usize, program: Option<Peer>) -> Result<Sluice> {
        let builder = Sluice::config(self.config(node)).arg("-L").arg(["a", "b"][node]);
        match program {
            Some(program) => builder.program(program),
            None => builder,
        }
        .start()
    }
}

/// The entries of a table: what is stored, by key, without what differs between programs; the milliseconds they live on.
fn entries(node: &Sluice, table: &str) -> Result<BTreeMap<String, (String, u64)>> {
    let text = node.stats().command(&format!("show table {table}"))?;
    let mut entries = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("0x")) {
        let words = |name: &str| {
            let found = line.split(' ').find_map(|word| word.strip_prefix(name));
            found.with_context(|| line.to_owned())
        };
        let (_, rest) = line.split_once(" exp=").context("exp")?;
        let values: Vec<&str> =
            rest.split(' ').skip(1).filter(|word| !word.starts_with("shard=")).collect();
        entries.insert(words("key=")?.to_owned(), (values.join(" "), words("exp=")?.parse()?));
    }
    Ok(entries)
}

fn values(node: &Sluice, table: &str) -> BTreeMap<String, String> {
    let entries = entries(node, table).unwrap_or_default();
    entries.into_iter().map(|(key, (values, _))| (key, values)).collect()
}

fn same(nodes: [&Sluice; 2], table: &str, keys: usize) -> Result<()> {
    let both = || nodes.map(|node| values(node, table));
    eventually("the same on both sides", PATIENCE, || {
        let [a, b] = both();
        a.len() == keys && a == b
    })
    .with_context(|| format!("{:#?}", both()))
}

fn exchange(mesh: &Mesh, programs: [Option<Peer>; 2]) -> Result<()> {
    let a = mesh.start(0, programs[0])?;
    let b = mesh.start(1, programs[1])?;
    get(mesh.web[0], "/one")?;
    same([&a, &b], "web", 1)?;
    for _ in 0..3 {
        get(mesh.web[1], "/two")?;
    }
    same([&a, &b], "web", 2)?;
    // It goes on where the other has left off.
    get(mesh.web[0], "/two")?;
    same([&a, &b], "web", 2)?;
    let expected = "server_id=1 conn_cur=0 http_req_cnt=4 http_req_rate(60000)=4 server_key=s1 gpt0=0 gpt1=0 gpt2=7 gpc0=0 gpc1=4 gpc0_rate(60000)=0 gpc1_rate(60000)=4";
    assert_eq!(values(&b, "web").get("/two").map(String::as_str), Some(expected));
    // Tables of sections have names of their own.
    same([&a, &b], "mesh/own", 1)
}

#[test]
fn entries_are_shared() -> Result<()> {
    exchange(&Mesh::new()?, [None, None])
}

#[test]
fn entries_are_shared_with_haproxy() -> Result<()> {
    exchange(&Mesh::new()?, [None, Some(Peer::Haproxy)])?;
    exchange(&Mesh::new()?, [Some(Peer::Haproxy), None])
}

#[test]
fn entries_are_shared_over_tls() -> Result<()> {
    let authority = Authority::new()?;
    let (pem, ca) = (authority.issue("peer.pem", "peer.test", 30)?, authority.ca());
    let tls = |mesh: Mesh| Mesh {
        bind: format!("ssl crt {pem} ca-file {ca} verify required"),
        default_server: format!("ssl crt {pem} ca-file {ca} verify required"),
        ..mesh
    };
    exchange(&tls(Mesh::new()?), [None, None])?;
    exchange(&tls(Mesh::new()?), [None, Some(Peer::Haproxy)])
}

/// What is there when the other starts is learned, and lives no longer than where it comes from.
fn teach(programs: [Option<Peer>; 2]) -> Result<()> {
    let mesh = Mesh::new()?;
    let a = mesh.start(0, programs[0])?;
    for i in 0..50 {
        get(mesh.web[0], &format!("/{i}"))?;
    }
    let expires = |node: &Sluice| entries(node, "web").ok()?.get("/7").map(|(_, ms)| *ms);
    eventually("a second to pass", PATIENCE, || expires(&a).is_some_and(|ms| ms < 59_000))?;
    let b = mesh.start(1, programs[1])?;
    same([&a, &b], "web", 50)?;
    let learned = expires(&b).context("no entry")?;
    // HAProxy tells everything once more as if it had just changed.
    let teaches_by_itself = programs[0].unwrap_or_else(tests::sluice::peer) == Peer::Haproxy;
    assert!(learned < 59_000 || teaches_by_itself, "{learned}");
    assert!(values(&b, "web")["/7"].contains("server_key=s1 gpt0=0 gpt1=0 gpt2=7"));
    Ok(())
}

#[test]
fn a_late_peer_learns_everything() -> Result<()> {
    teach([None, None])
}

#[test]
fn a_late_peer_learns_everything_from_haproxy_and_the_other_way_round() -> Result<()> {
    teach([Some(Peer::Haproxy), None])?;
    teach([None, Some(Peer::Haproxy)])
}

#[test]
fn a_peer_that_was_away_is_told_what_happened() -> Result<()> {
    let mesh = Mesh::new()?;
    let a = mesh.start(0, None)?;
    let b = mesh.start(1, None)?;
    get(mesh.web[0], "/one")?;
    same([&a, &b], "web", 1)?;
    drop(a);
    get(mesh.web[1], "/two")?;
    let a = mesh.start(0, None)?;
    get(mesh.web[0], "/three")?;
    same([&a, &b], "web", 3)
}

#[test]
fn a_reload_keeps_what_was_counted() -> Result<()> {
    let mesh = Mesh::new()?;
    let builder = Sluice::config(mesh.config(0)).arg("-L").arg("a").master();
    let mut a = builder.start()?;
    for i in 0..500 {
        get(mesh.web[0], &format!("/{i}"))?;
    }
    let before = values(&a, "web");
    assert_eq!(before.len(), 500);
    for round in 0..3 {
        let old = a.worker_pid()?;
        a.reload()?;
        eventually("what was counted before", PATIENCE, || values(&a, "web") == before)
            .with_context(|| format!("round {round}: {} entries", values(&a, "web").len()))?;
        eventually("the old worker's end", PATIENCE, || {
            !std::path::Path::new(&format!("/proc/{old}")).exists()
        })?;
    }
    Ok(())
}

#[test]
fn the_state_of_peers_is_shown() -> Result<()> {
    let mesh = Mesh::new()?;
    let a = mesh.start(0, None)?;
    let _b = mesh.start(1, None)?;
    get(mesh.web[0], "/one")?;
    let shown = || a.stats().command("show peers mesh").unwrap_or_default();
    eventually("the peer's confirmation", PATIENCE, || {
        let text = shown();
        text.contains("id=b(remote,")
            && text.contains("last_status=ESTA")
            && text.contains("last_acked=1")
    })
    .with_context(shown)?;
    assert!(shown().contains(" id=mesh disabled=0 "), "{}", shown());
    eventually("the name of the server", PATIENCE, || {
        a.stats().command("show peers dict mesh").is_ok_and(|text| text.contains("  1 -> s1"))
    })?;
    assert_eq!(a.stats().command("show peers none")?.trim(), "No such peers");
    eventually("the count", PATIENCE, || a.stats().info("ActivePeers").is_ok_and(|n| n == "1"))
}
