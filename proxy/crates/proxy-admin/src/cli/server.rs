//! Servers: state, weight, address, limits, health, sessions.

use super::named::{backend, server};
use crate::Level;
use crate::command::{Answer, Call, Command, Reply, SessionMode};
use proxy_names::FqdnError;
use proxy_state::server::{Admin, AgentTarget, OpState};
use proxy_state::{Server, SockAddr};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;

/// What `set server <b>/<s> <what>` changes: word, whether it is in this build, function.
type Setting = (&'static str, fn(&mut Call<'_>, &Arc<Server>) -> Answer);

static SETTINGS: &[Setting] = &[
    ("addr", set_addr),
    ("agent", set_agent),
    ("agent-addr", set_agent_addr),
    ("agent-port", set_agent_port),
    ("agent-send", set_agent_send),
    ("check-addr", set_check_addr),
    ("check-port", set_check_port),
    ("fqdn", set_fqdn),
    ("health", set_health),
    ("name", set_name),
    ("ssl", set_ssl),
    ("state", set_state),
    ("weight", set_weight_of),
    ("maxconn", set_maxconn_of),
];

fn set_server(call: &mut Call<'_>) -> Answer {
    let server = server(call, call.arg(0))?;
    match SETTINGS.iter().find(|(word, _)| *word == call.arg(1)) {
        Some((_, run)) => run(call, &server),
        None => {
            let words: Vec<&str> = SETTINGS.iter().map(|(word, _)| *word).collect();
            Err(Reply::line(format!("usage: set server <backend>/<server> {}", words.join(" | "))))
        }
    }
}

fn set_state(call: &mut Call<'_>, server: &Arc<Server>) -> Answer {
    match call.arg(2) {
        "ready" => server.set_ready(call.now),
        "drain" => server.set_drain(call.now),
        "maint" => server.set_maint(call.now),
        _ => {
            return Err(Reply::line(
                "'set server <srv> state' expects 'ready', 'drain' and 'maint'.",
            ));
        }
    };
    Ok(Reply::done())
}

/// `set server <b>/<s> ssl`: from the next connection on.
fn set_ssl(call: &mut Call<'_>, server: &Arc<Server>) -> Answer {
    let on = match call.arg(2) {
        "on" => true,
        "off" => false,
        _ => return Err(Reply::line("'set server <srv> ssl' expects 'on' or 'off'.")),
    };
    if !server.set_tls(on) {
        return Err(Reply::line(
            "'set server <srv> ssl' cannot be set: default-server should define ssl settings.",
        ));
    }
    Ok(Reply::line("server ssl setting updated."))
}

fn set_health(call: &mut Call<'_>, server: &Arc<Server>) -> Answer {
    let to = match call.arg(2) {
        "up" => OpState::Running,
        "stopping" => OpState::Stopping,
        "down" => OpState::Stopped,
        _ => {
            return Err(Reply::line(
                "'set server <srv> health' expects 'up', 'stopping', or 'down'.",
            ));
        }
    };
    if server.tracked().is_some() {
        return Err(Reply::line("cannot change health on a tracking server."));
    }
    server.force_health(to, call.now);
    Ok(Reply::done())
}

fn set_weight_of(call: &mut Call<'_>, server: &Arc<Server>) -> Answer {
    server.set_weight_text(call.arg(2), call.now)?;
    Ok(Reply::done())
}

fn set_maxconn_of(call: &mut Call<'_>, server: &Arc<Server>) -> Answer {
    apply_maxconn(server, call.arg(2))
}

fn apply_maxconn(server: &Server, text: &str) -> Answer {
    server.set_maxconn_text(text)?;
    Ok(Reply::done())
}

const NO_AGENT: &str = "agent checks are not enabled on this server";

fn set_agent(call: &mut Call<'_>, server: &Arc<Server>) -> Answer {
    if server.agent().is_none() {
        return Err(Reply::line(format!("{NO_AGENT}.")));
    }
    let up = match call.arg(2) {
        "up" => true,
        "down" => false,
        _ => return Err(Reply::line("'set server <srv> agent' expects 'up' or 'down'.")),
    };
    server.force_agent(up, call.now);
    Ok(Reply::done())
}

/// Changes where the agent is, or what it is told.
fn edit_agent(server: &Server, edit: impl FnOnce(&mut AgentTarget)) -> Answer {
    if server.set_agent_target(edit) { Ok(Reply::done()) } else { Err(Reply::line(NO_AGENT)) }
}

fn agent_port(text: &str) -> Result<u16, Reply> {
    match text.parse() {
        Ok(port @ 1..) => Ok(port),
        _ => Err(Reply::line(format!("provided port '{text}' is not a number from 1 to 65535"))),
    }
}

/// `set server <b>/<s> agent-addr <addr> [port <port>]`; host names are looked up.
fn set_agent_addr(call: &mut Call<'_>, server: &Arc<Server>) -> Answer {
    let (host, word, port) = (call.arg(2), call.arg(3), call.arg(4));
    if server.agent().is_none() {
        return Err(Reply::line(NO_AGENT));
    }
    let port = match word {
        "" => None,
        "port" => Some(agent_port(port)?),
        other => return Err(Reply::line(format!("expected 'port <port>', got '{other}'"))),
    };
    let found = host.parse().ok().or_else(|| {
        let found = (host, 0).to_socket_addrs().ok()?.next()?;
        Some(found.ip())
    });
    let Some(addr) = found else {
        return Err(Reply::line(format!("invalid addr '{host}'")));
    };
    edit_agent(server, |target| {
        target.addr = Some(addr);
        target.port = port.unwrap_or(target.port);
    })
}

fn set_agent_port(call: &mut Call<'_>, server: &Arc<Server>) -> Answer {
    let port = agent_port(call.arg(2))?;
    edit_agent(server, |target| target.port = port)
}

fn set_agent_send(call: &mut Call<'_>, server: &Arc<Server>) -> Answer {
    let text = call.arg(2).to_owned();
    edit_agent(server, |target| target.send = text)
}

const NO_CHECK: &str = "health checks are not enabled on this server";

fn check_port(text: &str) -> Result<u16, Reply> {
    text.parse().map_err(|_| Reply::line("provided port is invalid"))
}

/// `set server <b>/<s> check-addr <ip> [port <port>]`; a port of 0 is the server's.
fn set_check_addr(call: &mut Call<'_>, server: &Arc<Server>) -> Answer {
    let (addr, word, port) = (call.arg(2), call.arg(3), call.arg(4));
    if addr.is_empty() {
        return Err(Reply::line(
            "set server <b>/<s> check-addr requires an address and optionally a port.",
        ));
    }
    if server.spec.check.is_none() {
        return Err(Reply::line(NO_CHECK));
    }
    let addr: IpAddr = addr.parse().map_err(|_| Reply::line(format!("invalid addr '{addr}'")))?;
    let port = match word {
        "" => None,
        "port" => Some(check_port(port)?),
        other => return Err(Reply::line(format!("expected 'port <port>', got '{other}'"))),
    };
    server.set_check_target(|target| {
        target.addr = Some(addr);
        target.port = port.map_or(target.port, |port| Some(port).filter(|port| *port != 0));
    });
    Ok(Reply::done())
}

/// `set server <b>/<s> check-port <port>`; 0 is the server's.
fn set_check_port(call: &mut Call<'_>, server: &Arc<Server>) -> Answer {
    if call.arg(2).is_empty() {
        return Err(Reply::line("set server <b>/<s> check-port requires a port."));
    }
    if server.spec.check.is_none() {
        return Err(Reply::line(NO_CHECK));
    }
    let port = Some(check_port(call.arg(2))?).filter(|port| *port != 0);
    server.set_check_target(|target| target.port = port);
    Ok(Reply::done())
}

/// `set server <b>/<s> name <new>`: of a server in maintenance that nothing in the configuration names.
fn set_name(call: &mut Call<'_>, server: &Arc<Server>) -> Answer {
    let name = call.arg(2);
    if name.is_empty() {
        return Err(Reply::line("set server <b>/<s> name requires a new name."));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_:.-".contains(c);
    if let Some(c) = name.chars().find(|c| !allowed(*c)) {
        return Err(Reply::line(format!("character '{c}' is not permitted in server names.")));
    }
    if !server.admin_state().is_maint() {
        return Err(Reply::line("Server must be in maintenance before it gets another name."));
    }
    if server.is_named() {
        return Err(Reply::line("The configuration names this server: it cannot be renamed."));
    }
    let before = format!("{}/{}", server.backend_name, server.name);
    let farm = server.backend().ok_or_else(|| Reply::line("No such backend."))?;
    let taken = |_| Reply::line("Already exists a server with the same name in backend.");
    farm.rename_server(server, name).map_err(taken)?;
    let text = format!("{before} is called {}/{name} by 'stats socket command'", farm.name);
    call.admin.process.notice(&text);
    Ok(Reply::line("Server renamed."))
}

/// `set server <b>/<s> addr <ip> [port <port>]`. The answer says what changed, in HAProxy's words.
fn set_addr(call: &mut Call<'_>, server: &Arc<Server>) -> Answer {
    const BY: &str = "by 'stats socket command'";
    let (ip, port_word, port) = (call.arg(2), call.arg(3), call.arg(4));
    if ip.is_empty() {
        return Err(Reply::line(
            "set server <b>/<s> addr requires an address and optionally a port.",
        ));
    }
    let ip: IpAddr = ip.parse().map_err(|_| Reply::line(format!("Invalid addr '{ip}' {BY}")))?;
    let old = server.addr().inet();
    let old_ip = old.map(|a| a.ip());
    let old_port = old.map_or(0, |a| a.port());
    let addr_part = match old_ip {
        Some(old) if old == ip => "no need to change the addr".to_owned(),
        Some(old) => format!("IP changed from '{old}' to '{ip}'"),
        None => format!("IP changed from 'unix' to '{ip}'"),
    };
    let (new_port, port_part) = match port_word {
        "port" => {
            let number: u16 = port.parse().map_err(|_| {
                Reply::line(format!("{addr_part}, problem converting port '{port}' to an int {BY}"))
            })?;
            if number == old_port {
                (number, ", no need to change the port".to_owned())
            } else {
                (number, format!(", port changed from '{old_port}' to '{number}'"))
            }
        }
        _ => (old_port, String::new()),
    };
    let change = server.set_addr(SockAddr::Inet(SocketAddr::new(ip, new_port)));
    if server.admin_state().contains(Admin::RESOLUTION_MAINT) {
        server.set_resolved(call.now);
    }
    let text = format!("{addr_part}{port_part} {BY}");
    if change.is_some() {
        let path = format!("{}/{}", server.backend_name, server.name);
        call.admin.process.notice(&format!("{path} changed its {text}."));
    }
    Ok(Reply::line(text))
}

/// `set server <b>/<s> fqdn <name>`, in HAProxy's words.
fn set_fqdn(call: &mut Call<'_>, server: &Arc<Server>) -> Answer {
    const BY: &str = "by 'stats socket command'";
    let name = call.arg(2);
    if name.is_empty() {
        return Err(Reply::line("set server <b>/<s> fqdn requires a FQDN."));
    }
    let names = call.admin.names.as_ref();
    let changed = names.map_or(Err(FqdnError::NotWatched), |names| names.set_fqdn(server, name));
    match changed {
        Ok(None) => Ok(Reply::line(format!("no need to change the FDQN {BY}"))),
        Ok(Some(before)) => {
            let before = before.as_ref().map_or("(null)", |name| name.as_str());
            let path = format!("{}/{}", server.backend_name, server.name);
            let text = format!("{path} changed its FQDN from {before} to {name} {BY}");
            call.admin.process.notice(&text);
            Ok(Reply::line(text))
        }
        Err(FqdnError::NotWatched) => {
            Err(Reply::line("set server <b>/<s> fqdn failed because no resolution is configured."))
        }
        Err(FqdnError::BadName(_)) => Err(Reply::line(format!("invalid fqdn '{name}' {BY}"))),
    }
}

/// `add server <backend>/<server> <addr> [settings]`.
fn add(call: &mut Call<'_>) -> Answer {
    let Some((farm, name)) = call.arg(0).split_once('/') else {
        return Err(Reply::line("Require 'backend/server'."));
    };
    let farm = backend(call, farm).ok_or_else(|| Reply::line("No such backend."))?;
    let words: Vec<String> =
        std::iter::once(name.to_owned()).chain(call.args.iter().skip(1).cloned()).collect();
    call.admin.builder.add_server(&farm, &words, call.now).map_err(Reply::line)?;
    Ok(Reply::line("New server registered."))
}

/// `add server help`.
fn add_help(call: &mut Call<'_>) -> Answer {
    let mut words = call.admin.builder.server_words();
    words.sort_unstable();
    let line =
        |(name, syntax): (&str, &str)| format!("  {name} {syntax}").trim_end().to_owned() + "\n";
    let head = "List of keywords supported for dynamic servers:\n".to_owned();
    Ok(Reply::Text(head + &words.into_iter().map(line).collect::<String>()))
}

fn remove(call: &mut Call<'_>) -> Answer {
    let server = server(call, call.arg(0))?;
    call.admin.builder.remove_server(&server, call.now).map_err(Reply::line)?;
    Ok(Reply::line("Server deleted."))
}

fn disable(call: &mut Call<'_>) -> Answer {
    server(call, call.arg(0))?.set_maint(call.now);
    Ok(Reply::done())
}

fn enable(call: &mut Call<'_>) -> Answer {
    server(call, call.arg(0))?.set_ready(call.now);
    Ok(Reply::done())
}

fn disable_health(call: &mut Call<'_>) -> Answer {
    server(call, call.arg(0))?.set_check_enabled(false);
    Ok(Reply::done())
}

fn disable_agent(call: &mut Call<'_>) -> Answer {
    server(call, call.arg(0))?.set_agent_enabled(false);
    Ok(Reply::done())
}

fn enable_agent(call: &mut Call<'_>) -> Answer {
    if server(call, call.arg(0))?.set_agent_enabled(true) {
        Ok(Reply::done())
    } else {
        Err(Reply::line("Agent was not configured on this server, cannot enable."))
    }
}

fn enable_health(call: &mut Call<'_>) -> Answer {
    if server(call, call.arg(0))?.set_check_enabled(true) {
        Ok(Reply::done())
    } else {
        Err(Reply::line("Health check was not configured on this server, cannot enable."))
    }
}

fn get_weight(call: &mut Call<'_>) -> Answer {
    let server = server(call, call.arg(0))?;
    Ok(Reply::line(format!("{} (initial {})", server.weight(), server.spec.weight)))
}

fn set_weight(call: &mut Call<'_>) -> Answer {
    let server = server(call, call.arg(0))?;
    server.set_weight_text(call.arg(1), call.now)?;
    Ok(Reply::done())
}

fn set_maxconn(call: &mut Call<'_>) -> Answer {
    let server = server(call, call.arg(0))?;
    apply_maxconn(&server, call.arg(1))
}

fn shutdown_sessions(call: &mut Call<'_>) -> Answer {
    server(call, call.arg(0))?.shutdown_sessions();
    Ok(Reply::done())
}

pub(super) static COMMANDS: &[Command] = &[
    Command::admin(
        &["add", "server"],
        "<bk>/<srv> <addr> [<settings>]",
        "create a new server",
        add,
    ),
    Command::admin(&["add", "server", "help"], "", "list the keywords of 'add server'", add_help),
    Command::admin(&["del", "server"], "<bk>/<srv>", "take a server in maintenance away", remove),
    Command::admin(
        &["set", "server"],
        "<bk>/<srv> [opts]",
        "change a server's state, weight or address",
        set_server,
    ),
    Command::admin(
        &["disable", "server"],
        "(DEPRECATED)",
        "disable a server for maintenance (use 'set server' instead)",
        disable,
    ),
    Command::admin(
        &["enable", "server"],
        "(DEPRECATED)",
        "enable a disabled server (use 'set server' instead)",
        enable,
    ),
    Command::admin(&["disable", "agent"], "", "disable agent checks", disable_agent),
    Command::admin(&["enable", "agent"], "", "enable agent checks", enable_agent),
    Command::admin(&["disable", "health"], "", "disable health checks", disable_health),
    Command::admin(&["enable", "health"], "", "enable health checks", enable_health),
    Command {
        words: &["get", "weight"],
        usage: "<bk>/<srv>",
        doc: "report a server's current weight",
        level: Level::User,
        mode: SessionMode::Any,
        run: get_weight,
    },
    Command::admin(
        &["set", "weight"],
        "<bk>/<srv>  (DEPRECATED)",
        "change a server's weight (use 'set server' instead)",
        set_weight,
    ),
    Command::admin(
        &["set", "maxconn", "server"],
        "<bk>/<srv>",
        "change a server's maxconn setting",
        set_maxconn,
    ),
    Command::admin(
        &["shutdown", "sessions", "server"],
        "<bk>/<srv>",
        "kill sessions on a server",
        shutdown_sessions,
    ),
];
