//! `peers` sections (configuration manual, 11.2).

use proxy_types::{Span, Spanned};

use super::{Bind, Proxy, ServerOptions, StickTable};

/// A `peers` section.
#[derive(Clone, Debug)]
pub struct Peers {
    pub span: Span,
    pub name: Spanned<String>,
    /// The name of this process when the section was read.
    pub local: String,
    /// Where this process listens, options of servers, log targets, whether the section is switched off. It is never one of
    /// [`Config::proxies`](super::Config::proxies).
    pub proxy: Proxy,
    pub peers: Vec<Peer>,
    /// Options of `bind` lines that follow.
    pub default_bind: Bind,
    /// Parts that the keys are divided into.
    pub shards: Option<Spanned<u32>>,
    /// Tables of the section, by their names within it.
    pub tables: Vec<(Spanned<String>, StickTable)>,
}

/// A `peer` or `server` line.
#[derive(Clone, Debug)]
pub struct Peer {
    pub span: Span,
    pub name: Spanned<String>,
    /// May be missing for this process itself, which then has `bind` lines.
    pub address: Option<Spanned<proxy_types::Address>>,
    pub options: ServerOptions,
}

impl Peers {
    /// The peer that is this process.
    pub fn local_peer(&self) -> Option<&Peer> {
        self.peers.iter().find(|peer| peer.name.value == self.local)
    }

    /// Whether anything is exchanged.
    pub fn is_active(&self) -> bool {
        !self.proxy.settings.is_disabled() && self.local_peer().is_some()
    }

    /// What the rest of the configuration calls a table of the section.
    pub fn table_name(&self, name: &str) -> String {
        format!("{}/{name}", self.name.value)
    }
}
