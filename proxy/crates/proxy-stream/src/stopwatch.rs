//! How often a task ran, how long its runs took, and how long it waited for them once it was woken.

use std::cell::Cell;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use proxy_rules::sample::context::TaskTimes;

/// The task that runs now.
#[derive(Clone, Copy)]
pub(crate) struct Run {
    /// Of its runs before this one, which is counted already.
    before: TaskTimes,
    began: Instant,
}

impl Run {
    /// The first run of a request begins.
    pub(crate) fn first() -> Self {
        Self { before: TaskTimes { calls: 1, ..TaskTimes::default() }, began: Instant::now() }
    }

    /// All of its runs, up to now.
    pub(crate) fn times(self) -> TaskTimes {
        let run_ns = self.before.run_ns.saturating_add(nanos(self.began, Instant::now()));
        TaskTimes { run_ns, ..self.before }
    }
}

/// Measures one task.
pub(crate) struct Stopwatch {
    times: TaskTimes,
    woken: Arc<Woken>,
    /// Tells the task through `woken`.
    waker: Waker,
}

impl Stopwatch {
    pub(crate) fn new() -> Self {
        let woken = Arc::new(Woken {
            origin: Instant::now(),
            at: AtomicU64::new(0),
            task: Mutex::new(Waker::noop().clone()),
        });
        Self { times: TaskTimes::default(), waker: woken.clone().into(), woken }
    }

    /// Polls the task. `running` tells of it meanwhile, and is where somebody says that a new request begins.
    pub(crate) fn poll<F: Future>(
        &mut self,
        running: &Cell<Option<Run>>,
        task: Pin<&mut F>,
        cx: &Context<'_>,
    ) -> Poll<F::Output> {
        let began = Instant::now();
        let woken = self.woken.at.swap(0, Ordering::Relaxed);
        if woken > 0 {
            let waited = nanos(self.woken.origin, began).saturating_sub(woken);
            self.times.wait_ns = self.times.wait_ns.saturating_add(waited);
        }
        self.times.calls = self.times.calls.saturating_add(1);
        self.woken.task.lock().unwrap_or_else(PoisonError::into_inner).clone_from(cx.waker());
        running.set(Some(Run { before: self.times, began }));
        let done = task.poll(&mut Context::from_waker(&self.waker));
        if let Some(run) = running.take() {
            self.times = run.times();
        }
        done
    }
}

/// Remembers when a task was woken.
struct Woken {
    origin: Instant,
    /// Nanoseconds after the origin; 0 is not since the last run.
    at: AtomicU64,
    task: Mutex<Waker>,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let now = nanos(self.origin, Instant::now()).max(1);
        let _ = self.at.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
        self.task.lock().unwrap_or_else(PoisonError::into_inner).wake_by_ref();
    }
}

fn nanos(from: Instant, to: Instant) -> u64 {
    u64::try_from(to.saturating_duration_since(from).as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;

    use super::*;

    #[test]
    fn runs_and_waits_are_counted() {
        let running = Cell::new(None::<Run>);
        let mut runs = 0;
        let mut seen = Vec::new();
        let mut task = pin!(poll_fn(|cx| {
            runs += 1;
            if runs == 3 {
                running.set(Some(Run::first()));
            }
            seen.push(running.get().map_or(0, |run| run.times().calls));
            cx.waker().wake_by_ref();
            if runs == 4 { Poll::Ready(()) } else { Poll::Pending }
        }));
        let mut watch = Stopwatch::new();
        let cx = Context::from_waker(Waker::noop());
        for _ in 0..3 {
            assert!(watch.poll(&running, task.as_mut(), &cx).is_pending());
        }
        // A request began in the third run.
        assert_eq!(watch.times.wait_ns, 0);
        assert!(watch.poll(&running, task.as_mut(), &cx).is_ready());
        assert!(watch.times.run_ns > 0 && watch.times.wait_ns > 0);
        assert!(running.get().is_none());
        assert_eq!(seen, [1, 2, 1, 2]);
    }
}
