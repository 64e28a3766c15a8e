//! Where helper threads have done what only the control thread may do.

use std::rc::Rc;
use std::time::SystemTime;

use proxy_admin::outside::{Outside, Source};
use proxy_admin::page::ControlThread;
use proxy_admin::{Admin, ProcessFacts};
use tokio::sync::{mpsc, oneshot};

/// Jobs that may wait. Who asks beyond that waits for room.
const ROOM: usize = 16;

type Job = Box<dyn FnOnce(&Admin) + Send>;

/// The side that asks. Not for a thread that others wait for.
#[derive(Clone, Debug)]
pub(crate) struct Desk(mpsc::Sender<Job>);

/// The side that answers.
pub(crate) struct Clerk(mpsc::Receiver<Job>);

pub(crate) fn open() -> (Desk, Clerk) {
    let (sender, receiver) = mpsc::channel(ROOM);
    (Desk(sender), Clerk(receiver))
}

impl Desk {
    /// What `job` gives on the control thread; `None` while the worker ends.
    fn ask<T: Send + 'static>(&self, job: impl FnOnce(&Admin) -> T + Send + 'static) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        let job = Box::new(move |admin: &Admin| {
            // Who asked may be gone.
            let _ = answer.send(job(admin));
        });
        self.0.blocking_send(job).ok()?;
        answered.blocking_recv().ok()
    }
}

impl Source for Desk {
    fn outside(&self) -> Outside {
        let look = |admin: &Admin| {
            let l4 = admin.l4.as_ref();
            Outside {
                facts: admin.process.facts(),
                wall: admin.process.wall(),
                paths: l4.map_or_else(Vec::new, |l4| l4.rows()),
                drops: l4.map_or_else(Vec::new, |l4| l4.drops()),
                carried: l4.map_or_else(Vec::new, |l4| l4.carried()),
                tables: l4.map_or_else(Vec::new, |l4| l4.tables()),
            }
        };
        // While the worker ends, the counters are still worth having.
        self.ask(look).unwrap_or_else(|| Outside {
            facts: ProcessFacts::default(),
            wall: SystemTime::now(),
            paths: Vec::new(),
            drops: Vec::new(),
            carried: Vec::new(),
            tables: Vec::new(),
        })
    }
}

impl ControlThread for Desk {
    fn run(&self, job: Box<dyn FnOnce() + Send>) {
        let _ = self.ask(move |_| job());
    }
}

impl Clerk {
    /// Works until nobody can ask any more.
    pub(crate) async fn serve(mut self, admin: Rc<Admin>) {
        while let Some(job) = self.0.recv().await {
            job(&admin);
        }
    }
}
