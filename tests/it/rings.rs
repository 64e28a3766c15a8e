//! Logs as transport: rings, log forwarding, log backends.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tests::certificates::Authority;
use tests::client::{get, raw};
use tests::net::loopback;
use tests::peer::{ScriptServer, Syslog};
use tests::sluice::{DEFAULTS, Peer, peer};
use tests::{PATIENCE, Sluice, eventually};

/// A frontend that answers everything and logs the path.
fn web(address: SocketAddr, log: &str) -> String {
    format!(
        "
{DEFAULTS}
frontend web
    bind {address}
    {log}
    log-format \"path %HP\"
    http-request return status 200
"
    )
}

/// A free UDP port on the loopback address.
fn free_datagram_port() -> Result<SocketAddr> {
    Ok(UdpSocket::bind("127.0.0.1:0")?.local_addr()?)
}

fn send_datagram(to: SocketAddr, message: &str) -> Result<()> {
    UdpSocket::bind("127.0.0.1:0")?.send_to(message.as_bytes(), to)?;
    Ok(())
}

/// Replaces digits of dates and process ids.
fn shape(line: &str) -> String {
    line.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect()
}

#[test]
fn rings_keep_lines_in_their_own_form() -> Result<()> {
    let address = loopback()?;
    let rings = "
ring new
    description \"in the new form\"
    format rfc5424
    maxlen 1200
    size 32764
ring plain
ring cut
    format short
    maxlen 80
";
    let logs = "log ring@new local0\n    log ring@plain local0\n    log ring@cut format raw local0";
    let sluice = Sluice::config(web(address, logs) + rings).start()?;
    let path = format!("/{}", "x".repeat(200));
    get(address, &path)?;
    let stats = sluice.stats();
    eventually("the line", PATIENCE, || {
        stats.command("show events cut").is_ok_and(|text| text.contains("path"))
    })?;
    let new = stats.command("show events new")?;
    let (head, text) = new.split_once(" - - ").context("no header")?;
    assert_eq!(text, format!("path {path}"));
    assert!(
        shape(head).starts_with("<999>9 9999-99-99T99:99:99.999999+99:99 - haproxy 9"),
        "{head}"
    );
    assert_eq!(stats.command("show events plain")?, format!("path {path}"));
    let cut = stats.command("show events cut")?;
    assert_eq!(cut, format!("<6>path {path}")[..80]);
    let list = stats.command("show events")?;
    assert!(list.contains("    new        : type=buffer, 0 dropped, in the new form\n"), "{list}");
    assert!(list.contains("    plain      : type=buffer, 0 dropped, plain"), "{list}");
    assert!(list.contains("    buf0       : type=buffer, 0 dropped, in-memory ring buffer\n"));
    assert_eq!(stats.command("show events plain -n")?, "");
    assert_eq!(stats.command("show events none")?, "No such event sink");
    assert_eq!(stats.command("show events stdout")?, "Nothing to report for this sink");
    assert_eq!(stats.command("show events plain -x")?, "unknown option");
    if peer() == Peer::Sluice {
        assert_eq!(stats.command("show events plain -0")?, format!("path {path}\0"));
        let fill = stats.command("show ring")?;
        assert!(fill.contains("\nplain 16384 214 0 plain"), "{fill}");
    }
    Ok(())
}

#[test]
fn events_are_followed_until_the_client_speaks() -> Result<()> {
    let address = loopback()?;
    let config = web(address, "log ring@plain local0") + "ring plain\n";
    let sluice = Sluice::config(config).start()?;
    get(address, "/before")?;
    let stats = sluice.stats();
    eventually("the line", PATIENCE, || {
        stats.command("show events plain").is_ok_and(|text| text.contains("/before"))
    })?;
    let mut follower = Command::new("socat")
        .args(["-", &format!("UNIX-CONNECT:{}", sluice.files().path("stats.sock").display())])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut said = follower.stdin.take().context("stdin")?;
    let mut lines = BufReader::new(follower.stdout.take().context("stdout")?).lines();
    said.write_all(b"show events plain -w\n")?;
    assert_eq!(lines.next().context("ended")??, "path /before");
    for path in ["/one", "/two"] {
        get(address, path)?;
        assert_eq!(lines.next().context("ended")??, format!("path {path}"));
    }
    if peer() == Peer::Haproxy {
        // 2.6 goes on until the client leaves.
        follower.kill()?;
    } else {
        said.write_all(b"\n")?;
        assert_eq!(lines.next().context("ended")??, "");
        assert!(lines.next().is_none());
    }
    follower.wait()?;
    Ok(())
}

/// The bytes of the next connection up to `len`.
fn received(server: &TcpListener, len: usize) -> Result<(TcpStream, String)> {
    let (mut stream, _) = server.accept()?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes)?;
    Ok((stream, String::from_utf8(bytes)?))
}

#[test]
fn servers_of_rings_get_every_message_once_they_are_there() -> Result<()> {
    let address = loopback()?;
    let (lines, counted) = (loopback()?, loopback()?);
    let rings = format!(
        "
ring lines
    timeout connect 5s
    timeout server 5s
    server s1 {lines}
ring counted
    format short
    timeout connect 5s
    timeout server 5s
    server s1 {counted} log-proto octet-count
"
    );
    let logs = "log ring@lines local0\n    log ring@counted local0";
    let _sluice = Sluice::config(web(address, logs) + &rings).start()?;
    get(address, "/early")?;
    let first = TcpListener::bind(lines)?;
    let (stream, text) = received(&first, 12)?;
    assert_eq!(text, "path /early\n");
    // The server leaves: what comes meanwhile is delivered when it is back.
    drop((stream, first));
    get(address, "/later")?;
    get(address, "/last")?;
    let again = TcpListener::bind(lines)?;
    let mut all = String::new();
    while !all.ends_with("path /last\n") {
        let (mut stream, _) = again.accept()?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut reader = BufReader::new(&mut stream);
        while !all.ends_with("path /last\n") && reader.read_line(&mut all)? > 0 {}
    }
    assert!(all.ends_with("path /later\npath /last\n"), "{all}");
    let (_, text) = received(&TcpListener::bind(counted)?, 18)?;
    assert_eq!(text, "14 <6>path /early1");
    Ok(())
}

#[test]
fn targets_may_be_connections() -> Result<()> {
    let address = loopback()?;
    let server = TcpListener::bind("127.0.0.1:0")?;
    let log = format!("log tcp@{} format priority local1", server.local_addr()?);
    let sluice = Sluice::config(web(address, &log)).start()?;
    get(address, "/x")?;
    let (_stream, text) = received(&server, 13)?;
    assert_eq!(text, "<142>path /x\n");
    let list = sluice.stats().command("show events")?;
    assert!(list.contains("    ring#1     : type=buffer, 0 dropped, "), "{list}");
    Ok(())
}

/// A server that takes nothing must not hold up requests; what does not fit is counted.
#[test]
fn a_dead_server_costs_lines_and_nothing_else() -> Result<()> {
    if peer() == Peer::Haproxy {
        return Ok(());
    }
    let address = loopback()?;
    // Connections wait in its queue and are never served.
    let server = TcpListener::bind("127.0.0.1:0")?;
    let ring = format!(
        "
ring small
    size 16384
    timeout connect 5s
    timeout server 60s
    server s1 {}
",
        server.local_addr()?
    );
    let sluice = Sluice::config(web(address, "log ring@small len 4096 local0") + &ring).start()?;
    let path = format!("/{}", "x".repeat(3000));
    let stats = sluice.stats();
    let began = Instant::now();
    let mut sent = 0;
    // The sockets' buffers take some megabytes first.
    while stats.info("DroppedLogs")? == "0" {
        assert!(began.elapsed() < Duration::from_secs(60), "nothing was dropped");
        for _ in 0..200 {
            get(address, &path)?;
            sent += 1;
        }
    }
    let list = stats.command("show events")?;
    let line = list.lines().find(|line| line.contains("small ")).context("no ring")?;
    assert!(!line.contains(", 0 dropped"), "{line}");
    let slowest = (0..20).map(|_| {
        let began = Instant::now();
        get(address, &path).map(|_| began.elapsed())
    });
    let slowest = slowest.collect::<Result<Vec<_>>>()?.into_iter().max();
    assert!(slowest < Some(Duration::from_secs(1)), "{slowest:?} after {sent}");
    Ok(())
}

#[test]
fn backing_files_outlive_the_process() -> Result<()> {
    if peer() == Peer::Haproxy {
        return Ok(());
    }
    let address = loopback()?;
    let files = tests::sluice::Files::new()?;
    let file = files.path("ring");
    let ring = format!("ring kept\n    backing-file {}\n", file.display());
    let start = || Sluice::config(web(address, "log ring@kept local0") + &ring).start();
    let mut sluice = start()?;
    get(address, "/first")?;
    let has = |path: &std::path::Path, text: &str| {
        std::fs::read_to_string(path).is_ok_and(|all| all.contains(text))
    };
    eventually("the line", PATIENCE, || has(&file, "path /first"))?;
    sluice.program().signal(nix::sys::signal::Signal::SIGKILL)?;
    sluice.program().wait(PATIENCE)?;
    let _second = start()?;
    get(address, "/second")?;
    eventually("the line", PATIENCE, || has(&file, "path /second"))?;
    assert!(!has(&file, "/first"));
    assert!(has(&files.path("ring.bak"), "path /first"));
    Ok(())
}

fn forward(options: &str, targets: &str, listen: &str) -> String {
    format!(
        "\nlog-forward lf\n    {listen}\n    {options}\n    {targets}\n    timeout client 20s\n"
    )
}

#[test]
fn datagrams_are_passed_on() -> Result<()> {
    let address = free_datagram_port()?;
    let (kept, old, plain) = (Syslog::start()?, Syslog::start()?, Syslog::start()?);
    let targets = format!(
        "log {} local0\n    log {} format rfc3164 local0 notice\n    log {} format short local7 info warning",
        kept.address(),
        old.address(),
        plain.address()
    );
    let sluice = Sluice::config(forward("", &targets, &format!("dgram-bind {address}"))).start()?;
    let new = "<29>1 2026-01-02T03:04:05.123456+02:00 h5 app5 77 ID47 [ex@1 a=\"b\"] three";
    for message in ["<134>Nov  3 07:54:45 web1 app[12]: one\n", new, "<13>two"] {
        send_datagram(address, message)?;
    }
    assert_eq!(kept.next(PATIENCE)?, "<134>Nov  3 07:54:45 web1 app[12]: one\n");
    assert_eq!(kept.next(PATIENCE)?, format!("{new}\n"));
    assert_eq!(kept.next(PATIENCE)?, "<13>two\n");
    // The first is less severe than notice.
    assert_eq!(old.next(PATIENCE)?, "<29>Jan  2 03:04:05 h5 app5[77]: three\n");
    assert_eq!(plain.next(PATIENCE)?, "<6>one\n");
    assert_eq!(plain.next(PATIENCE)?, "<5>three\n");
    assert_eq!(sluice.stats().info("CumRecvLogs")?, "3");
    Ok(())
}

#[test]
fn senders_are_told_by_their_address() -> Result<()> {
    if peer() == Peer::Haproxy {
        // `option host` came with 3.2.
        return Ok(());
    }
    for (option, known, unknown) in [
        ("", "web1", "127.0.0.1"),
        ("option host keep", "web1", "-"),
        ("option host replace", "127.0.0.1", "127.0.0.1"),
        ("option host append", "web1,127.0.0.1", "127.0.0.1"),
    ] {
        let address = free_datagram_port()?;
        let log = Syslog::start()?;
        let targets = format!("log {} format rfc5424 local0", log.address());
        let config = forward(option, &targets, &format!("dgram-bind {address}"));
        let _sluice = Sluice::config(config).start()?;
        for (message, host) in [("<1>Nov  3 07:54:45 web1 a: m", known), ("<1>m", unknown)] {
            send_datagram(address, message)?;
            let line = log.next(PATIENCE)?;
            assert_eq!(line.split(' ').nth(2), Some(host), "{option}: {line}");
        }
    }
    Ok(())
}

#[test]
fn connections_bring_messages_in_both_framings() -> Result<()> {
    let address = loopback()?;
    let log = Syslog::start()?;
    let targets = format!("log {} local0", log.address());
    let config = forward("", &targets, &format!("bind {address}"));
    let _sluice = Sluice::config(config).start()?;
    let mut sender = TcpStream::connect(address)?;
    for piece in ["<1>li", "ne\n7 <2>two\n", "6 <3>abc<4>next\n"] {
        sender.write_all(piece.as_bytes())?;
    }
    for line in ["<1>line\n", "<2>two\n", "<3>abc\n", "<4>next\n"] {
        assert_eq!(log.next(PATIENCE)?, line);
    }
    // Neither a length nor a priority: the connection ends, what came before counts.
    sender.write_all(b"<5>good\nbad\n")?;
    assert_eq!(log.next(PATIENCE)?, "<5>good\n");
    sender.set_read_timeout(Some(PATIENCE))?;
    assert_eq!(sender.read(&mut [0; 1])?, 0);
    // A sender of the system.
    for arguments in [&["--octet-count"][..], &[]] {
        let mut logger = Command::new("logger");
        logger.args(["--tcp", "--server", "127.0.0.1", "--port", &address.port().to_string()]);
        logger.args(["--rfc5424=notime", "--priority", "local3.warn", "--tag", "tool"]);
        anyhow::ensure!(logger.args(arguments).arg("a message").status()?.success());
        let line = log.next(PATIENCE)?;
        assert!(line.starts_with("<156>1 - ") && line.ends_with(" a message\n"), "{line}");
    }
    Ok(())
}

#[test]
fn what_is_not_parsed_arrives_as_it_was() -> Result<()> {
    if peer() == Peer::Haproxy {
        return Ok(());
    }
    let address = loopback()?;
    let log = Syslog::start()?;
    let targets = format!("log {} format raw local0", log.address());
    let options = "option dont-parse-log\n    option assume-rfc6587-ntf";
    let config = forward(options, &targets, &format!("bind {address}"));
    let _sluice = Sluice::config(config).start()?;
    let mut sender = TcpStream::connect(address)?;
    sender.write_all(b"7 no length\n<134>Nov  3 07:54:45 web1 app[12]: x\nanything\n")?;
    assert_eq!(log.next(PATIENCE)?, "7 no length\n");
    assert_eq!(log.next(PATIENCE)?, "<134>Nov  3 07:54:45 web1 app[12]: x\n");
    assert_eq!(log.next(PATIENCE)?, "anything\n");
    Ok(())
}

/// From a request by TLS and two processes' parts to a syslog server.
#[test]
fn messages_travel_over_tls() -> Result<()> {
    let authority = Authority::new()?;
    let certificate = authority.issue("logs.pem", "logs.test", 30)?;
    let (address, secure) = (loopback()?, loopback()?);
    let log = Syslog::start()?;
    let ring = format!(
        "
ring secure
    format rfc3164
    timeout connect 5s
    timeout server 5s
    server s1 {secure} log-proto octet-count ssl verify required verifyhost logs.test ca-file {}
",
        authority.ca()
    );
    let listen = format!("bind {secure} ssl crt {certificate}");
    let targets = format!("log {} local0", log.address());
    let config = web(address, "log ring@secure local0") + &ring + &forward("", &targets, &listen);
    let _sluice = Sluice::config(config).start()?;
    get(address, "/secret")?;
    assert_eq!(log.next_with("path", PATIENCE)?, "path /secret");
    Ok(())
}

#[test]
fn connections_beyond_maxconn_wait() -> Result<()> {
    if peer() == Peer::Haproxy {
        // 2.6 accepts more of them.
        return Ok(());
    }
    let address = loopback()?;
    let log = Syslog::start()?;
    let targets = format!("log {} local0", log.address());
    let config = forward("maxconn 1", &targets, &format!("bind {address}"));
    let _sluice = Sluice::config(config).start()?;
    let mut first = TcpStream::connect(address)?;
    first.write_all(b"<1>first\n")?;
    assert_eq!(log.next(PATIENCE)?, "<1>first\n");
    let mut second = TcpStream::connect(address)?;
    second.write_all(b"<1>second\n")?;
    first.write_all(b"<1>third\n")?;
    assert_eq!(log.next(PATIENCE)?, "<1>third\n");
    drop(first);
    assert_eq!(log.next(PATIENCE)?, "<1>second\n");
    Ok(())
}

/// A backend in mode log, and a frontend that logs to it.
fn farm(address: SocketAddr, lines: &str) -> String {
    web(address, "log backend@farm format raw local0")
        + &format!("backend farm\n    mode log\n    {lines}\n")
}

#[test]
fn log_backends_balance() -> Result<()> {
    if peer() == Peer::Haproxy {
        // They came with 2.9.
        return Ok(());
    }
    let servers = [Syslog::start()?, Syslog::start()?];
    let lines = |balance: &str| {
        let servers = servers.iter().enumerate();
        let servers = servers.map(|(n, s)| format!("\n    server s{n} udp@{}", s.address()));
        format!("balance {balance}{}", servers.collect::<String>())
    };
    let address = loopback()?;
    let _sluice = Sluice::config(farm(address, &lines("roundrobin"))).start()?;
    for n in 0..6 {
        get(address, &format!("/{n}"))?;
        assert_eq!(servers[n % 2].next(PATIENCE)?, format!("path /{n}\n"));
    }
    let address = loopback()?;
    let hash = "log-hash 'field(2,/)'\n    hash-type map-based none";
    let _sluice = Sluice::config(farm(address, &lines(hash))).start()?;
    for key in [1, 0, 0, 1, 1, 0] {
        get(address, &format!("/{key}/x"))?;
        assert_eq!(servers[key].next(PATIENCE)?, format!("path /{key}/x\n"));
    }
    let address = loopback()?;
    let sluice = Sluice::config(farm(address, &lines("sticky"))).start()?;
    let stats = sluice.stats();
    let expect = |path: &str, server: usize| -> Result<()> {
        get(address, path)?;
        assert_eq!(servers[server].next(PATIENCE)?, format!("path {path}\n"));
        Ok(())
    };
    expect("/a", 0)?;
    stats.quiet("disable server farm/s0")?;
    expect("/b", 1)?;
    stats.quiet("enable server farm/s0")?;
    expect("/c", 1)?;
    stats.quiet("disable server farm/s1")?;
    expect("/d", 0)?;
    assert_eq!(stats.count("farm", "s0", "lbtot")?, 2);
    stats.quiet("disable server farm/s0")?;
    get(address, "/nowhere")?;
    eventually("the loss", PATIENCE, || stats.info("DroppedLogs").is_ok_and(|n| n == "1"))?;
    Ok(())
}

#[test]
fn log_backends_connect() -> Result<()> {
    if peer() == Peer::Haproxy {
        return Ok(());
    }
    let address = loopback()?;
    let servers: Vec<_> =
        (0..2).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    let mut lines = String::from("balance roundrobin");
    for (n, server) in servers.iter().enumerate() {
        let form = if n == 1 { "log-proto octet-count log-bufsize 65536" } else { "" };
        lines += &format!("\n    server s{n} tcp@{} {form}", server.local_addr()?);
    }
    let sluice = Sluice::config(farm(address, &lines)).start()?;
    for n in 0..4 {
        get(address, &format!("/{n}"))?;
    }
    // Lines of different threads may change places.
    let (_first, lines) = received(&servers[0], 16)?;
    let (_second, counted) = received(&servers[1], 18)?;
    let mut paths: Vec<&str> = lines.lines().collect();
    paths.extend(counted.split_terminator("7 ").filter(|text| !text.is_empty()));
    paths.sort_unstable();
    assert_eq!(paths, ["path /0", "path /1", "path /2", "path /3"]);
    let rings = sluice.stats().command("show ring")?;
    assert!(rings.contains("\nfarm/s1 65536 "), "{rings}");
    Ok(())
}

/// Sockets for datagrams are handed over with what waits in them.
#[test]
fn no_datagram_is_lost_in_a_reload() -> Result<()> {
    if peer() == Peer::Haproxy {
        return Ok(());
    }
    const MESSAGES: usize = 600;
    let address = free_datagram_port()?;
    let log = Syslog::start()?;
    let targets = format!("log {} format raw local0", log.address());
    let config = forward("", &targets, &format!("dgram-bind {address}"));
    let mut sluice = Sluice::config(config).master().start()?;
    let sender = std::thread::spawn(move || -> Result<()> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        for n in 0..MESSAGES {
            socket.send_to(format!("<1>{n}").as_bytes(), address)?;
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    });
    // Its socket holds fewer than these.
    let reader = std::thread::spawn(move || -> Result<BTreeMap<String, u32>> {
        let mut seen = BTreeMap::new();
        while seen.len() < MESSAGES {
            let line = log.next(PATIENCE).with_context(|| format!("{} arrived", seen.len()))?;
            *seen.entry(line.trim().to_owned()).or_insert(0) += 1;
        }
        Ok(seen)
    });
    for _ in 0..2 {
        sluice.reload()?;
    }
    sender.join().expect("sender")?;
    let seen = reader.join().expect("reader")?;
    assert!(seen.values().all(|count| *count == 1));
    Ok(())
}

#[test]
fn what_was_said_at_the_start_is_in_a_ring() -> Result<()> {
    if peer() == Peer::Haproxy {
        return Ok(());
    }
    let config =
        web(loopback()?, "") + "backend unused\n    server s1 127.0.0.1:1\n.notice 'hello there'\n";
    let sluice = Sluice::config(config).start()?;
    let ring = sluice.stats().command("show events startup-logs")?;
    assert!(ring.contains("hello there"), "{ring}");
    assert_eq!(sluice.stats().command("show startup-logs")?.trim(), ring.trim());
    Ok(())
}

#[test]
fn a_line_for_the_log_of_the_process() -> Result<()> {
    let log = Syslog::start()?;
    let address = loopback()?;
    let global = format!("global\n    log {} local0 info\n", log.address());
    let sluice = Sluice::config(global + &web(address, "")).start()?;
    let stats = sluice.stats();
    let answer = stats.command("debug dev log Victory")?;
    assert_eq!(answer, "This command is restricted to expert mode only.");
    stats.quiet("expert-mode on; debug dev log Victory or not")?;
    let line = log.next_with("Victory", PATIENCE)?;
    assert_eq!(line, "Victory or not");
    Ok(())
}

#[test]
fn names_that_do_not_exist_stop_the_start() -> Result<()> {
    if peer() == Peer::Haproxy {
        // 2.6 finds out later than `-c`, and has no log backends.
        return Ok(());
    }
    let address = loopback()?;
    for (log, more) in [
        ("log ring@none local0", ""),
        ("log backend@none local0", ""),
        ("log backend@tcp local0", "backend tcp\n    mode tcp\n"),
        ("", "ring r\n    server s1 udp@127.0.0.1:514\n"),
        ("", "ring r\n    maxlen 20000\n"),
        ("", "backend b\n    mode log\n    balance source\n"),
        ("", "backend b\n    mode tcp\n    balance sticky\n"),
        ("", "log-forward f\n    dgram-bind 127.0.0.1\n"),
        ("", "log-forward f\n    option nothing\n"),
    ] {
        let output = Sluice::config(web(address, log) + more).arg("-c").run()?;
        assert!(!output.status.success(), "{log}{more}: {output:?}");
    }
    Ok(())
}

/// The last message of each side that broke the rules, and where.
#[test]
fn invalid_messages_are_kept() -> Result<()> {
    let address = loopback()?;
    let server = ScriptServer::start(|mut stream| {
        let _ = stream.read(&mut [0; 1000]);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nheader/bizarre:blah\r\nLocation: x\r\n\r\n");
    })?;
    let config = format!(
        "
{DEFAULTS}
frontend fe
    bind {address}
    default_backend be
backend be
    server s1 {}
",
        server.address()
    );
    let sluice = Sluice::config(config).start()?;
    let stats = sluice.stats();
    assert!(stats.command("show errors")?.ends_with("] : 0"));
    raw(address, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")?;
    raw(address, "GET /x HTTP/1.1\r\nHost: a\r\nbad header\x01\t: \\ x\r\n\r\n")?;
    let told = stats.command("show errors")?;
    for part in [
        "] : 2\n \n[",
        "] frontend fe (#2): invalid request\n  backend <NONE> (#-1), server <NONE> (#-1), event #1, src 127.0.0.1:",
        ", error at position 29\n",
        "\n  00026  bad header\\x01\\t: \\\\ x\\r\\n\n  00045  \\r\\n",
        "] backend be (#3): invalid response\n  frontend fe (#2), server s1 (#1), event #0, src 127.0.0.1:",
        ", error at position 23\n",
        "\n  00017  header/bizarre:blah\\r\\n\n",
    ] {
        assert!(told.contains(part), "{part:?} in {told}");
    }
    let requests = stats.command("show errors fe request")?;
    assert!(requests.contains("invalid request") && !requests.contains("invalid response"));
    let responses = stats.command("show errors be")?;
    assert!(responses.contains("invalid response") && !responses.contains("invalid request"));
    assert_eq!(stats.command("show errors nobody")?, "No such proxy.");
    Ok(())
}

#[test]
fn names_may_be_hidden() -> Result<()> {
    if peer() == Peer::Haproxy {
        // It came with 2.7.
        return Ok(());
    }
    let config = "global\n    anonkey 77\n".to_owned()
        + &web(loopback()?, "")
        + "backend app\n    server secret 127.0.0.1:8080\n";
    let sluice = Sluice::config(config).start()?;
    let stats = sluice.stats();
    let open = stats.command("show servers state")?;
    assert!(open.contains(" app 1 secret 127.0.0.1 "), "{open}");
    let closed = stats.command("set anon on; show servers state")?;
    assert!(!closed.contains("secret") && !closed.contains("127.0.0.1"), "{closed}");
    assert_eq!(closed, stats.command("set anon on 77; show servers state")?);
    assert_ne!(closed, stats.command("set anon on 78; show servers state")?);
    let state = stats.command("set anon on 5; show anon")?;
    assert!(state.contains("Anonymized mode enabled\nKey : 5\n"), "{state}");
    assert!(stats.command("show anon")?.starts_with("Anonymized mode disabled"));
    stats.quiet("set anon global-key 78")?;
    assert_ne!(closed, stats.command("set anon on; show servers state")?);
    Ok(())
}

#[test]
fn peaks_may_be_left_out() -> Result<()> {
    for (setting, peak) in [("on", 1), ("off", 0)] {
        if peer() == Peer::Haproxy {
            return Ok(());
        }
        let address = loopback()?;
        let global = format!("global\n    stats calculate-max-counters {setting}\n");
        let sluice = Sluice::config(global + &web(address, "")).start()?;
        get(address, "/")?;
        assert_eq!(sluice.stats().count("web", "FRONTEND", "smax")?, peak, "{setting}");
        assert_eq!(sluice.stats().count("web", "FRONTEND", "stot")?, 1);
    }
    Ok(())
}

/// Counters outlive the process, by guid.
#[test]
fn counters_may_begin_with_those_of_another_process() -> Result<()> {
    if peer() == Peer::Haproxy {
        // It came with 3.0, in a form of its own.
        return Ok(());
    }
    let files = tests::sluice::Files::new()?;
    let text = |address: SocketAddr, global: &str| {
        let section = web(address, "guid web:1");
        let bind = format!("bind {address}");
        let section = section.replace(&bind, &format!("{bind} guid-prefix l"));
        let farm = "backend app\n    server s1 127.0.0.1:1 guid app:1\n";
        format!("global\n    {global}\n{section}{farm}")
    };
    let address = loopback()?;
    let first = Sluice::config(text(address, "")).start()?;
    for _ in 0..3 {
        get(address, "/")?;
    }
    let dump = first.stats().command("dump stats-file")?;
    assert!(dump.starts_with("# sluice stats-file 1\nfrontend web:1 "), "{dump}");
    assert!(dump.contains("\nlistener l-0 "), "{dump}");
    assert!(dump.contains("\nserver app:1"), "{dump}");
    let path = files.write("stats", &format!("{dump}\nserver gone:1 sess_tot=5\n"))?;
    let address = loopback()?;
    let second =
        Sluice::config(text(address, &format!("stats-file {}", path.display()))).start()?;
    assert_eq!(second.stats().count("web", "FRONTEND", "req_tot")?, 3);
    get(address, "/")?;
    assert_eq!(second.stats().count("web", "FRONTEND", "req_tot")?, 4);
    second.stats().quiet("clear counters all")?;
    assert_eq!(second.stats().count("web", "FRONTEND", "req_tot")?, 0);
    Ok(())
}
