//! `get var`, `set var`: the variables of the process (management manual, 9.3).

use crate::Level;
use crate::command::{Answer, Call, Command, Reply, SessionMode};
use proxy_rules::logformat::{LogFormat, Use};
use proxy_rules::sample::context::{Clock, Date};
use proxy_rules::sample::{EvalCtx, Expr, NoFiles, ParseCx, Place, Sample};
use proxy_rules::vars::Scope;
use proxy_types::{Diagnostics, Mode, Span, Spanned};
use std::cell::Cell;
use std::time::UNIX_EPOCH;

/// A value as the answer shows it.
fn shown(value: &Sample<'_>) -> String {
    let text = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
    match value {
        Sample::Bin(bytes) => bytes.iter().map(|byte| format!("{byte:02X}")).collect(),
        Sample::Bool(on) => u8::from(*on).to_string(),
        Sample::Int(number) => number.to_string(),
        Sample::Ipv4(ip) => ip.to_string(),
        Sample::Ipv6(ip) => ip.to_string(),
        Sample::Meth(name) | Sample::Str(name) => text(name),
    }
}

fn get_var(call: &mut Call<'_>) -> Answer {
    let name = call.arg(0);
    if name.is_empty() {
        return Err(Reply::line("Missing process-wide variable identifier."));
    }
    let shared = &call.admin.shared;
    let scratch = bumpalo::Bump::new();
    let found = shared.var_names.find(name).filter(|var| var.scope == Scope::Proc);
    let value = found.and_then(|var| shared.proc_vars.get(var.id, &scratch));
    let Some(value) = value else { return Err(Reply::line("Variable not found.")) };
    Ok(Reply::line(format!("{name}: type={} value=<{}>", value.ty().name(), shown(&value))))
}

fn set_var(call: &mut Call<'_>) -> Answer {
    let (is_format, text) = match call.args {
        [_, kind, text, ..] if kind == "fmt" => (true, text),
        [_, kind, text, ..] if kind == "expr" => (false, text),
        [_, text] if !matches!(text.as_str(), "fmt" | "expr") => (false, text),
        [_, kind, _, ..] => {
            return Err(Reply::line(format!(
                "'set var': arg type must be either 'expr' or 'fmt' but got '{kind}'."
            )));
        }
        _ => return Err(Reply::line("Missing either 'expr', 'fmt' or expression.")),
    };
    let name = call.arg(0);
    if !name.starts_with("proc.") {
        return Err(Reply::line(format!(
            "'set var': cannot set variable '{name}', only scope 'proc' is permitted here."
        )));
    }
    let shared = &call.admin.shared;
    let (mut diagnostics, mut refs) = (Diagnostics::default(), Vec::new());
    let mut cx = ParseCx {
        place: Place::Cli,
        listen: false,
        section: "",
        mode: Mode::Http,
        vars: &shared.var_names,
        loader: &NoFiles,
        patterns: &shared.patterns,
        keys: &shared.public_keys,
        files: &(),
        captures: None,
        acls: None,
        counters: proxy_rules::track::COUNTERS,
        diag: &mut diagnostics,
        refs: &mut refs,
    };
    let word = Spanned::new(text.as_bytes(), Span::NONE);
    let (scratch, random) = (bumpalo::Bump::new(), Cell::new(u64::from(shared.pid) | 1));
    let since = call.admin.process.wall().duration_since(UNIX_EPOCH).unwrap_or_default();
    let date = Date {
        secs: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        usec: since.subsec_micros(),
    };
    let eval =
        EvalCtx::new(&scratch, shared, Clock { now: call.now, date, utc_offset: 0 }, &random);
    let wrong = |diagnostic: Box<proxy_types::Diagnostic>| Reply::line(diagnostic.message);
    let format;
    let expr;
    let value = if is_format {
        format = LogFormat::parse(word, Use::Http, &mut cx).map_err(wrong)?;
        Some(Sample::Str(format.render(&eval)))
    } else {
        expr = Expr::parse(word, &mut cx).map_err(wrong)?;
        expr.eval(&eval)
    };
    // Names are kept for good: one is made only for a value that can be set.
    let var = shared.var_names.parse(name).map_err(Reply::line)?;
    match value {
        Some(value) => shared.proc_vars.set(var.id, value),
        None => return Err(Reply::line("The expression has no value here.")),
    }
    Ok(Reply::done())
}

pub(super) static COMMANDS: &[Command] = &[
    Command {
        words: &["get", "var"],
        usage: "<name>",
        doc: "retrieve contents of a process-wide variable",
        level: Level::Operator,
        mode: SessionMode::Any,
        run: get_var,
    },
    Command {
        words: &["set", "var"],
        usage: "<name> [fmt|expr] {<fmt>|<expr>}",
        doc: "set variable from an expression or a format",
        level: Level::Operator,
        mode: SessionMode::Experimental,
        run: set_var,
    },
];
