//! `expose-fd listeners`, `_getsocks` and `-x`: listening sockets go from process to process, whichever of the two
//! programs they are.

use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::Result;
use nix::sys::signal::Signal;
use tests::load::{Connections, Load};
use tests::net::{free_port, loopback};
use tests::peer::HttpServer;
use tests::sluice::{DEFAULTS, Files, Peer};
use tests::{PATIENCE, Sluice};

fn config(
    directory: &Path,
    address: SocketAddr,
    abstract_name: &str,
    server: &HttpServer,
) -> String {
    let (directory, port) = (directory.display(), address.port());
    format!(
        "
global
    stats socket {directory}/exposed.sock mode 600 level admin expose-fd listeners
{DEFAULTS}
listen web
    bind {address}
    bind ipv6@[::1]:{port} interface lo
    bind unix@{directory}/web.sock
    bind abns@{abstract_name}
    server s1 {}
",
        server.address()
    )
}

/// Each program takes over from the one before, under load. No request may fail, but `lost` by a connection that was
/// reset.
fn succession(programs: &[Peer], lost: u64) -> Result<()> {
    let server = HttpServer::start("s1")?;
    let address = loopback()?;
    let v6 = SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, address.port()));
    let files = Files::new()?;
    let directory = files.path("");
    let name = format!("sluice-handover-{}", address.port());
    let text = config(&directory, address, &name, &server);
    let mut running = Sluice::config(text.as_str()).program(programs[0]).start()?;
    let loads = [
        Load::start(address, "/", Connections::PerRequest, 3),
        Load::start(v6, "/", Connections::PerRequest, 1),
        Load::start(address, "/", Connections::KeepAlive, 1),
    ];
    let unix = directory.join("web.sock");
    for next in &programs[1..] {
        loads[0].wait_more(100)?;
        let next = Sluice::config(text.as_str())
            .program(*next)
            .arg("-x")
            .arg(directory.join("exposed.sock"))
            .arg("-sf")
            .arg(running.program().pid().to_string())
            .start()?;
        let code = running.program().wait_code(PATIENCE)?;
        assert_eq!(code, 0, "{}", running.program().log());
        running = next;
        // Unix sockets are still found where they were.
        UnixStream::connect(&unix)?;
        loads[0].wait_more(100)?;
    }
    let log = running.program().log();
    for load in loads {
        let tally = load.stop();
        let resets = tally.failures.iter().filter(|(why, _)| why.contains("reset by peer"));
        let resets: u64 = resets.map(|(_, count)| *count).sum();
        let failures: u64 = tally.failures.values().sum();
        let fine = failures == resets && resets <= lost;
        assert!(fine, "{:?}, {} good\n{log}", tally.failures, tally.good);
    }
    assert_eq!(running.stop(Signal::SIGUSR1)?, 0);
    Ok(())
}

#[test]
fn haproxy_takes_over_from_us_and_gives_back() -> Result<()> {
    use Peer::{Haproxy, Sluice};
    // In about one run of five a connection is reset. HAProxy opens an IPv6 socket of its own beside ours, which explained
    // those that were traced; whether it explains all is not known.
    succession(&[Sluice, Haproxy, Sluice, Haproxy, Sluice], 2)
}

#[test]
fn we_take_over_from_ourselves() -> Result<()> {
    succession(&[Peer::Sluice, Peer::Sluice, Peer::Sluice], 0)
}

#[test]
fn only_a_socket_that_exposes_them_gives_listeners() -> Result<()> {
    let server = HttpServer::start("s1")?;
    let address = loopback()?;
    let files = Files::new()?;
    let name = format!("sluice-hidden-{}", address.port());
    let text = config(&files.path(""), address, &name, &server);
    let sluice = Sluice::config(text.replace(" expose-fd listeners", "")).start()?;
    assert_eq!(sluice.stats().command("_getsocks")?, "");
    let from = files.path("exposed.sock");
    let other = format!("listen a\n    mode tcp\n    bind 127.0.0.1:{}\n", free_port()?);
    let start = |from: &Path| Sluice::config(other.as_str()).arg("-x").arg(from).run();
    for from in [from.as_path(), Path::new("/nonexistent/sock")] {
        let output = start(from)?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("Failed to get the sockets from the old process"), "{said}");
    }
    Ok(())
}
