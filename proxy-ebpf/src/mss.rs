//! Segments no longer than both ways take.
//!
//! Each end of a connection learns the other's MTU from the MSS option of its SYN (RFC 9293 section 3.7.1), but
//! not that of the balancer's route to the server, and what is too long for it would have to be refused by an
//! ICMP error that many networks lose. So the option of a SYN that passes is lowered to what fits the routes, as
//! routers do it (RFC 4459 section 3.2).

use crate::{
    checksum::diff,
    frame::{Frame, Pseudo},
    headers::{IPV4_L4, IPV6_L4, Tcp},
    parse::Segment,
    process::Family,
};

/// Options looked at. The MSS is the first one everywhere but in hand-made packets.
const OPTIONS: u32 = 4;
const END: u8 = 0;
const NOP: u8 = 1;
const MSS: u8 = 2;
const MSS_LEN: u8 = 4;

/// The smaller of two MTUs, 0 being unknown.
#[inline(always)]
pub fn smaller(a: u16, b: u16) -> u16 {
    if a == 0 || (b != 0 && b < a) { b } else { a }
}

/// Lowers the MSS option of a SYN to what an MTU has room for. False: the kernel refused half-way.
#[inline(always)]
pub fn clamp<F: Frame, A: Family>(frame: &mut F, segment: &Segment, mtu: u16) -> bool {
    let (tcp, headers) = if A::V6 { (IPV6_L4, 60) } else { (IPV4_L4, 40) };
    if mtu <= headers {
        return true;
    }
    let limit = mtu - headers;
    let end = u32::from(segment.header);
    let mut at = size_of::<Tcp>() as u32;
    for _ in 0..OPTIONS {
        if at + u32::from(MSS_LEN) > end {
            return true;
        }
        // At most 60; the mask tells the verifier.
        let place = tcp + (at & 0x3f) as usize;
        let Some(option) = frame.load::<[u8; 4]>(place) else { return true };
        let [kind, len, high, low] = option;
        match kind {
            END => return true,
            NOP => at += 1,
            MSS => {
                // An odd place would need its sum turned round, and nobody sends that.
                if len != MSS_LEN || at & 1 != 0 || u16::from_be_bytes([high, low]) <= limit {
                    return true;
                }
                let old = u16::from_ne_bytes([high, low]);
                let new = limit.to_be();
                let change = diff(u32::from(old), u32::from(new));
                let pseudo = if A::V6 { Pseudo::V6 } else { Pseudo::V4 };
                return frame.fix_l4(tcp + Tcp::CHECK, pseudo, 0, change)
                    && frame.store(place + 2, &new);
            }
            _ if len < 2 => return true,
            _ => at += u32::from(len),
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smaller_of_those_known() {
        assert_eq!([smaller(0, 0), smaller(0, 9), smaller(9, 0)], [0, 9, 9]);
        assert_eq!([smaller(8, 9), smaller(9, 8)], [8, 8]);
    }
}
