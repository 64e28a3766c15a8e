//! Threads, CPUs, limits, rights and sockets of the process: what `global` and `bind` lines say about them.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use tests::client::{self, Client};
use tests::net::loopback;
use tests::peer::{HttpServer, ScriptServer};
use tests::sluice::{DEFAULTS, Peer, peer};
use tests::{PATIENCE, Sluice, eventually};

/// An HTTP proxy on `address`.
fn http(address: SocketAddr, global: &str, lines: &str) -> String {
    format!(
        "
global
    {global}
{DEFAULTS}
frontend www
    bind {address} {lines}
    http-request return status 200 content-type text/plain string yes
"
    )
}

/// Fields of the status files of all threads of a process.
fn of_threads(pid: u32, field: &str) -> Result<Vec<String>> {
    let mut values = Vec::new();
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        values.push(of_status(&task?.path().join("status"), field)?);
    }
    Ok(values)
}

fn of_status(path: &std::path::Path, field: &str) -> Result<String> {
    let status = fs::read_to_string(path)?;
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    Ok(line.with_context(|| format!("no {field} in {status}"))?.trim().to_owned())
}

#[test]
fn threads_run_on_the_cpus_of_their_map() -> Result<()> {
    let address = loopback()?;
    let mut sluice =
        Sluice::config(http(address, "nbthread 2\n cpu-map auto:1/1-2 0-1", "")).start()?;
    let pid = sluice.program().pid();
    let cpus = of_threads(pid, "Cpus_allowed_list:")?;
    for cpu in ["0", "1"] {
        ensure!(cpus.iter().any(|list| list == cpu), "{cpus:?}");
    }
    assert_eq!(client::get(address, "/")?.status, 200);
    Ok(())
}

#[test]
fn a_listener_may_be_for_some_threads_only() -> Result<()> {
    let address = loopback()?;
    let sluice =
        Sluice::config(http(address, "nbthread 2\n thread-groups 2", "thread 2/1 shards by-group"))
            .start()?;
    for _ in 0..8 {
        assert_eq!(client::get(address, "/")?.status, 200);
    }
    assert_eq!(sluice.stats().count("www", "FRONTEND", "stot")?, 8);
    Ok(())
}

#[test]
fn unix_sockets_have_what_unix_bind_says() -> Result<()> {
    let files = tempfile::tempdir()?;
    let prefix = files.path().display();
    let config = format!(
        "
global
    unix-bind prefix {prefix}/ mode 641
defaults
    mode http
    timeout client 5s
frontend www
    bind unix@a.sock
    bind unix@b.sock mode 600
    http-request return status 200
"
    );
    let _sluice = Sluice::config(config).start()?;
    for (name, mode) in [("a.sock", 0o641), ("b.sock", 0o600)] {
        let path = files.path().join(name);
        assert_eq!(fs::metadata(&path)?.permissions().mode() & 0o777, mode, "{name}");
        UnixStream::connect(path)?;
    }
    Ok(())
}

#[test]
fn sessions_over_the_rate_wait() -> Result<()> {
    let address = loopback()?;
    let config = http(address, "", "") + "    rate-limit sessions 5\n";
    let _sluice = Sluice::config(config).start()?;
    let start = Instant::now();
    for _ in 0..12 {
        assert_eq!(client::get(address, "/")?.status, 200);
    }
    ensure!(start.elapsed() > Duration::from_millis(600), "{:?}", start.elapsed());
    Ok(())
}

#[test]
fn each_socket_has_its_statistics() -> Result<()> {
    let address = loopback()?;
    let config = http(address, "", "name door") + "    option socket-stats\n";
    let sluice = Sluice::config(config).start()?;
    assert_eq!(client::get(address, "/")?.status, 200);
    assert_eq!(sluice.stats().stat("www", "door", "stot")?, "1");
    Ok(())
}

#[test]
fn rights_are_kept_or_given_up_as_said() -> Result<()> {
    // HAProxy 2.6 knows neither the argument of set-dumpable nor setcap.
    if peer() == Peer::Haproxy {
        return Ok(());
    }
    let address = loopback()?;
    let global = "user nobody\n group nogroup\n setcap cap_net_raw\n set-dumpable on";
    let mut sluice = Sluice::config(http(address, global, "")).start()?;
    let pid = sluice.program().pid();
    let status = format!("/proc/{pid}/status");
    let effective = of_status(status.as_ref(), "CapEff:")?;
    // Bit 13 is CAP_NET_RAW.
    assert_eq!(u64::from_str_radix(&effective, 16)? & (1 << 13), 1 << 13, "{effective}");
    assert_eq!(u64::from_str_radix(&effective, 16)? & 1, 0, "{effective}");
    assert_eq!(of_status(status.as_ref(), "NoNewPrivs:")?, "1");
    let limits = fs::read_to_string(format!("/proc/{pid}/limits"))?;
    let core = limits.lines().find(|line| line.starts_with("Max core")).unwrap_or_default();
    ensure!(core.contains("unlimited"), "{core}");
    Ok(())
}

#[test]
fn servers_see_the_client_address() -> Result<()> {
    let server = ScriptServer::start(|mut stream| {
        let peer = stream.peer_addr().map(|addr| addr.ip().to_string()).unwrap_or_default();
        let _ = writeln!(stream, "{peer}");
    })?;
    let address = loopback()?;
    let config = format!(
        "
defaults
    mode tcp
    timeout connect 5s
    timeout client 5s
    timeout server 5s
listen relay
    bind {address}
    source 0.0.0.0 usesrc clientip
    server s1 {} tcp-ut 5s
",
        server.address()
    );
    let _sluice = Sluice::config(config).start()?;
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.bind(&SocketAddr::from(([127, 0, 0, 77], 0)).into())?;
    socket.connect(&address.into())?;
    let mut stream = TcpStream::from(socket);
    let mut said = String::new();
    std::io::Read::read_to_string(&mut stream, &mut said)?;
    assert_eq!(said.trim(), "127.0.0.77");
    Ok(())
}

#[test]
fn servers_see_the_address_of_a_header_field() -> Result<()> {
    let server = ScriptServer::start(|mut stream| {
        let peer = stream.peer_addr().map(|addr| addr.ip().to_string()).unwrap_or_default();
        let _ = std::io::Read::read(&mut stream, &mut [0; 4096]);
        let length = peer.len();
        let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{peer}");
    })?;
    let address = loopback()?;
    let config = format!(
        "
defaults
    mode http
    timeout connect 5s
    timeout client 5s
    timeout server 5s
listen relay
    bind {address}
    source 127.0.0.3 usesrc hdr_ip(x-forwarded-for,-2)
    server s1 {}
",
        server.address()
    );
    let _sluice = Sluice::config(config).start()?;
    let mut client = Client::connect(address)?;
    // Connections that come from elsewhere do not stand in for each other.
    for (given, expected) in
        [("127.0.0.71, 127.0.0.72", "127.0.0.71"), ("127.0.0.73, 10.0.0.1", "127.0.0.73")]
    {
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {given}\r\n\r\n"))?;
        let response = client.response()?;
        assert_eq!(String::from_utf8_lossy(&response.body), expected, "{given}");
    }
    Ok(())
}

/// How long after a soft stop idle clients are let go.
fn leaving(global: &str, clients: usize) -> Result<Vec<Duration>> {
    let server = HttpServer::start("s1")?;
    let address = loopback()?;
    let config = format!(
        "
global
    {global}
    hard-stop-after 3s
{DEFAULTS}
listen www
    bind {address}
    server s1 {}
",
        server.address()
    );
    let mut sluice = Sluice::config(config).start()?;
    let mut open = Vec::new();
    for _ in 0..clients {
        let mut client = Client::connect(address)?;
        assert_eq!(client.get("/")?.status, 200);
        open.push(client);
    }
    let start = Instant::now();
    sluice.program().signal(Signal::SIGUSR1)?;
    let (tell, told) = std::sync::mpsc::channel();
    for mut client in open {
        let tell = tell.clone();
        std::thread::spawn(move || {
            let _ = client.rest();
            let _ = tell.send(start.elapsed());
        });
    }
    let mut times: Vec<Duration> = told.iter().take(clients).collect();
    times.sort_unstable();
    Ok(times)
}

#[test]
fn idle_clients_leave_over_the_time_given() -> Result<()> {
    let at_once = leaving("", 12)?;
    ensure!(at_once.iter().all(|time| *time < Duration::from_millis(900)), "{at_once:?}");
    let spread = leaving("close-spread-time 1500ms", 12)?;
    let (first, last) = (spread[0], spread[spread.len() - 1]);
    ensure!(last - first > Duration::from_millis(100), "{spread:?}");
    ensure!(last < Duration::from_millis(2500), "{spread:?}");
    Ok(())
}

#[test]
fn idle_clients_stay_when_the_time_is_infinite() -> Result<()> {
    let times = leaving("close-spread-time infinite", 2)?;
    ensure!(times[0] > Duration::from_millis(2500), "{times:?}");
    Ok(())
}

#[test]
fn messages_of_the_runtime_api_have_their_severity() -> Result<()> {
    let files = tempfile::tempdir()?;
    let socket = files.path().join("cli.sock");
    let address = loopback()?;
    let global = format!("stats socket {} level admin severity-output number", socket.display());
    let _sluice = Sluice::config(http(address, &global, "")).start()?;
    eventually("the socket answers", PATIENCE, || UnixStream::connect(&socket).is_ok())?;
    let stats = tests::Stats::new(&socket);
    let answer = stats.command("disable server x/y")?;
    ensure!(answer.starts_with("[3]: No such"), "{answer:?}");
    let answer = stats.command("show info")?;
    ensure!(answer.starts_with("Name:"), "{answer:?}");
    Ok(())
}
