//! Names that are resolved at run time, by a real nameserver. The lines were asked of HAProxy, and
//! `SLUICE_PEER=haproxy` asks again; what only Sluice does says so.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tests::client::get;
use tests::net::loopback;
use tests::peer::dns::DnsServer;
use tests::peer::{HttpServer, ScriptServer};
use tests::sluice::{Peer, peer};
use tests::{Client, PATIENCE, Sluice, eventually};

/// A frontend, a section of resolvers with these lines, and a backend with these.
fn config(listener: SocketAddr, resolvers: &str, backend: &str) -> String {
    format!(
        "defaults
    mode http
    timeout connect 2s
    timeout client 9s
    timeout server 9s
resolvers dns
    timeout resolve 100ms
    timeout retry 300ms
    hold nx 200ms
    hold other 200ms
    hold refused 200ms
    hold timeout 200ms
    {}
frontend front
    bind {listener}
    default_backend back
backend back
    default-server init-addr none resolvers dns resolve-prefer ipv4
    {}
",
        resolvers.replace('\n', "\n    "),
        backend.replace('\n', "\n    ")
    )
}

/// A column of `show servers state` for each server, in order: `name=value`.
fn column(sluice: &Sluice, title: &str) -> Result<String> {
    let state = sluice.stats().command("show servers state back")?;
    let titles = state.lines().nth(1).context("no titles")?.trim_start_matches("# ");
    let index = titles.split(' ').position(|t| t == title).context("no such column")?;
    let values = state.lines().skip(2).map(|line| {
        let fields: Vec<&str> = line.split(' ').collect();
        format!("{}={}", fields[3], fields[index])
    });
    Ok(values.collect::<Vec<_>>().join(" "))
}

#[track_caller]
fn becomes(sluice: &Sluice, title: &str, expected: &str) -> Result<()> {
    let mut seen = String::new();
    eventually(expected, PATIENCE, || {
        seen = column(sluice, title).unwrap_or_default();
        seen == expected
    })
    .with_context(|| format!("{title} stays {seen:?}"))
}

/// The last lines of the log about servers, without the process in front.
fn said(sluice: &mut Sluice, from: usize) -> Vec<String> {
    let lines = sluice.program().lines();
    let lines = lines.iter().skip(from).filter_map(|line| line.split_once(") : "));
    lines.map(|(_, said)| said.to_owned()).filter(|said| said.contains("back/")).collect()
}

#[test]
fn servers_follow_the_answers() -> Result<()> {
    let one = HttpServer::bind("one", "127.0.0.2:0")?;
    let port = one.address().port();
    let _two = HttpServer::bind("two", ("127.0.0.3", port))?;
    let mut dns = DnsServer::start("host-record=web.test,127.0.0.2")?;
    let listener = loopback()?;
    let nameserver = format!("nameserver d {}", dns.address());
    let server = format!("server s web.test:{port}");
    let mut sluice = Sluice::config(config(listener, &nameserver, &server)).start()?;
    becomes(&sluice, "srv_addr", "s=127.0.0.2")?;
    assert_eq!(get(listener, "/")?.body, b"one");
    assert_eq!(
        said(&mut sluice, 0),
        [
            "back/s changed its IP from (none) to 127.0.0.2 by dns/d.",
            "Server back/s ('web.test') is UP/READY (resolves again).",
            "Server back/s administratively READY thanks to valid DNS answer.",
        ]
    );
    let from = sluice.program().lines().len();
    dns.set("host-record=web.test,127.0.0.3")?;
    becomes(&sluice, "srv_addr", "s=127.0.0.3")?;
    assert_eq!(get(listener, "/")?.body, b"two");
    assert_eq!(
        said(&mut sluice, from),
        ["back/s changed its IP from 127.0.0.2 to 127.0.0.3 by dns/d."]
    );
    // No such name: out of service, and back with the next answer.
    let from = sluice.program().lines().len();
    dns.set("")?;
    becomes(&sluice, "srv_addr", "s=-")?;
    assert_eq!(get(listener, "/")?.status, 503);
    assert_eq!(column(&sluice, "srv_admin_state")?, "s=32");
    assert_eq!(sluice.stats().stat("back", "s", "status")?, "MAINT (resolution)");
    assert_eq!(
        said(&mut sluice, from),
        ["Server back/s is going DOWN for maintenance (DNS NX status). 0 active and 0 backup \
             servers left. 0 sessions active, 0 requeued, 0 remaining in queue."]
    );
    dns.set("cname=web.test,real.test\nhost-record=real.test,127.0.0.2")?;
    becomes(&sluice, "srv_addr", "s=127.0.0.2")?;
    assert_eq!(get(listener, "/")?.body, b"one");
    Ok(())
}

/// `hold` keeps what was known; then the server leaves, for the reason that the last error gives.
#[test]
fn errors_are_held() -> Result<()> {
    let mut dns = DnsServer::start("host-record=web.test,127.0.0.2")?;
    let nameserver = format!("nameserver d {}\nhold timeout 2s\nresolve_retries 1", dns.address());
    let server = "server s web.test:80\nserver out example.com:80 init-addr 127.0.0.9";
    let mut sluice = Sluice::config(config(loopback()?, &nameserver, server)).start()?;
    becomes(&sluice, "srv_addr", "s=127.0.0.2 out=-")?;
    sluice.program().wait_line("back/out is going DOWN for maintenance (DNS refused", PATIENCE)?;
    let silent = UdpSocket::bind("127.0.0.1:0")?;
    dns.stop();
    // In its place, one that never answers.
    let silent_too = UdpSocket::bind(dns.address())?;
    let start = Instant::now();
    sluice
        .program()
        .wait_line("back/s is going DOWN for maintenance (DNS timeout status)", PATIENCE)?;
    assert!(start.elapsed() >= Duration::from_millis(1500), "{:?}", start.elapsed());
    drop((silent, silent_too));
    Ok(())
}

/// All nameservers are asked at once: one that is silent, and one that errs, hide nothing.
#[test]
fn the_first_valid_answer_counts() -> Result<()> {
    let good = DnsServer::start("host-record=web.test,127.0.0.2")?;
    let wrong = DnsServer::start("")?;
    let silent = UdpSocket::bind("127.0.0.1:0")?;
    let nameservers = format!(
        "nameserver silent {}\nnameserver wrong {}\nnameserver good tcp@{}",
        silent.local_addr()?,
        wrong.address(),
        good.address()
    );
    let mut sluice =
        Sluice::config(config(loopback()?, &nameservers, "server s web.test:80")).start()?;
    becomes(&sluice, "srv_addr", "s=127.0.0.2")?;
    sluice.program().wait_line("from (none) to 127.0.0.2 by dns/good", PATIENCE)?;
    let shown = sluice.stats().command("show resolvers dns")?;
    let count = |nameserver: &str, counter: &str| -> Option<u64> {
        let (_, of) = shown.split_once(&format!(" nameserver {nameserver}:\n"))?;
        let line = of.lines().find(|line| line.trim_start().starts_with(counter))?;
        line.split_once(':')?.1.trim().parse().ok()
    };
    assert!(count("good", "valid") >= Some(1), "{shown}");
    assert!(count("wrong", "nx") >= Some(1), "{shown}");
    assert!(count("silent", "sent") >= Some(1), "{shown}");
    assert_eq!(count("silent", "valid"), Some(0), "{shown}");
    assert!(sluice.stats().command("show resolvers none")?.contains("Can't find"));
    Ok(())
}

/// A template has as many servers as there are addresses; all of them come over TCP when they do not fit a
/// datagram, which HAProxy does not do.
#[test]
fn truncated_replies_are_asked_for_again_over_tcp() -> Result<()> {
    if peer() == Peer::Haproxy {
        return Ok(());
    }
    let records: Vec<String> =
        (1..=60).map(|n| format!("host-record=many.test,127.1.0.{n}")).collect();
    let dns = DnsServer::start(&records.join("\n"))?;
    let nameserver = format!("nameserver d {}", dns.address());
    let server = "server-template s 60 many.test:80";
    let sluice = Sluice::config(config(loopback()?, &nameserver, server)).start()?;
    eventually("60 servers", PATIENCE, || {
        column(&sluice, "srv_addr").is_ok_and(|addresses| !addresses.contains("=-"))
    })?;
    let addresses = column(&sluice, "srv_addr")?;
    let mut addresses: Vec<&str> =
        addresses.split(' ').filter_map(|a| a.split_once('=')).map(|(_, ip)| ip).collect();
    addresses.sort_unstable();
    addresses.dedup();
    assert_eq!(addresses.len(), 60);
    let shown = sluice.stats().command("show resolvers dns")?;
    assert!(!shown.contains("truncated:   0"), "{shown}");
    Ok(())
}

#[test]
fn addresses_are_shared_when_asked_for() -> Result<()> {
    let dns = DnsServer::start("host-record=two.test,127.0.1.1\nhost-record=two.test,127.9.1.2")?;
    let nameserver = format!("nameserver d {}", dns.address());
    let servers = "server-template t 3 two.test:80
server n two.test:81 resolve-opts allow-dup-ip resolve-net 127.9.0.0/16
server m two.test:81 resolve-opts allow-dup-ip resolve-net 127.0.0.0/16";
    let sluice = Sluice::config(config(loopback()?, &nameserver, servers)).start()?;
    eventually("addresses", PATIENCE, || {
        let addresses = column(&sluice, "srv_addr").unwrap_or_default();
        addresses.matches("=127.0.1.1").count() == 2
            && addresses.matches("=127.9.1.2").count() == 2
            && addresses.contains("t3=-")
            && addresses.ends_with("n=127.9.1.2 m=127.0.1.1")
    })
    .with_context(|| column(&sluice, "srv_addr").unwrap_or_default())
}

/// Servers stand for records: with their ports and weights, as many as there are.
#[test]
fn services_grow_and_shrink() -> Result<()> {
    let one = HttpServer::bind("one", "127.0.2.1:0")?;
    let two = HttpServer::bind("two", "127.0.2.2:0")?;
    let record = |host: &str, server: &HttpServer, weight: u32| {
        format!(
            "host-record={host}.test,{}\nsrv-host=_http._tcp.srv.test,{host}.test,{},0,{weight}\n",
            server.address().ip(),
            server.address().port()
        )
    };
    let mut dns = DnsServer::start(&record("a", &one, 512))?;
    let nameserver = format!("nameserver d {}", dns.address());
    let servers = "balance roundrobin
server-template s 3 _http._tcp.srv.test";
    let listener = loopback()?;
    let sluice = Sluice::config(config(listener, &nameserver, servers)).start()?;
    becomes(&sluice, "srv_addr", "s1=127.0.2.1 s2=- s3=-")?;
    becomes(&sluice, "srv_uweight", "s1=2 s2=1 s3=1")?;
    becomes(&sluice, "srv_fqdn", "s1=a.test s2=- s3=-")?;
    becomes(&sluice, "srv_port", &format!("s1={} s2=0 s3=0", one.address().port()))?;
    let record_name = "_http._tcp.srv.test";
    becomes(&sluice, "srvrecord", &format!("s1={record_name} s2={record_name} s3={record_name}"))?;
    assert_eq!(get(listener, "/")?.body, b"one");
    dns.set(&(record("a", &one, 10) + &record("b", &two, 65535)))?;
    becomes(&sluice, "srv_addr", "s1=127.0.2.1 s2=127.0.2.2 s3=-")?;
    becomes(&sluice, "srv_uweight", "s1=1 s2=256 s3=1")?;
    eventually("both servers", PATIENCE, || {
        let answered = get(listener, "/").map(|response| response.body).unwrap_or_default();
        answered == b"two"
    })?;
    dns.set(&record("b", &two, 65535))?;
    becomes(&sluice, "srv_addr", "s1=- s2=127.0.2.2 s3=-")?;
    becomes(&sluice, "srv_fqdn", "s1=- s2=b.test s3=-")?;
    for _ in 0..3 {
        assert_eq!(get(listener, "/")?.body, b"two");
    }
    dns.set("")?;
    becomes(&sluice, "srv_addr", "s1=- s2=- s3=-")?;
    assert_eq!(get(listener, "/")?.status, 503);
    // Its address comes by a question of its own when the reply has none.
    dns.set(&format!(
        "cname=c.test,real.test\nhost-record=real.test,127.0.2.1\n\
         srv-host={record_name},c.test,{},0,9",
        one.address().port()
    ))?;
    eventually("an answer", PATIENCE, || {
        get(listener, "/").is_ok_and(|response| response.body == b"one")
    })
}

#[test]
fn names_change_by_command() -> Result<()> {
    let quiet = ScriptServer::start(drop)?;
    let dns = DnsServer::start("host-record=web.test,127.0.0.2\nhost-record=new.test,127.0.0.3")?;
    let nameserver = format!("nameserver d {}", dns.address());
    let servers = format!("server s web.test:80\nserver plain {}", quiet.address());
    let text = config(loopback()?, &nameserver, &servers);
    let text = format!("{text}backend other\n    server fixed {}\n", quiet.address());
    let sluice = Sluice::config(text).start()?;
    becomes(&sluice, "srv_addr", "s=127.0.0.2 plain=127.0.0.1")?;
    let command = |line: &str| sluice.stats().command(line);
    assert_eq!(
        command("set server back/s fqdn new.test")?,
        "back/s changed its FQDN from web.test to new.test by 'stats socket command'"
    );
    assert_eq!(
        command("set server back/plain fqdn web.test")?,
        "back/plain changed its FQDN from (null) to web.test by 'stats socket command'"
    );
    becomes(&sluice, "srv_addr", "s=127.0.0.3 plain=127.0.0.2")?;
    becomes(&sluice, "srv_fqdn", "s=new.test plain=web.test")?;
    becomes(&sluice, "srv_admin_state", "s=0 plain=0")?;
    assert_eq!(command("set server back/s fqdn")?, "set server <b>/<s> fqdn requires a FQDN.");
    assert_eq!(
        command("set server back/s fqdn new.test")?,
        "no need to change the FDQN by 'stats socket command'"
    );
    assert_eq!(
        command("set server back/s fqdn a!b")?,
        "invalid fqdn 'a!b' by 'stats socket command'"
    );
    assert_eq!(
        command("set server other/fixed fqdn web.test")?,
        "set server <b>/<s> fqdn failed because no resolution is configured."
    );
    Ok(())
}

/// Requests go where the name in them is, each to its own place.
#[test]
fn requests_go_where_their_names_are() -> Result<()> {
    let one = HttpServer::bind("one", "127.0.0.2:0")?;
    let port = one.address().port();
    let _two = HttpServer::bind("two", ("127.0.0.3", port))?;
    let dns = DnsServer::start("host-record=one.test,127.0.0.2\nhost-record=two.test,127.0.0.3")?;
    let (listener, tcp) = (loopback()?, loopback()?);
    let nameserver = format!("nameserver d {}", dns.address());
    let text = config(listener, &nameserver, "http-reuse always\nserver clear 0.0.0.0:0").replace(
        "default_backend back",
        &format!(
            "http-request do-resolve(txn.ip,dns,ipv4) hdr(host),host_only
    http-request return status 502 unless {{ var(txn.ip) -m found }}
    http-request set-dst var(txn.ip)
    http-request set-dst-port int({port})
    default_backend back"
        ),
    );
    let text = format!(
        "{text}listen tcp
    bind {tcp}
    mode tcp
    tcp-request inspect-delay 9s
    tcp-request content do-resolve(sess.ip,dns,ipv4) str(TWO.test)
    tcp-request content set-dst var(sess.ip)
    server clear 0.0.0.0:{port}
"
    );
    let _sluice = Sluice::config(text).start()?;
    let mut client = Client::connect(listener)?;
    for (host, expected) in
        [("one.test", "one"), ("two.test:80", "two"), ("none.test", ""), ("one.test", "one")]
    {
        client.send(format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n"))?;
        let response = client.response()?;
        if expected.is_empty() {
            assert_eq!(response.status, 502, "{host}");
        } else {
            assert_eq!(response.text(), expected, "{host}");
        }
    }
    assert_eq!(get(tcp, "/")?.text(), "two");
    // The same name again is answered from what is known; HAProxy 2.6 was seen to ask anew.
    let asked = dns.log().matches("query[A] one.test").count();
    assert!(peer() == Peer::Haproxy || asked == 1, "{}", dns.log());
    Ok(())
}
