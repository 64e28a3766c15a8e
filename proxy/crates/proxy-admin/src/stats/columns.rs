//! The columns of `show stat`, in HAProxy's order (management manual, 9.1): one row each.

use super::{Kind, Object, Tags, Value};
use proxy_state::SockAddr;
use proxy_state::counters::{Counted, Gauge, MuxCounters, Rate, Time, Times};
use proxy_state::frontend::FrontendState;
use proxy_state::server::{AgentView, CheckStatus, StateView, WEIGHT_SCALE};
use std::net::SocketAddr;

/// A row of [`COLUMNS`].
pub struct Column {
    pub name: &'static str,
    pub doc: &'static str,
    pub tags: Tags,
    pub value: fn(&Object) -> Value,
}

const fn col(
    name: &'static str,
    tags: Tags,
    value: fn(&Object) -> Value,
    doc: &'static str,
) -> Column {
    Column { name, doc, tags, value }
}

/// A counter of the same name in several kinds of objects.
macro_rules! count {
    ($field:ident, $($kind:ident)+) => {
        |o: &Object| match &o.kind {
            $(count!(@$kind x) => Value::U64(x.counters.total(|c| &c.$field)),)+
            #[allow(unreachable_patterns, reason = "some counters belong to every kind")]
            _ => Value::None,
        }
    };
    // The same, in HTTP mode only.
    (http $field:ident, $($kind:ident)+) => {
        |o: &Object| if o.is_http() { count!($field, $($kind)+)(o) } else { Value::None }
    };
    (@F $x:ident) => { Kind::Frontend($x) };
    (@L $x:ident) => { Kind::Listener(_, $x) };
    (@S $x:ident) => { Kind::Server { server: $x, .. } };
    (@B $x:ident) => { Kind::Backend($x, _) };
}

/// A value for some kinds of objects: `on!(F f => f.maxconn(), S s => s.maxconn())`.
macro_rules! on {
    ($($kind:ident $x:ident => $value:expr),+) => {
        |o: &Object| match &o.kind {
            $(count!(@$kind $x) => Value::from($value),)+
            #[allow(unreachable_patterns, reason = "some values belong to every kind")]
            _ => Value::None,
        }
    };
}

/// A value read from the state of a server whose checks run.
fn checked(o: &Object, value: impl FnOnce(&StateView) -> Value) -> Value {
    match &o.kind {
        Kind::Server { state, .. } if state.check_enabled && !state.admin.is_maint() => {
            value(state)
        }
        _ => Value::None,
    }
}

/// A value of a server's agent, when it is asked.
fn agent(o: &Object, value: impl FnOnce(&AgentView) -> Value) -> Value {
    match &o.kind {
        Kind::Server { server, .. } => {
            server.agent().filter(|agent| agent.enabled).map_or(Value::None, |a| value(&a))
        }
        _ => Value::None,
    }
}

fn current(o: &Object) -> &Gauge {
    match &o.kind {
        Kind::Frontend(f) => &f.sessions,
        Kind::Listener(_, l) => &l.sessions,
        Kind::Server { server, .. } => &server.sessions,
        Kind::Backend(b, _) => &b.sessions,
    }
}

fn rate(o: &Object) -> Option<&Rate> {
    match &o.kind {
        Kind::Frontend(f) => Some(&f.session_rate),
        Kind::Listener(..) => None,
        Kind::Server { server, .. } => Some(&server.session_rate),
        Kind::Backend(b, _) => Some(&b.session_rate),
    }
}

/// The frontend's rate of requests.
fn request_rate(o: &Object) -> Option<&Rate> {
    match &o.kind {
        Kind::Frontend(f) => Some(&f.request_rate),
        _ => None,
    }
}

fn rate_now(o: &Object, rate: Option<&Rate>) -> Value {
    rate.map(|r| Value::u32(r.observe(o.now))).into()
}

fn rate_max(o: &Object, rate: Option<&Rate>) -> Value {
    rate.map(|r| {
        r.observe(o.now);
        Value::u32(r.max())
    })
    .into()
}

fn times(o: &Object) -> Option<&Times> {
    match &o.kind {
        Kind::Server { server, .. } => Some(&server.times),
        Kind::Backend(b, _) => Some(&b.times),
        Kind::Frontend(_) | Kind::Listener(..) => None,
    }
}

fn time_now(o: &Object, time: Time) -> Value {
    times(o).map(|t| Value::u32(t.average(time))).into()
}

fn time_max(o: &Object, time: Time) -> Value {
    times(o).map(|t| Value::u32(t.max(time))).into()
}

/// What the build leaves out is counted as 0 where HAProxy prints a number.
fn zero(o: &Object, letters: &str) -> Value {
    if letters.contains(o.letter()) { Value::U64(0) } else { Value::None }
}

fn pxname(o: &Object) -> Value {
    match &o.kind {
        Kind::Frontend(f) | Kind::Listener(f, _) => f.name.to_string().into(),
        Kind::Server { backend, .. } | Kind::Backend(backend, _) => backend.name.to_string().into(),
    }
}

fn status(o: &Object) -> Value {
    match &o.kind {
        Kind::Frontend(f) => match f.state() {
            FrontendState::Open => "OPEN",
            FrontendState::Paused => "PAUSED",
            FrontendState::Stopped => "STOP",
        }
        .into(),
        Kind::Listener(f, l) => match f.state() {
            FrontendState::Open if l.is_full() || f.is_full() => "FULL",
            FrontendState::Open => "OPEN",
            FrontendState::Paused => "PAUSED",
            FrontendState::Stopped => "STOP",
        }
        .into(),
        Kind::Server { status, .. } => status.to_string().into(),
        Kind::Backend(_, view) => if view.up { "UP" } else { "DOWN" }.into(),
    }
}

fn check_status(state: &StateView) -> Value {
    in_progress(state.check_running, state.last_check.status)
}

/// The last status; marked while a check is under way.
fn in_progress(running: bool, status: CheckStatus) -> Value {
    let running = if running { "* " } else { "" };
    format!("{running}{}", status.short()).into()
}

/// The last check has a result.
fn has_result(state: &StateView) -> bool {
    state.last_check.status != CheckStatus::Initializing
}

fn proto(addr: &SockAddr) -> &'static str {
    match addr {
        SockAddr::Inet(SocketAddr::V4(_)) => "tcpv4",
        SockAddr::Inet(SocketAddr::V6(_)) => "tcpv6",
        SockAddr::Unix(_) | SockAddr::Abstract(_) => "unix_stream",
    }
}

/// Sessions that are not HTTP.
fn sess_other(o: &Object) -> Value {
    match &o.kind {
        Kind::Frontend(f) => {
            let all = f.counters.total(|c| &c.sess_tot);
            let http = f.counters.total(|c| &c.h1_sess) + f.counters.total(|c| &c.h2_sess);
            all.saturating_sub(http).into()
        }
        _ => Value::None,
    }
}

/// Frontends count requests in every mode, the others in HTTP mode.
fn req_tot(o: &Object) -> Value {
    match &o.kind {
        Kind::Frontend(_) => count!(req_tot, F)(o),
        _ => count!(http req_tot, S B)(o),
    }
}

fn req_other(o: &Object) -> Value {
    match &o.kind {
        Kind::Frontend(f) => {
            let all = f.counters.total(|c| &c.req_tot);
            let http = f.counters.total(|c| &c.h1_req) + f.counters.total(|c| &c.h2_req);
            all.saturating_sub(http).into()
        }
        _ => Value::None,
    }
}

/// Handshakes of TLS: done, resumed, failed.
fn tls(o: &Object, which: usize) -> Value {
    let counts = match &o.kind {
        Kind::Frontend(f) => &f.tls,
        Kind::Listener(_, l) => &l.tls,
        Kind::Server { server, .. } => &server.tls_counts,
        Kind::Backend(b, _) => &b.tls,
    };
    counts.get()[which].into()
}

/// What frontends and backends in mode http count of their protocols.
fn mux(o: &Object, value: fn(&Counted<MuxCounters>) -> u64) -> Value {
    match &o.kind {
        Kind::Frontend(f) if o.is_http() => value(&f.mux).into(),
        Kind::Backend(b, _) if o.is_http() => value(&b.mux).into(),
        _ => Value::None,
    }
}

/// A column of [`MuxCounters`]: one counter, or what began and did not end.
macro_rules! mux {
    ($name:literal, $field:ident, $doc:literal) => {
        col($name, "MCPV", |o| mux(o, |m| m.total(|c| &c.$field)), $doc)
    };
    ($name:literal, $begun:ident - $ended:ident, $doc:literal) => {
        col($name, "MGPV", |o| mux(o, |m| m.open(|c| &c.$begun, |c| &c.$ended)), $doc)
    };
}

/// Every column. What follows the column `-` in HAProxy depends on its build: here are its modules for TLS, HTTP/2 and
/// HTTP/1.
pub static COLUMNS: &[Column] = &[
    col("pxname", "KNSV", pxname, "Proxy name"),
    col(
        "svname",
        "KNSV",
        on!(F _f => "FRONTEND", L l => l.name.clone(), S s => s.name.to_string(), B _b => "BACKEND"),
        "Server name",
    ),
    col(
        "qcur",
        "MGPV",
        on!(S s => s.queued.get(), B b => b.queued.get()),
        "Number of current queued connections",
    ),
    col(
        "qmax",
        "MMPV",
        on!(S s => s.queued.max(), B b => b.queued.max()),
        "Highest value of queued connections",
    ),
    col(
        "scur",
        "MGPV",
        |o| current(o).get().into(),
        "Number of current sessions on the frontend, backend or server",
    ),
    col("smax", "MMPV", |o| current(o).max().into(), "Highest value of current sessions"),
    col(
        "slim",
        "CLPV",
        |o| match &o.kind {
            Kind::Frontend(f) if f.maxconn() == 0 => o.maxconn.into(),
            Kind::Frontend(f) => f.maxconn().into(),
            Kind::Listener(_, l) => l.maxconn.into(),
            Kind::Server { server, .. } => Some(server.maxconn()).filter(|&n| n > 0).into(),
            Kind::Backend(b, _) => b.fullconn.into(),
        },
        "Limit of sessions: maxconn, or fullconn of a backend",
    ),
    col("stot", "MCPV", count!(sess_tot, F L S B), "Total number of sessions"),
    col("bin", "MCPV", count!(bytes_in, F L S B), "Total number of request bytes"),
    col("bout", "MCPV", count!(bytes_out, F L S B), "Total number of response bytes"),
    col("dreq", "MCPV", count!(denied_req, F L B), "Requests denied by rules"),
    col("dresp", "MCPV", count!(denied_resp, F L S B), "Responses denied by rules"),
    col("ereq", "MCPV", count!(err_req, F L), "Requests that failed on the client's side"),
    col("econ", "MCPV", count!(err_conn, S B), "Connections to servers that failed"),
    col("eresp", "MCPV", count!(err_resp, S B), "Invalid or failed responses"),
    col("wretr", "MCPV", count!(retries, S B), "Connection attempts repeated"),
    col("wredis", "MCPV", count!(redispatches, S B), "Sessions moved to another server"),
    col("status", "SGPV", status, "Current status"),
    col(
        "weight",
        "MaPV",
        on!(S s => s.effective_weight().div_ceil(WEIGHT_SCALE), B b => b.farm().weight),
        "Effective weight, total for a backend",
    ),
    col(
        "act",
        "SGPV",
        |o| match &o.kind {
            Kind::Server { server, .. } => u32::from(!server.spec.backup).into(),
            Kind::Backend(_, view) => view.farm.active.into(),
            _ => Value::None,
        },
        "Number of usable active servers, or whether the server is active",
    ),
    col(
        "bck",
        "SGPV",
        |o| match &o.kind {
            Kind::Server { server, .. } => u32::from(server.spec.backup).into(),
            Kind::Backend(_, view) => view.farm.backup.into(),
            _ => Value::None,
        },
        "Number of usable backup servers, or whether the server is one",
    ),
    col(
        "chkfail",
        "MCPV",
        |o| match &o.kind {
            Kind::Server { server, state, .. } if state.check_enabled => {
                server.counters.total(|c| &c.failed_checks).into()
            }
            _ => Value::None,
        },
        "Failed health checks while the server was up",
    ),
    col(
        "chkdown",
        "MCPV",
        |o| match &o.kind {
            Kind::Server { server, state, .. } if state.check_enabled => {
                server.counters.total(|c| &c.down_transitions).into()
            }
            Kind::Backend(b, _) => b.counters.total(|c| &c.down_transitions).into(),
            _ => Value::None,
        },
        "Changes from up to down",
    ),
    col(
        "lastchg",
        "MAPV",
        |o| match &o.kind {
            Kind::Server { state, .. } => Value::u32(o.now.secs_since(state.last_change)),
            Kind::Backend(_, view) => Value::u32(o.now.secs_since(view.last_change)),
            _ => Value::None,
        },
        "Seconds since the last change of state",
    ),
    col(
        "downtime",
        "MCPV",
        |o| match &o.kind {
            Kind::Server { state, .. } if state.check_enabled => {
                Value::u32(state.downtime_ms / 1000)
            }
            Kind::Backend(_, view) => Value::u32(view.downtime_ms / 1000),
            _ => Value::None,
        },
        "Seconds spent down",
    ),
    col(
        "qlimit",
        "CLSV",
        on!(S s => Some(s.spec.maxqueue).filter(|&n| n > 0)),
        "Limit of queued connections",
    ),
    col("pid", "KGPV", |_| 1_u32.into(), "Relative worker process number"),
    col("iid", "KGSV", |o| o.proxy_id().into(), "Proxy id"),
    col("sid", "KGSV", |o| o.id().into(), "Server or listener id"),
    col(
        "throttle",
        "MaPV",
        on!(S s => s.throttle()),
        "Percentage of the weight while starting slowly",
    ),
    col("lbtot", "MCPV", count!(lb_tot, S B), "Times a server was picked by balancing"),
    col(
        "tracked",
        "CNSV",
        on!(S s => s.tracked().map(|t| format!("{}/{}", t.backend_name, t.name))),
        "Server whose state this one follows",
    ),
    col(
        "type",
        "CGSV",
        on!(F _f => 0_u32, B _b => 1_u32, S _s => 2_u32, L _l => 3_u32),
        "0 frontend, 1 backend, 2 server, 3 listener",
    ),
    col("rate", "MRPV", |o| rate_now(o, rate(o)), "Sessions over the last second"),
    col("rate_lim", "CLPV", on!(F f => f.rate_limit()), "Limit on new sessions per second"),
    col("rate_max", "MMPV", |o| rate_max(o, rate(o)), "Highest number of new sessions per second"),
    col("check_status", "MOPV", |o| checked(o, check_status), "Status of the last health check"),
    col(
        "check_code",
        "MOPV",
        |o| checked(o, |s| s.last_check.code.into()),
        "Code of the last health check",
    ),
    col(
        "check_duration",
        "MDPV",
        |o| checked(o, |s| has_result(s).then_some(s.last_check.duration_ms).into()),
        "Milliseconds the last health check took",
    ),
    col("hrsp_1xx", "MCPV", count!(http hrsp_1xx, F S B), "Responses with a status of 100-199"),
    col("hrsp_2xx", "MCPV", count!(http hrsp_2xx, F S B), "Responses with a status of 200-299"),
    col("hrsp_3xx", "MCPV", count!(http hrsp_3xx, F S B), "Responses with a status of 300-399"),
    col("hrsp_4xx", "MCPV", count!(http hrsp_4xx, F S B), "Responses with a status of 400-499"),
    col("hrsp_5xx", "MCPV", count!(http hrsp_5xx, F S B), "Responses with a status of 500-599"),
    col("hrsp_other", "MCPV", count!(http hrsp_other, F S B), "Responses with another status"),
    col(
        "hanafail",
        "MCPV",
        |o| checked(o, |_| count!(failed_hana, S)(o)),
        "Errors seen in traffic",
    ),
    col("req_rate", "MRPV", |o| rate_now(o, request_rate(o)), "HTTP requests over the last second"),
    col(
        "req_rate_max",
        "MMPV",
        |o| rate_max(o, request_rate(o)),
        "Highest number of HTTP requests per second",
    ),
    col("req_tot", "MCPV", req_tot, "Total number of HTTP requests"),
    col("cli_abrt", "MCPV", count!(cli_aborts, S B), "Transfers aborted by the client"),
    col("srv_abrt", "MCPV", count!(srv_aborts, S B), "Transfers aborted by the server"),
    col("comp_in", "MCPV", count!(comp_in, F B), "Bytes given to the compressor"),
    col("comp_out", "MCPV", count!(comp_out, F B), "Bytes that came out of the compressor"),
    col("comp_byp", "MCPV", count!(comp_byp, F B), "Bytes that bypassed the compressor"),
    col("comp_rsp", "MCPV", count!(comp_rsp, F B), "Responses that were compressed"),
    col(
        "lastsess",
        "MAPV",
        |o| {
            let age = match &o.kind {
                Kind::Server { server, .. } => server.last_session(o.now),
                Kind::Backend(b, _) => b.last_session(o.now),
                _ => return Value::None,
            };
            Value::S32(age.map_or(-1, |secs| i32::try_from(secs).unwrap_or(i32::MAX)))
        },
        "Seconds since the last session, -1 for never",
    ),
    col(
        "last_chk",
        "MOPV",
        |o| {
            checked(o, |s| {
                has_result(s).then(|| s.last_check.info.clone()).filter(|i| !i.is_empty()).into()
            })
        },
        "Text of the last health check",
    ),
    col(
        "last_agt",
        "MOPV",
        |o| agent(o, |a| Some(a.last.info.clone()).filter(|info| !info.is_empty()).into()),
        "Text of the last agent check",
    ),
    col("qtime", "MaPV", |o| time_now(o, Time::Queue), "Average milliseconds in queue"),
    col("ctime", "MaPV", |o| time_now(o, Time::Connect), "Average milliseconds to connect"),
    col("rtime", "MaPV", |o| time_now(o, Time::Response), "Average milliseconds to respond"),
    col("ttime", "MaPV", |o| time_now(o, Time::Total), "Average milliseconds of a session"),
    col(
        "agent_status",
        "MOPV",
        |o| agent(o, |a| in_progress(a.running, a.last.status)),
        "Status of the last agent check",
    ),
    col("agent_code", "MOPV", |o| agent(o, |a| a.last.code.into()), "Code of the last agent check"),
    col(
        "agent_duration",
        "MDPV",
        |o| {
            agent(o, |a| {
                let asked = a.last.status != CheckStatus::Initializing;
                asked.then_some(a.last.duration_ms).into()
            })
        },
        "Milliseconds the last agent check took",
    ),
    col(
        "check_desc",
        "MOPV",
        |o| checked(o, |s| s.last_check.status.long().into()),
        "What check_status means",
    ),
    col(
        "agent_desc",
        "MOPV",
        |o| agent(o, |a| a.last.status.long().into()),
        "What agent_status means",
    ),
    col(
        "check_rise",
        "CGSV",
        |o| checked(o, |s| s.health.rise().into()),
        "Successes that bring the server up",
    ),
    col(
        "check_fall",
        "CGSV",
        |o| checked(o, |s| s.health.fall().into()),
        "Failures that take the server down",
    ),
    col(
        "check_health",
        "CGSV",
        |o| checked(o, |s| s.health.value().into()),
        "Health between 0 and rise+fall-1",
    ),
    col("agent_rise", "CGSV", |o| agent(o, |a| a.health.rise().into()), "Rise of the agent check"),
    col("agent_fall", "CGSV", |o| agent(o, |a| a.health.fall().into()), "Fall of the agent check"),
    col(
        "agent_health",
        "CGSV",
        |o| agent(o, |a| a.health.value().into()),
        "Health of the agent check",
    ),
    col(
        "addr",
        "CGSV",
        |o| match &o.kind {
            Kind::Listener(_, l) if o.legends => l.addr.to_string().into(),
            Kind::Server { server, .. } if o.legends => server.addr().to_string().into(),
            _ => Value::None,
        },
        "Address and port",
    ),
    col(
        "cookie",
        "CNSV",
        |o| match &o.kind {
            Kind::Server { server, .. } if o.legends => server.cookie().into(),
            Kind::Backend(b, _) if o.legends => {
                b.cookie.as_ref().map(|cookie| cookie.name.clone()).into()
            }
            _ => Value::None,
        },
        "Cookie value of the server or cookie name of the backend",
    ),
    col("mode", "CGSV", |o| o.mode().as_str().into(), "tcp or http"),
    col(
        "algo",
        "CGSV",
        |o| match &o.kind {
            Kind::Backend(b, _) if o.legends => b.lb.algorithm.name.into(),
            _ => Value::None,
        },
        "Balancing algorithm",
    ),
    col(
        "conn_rate",
        "MRPV",
        |o| match &o.kind {
            Kind::Frontend(f) => rate_now(o, Some(&f.connection_rate)),
            _ => Value::None,
        },
        "Connections over the last second",
    ),
    col(
        "conn_rate_max",
        "MMPV",
        |o| match &o.kind {
            Kind::Frontend(f) => rate_max(o, Some(&f.connection_rate)),
            _ => Value::None,
        },
        "Highest number of connections per second",
    ),
    col("conn_tot", "MCPV", count!(conn_tot, F), "Total number of connections"),
    col(
        "intercepted",
        "MCPV",
        count!(http intercepted, F B),
        "Requests answered by the proxy itself",
    ),
    col("dcon", "MCPV", count!(denied_conn, F L), "Connections denied by rules"),
    col("dses", "MCPV", count!(denied_sess, F L), "Sessions denied by rules"),
    col("wrew", "MCPV", count!(failed_rewrites, F L S B), "Header rewrites that failed"),
    col("connect", "MCPV", count!(connect, S B), "Connections opened to servers"),
    col("reuse", "MCPV", count!(reuse, S B), "Idle connections used again"),
    col("cache_lookups", "MCPV", count!(http cache_lookups, F B), "Look-ups in the cache"),
    col("cache_hits", "MCPV", count!(http cache_hits, F B), "Hits in the cache"),
    col("srv_icur", "MGPV", on!(S s => s.idle.sum()), "Idle connections kept for reuse"),
    col("src_ilim", "CLPV", on!(S s => s.spec.pool_max_conn), "Limit of idle connections"),
    col("qtime_max", "MMPV", |o| time_max(o, Time::Queue), "Highest milliseconds in queue"),
    col("ctime_max", "MMPV", |o| time_max(o, Time::Connect), "Highest milliseconds to connect"),
    col("rtime_max", "MMPV", |o| time_max(o, Time::Response), "Highest milliseconds to respond"),
    col("ttime_max", "MMPV", |o| time_max(o, Time::Total), "Highest milliseconds of a session"),
    col("eint", "MCPV", count!(internal_errors, F L S B), "Internal errors"),
    col("idle_conn_cur", "MGPV", on!(S s => s.idle.unsafe_()), "Unsafe idle connections"),
    col("safe_conn_cur", "MGPV", on!(S s => s.idle.safe()), "Safe idle connections"),
    col("used_conn_cur", "MGPV", on!(S s => s.used_connections.get()), "Connections in use"),
    col(
        "need_conn_est",
        "MGPV",
        on!(S s => s.used_connections.max()),
        "Estimated number of connections needed",
    ),
    col(
        "uweight",
        "MaPV",
        on!(S s => s.weight(), B b => b.farm().weight),
        "User weight, total for a backend",
    ),
    col("agg_server_status", "MGPV", on!(B _b => 0_u32), "Aggregated status of the servers"),
    col(
        "agg_server_check_status",
        "MGPV",
        on!(B _b => 0_u32),
        "Aggregated status of the servers (deprecated)",
    ),
    col("agg_check_status", "MGPV", on!(B _b => 0_u32), "Aggregated status of the servers' checks"),
    col("srid", "MGPV", on!(S _s => 0_u32), "Revision of the server id"),
    col("sess_other", "MCPV", sess_other, "Sessions other than HTTP"),
    col("h1sess", "MCPV", count!(h1_sess, F), "HTTP/1 sessions"),
    col("h2sess", "MCPV", count!(h2_sess, F), "HTTP/2 sessions"),
    col("h3sess", "MCPV", |o| zero(o, "F"), "HTTP/3 sessions"),
    col("req_other", "MCPV", req_other, "Requests other than HTTP"),
    col("h1req", "MCPV", count!(h1_req, F), "HTTP/1 requests"),
    col("h2req", "MCPV", count!(h2_req, F), "HTTP/2 requests"),
    col("h3req", "MCPV", |o| zero(o, "F"), "HTTP/3 requests"),
    col("proto", "CGSV", on!(L l => proto(&l.addr)), "Protocol"),
    col("priv_idle_cur", "MGPV", on!(S _s => 0_u32), "Private idle connections"),
    col("reqbin", "MCPV", count!(bytes_in, F L S B), "Request bytes received"),
    col("reqbout", "MCPV", count!(req_bytes_out, F L S B), "Request bytes sent"),
    col("resbin", "MCPV", count!(res_bytes_in, F L S B), "Response bytes received"),
    col("resbout", "MCPV", count!(bytes_out, F L S B), "Response bytes sent"),
    col(
        "cache_hint_hits",
        "MCPV",
        count!(http cache_hint_hits, F B),
        "Cache hits that sent early hints",
    ),
    col("-", "PNSV", |_| "-".into(), "End of the static columns"),
    col("ssl_sess", "MCPV", |o| tls(o, 0), "TLS sessions established"),
    col("ssl_reused_sess", "MCPV", |o| tls(o, 1), "TLS sessions resumed"),
    col("ssl_failed_handshake", "MCPV", |o| tls(o, 2), "TLS handshakes that failed"),
    mux!("h2_headers_rcvd", h2_headers, "HEADERS frames received"),
    mux!("h2_data_rcvd", h2_data, "DATA frames received"),
    mux!("h2_settings_rcvd", h2_settings, "SETTINGS frames received"),
    mux!("h2_rst_stream_rcvd", h2_rst, "RST_STREAM frames received"),
    mux!("h2_goaway_rcvd", h2_goaway, "GOAWAY frames received"),
    mux!(
        "h2_detected_conn_protocol_errors",
        h2_conn_errors,
        "HTTP/2 connections ended for the peer's faults"
    ),
    mux!(
        "h2_detected_strm_protocol_errors",
        h2_stream_errors,
        "HTTP/2 streams ended for the peer's faults"
    ),
    mux!("h2_rst_stream_resp", h2_rst_sent, "RST_STREAM frames sent"),
    mux!("h2_goaway_resp", h2_goaway_sent, "GOAWAY frames sent"),
    mux!("h2_open_connections", h2_conn - h2_conn_end, "HTTP/2 connections open now"),
    mux!("h2_backend_open_streams", h2_stream - h2_stream_end, "HTTP/2 streams open now"),
    mux!("h2_total_connections", h2_conn, "HTTP/2 connections"),
    mux!("h2_backend_total_streams", h2_stream, "HTTP/2 streams"),
    mux!("h1_open_connections", h1_conn - h1_conn_end, "HTTP/1 connections open now"),
    mux!("h1_open_streams", h1_stream - h1_stream_end, "Requests over HTTP/1 under way now"),
    mux!("h1_total_connections", h1_conn, "HTTP/1 connections"),
    mux!("h1_total_streams", h1_stream, "Requests over HTTP/1"),
    mux!("h1_bytes_in", h1_in, "Bytes received over HTTP/1"),
    mux!("h1_bytes_out", h1_out, "Bytes sent over HTTP/1"),
    col(
        "h1_spliced_bytes_in",
        "MCPV",
        count!(http spliced_in, F B),
        "Body bytes received that the kernel carried",
    ),
    col(
        "h1_spliced_bytes_out",
        "MCPV",
        count!(http spliced_out, F B),
        "Body bytes sent that the kernel carried",
    ),
];
