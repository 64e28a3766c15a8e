//! `stats <setting>`: the statistics page (configuration manual, 4.2).

use proxy_types::Diagnostic;
use proxy_types::time::Unit;

use crate::args::{Args, rest_text};
use crate::context::{Context, Parsed};
use crate::keyword::{On, Shape, Support, Table, find, inert, row, suggest};
use crate::line::rules;
use crate::model::{Proxy, RuleSet, StatsPage};
use crate::place::check_section;

type Parse = fn(&mut Context<'_>, &mut Proxy, &mut Args<'_>) -> Parsed;

const M: &str = "4.2";

pub(crate) const STATS: Table<Parse> = &[&[
    row(
        "admin",
        On::FE_BE,
        "{ if | unless } <condition>",
        M,
        "when the page may change servers",
        |cx, p, args| {
            let Some(condition) = rules::condition(cx, args)? else {
                return Err(args.missing(cx, "'if' or 'unless' and a condition"));
            };
            page(p, args);
            p.stats_admin.push(condition);
            Ok(())
        },
    ),
    row("auth", On::ALL, "<user>:<passwd>", M, "who may see the page", |cx, p, args| {
        let account = args.string(cx, "<user>:<password>")?;
        page(p, args).accounts.push(account);
        args.leave(cx)
    }),
    row("enable", On::ALL, "", M, "switches the page on", |cx, p, args| {
        page(p, args);
        args.leave(cx)
    }),
    row("hide-version", On::ALL, "", M, "keeps the version off the page", |cx, p, args| {
        page(p, args).show_version = false;
        args.leave(cx)
    }),
    row(
        "http-request",
        On::FE_BE,
        "{ allow | deny | auth [realm <realm>] } [{if|unless} <condition>]",
        M,
        "access to the page by rules",
        http_request,
    ),
    row("realm", On::ALL, "<realm>", M, "what the browser asks a password for", |cx, p, args| {
        let realm = args.string(cx, "a realm")?;
        page(p, args).realm = Some(realm);
        args.leave(cx)
    }),
    row("refresh", On::ALL, "<delay>", M, "loads the page again and again", |cx, p, args| {
        let delay = args.timer_in(cx, Unit::Second)?;
        page(p, args).refresh = Some(delay);
        args.leave(cx)
    }),
    row("scope", On::ALL, "{ <name> | \".\" }", M, "a section that is shown", |cx, p, args| {
        let name = args.string(cx, "the name of a section, or '.'")?;
        page(p, args).scope.push(name.value);
        args.leave(cx)
    }),
    row("show-desc", On::ALL, "[<desc>]", M, "shows a description", |cx, p, args| {
        let text = match args.peek() {
            Some(_) => Some(rest_text(cx, args, "a description")?.value.to_string()),
            None => None,
        };
        page(p, args).description = Some(text);
        Ok(())
    }),
    row("show-legends", On::ALL, "", M, "shows addresses, ids and cookies", |cx, p, args| {
        page(p, args).legends = true;
        args.leave(cx)
    }),
    inert(
        "show-modules",
        On::ALL,
        M,
        Shape::None,
        "the page has no columns of modules; 'show stat' and metrics have",
    ),
    row("show-node", On::ALL, "[<name>]", M, "shows the name of the node", |cx, p, args| {
        let name = args.optional().map(|word| args.text(cx, word)).transpose()?;
        page(p, args).node = Some(name.map(|name| name.value));
        args.leave(cx)
    }),
    row("show-version", On::ALL, "", M, "shows the version", |cx, p, args| {
        page(p, args).show_version = true;
        args.leave(cx)
    }),
    row("uri", On::ALL, "<prefix>", M, "where the page is", |cx, p, args| {
        let uri = args.string(cx, "the beginning of a URI")?;
        page(p, args).uri = Some(uri);
        args.leave(cx)
    }),
]];

/// The page of the section, switched on.
fn page<'p>(proxy: &'p mut Proxy, args: &Args<'_>) -> &'p mut StatsPage {
    let page = &mut proxy.settings.stats;
    page.enabled.get_or_insert_with(|| args.span());
    page
}

fn http_request(cx: &mut Context<'_>, proxy: &mut Proxy, args: &mut Args<'_>) -> Parsed {
    const ACTIONS: [&str; 3] = ["allow", "deny", "auth"];
    let expected = "one of allow, deny, auth";
    let Some(action) = args.peek() else { return Err(args.missing(cx, expected)) };
    if !ACTIONS.contains(&action.value.as_str()) {
        let message = format!("'stats http-request' does not know '{}'", action.value);
        return Err(cx.report(Diagnostic::alert(message).at(action.span).expected(expected)));
    }
    rules::rule(cx, proxy, args, RuleSet::StatsHttpRequest)?;
    page(proxy, args);
    Ok(())
}

pub(crate) fn stats(cx: &mut Context<'_>, proxy: &mut Proxy, args: &mut Args<'_>) -> Parsed {
    let names: Vec<_> = STATS.iter().flat_map(|group| group.iter()).map(|row| row.name).collect();
    let expected = format!("one of {}", names.join(", "));
    let Some(word) = args.deepen() else { return Err(args.missing(cx, &expected)) };
    let Some(row) = find(STATS, &word.value) else {
        let message = format!("'stats' does not know '{}'", word.value);
        let near = suggest(STATS, &word.value);
        return Err(cx.report(
            Diagnostic::alert(message)
                .at(word.span)
                .expected(format!("expected {expected}"))
                .did_you_mean(near),
        ));
    };
    check_section(cx, row, proxy, args)?;
    if matches!(row.support, Support::NoEffect(_)) {
        // Any of these words asks for the page.
        page(proxy, args);
    }
    let parse = cx.carried(row, "'stats' keyword", "", word.span)?;
    parse(cx, proxy, args)
}
