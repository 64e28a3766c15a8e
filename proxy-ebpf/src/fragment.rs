//! Fragments of datagrams: only the first one has ports, and those that follow find them by the identification.
//!
//! Senders put fragments on the wire in order, so the first one is nearly always there first. One that comes before
//! it goes on to the host, as any packet that is not known.

use proxy_common::{FRAGMENT_LIFE_NS, FlowKey, FragmentEntry, Port, Reason, proto};

use crate::{
    frame::{Frame, Path, Verdict},
    hops, known,
    oneway::{self, Carriage},
    process::{self, Family},
    rewrite,
    tables::{Scratch, Tables},
};

/// Remembers the ports of a first fragment that was sent on, and forgets those of one that was not.
#[inline(always)]
pub fn note(tables: &impl Tables, scratch: &Scratch, verdict: Verdict) {
    let Scratch { fragment, ports, .. } = scratch;
    match verdict {
        Verdict::Transmit | Verdict::Redirect => {
            let entry = FragmentEntry {
                seen_ns: tables.now_ns(),
                sport: Port { be: ports.sport },
                dport: Port { be: ports.dport },
                reserved: 0,
            };
            tables.set_fragment(fragment, &entry);
        }
        Verdict::Pass | Verdict::Drop | Verdict::Answer => {
            if tables.fragment(fragment).is_some() {
                tables.remove_fragment(fragment);
            }
        }
    }
}

/// What a fragment's own headers say.
pub struct Fragment {
    /// There are no options.
    pub plain: bool,
    /// TTL or hop limit.
    pub ttl: u8,
    /// Header checksum of IPv4.
    pub check: u16,
    /// IP length.
    pub len: u16,
}

/// Sends a fragment that is not the first one the same way.
#[inline(always)]
pub fn later<F: Frame, T: Tables, A: Family>(
    frame: &mut F,
    tables: &T,
    scratch: &mut Scratch,
    header: &Fragment,
) -> Verdict {
    let Fragment { plain, ttl, check, len } = *header;
    let Some(config) = process::config(tables) else { return Verdict::Pass };
    let now = tables.now_ns();
    let entry = tables
        .fragment(&scratch.fragment)
        .filter(|entry| plain && now.wrapping_sub(entry.seen_ns) < FRAGMENT_LIFE_NS);
    let Some(entry) = entry else {
        tables.count(Reason::NotSimple);
        return Verdict::Pass;
    };
    let Scratch { fragment, peer, rewrite, hop, .. } = scratch;
    *peer = FlowKey {
        src: fragment.src,
        dst: fragment.dst,
        sport: entry.sport,
        dport: entry.dport,
        proto: proto::UDP,
        hook: 0,
        reserved: 0,
    };
    let Some(cell) = tables.flow(peer) else {
        tables.count(Reason::NoFlow);
        return Verdict::Pass;
    };
    if rewrite::ttl_spent(config, ttl) {
        tables.count(Reason::TtlExpired);
        return Verdict::Drop;
    }
    let from_client = cell.is_forward();
    rewrite.src = cell.new_src();
    rewrite.dst = cell.new_dst();
    let carriage = if from_client { Carriage::of(cell.state()) } else { None };
    let path = Path {
        src: &rewrite.src,
        dst: &rewrite.dst,
        len: carriage.map_or(len, |carriage| carriage.length::<A>(len)),
        fallback: cell.ifindex(),
    };
    let asked = if from_client {
        hops::to_server(frame, tables, config, cell.server(), &path, hop)
    } else {
        frame.route(&path, hop)
    };
    if let Err(no_way) = asked {
        tables.count(no_way.reason);
        return no_way.known;
    }
    let headers = if A::V6 { 48 } else { 20 };
    let bytes = u64::from(len.saturating_sub(headers));
    cell.add(1, bytes, now);
    known::traffic(tables, cell.service(), cell.server(), from_client, 1, bytes);
    tables.count(Reason::Fragment);
    if let Some(carriage) = carriage {
        let (src, dst) = (&rewrite.src, &rewrite.dst);
        return oneway::send::<F, A>(frame, tables, config, ttl, carriage, src, dst, hop);
    }
    if !rewrite::addresses::<F, A>(frame, config, peer, ttl, check, rewrite) {
        tables.count(Reason::RewriteFailed);
        return Verdict::Drop;
    }
    frame.send(hop)
}
