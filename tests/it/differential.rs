//! The same bytes to Sluice and to a real HAProxy: the same verdict, and the same message on the other side.
//!
//! Requests and responses are put together at random, from parts that are usual, odd and hostile, from a fixed
//! seed. What may differ is in [`explained`], each with its reason; everything else is a mistake.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use tests::net::loopback;
use tests::peer::ScriptServer;
use tests::program::Program;
use tests::sluice::{Files, Peer, peer};
use tests::{PATIENCE, Sluice, eventually};

const HAPROXY: &str = "/usr/sbin/haproxy";
const CASES: usize = 2400;
const SEED: u64 = 0x5eed_0001;

/// xorshift64*: the same sequence on every run.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next()).unwrap_or(0) % n
    }

    /// True once in `n` times.
    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<'a, T: ?Sized>(&mut self, list: &[&'a T]) -> &'a T {
        list[self.below(list.len())]
    }
}

/// What is sent to the proxy, and what the server behind it answers.
#[derive(Clone, Debug)]
struct Case {
    request: Vec<u8>,
    response: Vec<u8>,
}

const GOOD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// One part out of usual ones, or now and then an odd one.
fn part<'a>(dice: &mut Dice, odd: bool, usual: &[&'a str], other: &[&'a str]) -> &'a str {
    if odd && dice.one_in(4) { dice.pick(other) } else { dice.pick(usual) }
}

fn field(dice: &mut Dice, odd: bool) -> String {
    let name = part(
        dice,
        odd,
        &["Accept", "X-A", "x-b", "User-Agent", "Cookie", "X_Under", "Referer"],
        &["X A", "X-A ", " X-A", "", "X\u{1}", "X(", "Accept\t", "X:Y", "é", "X\0A"],
    );
    let colon = part(dice, odd, &[": ", ":", ":  ", ":\t"], &["", " : ", ":\r", ";"]);
    let value = part(
        dice,
        odd,
        &["1", "a b", "", "text/html, */*;q=0.1", "a=b; c=d", "\"quoted\"", "trailing \t"],
        &["a\rb", "a\0b", "a\u{7f}b", "\u{e9}", "a\r\n b", "a\r\n\tb", "a\u{1}b", "a\nb"],
    );
    format!("{name}{colon}{value}")
}

fn request(dice: &mut Dice) -> Vec<u8> {
    let odd = !dice.one_in(3);
    let method = part(
        dice,
        odd,
        &["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH"],
        &["get", "G", "GE T", "", "G\tT", "FOO", "M-SEARCH", "G(T", "CONNECT", "TRACE"],
    );
    let target = part(
        dice,
        odd,
        &["/", "/a/b?c=d", "/%20x", "/a//b/../c", "*", "http://a.test/x", "/?"],
        &[
            "",
            "a",
            "/a b",
            "/\u{7f}",
            "/\u{e9}",
            "/a#b",
            "//a",
            "http://b.test/",
            "http://a.test",
            "HTTP://a.test:80/",
            "a.test:80",
            "/\0",
            "/\t",
            "?a",
            "https://a.test/",
            "/a\\b<>\"^`{|}",
        ],
    );
    let version = part(
        dice,
        odd,
        &["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0"],
        &[
            "HTTP/1.2",
            "HTTP/2.0",
            "HTTP/0.9",
            "http/1.1",
            "HTTP/1.",
            "HTTP/11",
            "HTTP/1.1 ",
            "",
            "HTTP/1.01",
        ],
    );
    let space = part(dice, odd, &[" "], &["  ", "\t", ""]);
    let mut text = format!("{method}{space}{target}{space}{version}");
    let end = part(dice, odd, &["\r\n"], &["\n", "\r\r\n", "\r"]);
    text.push_str(end);
    let mut lines: Vec<String> = Vec::new();
    let host = part(
        dice,
        odd,
        &["Host: a.test", "host: a.test", "HOST:a.test"],
        &[
            "",
            "Host: a.test\r\nHost: a.test",
            "Host: a.test\r\nHost: b.test",
            "Host:",
            "Host: a.test:80",
            "Host: a b",
        ],
    );
    if !host.is_empty() {
        lines.push(host.to_owned());
    }
    for _ in 0..dice.below(4) {
        lines.push(field(dice, odd));
    }
    let mut body = String::new();
    if dice.one_in(2) {
        let framing = part(
            dice,
            odd,
            &[
                "Content-Length: 5",
                "Transfer-Encoding: chunked",
                "content-length:5 ",
                "transfer-encoding: Chunked",
            ],
            &[
                "Content-Length: 5\r\nContent-Length: 5",
                "Content-Length: 5\r\nContent-Length: 6",
                "Content-Length: 5, 5",
                "Content-Length: +5",
                "Content-Length: -5",
                "Content-Length: 05",
                "Content-Length: 5x",
                "Content-Length: 0x5",
                "Content-Length:",
                "Content-Length: 99999999999999999999",
                "Content-Length: 5\r\nTransfer-Encoding: chunked",
                "Transfer-Encoding: chunked\r\nContent-Length: 5",
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
                "Transfer-Encoding: gzip, chunked",
                "Transfer-Encoding: chunked, gzip",
                "Transfer-Encoding: xchunked",
                "Transfer-Encoding: identity",
                "Transfer-Encoding:",
                "Transfer-Encoding: chunked ,",
                "Transfer-Encoding : chunked",
                "Transfer-Encoding:\u{b}chunked",
                "Transfer-Encoding: \"chunked\"",
            ],
        );
        body = if framing.to_ascii_lowercase().contains("transfer") {
            chunks(dice, odd)
        } else {
            "hello".to_owned()
        };
        lines.push(framing.to_owned());
    }
    if dice.one_in(2) {
        let value = part(dice, odd, &["close", "keep-alive"], &["Close, x", "upgrade", ",", "x-a"]);
        lines.push(format!("Connection: {value}"));
    }
    if !lines.is_empty() {
        let at = dice.below(lines.len());
        lines.rotate_left(at);
    }
    for line in lines {
        let end = if odd && dice.one_in(30) { "\n" } else { "\r\n" };
        let _ = write!(text, "{line}{end}");
    }
    text.push_str(if odd && dice.one_in(30) { "\n" } else { "\r\n" });
    text.push_str(&body);
    let mut bytes = latin(&text);
    if odd && dice.one_in(25) {
        bytes.truncate(dice.below(bytes.len()) + 1);
    }
    bytes
}

/// `hello` in chunks.
fn chunks(dice: &mut Dice, odd: bool) -> String {
    let first = part(
        dice,
        odd,
        &["5\r\nhello\r\n", "2\r\nhe\r\n3\r\nllo\r\n", "05\r\nhello\r\n", "5;a=b\r\nhello\r\n"],
        &[
            "5 \r\nhello\r\n",
            " 5\r\nhello\r\n",
            "5\nhello\r\n",
            "5\r\nhello\n",
            "5\r\nhelloX",
            "0x5\r\nhello\r\n",
            "-5\r\nhello\r\n",
            "g\r\nhello\r\n",
            "\r\nhello\r\n",
            "fffffffffffffffff\r\nhello\r\n",
            "5;\"\r\nhello\r\n",
            "5;a\rb\r\nhello\r\n",
            "6\r\nhello\r\n",
        ],
    );
    let last = part(
        dice,
        odd,
        &["0\r\n\r\n", "0\r\nX-Sum: 1\r\n\r\n", "000\r\n\r\n"],
        &[
            "0\r\n",
            "0\r\nX Y: 1\r\n\r\n",
            "0\n\n",
            "0\r\nContent-Length: 3\r\n\r\n",
            "",
            "0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n",
        ],
    );
    format!("{first}{last}")
}

fn response(dice: &mut Dice) -> Vec<u8> {
    let odd = !dice.one_in(3);
    let version = part(
        dice,
        odd,
        &["HTTP/1.1", "HTTP/1.1", "HTTP/1.0"],
        &["HTTP/1.2", "HTTP/2.0", "http/1.1", "HTTP/11", "", "ICY"],
    );
    let status = part(
        dice,
        odd,
        &["200 OK", "404 Not Found", "204 No Content", "304 Not Modified", "500 Oops", "201 "],
        &[
            "200", "20 OK", "2000 OK", "abc OK", "099 Low", "999 High", "200\tOK", "", "200  Two",
            "-20 OK",
        ],
    );
    let mut text = format!("{version} {status}\r\n");
    for _ in 0..dice.below(4) {
        let _ = write!(text, "{}\r\n", field(dice, odd));
    }
    let framing = part(
        dice,
        odd,
        &["Content-Length: 5", "Transfer-Encoding: chunked", "", "content-length: 5"],
        &[
            "Content-Length: 5\r\nContent-Length: 5",
            "Content-Length: 5\r\nContent-Length: 6",
            "Content-Length: 5x",
            "Content-Length: -5",
            "Content-Length:",
            "Content-Length: 7",
            "Transfer-Encoding: chunked\r\nContent-Length: 5",
            "Transfer-Encoding: chunked, chunked",
            "Transfer-Encoding: gzip",
            "Transfer-Encoding : chunked",
        ],
    );
    let body = if framing.to_ascii_lowercase().contains("transfer") {
        chunks(dice, odd)
    } else {
        "hello".to_owned()
    };
    if !framing.is_empty() {
        let _ = write!(text, "{framing}\r\n");
    }
    if dice.one_in(3) {
        text.push_str(dice.pick(&["Connection: close\r\n", "Connection: keep-alive\r\n"]));
    }
    text.push_str("\r\n");
    text.push_str(&body);
    let mut bytes = latin(&text);
    if odd && dice.one_in(25) {
        bytes.truncate(dice.below(bytes.len()));
    }
    bytes
}

/// Each character as one byte.
fn latin(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect()
}

/// A message taken apart, so that spelling and order of fields do not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Message {
    start: String,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Message {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n")?;
        let head: String = bytes[..end].iter().map(|b| char::from(*b)).collect();
        let mut lines = head.split("\r\n");
        let start = lines.next()?.to_owned();
        let mut fields: Vec<(String, String)> = lines
            .map(|line| {
                let (name, value) = line.split_once(':').unwrap_or((line, ""));
                (name.to_ascii_lowercase(), value.trim().to_owned())
            })
            .collect();
        fields.sort();
        let chunked = fields.iter().any(|(name, _)| name == "transfer-encoding");
        let rest = &bytes[end + 4..];
        let body = if chunked { unchunk(rest) } else { rest.to_vec() };
        Some(Self { start, fields, body })
    }

    fn status(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or_default()
    }

    fn without(mut self, names: &[&str]) -> Self {
        self.fields.retain(|(name, _)| !names.contains(&name.as_str()));
        self
    }
}

/// The payload of chunks, whatever their sizes, and `!` in front when they are not complete.
fn unchunk(mut bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(end) = bytes.windows(2).position(|w| w == b"\r\n") {
        let digits = String::from_utf8_lossy(&bytes[..end]);
        let digits = digits.split(';').next().unwrap_or_default().trim();
        let Ok(size) = usize::from_str_radix(digits, 16) else { break };
        if size == 0 {
            return out;
        }
        let Some(data) = bytes.get(end + 2..end + 2 + size) else { break };
        out.extend_from_slice(data);
        bytes = bytes.get(end + 4 + size..).unwrap_or_default();
    }
    out.insert(0, b'!');
    out
}

/// What came of a case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Outcome {
    /// What the client got.
    answer: Option<Message>,
    /// What the server got, when it got a whole request.
    forwarded: Option<Message>,
}

#[derive(Default)]
struct Behind {
    response: Vec<u8>,
    forwarded: Option<Vec<u8>>,
}

/// A proxy with its own server behind it.
struct Side {
    address: SocketAddr,
    behind: Arc<Mutex<Behind>>,
    _server: ScriptServer,
}

impl Side {
    fn new() -> Result<(Self, String)> {
        let behind = Arc::new(Mutex::new(Behind::default()));
        let shared = behind.clone();
        let server = ScriptServer::start(move |stream| {
            let _ = answer(&stream, &shared);
        })?;
        let address = loopback()?;
        let config = format!(
            "
defaults
    mode http
    timeout connect 5s
    timeout client 2s
    timeout server 2s
    timeout http-request 2s
    retries 0
    no option abortonclose
listen l
    bind {address}
    server s {}
",
            server.address()
        );
        Ok((Self { address, behind, _server: server }, config))
    }

    fn run(&self, case: &Case) -> Result<Outcome> {
        {
            let mut behind = self.behind.lock().unwrap_or_else(PoisonError::into_inner);
            behind.response = case.response.clone();
            behind.forwarded = None;
        }
        let mut client = TcpStream::connect(self.address)?;
        client.set_read_timeout(Some(Duration::from_secs(5)))?;
        // A reset while sending is an answer, too.
        let _ = client.write_all(&case.request);
        let _ = client.shutdown(Shutdown::Write);
        let mut bytes = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = client.read(&mut buffer) {
            bytes.extend_from_slice(&buffer[..n]);
        }
        let mut behind = self.behind.lock().unwrap_or_else(PoisonError::into_inner);
        let forwarded = behind.forwarded.take();
        Ok(Outcome {
            answer: Message::parse(&bytes),
            forwarded: forwarded.and_then(|bytes| Message::parse(&bytes)),
        })
    }
}

/// Reads one request to its end, answers as the case wants it, and closes.
fn answer(mut stream: &TcpStream, shared: &Mutex<Behind>) -> Result<()> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    let whole = |bytes: &[u8]| {
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let body = &bytes[end + 4..];
        let length = head.split("content-length:").nth(1);
        let length = length.and_then(|l| l.split("\r\n").next()?.trim().parse::<usize>().ok());
        match (head.contains("transfer-encoding:"), length) {
            (true, _) => body.ends_with(b"\r\n\r\n").then_some(()),
            (false, Some(length)) => (body.len() >= length).then_some(()),
            (false, None) => Some(()),
        }
    };
    while whole(&bytes).is_none() {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            n => bytes.extend_from_slice(&buffer[..n]),
        }
    }
    let response = {
        let mut behind = shared.lock().unwrap_or_else(PoisonError::into_inner);
        behind.forwarded.get_or_insert(bytes);
        behind.response.clone()
    };
    stream.write_all(&response)?;
    stream.shutdown(Shutdown::Write)?;
    // What still comes is read, so that nothing is lost to a reset.
    while stream.read(&mut buffer)? > 0 {}
    Ok(())
}

/// Why two outcomes may differ; `None` when there is no reason.
fn explained(case: &Case, sluice: &Outcome, haproxy: &Outcome) -> Option<&'static str> {
    let (request, response) = (&case.request[..], &case.response[..]);
    let has = |part: &str| {
        let part = part.as_bytes();
        [request, response].iter().any(|text| text.windows(part.len()).any(|w| w == part))
    };
    let status = |outcome: &Outcome| {
        outcome.answer.as_ref().map_or_else(String::new, |answer| answer.start.clone())
    };
    let refused = matches!(&*status(sluice), "400" | "413" | "502");
    let passed = status(haproxy).starts_with("HTTP/1.");
    if refused && passed {
        // What 2.6 let pass and the manual of 3.5 forbids (4.2 "option accept-unsafe-violations-in-*").
        if has("\0") {
            return Some("NUL in a value");
        }
        if ["HTTP/0.9", "HTTP/2.0"].into_iter().any(has) {
            return Some("a version that is not one of HTTP/1");
        }
        // Stricter than HAProxy: two parsers could read these differently.
        if ["5\n", "hello\n", "0\n"].into_iter().any(has) {
            return Some("a line of chunks that ends in LF alone");
        }
        if has("X Y: 1\r\n\r\n") {
            return Some("a trailer field whose name has a blank");
        }
        if [" 2000 OK", " 20 OK", " 099 Low"].into_iter().any(has) {
            return Some("a status that is not one of three digits from 100 on");
        }
    }
    // Which of them gave up says nothing about the message.
    if refused && matches!(&*status(haproxy), "400" | "413" | "502" | "") {
        return Some("refused by both, for another reason");
    }
    // The default port of an absolute target may be left out or not (RFC 9110 section 4.2.3).
    if has("HTTP://a.test:80/") && status(sluice) == status(haproxy) {
        return Some("the default port of an absolute target");
    }
    if has("GET /smuggled") && status(sluice) == status(haproxy) {
        return Some("whether a client that has half-closed gets an answer to what it pipelined");
    }
    if has("200  Two") {
        return Some("blanks in front of a reason phrase");
    }
    None
}

/// The parts of an outcome that must agree.
fn comparable(outcome: &Outcome) -> Outcome {
    let answer = outcome.answer.clone().map(|message| {
        let own = matches!(
            message.status(),
            "400" | "408" | "413" | "422" | "501" | "502" | "503" | "504"
        ) && message
            .fields
            .iter()
            .any(|(name, value)| name == "cache-control" && value == "no-cache");
        if own {
            // An answer of the proxy itself: its status is what counts.
            return Message { start: message.status().to_owned(), ..Message::default() };
        }
        message.without(&["connection"])
    });
    let forwarded = outcome.forwarded.clone().map(|message| message.without(&["connection"]));
    Outcome { answer, forwarded }
}

#[test]
fn the_same_bytes_have_the_same_outcome() -> Result<()> {
    if peer() == Peer::Haproxy || !Path::new(HAPROXY).exists() {
        eprintln!("there is no HAProxy to compare with");
        return Ok(());
    }
    let (ours, config) = Side::new()?;
    let _sluice = Sluice::config(config).start()?;
    let (theirs, config) = Side::new()?;
    let files = Files::new()?;
    let path = files.write("haproxy.cfg", &config)?;
    let _haproxy =
        Program::start("haproxy", Command::new(HAPROXY).arg("-db").arg("-f").arg(&path))?;
    eventually("HAProxy's listener", PATIENCE, || TcpStream::connect(theirs.address).is_ok())?;

    let mut dice = Dice(SEED);
    let mut differences = String::new();
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    let mut wrong = 0;
    for number in 0..CASES {
        let case = match number % 3 {
            0 => Case {
                request: b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
                response: response(&mut dice),
            },
            _ => Case { request: request(&mut dice), response: GOOD.to_vec() },
        };
        let (a, b) = std::thread::scope(|scope| {
            let other = scope.spawn(|| theirs.run(&case));
            (ours.run(&case), other.join())
        });
        let sluice = comparable(&a?);
        let haproxy = comparable(&b.map_err(|_| anyhow::anyhow!("a client panicked"))??);
        if sluice == haproxy {
            continue;
        }
        if let Some(reason) = explained(&case, &sluice, &haproxy) {
            *reasons.entry(reason).or_default() += 1;
            continue;
        }
        wrong += 1;
        if wrong <= 40 {
            let _ = writeln!(
                differences,
                "case {number}\n  request  {:?}\n  response {:?}\n  sluice   {sluice:?}\n  haproxy  {haproxy:?}",
                String::from_utf8_lossy(&case.request),
                String::from_utf8_lossy(&case.response),
            );
        }
    }
    eprintln!("differences with a reason: {reasons:#?}");
    assert!(wrong == 0, "{wrong} of {CASES} cases differ:\n{differences}");
    Ok(())
}
