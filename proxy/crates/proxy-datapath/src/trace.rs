//! Samples of packets that were dropped, answered or let be, as the programs write them while somebody looks.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::{Duration, SystemTime};

use aya::maps::{Array, Map, MapData, MapError, RingBuf};
use proxy_common::{
    HOOK_XDP, Reason, TRACE_ANSWERED, TRACE_BYTES, TRACE_DROPPED, TraceRecord, TraceSwitch,
    maps as names,
};

use crate::maps::{Pins, map_error};
use crate::sys;
use crate::unavailable::Unavailable;
use crate::view::View;

/// For how long the programs write without being asked again.
const LEASE: Duration = Duration::from_secs(2);

/// A packet that was not sent on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// When it came.
    pub time: SystemTime,
    /// Where it came in.
    pub ifindex: u32,
    /// What became of it: `dropped`, `answered` or `passed`.
    pub verdict: &'static str,
    /// Why, as the counters name it.
    pub reason: &'static str,
    /// Which program saw it: `xdp` or `tc`.
    pub hook: &'static str,
    /// Its length, in bytes of the frame.
    pub len: u32,
    /// Its first bytes, from the Ethernet header on.
    pub bytes: Vec<u8>,
}

impl Sample {
    /// Protocol, source and destination of TCP and UDP over plain IPv4 and IPv6.
    #[must_use]
    pub fn ends(&self) -> Option<(&'static str, SocketAddr, SocketAddr)> {
        let bytes = |at: usize, len: usize| self.bytes.get(at..at + len);
        let (src, dst, proto, l4) = match *bytes(12, 2)? {
            [0x08, 0x00] => {
                let ip = |at: usize| -> Option<IpAddr> {
                    Some(<[u8; 4]>::try_from(bytes(at, 4)?).ok()?.into())
                };
                let header = usize::from(bytes(14, 1)?[0] & 15) * 4;
                (ip(26)?, ip(30)?, bytes(23, 1)?[0], 14 + header)
            }
            [0x86, 0xdd] => {
                let ip = |at: usize| -> Option<IpAddr> {
                    Some(<[u8; 16]>::try_from(bytes(at, 16)?).ok()?.into())
                };
                (ip(22)?, ip(38)?, bytes(20, 1)?[0], 54)
            }
            _ => return None,
        };
        let name = match proto {
            proxy_common::proto::TCP => "tcp",
            proxy_common::proto::UDP => "udp",
            _ => return None,
        };
        let port = |at: usize| -> Option<u16> {
            Some(u16::from_be_bytes(<[u8; 2]>::try_from(bytes(at, 2)?).ok()?))
        };
        let (from, to) = (port(l4)?, port(l4 + 2)?);
        Some((name, SocketAddr::new(src, from), SocketAddr::new(dst, to)))
    }
}

/// Reads samples; the programs write none once it is gone.
pub struct Trace {
    ring: RingBuf<MapData>,
    switch: Array<MapData, TraceSwitch>,
    every: u32,
}

impl View {
    /// Has the programs write one of so many packets that are not sent on.
    ///
    /// # Errors
    ///
    /// When the maps cannot be opened for writing, or somebody else traces.
    pub fn trace(&self, every: u32) -> Result<Trace, Unavailable> {
        let pins = Pins::new(self.path());
        let ring: RingBuf<_> = writable(&pins, names::TRACE)?;
        let switch: Array<_, TraceSwitch> = writable(&pins, names::TRACE_SWITCH)?;
        let now = sys::coarse_monotonic_ns();
        let before = switch.get(&0, 0).map_err(|e| map_error(names::TRACE_SWITCH, &e))?;
        if before.every != 0 && before.until_ns > now {
            let reason = "somebody else traces at this moment".to_owned();
            return Err(Unavailable::Map { map: names::TRACE.to_owned(), reason });
        }
        let mut trace = Trace { ring, switch, every: every.max(1) };
        // What was left over is old.
        while trace.ring.next().is_some() {}
        trace.go_on()?;
        Ok(trace)
    }
}

impl Trace {
    /// To be called once a second at least.
    ///
    /// # Errors
    ///
    /// When the map cannot be written.
    pub fn go_on(&mut self) -> Result<(), Unavailable> {
        let lease = u64::try_from(LEASE.as_nanos()).unwrap_or(u64::MAX);
        let until_ns = sys::coarse_monotonic_ns().saturating_add(lease);
        self.set(TraceSwitch { until_ns, every: self.every, reserved: 0 })
    }

    fn set(&mut self, switch: TraceSwitch) -> Result<(), Unavailable> {
        self.switch.set(0, switch, 0).map_err(|e| map_error(names::TRACE_SWITCH, &e))
    }

    /// The next sample that is there already.
    pub fn next_sample(&mut self) -> Option<Sample> {
        loop {
            let item = self.ring.next()?;
            if let Some(sample) = read(&item) {
                return Some(sample);
            }
        }
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        // It runs out by itself otherwise.
        let _ = self.set(TraceSwitch::default());
    }
}

/// Reads a record by its layout ([`TraceRecord`]).
fn read(item: &[u8]) -> Option<Sample> {
    let word = |at: usize| -> Option<u32> {
        Some(u32::from_ne_bytes(item.get(at..at + 4)?.try_into().ok()?))
    };
    if item.len() != size_of::<TraceRecord>() {
        return None;
    }
    let time_ns = u64::from_ne_bytes(item.get(..8)?.try_into().ok()?);
    let age = sys::coarse_monotonic_ns().saturating_sub(time_ns);
    let now = SystemTime::now();
    let held = u16::from_ne_bytes(item.get(20..22)?.try_into().ok()?);
    let (verdict, hook) = (item[22], item[23]);
    let reason = word(12)?;
    Some(Sample {
        time: now.checked_sub(Duration::from_nanos(age)).unwrap_or(now),
        ifindex: word(8)?,
        verdict: match verdict {
            TRACE_DROPPED => "dropped",
            TRACE_ANSWERED => "answered",
            _ => "passed",
        },
        reason: Reason::ALL.get(reason as usize).map_or("unknown", |(_, name)| name),
        hook: if hook == HOOK_XDP { "xdp" } else { "tc" },
        len: word(16)?,
        bytes: item.get(24..24 + usize::from(held).min(TRACE_BYTES))?.to_vec(),
    })
}

fn writable<V>(pins: &Pins, name: &'static str) -> Result<V, Unavailable>
where
    V: TryFrom<Map, Error = MapError>,
{
    let path: &Path = &pins.maps().join(name);
    let map = MapData::from_pin(path).and_then(Map::from_map_data);
    map.and_then(V::try_from).map_err(|error| map_error(name, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(bytes: Vec<u8>) -> Sample {
        let time = SystemTime::UNIX_EPOCH;
        let len = bytes.len() as u32;
        Sample { time, ifindex: 1, verdict: "dropped", reason: "denied", hook: "tc", len, bytes }
    }

    #[test]
    fn ends_are_read_and_nonsense_is_not() {
        let mut frame = vec![0; 54];
        frame[12] = 8;
        (frame[14], frame[23]) = (0x45, 6);
        frame[26..34].copy_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2]);
        frame[34..38].copy_from_slice(&[0, 80, 1, 0]);
        let ends = sample(frame.clone()).ends().unwrap();
        assert_eq!(ends, ("tcp", "10.0.0.1:80".parse().unwrap(), "10.0.0.2:256".parse().unwrap()));
        for len in 0..38 {
            assert_eq!(sample(frame[..len].to_vec()).ends(), None, "{len}");
        }
    }

    #[test]
    fn records_of_another_length_are_none() {
        for len in [0, 23, 24, 151, 153] {
            assert_eq!(read(&vec![0; len]), None);
        }
        let record = read(&[0; 152]).unwrap();
        assert_eq!((record.verdict, record.reason, record.bytes.len()), ("passed", "no_flow", 0));
    }
}
