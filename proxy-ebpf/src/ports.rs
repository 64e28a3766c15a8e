//! The server's direction of a new connection: its entry, and in full NAT the source port that makes
//! its key unique.

use proxy_common::{Config, FlowEntry, FlowKey, Port, Reason};

use crate::tables::{InsertError, Tables};

/// Ports tried toward a server. With nine in ten taken, one connection in 850 fails.
const TRIES: u32 = 64;

/// Inserts the reverse entry under its key, with a free port of the range as destination when
/// `range_len` is not 0. `key.dport` is the port in the end.
#[inline(always)]
pub fn claim(
    tables: &impl Tables,
    config: &Config,
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
    let len = u32::from(config.nat_port_last - config.nat_port_first) + 1;
    let start = (hash as u32) % len;
    let stride = (hash >> 32) as u32 & 0x7ff | 1;
    for step in 0..TRIES {
        // By division, as in `select`.
        let offset = (start + step * stride) % len;
        key.dport = Port::new(config.nat_port_first.wrapping_add(offset as u16));
        match tables.insert(key, entry) {
            Ok(()) => return Ok(()),
            Err(InsertError::Exists) => {}
            Err(InsertError::Full) => return Err(Reason::NoRoom),
        }
    }
    Err(Reason::NoPort)
}
