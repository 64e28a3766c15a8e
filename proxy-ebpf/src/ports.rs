//! The server's direction of a new connection: its entry, and in full NAT the source port that makes
//! its key unique.

use proxy_common::{Config, FlowEntry, FlowKey, Port, Reason};

use crate::tables::{InsertError, Search, Tables};

/// Ports tried toward a server. With nine in ten taken, one connection in 850 fails.
const TRIES: u32 = 64;

/// Outcomes of a search.
const TAKEN: u32 = 0;
const CLAIMED: u32 = 1;
const FULL: u32 = 2;

/// Inserts the reverse entry under its key, with a free port of the range as destination in full NAT. `key.dport` is
/// the port in the end.
#[inline(always)]
pub fn claim(
    tables: &impl Tables,
    config: &Config,
    search: &mut Search,
    key: &mut FlowKey,
    entry: &FlowEntry,
    hash: u64,
    fullnat: bool,
) -> Result<(), Reason> {
    if !fullnat {
        return tables.insert(key, entry).map_err(|error| match error {
            InsertError::Exists => Reason::NoPort,
            InsertError::Full => Reason::NoRoom,
        });
    }
    if config.nat_port_last < config.nat_port_first {
        return Err(Reason::NoPort);
    }
    search.len = u32::from(config.nat_port_last - config.nat_port_first) + 1;
    search.start = hash as u32;
    search.stride = (hash >> 32) as u32 & 0x7ff | 1;
    search.of = u32::from(config.nat_port_first);
    search.outcome = TAKEN;
    tables.until(TRIES, |turn| {
        let port = search.of.wrapping_add(search.place(turn));
        key.dport = Port::new(port as u16);
        search.outcome = match tables.insert(key, entry) {
            Ok(()) => CLAIMED,
            Err(InsertError::Exists) => TAKEN,
            Err(InsertError::Full) => FULL,
        };
        search.outcome != TAKEN
    });
    match search.outcome {
        CLAIMED => Ok(()),
        FULL => Err(Reason::NoRoom),
        _ => Err(Reason::NoPort),
    }
}
