//! `resolvers` sections (configuration manual, 5.3.2).

use std::time::Duration;

use proxy_types::{Diagnostic, Endpoint, Host, PortSpec, Spanned, Transport};

use crate::args::Args;
use crate::context::{Context, Parsed};
use crate::keyword::{On, Table, find, row, suggest};
use crate::line::server_rows::OPTIONS;
use crate::model::{Nameserver, NameserverLine, Resolvers, ResolversHold};

type Parse = fn(&mut Context<'_>, &mut Resolvers, &mut Args<'_>) -> Parsed;

const M: &str = "5.3.2";

pub(crate) const RESOLVERS: Table<Parse> = &[&[
    row(
        "accepted_payload_size",
        On::HERE,
        "<nb>",
        M,
        "largest reply over UDP in bytes",
        |cx, section, args| {
            section.accepted_payload_size = Some(args.number(cx, 12..=u16::MAX)?);
            args.end(cx)
        },
    ),
    row(
        "hold",
        On::HERE,
        "{nx|obsolete|other|refused|timeout|valid} <period>",
        M,
        "how long what was known stays good after an error",
        hold,
    ),
    row(
        "nameserver",
        On::HERE,
        "<name> <address>[:port] [param*]",
        M,
        "adds a nameserver",
        nameserver,
    ),
    row(
        "parse-resolv-conf",
        On::HERE,
        "",
        M,
        "adds the nameservers of /etc/resolv.conf",
        |cx, section, args| {
            section.nameservers.push(NameserverLine::ResolvConf(args.span()));
            args.end(cx)
        },
    ),
    row(
        "resolve_retries",
        On::HERE,
        "<nb>",
        M,
        "queries sent before an error counts",
        |cx, section, args| {
            section.resolve_retries = Some(args.number(cx, 1..=i32::MAX as u32)?);
            args.end(cx)
        },
    ),
    row(
        "timeout",
        On::HERE,
        "{resolve|retry} <time>",
        M,
        "time between resolutions, or for a reply",
        timeout,
    ),
]];

/// A delay that would be a busy loop when it is zero.
fn delay(cx: &mut Context<'_>, args: &mut Args<'_>) -> Parsed<Spanned<Duration>> {
    let value = args.timer(cx)?;
    if value.is_zero() {
        return Err(args.wrong(cx, value.span, "the time has to be longer than 0"));
    }
    Ok(value)
}

fn timeout(cx: &mut Context<'_>, section: &mut Resolvers, args: &mut Args<'_>) -> Parsed {
    let event = args.choice(cx, &[("resolve", true), ("retry", false)])?;
    args.rename(if event.value { "timeout resolve" } else { "timeout retry" });
    let value = delay(cx, args)?;
    let slot = if event.value { &mut section.timeout_resolve } else { &mut section.timeout_retry };
    *slot = Some(value);
    args.end(cx)
}

fn hold(cx: &mut Context<'_>, section: &mut Resolvers, args: &mut Args<'_>) -> Parsed {
    type Slot = fn(&mut ResolversHold) -> &mut Option<Spanned<Duration>>;
    const EVENTS: &[(&str, Slot)] = &[
        ("nx", |hold| &mut hold.nx),
        ("obsolete", |hold| &mut hold.obsolete),
        ("other", |hold| &mut hold.other),
        ("refused", |hold| &mut hold.refused),
        ("timeout", |hold| &mut hold.timeout),
        ("valid", |hold| &mut hold.valid),
    ];
    let slot = args.choice(cx, EVENTS)?.value;
    let value = args.timer(cx)?;
    *slot(&mut section.hold) = Some(value);
    args.end(cx)
}

fn nameserver(cx: &mut Context<'_>, section: &mut Resolvers, args: &mut Args<'_>) -> Parsed {
    const WHAT: &str = "<name> and <address>[:port] as arguments";
    let name = args.string(cx, WHAT)?;
    let address = args.address(cx, WHAT)?;
    args.rename(format!("nameserver {name}"));
    let same = section.nameservers.iter().find_map(|line| match line {
        NameserverLine::Nameserver(known) if known.name.value == name.value => Some(&known.name),
        _ => None,
    });
    if let Some(same) = same {
        let message = format!("nameserver '{name}' has same name as another nameserver");
        let diagnostic =
            Diagnostic::alert(message).at(name.span).label(same.span, "first declared here");
        return Err(cx.report(diagnostic));
    }
    let misfit = match (&address.endpoint, address.transport) {
        (
            Endpoint::Inet { port: PortSpec::Port(1..), host: Host::Ip(_) | Host::Name(_), .. },
            _,
        ) => match address.transport {
            None | Some(Transport::Datagram | Transport::Stream) => None,
            Some(Transport::Quic) => Some("QUIC is no transport of nameservers"),
            Some(Transport::Mptcp) => Some("MPTCP: known, not carried yet,"),
        },
        (Endpoint::Inet { port: PortSpec::None, .. }, _) => Some("missing port specification"),
        (Endpoint::Inet { .. }, _) => Some("one port is expected"),
        _ => Some("an IP address is expected"),
    };
    if let Some(text) = misfit {
        return Err(args.wrong(cx, address.span, format!("{text} in '{}'", address.value)));
    }
    let mut maxconn = None;
    while let Some(word) = args.optional() {
        if word.value == "maxconn" {
            maxconn = Some(args.number(cx, 0..=i32::MAX as u32)?);
            continue;
        }
        let known = find(OPTIONS, word.value.split('(').next().unwrap_or_default()).is_some();
        let text = if known {
            format!("'{}': known, not carried yet for nameservers", word.value)
        } else {
            format!("unknown keyword '{}'", word.value)
        };
        return Err(args.wrong(cx, word.span, text));
    }
    let nameserver = Nameserver { name, address, maxconn };
    section.nameservers.push(NameserverLine::Nameserver(Box::new(nameserver)));
    Ok(())
}

/// Opens a section.
pub(crate) fn open(cx: &mut Context<'_>, args: &mut Args<'_>) -> Resolvers {
    let span = args.span();
    let name = args.string(cx, "a name as argument");
    let _ = args.end(cx);
    Resolvers {
        span,
        name: name.unwrap_or_else(|_| Spanned::new(String::new(), span)),
        nameservers: Vec::new(),
        accepted_payload_size: None,
        hold: ResolversHold::default(),
        resolve_retries: None,
        timeout_resolve: None,
        timeout_retry: None,
    }
}

/// One line of the section.
pub(crate) fn line(cx: &mut Context<'_>, section: &mut Resolvers, args: &mut Args<'_>) -> Parsed {
    let Some(row) = find(RESOLVERS, args.name()) else {
        let message = format!("unknown keyword '{}' in 'resolvers' section", args.name());
        let near = suggest(RESOLVERS, args.name());
        let span = args.keyword_span();
        return Err(cx.report(Diagnostic::alert(message).at(span).did_you_mean(near)));
    };
    let parse = cx.carried(row, "keyword", "in 'resolvers' section", args.keyword_span())?;
    parse(cx, section, args)
}

/// A section without nameservers resolves nothing.
pub(crate) fn check(cx: &mut Context<'_>, section: &Resolvers) {
    if section.nameservers.is_empty() && !section.name.value.is_empty() {
        let message = format!("resolvers '{}' has no nameservers configured!", section.name);
        cx.warn(section.span, message);
    }
}
