//! A receiver of syslog datagrams.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result};

/// A bound UDP socket that returns one log line at a time.
#[derive(Debug)]
pub struct Syslog {
    socket: UdpSocket,
    address: SocketAddr,
}

impl Syslog {
    /// Listens on a free loopback port.
    pub fn start() -> Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("bind UDP")?;
        let address = socket.local_addr()?;
        Ok(Self { socket, address })
    }

    /// Where it listens; `log ADDRESS local0` sends there.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next datagram, as it came.
    pub fn next(&self, deadline: Duration) -> Result<String> {
        self.socket.set_read_timeout(Some(deadline))?;
        let mut buffer = vec![0; 65_536];
        let length = self.socket.recv(&mut buffer).context("no log line arrived")?;
        buffer.truncate(length);
        Ok(String::from_utf8_lossy(&buffer).into_owned())
    }

    /// The next line that contains `part`, without its syslog header (up to `PROGRAM[PID]: `).
    pub fn next_with(&self, part: &str, deadline: Duration) -> Result<String> {
        let mut others = Vec::new();
        loop {
            let line = self
                .next(deadline)
                .with_context(|| format!("waiting for {part:?}; other lines: {others:#?}"))?;
            if line.contains(part) {
                return Ok(message(&line).to_owned());
            }
            others.push(line);
        }
    }
}

/// What follows `TAG[PID]: ` in a line of RFC 3164 form.
pub fn message(line: &str) -> &str {
    let line = line.trim_end_matches('\n');
    line.split_once("]: ").map_or(line, |(_, message)| message)
}
