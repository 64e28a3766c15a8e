//! Which address of a reply a server takes.

use crate::Family;
use ipnet::IpNet;
use std::net::IpAddr;

/// What a server asks of its address.
pub(crate) struct Wishes<'a> {
    pub(crate) prefer: Family,
    pub(crate) nets: &'a [IpNet],
    /// An address of another server with the same name will do, when there is no other.
    pub(crate) duplicates: bool,
    pub(crate) current: Option<IpAddr>,
}

/// The best address: of the preferred family, in a preferred network, not used by another server, the
/// one in use already; in this order of weight. The first of equals.
pub(crate) fn choose<'a>(
    addresses: impl Iterator<Item = &'a IpAddr>,
    wishes: &Wishes<'_>,
    taken: impl Fn(IpAddr) -> bool,
) -> Option<IpAddr> {
    let mut best: Option<((bool, bool, bool, bool), IpAddr)> = None;
    for &ip in addresses {
        let free = !taken(ip);
        if !free && !wishes.duplicates {
            continue;
        }
        let rank = (
            Family::of(ip) == wishes.prefer,
            wishes.nets.iter().any(|net| net.contains(&ip)),
            free,
            wishes.current == Some(ip),
        );
        if best.is_none_or(|(before, _)| rank > before) {
            best = Some((rank, ip));
        }
    }
    best.map(|(_, ip)| ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(addresses: &str, current: &str, taken: &str, duplicates: bool, expected: &str) {
        let list: Vec<IpAddr> = addresses.split(' ').map(|ip| ip.parse().unwrap()).collect();
        let nets = ["10.0.0.0/8".parse().unwrap()];
        let current = current.parse().ok();
        let wishes = Wishes { prefer: Family::V4, nets: &nets, duplicates, current };
        let chosen =
            choose(list.iter(), &wishes, |ip| taken.split(' ').any(|t| t.parse() == Ok(ip)));
        assert_eq!(chosen, expected.parse().ok());
    }

    #[test]
    fn best_address() {
        check("1.1.1.1 1.1.1.2", "", "", false, "1.1.1.1");
        check("1.1.1.1 1.1.1.2", "1.1.1.2", "", false, "1.1.1.2");
        check("1.1.1.1 10.1.1.2", "1.1.1.1", "", false, "10.1.1.2");
        check("::1 1.1.1.2", "::1", "", false, "1.1.1.2");
        check("1.1.1.1 1.1.1.2", "", "1.1.1.1", false, "1.1.1.2");
        check("1.1.1.1 1.1.1.2", "", "1.1.1.1 1.1.1.2", false, "none");
        check("1.1.1.1 1.1.1.2", "", "1.1.1.1 1.1.1.2", true, "1.1.1.1");
        check("1.1.1.1 1.1.1.2", "1.1.1.1", "1.1.1.1", true, "1.1.1.2");
        check("10.1.1.1 1.1.1.2", "", "10.1.1.1", true, "10.1.1.1");
    }
}
