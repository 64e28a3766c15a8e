//! A running load balancer under test.
//!
//! The same tests run against a real HAProxy: `SLUICE_PEER=haproxy` starts `/usr/sbin/haproxy` (or
//! `SLUICE_BIN`) in Sluice's place, which shows whether a test asks for the right thing.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::guardian::{Registration, Resource};
use crate::netns::NetNs;
use crate::program::Program;
use crate::stats::Stats;
use crate::wait::{PATIENCE, eventually};

/// Which program the tests run against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A real HAProxy, as oracle.
    Haproxy,
    /// The program of this repository.
    Sluice,
}

/// A `defaults` section that bears with a busy machine. The line goes on behind it.
pub const DEFAULTS: &str = "defaults\n    mode http\n    timeout connect 5s\n    timeout client 20s\n    timeout server 20s";

/// Which program the tests run against (`SLUICE_PEER`).
pub fn peer() -> Peer {
    match std::env::var("SLUICE_PEER").as_deref() {
        Ok("haproxy") => Peer::Haproxy,
        _ => Peer::Sluice,
    }
}

/// The program under test: `SLUICE_BIN`, or what the workspace builds (built when needed).
pub fn binary() -> Result<PathBuf> {
    static BINARY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    BINARY
        .get_or_init(|| find_binary().map_err(|error| format!("{error:#}")))
        .clone()
        .map_err(anyhow::Error::msg)
}

fn find_binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("SLUICE_BIN") {
        return fs::canonicalize(&path).with_context(|| format!("SLUICE_BIN={path:?}"));
    }
    if peer() == Peer::Haproxy {
        return Ok("/usr/sbin/haproxy".into());
    }
    // target/<profile>/deps/it-<hash>
    let test = std::env::current_exe()?;
    let directory = test.ancestors().find(|dir| dir.parent().is_some_and(is_target_dir));
    let directory = directory.context("cannot find target/<profile>; set SLUICE_BIN")?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--quiet", "--package", "proxy", "--bin", "sluice"]);
    build.current_dir(workspace());
    match directory.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => {}
        Some(profile) => {
            build.args(["--profile", profile]);
        }
    }
    crate::netns::run(&mut build).context("building sluice")?;
    Ok(directory.join("sluice"))
}

fn is_target_dir(path: &Path) -> bool {
    path.join("CACHEDIR.TAG").exists()
}

/// The root of the workspace.
pub fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// How to start the program; see [`Sluice::config`].
#[derive(Debug)]
pub struct Builder<'a> {
    config: String,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    master: bool,
    netns: Option<&'a NetNs>,
    program: Option<Peer>,
}

/// A running load balancer, in a directory of its own, stopped and removed on drop.
#[derive(Debug)]
pub struct Sluice {
    program: Program,
    files: Files,
    stats: Stats,
    master: bool,
}

/// The directory a test's files are in.
#[derive(Debug)]
pub struct Files {
    directory: TempDir,
    _guard: Registration,
}

impl Files {
    /// Makes an empty directory that anybody may enter.
    pub fn new() -> Result<Self> {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::Builder::new().prefix("sluice-test-").tempdir()?;
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755))?;
        let guard = Registration::new(Resource::Dir(directory.path().display().to_string()));
        Ok(Self { directory, _guard: guard })
    }

    /// A path in the directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file and returns its path.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.path(name);
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        Ok(path)
    }
}

impl Sluice {
    /// Begins a start with this configuration; a `global` section with a stats socket is put in
    /// front of it. Without more said it runs in the foreground, without a master.
    pub fn config<'a>(text: impl Into<String>) -> Builder<'a> {
        Builder {
            config: text.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            master: false,
            netns: None,
            program: None,
        }
    }

    /// The process that was started: the master, or the only one.
    pub fn program(&mut self) -> &mut Program {
        &mut self.program
    }

    /// The stats socket.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The master CLI (`-S`), in master-worker mode.
    pub fn master_cli(&self) -> Stats {
        Stats::new(&self.files.path("master.sock"))
    }

    /// The directory its files are in: `sluice.cfg`, `stats.sock`, `master.sock`.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// Process id of the process that serves (the worker, in master-worker mode).
    pub fn worker_pid(&self) -> Result<u32> {
        self.stats.info("Pid")?.parse().context("Pid")
    }

    /// Replaces the configuration file; takes effect at the next reload.
    pub fn rewrite(&self, config: &str) -> Result<()> {
        let text = with_stats_socket(&self.files, config);
        self.files.write("sluice.cfg", &text).map(drop)
    }

    /// Asks for a reload by SIGUSR2 and waits until another worker answers.
    pub fn reload(&mut self) -> Result<()> {
        if !self.master {
            bail!("only a master reloads");
        }
        let old = self.worker_pid()?;
        self.program.signal(Signal::SIGUSR2)?;
        eventually("a new worker", PATIENCE, || self.worker_pid().is_ok_and(|pid| pid != old))
            .with_context(|| self.program.log())?;
        self.wait_master()
    }

    /// Waits until the master answers: HAProxy's executes itself once more after a (re)load, and
    /// loses signals that arrive meanwhile.
    fn wait_master(&self) -> Result<()> {
        let cli = self.master_cli();
        eventually("the master CLI's answer", PATIENCE, || {
            cli.command_within("show proc", Duration::from_secs(1))
                .is_ok_and(|answer| answer.contains("worker"))
        })
        .with_context(|| self.program.log())
    }

    /// Sends a signal and returns the exit status, as a shell would call it.
    pub fn stop(&mut self, signal: Signal) -> Result<i32> {
        self.program.signal(signal)?;
        self.program.wait_code(PATIENCE)
    }
}

fn with_stats_socket(files: &Files, config: &str) -> String {
    let socket = files.path("stats.sock");
    format!(
        "global\n    stats socket {} mode 600 level admin\n    stats timeout 20s\n{config}",
        socket.display()
    )
}

impl<'a> Builder<'a> {
    /// Runs as master and worker (`-W`), with a master CLI.
    pub fn master(mut self) -> Self {
        self.master = true;
        self
    }

    /// Runs this program, whatever `SLUICE_PEER` says: to talk with the one under test.
    pub fn program(mut self, program: Peer) -> Self {
        self.program = Some(program);
        self
    }

    /// Runs inside a namespace.
    pub fn netns(mut self, netns: &'a NetNs) -> Self {
        self.netns = Some(netns);
        self
    }

    /// Adds a command line argument.
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    fn command(&self, files: &Files) -> Result<Command> {
        let binary = match self.program {
            Some(Peer::Haproxy) => "/usr/sbin/haproxy".into(),
            Some(Peer::Sluice) | None => binary()?,
        };
        let mut command = match self.netns {
            Some(netns) => netns.command(&binary),
            None => Command::new(&binary),
        };
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if self.master {
            let socket = format!("{},level,admin", files.path("master.sock").display());
            command.args(["-W", "-S", &socket]);
        }
        command.arg("-f").arg(files.path("sluice.cfg")).args(&self.arguments);
        Ok(command)
    }

    /// Starts it and waits until it serves.
    pub fn start(self) -> Result<Sluice> {
        let files = Files::new()?;
        files.write("sluice.cfg", &with_stats_socket(&files, &self.config))?;
        let mut program = Program::start("the load balancer", &mut self.command(&files)?)?;
        let stats = Stats::new(&files.path("stats.sock"));
        let mut ended = false;
        eventually("the stats socket's answer", PATIENCE, || {
            ended = !program.is_running();
            ended || stats.info("Pid").is_ok()
        })
        .with_context(|| format!("it wrote:\n{}", program.log()))?;
        if ended {
            let code = program.wait_code(Duration::from_secs(1))?;
            bail!("it ended with status {code}:\n{}", program.log());
        }
        let sluice = Sluice { program, files, stats, master: self.master };
        if self.master {
            sluice.wait_master()?;
        }
        Ok(sluice)
    }

    /// Runs it to its end (`-c`, a refused configuration) with the configuration as it is.
    pub fn run(self) -> Result<Output> {
        let files = Files::new()?;
        files.write("sluice.cfg", &self.config)?;
        self.command(&files)?
            .current_dir(files.directory.path())
            .stdin(Stdio::null())
            .output()
            .context("run the load balancer")
    }
}
