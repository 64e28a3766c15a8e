//! `sluice l4 trace`: packets that the kernel programs drop, answer or let be, as they come.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::time::{Duration, Instant, SystemTime};

use proxy_datapath::{Sample, View};
use serde_json::json;

use super::pcap::Pcap;
use crate::args::L4Trace;

/// How often is looked for samples: the buffer holds some thousand.
const LOOK: Duration = Duration::from_millis(20);
/// How often the programs are told to go on.
const RENEW: Duration = Duration::from_millis(500);

pub(super) fn run(view: &View, wanted: &L4Trace, json: bool) -> anyhow::Result<()> {
    let mut pcap = match &wanted.pcap {
        Some(path) => Some(Pcap::new(BufWriter::new(File::create(path)?))?),
        None => None,
    };
    let mut trace = view.trace(wanted.every)?;
    let mut out = std::io::stdout();
    let end = wanted.seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut renewed = Instant::now();
    let mut shown = 0;
    if !json {
        writeln!(out, "# time interface program verdict reason packet")?;
        out.flush()?;
    }
    loop {
        while let Some(sample) = trace.next_sample() {
            let name = nix::net::if_::if_indextoname(sample.ifindex);
            let name = name.map_or_else(
                |_| sample.ifindex.to_string(),
                |name| name.to_string_lossy().into_owned(),
            );
            if let Some(pcap) = &mut pcap {
                pcap.write(&sample, &name)?;
            }
            writeln!(out, "{}", if json { as_json(&sample, &name) } else { line(&sample, &name) })?;
            out.flush()?;
            shown += 1;
            if wanted.max.is_some_and(|max| shown >= max) {
                return Ok(());
            }
        }
        if end.is_some_and(|end| Instant::now() >= end) {
            return Ok(());
        }
        if renewed.elapsed() >= RENEW {
            renewed = Instant::now();
            trace.go_on()?;
        }
        std::thread::sleep(LOOK);
    }
}

fn seconds(sample: &Sample) -> f64 {
    sample.time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

fn line(sample: &Sample, interface: &str) -> String {
    let packet = match sample.ends() {
        Some((protocol, from, to)) => format!("{protocol} {from} -> {to}"),
        None => "other".to_owned(),
    };
    let Sample { hook, verdict, reason, len, .. } = sample;
    format!("{:.3} {interface} {hook} {verdict} {reason} {packet} len={len}", seconds(sample))
}

fn as_json(sample: &Sample, interface: &str) -> String {
    let ends = sample.ends();
    json!({
        "time": seconds(sample),
        "interface": interface,
        "program": sample.hook,
        "verdict": sample.verdict,
        "reason": sample.reason,
        "protocol": ends.map(|(protocol, ..)| protocol),
        "source": ends.map(|(_, from, _)| from.to_string()),
        "destination": ends.map(|(.., to)| to.to_string()),
        "length": sample.len,
    })
    .to_string()
}
