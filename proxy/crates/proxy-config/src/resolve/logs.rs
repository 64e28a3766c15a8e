//! Where log messages go: profiles, rings and log backends that are named, and what such backends may have.

use proxy_types::{Diagnostic, Endpoint, Mode, PortSpec, Span, Transport, text};
use rustc_hash::FxHashSet;

use crate::context::Context;
use crate::model::{
    Balance, Config, LogDestination, LogEntry, LogTarget, Proxy, ProxyKind, Ring, Server,
};

pub(super) fn check(cx: &mut Context<'_>, config: &Config) {
    let own = config.proxies.iter().map(|proxy| &proxy.settings.logs);
    let forwards = config.log_forwards.iter().map(|section| &section.proxy.settings.logs);
    let apps = config.fcgi_apps.iter().map(|app| &app.log_stderr);
    let own = own.chain(forwards).chain(apps).flatten().filter_map(|entry| match entry {
        LogEntry::Target(target) => Some(target),
        LogEntry::Global { .. } => None,
    });
    // What was inherited is told once.
    let mut told = FxHashSet::default();
    for target in own.chain(&config.global.logs) {
        if told.insert(target.span) {
            profile(cx, config, target);
            destination(cx, config, target);
        }
    }
    for proxy in config.proxies.iter().filter(|proxy| !proxy.settings.is_disabled()) {
        match proxy.settings.mode() {
            Mode::Log => of_log(cx, proxy),
            Mode::Http | Mode::Tcp | Mode::Udp => not_of_log(cx, proxy),
        }
    }
    for ring in &config.rings {
        for server in &ring.proxy.servers {
            ring_server(cx, ring, server);
        }
    }
}

fn profile(cx: &mut Context<'_>, config: &Config, target: &LogTarget) {
    let Some(name) = &target.profile else { return };
    let known = config.log_profiles.iter().map(|profile| profile.name.value.as_str());
    if known.clone().any(|known| known == name.value) {
        return;
    }
    let message = format!("'log' : unable to find log-profile '{name}'");
    let near = text::nearest(&name.value, known).map(str::to_owned);
    cx.report(Diagnostic::alert(message).at(name.span).did_you_mean(near.as_deref()));
}

fn destination(cx: &mut Context<'_>, config: &Config, target: &LogTarget) {
    let span = target.destination.span;
    let (message, near) = match &target.destination.value {
        LogDestination::Ring(name) => {
            let rings = config.rings.iter().map(|ring| ring.name.value.as_str());
            let known: Vec<&str> = rings.chain([Ring::BUILTIN]).collect();
            if known.contains(&name.as_str()) {
                return;
            }
            (format!("'log' : unable to find ring '{name}'"), text::nearest(name, known))
        }
        LogDestination::Backend(name) => {
            let backends = config.backends().filter(|proxy| proxy.settings.mode() == Mode::Log);
            let known: Vec<&str> = backends.map(|proxy| proxy.name.value.as_str()).collect();
            if known.contains(&name.as_str()) {
                return;
            }
            let message = match config.proxy(name) {
                Some(proxy) => format!("'log' : {} is not in 'mode log'", proxy.label()),
                None => format!("'log' : unable to find log backend '{name}'"),
            };
            (message, text::nearest(name, known))
        }
        _ => return,
    };
    let near = near.map(str::to_owned);
    cx.report(Diagnostic::alert(message).at(span).did_you_mean(near.as_deref()));
}

/// A backend in mode log.
fn of_log(cx: &mut Context<'_>, proxy: &Proxy) {
    let label = proxy.label();
    if proxy.kind != ProxyKind::Backend {
        let span = proxy.settings.mode.map_or(proxy.span, |mode| mode.span);
        cx.alert(span, format!("{label} : 'mode log' is for backends only"));
        return;
    }
    let alert = |cx: &mut Context<'_>, span: Span, text: &str| {
        cx.alert(span, format!("{label} : {text} in 'mode log'"));
    };
    if let Some(balance) = &proxy.settings.balance
        && !balance.value.fits_log()
    {
        let text = format!("'balance {}' is not possible", balance.value.as_str());
        alert(cx, balance.span, &text);
    }
    let hashes = matches!(proxy.settings.balance(), Balance::LogHash(_));
    if let Some(hash) = proxy.settings.hash_type
        && hashes
        && hash.value.consistent
    {
        alert(cx, hash.span, "only 'hash-type map-based' is possible");
    }
    if let Some(rule) = proxy.rules.first() {
        alert(cx, rule.span, &format!("'{}' rules are not possible", rule.set.as_str()));
    }
    let stick = proxy.stick_rules.first().map(|rule| rule.span);
    if let Some(span) = stick.or_else(|| proxy.use_servers.first().map(|rule| rule.span)) {
        alert(cx, span, "choosing servers by rules is not possible");
    }
    if let Some(cookie) = &proxy.settings.cookie
        && proxy.defaults.is_none()
    {
        alert(cx, cookie.span, "'cookie' is not possible");
    }
    for server in &proxy.servers {
        log_server(cx, server);
    }
}

fn log_server(cx: &mut Context<'_>, server: &Server) {
    let address = &server.address;
    let is_datagram = address.value.transport == Some(Transport::Datagram);
    let options = &server.options;
    let mut alert = |span: Span, text: &str| {
        cx.alert(span, format!("server '{}' : {text}", server.name));
    };
    if let Endpoint::Inet { port: PortSpec::Offset(_), .. } = &address.value.endpoint {
        alert(address.span, "a log server needs a port of its own");
    }
    if let Some(socks) = &options.socks4 {
        alert(socks.span, "'socks4' is not possible for log servers");
    }
    if !is_datagram {
        return;
    }
    if options.tls.is_on() {
        alert(address.span, "'ssl' needs a stream: datagrams are sent to 'udp@' addresses");
    }
    if let Some(size) = options.log_bufsize {
        alert(size.span, "'log-bufsize' is for servers that are connected to, not for 'udp@'");
    }
    if let Some(proto) = options.log_proto {
        alert(proto.span, "'log-proto' is for servers that are connected to, not for 'udp@'");
    }
}

fn not_of_log(cx: &mut Context<'_>, proxy: &Proxy) {
    if let Some(balance) = proxy.settings.balance.as_ref().filter(|b| b.value.needs_log())
        && proxy.kind.is_backend()
    {
        let message = format!(
            "{} : 'balance {}' is possible in 'mode log' only",
            proxy.label(),
            balance.value.as_str()
        );
        cx.alert(balance.span, message);
    }
    for server in &proxy.servers {
        let options = &server.options;
        let size = options.log_bufsize.map(|size| (size.span, "'log-bufsize'"));
        let proto = options.log_proto.map(|proto| (proto.span, "'log-proto'"));
        if let Some((span, what)) = size.or(proto) {
            let message = format!("server '{}' : {what} needs 'mode log'", server.name);
            cx.alert(span, message);
        }
        if server.address.value.transport == Some(Transport::Datagram)
            && proxy.settings.mode() != Mode::Udp
        {
            let message = format!(
                "server '{}' : datagram address not acceptable in '{}'",
                server.name, server.address
            );
            cx.alert(server.address.span, message);
        }
    }
}

fn ring_server(cx: &mut Context<'_>, ring: &Ring, server: &Server) {
    let text = match (&server.address.value.endpoint, server.address.value.transport) {
        (_, Some(Transport::Datagram)) => "a ring is sent over streams only",
        (Endpoint::Inet { port: PortSpec::Offset(_), .. }, _) => "a port of its own is needed",
        _ => return,
    };
    let message = format!("ring '{}' : server '{}' : {text}", ring.name, server.name);
    cx.alert(server.address.span, message);
}
