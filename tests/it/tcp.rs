//! `mode tcp`: bytes through, half-close, choice of server.

use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpStream};

use anyhow::Result;
use tests::client::Client;
use tests::net::{free_port, loopback};
use tests::peer::ScriptServer;
use tests::peer::http::filler;
use tests::sluice::{Peer, peer};
use tests::{PATIENCE, Sluice, eventually};

/// Says its name, then sends back what it gets.
fn echo(name: &'static str) -> Result<ScriptServer> {
    ScriptServer::start(move |mut stream: TcpStream| {
        let _ = writeln!(stream, "{name}");
        if let Ok(mut reader) = stream.try_clone() {
            let _ = std::io::copy(&mut reader, &mut stream);
        }
    })
}

fn proxy(lines: &str) -> Result<(Sluice, SocketAddr)> {
    let address = loopback()?;
    let config = format!(
        "
defaults
    mode tcp
    balance roundrobin
    timeout connect 5s
    timeout client 20s
    timeout server 20s
listen relay
    bind {address}
    {lines}
"
    );
    Ok((Sluice::config(config).start()?, address))
}

/// The name of the server that answers a new connection.
fn who(address: SocketAddr) -> Result<String> {
    Client::connect(address)?.line()
}

#[test]
fn bytes_pass_both_ways_and_half_close_is_kept() -> Result<()> {
    let server = echo("s1")?;
    let (sluice, address) = proxy(&format!("server s1 {}", server.address()))?;
    let mut client = Client::connect(address)?;
    assert_eq!(client.line()?, "s1");
    let bytes = filler(3_000_000);
    let mut sender = client.stream().try_clone()?;
    let sent = bytes.clone();
    let sending = std::thread::spawn(move || {
        sender.write_all(&sent)?;
        sender.shutdown(Shutdown::Write)
    });
    let echoed = client.rest()?;
    sending.join().expect("sender")?;
    assert!(echoed == bytes, "{} of {} bytes came back", echoed.len(), bytes.len());
    eventually("the connection's end in the counters", PATIENCE, || {
        sluice.stats().count("relay", "FRONTEND", "bin").is_ok_and(|bin| bin == 3_000_000)
            && sluice.stats().count("relay", "FRONTEND", "bout").is_ok_and(|out| out == 3_000_003)
    })?;
    assert_eq!(sluice.stats().count("relay", "s1", "stot")?, 1);
    Ok(())
}

#[test]
fn connections_go_round_and_weights_hold() -> Result<()> {
    let servers = [echo("s1")?, echo("s2")?];
    let (sluice, address) = proxy(&format!(
        "balance roundrobin\n    server s1 {} weight 1\n    server s2 {} weight 3",
        servers[0].address(),
        servers[1].address()
    ))?;
    let share = |count: usize| -> Result<usize> {
        let names = (0..count).map(|_| who(address)).collect::<Result<Vec<_>>>()?;
        Ok(names.iter().filter(|name| *name == "s2").count())
    };
    assert_eq!(share(8)?, 6);
    sluice.stats().quiet("set server relay/s2 weight 1")?;
    assert_eq!(share(8)?, 4);
    sluice.stats().quiet("set weight relay/s2 0%")?;
    assert_eq!(share(4)?, 0);
    Ok(())
}

#[test]
fn servers_leave_and_come_back_by_command() -> Result<()> {
    let servers = [echo("s1")?, echo("s2")?];
    let (sluice, address) = proxy(&format!(
        "server s1 {}\n    server s2 {}",
        servers[0].address(),
        servers[1].address()
    ))?;
    let stats = sluice.stats();
    let names = |count: usize| -> Result<Vec<String>> {
        let mut names = (0..count).map(|_| who(address)).collect::<Result<Vec<_>>>()?;
        names.sort();
        names.dedup();
        Ok(names)
    };
    assert_eq!(names(4)?, ["s1", "s2"]);
    stats.quiet("disable server relay/s1")?;
    assert_eq!(stats.stat("relay", "s1", "status")?, "MAINT");
    assert_eq!(names(4)?, ["s2"]);
    stats.quiet("enable server relay/s1")?;
    assert_eq!(stats.stat("relay", "s1", "status")?, "no check");
    assert_eq!(names(4)?, ["s1", "s2"]);
    stats.quiet("set server relay/s2 state drain")?;
    assert!(stats.stat("relay", "s2", "status")?.starts_with("DRAIN"));
    assert_eq!(names(4)?, ["s1"]);
    stats.quiet("set server relay/s2 state ready")?;
    assert_eq!(names(4)?, ["s1", "s2"]);
    Ok(())
}

#[test]
fn a_draining_server_keeps_its_connections() -> Result<()> {
    let server = echo("s1")?;
    let (sluice, address) = proxy(&format!("server s1 {}", server.address()))?;
    let mut client = Client::connect(address)?;
    assert_eq!(client.line()?, "s1");
    sluice.stats().quiet("set server relay/s1 state maint")?;
    client.send("still here\n")?;
    assert_eq!(client.line()?, "still here");
    Ok(())
}

#[test]
fn backup_serves_when_all_others_are_down() -> Result<()> {
    let (main, spare) = (echo("main")?, echo("spare")?);
    let (sluice, address) = proxy(&format!(
        "server main {}\n    server spare {} backup",
        main.address(),
        spare.address()
    ))?;
    assert_eq!(who(address)?, "main");
    sluice.stats().quiet("disable server relay/main")?;
    assert_eq!(who(address)?, "spare");
    sluice.stats().quiet("enable server relay/main")?;
    assert_eq!(who(address)?, "main");
    Ok(())
}

#[test]
fn a_refused_connection_is_retried_elsewhere() -> Result<()> {
    let server = echo("s2")?;
    let nobody = free_port()?;
    let (_sluice, address) = proxy(&format!(
        "option redispatch 1\n    retries 2\n    timeout connect 500ms\n    \
         server s1 127.0.0.1:{nobody}\n    server s2 {}",
        server.address()
    ))?;
    for _ in 0..4 {
        assert_eq!(who(address)?, "s2");
    }
    Ok(())
}

#[test]
fn idle_connections_end_at_their_timeout() -> Result<()> {
    let server = echo("s1")?;
    let (_sluice, address) =
        proxy(&format!("timeout client 200ms\n    server s1 {}", server.address()))?;
    let mut client = Client::connect(address)?;
    assert_eq!(client.line()?, "s1");
    assert!(client.is_closed());
    Ok(())
}

#[test]
fn tcp_checks_follow_the_listener() -> Result<()> {
    let server = echo("s1")?;
    let server_address = server.address();
    let (sluice, address) = proxy(&format!("server s1 {server_address} check inter 50ms"))?;
    let status = |wanted: &str| {
        eventually(&format!("s1 {wanted}"), PATIENCE, || {
            sluice.stats().stat("relay", "s1", "status").is_ok_and(|status| status == wanted)
        })
    };
    status("UP")?;
    drop(server);
    status("DOWN")?;
    assert!(Client::connect(address)?.is_closed(), "nobody to serve it");
    let _server = ScriptServer::bind(server_address, |mut stream| {
        let _ = writeln!(stream, "again");
    })?;
    status("UP")?;
    assert_eq!(who(address)?, "again");
    Ok(())
}

#[test]
fn proxy_protocol_is_sent_and_accepted() -> Result<()> {
    let server = ScriptServer::start(|stream| {
        let _ = std::io::copy(&mut &stream, &mut &stream);
    })?;
    let inner = loopback()?;
    let (_sluice, address) = proxy(&format!(
        "server chain {inner} send-proxy\nlisten inner\n    bind {inner} accept-proxy\n    \
         server s1 {} send-proxy",
        server.address()
    ))?;
    let mut client = Client::connect(address)?;
    let port = client.stream().local_addr()?.port();
    client.send("hello\n")?;
    assert_eq!(
        client.line()?,
        format!("PROXY TCP4 127.0.0.1 127.0.0.1 {port} {}", address.port()),
        "the first client's address, through two hops"
    );
    assert_eq!(client.line()?, "hello");
    Ok(())
}

#[test]
fn maxconn_of_the_frontend_holds_back_the_next_client() -> Result<()> {
    let server = echo("s1")?;
    let (_sluice, address) = proxy(&format!("maxconn 1\n    server s1 {}", server.address()))?;
    let mut first = Client::connect(address)?;
    assert_eq!(first.line()?, "s1");
    let mut second = Client::connect(address)?;
    second.stream().set_read_timeout(Some(std::time::Duration::from_millis(200)))?;
    assert!(second.line().is_err(), "not served while the first is there");
    drop(first);
    second.stream().set_read_timeout(Some(PATIENCE))?;
    assert_eq!(second.line()?, "s1");
    Ok(())
}

#[test]
fn tcp_rules_reject_and_choose() -> Result<()> {
    let (plain, hello) = (echo("plain")?, echo("hello")?);
    let address = loopback()?;
    let refused = loopback()?;
    let config = format!(
        "
defaults
    mode tcp
    balance roundrobin
    timeout connect 5s
    timeout client 20s
    timeout server 20s
frontend front
    bind {address}
    tcp-request inspect-delay 5s
    tcp-request content accept if {{ req.len gt 0 }}
    use_backend hello if {{ req.payload(0,5) -m str HELLO }}
    default_backend plain
frontend closed
    bind {refused}
    tcp-request connection reject if {{ src 127.0.0.0/8 }}
    default_backend plain
backend hello
    server s1 {}
backend plain
    server s1 {}
",
        hello.address(),
        plain.address()
    );
    let _sluice = Sluice::config(config).start()?;
    for (text, name) in [("HELLO world\n", "hello"), ("GOODBYE\n", "plain")] {
        let mut client = Client::connect(address)?;
        client.send(text)?;
        assert_eq!(client.line()?, name, "{text:?}");
        assert_eq!(client.line()?, text.trim_end());
    }
    // A reset may come before or after the client has seen its connection established.
    assert!(Client::connect(refused).map_or(true, |mut client| client.is_closed()));
    Ok(())
}

#[test]
fn signed_segments_reach_those_who_know_the_password() -> Result<()> {
    if peer() == Peer::Haproxy {
        // 2.6 does not know the word.
        return Ok(());
    }
    let (inner, right, wrong) = (loopback()?, loopback()?, loopback()?);
    let server = echo("s1")?;
    let config = format!(
        "
defaults
    mode tcp
    timeout connect 300ms
    retries 0
    timeout client 20s
    timeout server 20s
listen inner
    bind {inner} tcp-md5sig secret
    server s1 {}
listen right
    bind {right}
    server inner {inner} tcp-md5sig secret check
listen wrong
    bind {wrong}
    server inner {inner} tcp-md5sig other
",
        server.address()
    );
    let sluice = Sluice::config(config).start()?;
    assert_eq!(who(right)?, "s1");
    assert_eq!(Client::connect(wrong)?.rest()?, b"");
    eventually("a check that signs, too", PATIENCE, || {
        sluice.stats().stat("right", "inner", "check_status").is_ok_and(|said| said == "L4OK")
    })
}

#[test]
fn connections_come_from_where_a_name_says() -> Result<()> {
    let server = ScriptServer::start(|mut stream: TcpStream| {
        if let Ok(address) = stream.peer_addr() {
            let _ = writeln!(stream, "{}", address.ip());
        }
    })?;
    let (_sluice, address) =
        proxy(&format!("source ipv4@localhost\n    server s1 {}", server.address()))?;
    assert_eq!(who(address)?, "127.0.0.1");
    let refused = Sluice::config(format!(
        "{}
listen web
    bind {}
    server s1 127.0.0.1:1 source no-such-host.invalid
",
        tests::sluice::DEFAULTS,
        loopback()?
    ))
    .arg("-c")
    .run()?;
    assert!(!refused.status.success());
    Ok(())
}
