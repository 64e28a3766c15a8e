//! Rings and log backends as live ones, and who carries what is in them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proxy_config::Sources;
use proxy_config::model::{Config, LogFormat, LogProto, Proxy, ServerOptions, Settings, Timeouts};
use proxy_net::clock::Tick;
use proxy_net::connect::ConnectOptions;
use proxy_net::sockopt::Buffers;
use proxy_rules::sample::context::Shared;
use proxy_state::Registry;
use proxy_stream::log::delivery::{Delivery, Place};
use proxy_stream::log::emit::{HostRule, Targets};
use proxy_stream::log::farm::{Farm, Way};
use proxy_stream::log::ring::{Ring, Rings};
use proxy_stream::log::syslog::frames::Framing;
use proxy_stream::transport::{Entrance, Exit};
use proxy_types::{DiagSink, Diagnostic, Diagnostics, Mode, SockAddr, Span, Transport};

use super::addresses::Resolver;
use super::peers::{connect_options, transport};
use super::rules::Rules;
use super::state::Overrides;
use super::tls::Tls;

/// The form of messages in the rings that are always there.
pub(super) const BUILTIN_FORMAT: LogFormat = LogFormat::Timed;

/// Rings and what is to be carried, while log targets are opened: these may add some.
pub(crate) struct Places {
    rings: RefCell<Rings>,
    deliveries: RefCell<Vec<Delivery>>,
    farms: HashMap<String, Arc<Farm>>,
    /// The rings of targets that have one of their own, by their lines: `log global` opens a line again and again.
    own: RefCell<HashMap<Span, Arc<Ring>>>,
    files: Vec<(Arc<Ring>, PathBuf, Span)>,
    place: Box<dyn Fn(Span) -> String>,
}

/// Where log targets get rings and log backends from.
pub(crate) trait Shelf {
    /// # Errors
    /// There is no such ring.
    fn ring(&self, name: &str) -> Result<Arc<Ring>, String>;

    /// # Errors
    /// There is no such log backend.
    fn farm(&self, name: &str) -> Result<Arc<Farm>, String>;

    /// The ring in front of a server that a `log` line names by its address.
    ///
    /// # Errors
    /// There is none, and none can be made any more.
    fn stream(&self, line: Span, address: SockAddr) -> Result<Arc<Ring>, String>;
}

/// What there is while a worker runs.
#[derive(Clone, Default)]
pub(crate) struct Carried {
    rings: Arc<Rings>,
    farms: HashMap<String, Arc<Farm>>,
    own: HashMap<Span, Arc<Ring>>,
}

impl Shelf for Carried {
    fn ring(&self, name: &str) -> Result<Arc<Ring>, String> {
        self.rings.find(name).cloned().ok_or_else(|| format!("unable to find ring '{name}'"))
    }

    fn farm(&self, name: &str) -> Result<Arc<Farm>, String> {
        let farm = self.farms.get(name).cloned();
        farm.ok_or_else(|| format!("unable to find log backend '{name}'"))
    }

    fn stream(&self, line: Span, address: SockAddr) -> Result<Arc<Ring>, String> {
        let ring = self.own.get(&line).cloned();
        ring.ok_or_else(|| format!("no log over TCP to {address:?} was opened at the start"))
    }
}

/// Everything that was assembled here.
#[derive(Default)]
pub(crate) struct Assembled {
    pub(crate) rings: Arc<Rings>,
    pub(crate) deliveries: Vec<Delivery>,
    pub(crate) forwards: Vec<Forward>,
    farms: HashMap<String, Arc<Farm>>,
    own: HashMap<Span, Arc<Ring>>,
    files: Vec<(Arc<Ring>, PathBuf, Span)>,
}

/// A `log-forward` section without its sockets.
pub(crate) struct Forward {
    pub(crate) name: String,
    pub(crate) targets: Option<Arc<Targets>>,
    pub(crate) host: HostRule,
    pub(crate) parses: bool,
    pub(crate) framing: Framing,
    pub(crate) maxconn: usize,
    pub(crate) timeout: Option<std::time::Duration>,
    pub(crate) most: usize,
    /// What stands at the entrance of each `bind` line.
    pub(crate) entrances: Vec<Option<Arc<Entrance>>>,
}

impl Places {
    /// Makes the rings of the configuration, with their servers, and the log backends.
    pub(super) fn open(
        config: &Config,
        registry: &Registry,
        rules: &Rules<'_>,
        overrides: &Overrides,
        tls: &mut Tls<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Self {
        let sources = rules.sources.clone();
        let mut places = Self {
            rings: RefCell::new(Rings::builtin()),
            deliveries: RefCell::default(),
            farms: HashMap::new(),
            own: RefCell::default(),
            files: Vec::new(),
            place: Box::new(move |span| sources.place(span)),
        };
        for section in &config.rings {
            let description = section.description.as_ref().unwrap_or(&section.name);
            let size = section.size() as usize;
            let ring = Arc::new(Ring::new(&section.name.value, &description.value, size));
            if let Some(path) = &section.backing_file {
                places.files.push((ring.clone(), PathBuf::from(&path.value), path.span));
            }
            for server in &section.proxy.servers {
                let address = match overrides.resolver.target(&server.address.value, SYSLOG_PORT) {
                    Ok(address) => address,
                    Err(error) => {
                        let text = error.to_string();
                        diagnostics.push(Diagnostic::alert(text).at(server.address.span));
                        continue;
                    }
                };
                let exit = tls.exit(&section.proxy, server, diagnostics);
                let delivery = delivery(
                    ring.clone(),
                    Place::Fixed(address),
                    &server.options,
                    transport::<Exit>(exit),
                    &section.proxy.settings,
                    overrides.resolver,
                    diagnostics,
                );
                places.deliveries.get_mut().push(delivery);
            }
            places.rings.get_mut().add(ring);
        }
        for proxy in config.backends().filter(|proxy| proxy.settings.mode() == Mode::Log) {
            let resolver = overrides.resolver;
            let farm = places.backend(config, proxy, registry, rules, resolver, diagnostics);
            if let Some(farm) = farm {
                places.farms.insert(proxy.name.value.clone(), Arc::new(farm));
            }
        }
        places
    }

    fn backend(
        &mut self,
        config: &Config,
        proxy: &Proxy,
        registry: &Registry,
        rules: &Rules<'_>,
        resolver: Resolver,
        diagnostics: &mut Diagnostics,
    ) -> Option<Farm> {
        let backend = registry.backend(&proxy.name.value)?;
        let mut ways = Vec::new();
        for server in &proxy.servers {
            let Some(live) = backend.server(&server.name.value) else { continue };
            let way = if server.address.value.transport == Some(Transport::Datagram) {
                Way::datagrams(log_buffers(config))
            } else {
                let name = format!("{}/{}", proxy.name, server.name);
                let text = format!("waiting for log server {name}");
                let size = server
                    .options
                    .log_bufsize
                    .map_or_else(|| config.global.tune.bufsize(), |s| s.value);
                let ring = Arc::new(Ring::new(&name, &text, size as usize));
                self.rings.get_mut().add(ring.clone());
                let exit = transport::<Exit>(live.spec.transport.clone());
                self.deliveries.get_mut().push(delivery(
                    ring.clone(),
                    Place::Of(live.clone()),
                    &server.options,
                    exit,
                    &proxy.settings,
                    resolver,
                    diagnostics,
                ));
                Way::Ring(ring)
            };
            ways.push((live.id, way));
        }
        Some(Farm::new(backend, rules.balance_key(proxy, diagnostics), ways))
    }

    /// Nothing more is added.
    pub(super) fn close(self, forwards: Vec<Forward>) -> Assembled {
        Assembled {
            rings: Arc::new(self.rings.into_inner()),
            deliveries: self.deliveries.into_inner(),
            forwards,
            farms: self.farms,
            own: self.own.into_inner(),
            files: self.files,
        }
    }
}

impl Shelf for Places {
    fn ring(&self, name: &str) -> Result<Arc<Ring>, String> {
        let rings = self.rings.borrow();
        rings.find(name).cloned().ok_or_else(|| format!("unable to find ring '{name}'"))
    }

    fn farm(&self, name: &str) -> Result<Arc<Farm>, String> {
        let farm = self.farms.get(name).cloned();
        farm.ok_or_else(|| format!("unable to find log backend '{name}'"))
    }

    fn stream(&self, line: Span, address: SockAddr) -> Result<Arc<Ring>, String> {
        let mut own = self.own.borrow_mut();
        if let Some(ring) = own.get(&line) {
            return Ok(ring.clone());
        }
        let name = format!("ring#{}", own.len() + 1);
        let text = format!("waiting for the log target of {}", (self.place)(line));
        let ring = Arc::new(Ring::new(&name, &text, RING_OF_TARGET));
        self.rings.borrow_mut().add(ring.clone());
        self.deliveries.borrow_mut().push(Delivery {
            ring: ring.clone(),
            place: Place::Fixed(address),
            options: ConnectOptions::default(),
            exit: None,
            counted: false,
            connect: None,
            server: None,
        });
        own.insert(line, ring.clone());
        Ok(ring)
    }
}

/// Port of syslog over TCP when none was written.
const SYSLOG_PORT: u16 = 514;
/// Bytes that wait for a target named by its address.
const RING_OF_TARGET: usize = 64 * 1024;

/// `tune.rcvbuf.backend` and `tune.sndbuf.backend`: sockets that send datagrams to log targets.
pub(super) fn log_buffers(config: &Config) -> Buffers {
    let tune = &config.global.tune;
    Buffers {
        receive: tune.rcvbuf_backend.map(|bytes| bytes.value),
        send: tune.sndbuf_backend.map(|bytes| bytes.value),
        unsent: None,
    }
}

fn delivery(
    ring: Arc<Ring>,
    place: Place,
    options: &ServerOptions,
    exit: Option<Arc<Exit>>,
    settings: &Settings,
    resolver: Resolver,
    diagnostics: &mut Diagnostics,
) -> Delivery {
    let timeouts = &settings.timeouts;
    Delivery {
        ring,
        place,
        options: connect_options(options, resolver, diagnostics),
        exit,
        counted: options.log_proto.is_some_and(|form| form.value == LogProto::OctetCount),
        connect: Timeouts::effective(timeouts.connect),
        server: Timeouts::effective(timeouts.server),
    }
}

impl Assembled {
    /// What stays for log targets that are opened later.
    pub(crate) fn carried(&self) -> Carried {
        let (rings, farms) = (self.rings.clone(), self.farms.clone());
        Carried { rings, farms, own: self.own.clone() }
    }

    /// Tells log backends what the worker lives on.
    pub(crate) fn enter(&self, shared: &Arc<Shared>, epoch: Tick) {
        for farm in self.farms.values() {
            farm.enter(shared.clone(), epoch);
        }
    }

    /// Makes the files behind rings.
    ///
    /// # Errors
    /// The first that cannot be made, by its line.
    pub(crate) fn open_files(&self, sources: &Sources) -> Result<(), (String, io::Error)> {
        self.files.iter().try_for_each(|(ring, path, span)| {
            ring.back_with(Path::new(path)).map_err(|error| (sources.place(*span), error))
        })
    }
}
