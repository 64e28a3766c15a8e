//! `mailers` sections (configuration manual, 12.3).

use proxy_types::{Diagnostic, Endpoint, PortSpec, Spanned};

use crate::args::Args;
use crate::context::{Context, Parsed};
use crate::keyword::{On, Table, find, row, suggest};
use crate::model::{Mailer, Mailers};

type Parse = fn(&mut Context<'_>, &mut Mailers, &mut Args<'_>) -> Parsed;

const M: &str = "12.3";

pub(crate) const MAILERS: Table<Parse> = &[&[
    row("mailer", On::HERE, "<name> <ip>:<port>", M, "a server that takes mail", |cx, m, args| {
        let name = args.string(cx, "a name")?;
        let address = args.address(cx, "<ip>:<port>")?;
        if !matches!(address.endpoint, Endpoint::Inet { port: PortSpec::Port(1..), .. }) {
            return Err(args.wrong(cx, address.span, "an address and a port are expected"));
        }
        m.mailers.push(Mailer { name, address });
        args.end(cx)
    }),
    row("timeout", On::HERE, "mail <time>", M, "how long one mail may take", |cx, m, args| {
        args.choice(cx, &[("mail", ())])?;
        let time = args.timer(cx)?;
        if time.is_zero() {
            return Err(args.wrong(cx, time.span, "the time has to be longer than 0"));
        }
        m.timeout = Some(time);
        args.end(cx)
    }),
]];

/// Opens a section.
pub(crate) fn open(cx: &mut Context<'_>, args: &mut Args<'_>) -> Mailers {
    let span = args.span();
    let name = args.string(cx, "a name as argument").ok();
    let _ = args.end(cx);
    let name = name.unwrap_or_else(|| Spanned::new(String::new(), span));
    Mailers { name, mailers: Vec::new(), timeout: None }
}

/// Reads a line of a section.
pub(crate) fn line(cx: &mut Context<'_>, section: &mut Mailers, args: &mut Args<'_>) -> Parsed {
    let name = args.name().to_owned();
    let Some(row) = find(MAILERS, &name) else {
        let message = format!("unknown keyword '{name}' in 'mailers' section");
        let near = suggest(MAILERS, &name);
        let diagnostic = Diagnostic::alert(message).at(args.keyword_span()).did_you_mean(near);
        return Err(cx.report(diagnostic));
    };
    let parse = cx.carried(row, "keyword", "in 'mailers' section", args.keyword_span())?;
    parse(cx, section, args)
}
