//! Writing the text format: help and type once per metric, samples under it.

use super::query::Query;
use std::fmt::{Display, Write};

/// Text being made.
pub(super) struct Text<'q> {
    query: &'q Query,
    out: String,
    /// Full name of the metric that samples belong to.
    name: String,
}

impl<'q> Text<'q> {
    pub(super) fn new(query: &'q Query) -> Self {
        Self { query, out: String::new(), name: String::new() }
    }

    pub(super) fn finish(self) -> String {
        self.out
    }

    /// Begins a metric of HAProxy's names; `false` when it is not wanted.
    pub(super) fn begin(&mut self, object: &str, name: &str, help: &str) -> bool {
        self.open(format!("haproxy_{object}_{name}"), help, false)
    }

    /// Begins a metric that has the name of its column; `false` when it is not wanted.
    pub(super) fn begin_column(
        &mut self,
        object: &str,
        name: &str,
        help: &str,
        counter: bool,
    ) -> bool {
        self.open(format!("haproxy_{object}_{name}"), help, counter)
    }

    /// Begins a metric of Sluice's own; `false` when it is not wanted.
    pub(super) fn begin_own(&mut self, name: &str, help: &str) -> bool {
        self.open(format!("sluice_{name}"), help, false)
    }

    fn open(&mut self, name: String, help: &str, counter: bool) -> bool {
        if !self.query.wants(&name) {
            return false;
        }
        // Rows of one metric follow each other: its head is written once.
        if self.name != name {
            // Those that HAProxy calls counters.
            let counter =
                counter || name.ends_with("_total") || name.ends_with("_failed_resolutions");
            let kind = if counter { "counter" } else { "gauge" };
            // Writing to a string cannot fail.
            let _ = writeln!(self.out, "# HELP {name} {help}\n# TYPE {name} {kind}");
            self.name = name;
        }
        true
    }

    pub(super) fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.out.push_str(&self.name);
        let mut before = '{';
        for (name, value) in labels {
            let _ = write!(self.out, "{before}{name}=\"");
            for c in value.chars() {
                match c {
                    '\\' => self.out.push_str("\\\\"),
                    '"' => self.out.push_str("\\\""),
                    '\n' => self.out.push_str("\\n"),
                    c => self.out.push(c),
                }
            }
            self.out.push('"');
            before = ',';
        }
        if !labels.is_empty() {
            self.out.push('}');
        }
        let _ = writeln!(self.out, " {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped_and_heads_written_once() {
        let query = Query::parse("/m?metrics=-haproxy_frontend_b_total").unwrap();
        let mut text = Text::new(&query);
        assert!(text.begin("frontend", "a_total", "Help") && text.begin("frontend", "a_total", ""));
        text.sample(&[("proxy", "q\"u\\o\nte"), ("code", "1xx")], 7);
        assert!(!text.begin("frontend", "b_total", "Help"));
        assert!(text.begin_own("c", "Own"));
        text.sample(&[], 1);
        assert_eq!(
            text.finish(),
            "# HELP haproxy_frontend_a_total Help\n# TYPE haproxy_frontend_a_total counter\n\
             haproxy_frontend_a_total{proxy=\"q\\\"u\\\\o\\nte\",code=\"1xx\"} 7\n\
             # HELP sluice_c Own\n# TYPE sluice_c gauge\nsluice_c 1\n"
        );
    }
}
