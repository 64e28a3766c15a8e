//! `aya::Pod`: the user side may read and write these as bytes.

use crate::{
    Addr, CacheSet, CacheWay, Config, CpuState, DenyEntry, EpochLine, ExpireRequest, FlowEntry,
    FlowEvent, FlowKey, FlowState, FragmentEntry, FragmentKey, Live, Port, Rate, RealEntry, Ring,
    ServiceEntry, Slot, SourceKey, SourceNet, SourceRuling, TraceSwitch, Traffic, VipEntry, VipKey,
    bench::Rotation,
};

macro_rules! pod {
    ($($name:ident)*) => {
        $(
            // SAFETY: `repr(C)` integers only, without padding (sizes are asserted beside each
            // type), so every bit pattern is a value and every byte is initialised.
            unsafe impl aya::Pod for $name {}
        )*
    };
}

pod! {
    Addr CacheSet CacheWay Config CpuState DenyEntry EpochLine ExpireRequest FlowEntry FlowEvent
    FlowKey FlowState FragmentEntry FragmentKey Live Port Rate RealEntry Ring Rotation ServiceEntry Slot SourceKey SourceNet
    SourceRuling TraceSwitch Traffic VipEntry VipKey
}
