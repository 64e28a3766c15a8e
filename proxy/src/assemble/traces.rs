//! Where traces may go, and those that begin with the process.

use std::sync::{Arc, OnceLock};

use proxy_config::model::Config;
use proxy_stream::log::Sink;
use proxy_stream::log::emit::{Destination, Format, TargetSpec, Targets};
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

/// A descriptor that is opened when the first line goes there: a process that goes to the background must not keep those
/// of its shell.
struct Late {
    number: i32,
    opened: OnceLock<Option<Targets>>,
}

impl Sink for Late {
    fn line(&self, severity: u8, line: &[u8]) {
        let open = || Targets::open(vec![spec(Destination::Fd(self.number), Format::Timed, MOST)]);
        if let Some(targets) = self.opened.get_or_init(|| open().ok()) {
            targets.line(severity, line);
        }
    }
}

fn spec(destination: Destination, format: Format, most: usize) -> TargetSpec {
    TargetSpec {
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
    }
}

/// The descriptors and the rings.
pub(super) fn sinks(config: &Config, rings: &Rings, diagnostics: &mut Diagnostics) -> Sinks {
    let mut sinks = Sinks::new();
    let mut add = |name: &str, description: &str, sink: Arc<dyn Sink>, ring| {
        let (name, description) = (name.into(), description.into());
        sinks.push(Arc::new(TraceSink { name, description, sink, ring }));
    };
    for (name, description, number) in DESCRIPTORS {
        add(name, description, Arc::new(Late { number, opened: OnceLock::new() }), None);
    }
    for ring in rings.iter() {
        let (format, most) = logs::form_of_ring(config, ring.name());
        match Targets::open(vec![spec(Destination::Ring(ring.clone()), format, most)]) {
            Ok(sink) => add(ring.name(), ring.description(), Arc::new(sink), Some(ring.clone())),
            Err((_, error)) => {
                let name = ring.name();
                diagnostics.push(Diagnostic::alert(format!("cannot open '{name}': {error}")));
            }
        }
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
