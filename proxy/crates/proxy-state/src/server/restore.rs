//! Taking over the state that a process before this one had written down (management manual, 9.3 `show servers state`).

use super::{Admin, OpState, Server};
use crate::Now;
use std::sync::Arc;

/// What was written of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SavedState {
    /// `srv_op_state`; `None` when it was starting up, which counts as up.
    pub op: Option<OpState>,
    /// `srv_admin_state`.
    pub admin: Admin,
    /// `srv_uweight`.
    pub weight: u32,
    /// `srv_iweight`: the weight that the configuration had.
    pub initial_weight: u32,
    /// `srv_check_health`.
    pub health: u32,
    /// A check was configured, and it was switched off.
    pub check_disabled: bool,
    /// The same of the agent.
    pub agent_disabled: bool,
}

impl Server {
    /// Takes the state over, as far as the configuration still means the same. For servers that carry nothing yet.
    pub fn restore(self: &Arc<Self>, saved: &SavedState, now: Now) {
        let configured = Admin::CONFIGURED_MAINT;
        // Whether the configuration wants maintenance counts more than what it wanted then.
        let same_wish = self.spec.disabled == saved.admin.contains(configured);
        if same_wish {
            let forced = saved.admin.contains(Admin::FORCED_MAINT);
            match (forced, self.spec.disabled) {
                (true, _) => drop(self.set_maint(now)),
                (false, true) => drop(self.set_ready(now)),
                (false, false) => {}
            }
        }
        if saved.admin.contains(Admin::FORCED_DRAIN) && !self.admin_state().is_maint() {
            self.set_drain(now);
        }
        // A weight is the operator's only while the configuration has the weight he changed.
        if saved.initial_weight == self.spec.weight {
            // Algorithms with a fixed map take fewer weights than others: theirs stay as configured.
            let _ = self.set_weight(saved.weight, now);
        }
        if saved.check_disabled && self.spec.check.is_some() {
            self.set_check_enabled(false);
        }
        if saved.agent_disabled {
            self.set_agent_enabled(false);
        }
        let follows = self.tracked().is_some() || self.admin_state().is_maint();
        if follows || self.spec.check.is_none() && saved.op == Some(OpState::Running) {
            return;
        }
        match saved.op {
            Some(to @ (OpState::Stopped | OpState::Stopping)) => {
                self.force_health(to, now);
            }
            Some(OpState::Running) | None => {}
        }
        let mut inner = self.inner.lock();
        let up = inner.op != OpState::Stopped;
        inner.health.set(saved.health, up);
    }
}
