//! `first`: fills the server with the lowest id up to its `maxconn`, then the next.

use super::{LbSpec, Pick, PickCtx, Slot};

/// Positions in the order of server ids.
#[derive(Debug)]
struct First(Box<[usize]>);

pub(super) fn build(_: &LbSpec, slots: &[Slot]) -> Box<dyn Pick> {
    let mut order: Vec<usize> = (0..slots.len()).collect();
    order.sort_by_key(|&i| slots[i].server.id);
    Box::new(First(order.into()))
}

impl Pick for First {
    fn pick(&self, ctx: &PickCtx<'_>) -> Option<usize> {
        self.0.iter().copied().find(|&i| ctx.is_open(i))
    }
}
