//! Where helper threads ask what only the control thread knows.

use std::rc::Rc;
use std::time::SystemTime;

use proxy_admin::metrics::{Outside, Source};
use proxy_admin::{Admin, ProcessFacts};
use tokio::sync::{mpsc, oneshot};

/// Questions that may wait for an answer. Who asks beyond that waits for room.
const ROOM: usize = 16;

type Question = oneshot::Sender<Outside>;

/// The side that asks.
#[derive(Clone)]
pub(crate) struct Desk(mpsc::Sender<Question>);

/// The side that answers.
pub(crate) struct Clerk(mpsc::Receiver<Question>);

pub(crate) fn open() -> (Desk, Clerk) {
    let (sender, receiver) = mpsc::channel(ROOM);
    (Desk(sender), Clerk(receiver))
}

impl Source for Desk {
    fn outside(&self) -> Outside {
        let (answer, answered) = oneshot::channel();
        let asked = self.0.blocking_send(answer).is_ok();
        let answer = asked.then(|| answered.blocking_recv().ok()).flatten();
        // While the worker ends, nobody answers: the counters are still worth having.
        answer.unwrap_or_else(|| Outside {
            facts: ProcessFacts::default(),
            wall: SystemTime::now(),
            paths: Vec::new(),
            drops: Vec::new(),
            tables: Vec::new(),
        })
    }
}

impl Clerk {
    /// Answers until nobody can ask any more.
    pub(crate) async fn serve(mut self, admin: Rc<Admin>) {
        while let Some(question) = self.0.recv().await {
            let l4 = admin.l4.as_ref();
            let outside = Outside {
                facts: admin.process.facts(),
                wall: admin.process.wall(),
                paths: l4.map_or_else(Vec::new, |l4| l4.rows()),
                drops: l4.map_or_else(Vec::new, |l4| l4.drops()),
                tables: l4.map_or_else(Vec::new, |l4| l4.tables()),
            };
            // Who asked may be gone.
            let _ = question.send(outside);
        }
    }
}
