//! Frontends: disable, enable, shut down, limit.

use super::named::frontend;
use crate::Level;
use crate::command::{Answer, Call, Command, Reply, SessionMode};
use proxy_state::frontend::FrontendState;

const ALREADY_DOWN: &str = "Frontend was already shut down.";

fn disable(call: &mut Call<'_>) -> Answer {
    let frontend = frontend(call, call.arg(0))?;
    match frontend.state() {
        FrontendState::Stopped => {
            Err(Reply::line("Frontend was previously shut down, cannot disable."))
        }
        FrontendState::Paused => Err(Reply::line("All sockets are already disabled.")),
        FrontendState::Open => {
            call.admin.registry.set_frontend_state(frontend, FrontendState::Paused);
            call.admin.process.notice(&format!("Paused frontend {}.", frontend.name));
            Ok(Reply::done())
        }
    }
}

fn enable(call: &mut Call<'_>) -> Answer {
    let frontend = frontend(call, call.arg(0))?;
    match frontend.state() {
        FrontendState::Stopped => {
            Err(Reply::line("Frontend was previously shut down, cannot enable."))
        }
        FrontendState::Open => Err(Reply::line("All sockets are already enabled.")),
        FrontendState::Paused => {
            call.admin.registry.set_frontend_state(frontend, FrontendState::Open);
            call.admin.process.notice(&format!("Resumed frontend {}.", frontend.name));
            Ok(Reply::done())
        }
    }
}

fn shutdown(call: &mut Call<'_>) -> Answer {
    let frontend = frontend(call, call.arg(0))?;
    if !call.admin.registry.set_frontend_state(frontend, FrontendState::Stopped) {
        return Err(Reply::line(ALREADY_DOWN));
    }
    let connections = frontend.counters.total(|c| &c.conn_tot);
    let sessions = call
        .admin
        .registry
        .backend(&frontend.name)
        .map_or(0, |b| b.counters.total(|c| &c.sess_tot));
    call.admin.process.notice(&format!(
        "Proxy {} stopped (cumulated conns: FE: {connections}, BE: {sessions}).",
        frontend.name
    ));
    Ok(Reply::done())
}

fn set_maxconn(call: &mut Call<'_>) -> Answer {
    let frontend = frontend(call, call.arg(0))?;
    if call.arg(1).is_empty() {
        return Err(Reply::line("Integer value expected."));
    }
    let maxconn = call.arg(1).parse().map_err(|_| Reply::line("Integer value expected."))?;
    frontend.set_maxconn(maxconn);
    call.admin.registry.frontend_changed(frontend);
    Ok(Reply::done())
}

pub(super) static COMMANDS: &[Command] = &[
    Command {
        words: &["disable", "frontend"],
        usage: "<frontend>",
        doc: "temporarily disable specific frontend",
        level: Level::Admin,
        mode: SessionMode::Any,
        run: disable,
    },
    Command {
        words: &["enable", "frontend"],
        usage: "<frontend>",
        doc: "re-enable specific frontend",
        level: Level::Admin,
        mode: SessionMode::Any,
        run: enable,
    },
    Command {
        words: &["shutdown", "frontend"],
        usage: "<frontend>",
        doc: "stop a specific frontend",
        level: Level::Admin,
        mode: SessionMode::Any,
        run: shutdown,
    },
    Command {
        words: &["set", "maxconn", "frontend"],
        usage: "<frontend> <value>",
        doc: "change a frontend's maxconn setting",
        level: Level::Admin,
        mode: SessionMode::Any,
        run: set_maxconn,
    },
];
