//! Servers of each backend: unique names and numbers, checks that have a port to go to.

use proxy_types::{Diagnostic, PortSpec, Span};
use rustc_hash::FxHashMap;

use crate::context::Context;
use crate::model::{Config, Proxy, Server};

pub(super) fn check(cx: &mut Context<'_>, config: &Config) {
    for proxy in config.backends() {
        unique(cx, proxy);
        for server in &proxy.servers {
            check_port(cx, proxy, server);
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
