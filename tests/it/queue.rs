//! What rules say of the way to a server: the place in queues, retries, and codes that count as errors.

use std::io::{BufRead, BufReader, Write};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread;

use anyhow::Result;
use tests::client::Client;
use tests::net::loopback;
use tests::peer::{HttpServer, ScriptServer};
use tests::sluice::{DEFAULTS, Peer, peer};
use tests::{PATIENCE, Sluice, eventually};

/// A server that tells the path of each request and answers when it is told to.
fn slow_server() -> Result<(ScriptServer, mpsc::Receiver<String>, mpsc::Sender<()>)> {
    let (told, paths) = mpsc::channel();
    let (go, gone) = mpsc::channel::<()>();
    let (told, gone) = (Mutex::new(told), Arc::new(Mutex::new(gone)));
    let server = ScriptServer::start(move |mut socket| {
        let Ok(reading) = socket.try_clone() else { return };
        let mut lines = BufReader::new(reading).lines();
        let Some(Ok(first)) = lines.next() else { return };
        if lines.take_while(|line| line.as_ref().is_ok_and(|line| !line.is_empty())).count() == 0 {
            return;
        }
        let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
        let _ = told.lock().expect("no panic before").send(path);
        let _ = gone.lock().expect("no panic before").recv_timeout(PATIENCE);
        let _ =
            socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    })?;
    Ok((server, paths, go))
}

#[test]
fn priorities_order_the_queue() -> Result<()> {
    let address = loopback()?;
    let (server, paths, go) = slow_server()?;
    let config = format!(
        "
global
    nbthread 1
{DEFAULTS}
    timeout queue 20s
frontend www
    bind {address}
    http-request set-priority-class req.hdr(x-class)
    http-request set-priority-offset req.hdr(x-offset)
    http-after-response set-header x-prio \"%[prio_class]/%[prio_offset]\"
    default_backend be
backend be
    server s1 {} maxconn 1
",
        server.address()
    );
    let sluice = Sluice::config(config).start()?;
    let ask = |path: &'static str, class: i32, offset: i32| {
        thread::spawn(move || -> Result<String> {
            let mut client = Client::connect(address)?;
            client.send(format!(
                "GET /{path} HTTP/1.1\r\nhost: a\r\nx-class: {class}\r\nx-offset: {offset}\r\n\r\n"
            ))?;
            Ok(client.response()?.header("x-prio").unwrap_or_default().to_owned())
        })
    };
    let first = ask("first", 0, 0);
    assert_eq!(paths.recv_timeout(PATIENCE)?, "/first");
    let mut waiting = vec![first];
    let rows = [("later", 0, 5000), ("usual", 0, 0), ("urgent", -3000, 0), ("sooner", 0, -5000)];
    for (queued, (path, class, offset)) in (1..).zip(rows) {
        waiting.push(ask(path, class, offset));
        eventually("a request waits", PATIENCE, || {
            let all = ["s1", "BACKEND"].iter().map(|of| sluice.stats().count("be", of, "qcur"));
            all.sum::<Result<u64>>().is_ok_and(|all| all == queued)
        })?;
    }
    let mut order = Vec::new();
    for _ in 0..4 {
        go.send(())?;
        order.push(paths.recv_timeout(PATIENCE)?);
    }
    go.send(())?;
    assert_eq!(order, ["/urgent", "/sooner", "/usual", "/later"]);
    let told: Vec<_> =
        waiting.into_iter().map(|w| w.join().expect("an answer")).collect::<Result<_>>()?;
    assert_eq!(told, ["0/0", "0/5000", "0/0", "-2047/0", "0/-5000"]);
    Ok(())
}

#[test]
fn codes_that_count_are_chosen() -> Result<()> {
    // HAProxy 2.6 does not know the words.
    if peer() == Peer::Haproxy {
        return Ok(());
    }
    let (address, server) = (loopback()?, HttpServer::start("s1")?);
    let config = format!(
        "
global
    http-err-codes -404 +301
    http-fail-codes 503
{DEFAULTS}
listen www
    bind {address}
    stick-table type ip size 10 store http_err_cnt,http_fail_cnt
    http-request track-sc0 src
    http-response set-header x-counts \"%[sc_http_err_cnt(0)] %[sc_http_fail_cnt(0)]\"
    server s1 {}
",
        server.address()
    );
    let _sluice = Sluice::config(config).start()?;
    let mut client = Client::connect(address)?;
    for (status, counts) in [(404, "0 0"), (301, "1 0"), (403, "2 0"), (500, "2 0"), (503, "2 1")] {
        let response = client.get(&format!("/status/{status}"))?;
        assert_eq!(response.header("x-counts"), Some(counts), "{status}");
    }
    Ok(())
}

#[test]
fn rules_set_how_often_is_retried() -> Result<()> {
    if peer() == Peer::Haproxy {
        return Ok(());
    }
    let (address, nobody) = (loopback()?, loopback()?);
    let config = format!(
        "
defaults
    mode http
    timeout connect 100ms
    timeout client 20s
    timeout server 20s
listen www
    bind {address}
    retries 1
    option redispatch 0
    http-request set-retries req.hdr(x-retries)
    http-after-response set-header x-retries \"%[txn.conn_retries] of %[cur_max_retries]\"
    server s1 {nobody}
"
    );
    let _sluice = Sluice::config(config).start()?;
    for (wanted, told) in [("2", "2 of 2"), ("0", "0 of 0"), ("101", "1 of 1")] {
        let mut client = Client::connect(address)?;
        client.send(format!("GET / HTTP/1.1\r\nhost: a\r\nx-retries: {wanted}\r\n\r\n"))?;
        let response = client.response()?;
        assert_eq!((response.status, response.header("x-retries")), (503, Some(told)));
    }
    Ok(())
}

#[test]
fn packets_carry_what_rules_say() -> Result<()> {
    // HAProxy 2.6 does not know the words.
    if peer() == Peer::Haproxy {
        return Ok(());
    }
    let (front, back) = (loopback()?, loopback()?);
    let config = format!(
        "
defaults
    mode http
    timeout connect 5s
    timeout client 20s
    timeout server 20s
listen front
    bind {front}
    http-request set-bc-tos 0x20 if {{ path /marked }}
    http-request set-fc-tos 0x28
    server s1 {back}
frontend back
    bind {back} tcp-ss 1
    tcp-request connection set-var(sess.syn) fc_saved_syn
    http-request return status 200 content-type text/plain lf-string \
        \"%[var(sess.syn),ip.tos] %[var(sess.syn),ip.src] %[var(sess.syn),ip.data,tcp.dst] %[fc_rtt(us),bool] %[fc_http_major]\"
"
    );
    let _sluice = Sluice::config(config).start()?;
    let mut client = Client::connect(front)?;
    let port = back.port();
    // A connection with another type of service does not serve in its place.
    for (path, tos) in [("/", 0), ("/marked", 32), ("/", 0), ("/marked", 32)] {
        let expected = format!("{tos} 127.0.0.1 {port} 1 1");
        assert_eq!(client.get(path)?.text(), expected, "{path}");
    }
    Ok(())
}

#[test]
fn what_goes_through_is_told() -> Result<()> {
    if peer() == Peer::Haproxy {
        return Ok(());
    }
    let (address, server) = (loopback()?, HttpServer::start("s1")?);
    let config = format!(
        "
{DEFAULTS}
listen www
    bind {address}
    filter trace name A random-forwarding max-fwd 500 hexdump
    filter trace name B quiet random-forwarding
    server s1 {}
",
        server.address()
    );
    let mut sluice = Sluice::config(config).start()?;
    let mut client = Client::connect(address)?;
    client.send("POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 30000\r\n\r\n")?;
    client.send(vec![b'x'; 30_000])?;
    let body = client.response()?.body;
    assert_eq!(body.iter().filter(|b| **b == b'x').count(), 30_000);
    assert_eq!(client.get("/chunked/20000")?.body.len(), 20_000);
    for part in
        ["[TRACE] A ", "request head: POST /echo HTTP/1.1", "request payload: ", " 78 78 78 "]
    {
        sluice.program().wait_line(part, PATIENCE)?;
    }
    Ok(())
}
