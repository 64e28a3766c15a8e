//! systemd notifications (`-Ws`), as `sd_notify(3)` describes them.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Sends states to the supervisor named by `NOTIFY_SOCKET`; does nothing without one.
pub(crate) struct Notifier(Option<(UnixDatagram, SocketAddr)>);

impl Notifier {
    /// Looks the socket up when `enabled` (that is, under `-Ws`).
    pub(crate) fn new(enabled: bool) -> Self {
        let open = || {
            let path = std::env::var("NOTIFY_SOCKET").ok()?;
            let address = match path.strip_prefix('@') {
                Some(name) => SocketAddr::from_abstract_name(name).ok()?,
                None => SocketAddr::from_pathname(&path).ok()?,
            };
            Some((UnixDatagram::unbound().ok()?, address))
        };
        Self(if enabled { open() } else { None })
    }

    pub(crate) fn ready(&self) {
        self.send(&format!("READY=1\nMAINPID={}\nSTATUS=Ready.\n", std::process::id()));
    }

    pub(crate) fn reloading(&self) {
        let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC)
            .map_or(0, |t| t.tv_sec() * 1_000_000 + t.tv_nsec() / 1000);
        self.send(&format!("RELOADING=1\nSTATUS=Reloading Configuration.\nMONOTONIC_USEC={now}\n"));
    }

    pub(crate) fn reload_failed(&self) {
        self.send("READY=1\nSTATUS=Reload failed!\n");
    }

    pub(crate) fn discovery_failed(&self) {
        self.send(
            "READY=1\nSTATUS=Reload failed (master failed to load or to parse new configuration)!\n",
        );
    }

    pub(crate) fn stopping(&self) {
        self.send("STOPPING=1");
    }

    fn send(&self, state: &str) {
        if let Some((socket, address)) = &self.0 {
            // A supervisor that does not listen costs it the news, not us the service.
            let _ = socket.send_to_addr(state.as_bytes(), address);
        }
    }
}
