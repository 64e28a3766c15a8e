//! Ways to servers, remembered for all of their clients.

use proxy_common::{Addr, Config, ServerHop};

use crate::{
    frame::{Frame, Hop, NoWay, Path},
    tables::Tables,
};

/// Whether what is known was asked of late, for packets from that interface to that address.
#[inline(always)]
pub fn leads(config: &Config, known: &ServerHop, ingress: u32, dst: &Addr, now: u16) -> bool {
    known.ingress == ingress
        && known.dst == *dst
        && now.wrapping_sub(known.routed) <= config.route_ticks
}

/// The way itself.
#[inline(always)]
pub fn hop(known: &ServerHop) -> Hop {
    let [a, b, c, d] = known.data;
    let data = [a, b, c, d];
    Hop { ifindex: known.ifindex, data, mtu: known.mtu, path_mtu: known.path_mtu }
}

/// As [`Frame::route`] for a packet to a server, which the routing table is asked about once in
/// [`Config::route_ticks`] by each CPU.
#[inline(always)]
pub fn to_server<F: Frame>(
    frame: &mut F,
    tables: &impl Tables,
    config: &Config,
    server: u32,
    path: &Path<'_>,
    hop: &mut Hop,
) -> Result<(), NoWay> {
    let now = tables.ticks();
    let ingress = frame.ingress();
    let found = tables.with_hop(server, F::HOOK, |known| {
        let limit = if known.mtu != 0 { known.mtu } else { known.path_mtu };
        let fits = path.len <= limit;
        let leads = fits && leads(config, known, ingress, path.dst, now);
        if leads {
            hop.ifindex = known.ifindex;
            hop.data = known.data;
            hop.mtu = known.mtu;
            hop.path_mtu = known.path_mtu;
        }
        leads
    });
    if found == Some(true) {
        return Ok(());
    }
    frame.route(path, hop)?;
    if hop.path_mtu == 0 {
        // The kernel is to look for the way of this packet itself.
        return Ok(());
    }
    tables.with_hop(server, F::HOOK, |known| {
        known.ingress = ingress;
        known.ifindex = hop.ifindex;
        known.mtu = hop.mtu;
        known.path_mtu = hop.path_mtu;
        known.data = hop.data;
        known.dst = *path.dst;
        known.routed = now;
    });
    Ok(())
}
