//! Sessions of the master CLI: reading lines, splitting commands, and carrying those with an `@`
//! prefix to a worker (management manual, 9.4).

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::unistd::Pid;

use super::commands::{self, Level};
use super::listen::CliListener;
use super::{Effect, Master};
use crate::ipc;

/// Longest line, payload included, in bytes.
const MAX_INPUT: usize = 1 << 20;
/// Most simultaneous sessions, as HAProxy's MASTER proxy has it.
const MAX_SESSIONS: usize = 10;

/// The listening sockets and their clients.
#[derive(Default)]
pub(crate) struct CliServer {
    pub(crate) listeners: Vec<CliListener>,
    pub(crate) sessions: Vec<Session>,
}

impl CliServer {
    pub(crate) fn describe_sockets(&self) -> String {
        let mut out = String::from("# socket lvl processes\n");
        for listener in &self.listeners {
            out.push_str(&format!("{} {} master\n", listener.name, listener.level.as_str()));
        }
        out
    }

    pub(crate) fn accept(&mut self, index: usize) {
        use nix::sys::socket::{SockFlag, accept4};
        use std::os::fd::AsRawFd;
        let Some(listener) = self.listeners.get(index) else { return };
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        while self.sessions.len() < MAX_SESSIONS {
            match accept4(listener.socket.as_raw_fd(), flags) {
                Ok(fd) => match crate::sys::adopt_fd(fd) {
                    Ok(client) => self.sessions.push(Session::new(client, listener.level)),
                    Err(_) => return,
                },
                Err(Errno::EINTR) => {}
                Err(_) => return,
            }
        }
    }

    pub(crate) fn accepting(&self) -> bool {
        self.sessions.len() < MAX_SESSIONS
    }
}

/// A conversation with a worker on behalf of a client.
struct Upstream {
    stream: OwnedFd,
    /// Bytes still to be written to the worker.
    pending: Vec<u8>,
    /// `@@`: what the client sends goes on to the worker.
    both_ways: bool,
    write_closed: bool,
}

/// One client.
pub(crate) struct Session {
    pub(crate) client: OwnedFd,
    pub(crate) level: Level,
    pub(crate) prompt: bool,
    pub(crate) timed: bool,
    pub(crate) expert: bool,
    pub(crate) experimental: bool,
    /// `mcli-debug-mode`.
    pub(crate) debug: bool,
    /// The worker that commands without a prefix go to; the master when `None`.
    context: Option<Pid>,
    input: Vec<u8>,
    end_of_input: bool,
    output: Vec<u8>,
    /// Commands of the current line that have not run yet.
    commands: VecDeque<String>,
    in_line: bool,
    upstream: Option<Upstream>,
    closing: bool,
}

impl Session {
    pub(crate) fn new(client: OwnedFd, level: Level) -> Self {
        Self {
            client,
            level,
            prompt: false,
            timed: false,
            expert: false,
            experimental: false,
            debug: false,
            context: None,
            input: Vec::new(),
            end_of_input: false,
            output: Vec::new(),
            commands: VecDeque::new(),
            in_line: false,
            upstream: None,
            closing: false,
        }
    }

    /// Takes up a client that waited for the outcome of a reload: it gets `answer` and the end.
    pub(crate) fn answered(client: OwnedFd, answer: Vec<u8>) -> Self {
        let mut session = Self::new(client, Level::User);
        session.output = answer;
        session.closing = true;
        session
    }

    pub(crate) fn client_interest(&self) -> PollFlags {
        let mut flags = PollFlags::empty();
        let room = self.input.len() < MAX_INPUT
            && self.upstream.as_ref().is_none_or(|up| up.pending.len() < MAX_INPUT);
        if !self.end_of_input && !self.closing && room {
            flags |= PollFlags::POLLIN;
        }
        if !self.output.is_empty() {
            flags |= PollFlags::POLLOUT;
        }
        flags
    }

    pub(crate) fn upstream_fd(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        let up = self.upstream.as_ref()?;
        let mut flags = PollFlags::empty();
        if self.output.len() < MAX_INPUT {
            flags |= PollFlags::POLLIN;
        }
        if !up.pending.is_empty() {
            flags |= PollFlags::POLLOUT;
        }
        Some((up.stream.as_fd(), flags))
    }

    /// Nothing is left to say or to do.
    pub(crate) fn finished(&self) -> bool {
        self.closing && self.output.is_empty() && self.upstream.is_none()
    }

    pub(crate) fn read_client(&mut self) {
        let mut buffer = [0u8; 4096];
        match nix::unistd::read(self.client.as_fd(), &mut buffer) {
            Ok(0) => self.end_of_input = true,
            Ok(count) => match &mut self.upstream {
                Some(up) if up.both_ways => up.pending.extend_from_slice(&buffer[..count]),
                _ => self.input.extend_from_slice(&buffer[..count]),
            },
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(_) => self.abandon(),
        }
        if let Some(up) = self.upstream.as_mut().filter(|up| self.end_of_input && up.both_ways) {
            up.both_ways = false;
        }
    }

    pub(crate) fn write_client(&mut self) {
        match nix::unistd::write(self.client.as_fd(), &self.output) {
            Ok(count) => drop(self.output.drain(..count)),
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(_) => self.abandon(),
        }
    }

    /// Moves bytes to and from the worker.
    pub(crate) fn drive_upstream(&mut self, ready: PollFlags) {
        let Some(up) = &mut self.upstream else { return };
        if ready.contains(PollFlags::POLLOUT) && !up.pending.is_empty() {
            match nix::unistd::write(up.stream.as_fd(), &up.pending) {
                Ok(count) => drop(up.pending.drain(..count)),
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(_) => up.pending.clear(),
            }
        }
        up.close_write_when_done();
        if ready.intersects(PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR) {
            let mut buffer = [0u8; 16_384];
            match nix::unistd::read(up.stream.as_fd(), &mut buffer) {
                Ok(count) if count > 0 => self.output.extend_from_slice(&buffer[..count]),
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                Ok(_) | Err(_) => self.upstream = None,
            }
        }
    }

    fn abandon(&mut self) {
        self.closing = true;
        self.output.clear();
        self.upstream = None;
    }

    fn say(&mut self, text: &str) {
        self.output.extend_from_slice(text.as_bytes());
        self.output.push(b'\n');
    }

    fn prompt_text(&self, master: &Master) -> String {
        let mut flags = String::new();
        for (set, letter) in [(self.experimental, 'x'), (self.expert, 'e'), (self.debug, 'd')] {
            if set {
                flags.push(letter);
            }
        }
        if !flags.is_empty() {
            flags = format!("({flags})");
        }
        let uptime = if self.timed { master.uptime_prefix() } else { String::new() };
        match self.context {
            Some(pid) => format!("{uptime}{pid}{flags}> "),
            None if master.last_reload_failed() => format!("{uptime}master[ReloadFailed]{flags}> "),
            None => format!("{uptime}master{flags}> "),
        }
    }
}

impl Upstream {
    fn close_write_when_done(&mut self) {
        use std::os::fd::AsRawFd;
        if self.pending.is_empty() && !self.both_ways && !self.write_closed {
            let _ = nix::sys::socket::shutdown(
                self.stream.as_raw_fd(),
                nix::sys::socket::Shutdown::Write,
            );
            self.write_closed = true;
        }
    }
}

/// Runs whatever complete commands the session has, until one goes to a worker.
///
/// Returns false when the session is to be forgotten (its client went into a reload).
pub(crate) fn process(master: &mut Master, session: &mut Session) -> bool {
    while session.upstream.is_none() && !session.closing {
        if let Some(command) = session.commands.pop_front() {
            match run(master, session, &command) {
                Effect::Answer(text) => session.say(&text),
                Effect::Silent | Effect::Upstream => {}
                Effect::Close => session.closing = true,
                Effect::HandedOver => return false,
            }
        } else if session.in_line {
            session.in_line = false;
            if session.prompt {
                let prompt = session.prompt_text(master);
                session.output.extend_from_slice(prompt.as_bytes());
            }
        } else {
            match next_line(&mut session.input, session.end_of_input) {
                Line::Complete(line) => {
                    session.commands = split_commands(&line);
                    session.in_line = true;
                }
                Line::Partial if session.end_of_input => session.closing = true,
                Line::Partial if session.input.len() >= MAX_INPUT => {
                    session.say("The command line is too long.");
                    session.closing = true;
                }
                Line::Partial => return true,
            }
        }
    }
    true
}

/// What the input holds.
enum Line {
    Complete(String),
    Partial,
}

/// Takes one line with its payload (`<<`, ended by an empty line or the pattern that follows it).
fn next_line(input: &mut Vec<u8>, end_of_input: bool) -> Line {
    let Some(end) = input.iter().position(|b| *b == b'\n') else {
        if end_of_input && !input.is_empty() {
            let line = String::from_utf8_lossy(input).into_owned();
            input.clear();
            return Line::Complete(line);
        }
        return Line::Partial;
    };
    let first = String::from_utf8_lossy(&input[..end]).trim_end_matches('\r').to_owned();
    let mut used = end + 1;
    let mut line = first.clone();
    let last_word = first.split_whitespace().last().unwrap_or_default();
    if let Some(pattern) = last_word.strip_prefix("<<") {
        loop {
            let rest = &input[used..];
            let Some(length) = rest.iter().position(|b| *b == b'\n') else {
                if end_of_input {
                    line.push('\n');
                    line.push_str(&String::from_utf8_lossy(rest));
                    used = input.len();
                    break;
                }
                return Line::Partial;
            };
            let text = String::from_utf8_lossy(&rest[..length]).into_owned();
            used += length + 1;
            line.push('\n');
            line.push_str(&text);
            if text == pattern {
                break;
            }
        }
    }
    input.drain(..used);
    Line::Complete(line)
}

/// Splits at semicolons that no backslash escapes; `@@` takes the whole rest of the line, and so does
/// a payload.
fn split_commands(line: &str) -> VecDeque<String> {
    let (head, payload) = line.split_once('\n').map_or((line, None), |(h, p)| (h, Some(p)));
    let mut commands = VecDeque::new();
    let mut current = String::new();
    let mut chars = head.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            _ if current.trim_start().starts_with("@@") => current.push(c),
            '\\' => {
                current.push(c);
                current.extend(chars.next());
            }
            ';' => commands.push_back(std::mem::take(&mut current)),
            _ => current.push(c),
        }
    }
    if let Some(payload) = payload {
        current.push('\n');
        current.push_str(payload);
    }
    commands.push_back(current);
    let mut commands: VecDeque<String> =
        commands.into_iter().map(|c| c.trim().to_owned()).collect();
    if commands.len() > 1 {
        commands.retain(|command| !command.is_empty());
    }
    commands
}

/// What an `@` word points at.
enum Target {
    Master,
    Worker(Pid),
}

fn run(master: &mut Master, session: &mut Session, command: &str) -> Effect {
    let both_ways = command.starts_with("@@");
    let Some(rest) = command.strip_prefix("@@").or_else(|| command.strip_prefix('@')) else {
        return match session.context {
            Some(pid) if !is_of_master(command) => forward(master, session, pid, command, false),
            _ => run_master(master, session, command),
        };
    };
    let (name, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let Some(target) = find_target(master, name) else {
        return Effect::Answer(format!("Can't find the target PID matching the prefix '@{name}'"));
    };
    let rest = rest.trim_start();
    match (target, rest.is_empty()) {
        (Target::Worker(pid), _) if both_ways => forward(master, session, pid, rest, true),
        (Target::Master, true) => {
            session.context = None;
            Effect::Silent
        }
        (Target::Worker(pid), true) => {
            session.context = Some(pid);
            Effect::Silent
        }
        (Target::Master, false) => run_master(master, session, rest),
        (Target::Worker(pid), false) => forward(master, session, pid, rest, false),
    }
}

/// Whether a command is about the session with the master, whatever process was chosen.
fn is_of_master(command: &str) -> bool {
    let first = command.split_whitespace().next().unwrap_or_default();
    matches!(command, "quit" | "prompt")
        || matches!(first, "expert-mode" | "experimental-mode" | "mcli-debug-mode")
}

fn run_master(master: &mut Master, session: &mut Session, command: &str) -> Effect {
    let words: Vec<&str> = command.split_whitespace().collect();
    commands::run(master, session, &words)
}

fn find_target(master: &Master, name: &str) -> Option<Target> {
    match name {
        "" | "master" | "0" => Some(Target::Master),
        "1" => master.current_worker().map(Target::Worker),
        _ => {
            let pid = Pid::from_raw(name.strip_prefix('!')?.parse().ok()?);
            if pid == Pid::this() {
                return Some(Target::Master);
            }
            master.workers.iter().any(|worker| worker.pid == pid).then_some(Target::Worker(pid))
        }
    }
}

fn forward(
    master: &mut Master,
    session: &mut Session,
    pid: Pid,
    command: &str,
    both_ways: bool,
) -> Effect {
    match open_upstream(master, session, pid, command, both_ways) {
        Ok(upstream) => {
            session.upstream = Some(upstream);
            Effect::Upstream
        }
        Err(error) => Effect::Answer(format!("Can't connect to the process {pid}: {error}")),
    }
}

fn open_upstream(
    master: &Master,
    session: &Session,
    pid: Pid,
    command: &str,
    both_ways: bool,
) -> io::Result<Upstream> {
    let worker = master
        .workers
        .iter()
        .find(|worker| worker.pid == pid)
        .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
    let (mine, theirs) = ipc::stream_pair()?;
    ipc::send(
        worker.control.as_fd(),
        &format!("cli {}", session.level.as_str()),
        Some(theirs.as_fd()),
    )?;
    nix::fcntl::fcntl(&mine, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK))?;
    let mut pending = Vec::new();
    if session.expert {
        pending.extend_from_slice(b"expert-mode on; ");
    }
    if session.experimental {
        pending.extend_from_slice(b"experimental-mode on; ");
    }
    if command.is_empty() {
        pending.extend_from_slice(if session.prompt { b"prompt" } else { b"prompt i" });
    }
    pending.extend_from_slice(command.as_bytes());
    pending.push(b'\n');
    Ok(Upstream { stream: mine, pending, both_ways, write_closed: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_split(line: &str, expected: &[&str]) {
        assert_eq!(split_commands(line), expected);
    }

    #[test]
    fn commands_end_at_semicolons() {
        check_split("show proc", &["show proc"]);
        check_split("@1 show info; show version ;", &["@1 show info", "show version"]);
        check_split(r"echo a\;b; c", &[r"echo a\;b", "c"]);
        check_split(
            "@@1 disable server a/b; del server a/b",
            &["@@1 disable server a/b; del server a/b"],
        );
        check_split("", &[""]);
        check_split(
            "show version; @1 add map x <<\nk v\n",
            &["show version", "@1 add map x <<\nk v"],
        );
    }

    #[test]
    fn lines_come_with_their_payload() {
        let take = |input: &mut Vec<u8>, end| match next_line(input, end) {
            Line::Complete(line) => Some(line),
            Line::Partial => None,
        };
        let mut input = b"show proc\nrest".to_vec();
        assert_eq!(take(&mut input, false).as_deref(), Some("show proc"));
        assert_eq!(take(&mut input, false), None);
        assert_eq!(take(&mut input, true).as_deref(), Some("rest"));
        assert_eq!(take(&mut input, true), None);
        let mut input = b"@1 set x <<\nline; one\n\nnext\n".to_vec();
        assert_eq!(take(&mut input, false).as_deref(), Some("@1 set x <<\nline; one\n"));
        assert_eq!(take(&mut input, false).as_deref(), Some("next"));
        let mut input = b"@1 set x <<EOF\na\n\nEOF\n".to_vec();
        assert_eq!(take(&mut input, false).as_deref(), Some("@1 set x <<EOF\na\n\nEOF"));
    }
}
