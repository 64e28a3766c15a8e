//! `compression`, `filter` and `filter-sequence` (configuration manual, 4.2 and 9).

use proxy_types::{Diagnostic, Spanned};

use crate::args::{Args, last_string};
use crate::context::{Context, Parsed};
use crate::keyword::{On, Row, Table, find, not_yet, row, suggest};
use crate::lexer::between_commas;
use crate::model::{
    Bandwidth, Compression, CompressionAlgorithm, CompressionDirection, FilterKind, FilterLine,
    Proxy, ProxyKind, Trace,
};

/// What may follow `compression`.
pub(crate) const COMPRESSION: Table<Parse> = &[&[
    setting("algo", "<algorithm> ...", "ways of compressing responses", |cx, c, args| {
        algorithms(cx, args, &mut c.response_algorithms)
    }),
    setting("algo-req", "<algorithm>", "the way of compressing requests", |cx, c, args| {
        c.request_algorithm = Some(args.choice(cx, ALGORITHMS)?.value);
        args.end(cx)
    }),
    setting("algo-res", "<algorithm> ...", "ways of compressing responses", |cx, c, args| {
        algorithms(cx, args, &mut c.response_algorithms)
    }),
    setting("direction", "{request|response|both}", "what is compressed", |cx, c, args| {
        c.direction = Some(args.choice(
            cx,
            &[
                ("request", CompressionDirection::Request),
                ("response", CompressionDirection::Response),
                ("both", CompressionDirection::Both),
            ],
        )?);
        args.end(cx)
    }),
    setting("minsize-req", "<size>", "smallest request to be compressed", |cx, c, args| {
        c.request_min = Some(args.size(cx, 0..=i32::MAX as u32)?);
        args.end(cx)
    }),
    setting("minsize-res", "<size>", "smallest response to be compressed", |cx, c, args| {
        c.response_min = Some(args.size(cx, 0..=i32::MAX as u32)?);
        args.end(cx)
    }),
    setting("offload", "", "keeps servers from compressing", |cx, c, args| {
        c.offload = Some(args.span());
        args.end(cx)
    }),
    setting("type", "<mime type> ...", "types of responses to be compressed", |cx, c, args| {
        types(cx, args, &mut c.response_types)
    }),
    setting("type-req", "<mime type> ...", "types of requests to be compressed", |cx, c, args| {
        types(cx, args, &mut c.request_types)
    }),
    setting("type-res", "<mime type> ...", "types of responses to be compressed", |cx, c, args| {
        types(cx, args, &mut c.response_types)
    }),
]];

/// What may follow `filter`.
pub(crate) const FILTERS: Table<ParseFilter> = &[
    &[
        filter_row("bwlim-in", LIMIT, "limits how fast clients may send", |cx, args| {
            bandwidth(cx, args, true)
        }),
        filter_row("bwlim-out", LIMIT, "limits how fast clients get their data", |cx, args| {
            bandwidth(cx, args, false)
        }),
        filter_row("cache", "<name>", "fills a cache", |cx, args| {
            let name = args.string(cx, "the name of a cache")?;
            args.end(cx).map(|()| FilterKind::Cache(name))
        }),
        filter_row("comp-req", "", "compresses requests", |cx, args| {
            args.end(cx).map(|()| FilterKind::CompressRequests)
        }),
        filter_row("comp-res", "", "compresses responses", |cx, args| {
            args.end(cx).map(|()| FilterKind::CompressResponses)
        }),
        filter_row("compression", "", "compresses as 'compression direction' says", |cx, args| {
            args.end(cx).map(|()| FilterKind::Compress)
        }),
        filter_row("fcgi-app", "<name>", "where FastCGI has its turn among filters", |cx, args| {
            let name = args.string(cx, "the name of an 'fcgi-app' section")?;
            args.end(cx).map(|()| FilterKind::FcgiApp(name))
        }),
        filter_row(
            "trace",
            "[name <name>] [random-forwarding] [max-fwd <max>] [hexdump] [quiet]",
            "tells on stderr what goes through",
            trace,
        ),
    ],
    &not_yet(On::HERE, "9", "filters", ["opentracing", "otel", "spoe"]),
];

fn trace(cx: &mut Context<'_>, args: &mut Args<'_>) -> Parsed<FilterKind> {
    let mut trace = Trace::default();
    while let Some(word) = args.optional() {
        match word.value.as_str() {
            "name" => trace.name = Some(args.string(cx, "a name")?),
            "quiet" => trace.quiet = true,
            "random-forwarding" => trace.random = true,
            "max-fwd" => trace.most = args.number(cx, 0..=i32::MAX as u32)?.value,
            "hexdump" => trace.hexdump = true,
            other => {
                let message = format!("{} does not know '{other}'", args.name());
                return Err(args.wrong(cx, word.span, message));
            }
        }
    }
    Ok(FilterKind::Trace(trace))
}

const LIMIT: &str = "<name> { default-limit <size> default-period <time> | limit <size> key <pattern> [table <table>] } \
                     [min-size <size>]";

fn bandwidth(cx: &mut Context<'_>, args: &mut Args<'_>, upload: bool) -> Parsed<FilterKind> {
    let name = args.string(cx, "the name of the limit")?;
    let (mut limit, mut default_limit, mut period) = (None, None, None);
    let (mut key, mut table, mut min_size) = (None, None, None);
    while let Some(word) = args.optional() {
        match word.value.as_str() {
            "default-limit" => default_limit = Some(args.size(cx, 1..=u32::MAX)?),
            "default-period" => period = Some(args.timer(cx)?),
            "limit" => limit = Some(args.size(cx, 1..=u32::MAX)?),
            "key" => key = Some(args.word(cx, "a sample expression")?.clone()),
            "table" => table = Some(args.string(cx, "the name of a stick table")?),
            "min-size" => min_size = Some(args.size(cx, 0..=i32::MAX as u32)?),
            other => {
                let message = format!("{} does not know '{other}'", args.name());
                return Err(args.wrong(cx, word.span, message));
            }
        }
    }
    let wide = |size: Spanned<u32>| Spanned::new(u64::from(size.value), size.span);
    let (limit, shared) = match (default_limit, period, limit, key) {
        (Some(limit), Some(_), None, None) if table.is_none() => (limit, None),
        (None, None, Some(limit), Some(key)) => (limit, Some((key, table))),
        _ => {
            let message =
                "either 'default-limit' and 'default-period' are expected, or 'limit' and 'key'";
            return Err(args.wrong(cx, name.span, message.to_owned()));
        }
    };
    if period.is_some_and(|period| period.value.is_zero()) {
        let message = "'default-period' must be longer than 0".to_owned();
        return Err(args.wrong(cx, name.span, message));
    }
    Ok(FilterKind::Bandwidth(Bandwidth {
        name,
        upload,
        limit: wide(limit),
        period,
        shared,
        min_size,
    }))
}

type Parse = fn(&mut Context<'_>, &mut Compression, &mut Args<'_>) -> Parsed;
type ParseFilter = fn(&mut Context<'_>, &mut Args<'_>) -> Parsed<FilterKind>;

const ALGORITHMS: &[(&str, CompressionAlgorithm)] = &[
    ("identity", CompressionAlgorithm::Identity),
    ("gzip", CompressionAlgorithm::Gzip),
    ("deflate", CompressionAlgorithm::Deflate),
    ("raw-deflate", CompressionAlgorithm::RawDeflate),
];

const fn setting(
    name: &'static str,
    syntax: &'static str,
    doc: &'static str,
    parse: Parse,
) -> Row<Parse> {
    row(name, On::HERE, syntax, "4.2", doc, parse)
}

const fn filter_row(
    name: &'static str,
    syntax: &'static str,
    doc: &'static str,
    parse: ParseFilter,
) -> Row<ParseFilter> {
    row(name, On::HERE, syntax, "9", doc, parse)
}

pub(crate) fn compression(cx: &mut Context<'_>, proxy: &mut Proxy, args: &mut Args<'_>) -> Parsed {
    let span = args.span();
    let word = args.word(cx, "a setting such as 'algo' or 'type'")?;
    let Some(row) = find(COMPRESSION, &word.value) else {
        let message = format!("'compression' does not know '{}'", word.value);
        let near = suggest(COMPRESSION, &word.value);
        return Err(cx.report(Diagnostic::alert(message).at(word.span).did_you_mean(near)));
    };
    args.rename(format!("compression {}", row.name));
    let parse = cx.carried(row, "'compression'", "", word.span)?;
    let compression = proxy.settings.compression.get_or_insert_default();
    compression.span = span;
    parse(cx, compression, args)?;
    if proxy.kind == ProxyKind::Defaults && compression.offload.take().is_some() {
        cx.warn(span, "'compression offload' ignored in 'defaults' section");
    }
    Ok(())
}

fn algorithms(
    cx: &mut Context<'_>,
    args: &mut Args<'_>,
    list: &mut Vec<CompressionAlgorithm>,
) -> Parsed {
    loop {
        let algorithm = args.choice(cx, ALGORITHMS)?.value;
        if !list.contains(&algorithm) {
            list.push(algorithm);
        }
        if args.peek().is_none() {
            return Ok(());
        }
    }
}

fn types(cx: &mut Context<'_>, args: &mut Args<'_>, list: &mut Vec<String>) -> Parsed {
    list.push(args.string(cx, "a MIME type")?.value);
    for word in args.rest() {
        list.push(args.text(cx, word)?.value);
    }
    Ok(())
}

pub(crate) fn filter(cx: &mut Context<'_>, proxy: &mut Proxy, args: &mut Args<'_>) -> Parsed {
    let span = args.span();
    let word = args.word(cx, "the name of a filter")?;
    let Some(row) = find(FILTERS, &word.value) else {
        let message = format!("unknown filter '{}'", word.value);
        let near = suggest(FILTERS, &word.value);
        return Err(cx.report(Diagnostic::alert(message).at(word.span).did_you_mean(near)));
    };
    args.rename(format!("filter {}", row.name));
    let parse = cx.carried(row, "filter", "", word.span)?;
    let kind = parse(cx, args)?;
    if let FilterKind::Bandwidth(new) = &kind {
        if proxy.kind == ProxyKind::Defaults {
            let message =
                "'filter bwlim-in' and 'bwlim-out' are not possible in 'defaults' sections";
            return Err(cx.report(Diagnostic::alert(message).at(span)));
        }
        let twin = proxy.filters.lines.iter().find(
            |line| matches!(&line.kind, FilterKind::Bandwidth(old) if old.name.value == new.name.value),
        );
        if let Some(twin) = twin {
            let message = format!("there is a limit '{}' already", new.name.value);
            let diagnostic = Diagnostic::alert(message).at(new.name.span).label(twin.span, "here");
            return Err(cx.report(diagnostic));
        }
    }
    proxy.filters.lines.push(FilterLine { span, kind });
    Ok(())
}

/// `filter-sequence {request|response} <name>[,<name>]*`. That the filters exist is checked once all lines are read.
pub(crate) fn sequence(cx: &mut Context<'_>, proxy: &mut Proxy, args: &mut Args<'_>) -> Parsed {
    let span = args.span();
    let request = args.choice(cx, &[("request", true), ("response", false)])?.value;
    let word = last_string(cx, args, "names of filters between commas")?;
    let mut names = Vec::new();
    for name in between_commas(&word) {
        if find(FILTERS, name.value).is_none() {
            let near = suggest(FILTERS, name.value);
            let message = format!("unknown filter '{}'", name.value);
            return Err(cx.report(Diagnostic::alert(message).at(name.span).did_you_mean(near)));
        }
        names.push(Spanned::new(name.value.to_owned(), name.span));
    }
    let order = Some(Spanned::new(names, span));
    match request {
        true => proxy.filters.request_order = order,
        false => proxy.filters.response_order = order,
    }
    Ok(())
}
