//! Access to the maps: the kernel's, or the host tests' own.

use proxy_common::{
    CacheSet, Config, DenyEntry, FlowEntry, FlowEvent, FlowKey, FragmentEntry, FragmentKey, Rate,
    RealEntry, Reason, ServerHop, ServiceEntry, Slot, SourceKey, SourceNet, SourceRuling, Traffic,
    VipEntry, VipKey,
};

use crate::{
    answer::Answer,
    cell::{EpochCell, FlowCell, LiveCell, RateCell},
    frame::Hop,
    headers::Ports,
    rewrite::Rewrite,
};

/// Why a flow was not put into the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InsertError {
    /// The key is there already.
    Exists,
    /// No room.
    Full,
}

/// Room for what would not fit the stack, one per CPU.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Scratch {
    /// Key of the direction opposite to the packet's.
    pub peer: FlowKey,
    /// Forward and reverse key of a connection that is to go.
    pub old_forward: FlowKey,
    pub old_reverse: FlowKey,
    pub forward: FlowEntry,
    pub reverse: FlowEntry,
    pub slot: Slot,
    pub source: SourceKey,
    /// Counter of the rule that a SYN has met, plus one; 0 for none.
    pub rule: u32,
    /// Which datagram a fragment is of, and the ports of one.
    pub fragment: FragmentKey,
    pub ports: Ports,
    /// Not 0: the packet is the first fragment of a datagram.
    pub fragmented: u32,
    /// Where the packet's flow has its place in the cache, and the epoch before the exact table was looked at.
    pub hash: u64,
    pub epoch: u32,
    /// Not 0: it may take that place.
    pub seated: u32,
    pub search: Search,
    pub answer: Answer,
    /// What the packet is to carry, and where it goes.
    pub rewrite: Rewrite,
    pub hop: Hop,
}

/// What the turns of a search share.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Search {
    /// Place to look at first, how far the next one is, and how many there are.
    pub start: u32,
    pub stride: u32,
    pub len: u32,
    /// What else is looked at.
    pub of: u32,
    /// Bits of the searcher's own.
    pub flags: u32,
    /// Where the search stopped.
    pub found: u32,
    /// How it came out, in numbers of the searcher's own.
    pub outcome: u32,
}

impl Search {
    /// The place of a turn.
    #[inline(always)]
    pub fn place(&self, turn: u32) -> u32 {
        self.start.wrapping_add(turn.wrapping_mul(self.stride)).checked_rem(self.len).unwrap_or(0)
    }
}

/// The maps of [`proxy_common::maps`], and two helpers of the kernel.
pub trait Tables {
    fn config(&self) -> Option<&Config>;
    /// A word of the port bitmaps, 0 where there is none.
    fn prefilter(&self, word: u32) -> u64;
    fn vip(&self, key: &VipKey) -> Option<VipEntry>;
    fn service(&self, index: u32) -> Option<&ServiceEntry>;
    /// Server index in a place of a ring.
    fn ring(&self, ring: u32, place: u32) -> Option<u32>;
    fn real(&self, index: u32) -> Option<&RealEntry>;
    /// What the longest prefix says of an address.
    fn source(&self, key: &SourceKey) -> Option<SourceRuling>;

    fn flow(&self, key: &FlowKey) -> Option<&FlowCell>;
    /// Inserts a flow that must not exist yet.
    fn insert(&self, key: &FlowKey, entry: &FlowEntry) -> Result<(), InsertError>;
    /// Whether it was there.
    fn remove(&self, key: &FlowKey) -> bool;
    /// Ports of a datagram of which a fragment has come.
    fn fragment(&self, key: &FragmentKey) -> Option<FragmentEntry>;
    fn set_fragment(&self, key: &FragmentKey, entry: &FragmentEntry);
    fn remove_fragment(&self, key: &FragmentKey);
    /// A line of the epochs.
    fn epochs(&self, line: u32) -> Option<&EpochCell>;

    /// Runs `work` on what this CPU knows of the way to a server at a hook.
    fn with_hop<R>(
        &self,
        server: u32,
        hook: u8,
        work: impl FnOnce(&mut ServerHop) -> R,
    ) -> Option<R>;

    /// Runs `work` on the set of this CPU's flow cache that a hash belongs to. Sets are not nested.
    fn with_set<R>(
        &self,
        config: &Config,
        hash: u64,
        work: impl FnOnce(&mut CacheSet) -> R,
    ) -> Option<R>;

    fn service_rate(&self, index: u32) -> Option<&RateCell>;
    fn source_rate(&self, net: &SourceNet) -> Option<&RateCell>;
    /// Begins to count a client, perhaps instead of another one.
    fn set_source_rate(&self, net: &SourceNet, rate: &Rate);
    /// What is known of a client that userspace has turned away.
    fn denied(&self, net: &SourceNet) -> Option<DenyEntry>;
    /// How many ICMP answers are sent.
    fn answer_rate(&self) -> Option<&RateCell>;
    fn service_live(&self, index: u32) -> Option<&LiveCell>;
    fn server_live(&self, index: u32) -> Option<&LiveCell>;
    fn count(&self, reason: Reason);
    fn count_service(&self, index: u32, change: impl FnOnce(&mut Traffic));
    fn count_server(&self, index: u32, change: impl FnOnce(&mut Traffic));

    fn count_rule(&self, index: u32);
    /// Takes back the last [`Self::count_rule`].
    fn uncount_rule(&self, index: u32);

    /// Takes the next place of this CPU's `EMBRYONIC` ring; `slot` becomes what stood there.
    fn swap_embryonic(&self, config: &Config, slot: &mut Slot);
    /// Takes the next place of this CPU's `CLOSING` ring; `slot` becomes what stood there.
    fn swap_closing(&self, config: &Config, slot: &mut Slot);

    /// Writes an event, or says that there was no room.
    fn emit(&self, event: impl FnOnce(&mut FlowEvent)) -> bool;

    /// Runs `body` with 0, 1, ... until it returns true, at most `times` times. The verifier follows one turn of it
    /// where it would follow each of a loop's.
    fn until(&self, times: u32, body: impl FnMut(u32) -> bool);

    /// Time in [`ticks`](proxy_common::ticks), for what need not be compared with other times.
    fn ticks(&self) -> u16;
    /// Coarse monotonic time in nanoseconds.
    fn now_ns(&self) -> u64;
    fn random(&self) -> u32;
}
