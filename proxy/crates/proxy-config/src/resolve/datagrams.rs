//! Who listens and sends to datagram addresses: sections in mode udp, which is Sluice's own, and what those cannot
//! have (docs/configuration.md).

use proxy_types::{Address, Diagnostic, Mode, Span, Spanned, Transport};

use crate::context::Context;
use crate::model::{Balance, Bind, Config, Proxy, RuleSet, Server};

/// What only a connection has.
const CONNECTION: &str = "datagrams make no connection";

pub(super) fn check(cx: &mut Context<'_>, config: &Config) {
    for proxy in config.proxies.iter().filter(|proxy| !proxy.settings.is_disabled()) {
        if proxy.settings.mode() == Mode::Udp {
            udp(cx, config, proxy);
        } else {
            proxy.binds.iter().for_each(|bind| no_datagrams(cx, bind));
        }
    }
    let of_peers = config.peers.iter().flat_map(|section| &section.proxy.binds);
    for bind in of_peers.chain(&config.global.stats.sockets) {
        no_datagrams(cx, bind);
    }
}

fn is_datagram(address: &Spanned<Address>) -> bool {
    address.value.transport == Some(Transport::Datagram)
}

fn no_datagrams(cx: &mut Context<'_>, bind: &Bind) {
    for address in bind.addresses.iter().filter(|address| is_datagram(address)) {
        refuse(cx, address.span);
    }
}

fn refuse(cx: &mut Context<'_>, span: Span) {
    let message = "datagram address not acceptable here";
    let help = "frontends and backends in 'mode udp' take them";
    cx.report(Diagnostic::alert(message).at(span).help(help));
}

/// Everything of a section that would be ignored.
fn udp(cx: &mut Context<'_>, config: &Config, proxy: &Proxy) {
    let label = proxy.label();
    let mut wrong = |what: &str, why: &str, span: Span| {
        let message = format!("{what} not possible in mode udp ({label})");
        cx.report(Diagnostic::alert(message).at(span).note(why));
    };
    for bind in &proxy.binds {
        for address in bind.addresses.iter().filter(|address| !is_datagram(address)) {
            let what = format!("'{}'", address.value);
            wrong(&what, "a listener in mode udp has an address like udp4@ or udp6@", address.span);
        }
        for (what, span) in words_of_bind(bind) {
            wrong(&format!("'bind ... {what}'"), CONNECTION, span);
        }
    }
    for server in &proxy.servers {
        if !matches!(server.address.value.transport, None | Some(Transport::Datagram)) {
            wrong("a stream address", CONNECTION, server.address.span);
        }
        for (what, span) in words_of_server(server) {
            wrong(&format!("'server ... {what}'"), CONNECTION, span);
        }
    }
    let sets = [
        RuleSet::TcpRequestContent,
        RuleSet::TcpRequestSession,
        RuleSet::TcpResponseContent,
        RuleSet::HttpRequest,
        RuleSet::HttpResponse,
        RuleSet::HttpAfterResponse,
        RuleSet::Redirect,
        RuleSet::MonitorFail,
        RuleSet::StatsHttpRequest,
    ];
    for set in sets {
        if let Some((_, rule)) = config.rules(proxy, set).next() {
            let why = "only 'tcp-request connection' rules about the client's address are asked";
            wrong(&format!("'{}'", set.as_str()), why, rule.span);
        }
    }
    if proxy.kind.is_backend()
        && !proxy.kind.is_frontend()
        && let Some((_, rule)) = config.rules(proxy, RuleSet::TcpRequestConnection).next()
    {
        wrong("'tcp-request connection'", "it belongs into the frontend", rule.span);
    }
    if let Some(rule) = proxy.use_backends.first() {
        wrong("'use_backend'", "all flows of a frontend go to its default_backend", rule.span);
    }
    if let Some(rule) = proxy.use_servers.first() {
        wrong("'use-server'", "'balance' alone chooses the server", rule.span);
    }
    if let Some(rule) = proxy.stick_rules.first() {
        wrong("'stick'", "'balance source' keeps clients with their server", rule.span);
    }
    if let Some(rule) = proxy.persist_rules.first() {
        wrong("'force-persist' or 'ignore-persist'", "nothing persists", rule.span);
    }
    if let Some(name) = &proxy.settings.persist_rdp {
        wrong("'persist rdp-cookie'", CONNECTION, name.span);
    }
    if let Some(balance) = &proxy.settings.balance
        && proxy.kind.is_backend()
        && matches!(balance.value, Balance::Hash { .. } | Balance::RdpCookie { .. })
    {
        wrong(
            "'balance' by content",
            "'roundrobin', 'static-rr', 'leastconn', 'random', 'first' and 'source' are",
            balance.span,
        );
    }
    if let Some(captures) = proxy.captures.first() {
        wrong("captures", CONNECTION, captures.span);
    }
}

/// Words of a listener that a datagram socket has no use for.
fn words_of_bind(bind: &Bind) -> Vec<(&'static str, Span)> {
    [
        ("accept-netscaler-cip", bind.accept_netscaler_cip.map(|word| word.span)),
        ("accept-proxy", bind.accept_proxy),
        ("backlog", bind.backlog.map(|word| word.span)),
        ("cc", bind.congestion.as_ref().map(|word| word.span)),
        ("defer-accept", bind.defer_accept),
        ("maxconn", bind.maxconn.map(|word| word.span)),
        ("mss", bind.mss.map(|word| word.span)),
        ("proto", bind.proto.map(|word| word.span)),
        ("ssl", bind.tls.ssl),
        ("tcp-md5sig", bind.md5.as_ref().map(|word| word.span)),
        ("tcp-ut", bind.tcp_ut.map(|word| word.span)),
        ("tfo", bind.tfo),
    ]
    .into_iter()
    .filter_map(|(what, span)| Some((what, span?)))
    .collect()
}

/// Words of a server likewise.
fn words_of_server(server: &Server) -> Vec<(&'static str, Span)> {
    let options = &server.options;
    let set = |word: Option<Spanned<bool>>| word.filter(|word| word.value).map(|word| word.span);
    [
        ("cc", options.congestion.as_ref().map(|word| word.span)),
        ("cookie", options.cookie.as_ref().map(|word| word.span)),
        ("maxqueue", options.maxqueue.map(|word| word.span)),
        ("minconn", options.minconn.map(|word| word.span)),
        ("observe", options.observe.map(|word| word.span)),
        ("proto", options.proto.map(|word| word.span)),
        ("redir", options.redir.as_ref().map(|word| word.span)),
        ("send-proxy", set(options.proxy.v1)),
        ("send-proxy-v2", set(options.proxy.v2)),
        ("socks4", options.socks4.as_ref().map(|word| word.span)),
        ("ssl", set(options.tls.ssl)),
        ("tcp-md5sig", options.md5.as_ref().map(|word| word.span)),
        ("tcp-ut", options.tcp_ut.map(|word| word.span)),
        ("tfo", set(options.tfo)),
    ]
    .into_iter()
    .filter_map(|(what, span)| Some((what, span?)))
    .collect()
}
