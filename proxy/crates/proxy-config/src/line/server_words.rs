//! The words behind the address of a `server` line, one after the other, and which of them may stand where.

use proxy_types::Diagnostic;

use crate::args::Args;
use crate::context::{Context, Parsed};
use crate::keyword::{Support, Table, find, suggest};
use crate::line::server_draft::{Draft, Parse};
use crate::line::server_rows::OPTIONS;
use crate::line::tls_server;
use crate::place::check_shape;

/// What a server that is added at run time cannot have: what only a start can bring about, and what cancels settings that it
/// does not have.
const NOT_DYNAMIC: &[&str] = &[
    "init-addr",
    "log-bufsize",
    "log-proto",
    "max-reuse",
    "namespace",
    "no-agent-check",
    "no-check",
    "no-check-ssl",
    "no-send-proxy-v2-ssl",
    "no-send-proxy-v2-ssl-cn",
    "no-ssl",
    "non-stick",
    "redir",
    "resolve-net",
    "resolve-opts",
    "resolve-prefer",
    "resolvers",
    "shard",
    "socks4",
    "ssl-reuse",
    "stick",
    "tcp-ut",
];

/// The words of a server that is added at run time, with their arguments.
pub(crate) fn dynamic_words() -> impl Iterator<Item = (&'static str, &'static str)> {
    OPTIONS
        .iter()
        .flat_map(|group| group.iter())
        .filter(|row| matches!(row.support, Support::Carried(_)))
        .filter(|row| !NOT_DYNAMIC.contains(&row.name) && row.name != "usesrc")
        .map(|row| (row.name, row.syntax))
}

/// What peers and servers have in common, beside TLS.
const OF_PEERS: &[&str] =
    &["cc", "namespace", "no-tfo", "shard", "socks4", "source", "tcp-md5sig", "tcp-ut", "tfo"];
const TLS_OPTIONS: Table<Parse> =
    &[tls_server::VERSIONS, tls_server::SETTINGS, tls_server::TLS, tls_server::TLS_LIBRARY];

/// What servers of rings have beside TLS and the PROXY protocol.
const OF_RINGS: &[&str] =
    &["cc", "log-proto", "namespace", "no-tfo", "source", "tcp-ut", "tfo", "init-addr"];
/// What would change the way to a server of a ring, and does not.
const IMPOSSIBLE_IN_RINGS: &[&str] = &["log-bufsize", "resolvers", "socks4"];

fn of_rings(name: &str) -> bool {
    OF_RINGS.contains(&name)
        || find(TLS_OPTIONS, name).is_some()
        || find(&[tls_server::PROXY], name).is_some()
}

/// Options up to the end of the line, all looked at even when one is wrong.
pub(super) fn options(
    cx: &mut Context<'_>,
    draft: &mut Draft,
    args: &mut Args<'_>,
    name: &str,
) -> Parsed {
    let mut result = Ok(());
    while let Some(word) = args.optional() {
        let plain = word.value.split('(').next().unwrap_or_default();
        let Some(row) = find(OPTIONS, plain) else {
            let message = format!("'{name}' : unknown keyword '{}'", word.value);
            let near = suggest(OPTIONS, &word.value);
            result = Err(cx.report(Diagnostic::alert(message).at(word.span).did_you_mean(near)));
            // Probably its argument.
            if args.peek().is_some_and(|word| find(OPTIONS, &word.value).is_none()) {
                args.optional();
            }
            continue;
        };
        args.rename_option(name, "' : '", row.name);
        if draft.is_dynamic && NOT_DYNAMIC.contains(&row.name) {
            let message = format!("'{}' option is not accepted for dynamic server", row.name);
            return Err(cx.alert(word.span, message));
        }
        if draft.is_peer
            && !matches!(row.support, Support::Removed { .. })
            && !OF_PEERS.contains(&row.name)
            && find(TLS_OPTIONS, row.name).is_none()
        {
            // The manual wants what is "related to transport settings"; HAProxy takes the others and drops them.
            let text =
                format!("'{name}' : '{}' ignored: it means nothing in 'peers' sections", row.name);
            cx.warn(word.span, text);
            let mut unused = Draft::new(draft.options.clone());
            let _ = cx
                .carried(row, format_args!("'{name}' : option"), "", word.span)
                .and_then(|parse| parse(cx, &mut unused, args));
            continue;
        }
        if draft.in_ring && IMPOSSIBLE_IN_RINGS.contains(&row.name) {
            let message = format!("'{name}' : '{}' is not possible in 'ring' sections", row.name);
            result = Err(cx.alert(word.span, message));
            args.rest();
            continue;
        }
        if draft.in_ring && matches!(row.support, Support::Carried(_)) && !of_rings(row.name) {
            // The manual allows them all there and calls them irrelevant.
            let text = format!("'{name}' : '{}' means nothing in 'ring' sections", row.name);
            cx.notice(word.span, text);
        }
        let inert = matches!(row.support, Support::NoEffect(_));
        let parsed = check_shape(cx, row, args, false)
            .and_then(|()| cx.carried(row, format_args!("'{name}' : option"), "", word.span))
            .and_then(|parse| parse(cx, draft, args));
        if let Err(reported) = parsed
            && !inert
        {
            // Behind an option that is not carried its arguments cannot be told from options.
            args.rest();
            result = Err(reported);
        }
    }
    result
}
