//! Waiting for a slot of a server that is at its `maxconn` (configuration manual, 4.2 `timeout queue`, 5.2 `maxconn`, `maxqueue`).
//!
//! There is a queue per server, for sessions that must go there (persistence, hashing), and one per backend, for sessions
//! that any server may take. A slot that frees goes to whoever waits longest in either, once [`Priority`] is regarded.
//! The slot changes hands without
//! becoming free in between, so that nobody overtakes.
//!
//! The waiter is a [`Ticket`], a future of nothing but the standard library: any executor can await it, and a timer beside it gives
//! the queue timeout. Dropping it leaves the queue, or gives the slot back.

use crate::{Backend, Server};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::task::{Context, Poll, Waker};

/// Orders the waiters of all queues by arrival.
static ARRIVALS: AtomicU64 = AtomicU64::new(0);

/// What a [`Ticket`] resolves to.
#[derive(Clone, Debug)]
pub enum Turn {
    /// A slot of this server is taken: call [`Server::count_session`], and [`Server::end_session`] at the end.
    Slot(Arc<Server>),
    /// The server waited for went away: choose another.
    ChooseAgain,
}

/// The place that a waiter asks for (configuration manual, 4.4 "set-priority-class", "set-priority-offset"): the lower,
/// the sooner its turn comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Priority {
    /// -2047 to 2047.
    pub class: i32,
    /// Milliseconds on the clock of [`Now`](crate::Now), moved by the offset.
    pub due: i64,
}

/// The server's queue is at its `maxqueue`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the queue is full")]
pub struct QueueFull;

#[derive(Debug)]
enum State {
    Waiting(Option<Waker>),
    Ready(Turn),
    /// The turn was taken, or the waiter left.
    Gone,
}

#[derive(Debug)]
struct Waiter {
    /// Who asked for the same is served in order of arrival.
    rank: (Priority, u64),
    state: Mutex<State>,
}

impl Waiter {
    /// Ends the wait; `false` when it was over already.
    fn resolve(&self, turn: Turn) -> bool {
        let mut state = self.state.lock();
        let State::Waiting(waker) = &mut *state else { return false };
        let waker = waker.take();
        *state = State::Ready(turn);
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }
}

/// The waiters of one server or backend, in the order of their ranks.
#[derive(Debug, Default)]
pub(crate) struct Queue(Mutex<VecDeque<Arc<Waiter>>>);

impl Queue {
    fn first_rank(&self) -> Option<(Priority, u64)> {
        self.0.lock().front().map(|w| w.rank)
    }

    fn pop(&self) -> Option<Arc<Waiter>> {
        self.0.lock().pop_front()
    }

    fn remove(&self, waiter: &Arc<Waiter>) {
        self.0.lock().retain(|w| !Arc::ptr_eq(w, waiter));
    }

    /// Sends every waiter back to choosing; tells how many there were.
    pub(crate) fn dissolve(&self, gauge: &crate::counters::Gauge) -> u32 {
        let waiters = std::mem::take(&mut *self.0.lock());
        let mut moved = 0;
        for waiter in waiters {
            if waiter.resolve(Turn::ChooseAgain) {
                gauge.dec();
                moved += 1;
            }
        }
        moved
    }
}

/// A place in a queue. Resolves to a [`Turn`].
#[derive(Debug)]
pub struct Ticket {
    waiter: Arc<Waiter>,
    backend: Arc<Backend>,
    server: Option<Arc<Server>>,
    /// How many waited in the same queue before this one: the queue positions of the log.
    pub position: u32,
}

impl Ticket {
    /// The server waited for; `None` when any will do.
    pub fn server(&self) -> Option<&Arc<Server>> {
        self.server.as_ref()
    }
}

impl Backend {
    /// Waits for a slot of `server`, or of any server. The caller has found [`Server::try_begin_session`] or
    /// [`Backend::choose`] to say "full".
    ///
    /// # Errors
    /// The server's queue has as many waiters as its `maxqueue` allows.
    pub fn enqueue(
        self: &Arc<Self>,
        server: Option<&Arc<Server>>,
        priority: Priority,
    ) -> Result<Ticket, QueueFull> {
        let (queue, gauge) = match server {
            Some(server) => (&server.queue, &server.queued),
            None => (&self.queue, &self.queued),
        };
        let limit = server.map_or(0, |s| s.spec.maxqueue);
        let position = gauge.get();
        if limit != 0 && position >= limit {
            return Err(QueueFull);
        }
        let waiter = {
            let mut queue = queue.0.lock();
            let waiter = Arc::new(Waiter {
                rank: (priority, ARRIVALS.fetch_add(1, Ordering::Relaxed)),
                state: Mutex::new(State::Waiting(None)),
            });
            // Most waiters come last.
            match queue.back().is_none_or(|last| last.rank < waiter.rank) {
                true => queue.push_back(waiter.clone()),
                false => {
                    let at = queue.partition_point(|w| w.rank < waiter.rank);
                    queue.insert(at, waiter.clone());
                }
            }
            gauge.inc();
            waiter
        };
        let ticket = Ticket { waiter, backend: self.clone(), server: server.cloned(), position };
        // A slot may have become free between the caller's try and the push; whoever freed it did not
        // see this waiter. The fence pairs with the one in `Server::end_session`: one of both sees the other.
        fence(Ordering::SeqCst);
        match server {
            Some(server) => server.grant(self),
            None => self.grant(),
        }
        Ok(ticket)
    }

    /// Hands free slots to waiters: after servers came up or got more room.
    pub(crate) fn grant(&self) {
        for server in self.servers().iter() {
            server.grant(self);
        }
    }
}

impl Server {
    /// Hands free slots to those who wait for this server or for any.
    pub(crate) fn grant(self: &Arc<Self>, backend: &Backend) {
        while self.is_usable() {
            let own = self.queue.first_rank();
            let any = backend.queue.first_rank().filter(|_| self.is_eligible());
            let from_own = match (own, any) {
                (None, None) => return,
                (Some(own), Some(any)) => own < any,
                (Some(_), None) => true,
                (None, Some(_)) => false,
            };
            if !self.take_slot() {
                return;
            }
            let (queue, gauge) = if from_own {
                (&self.queue, &self.queued)
            } else {
                (&backend.queue, &backend.queued)
            };
            let granted = queue.pop().is_some_and(|w| w.resolve(Turn::Slot(self.clone())));
            if granted {
                gauge.dec();
            } else {
                // The waiter left meanwhile, or another thread was faster.
                self.sessions.dec();
            }
        }
    }
}

impl Future for Ticket {
    type Output = Turn;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Turn> {
        let mut state = self.waiter.state.lock();
        match &mut *state {
            State::Waiting(waker) => {
                if !waker.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
                    *waker = Some(cx.waker().clone());
                }
                Poll::Pending
            }
            State::Ready(turn) => {
                let turn = turn.clone();
                *state = State::Gone;
                Poll::Ready(turn)
            }
            State::Gone => Poll::Ready(Turn::ChooseAgain),
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let before = std::mem::replace(&mut *self.waiter.state.lock(), State::Gone);
        match before {
            State::Waiting(_) => {
                let (queue, gauge) = match &self.server {
                    Some(server) => (&server.queue, &server.queued),
                    None => (&self.backend.queue, &self.backend.queued),
                };
                queue.remove(&self.waiter);
                gauge.dec();
            }
            State::Ready(Turn::Slot(server)) => server.end_session(),
            State::Ready(Turn::ChooseAgain) | State::Gone => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::BackendSpec;
    use crate::registry::{Registry, RegistrySpec};
    use crate::{Now, ServerSpec, SockAddr};
    use proxy_types::ServerId;
    use std::net::SocketAddr;

    fn farm() -> (Arc<Registry>, Arc<Backend>, [Arc<Server>; 2]) {
        let servers = ["s1", "s2"]
            .iter()
            .zip(1..)
            .map(|(name, id)| {
                let addr = SockAddr::Inet(SocketAddr::from(([127, 0, 0, 1], 1)));
                let spec = ServerSpec::new(*name, ServerId(id), addr);
                ServerSpec { maxconn: 1, maxqueue: 2, ..spec }
            })
            .collect();
        let backends = vec![BackendSpec { name: "be".into(), servers, ..BackendSpec::default() }];
        let registry = Registry::new(RegistrySpec { backends, ..RegistrySpec::default() }).unwrap();
        let be = registry.backend("be").unwrap();
        let servers = ["s1", "s2"].map(|name| be.server(name).unwrap());
        (registry, be, servers)
    }

    /// `s1`, `again`, or `wait`.
    fn look(ticket: &mut Ticket) -> String {
        let mut cx = Context::from_waker(Waker::noop());
        match Pin::new(ticket).poll(&mut cx) {
            Poll::Pending => "wait".into(),
            Poll::Ready(Turn::ChooseAgain) => "again".into(),
            Poll::Ready(Turn::Slot(server)) => server.name.to_string(),
        }
    }

    #[test]
    fn a_free_slot_goes_to_whoever_waits_longest() {
        let (_r, be, [s1, s2]) = farm();
        assert!(s1.try_begin_session(Now(1)) && s2.try_begin_session(Now(1)));
        let mut any = be.enqueue(None, Priority::default()).unwrap();
        let mut own = be.enqueue(Some(&s1), Priority::default()).unwrap();
        let mut last = be.enqueue(None, Priority::default()).unwrap();
        assert_eq!((any.position, own.position, last.position), (0, 0, 1));
        assert_eq!((be.queued.get(), s1.queued.get()), (2, 1));
        assert_eq!(look(&mut any), "wait");
        s1.end_session();
        assert_eq!(look(&mut any), "s1");
        assert!(!s1.try_begin_session(Now(1)), "the slot was handed over");
        s1.end_session();
        assert_eq!((look(&mut last), look(&mut own)), ("wait".into(), "s1".into()));
        s2.end_session();
        assert_eq!(look(&mut last), "s2");
        assert_eq!((be.queued.get(), s1.queued.get(), s1.sessions.get()), (0, 0, 1));
    }

    #[test]
    fn priorities_come_before_arrival() {
        let (_r, be, [s1, s2]) = farm();
        assert!(s1.try_begin_session(Now(1)) && s2.try_begin_session(Now(1)));
        let wait = |class, due| be.enqueue(None, Priority { class, due }).unwrap();
        let mut tickets = [wait(0, 100), wait(1, 0), wait(0, 100), wait(-1, 500), wait(0, -50)];
        for next in [3, 4, 0, 2, 1] {
            s1.end_session();
            let looks: Vec<_> = tickets.iter_mut().map(look).collect();
            let served = looks.iter().position(|l| l == "s1");
            assert_eq!(served, Some(next), "{looks:?}");
        }
    }

    #[test]
    fn leaving_gives_everything_back() {
        let (_r, be, [s1, s2]) = farm();
        assert!(s1.try_begin_session(Now(1)) && s2.try_begin_session(Now(1)));
        drop(be.enqueue(Some(&s1), Priority::default()).unwrap());
        assert_eq!(s1.queued.get(), 0);
        let granted = be.enqueue(Some(&s1), Priority::default()).unwrap();
        let mut next = be.enqueue(Some(&s1), Priority::default()).unwrap();
        assert!(be.enqueue(Some(&s1), Priority::default()).is_err(), "maxqueue");
        s1.end_session();
        drop(granted);
        assert_eq!(look(&mut next), "s1");
        s1.end_session();
        assert_eq!(s1.sessions.get(), 0);
    }

    #[test]
    fn a_slot_that_is_free_by_now_is_granted_at_once() {
        let (_r, be, [s1, _]) = farm();
        let mut ticket = be.enqueue(Some(&s1), Priority::default()).unwrap();
        assert_eq!(look(&mut ticket), "s1");
    }

    #[test]
    fn changes_of_servers_move_the_queues() {
        let (_r, be, [s1, s2]) = farm();
        assert!(s1.try_begin_session(Now(1)) && s2.try_begin_session(Now(1)));
        let mut own = be.enqueue(Some(&s1), Priority::default()).unwrap();
        let mut any = be.enqueue(None, Priority::default()).unwrap();
        let transition = s1.set_maint(Now(2)).unwrap();
        assert_eq!((transition.requeued, transition.queued), (1, 1));
        assert_eq!((look(&mut own), look(&mut any)), ("again".into(), "wait".into()));
        s1.end_session();
        assert_eq!(look(&mut any), "wait", "a server in maintenance takes nobody");
        s1.set_ready(Now(3));
        assert_eq!(look(&mut any), "s1");
        let mut more = be.enqueue(None, Priority::default()).unwrap();
        s2.set_maxconn(2);
        assert_eq!(look(&mut more), "s2");
    }

    #[test]
    fn no_wakeup_is_lost_between_threads() {
        let (_r, be, [s1, _]) = farm();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..2000 {
                        if !s1.take_slot() {
                            let Ok(mut ticket) = be.enqueue(Some(&s1), Priority::default()) else {
                                continue;
                            };
                            while look(&mut ticket) == "wait" {
                                std::thread::yield_now();
                            }
                        }
                        s1.end_session();
                    }
                });
                scope.spawn(|| {
                    for _ in 0..2000 {
                        if s1.take_slot() {
                            s1.end_session();
                        }
                    }
                });
            }
        });
        assert_eq!((s1.sessions.get(), s1.queued.get()), (0, 0));
    }
}
