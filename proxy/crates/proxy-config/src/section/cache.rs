//! `cache` sections (configuration manual, 6.2.1).

use proxy_types::{Diagnostic, Spanned};

use crate::args::Args;
use crate::context::{Context, Parsed};
use crate::keyword::{On, Table, find, row, suggest};
use crate::model::{Cache, EarlyHints};

type Parse = fn(&mut Context<'_>, &mut Cache, &mut Args<'_>) -> Parsed;

const M: &str = "6.2";
/// Largest cache, in megabytes.
const MEGABYTES_MAX: u32 = 4095;
/// Share of the memory that hints may take, in percent.
const RATIO: u8 = 25;
const ON_OFF: &[(&str, bool)] = &[("on", true), ("off", false)];

pub(crate) const CACHE: Table<Parse> = &[&[
    row(
        "early-hints",
        On::HERE,
        "{on|off|only} [ratio <integer>]",
        M,
        "answers 103 with Link fields of responses that were there",
        |cx, cache, args| {
            let choices = [
                ("on", EarlyHints::On { ratio: RATIO }),
                ("off", EarlyHints::Off),
                ("only", EarlyHints::Only),
            ];
            let mut mode = args.choice(cx, &choices)?;
            if args.accept("ratio").is_some() {
                let share = args.number(cx, 1..=99u8)?;
                if let EarlyHints::On { ratio } = &mut mode.value {
                    *ratio = share.value;
                }
            }
            cache.early_hints = Some(mode);
            args.end(cx)
        },
    ),
    row("max-age", On::HERE, "<seconds>", M, "longest use of a response", |cx, cache, args| {
        cache.max_age = Some(args.number(cx, 0..=i32::MAX as u32)?);
        args.end(cx)
    }),
    row("max-object-size", On::HERE, "<bytes>", M, "largest response", |cx, cache, args| {
        cache.max_object_size = Some(args.size(cx, 1..=i32::MAX as u32)?);
        args.end(cx)
    }),
    row(
        "max-secondary-entries",
        On::HERE,
        "<number>",
        M,
        "variants of a response",
        |cx, cache, args| {
            cache.max_secondary_entries = Some(args.number(cx, 1..=i32::MAX as u32)?);
            args.end(cx)
        },
    ),
    row("process-vary", On::HERE, "{on|off}", M, "keeps variants", |cx, cache, args| {
        cache.process_vary = Some(args.choice(cx, ON_OFF)?);
        args.end(cx)
    }),
    row("total-max-size", On::HERE, "<megabytes>", M, "memory of all", |cx, cache, args| {
        cache.total_max_size = Some(args.number(cx, 1..=MEGABYTES_MAX)?);
        args.end(cx)
    }),
]];

/// Opens a section.
pub(crate) fn open(cx: &mut Context<'_>, args: &mut Args<'_>) -> Cache {
    let span = args.span();
    let name = args.string(cx, "a name as argument").ok();
    let _ = args.end(cx);
    Cache {
        name: name.unwrap_or_else(|| Spanned::new(String::new(), span)),
        span,
        total_max_size: None,
        max_object_size: None,
        max_age: None,
        max_secondary_entries: None,
        process_vary: None,
        early_hints: None,
    }
}

/// Reads a line of a section.
pub(crate) fn line(cx: &mut Context<'_>, cache: &mut Cache, args: &mut Args<'_>) -> Parsed {
    let name = args.name().to_owned();
    let Some(row) = find(CACHE, &name) else {
        let message = format!("unknown keyword '{name}' in 'cache' section");
        let near = suggest(CACHE, &name);
        let diagnostic = Diagnostic::alert(message).at(args.keyword_span()).did_you_mean(near);
        return Err(cx.report(diagnostic));
    };
    let parse = cx.carried(row, "keyword", "in 'cache' section", args.keyword_span())?;
    parse(cx, cache, args)
}

/// What only the whole section tells.
pub(crate) fn check(cx: &mut Context<'_>, cache: &Cache) {
    if cache.total_max_size.is_none() {
        let message = format!("cache '{}' : its size 'total-max-size' is missing", cache.name);
        cx.report(Diagnostic::alert(message).at(cache.span));
        return;
    }
    if let Some(size) = cache.max_object_size.filter(|_| cache.max_object() > cache.total() / 2) {
        let message = "\"max-object-size\" is limited to half of \"total-max-size\"";
        cx.report(
            Diagnostic::alert(message)
                .at(size.span)
                .expected(format!("at most {}", cache.total() / 2)),
        );
    }
}
