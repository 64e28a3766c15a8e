//! `healthcheck` sections (configuration manual, 12.9).

use proxy_types::{Diagnostic, Spanned};

use crate::args::Args;
use crate::context::{Context, Parsed};
use crate::keyword::{On, Table, find, row, suggest};
use crate::line::check;
use crate::model::{CheckLine, CheckOption, Checks, HealthCheck};

type Parse = fn(&mut Context<'_>, &mut HealthCheck, &mut Args<'_>) -> Parsed;

const M: &str = "12.9";

pub(crate) const HEALTHCHECK: Table<Parse> = &[&[
    row(
        "http-check",
        On::HERE,
        "<rule> [<arguments>]",
        M,
        "a rule of type httpchk",
        |_, h, args| {
            let line = CheckLine { span: args.span(), words: args.rest().to_vec() };
            h.checks.http.push(line);
            Ok(())
        },
    ),
    row(
        "tcp-check",
        On::HERE,
        "<rule> [<arguments>]",
        M,
        "a rule of type tcp-check",
        |_, h, args| {
            let line = CheckLine { span: args.span(), words: args.rest().to_vec() };
            h.checks.tcp.push(line);
            Ok(())
        },
    ),
    row("type", On::HERE, "<type> [<arguments>]", M, "what is spoken", kind),
]];

type Option = fn(&mut Context<'_>, &mut Checks, &mut Args<'_>) -> Parsed;

/// The options of proxies that are types here.
const TYPES: &[(&str, Option)] = &[
    ("httpchk", check::httpchk),
    ("ldap-check", check::ldap),
    ("mysql-check", check::mysql),
    ("pgsql-check", check::pgsql),
    ("redis-check", check::redis),
    ("smtpchk", check::smtp),
    ("spop-check", check::spop),
    ("ssl-hello-chk", check::ssl_hello),
    ("tcp-check", check::tcp_check),
];

fn kind(cx: &mut Context<'_>, section: &mut HealthCheck, args: &mut Args<'_>) -> Parsed {
    let option = args.choice(cx, TYPES)?;
    (option.value)(cx, &mut section.checks, args)
}

/// Opens a section.
pub(crate) fn open(cx: &mut Context<'_>, args: &mut Args<'_>) -> HealthCheck {
    let span = args.span();
    let name = args.string(cx, "a name as argument").ok();
    let _ = args.end(cx);
    let name = name.unwrap_or_else(|| Spanned::new(String::new(), span));
    HealthCheck { name, checks: Checks::default() }
}

/// Reads a line of a section.
pub(crate) fn line(cx: &mut Context<'_>, section: &mut HealthCheck, args: &mut Args<'_>) -> Parsed {
    let name = args.name().to_owned();
    let Some(row) = find(HEALTHCHECK, &name) else {
        let message = format!("unknown keyword '{name}' in 'healthcheck' section");
        let near = suggest(HEALTHCHECK, &name);
        let diagnostic = Diagnostic::alert(message).at(args.keyword_span()).did_you_mean(near);
        return Err(cx.report(diagnostic));
    };
    let parse = cx.carried(row, "keyword", "in 'healthcheck' section", args.keyword_span())?;
    parse(cx, section, args)
}

/// A section that is complete: it has a type, and rules of that type only.
pub(crate) fn check(cx: &mut Context<'_>, section: &HealthCheck) {
    let Some(option) = &section.checks.option else {
        let message = format!("healthcheck section '{}' has no 'type'", section.name);
        cx.alert(section.name.span, message);
        return;
    };
    let (kind, strange) = match option.value {
        CheckOption::Http { .. } => ("httpchk", section.checks.tcp.first()),
        CheckOption::Tcp => ("tcp-check", section.checks.http.first()),
        _ => ("this", section.checks.http.first().or_else(|| section.checks.tcp.first())),
    };
    if let Some(rule) = strange {
        let message = format!("this rule is none of {kind} health-checks");
        let diagnostic = Diagnostic::alert(message).at(rule.span).label(option.span, "the type");
        cx.report(diagnostic);
    }
}
