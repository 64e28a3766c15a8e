//! `trace`, `traces` sections, `-dt`: what the engine does is told to rings.

use std::net::SocketAddr;

use anyhow::Result;
use tests::client::{get, raw};
use tests::net::loopback;
use tests::peer::HttpServer;
use tests::sluice::DEFAULTS;
use tests::{PATIENCE, Sluice, Stats, eventually};

fn config(address: SocketAddr, server: SocketAddr, more: &str) -> String {
    format!(
        "
ring kept
    format raw
    size 64k
{more}
{DEFAULTS}
frontend web
    bind {address}
    default_backend app
backend app
    server s1 {server}
"
    )
}

/// What came into the ring, once `part` is there.
fn told(stats: &Stats, part: &str) -> Result<String> {
    let read = || stats.command("show events kept").unwrap_or_default();
    eventually(part, PATIENCE, || read().contains(part))?;
    Ok(read())
}

#[test]
fn a_section_traces_from_the_start() -> Result<()> {
    let (address, server) = (loopback()?, HttpServer::start("s1")?);
    let traces = "
traces
    trace h1 sink kept level data verbosity complete start now
    trace stream sink kept level user verbosity minimal start now
    trace session sink kept start now
";
    let sluice = Sluice::config(config(address, server.address(), traces)).start()?;
    get(address, "/some/path")?;
    let text = told(sluice.stats(), "sent H1 response body")?;
    let part = |text: &str, part: &str| text.lines().any(|line| line.contains(part));
    assert!(part(&text, "|session|1|session.rs:"), "{text}");
    assert!(
        part(&text, "|h1|1|session.rs:") && part(&text, "rcvd H1 request GET /some/path"),
        "{text}"
    );
    assert!(part(&text, "sent H1 request GET /some/path HTTP/1.1 body=None [host: "), "{text}");
    assert!(part(&text, "rcvd H1 response 200 "), "{text}");
    assert!(part(&text, "|stream|1|request.rs:") && part(&text, "backend chosen app"), "{text}");
    assert!(part(&text, &format!("connected to server s1 {} (new)", server.address())), "{text}");
    assert!(part(&text, " fe=web/") && part(&text, " be=app srv=s1"), "{text}");
    Ok(())
}

#[test]
fn commands_start_lock_and_stop() -> Result<()> {
    let (address, server) = (loopback()?, HttpServer::start("s1")?);
    let sluice = Sluice::config(config(address, server.address(), "")).start()?;
    let stats = sluice.stats();
    get(address, "/before")?;
    let set = "trace session sink kept lock session start sess_new pause sess_end; \
               trace h1 sink kept level user verbosity clean follow session";
    assert_eq!(stats.command(set)?.trim(), "");
    let list = stats.command("trace")?;
    assert!(list.contains(" [w] session ") && list.contains(" [.] h1 "), "{list}");
    get(address, "/first")?;
    told(stats, "session end")?;
    get(address, "/second")?;
    let text = told(stats, "/second")?;
    assert!(!text.contains("/before"), "{text}");
    assert!(text.contains("rcvd H1 request GET /first"), "{text}");
    // Several lines of one turn, into a ring that is always there.
    stats.quiet("trace stream sink buf0 level developer verbosity complete start now")?;
    get(address, "/turn")?;
    eventually("the end of the stream", PATIENCE, || {
        stats.command("show events buf0").is_ok_and(|text| text.contains("stream terminated"))
    })?;
    assert_eq!(stats.command("trace 0")?, "All traces now stopped");
    let show = stats.command("show trace session")?;
    assert!(show.contains("  - sink: kept [0 dropped]\n"), "{show}");
    assert!(show.contains("    sess_new     :        +        +        -       -\n"), "{show}");
    get(address, "/third")?;
    assert!(!stats.command("show events kept")?.contains("/third"));
    Ok(())
}

#[test]
fn faults_of_peers_are_traced_on_the_level_of_errors() -> Result<()> {
    let (address, server) = (loopback()?, HttpServer::start("s1")?);
    let mut sluice = Sluice::config(config(address, server.address(), "")).arg("-dt").start()?;
    raw(address, b"GET / HTTP/9.x\r\n\r\n")?;
    let place = sluice.program().wait_line("bad H1 request", PATIENCE)?;
    get(address, "/fine")?;
    raw(address, b"GET / HTTP/9.x\r\n\r\n")?;
    sluice.program().wait_line_from(place + 1, "bad H1 request", PATIENCE)?;
    let log = sluice.program().log();
    assert!(log.contains("|h1|0|session.rs:"), "{log}");
    assert!(!log.contains("/fine"), "{log}");
    Ok(())
}

#[test]
fn what_a_section_cannot_do_stops_the_start() -> Result<()> {
    let address = loopback()?;
    let traces = "traces\n    trace h1 sink nowhere\n    trace h7 start now\n";
    let output = Sluice::config(config(address, address, traces)).arg("-c").run()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(text.contains("'trace': No such sink"), "{text}");
    assert!(text.contains("'trace': No such trace source"), "{text}");
    Ok(())
}
