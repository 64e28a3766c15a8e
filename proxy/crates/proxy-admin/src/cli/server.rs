//! Commands that change servers.

use super::{done, find_server, refuse};
use crate::Level;
use crate::command::{Answer, Call, Command, Reply};
use proxy_state::server::OpState;
use proxy_state::{Server, SockAddr};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

const ADMIN: Level = Level::Admin;

pub(super) static COMMANDS: &[Command] = &[
    Command {
        words: &["disable", "health"],
        usage: "<bk>/<srv>",
        doc: "disable health checks",
        level: ADMIN,
        run: |c| health_checks(c, false),
    },
    Command {
        words: &["disable", "server"],
        usage: "<bk>/<srv>",
        doc: "disable a server for maintenance (use 'set server' instead)",
        level: ADMIN,
        run: |c| change(c, |s, c| s.set_maint(c.now)),
    },
    Command {
        words: &["enable", "health"],
        usage: "<bk>/<srv>",
        doc: "enable health checks",
        level: ADMIN,
        run: |c| health_checks(c, true),
    },
    Command {
        words: &["enable", "server"],
        usage: "<bk>/<srv>",
        doc: "enable a disabled server (use 'set server' instead)",
        level: ADMIN,
        run: |c| change(c, |s, c| s.set_ready(c.now)),
    },
    Command {
        words: &["get", "weight"],
        usage: "<bk>/<srv>",
        doc: "report a server's current weight",
        level: Level::User,
        run: get_weight,
    },
    Command {
        words: &["set", "maxconn", "server"],
        usage: "<bk>/<srv> <n>",
        doc: "change a server's maxconn setting",
        level: ADMIN,
        run: set_maxconn,
    },
    Command {
        words: &["set", "server"],
        usage: "<bk>/<srv> [opts]",
        doc: "change a server's state, weight, address",
        level: ADMIN,
        run: set_server,
    },
    Command {
        words: &["set", "weight"],
        usage: "<bk>/<srv> <w>",
        doc: "change a server's weight (use 'set server' instead)",
        level: ADMIN,
        run: |c| {
            let (_, server) = find_server(c, 0)?;
            set_weight(c, &server, 1)
        },
    },
    Command {
        words: &["shutdown", "sessions", "server"],
        usage: "<bk>/<srv>",
        doc: "kill sessions on a server",
        level: ADMIN,
        run: |c| {
            find_server(c, 0)?.1.shutdown_sessions();
            done()
        },
    },
];

fn change<T>(
    call: &mut Call<'_>,
    act: impl FnOnce(&Arc<Server>, &Call<'_>) -> Option<T>,
) -> Answer {
    let (_, server) = find_server(call, 0)?;
    // The change itself is told to whoever logs it.
    let _ = act(&server, call);
    done()
}

fn health_checks(call: &mut Call<'_>, enabled: bool) -> Answer {
    let (_, server) = find_server(call, 0)?;
    if !server.set_check_enabled(enabled) {
        return refuse("Health checks are not configured on this server, cannot enable.");
    }
    done()
}

fn get_weight(call: &mut Call<'_>) -> Answer {
    let (_, server) = find_server(call, 0)?;
    Ok(Reply::line(format!("{} (initial {})", server.weight(), server.spec.weight)))
}

fn set_weight(call: &Call<'_>, server: &Arc<Server>, n: usize) -> Answer {
    server.set_weight_text(call.arg(n), call.now)?;
    done()
}

fn set_maxconn(call: &mut Call<'_>) -> Answer {
    let (_, server) = find_server(call, 0)?;
    match call.arg(1).parse() {
        Ok(limit) => server.set_maxconn(limit),
        Err(_) if call.arg(1).is_empty() => return refuse("Require <maxconn>."),
        Err(_) => return refuse("maxconn string must be a positive number."),
    }
    done()
}

fn set_server(call: &mut Call<'_>) -> Answer {
    let (_, server) = find_server(call, 0)?;
    match call.arg(1) {
        "weight" => set_weight(call, &server, 2),
        "state" => {
            let _ = match call.arg(2) {
                "ready" => server.set_ready(call.now),
                "drain" => server.set_drain(call.now),
                "maint" => server.set_maint(call.now),
                _ => {
                    return refuse(
                        "'set server <srv> state' expects 'ready', 'drain' and 'maint'.",
                    );
                }
            };
            done()
        }
        "health" => {
            if server.tracked().is_some() {
                return refuse("cannot change health on a tracking server.");
            }
            let to = match call.arg(2) {
                "up" => OpState::Running,
                "stopping" => OpState::Stopping,
                "down" => OpState::Stopped,
                _ => {
                    return refuse(
                        "'set server <srv> health' expects 'up', 'stopping', or 'down'.",
                    );
                }
            };
            let _ = server.force_health(to, call.now);
            done()
        }
        "addr" => set_addr(call, &server),
        known @ ("agent" | "agent-addr" | "agent-port" | "agent-send" | "check-addr"
        | "check-port" | "fqdn" | "name" | "ssl") => {
            refuse(format!("'set server <srv> {known}' is known, not carried yet."))
        }
        _ => refuse(
            "usage: set server <backend>/<server> addr | agent | agent-addr | agent-port | agent-send | \
             check-addr | check-port | fqdn | health | ssl | state | weight",
        ),
    }
}

/// `set server <srv> addr <ip> [port <port>]`; a port with a sign is relative to the client's.
fn set_addr(call: &Call<'_>, server: &Arc<Server>) -> Answer {
    let text = call.arg(2);
    let Ok(ip) = text.parse::<IpAddr>() else {
        return refuse(format!("Invalid addr '{text}' by 'stats socket command'"));
    };
    let Some(before) = server.addr().inet() else {
        return refuse("This server has no IP address to change.");
    };
    let port = match (call.arg(3), call.arg(4)) {
        ("", _) => before.port(),
        ("port", port) => match port.parse() {
            Ok(port) => port,
            Err(_) => return refuse(format!("Invalid port '{port}' by 'stats socket command'")),
        },
        _ => return refuse("set server <b>/<s> addr requires an address and optionally a port."),
    };
    let Some(change) = server.set_addr(SockAddr::Inet(SocketAddr::new(ip, port))) else {
        return Ok(Reply::line("no need to change the addr by 'stats socket command'"));
    };
    let part = |from: Option<String>, to: Option<String>, what: &str| match (from, to) {
        (Some(from), Some(to)) if from != to => {
            Some(format!("{what} changed from '{from}' to '{to}'"))
        }
        _ => None,
    };
    let texts: Vec<_> = [
        part(
            change.from.ip().map(|ip| ip.to_string()),
            change.to.ip().map(|ip| ip.to_string()),
            "IP",
        ),
        part(
            change.from.port().map(|port| port.to_string()),
            change.to.port().map(|port| port.to_string()),
            "port",
        ),
    ]
    .into_iter()
    .flatten()
    .collect();
    let said = format!("{} by 'stats socket command'", texts.join(", "));
    call.admin.process.notice(&format!("{}/{} {said}", server.backend_name, server.name));
    Ok(Reply::line(said))
}
