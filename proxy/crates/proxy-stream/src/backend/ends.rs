//! The ends of a connection to a server, as far as they follow the client's: `usesrc client`, servers that take
//! the port or the address which the client asked for.

use std::hash::{Hash, Hasher};
use std::net::SocketAddr;

use proxy_net::connect::ConnectOptions;
use proxy_net::sockopt::Keepalive;
use proxy_state::options::TcpProbes;
use proxy_state::server::{PortMode, ServerSpec, UseClient};
use proxy_state::{Server, SockAddr};

use crate::env::Back;
use crate::session::Session;
use crate::stream::Exchange;

/// The ends of the client's connection, as rules left them.
#[derive(Clone, Copy)]
pub(crate) struct Ends {
    client: Option<SocketAddr>,
    /// What the client connected to.
    asked: Option<SocketAddr>,
    /// What packets are marked with for netfilter, and their type of service.
    mark: Option<u32>,
    tos: Option<u8>,
}

impl Ends {
    /// Of a flow without rules.
    pub(crate) fn between(client: SocketAddr, asked: SocketAddr) -> Self {
        Self { client: Some(client), asked: Some(asked), mark: None, tos: None }
    }

    pub(super) fn of(s: &Session, x: &Exchange) -> Self {
        Self {
            client: x.overrides.src.get().or(s.facts.src),
            asked: x.overrides.dst.get().or(s.facts.dst),
            mark: x.overrides.server_mark.get(),
            tos: x.overrides.server_tos.get(),
        }
    }

    /// Tells apart the connections to one server that go elsewhere or come from elsewhere, on top of `opening`,
    /// which tells apart what they begin with.
    pub(super) fn key(self, server: &Server, addr: &SockAddr, opening: u64) -> u64 {
        let goes = follows(addr, &server.spec).then(|| self.destination(addr, &server.spec).inet());
        let comes = match server.spec.source.as_ref().and_then(|source| source.use_client) {
            Some(UseClient::Address | UseClient::AddressAndPort) => self.foreign(server),
            Some(UseClient::Other(_)) | None => None,
        };
        let marked = (self.mark, self.tos);
        if goes.is_none() && comes.is_none() && marked == (None, None) {
            return opening;
        }
        let mut hasher = rustc_hash::FxHasher::default();
        (goes, comes, marked, opening).hash(&mut hasher);
        hasher.finish() | 1
    }

    /// The address to connect to. A server without an address or without a port of its own takes the client's.
    pub(crate) fn destination(self, addr: &SockAddr, spec: &ServerSpec) -> SockAddr {
        let mut addr = addr.clone();
        if let SockAddr::Inet(inet) = &mut addr {
            // A command may have given it an address.
            let none = spec.transparent && inet.ip().is_unspecified();
            if let Some(asked) = self.asked.filter(|_| none) {
                inet.set_ip(asked.ip());
            }
            let port = self.asked.map_or(0, |a| a.port());
            match spec.port_mode {
                PortMode::Fixed => {}
                PortMode::Client => inet.set_port(port),
                PortMode::Offset(offset) => inet.set_port((i32::from(port) + offset) as u16),
            }
        }
        addr
    }

    /// How to connect. Of a range of source ports `random` takes one; if that is in use, a retry takes another.
    pub(crate) fn connect_options(
        self,
        server: &Server,
        back: &Back,
        random: u32,
    ) -> ConnectOptions {
        let source = server.spec.source.as_ref();
        let foreign = self.foreign(server);
        let own = source.and_then(|s| {
            let mut addr = s.addr?;
            if let Some((first, last)) = s.ports {
                let count = u32::from(last.saturating_sub(first)) + 1;
                // Below `count`, so the sum is `last` at most.
                addr.set_port(first + (random % count) as u16);
            }
            Some(addr)
        });
        ConnectOptions {
            source: foreign.or(own),
            transparent: foreign.is_some(),
            fastopen: server.spec.tfo,
            congestion: server.spec.congestion.clone(),
            md5: server.spec.md5.clone(),
            interface: source.and_then(|s| s.interface.clone()),
            keepalive: back.backend.options.srvtcpka.then(|| {
                let TcpProbes { count, idle, interval } = back.backend.options.srvtcpka_probes;
                Keepalive { count, idle, interval }
            }),
            user_timeout: server.spec.tcp_user_timeout,
            smart_connect: back.backend.options.tcp_smart_connect,
            namespace: server.spec.namespace.clone(),
            mark: self.mark,
            tos: self.tos,
            ..ConnectOptions::default()
        }
    }

    /// The address of somebody else that `usesrc` says to come from.
    fn foreign(self, server: &Server) -> Option<SocketAddr> {
        match server.spec.source.as_ref()?.use_client? {
            UseClient::AddressAndPort => self.client,
            UseClient::Address => self.client.map(|addr| SocketAddr::new(addr.ip(), 0)),
            UseClient::Other(addr) => Some(addr),
        }
    }
}

/// Whether the destination depends on what the client connected to.
fn follows(addr: &SockAddr, spec: &ServerSpec) -> bool {
    matches!(addr, SockAddr::Inet(_)) && (spec.transparent || spec.port_mode != PortMode::Fixed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proxy_types::ServerId;

    #[test]
    fn destinations() {
        let ends = Ends {
            client: None,
            asked: Some("192.0.2.7:8080".parse().unwrap()),
            mark: None,
            tos: None,
        };
        for (addr, mode, expected) in [
            ("10.0.0.1:80", PortMode::Fixed, "10.0.0.1:80"),
            ("10.0.0.1:0", PortMode::Client, "10.0.0.1:8080"),
            ("10.0.0.1:0", PortMode::Offset(-80), "10.0.0.1:8000"),
            ("0.0.0.0:80", PortMode::Fixed, "192.0.2.7:80"),
            ("0.0.0.0:0", PortMode::Client, "192.0.2.7:8080"),
            ("[::]:0", PortMode::Client, "192.0.2.7:8080"),
        ] {
            let addr = SockAddr::Inet(addr.parse().unwrap());
            let transparent = matches!(&addr, SockAddr::Inet(inet) if inet.ip().is_unspecified());
            let none = ServerSpec::new("s", ServerId(1), addr.clone());
            let spec = ServerSpec { port_mode: mode, transparent, ..none };
            let to = ends.destination(&addr, &spec);
            assert_eq!(to.inet(), Some(expected.parse().unwrap()), "{addr:?} {mode:?}");
        }
    }
}
