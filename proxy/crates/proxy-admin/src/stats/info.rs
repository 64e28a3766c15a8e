//! The fields of `show info`, in HAProxy's order: one row each.

use super::{Tags, Value};
use crate::context::{Admin, ProcessFacts};
use proxy_state::Now;
use proxy_state::process::Process;
use std::time::UNIX_EPOCH;

/// What the fields are read from, at one moment.
pub struct Reading<'a> {
    pub admin: &'a Admin,
    pub facts: ProcessFacts,
    pub now: Now,
}

impl Reading<'_> {
    fn process(&self) -> &Process {
        &self.admin.registry.process
    }
}

/// A row of [`FIELDS`].
pub struct Field {
    pub name: &'static str,
    pub doc: &'static str,
    pub tags: Tags,
    pub value: fn(&Reading<'_>) -> Value,
}

const fn field(
    name: &'static str,
    tags: Tags,
    value: fn(&Reading<'_>) -> Value,
    doc: &'static str,
) -> Field {
    Field { name, doc, tags, value }
}

/// What this build does not have is told as 0, where clients expect the field.
fn none(_: &Reading<'_>) -> Value {
    Value::U32(0)
}

fn uptime(secs: u64) -> String {
    format!("{}d {}h{:02}m{:02}s", secs / 86_400, secs / 3600 % 24, secs / 60 % 60, secs % 60)
}

const MEGABYTE: u64 = 1 << 20;

/// Every field.
pub static FIELDS: &[Field] = &[
    field("Name", "PNSV", |r| r.admin.product.name.into(), "Product name"),
    field("Version", "PNSV", |r| r.admin.product.version.clone().into(), "Product version"),
    field(
        "Release_date",
        "PNSV",
        |r| r.admin.product.release_date.clone().into(),
        "Date of the version",
    ),
    field("Nbthread", "CGSV", |r| r.facts.threads.into(), "Number of worker threads"),
    field("Nbproc", "CGSV", |_| 1_u32.into(), "Number of worker processes (always 1)"),
    field("Process_num", "KGPV", |_| 1_u32.into(), "Relative worker process number (always 1)"),
    field("Pid", "SGPV", |r| r.facts.pid.into(), "Process id of this worker"),
    field(
        "Uptime",
        "MDPV",
        |r| uptime(r.now.secs()).into(),
        "How long ago this worker was started",
    ),
    field("Uptime_sec", "MDPV", |r| Value::u32(r.now.secs()), "The same in seconds"),
    field(
        "Memmax_MB",
        "CLPV",
        |r| Value::u32(r.facts.memory_limit / MEGABYTE),
        "Limit of memory in MB, 0 for none",
    ),
    field(
        "PoolAlloc_MB",
        "MGPV",
        |r| Value::u32(r.facts.memory_allocated / MEGABYTE),
        "Memory taken in MB",
    ),
    field(
        "PoolUsed_MB",
        "MGPV",
        |r| Value::u32(r.facts.memory_used / MEGABYTE),
        "Memory in use in MB",
    ),
    field("PoolFailed", "MCPV", none, "Failed allocations"),
    field("Ulimit-n", "CLPV", |r| Value::u32(r.facts.fd_limit), "Limit of descriptors"),
    field("Maxsock", "CLPV", |r| Value::u32(r.facts.max_sockets), "Limit of sockets"),
    field("Maxconn", "CLPV", |r| r.process().maxconn().into(), "Limit of connections"),
    field(
        "Hard_maxconn",
        "CLPV",
        |r| r.process().hard_maxconn().into(),
        "Limit of connections at start",
    ),
    field(
        "CurrConns",
        "MGPV",
        |r| r.process().connections.get().into(),
        "Current client connections",
    ),
    field(
        "CumConns",
        "MCPV",
        |r| r.process().counters.total(|c| &c.conn_tot).into(),
        "Connections since the start",
    ),
    field(
        "CumReq",
        "MCPV",
        |r| r.process().counters.total(|c| &c.req_tot).into(),
        "Requests since the start",
    ),
    field("MaxSslConns", "CLPV", none, "Limit of TLS connections"),
    field("CurrSslConns", "MGPV", none, "Current TLS connections"),
    field("CumSslConns", "MCPV", none, "TLS connections since the start"),
    field("Maxpipes", "CLPV", |r| Value::u32(r.facts.max_pipes), "Limit of pipes for splicing"),
    field("PipesUsed", "MGPV", |r| Value::u32(r.facts.pipes_used), "Pipes in use"),
    field("PipesFree", "MGPV", |r| Value::u32(r.facts.pipes_free), "Pipes kept for later"),
    field(
        "ConnRate",
        "MRPV",
        |r| Value::u32(r.process().connection_rate.observe(r.now)),
        "Connections over the last second",
    ),
    field("ConnRateLimit", "CLPV", |r| r.process().conn_rate_limit().into(), "Limit of ConnRate"),
    field(
        "MaxConnRate",
        "MMPV",
        |r| Value::u32(r.process().connection_rate.max()),
        "Highest ConnRate",
    ),
    field(
        "SessRate",
        "MRPV",
        |r| Value::u32(r.process().session_rate.observe(r.now)),
        "Sessions over the last second",
    ),
    field("SessRateLimit", "CLPV", |r| r.process().sess_rate_limit().into(), "Limit of SessRate"),
    field(
        "MaxSessRate",
        "MMPV",
        |r| Value::u32(r.process().session_rate.max()),
        "Highest SessRate",
    ),
    field("SslRate", "MRPV", none, "TLS connections over the last second"),
    field("SslRateLimit", "CLPV", none, "Limit of SslRate"),
    field("MaxSslRate", "MMPV", none, "Highest SslRate"),
    field("SslFrontendKeyRate", "MRPV", none, "Key computations of frontends over the last second"),
    field("SslFrontendMaxKeyRate", "MMPV", none, "Highest SslFrontendKeyRate"),
    field("SslFrontendSessionReuse_pct", "MRPV", none, "Resumed client sessions in percent"),
    field("SslBackendKeyRate", "MRPV", none, "Key computations of backends over the last second"),
    field("SslBackendMaxKeyRate", "MMPV", none, "Highest SslBackendKeyRate"),
    field("SslCacheLookups", "MCPV", none, "Session cache look-ups"),
    field("SslCacheMisses", "MCPV", none, "Session cache misses"),
    field("CompressBpsIn", "MRPV", none, "Bytes per second into compression"),
    field("CompressBpsOut", "MRPV", none, "Bytes per second out of compression"),
    field("CompressBpsRateLim", "CLPV", none, "Limit of CompressBpsOut"),
    field("Tasks", "MGPV", |r| Value::u32(r.facts.tasks), "Tasks alive"),
    field("Run_queue", "MGPV", |r| Value::u32(r.facts.run_queue), "Tasks ready to run"),
    field(
        "Idle_pct",
        "MaPV",
        |r| r.facts.idle_percent.into(),
        "Share of the last second spent waiting",
    ),
    field("node", "CNSV", |r| r.facts.node.clone().into(), "Node name"),
    field(
        "Stopping",
        "SGPV",
        |r| u32::from(r.facts.stopping).into(),
        "1 when the worker is leaving",
    ),
    field(
        "Jobs",
        "MGPV",
        |r| Value::u32(r.facts.jobs),
        "Connections and listeners that keep the process alive",
    ),
    field(
        "Unstoppable Jobs",
        "MGPV",
        |r| Value::u32(r.facts.unstoppable_jobs),
        "Jobs that a soft stop does not wait for",
    ),
    field("Listeners", "MGPV", |r| Value::u32(r.facts.listeners), "Listening sockets"),
    field("ActivePeers", "MGPV", none, "Verified active peers connections"),
    field("ConnectedPeers", "MGPV", none, "Peers that passed the hello"),
    field(
        "DroppedLogs",
        "MCPV",
        |r| r.process().counters.total(|c| &c.dropped_logs).into(),
        "Log lines lost",
    ),
    field("BusyPolling", "MGPV", none, "Whether threads poll without sleeping"),
    field("FailedResolutions", "MCPV", none, "Failed DNS resolutions"),
    field(
        "TotalBytesOut",
        "MCPV",
        |r| r.process().counters.total(|c| &c.bytes_out).into(),
        "Bytes sent to clients and servers",
    ),
    field("TotalSplicedBytesOut", "MCPV", none, "Bytes sent by splicing"),
    field(
        "BytesOutRate",
        "MRPV",
        |r| Value::U64(u64::from(r.process().out_rate.observe(r.now)) * Process::OUT_UNIT),
        "Bytes sent over the last second",
    ),
    field("DebugCommandsIssued", "MCPV", none, "Debug commands run"),
    field("CumRecvLogs", "MCPV", none, "Log lines received"),
    field("Build info", "PNSV", |r| r.admin.product.version.clone().into(), "Build"),
    field(
        "Memmax_bytes",
        "CLPV",
        |r| r.facts.memory_limit.into(),
        "Limit of memory in bytes, 0 for none",
    ),
    field("PoolAlloc_bytes", "MGPV", |r| r.facts.memory_allocated.into(), "Memory taken in bytes"),
    field("PoolUsed_bytes", "MGPV", |r| r.facts.memory_used.into(), "Memory in use in bytes"),
    field(
        "Start_time_sec",
        "MDPV",
        |r| {
            let wall = r.admin.process.wall().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
            Value::u32(wall.saturating_sub(r.now.secs()))
        },
        "Start of the worker, seconds since 1970",
    ),
    field("Tainted", "SGPV", none, "Experimental features used"),
];
