//! What belongs to the worker as a whole.

use crate::Now;
use crate::counters::{Counted, Gauge, ProcessCounters, Rate};
use crate::invalid::InvalidMessages;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// Limits and counters of the worker.
#[derive(Debug, Default)]
pub struct Process {
    /// Client connections that live now (`CurrConns`).
    pub connections: Gauge,
    /// New connections per second (`ConnRate`).
    pub connection_rate: Rate,
    /// New sessions per second (`SessRate`).
    pub session_rate: Rate,
    /// 32-byte blocks sent per second (`BytesOutRate` divided by 32, so that 1 Gbit/s per thread fits).
    pub out_rate: Rate,
    /// Client connections over TLS that live now (`CurrSslConns`).
    pub tls_connections: Gauge,
    /// TLS connections of clients per second (`SslRate`).
    pub tls_rate: Rate,
    /// Those that took a full handshake (`SslFrontendKeyRate`).
    pub tls_front_keys: Rate,
    /// TLS connections to servers that took a full handshake, per second (`SslBackendKeyRate`).
    pub tls_back_keys: Rate,
    /// 32-byte blocks given to compressors, and that came out of them, per second (`CompressBpsIn`, `CompressBpsOut`).
    pub compress_in: Rate,
    pub compress_out: Rate,
    /// Bytes that compressors hold (`ZlibMemUsage`).
    pub compress_memory: AtomicU64,
    /// `maxcomprate` in bytes per second and `maxzlibmem` in bytes; 0 is no limit.
    pub compress_rate_limit: AtomicU64,
    pub compress_memory_limit: AtomicU64,
    pub counters: Counted<ProcessCounters>,
    /// Messages that broke the rules of HTTP/1.
    pub invalid: InvalidMessages,
    /// `anonkey`: names are hashed with it where nothing else is said; 0 is none.
    pub anon_key: AtomicU32,
    /// How much of the last second each thread was running, in percent.
    pub busy: Busy,
    times_tasks: AtomicBool,
    maxconn: AtomicU32,
    hard_maxconn: AtomicU32,
    conn_rate_limit: AtomicU32,
    sess_rate_limit: AtomicU32,
    tls_conn_limit: AtomicU32,
    tls_rate_limit: AtomicU32,
}

/// A number of each thread that counts.
#[derive(Debug)]
pub struct Busy(Box<[AtomicU32]>);

impl Default for Busy {
    fn default() -> Self {
        Self((0..crate::thread::shards()).map(|_| AtomicU32::new(0)).collect())
    }
}

impl Busy {
    /// Sets the percentage of a thread.
    pub fn set(&self, thread: usize, percent: u32) {
        if let Some(own) = self.0.get(thread) {
            own.store(percent, Ordering::Relaxed);
        }
    }

    /// That of one thread.
    pub fn of(&self, thread: usize) -> u32 {
        self.0.get(thread).map_or(0, |own| own.load(Ordering::Relaxed))
    }

    /// The average of the worker threads.
    pub fn average(&self) -> u32 {
        let workers = crate::thread::workers().clamp(1, self.0.len().max(1));
        (0..workers).map(|thread| self.of(thread)).sum::<u32>() / workers as u32
    }
}

impl Process {
    /// Has it measured how long tasks run, for good.
    pub fn time_tasks(&self) {
        self.times_tasks.store(true, Ordering::Relaxed);
    }

    /// Whether somebody wants to know how long tasks run.
    pub fn times_tasks(&self) -> bool {
        self.times_tasks.load(Ordering::Relaxed)
    }

    /// Bytes per unit of [`Process::out_rate`].
    pub const OUT_UNIT: u64 = 32;

    /// A process with the limit of `maxconn`, which is also the highest it may be set to at run time.
    pub fn new(maxconn: u32) -> Self {
        let process = Self::default();
        process.maxconn.store(maxconn, Ordering::Relaxed);
        process.hard_maxconn.store(maxconn, Ordering::Relaxed);
        process
    }

    /// Limit on [`Process::connections`].
    pub fn maxconn(&self) -> u32 {
        self.maxconn.load(Ordering::Relaxed)
    }

    /// The limit the process started with.
    pub fn hard_maxconn(&self) -> u32 {
        self.hard_maxconn.load(Ordering::Relaxed)
    }

    /// Changes the limit; `false` when `maxconn` is above [`Process::hard_maxconn`].
    pub fn set_maxconn(&self, maxconn: u32) -> bool {
        let fits = maxconn <= self.hard_maxconn();
        if fits {
            self.maxconn.store(maxconn, Ordering::Relaxed);
        }
        fits
    }

    /// `maxconnrate`; 0 is no limit.
    pub fn conn_rate_limit(&self) -> u32 {
        self.conn_rate_limit.load(Ordering::Relaxed)
    }

    pub fn set_conn_rate_limit(&self, limit: u32) {
        self.conn_rate_limit.store(limit, Ordering::Relaxed);
    }

    /// `maxsessrate`; 0 is no limit.
    pub fn sess_rate_limit(&self) -> u32 {
        self.sess_rate_limit.load(Ordering::Relaxed)
    }

    pub fn set_sess_rate_limit(&self, limit: u32) {
        self.sess_rate_limit.store(limit, Ordering::Relaxed);
    }

    /// `maxsslconn`; 0 is no limit.
    pub fn tls_conn_limit(&self) -> u32 {
        self.tls_conn_limit.load(Ordering::Relaxed)
    }

    pub fn set_tls_conn_limit(&self, limit: u32) {
        self.tls_conn_limit.store(limit, Ordering::Relaxed);
    }

    /// `maxsslrate`; 0 is no limit.
    pub fn tls_rate_limit(&self) -> u32 {
        self.tls_rate_limit.load(Ordering::Relaxed)
    }

    pub fn set_tls_rate_limit(&self, limit: u32) {
        self.tls_rate_limit.store(limit, Ordering::Relaxed);
    }

    /// Counts an accepted client connection. `Gauge::dec` on [`Process::connections`] ends it.
    pub fn begin_connection(&self, now: Now) {
        self.connections.inc();
        self.counters.local().conn_tot.inc();
        self.connection_rate.inc(now);
    }

    /// Counts a client connection over TLS. `Gauge::dec` on [`Process::tls_connections`] ends it.
    pub fn begin_tls(&self, now: Now, resumed: bool) {
        self.tls_connections.inc();
        self.counters.local().tls_tot.inc();
        self.tls_rate.inc(now);
        if !resumed {
            self.tls_front_keys.inc(now);
        }
    }

    /// Counts a connection to a server over TLS.
    pub fn count_tls_to_server(&self, now: Now, resumed: bool) {
        self.counters.local().tls_tot.inc();
        if !resumed {
            self.tls_back_keys.inc(now);
        }
    }

    /// Share of the clients' TLS connections of the last second that needed no new key, in percent.
    pub fn tls_reuse_percent(&self, now: Now) -> u64 {
        let (all, keys) = (self.tls_rate.get(now), self.tls_front_keys.get(now));
        let reused = all.saturating_sub(keys);
        (reused * 100 + all / 2).checked_div(all).unwrap_or(0)
    }

    /// Takes memory for a compressor, which [`Process::release_compressor`] gives back; `false` when there is too little.
    pub fn reserve_compressor(&self, bytes: u64) -> bool {
        let limit = self.compress_memory_limit.load(Ordering::Relaxed);
        let before = self.compress_memory.fetch_add(bytes, Ordering::Relaxed);
        let fits = limit == 0 || before + bytes <= limit;
        if !fits {
            self.release_compressor(bytes);
        }
        fits
    }

    /// Gives back what [`Process::reserve_compressor`] took.
    pub fn release_compressor(&self, bytes: u64) {
        self.compress_memory.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Whether more is compressed per second than `maxcomprate` allows.
    pub fn compresses_too_much(&self, now: Now) -> bool {
        let limit = self.compress_rate_limit.load(Ordering::Relaxed);
        limit > 0 && self.compress_in.get(now) * Self::OUT_UNIT > limit
    }

    /// Counts bytes sent to a client or server.
    pub fn count_out(&self, now: Now, bytes: u64) {
        self.counters.local().bytes_out.add(bytes);
        self.out_rate.add(now, bytes.div_ceil(Self::OUT_UNIT));
    }

    /// Keeps the highest rates; once per second on the control thread.
    pub fn observe_rates(&self, now: Now) {
        let tls = [&self.tls_rate, &self.tls_front_keys, &self.tls_back_keys];
        let plain = [&self.connection_rate, &self.session_rate, &self.out_rate];
        for rate in plain.into_iter().chain(tls) {
            rate.observe(now);
        }
    }
}
