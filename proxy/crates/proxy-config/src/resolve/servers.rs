//! Servers of each backend: unique names and numbers, checks that have a port to go to.

use proxy_types::{Diagnostic, PortSpec, Span};
use rustc_hash::FxHashMap;

use crate::context::Context;
use crate::model::{Config, Proxy, Server, ServerOptions};

pub(super) fn check(cx: &mut Context<'_>, config: &Config) {
    for proxy in config.backends() {
        unique(cx, proxy);
        for server in &proxy.servers {
            check_port(cx, proxy, server);
            agent_port(cx, proxy, server);
            tracked(cx, config, proxy, server);
        }
    }
}

fn unique(cx: &mut Context<'_>, proxy: &Proxy) {
    let mut names: FxHashMap<&str, Span> = FxHashMap::default();
    let mut ids: FxHashMap<u32, Span> = FxHashMap::default();
    for server in &proxy.servers {
        if let Some(before) = names.insert(&server.name.value, server.name.span) {
            let message = format!(
                "{}, another server named '{}' was already defined at line {}, please use distinct names",
                proxy.label(),
                server.name,
                before.line
            );
            cx.report(
                Diagnostic::alert(message).at(server.name.span).label(before, "first defined here"),
            );
        }
        if let Some(id) = server.id
            && let Some(before) = ids.insert(id.value, id.span)
        {
            let message = format!(
                "'server {}/{}' : 'id' : custom id {id} already used",
                proxy.name, server.name
            );
            cx.report(Diagnostic::alert(message).at(id.span).label(before, "first used here"));
        }
    }
}

/// A server that is tracked must have a state of its own to follow: checks, an agent, or a server that it tracks.
fn tracked(cx: &mut Context<'_>, config: &Config, proxy: &Proxy, server: &Server) {
    let Some(target) = &server.options.track else { return };
    let (owner, name) = match target.value.split_once('/') {
        Some((backend, name)) => (config.proxy(backend), name),
        None => (Some(proxy), target.value.as_str()),
    };
    let found = owner.and_then(|owner| owner.servers.iter().find(|s| s.name.value == name));
    if let (Some(owner), Some(found)) = (owner, found)
        && !has_state(&found.options)
    {
        let message = format!(
            "'server {}/{}' : unable to use {}/{name} for tracking as it does not have any check nor agent enabled.",
            proxy.name, server.name, owner.name
        );
        cx.report(Diagnostic::alert(message).at(target.span).label(found.span, "the server"));
    }
}

/// Whether anything but the administrator changes the state of the server.
fn has_state(options: &ServerOptions) -> bool {
    options.is_checked() || options.has_agent() || options.track.is_some()
}

/// An agent has no port but its own.
fn agent_port(cx: &mut Context<'_>, proxy: &Proxy, server: &Server) {
    let agent = &server.options.agent;
    let Some(check) = agent.check.filter(|check| check.value && agent.port.is_none()) else {
        return;
    };
    let message = format!("{}: server '{}' has no 'agent-port'", proxy.label(), server.name);
    let help = "add 'agent-port <port>': where the agent listens";
    cx.report(Diagnostic::alert(message).at(check.span).help(help));
}

/// A check of an IP server needs a port of its own or of the server.
fn check_port(cx: &mut Context<'_>, proxy: &Proxy, server: &Server) {
    let options = &server.options;
    let has_port = |port: PortSpec| matches!(port, PortSpec::Port(port) if port != 0);
    let reachable = !server.address.is_inet()
        || options.check_port.is_some()
        || has_port(server.address.port())
        || options.check_addr.as_ref().is_some_and(|addr| has_port(addr.port()));
    if options.is_checked() && !reachable {
        let message = format!(
            "{}: server '{}' has neither service port nor check port",
            proxy.label(),
            server.name
        );
        let help = "add a port to the address or 'port <port>' for the checks";
        cx.report(Diagnostic::alert(message).at(server.address.span).help(help));
    }
}
