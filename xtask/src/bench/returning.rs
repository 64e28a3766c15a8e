//! A TLS client that comes back with the session of its last connection.
//!
//! `openssl s_time` resumes no session of TLS 1.3: it does not read the tickets, which come after the handshake.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use rustls::pki_types::ServerName;
use rustls::version::TLS13;
use rustls::{ClientConfig, ClientConnection, HandshakeKind};
use tests::trusting;

/// Connects again and again for so long, with TLS 1.3; returns how many connections it was.
///
/// # Errors
/// A handshake fails, or one that is not the first is a full one.
pub(super) fn resume(address: SocketAddr, time: Duration) -> Result<f64> {
    std::thread::spawn(move || {
        keep_off_the_proxy()?;
        let config = Arc::new(trusting::config(&[&TLS13])?);
        let end = Instant::now() + time;
        let mut count = 0;
        while Instant::now() < end {
            let kind = connect(&config, address)?;
            ensure!(
                count == 0 || kind == Some(HandshakeKind::Resumed),
                "connection {count} was not resumed"
            );
            count += 1;
        }
        Ok(f64::from(count))
    })
    .join()
    .map_err(|_| anyhow::anyhow!("the client panicked"))?
}

/// To the core of the other clients.
fn keep_off_the_proxy() -> Result<()> {
    if super::machine::cores() < 2 {
        return Ok(());
    }
    let mut cores = CpuSet::new();
    cores.set(1)?;
    sched_setaffinity(Pid::from_raw(0), &cores).context("sched_setaffinity")
}

fn connect(config: &Arc<ClientConfig>, address: SocketAddr) -> Result<Option<HandshakeKind>> {
    let mut socket = TcpStream::connect(address)?;
    socket.set_nodelay(true)?;
    let mut tls = ClientConnection::new(config.clone(), ServerName::from(address.ip()))?;
    while tls.is_handshaking() || tls.wants_write() {
        tls.complete_io(&mut socket)?;
    }
    while tls.tls13_tickets_received() == 0 {
        ensure!(tls.read_tls(&mut socket)? > 0, io::Error::from(io::ErrorKind::UnexpectedEof));
        tls.process_new_packets()?;
    }
    Ok(tls.handshake_kind())
}
