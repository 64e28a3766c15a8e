//! Log lines on their way out: framing by target, one batch per turn of the loop, never a wait.
//!
//! A line is appended to a buffer of the thread; a task that runs when the current turn is over sends what
//! every target got, with one system call per target and batch. What a target does not take at once is lost and
//! counted: a slow or dead log server never delays a request.

mod frame;
mod relay;

use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use proxy_net::datagram::{DatagramSender, LineWriter};
use proxy_net::sockopt;
use proxy_state::Registry;
use proxy_types::SockAddr;

use super::Sink;
use super::farm::Farm;
use super::lines::Lines;
use super::ring::Ring;
pub use frame::Format;
use frame::Header;
pub use relay::{HostRule, Sender as Origin};

/// Bytes a target may have waiting for the end of the turn; further lines are lost.
const TURN_MAX: usize = 1 << 20;

/// Where lines go.
#[derive(Clone, Debug)]
pub enum Destination {
    /// The servers of a backend in mode log.
    Backend(Arc<Farm>),
    /// A syslog server or a unix datagram socket.
    Datagram(SockAddr),
    /// A descriptor by number, 1 for standard output.
    Fd(i32),
    Ring(Arc<Ring>),
}

/// A `log` line of the configuration (configuration manual, 4.2 "log").
#[derive(Clone, Debug)]
pub struct TargetSpec {
    pub destination: Destination,
    pub format: Format,
    /// Messages of others are passed on in the form they came in, whatever `format` says of own ones.
    pub keeps_form: bool,
    /// Syslog facility, 0 to 23.
    pub facility: u8,
    /// Lines less severe (with a higher number) are left out.
    pub level: u8,
    /// Lines more severe are sent with this severity.
    pub min_level: u8,
    /// Bytes of a line at most.
    pub max_len: usize,
    /// Which lines are sent; `None` is all.
    pub sample: Option<Sample>,
    /// Name of the program in the line.
    pub tag: String,
    /// `tune.rcvbuf.backend` and `tune.sndbuf.backend`, for datagrams.
    pub buffers: sockopt::Buffers,
    /// Name of the host, when the format or `log-send-hostname` wants it.
    pub hostname: Option<String>,
}

/// Of every `size` lines, those in a range, counted from 1; both ends belong to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    pub ranges: Vec<(u32, u32)>,
    pub size: u32,
}

impl Sample {
    /// Whether the line with this number, from 0, is sent.
    fn takes(&self, number: u32) -> bool {
        let place = number % self.size.max(1) + 1;
        self.ranges.iter().any(|(low, high)| (*low..=*high).contains(&place))
    }
}

enum Sender {
    Backend(Arc<Farm>),
    Datagram(DatagramSender),
    Line(LineWriter),
    Ring(Arc<Ring>),
}

struct Target {
    spec: TargetSpec,
    sender: Sender,
    /// Lines that were to be sampled.
    seen: AtomicU32,
}

/// The targets of one proxy, or of the process.
pub struct Targets {
    targets: Vec<Arc<Target>>,
    /// Counts what was lost.
    registry: Option<Arc<Registry>>,
}

impl Targets {
    /// Opens the targets. Nothing is sent, so an absent server is no error.
    ///
    /// # Errors
    /// The first destination that cannot be opened, by its index.
    pub fn open(specs: Vec<TargetSpec>) -> Result<Self, (usize, io::Error)> {
        let mut targets = Vec::with_capacity(specs.len());
        for (index, spec) in specs.into_iter().enumerate() {
            let sender = match &spec.destination {
                Destination::Datagram(to) => {
                    DatagramSender::open(to, spec.buffers).map(Sender::Datagram)
                }
                Destination::Fd(fd) => LineWriter::open(*fd).map(Sender::Line),
                Destination::Ring(ring) => Ok(Sender::Ring(ring.clone())),
                Destination::Backend(farm) => Ok(Sender::Backend(farm.clone())),
            };
            let sender = sender.map_err(|error| (index, error))?;
            targets.push(Arc::new(Target { spec, sender, seen: AtomicU32::new(0) }));
        }
        Ok(Self { targets, registry: None })
    }

    /// Counts lost lines there (`DroppedLogs`).
    #[must_use]
    pub fn counted_in(mut self, registry: Arc<Registry>) -> Self {
        self.registry = Some(registry);
        self
    }
}

impl Sink for Targets {
    fn line(&self, severity: u8, line: &[u8]) {
        self.record(severity, None, line);
    }

    fn record(&self, severity: u8, data: Option<&[u8]>, line: &[u8]) {
        self.to_each(severity, line.len() + data.map_or(0, <[u8]>::len), |spec, header, out| {
            let severity = severity.max(spec.min_level);
            header.write(spec, severity, out);
            let data = data.filter(|data| spec.format == Format::Rfc5424 && !data.is_empty());
            if let Some(data) = data {
                // In place of the dash that says there is none.
                out.truncate(out.len() - 2);
                out.extend_from_slice(data);
                out.push(b' ');
            }
            out.extend_from_slice(line);
        });
    }
}

impl Targets {
    /// Has every target that wants it get what `write` makes, of about `size` bytes.
    fn to_each(
        &self,
        severity: u8,
        size: usize,
        mut write: impl FnMut(&TargetSpec, &mut Header, &mut Vec<u8>),
    ) {
        for target in self.targets.iter().filter(|target| severity <= target.spec.level) {
            if let Some(sample) = &target.spec.sample
                && !sample.takes(target.seen.fetch_add(1, Ordering::Relaxed))
            {
                continue;
            }
            let lost =
                BUFFERS.with(|buffers| buffers.borrow_mut().push(self, target, size, &mut write));
            if lost {
                self.count_lost(1);
            }
        }
    }

    fn count_lost(&self, lines: usize) {
        if let Some(registry) = &self.registry {
            registry.process.counters.local().dropped_logs.add(lines as u64);
        }
    }
}

/// What one target got in this turn.
struct Waiting {
    target: Arc<Target>,
    registry: Option<Arc<Registry>>,
    header: Header,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

#[derive(Default)]
struct Buffers {
    waiting: Vec<Waiting>,
    scheduled: bool,
}

thread_local! {
    static BUFFERS: RefCell<Buffers> = RefCell::default();
}

impl Buffers {
    /// Appends a line; true when there is no room.
    fn push(
        &mut self,
        owner: &Targets,
        target: &Arc<Target>,
        size: usize,
        write: &mut impl FnMut(&TargetSpec, &mut Header, &mut Vec<u8>),
    ) -> bool {
        let index = self
            .waiting
            .iter()
            .position(|waiting| Arc::ptr_eq(&waiting.target, target))
            .unwrap_or_else(|| {
                self.waiting.push(Waiting {
                    target: target.clone(),
                    registry: owner.registry.clone(),
                    header: Header::default(),
                    bytes: Vec::new(),
                    ends: Vec::new(),
                });
                self.waiting.len() - 1
            });
        let waiting = &mut self.waiting[index];
        if waiting.bytes.len() + size > TURN_MAX {
            return true;
        }
        let spec = &target.spec;
        let start = waiting.bytes.len();
        write(spec, &mut waiting.header, &mut waiting.bytes);
        // The line end counts, too, where it is sent.
        let end = usize::from(!matches!(target.sender, Sender::Ring(_)));
        waiting.bytes.truncate(start.saturating_add(spec.max_len.saturating_sub(end)));
        waiting.bytes.push(b'\n');
        waiting.ends.push(waiting.bytes.len());
        if !std::mem::replace(&mut self.scheduled, true) {
            schedule();
        }
        false
    }

    fn flush(&mut self) {
        self.scheduled = false;
        for waiting in self.waiting.iter_mut().filter(|waiting| !waiting.ends.is_empty()) {
            let lines = Lines::new(&waiting.bytes, &waiting.ends);
            let lost = match &waiting.target.sender {
                Sender::Datagram(sender) => sender.send(lines),
                Sender::Line(writer) => writer.send(lines),
                Sender::Ring(ring) => ring.append(lines),
                Sender::Backend(farm) => farm.send(lines),
            };
            if let Some(registry) = waiting.registry.as_ref().filter(|_| lost > 0) {
                registry.process.counters.local().dropped_logs.add(lost as u64);
            }
            waiting.bytes.clear();
            waiting.ends.clear();
        }
    }
}

/// Sends what waits on this thread at once: for the end of a thread, and outside of a runtime.
pub fn flush() {
    BUFFERS.with(|buffers| buffers.borrow_mut().flush());
}

/// A task of this turn's end sends what was gathered.
fn schedule() {
    if tokio::runtime::Handle::try_current().is_err() {
        return;
    }
    tokio::task::spawn_local(async {
        tokio::task::yield_now().await;
        flush();
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    fn spec(to: SockAddr) -> TargetSpec {
        TargetSpec {
            destination: Destination::Datagram(to),
            format: Format::Priority,
            facility: 16,
            level: 6,
            min_level: 0,
            max_len: 40,
            keeps_form: false,
            sample: None,
            tag: "haproxy".into(),
            buffers: Default::default(),
            hostname: None,
        }
    }

    fn received(socket: &UdpSocket) -> String {
        let mut buffer = [0; 200];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    #[test]
    fn lines_of_a_turn_leave_together() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let targets = Targets::open(vec![spec(socket.local_addr().unwrap().into())]).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, async {
            targets.line(6, b"one");
            targets.line(7, b"a debug line that the level leaves out");
            targets.line(3, b"two");
            socket.set_nonblocking(true).unwrap();
            assert!(socket.recv(&mut [0; 10]).is_err(), "nothing leaves before the turn ends");
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
        });
        socket.set_nonblocking(false).unwrap();
        assert_eq!(received(&socket), "<134>one\n");
        assert_eq!(received(&socket), "<131>two\n");
    }

    #[test]
    fn samples_are_taken_round_by_round() {
        let sample = Sample { ranges: vec![(1, 1), (3, 4)], size: 5 };
        let taken: Vec<u32> = (0..10).filter(|n| sample.takes(*n)).collect();
        assert_eq!(taken, [0, 2, 3, 5, 7, 8]);
    }

    #[test]
    fn lines_are_cut_and_severities_capped() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut spec = spec(socket.local_addr().unwrap().into());
        (spec.max_len, spec.min_level) = (12, 5);
        let targets = Targets::open(vec![spec]).unwrap();
        targets.line(1, b"a line that is longer");
        flush();
        assert_eq!(received(&socket), "<133>a line\n");
    }
}
