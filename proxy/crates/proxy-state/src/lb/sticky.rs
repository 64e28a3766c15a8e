//! `sticky`: the server that has been available for longest, which is the first of those that are handed in.

use super::{LbSpec, Pick, PickCtx, Slot};

#[derive(Debug)]
struct Sticky;

pub(super) fn build(_: &LbSpec, _: &[Slot]) -> Box<dyn Pick> {
    Box::new(Sticky)
}

impl Pick for Sticky {
    fn pick(&self, ctx: &PickCtx<'_>) -> Option<usize> {
        (0..ctx.slots.len()).find(|&i| ctx.is_open(i))
    }
}
