//! Rules, ACLs and conditions: cut into their parts here, understood by `proxy-rules`.

use proxy_rules::action::{self, ActionDef};
use proxy_types::{Diagnostic, Span, Spanned};

use crate::args::Args;
use crate::context::{Context, Parsed};
use crate::keyword::{On, Table, find, row, suggest};
use crate::lexer::Word;
use crate::model::{AclLine, Condition, Proxy, ProxyKind, RuleLine, RuleSet, UseBackend};
use crate::place::check_section;

type Parse = fn(&mut Context<'_>, &mut Proxy, &mut Args<'_>) -> Parsed;

pub(crate) const TCP_REQUEST: Table<Parse> = &[&[
    row(
        "connection",
        On::NAMED_FE,
        "<action> [{if|unless} <condition>]",
        "4.2",
        "rules before a session exists",
        |cx, p, args| rule(cx, p, args, RuleSet::TcpRequestConnection),
    ),
    row(
        "content",
        On::NAMED_FE_BE,
        "<action> [{if|unless} <condition>]",
        "4.2",
        "rules on the first bytes",
        |cx, p, args| rule(cx, p, args, RuleSet::TcpRequestContent),
    ),
    row(
        "inspect-delay",
        On::NAMED_FE_BE,
        "<timeout>",
        "4.2",
        "how long to wait for the first bytes",
        |cx, p, args| {
            p.settings.tcp_request_inspect_delay = Some(args.timer(cx)?);
            args.end(cx)
        },
    ),
    row(
        "session",
        On::NAMED_FE,
        "<action> [{if|unless} <condition>]",
        "4.2",
        "rules once a session exists",
        |cx, p, args| rule(cx, p, args, RuleSet::TcpRequestSession),
    ),
]];

pub(crate) const TCP_RESPONSE: Table<Parse> = &[&[
    row(
        "content",
        On::NAMED_BE,
        "<action> [{if|unless} <condition>]",
        "4.2",
        "rules on the first bytes of a server",
        |cx, p, args| rule(cx, p, args, RuleSet::TcpResponseContent),
    ),
    row(
        "inspect-delay",
        On::NAMED_BE,
        "<timeout>",
        "4.2",
        "how long to wait for the first bytes of a server",
        |cx, p, args| {
            p.settings.tcp_response_inspect_delay = Some(args.timer(cx)?);
            args.end(cx)
        },
    ),
]];

/// A keyword whose second word is looked up in a table of its own.
fn second(
    cx: &mut Context<'_>,
    proxy: &mut Proxy,
    args: &mut Args<'_>,
    table: Table<Parse>,
) -> Parsed {
    let names: Vec<_> =
        table.iter().flat_map(|g| g.iter()).map(|r| format!("'{}'", r.name)).collect();
    let expected = format!("one of {}", names.join(", "));
    let first = args.name().to_owned();
    let Some(word) = args.deepen() else { return Err(args.missing(cx, &expected)) };
    let Some(row) = find(table, &word.value) else {
        let message = format!("'{first}' expects {expected}, got '{}'", word.value);
        let near = suggest(table, &word.value);
        return Err(cx.report(Diagnostic::alert(message).at(word.span).did_you_mean(near)));
    };
    wrong_side(cx, proxy, args, word)?;
    check_section(cx, row, proxy, args)?;
    let parse = cx.carried(row, format_args!("'{first}' keyword"), "", word.span)?;
    parse(cx, proxy, args)
}

/// Rules of the other side are an error here, not a warning as with most keywords.
fn wrong_side(cx: &mut Context<'_>, proxy: &Proxy, args: &Args<'_>, word: &Word) -> Parsed {
    let missing = match args.name() {
        "tcp-request connection" | "tcp-request session" if !proxy.kind.is_frontend() => "frontend",
        "tcp-response content" | "tcp-response inspect-delay" if !proxy.kind.is_backend() => {
            "backend"
        }
        _ => return Ok(()),
    };
    if proxy.kind == ProxyKind::Defaults {
        return Ok(());
    }
    let message =
        format!("{} is not allowed because {} is not a {missing}", args.name(), proxy.label());
    Err(cx.alert(word.span, message))
}

pub(crate) fn tcp_request(cx: &mut Context<'_>, proxy: &mut Proxy, args: &mut Args<'_>) -> Parsed {
    second(cx, proxy, args, TCP_REQUEST)
}

pub(crate) fn tcp_response(cx: &mut Context<'_>, proxy: &mut Proxy, args: &mut Args<'_>) -> Parsed {
    second(cx, proxy, args, TCP_RESPONSE)
}

/// Keeps a rule, its action and its condition as words.
pub(crate) fn rule(
    cx: &mut Context<'_>,
    proxy: &mut Proxy,
    args: &mut Args<'_>,
    set: RuleSet,
) -> Parsed {
    let span = args.span();
    let keyword = args.keyword_span();
    if args.peek().is_none_or(|w| w.value.is_empty()) {
        return Err(args.missing(cx, "an action"));
    }
    if let Some(word) = args.peek()
        && !cx.experimental
        && action::find(&word.value).is_some_and(ActionDef::is_experimental)
    {
        let message = format!(
            "'{}' action is experimental, must be allowed via a global 'expose-experimental-directives'",
            word.value
        );
        let help = "put that word into a 'global' section before this line";
        return Err(cx.report(Diagnostic::alert(message).at(word.span).help(help)));
    }
    let mut words = args.rest().to_vec();
    if set == RuleSet::Redirect {
        words.insert(0, Spanned::new("redirect".into(), keyword));
    }
    proxy.rules.push(RuleLine { set, span, words });
    Ok(())
}

/// `monitor fail {if|unless} <condition>`.
pub(crate) fn monitor(cx: &mut Context<'_>, proxy: &mut Proxy, args: &mut Args<'_>) -> Parsed {
    let (span, keyword) = (args.span(), args.keyword_span());
    args.choice(cx, &[("fail", ())])?;
    args.rename("monitor fail");
    let Some(condition) = condition(cx, args)? else {
        return Err(args.missing(cx, "'if' or 'unless' and a condition"));
    };
    // A condition is evaluated with the action that it belongs to: here any that decides.
    let mut words = vec![Spanned::new("deny".into(), keyword)];
    words.extend(condition.words);
    proxy.rules.push(RuleLine { set: RuleSet::MonitorFail, span, words });
    Ok(())
}

pub(crate) fn acl(cx: &mut Context<'_>, proxy: &mut Proxy, args: &mut Args<'_>) -> Parsed {
    proxy.acls.push(acl_line(cx, args)?);
    Ok(())
}

/// What an `acl` line of any section says.
pub(crate) fn acl_line(cx: &mut Context<'_>, args: &mut Args<'_>) -> Parsed<AclLine> {
    let span = args.span();
    let rest = args.clone().rest().to_vec();
    let name = args.word(cx, "a name and a criterion")?;
    let bad = name.value.char_indices().find(|(_, c)| !super::shared::is_name_char(*c));
    if let Some((at, c)) = bad {
        let message = format!("character '{c}' is not permitted in ACL name '{name}'");
        return Err(cx.alert(crate::lexer::sub_span(name, at, c.len_utf8()), message));
    }
    if matches!(name.value.as_str(), "or" | "if" | "unless") {
        let message = format!("'{}' is a word of conditions and cannot name an ACL", name.value);
        return Err(cx.alert(name.span, message));
    }
    args.word(cx, "a criterion after the name")?;
    Ok(AclLine { span, words: rest })
}

/// `[if|unless <condition>]` up to the end of the line.
pub(crate) fn condition(cx: &mut Context<'_>, args: &mut Args<'_>) -> Parsed<Option<Condition>> {
    let Some(word) = args.peek() else { return Ok(None) };
    if !matches!(word.value.as_str(), "if" | "unless") {
        let message = format!("'{}' expects 'if' or 'unless', got '{}'", args.name(), word.value);
        return Err(cx.alert(word.span, message));
    }
    let words = args.rest().to_vec();
    if words.len() == 1 {
        return Err(args.missing(cx, &format!("a condition after '{}'", word.value)));
    }
    let span = words.last().map_or(word.span, |last: &Word| word.span.to(last.span));
    Ok(Some(Condition { span, words }))
}

pub(crate) fn use_backend(cx: &mut Context<'_>, proxy: &mut Proxy, args: &mut Args<'_>) -> Parsed {
    let span: Span = args.span();
    let target = args.word(cx, "a backend name")?.clone();
    let condition = condition(cx, args)?;
    proxy.use_backends.push(UseBackend { span, target, condition });
    Ok(())
}
