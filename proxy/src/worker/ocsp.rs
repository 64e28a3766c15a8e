//! Asks responders for OCSP responses, over plain HTTP (RFC 6960, appendix A).

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use proxy_net::clock;
use proxy_stream::log::Sink;
use proxy_tls::live::{Course, Delays, Job, Outcome, Store};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What a responder may take for an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of an answer with its head. Responses have 2 kB, or 10 with a chain of certificates.
const ANSWER_MAX: u64 = 256 * 1024;
/// Requests longer than this are sent by POST (RFC 6960, A.1).
const GET_MAX: usize = 255;
/// How often new certificates and those whose response expired are looked for.
const TICK: Duration = Duration::from_secs(5);
/// Time before another attempt when a connection is refused.
const PAUSE: Duration = Duration::from_secs(1);
const NOTICE: u8 = 5;

/// What there is to ask with.
pub(super) struct Updater {
    pub(super) store: Arc<Store>,
    pub(super) delays: Delays,
    /// `httpclient.retries`: attempts after the first when a connection is refused.
    pub(super) retries: u32,
    /// `ocsp-update.httpproxy`.
    pub(super) proxy: Option<String>,
    /// `ocsp-update.disable`.
    pub(super) disabled: bool,
    pub(super) log: Option<Arc<dyn Sink>>,
}

impl Updater {
    /// Keeps responses fresh as long as it is polled.
    pub(super) async fn run(self: Rc<Self>) {
        loop {
            self.store.expire_ocsp(clock::wall().secs);
            let next = if self.disabled {
                None
            } else {
                self.store.next_ocsp(clock::wall().secs, self.delays)
            };
            match next {
                Some(Ok(job)) => drop(self.update(&job).await),
                Some(Err(seconds)) => {
                    let wait = Duration::from_secs(u64::try_from(seconds).unwrap_or(1));
                    tokio::time::sleep(wait.min(TICK)).await;
                }
                None => tokio::time::sleep(TICK).await,
            }
        }
    }

    /// Asks once, and tells how it went.
    pub(super) async fn update(&self, job: &Job) -> Course {
        let answer = tokio::time::timeout(PATIENCE, self.ask(job)).await;
        let answer = answer.unwrap_or(Err(Outcome::Http));
        let answer = answer.as_deref().map_err(|outcome| *outcome);
        let course = self.store.answer_ocsp(job, answer, clock::wall().secs, self.delays);
        let line = format!(
            "<OCSP-UPDATE> {} {} \"{}\" {} {}",
            job.path,
            course.outcome.number(),
            course.outcome.text(),
            course.failures,
            course.successes
        );
        if let Some(log) = &self.log {
            log.line(NOTICE, line.as_bytes());
        }
        course
    }

    async fn ask(&self, job: &Job) -> Result<Vec<u8>, Outcome> {
        let (host, path) = parse_url(&job.responder).ok_or(Outcome::Http)?;
        let (line, body) = request(&host, path, &job.request, self.proxy.is_some());
        let peer = self.proxy.as_deref().unwrap_or(&host);
        let failed = |error: std::io::Error| {
            tracing::debug!(%error, peer, "OCSP responder");
            Outcome::Http
        };
        let mut socket = connect(&with_port(peer), self.retries).await.map_err(failed)?;
        socket.write_all(line.as_bytes()).await.map_err(failed)?;
        socket.write_all(&body).await.map_err(failed)?;
        let mut answer = Vec::new();
        socket.take(ANSWER_MAX).read_to_end(&mut answer).await.map_err(failed)?;
        content(&answer).ok_or(Outcome::Http).and_then(|content| {
            if content.is_empty() { Err(Outcome::NoResponse) } else { Ok(content.to_vec()) }
        })
    }
}

/// Connects, by more than one attempt.
async fn connect(peer: &str, retries: u32) -> std::io::Result<TcpStream> {
    for _ in 0..retries {
        match TcpStream::connect(peer).await {
            Ok(socket) => return Ok(socket),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(error),
        }
    }
    TcpStream::connect(peer).await
}

/// Host (with a port if there is one) and path of an address.
fn parse_url(url: &str) -> Option<(String, &str)> {
    let rest = url.strip_prefix("http://")?;
    let (host, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    let usable = |text: &str| !text.bytes().any(|byte| byte.is_ascii_control() || byte == b' ');
    (!host.is_empty() && usable(host) && usable(path)).then(|| (host.to_owned(), path))
}

fn with_port(host: &str) -> String {
    let port = host.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    // An IPv6 address has colons of its own, and brackets.
    let has_port = port.is_some() && (!host.starts_with('[') || host.contains("]:"));
    if has_port { host.to_owned() } else { format!("{host}:80") }
}

/// Head and body of a request. HTTP/1.0, so that the answer comes in one piece.
fn request(host: &str, path: &str, der: &[u8], absolute: bool) -> (String, Vec<u8>) {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut escaped = String::with_capacity(text.len() + 16);
    for char in text.chars() {
        match char {
            '+' => escaped.push_str("%2B"),
            '/' => escaped.push_str("%2F"),
            '=' => escaped.push_str("%3D"),
            other => escaped.push(other),
        }
    }
    let start = if absolute { format!("http://{host}") } else { String::new() };
    let common =
        format!("host: {host}\r\nuser-agent: sluice\r\naccept: application/ocsp-response\r\n");
    if path.len() + 1 + escaped.len() < GET_MAX {
        let slash = if path.ends_with('/') { "" } else { "/" };
        return (format!("GET {start}{path}{slash}{escaped} HTTP/1.0\r\n{common}\r\n"), Vec::new());
    }
    let head = format!(
        "POST {start}{path} HTTP/1.0\r\n{common}content-type: application/ocsp-request\r\n\
         content-length: {}\r\n\r\n",
        der.len()
    );
    (head, der.to_vec())
}

/// The content of a good answer.
fn content(answer: &[u8]) -> Option<&[u8]> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(end) = head.parse(answer).ok()? else { return None };
    if head.code != Some(200) {
        return None;
    }
    let body = answer.get(end..)?;
    let length = head.headers.iter().find(|h| h.name.eq_ignore_ascii_case("content-length"));
    match length {
        None => Some(body),
        Some(length) => {
            let length: usize = std::str::from_utf8(length.value).ok()?.trim().parse().ok()?;
            body.get(..length)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_responders() {
        assert_eq!(parse_url("http://a.org"), Some(("a.org".to_owned(), "/")));
        assert_eq!(parse_url("http://a.org:81/x"), Some(("a.org:81".to_owned(), "/x")));
        assert_eq!(parse_url("https://a.org"), None);
        assert_eq!(parse_url("http://a.org/\r\nx: y"), None);
        let check = |host: &str, expected: &str| assert_eq!(with_port(host), expected);
        check("a.org", "a.org:80");
        check("a.org:81", "a.org:81");
        check("[::1]", "[::1]:80");
        check("[::1]:81", "[::1]:81");
    }

    #[test]
    fn short_requests_are_part_of_the_address() {
        let (head, body) = request("a.org", "/", &[0xff, 0xef, 0xbe], false);
        assert!(head.starts_with("GET /%2F%2B%2B%2B HTTP/1.0\r\nhost: a.org\r\n"), "{head}");
        assert!(body.is_empty());
        let (head, body) = request("a.org", "/x", &[0; 300], true);
        assert!(head.starts_with("POST http://a.org/x HTTP/1.0\r\n"), "{head}");
        assert!(head.contains("content-length: 300\r\n"));
        assert_eq!(body.len(), 300);
    }

    #[test]
    fn content_of_answers() {
        let check = |answer: &str, expected: Option<&str>| {
            assert_eq!(content(answer.as_bytes()), expected.map(str::as_bytes), "{answer}");
        };
        check("HTTP/1.0 200 OK\r\n\r\nabc", Some("abc"));
        check("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabc", Some("ab"));
        check("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc", None);
        check("HTTP/1.0 404 no\r\n\r\nabc", None);
        check("HTTP/1.0 200 OK\r\n", None);
        check("", None);
    }
}
