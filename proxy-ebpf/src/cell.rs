//! Map values that several CPUs change while others read them.

use core::{
    cell::UnsafeCell,
    ptr::{addr_of, addr_of_mut},
};

use proxy_common::{Addr, EpochLine, FlowEntry, FlowKey, FlowState, Live, Port, Rate};

use crate::atomic::{add_u64, fetch_add_u32, fetch_or_u32};

/// Reads an address word by word: as a whole, the compiler may turn a copy from one map value to another
/// into a call of `memmove`, which goes byte by byte on BPF.
///
/// # Safety
///
/// `addr` is valid and aligned.
#[inline(always)]
unsafe fn read_addr(addr: *const Addr) -> Addr {
    let words = addr.cast::<u32>();
    // SAFETY: by the caller.
    unsafe {
        Addr {
            words: [
                words.read_volatile(),
                words.add(1).read_volatile(),
                words.add(2).read_volatile(),
                words.add(3).read_volatile(),
            ],
        }
    }
}

/// A [`FlowEntry`] in the flow table.
#[repr(transparent)]
pub struct FlowCell(UnsafeCell<FlowEntry>);

// SAFETY: fields that change after insertion are only accessed atomically or as one aligned word.
unsafe impl Sync for FlowCell {}

macro_rules! fixed {
    ($($(#[$doc:meta])* $name:ident: $type:ty,)*) => {
        $(
            $(#[$doc])*
            #[inline(always)]
            pub fn $name(&self) -> $type {
                // SAFETY: the field does not change after the entry was inserted.
                unsafe { (*self.0.get()).$name }
            }
        )*
    };
}

impl FlowCell {
    /// For tables that are not kernel maps.
    pub fn new(entry: FlowEntry) -> Self {
        Self(UnsafeCell::new(entry))
    }

    /// Source to rewrite to.
    #[inline(always)]
    pub fn new_src(&self) -> Addr {
        // SAFETY: the field does not change after the entry was inserted.
        unsafe { read_addr(addr_of!((*self.0.get()).new_src)) }
    }

    /// Destination to rewrite to.
    #[inline(always)]
    pub fn new_dst(&self) -> Addr {
        // SAFETY: as for `new_src`.
        unsafe { read_addr(addr_of!((*self.0.get()).new_dst)) }
    }

    fixed! {
        created_ns: u64,
        new_sport: Port,
        new_dport: Port,
        service: u32,
        server: u32,
        server_generation: u32,
        ifindex: u32,
        direction: u8,
        /// Servers that refused this client's SYN before.
        refused: u8,
        /// MTU of the route to the server, 0 when it is not known.
        mtu: u16,
    }

    /// Whether packets matching this entry come from the client.
    #[inline(always)]
    pub fn is_forward(&self) -> bool {
        self.direction() == FlowEntry::FORWARD
    }

    /// Key of the opposite direction.
    #[inline(always)]
    pub fn write_peer_key(&self, proto: u8, key: &mut FlowKey) {
        key.src = self.new_dst();
        key.dst = self.new_src();
        key.sport = self.new_dport();
        key.dport = self.new_sport();
        key.proto = proto;
        key.hook = 0;
        key.reserved = 0;
    }

    /// The bits as they are.
    #[inline(always)]
    pub fn state(&self) -> FlowState {
        // SAFETY: an aligned word; volatile, since other CPUs set bits.
        FlowState(unsafe { addr_of!((*self.0.get()).state).read_volatile() })
    }

    /// Sets bits and returns those that were set before.
    #[inline(always)]
    pub fn set_state(&self, bits: u32) -> FlowState {
        // SAFETY: an aligned word of `self`, only ever accessed as one.
        FlowState(unsafe { fetch_or_u32(addr_of_mut!((*self.0.get()).state), bits) })
    }

    /// Counts packets and notes the time.
    #[inline(always)]
    pub fn add(&self, packets: u64, bytes: u64, now: u64) {
        let entry = self.0.get();
        // SAFETY: aligned words of `self`, only ever accessed as such; of two CPUs' times, whichever stays
        // is recent enough.
        unsafe {
            addr_of_mut!((*entry).seen_ns).write_volatile(now);
            add_u64(addr_of_mut!((*entry).packets), packets);
            add_u64(addr_of_mut!((*entry).bytes), bytes);
        }
    }

    /// Time of the last packet noted.
    #[inline(always)]
    pub fn seen_ns(&self) -> u64 {
        // SAFETY: an aligned word.
        unsafe { addr_of!((*self.0.get()).seen_ns).read_volatile() }
    }

    /// Packets and bytes noted.
    #[inline(always)]
    pub fn traffic(&self) -> (u64, u64) {
        // SAFETY: aligned words.
        unsafe {
            (
                addr_of!((*self.0.get()).packets).read_volatile(),
                addr_of!((*self.0.get()).bytes).read_volatile(),
            )
        }
    }

    /// Milliseconds to the server's answer.
    #[inline(always)]
    pub fn connect_ms(&self) -> u32 {
        // SAFETY: an aligned word.
        unsafe { addr_of!((*self.0.get()).connect_ms).read_volatile() }
    }

    /// Notes when the server answered.
    #[inline(always)]
    pub fn set_connect_ms(&self, value: u32) {
        // SAFETY: an aligned word, written once (by whoever set `SYN_ACK`).
        unsafe { addr_of_mut!((*self.0.get()).connect_ms).write_volatile(value) }
    }
}

/// A [`Live`] shared by all CPUs.
#[repr(transparent)]
pub struct LiveCell(UnsafeCell<Live>);

// SAFETY: all fields are accessed atomically or as one aligned word.
unsafe impl Sync for LiveCell {}

impl LiveCell {
    /// For tables that are not kernel maps.
    pub fn new(live: Live) -> Self {
        Self(UnsafeCell::new(live))
    }

    #[inline(always)]
    fn add_connections(&self, change: u32) -> u32 {
        // SAFETY: an aligned word of `self`, only ever accessed as one.
        unsafe { fetch_add_u32(addr_of_mut!((*self.0.get()).connections), change) }
    }

    #[inline(always)]
    fn add_cursor(&self, change: u32) -> u32 {
        // SAFETY: an aligned word of `self`, only ever accessed as one.
        unsafe { fetch_add_u32(addr_of_mut!((*self.0.get()).cursor), change) }
    }

    /// Connections at this moment.
    #[inline(always)]
    pub fn connections(&self) -> u32 {
        // SAFETY: an aligned word.
        unsafe { addr_of!((*self.0.get()).connections).read_volatile() }
    }

    /// Highest number of connections noted.
    #[inline(always)]
    pub fn peak(&self) -> u32 {
        // SAFETY: an aligned word.
        unsafe { addr_of!((*self.0.get()).peak).read_volatile() }
    }

    /// Counts one more connection, unless there are `limit` already (0: no limit).
    #[inline(always)]
    pub fn admit(&self, limit: u32) -> bool {
        let before = self.add_connections(1);
        if limit != 0 && before >= limit {
            self.release();
            return false;
        }
        if before >= self.peak() {
            // SAFETY: an aligned word; losing a race costs a peak one lower than it was.
            unsafe { addr_of_mut!((*self.0.get()).peak).write_volatile(before.wrapping_add(1)) }
        }
        true
    }

    /// Counts one connection less. Never below zero: the user side may have reset the number.
    #[inline(always)]
    pub fn release(&self) {
        let before = self.add_connections(u32::MAX);
        if before == 0 {
            self.add_connections(1);
        }
    }

    /// Takes back the last [`advance`](Self::advance).
    #[inline(always)]
    pub fn rewind(&self) {
        self.add_cursor(u32::MAX);
    }

    /// The next number of the shared cursor.
    #[inline(always)]
    pub fn advance(&self) -> u32 {
        self.add_cursor(1)
    }
}

/// A [`Rate`] shared by all CPUs.
#[repr(transparent)]
pub struct RateCell(UnsafeCell<Rate>);

// SAFETY: all fields are accessed as one aligned word each; any mix of old and new ones is a rate.
unsafe impl Sync for RateCell {}

impl RateCell {
    /// For tables that are not kernel maps.
    pub fn new(rate: Rate) -> Self {
        Self(UnsafeCell::new(rate))
    }

    /// Counts one more, unless there are `limit` within the period already.
    #[inline(always)]
    pub fn admit(&self, now: u64, period: u64, limit: u32) -> bool {
        let place = self.0.get();
        // SAFETY: aligned words of `self`, only ever accessed as such.
        let before = unsafe {
            Rate {
                start_ns: addr_of!((*place).start_ns).read_volatile(),
                current: addr_of!((*place).current).read_volatile(),
                previous: addr_of!((*place).previous).read_volatile(),
            }
        };
        let mut rate = before.at(now, period);
        let fits = rate.value(now, period) < u64::from(limit);
        if fits {
            rate.current = rate.current.wrapping_add(1);
        }
        // A flood beyond the rate changes nothing, and takes no line from other CPUs.
        if rate != before {
            // SAFETY: as above; of two CPUs' numbers either is right enough.
            unsafe {
                addr_of_mut!((*place).start_ns).write_volatile(rate.start_ns);
                addr_of_mut!((*place).current).write_volatile(rate.current);
                addr_of_mut!((*place).previous).write_volatile(rate.previous);
            }
        }
        fits
    }
}

impl RateCell {
    /// Counts one less in the period that is not over.
    #[inline(always)]
    pub fn take_back(&self, now: u64, period: u64) {
        let place = self.0.get();
        // SAFETY: aligned words of `self`, only ever accessed as such.
        unsafe {
            let current = addr_of_mut!((*place).current);
            let count = current.read_volatile();
            if count != 0 && now.wrapping_sub(addr_of!((*place).start_ns).read_volatile()) < period
            {
                current.write_volatile(count - 1);
            }
        }
    }
}

/// An [`EpochLine`] shared by all CPUs.
#[repr(transparent)]
pub struct EpochCell(UnsafeCell<EpochLine>);

// SAFETY: all words are accessed atomically or as one aligned word.
unsafe impl Sync for EpochCell {}

impl EpochCell {
    /// For tables that are not kernel maps.
    pub fn new(line: EpochLine) -> Self {
        Self(UnsafeCell::new(line))
    }

    /// The word as it is.
    #[inline(always)]
    pub fn get(&self, word: usize) -> u32 {
        // SAFETY: an aligned word; volatile, since other CPUs change it.
        unsafe { addr_of!((*self.0.get()).words[word & 15]).read_volatile() }
    }

    /// Changes a word.
    #[inline(always)]
    pub fn bump(&self, word: usize) {
        // SAFETY: an aligned word of `self`, only ever accessed as one.
        unsafe { fetch_add_u32(addr_of_mut!((*self.0.get()).words[word & 15]), 1) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admission_stops_at_the_limit_and_release_at_zero() {
        let live = LiveCell::new(Live::default());
        assert!(live.admit(2) && live.admit(2) && !live.admit(2));
        assert_eq!((live.connections(), live.peak()), (2, 2));
        live.release();
        live.release();
        live.release();
        assert_eq!(live.connections(), 0);
        assert!(live.admit(0));
    }
}
