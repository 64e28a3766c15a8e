//! The exact table's rules: what a segment's flags say about a connection, and how a pair of entries
//! leaves the table.

use proxy_common::{Config, EndReason, FlowKey, FlowState};

use crate::{hash, headers::Tcp, tables::Tables};

/// Bits that a segment with these flags sets, given those that are set.
///
/// A reset counts whatever its sequence number: it is sent on, so both ends judge it by themselves, and
/// the entries stay for as long as `CLOSING` has room.
#[inline(always)]
pub fn observe(before: FlowState, from_client: bool, flags: u8) -> u32 {
    let state = before.0;
    let mut bits = 0;
    if flags & Tcp::RST != 0 {
        return if from_client { FlowState::CLIENT_RST } else { FlowState::SERVER_RST };
    }
    if from_client {
        const ANSWERED: u32 = FlowState::SYN_ACK | FlowState::ONE_WAY;
        if flags & (Tcp::SYN | Tcp::ACK) == Tcp::ACK && state & ANSWERED != 0 {
            bits |= FlowState::ESTABLISHED;
        }
        if flags & Tcp::FIN != 0 {
            bits |= FlowState::CLIENT_FIN;
        }
    } else {
        if flags & (Tcp::SYN | Tcp::ACK) == (Tcp::SYN | Tcp::ACK) {
            bits |= FlowState::SYN_ACK;
        }
        if flags & Tcp::FIN != 0 {
            bits |= FlowState::SERVER_FIN;
            if state & (FlowState::CLIENT_FIN | FlowState::SERVER_FIN) == 0 {
                bits |= FlowState::SERVER_FIN_FIRST;
            }
        }
    }
    bits & !state
}

/// A second: a client that goes on sending for so long means it, whether it is answered or not.
pub const LASTING_NS: u64 = 1_000_000_000;

/// Bits that a datagram sets in a flow of this age, in nanoseconds.
#[inline(always)]
pub fn observe_datagram(before: FlowState, from_client: bool, age: u64) -> u32 {
    let bits = if !from_client {
        FlowState::SYN_ACK | FlowState::ESTABLISHED
    } else if age >= LASTING_NS {
        FlowState::ESTABLISHED
    } else {
        0
    };
    bits & !before.0
}

/// How a connection with these bits has ended, if it has.
#[inline(always)]
pub fn ending(state: u32) -> Option<EndReason> {
    const BOTH: u32 = FlowState::CLIENT_FIN | FlowState::SERVER_FIN;
    if state & FlowState::CLIENT_RST != 0 {
        Some(EndReason::ClientReset)
    } else if state & FlowState::SERVER_RST != 0 {
        Some(EndReason::ServerReset)
    } else if state & BOTH != BOTH {
        None
    } else if state & FlowState::SERVER_FIN_FIRST != 0 {
        Some(EndReason::ServerFin)
    } else {
        Some(EndReason::ClientFin)
    }
}

/// Takes both entries out of the table, and out of all caches.
#[inline(always)]
pub fn remove(tables: &impl Tables, config: &Config, forward: &FlowKey, reverse: &FlowKey) {
    // The forward entry last: as long as it is there, a SYN does not begin a new connection.
    tables.remove(reverse);
    tables.remove(forward);
    forget(tables, config, reverse);
    forget(tables, config, forward);
}

/// Invalidates what caches hold about the key.
#[inline(always)]
pub fn forget(tables: &impl Tables, config: &Config, key: &FlowKey) {
    let (line, word) = hash::epoch_place(hash::flow(key, config.hash_seed), config.epoch_mask);
    if let Some(line) = tables.epochs(line) {
        line.bump(word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: u32 = FlowState::SYN_ACK | FlowState::ESTABLISHED;

    #[track_caller]
    fn check(before: u32, from_client: bool, flags: u8, bits: u32) {
        assert_eq!(observe(FlowState(before), from_client, flags), bits);
    }

    #[test]
    fn flags_move_the_state() {
        check(0, true, Tcp::SYN, 0);
        check(0, true, Tcp::ACK, 0);
        check(0, false, Tcp::ACK, 0);
        check(0, false, Tcp::SYN | Tcp::ACK, FlowState::SYN_ACK);
        check(FlowState::SYN_ACK, false, Tcp::SYN | Tcp::ACK, 0);
        check(FlowState::SYN_ACK, true, Tcp::ACK, FlowState::ESTABLISHED);
        check(FlowState::DIRECT, true, Tcp::SYN, 0);
        check(FlowState::DIRECT, true, Tcp::ACK, FlowState::ESTABLISHED);
        check(FlowState::TUNNEL, true, Tcp::ACK, FlowState::ESTABLISHED);
        check(OPEN, true, Tcp::ACK, 0);
        check(OPEN, true, Tcp::ACK | Tcp::FIN, FlowState::CLIENT_FIN);
        check(
            OPEN,
            false,
            Tcp::ACK | Tcp::FIN,
            FlowState::SERVER_FIN | FlowState::SERVER_FIN_FIRST,
        );
        check(OPEN | FlowState::CLIENT_FIN, false, Tcp::ACK | Tcp::FIN, FlowState::SERVER_FIN);
        check(OPEN, true, Tcp::RST | Tcp::ACK, FlowState::CLIENT_RST);
        check(0, false, Tcp::RST | Tcp::ACK, FlowState::SERVER_RST);
    }

    #[test]
    fn datagrams_move_the_state() {
        let check = |before, from_client, age, bits| {
            assert_eq!(observe_datagram(FlowState(before), from_client, age), bits);
        };
        check(0, true, 0, 0);
        check(0, true, LASTING_NS - 1, 0);
        check(0, true, LASTING_NS, FlowState::ESTABLISHED);
        check(0, false, 0, OPEN);
        check(FlowState::ESTABLISHED, false, 0, FlowState::SYN_ACK);
        check(OPEN, true, LASTING_NS, 0);
    }

    #[test]
    fn ends_have_their_reason() {
        let fins = FlowState::CLIENT_FIN | FlowState::SERVER_FIN;
        assert_eq!(ending(OPEN), None);
        assert_eq!(ending(OPEN | FlowState::CLIENT_FIN), None);
        assert_eq!(ending(fins), Some(EndReason::ClientFin));
        assert_eq!(ending(fins | FlowState::SERVER_FIN_FIRST), Some(EndReason::ServerFin));
        assert_eq!(ending(FlowState::CLIENT_RST), Some(EndReason::ClientReset));
        assert_eq!(ending(fins | FlowState::SERVER_RST), Some(EndReason::ServerReset));
    }
}
