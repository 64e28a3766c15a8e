//! How a worker asks its tasks to leave: `Running -> Draining -> Killed`, never back.
//!
//! Draining: stop accepting, close idle client connections, announce the close on the next response of active ones,
//! leave when done. Killed: leave at once. [`Jobs`] counts what keeps a draining worker alive.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use tokio::sync::watch;

/// How far the worker is on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    Running,
    Draining,
    Killed,
}

/// The side that decides. Dropping it changes nothing.
#[derive(Debug, Clone)]
pub struct StopSource {
    stop: Stop,
    tx: Arc<watch::Sender<Phase>>,
}

/// The side that every long-living task holds. Cheap to clone; reading the phase is one atomic load.
#[derive(Debug, Clone)]
pub struct Stop {
    phase: Arc<AtomicU8>,
    rx: watch::Receiver<Phase>,
    jobs: Jobs,
    /// The accept loops: while one runs, a connection may be taken that is no job yet.
    listening: Jobs,
}

impl Default for StopSource {
    fn default() -> Self {
        Self::new()
    }
}

impl StopSource {
    pub fn new() -> Self {
        let (tx, rx) = watch::channel(Phase::Running);
        let stop = Stop {
            phase: Arc::new(AtomicU8::new(Phase::Running as u8)),
            rx,
            jobs: Jobs::default(),
            listening: Jobs::default(),
        };
        Self { stop, tx: Arc::new(tx) }
    }

    /// A handle for a task.
    pub fn handle(&self) -> Stop {
        self.stop.clone()
    }

    /// The jobs of this worker.
    pub fn jobs(&self) -> &Jobs {
        &self.stop.jobs
    }

    /// Moves to `phase`; a phase that is not later than the present one changes nothing.
    pub fn advance(&self, phase: Phase) {
        if self.stop.phase.fetch_max(phase as u8, Ordering::AcqRel) < phase as u8 {
            self.tx.send_modify(|p| *p = (*p).max(phase));
        }
    }

    /// Soft stop.
    pub fn drain(&self) {
        self.advance(Phase::Draining);
    }

    /// Hard stop.
    pub fn kill(&self) {
        self.advance(Phase::Killed);
    }
}

impl Stop {
    /// A handle that never stops, for tests and tools.
    pub fn never() -> Self {
        StopSource::new().handle()
    }

    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Running,
            1 => Phase::Draining,
            _ => Phase::Killed,
        }
    }

    /// True from the soft stop on.
    pub fn is_draining(&self) -> bool {
        self.phase() >= Phase::Draining
    }

    /// True from the hard stop on.
    pub fn is_killed(&self) -> bool {
        self.phase() == Phase::Killed
    }

    /// Waits until the phase is `at_least` this one.
    pub async fn reached(&self, at_least: Phase) {
        if self.phase() >= at_least {
            return;
        }
        let mut rx = self.rx.clone();
        if rx.wait_for(|p| *p >= at_least).await.is_err() {
            // The deciding side is gone: nobody can ask any more.
            std::future::pending::<()>().await;
        }
    }

    /// Waits for the soft stop (or the hard one).
    pub async fn draining(&self) {
        self.reached(Phase::Draining).await;
    }

    /// Waits for the hard stop.
    pub async fn killed(&self) {
        self.reached(Phase::Killed).await;
    }

    /// Counts a connection or other work that a draining worker waits for.
    pub fn job(&self) -> JobGuard {
        self.jobs.enter()
    }

    /// Counts an accept loop: until it ends, jobs may begin.
    pub fn listen(&self) -> JobGuard {
        self.listening.enter()
    }

    /// The jobs of this worker.
    pub fn jobs(&self) -> &Jobs {
        &self.jobs
    }

    /// Waits until no accept loop runs; their sockets are closed then.
    pub async fn deaf(&self) {
        self.listening.none_left().await;
    }

    /// Waits until nothing accepts any more and no job runs. Accept loops end at the soft stop, with a last look at
    /// their queues, so that they must be waited for first.
    pub async fn idle(&self) {
        self.deaf().await;
        self.jobs.none_left().await;
    }
}

/// How many jobs run in this worker: connections and the like.
#[derive(Debug, Clone)]
pub struct Jobs {
    count: Arc<AtomicUsize>,
    zero: Arc<tokio::sync::Notify>,
}

impl Default for Jobs {
    fn default() -> Self {
        Self { count: Arc::new(AtomicUsize::new(0)), zero: Arc::new(tokio::sync::Notify::new()) }
    }
}

/// One job; leaving scope ends it.
#[derive(Debug)]
pub struct JobGuard(Jobs);

impl Jobs {
    pub fn enter(&self) -> JobGuard {
        self.count.fetch_add(1, Ordering::Relaxed);
        JobGuard(self.clone())
    }

    pub fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Waits until no job runs.
    pub async fn none_left(&self) {
        loop {
            let notified = self.zero.notified();
            let mut notified = std::pin::pin!(notified);
            notified.as_mut().enable();
            if self.count() == 0 {
                return;
            }
            notified.await;
        }
    }
}

impl Drop for JobGuard {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.zero.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn phases_only_move_forward_and_wake_every_holder() {
        let source = StopSource::new();
        let stop = source.handle();
        assert_eq!(stop.phase(), Phase::Running);
        let waiting = tokio::spawn({
            let stop = stop.clone();
            async move { stop.draining().await }
        });
        tokio::task::yield_now().await;
        source.drain();
        waiting.await.unwrap();
        assert!(stop.is_draining() && !stop.is_killed());
        source.kill();
        source.drain();
        assert_eq!(stop.phase(), Phase::Killed);
        stop.killed().await;
    }

    #[tokio::test]
    async fn what_a_listener_accepts_last_is_waited_for() {
        use std::task::Poll;

        let stop = Stop::never();
        let listening = stop.listen();
        let mut idle = std::pin::pin!(stop.idle());
        assert!(poll_once(idle.as_mut()).await.is_pending());
        let job = stop.job();
        drop(listening);
        assert!(poll_once(idle.as_mut()).await.is_pending());
        drop(job);
        assert_eq!(poll_once(idle.as_mut()).await, Poll::Ready(()));
    }

    /// Polls once.
    async fn poll_once<F: Future>(mut future: std::pin::Pin<&mut F>) -> std::task::Poll<F::Output> {
        std::future::poll_fn(|cx| std::task::Poll::Ready(future.as_mut().poll(cx))).await
    }

    #[tokio::test]
    async fn the_last_job_to_leave_is_noticed() {
        let source = StopSource::new();
        let stop = source.handle();
        let (a, b) = (stop.job(), stop.job());
        assert_eq!(source.jobs().count(), 2);
        let jobs = source.jobs().clone();
        let waiting = tokio::spawn(async move { jobs.none_left().await });
        tokio::task::yield_now().await;
        drop(a);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(b);
        waiting.await.unwrap();
    }
}
