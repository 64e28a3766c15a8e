//! Log lines, to the letter.

use std::net::SocketAddr;

use anyhow::Result;
use tests::client::{Client, get, raw};
use tests::net::{free_port, loopback};
use tests::peer::{HttpServer, ScriptServer, Syslog};
use tests::{PATIENCE, Sluice};

/// Replaces what differs from run to run: times by `T`, the client's port by `P`, dates by `D`.
fn normal(line: &str) -> String {
    // Timers come first, then the counters of connections, which look alike.
    let mut timed = false;
    let text = line
        .split(' ')
        .map(|word| {
            let inner = word.trim_start_matches('[').trim_end_matches(']');
            let is_date = word.starts_with('[') && inner.matches('/').count() == 2;
            let is_times = inner.contains('/')
                && inner.split('/').all(|part| part.trim_start_matches('+').parse::<i64>().is_ok());
            if let Some(port) = word.strip_prefix("127.0.0.1:")
                && port.parse::<u16>().is_ok()
            {
                "127.0.0.1:P".to_owned()
            } else if is_date {
                "[D]".to_owned()
            } else if is_times && inner.matches('/').count() >= 2 && !timed {
                timed = true;
                timers(inner)
            } else {
                word.to_owned()
            }
        })
        .collect::<Vec<_>>()
        .join(" ");
    // Sizes are those on the wire here; HAProxy counts its own form of the message.
    let text = match text.split_once(" - - ") {
        Some((head, rest)) => {
            let before = head.rsplit_once(' ').map_or(head, |(before, _size)| before);
            format!("{before} B - - {rest}")
        }
        None => text,
    };
    // The process's own connection count includes those of a client that is about to leave.
    text.replace(" 2/1/", " 1/1/").replace(" 2/2/", " 1/1/")
}

/// Timers keep their sign: -1 means "never got there".
fn timers(text: &str) -> String {
    text.split('/')
        .map(|part| if part.starts_with('-') { "-1" } else { "T" })
        .collect::<Vec<_>>()
        .join("/")
}

fn proxy(log: &Syslog, mode: &str, lines: &str, server: &str) -> Result<(Sluice, SocketAddr)> {
    let address = loopback()?;
    let config = format!(
        "
defaults
    mode {mode}
    timeout connect 5s
    timeout client 20s
    timeout server 20s
    retries 0
frontend web
    bind {address}
    log {} local0
    {lines}
    default_backend app
backend app
    {server}
",
        log.address()
    );
    Ok((Sluice::config(config).start()?, address))
}

#[test]
fn httplog_lines() -> Result<()> {
    let log = Syslog::start()?;
    let server = HttpServer::start("s1")?;
    let (_sluice, address) = proxy(
        &log,
        "http",
        "option httplog\n    \
         http-request deny if { path /denied }",
        &format!("server s1 {}", server.address()),
    )?;
    get(address, "/bytes/10?q=1")?;
    assert_eq!(
        normal(&log.next_with("/bytes/10", PATIENCE)?),
        "127.0.0.1:P [D] web app/s1 T/T/T/T/T 200 B - - ---- 1/1/0/0/0 0/0 \
         \"GET /bytes/10?q=1 HTTP/1.1\""
    );
    get(address, "/denied")?;
    assert_eq!(
        normal(&log.next_with("/denied", PATIENCE)?),
        "127.0.0.1:P [D] web web/<NOSRV> T/-1/-1/-1/T 403 B - - PR-- 1/1/0/0/0 0/0 \
         \"GET /denied HTTP/1.1\""
    );
    raw(address, "nonsense\r\n\r\n")?;
    assert_eq!(
        normal(&log.next_with("<BADREQ>", PATIENCE)?),
        "127.0.0.1:P [D] web web/<NOSRV> -1/-1/-1/-1/T 400 B - - PR-- 1/1/0/0/0 0/0 \
         \"<BADREQ>\""
    );
    get(address, "/reset")?;
    assert_eq!(
        normal(&log.next_with("/reset", PATIENCE)?),
        "127.0.0.1:P [D] web app/s1 T/T/T/-1/T 502 B - - SH-- 1/1/0/0/0 0/0 \
         \"GET /reset HTTP/1.1\""
    );
    Ok(())
}

#[test]
fn httplog_of_a_refused_server() -> Result<()> {
    let log = Syslog::start()?;
    let nobody = free_port()?;
    let (_sluice, address) =
        proxy(&log, "http", "option httplog", &format!("server s1 127.0.0.1:{nobody}"))?;
    get(address, "/")?;
    assert_eq!(
        normal(&log.next_with("GET /", PATIENCE)?),
        "127.0.0.1:P [D] web app/s1 T/T/-1/-1/T 503 B - - SC-- 1/1/0/0/0 0/0 \"GET / HTTP/1.1\""
    );
    Ok(())
}

#[test]
fn tcplog_line() -> Result<()> {
    let log = Syslog::start()?;
    let server = ScriptServer::start(|stream| {
        let _ = std::io::copy(&mut &stream, &mut &stream);
    })?;
    let (_sluice, address) =
        proxy(&log, "tcp", "option tcplog", &format!("server s1 {}", server.address()))?;
    let mut client = Client::connect(address)?;
    client.send("hello\n")?;
    client.line()?;
    client.stream().shutdown(std::net::Shutdown::Write)?;
    client.rest()?;
    assert_eq!(
        normal(&log.next_with("app/s1", PATIENCE)?),
        "127.0.0.1:P [D] web app/s1 T/T/T 6 -- 1/1/0/0/0 0/0"
    );
    Ok(())
}

#[test]
fn custom_log_format() -> Result<()> {
    let log = Syslog::start()?;
    let server = HttpServer::start("s1")?;
    let (_sluice, address) = proxy(
        &log,
        "http",
        "log-format \"%ci %fp %b %s %ST %HM %HU %HV [%[var(txn.host),upper]] %{+Q}r\"\n    \
         http-request set-var(txn.host) req.hdr(host)",
        &format!("server s1 {}", server.address()),
    )?;
    get(address, "/x?y=1")?;
    let line = log.next_with("127.0.0.1", PATIENCE)?;
    assert!(
        line.starts_with(&format!(
            "127.0.0.1 {} app s1 200 GET /x?y=1 HTTP/1.1 [SLUICE.TEST]",
            address.port()
        )),
        "{line}"
    );
    assert!(line.ends_with("] \"GET /x?y=1 HTTP/1.1\""), "{line}");
    Ok(())
}

#[test]
fn connections_without_a_request_are_not_logged() -> Result<()> {
    let log = Syslog::start()?;
    let server = HttpServer::start("s1")?;
    let (_sluice, address) = proxy(
        &log,
        "http",
        "option httplog\n    option dontlognull",
        &format!("server s1 {}", server.address()),
    )?;
    drop(Client::connect(address)?);
    get(address, "/good")?;
    // Lines come in order, so the first being the request's says the other was left out.
    let line = log.next_with("web", PATIENCE)?;
    assert!(line.contains("/good"), "{line}");
    Ok(())
}

#[test]
fn server_state_changes_are_logged() -> Result<()> {
    let log = Syslog::start()?;
    let server = HttpServer::start("s1")?;
    let (sluice, _) = proxy(
        &log,
        "http",
        "",
        &format!("log {} local0\n    server s1 {}", log.address(), server.address()),
    )?;
    sluice.stats().quiet("disable server app/s1")?;
    log.next_with("Server app/s1 is going DOWN for maintenance", PATIENCE)?;
    log.next_with("backend app has no server available!", PATIENCE)?;
    sluice.stats().quiet("enable server app/s1")?;
    log.next_with("Server app/s1 is UP", PATIENCE)?;
    Ok(())
}

#[test]
fn only_what_went_wrong_is_logged() -> Result<()> {
    let log = Syslog::start()?;
    let server = HttpServer::start("s1")?;
    let (_sluice, address) = proxy(
        &log,
        "http",
        "option httplog\n    option dontlog-normal\n    \
         http-request deny deny_status 403 if { path /denied }",
        &format!("server s1 {}", server.address()),
    )?;
    // Lines come in order: each of these left out shows in the next one being another's.
    get(address, "/good")?;
    get(address, "/status/404")?;
    get(address, "/status/500")?;
    log_is_of(&log, "/status/500")?;
    get(address, "/denied")?;
    log_is_of(&log, "/denied")?;
    get(address, "/reset")?;
    log_is_of(&log, "/reset")?;
    Ok(())
}

#[track_caller]
fn log_is_of(log: &Syslog, path: &str) -> Result<String> {
    let line = log.next(PATIENCE)?;
    assert!(line.contains(&format!("\"GET {path} ")), "{path}: {line}");
    Ok(line)
}

#[test]
fn what_went_wrong_is_logged_as_an_error() -> Result<()> {
    const INFO: &str = "<134>";
    const ERR: &str = "<131>";
    let log = Syslog::start()?;
    let server = HttpServer::start("s1")?;
    let (_sluice, address) = proxy(
        &log,
        "http",
        "option httplog\n    option log-separate-errors\n    \
         http-request return status 503 if { path /returned }",
        &format!("server s1 {}", server.address()),
    )?;
    for (path, level) in [
        ("/good", INFO),
        ("/status/404", INFO),
        ("/status/503", ERR),
        ("/returned", ERR),
        ("/reset", ERR),
    ] {
        get(address, path)?;
        let line = log_is_of(&log, path)?;
        assert!(line.starts_with(level), "{path}: {line}");
    }
    Ok(())
}

#[test]
fn a_connection_that_was_retried_is_not_normal() -> Result<()> {
    let log = Syslog::start()?;
    let server = HttpServer::start("s1")?;
    let nobody = free_port()?;
    let (_sluice, address) = proxy(
        &log,
        "http",
        "option httplog\n    option log-separate-errors\n    option dontlog-normal",
        &format!(
            "retries 2\n    option redispatch 1\n    balance roundrobin\n    \
             server s0 127.0.0.1:{nobody}\n    server s1 {}",
            server.address()
        ),
    )?;
    get(address, "/one")?;
    let line = log_is_of(&log, "/one")?;
    assert!(line.starts_with("<131>") && line.contains(" 200 "), "{line}");
    Ok(())
}

/// What stands behind the process id of lines in format rfc5424.
fn told(log: &Syslog) -> Result<String> {
    let line = log.next(PATIENCE)?;
    let words: Vec<&str> = line.trim_end().splitn(6, ' ').collect();
    let tag = words.get(3).copied().unwrap_or_default();
    Ok(format!("{tag} {}", words.get(5).copied().unwrap_or_default()))
}

/// Profiles, steps and `do-log` are of later versions than Debian's HAProxy: expected is what the manual says.
#[test]
fn profiles_say_how_lines_are_made_at_which_step() -> Result<()> {
    if tests::sluice::peer() == tests::sluice::Peer::Haproxy {
        return Ok(());
    }
    let (plain, profiled) = (Syslog::start()?, Syslog::start()?);
    let server = HttpServer::start("one")?;
    let address = loopback()?;
    let config = format!(
        "log-profile brief
    log-tag custom-tag
    on error format \"%ci: error\"
    on connect drop
    on any sd custom-sd
log-profile local
    log-tag local-tag
    on tcp-req-conn format \"from %ci\"
listen px
    bind {address}
    mode http
    timeout client 9s
    timeout server 9s
    timeout connect 9s
    log {} format rfc5424 local0
    log {} format rfc5424 profile brief local0
    log-format \"%OG %ST\"
    log-format-sd \"[a@1 status=%ST]\"
    log-steps accept,connect,response,close
    tcp-request connection do-log profile local
    http-request do-log
    server s {}
",
        plain.address(),
        profiled.address(),
        server.address()
    );
    let _sluice = Sluice::config(config).start()?;
    assert_eq!(get(address, "/")?.status, 200);
    for expected in [
        "local-tag - [a@1 status=-1] from 127.0.0.1",
        "haproxy - [a@1 status=-1] txn_accept -1",
        "haproxy - [a@1 status=-1] http-req -1",
        "haproxy - [a@1 status=-1] txn_connect -1",
        "haproxy - [a@1 status=200] txn_response 200",
        "haproxy - [a@1 status=200] txn_close 200",
    ] {
        assert_eq!(told(&plain)?, expected);
    }
    for expected in [
        "local-tag - [a@1 status=-1] from 127.0.0.1",
        "custom-tag - custom-sd txn_accept -1",
        "custom-tag - custom-sd http-req -1",
        "custom-tag - custom-sd txn_response 200",
        "custom-tag - custom-sd txn_close 200",
    ] {
        assert_eq!(told(&profiled)?, expected);
    }
    raw(address, "garbage\r\n\r\n")?;
    assert_eq!(told(&profiled)?, "local-tag - [a@1 status=-1] from 127.0.0.1");
    assert_eq!(told(&profiled)?, "custom-tag - [a@1 status=400] 127.0.0.1: error");
    Ok(())
}

#[test]
fn lines_come_before_the_end_when_asked() -> Result<()> {
    let log = Syslog::start()?;
    let server = HttpServer::start("s1")?;
    let servers = format!("server s1 {}", server.address());
    let (_tcp, address) = proxy(&log, "tcp", "option tcplog\n    option logasap", &servers)?;
    let client = Client::connect(address)?;
    let line = log.next_with("web", PATIENCE)?;
    // Time and size may grow: the connection is still there.
    assert!(line.contains("/+") && line.contains(" +0 -- 1/1/"), "{line}");
    drop(client);

    let (_http, address) = proxy(&log, "http", "option httplog\n    option logasap", &servers)?;
    for path in ["/first", "/second"] {
        get(address, path)?;
        let line = log.next_with("web", PATIENCE)?;
        // Each request has one line, and no other comes at its end.
        assert!(line.contains(path) && line.contains(" 200 +"), "{line}");
    }
    Ok(())
}
