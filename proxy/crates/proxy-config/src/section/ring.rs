//! `ring` sections (configuration manual, 12.5).

use proxy_types::{Diagnostic, Spanned};

use crate::args::{Args, last_string};
use crate::context::{Context, Parsed};
use crate::keyword::{On, Table, find, row, suggest};
use crate::lexer::sub_span;
use crate::line::shared::is_name_char;
use crate::line::{server, timeout};
use crate::model::{LogFormat, Proxy, ProxyKind, Ring, Timeouts};

pub(crate) type Parse = fn(&mut Context<'_>, &mut Ring, &mut Args<'_>) -> Parsed;

const M: &str = "12.5";

pub(crate) const RING: Table<Parse> = &[&[
    row(
        "backing-file",
        On::HERE,
        "<path>",
        M,
        "a file that keeps what the ring holds",
        |cx, ring, args| {
            ring.backing_file = Some(last_string(cx, args, "the path of a file")?);
            Ok(())
        },
    ),
    row("description", On::HERE, "<text>", M, "what the ring is for", |cx, ring, args| {
        ring.description = Some(last_string(cx, args, "a text (quote it when it has spaces)")?);
        Ok(())
    }),
    row(
        "format",
        On::HERE,
        "<format>",
        M,
        "how messages are written into the ring",
        |cx, ring, args| {
            ring.format = Some(args.choice(cx, LogFormat::ALL)?);
            args.end(cx)
        },
    ),
    row("maxlen", On::HERE, "<length>", M, "bytes of a message at most", |cx, ring, args| {
        ring.max_len = Some(args.number(cx, Ring::LEAST_LEN..=Ring::MOST_LEN)?);
        args.end(cx)
    }),
    row(
        "server",
        On::HERE,
        "<name> <address> [param*]",
        M,
        "a syslog server that gets every message of the ring over TCP",
        server_line as Parse,
    ),
    row("size", On::HERE, "<size>", M, "bytes that the ring holds", |cx, ring, args| {
        ring.size = Some(args.size(cx, Ring::LEAST_SIZE..=Ring::MOST_SIZE)?);
        args.end(cx)
    }),
    row(
        "timeout",
        On::HERE,
        "{ connect | server } <timeout>",
        M,
        "how long connecting and sending to its servers may take",
        |cx, ring, args| {
            let known = args.peek().is_some_and(|w| matches!(&*w.value, "connect" | "server"));
            if !known {
                return Err(args.missing(cx, "'connect' or 'server', and a time"));
            }
            timeout::plain(cx, &mut ring.proxy.settings.timeouts, args)
        },
    ),
]];

fn server_line(cx: &mut Context<'_>, ring: &mut Ring, args: &mut Args<'_>) -> Parsed {
    let before = ring.proxy.servers.len();
    server::server(cx, &mut ring.proxy, args)?;
    let (known, new) = ring.proxy.servers.split_at(before);
    if let Some(new) = new.first()
        && let Some(known) = known.iter().find(|known| known.name.value == new.name.value)
    {
        let message = format!("server '{}' is in the ring already", new.name);
        let diagnostic = Diagnostic::alert(message).at(new.name.span);
        return Err(cx.report(diagnostic.label(known.name.span, "first declared here")));
    }
    Ok(())
}

/// Opens a section.
pub(crate) fn open(cx: &mut Context<'_>, args: &mut Args<'_>) -> Ring {
    let span = args.span();
    let name = args.string(cx, "a name as argument");
    let _ = args.end(cx);
    let name = name.unwrap_or_else(|_| Spanned::new(String::new(), span));
    if let Some((at, c)) = name.value.char_indices().find(|(_, c)| !is_name_char(*c)) {
        let message = format!("character '{c}' is not permitted in 'ring' name '{name}'");
        cx.alert(sub_span(&name, at, c.len_utf8()), message);
    }
    Ring {
        span,
        proxy: Proxy::new(ProxyKind::Ring, name.clone(), span),
        name,
        description: None,
        format: None,
        max_len: None,
        size: None,
        backing_file: None,
    }
}

/// One line of the section.
pub(crate) fn line(cx: &mut Context<'_>, ring: &mut Ring, args: &mut Args<'_>) -> Parsed {
    let Some(row) = find(RING, args.name()) else {
        let message = format!("unknown keyword '{}' in 'ring' section", args.name());
        let near = suggest(RING, args.name());
        let span = args.keyword_span();
        return Err(cx.report(Diagnostic::alert(message).at(span).did_you_mean(near)));
    };
    crate::place::check_polarity(cx, row, args)?;
    let parse = cx.carried(row, "keyword", "in 'ring' section", args.keyword_span())?;
    parse(cx, ring, args)
}

/// The section as a whole.
pub(crate) fn check(cx: &mut Context<'_>, ring: &Ring) {
    if ring.max_len() > ring.size() {
        let span = ring.max_len.map_or(ring.span, |len| len.span);
        let message = format!(
            "ring '{}': 'maxlen' ({}) is larger than its 'size' ({})",
            ring.name,
            ring.max_len(),
            ring.size()
        );
        cx.alert(span, message);
    }
    let timeouts = &ring.proxy.settings.timeouts;
    let none = |time| Timeouts::effective(time).is_none();
    if !ring.proxy.servers.is_empty() && (none(timeouts.connect) || none(timeouts.server)) {
        let message = format!("missing timeouts for ring '{}'", ring.name);
        let help = "set 'timeout connect' and 'timeout server' other than zero";
        cx.report(Diagnostic::warning(message).at(ring.span).help(help));
    }
    if ring.proxy.servers.len() > 1 {
        let message = format!(
            "ring '{}' has more than one server: each gets every message, and the slowest holds up the others",
            ring.name
        );
        let help = "use a ring for each server";
        cx.report(Diagnostic::diag(message).at(ring.span).help(help));
    }
}
