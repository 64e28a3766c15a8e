//! Where a keyword may stand: in which sections, and behind `no` or `default`.

use proxy_types::Diagnostic;

use crate::args::{Args, Polarity};
use crate::context::{Context, Parsed, Reported};
use crate::keyword::{Row, Support};
use crate::line::server;
use crate::model::{Proxy, ProxyKind};

/// Keywords that a section without the capability must not even have; others are ignored there with a warning.
const STRICT: &[&str] = &["default-server", "server", "server-template"];

/// Whether the keyword of `args` is valid in the section of `proxy`. HAProxy ignores most keywords of the other
/// side with a warning, and so configurations have them.
pub(crate) fn check_section<F>(
    cx: &mut Context<'_>,
    row: &Row<F>,
    proxy: &Proxy,
    args: &Args<'_>,
) -> Parsed {
    let name = args.name();
    let span = args.keyword_span();
    if proxy.kind == ProxyKind::Defaults {
        if !row.on.defaults() {
            return Err(cx.alert(span, format!("'{name}' not allowed in 'defaults' section")));
        }
        if row.on.only_named_defaults() && proxy.name.value.is_empty() {
            let message = format!("'{name}' not allowed in anonymous 'defaults' section");
            let help = "give the section a name: 'defaults <name>'";
            return Err(cx.report(Diagnostic::alert(message).at(span).help(help)));
        }
        return Ok(());
    }
    let missing = match (row.on.frontend(), row.on.backend()) {
        (true, false) if !proxy.kind.is_frontend() => "frontend",
        (false, true) if !proxy.kind.is_backend() => "backend",
        _ => return Ok(()),
    };
    if STRICT.contains(&name) {
        return Err(server::not_allowed(cx, proxy, name, span));
    }
    let message = format!("'{name}' ignored because {} has no {missing} capability", proxy.label());
    cx.warn(span, message);
    Err(Reported)
}

/// `no` and `default` only where they mean something.
pub(crate) fn check_polarity<F>(cx: &mut Context<'_>, row: &Row<F>, args: &Args<'_>) -> Parsed {
    if args.polarity == Polarity::Set || row.negatable || matches!(row.support, Support::NotYet) {
        return Ok(());
    }
    let message = format!("negation/default is not supported for '{}'", row.name);
    Err(cx.alert(args.span(), message))
}
