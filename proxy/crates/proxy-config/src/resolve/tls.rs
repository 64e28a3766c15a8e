//! Versions of TLS: the words for single versions count for nothing beside those for a range.

use proxy_types::{Diagnostic, Span};

use crate::context::Context;
use crate::model::{Config, TlsSettings};

pub(super) fn check(cx: &mut Context<'_>, config: &Config) {
    let global = &config.global.tls;
    for proxy in config.proxies.iter().filter(|proxy| !proxy.settings.is_disabled()) {
        for bind in proxy.binds.iter().filter(|bind| bind.tls.ssl.is_some()) {
            if let Some(word) = ignored(&bind.tls.settings, &global.bind.settings) {
                let text = format!(
                    "Proxy '{}': no-sslv3/no-tlsv1x are ignored for this bind.",
                    proxy.name
                );
                tell(cx, text, bind.span, word);
            }
        }
        if !proxy.kind.is_backend() {
            continue;
        }
        for server in proxy.servers.iter().filter(|server| server.options.tls.is_on()) {
            if let Some(word) = ignored(&server.options.tls.settings, &global.server.settings) {
                let text = format!(
                    "'server {}/{}' : no-sslv3/no-tlsv1x are ignored for this server.",
                    proxy.name, server.name
                );
                tell(cx, text, server.span, word);
            }
        }
    }
}

/// A word for one version, when there is one for a range.
fn ignored(own: &TlsSettings, defaults: &TlsSettings) -> Option<Span> {
    let range = [own.min, own.max, defaults.min, defaults.max].iter().any(Option::is_some);
    let mut words = own.off.iter().chain(&defaults.off).flatten();
    words.next().copied().filter(|_| range)
}

fn tell(cx: &mut Context<'_>, text: String, span: Span, word: Span) {
    let text = format!("{text} Use only 'ssl-min-ver' and 'ssl-max-ver' to fix.");
    cx.report(Diagnostic::warning(text).at(span).label(word, "ignored"));
}
