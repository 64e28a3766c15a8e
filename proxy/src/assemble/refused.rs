//! What the configuration may say and this version does not do: said plainly instead of ignored.

use proxy_config::model::{Config, Flag, Proxy};
use proxy_types::{DiagSink, Diagnostic, Diagnostics, Endpoint, Host, Span};

/// Reports every statement of the configuration that is known and not carried, or without effect.
pub(super) fn report(config: &Config, diagnostics: &mut Diagnostics) {
    for proxy in &config.proxies {
        section(proxy, diagnostics);
    }
}

fn section(proxy: &Proxy, diagnostics: &mut Diagnostics) {
    if let Some(flag) = proxy.settings.flags.get(Flag::TcpSmartAccept).filter(|flag| flag.value) {
        diagnostics.push(
            Diagnostic::notice(
                "'option tcp-smart-accept' has no effect: nothing is acknowledged early",
            )
            .at(flag.span),
        );
    }
    let sources = [&proxy.settings.source].into_iter();
    let of_servers = proxy.servers.iter().map(|server| &server.options.source);
    for source in sources.chain(of_servers).flatten() {
        if matches!(source.value.address.endpoint, Endpoint::Inet { host: Host::Name(_), .. }) {
            not_yet("a host name in 'source'", source.span, diagnostics);
        }
    }
}

fn not_yet(what: &str, span: Span, diagnostics: &mut Diagnostics) {
    diagnostics.push(Diagnostic::alert(format!("{what} is known, not carried yet")).at(span));
}
