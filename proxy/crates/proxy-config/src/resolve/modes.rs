//! Settings that only mean something in HTTP, or with a log target.

use proxy_types::{Diagnostic, Mode, Span, Spanned};

use crate::context::Context;
use crate::model::{Balance, Config, HTTP_FLAGS, LogOption, Proxy, RuleSet, Sides};

pub(super) fn check(cx: &mut Context<'_>, config: &mut Config) {
    for proxy in &config.proxies {
        if proxy.settings.is_disabled() {
            continue;
        }
        if matches!(proxy.settings.mode(), Mode::Tcp | Mode::Udp) {
            needs_http(cx, proxy);
        }
        let format = match (&proxy.settings.log_format, proxy.settings.log_option) {
            (Some(format), _) => Some(format.span),
            (None, option) => option.map(|o| o.span),
        };
        if let Some(span) = format
            && proxy.kind.is_frontend()
            && config.log_targets(proxy).next().is_none()
        {
            let message =
                format!("log format ignored for {} since it has no log address", proxy.label());
            cx.report(Diagnostic::warning(message).at(proxy.span).label(span, "log format"));
        }
    }
    for proxy in &mut config.proxies {
        let label = proxy.label();
        if let Some(span) = fall_back(proxy) {
            let message = format!(
                "Layer 7 hash not possible for {label} (needs 'mode http'). Falling back to round robin."
            );
            cx.report(Diagnostic::warning(message).at(span));
        }
    }
}

/// Settles what the mode does not allow; the place of a `balance` that needs `mode http`.
pub(crate) fn fall_back(proxy: &mut Proxy) -> Option<Span> {
    let falls_back =
        proxy.kind.is_backend() && matches!(proxy.settings.mode(), Mode::Tcp | Mode::Udp);
    let settings = &mut proxy.settings;
    let mut replaced = None;
    if falls_back
        && let Some(balance) = &mut settings.balance
        && balance.value.needs_http()
    {
        replaced = Some(balance.span);
        balance.value = Balance::RoundRobin;
    }
    if matches!(settings.mode(), Mode::Tcp | Mode::Udp)
        && let Some(Spanned { value, span }) = settings.log_option
    {
        let clf = match value {
            LogOption::Http { clf } | LogOption::Tcp { clf } => clf,
            LogOption::Https => false,
        };
        settings.log_option = Some(Spanned::new(LogOption::Tcp { clf }, span));
    }
    replaced
}

fn needs_http(cx: &mut Context<'_>, proxy: &Proxy) {
    let label = proxy.label();
    let settings = &proxy.settings;
    let mut ignored = |span: Span, text: String| {
        let mut diagnostic = Diagnostic::warning(text).at(proxy.span).label(span, "set here");
        if settings.mode.is_none() {
            diagnostic = diagnostic.help("add 'mode http'");
        }
        cx.report(diagnostic);
    };
    if let Some(uri) = settings.monitor_uri.as_ref().filter(|_| proxy.kind.is_frontend()) {
        ignored(uri.span, format!("monitor-uri will be ignored for {label} (needs 'mode http')"));
    }
    if let Some(Spanned { value: LogOption::Http { .. } | LogOption::Https, span }) =
        settings.log_option
        && proxy.kind.is_frontend()
    {
        let text = "Falling back to 'option tcplog'";
        ignored(
            span,
            format!("'option httplog' not usable with {label} (needs 'mode http'). {text}"),
        );
    }
    for &(flag, name, sides) in HTTP_FLAGS {
        let here = match sides {
            Sides::Backend => proxy.kind.is_backend(),
            Sides::Both => true,
            Sides::Frontend => proxy.kind.is_frontend(),
        };
        if let Some(set) = settings.flags.get(flag).filter(|set| here && set.value) {
            let text = format!("'option {name}' ignored for {label} as it requires HTTP mode.");
            ignored(set.span, text);
        }
    }
    if let Some(forwardfor) = &settings.forwardfor {
        let text = format!("'option forwardfor' ignored for {label} as it requires HTTP mode");
        ignored(forwardfor.span, text);
    }
    if let Some(forwarded) = settings.forwarded.as_ref().filter(|_| proxy.kind.is_backend()) {
        let text = format!("'option forwarded' ignored for {label} as it requires HTTP mode");
        ignored(forwarded.span, text);
    }
    if let Some(cookie) = &settings.cookie
        && proxy.kind.is_backend()
    {
        ignored(cookie.span, format!("cookie will be ignored for {label} (needs 'mode http')."));
    }
    if proxy.kind.is_backend() {
        for server in &proxy.servers {
            if let Some(cookie) = &server.options.cookie {
                let name = &server.name;
                let text = format!(
                    "{label} : ignoring cookie for server '{name}' as HTTP mode is disabled."
                );
                ignored(cookie.span, text);
            }
        }
    }
    if let Some(span) = settings.stats.enabled {
        ignored(span, format!("'stats' statement ignored for {label} as it requires HTTP mode"));
    }
    // Its connections may go on in mode http.
    if proxy.switches_mode() {
        return;
    }
    for set in
        [RuleSet::HttpRequest, RuleSet::HttpResponse, RuleSet::HttpAfterResponse, RuleSet::Redirect]
    {
        if let Some(rule) = proxy.rules.iter().find(|rule| rule.set == set) {
            let name = set.as_str();
            let text = format!("'{name}' rules ignored for {label} as they require HTTP mode");
            ignored(rule.span, text);
        }
    }
}
