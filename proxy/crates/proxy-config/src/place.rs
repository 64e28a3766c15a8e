//! Where a keyword may stand: in which sections, and behind `no` or `default`.

use proxy_types::{Diagnostic, Span};

use crate::args::{Args, Polarity};
use crate::context::{Context, Parsed, Reported};
use crate::keyword::{Row, Shape, Support};
use crate::model::{Proxy, ProxyKind};

/// Keywords that a section without the capability must not even have; others are ignored there with a warning.
const STRICT: &[&str] = &["default-server", "server", "server-template"];

/// Formats of log lines have a warning of their own.
const FORMATS: &[&str] = &[
    "error-log-format",
    "log-format",
    "log-format-sd",
    "option httplog",
    "option httpslog",
    "option tcplog",
];

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
        return Err(not_allowed(cx, proxy, name, span));
    }
    let message = if missing == "frontend" && FORMATS.contains(&name) {
        format!("{} : '{name}' directive is ignored in backends.", proxy.label())
    } else {
        format!("'{name}' ignored because {} has no {missing} capability", proxy.label())
    };
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

/// The arguments of a keyword without effect are checked; `whole` when nothing else may be on the line.
pub(crate) fn check_shape<F>(
    cx: &mut Context<'_>,
    row: &Row<F>,
    args: &mut Args<'_>,
    whole: bool,
) -> Parsed {
    let Support::NoEffect(shape) = row.support else { return Ok(()) };
    let one_of = |cx: &mut Context<'_>, args: &mut Args<'_>, words: &[&'static str]| {
        let choices: Vec<(&'static str, ())> = words.iter().map(|word| (*word, ())).collect();
        args.choice(cx, &choices).map(drop)
    };
    match shape {
        Shape::None => {}
        Shape::Optionals(words) => {
            while args.peek().is_some() {
                one_of(cx, args, words)?;
            }
        }
        Shape::Choice(words) => one_of(cx, args, words)?,
        Shape::Choices(words) => {
            one_of(cx, args, words)?;
            while args.peek().is_some() {
                one_of(cx, args, words)?;
            }
        }
        Shape::Number(min, max) => args.number(cx, min..=max).map(drop)?,
        Shape::OnOff => one_of(cx, args, &["on", "off"])?,
        Shape::Size => args.size(cx, 0..=u32::MAX).map(drop)?,
        Shape::Timer => args.timer(cx).map(drop)?,
        Shape::Word => args.word(cx, "an argument").map(drop)?,
        Shape::Words => {
            args.word(cx, "an argument")?;
            args.rest();
        }
    }
    if whole { args.end(cx) } else { Ok(()) }
}

/// Reports a line that only sections with servers may have.
fn not_allowed(cx: &mut Context<'_>, proxy: &Proxy, name: &str, span: Span) -> Reported {
    let message =
        format!("'{name}' not allowed because {} has no backend capability", proxy.label());
    cx.alert(span, message)
}
