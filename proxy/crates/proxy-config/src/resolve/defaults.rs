//! `defaults` sections that have rules: which sections may start from them (configuration manual, 4).

use proxy_types::Diagnostic;

use crate::context::Context;
use crate::model::{Config, Proxy, ProxyKind, RuleSet};

pub(super) fn check(cx: &mut Context<'_>, config: &Config) {
    // For each section of defaults with rules, the first one that started from it.
    let mut users: Vec<Option<&Proxy>> = vec![None; config.defaults.len()];
    for proxy in config.defaults.iter().chain(&config.proxies) {
        let Some(id) = proxy.defaults else { continue };
        let Some(defaults) = config.defaults.get(id.0).filter(|d| !d.rules.is_empty()) else {
            continue;
        };
        let has = |sets: &[RuleSet]| defaults.rules.iter().find(|rule| sets.contains(&rule.set));
        let mut refuse = |text: &str| {
            let diagnostic = Diagnostic::alert(format!("{} : {text}", proxy.label()));
            cx.report(diagnostic.at(proxy.span).label(defaults.span, "the defaults section"));
        };
        match proxy.kind {
            ProxyKind::Defaults => refuse(
                "a defaults section cannot inherit from a defaults section defining TCP/HTTP rules",
            ),
            ProxyKind::Listen => refuse(
                "a listen section cannot inherit from a defaults section defining TCP/HTTP rules",
            ),
            // Such a section has no defaults.
            ProxyKind::LogForward | ProxyKind::Peers | ProxyKind::Ring => {}
            ProxyKind::Frontend | ProxyKind::Backend => {
                if users[id.0].is_some_and(|first| first.kind != proxy.kind) {
                    refuse(
                        "frontends and backends cannot inherit from the same defaults section when it defines \
                         TCP/HTTP rules",
                    );
                }
                users[id.0].get_or_insert(proxy);
            }
        }
        if proxy.kind == ProxyKind::Backend
            && has(&[RuleSet::TcpRequestConnection, RuleSet::TcpRequestSession]).is_some()
        {
            refuse(
                "a backend section cannot inherit from a defaults section defining 'tcp-request connection' or \
                 'tcp-request session' rules",
            );
        }
        if proxy.kind == ProxyKind::Frontend && has(&[RuleSet::TcpResponseContent]).is_some() {
            refuse(
                "a frontend section cannot inherit from a defaults section defining 'tcp-response content' rules",
            );
        }
    }
}
