//! The servers an algorithm picks from, and the replaceable table it built of them.

use super::{ChooseInput, Hashes, LbSpec, NoServer, Pick, PickCtx, STICKY, Slot, hash};
use crate::Server;
use crate::server::WEIGHT_SCALE;
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use proxy_types::ServerId;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

/// What is usable in a backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Farm {
    /// Eligible servers that are not backups (`act`).
    pub active: u32,
    /// Eligible backup servers (`bck`).
    pub backup: u32,
    /// Weight of the servers in use (`weight` of the backend).
    pub weight: u32,
    /// The change that led here took the last server away.
    pub went_down: bool,
}

#[derive(Debug)]
struct Table {
    slots: Vec<Slot>,
    pick: Box<dyn Pick>,
    /// Round robin over the same servers, for requests without a hash key.
    fallback: Option<Box<dyn Pick>>,
    farm: Farm,
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}*{}", self.server.name, self.weight)
    }
}

/// The current table of a backend.
#[derive(Debug)]
pub struct Balancer {
    table: ArcSwap<Table>,
    cursor: AtomicUsize,
    /// `sticky`: the eligible servers in the order they became so.
    order: Mutex<Vec<ServerId>>,
}

impl Default for Balancer {
    fn default() -> Self {
        let spec = LbSpec::default();
        let pick = (spec.algorithm.build)(&spec, &[]);
        let table = Table { slots: Vec::new(), pick, fallback: None, farm: Farm::default() };
        Self {
            table: ArcSwap::from_pointee(table),
            cursor: AtomicUsize::new(0),
            order: Mutex::default(),
        }
    }
}

impl Balancer {
    pub(crate) fn farm(&self) -> Farm {
        self.table.load().farm
    }

    pub(crate) fn choose(
        &self,
        spec: &LbSpec,
        input: &ChooseInput<'_>,
    ) -> Result<Arc<Server>, NoServer> {
        let table = self.table.load();
        let slots = &table.slots;
        if slots.is_empty() {
            return Err(NoServer::NoneAvailable);
        }
        let hash = match spec.algorithm.hashes {
            Hashes::Nothing => None,
            Hashes::ClientAddress => input.client.map(|ip| hash::hash_addr(&spec.hash, ip)),
            Hashes::Key => input.key.map(|key| spec.hash.hash(key)),
        };
        let exclude = input.exclude.and_then(|id| slots.iter().position(|s| s.server.id == id));
        let (random, now) = (input.random, input.now);
        let ctx = PickCtx { slots, cursor: &self.cursor, hash, exclude, random, now };
        let pick = match (&table.fallback, hash) {
            (Some(round_robin), None) => round_robin,
            _ => &table.pick,
        };
        let index = match pick.pick(&ctx) {
            Some(index) => index,
            // Only the server to avoid may be left.
            None => {
                exclude.filter(|&index| !slots[index].server.is_full()).ok_or(NoServer::AllFull)?
            }
        };
        let server = slots[index].server.clone();
        server.counters.local().lb_tot.inc();
        Ok(server)
    }

    /// Builds the table from the servers that are eligible now and puts it in place.
    pub(crate) fn rebuild(&self, spec: &LbSpec, servers: &[Arc<Server>], allbackups: bool) -> Farm {
        let eligible = |backup: bool| {
            servers.iter().filter(move |s| s.spec.backup == backup && s.is_eligible())
        };
        let count = |backup| u32::try_from(eligible(backup).count()).unwrap_or(u32::MAX);
        let mut farm = Farm { active: count(false), backup: count(true), ..Farm::default() };
        let order = (spec.algorithm.name == STICKY).then(|| self.arrivals(servers));
        let mut chosen: Vec<&Arc<Server>> = match (farm.active, allbackups) {
            (0, true) => eligible(true).collect(),
            (0, false) => eligible(true).take(1).collect(),
            _ => eligible(false).collect(),
        };
        if let Some(order) = order {
            chosen.sort_by_key(|s| order.iter().position(|id| *id == s.id));
        }
        let weight_of = |s: &Arc<Server>| {
            if spec.unweighted {
                WEIGHT_SCALE
            } else if spec.is_dynamic() {
                s.effective_weight()
            } else {
                s.spec.weight.max(1) * WEIGHT_SCALE
            }
        };
        let slots: Vec<Slot> =
            chosen.into_iter().map(|s| Slot { server: s.clone(), weight: weight_of(s) }).collect();
        farm.weight = slots.iter().map(|s| s.weight.div_ceil(WEIGHT_SCALE)).sum();
        let fallback =
            (spec.algorithm.hashes == Hashes::Key).then(|| super::sequence::build(spec, &slots));
        let pick = (spec.algorithm.build)(spec, &slots);
        self.table.store(Arc::new(Table { slots, pick, fallback, farm }));
        farm
    }

    /// The eligible servers in the order they became so; those that come together, in that of the configuration.
    fn arrivals(&self, servers: &[Arc<Server>]) -> Vec<ServerId> {
        let mut order = self.order.lock();
        order.retain(|id| servers.iter().any(|s| s.id == *id && s.is_eligible()));
        for server in servers.iter().filter(|s| s.is_eligible()) {
            if !order.contains(&server.id) {
                order.push(server.id);
            }
        }
        order.clone()
    }
}
