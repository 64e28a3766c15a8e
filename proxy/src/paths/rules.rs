//! The checks, one function per kind of directive, each naming what it found.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use proxy_config::model::{
    Balance, Bind, Config, FilterKind, FilterLine, Flag, L4Answer, L4Policy, Proxy, ProxyKind,
    RuleSet, Server, SourceAddress, Timeouts,
};
use proxy_datapath as l4;
use proxy_rules::source::SourceOutcome;
use proxy_stream::udp::DEFAULT_IDLE;
use proxy_types::{Endpoint, Host, Mode, PortSpec, Span, Spanned, Transport};

use super::blocker::Blocker;
use super::facts::{ConnectionRules, Facts};

fn block<T>(directive: impl Into<String>, reason: &'static str, span: Span) -> Result<T, Blocker> {
    Err(Blocker { directive: directive.into(), reason, span })
}

/// `filter trace` tells what goes through.
fn no_trace(proxy: &Proxy) -> Result<(), Blocker> {
    let traces = |line: &&FilterLine| matches!(line.kind, FilterKind::Trace(_));
    match proxy.filters.lines.iter().find(traces) {
        Some(line) => block("filter trace", "it tells of every byte", line.span),
        None => Ok(()),
    }
}

/// The one backend that all connections of the frontend go to, when nothing in either of them needs
/// a byte of the connection.
pub(super) fn service_backend<'a>(
    config: &'a Config,
    proxy: &'a Proxy,
    facts: Facts<'a>,
) -> Result<&'a Proxy, Blocker> {
    if let Some(policy) = proxy.settings.l4.or(config.global.l4)
        && policy.value == L4Policy::Off
    {
        return block("l4 off", "asked for", policy.span);
    }
    let mode = proxy.settings.mode();
    if mode == Mode::Http {
        let span = proxy.settings.mode.map_or(proxy.span, |mode| mode.span);
        return block("mode http", "requests are parsed", span);
    }
    connection_rules(config, proxy, facts.compiled)?;
    no_rules(config, proxy)?;
    no_trace(proxy)?;
    if let Some(rule) = proxy.use_backends.first() {
        return block("use_backend", "the backend is chosen for each connection", rule.span);
    }
    if let Some(asap) = proxy.settings.flags.get(Flag::LogAsap).filter(|flag| flag.value) {
        return block("option logasap", "a line is due before the connection ends", asap.span);
    }
    if let Some(format) = proxy.settings.log_format.as_ref().filter(|f| f.value.contains("%[")) {
        return block("log-format", "its expressions are evaluated in userspace", format.span);
    }
    let backend = match (&proxy.settings.default_backend, proxy.kind) {
        (Some(name), _) => {
            match (facts.changed)(&name.value).or_else(|| config.proxy(&name.value)) {
                Some(backend) => backend,
                None => return block("default_backend", "there is no such backend", name.span),
            }
        }
        (None, ProxyKind::Listen) => (facts.changed)(&proxy.name.value).unwrap_or(proxy),
        (None, _) => return block("default_backend", "there is none", Span::NONE),
    };
    if backend.name.value != proxy.name.value {
        if !(facts.published)(backend) {
            let span = backend.unpublished.unwrap_or(backend.span);
            return block("be-unpublished", "rules pass the backend over", span);
        }
        if backend.settings.mode() == Mode::Http {
            let span = backend.settings.mode.map_or(backend.span, |mode| mode.span);
            return block("mode http", "requests are parsed", span);
        }
        if let Some((_, rule)) = config.rules(backend, RuleSet::TcpRequestConnection).next() {
            return block(
                RuleSet::TcpRequestConnection.as_str(),
                "rules run in userspace",
                rule.span,
            );
        }
        no_rules(config, backend)?;
        no_trace(backend)?;
    }
    if backend.settings.is_disabled() {
        let span = backend.settings.disabled.map_or(backend.span, |disabled| disabled.span);
        return block("disabled", "the backend takes no part", span);
    }
    if let Some(rule) = backend.use_servers.first() {
        return block("use-server", "the server is chosen for each connection", rule.span);
    }
    if let Some(rule) = backend.stick_rules.first() {
        return block("stick", "the server is chosen for each connection", rule.span);
    }
    if let Some(rule) = backend.persist_rules.first() {
        let name = if rule.force { "force-persist" } else { "ignore-persist" };
        return block(name, "the server is chosen for each connection", rule.span);
    }
    if let Some(name) = &backend.settings.persist_rdp {
        return block("persist rdp-cookie", "it is read in userspace", name.span);
    }
    for server in &backend.servers {
        plain_server(proxy, server)?;
    }
    if let Some(source) = &backend.settings.source {
        plain_source(source)?;
    }
    if backend.servers.is_empty() {
        return block(backend.label(), "it has no server", backend.span);
    }
    Ok(backend)
}

/// The word that the kernel follows for other paths, too.
pub(crate) const DENY: &str = "l4-deny";

/// The addresses of a proxy's listeners in this network namespace.
pub(super) fn guarded(proxy: &Proxy) -> Vec<SocketAddr> {
    let mut vips = Vec::new();
    for bind in proxy.binds.iter().filter(|bind| bind.namespace.is_none()) {
        let streams = bind.addresses.iter().filter(|address| {
            matches!(address.value.transport, None | Some(Transport::Stream))
                && matches!(address.value.endpoint, Endpoint::Inet { host: Host::Ip(_), .. })
        });
        for socket in streams.flat_map(|address| address.value.socket_addrs()) {
            vips.push(socket);
            if socket.is_ipv6() && socket.ip().is_unspecified() && bind.v4v6.is_some() {
                vips.push((Ipv4Addr::UNSPECIFIED, socket.port()).into());
            }
        }
    }
    vips.retain(|vip| !vip.ip().is_loopback());
    vips.sort_unstable();
    vips.dedup();
    vips
}

/// `l4-pick-up`: what another balancer chose must be found again.
pub(super) fn picks_up(proxy: &Proxy, policy: l4::Policy, mode: l4::Mode) -> Result<bool, Blocker> {
    let Some(wanted) = proxy.settings.l4_pick_up.filter(|wanted| wanted.value) else {
        return Ok(false);
    };
    if policy != l4::Policy::HashSource {
        return block(
            "l4-pick-up",
            "only 'balance source' finds the same server again",
            wanted.span,
        );
    }
    if mode == l4::Mode::FullNat {
        let why = "the source port that another balancer chose is not known: take another l4-mode";
        return block("l4-pick-up", why, wanted.span);
    }
    Ok(true)
}

/// The words of a proxy that only the kernel follows.
pub(super) fn kernel_words(proxy: &Proxy) -> Vec<&'static str> {
    let settings = &proxy.settings;
    let words = [
        (DENY, settings.l4_deny.is_some()),
        ("l4-no-server", settings.l4_no_server.is_some()),
        ("l4-pick-up", settings.l4_pick_up.is_some_and(|wanted| wanted.value)),
        ("l4-reject", settings.l4_reject.is_some()),
        ("l4-source-rate", settings.l4_source_rate.is_some()),
    ];
    words.into_iter().filter_map(|(word, is_set)| is_set.then_some(word)).collect()
}

/// What a client is told, in the data path's words.
pub(super) fn answer(answer: L4Answer) -> l4::Answer {
    match answer {
        L4Answer::Userspace => l4::Answer::Userspace,
        L4Answer::Drop => l4::Answer::Drop,
        L4Answer::Reset => l4::Answer::Reset,
        L4Answer::Unreachable => l4::Answer::Unreachable,
    }
}

/// What `reject` means to a client: in userspace, a connection that is closed at once, and a datagram that is lost.
pub(super) fn rejects(proxy: &Proxy) -> l4::Answer {
    match (proxy.settings.l4_reject, proxy.settings.mode()) {
        (Some(wanted), _) => answer(wanted.value),
        (None, Mode::Udp) => l4::Answer::Drop,
        (None, Mode::Http | Mode::Log | Mode::Tcp) => l4::Answer::Reset,
    }
}

/// How the kernel chooses a server.
pub(super) fn policy(backend: &Proxy) -> Result<l4::Policy, Blocker> {
    let Some(balance) = &backend.settings.balance else {
        // Without `balance` HAProxy takes the less loaded of two servers drawn at random.
        return Ok(l4::Policy::LeastConn);
    };
    match &balance.value {
        Balance::RoundRobin | Balance::StaticRr => Ok(l4::Policy::RoundRobin),
        Balance::Source => Ok(l4::Policy::HashSource),
        Balance::LeastConn | Balance::Random { .. } => Ok(l4::Policy::LeastConn),
        other => {
            let directive = format!("balance {}", other.as_str());
            block(directive, "userspace chooses the server", balance.span)
        }
    }
}

/// `tcp-request connection` rules that the kernel can ask: conditions about the client's address, and for those
/// they hold for, a verdict or the way to userspace.
fn connection_rules(
    config: &Config,
    proxy: &Proxy,
    compiled: ConnectionRules<'_>,
) -> Result<(), Blocker> {
    let lines: Vec<_> = config.rules(proxy, RuleSet::TcpRequestConnection).collect();
    let Some((_, first)) = lines.first() else { return Ok(()) };
    let name = RuleSet::TcpRequestConnection.as_str();
    let rules = compiled(&proxy.name.value).filter(|rules| rules.len() == lines.len());
    let Some(rules) = rules else { return block(name, "rules run in userspace", first.span) };
    for (rule, (_, line)) in rules.iter().zip(&lines) {
        let limited = proxy.settings.maxconn.is_some();
        let reason = match rule.outcome() {
            _ if rule.source_prefixes().is_none() => "it looks at more than the client's address",
            SourceOutcome::Other if rule.is_unconditional() => "its action needs userspace",
            SourceOutcome::Other if limited => {
                "its action needs userspace, and maxconn counts both"
            }
            _ => continue,
        };
        return block(name, reason, line.span);
    }
    Ok(())
}

fn no_rules(config: &Config, proxy: &Proxy) -> Result<(), Blocker> {
    const SETS: [RuleSet; 3] =
        [RuleSet::TcpRequestSession, RuleSet::TcpRequestContent, RuleSet::TcpResponseContent];
    for set in SETS {
        if let Some((_, rule)) = config.rules(proxy, set).next() {
            return block(set.as_str(), "rules run in userspace", rule.span);
        }
    }
    Ok(())
}

/// A server whose connections need nothing but an address and a port.
fn plain_server(proxy: &Proxy, server: &Server) -> Result<(), Blocker> {
    let name = |what: &str| format!("server {} {what}", server.name.value);
    match &server.address.value.endpoint {
        Endpoint::Inet { host: Host::Ip(ip), .. } if ip.is_unspecified() => {
            let why = "it is where the client connected to";
            return block(name("address"), why, server.address.span);
        }
        Endpoint::Inet { port, .. } => match port {
            PortSpec::None | PortSpec::Port(_) => {}
            _ => {
                let why = "it is counted from the client's port";
                return block(name("port"), why, server.address.span);
            }
        },
        _ => return block(name("address"), "it is not an IP address", server.address.span),
    }
    let plain = match proxy.settings.mode() {
        Mode::Udp => Transport::Datagram,
        Mode::Http | Mode::Log | Mode::Tcp => Transport::Stream,
    };
    if !server.address.value.transport.is_none_or(|transport| transport == plain) {
        return block(name("address"), "it is not plain TCP", server.address.span);
    }
    let options = &server.options;
    if let Some(minconn) = options.minconn.filter(|minconn| minconn.value > 0) {
        return block(name("minconn"), "its limit follows the load of the backend", minconn.span);
    }
    if let Some(mode) = options.observe {
        return block(name("observe"), "its connections are watched in userspace", mode.span);
    }
    if let Some(ssl) = options.tls.ssl.filter(|_| options.tls.is_possible) {
        let reason = if ssl.value { "TLS is spoken to it" } else { "a command may switch TLS on" };
        return block(name("ssl"), reason, ssl.span);
    }
    let proxy_header = [options.proxy.v1, options.proxy.v2];
    if let Some(send) = proxy_header.into_iter().flatten().find(|send| send.value) {
        return block(name("send-proxy"), "a header opens its connections", send.span);
    }
    if let Some(password) = &options.md5 {
        return block(name("tcp-md5sig"), "its segments are signed", password.span);
    }
    if let Some(proxy) = &options.socks4 {
        return block(name("socks4"), "a proxy is on the way to it", proxy.span);
    }
    options.source.as_ref().map_or(Ok(()), plain_source)
}

fn plain_source(source: &Spanned<SourceAddress>) -> Result<(), Blocker> {
    if source.value.interface.is_some() {
        return block("source interface", "sockets are bound to an interface", source.span);
    }
    if matches!(&source.value.address.endpoint, Endpoint::Inet { host: Host::Name(_), .. }) {
        return block("source", "it is a name", source.span);
    }
    if source_ip(&source.value).is_none() {
        return block("source", "its ports are chosen in userspace", source.span);
    }
    Ok(())
}

/// The address of a `source` that says nothing else.
pub(super) fn source_ip(source: &SourceAddress) -> Option<IpAddr> {
    match &source.address.endpoint {
        Endpoint::Inet { host: Host::Ip(ip), port: PortSpec::None | PortSpec::Port(0), .. } => {
            Some(*ip)
        }
        _ => None,
    }
}

/// The listeners that the kernel can stand in for: IP addresses of the servers' family.
pub(super) fn vips(
    proxy: &Proxy,
    v4: bool,
    left_out: &mut Vec<String>,
) -> Result<Vec<SocketAddr>, Blocker> {
    let mut vips = Vec::new();
    let mut last = None;
    for bind in &proxy.binds {
        if let Some((directive, reason, span)) = beyond_address(bind) {
            return block(directive, reason, span);
        }
        for address in &bind.addresses {
            let stream = match proxy.settings.mode() {
                Mode::Udp => address.value.transport == Some(Transport::Datagram),
                Mode::Http | Mode::Log | Mode::Tcp => {
                    matches!(address.value.transport, None | Some(Transport::Stream))
                }
            };
            let sockets: Vec<SocketAddr> = match &address.value.endpoint {
                Endpoint::Inet { host: Host::Ip(_), .. } if stream => {
                    address.value.socket_addrs().collect()
                }
                _ => Vec::new(),
            };
            let mut carried = false;
            for socket in sockets {
                if socket.is_ipv4() == v4 {
                    vips.push(socket);
                    carried = true;
                } else if v4 && socket.ip().is_unspecified() && bind.v4v6.is_some() {
                    // `:::80 v4v6` also takes IPv4 clients.
                    vips.push((Ipv4Addr::UNSPECIFIED, socket.port()).into());
                    carried = true;
                }
            }
            if !carried {
                left_out.push(address.value.to_string());
                last = Some(address.span);
            }
        }
    }
    if vips.is_empty() {
        let span = last.unwrap_or(proxy.span);
        return block("bind", "no address of the servers' family", span);
    }
    vips.sort_unstable();
    vips.dedup();
    Ok(vips)
}

/// What a listener asks for beside its address.
fn beyond_address(bind: &Bind) -> Option<(&'static str, &'static str, Span)> {
    const OF_SOCKET: &str = "it is a property of the listening socket";
    const HEADER: &str = "a header tells the client's address";
    let interface = bind.interface.as_ref().map(|interface| interface.span);
    let maxconn = bind.maxconn.map(|maxconn| maxconn.span);
    let magic = bind.accept_netscaler_cip.map(|magic| magic.span);
    [
        ("bind interface", OF_SOCKET, interface),
        ("bind maxconn", OF_SOCKET, maxconn),
        ("bind ssl", "TLS is spoken to clients", bind.tls.ssl),
        ("bind tcp-md5sig", "its segments are signed", bind.md5.as_ref().map(|word| word.span)),
        ("bind accept-proxy", HEADER, bind.accept_proxy),
        ("bind accept-netscaler-cip", HEADER, magic),
        ("bind transparent", OF_SOCKET, bind.transparent),
    ]
    .into_iter()
    .find_map(|(directive, reason, span)| Some((directive, reason, span?)))
}

/// Limits of a flow: handshake, client side, server side; zero is none. `timeout tunnel` replaces those of
/// both sides (configuration manual, 4.2 "timeout tunnel").
pub(super) fn limits(proxy: &Proxy, backend: &Proxy) -> [Duration; 3] {
    let client = &proxy.settings.timeouts;
    let server = &backend.settings.timeouts;
    if proxy.settings.mode() == Mode::Udp {
        // As in userspace: a flow that never ends would hold its place for ever.
        let set = [client.client, server.server].map(Timeouts::effective);
        return match set {
            [None, None] => [Duration::ZERO, DEFAULT_IDLE, DEFAULT_IDLE],
            [client, server] => {
                [Duration::ZERO, client.unwrap_or_default(), server.unwrap_or_default()]
            }
        };
    }
    let value = |timeout: Option<Spanned<Duration>>| timeout.map_or(Duration::ZERO, |t| t.value);
    [
        value(server.connect),
        value(server.tunnel.or(client.client)),
        value(server.tunnel.or(server.server)),
    ]
}
