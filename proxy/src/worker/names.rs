//! Names that are resolved while the worker runs.

use std::rc::Rc;
use std::sync::Arc;

use proxy_names::{Names, NamesSpec, Surroundings};

use super::checks::{self, Logs};
use super::control::Control;

/// Builds the names of a worker; changes of its servers are told where its checks are.
pub(super) fn names(control: &Rc<Control>, spec: NamesSpec, logs: &Arc<Logs>) -> Rc<Names> {
    let (clock, logs) = (Rc::downgrade(control), logs.clone());
    let surroundings = Surroundings {
        registry: control.registry.clone(),
        now: Box::new(move || clock.upgrade().map(|control| control.now()).unwrap_or_default()),
        report: Box::new(move |server, line| checks::report(&logs, server, line)),
    };
    Names::new(spec, surroundings)
}
