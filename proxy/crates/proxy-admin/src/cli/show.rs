//! Commands that show something of the process and its objects.

use super::refuse;
use crate::Level;
use crate::command::{Answer, Call, Command, Reply};
use proxy_state::server::Server;
use proxy_state::{Backend, Now, SockAddr};
use std::fmt::Write;
use std::sync::Arc;

pub(super) static COMMANDS: &[Command] = &[
    Command {
        words: &["show", "backend"],
        usage: "",
        doc: "list backends in the current running config",
        level: Level::User,
        run: backends,
    },
    Command {
        words: &["show", "env"],
        usage: "[var]",
        doc: "dump environment variables known to the process",
        level: Level::Operator,
        run: env,
    },
    Command {
        words: &["show", "errors"],
        usage: "[<px>] [request|response]",
        doc: "report last request and/or response errors for each proxy",
        level: Level::Operator,
        run: errors,
    },
    Command {
        words: &["show", "servers", "conn"],
        usage: "[<backend>]",
        doc: "dump server connections status (all or for a single backend)",
        level: Level::Operator,
        run: servers_conn,
    },
    Command {
        words: &["show", "servers", "state"],
        usage: "[<backend>]",
        doc: "dump volatile server information (all or for a single backend)",
        level: Level::User,
        run: servers_state,
    },
    Command {
        words: &["show", "sess"],
        usage: "",
        doc: "report the list of current sessions",
        level: Level::Operator,
        run: sessions,
    },
    Command {
        words: &["show", "startup-logs"],
        usage: "",
        doc: "report logs emitted during startup",
        level: Level::Operator,
        run: |c| Ok(Reply::Text(c.admin.process.startup_logs())),
    },
    Command {
        words: &["show", "version"],
        usage: "",
        doc: "show version of the current process",
        level: Level::User,
        run: |c| Ok(Reply::line(c.admin.product.version.clone())),
    },
];

fn backends(call: &mut Call<'_>) -> Answer {
    let mut text = String::from("# name\n");
    for backend in call.admin.registry.backends() {
        let _ = writeln!(text, "{}", backend.name);
    }
    Ok(Reply::Text(text))
}

fn env(call: &mut Call<'_>) -> Answer {
    let wanted = call.arg(0);
    let mut text = String::new();
    for (name, value) in call.admin.process.environment() {
        if wanted.is_empty() || wanted == name {
            let _ = writeln!(text, "{name}={value}");
        }
    }
    if text.is_empty() && !wanted.is_empty() {
        return refuse("Variable not found");
    }
    Ok(Reply::Text(text))
}

fn errors(call: &mut Call<'_>) -> Answer {
    let wall = call.admin.process.wall();
    let secs = wall.duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    Ok(Reply::line(format!(
        "Total events captured on [@{secs}] : 0 (captures are not carried yet)"
    )))
}

/// The backends an optional argument names.
fn wanted(call: &Call<'_>) -> Result<Vec<Arc<Backend>>, Reply> {
    let registry = &call.admin.registry;
    match call.arg(0) {
        "" => Ok(registry.backends().to_vec()),
        name => match registry.backend(name) {
            Some(backend) => Ok(vec![backend.clone()]),
            None => refuse("Can't find backend."),
        },
    }
}

fn servers_state(call: &mut Call<'_>) -> Answer {
    let backends = wanted(call)?;
    let now = call.now;
    let head = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight \
                srv_iweight srv_time_since_last_change srv_check_status srv_check_result \
                srv_check_health srv_check_state srv_agent_state bk_f_forced_id srv_f_forced_id \
                srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr \
                srv_agent_addr srv_agent_port\n";
    let lines = backends.into_iter().flat_map(move |backend| {
        let servers = backend.servers();
        servers.iter().map(|server| server_state(&backend, server, now)).collect::<Vec<_>>()
    });
    Ok(Reply::Pieces(Box::new(std::iter::once(head.to_owned()).chain(lines))))
}

/// Bits of `srv_check_state`: in progress, configured, enabled, paused by maintenance.
fn check_state(server: &Arc<Server>, state: &proxy_state::server::StateView) -> u8 {
    let configured = server.spec.check.is_some();
    u8::from(state.check_running)
        | u8::from(configured) << 1
        | u8::from(configured && state.check_enabled) << 2
        | u8::from(configured && state.admin.is_maint()) << 3
}

fn server_state(backend: &Backend, server: &Arc<Server>, now: Now) -> String {
    let state = server.state(now);
    let addr = server.addr();
    let ip = match &**addr {
        SockAddr::Inet(addr) => addr.ip().to_string(),
        SockAddr::Unix(_) | SockAddr::Abstract(_) => "-".to_owned(),
    };
    let check = server.spec.check.as_ref();
    format!(
        "{} {} {} {} {ip} {} {} {} {} {} {} {} {} {} 0 {} {} {} {} - 0 {} {} - 0\n",
        backend.id,
        backend.name,
        server.id,
        server.name,
        state.op as u8,
        state.admin.0,
        state.weight,
        server.spec.weight,
        now.secs_since(state.last_change),
        state.last_check.status.number(),
        state.last_check.status.verdict() as u8,
        state.health.value(),
        check_state(server, &state),
        u8::from(backend.forced_id),
        u8::from(server.spec.forced_id),
        server.spec.fqdn.as_deref().unwrap_or("-"),
        addr.port().unwrap_or(0),
        check.and_then(|check| check.port).unwrap_or(0),
        check.and_then(|check| check.addr).map_or_else(|| "-".to_owned(), |ip| ip.to_string()),
    )
}

fn servers_conn(call: &mut Call<'_>) -> Answer {
    let mut text = String::from(
        "# bkname/svname bkid/svid addr port - purge_delay used_cur used_max need_est unsafe_nb \
         safe_nb idle_lim idle_cur idle_per_thr[0]\n",
    );
    for backend in wanted(call)? {
        for server in backend.servers().iter() {
            let addr = server.addr();
            let ip = addr.ip().map_or_else(|| "-".to_owned(), |ip| ip.to_string());
            let used = &server.used_connections;
            let _ = writeln!(
                text,
                "{}/{} {}/{} {ip} {} - {} {} {} {} {} {} {} {}",
                backend.name,
                server.name,
                backend.id,
                server.id,
                addr.port().unwrap_or(0),
                server.spec.pool_purge_delay.as_millis(),
                used.get(),
                used.max(),
                used.max(),
                server.idle_unsafe.get(),
                server.idle_safe.get(),
                server.spec.pool_max_conn.map_or(-1, i64::from),
                server.idle_safe.get() + server.idle_unsafe.get(),
            );
        }
    }
    Ok(Reply::Text(text))
}

fn sessions(call: &mut Call<'_>) -> Answer {
    let later = call.admin.process.sessions();
    Ok(Reply::Later(Box::pin(async move {
        let mut text = String::new();
        for session in later.await {
            let _ = writeln!(
                text,
                "{:#x}: proto={} src={} fe={} be={} srv={} ts={:02x} age={}s in={} out={} phase={} exp={}",
                session.id,
                session.proto,
                session.source,
                session.frontend,
                session.backend.as_deref().unwrap_or("<NONE>"),
                session.server.as_deref().unwrap_or("<none>"),
                session.thread,
                session.age_secs,
                session.bytes_in,
                session.bytes_out,
                session.phase,
                session.expires_secs.map_or_else(String::new, |secs| format!("{secs}s")),
            );
        }
        Reply::Text(text)
    })))
}
