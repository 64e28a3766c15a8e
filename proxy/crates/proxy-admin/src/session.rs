//! One client of the command line, on any byte stream: a connection of a stats socket, or one that the master passes on.

use crate::command::{Call, Reply};
use crate::context::Admin;
use crate::lookup;
use crate::session_state::{Mode, SessionOptions, SessionState, Severity};
use crate::words;
use proxy_stream::log::ring::Reader;
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Longest line (`tune.bufsize`).
pub const LINE_MAX: usize = 16 * 1024;
/// Longest payload unless `tune.cli.max-payload-size` says otherwise.
pub const PAYLOAD_MAX: usize = 128 * 1024;
/// What is collected before it is written.
const WRITE_CHUNK: usize = 16 * 1024;

/// Severities of feedback (RFC 5424), with their names.
const ERR: (u8, &str) = (3, "err");
const INFO: (u8, &str) = (6, "info");

/// Puts the severity in front of feedback.
fn marked(style: Severity, (number, name): (u8, &str), reply: Reply) -> Reply {
    match (style, reply) {
        (Severity::Number, Reply::Text(text)) if !text.is_empty() => {
            Reply::Text(format!("[{number}]: {text}"))
        }
        (Severity::String, Reply::Text(text)) if !text.is_empty() => {
            Reply::Text(format!("[{name}]: {text}"))
        }
        (_, reply) => reply,
    }
}

/// Serves a client until it leaves, is done, or is silent for too long. A client that is to get the listening
/// sockets is given back.
pub async fn serve<S>(stream: S, admin: Rc<Admin>, options: SessionOptions) -> io::Result<Option<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut session = Session {
        stream,
        input: Vec::new(),
        output: String::new(),
        state: SessionState::new(options),
        admin,
    };
    let served = session.run().await;
    // What was answered so far is delivered even when the client broke a rule.
    if served.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::InvalidData) {
        session.output.push_str("The command line or its payload is too long.\n\n");
    }
    session.flush().await?;
    if served.is_ok() && session.state.wants_listeners {
        return Ok(Some(session.stream));
    }
    session.stream.shutdown().await?;
    served.map(|()| None)
}

struct Session<S> {
    stream: S,
    /// Received and not yet used; at most a line or a payload and a read.
    input: Vec<u8>,
    /// Answered and not yet written; flushed when above [`WRITE_CHUNK`].
    output: String,
    state: SessionState,
    admin: Rc<Admin>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    async fn run(&mut self) -> io::Result<()> {
        loop {
            let Some(line) = self.read_line(LINE_MAX).await? else { return Ok(()) };
            let split = words::split(&line);
            let payload = match &split.payload {
                Some(end) => {
                    if self.state.mode == Mode::Prompt {
                        self.output.push_str("+ ");
                    }
                    match self.read_payload(end).await? {
                        Some(payload) => Some(payload),
                        None => return Ok(()),
                    }
                }
                None => None,
            };
            self.run_line(&split.commands, payload.as_deref()).await?;
            if self.state.mode == Mode::Once || self.state.quit {
                return Ok(());
            }
            self.prompt();
        }
    }

    async fn run_line(
        &mut self,
        commands: &[Vec<String>],
        payload: Option<&str>,
    ) -> io::Result<()> {
        if commands.is_empty() && self.state.mode == Mode::Once {
            self.output.push_str(&lookup::unknown(self.state.access(), &[]));
            self.output.push('\n');
        }
        for (n, words) in commands.iter().enumerate() {
            let payload = payload.filter(|_| n + 1 == commands.len());
            let reply = self.call(words, payload);
            self.answer(reply).await?;
            if self.state.quit {
                return Ok(());
            }
        }
        Ok(())
    }

    fn call(&mut self, words: &[String], payload: Option<&str>) -> Reply {
        let Some((command, args)) = lookup::find(words) else {
            let text = lookup::unknown(self.state.access(), words);
            return marked(self.state.severity, INFO, Reply::Text(text));
        };
        if command.level > self.state.level {
            return marked(self.state.severity, ERR, Reply::line("Permission denied"));
        }
        if let Some(mode) = command.mode.word().filter(|_| !self.state.access().has(command.mode)) {
            let text = format!("This command is restricted to {mode} mode only.");
            return marked(self.state.severity, ERR, Reply::line(text));
        }
        let now = self.admin.process.now();
        let mut call = Call {
            admin: &self.admin,
            session: &mut self.state,
            args,
            payload,
            now,
            help: lookup::help,
        };
        match (command.run)(&mut call) {
            Ok(reply) => reply,
            Err(reply) => marked(self.state.severity, ERR, reply),
        }
    }

    /// Writes an answer and the empty line that ends it. An answer never holds an empty line itself.
    async fn answer(&mut self, mut reply: Reply) -> io::Result<()> {
        loop {
            match reply {
                Reply::Text(text) => {
                    self.push(&text).await?;
                    break;
                }
                Reply::Pieces(pieces) => {
                    for piece in pieces {
                        self.push(&piece).await?;
                    }
                    break;
                }
                Reply::Events { reader, end, wait } => {
                    self.events(reader, end, wait).await?;
                    break;
                }
                Reply::Later(later) => {
                    self.flush().await?;
                    reply = later.await;
                }
            }
        }
        if !self.state.quit {
            self.output.push('\n');
        }
        Ok(())
    }

    /// Writes what a ring holds. To `wait` means to go on until the client says anything, which is thrown away, or
    /// leaves.
    async fn events(&mut self, mut reader: Reader, end: u8, wait: bool) -> io::Result<()> {
        self.flush().await?;
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            let taken = reader.lines(WRITE_CHUNK, end, &mut bytes);
            if taken.missed > 0 {
                let text = format!(
                    "[{} messages were overwritten before they could be shown]",
                    taken.missed
                );
                let mut told = text.into_bytes();
                told.push(end);
                bytes.splice(0..0, told);
            }
            if !bytes.is_empty() {
                let write = self.stream.write_all(&bytes);
                within(self.state.timeout, write).await??;
                self.stream.flush().await?;
                continue;
            }
            if !wait {
                return Ok(());
            }
            // What came behind the command ends the waiting, too.
            if !self.input.is_empty() {
                self.input.clear();
                return Ok(());
            }
            let mut said = [0; 512];
            tokio::select! {
                () = reader.ready() => {}
                read = self.stream.read(&mut said) => {
                    read?;
                    return Ok(());
                }
            }
        }
    }

    async fn push(&mut self, text: &str) -> io::Result<()> {
        self.output.push_str(text);
        if self.output.len() >= WRITE_CHUNK {
            self.flush().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> io::Result<()> {
        if self.output.is_empty() {
            return Ok(());
        }
        let write = self.stream.write_all(self.output.as_bytes());
        within(self.state.timeout, write).await??;
        self.output.clear();
        self.stream.flush().await
    }

    fn prompt(&mut self) {
        if self.state.mode != Mode::Prompt {
            return;
        }
        if self.state.timed {
            let secs = self.admin.process.now().secs();
            let (days, hours, minutes) = (secs / 86400, secs / 3600 % 24, secs / 60 % 60);
            let stamp = format!("[{days}:{hours:02}:{minutes:02}:{:02}]", secs % 60);
            self.output.push_str(&stamp);
        }
        self.output.push_str("> ");
    }

    /// The next line without its end; `None` when the client left or was silent for too long. What is
    /// answered so far is written before waiting.
    async fn read_line(&mut self, limit: usize) -> io::Result<Option<String>> {
        let mut searched = 0;
        loop {
            if let Some(at) = self.input[searched..].iter().position(|&b| b == b'\n') {
                let mut line: Vec<u8> = self.input.drain(..=searched + at).collect();
                line.pop();
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                if line.len() > limit {
                    return Err(too_long());
                }
                return Ok(Some(String::from_utf8_lossy(&line).into_owned()));
            }
            searched = self.input.len();
            if searched > limit {
                return Err(too_long());
            }
            self.flush().await?;
            let mut chunk = [0; 4096];
            let read = self.stream.read(&mut chunk);
            match within(self.state.timeout, read).await {
                Err(_) => return Ok(None),
                Ok(Ok(0)) => {
                    // Like HAProxy, a last line without its end counts when the client is done sending.
                    let rest = std::mem::take(&mut self.input);
                    return Ok(
                        (!rest.is_empty()).then(|| String::from_utf8_lossy(&rest).into_owned())
                    );
                }
                Ok(Ok(n)) => self.input.extend_from_slice(&chunk[..n]),
                Ok(Err(error)) => return Err(error),
            }
        }
    }

    /// Lines up to the one that equals `end`.
    async fn read_payload(&mut self, end: &str) -> io::Result<Option<String>> {
        let mut payload = String::new();
        let most = self.admin.payload_max;
        loop {
            let Some(line) = self.read_line(most).await? else { return Ok(None) };
            if line == end {
                return Ok(Some(payload));
            }
            payload.push_str(&line);
            payload.push('\n');
            if payload.len() > most {
                return Err(too_long());
            }
            if self.state.mode == Mode::Prompt {
                self.output.push_str("+ ");
            }
        }
    }
}

/// A wait with an optional limit.
async fn within<T>(
    limit: Option<Duration>,
    wait: impl Future<Output = T>,
) -> Result<T, tokio::time::error::Elapsed> {
    match limit {
        Some(limit) => tokio::time::timeout(limit, wait).await,
        None => Ok(wait.await),
    }
}

fn too_long() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a command line or payload is too long")
}
