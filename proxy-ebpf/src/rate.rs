//! How many connections a client and a service may begin.

use proxy_common::{Rate, Reason, ServiceEntry, SourceNet};

use crate::{frame::Verdict, tables::Tables};

const SECOND: u64 = 1_000_000_000;
const MILLISECOND: u64 = 1_000_000;

/// Counts a connection of a client, whose address `net` has. `Some`: it is one too many, and goes no further here.
#[inline(always)]
pub fn refuses(
    tables: &impl Tables,
    entry: &ServiceEntry,
    service: u32,
    net: &SourceNet,
    now: u64,
) -> Option<Verdict> {
    if entry.source_rate != 0 {
        let period = source_period(entry);
        match tables.source_rate(net) {
            Some(rate) if rate.admit(now, period, entry.source_rate) => {}
            Some(_) => {
                tables.count(Reason::SourceRate);
                tables.count_service(service, |traffic| traffic.denied += 1);
                return Some(Verdict::Drop);
            }
            None => {
                tables.set_source_rate(net, &Rate { start_ns: now, current: 1, previous: 0 });
            }
        }
    }
    if entry.rate != 0
        && let Some(rate) = tables.service_rate(service)
        && !rate.admit(now, SECOND, entry.rate)
    {
        tables.count(Reason::Rate);
        return Some(Verdict::Pass);
    }
    None
}

/// Takes back what [`refuses`] has counted of a connection that it let go on.
#[inline(always)]
pub fn take_back(
    tables: &impl Tables,
    entry: &ServiceEntry,
    service: u32,
    net: &SourceNet,
    now: u64,
) {
    if entry.source_rate != 0
        && let Some(rate) = tables.source_rate(net)
    {
        rate.take_back(now, source_period(entry));
    }
    if entry.rate != 0
        && let Some(rate) = tables.service_rate(service)
    {
        rate.take_back(now, SECOND);
    }
}

#[inline(always)]
fn source_period(entry: &ServiceEntry) -> u64 {
    u64::from(entry.source_period_ms) * MILLISECOND
}
