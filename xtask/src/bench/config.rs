//! A large configuration, checked by Sluice and by HAProxy in the same run.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use ::tests::sluice::Files;
use anyhow::{Context, Result, ensure};
use clap::Args;

use super::peer::{Language, Peer};
use super::report::Scenario;
use crate::product::{self, Profile};

#[derive(Args)]
pub(crate) struct Arguments {
    /// Frontends, and backends
    #[arg(long, default_value_t = 1000)]
    frontends: u32,
    /// Servers of all backends together
    #[arg(long, default_value_t = 20_000)]
    servers: u32,
    /// How often each program checks the file
    #[arg(long, default_value_t = 7)]
    rounds: u32,
    /// A Sluice that is built already, instead of the release profile
    #[arg(long)]
    binary: Option<PathBuf>,
}

pub(crate) fn main(arguments: &Arguments) -> Result<()> {
    let sluice = match &arguments.binary {
        Some(path) => path.clone(),
        None => product::build(Profile::Release)?,
    };
    let mut peers = vec![Peer::haproxy_like("sluice", sluice)];
    peers.extend(Peer::installed().into_iter().filter(|peer| peer.language == Language::Haproxy));
    let files = Files::new()?;
    let file = files.write("large.cfg", &text(arguments.frontends.max(1), arguments.servers))?;
    for peer in &peers {
        println!("{}: {}", peer.name, peer.version());
    }
    let name = format!(
        "-c of {} frontends, {} servers, {} KiB",
        arguments.frontends,
        arguments.servers,
        std::fs::metadata(&file)?.len() / 1024
    );
    let mut scenario = Scenario::new(&name);
    for _ in 0..arguments.rounds {
        for peer in &peers {
            scenario.add("milliseconds", &peer.name, check(&peer.path, &file)?);
        }
    }
    scenario.print();
    Ok(())
}

/// How long one check takes, in milliseconds.
fn check(program: &Path, file: &Path) -> Result<f64> {
    let started = Instant::now();
    let status = Command::new(program)
        .arg("-c")
        .arg("-f")
        .arg(file)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .with_context(|| program.display().to_string())?;
    ensure!(status.success(), "{} refuses the configuration", program.display());
    Ok(started.elapsed().as_secs_f64() * 1e3)
}

/// Sites behind one balancer, each with its frontend and its backend.
fn text(frontends: u32, servers: u32) -> String {
    let mut out = String::from(
        "global\n    maxconn 100000\ndefaults\n    mode http\n    log 127.0.0.1 local0\n    option httplog\n    \
         option forwardfor\n    timeout client 30s\n    timeout server 30s\n    timeout connect 5s\n",
    );
    for n in 0..frontends {
        let _ = write!(
            out,
            "frontend fe{n}\n    bind 127.0.0.1:{port}\n    acl api path_beg /api /v1\n    \
             acl host hdr(host) -i site{n}.example.com www.site{n}.example.com\n    \
             http-request set-header X-Forwarded-Proto http\n    \
             http-request deny if {{ path_end .php .asp }} !host\n    use_backend be{n} if api host\n    \
             default_backend be{n}\n",
            port = 1024 + n % 60_000
        );
    }
    for n in 0..frontends {
        let _ = write!(
            out,
            "backend be{n}\n    balance roundrobin\n    option httpchk GET /health\n    \
             cookie SRV insert indirect nocache\n"
        );
        for server in (0..servers).skip(n as usize).step_by(frontends as usize) {
            let _ = writeln!(
                out,
                "    server s{server} 10.{}.{}.{}:8080 check inter 2s rise 2 fall 3 weight 10 cookie s{server} maxconn 100",
                server >> 16,
                (server >> 8) & 255,
                server & 255
            );
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn every_server_has_a_backend() {
        let text = text(3, 10);
        let count =
            |word: &str| text.lines().filter(|line| line.trim_start().starts_with(word)).count();
        assert_eq!((count("frontend "), count("backend "), count("server ")), (3, 3, 10));
    }
}
