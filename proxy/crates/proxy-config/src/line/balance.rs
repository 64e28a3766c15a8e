//! `balance` and `hash-*` (configuration manual, 4.2).

use proxy_types::{Diagnostic, Spanned};

use crate::args::Args;
use crate::context::{Context, Parsed};
use crate::keyword::{On, Table, find, row, suggest};
use crate::lexer::{Word, sub_span};
use crate::model::{Affinity, Balance, HashFunction, HashType, Proxy};

/// The text between parentheses after the algorithm's name.
type Inner<'a> = Option<Spanned<&'a str>>;
type Parse = fn(&mut Context<'_>, Inner<'_>, &mut Args<'_>) -> Parsed<Balance>;

const M: &str = "4.2";

pub(crate) const ALGORITHMS: Table<Parse> = &[
    &[
        row("first", On::HERE, "", M, "the first server with a free slot", |cx, inner, args| {
            plain(cx, inner, args, Balance::First)
        }),
        row("hash", On::HERE, "<expression>", M, "hash of an expression", |cx, inner, args| {
            let expression = args.word(cx, "a sample expression")?.clone();
            plain(cx, inner, args, Balance::Hash(expression))
        }),
        row(
            "hdr",
            On::HERE,
            "(<name>) [use_domain_only]",
            M,
            "hash of a request header",
            |cx, inner, args| {
                let name = required(cx, inner, args, "the name of a header")?;
                let use_domain_only = args.accept("use_domain_only").is_some();
                Ok(Balance::Header { name, use_domain_only })
            },
        ),
        row("leastconn", On::HERE, "", M, "fewest connections", |cx, inner, args| {
            plain(cx, inner, args, Balance::LeastConn)
        }),
        row(
            "random",
            On::HERE,
            "[(<draws>)]",
            M,
            "the less loaded of some drawn at random",
            |cx, inner, _| {
                let draws = match inner.as_ref().map(|text| text.value.parse::<u32>()) {
                    None => 2,
                    Some(Ok(draws @ 1..)) => draws,
                    Some(_) => {
                        let span = inner.map(|text| text.span).unwrap_or_default();
                        let message = "'random' takes a number of draws in parentheses";
                        return Err(cx.report(
                            Diagnostic::alert(message)
                                .at(span)
                                .expected(format!("an integer from 1 to {}", u32::MAX)),
                        ));
                    }
                };
                Ok(Balance::Random { draws })
            },
        ),
        row("rdp-cookie", On::HERE, "[(<name>)]", M, "hash of an RDP cookie", |_, inner, _| {
            let name = inner.map(|text| text.value).filter(|text| !text.is_empty());
            Ok(Balance::RdpCookie { name: name.unwrap_or("mstshash").to_owned() })
        }),
        row("roundrobin", On::HERE, "", M, "each in turn by weight", |cx, inner, args| {
            plain(cx, inner, args, Balance::RoundRobin)
        }),
        row("source", On::HERE, "", M, "hash of the client's address", |cx, inner, args| {
            plain(cx, inner, args, Balance::Source)
        }),
        row("static-rr", On::HERE, "", M, "each in turn, weights fixed", |cx, inner, args| {
            plain(cx, inner, args, Balance::StaticRr)
        }),
        row(
            "uri",
            On::HERE,
            "[len <length>] [depth <depth>] [whole] [path-only]",
            M,
            "hash of the URI",
            uri,
        ),
        row(
            "url_param",
            On::HERE,
            "<param>",
            M,
            "hash of a parameter of the query string",
            |cx, inner, args| {
                let name = args.string(cx, "the name of a parameter")?.value;
                if let Some(span) = args.accept("check_post") {
                    // Anything may follow it: an old limit that is ignored.
                    args.rest();
                    let message = "'balance url_param' with 'check_post' : known, not carried yet";
                    return Err(cx.report(Diagnostic::alert(message).at(span)));
                }
                plain(cx, inner, args, Balance::UrlParam { name })
            },
        ),
    ],
    &[
        row(
            "log-hash",
            On::HERE,
            "<converters>",
            M,
            "hash of what converters make of a message",
            |cx, inner, args| {
                let converters = args.word(cx, "converters, with commas between them")?.clone();
                plain(cx, inner, args, Balance::LogHash(converters))
            },
        ),
        row(
            "sticky",
            On::HERE,
            "",
            M,
            "the server that has been available for longest",
            |cx, inner, args| plain(cx, inner, args, Balance::Sticky),
        ),
    ],
];

/// An algorithm that takes nothing in parentheses.
fn plain(
    cx: &mut Context<'_>,
    inner: Inner<'_>,
    args: &Args<'_>,
    algorithm: Balance,
) -> Parsed<Balance> {
    match inner {
        None => Ok(algorithm),
        Some(text) => Err(args.wrong(
            cx,
            text.span,
            format!("'{}' takes no argument in parentheses", algorithm.as_str()),
        )),
    }
}

fn required(cx: &mut Context<'_>, inner: Inner<'_>, args: &Args<'_>, what: &str) -> Parsed<String> {
    match inner {
        Some(text) if !text.value.is_empty() => Ok(text.value.to_owned()),
        _ => Err(args.wrong(cx, args.keyword_span(), format!("{what} in parentheses is missing"))),
    }
}

fn uri(cx: &mut Context<'_>, inner: Inner<'_>, args: &mut Args<'_>) -> Parsed<Balance> {
    let (mut len, mut depth, mut whole, mut path_only) = (None, None, false, false);
    loop {
        if args.accept("len").is_some() {
            len = Some(args.number(cx, 1..=i32::MAX as u32)?.value as usize);
        } else if args.accept("depth").is_some() {
            depth = Some(args.number(cx, 1..=i32::MAX as u32)?.value as usize);
        } else if args.accept("whole").is_some() {
            whole = true;
        } else if args.accept("path-only").is_some() {
            path_only = true;
        } else {
            break;
        }
    }
    plain(cx, inner, args, Balance::Uri { len, depth, whole, path_only })
}

/// The name in front of an opening parenthesis and what stands between that and the last character.
fn cut<'w>(cx: &mut Context<'_>, word: &'w Word) -> Parsed<(&'w str, Inner<'w>)> {
    let Some((name, rest)) = word.value.split_once('(') else { return Ok((&word.value, None)) };
    match rest.strip_suffix(')') {
        Some(inner) => {
            Ok((name, Some(Spanned::new(inner, sub_span(word, name.len() + 1, inner.len())))))
        }
        None => Err(cx.alert(word.span, format!("missing ')' after '{}'", word.value))),
    }
}

pub(crate) fn balance(cx: &mut Context<'_>, proxy: &mut Proxy, args: &mut Args<'_>) -> Parsed {
    let Some(word) = args.optional() else {
        // Without an argument the default algorithm is meant.
        proxy.settings.balance = Some(Spanned::new(Balance::RoundRobin, args.span()));
        return Ok(());
    };
    let (name, inner) = cut(cx, word)?;
    let Some(row) = find(ALGORITHMS, name) else {
        let names: Vec<_> = ALGORITHMS.iter().flat_map(|g| g.iter()).map(|r| r.name).collect();
        let message = format!("'balance' does not know '{}'", word.value);
        return Err(cx.report(
            Diagnostic::alert(message)
                .at(word.span)
                .expected(format!("expected one of {}", names.join(", ")))
                .did_you_mean(suggest(ALGORITHMS, name)),
        ));
    };
    let parse = cx.carried(row, "'balance' algorithm", "", word.span)?;
    let algorithm = parse(cx, inner, args)?;
    args.end(cx)?;
    proxy.settings.balance = Some(Spanned::new(algorithm, word.span));
    Ok(())
}

const FUNCTIONS: &[(&str, HashFunction)] = &[
    ("crc32", HashFunction::Crc32),
    ("djb2", HashFunction::Djb2),
    ("none", HashFunction::None),
    ("sdbm", HashFunction::Sdbm),
    ("wt6", HashFunction::Wt6),
];

pub(crate) fn hash_type(cx: &mut Context<'_>, proxy: &mut Proxy, args: &mut Args<'_>) -> Parsed {
    let method = args.choice(cx, &[("consistent", true), ("map-based", false)])?;
    let mut value = HashType { consistent: method.value, ..HashType::default() };
    // The default avalanche follows the method: consistent hashing needs the bits mixed.
    value.avalanche = value.consistent;
    if args.peek().is_some() {
        if args.peek().is_some_and(|w| w.value != "avalanche") {
            value.function = args.choice(cx, FUNCTIONS)?.value;
            value.avalanche = false;
        }
        if args.peek().is_some() {
            args.choice(cx, &[("avalanche", ())])?;
            value.avalanche = true;
        }
    }
    args.end(cx)?;
    proxy.settings.hash_type = Some(Spanned::new(value, args.span()));
    Ok(())
}

pub(crate) fn hash_balance_factor(
    cx: &mut Context<'_>,
    proxy: &mut Proxy,
    args: &mut Args<'_>,
) -> Parsed {
    let factor = args.number(cx, 0..=i32::MAX as u32)?;
    if (1..=100).contains(&factor.value) {
        let message = "'hash-balance-factor' is a percentage above 100, or 0 to switch it off";
        return Err(cx.alert(factor.span, message));
    }
    proxy.settings.hash_balance_factor = Some(factor);
    args.end(cx)
}

pub(crate) fn hash_preserve_affinity(
    cx: &mut Context<'_>,
    proxy: &mut Proxy,
    args: &mut Args<'_>,
) -> Parsed {
    const METHODS: &[(&str, Affinity)] = &[
        ("always", Affinity::Always),
        ("maxconn", Affinity::MaxConn),
        ("maxqueue", Affinity::MaxQueue),
    ];
    proxy.settings.hash_preserve_affinity = Some(args.choice(cx, METHODS)?);
    args.end(cx)
}
