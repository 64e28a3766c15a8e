//! Servers that take their address from names, and how answers change them.

use crate::Names;
use crate::choice::{Wishes, choose};
use crate::counters::count;
use crate::exchange::Failure;
use crate::lookup::Want;
use crate::names::Shared;
use crate::question::Question;
use crate::records::Record;
use crate::spec::WatchSpec;
use crate::wire::Service;
use proxy_state::server::Admin;
use proxy_state::{Backend, Server, SockAddr};
use proxy_types::ServerId;
use rustc_hash::FxHashMap;
use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

/// Why a server has no address; HAProxy's words.
fn reason(failure: Failure) -> &'static str {
    match failure {
        Failure::Nx => "DNS NX status",
        Failure::Other => "unspecified DNS error",
        Failure::Refused => "DNS refused status",
        Failure::Timeout => "DNS timeout status",
    }
}

const NO_ADDRESS: &str = "No IP for server ";
const NO_RECORD: &str = "entry removed from SRV record";

/// A server that has its address from names.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) server: Arc<Server>,
    pub(crate) spec: WatchSpec,
    /// What its addresses come from, when it has a name.
    pub(crate) question: RefCell<Option<Rc<Question>>>,
    /// The SRV record it stands for.
    record: RefCell<Option<Service>>,
}

impl Record for Service {
    fn is_same(&self, other: &Self) -> bool {
        self.port == other.port && self.target == other.target
    }
}

impl Watched {
    pub(crate) fn new(server: Arc<Server>, spec: WatchSpec) -> Self {
        Self { server, spec, question: RefCell::default(), record: RefCell::default() }
    }

    fn address(&self) -> Option<IpAddr> {
        let unresolved = self.server.admin_state().contains(Admin::RESOLUTION_MAINT);
        self.server.addr().inet().map(|addr| addr.ip()).filter(|_| !unresolved)
    }

    fn label(&self) -> String {
        format!("{}/{}", self.server.backend_name, self.server.name)
    }

    /// Gives the server an address and brings it back; whether that changed something.
    fn set_address(&self, shared: &Shared, ip: IpAddr, port: Option<u16>, by: &str) -> bool {
        let before = self.address();
        let port = port.or_else(|| self.server.addr().port()).unwrap_or(0);
        self.server.set_addr(SockAddr::Inet(SocketAddr::new(ip, port)));
        let changed = before != Some(ip);
        if changed {
            let from = before.map_or_else(|| "(none)".to_owned(), |ip| ip.to_string());
            let line = format!("{} changed its IP from {from} to {ip} by {by}.", self.label());
            shared.report(&self.server, &line);
        }
        if self.server.admin_state().contains(Admin::RESOLUTION_MAINT) {
            self.server.set_resolved(shared.now());
        }
        changed
    }

    fn lose_address(&self, shared: &Shared, why: &'static str) {
        self.server.set_unresolved(why, shared.now());
    }

    /// Takes the best of the addresses that are known.
    fn take_address(
        &self,
        shared: &Shared,
        question: &Question,
        holders: &mut Holders,
        by: &str,
    ) -> bool {
        let own = self.address();
        let wishes = Wishes {
            prefer: self.spec.prefer,
            nets: &self.spec.nets,
            duplicates: self.spec.duplicates,
            current: own,
        };
        let chosen = choose(question.addresses.borrow().iter(), &wishes, |ip| {
            holders.others(ip, &self.server, own)
        });
        holders.moved(&self.server, own, chosen);
        let Some(ip) = chosen else {
            self.lose_address(shared, NO_ADDRESS);
            return false;
        };
        let back = self.server.admin_state().contains(Admin::RESOLUTION_MAINT);
        let changed = self.set_address(shared, ip, None, by);
        if self.server.spec.srv_record.is_none() {
            self.server.settle_fqdn();
        }
        if back {
            let line = format!(
                "Server {} administratively READY thanks to valid DNS answer.",
                self.label()
            );
            shared.report(&self.server, &line);
        }
        changed
    }
}

/// Which servers of a backend have which address of a name.
struct Holders(FxHashMap<IpAddr, Vec<ServerId>>);

impl Holders {
    fn new(backend: &Backend, name: &str) -> Self {
        let mut all = Self(FxHashMap::default());
        for server in backend.servers().iter() {
            let is_named = server
                .fqdn()
                .is_some_and(|own| own.trim_end_matches('.').eq_ignore_ascii_case(name));
            if is_named
                && !server.admin_state().contains(Admin::RESOLUTION_MAINT)
                && let Some(addr) = server.addr().inet()
            {
                all.0.entry(addr.ip()).or_default().push(server.id);
            }
        }
        all
    }

    /// Whether another server has this address. Of two that have one already, the first keeps it.
    fn others(&self, ip: IpAddr, server: &Server, own: Option<IpAddr>) -> bool {
        let Some(holders) = self.0.get(&ip) else { return false };
        match own == Some(ip) {
            true => holders.first().is_some_and(|first| *first != server.id),
            false => !holders.is_empty(),
        }
    }

    fn moved(&mut self, server: &Server, from: Option<IpAddr>, to: Option<IpAddr>) {
        if from == to {
            return;
        }
        if let Some(holders) = from.and_then(|ip| self.0.get_mut(&ip)) {
            holders.retain(|id| *id != server.id);
        }
        if let Some(ip) = to {
            self.0.entry(ip).or_default().push(server.id);
        }
    }
}

/// Tells the watchers of a question that it was answered by this nameserver.
pub(crate) fn answered(names: &Rc<Names>, question: &Rc<Question>, nameserver: usize) {
    match question.want {
        Want::Addresses(_) => addresses(names, question, nameserver),
        Want::Services => services(names, question, nameserver),
        Want::Texts => {}
    }
}

fn addresses(names: &Rc<Names>, question: &Rc<Question>, nameserver: usize) {
    let by = question.section.label(nameserver);
    let mut updated = false;
    let watchers = question.watchers.borrow().clone();
    // Watchers of one backend stand together.
    for watchers in watchers.chunk_by(|a, b| a.spec.backend == b.spec.backend) {
        let Some(backend) = watchers.first().and_then(|watched| watched.server.backend()) else {
            continue;
        };
        let mut holders = Holders::new(&backend, &question.name);
        for watched in watchers {
            // The first says who answered; the others find it in what is known by then.
            let by = if updated { "DNS cache" } else { &by };
            updated |= watched.take_address(&names.shared, question, &mut holders, by);
        }
    }
    if updated && let Some(nameserver) = question.section.nameservers.get(nameserver) {
        count(&nameserver.counters.update);
    }
}

/// Tells the watchers of a question that nothing is known any more.
pub(crate) fn failed(names: &Rc<Names>, question: &Rc<Question>, failure: Failure) {
    let watchers = question.watchers.borrow().clone();
    for watched in watchers {
        match question.want {
            Want::Addresses(_) => watched.lose_address(&names.shared, reason(failure)),
            Want::Services => detach(names, &watched),
            Want::Texts => {}
        }
    }
}

/// Has each record of a service stand for one server, in each backend.
fn services(names: &Rc<Names>, question: &Rc<Question>, nameserver: usize) {
    let watchers = question.watchers.borrow().clone();
    let records: Vec<Service> = question.services.borrow().iter().cloned().collect();
    let mut updated = false;
    for watched in &watchers {
        let held = watched.record.borrow().clone();
        let Some(held) = held else { continue };
        match records.iter().find(|record| record.is_same(&held)) {
            Some(record) => updated |= attach(names, watched, record),
            None => {
                detach(names, watched);
                updated = true;
            }
        }
    }
    let mut backends: Vec<&str> = watchers.iter().map(|w| w.spec.backend.as_str()).collect();
    backends.dedup();
    for backend in backends {
        let own = || watchers.iter().filter(|w| w.spec.backend == backend);
        for record in &records {
            let held = own().any(|w| w.record.borrow().as_ref().is_some_and(|r| r.is_same(record)));
            if held {
                continue;
            }
            // More records than servers: the rest waits.
            let Some(free) = own().find(|w| w.record.borrow().is_none()) else { break };
            updated |= attach(names, free, record);
        }
    }
    if updated && let Some(nameserver) = question.section.nameservers.get(nameserver) {
        count(&nameserver.counters.update);
    }
}

/// Has a server stand for a record, or follow what changed of it; whether something did.
fn attach(names: &Rc<Names>, watched: &Rc<Watched>, record: &Service) -> bool {
    let shared = &names.shared;
    let server = &watched.server;
    let before = watched.record.replace(Some(record.clone()));
    if before.as_ref() == Some(record) && record.address.is_none() {
        return false;
    }
    if !watched.spec.ignore_weight && before.as_ref().is_none_or(|b| b.weight != record.weight) {
        // A server's weight has 8 bits less.
        let weight = u32::from(record.weight).div_ceil(256);
        // Fixed maps take no new weight.
        let _ = server.set_weight(weight, shared.now());
    }
    let old_name = server.fqdn();
    let renamed = old_name.as_ref().is_none_or(|name| **name != record.target);
    let mut moved = false;
    if renamed {
        server.set_fqdn(Some(&record.target));
    }
    if let Some(ip) = record.address {
        names.unsubscribe(watched);
        moved = watched.set_address(shared, ip, Some(record.port), "DNS additional record");
    } else {
        let addr = server.addr().inet().map(|addr| SocketAddr::new(addr.ip(), record.port));
        if let Some(addr) = addr {
            server.set_addr(addr.into());
        }
        names.subscribe(watched, &record.target);
    }
    if renamed {
        let from = old_name.as_ref().map_or("(null)", |name| name.as_str());
        let line = format!(
            "{} changed its FQDN from {from} to {} by 'SRV record'",
            watched.label(),
            record.target
        );
        shared.report(server, &line);
    }
    renamed || moved || before.as_ref() != Some(record)
}

/// Has a server stand for no record.
fn detach(names: &Rc<Names>, watched: &Rc<Watched>) {
    names.unsubscribe(watched);
    if watched.record.take().is_none() {
        return;
    }
    watched.lose_address(&names.shared, NO_RECORD);
    let unspecified = SocketAddr::from(([0, 0, 0, 0], 0));
    watched.server.set_addr(unspecified.into());
    watched.server.set_fqdn(None);
}
