//! The proxies that are compared, all with the same job.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use tests::net::free_port;
use tests::sluice::Files;
use tests::{PATIENCE, Program, eventually};

use super::machine::{pinned, version};
use crate::shell::find;

/// How it is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    /// By a file that HAProxy understands.
    Haproxy,
    Nginx,
}

/// A program to measure.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) language: Language,
}

impl Peer {
    pub(super) fn haproxy_like(name: &str, path: PathBuf) -> Self {
        Self { name: name.into(), path, language: Language::Haproxy }
    }

    /// `NAME=PATH` of the command line: any program that reads HAProxy's configuration.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (name, path) = text.split_once('=').ok_or("expected NAME=PATH")?;
        let path = PathBuf::from(path);
        if name.is_empty() || !path.is_file() {
            return Err(format!("{} is not a program", path.display()));
        }
        Ok(Self::haproxy_like(name, path))
    }

    /// Those that Debian's packages have.
    pub(super) fn installed() -> Vec<Self> {
        let haproxy = find("haproxy").map(|path| Self::haproxy_like("haproxy", path));
        let nginx = find("nginx").map(|path| Self {
            name: "nginx".into(),
            path,
            language: Language::Nginx,
        });
        haproxy.into_iter().chain(nginx).collect()
    }

    pub(super) fn version(&self) -> String {
        version(&self.path)
    }

    /// Starts it on the proxy's core, with this configuration in its language.
    pub(super) fn start(&self, config: &str, files: &[(&str, String)]) -> Result<Running> {
        self.start_by(pinned(0, &self.path), config, files)
    }

    /// Starts it on all cores.
    pub(super) fn start_wide(&self, config: &str, files: &[(&str, String)]) -> Result<Running> {
        self.start_by(Command::new(&self.path), config, files)
    }

    fn start_by(
        &self,
        mut command: Command,
        config: &str,
        files: &[(&str, String)],
    ) -> Result<Running> {
        let directory = Files::new()?;
        for (name, text) in files {
            directory.write(name, text)?;
        }
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let text = config
            .replace("@LISTEN@", &address.to_string())
            .replace("@DIR@", &directory.path("").display().to_string());
        let file = directory.write("proxy.cfg", &text)?;
        match self.language {
            Language::Haproxy => command.args(["-db", "-f"]).arg(&file),
            Language::Nginx => command.arg("-c").arg(&file),
        };
        let mut program = Program::start(&self.name, &mut command)?;
        await_listener(&mut program, address)?;
        Ok(Running { address, program, files: directory })
    }
}

/// A proxy at work.
pub(super) struct Running {
    pub(super) address: SocketAddr,
    program: Program,
    files: Files,
}

impl Running {
    pub(super) fn pid(&self) -> u32 {
        self.program.pid()
    }

    /// Asks it to end, and waits; the exit code, 128 and more for a signal.
    pub(super) fn end(&mut self, signal: Signal) -> Result<i32> {
        self.program.signal(signal)?;
        self.program.wait_code(PATIENCE)
    }

    /// A file in its directory.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.files.path(name)
    }
}

/// Waits until `program` accepts at `address`, or says why it ended instead.
pub(super) fn await_listener(program: &mut Program, address: SocketAddr) -> Result<()> {
    let mut running = true;
    let accepted = eventually("a listener", PATIENCE, || {
        running = program.is_running();
        TcpStream::connect(address).is_ok() || !running
    });
    if !running {
        bail!("it ended at once:\n{}", program.log());
    }
    accepted.with_context(|| program.log())
}
