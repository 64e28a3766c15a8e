//! Addresses and ports.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

use anyhow::{Context, Result};

/// A TCP port nobody listens on at this moment, in the calling thread's network namespace.
///
/// The port is free again when this returns, so another process may take it; prefer passing a
/// bound socket, or a namespace of one's own, where that is possible.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("bind port 0")?;
    Ok(listener.local_addr()?.port())
}

/// A UDP socket on a free port of the loopback address.
pub fn udp_loopback() -> Result<(UdpSocket, SocketAddr)> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("bind UDP port 0")?;
    let address = socket.local_addr()?;
    Ok((socket, address))
}

/// Whether this process may create network namespaces and load BPF programs.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}
