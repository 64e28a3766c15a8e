//! Where a server may be, and where connections to it come from (configuration manual, 5.2 "source").

use proxy_types::{Address, Diagnostic, Endpoint, Host, PortSpec, Spanned, Transport};

use crate::args::Args;
use crate::context::{Context, Parsed};
use crate::line::shared::interface;
use crate::model::{SourceAddress, UseSource};

/// `<addr>[:<port>[-<port>]] [interface <name>]`, of a server or of a backend.
pub(crate) fn source_address(
    cx: &mut Context<'_>,
    args: &mut Args<'_>,
) -> Parsed<Spanned<SourceAddress>> {
    let address =
        args.address(cx, "<addr>[:<port>[-<port>]], optionally followed by 'interface' <name>")?;
    match address.endpoint {
        Endpoint::Inet { port: PortSpec::Offset(_), .. } => {
            return Err(args.wrong(cx, address.span, "port offset not permitted here"));
        }
        Endpoint::Inet { .. } => {}
        _ => return Err(args.wrong(cx, address.span, "an IP address is expected")),
    }
    let mut interface_name = None;
    let mut use_source = None;
    loop {
        if args.accept("usesrc").is_some() {
            use_source = Some(use_source_of(cx, args)?);
        } else if args.accept("interface").is_some() {
            interface_name = Some(interface(cx, args)?);
        } else {
            break;
        }
    }
    let span = address.span;
    let value = SourceAddress { address: address.value, interface: interface_name, use_source };
    Ok(Spanned::new(value, span))
}

/// What follows `usesrc`: whose address connections seem to come from.
fn use_source_of(cx: &mut Context<'_>, args: &mut Args<'_>) -> Parsed<Spanned<UseSource>> {
    const WHAT: &str = "'client', 'clientip', 'hdr_ip(<name>)' or an address";
    let Some(word) = args.peek() else { return Err(args.missing(cx, WHAT)) };
    let source = match word.value.as_str() {
        "client" => UseSource::Client,
        "clientip" => UseSource::ClientIp,
        name if name.starts_with("hdr_ip(") => {
            let Some(source) = header_of(name) else {
                let message = format!("'{name}' is not 'hdr_ip(<name>[,<occurrence>])'");
                let expected =
                    "the occurrence counts from 1, or from the end when negative (-10 at most)";
                let diagnostic = Diagnostic::alert(format!("'{}' : {message}", args.name()));
                return Err(cx.report(diagnostic.at(word.span).expected(expected)));
            };
            source
        }
        _ => {
            let address = args.address(cx, WHAT)?;
            let misplaced = match address.endpoint {
                Endpoint::Inet { port: PortSpec::Offset(_), .. } => Some("port offset"),
                Endpoint::Inet { port: PortSpec::Range { .. }, .. } => Some("port range"),
                _ => None,
            };
            if let Some(what) = misplaced {
                let text = format!("'usesrc' : {what} not permitted here");
                return Err(args.wrong(cx, address.span, text));
            }
            if !matches!(address.endpoint, Endpoint::Inet { host: Host::Ip(_), .. }) {
                return Err(args.wrong(cx, address.span, format!("expects {WHAT}")));
            }
            return Ok(Spanned::new(UseSource::Address(address.value), address.span));
        }
    };
    args.optional();
    Ok(Spanned::new(source, word.span))
}

/// `hdr_ip(<name>[,<occurrence>])`.
fn header_of(text: &str) -> Option<UseSource> {
    let inside = text.strip_prefix("hdr_ip(")?.strip_suffix(')')?;
    let (name, occurrence) = match inside.split_once(',') {
        Some((name, number)) => (name, number.trim().parse().ok().filter(|n| *n >= -10)?),
        None => (inside, -1),
    };
    let name = name.trim();
    let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && b != b'(');
    is_name.then(|| UseSource::Header { name: name.to_owned(), occurrence })
}

/// What makes an address unfit to connect to.
pub(super) fn misfit(address: &Address) -> Option<&'static str> {
    match (&address.endpoint, address.transport) {
        (_, Some(Transport::Quic)) => Some("QUIC: known, not carried yet,"),
        (_, Some(Transport::Mptcp)) => Some("MPTCP: known, not carried yet,"),
        (Endpoint::Inet { port: PortSpec::Range { .. }, .. }, _) => {
            Some("port range not permitted here")
        }
        (Endpoint::Fd(_), _) => Some("a file descriptor is not acceptable here"),
        (Endpoint::SockPair(_), _) => Some("sockpair@: known, not carried yet,"),
        (Endpoint::Abstract { .. } | Endpoint::Inet { .. } | Endpoint::Unix(_), _) => None,
    }
}
