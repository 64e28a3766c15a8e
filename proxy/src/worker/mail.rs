//! Mail about servers that change their state: a dialogue of SMTP (RFC 5321) per alert and mailer.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;
use proxy_net::Stream;
use proxy_net::connect::{ConnectOptions, connect};
use proxy_net::timer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use crate::assemble::mail::{MailSpec, MailerSpec};
use crate::messages;

/// Alerts that wait for one mailer; more are dropped.
const WAITING: usize = 128;
/// Longest reply of a mailer in bytes.
const REPLY_MAX: usize = 16 * 1024;
/// Longest text of an alert in bytes: a line of a mail holds 998 (RFC 5322, 2.1.1).
const TEXT_MAX: usize = 900;

/// Takes alerts.
#[derive(Debug, Default)]
pub(crate) struct Mail {
    routes: RwLock<HashMap<Arc<str>, Route>>,
    hostname: String,
}

#[derive(Debug)]
struct Route {
    level: u8,
    mailers: Vec<mpsc::Sender<String>>,
}

impl Mail {
    /// Starts a task per mailer on this thread, where `spawn_local` must work.
    pub(crate) fn start(specs: Vec<MailSpec>, hostname: &str) -> Self {
        let mail = Self { routes: RwLock::default(), hostname: hostname.to_owned() };
        specs.into_iter().for_each(|spec| mail.add(spec));
        mail
    }

    /// Starts a task per mailer of one more backend.
    pub(crate) fn add(&self, spec: MailSpec) {
        let spec = Arc::new(spec);
        let mailers = spec.mailers.iter().map(|mailer| {
            let (tell, told) = mpsc::channel(WAITING);
            let hostname = spec.hostname.clone().unwrap_or_else(|| self.hostname.clone());
            tokio::task::spawn_local(serve(spec.clone(), mailer.clone(), hostname, told));
            tell
        });
        let route = Route { level: spec.level, mailers: mailers.collect() };
        self.routes.write().insert(spec.backend.as_str().into(), route);
    }

    /// Sends no alerts about a backend any more.
    pub(crate) fn remove(&self, backend: &str) {
        self.routes.write().remove(backend);
    }

    /// Sends an alert about a server of `backend`, if it is severe enough.
    pub(crate) fn alert(&self, backend: &str, severity: u8, text: &str) {
        let routes = self.routes.read();
        let Some(route) = routes.get(backend).filter(|route| severity <= route.level) else {
            return;
        };
        for mailer in &route.mailers {
            if mailer.try_send(text.to_owned()).is_err() {
                tracing::warn!(backend, "a mail was dropped: too many wait");
            }
        }
    }
}

/// Sends the alerts of one mailer, one by one.
async fn serve(
    spec: Arc<MailSpec>,
    mailer: MailerSpec,
    hostname: String,
    mut told: mpsc::Receiver<String>,
) {
    while let Some(text) = told.recv().await {
        let sending = send(&spec, &mailer, &hostname, &text);
        let outcome = match timer::timeout(Some(spec.timeout), sending).await {
            Ok(outcome) => outcome,
            Err(_) => Err(MailError::Timeout),
        };
        if let Err(error) = outcome {
            messages::warning(format_args!("mailer '{}' : no mail sent: {error}", mailer.name));
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum MailError {
    #[error("it took too long")]
    Timeout,
    #[error("{0}")]
    Connect(String),
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("the connection ended")]
    Closed,
    #[error("the reply is none")]
    Nonsense,
    #[error("{step} : {reply}")]
    Refused { step: &'static str, reply: String },
}

/// One mail.
async fn send(
    spec: &MailSpec,
    mailer: &MailerSpec,
    hostname: &str,
    text: &str,
) -> Result<(), MailError> {
    let socket = connect(&mailer.addr, &ConnectOptions::default(), Some(spec.timeout)).await;
    let socket = socket.map_err(|error| MailError::Connect(error.to_string()))?;
    let mut dialogue = Dialogue { socket, received: Vec::new() };
    dialogue.expect("greeting", b'2').await?;
    dialogue.say("EHLO", &format!("EHLO {hostname}\r\n"), b'2').await?;
    dialogue.say("MAIL", &format!("MAIL FROM:<{}>\r\n", spec.from), b'2').await?;
    dialogue.say("RCPT", &format!("RCPT TO:<{}>\r\n", spec.to), b'2').await?;
    dialogue.say("DATA", "DATA\r\n", b'3').await?;
    dialogue.say("message", &message(spec, text), b'2').await?;
    // The mail is on its way, whatever is answered to this.
    let _ = dialogue.say("QUIT", "QUIT\r\n", b'2').await;
    Ok(())
}

/// The mail, with the line that ends it.
fn message(spec: &MailSpec, text: &str) -> String {
    let format = time::format_description::well_known::Rfc2822;
    let date = time::OffsetDateTime::now_utc().format(&format).unwrap_or_default();
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut end = text.len().min(TEXT_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let text = &text[..end];
    // A dot in front would end the mail.
    let dot = if text.starts_with('.') { "." } else { "" };
    format!(
        "From: <{}>\r\nTo: <{}>\r\nDate: {date}\r\nSubject: [HAProxy Alert] {text}\r\n\r\n{dot}{text}\r\n.\r\n",
        spec.from, spec.to
    )
}

struct Dialogue {
    socket: Stream,
    received: Vec<u8>,
}

impl Dialogue {
    /// Says something and waits for a reply that begins with `digit`.
    async fn say(&mut self, step: &'static str, line: &str, digit: u8) -> Result<(), MailError> {
        self.socket.write_all(line.as_bytes()).await?;
        self.expect(step, digit).await
    }

    async fn expect(&mut self, step: &'static str, digit: u8) -> Result<(), MailError> {
        let mut buffer = [0; 1024];
        loop {
            if let Some((end, last)) = last_line(&self.received) {
                let good = self.received[last] == digit;
                let reply =
                    String::from_utf8_lossy(&self.received[last..end]).trim_end().to_owned();
                self.received.drain(..end);
                return if good { Ok(()) } else { Err(MailError::Refused { step, reply }) };
            }
            if self.received.len() > REPLY_MAX {
                return Err(MailError::Nonsense);
            }
            match self.socket.read(&mut buffer).await? {
                0 => return Err(MailError::Closed),
                count => self.received.extend_from_slice(&buffer[..count]),
            }
        }
    }
}

/// Where a reply ends, and where its last line begins: the one without a `-` behind its code.
fn last_line(reply: &[u8]) -> Option<(usize, usize)> {
    let mut start = 0;
    loop {
        let length = reply[start..].iter().position(|b| *b == b'\n')? + 1;
        if reply.get(start + 3) != Some(&b'-') {
            return Some((start + length, start));
        }
        start += length;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn replies_end_with_a_line_without_a_dash() {
        assert_eq!(last_line(b"250 ok\r\n"), Some((8, 0)));
        assert_eq!(last_line(b"250-a\r\n250-b\r\n250 c\r\nx"), Some((21, 14)));
        assert_eq!(last_line(b"250-a\r\n250 b"), None);
        assert_eq!(last_line(b"\n"), Some((1, 0)));
        assert_eq!(last_line(b""), None);
    }

    #[test]
    fn a_text_cannot_end_the_mail() {
        let spec = MailSpec {
            backend: String::new(),
            mailers: Vec::new(),
            timeout: Duration::from_secs(1),
            from: "a@x".into(),
            to: "b@x".into(),
            level: 1,
            hostname: None,
        };
        let mail = message(&spec, ".\r\nQUIT");
        assert!(
            mail.contains("Subject: [HAProxy Alert] .  QUIT\r\n\r\n..  QUIT\r\n.\r\n"),
            "{mail}"
        );
        assert!(message(&spec, &"\u{e4}".repeat(1000)).lines().all(|line| line.len() < 998));
    }
}
