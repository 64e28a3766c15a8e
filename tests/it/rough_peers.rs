//! Peers that are slow, endless, half gone or gone: each ends in time, with the right line and counter, and costs little.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tests::client::{Client, get};
use tests::net::loopback;
use tests::peer::{HttpServer, ScriptServer, Syslog};
use tests::{PATIENCE, Sluice};

/// Memory that a peer may cost, in kB.
const GROWTH: u64 = 16 * 1024;

struct Lab {
    sluice: Sluice,
    syslog: Syslog,
    web: SocketAddr,
}

impl Lab {
    fn start(server: SocketAddr, options: &str) -> Result<Self> {
        let web = loopback()?;
        let syslog = Syslog::start()?;
        let config = format!(
            "global
    nbthread 1
    log {} local0
defaults
    mode http
    log global
    log-format \"%b/%s %ST %ts\"
    retries 0
    timeout connect 2s
    timeout client 2s
    timeout server 2s
    timeout http-request 1s
    {options}
frontend web
    bind {web}
    default_backend app
backend app
    server s1 {server}
",
            syslog.address()
        );
        Ok(Self { sluice: Sluice::config(config).start()?, syslog, web })
    }

    /// The next line, in the part that is ours.
    fn line(&self) -> Result<String> {
        let line = self.syslog.next(PATIENCE)?;
        let words: Vec<_> = line.trim_end().split(' ').collect();
        Ok(words[words.len().saturating_sub(3)..].join(" "))
    }

    fn count(&self, proxy: &str, service: &str, column: &str) -> Result<u64> {
        self.sluice.stats().count(proxy, service, column)
    }

    /// Memory of the worker, in kB.
    fn memory(&self) -> Result<u64> {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.sluice.worker_pid()?))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("VmRSS")?;
        Ok(line.split_whitespace().nth(1).context("VmRSS")?.parse()?)
    }

    /// Others are served, whatever was done before.
    fn serves(&self) -> Result<()> {
        assert_eq!(get(self.web, "/after")?.status, 200);
        assert_eq!(self.line()?, "app/s1 200 --");
        Ok(())
    }
}

/// A head that comes byte by byte does not outlive `timeout http-request`, however many do that at once.
#[test]
fn slow_heads() -> Result<()> {
    let server = HttpServer::start("s1")?;
    let lab = Lab::start(server.address(), "")?;
    let before = lab.memory()?;
    let start = Instant::now();
    let mut clients = Vec::new();
    for _ in 0..200 {
        let mut stream = TcpStream::connect(lab.web)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET / HTTP/1.1\r\n")?;
        clients.push(stream);
    }
    let mut writers = clients.iter().map(TcpStream::try_clone).collect::<Result<Vec<_>, _>>()?;
    let dripping = std::thread::spawn(move || {
        while start.elapsed() < Duration::from_secs(3) {
            writers.retain_mut(|stream| stream.write_all(b"x: y\r\n").is_ok());
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    for mut stream in clients {
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&answer));
    }
    assert!(start.elapsed() < Duration::from_secs(10));
    dripping.join().expect("no panic");
    for _ in 0..200 {
        assert_eq!(lab.line()?, "web/<NOSRV> 408 cR");
    }
    let grown = lab.memory()?.saturating_sub(before);
    assert!(grown < GROWTH, "{grown} kB");
    assert_eq!(lab.count("web", "FRONTEND", "ereq")?, 200);
    lab.serves()
}

#[test]
fn heads_without_end() -> Result<()> {
    let server = HttpServer::start("s1")?;
    let lab = Lab::start(server.address(), "")?;
    let before = lab.memory()?;
    let mut client = Client::connect(lab.web)?;
    client.send("GET / HTTP/1.1\r\n")?;
    let mut writer = client.stream().try_clone()?;
    let writing = std::thread::spawn(move || {
        let field = format!("x: {}\r\n", "y".repeat(1000));
        (0..64 * 1024).take_while(|_| writer.write_all(field.as_bytes()).is_ok()).count()
    });
    let answer = client.response()?;
    assert_eq!(answer.status, 400);
    drop(client);
    assert!(writing.join().expect("no panic") < 64 * 1024, "all of it was taken");
    assert_eq!(lab.line()?, "web/<NOSRV> 400 PR");
    assert_eq!(lab.count("web", "FRONTEND", "ereq")?, 1);
    // One line that never ends, too.
    let mut client = Client::connect(lab.web)?;
    client.send(format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(40_000)))?;
    assert!(matches!(client.response()?.status, 400 | 414));
    let _ = lab.line()?;
    let grown = lab.memory()?.saturating_sub(before);
    assert!(grown < GROWTH, "{grown} kB");
    lab.serves()
}

/// The size line of a chunk, its extensions and the trailers are bounded; the chunks themselves go to the server as they come.
#[test]
fn chunks_without_end() -> Result<()> {
    let server = HttpServer::start("s1")?;
    let lab = Lab::start(server.address(), "")?;
    let before = lab.memory()?;
    let head = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
    for endless in ["0".repeat(100), format!("1;{}", "e".repeat(100)), "0\r\nx: y\r\n".to_owned()] {
        let mut client = Client::connect(lab.web)?;
        client.send(head)?;
        let mut writer = client.stream().try_clone()?;
        let part = endless.repeat(10);
        let first = endless.clone();
        let writing = std::thread::spawn(move || {
            let piece = if first.contains('\n') { "x: y\r\n".repeat(200) } else { part };
            let _ = writer.write_all(first.as_bytes());
            (0..64 * 1024).take_while(|_| writer.write_all(piece.as_bytes()).is_ok()).count()
        });
        let answer = client.response();
        assert!(answer.as_ref().is_ok_and(|answer| answer.status == 400), "{answer:?}");
        drop(client);
        assert!(writing.join().expect("no panic") < 64 * 1024, "all of it was taken");
        let line = lab.line()?;
        assert!(line.starts_with("app/s1 400 "), "{line}");
    }
    let grown = lab.memory()?.saturating_sub(before);
    assert!(grown < GROWTH, "{grown} kB");
    lab.serves()
}

/// What a server does with a connection, in the words of a script.
fn server(act: fn(&mut TcpStream)) -> Result<ScriptServer> {
    ScriptServer::start(move |mut stream| {
        let mut chunk = [0; 4096];
        let n = stream.read(&mut chunk).unwrap_or(0);
        if chunk[..n].starts_with(b"GET /after") {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        } else {
            act(&mut stream);
        }
    })
}

/// Closes with a reset.
fn reset(stream: &TcpStream) {
    let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

#[test]
fn servers_that_leave_at_each_step() -> Result<()> {
    type Act = fn(&mut TcpStream);
    let acts: [(&str, Act, &str); 7] = [
        ("before an answer", |_| {}, "app/s1 502 SH"),
        ("before an answer, by a reset", |stream| reset(stream), "app/s1 502 SH"),
        ("in a head", |s| drop(s.write_all(b"HTTP/1.1 200 OK\r\nx: ")), "app/s1 502 SH"),
        (
            "in a body",
            |s| drop(s.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc")),
            "app/s1 200 SD",
        ),
        (
            "in a chunk",
            |s| drop(s.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nabc")),
            "app/s1 200 SD",
        ),
        (
            "in a body, by a reset",
            |s| {
                let _ = s.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc");
                std::thread::sleep(Duration::from_millis(100));
                reset(s);
            },
            "app/s1 200 SD",
        ),
        ("with nonsense", |s| drop(s.write_all(b"nonsense\r\n\r\n")), "app/s1 502 PH"),
    ];
    for (what, act, expected) in acts {
        let server = server(act)?;
        let lab = Lab::start(server.address(), "")?;
        let mut client = Client::connect(lab.web)?;
        client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n")?;
        let _ = client.rest();
        assert_eq!(lab.line()?, expected, "{what}");
        let (aborts, errors) =
            (lab.count("app", "s1", "srv_abrt")?, lab.count("app", "s1", "eresp")?);
        match expected.rsplit(' ').next() {
            // Aborts count as errors, too (management manual, 9.1 "eresp").
            Some("SD") => assert_eq!((aborts, errors), (1, 1), "{what}"),
            Some("SH") => assert_eq!(errors, 1, "{what}"),
            _ => assert_eq!((aborts, errors), (0, 1), "{what}"),
        }
        lab.serves()?;
    }
    Ok(())
}

#[test]
fn servers_that_say_nothing() -> Result<()> {
    let server = server(|_| std::thread::sleep(Duration::from_secs(4)))?;
    let lab = Lab::start(server.address(), "")?;
    let mut client = Client::connect(lab.web)?;
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n")?;
    assert_eq!(client.response()?.status, 504);
    assert_eq!(lab.line()?, "app/s1 504 sH");
    lab.serves()
}

/// A client that is gone is noticed while it waits, and what was for it is not held.
#[test]
fn clients_that_vanish() -> Result<()> {
    let server = server(|s| {
        let _ = s.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n");
        while s.write_all(&[b'x'; 100_000]).is_ok() {}
    })?;
    let lab = Lab::start(server.address(), "")?;
    let before = lab.memory()?;
    for _ in 0..20 {
        let mut client = TcpStream::connect(lab.web)?;
        client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")?;
        client.read_exact(&mut [0; 1000])?;
        reset(&client);
        drop(client);
        assert_eq!(lab.line()?, "app/s1 200 CD");
    }
    assert_eq!(lab.count("app", "s1", "cli_abrt")?, 20);
    // One that stays and does not read is given up.
    let mut client = TcpStream::connect(lab.web)?;
    client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")?;
    assert_eq!(lab.line()?, "app/s1 200 cD");
    let grown = lab.memory()?.saturating_sub(before);
    assert!(grown < GROWTH, "{grown} kB");
    lab.serves()
}

/// A client that ended its side waits for its answer where `option abortonclose` is off.
#[test]
fn half_closed_clients() -> Result<()> {
    let server = HttpServer::start("s1")?;
    let lab = Lab::start(server.address(), "no option abortonclose")?;
    let mut client = TcpStream::connect(lab.web)?;
    client.write_all(b"GET /delay/300 HTTP/1.1\r\nhost: a\r\n\r\n")?;
    client.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    client.read_to_string(&mut answer)?;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(lab.line()?, "app/s1 200 --");
    // In the middle of a body it is an abort.
    let mut client = TcpStream::connect(lab.web)?;
    client.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc")?;
    client.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    let _ = client.read_to_string(&mut answer);
    let line = lab.line()?;
    assert!(line.starts_with("app/s1 400 C") || line.starts_with("app/s1 -1 C"), "{line}");
    assert_eq!(lab.count("app", "s1", "cli_abrt")?, 1);
    lab.serves()
}
