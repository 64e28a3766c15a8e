//! Options of `server` lines about the resolution of names (configuration manual, 5.2 and 5.3).

use std::net::IpAddr;

use proxy_types::Diagnostic;

use super::option::network;
use super::server_draft::{Draft, Parse};
use crate::args::Args;
use crate::context::{Context, Parsed};
use crate::keyword::{On, Row, row};
use crate::lexer::{between_commas, sub_span};
use crate::model::{AddressFamily, InitAddr};
use proxy_types::Spanned;

const M: &str = "5.2";

pub(crate) const FAMILIES: &[(&str, AddressFamily)] =
    &[("ipv4", AddressFamily::V4), ("ipv6", AddressFamily::V6)];

pub(crate) const NAMES: &[Row<Parse>] = &[
    row(
        "init-addr",
        On::HERE,
        "{last|libc|none|<ip>},[...]*",
        M,
        "where the first address comes from",
        init_addr,
    ),
    row(
        "resolve-net",
        On::HERE,
        "<network>[,<network[,...]]",
        M,
        "networks whose addresses come first",
        |cx, s, args| {
            let word = args.string(cx, "a list of networks")?;
            let mut nets = Vec::new();
            for text in between_commas(&word) {
                match network(text.value) {
                    Some(net) => nets.push(net),
                    None => {
                        let message = format!("invalid network '{}'", text.value);
                        return Err(args.wrong(cx, text.span, message));
                    }
                }
            }
            s.options.names.nets = nets;
            Ok(())
        },
    ),
    row(
        "resolve-opts",
        On::HERE,
        "<option>,<option>,...",
        M,
        "addresses shared by servers, weights of SRV records",
        |cx, s, args| {
            const WHAT: &str = "'allow-dup-ip', 'ignore-weight' and 'prevent-dup-ip'";
            let word = args.string(cx, WHAT)?;
            for text in between_commas(&word) {
                match text.value {
                    "allow-dup-ip" => s.options.names.allow_duplicates = true,
                    "prevent-dup-ip" => s.options.names.allow_duplicates = false,
                    "ignore-weight" => s.options.names.ignore_weight = true,
                    other => {
                        let message =
                            format!("'{}' : unknown resolve-opts option '{other}'", args.name());
                        return Err(cx.report(
                            Diagnostic::alert(message)
                                .at(text.span)
                                .expected(format!("expected {WHAT}")),
                        ));
                    }
                }
            }
            Ok(())
        },
    ),
    row("resolve-prefer", On::HERE, "<family>", M, "preferred address family", |cx, s, args| {
        s.options.names.prefer = Some(args.choice(cx, FAMILIES)?);
        Ok(())
    }),
    row("resolvers", On::HERE, "<id>", M, "section that resolves the name", |cx, s, args| {
        s.options.names.resolvers = Some(args.string(cx, "the name of a 'resolvers' section")?);
        Ok(())
    }),
];

fn init_addr(cx: &mut Context<'_>, s: &mut Draft, args: &mut Args<'_>) -> Parsed {
    let word = args.word(cx, "a list of 'last', 'libc', 'none' and IP addresses")?;
    let mut list = Vec::new();
    let mut offset = 0;
    for text in word.value.split(',') {
        list.push(match text {
            "last" => InitAddr::Last,
            "libc" => InitAddr::Libc,
            "none" => InitAddr::None,
            ip => match ip.parse::<IpAddr>() {
                Ok(ip) => InitAddr::Ip(ip),
                Err(_) => {
                    let message = format!("unknown method '{ip}'");
                    return Err(cx.report(
                        Diagnostic::alert(format!("'{}' : {message}", args.name()))
                            .at(sub_span(word, offset, ip.len().max(1)))
                            .expected("expected 'last', 'libc', 'none' or an IP address"),
                    ));
                }
            },
        });
        offset += text.len() + 1;
    }
    s.options.init_addr = Some(Spanned::new(list, word.span));
    Ok(())
}
