//! `peers` sections (configuration manual, 11.2).

use proxy_types::{Diagnostic, Spanned};

use crate::args::Args;
use crate::context::{Context, Parsed};
use crate::keyword::{On, Table, find, row, suggest};
use crate::lexer::sub_span;
use crate::line::shared::is_name_char;
use crate::line::{bind, server, stick};
use crate::model::{Bind, Peers, Proxy, ProxyKind};

pub(crate) type Parse = fn(&mut Context<'_>, &mut Peers, &mut Args<'_>) -> Parsed;

const M: &str = "11.2";

pub(crate) const PEERS: Table<Parse> = &[&[
    row(
        "bind",
        On::HERE,
        "[<address>]:<port> [param*]",
        M,
        "where this peer listens",
        |cx, p, args| {
            let base = p.default_bind.clone();
            let bind = bind::bind_from(cx, args, "in 'peers' section", base)?;
            check_bind(cx, args, &bind)?;
            p.proxy.binds.push(bind);
            Ok(())
        },
    ),
    row(
        "default-bind",
        On::HERE,
        "[param*]",
        M,
        "options of the bind lines that follow",
        |cx, p, args| {
            let base = p.default_bind.clone();
            p.default_bind = bind::default_bind(cx, args, "in 'peers' section", base)?;
            Ok(())
        },
    ),
    row(
        "default-server",
        On::HERE,
        "[param*]",
        M,
        "options of the peers that follow",
        |cx, p: &mut Peers, args| server::default_server(cx, &mut p.proxy, args),
    ),
    row("disabled", On::HERE, "", M, "switches the section off", |cx, p, args| {
        p.proxy.settings.disabled = Some(Spanned::new(true, args.span()));
        args.end(cx)
    }),
    row("enabled", On::HERE, "", M, "cancels disabled", |cx, p, args| {
        p.proxy.settings.disabled = Some(Spanned::new(false, args.span()));
        args.end(cx)
    }),
    row(
        "log",
        On::HERE,
        "global | <target> [len <length>] [format <format>] <facility> [<level> [<minlevel>]]",
        M,
        "adds a target for lines about connections with peers",
        log as Parse,
    )
    .negatable(),
    row("peer", On::HERE, "<peername> [<address>]:<port> [param*]", M, "adds a peer", peer),
    row("server", On::HERE, "<peername> [<address>:<port>] [param*]", M, "adds a peer", peer),
    row(
        "shards",
        On::HERE,
        "<shards>",
        M,
        "parts that the keys are divided into",
        |cx, p, args| {
            p.shards = Some(args.number(cx, 1..=i32::MAX as u32)?);
            args.end(cx)
        },
    ),
    row(
        "table",
        On::HERE,
        "<tablename> type <type> size <size> [expire <expire>] [args...]",
        M,
        "a stick table that is shared",
        table,
    ),
]];

/// What a listener of peers cannot do.
fn check_bind(cx: &mut Context<'_>, args: &Args<'_>, bind: &Bind) -> Parsed {
    let cip = bind.accept_netscaler_cip.map(|magic| magic.span);
    for (name, span) in [("accept-proxy", bind.accept_proxy), ("accept-netscaler-cip", cip)] {
        if let Some(span) = span {
            let message = format!("'{name}' in a 'peers' section: known, not carried yet");
            return Err(args.wrong(cx, span, message));
        }
    }
    Ok(())
}

fn peer(cx: &mut Context<'_>, section: &mut Peers, args: &mut Args<'_>) -> Parsed {
    let peer = server::peer(cx, &section.proxy, args, &section.local)?;
    if let Some(before) = section.peers.iter().find(|p| p.name.value == peer.name.value) {
        let message = format!("peer '{}' is in the section already", peer.name.value);
        let diagnostic = Diagnostic::alert(message).at(peer.name.span);
        return Err(cx.report(diagnostic.label(before.name.span, "first declared here")));
    }
    section.peers.push(peer);
    Ok(())
}

fn table(cx: &mut Context<'_>, section: &mut Peers, args: &mut Args<'_>) -> Parsed {
    let name = args.string(cx, "the name of a table")?;
    if let Some(before) = section.tables.iter().find(|(other, _)| other.value == name.value) {
        let message = format!("table '{}' is in the section already", name.value);
        let diagnostic = Diagnostic::alert(message).at(name.span);
        return Err(cx.report(diagnostic.label(before.0.span, "first declared here")));
    }
    let mut table = stick::table(cx, args)?;
    if let Some(peers) = &table.peers {
        let message =
            "'peers' is not possible here: the table is shared with the peers of its section";
        return Err(args.wrong(cx, peers.span, message));
    }
    table.peers = Some(section.name.clone());
    section.tables.push((name, table));
    Ok(())
}

/// Opens a section.
pub(crate) fn open(cx: &mut Context<'_>, args: &mut Args<'_>) -> Peers {
    let span = args.span();
    let name = args.string(cx, "a name as argument");
    let _ = args.end(cx);
    let name = name.unwrap_or_else(|_| Spanned::new(String::new(), span));
    if let Some((at, c)) = name.value.char_indices().find(|(_, c)| !is_name_char(*c)) {
        let message = format!("character '{c}' is not permitted in 'peers' name '{name}'");
        cx.alert(sub_span(&name, at, c.len_utf8()), message);
    }
    cx.peers_seen = true;
    Peers {
        span,
        local: cx.env.get("HAPROXY_LOCALPEER").unwrap_or_default().to_owned(),
        proxy: Proxy::new(ProxyKind::Peers, name.clone(), span),
        name,
        peers: Vec::new(),
        default_bind: Bind::default(),
        shards: None,
        tables: Vec::new(),
    }
}

/// One line of the section.
pub(crate) fn line(cx: &mut Context<'_>, section: &mut Peers, args: &mut Args<'_>) -> Parsed {
    let Some(row) = find(PEERS, args.name()) else {
        let message = format!("unknown keyword '{}' in 'peers' section", args.name());
        let near = suggest(PEERS, args.name());
        let span = args.keyword_span();
        return Err(cx.report(Diagnostic::alert(message).at(span).did_you_mean(near)));
    };
    crate::place::check_polarity(cx, row, args)?;
    let parse = cx.carried(row, "keyword", "in 'peers' section", args.keyword_span())?;
    parse(cx, section, args)
}

/// The section as a whole: where this process listens.
pub(crate) fn close(cx: &mut Context<'_>, section: &mut Peers) {
    let shards = section.shards.map_or(0, |shards| shards.value);
    for peer in &section.peers {
        let Some(shard) = peer.options.shard else { continue };
        if peer.name.value == section.local && shard.value != 0 {
            cx.warn(shard.span, "'shard' is ignored for the local peer");
        } else if shard.value > shards {
            let message =
                format!("'shard {shard}' is ignored: there are {shards} 'shards' in the section");
            cx.warn(shard.span, message);
        }
    }
    let Some(local) = section.local_peer() else {
        // Tables may be in the section alone.
        if !section.peers.is_empty() && !section.proxy.settings.is_disabled() {
            let message = format!(
                "peers section '{}' exchanges nothing: no peer in it is called '{}'",
                section.name.value, section.local
            );
            let help = "the local name is that of the host unless '-L' or 'localpeer' sets another";
            cx.report(Diagnostic::warning(message).at(section.span).help(help));
        }
        return;
    };
    match (&local.address, section.proxy.binds.first()) {
        (Some(address), Some(bind)) => {
            let message = format!(
                "peers section '{}': the local peer has an address and 'bind' lines",
                section.name.value
            );
            let diagnostic = Diagnostic::alert(message).at(address.span);
            cx.report(diagnostic.label(bind.span, "one of them is enough"));
        }
        (Some(address), None) => {
            let bind = Bind {
                span: local.span,
                addresses: vec![address.clone()],
                ..section.default_bind.clone()
            };
            section.proxy.binds.push(bind);
        }
        (None, Some(_)) => {}
        (None, None) => {
            let message = format!(
                "peers section '{}': the local peer '{}' has no address and there is no 'bind' line",
                section.name.value, section.local
            );
            cx.report(Diagnostic::alert(message).at(local.span));
        }
    }
}

fn log(cx: &mut Context<'_>, section: &mut Peers, args: &mut Args<'_>) -> Parsed {
    super::proxy::log_line(cx, &mut section.proxy, args)
}
