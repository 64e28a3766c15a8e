//! One client of the runtime API on any byte stream (management manual, 9.3).
//!
//! Without a prompt a session takes one line, which may hold several commands, answers and closes, as
//! scripts expect; `prompt` keeps it open.

use crate::command::{Call, Reply, find, unknown};
use crate::context::Admin;
use crate::level::Level;
use crate::words::{Line, split};
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// Longest line in bytes.
const LINE_MAX: usize = 16 << 10;
/// Longest payload in bytes.
const PAYLOAD_MAX: usize = 1 << 20;
/// Commands of a session until it answers are made in pieces of about this size.
const READ_SIZE: usize = 4096;

/// How a session starts.
#[derive(Clone, Copy, Debug)]
pub struct SessionOptions {
    pub level: Level,
    /// Idle time after which the session ends (`stats timeout`, 10 s by default); `None` never.
    pub timeout: Option<Duration>,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self { level: Level::default(), timeout: Some(Duration::from_secs(10)) }
    }
}

/// Whether the session goes on after a line, and with which sign.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Prompt {
    #[default]
    None,
    Interactive,
    Shown,
}

/// What commands may change about the session.
pub struct SessionState {
    pub level: Level,
    pub prompt: Prompt,
    /// The uptime in the prompt.
    pub timed: bool,
    pub expert: bool,
    pub experimental: bool,
    pub timeout: Option<Duration>,
    pub closing: bool,
}

impl SessionState {
    fn prompt_text(&self, admin: &Admin) -> String {
        if !self.timed {
            return "> ".into();
        }
        let s = admin.process.now().secs();
        format!("[{}:{:02}:{:02}:{:02}]> ", s / 86_400, s / 3600 % 24, s / 60 % 60, s % 60)
    }
}

/// Bytes received and not used yet.
struct Input<S> {
    stream: S,
    bytes: Vec<u8>,
    end: bool,
}

/// Why there is no further line.
enum NoLine {
    End,
    TooLong,
    Silent,
}

/// Serves one client to its end.
///
/// # Errors
/// Those of the stream.
pub async fn serve<S>(stream: S, admin: Rc<Admin>, options: SessionOptions) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut session = SessionState {
        level: options.level,
        prompt: Prompt::None,
        timed: false,
        expert: false,
        experimental: false,
        timeout: options.timeout,
        closing: false,
    };
    let mut input = Input { stream, bytes: Vec::new(), end: false };
    loop {
        let line = match input.line(LINE_MAX, session.timeout).await? {
            Ok(line) => split(&line),
            Err(NoLine::TooLong) => {
                input.stream.write_all(b"The command line is too long.\n\n").await?;
                break;
            }
            Err(NoLine::End | NoLine::Silent) => break,
        };
        if !run_line(&mut input, &admin, &mut session, line).await? {
            break;
        }
        if session.prompt == Prompt::Shown {
            let prompt = session.prompt_text(&admin);
            input.stream.write_all(prompt.as_bytes()).await?;
        }
        input.stream.flush().await?;
        if session.closing || session.prompt == Prompt::None {
            break;
        }
    }
    input.stream.shutdown().await
}

/// Runs the commands of a line; false when the session is over.
async fn run_line<S>(
    input: &mut Input<S>,
    admin: &Rc<Admin>,
    session: &mut SessionState,
    line: Line,
) -> io::Result<bool>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let payload = match &line.payload {
        None => None,
        Some(pattern) => match input.payload(pattern, session.timeout).await? {
            Ok(text) => Some(text),
            Err(_) => {
                input.stream.write_all(b"The payload is too long or incomplete.\n\n").await?;
                return Ok(false);
            }
        },
    };
    let last = line.commands.len().saturating_sub(1);
    if line.commands.is_empty() && session.prompt != Prompt::Shown {
        input.stream.write_all(b"\n").await?;
    }
    for (position, words) in line.commands.iter().enumerate() {
        let payload = payload.as_deref().filter(|_| position == last);
        let before = session.prompt;
        let silent = matches!(words[0].as_str(), "prompt" | "quit");
        let reply = run(admin, session, words, payload);
        write_reply(&mut input.stream, reply).await?;
        if !(silent && before == Prompt::None || silent && session.closing) {
            input.stream.write_all(b"\n").await?;
        }
        if session.closing {
            return Ok(false);
        }
    }
    Ok(true)
}

fn run(
    admin: &Rc<Admin>,
    session: &mut SessionState,
    words: &[String],
    payload: Option<&str>,
) -> Reply {
    let Some((command, args)) = find(words) else {
        return Reply::Text(unknown(session.level, words));
    };
    if command.level > session.level {
        return Reply::line("Permission denied");
    }
    let now = admin.process.now();
    let mut call = Call { admin, session, args, payload, now };
    match (command.run)(&mut call) {
        Ok(reply) | Err(reply) => reply,
    }
}

async fn write_reply<S: AsyncWrite + Unpin>(stream: &mut S, mut reply: Reply) -> io::Result<()> {
    loop {
        match reply {
            Reply::Text(text) => return stream.write_all(text.as_bytes()).await,
            Reply::Pieces(pieces) => {
                // One piece is made when the one before it is on its way: a slow client costs no memory.
                for piece in pieces {
                    stream.write_all(piece.as_bytes()).await?;
                }
                return Ok(());
            }
            Reply::Later(later) => reply = later.await,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Input<S> {
    /// Waits for one line, without its newline. The last line may lack one.
    async fn line(
        &mut self,
        limit: usize,
        idle: Option<Duration>,
    ) -> io::Result<Result<String, NoLine>> {
        loop {
            if let Some(end) = self.bytes.iter().position(|byte| *byte == b'\n') {
                let line = String::from_utf8_lossy(&self.bytes[..end]).into_owned();
                self.bytes.drain(..=end);
                return Ok(if end > limit { Err(NoLine::TooLong) } else { Ok(line) });
            }
            if self.bytes.len() > limit {
                return Ok(Err(NoLine::TooLong));
            }
            if self.end {
                if self.bytes.is_empty() {
                    return Ok(Err(NoLine::End));
                }
                let rest = std::mem::take(&mut self.bytes);
                return Ok(Ok(String::from_utf8_lossy(&rest).into_owned()));
            }
            if !self.read(idle).await? {
                return Ok(Err(NoLine::Silent));
            }
        }
    }

    /// The lines up to the one that equals `pattern`.
    async fn payload(
        &mut self,
        pattern: &str,
        idle: Option<Duration>,
    ) -> io::Result<Result<String, NoLine>> {
        let mut text = String::new();
        loop {
            match self.line(PAYLOAD_MAX, idle).await? {
                Ok(line) if line.trim_end_matches('\r') == pattern => return Ok(Ok(text)),
                Ok(line) => {
                    text.push_str(&line);
                    text.push('\n');
                }
                Err(why) => return Ok(Err(why)),
            }
            if text.len() > PAYLOAD_MAX {
                return Ok(Err(NoLine::TooLong));
            }
        }
    }

    /// Reads what is there; false when the client was silent for too long.
    async fn read(&mut self, idle: Option<Duration>) -> io::Result<bool> {
        let mut buffer = [0; READ_SIZE];
        let read = self.stream.read(&mut buffer);
        let count = match idle {
            Some(idle) => match timeout(idle, read).await {
                Ok(count) => count?,
                Err(_) => return Ok(false),
            },
            None => read.await?,
        };
        self.end |= count == 0;
        self.bytes.extend_from_slice(&buffer[..count]);
        Ok(true)
    }
}
