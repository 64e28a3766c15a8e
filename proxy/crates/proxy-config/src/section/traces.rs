//! `traces` sections (configuration manual, 12.1). What their lines mean is known where the sources of traces are.

use proxy_types::Diagnostic;

use crate::args::Args;
use crate::context::{Context, Parsed};
use crate::keyword::{On, Table, find, row, suggest};
use crate::model::TraceLine;

type Parse = fn(&mut Context<'_>, &mut Vec<TraceLine>, &mut Args<'_>) -> Parsed;

pub(crate) const TRACES: Table<Parse> = &[&[row(
    "trace",
    On::HERE,
    "<source> <args...>",
    "12.1",
    "sets a source of traces up, as the command 'trace' does",
    |cx, traces, args| {
        let span = args.span();
        if args.peek().is_none() {
            return Err(args.missing(cx, "a source of traces"));
        }
        let mut words = Vec::new();
        for word in args.rest() {
            words.push(args.text(cx, word)?.value);
        }
        traces.push(TraceLine { span, words });
        Ok(())
    },
)]];

/// One line of the section.
pub(crate) fn line(
    cx: &mut Context<'_>,
    traces: &mut Vec<TraceLine>,
    args: &mut Args<'_>,
) -> Parsed {
    let name = args.name().to_owned();
    let Some(row) = find(TRACES, &name) else {
        let message = format!("unknown keyword '{name}' in 'traces' section");
        let near = suggest(TRACES, &name);
        let diagnostic = Diagnostic::alert(message).at(args.keyword_span()).did_you_mean(near);
        return Err(cx.report(diagnostic));
    };
    let parse = cx.carried(row, "keyword", "in 'traces' section", args.keyword_span())?;
    parse(cx, traces, args)
}
