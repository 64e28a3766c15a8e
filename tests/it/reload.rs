//! Reloads: nothing is lost, and a bad configuration changes nothing.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use nix::sys::signal::Signal;
use tests::client::{Client, get};
use tests::load::{Connections, Load};
use tests::net::loopback;
use tests::peer::HttpServer;
use tests::sluice::{Peer, peer};
use tests::{PATIENCE, Sluice, eventually};

fn config(address: SocketAddr, server: &HttpServer) -> String {
    format!(
        "
defaults
    mode http
    balance roundrobin
    timeout connect 5s
    timeout client 20s
    timeout server 20s
listen web
    bind {address}
    server s1 {}
",
        server.address()
    )
}

/// Five reloads while four clients send; not one request may fail.
fn reload_under(connections: Connections) -> Result<()> {
    let server = HttpServer::start("s1")?;
    let address = loopback()?;
    let mut sluice = Sluice::config(config(address, &server)).master().start()?;
    let load = Load::start(address, "/", connections, 4);
    for _ in 0..5 {
        load.wait_more(50)?;
        sluice.reload()?;
    }
    load.wait_more(50)?;
    let tally = load.stop();
    assert_eq!(tally.failures, Default::default(), "{} good", tally.good);
    assert!(tally.good >= 300, "{}", tally.good);
    Ok(())
}

#[test]
fn no_new_connection_is_lost() -> Result<()> {
    reload_under(Connections::PerRequest)
}

#[test]
fn no_kept_connection_is_cut_in_an_exchange() -> Result<()> {
    reload_under(Connections::KeepAlive)
}

#[test]
fn the_new_configuration_takes_over_and_the_old_worker_ends() -> Result<()> {
    let (old, new) = (HttpServer::start("old")?, HttpServer::start("new")?);
    let address = loopback()?;
    let mut sluice = Sluice::config(config(address, &old)).master().start()?;
    assert_eq!(get(address, "/")?.text(), "old");
    let (master, first) = (sluice.program().pid(), sluice.worker_pid()?);
    sluice.rewrite(&config(address, &new))?;
    sluice.reload()?;
    eventually("the old worker's end", PATIENCE, || {
        !std::path::Path::new(&format!("/proc/{first}")).exists()
    })?;
    assert_eq!(get(address, "/")?.text(), "new");
    assert_eq!(sluice.program().pid(), master, "the master keeps its pid");
    Ok(())
}

#[test]
fn the_old_worker_finishes_what_it_began() -> Result<()> {
    let server = HttpServer::start("s1")?;
    let address = loopback()?;
    let mut sluice = Sluice::config(config(address, &server)).master().start()?;
    let mut client = Client::connect(address)?;
    client.send("GET /delay/1500 HTTP/1.1\r\nhost: a\r\n\r\n")?;
    eventually("the request at the server", PATIENCE, || server.connections() == 1)?;
    sluice.reload()?;
    assert_eq!(client.response()?.text(), "s1");
    Ok(())
}

#[test]
fn a_bad_configuration_leaves_the_old_worker_serving() -> Result<()> {
    let server = HttpServer::start("s1")?;
    let address = loopback()?;
    let mut sluice = Sluice::config(config(address, &server)).master().start()?;
    let worker = sluice.worker_pid()?;
    let bad = config(address, &server).replace("mode http", "mode htpt");
    sluice.rewrite(&bad)?;
    let from = sluice.program().lines().len();
    sluice.program().signal(Signal::SIGUSR2)?;
    sluice.program().wait_line_from(from, "htpt", PATIENCE)?;
    assert_eq!(get(address, "/")?.text(), "s1");
    if peer() == Peer::Sluice {
        assert_eq!(sluice.worker_pid()?, worker);
    }
    // And the next good one is taken.
    sluice.rewrite(&config(address, &server))?;
    eventually("a reload after the failed one", PATIENCE, || {
        let _ = sluice.program().signal(Signal::SIGUSR2);
        eventually("another worker", Duration::from_secs(2), || {
            sluice.worker_pid().is_ok_and(|pid| pid != worker)
        })
        .is_ok()
    })?;
    assert_eq!(get(address, "/")?.text(), "s1");
    Ok(())
}
