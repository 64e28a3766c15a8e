//! The load that a profile is taken from: what the comparisons measure, without peers.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;

use super::http::{self, Sink};
use super::origin::Origin;
use super::peer::{Peer, Running};
use super::tls;

/// Seconds of each kind of load.
const SECONDS: u32 = 2;

/// Has a build that counts do the work of a proxy, and end in the way that makes it write its profile.
pub(crate) fn run(binary: PathBuf) -> Result<()> {
    let peer = Peer::haproxy_like("sluice", binary);
    let origin = Origin::start()?;
    let sink = Sink::start()?;
    for work in &http::WORKS {
        println!("  {}", work.name);
        if let Some(proxy) = http::start_for(work, &peer, &origin, &sink)? {
            http::load_of(work, &proxy, SECONDS).context(work.name)?;
            end(proxy)?;
        }
    }
    println!("  TCP");
    let tcp = format!(
        "global\n    nbthread 1\n\nlisten tcp\n    mode tcp\n    bind @LISTEN@\n    timeout connect 5s\n    \
         timeout client 60s\n    timeout server 60s\n    server s1 {}\n",
        origin.address
    );
    let proxy = peer.start(&tcp, &[])?;
    for work in &http::WORKS {
        http::load_of(work, &proxy, SECONDS).context("TCP")?;
    }
    end(proxy)?;
    tls::train(&peer, &origin, SECONDS)
}

fn end(mut proxy: Running) -> Result<()> {
    let code = proxy.end(Signal::SIGTERM)?;
    ensure!(matches!(code, 0 | 143), "the build that counts ended with {code}");
    Ok(())
}
