//! A small HTTP/1.1 server that answers with its name.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;

use super::script::ScriptServer;

/// Answers every request with `200`, its name in the body and in `x-server`. The path asks for
/// something else:
///
/// | path | answer |
/// |---|---|
/// | `/status/N` | status N |
/// | `/bytes/N` | N bytes of body, by `content-length` |
/// | `/chunked/N` | N bytes of body, chunked |
/// | `/until-close/N` | N bytes of body ended by the connection's end |
/// | `/delay/MS` | the usual answer, after MS milliseconds |
/// | `/echo` | the request head as received, then its body |
/// | `/close` | the usual answer with `connection: close` |
/// | `/reset` | nothing: the connection is closed without an answer |
/// | `/garbage` | something that is not HTTP |
///
/// A query part is ignored; further path elements too.
#[derive(Debug)]
pub struct HttpServer {
    server: ScriptServer,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    name: String,
    requests: AtomicU64,
    healthy: AtomicBool,
    by_path: Mutex<BTreeMap<String, u64>>,
}

/// A request as the server met it.
#[derive(Debug)]
struct Request {
    method: String,
    path: String,
    head: String,
    body: Vec<u8>,
    keep_alive: bool,
}

impl HttpServer {
    /// Listens on a free loopback port.
    pub fn start(name: &str) -> Result<Self> {
        Self::bind(name, (Ipv4Addr::LOCALHOST, 0))
    }

    /// Listens on `address`.
    pub fn bind(name: &str, address: impl ToSocketAddrs) -> Result<Self> {
        let shared = Arc::new(Shared {
            name: name.into(),
            requests: AtomicU64::new(0),
            healthy: AtomicBool::new(true),
            by_path: Mutex::new(BTreeMap::new()),
        });
        let state = Arc::clone(&shared);
        let server = ScriptServer::bind(address, move |stream| {
            let _ = serve(&state, stream);
        })?;
        Ok(Self { server, shared })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Requests answered so far.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// Requests for exactly this target.
    pub fn requests_for(&self, target: &str) -> u64 {
        let by_path = self.shared.by_path.lock().unwrap_or_else(PoisonError::into_inner);
        by_path.get(target).copied().unwrap_or(0)
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> u64 {
        self.server.connections()
    }

    /// While unhealthy, everything is answered by `503` (health checks fail).
    pub fn set_healthy(&self, healthy: bool) {
        self.shared.healthy.store(healthy, Ordering::Relaxed);
    }
}

fn serve(shared: &Shared, stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    while let Some(request) = read_request(&mut reader, &mut writer)? {
        shared.requests.fetch_add(1, Ordering::Relaxed);
        *shared
            .by_path
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(request.path.clone())
            .or_default() += 1;
        if !answer(shared, &request, &mut writer)? {
            break;
        }
    }
    Ok(())
}

fn read_request(
    reader: &mut BufReader<TcpStream>,
    writer: &mut TcpStream,
) -> std::io::Result<Option<Request>> {
    let mut head = String::new();
    loop {
        let start = head.len();
        if reader.read_line(&mut head)? == 0 {
            return Ok(None);
        }
        if &head[start..] == "\r\n" {
            break;
        }
    }
    let header = |name: &str| {
        head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim().to_ascii_lowercase())
        })
    };
    if header("expect").is_some_and(|value| value == "100-continue") {
        writer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let body = if header("transfer-encoding").is_some_and(|value| value.contains("chunked")) {
        read_chunks(reader)?
    } else {
        let length = header("content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        body
    };
    let keep_alive = header("connection").is_none_or(|value| value != "close")
        && head.lines().next().is_some_and(|line| line.ends_with("HTTP/1.1"));
    let mut words = head.split_whitespace();
    let method = words.next().unwrap_or_default().to_owned();
    let path = words.next().unwrap_or_default().to_owned();
    Ok(Some(Request { method, path, head, body, keep_alive }))
}

fn read_chunks(reader: &mut BufReader<TcpStream>) -> std::io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let size = usize::from_str_radix(line.trim().split(';').next().unwrap_or(""), 16)
            .map_err(std::io::Error::other)?;
        if size == 0 {
            while reader.read_line(&mut line)? > 2 {}
            return Ok(body);
        }
        let start = body.len();
        body.resize(start + size, 0);
        reader.read_exact(&mut body[start..])?;
        line.clear();
        reader.read_line(&mut line)?;
    }
}

/// Writes the answer; `false` when the connection ends with it.
fn answer(shared: &Shared, request: &Request, out: &mut TcpStream) -> std::io::Result<bool> {
    let target = request.path.split('?').next().unwrap_or_default();
    let mut words = target.split('/').skip(1);
    let what = words.next().unwrap_or_default();
    let number = words.next().and_then(|word| word.parse::<usize>().ok()).unwrap_or(0);
    let mut body = shared.name.clone().into_bytes();
    let mut status = 200;
    let mut keep_alive = request.keep_alive;
    match what {
        "status" => status = number,
        "bytes" | "chunked" | "until-close" => body = filler(number),
        "delay" => std::thread::sleep(Duration::from_millis(number as u64)),
        "echo" => {
            body = request.head.clone().into_bytes();
            body.extend_from_slice(&request.body);
        }
        "close" => keep_alive = false,
        "reset" => return Ok(false),
        "garbage" => {
            out.write_all(b"this is not HTTP\r\n\r\n")?;
            return Ok(false);
        }
        _ => {}
    }
    if !shared.healthy.load(Ordering::Relaxed) {
        status = 503;
    }
    let bodiless = status == 204 || status == 304 || request.method == "HEAD";
    let mut head = format!("HTTP/1.1 {status} {}\r\nx-server: {}\r\n", reason(status), shared.name);
    match what {
        "chunked" => head.push_str("transfer-encoding: chunked\r\n"),
        "until-close" => keep_alive = false,
        _ if status == 204 => {}
        _ => {
            let _ = write!(head, "content-length: {}\r\n", body.len());
        }
    }
    if !keep_alive {
        head.push_str("connection: close\r\n");
    }
    head.push_str("\r\n");
    let mut message = head.into_bytes();
    if !bodiless {
        if what == "chunked" {
            for chunk in body.chunks(1000) {
                message.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                message.extend_from_slice(chunk);
                message.extend_from_slice(b"\r\n");
            }
            message.extend_from_slice(b"0\r\n\r\n");
        } else {
            message.extend_from_slice(&body);
        }
    }
    out.write_all(&message)?;
    Ok(keep_alive)
}

/// The `length` bytes that `/bytes` and `/chunked` answer with.
pub fn filler(length: usize) -> Vec<u8> {
    (0..length).map(|index| b'a' + (index % 26) as u8).collect()
}

fn reason(status: usize) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        302 => "Found",
        304 => "Not Modified",
        404 => "Not Found",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "Whatever",
    }
}
