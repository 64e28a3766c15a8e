//! Commands that change frontends and limits of the process.

use super::{done, find_frontend, refuse};
use crate::Level;
use crate::command::{Answer, Call, Command};
use proxy_state::frontend::FrontendState;

const ADMIN: Level = Level::Admin;

pub(super) static COMMANDS: &[Command] = &[
    Command {
        words: &["disable", "frontend"],
        usage: "<frontend>",
        doc: "temporarily disable specific frontend",
        level: ADMIN,
        run: disable,
    },
    Command {
        words: &["enable", "frontend"],
        usage: "<frontend>",
        doc: "re-enable specific frontend",
        level: ADMIN,
        run: enable,
    },
    Command {
        words: &["set", "maxconn", "frontend"],
        usage: "<frontend> <n>",
        doc: "change a frontend's maxconn setting",
        level: ADMIN,
        run: set_maxconn,
    },
    Command {
        words: &["set", "maxconn", "global"],
        usage: "<n>",
        doc: "change the per-process maxconn setting",
        level: ADMIN,
        run: set_global_maxconn,
    },
    Command {
        words: &["set", "rate-limit"],
        usage: "<setting> <n>",
        doc: "change a rate limiting value",
        level: ADMIN,
        run: set_rate_limit,
    },
    Command {
        words: &["shutdown", "frontend"],
        usage: "<frontend>",
        doc: "stop a specific frontend",
        level: ADMIN,
        run: shutdown,
    },
];

fn disable(call: &mut Call<'_>) -> Answer {
    let frontend = find_frontend(call, 0)?;
    match frontend.state() {
        FrontendState::Stopped => refuse("Frontend was previously shut down, cannot disable."),
        FrontendState::Paused => refuse("All sockets are already disabled."),
        FrontendState::Open => {
            call.admin.registry.set_frontend_state(&frontend, FrontendState::Paused);
            done()
        }
    }
}

fn enable(call: &mut Call<'_>) -> Answer {
    let frontend = find_frontend(call, 0)?;
    match frontend.state() {
        FrontendState::Stopped => refuse("Frontend was previously shut down, cannot enable."),
        FrontendState::Open => refuse("All sockets are already enabled."),
        FrontendState::Paused => {
            call.admin.registry.set_frontend_state(&frontend, FrontendState::Open);
            done()
        }
    }
}

fn shutdown(call: &mut Call<'_>) -> Answer {
    let frontend = find_frontend(call, 0)?;
    if frontend.state() == FrontendState::Stopped {
        return refuse("Frontend was already shut down.");
    }
    call.admin.registry.set_frontend_state(&frontend, FrontendState::Stopped);
    call.admin.process.notice(&format!("Proxy {} stopped (by command).", frontend.name));
    done()
}

fn set_maxconn(call: &mut Call<'_>) -> Answer {
    let frontend = find_frontend(call, 0)?;
    match call.arg(1).parse() {
        Ok(limit) => frontend.set_maxconn(limit),
        Err(_) if call.arg(1).is_empty() => return refuse("Integer value expected."),
        Err(_) => return refuse("Value out of range."),
    }
    call.admin.registry.frontend_changed(&frontend);
    done()
}

fn set_global_maxconn(call: &mut Call<'_>) -> Answer {
    match call.arg(0).parse() {
        Ok(limit) if call.admin.registry.process.set_maxconn(limit) => done(),
        Err(_) if call.arg(0).is_empty() => refuse("Expects an integer value."),
        _ => refuse("Value out of range."),
    }
}

fn set_rate_limit(call: &mut Call<'_>) -> Answer {
    let process = &call.admin.registry.process;
    let limit = |n: usize| call.arg(n).parse::<u32>();
    match (call.arg(0), call.arg(1)) {
        ("connections", "global") => match limit(2) {
            Ok(limit) => process.set_conn_rate_limit(limit),
            Err(_) => return refuse("Expects an integer value."),
        },
        ("sessions", "global") => match limit(2) {
            Ok(limit) => process.set_sess_rate_limit(limit),
            Err(_) => return refuse("Expects an integer value."),
        },
        (known @ ("ssl-sessions" | "http-compression"), _) => {
            return refuse(format!("'set rate-limit {known}' is known, not carried yet."));
        }
        ("connections" | "sessions", _) => {
            return refuse("'set rate-limit' expects 'global' after the setting.");
        }
        _ => {
            return refuse(
                "'set rate-limit' supports 'connections', 'sessions', 'ssl-sessions', and 'http-compression'.",
            );
        }
    }
    done()
}
