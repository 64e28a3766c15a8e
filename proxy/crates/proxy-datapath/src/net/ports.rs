//! Source ports for full NAT: a range that the kernel hands to no socket, so that translated
//! connections and this host's own never share an address and port.

use std::fs;
use std::ops::RangeInclusive;

/// Ports below are for services.
const LOWEST: u16 = 1024;
/// Fewer are not worth having.
const FEWEST: usize = 256;

/// Reads the settings of the calling thread's network namespace.
pub(super) fn nat_ports() -> Option<RangeInclusive<u16>> {
    let read = |name: &str| fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")).ok();
    choose(&read("ip_local_port_range")?, &read("ip_local_reserved_ports").unwrap_or_default())
}

/// The larger gap beside the range sockets get their ports from, or the largest range inside that
/// is reserved.
fn choose(local_range: &str, reserved: &str) -> Option<RangeInclusive<u16>> {
    let mut ends = local_range.split_ascii_whitespace().map(str::parse::<u16>);
    let (Some(Ok(first)), Some(Ok(last))) = (ends.next(), ends.next()) else { return None };
    let below = first.checked_sub(1).map(|end| LOWEST..=end);
    let above = last.checked_add(1).map(|start| start.max(LOWEST)..=u16::MAX);
    let gap = below.into_iter().chain(above).max_by_key(|range| range.len());
    let reserved = reserved.trim().split(',').filter_map(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.trim().parse().ok()?..=last.trim().parse().ok()?)
    });
    gap.filter(|range| range.len() >= FEWEST)
        .or_else(|| reserved.max_by_key(|range| range.len()))
        .filter(|range| range.len() >= FEWEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(local_range: &str, reserved: &str, expected: Option<RangeInclusive<u16>>) {
        assert_eq!(choose(local_range, reserved), expected);
    }

    #[test]
    fn ranges() {
        check("32768\t60999\n", "\n", Some(1024..=32767));
        check("10000 20000", "", Some(20001..=65535));
        check("1024 65535", "", None);
        check("1024 65535", "3000,40000-49999,50000\n", Some(40000..=49999));
        check("1100 65500", "1-2", None);
        check("", "", None);
        check("0 65535", "", None);
    }
}
