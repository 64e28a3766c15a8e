//! Deadlines for the tasks of one thread, made for timeouts that are set again on every read and write.
//!
//! [`Timer::arm_at`] with a later deadline is a store into this thread's wheel; no clock is read, nothing is
//! queued. `tokio::time::timeout` costs about seventy times that per I/O. One driver task per thread sleeps until
//! the wheel has something to do; it starts with the first timer that is armed and needs `spawn_local` to work.

mod wheel;

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::clock::{self, Tick};
use wheel::Wheel;

/// The deadline passed before the future was ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("timed out")]
pub struct Elapsed;

/// One deadline that can be moved at no cost. Bound to the thread that made it.
pub struct Timer {
    shared: Rc<Shared>,
    key: u32,
}

struct Shared {
    wheel: RefCell<Wheel>,
    /// How old a reading of the coarse clock may be.
    tick: Duration,
    /// When the driver will look at the wheel again.
    wakes_at: Cell<u64>,
    driver: RefCell<Option<Waker>>,
    running: Cell<bool>,
}

thread_local! {
    static SHARED: Rc<Shared> = Rc::new(Shared {
        wheel: RefCell::new(Wheel::new(clock::precise().as_millis())),
        tick: clock::coarse_resolution(),
        wakes_at: Cell::new(u64::MAX),
        driver: RefCell::new(None),
        running: Cell::new(false),
    });
}

impl Default for Timer {
    fn default() -> Self {
        Self::new()
    }
}

impl Timer {
    /// An unarmed timer.
    pub fn new() -> Self {
        let shared = SHARED.with(Rc::clone);
        let key = shared.wheel.borrow_mut().insert();
        Self { shared, key }
    }

    /// Sets the deadline to `after` from now; `None` (no timeout configured) disarms. Reads the coarse clock, so
    /// the deadline may come one kernel tick (up to 10 ms) late, but never early.
    pub fn arm(&self, after: impl Into<Option<Duration>>) {
        match after.into() {
            Some(d) => self.arm_at(clock::coarse() + d + self.shared.tick),
            None => self.disarm(),
        }
    }

    /// Sets the deadline. Moving it later is a store.
    ///
    /// # Panics
    /// When the thread's first deadline is set outside a runtime where `spawn_local` works.
    pub fn arm_at(&self, deadline: Tick) {
        if deadline == Tick::NEVER {
            return self.disarm();
        }
        let moved = self.shared.wheel.borrow_mut().arm(self.key, deadline.as_millis());
        if moved {
            self.shared.ensure_woken_by(deadline.as_millis());
        }
    }

    /// No deadline until armed again.
    pub fn disarm(&self) {
        self.shared.wheel.borrow_mut().disarm(self.key);
    }

    /// The deadline, when one is armed.
    pub fn deadline(&self) -> Option<Tick> {
        self.shared.wheel.borrow().deadline(self.key).map(Tick::from_millis)
    }

    /// Whether the deadline has passed; stays true until armed again or disarmed.
    pub fn is_expired(&self) -> bool {
        self.shared.wheel.borrow().fired(self.key)
    }

    /// Ready once the deadline has passed. Without a deadline the task is woken when one that was set later passes.
    pub fn poll_expired(&self, cx: &Context<'_>) -> Poll<()> {
        if self.shared.wheel.borrow_mut().watch(self.key, cx.waker()) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// Waits for the deadline.
    pub async fn expired(&self) {
        poll_fn(|cx| self.poll_expired(cx)).await;
    }

    /// Runs `future` until it is ready or the deadline passes, whichever comes first; a future that is ready wins.
    pub async fn guard<F: Future>(&self, future: F) -> Result<F::Output, Elapsed> {
        let mut future = pin!(future);
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(v) => Poll::Ready(Ok(v)),
            Poll::Pending => self.poll_expired(cx).map(|()| Err(Elapsed)),
        })
        .await
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.shared.wheel.borrow_mut().remove(self.key);
    }
}

/// Runs `future` for at most `limit`; `None` means no limit. For one-off waits; a connection keeps a [`Timer`].
pub async fn timeout<F: Future>(limit: Option<Duration>, future: F) -> Result<F::Output, Elapsed> {
    let timer = Timer::new();
    if let Some(d) = limit {
        timer.arm_at(clock::precise() + d);
    }
    timer.guard(future).await
}

/// Waits for `d`.
pub async fn sleep(d: Duration) {
    let timer = Timer::new();
    timer.arm_at(clock::precise() + d);
    timer.expired().await;
}

impl Shared {
    fn ensure_woken_by(self: &Rc<Self>, at: u64) {
        if !self.running.get() {
            self.running.set(true);
            tokio::task::spawn_local(Driver::new(Rc::clone(self)));
        } else if at < self.wakes_at.get() {
            // Claimed at once, so that a burst of earlier deadlines wakes the driver once.
            self.wakes_at.set(at);
            if let Some(w) = self.driver.borrow_mut().take() {
                w.wake();
            }
        }
    }
}

/// Sleeps until the wheel has something to do, wakes what expired, forever.
struct Driver {
    shared: Rc<Shared>,
    sleep: Pin<Box<tokio::time::Sleep>>,
    due: Vec<Waker>,
    /// The reactor had a turn since something was found to be due.
    turned: bool,
}

impl Driver {
    fn new(shared: Rc<Shared>) -> Self {
        Self {
            shared,
            sleep: Box::pin(tokio::time::sleep(Duration::ZERO)),
            due: Vec::new(),
            turned: false,
        }
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        *this.shared.driver.borrow_mut() = Some(cx.waker().clone());
        loop {
            let now = clock::precise().as_millis();
            // A deadline that passed before sockets were looked at: what waits in them comes first. The sleep itself
            // ends with such a look.
            let is_due = this.shared.wheel.borrow().next_wake().is_some_and(|next| next <= now);
            if is_due && !this.turned && !this.sleep.is_elapsed() {
                this.turned = true;
                let turn = pin!(tokio::task::yield_now());
                if turn.poll(cx).is_pending() {
                    return Poll::Pending;
                }
            }
            this.turned = false;
            this.shared.wheel.borrow_mut().advance(now, &mut this.due);
            for w in this.due.drain(..) {
                w.wake();
            }
            let Some(next) = this.shared.wheel.borrow().next_wake() else {
                this.shared.wakes_at.set(u64::MAX);
                return Poll::Pending;
            };
            this.shared.wakes_at.set(next);
            let at = tokio::time::Instant::now() + Duration::from_millis(next.saturating_sub(now));
            this.sleep.as_mut().reset(at);
            if this.sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

impl Drop for Driver {
    /// The runtime is gone; the next one on this thread starts its own driver.
    fn drop(&mut self) {
        self.shared.running.set(false);
        self.shared.wakes_at.set(u64::MAX);
        self.shared.driver.borrow_mut().take();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn local<F: Future>(f: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build_local(Default::default())
            .unwrap()
            .block_on(f)
    }

    #[test]
    fn a_timeout_ends_a_wait_and_a_ready_future_wins() {
        local(async {
            let t0 = Instant::now();
            let r = timeout(Some(Duration::from_millis(20)), std::future::pending::<()>()).await;
            assert_eq!(r, Err(Elapsed));
            assert!(t0.elapsed() >= Duration::from_millis(15), "{:?}", t0.elapsed());
            assert_eq!(timeout(Some(Duration::ZERO), async { 7 }).await, Ok(7));
            assert_eq!(timeout(None, async { 7 }).await, Ok(7));
        });
    }

    #[test]
    fn an_earlier_deadline_overtakes_the_sleeping_driver() {
        local(async {
            let far = Timer::new();
            far.arm(Duration::from_secs(3600));
            tokio::task::yield_now().await;
            sleep(Duration::from_millis(5)).await;
            assert!(!far.is_expired());
            far.arm(Duration::from_millis(1));
            far.expired().await;
            assert!(far.is_expired());
            far.disarm();
            assert!(!far.is_expired());
        });
    }

    #[test]
    fn a_second_runtime_on_the_thread_gets_its_own_driver() {
        local(sleep(Duration::from_millis(2)));
        local(sleep(Duration::from_millis(2)));
    }

    #[test]
    fn a_task_waiting_on_an_unarmed_timer_is_woken_once_it_is_armed_and_passes() {
        local(async {
            let t = Rc::new(Timer::new());
            let waiting = Rc::clone(&t);
            let task = tokio::task::spawn_local(async move { waiting.expired().await });
            tokio::task::yield_now().await;
            t.arm(Duration::from_millis(3));
            task.await.unwrap();
        });
    }
}
