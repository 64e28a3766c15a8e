//! The load generator.

use std::net::SocketAddr;

use ::tests::netns::run as run_command;
use anyhow::{Context, Result, bail};

use super::machine::pinned;

/// How to ask.
#[derive(Clone, Copy)]
pub(super) struct Load<'a> {
    pub(super) target: SocketAddr,
    pub(super) path: &'a str,
    pub(super) connections: u32,
    pub(super) seconds: u32,
    /// One request per connection.
    pub(super) close: bool,
    /// Header lines a browser sends.
    pub(super) headers: &'a [&'a str],
}

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outcome {
    pub(super) requests: u64,
    pub(super) per_second: f64,
}

/// Runs wrk to its end, on the core that is not the proxy's. A single failed request is an error:
/// figures with failures in them mean nothing.
pub(super) fn run(load: Load<'_>) -> Result<Outcome> {
    let mut command = pinned(1, "wrk");
    command.args(["--threads", "1"]);
    command.args(["--connections", &load.connections.to_string()]);
    command.args(["--duration", &format!("{}s", load.seconds)]);
    for header in load.headers {
        command.args(["--header", header]);
    }
    if load.close {
        command.args(["--header", "Connection: close"]);
    }
    command.arg(format!("http://{}{}", load.target, load.path));
    parse(&run_command(&mut command)?)
}

pub(super) fn parse(report: &str) -> Result<Outcome> {
    let line = |part: &str| report.lines().find(|line| line.contains(part));
    for trouble in ["Socket errors:", "Non-2xx"] {
        if let Some(line) = line(trouble) {
            bail!("{}", line.trim());
        }
    }
    let number = |part: &str, word: usize| -> Option<f64> {
        line(part)?.split_whitespace().nth(word)?.parse().ok()
    };
    let requests = number("requests in", 0).with_context(|| format!("wrk said:\n{report}"))?;
    let per_second = number("Requests/sec:", 1).context("no Requests/sec")?;
    Ok(Outcome { requests: requests as u64, per_second })
}

#[cfg(test)]
mod tests {
    use super::parse;

    const REPORT: &str = "Running 1s test @ http://127.0.0.1:8080/\n  1 threads and 2 connections\n  \
        1234 requests in 1.00s, 0.97MB read\nRequests/sec:   1230.50\nTransfer/sec:      0.97MB\n";

    #[test]
    fn figures_are_found() {
        let outcome = parse(REPORT).unwrap();
        assert_eq!(outcome.requests, 1234);
        assert!((outcome.per_second - 1230.5).abs() < 0.01);
    }

    #[test]
    fn failures_are_no_figures() {
        let failed = format!("{REPORT}  Non-2xx or 3xx responses: 3\n");
        assert!(parse(&failed).unwrap_err().to_string().contains("Non-2xx"));
        let reset = format!("{REPORT}  Socket errors: connect 0, read 7, write 0, timeout 0\n");
        assert!(parse(&reset).is_err());
    }
}
