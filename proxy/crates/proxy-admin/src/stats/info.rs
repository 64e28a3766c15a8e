//! The fields of `show info`, in HAProxy's order and at its positions: one row each.

use super::{Tags, Value};
use crate::context::{Admin, ProcessFacts, Product};
use crate::outside::Outside;
use proxy_state::counters::{FrontendCounters, Rate};
use proxy_state::{Now, Process, Registry};
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A row of [`FIELDS`].
pub struct Field {
    /// Position in the typed form, which never changes; numbers without a row belong to features that are compiled out there too.
    pub position: usize,
    pub name: &'static str,
    pub doc: &'static str,
    pub tags: Tags,
    pub value: fn(&Reading<'_>) -> Value,
}

/// Everything the fields read from, taken at one moment.
pub struct Reading<'a> {
    registry: &'a Registry,
    product: &'a Product,
    facts: ProcessFacts,
    wall: SystemTime,
    pub now: Now,
}

impl<'a> Reading<'a> {
    pub fn new(admin: &'a Admin) -> Self {
        let now = admin.process.now();
        admin.registry.observe_rates(now);
        let (facts, wall) = (admin.process.facts(), admin.process.wall());
        Self { registry: &admin.registry, product: &admin.product, facts, wall, now }
    }

    /// The same away from the control thread.
    pub fn of(registry: &'a Registry, product: &'a Product, outside: &Outside, now: Now) -> Self {
        registry.observe_rates(now);
        Self { registry, product, facts: outside.facts.clone(), wall: outside.wall, now }
    }

    fn process(&self) -> &Process {
        &self.registry.process
    }

    /// A total that the kernel programs counted for frontends.
    fn external(&self, field: impl Fn(&FrontendCounters) -> u64) -> u64 {
        self.registry.frontends().iter().map(|f| field(f.counters.external())).sum()
    }

    fn current(&self) -> u64 {
        let outside = |f: &proxy_state::Frontend| u64::from(f.sessions.get() - f.sessions.own());
        let flows: u64 = self.registry.frontends().iter().map(|f| outside(f)).sum();
        u64::from(self.process().connections.get()) + flows
    }

    fn uptime(&self) -> u64 {
        self.now.secs()
    }
}

/// `2d 3h04m05s`.
fn age(secs: u64) -> String {
    format!("{}d {}h{:02}m{:02}s", secs / 86400, secs / 3600 % 24, secs / 60 % 60, secs % 60)
}

fn mega(bytes: u64) -> Value {
    Value::u32(bytes >> 20)
}

fn flag(on: bool) -> Value {
    Value::U32(u32::from(on))
}

fn rate(r: &Reading<'_>, rate: &Rate) -> Value {
    Value::u32(rate.get(r.now))
}

/// A rate of blocks in bytes.
fn blocks(r: &Reading<'_>, rate: &Rate) -> Value {
    Value::u32(rate.get(r.now) * Process::OUT_UNIT)
}

fn zero(_: &Reading<'_>) -> Value {
    Value::U32(0)
}

macro_rules! fields {
    ($($position:literal $name:literal $tags:literal $value:expr, $doc:literal;)*) => {
        /// Every field.
        pub static FIELDS: &[Field] = &[$(Field {
            position: $position, name: $name, doc: $doc, tags: $tags, value: $value,
        },)*];
    };
}

fields! {
    0 "Name" "POSV" |r| r.product.name.into(), "Product name";
    1 "Version" "POSV" |r| r.product.version.clone().into(), "Product version";
    2 "Release_date" "POSV" |r| r.product.release_date.clone().into(), "Date of the source code";
    3 "Nbthread" "CGSV" |r| r.facts.threads.into(), "Number of worker threads";
    4 "Nbproc" "CGSV" |_| 1_u32.into(), "Number of worker processes (historical, always 1)";
    5 "Process_num" "KGPV" |_| 1_u32.into(), "Relative worker process number (1)";
    6 "Pid" "SGPV" |r| r.facts.pid.into(), "Process id of this worker";
    7 "Uptime" "MDPV" |r| age(r.uptime()).into(), "How long this worker runs (days+hours+minutes+seconds)";
    8 "Uptime_sec" "MDPV" |r| Value::u32(r.uptime()), "How long this worker runs (seconds)";
    9 "Memmax_MB" "CLPV" |r| mega(r.facts.memory_limit), "Limit on memory in MB";
    10 "PoolAlloc_MB" "MGPV" |r| mega(r.facts.memory_allocated), "Memory allocated in MB";
    11 "PoolUsed_MB" "MGPV" |r| mega(r.facts.memory_used), "Memory in use in MB";
    12 "PoolFailed" "MCPV" zero, "Failed allocations";
    13 "Ulimit-n" "CLPV" |r| Value::u32(r.facts.fd_limit), "Limit on file descriptors";
    14 "Maxsock" "CLPV" |r| Value::u32(r.facts.max_sockets), "Limit on sockets";
    15 "Maxconn" "CLPV" |r| r.process().maxconn().into(), "Limit on connections";
    16 "Hard_maxconn" "CLPV" |r| r.process().hard_maxconn().into(), "Highest limit on connections that can be set";
    17 "CurrConns" "MGPV" |r| Value::u32(r.current()), "Current number of connections";
    18 "CumConns" "MCPV" |r| Value::u32(r.process().counters.total(|c| &c.conn_tot) + r.external(|c| c.conn_tot.get())), "Connections since the start";
    19 "CumReq" "MCPV" |r| Value::u32(r.process().counters.total(|c| &c.req_tot) + r.external(|c| c.sess_tot.get())), "Requests since the start";
    20 "MaxSslConns" "MMPV" |r| r.process().tls_conn_limit().into(), "Limit on TLS endpoints, 0 for none";
    21 "CurrSslConns" "MGPV" |r| r.process().tls_connections.get().into(), "Current number of TLS endpoints";
    22 "CumSslConns" "MCPV" |r| Value::u32(r.process().counters.total(|c| &c.tls_tot)), "TLS endpoints since the start";
    23 "Maxpipes" "CLPV" |r| Value::u32(r.facts.max_pipes), "Limit on pipes for splicing, 0 for none";
    24 "PipesUsed" "MGPV" |r| Value::u32(r.facts.pipes_used), "Pipes in use";
    25 "PipesFree" "MGPV" |r| Value::u32(r.facts.pipes_free), "Pipes allocated and idle";
    26 "ConnRate" "MRPV" |r| rate(r, &r.process().connection_rate), "Connections over the last second";
    27 "ConnRateLimit" "CLPV" |r| r.process().conn_rate_limit().into(), "Limit on ConnRate";
    28 "MaxConnRate" "MMPV" |r| Value::u32(r.process().connection_rate.max()), "Highest ConnRate";
    29 "SessRate" "MRPV" |r| rate(r, &r.process().session_rate), "Sessions over the last second";
    30 "SessRateLimit" "CLPV" |r| r.process().sess_rate_limit().into(), "Limit on SessRate";
    31 "MaxSessRate" "MRPV" |r| Value::u32(r.process().session_rate.max()), "Highest SessRate";
    32 "SslRate" "MRPV" |r| rate(r, &r.process().tls_rate), "TLS connections over the last second";
    33 "SslRateLimit" "CLPV" |r| r.process().tls_rate_limit().into(), "Limit on SslRate";
    34 "MaxSslRate" "MMPV" |r| Value::u32(r.process().tls_rate.max()), "Highest SslRate";
    35 "SslFrontendKeyRate" "MGPV" |r| rate(r, &r.process().tls_front_keys), "TLS keys made on frontends over the last second";
    36 "SslFrontendMaxKeyRate" "MMPV" |r| Value::u32(r.process().tls_front_keys.max()), "Highest SslFrontendKeyRate";
    37 "SslFrontendSessionReuse_pct" "MGPV" |r| Value::u32(r.process().tls_reuse_percent(r.now)), "Percentage of TLS connections that needed no new key";
    38 "SslBackendKeyRate" "MRPV" |r| rate(r, &r.process().tls_back_keys), "TLS keys made on backends over the last second";
    39 "SslBackendMaxKeyRate" "MMPV" |r| Value::u32(r.process().tls_back_keys.max()), "Highest SslBackendKeyRate";
    40 "SslCacheLookups" "MCPV" zero, "Look-ups in the TLS session cache";
    41 "SslCacheMisses" "MCPV" zero, "Misses in the TLS session cache";
    42 "CompressBpsIn" "MRPV" |r| blocks(r, &r.process().compress_in), "Bytes given to the compressor over the last second";
    43 "CompressBpsOut" "MRPV" |r| blocks(r, &r.process().compress_out), "Bytes that came out of the compressor over the last second";
    44 "CompressBpsRateLim" "CLPV" |r| Value::u32(r.process().compress_rate_limit.load(Ordering::Relaxed)), "Limit on CompressBpsIn";
    45 "ZlibMemUsage" "MGPV" |r| Value::u32(r.process().compress_memory.load(Ordering::Relaxed)), "Memory that compressors use in bytes";
    46 "MaxZlibMemUsage" "CLPV" |r| Value::u32(r.process().compress_memory_limit.load(Ordering::Relaxed)), "Limit on ZlibMemUsage";
    47 "Tasks" "MGPV" |r| Value::u32(r.facts.tasks), "Tasks alive";
    48 "Run_queue" "MGPV" |r| Value::u32(r.facts.run_queue), "Tasks ready to run";
    49 "Idle_pct" "MaPV" |r| r.facts.idle_percent.into(), "Percentage of the last second spent waiting";
    50 "node" "COSV" |r| r.facts.node.clone().into(), "Node name";
    51 "description" "COSV" |r| r.facts.description.clone().into(), "Description of the process";
    52 "Stopping" "MGPV" |r| flag(r.facts.stopping), "1 while the worker is leaving";
    53 "Jobs" "MGPV" |r| Value::u32(r.facts.jobs), "Connections and listeners that keep the worker alive";
    54 "Unstoppable Jobs" "MGPV" |r| Value::u32(r.facts.unstoppable_jobs), "Jobs that a stop does not wait for";
    55 "Listeners" "MGPV" |r| Value::u32(r.facts.listeners), "Listening sockets";
    56 "ActivePeers" "MGPV" |r| Value::u32(r.facts.active_peers), "Peers connected and verified";
    57 "ConnectedPeers" "MGPV" |r| Value::u32(r.facts.connected_peers), "Peers connected";
    58 "DroppedLogs" "MGPV" |r| Value::u32(r.process().counters.total(|c| &c.dropped_logs)), "Log lines that could not be sent";
    59 "BusyPolling" "MGPV" zero, "1 while polling without waiting";
    60 "FailedResolutions" "MGPV" zero, "Failed name resolutions";
    61 "TotalBytesOut" "MGPV" |r| {
        let flows = r.external(|c| c.bytes_out.get()) + r.external(|c| c.bytes_in.get());
        (r.process().counters.total(|c| &c.bytes_out) + flows).into()
    }, "Bytes sent since the start";
    62 "TotalSplicedBytesOut" "MGPV" |r| r.process().counters.total(|c| &c.spliced_bytes_out).into(), "Bytes of those that went through a kernel pipe";
    63 "BytesOutRate" "MRPV" |r| (r.process().out_rate.get(r.now) * Process::OUT_UNIT).into(), "Bytes sent over the last second";
    64 "DebugCommandsIssued" "MGPV" zero, "Debug commands issued";
    65 "CumRecvLogs" "MCPV" |r| Value::u32(r.process().counters.total(|c| &c.received_logs)), "Log messages received";
    66 "Build info" "POSV" |r| r.product.version.clone().into(), "Build info";
    67 "Memmax_bytes" "CLPV" |r| Value::u32(r.facts.memory_limit), "Limit on memory in bytes";
    68 "PoolAlloc_bytes" "MGPV" |r| r.facts.memory_allocated.into(), "Memory allocated in bytes";
    69 "PoolUsed_bytes" "MGPV" |r| r.facts.memory_used.into(), "Memory in use in bytes";
    70 "Start_time_sec" "MDPV" |r| {
        let start = r.wall.checked_sub(Duration::from_millis(r.now.0));
        let secs = start.and_then(|s| s.duration_since(UNIX_EPOCH).ok()).map_or(0, |d| d.as_secs());
        Value::u32(secs)
    }, "Start time in seconds since the epoch";
    71 "Tainted" "SGPV" |_| "0".into(), "Experimental features used";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_written_as_haproxy_writes_them() {
        assert_eq!(age(2), "0d 0h00m02s");
        assert_eq!(age(2 * 86400 + 3 * 3600 + 245), "2d 3h04m05s");
    }

    #[test]
    fn positions_rise() {
        assert!(FIELDS.is_sorted_by(|a, b| a.position < b.position));
    }
}
