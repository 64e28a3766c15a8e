//! `server` and `default-server` (configuration manual, 5.2).

use proxy_types::{Diagnostic, Endpoint, PortSpec, Spanned, Transport};

use crate::args::Args;
use crate::context::{Context, Parsed};
use crate::keyword::find;
use crate::lexer::{Word, sub_span};
use crate::line::server_address::misfit;
use crate::line::server_draft::Draft;
use crate::line::server_from;
use crate::line::server_rows::OPTIONS;
use crate::line::server_words::options;
use crate::line::shared::is_name_char;
use crate::model::{NamedDefaultServer, Peer, Proxy, ProxyKind, Server, ServerOptions};

pub(crate) fn server(cx: &mut Context<'_>, proxy: &mut Proxy, args: &mut Args<'_>) -> Parsed {
    const WHAT: &str = "<name> and <addr>[:<port>] as arguments";
    let name = args.string(cx, WHAT)?;
    let server = one(cx, proxy, args, name, ("server", WHAT), false)?;
    proxy.servers.push(server);
    Ok(())
}

/// What stands behind `add server <backend>/`.
pub(crate) fn dynamic(cx: &mut Context<'_>, proxy: &Proxy, args: &mut Args<'_>) -> Parsed<Server> {
    const WHAT: &str = "<name> and <addr>[:<port>] as arguments";
    let name = args.string(cx, WHAT)?;
    one(cx, proxy, args, name, ("server", WHAT), true)
}

/// `server-template <prefix> <num | range> ...`: so many servers that differ by their names.
pub(crate) fn template(cx: &mut Context<'_>, proxy: &mut Proxy, args: &mut Args<'_>) -> Parsed {
    const WHAT: &str = "<prefix>, <num | range> and <addr>[:<port>] as arguments";
    let prefix = args.string(cx, WHAT)?;
    let range = args.word(cx, WHAT)?;
    let Some((first, last)) = numbers(&range.value) else {
        let message = format!("wrong server-template number or range '{}'", range.value);
        return Err(cx.report(
            Diagnostic::alert(message)
                .at(range.span)
                .expected("expected a number, or <low>-<high>"),
        ));
    };
    if last - first >= TEMPLATE_MAX {
        let message = format!("'{}' makes more than {TEMPLATE_MAX} servers", range.value);
        return Err(args.wrong(cx, range.span, message));
    }
    let server = one(cx, proxy, args, prefix, ("server-template", WHAT), false)?;
    for number in first..=last {
        let name = format!("{}{number}", server.name.value);
        proxy.servers.push(Server {
            name: Spanned::new(name, server.name.span),
            // One number for all would be taken; the others get theirs as if nothing was written.
            id: server.id.filter(|_| number == first),
            ..server.clone()
        });
    }
    Ok(())
}

/// Servers that one line may make.
const TEMPLATE_MAX: u32 = 100_000;

/// `<num>` is 1 to `<num>`; `<low>-<high>`.
fn numbers(text: &str) -> Option<(u32, u32)> {
    let number = |text: &str| -> Option<u32> {
        text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
    };
    let (first, last) = match text.split_once('-') {
        Some((low, high)) => (number(low)?, number(high)?),
        None => (1, number(text)?),
    };
    (first <= last && last > 0).then_some((first, last))
}

/// What stands behind the name on a line of `keyword`.
fn one(
    cx: &mut Context<'_>,
    proxy: &Proxy,
    args: &mut Args<'_>,
    name: Spanned<String>,
    (keyword, what): (&str, &str),
    is_dynamic: bool,
) -> Parsed<Server> {
    let address_word = args.word(cx, what)?;
    let label = format!("{keyword} {}/{}", proxy.name.value, name.value);
    args.rename(label.clone());
    let bad = name.value.char_indices().find(|(_, c)| !is_name_char(*c));
    let mut result = Ok(());
    if let Some((at, c)) = bad {
        let message = format!("character '{c}' is not permitted in server name '{name}'");
        result = Err(cx.alert(sub_span(&name, at, c.len_utf8()), message));
    }
    let address = args.parse_address(cx, address_word, 0, &address_word.value).and_then(
        |address| match misfit(&address) {
            None => Ok(address),
            Some(text) => {
                Err(args.wrong(cx, address.span, format!("{text} in '{}'", address_word.value)))
            }
        },
    );
    let base = server_from::preset(cx, proxy, args)?;
    let base = base.unwrap_or_else(|| match is_dynamic {
        true => ServerOptions::default(),
        false => proxy.settings.default_server.clone(),
    });
    let in_ring = proxy.kind == ProxyKind::Ring;
    let mut draft = Draft { is_dynamic, in_ring, ..Draft::new(base) };
    let parsed = options(cx, &mut draft, args, &label);
    result?;
    let address = address?;
    parsed?;
    let span = args.span();
    let Draft { options, id, guid, .. } = draft;
    Ok(Server { span, name, address, id, guid, options })
}

/// A `peer` line; that of the process `local` need not have an address.
pub(crate) fn peer(
    cx: &mut Context<'_>,
    proxy: &Proxy,
    args: &mut Args<'_>,
    local: &str,
) -> Parsed<Peer> {
    let name = args.string(cx, "<peername> and <addr>:<port> as arguments")?;
    let is_option = |word: &Word| find(OPTIONS, &word.value).is_some();
    let is_local = name.value == local;
    let address = if is_local && args.peek().is_none_or(is_option) {
        None
    } else {
        let word = args.word(cx, "<addr>:<port> behind the name of a peer")?;
        let address = args.parse_address(cx, word, 0, &word.value)?;
        let datagram = (address.value.transport == Some(Transport::Datagram))
            .then_some("datagram address not acceptable");
        let misfit = datagram.or_else(|| misfit(&address)).filter(|_| !is_local);
        let misfit = misfit.or(match &address.value.endpoint {
            Endpoint::Inet { port: PortSpec::Port(1..), .. } => None,
            Endpoint::Inet { .. } => Some("missing port specification"),
            _ => None,
        });
        if let Some(text) = misfit {
            return Err(args.wrong(cx, address.span, format!("{text} in '{}'", word.value)));
        }
        Some(address)
    };
    let label = format!("peer {}/{}", proxy.name.value, name.value);
    args.rename(label.clone());
    let mut draft = Draft { is_peer: true, ..Draft::new(proxy.settings.default_server.clone()) };
    options(cx, &mut draft, args, &label)?;
    Ok(Peer { span: args.span(), name, address, options: draft.options })
}

pub(crate) fn default_server(
    cx: &mut Context<'_>,
    proxy: &mut Proxy,
    args: &mut Args<'_>,
) -> Parsed {
    if args.peek().is_none() {
        return Err(args.missing(cx, "options of 'server'"));
    }
    let keyword = args.name().to_owned();
    let is_peer = proxy.kind == ProxyKind::Peers;
    let name = match args.accept("name").filter(|_| !is_peer) {
        Some(_) => Some(args.string(cx, "a name after 'name'")?),
        None => None,
    };
    let preset = if is_peer { None } else { server_from::preset(cx, proxy, args)? };
    let is_reset = preset.is_some() && args.peek().is_none();
    let settings = &proxy.settings;
    let known = name.as_ref().map(|name| {
        let named = settings.named_default_servers.iter();
        named.clone().position(|known| known.name.value == name.value)
    });
    let before = match known {
        None => settings.default_server.clone(),
        Some(Some(at)) => settings.named_default_servers[at].options.clone(),
        Some(None) => ServerOptions::default(),
    };
    let draft = Draft { is_default: true, is_peer, ..Draft::new(preset.unwrap_or(before)) };
    let mut draft = draft;
    options(cx, &mut draft, args, &keyword)?;
    let settings = &mut proxy.settings;
    match (name, known.flatten()) {
        (None, _) => {
            settings.default_server = draft.options;
            settings.has_default_server = !is_reset;
        }
        (Some(_), Some(at)) => settings.named_default_servers[at].options = draft.options,
        (Some(name), None) => {
            let named = NamedDefaultServer { name, options: draft.options };
            settings.named_default_servers.push(named);
        }
    }
    Ok(())
}
