//! A name that is resolved again and again, for the servers that watch it.

use crate::exchange::Failure;
use crate::lookup::{Found, Section, Want};
use crate::records::Records;
use crate::servers::Watched;
use crate::wire::{Answer, Service};
use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use tokio::sync::Notify;
use tokio::time::Instant;

/// A question with what is known of its answer.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) section: Rc<Section>,
    /// In lower case.
    pub(crate) name: String,
    pub(crate) want: Want,
    pub(crate) watchers: RefCell<Vec<Rc<Watched>>>,
    pub(crate) addresses: RefCell<Records<IpAddr>>,
    pub(crate) services: RefCell<Records<Service>>,
    /// When the last valid answer came; the start counts as one.
    last_valid: Cell<Instant>,
    wake: Notify,
}

impl Question {
    pub(crate) fn new(section: Rc<Section>, name: String, want: Want) -> Self {
        Self {
            section,
            name,
            want,
            watchers: RefCell::default(),
            addresses: RefCell::default(),
            services: RefCell::default(),
            last_valid: Cell::new(Instant::now()),
            wake: Notify::new(),
        }
    }

    /// Has the name resolved at once.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    pub(crate) async fn rest(&self, until: Instant) {
        tokio::select! {
            () = tokio::time::sleep_until(until) => {}
            () = self.wake.notified() => {}
        }
    }

    /// Takes in what a resolution came to. `Err` when what is known is not good any more.
    pub(crate) fn learn(&self, outcome: Result<Found, Failure>) -> Result<Option<usize>, Failure> {
        let now = Instant::now();
        let hold = &self.section.spec.hold;
        match outcome {
            Ok((nameserver, answer)) => {
                self.last_valid.set(now);
                match answer {
                    Answer::Addresses(fresh) => {
                        self.addresses.borrow_mut().update(fresh, now, hold.obsolete);
                    }
                    Answer::Services(fresh) => {
                        self.services.borrow_mut().update(fresh, now, hold.obsolete);
                    }
                    // Nobody watches those.
                    Answer::Texts(_) => {}
                }
                Ok(Some(nameserver))
            }
            Err(failure) => {
                let period = match failure {
                    Failure::Nx => hold.nx,
                    Failure::Other => hold.other,
                    Failure::Refused => hold.refused,
                    Failure::Timeout => hold.timeout,
                };
                if now.duration_since(self.last_valid.get()) < period {
                    return Ok(None);
                }
                self.addresses.borrow_mut().clear();
                self.services.borrow_mut().clear();
                Err(failure)
            }
        }
    }
}
