//! Where traces may go, and those that begin with the process.

use std::sync::Arc;

use proxy_config::model::Config;
use proxy_stream::log::emit::{Destination, TargetSpec, Targets};
use proxy_stream::log::ring::Rings;
use proxy_stream::traces::{self, Sinks, TraceSink};
use proxy_types::{DiagSink, Diagnostic, Diagnostics};

use super::logs::{self, DEFAULT_TAG};
use crate::args::Args;

/// Descriptors that traces may go to.
const DESCRIPTORS: [(&str, &str, i32); 2] =
    [("stdout", "standard output (fd#1)", 1), ("stderr", "standard error (fd#2)", 2)];
/// Bytes of a line at most.
const MOST: usize = 8192;

/// The descriptors and the rings.
pub(super) fn sinks(config: &Config, rings: &Rings, diagnostics: &mut Diagnostics) -> Sinks {
    let mut sinks = Sinks::new();
    let mut add = |name: &str, description: &str, destination, format, most: usize, ring| {
        let spec = TargetSpec {
            destination,
            format,
            keeps_form: false,
            facility: 0,
            level: 7,
            min_level: 0,
            max_len: most.min(MOST),
            sample: None,
            tag: DEFAULT_TAG.to_owned(),
            hostname: Some("localhost".to_owned()),
            buffers: Default::default(),
        };
        match Targets::open(vec![spec]) {
            Ok(sink) => sinks.push(Arc::new(TraceSink {
                name: name.into(),
                description: description.into(),
                sink: Arc::new(sink),
                ring,
            })),
            Err((_, error)) => {
                diagnostics.push(Diagnostic::alert(format!("cannot open '{name}': {error}")));
            }
        }
    };
    for (name, description, number) in DESCRIPTORS {
        let timed = proxy_stream::log::emit::Format::Timed;
        add(name, description, Destination::Fd(number), timed, MOST, None);
    }
    for ring in rings.iter() {
        let (format, most) = logs::form_of_ring(config, ring.name());
        let (to, kept) = (Destination::Ring(ring.clone()), Some(ring.clone()));
        add(ring.name(), ring.description(), to, format, most, kept);
    }
    sinks
}

/// Begins the traces of `traces` sections and of `-dt`.
pub(super) fn begin(args: &Args, config: &Config, sinks: &Sinks, diagnostics: &mut Diagnostics) {
    for line in &config.traces {
        match traces::run(&line.words, sinks) {
            Ok(text) if text.is_empty() => {}
            Ok(text) => diagnostics.push(Diagnostic::notice(text.trim_end()).at(line.span)),
            Err(error) => {
                diagnostics.push(Diagnostic::alert(format!("'trace': {error}")).at(line.span));
            }
        }
    }
    for words in args.traces.iter().flat_map(|text| traces::flag_lines(text)) {
        match traces::run(&words, sinks) {
            Ok(_) => {}
            Err(error) => diagnostics.push(Diagnostic::alert(format!("-dt: {error}"))),
        }
    }
}
