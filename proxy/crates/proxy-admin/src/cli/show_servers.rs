//! `show servers state`, `show servers conn`.

use super::named::backend;
use crate::Level;
use crate::anon::Anon;
use crate::command::{Answer, Call, Command, Reply, SessionMode};
use proxy_state::server::{Admin, CheckStatus};
use proxy_state::{Backend, Now, Server};
use std::net::IpAddr;
use std::sync::Arc;

/// Titles of format version 1 (management manual, 9.3 `show servers state`).
const STATE_TITLES: &str = "# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr srv_agent_addr srv_agent_port";

/// The backends an argument selects: all without one.
fn selected(call: &Call<'_>) -> Result<Vec<Arc<Backend>>, Reply> {
    match call.arg(0) {
        "" => Ok(Vec::clone(&call.admin.registry.backends())),
        name => {
            let found = backend(call, name).ok_or_else(|| Reply::line("Can't find backend."))?;
            Ok(vec![found])
        }
    }
}

/// A line per server, made as the client reads.
fn lines(
    header: String,
    backends: Vec<Arc<Backend>>,
    line: impl Fn(&Backend, &Arc<Server>) -> String + 'static,
) -> Reply {
    let servers = backends.into_iter().flat_map(move |b| {
        let servers = b.servers();
        let text: Vec<String> = servers.iter().map(|s| line(&b, s)).collect();
        text
    });
    Reply::Pieces(Box::new(std::iter::once(header).chain(servers)))
}

/// IP address as HAProxy prints it; `-` for sockets and names that have none.
fn ip(server: &Server) -> String {
    if server.admin_state().contains(Admin::RESOLUTION_MAINT) {
        return "-".into();
    }
    server.addr().ip().map_or_else(|| "-".into(), |ip| ip.to_string())
}

/// An address of its own of a check; `-` without one.
fn address(addr: Option<IpAddr>) -> String {
    addr.map_or_else(|| "-".into(), |addr| addr.to_string())
}

/// Bits of `srv_check_state`.
mod check_state {
    pub(super) const IN_PROGRESS: u8 = 1;
    pub(super) const CONFIGURED: u8 = 2;
    pub(super) const ENABLED: u8 = 4;
    pub(super) const PAUSED: u8 = 8;
    pub(super) const AGENT: u8 = 16;
}

fn state_line(backend: &Backend, server: &Arc<Server>, now: Now, anon: Anon) -> String {
    let state = server.state(now);
    let check = server.spec.check.as_ref();
    let mut flags = 0;
    if check.is_some() {
        flags |= check_state::CONFIGURED;
        if state.check_enabled {
            flags |= check_state::ENABLED;
        }
        if state.check_running {
            flags |= check_state::IN_PROGRESS;
        }
        if state.admin.is_maint() {
            flags |= check_state::PAUSED;
        }
    }
    let last = state.last_check.status;
    let (status, result) = match check {
        None => (CheckStatus::Initializing, 0),
        Some(_) => (last, last.verdict() as u8),
    };
    let agent = server.agent();
    let agent_flags = agent.as_ref().map_or(0, |agent| {
        let mut flags = check_state::CONFIGURED | check_state::AGENT;
        if agent.enabled {
            flags |= check_state::ENABLED;
        }
        if agent.running {
            flags |= check_state::IN_PROGRESS;
        }
        flags
    });
    // -1 is 'no-ssl' that no command changed.
    let tls = match server.told_tls() {
        Some(on) => i32::from(on),
        None if server.spec.tls_cancelled => -1,
        None => i32::from(server.uses_tls()),
    };
    // Servers without a check have all the health of one with a rise and a fall of 1.
    let health = match check {
        None if state.admin.is_maint() => 0,
        None => 1,
        Some(_) => state.health.value(),
    };
    format!(
        "{} {} {} {} {} {} {} {} {} {} {} {result} {health} {flags} {agent_flags} {} {} {} {} {} {tls} {} {} {} {}\n",
        backend.id,
        anon.name(&backend.name),
        server.id,
        anon.name(&server.name),
        anon.name(&ip(server)),
        state.op as u8,
        state.admin.0,
        state.weight,
        server.spec.weight,
        now.secs_since(state.last_change),
        status.number(),
        u8::from(backend.forced_id),
        u8::from(server.spec.forced_id),
        anon.name(server.fqdn().as_deref().map_or("-", |name| name.as_str())),
        server.addr().port().unwrap_or(0),
        anon.name(server.spec.srv_record.as_deref().unwrap_or("-")),
        server.check_target().port.unwrap_or(0),
        anon.name(&address(server.check_target().addr)),
        anon.name(&address(agent.as_ref().and_then(|agent| agent.target.addr))),
        agent.as_ref().map_or(0, |agent| agent.target.port),
    )
}

fn show_state(call: &mut Call<'_>) -> Answer {
    let (now, anon) = (call.now, call.session.anon);
    let header = format!("1\n{STATE_TITLES}\n");
    Ok(lines(header, selected(call)?, move |b, s| state_line(b, s, now, anon)))
}

fn show_conn(call: &mut Call<'_>) -> Answer {
    let threads = call.admin.process.facts().threads;
    let anon = call.session.anon;
    let header = format!(
        "# bkname/svname bkid/svid addr port - purge_delay served used_cur used_max need_est idle_sess unsafe_nb safe_nb idle_lim idle_cur idle_per_thr[{threads}]\n"
    );
    Ok(lines(header, selected(call)?, move |b, s| {
        let idle = s.idle.sum();
        let limit = s.spec.pool_max_conn.map_or(-1, i64::from);
        let counts = s.idle.by_thread().chain(std::iter::repeat(0));
        let per_thread: String =
            counts.take(threads as usize).map(|count| format!(" {count}")).collect();
        format!(
            "{}/{} {}/{} {} {} - {} {} {} {} {} 0 {} {} {limit} {idle}{per_thread}\n",
            anon.name(&b.name),
            anon.name(&s.name),
            b.id,
            s.id,
            anon.name(&ip(s)),
            s.addr().port().unwrap_or(0),
            s.spec.pool_purge_delay.as_millis(),
            s.sessions.own(),
            s.used_connections.get(),
            s.used_connections.max(),
            s.used_connections.max(),
            s.idle.unsafe_(),
            s.idle.safe(),
        )
    }))
}

pub(super) static COMMANDS: &[Command] = &[
    Command {
        words: &["show", "servers", "state"],
        usage: "[<backend>]",
        doc: "dump volatile server information (all or for a single backend)",
        level: Level::User,
        mode: SessionMode::Any,
        run: show_state,
    },
    Command {
        words: &["show", "servers", "conn"],
        usage: "[<backend>]",
        doc: "dump server connections status (all or for a single backend)",
        level: Level::User,
        mode: SessionMode::Any,
        run: show_conn,
    },
];
