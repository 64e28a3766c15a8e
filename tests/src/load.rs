//! A steady load of HTTP requests, with every failure kept.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::client::Client;

/// Threads that send requests until stopped.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// How connections are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connections {
    /// A new connection for every request.
    PerRequest,
    /// Requests follow each other on a connection. A connection that the other side closed
    /// between two exchanges is replaced, as every HTTP client does (RFC 9112, 9.3.1).
    KeepAlive,
}

/// What a load met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requests answered with status 200.
    pub good: u64,
    /// The others: message and number.
    pub failures: BTreeMap<String, u64>,
    /// Answers by the `x-server` header.
    pub by_server: BTreeMap<String, u64>,
}

impl Tally {
    /// Failed requests.
    pub fn failed(&self) -> u64 {
        self.failures.values().sum()
    }
}

#[derive(Debug)]
struct Shared {
    address: SocketAddr,
    path: String,
    connections: Connections,
    /// Time between two requests of a thread.
    gap: Option<Duration>,
    stop: AtomicBool,
    done: AtomicU64,
    tally: Mutex<Tally>,
}

impl Load {
    /// Starts `threads` senders of `GET path` to `address`, in the calling thread's namespace.
    pub fn start(
        address: SocketAddr,
        path: &str,
        connections: Connections,
        threads: usize,
    ) -> Self {
        Self::begin(address, path, connections, threads, None)
    }

    /// The same with at most `rate` requests per second, those of all threads together.
    pub fn paced(
        address: SocketAddr,
        path: &str,
        connections: Connections,
        threads: usize,
        rate: u32,
    ) -> Self {
        let threads_count = u32::try_from(threads).unwrap_or(u32::MAX);
        let gap = Duration::from_secs(1) * threads_count / rate.max(1);
        Self::begin(address, path, connections, threads, Some(gap))
    }

    fn begin(
        address: SocketAddr,
        path: &str,
        connections: Connections,
        threads: usize,
        gap: Option<Duration>,
    ) -> Self {
        let shared = Arc::new(Shared {
            address,
            path: path.into(),
            connections,
            gap,
            stop: AtomicBool::new(false),
            done: AtomicU64::new(0),
            tally: Mutex::new(Tally::default()),
        });
        let threads = (0..threads)
            .map(|_| {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || shared.send_requests())
            })
            .collect();
        Self { shared, threads }
    }

    /// Requests finished so far, good or not.
    pub fn done(&self) -> u64 {
        self.shared.done.load(Ordering::Relaxed)
    }

    /// Waits until `count` more requests have finished.
    pub fn wait_more(&self, count: u64) -> Result<()> {
        let target = self.done() + count;
        crate::eventually("requests under load", crate::wait::PATIENCE, || self.done() >= target)
    }

    /// What it has met since the last call.
    pub fn take(&self) -> Tally {
        std::mem::take(&mut *self.shared.tally())
    }

    /// Stops the senders and returns what they met since the last [`Load::take`].
    pub fn stop(mut self) -> Tally {
        self.halt();
        self.take()
    }

    fn halt(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.halt();
    }
}

impl Shared {
    fn tally(&self) -> std::sync::MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send_requests(&self) {
        let (mut kept, mut next) = (None, Instant::now());
        while !self.stop.load(Ordering::Relaxed) {
            let outcome = self.exchange(&mut kept);
            let mut tally = self.tally();
            match outcome {
                Ok(server) => {
                    tally.good += 1;
                    *tally.by_server.entry(server).or_default() += 1;
                }
                Err(error) => *tally.failures.entry(format!("{error:#}")).or_default() += 1,
            }
            drop(tally);
            self.done.fetch_add(1, Ordering::Relaxed);
            if let Some(gap) = self.gap {
                let now = Instant::now();
                // What was missed is not made up for.
                next = (next + gap).max(now);
                std::thread::sleep(next - now);
            }
        }
    }

    fn exchange(&self, kept: &mut Option<Client>) -> Result<String> {
        let reused = kept.is_some();
        let mut client = match kept.take() {
            Some(client) => client,
            None => Client::connect(self.address)?,
        };
        let response = match client.get(&self.path) {
            // Nothing of a response arrived on a connection that had served before.
            Err(error) if reused && is_stale(&error) => return self.exchange(kept),
            other => other?,
        };
        anyhow::ensure!(response.status == 200, "status {}", response.status);
        let server = response.header("x-server").unwrap_or("?").to_owned();
        let closing = response.header("connection").is_some_and(|value| value == "close");
        if self.connections == Connections::KeepAlive && !closing {
            *kept = Some(client);
        }
        Ok(server)
    }
}

fn is_stale(error: &anyhow::Error) -> bool {
    let text = format!("{error:#}");
    text.contains("ended in the response head: \"\"")
        || text.contains("reset by peer")
        || text.contains("Broken pipe")
}
