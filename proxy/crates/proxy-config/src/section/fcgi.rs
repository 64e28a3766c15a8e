//! `fcgi-app` sections (configuration manual, 10.1).

use proxy_types::{Diagnostic, Spanned};

use crate::args::{Args, Polarity, last_string};
use crate::context::{Context, Parsed};
use crate::keyword::{On, Table, find, row, suggest};
use crate::line::{log, rules};
use crate::model::{FcgiApp, FcgiHeader, FcgiParam, LogEntry};

type Parse = fn(&mut Context<'_>, &mut FcgiApp, &mut Args<'_>) -> Parsed;
type SetOption = fn(&mut Context<'_>, &mut FcgiApp, &mut Args<'_>, bool) -> Parsed;

const M: &str = "10.1";

pub(crate) const FCGI_APP: Table<Parse> = &[&[
    row(
        "acl",
        On::HERE,
        "<aclname> <criterion> [flags] [operator] <value> ...",
        M,
        "names a condition of this section",
        |cx, app, args| {
            app.acls.push(rules::acl_line(cx, args)?);
            Ok(())
        },
    ),
    row("docroot", On::HERE, "<path>", M, "where the scripts are", |cx, app, args| {
        app.docroot = Some(last_string(cx, args, "a path")?);
        Ok(())
    }),
    row(
        "index",
        On::HERE,
        "<script-name>",
        M,
        "the script of paths that end with a slash",
        |cx, app, args| {
            app.index = Some(last_string(cx, args, "the name of a script")?);
            Ok(())
        },
    ),
    row(
        "log-stderr",
        On::HERE,
        "global | <target> [len <length>] [format <format>] [sample <ranges>:<size>] <facility> [<level> [<minlevel>]]",
        M,
        "where what the application writes to its standard error goes",
        log_stderr as Parse,
    )
    .negatable(),
    row("option", On::HERE, "<name>", M, "switches a feature on", option as Parse).negatable(),
    row(
        "pass-header",
        On::HERE,
        "<name> [ { if | unless } <condition> ]",
        M,
        "passes a request field that is left out otherwise",
        |cx, app, args| {
            let span = args.span();
            let name = args.string(cx, "the name of a field")?;
            let condition = rules::condition(cx, args)?;
            app.pass_headers.push(FcgiHeader { span, name, condition });
            Ok(())
        },
    ),
    row(
        "path-info",
        On::HERE,
        "<regex>",
        M,
        "takes the script and what follows it from a path",
        |cx, app, args| {
            let text = last_string(cx, args, "a regular expression")?;
            if let Err(error) = proxy_rules::regex::compile(text.value.as_bytes(), false) {
                return Err(args.wrong(cx, text.span, error));
            }
            app.path_info = Some(text);
            Ok(())
        },
    ),
    row(
        "set-param",
        On::HERE,
        "<name> <fmt> [ { if | unless } <condition> ]",
        M,
        "sets a parameter that the application gets",
        |cx, app, args| {
            let span = args.span();
            let name = args.string(cx, "the name of a parameter")?;
            let format = args.word(cx, "a format")?.clone();
            let condition = rules::condition(cx, args)?;
            app.params.push(FcgiParam { span, name, format, condition });
            Ok(())
        },
    ),
]];

pub(crate) const OPTIONS: Table<SetOption> = &[&[
    row(
        "get-values",
        On::HERE,
        "",
        M,
        "asks the application how many requests a connection takes",
        get_values as SetOption,
    )
    .negatable(),
    row(
        "keep-conn",
        On::HERE,
        "",
        M,
        "keeps connections open behind a response; on by default",
        keep_conn as SetOption,
    )
    .negatable(),
    row(
        "max-reqs",
        On::HERE,
        "<reqs>",
        M,
        "requests of a connection at once",
        |cx, app, args, _| {
            app.max_reqs = Some(args.number(cx, 1..=i32::MAX as u32)?);
            args.end(cx)
        },
    ),
    row(
        "mpxs-conns",
        On::HERE,
        "",
        M,
        "connections carry several requests at once",
        mpxs_conns as SetOption,
    )
    .negatable(),
]];

fn get_values(cx: &mut Context<'_>, app: &mut FcgiApp, args: &mut Args<'_>, on: bool) -> Parsed {
    app.get_values = Some(Spanned::new(on, args.span()));
    args.end(cx)
}

fn keep_conn(cx: &mut Context<'_>, app: &mut FcgiApp, args: &mut Args<'_>, on: bool) -> Parsed {
    app.keep_conn = Some(Spanned::new(on, args.span()));
    args.end(cx)
}

fn mpxs_conns(cx: &mut Context<'_>, app: &mut FcgiApp, args: &mut Args<'_>, on: bool) -> Parsed {
    app.mpxs_conns = Some(Spanned::new(on, args.span()));
    args.end(cx)
}

fn option(cx: &mut Context<'_>, app: &mut FcgiApp, args: &mut Args<'_>) -> Parsed {
    let on = args.polarity != Polarity::No;
    let Some(word) = args.deepen() else {
        return Err(args.missing(cx, "the name of an option"));
    };
    let Some(row) = find(OPTIONS, &word.value) else {
        let message = format!("unknown option '{}' in 'fcgi-app' section", word.value);
        let near = suggest(OPTIONS, &word.value);
        return Err(cx.report(Diagnostic::alert(message).at(word.span).did_you_mean(near)));
    };
    crate::place::check_polarity(cx, row, args)?;
    let set = cx.carried(row, "option", "in 'fcgi-app' section", word.span)?;
    set(cx, app, args, on)
}

fn log_stderr(cx: &mut Context<'_>, app: &mut FcgiApp, args: &mut Args<'_>) -> Parsed {
    if args.polarity != Polarity::Set {
        args.end(cx)?;
        app.log_stderr.clear();
        return Ok(());
    }
    let entry = match args.accept("global") {
        Some(_) => {
            args.end(cx)?;
            LogEntry::Global { span: args.span(), targets: cx.global_logs }
        }
        None => LogEntry::Target(log::target(cx, args)?),
    };
    app.log_stderr.push(entry);
    Ok(())
}

/// Opens a section.
pub(crate) fn open(cx: &mut Context<'_>, args: &mut Args<'_>) -> FcgiApp {
    let span = args.span();
    let name = args.string(cx, "a name as argument").ok();
    let _ = args.end(cx);
    let name = name.unwrap_or_else(|| Spanned::new(String::new(), span));
    FcgiApp { name, ..FcgiApp::default() }
}

/// Reads a line of a section.
pub(crate) fn line(cx: &mut Context<'_>, app: &mut FcgiApp, args: &mut Args<'_>) -> Parsed {
    let span = args.keyword_span();
    let name = args.name().to_owned();
    let Some(row) = find(FCGI_APP, &name) else {
        let message = format!("unknown keyword '{name}' in 'fcgi-app' section");
        let near = suggest(FCGI_APP, &name);
        return Err(cx.report(Diagnostic::alert(message).at(span).did_you_mean(near)));
    };
    crate::place::check_polarity(cx, row, args)?;
    let parse = cx.carried(row, "keyword", "in 'fcgi-app' section", span)?;
    parse(cx, app, args)
}

/// What only the whole section tells.
pub(crate) fn check(cx: &mut Context<'_>, app: &FcgiApp) {
    if app.docroot.is_none() {
        let message = format!("fcgi-app '{}' : its 'docroot' is missing", app.name);
        cx.report(Diagnostic::alert(message).at(app.name.span));
    }
}
