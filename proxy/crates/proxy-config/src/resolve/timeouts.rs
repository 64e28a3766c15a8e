//! Timeouts without which connections may stay for ever.

use proxy_types::{Diagnostic, Mode};

use crate::context::Context;
use crate::model::{Proxy, Timeouts};

pub(super) fn check(cx: &mut Context<'_>, proxy: &Proxy) {
    let timeouts = &proxy.settings.timeouts;
    let serves =
        proxy.kind.is_backend() && !proxy.servers.is_empty() && proxy.settings.mode() != Mode::Log;
    let needed = [
        ("client", proxy.kind.is_frontend(), timeouts.client),
        ("connect", serves && proxy.settings.mode() != Mode::Udp, timeouts.connect),
        ("server", serves, timeouts.server),
    ];
    let missing: Vec<String> = needed
        .iter()
        .filter(|(_, needed, value)| *needed && Timeouts::effective(*value).is_none())
        .map(|(name, ..)| format!("'{name}'"))
        .collect();
    if !missing.is_empty() {
        let message = format!("missing timeouts for {}", proxy.label());
        let note = "without them connections whose other side disappeared are never closed";
        let help = format!("set a 'timeout' other than zero for {}", missing.join(", "));
        cx.report(Diagnostic::warning(message).at(proxy.span).note(note).help(help));
    }
}
