//! `peers` sections as live ones: addresses, TLS, tables, log targets.

use std::sync::Arc;

use proxy_config::model::{Config, Peer, Peers, Server, ServerOptions};
use proxy_net::connect::ConnectOptions;
use proxy_state::{Registry, Transport};
use proxy_stream::log::Sink;
use proxy_stream::peers::run::Road;
use proxy_stream::peers::section::{PeerSpec, SectionSpec};
use proxy_stream::transport::{Entrance, Exit};
use proxy_types::{Address, DiagSink, Diagnostic, Diagnostics, Endpoint, Spanned};

use super::addresses::Resolver;
use super::logs::Logs;
use super::state::{self, Overrides};
use super::tls::Tls;

/// A section that exchanges something.
pub(crate) struct Section {
    pub(crate) spec: SectionSpec,
    /// What stands at the entrance of each `bind` line.
    pub(crate) entrances: Vec<Option<Arc<Entrance>>>,
    /// By peer.
    pub(crate) roads: Vec<Road>,
    pub(crate) log: Option<Arc<dyn Sink>>,
}

/// The sections that exchange something, in the order of the configuration.
pub(crate) fn active(config: &Config) -> impl Iterator<Item = &Peers> {
    config.peers.iter().filter(|section| section.is_active())
}

/// Builds the sections.
pub(crate) fn sections(
    config: &Config,
    registry: &Registry,
    overrides: &Overrides,
    logs: &Logs<'_>,
    tls: &mut Tls<'_>,
    diagnostics: &mut Diagnostics,
) -> Vec<Section> {
    active(config)
        .map(|section| {
            let entrances = section
                .proxy
                .binds
                .iter()
                .map(|bind| transport::<Entrance>(tls.entrance(&section.proxy, bind, diagnostics)))
                .collect();
            let mut peers = Vec::new();
            let mut roads = Vec::new();
            for peer in &section.peers {
                let address = address(section, peer);
                let options = &peer.options;
                peers.push(PeerSpec {
                    name: peer.name.value.clone(),
                    address: address.as_ref().and_then(|address| {
                        overrides.resolver.target(&address.value, 0).map_or_else(
                            |error| {
                                let text = error.to_string();
                                diagnostics.push(Diagnostic::alert(text).at(address.span));
                                None
                            },
                            Some,
                        )
                    }),
                    shard: options.shard.map_or(0, |shard| shard.value),
                });
                let exit = address.map(|address| Server {
                    span: peer.span,
                    name: peer.name.clone(),
                    address,
                    id: None,
                    guid: None,
                    options: options.clone(),
                });
                let exit = exit.and_then(|server| tls.exit(&section.proxy, &server, diagnostics));
                roads.push(Road {
                    options: connect_options(options, overrides.resolver, diagnostics),
                    exit: transport::<Exit>(exit),
                });
            }
            Section {
                spec: SectionSpec {
                    name: section.name.value.clone(),
                    local: section.local.clone(),
                    peers,
                    tables: tables(config, section, registry),
                },
                entrances,
                roads,
                log: logs.of_proxy(&section.proxy, diagnostics),
            }
        })
        .collect()
}

/// How a server is connected to that is not one of a backend.
pub(super) fn connect_options(
    options: &ServerOptions,
    resolver: Resolver,
    diagnostics: &mut Diagnostics,
) -> ConnectOptions {
    let source = options.source.as_ref().map(|source| state::source(source, resolver, diagnostics));
    ConnectOptions {
        source: source.as_ref().and_then(|source| source.addr),
        interface: source.and_then(|source| source.interface),
        user_timeout: options.tcp_ut.map(|limit| limit.value),
        fastopen: options.tfo.is_some_and(|on| on.value),
        namespace: options.namespace.as_ref().map(|name| name.value.clone()),
        congestion: options.congestion.as_ref().map(|name| name.value.clone()),
        md5: options.md5.as_ref().map(|password| password.value.clone()),
        ..ConnectOptions::default()
    }
}

/// What a listener or a server has that is of this kind.
pub(super) fn transport<T: Send + Sync + 'static>(transport: Option<Transport>) -> Option<Arc<T>> {
    transport.and_then(|transport| transport.downcast::<T>().ok())
}

/// Where a peer is: this process where it listens first.
fn address(section: &Peers, peer: &Peer) -> Option<Spanned<Address>> {
    let listens = || section.proxy.binds.first()?.addresses.first();
    let address = peer.address.as_ref().or_else(listens)?;
    // What is inherited is known once it is bound.
    let known = !matches!(address.value.endpoint, Endpoint::Fd(_) | Endpoint::SockPair(_));
    known.then(|| address.clone())
}

/// The tables that the section shares, with the names that peers know them by: those of the section have a slash in front.
fn tables(
    config: &Config,
    section: &Peers,
    registry: &Registry,
) -> Vec<(String, Arc<proxy_state::stick::Table>)> {
    let live = |name: &str| registry.table(name).cloned();
    let own = section.tables.iter().filter_map(|(name, _)| {
        Some((format!("/{}", name.value), live(&section.table_name(&name.value))?))
    });
    let others = config.proxies.iter().filter_map(|proxy| {
        let name = &proxy.name.value;
        let peers = proxy.stick_table.as_ref()?.peers.as_ref()?;
        (peers.value == section.name.value).then(|| Some((name.clone(), live(name)?))).flatten()
    });
    own.chain(others).collect()
}
