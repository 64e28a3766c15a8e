//! A check by a program (configuration manual, 4.2 `external-check command`).

use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use proxy_net::clock;
use proxy_net::timer;
use proxy_state::SockAddr;
use proxy_state::options::Proto;
use proxy_state::server::{CheckResult, CheckStatus};
use proxy_types::Mode;
use tokio::process::Command;

use super::script::Subject;

/// What stands for an address or a port that there is none of.
const NOT_USED: &str = "NOT_USED";

/// The program of a backend.
#[derive(Clone, Debug)]
pub struct Program {
    pub command: String,
    /// `external-check path`.
    pub path: String,
    /// The first address that the section listens on.
    pub listener: Option<SockAddr>,
    /// `external-check preserve-env`.
    pub preserve_env: bool,
}

/// An address and a port, as far as there are such.
fn parts(addr: &SockAddr) -> (String, Option<String>) {
    match addr {
        SockAddr::Inet(addr) => (addr.ip().to_string(), Some(addr.port().to_string())),
        other => (other.to_string(), None),
    }
}

/// Runs the program and judges how it ended.
pub(super) async fn run(subject: &Subject<'_>, program: &Program) -> CheckResult {
    let started = clock::precise();
    let outcome = run_within(subject, program, subject.total_limit).await;
    let duration = clock::precise().since(started).as_millis();
    let (status, code, info) = match outcome {
        Ok(Some(code)) => {
            let passed = code == 0;
            let status = if passed { CheckStatus::ProcessOk } else { CheckStatus::ProcessError };
            (status, Some(code), String::new())
        }
        Ok(None) => (CheckStatus::ProcessTimeout, Some(0), String::new()),
        Err(error) => (CheckStatus::SocketError, None, error.to_string()),
    };
    let duration_ms = u64::try_from(duration).unwrap_or(u64::MAX);
    CheckResult { status, code, duration_ms, info }
}

fn command(subject: &Subject<'_>, program: &Program) -> Command {
    let (backend, server) = (subject.backend, subject.server);
    let listener = program.listener.as_ref().map(parts);
    let (proxy_addr, proxy_port) = match listener {
        Some((addr, port)) => (Some(addr), port),
        None => (None, None),
    };
    let (addr, port) = parts(&super::probe::destination(&server.addr(), server.check_target()));
    let mut command = Command::new(&program.command);
    let or = |text: &Option<String>, other: &str| text.clone().unwrap_or_else(|| other.to_owned());
    command.args([
        or(&proxy_addr, NOT_USED),
        or(&proxy_port, NOT_USED),
        addr.clone(),
        or(&port, NOT_USED),
    ]);
    if !program.preserve_env {
        command.env_clear();
    }
    let proto = match (backend.mode, server.spec.proto) {
        (Mode::Log | Mode::Tcp, _) => "tcp",
        (Mode::Udp, _) => "udp",
        (Mode::Http, Some(Proto::H2)) => "h2",
        (Mode::Http, Some(Proto::Fcgi)) => "fcgi",
        (Mode::Http, _) => "h1",
    };
    command
        .env("PATH", &program.path)
        .env("HAPROXY_PROXY_NAME", &*backend.name)
        .env("HAPROXY_PROXY_ID", backend.id.to_string())
        .env("HAPROXY_PROXY_ADDR", or(&proxy_addr, ""))
        .env("HAPROXY_PROXY_PORT", or(&proxy_port, ""))
        .env("HAPROXY_SERVER_NAME", &*server.name)
        .env("HAPROXY_SERVER_ID", server.id.to_string())
        .env("HAPROXY_SERVER_ADDR", addr)
        .env("HAPROXY_SERVER_PORT", or(&port, ""))
        .env("HAPROXY_SERVER_MAXCONN", server.maxconn().to_string())
        .env("HAPROXY_SERVER_CURCONN", server.sessions.get().to_string())
        .env("HAPROXY_SERVER_SSL", if server.uses_tls() { "1" } else { "0" })
        .env("HAPROXY_SERVER_PROTO", proto)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Of its own, so that what it started ends with it.
        .process_group(0)
        .kill_on_drop(true);
    command
}

/// The exit code, of a signal 128 and its number; `None` when it took too long.
async fn run_within(
    subject: &Subject<'_>,
    program: &Program,
    limit: Duration,
) -> std::io::Result<Option<u32>> {
    use std::os::unix::process::ExitStatusExt;
    let mut child = command(subject, program).spawn()?;
    let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
    match timer::timeout(Some(limit), child.wait()).await {
        Ok(status) => {
            let status = status?;
            let code = status.code().or_else(|| Some(128 + status.signal()?)).unwrap_or(-1);
            Ok(Some(u32::try_from(code).unwrap_or(u32::MAX)))
        }
        Err(_) => {
            if let Some(group) = group {
                let _ = killpg(group, Signal::SIGKILL);
            }
            child.wait().await?;
            Ok(None)
        }
    }
}
