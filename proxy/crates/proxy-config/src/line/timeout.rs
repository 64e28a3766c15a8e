//! `timeout <name> <delay>` (configuration manual, 4.2).

use std::time::Duration;

use proxy_types::{Diagnostic, Spanned};

use crate::args::Args;
use crate::context::{Context, Parsed};
use crate::keyword;
use crate::keyword::{On, Support, Table, removed, row, suggest};
use crate::model::{Proxy, Timeouts};
use crate::place::check_section;

type Field = fn(&mut Timeouts) -> &mut Option<Spanned<Duration>>;

const DELAY: &str = "<timeout>";

pub(crate) const TIMEOUTS: Table<Field> = &[&[
    row("check", On::DEF_BE, DELAY, "4.2", "time for a check's answer once connected", |t| {
        &mut t.check
    }),
    row("client", On::DEF_FE, DELAY, "4.2", "inactivity of the client", |t| &mut t.client),
    row("client-fin", On::DEF_FE, DELAY, "4.2", "inactivity of a half-closed client", |t| {
        &mut t.client_fin
    }),
    row("client-hs", On::DEF_FE, DELAY, "4.2", "time for the handshake with a client", |t| {
        &mut t.client_hs
    }),
    row("connect", On::DEF_BE, DELAY, "4.2", "time to connect to a server", |t| &mut t.connect),
    row("http-keep-alive", On::ALL, DELAY, "4.2", "wait for a new request", |t| {
        &mut t.http_keep_alive
    }),
    row("http-request", On::ALL, DELAY, "4.2", "time for a complete request head", |t| {
        &mut t.http_request
    }),
    row("queue", On::DEF_BE, DELAY, "4.2", "time in the queue", |t| &mut t.queue),
    row("server", On::DEF_BE, DELAY, "4.2", "inactivity of the server", |t| &mut t.server),
    row("server-fin", On::DEF_BE, DELAY, "4.2", "inactivity of a half-closed server", |t| {
        &mut t.server_fin
    }),
    row("tarpit", On::ALL, DELAY, "4.2", "how long tarpitted requests are kept", |t| &mut t.tarpit),
    row("tunnel", On::DEF_BE, DELAY, "4.2", "inactivity of tunnels", |t| &mut t.tunnel),
    removed("clitimeout", "2.1", "use 'timeout client'"),
    removed("contimeout", "2.1", "use 'timeout connect'"),
    removed("srvtimeout", "2.1", "use 'timeout server'"),
]];

/// A plain number up to this many milliseconds was probably meant in seconds.
const SUSPICIOUS: Duration = Duration::from_millis(99);

pub(crate) fn timeout(cx: &mut Context<'_>, proxy: &mut Proxy, args: &mut Args<'_>) -> Parsed {
    let Some(word) = args.deepen() else {
        return Err(args.missing(cx, &format!("one of {}", names())));
    };
    let Some(row) = keyword::find(TIMEOUTS, &word.value) else {
        let message = format!("'timeout' does not know '{}'", word.value);
        let near = suggest(TIMEOUTS, &word.value);
        return Err(cx.report(
            Diagnostic::alert(message)
                .at(word.span)
                .expected(format!("expected one of {}", names()))
                .did_you_mean(near),
        ));
    };
    check_section(cx, row, proxy, args)?;
    let field = cx.carried(row, "'timeout' keyword", "", word.span)?;
    value(cx, field, &mut proxy.settings.timeouts, args)
}

/// `timeout` of a section that knows few of them. The caller has seen to it that this is one.
pub(crate) fn plain(cx: &mut Context<'_>, timeouts: &mut Timeouts, args: &mut Args<'_>) -> Parsed {
    let row = args.deepen().and_then(|word| keyword::find(TIMEOUTS, &word.value));
    let Some(row) = row else { return Err(args.missing(cx, "the name of a timeout")) };
    let field = cx.carried(row, "'timeout' keyword", "", args.keyword_span())?;
    value(cx, field, timeouts, args)
}

fn value(
    cx: &mut Context<'_>,
    field: Field,
    timeouts: &mut Timeouts,
    args: &mut Args<'_>,
) -> Parsed {
    let plain = args.peek().is_some_and(|w| w.value.bytes().all(|b| b.is_ascii_digit()));
    let value = args.timer(cx)?;
    args.end(cx)?;
    if plain && !value.is_zero() && value.value <= SUSPICIOUS {
        let text = format!(
            "'{}' is only {} milliseconds long, a unit may be missing",
            args.name(),
            value.as_millis()
        );
        cx.report(Diagnostic::diag(text).at(value.span));
    }
    *field(timeouts) = Some(value);
    Ok(())
}

fn names() -> String {
    let names: Vec<_> = TIMEOUTS
        .iter()
        .flat_map(|g| g.iter())
        .filter(|row| !matches!(row.support, Support::Removed { .. }))
        .map(|row| format!("'{}'", row.name))
        .collect();
    names.join(", ")
}
