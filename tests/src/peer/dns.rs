//! A nameserver: Debian's dnsmasq with the records that a test wants.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use anyhow::Result;

use crate::net::free_port;
use crate::program::Program;
use crate::sluice::Files;
use crate::wait::PATIENCE;

/// A nameserver on a loopback port. Knows the records it was given; under `test.` nothing else exists, and what is not
/// there is refused.
#[derive(Debug)]
pub struct DnsServer {
    address: SocketAddr,
    files: Files,
    program: Option<Program>,
}

impl DnsServer {
    /// Starts with these records, lines of dnsmasq's configuration (`host-record=`, `srv-host=`, `cname=` ...).
    pub fn start(records: &str) -> Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let mut server = Self { address, files: Files::new()?, program: None };
        server.set(records)?;
        Ok(server)
    }

    /// Where it listens, over UDP and TCP.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Knows these records from now on, and no others.
    pub fn set(&mut self, records: &str) -> Result<()> {
        self.stop();
        let path = self.files.write("dnsmasq.conf", &format!("local=/test/\n{records}\n"))?;
        let mut command = Command::new("dnsmasq");
        command
            .arg("--keep-in-foreground")
            .args(["--bind-interfaces", "--no-resolv", "--no-hosts", "--user=root", "--pid-file="])
            .args(["--log-facility=-", "--log-queries"])
            .arg(format!("--listen-address={}", self.address.ip()))
            .arg(format!("--port={}", self.address.port()))
            .arg(format!("--conf-file={}", path.display()));
        let program = Program::start("dnsmasq", &mut command)?;
        program.wait_line("started, version", PATIENCE)?;
        self.program = Some(program);
        Ok(())
    }

    /// Answers nothing any more.
    pub fn stop(&mut self) {
        self.program = None;
    }

    /// What it was asked, and what it answered.
    pub fn log(&self) -> String {
        self.program.as_ref().map(Program::log).unwrap_or_default()
    }
}
