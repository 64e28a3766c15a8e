//! A client of the stats socket.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// Talks to a stats socket (or a master CLI), one connection per command.
#[derive(Debug, Clone)]
pub struct Stats {
    path: PathBuf,
}

impl Stats {
    /// The socket at `path`; it need not exist yet.
    pub fn new(path: &Path) -> Self {
        Self { path: path.into() }
    }

    /// Sends one command line and returns the answer without its trailing empty lines.
    pub fn command(&self, line: &str) -> Result<String> {
        self.command_within(line, Duration::from_secs(20))
    }

    /// The same with a time limit of one's own.
    pub fn command_within(&self, line: &str, limit: Duration) -> Result<String> {
        let mut stream = UnixStream::connect(&self.path)
            .with_context(|| format!("connect to {}", self.path.display()))?;
        stream.set_read_timeout(Some(limit))?;
        stream.write_all(format!("{line}\n").as_bytes())?;
        stream.shutdown(Shutdown::Write)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).with_context(|| format!("answer to {line:?}"))?;
        Ok(answer.trim_end_matches('\n').to_owned())
    }

    /// Sends a command that answers with nothing when it succeeds.
    pub fn quiet(&self, line: &str) -> Result<()> {
        match self.command(line)?.trim() {
            "" => Ok(()),
            answer => bail!("{line:?} answered {answer:?}"),
        }
    }

    /// A line of `show info` (`Pid`, `CurrConns` ...).
    pub fn info(&self, name: &str) -> Result<String> {
        let answer = self.command("show info")?;
        answer
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
            .map(|value| value.trim().to_owned())
            .with_context(|| format!("no {name} in show info:\n{answer}"))
    }

    /// A field of `show stat`, by proxy, service (`FRONTEND`, `BACKEND`, a server) and column.
    pub fn stat(&self, proxy: &str, service: &str, column: &str) -> Result<String> {
        let answer = self.command("show stat")?;
        let mut lines = answer.lines();
        let columns: Vec<&str> =
            lines.next().unwrap_or_default().trim_start_matches("# ").split(',').collect();
        let index = columns
            .iter()
            .position(|name| *name == column)
            .with_context(|| format!("no column {column} in {columns:?}"))?;
        let row = lines
            .map(|line| line.split(',').collect::<Vec<_>>())
            .find(|row| row.len() > index && row[0] == proxy && row[1] == service)
            .with_context(|| format!("no row {proxy}/{service} in\n{answer}"))?;
        Ok(row[index].to_owned())
    }

    /// The same as a number; an empty field is zero.
    pub fn count(&self, proxy: &str, service: &str, column: &str) -> Result<u64> {
        let text = self.stat(proxy, service, column)?;
        if text.is_empty() { Ok(0) } else { text.parse().with_context(|| format!("{text:?}")) }
    }
}
