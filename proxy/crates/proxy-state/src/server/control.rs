//! Changes of a server's state: by checks, by commands, by the server it tracks.

use super::{
    Admin, Cause, Change, CheckResult, CheckTarget, CheckVerdict, HashKey, HealthChange, Inner,
    OnError, OpState, Server, Transition, WEIGHT_MAX,
};
use crate::{Now, SockAddr};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Why a weight was not set. The texts are HAProxy's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WeightError {
    #[error("Require <weight> or <weight%>.")]
    Missing,
    #[error("Empty weight string empty or preceded by garbage")]
    NotANumber,
    #[error("Trailing garbage in weight string")]
    Trailing,
    #[error("Relative weight must be positive.")]
    NegativePercent,
    #[error("Absolute weight can only be between 0 and 256 inclusive.")]
    OutOfRange,
    #[error("Backend is using a static LB algorithm and only accepts weights '0%' and '100%'.")]
    Static,
}

/// What [`Server::set_addr`] replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddrChange {
    pub from: SockAddr,
    pub to: SockAddr,
}

impl Server {
    /// Takes in the outcome of a health check. Results that arrive in maintenance, or after checks were
    /// disabled, are dropped.
    pub fn report_check(self: &Arc<Self>, result: CheckResult, now: Now) -> Option<Transition> {
        let cause = Cause::Check(result.clone());
        let verdict = result.status.verdict();
        self.change(now, |inner| {
            inner.check_running = false;
            if !inner.check_enabled || inner.admin.is_maint() || verdict == CheckVerdict::Unknown {
                return None;
            }
            inner.last_check = result;
            match verdict {
                CheckVerdict::Failed => {
                    if inner.health.is_up() {
                        self.counters.local().failed_checks.inc();
                    }
                    let fell = inner.health.failed() == HealthChange::WentDown;
                    // An agent may have taken it down before.
                    (fell && inner.op != OpState::Stopped).then(|| {
                        inner.op = OpState::Stopped;
                        Change::Down(cause)
                    })
                }
                CheckVerdict::Passed => {
                    let _ = inner.health.passed();
                    let up = inner.health.is_up() && !inner.is_held_down();
                    (up && inner.op != OpState::Running).then(|| {
                        inner.op = OpState::Running;
                        Change::Up(cause)
                    })
                }
                CheckVerdict::Conditional => {
                    // A stopping server that is down stays so: only a full success brings it back.
                    let _ = inner.health.passed();
                    (inner.health.is_up() && inner.op == OpState::Running).then(|| {
                        inner.op = OpState::Stopping;
                        Change::Stopping(cause)
                    })
                }
                CheckVerdict::Unknown | CheckVerdict::Neutral => None,
            }
        })
    }

    /// Notes that a check is under way: the statistics mark the last status with `* `.
    pub fn check_started(&self) {
        self.inner.lock().check_running = true;
    }

    /// Counts an error seen in traffic by `observe`; acts as `on-error` says at the `error-limit`.
    pub fn observe_error(self: &Arc<Self>, result: CheckResult, now: Now) -> Option<Transition> {
        let observe = self.spec.observe?;
        self.counters.local().failed_hana.inc();
        {
            let mut inner = self.inner.lock();
            inner.observed_errors += 1;
            if inner.observed_errors < observe.error_limit.max(1) {
                return None;
            }
            inner.observed_errors = 0;
            match observe.on_error {
                OnError::Fastinter => return None,
                OnError::FailCheck => {}
                OnError::SuddenDeath => inner.health.on_the_edge(),
                OnError::MarkDown => inner.health.on_the_edge(),
            }
        }
        self.report_check(result, now)
    }

    /// Ends a run of errors counted by `observe`.
    pub fn observe_success(&self) {
        if self.spec.observe.is_some() {
            self.inner.lock().observed_errors = 0;
        }
    }

    /// `set server ... state ready`, `enable server`: no maintenance and no drain asked for.
    pub fn set_ready(self: &Arc<Self>, now: Now) -> Option<Transition> {
        self.change_admin(now, None, |admin| {
            admin.without(Admin::FORCED_MAINT).without(Admin::FORCED_DRAIN)
        })
    }

    /// `set server ... state maint`, `disable server`.
    pub fn set_maint(self: &Arc<Self>, now: Now) -> Option<Transition> {
        self.change_admin(now, None, |admin| {
            admin.with(Admin::FORCED_MAINT).without(Admin::FORCED_DRAIN)
        })
    }

    /// `set server ... state drain`.
    pub fn set_drain(self: &Arc<Self>, now: Now) -> Option<Transition> {
        self.change_admin(now, None, |admin| {
            admin.with(Admin::FORCED_DRAIN).without(Admin::FORCED_MAINT)
        })
    }

    /// Enters `MAINT (resolution)`: the name has no address, and `why`. The server has none either from here on.
    pub fn set_unresolved(self: &Arc<Self>, why: &'static str, now: Now) -> Option<Transition> {
        let transition = self.change_admin_as(
            now,
            |admin| admin.with(Admin::RESOLUTION_MAINT),
            |_| Change::Unresolved(why),
        );
        let port = self.addr().port().unwrap_or(0);
        self.set_addr(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)).into());
        transition
    }

    /// Leaves `MAINT (resolution)`: the address is set and good.
    pub fn set_resolved(self: &Arc<Self>, now: Now) -> Option<Transition> {
        self.change_admin_as(
            now,
            |admin| admin.without(Admin::RESOLUTION_MAINT),
            |change| match change {
                Change::LeaveMaint { up, .. } => Change::Resolved { up },
                other => other,
            },
        )
    }

    /// Changes the host name, which changes no address. Without one the server waits for an SRV record.
    pub fn set_fqdn(&self, fqdn: Option<&str>) {
        self.fqdn.store(fqdn.map(|name| Arc::new(name.to_owned())));
        let mut inner = self.inner.lock();
        inner.admin = inner.admin.with(Admin::FQDN_CHANGED);
        self.admin.store(inner.admin.0, Ordering::Relaxed);
    }

    /// The address is that of the host name now.
    pub fn settle_fqdn(&self) {
        if !self.admin_state().contains(Admin::FQDN_CHANGED) {
            return;
        }
        let mut inner = self.inner.lock();
        inner.admin = inner.admin.without(Admin::FQDN_CHANGED);
        self.admin.store(inner.admin.0, Ordering::Relaxed);
    }

    fn change_admin(
        self: &Arc<Self>,
        now: Now,
        via: Option<String>,
        edit: impl FnOnce(Admin) -> Admin,
    ) -> Option<Transition> {
        self.change_admin_as(now, edit, |change| match change {
            Change::EnterMaint(_) => Change::EnterMaint(via),
            Change::EnterMaintDown(_) => Change::EnterMaintDown(via),
            Change::EnterDrain(_) => Change::EnterDrain(via),
            other => other,
        })
    }

    /// `tell` words the change.
    fn change_admin_as(
        self: &Arc<Self>,
        now: Now,
        edit: impl FnOnce(Admin) -> Admin,
        tell: impl FnOnce(Change) -> Change,
    ) -> Option<Transition> {
        let tracked_op = self.tracked().map(|t| t.op_state());
        self.change(now, |inner| {
            let (before, after) = (inner.admin, edit(inner.admin));
            inner.admin = after;
            if !before.is_maint() && after.is_maint() {
                let was_down =
                    std::mem::replace(&mut inner.op, OpState::Stopped) == OpState::Stopped;
                inner.health.force_down();
                inner.check_running = false;
                return Some(tell(match was_down {
                    true => Change::EnterMaintDown(None),
                    false => Change::EnterMaint(None),
                }));
            }
            if before.is_maint() && !after.is_maint() {
                inner.health.reset(self.spec.init_state);
                if !inner.check_enabled && inner.health.is_up() {
                    inner.health.force_up();
                }
                let up = inner.health.is_up() && !inner.is_held_down();
                let own = if up { OpState::Running } else { OpState::Stopped };
                inner.op = tracked_op.unwrap_or(own);
                return Some(tell(Change::LeaveMaint {
                    forced: before.contains(Admin::FORCED_MAINT),
                    up: inner.op != OpState::Stopped,
                }));
            }
            if after.is_maint() || before.is_drain() == after.is_drain() {
                return None;
            }
            Some(tell(if after.is_drain() {
                Change::EnterDrain(None)
            } else {
                Change::LeaveDrain { up: inner.op != OpState::Stopped }
            }))
        })
    }

    /// `set server ... health up|stopping|down`: forces the operational state until the next check says otherwise.
    /// Without effect in maintenance and on servers that track another.
    pub fn force_health(self: &Arc<Self>, to: OpState, now: Now) -> Option<Transition> {
        if self.tracked().is_some() {
            return None;
        }
        self.change(now, |inner| {
            if inner.admin.is_maint() {
                return None;
            }
            match to {
                OpState::Stopped => inner.health.force_down(),
                OpState::Running | OpState::Stopping => inner.health.force_up(),
            }
            if inner.op == to {
                return None;
            }
            inner.op = to;
            Some(match to {
                OpState::Stopped => Change::Down(Cause::Cli),
                OpState::Running => Change::Up(Cause::Cli),
                OpState::Stopping => Change::Stopping(Cause::Cli),
            })
        })
    }

    /// Where checks go in place of the server.
    pub fn check_target(&self) -> CheckTarget {
        let configured = || {
            let check = self.spec.check.as_ref();
            check.map(|check| CheckTarget { addr: check.addr, port: check.port })
        };
        let told = self.inner.lock().check_target.as_deref().copied();
        told.or_else(configured).unwrap_or_default()
    }

    /// `set server ... check-addr`, `check-port`. `false` when no check is configured.
    pub fn set_check_target(&self, edit: impl FnOnce(&mut CheckTarget)) -> bool {
        let mut target = self.check_target();
        edit(&mut target);
        let checked = self.spec.check.is_some();
        if checked {
            self.inner.lock().check_target = Some(Box::new(target));
        }
        checked
    }

    /// `set server ... name`. The caller has seen to it that no other server of the backend has this name.
    pub(crate) fn set_name(self: &Arc<Self>, name: &str) {
        let _one_at_a_time = self.inner.lock();
        self.name.change(name);
    }

    /// `disable health`, `enable health`. `false` when no check is configured.
    pub fn set_check_enabled(self: &Arc<Self>, enabled: bool) -> bool {
        if self.spec.check.is_none() {
            return false;
        }
        {
            let mut inner = self.inner.lock();
            inner.check_enabled = enabled;
            inner.check_running = false;
            self.check_enabled.store(enabled, Ordering::Relaxed);
        }
        if let Some(backend) = self.backend() {
            backend.hooks.server_changed(self);
        }
        true
    }

    /// Sets the weight from the text of a command: `10`, or `50%` of the configured one.
    pub fn set_weight_text(self: &Arc<Self>, text: &str, now: Now) -> Result<(), WeightError> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        let (number, rest) = digits.split_at(end);
        if text.is_empty() {
            return Err(WeightError::Missing);
        }
        if number.is_empty() {
            return Err(WeightError::NotANumber);
        }
        let negative = digits.len() != text.len();
        let number: u32 = number.parse().map_err(|_| WeightError::OutOfRange)?;
        let initial = self.spec.weight;
        let weight = match rest {
            "%" if negative && number > 0 => return Err(WeightError::NegativePercent),
            "%" => {
                let scaled = u64::from(initial) * u64::from(number) / 100;
                u32::try_from(scaled).unwrap_or(u32::MAX).min(WEIGHT_MAX)
            }
            "" if negative && number > 0 || number > WEIGHT_MAX => {
                return Err(WeightError::OutOfRange);
            }
            "" => number,
            _ => return Err(WeightError::Trailing),
        };
        self.set_weight(weight, now)
    }

    /// Sets the weight. Algorithms that keep a fixed map take only 0 and the configured weight.
    pub fn set_weight(self: &Arc<Self>, weight: u32, now: Now) -> Result<(), WeightError> {
        if weight > WEIGHT_MAX {
            return Err(WeightError::OutOfRange);
        }
        let fixed = self.backend().is_some_and(|b| !b.lb.is_dynamic());
        if fixed && weight != 0 && weight != self.spec.weight {
            return Err(WeightError::Static);
        }
        self.change(now, |inner| {
            inner.weight = weight;
            None
        });
        Ok(())
    }

    /// Replaces the address; `None` when it is the same.
    pub fn set_addr(self: &Arc<Self>, to: SockAddr) -> Option<AddrChange> {
        if **self.addr.load() == to {
            return None;
        }
        let from = self.addr.swap(Arc::new(to.clone()));
        if let Some(backend) = self.backend() {
            if matches!(self.spec.hash_key, HashKey::Addr | HashKey::AddrPort) {
                backend.rebuild();
            }
            backend.hooks.server_changed(self);
        }
        Some(AddrChange { from: (*from).clone(), to })
    }

    /// Ends every session of the server: the hooks of [`Registry::on_server_change`](crate::Registry) are told, so
    /// that those who wait look at [`Server::shutdowns`] at once.
    pub fn shutdown_sessions(self: &Arc<Self>) {
        self.shutdowns.fetch_add(1, Ordering::AcqRel);
        if let Some(backend) = self.backend() {
            backend.hooks.server_changed(self);
        }
    }

    /// Applies `edit` under the lock, then tells the backend, the trackers and the hooks. `edit` returns what changed of the
    /// state; a changed weight alone is noticed without.
    pub(super) fn change(
        self: &Arc<Self>,
        now: Now,
        edit: impl FnOnce(&mut Inner) -> Option<Change>,
    ) -> Option<Transition> {
        let (change, reweighed) = {
            let mut inner = self.inner.lock();
            let (op_before, weight_before) = (inner.op, inner.weight);
            let change = edit(&mut inner);
            if change.is_some() {
                if op_before == OpState::Stopped && inner.op != OpState::Stopped {
                    inner.downtime_ms += now.ms_since(inner.last_change);
                }
                if op_before != OpState::Stopped && inner.op == OpState::Stopped {
                    self.counters.local().down_transitions.inc();
                }
                // A server that was down stays down in maintenance: its downtime goes on.
                if op_before == OpState::Stopped && inner.op == OpState::Stopped {
                    inner.downtime_ms += now.ms_since(inner.last_change);
                }
                inner.last_change = now;
            }
            if !self.spec.slowstart.is_zero() {
                inner.starts_slowly(change.as_ref(), now);
                let warmth = inner.warmth(self.spec.slowstart, now);
                self.warmth.store(warmth, Ordering::Relaxed);
            }
            self.op.store(inner.op as u8, Ordering::Relaxed);
            self.admin.store(inner.admin.0, Ordering::Relaxed);
            self.weight.store(inner.weight, Ordering::Relaxed);
            let cooled = std::mem::take(&mut inner.cooled);
            (change, weight_before != inner.weight || cooled)
        };
        if change.is_none() && !reweighed {
            return None;
        }
        let backend = self.backend()?;
        let farm = backend.refresh(now);
        let requeued = if self.is_usable() { 0 } else { self.queue.dissolve(&self.queued) };
        backend.grant();
        backend.hooks.server_changed(self);
        let change = change?;
        let transition = Transition {
            server: self.clone(),
            change,
            active: farm.active,
            backup: farm.backup,
            sessions: self.sessions.get(),
            requeued,
            queued: backend.queued.get(),
            backend_down: farm.went_down,
        };
        if transition.is_down() && self.spec.shutdown_sessions_on_down {
            self.shutdown_sessions();
        }
        let takes_back = self.spec.shutdown_backup_sessions_on_up
            && !self.spec.backup
            && self.is_eligible()
            && matches!(transition.change, Change::Up(_));
        if takes_back {
            for server in backend.servers().iter().filter(|s| s.spec.backup) {
                server.shutdown_sessions();
            }
        }
        backend.hooks.transition(&transition);
        self.tell_trackers(&transition.change, now);
        Some(transition)
    }

    fn tell_trackers(self: &Arc<Self>, change: &Change, now: Now) {
        let trackers: Vec<Arc<Self>> =
            self.trackers.lock().iter().filter_map(std::sync::Weak::upgrade).collect();
        let admin = self.admin_state();
        let via = format!("{}/{}", self.backend_name, self.name);
        for tracker in trackers {
            match change {
                Change::EnterMaint(_)
                | Change::EnterMaintDown(_)
                | Change::LeaveMaint { .. }
                | Change::Unresolved(_)
                | Change::Resolved { .. }
                | Change::EnterDrain(_)
                | Change::LeaveDrain { .. } => {
                    tracker.change_admin(now, Some(via.clone()), |own| {
                        let own =
                            own.without(Admin::INHERITED_MAINT).without(Admin::INHERITED_DRAIN);
                        match (admin.is_maint(), admin.is_drain()) {
                            (true, _) => own.with(Admin::INHERITED_MAINT),
                            (false, true) => own.with(Admin::INHERITED_DRAIN),
                            (false, false) => own,
                        }
                    });
                }
                Change::Down(_) => tracker.follow(OpState::Stopped, via.clone(), now),
                Change::Up(_) => tracker.follow(OpState::Running, via.clone(), now),
                Change::Stopping(_) => tracker.follow(OpState::Stopping, via.clone(), now),
            }
        }
    }

    fn follow(self: &Arc<Self>, to: OpState, via: String, now: Now) {
        self.change(now, |inner| {
            if inner.admin.is_maint() || inner.op == to {
                return None;
            }
            inner.op = to;
            Some(match to {
                OpState::Stopped => Change::Down(Cause::Via(via)),
                OpState::Running => Change::Up(Cause::Via(via)),
                OpState::Stopping => Change::Stopping(Cause::Via(via)),
            })
        });
    }

    /// Makes this server follow `other` from here on. `false` when it follows one already, or when that would close a circle.
    pub(crate) fn track(self: &Arc<Self>, other: &Arc<Self>) -> bool {
        let mut next = Some(other.clone());
        while let Some(server) = next {
            if Arc::ptr_eq(&server, self) {
                return false;
            }
            next = server.tracked();
        }
        if self.tracks.set(Arc::downgrade(other)).is_err() {
            return false;
        }
        other.trackers.lock().push(Arc::downgrade(self));
        let admin = other.admin_state();
        let mut inner = self.inner.lock();
        if admin.is_maint() {
            inner.admin = inner.admin.with(Admin::INHERITED_MAINT);
            inner.op = OpState::Stopped;
        }
        self.op.store(inner.op as u8, Ordering::Relaxed);
        self.admin.store(inner.admin.0, Ordering::Relaxed);
        true
    }
}
