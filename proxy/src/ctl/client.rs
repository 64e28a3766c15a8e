//! Asking a stats socket, and reading its CSV.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::CtlError;

/// The longest wait for an answer: commands that take longer do so for a reason that their user knows.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where the stats socket is.
#[derive(Clone, Copy)]
pub(super) struct Socket<'a>(pub(super) &'a str);

impl Socket<'_> {
    /// The answer to one command line.
    pub(super) fn ask(self, line: &str) -> Result<String, CtlError> {
        self.exchange(line)
            .map_err(|error| CtlError::Unreachable { socket: self.0.to_owned(), error })
    }

    /// Sends a command that has nothing to say when it is done.
    pub(super) fn tell(self, line: &str) -> Result<String, CtlError> {
        let answer = self.ask(line)?;
        match answer.trim() {
            "" => Ok(String::new()),
            refusal => Err(CtlError::Refused(refusal.to_owned())),
        }
    }

    fn exchange(self, line: &str) -> io::Result<String> {
        let line = format!("{line}\n");
        let mut answer = Vec::new();
        if self.0.contains('/') || !self.0.contains(':') {
            let mut stream = UnixStream::connect(self.0)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(line.as_bytes())?;
            stream.shutdown(Shutdown::Write)?;
            stream.read_to_end(&mut answer)?;
        } else {
            let mut stream = TcpStream::connect(self.0)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(line.as_bytes())?;
            stream.shutdown(Shutdown::Write)?;
            stream.read_to_end(&mut answer)?;
        }
        let text = String::from_utf8_lossy(&answer).into_owned();
        // The empty line that ends an answer is not part of it.
        Ok(text.strip_suffix("\n\n").map_or_else(|| text.clone(), |text| format!("{text}\n")))
    }
}

/// Rows of `show stat`.
#[derive(Debug)]
pub(super) struct Rows {
    names: Vec<String>,
    pub(super) rows: Vec<Vec<String>>,
}

impl Rows {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let names = fields(lines.next()?.strip_prefix("# ")?);
        let rows = lines.filter(|line| !line.is_empty()).map(fields).collect();
        Some(Self { names, rows })
    }

    /// A field of a row, empty when there is none.
    pub(super) fn field<'r>(&self, row: &'r [String], name: &str) -> &'r str {
        let index = self.names.iter().position(|own| own == name);
        index.and_then(|index| row.get(index)).map_or("", String::as_str)
    }

    /// The fields of a row that have a value.
    pub(super) fn object<'r>(&'r self, row: &'r [String]) -> Vec<(&'r str, &'r str)> {
        let pairs = self.names.iter().zip(row);
        pairs.map(|(n, v)| (n.as_str(), v.as_str())).filter(|(_, v)| !v.is_empty()).collect()
    }
}

/// Fields of a line; those in quotes may hold commas, and quotes that are doubled (RFC 4180).
fn fields(line: &str) -> Vec<String> {
    let mut out = vec![String::new()];
    let mut quoted = false;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        let last = out.len() - 1;
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                out[last].push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => out.push(String::new()),
            c => out[last].push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_is_read() {
        assert_eq!(fields("a,\"b,\"\"c\"\"\",,"), ["a", "b,\"c\"", "", ""]);
        let rows = Rows::parse("# pxname,svname\nweb,FRONTEND\n\n").unwrap();
        assert_eq!(rows.rows.len(), 1);
        assert_eq!(rows.field(&rows.rows[0], "svname"), "FRONTEND");
        assert_eq!(rows.field(&rows.rows[0], "nope"), "");
        assert!(Rows::parse("Permission denied\n").is_none());
    }
}
