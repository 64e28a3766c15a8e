//! HTTP/2 on both sides: a request goes from HTTP/1 over HTTP/2 between two frontends to an HTTP/1 server, or by tools
//! that others wrote.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Result;
use tests::certificates::Authority;
use tests::client::Client;
use tests::h2::{
    ACK, Conn, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS, request,
    section,
};
use tests::net::loopback;
use tests::netns::run;
use tests::peer::http::filler;
use tests::peer::{HttpServer, ScriptServer, Syslog};
use tests::sluice::{Files, Peer, peer};
use tests::{PATIENCE, Program, Sluice, eventually};

const DEFAULTS: &str = "
defaults
    mode http
    timeout connect 5s
    timeout client 20s
    timeout server 20s
    timeout tunnel 20s
";

/// `web` speaks HTTP/1 with clients and HTTP/2 with `far`, which speaks HTTP/1 with `server`.
fn chain(global: &str, words: &str, server: SocketAddr) -> Result<(Sluice, SocketAddr)> {
    let (web, far) = (loopback()?, loopback()?);
    let config = format!(
        "global
    nbthread 1
    {global}
{DEFAULTS}
listen web
    bind {web}
    http-reuse always
    server far {far} proto h2 {words}
listen far
    bind {far} proto h2
    server s1 {server}
"
    );
    Ok((Sluice::config(config).start()?, web))
}

#[test]
fn bodies_both_ways() -> Result<()> {
    let server = HttpServer::start("s1")?;
    let (sluice, web) = chain("", "", server.address())?;
    let mut client = Client::connect(web)?;
    for length in [0, 10, 70_000, 3_000_000] {
        let answer = client.get(&format!("/chunked/{length}"))?;
        assert!(answer.body == filler(length), "{length}: {}", answer.body.len());
        let body = filler(length);
        let head = "POST /echo HTTP/1.1\r\nhost: a\r\n";
        client.send(format!("{head}content-length: {length}\r\n\r\n"))?;
        client.send(&body)?;
        assert!(client.response()?.body.ends_with(&body), "{length} up");
        client.send(format!("{head}transfer-encoding: chunked\r\n\r\n"))?;
        for part in body.chunks(10_000) {
            client.send(format!("{:x}\r\n", part.len()))?;
            client.send(part)?;
            client.send("\r\n")?;
        }
        client.send("0\r\n\r\n")?;
        assert!(client.response()?.body.ends_with(&body), "{length} up in chunks");
    }
    client.send("HEAD /bytes/100 HTTP/1.1\r\nhost: a\r\n\r\n")?;
    assert_eq!(client.response_to_head()?.header("content-length"), Some("100"));
    assert_eq!(client.get("/status/304")?.status, 304);
    assert_eq!(client.get("/status/204")?.status, 204);
    assert_eq!(sluice.stats().count("web", "far", "connect")?, 1, "one connection carried all");
    Ok(())
}

#[test]
fn trailers_both_ways() -> Result<()> {
    let server = ScriptServer::start(|mut stream| {
        let mut got = Vec::new();
        let mut chunk = [0; 1024];
        while !got.ends_with(b"x-up: 1\r\n\r\n") {
            match stream.read(&mut chunk) {
                Ok(n @ 1..) => got.extend_from_slice(&chunk[..n]),
                _ => return,
            }
        }
        let answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-down: 2\r\n\r\n";
        let _ = stream.write_all(answer.as_bytes());
    })?;
    let (_sluice, web) = chain("", "", server.address())?;
    let mut client = Client::connect(web)?;
    client.send("POST / HTTP/1.1\r\nhost: a\r\nte: trailers\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-up: 1\r\n\r\n")?;
    let answer = String::from_utf8(client.rest()?)?;
    assert!(answer.ends_with("2\r\nok\r\n0\r\nx-down: 2\r\n\r\n"), "{answer}");
    Ok(())
}

/// RFC 8441 both ways: `web` asks `far` by an extended CONNECT, `far` asks the server by an upgrade.
#[test]
fn websockets_cross_streams() -> Result<()> {
    let server = ScriptServer::start(|mut stream| {
        let mut got = Vec::new();
        let mut chunk = [0; 4096];
        while !got.ends_with(b"\r\n\r\n") {
            match stream.read(&mut chunk) {
                Ok(n @ 1..) => got.extend_from_slice(&chunk[..n]),
                _ => return,
            }
        }
        let head = String::from_utf8_lossy(&got).to_lowercase();
        let key = head.lines().any(|line| line.starts_with("sec-websocket-key: "));
        assert!(key && head.contains("upgrade: websocket"), "{head}");
        // Whatever key it was: it is checked by who made it, so it is answered rightly.
        let text = String::from_utf8_lossy(&got);
        let key = text.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("sec-websocket-key").then(|| value.to_owned())
        });
        let accept = accept(&key.unwrap_or_default());
        let answer = format!(
            "HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: {accept}\r\n\r\n"
        );
        let _ = stream.write_all(answer.as_bytes());
        while let Ok(n @ 1..) = stream.read(&mut chunk) {
            let _ = stream.write_all(&chunk[..n]);
        }
    })?;
    let (_sluice, web) = chain("", "", server.address())?;
    let mut client = Client::connect(web)?;
    client.send("GET /chat HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")?;
    let answer = client.response()?;
    assert_eq!(answer.status, 101);
    assert_eq!(answer.header("upgrade"), Some("websocket"));
    assert_eq!(answer.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    for text in ["hello".to_owned(), "x".repeat(300_000)] {
        let mut writer = client.stream().try_clone()?;
        let sent = text.clone();
        let writing = std::thread::spawn(move || writer.write_all(sent.as_bytes()));
        let mut back = vec![0; text.len()];
        client.read_exact(&mut back)?;
        writing.join().expect("no panic")?;
        assert!(back == text.as_bytes());
    }
    client.stream().shutdown(std::net::Shutdown::Write)?;
    assert!(client.rest()?.is_empty());
    Ok(())
}

/// RFC 6455 section 4.2.2.
fn accept(key: &str) -> String {
    let guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    let script = format!("printf %s '{key}{guid}' | openssl dgst -sha1 -binary | openssl base64");
    run(Command::new("sh").args(["-c", &script])).unwrap_or_default().trim().to_owned()
}

#[test]
fn streams_of_a_connection_to_a_server_are_bounded() -> Result<()> {
    if peer() == Peer::Haproxy {
        return Ok(());
    }
    let server = HttpServer::start("s1")?;
    let global = "tune.h2.be.max-concurrent-streams 2";
    let (sluice, web) = chain(global, "", server.address())?;
    let mut clients = Vec::new();
    for n in 1..=6 {
        clients.push(std::thread::spawn(move || Client::connect(web)?.get("/delay/3000")));
        eventually("on its way", PATIENCE, || server.requests() == n)?;
    }
    for client in clients {
        assert_eq!(client.join().expect("no panic")?.status, 200);
    }
    assert_eq!(sluice.stats().count("web", "far", "connect")?, 3);
    Ok(())
}

#[test]
fn silent_peers_are_asked_and_given_up() -> Result<()> {
    if peer() == Peer::Haproxy {
        return Ok(());
    }
    let web = loopback()?;
    let config = format!(
        "{DEFAULTS}
listen web
    bind {web} proto h2 idle-ping 150ms
    http-request return status 200
"
    );
    let _sluice = Sluice::config(config).start()?;
    // One that answers stays.
    let mut alive = Conn::client(web)?;
    for _ in 0..4 {
        let ping = alive.until(PING, false)?;
        alive.send(PING, ACK, 0, &ping.payload)?;
    }
    alive.send(HEADERS, END_STREAM | END_HEADERS, 1, &request("GET", "/"))?;
    assert_eq!(alive.until(HEADERS, false)?.stream, 1);
    // One that does not is closed.
    let mut dead = Conn::client(web)?;
    let start = Instant::now();
    dead.until(PING, false)?;
    while dead.next_frame()?.is_some() {}
    assert!(start.elapsed() < Duration::from_secs(5));
    Ok(())
}

#[test]
fn servers_are_asked_too() -> Result<()> {
    if peer() == Peer::Haproxy {
        return Ok(());
    }
    let (told, pings) = std::sync::mpsc::channel();
    let told = std::sync::Mutex::new(told);
    let server = ScriptServer::start(move |stream| {
        let Ok(mut conn) = Conn::server(stream) else { return };
        while let Ok(Some(frame)) = conn.next_frame() {
            if frame.kind == HEADERS {
                let answer = section(&[(":status", "204")]);
                let _ = conn.send(HEADERS, END_STREAM | END_HEADERS, frame.stream, &answer);
            }
            if frame.kind == PING && frame.flags & ACK == 0 {
                let _ = told.lock().map(|told| told.send("ping"));
            }
        }
        let _ = told.lock().map(|told| told.send("end"));
    })?;
    let web = loopback()?;
    let config = format!(
        "{DEFAULTS}
listen web
    bind {web}
    server s1 {} proto h2 idle-ping 150ms
",
        server.address()
    );
    let _sluice = Sluice::config(config).start()?;
    assert_eq!(tests::client::get(web, "/")?.status, 204);
    assert_eq!(pings.recv_timeout(PATIENCE)?, "ping");
    assert_eq!(pings.recv_timeout(PATIENCE)?, "end", "a server that does not answer is given up");
    Ok(())
}

#[test]
fn requests_that_make_no_sense() -> Result<()> {
    let server = HttpServer::start("s1")?;
    let web = loopback()?;
    let config = format!(
        "{DEFAULTS}
listen web
    bind {web} proto h2
    http-request return status 200 if {{ path /here }}
    server s1 {}
",
        server.address()
    );
    let sluice = Sluice::config(config).start()?;
    let mut client = Conn::client(web)?;
    let ends = END_STREAM | END_HEADERS;
    // What HTTP has no meaning for is answered; what is no message is reset.
    client.send(HEADERS, ends, 1, &request("GET?", "/"))?;
    let answer = client.until(HEADERS, false)?;
    assert_eq!((answer.stream, answer.payload[0]), (1, 0x80 | 12), "400");
    client.send(HEADERS, ends, 3, &request("GET", "no-slash"))?;
    assert_eq!(client.until(RST_STREAM, false)?.number(0), 1);
    // A body that is not what it was said to be.
    let mut post = request("POST", "/echo");
    post.extend(section(&[("content-length", "2")]));
    client.send(HEADERS, END_HEADERS, 5, &post)?;
    client.send(DATA, END_STREAM, 5, b"three")?;
    assert_eq!(client.until(RST_STREAM, false)?.number(0), 1);
    // One that is answered before its end is not wanted any more, and nothing went wrong.
    client.send(HEADERS, END_HEADERS, 7, &request("POST", "/here"))?;
    assert_eq!(client.until(HEADERS, false)?.stream, 7);
    let reset = client.until(RST_STREAM, false)?;
    // HAProxy 2.6 says that it was cancelled.
    let code = if peer() == Peer::Sluice { 0 } else { 8 };
    assert_eq!((reset.stream, reset.number(0)), (7, code));
    // The connection lives on.
    client.send(HEADERS, ends, 9, &request("GET", "/"))?;
    assert_eq!(client.until(HEADERS, false)?.stream, 9);
    if peer() == Peer::Sluice {
        assert_eq!(sluice.stats().count("web", "FRONTEND", "ereq")?, 1);
    }
    Ok(())
}

#[test]
fn a_reload_asks_clients_to_leave() -> Result<()> {
    let server = HttpServer::start("s1")?;
    let web = loopback()?;
    let config = format!(
        "{DEFAULTS}
listen web
    bind {web} proto h2
    server s1 {}
",
        server.address()
    );
    let mut sluice = Sluice::config(config).master().start()?;
    let mut client = Conn::client(web)?;
    let ends = END_STREAM | END_HEADERS;
    client.send(HEADERS, ends, 1, &request("GET", "/delay/1000"))?;
    client.until(SETTINGS, true)?;
    eventually("on its way", PATIENCE, || server.requests_for("/delay/1000") == 1)?;
    sluice.reload()?;
    let (mut gone, mut answered) = (None, false);
    // What was begun is finished.
    while let Some(frame) = client.next_frame()? {
        match frame.kind {
            GOAWAY => gone = Some((frame.number(0), frame.number(4))),
            PING if frame.flags & ACK == 0 => client.send(PING, ACK, 0, &frame.payload)?,
            DATA | HEADERS => answered |= frame.flags & END_STREAM != 0,
            _ => {}
        }
    }
    assert!(answered);
    assert_eq!(gone, Some((1, 0)), "last stream and code");
    // The next worker serves.
    let mut client = Conn::client(web)?;
    client.send(HEADERS, ends, 1, &request("GET", "/"))?;
    assert_eq!(client.until(HEADERS, false)?.stream, 1);
    Ok(())
}

/// Whether a tool is there; says so when it is not.
fn has(program: &str, arguments: &[&str]) -> bool {
    let there =
        Command::new(program).args(arguments).output().is_ok_and(|out| out.status.success());
    if !there {
        eprintln!("skipped: {program} {arguments:?} does not run");
    }
    there
}

#[test]
fn clients_of_others_over_tls() -> Result<()> {
    if !has("nghttp", &["--version"]) || !has("h2load", &["--version"]) {
        return Ok(());
    }
    let server = HttpServer::start("s1")?;
    let authority = Authority::new()?;
    let file = authority.issue("web.pem", "web.test", 30)?;
    let (web, plain) = (loopback()?, loopback()?);
    let config = format!(
        "{DEFAULTS}
listen web
    bind {web} ssl crt {file} alpn h2,http/1.1
    bind {plain}
    server s1 {}
",
        server.address()
    );
    let sluice = Sluice::config(config).start()?;
    let mut nghttp = Command::new("nghttp");
    let files = Files::new()?;
    let up = files.write("body", &"b".repeat(100_000))?;
    nghttp.args(["--no-verify-peer", "-v", "-d"]).arg(&up).arg(format!("https://{web}/echo"));
    let told = run(&mut nghttp)?;
    assert!(told.contains(":status: 200") && told.contains("END_STREAM"), "{told}");
    for url in [format!("https://{web}/bytes/20000"), format!("http://{plain}/bytes/10")] {
        let mut load = Command::new("h2load");
        load.args(["-n", "2000", "-c", "4", "-m", "20", &url]);
        let told = run(&mut load)?;
        let done = "2000 total, 2000 started, 2000 done, 2000 succeeded, 0 failed, 0 errored";
        assert!(told.contains(done), "{told}");
    }
    if peer() == Peer::Sluice {
        assert_eq!(sluice.stats().count("web", "FRONTEND", "h2req")?, 4001);
    }
    Ok(())
}

/// What was read makes room for more, long before all of the buffers is used up.
#[test]
fn small_bodies_do_not_use_up_a_connection() -> Result<()> {
    if !has("h2load", &["--version"]) {
        return Ok(());
    }
    let server = HttpServer::start("s1")?;
    let web = loopback()?;
    let config = format!(
        "{DEFAULTS}
listen web
    bind {web} proto h2
    server s1 {}
",
        server.address()
    );
    let sluice = Sluice::config(config).start()?;
    for (length, times) in [(4_000, 100), (65_536, 10)] {
        let body = sluice.files().write("body", &"x".repeat(length))?;
        let mut load = Command::new("h2load");
        load.args(["-n", &times.to_string(), "-c", "1", "-m", "1", "-d"]).arg(&body);
        let told = run(load.args(["-N", "10s", &format!("http://{web}/echo")]))?;
        let done = format!("{times} done, {times} succeeded, 0 failed, 0 errored, 0 timeout");
        assert!(told.contains(&done), "{told}");
    }
    Ok(())
}

const GRPC_SERVER: &str = r#"
import sys, grpc
from concurrent import futures
def one(request, context):
    context.set_trailing_metadata((("x-trailer", "yes"),))
    if request == b"fail":
        context.abort(grpc.StatusCode.NOT_FOUND, "nothing there")
    return request.upper()
def many(requests, context):
    for request in requests:
        yield request * 2
class Handler(grpc.GenericRpcHandler):
    def service(self, call):
        if call.method == "/test.S/One":
            return grpc.unary_unary_rpc_method_handler(one)
        return grpc.stream_stream_rpc_method_handler(many)
server = grpc.server(futures.ThreadPoolExecutor(4), (Handler(),))
server.add_insecure_port(sys.argv[1])
server.start()
print("ready", flush=True)
server.wait_for_termination()
"#;

const GRPC_CLIENT: &str = r#"
import sys, grpc
with grpc.insecure_channel(sys.argv[1]) as channel:
    one = channel.unary_unary("/test.S/One")
    answer, call = one.with_call(b"hello", timeout=20)
    assert answer == b"HELLO", answer
    assert dict(call.trailing_metadata())["x-trailer"] == "yes"
    large = b"x" * 1000000
    assert one(large, timeout=20) == large.upper()
    try:
        one(b"fail", timeout=20)
        raise AssertionError("no error")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.NOT_FOUND, error
        assert error.details() == "nothing there", error
    many = channel.stream_stream("/test.S/Many")
    assert list(many(iter([b"a", b"b", b"c"]), timeout=20)) == [b"aa", b"bb", b"cc"]
print("all well")
"#;

#[test]
fn grpc_end_to_end() -> Result<()> {
    const PYTHON: &str = "/usr/bin/python3";
    if !has(PYTHON, &["-c", "import grpc"]) {
        return Ok(());
    }
    let (web, app) = (loopback()?, loopback()?);
    let files = Files::new()?;
    let script = files.write("server.py", GRPC_SERVER)?;
    let server =
        Program::start("gRPC server", Command::new(PYTHON).arg(script).arg(app.to_string()))?;
    server.wait_line("ready", PATIENCE)?;
    let config = format!(
        "{DEFAULTS}
listen web
    bind {web} proto h2
    server s1 {app} proto h2
"
    );
    let sluice = Sluice::config(config).start()?;
    let script = files.write("client.py", GRPC_CLIENT)?;
    let told = run(Command::new(PYTHON).arg(script).arg(web.to_string()))?;
    assert!(told.contains("all well"), "{told}");
    assert_eq!(sluice.stats().count("web", "s1", "connect")?, 1);
    Ok(())
}

/// Of one stream a client may send as much as our buffers have for it, and no more until the server takes it.
#[test]
fn a_server_that_does_not_read_holds_the_client_back() -> Result<()> {
    let server = ScriptServer::start(|stream| {
        // Nothing is read for as long as the client tries.
        std::thread::sleep(Duration::from_secs(2));
        drop(stream);
    })?;
    let web = loopback()?;
    let config = format!(
        "{DEFAULTS}
listen web
    bind {web} proto h2
    server s1 {}
",
        server.address()
    );
    let _sluice = Sluice::config(config).start()?;
    let mut client = Conn::client(web)?;
    client.send(HEADERS, END_HEADERS, 1, &request("POST", "/"))?;
    let mut window = [65_535i64; 2];
    client.0.set_read_timeout(Some(Duration::from_millis(500)))?;
    let mut sent = 0;
    loop {
        while window[0].min(window[1]) >= 16_384 {
            client.send(DATA, 0, 1, &[b'x'; 16_384])?;
            sent += 16_384;
            window = window.map(|left| left - 16_384);
        }
        match client.next_frame() {
            Ok(Some(frame)) if frame.kind == tests::h2::WINDOW_UPDATE => {
                window[usize::from(frame.stream == 1)] += i64::from(frame.number(0));
            }
            Ok(Some(_)) => {}
            // Nothing more is granted.
            Ok(None) | Err(_) => break,
        }
        anyhow::ensure!(sent < 64 << 20, "no end of it");
    }
    let sockets = 6 << 20;
    assert!(sent > 65_535 && sent < (1_600 * 1024) + sockets, "{sent} bytes");
    Ok(())
}

#[test]
fn a_server_that_refuses_a_stream_is_asked_again() -> Result<()> {
    if peer() == Peer::Haproxy {
        return Ok(());
    }
    // The first connection is told to go away behind its first request; what comes later goes elsewhere.
    let served = std::sync::atomic::AtomicU32::new(0);
    let server = ScriptServer::start(move |stream| {
        let Ok(mut conn) = Conn::server(stream) else { return };
        let first = served.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0;
        while let Ok(Some(frame)) = conn.next_frame() {
            if frame.kind == HEADERS {
                let answer = section(&[(":status", "204")]);
                let _ = conn.send(HEADERS, END_STREAM | END_HEADERS, frame.stream, &answer);
                if first {
                    let last = [frame.stream.to_be_bytes(), [0; 4]].concat();
                    let _ = conn.send(GOAWAY, 0, 0, &last);
                }
            }
        }
    })?;
    let web = loopback()?;
    let config = format!(
        "{DEFAULTS}
listen web
    bind {web}
    http-reuse always
    server s1 {} proto h2
",
        server.address()
    );
    let sluice = Sluice::config(config).start()?;
    let mut client = Client::connect(web)?;
    for _ in 0..10 {
        assert_eq!(client.get("/")?.status, 204);
    }
    let connections = sluice.stats().count("web", "s1", "connect")?;
    assert_eq!(connections, 2);
    Ok(())
}

#[test]
fn logs_know_streams_and_their_tasks() -> Result<()> {
    let (log, server) = (Syslog::start()?, ScriptServer::start(drop)?);
    let (web, far) = (loopback()?, loopback()?);
    let format = "web fs=%[fs.id]/%[fs.aborted]/%[fs.rst_code] bs=%[bs.id]/%[bs.aborted]/%[bs.rst_code] \
                  calls=%[cpu_calls] run=%[cpu_ns_tot] avg=%[cpu_ns_avg] wait=%[lat_ns_tot] \
                  usage=%[cpu_usage_thr]/%[cpu_usage_proc] <%[fs.debug_str(1)]> <%[bs.debug_str(9)]> %ts";
    let config = format!(
        "global
    nbthread 1
{DEFAULTS}
    log {} local0
frontend web
    bind {web} proto h2
    log-format \"{format}\"
    http-request wait-for-body time 10s if {{ path /body }}
    http-request return status 200 if {{ path /return }}
    default_backend far
backend far
    server far {far} proto h2
frontend distant
    bind {far} proto h2
    default_backend s1
backend s1
    server s1 {}
",
        log.address(),
        server.address(),
    );
    let _sluice = Sluice::config(config).start()?;
    let mut client = Conn::client(web)?;
    client.until(SETTINGS, false)?;
    client.send(HEADERS, END_HEADERS | END_STREAM, 1, &request("GET", "/return"))?;
    client.until(HEADERS, false)?;
    let line = log.next_with("web fs=", PATIENCE)?;
    assert!(line.starts_with("web fs=1/0/- bs=-/-/- calls=1 run="), "{line}");
    assert!(line.contains("<id=1 aborted=0>"), "{line}");

    // A client that resets its stream while its body is awaited.
    client.send(HEADERS, END_HEADERS, 3, &request("POST", "/body"))?;
    client.send(RST_STREAM, 0, 3, &8u32.to_be_bytes())?;
    let line = log.next_with("web fs=", PATIENCE)?;
    assert!(line.starts_with("web fs=3/1/8 bs=-/-/-"), "{line}");
    assert!(line.contains("<id=3 aborted=1 rst=8>"), "{line}");

    // The server's end closes without an answer, and so the far side does not answer 200.
    client.send(HEADERS, END_HEADERS | END_STREAM, 5, &request("GET", "/"))?;
    client.until(HEADERS, false)?;
    let line = log.next_with("web fs=", PATIENCE)?;
    assert!(line.starts_with("web fs=5/0/- bs=1/0/- calls="), "{line}");
    let number = |name: &str| -> Option<u64> {
        let rest = line.split(&format!(" {name}=")).nth(1)?;
        rest.split(' ').next()?.parse().ok()
    };
    // Woken at least by the answer.
    let calls = number("calls").unwrap_or(0);
    assert!(calls >= 2, "{line}");
    let run = number("run").unwrap_or(0);
    // Read a moment later, in the same run.
    assert!(run > 0 && number("avg").is_some_and(|avg| avg >= run / calls), "{line}");
    assert!(number("wait").is_some_and(|wait| wait > 0), "{line}");
    Ok(())
}
