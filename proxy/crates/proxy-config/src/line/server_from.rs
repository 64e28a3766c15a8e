//! `from`: where the settings of a `server` or `default-server` line start (configuration manual, 5.2 "from").

use proxy_types::Span;

use crate::args::Args;
use crate::context::{Context, Elsewhere, Parsed};
use crate::lexer::Word;
use crate::model::{Proxy, ServerOptions};

/// What `from` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin<'a> {
    None,
    /// The unnamed `default-server` of a section; of the own one without a name.
    Backend(&'a str),
    /// A server or a named `default-server`.
    Server {
        backend: &'a str,
        server: &'a str,
    },
}

impl<'a> Origin<'a> {
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        if text == "none" {
            return Some(Self::None);
        }
        if let Some(backend) = text.strip_prefix("be:") {
            return Some(Self::Backend(backend));
        }
        let path = text.strip_prefix("srv:").filter(|path| !path.is_empty())?;
        let (backend, server) = path.split_once('/').unwrap_or(("", path));
        Some(Self::Server { backend, server })
    }

    /// The section that it names.
    pub(crate) fn backend(self) -> &'a str {
        match self {
            Self::None => "",
            Self::Backend(backend) | Self::Server { backend, .. } => backend,
        }
    }

    /// The settings, when they are in this section.
    pub(crate) fn settings(self, section: &Proxy) -> Option<ServerOptions> {
        let settings = &section.settings;
        match self {
            Self::None => Some(ServerOptions::default()),
            Self::Backend(_) => Some(settings.default_server.clone()),
            Self::Server { server: name, .. } => {
                let named = settings.named_default_servers.iter().find(|n| n.name.value == name);
                let server = || section.servers.iter().find(|server| server.name.value == name);
                named.map(|named| &named.options).or_else(|| server().map(|s| &s.options)).cloned()
            }
        }
    }
}

/// The settings that a line names by `from`; `None` without the word. Those of another section were looked up by whoever
/// knows all of them, see [`Context::origin`].
pub(crate) fn preset(
    cx: &mut Context<'_>,
    section: &Proxy,
    args: &mut Args<'_>,
) -> Parsed<Option<ServerOptions>> {
    if args.accept("from").is_none() {
        return Ok(None);
    }
    const WHAT: &str = "'none', 'be:[<backend>]' or 'srv:[<backend>/]<server>' after 'from'";
    let word = args.word(cx, WHAT)?;
    let Some(origin) = Origin::parse(&word.value) else {
        return Err(args.missing_at(cx, word.span, WHAT));
    };
    let found = match (std::mem::take(&mut cx.origin), is_elsewhere(origin, &section.name.value)) {
        (Elsewhere::Found(options), true) => Some(*options),
        (_, true) => None,
        (_, false) => origin.settings(section),
    };
    match found {
        Some(options) => Ok(Some(options)),
        None => Err(unknown(cx, args, &word.value, word.span)),
    }
}

fn unknown(
    cx: &mut Context<'_>,
    args: &Args<'_>,
    text: &str,
    span: Span,
) -> crate::context::Reported {
    args.wrong(cx, span, format!("unable to find '{text}', which must stand above this line"))
}

fn is_elsewhere(origin: Origin<'_>, own: &str) -> bool {
    !origin.backend().is_empty() && origin.backend() != own
}

/// The word of a line that names settings of another section than `own`.
pub(crate) fn elsewhere<'w>(words: &'w [Word], own: &str) -> Option<Origin<'w>> {
    let keyword = words.first()?.value.as_str();
    if !matches!(keyword, "server" | "server-template" | "default-server") {
        return None;
    }
    let at = words.iter().position(|word| word.value == "from")?;
    Origin::parse(&words.get(at + 1)?.value).filter(|origin| is_elsewhere(*origin, own))
}
