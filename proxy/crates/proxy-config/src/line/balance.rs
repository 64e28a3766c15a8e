//! `balance` and `hash-type` (configuration manual, 4.2).

use proxy_types::{Diagnostic, Spanned};

use crate::args::Args;
use crate::context::{Context, Parsed};
use crate::keyword::{On, Table, find, not_yet, row, suggest};
use crate::model::{Balance, HashFunction, HashType, Proxy};

pub(crate) const ALGORITHMS: Table<Balance> = &[
    &[
        row("leastconn", On::HERE, "", "4.2", "fewest connections", Balance::LeastConn),
        row("roundrobin", On::HERE, "", "4.2", "each in turn by weight", Balance::RoundRobin),
        row("source", On::HERE, "", "4.2", "hash of the client's address", Balance::Source),
        row("static-rr", On::HERE, "", "4.2", "each in turn, weights fixed", Balance::StaticRr),
    ],
    &not_yet(
        On::HERE,
        "4.2",
        "load balancing",
        ["first", "hash", "log-hash", "random", "rdp-cookie", "sticky", "uri", "url_param", "hdr"],
    ),
];

pub(crate) fn balance(cx: &mut Context<'_>, proxy: &mut Proxy, args: &mut Args<'_>) -> Parsed {
    let Some(word) = args.optional() else {
        // Without an argument the default algorithm is meant.
        proxy.settings.balance = Some(Spanned::new(Balance::RoundRobin, args.span()));
        return Ok(());
    };
    let name = word.value.split('(').next().unwrap_or_default();
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
    let algorithm = cx.carried(row, "'balance' algorithm", "", word.span)?;
    if name.len() != word.value.len() {
        return Err(args.wrong(
            cx,
            word.span,
            format!("'{name}' takes no argument in parentheses"),
        ));
    }
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
