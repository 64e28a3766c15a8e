//! Host names to addresses, through the system's resolver, once at start.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use proxy_state::SockAddr;
use proxy_types::addr::Family;
use proxy_types::{Address, Endpoint, Host};

/// A name that has no address.
#[derive(Debug, thiserror::Error)]
#[error("could not resolve address '{name}'{}", .detail.as_ref().map(|d| format!(" : {d}")).unwrap_or_default())]
pub(crate) struct Unresolved {
    pub(crate) name: String,
    pub(crate) detail: Option<String>,
}

/// Which answers are wanted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Resolver {
    /// `-4`.
    pub(crate) ipv4_only: bool,
}

impl Resolver {
    /// The IP address of a host, by the family its prefix asks for.
    ///
    /// # Errors
    /// A name the system's resolver does not know in that family.
    pub(crate) fn host(self, host: &Host, family: Family) -> Result<IpAddr, Unresolved> {
        let name = match host {
            Host::Ip(ip) => return Ok(*ip),
            Host::Name(name) => name,
        };
        let wanted = |ip: &IpAddr| match family {
            Family::Any => !self.ipv4_only || ip.is_ipv4(),
            Family::V4 => ip.is_ipv4(),
            Family::V6 => ip.is_ipv6(),
        };
        let failed = |detail: Option<String>| Unresolved { name: name.clone(), detail };
        (name.as_str(), 0)
            .to_socket_addrs()
            .map_err(|error| failed(Some(error.to_string())))?
            .map(|address| address.ip())
            .find(wanted)
            .ok_or_else(|| failed(None))
    }

    /// The one address that a server or a log target connects to; `port` where none was written.
    ///
    /// # Errors
    /// As [`Self::host`].
    pub(crate) fn target(self, address: &Address, port: u16) -> Result<SockAddr, Unresolved> {
        Ok(match &address.endpoint {
            Endpoint::Inet { family, host, .. } => {
                let ip = self.host(host, *family)?;
                let port = address.port().range().map_or(port, |(first, _)| first);
                SocketAddr::new(ip, port).into()
            }
            Endpoint::Unix(path) => SockAddr::Unix(path.into()),
            Endpoint::Abstract { name, zero_terminated } => {
                abstract_address(name, *zero_terminated)
            }
            Endpoint::Fd(fd) | Endpoint::SockPair(fd) => SockAddr::Unix(format!("fd@{fd}").into()),
        })
    }
}

/// `abns@` names fill the whole of `sun_path` with zeros; `abnsz@` names end where they end
/// (configuration manual, 11).
fn abstract_address(name: &str, zero_terminated: bool) -> SockAddr {
    if zero_terminated {
        SockAddr::abstract_exact(name.as_bytes())
    } else {
        SockAddr::abstract_padded(name.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let address = Address::parse(text).unwrap();
        let resolved = Resolver::default().target(&address, 514).unwrap();
        assert_eq!(resolved, SockAddr::from(expected.parse::<SocketAddr>().unwrap()));
    }

    #[test]
    fn addresses_get_their_port() {
        check("127.0.0.1:80", "127.0.0.1:80");
        check("127.0.0.1", "127.0.0.1:514");
        check("ipv4@localhost:81", "127.0.0.1:81");
        check("[::1]:82", "[::1]:82");
    }

    #[test]
    fn unknown_names_are_reported() {
        let address = Address::parse("no-such-host.invalid:80").unwrap();
        let error = Resolver::default().target(&address, 0).unwrap_err();
        assert!(error.to_string().starts_with("could not resolve address 'no-such-host.invalid'"));
    }
}
