//! A child process with its output captured line by line, killed with its whole group on drop.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::guardian::{Registration, Resource};
use crate::wait::eventually;

/// A running program. Its process group is its own, so that Ctrl-C reaches it only through us.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    output: Arc<Output>,
    _guard: Registration,
}

#[derive(Debug, Default)]
struct Output {
    lines: Mutex<Lines>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Lines {
    text: Vec<String>,
    open: usize,
}

impl Program {
    /// Starts `command`; `name` stands for it in error messages.
    pub fn start(name: &str, command: &mut Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {name}: {command:?}"))?;
        let guard = Registration::new(Resource::ProcessGroup(child.id()));
        let output = Arc::new(Output::default());
        let pipes: [Option<Box<dyn Read + Send>>; 2] = [
            child.stdout.take().map(|pipe| Box::new(pipe) as _),
            child.stderr.take().map(|pipe| Box::new(pipe) as _),
        ];
        for pipe in pipes.into_iter().flatten() {
            output.lock().open += 1;
            let output = Arc::clone(&output);
            std::thread::spawn(move || output.fill(pipe));
        }
        Ok(Self { name: name.into(), child, output, _guard: guard })
    }

    /// Process id of the program (after `nsenter` and the like have executed it).
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// All lines written so far, standard output and standard error in order of arrival.
    pub fn lines(&self) -> Vec<String> {
        self.output.lock().text.clone()
    }

    /// The same as one text, for messages.
    pub fn log(&self) -> String {
        self.lines().join("\n")
    }

    /// Waits for a line that contains `part`, in what was written from line `from` on; returns
    /// its number.
    pub fn wait_line_from(&self, from: usize, part: &str, deadline: Duration) -> Result<usize> {
        let end = Instant::now() + deadline;
        let mut lines = self.output.lock();
        let mut seen = from;
        loop {
            if let Some(found) = lines.text.iter().skip(seen).position(|line| line.contains(part)) {
                return Ok(seen + found);
            }
            seen = lines.text.len().max(from);
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || lines.open == 0 {
                let why = if lines.open == 0 { "ended" } else { "was silent too long" };
                bail!(
                    "{} {why} without a line containing {part:?}; it wrote:\n{}",
                    self.name,
                    lines.text.join("\n")
                );
            }
            lines = match self.output.changed.wait_timeout(lines, left) {
                Ok((lines, _)) => lines,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }

    /// Waits for a line that contains `part`; returns its number.
    pub fn wait_line(&self, part: &str, deadline: Duration) -> Result<usize> {
        self.wait_line_from(0, part, deadline)
    }

    /// Sends a signal to the process (not to its group).
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal)
            .with_context(|| format!("{signal} to {}", self.name))
    }

    /// Whether the process still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for the end of the process.
    pub fn wait(&mut self, deadline: Duration) -> Result<ExitStatus> {
        let mut status = None;
        eventually(&format!("end of {}", self.name), deadline, || {
            status = self.child.try_wait().ok().flatten();
            status.is_some()
        })
        .with_context(|| format!("it wrote:\n{}", self.log()))?;
        self.drain();
        status.context("no status")
    }

    /// Waits for what an ended process wrote last; its children may hold its outputs longer than that.
    fn drain(&self) {
        let lines = self.output.lock();
        let _ = self
            .output
            .changed
            .wait_timeout_while(lines, Duration::from_secs(1), |lines| lines.open > 0);
    }

    /// Waits for the end and returns what a shell would call its exit status: the code, or 128 and
    /// the signal's number.
    pub fn wait_code(&mut self, deadline: Duration) -> Result<i32> {
        let status = self.wait(deadline)?;
        Ok(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = killpg(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

impl Output {
    fn lock(&self) -> std::sync::MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn fill(&self, pipe: Box<dyn Read + Send>) {
        let mut reader = BufReader::new(pipe);
        let mut buffer = Vec::new();
        while matches!(reader.read_until(b'\n', &mut buffer), Ok(1..)) {
            let line = String::from_utf8_lossy(&buffer).trim_end_matches('\n').to_owned();
            self.lock().text.push(line);
            self.changed.notify_all();
            buffer.clear();
        }
        self.lock().open -= 1;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait::PATIENCE;

    #[test]
    fn lines_are_awaited_and_the_group_dies_with_the_guard() {
        let program = Program::start(
            "shell",
            Command::new("sh").args(["-c", "echo one; echo two >&2; sleep 1000 & echo $!; wait"]),
        )
        .unwrap();
        program.wait_line("one", PATIENCE).unwrap();
        program.wait_line("two", PATIENCE).unwrap();
        eventually("pid of sleep", PATIENCE, || program.lines().len() == 3).unwrap();
        let sleeper = program.lines().iter().find_map(|line| line.parse::<i32>().ok()).unwrap();
        drop(program);
        eventually("death of sleep", PATIENCE, || kill(Pid::from_raw(sleeper), None).is_err())
            .unwrap();
    }

    #[test]
    fn a_program_that_ends_early_is_reported_with_its_output() {
        let mut program =
            Program::start("shell", Command::new("sh").args(["-c", "echo broken; exit 3"]))
                .unwrap();
        let error = program.wait_line("ready", PATIENCE).unwrap_err().to_string();
        assert!(error.contains("ended") && error.contains("broken"), "{error}");
        assert_eq!(program.wait_code(PATIENCE).unwrap(), 3);
    }
}
