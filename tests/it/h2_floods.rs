//! Floods of HTTP/2: what a client may do with little effort must not cost the others their service, nor the process
//! its memory. All clients are served by one thread here.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tests::Sluice;
use tests::net::loopback;
use tests::peer::HttpServer;
use tests::sluice::{DEFAULTS, Peer, peer};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ENHANCE_YOUR_CALM: u32 = 11;

/// `GET http://a/`, from the static table and one literal that is not kept (RFC 7541, 6).
const GET: &[u8] = &[0x82, 0x86, 0x84, 0x01, 0x01, b'a'];
/// `POST http://a/`.
const POST: &[u8] = &[0x83, 0x86, 0x84, 0x01, 0x01, b'a'];
/// Memory that a flood may cost, in kB.
const GROWTH: u64 = 24 * 1024;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend_from_slice(payload);
    out
}

/// What became of a connection.
#[derive(Debug, Default)]
struct End {
    /// Code of the last GOAWAY.
    goaway: Option<u32>,
    /// Codes of RST_STREAM.
    resets: Vec<u32>,
    /// The other side closed it.
    closed: bool,
}

/// Reads frames to the end, or as long as something comes.
fn frames(mut stream: &TcpStream) -> End {
    let mut end = End::default();
    let mut bytes = Vec::new();
    let mut chunk = [0; 65_536];
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => {
                end.closed = true;
                break;
            }
            Ok(n) => bytes.extend_from_slice(&chunk[..n]),
            Err(error) => {
                end.closed = error.kind() == std::io::ErrorKind::ConnectionReset;
                break;
            }
        }
    }
    let mut rest = bytes.as_slice();
    while let Some((head, after)) = rest.split_at_checked(9) {
        let len = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let Some((payload, after)) = after.split_at_checked(len) else { break };
        let number = |at: usize| {
            payload.get(at..at + 4).map_or(0, |b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
        };
        match head[3] {
            GOAWAY => end.goaway = Some(number(4)),
            RST_STREAM => end.resets.push(number(0)),
            _ => {}
        }
        rest = after;
    }
    end
}

struct Lab {
    sluice: Sluice,
    server: HttpServer,
    address: SocketAddr,
}

impl Lab {
    fn start() -> Result<Self> {
        let server = HttpServer::start("s1")?;
        let address = loopback()?;
        let config = format!(
            "global
    nbthread 1
{DEFAULTS}
frontend web
    bind {address}
    default_backend s
backend s
    server s1 {}
",
            server.address()
        );
        Ok(Self { sluice: Sluice::config(config).start()?, server, address })
    }

    /// Memory of the worker, in kB.
    fn memory(&self) -> Result<u64> {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.sluice.worker_pid()?))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("VmRSS")?;
        Ok(line.split_whitespace().nth(1).context("VmRSS")?.parse()?)
    }

    /// A connection on which HTTP/2 has begun.
    fn connect(&self) -> Result<TcpStream> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(3)))?;
        stream.set_write_timeout(Some(Duration::from_secs(3)))?;
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")?;
        stream.write_all(&frame(SETTINGS, 0, 0, &[]))?;
        Ok(stream)
    }

    /// Runs an attack while others go about their business; memory must not grow, and they must be served.
    fn during(&self, attack: impl FnOnce(&Self) -> Result<End>) -> Result<End> {
        tests::client::get(self.address, "/warm")?;
        let before = self.memory()?;
        let over = Arc::new(AtomicBool::new(false));
        let (address, told) = (self.address, over.clone());
        let honest = std::thread::spawn(move || -> Result<(u32, Duration)> {
            let (mut count, mut longest) = (0, Duration::ZERO);
            while !told.load(Ordering::Relaxed) {
                let start = Instant::now();
                let answer = tests::client::get(address, "/honest")?;
                anyhow::ensure!(answer.status == 200, "{}", answer.status);
                longest = longest.max(start.elapsed());
                count += 1;
            }
            Ok((count, longest))
        });
        let end = attack(self);
        over.store(true, Ordering::Relaxed);
        let (count, longest) = honest.join().expect("no panic")?;
        let grown = self.memory()?.saturating_sub(before);
        println!("{count} requests of others, {longest:?} the longest, {grown} kB more; {end:?}");
        assert!(count > 0);
        assert!(longest < Duration::from_secs(5), "others waited {longest:?}");
        assert!(grown < GROWTH, "{grown} kB more");
        // And afterwards.
        assert_eq!(tests::client::get(self.address, "/after")?.status, 200);
        end
    }
}

/// Sends until the other side has enough, or `max` bytes.
fn pour(mut stream: &TcpStream, piece: impl Fn(u32) -> Vec<u8>, max: usize) -> usize {
    let mut sent = 0;
    for n in 0.. {
        let bytes = piece(n);
        if sent >= max || stream.write_all(&bytes).is_err() {
            break;
        }
        sent += bytes.len();
    }
    sent
}

/// CVE-2023-44487.
#[test]
fn streams_that_are_reset_at_once() -> Result<()> {
    let lab = Lab::start()?;
    let end = lab.during(|lab| {
        let stream = lab.connect()?;
        let one = |n: u32| {
            let id = n * 2 + 1;
            let mut both = frame(HEADERS, END_STREAM | END_HEADERS, id, GET);
            both.extend(frame(RST_STREAM, 0, id, &8u32.to_be_bytes()));
            both
        };
        // A client that does not read would not learn of the end.
        let reader = stream.try_clone()?;
        let reading = std::thread::spawn(move || frames(&reader));
        pour(&stream, one, 4 << 20);
        let _ = stream.shutdown(Shutdown::Write);
        Ok(reading.join().expect("no panic"))
    })?;
    if peer() == Peer::Sluice {
        assert_eq!(end.goaway, Some(ENHANCE_YOUR_CALM), "{end:?}");
    }
    assert!(end.closed);
    // Whom the server never hears of costs it nothing.
    let reached = lab.server.requests_for("/");
    assert!(reached < 1000, "{reached} requests reached the server");
    Ok(())
}

/// VU#421644.
#[test]
fn heads_that_never_end() -> Result<()> {
    let lab = Lab::start()?;
    let end = lab.during(|lab| {
        let stream = lab.connect()?;
        let reader = stream.try_clone()?;
        let reading = std::thread::spawn(move || frames(&reader));
        let mut writer = &stream;
        writer.write_all(&frame(HEADERS, END_STREAM, 1, GET))?;
        // Fields of 1000 bytes each that are not kept.
        let mut field = vec![0x00, 1, b'x', 0x7f, 0xe9, 0x06];
        field.extend([b'a'; 1000]);
        let fields = field.repeat(16);
        let sent = pour(&stream, |_| frame(CONTINUATION, 0, 1, &fields), 64 << 20);
        anyhow::ensure!(sent < 64 << 20, "all of it was taken");
        Ok(reading.join().expect("no panic"))
    })?;
    assert!(end.closed, "{end:?}");
    if peer() == Peer::Sluice {
        assert_eq!(end.goaway, Some(ENHANCE_YOUR_CALM), "{end:?}");
    }
    assert_eq!(lab.server.requests_for("/"), 0);
    Ok(())
}

/// CVE-2019-9515: each of them wants an answer, which nobody reads.
#[test]
fn settings_and_pings_that_nobody_hears_the_answers_to() -> Result<()> {
    let lab = Lab::start()?;
    for (kind, payload) in [(SETTINGS, vec![0, 4, 0, 1, 0, 0]), (PING, vec![7; 8])] {
        lab.during(|lab| {
            let stream = lab.connect()?;
            let many = frame(kind, 0, 0, &payload).repeat(500);
            pour(&stream, |_| many.clone(), 32 << 20);
            Ok(End::default())
        })?;
    }
    Ok(())
}

/// CVE-2019-9518.
#[test]
fn bodies_of_nothing() -> Result<()> {
    let lab = Lab::start()?;
    lab.during(|lab| {
        let stream = lab.connect()?;
        let reader = stream.try_clone()?;
        let reading = std::thread::spawn(move || frames(&reader));
        let mut writer = &stream;
        writer.write_all(&frame(HEADERS, END_HEADERS, 1, POST))?;
        let many = frame(DATA, 0, 1, &[]).repeat(500);
        pour(&stream, |_| many.clone(), 4 << 20);
        let _ = stream.shutdown(Shutdown::Both);
        Ok(reading.join().expect("no panic"))
    })?;
    Ok(())
}

/// CVE-2016-6581: a field of 4 kB is kept once, and named by one byte ever after.
#[test]
fn heads_that_swell() -> Result<()> {
    let lab = Lab::start()?;
    let end = lab.during(|lab| {
        let stream = lab.connect()?;
        let reader = stream.try_clone()?;
        let reading = std::thread::spawn(move || frames(&reader));
        // A literal that is kept, with a value of 4000 bytes.
        let mut first = GET.to_vec();
        first.extend([0x40, 1, b'x', 0x7f, 0xa1, 0x1e]);
        first.extend([b'a'; 4000]);
        let mut writer = &stream;
        writer.write_all(&frame(HEADERS, END_STREAM | END_HEADERS, 1, &first))?;
        // 62 is the first of those that were kept.
        let mut bomb = GET.to_vec();
        bomb.extend([0x80 | 62; 16_000]);
        pour(&stream, |n| frame(HEADERS, END_STREAM | END_HEADERS, n * 2 + 3, &bomb), 2 << 20);
        let _ = stream.shutdown(Shutdown::Write);
        Ok(reading.join().expect("no panic"))
    })?;
    assert!(end.closed, "{end:?}");
    // The first one is a request like any other; none of those that swelled got through.
    assert!(lab.server.requests_for("/") <= 1);
    Ok(())
}

/// Streams that are opened and left alone are as many as were offered.
#[test]
fn more_streams_than_were_offered() -> Result<()> {
    let lab = Lab::start()?;
    let stream = lab.connect()?;
    let mut writer = &stream;
    for n in 0..400u32 {
        writer.write_all(&frame(HEADERS, END_HEADERS, n * 2 + 1, POST))?;
    }
    let end = frames(&stream);
    // REFUSED_STREAM: the client may try again.
    let refused = end.resets.iter().filter(|code| **code == 7).count();
    assert!(refused >= 300 || end.goaway.is_some(), "{} of {end:?}", refused);
    assert!(lab.server.requests_for("/") <= 100);
    Ok(())
}
