//! Which server a request is bound to before any algorithm is asked: rules first, then cookies.
//! (configuration manual, 4.2 "use-server", "cookie", "force-persist", "ignore-persist").

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use proxy_rules::acl::Verdict;
use proxy_rules::ruleset::Found;
use proxy_state::Server;

use super::{Exchange, cookie, rules, stick};
use crate::env::Back;
use crate::session::Session;

/// What binds a request to a server.
#[derive(Default)]
pub(crate) struct Persist {
    /// Where it goes as long as it can.
    pub(crate) pinned: Option<Arc<Server>>,
    /// `force-persist`: even to a server that is down, and never to another.
    pub(crate) force: bool,
    /// `ignore-persist`.
    pub(crate) ignore: bool,
    pub(super) cookie: cookie::Seen,
    /// Entries of stick tables that are to name the server.
    pub(super) pending: stick::Pending,
}

impl Persist {
    /// Letters of the persistence cookie in the request and in the response.
    pub(crate) fn cookie(&self) -> (u8, u8) {
        (self.cookie.request, self.cookie.response)
    }

    /// Whether a bound request may go to `server` as it is now.
    pub(crate) fn admits(&self, back: &Back, server: &Server) -> bool {
        server.is_usable() || self.force || back.backend.options.persist
    }
}

/// Looks for what binds the request, and takes out of it what the server is not to see.
pub(crate) fn bind(s: &Session, x: &mut Exchange, back: &Back) {
    let choice = &back.choice;
    if !choice.persist.is_empty() {
        rules::with_context(s, x, Some(back), |cx| {
            choice
                .persist
                .iter()
                .find(|(_, condition)| condition.eval(cx) == Verdict::True)
                .map(|r| r.0)
        })
        .into_iter()
        .for_each(|force| (x.persist.force, x.persist.ignore) = (force, !force));
    }
    if !choice.use_servers.is_empty() {
        x.persist.pinned = rules::with_context(s, x, Some(back), |cx| {
            choice.use_servers.choose(cx, |name| {
                let server = std::str::from_utf8(name).ok().and_then(|n| back.backend.server(n));
                match server {
                    None => Found::Nothing,
                    Some(server) if x.persist.admits(back, &server) => Found::Usable(server),
                    Some(_) => Found::Unusable,
                }
            })
        });
    }
    if x.record.request_read && back.backend.cookie.is_some() {
        cookie::on_request(x, back, s.thread.date().secs);
    }
    if let Some(rdp) = &choice.rdp
        && x.persist.pinned.is_none()
        && !x.persist.ignore
    {
        let addr =
            rules::with_context(s, x, Some(back), |cx| rdp.eval_str(cx).and_then(rdp_address));
        x.persist.pinned = addr
            .and_then(|addr| back.backend.server_by_addr(addr))
            .filter(|server| x.persist.admits(back, server));
    }
    stick::on_request(s, x, back);
}

/// The address in a terminal server's cookie: `<address>.<port>.0000`, both numbers in the byte order of Windows.
fn rdp_address(cookie: &[u8]) -> Option<SocketAddr> {
    let text = std::str::from_utf8(cookie).ok()?;
    let mut parts = text.split('.');
    let ip: u32 = parts.next()?.parse().ok()?;
    let port: u16 = parts.next()?.parse().ok()?;
    parts.next()?;
    Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::from(ip.swap_bytes())), port.swap_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rdp_addresses() {
        let check = |text: &str, expected: Option<&str>| {
            let expected = expected.map(|addr| addr.parse().unwrap());
            assert_eq!(rdp_address(text.as_bytes()), expected, "{text}");
        };
        // The example of Microsoft's article on session redirection.
        check("3640205228.15629.0000", Some("172.31.249.216:3389"));
        check("3640205228.15629", None);
        check("x.15629.0000", None);
        check("4294967296.1.0", None);
    }
}
