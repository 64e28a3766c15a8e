//! One health check on the wire.

use std::net::SocketAddr;
use std::time::Duration;

use proxy_net::clock;
use proxy_net::connect::{ConnectError, ConnectFailure, ConnectOptions, connect};
use proxy_state::SockAddr;
use proxy_state::server::{CheckResult, CheckSpec, CheckStatus, Server};

/// Connects to `server` as its check wants it, and tells what came of it.
pub(super) async fn connection(server: &Server, spec: &CheckSpec, limit: Duration) -> CheckResult {
    let to = destination(&server.addr(), spec);
    let source = server.spec.source.as_ref();
    let options = ConnectOptions {
        source: source.and_then(|s| s.addr),
        interface: source.and_then(|s| s.interface.clone()),
        // The handshake's last ACK and the reset below are then one packet less on the wire.
        smart_connect: true,
        namespace: server.spec.namespace.clone(),
        ..ConnectOptions::default()
    };
    let start = clock::precise();
    let outcome = connect(&to, &options, Some(limit)).await;
    let duration_ms = u64::try_from(clock::precise().since(start).as_millis()).unwrap_or(u64::MAX);
    let (status, info) = match &outcome {
        Ok(stream) => {
            // Nothing was said, so a reset loses nothing and leaves no TIME_WAIT behind.
            stream.set_reset_on_close();
            (CheckStatus::L4Ok, String::new())
        }
        Err(error) => failure(error),
    };
    CheckResult { status, code: None, duration_ms, info }
}

fn failure(error: &ConnectError) -> (CheckStatus, String) {
    match (error.failure, &error.cause) {
        (ConnectFailure::Timeout, None) => (CheckStatus::L4Timeout, String::new()),
        (ConnectFailure::Timeout, Some(_)) => (CheckStatus::L4Timeout, error.to_string()),
        (ConnectFailure::Refused | ConnectFailure::Unreachable, _) => {
            (CheckStatus::L4Connection, error.to_string())
        }
        (ConnectFailure::Exhausted | ConnectFailure::Resource | ConnectFailure::Local, _) => {
            (CheckStatus::SocketError, error.to_string())
        }
    }
}

/// `addr` and `port` of the check in place of the server's.
fn destination(server: &SockAddr, spec: &CheckSpec) -> SockAddr {
    match server {
        SockAddr::Inet(addr) => {
            let ip = spec.addr.unwrap_or_else(|| addr.ip());
            let port = spec.port.unwrap_or_else(|| addr.port());
            SockAddr::Inet(SocketAddr::new(ip, port))
        }
        // Beside a unix socket, a service that answers for it may be asked.
        SockAddr::Unix(_) | SockAddr::Abstract(_) => match (spec.addr, spec.port) {
            (Some(ip), Some(port)) => SockAddr::Inet(SocketAddr::new(ip, port)),
            _ => server.clone(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(addr: Option<&str>, port: Option<u16>, expected: &str) {
        let spec =
            CheckSpec { addr: addr.map(|a| a.parse().unwrap()), port, ..CheckSpec::default() };
        let server = SockAddr::Inet("10.0.0.1:80".parse().unwrap());
        let to = destination(&server, &spec);
        assert_eq!(to.to_string(), expected);
    }

    #[test]
    fn a_check_may_go_elsewhere() {
        check(None, None, "10.0.0.1:80");
        check(None, Some(8080), "10.0.0.1:8080");
        check(Some("10.0.0.2"), None, "10.0.0.2:80");
        check(Some("::1"), Some(1), "[::1]:1");
    }
}
