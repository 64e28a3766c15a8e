//! Puts streams under the limits that rules ask for.

use proxy_rules::bandwidth::{Direction, Kind, Limiter, Wanted};
use proxy_rules::sample::EvalCtx;
use proxy_rules::track;
use proxy_state::stick::data::id;

use super::Exchange;
use crate::env::Back;
use crate::mux::h1::Pump;
use crate::session::Session;
use crate::throttle::{Limit, Meter, Throttle, Window};

/// Acts on what the rules that just ran asked for. A key is what it is now.
pub(super) fn enable(s: &Session, x: &mut Exchange, back: Option<&Back>) {
    for wanted in std::mem::take(&mut x.effects.limits) {
        let of_back = back.map_or(&[][..], |back| &back.limiters);
        let mut all = of_back.iter().chain(&s.front.limiters);
        let Some(limiter) = all.find(|limiter| *limiter.name == *wanted.name) else { continue };
        let limit = super::rules::with_context(s, x, back, |cx| {
            let mut cx = *cx;
            cx.response = x.record.response_done.map(|_| &x.response);
            limit(&cx, limiter, wanted)
        });
        let Some(limit) = limit else { continue };
        let pump = match limiter.direction {
            Direction::In => &mut x.to_server,
            Direction::Out => &mut x.to_client,
        };
        pump.throttle(s.thread.env.epoch).set(limit);
    }
}

/// `None` when the key has no value, or there is no room for it in the table: nothing is limited then.
fn limit(cx: &EvalCtx<'_>, limiter: &Limiter, wanted: Wanted) -> Option<Limit> {
    let (bytes, meter) = match &limiter.kind {
        Kind::Stream { limit, period } => {
            let window = Window::new(wanted.period.unwrap_or(*period), cx.clock.now.0);
            (wanted.limit.unwrap_or(*limit), Meter::Own(window))
        }
        Kind::Shared { limit, key, table } => {
            let table = table.get(cx)?;
            let rate = match limiter.direction {
                Direction::In => id::BYTES_IN_RATE,
                Direction::Out => id::BYTES_OUT_RATE,
            };
            let slot = table.slot(rate, 0)?;
            let key = track::key(table, key.eval(cx)?, cx.scratch)?;
            let held = table.track(&key, cx.clock.now)?;
            (*limit, Meter::Shared { held, slot, rest: 0 })
        }
    };
    Some(Limit { name: wanted.name, bytes, min_size: u64::from(limiter.min_size), meter })
}

/// Whether a direction waits for its limits rather than for either side.
pub(super) fn waits(pump: &Pump) -> bool {
    pump.limits().is_some_and(Throttle::waits)
}
