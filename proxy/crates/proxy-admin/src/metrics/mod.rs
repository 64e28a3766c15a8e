//! Metrics in Prometheus' text format 0.0.4, under HAProxy's names: what `http-request use-service
//! prometheus-exporter` answers (configuration manual, 4.4 "use-service").
//!
//! Parameters of the query: `scope=` (`global`, `frontend`, `listener`, `backend`, `server`, `sticktable`, `*`; any
//! number of times), `metrics=` (a list of names, those with `-` in front are left out), `no-maint`,
//! `extra-counters` (what modules count, and the kernel paths, these under names of Sluice's own).

mod query;
mod table;
mod text;

use crate::context::Product;
use crate::outside::{Carried, Outside, Source};
use crate::stats::columns::{COLUMNS, Column};
use crate::stats::info::{FIELDS, Reading};
use crate::stats::{Kind, Object, Scope, Value};
use proxy_state::server::{CheckStatus, Status};
use proxy_state::{Backend, Now, Registry};
pub use query::UnknownScope;
use query::{Part, Query};
use std::sync::Arc;
use table::{Form, METRICS, Metric, PROCESS};
use text::Text;

/// Makes the metrics of a worker.
pub struct Exporter {
    pub registry: Arc<Registry>,
    pub product: Product,
    pub source: Box<dyn Source>,
}

impl Exporter {
    /// The metrics that `target` (path and query) asks for. Takes as long as there are servers: not for a thread that
    /// others wait for.
    ///
    /// # Errors
    /// A scope that there is not.
    pub fn answer(&self, target: &str, now: Now) -> Result<String, UnknownScope> {
        let query = Query::parse(target)?;
        let mut text = Text::new(&query);
        for (_, part) in Part::ALL {
            if query.parts & 1 << part as u32 == 0 {
                continue;
            }
            match part {
                Part::Global => self.process(&query, &mut text, now),
                Part::Sticktable => self.tables(&mut text),
                _ => self.objects(part, &query, &mut text, now),
            }
        }
        Ok(text.finish())
    }

    fn process(&self, query: &Query, text: &mut Text<'_>, now: Now) {
        let outside = self.source.outside();
        let reading = Reading::of(&self.registry, &self.product, &outside, now);
        for (field, name) in PROCESS {
            let Some(field) = FIELDS.iter().find(|f| f.name == *field) else { continue };
            let value = (field.value)(&reading);
            if value == Value::None || !text.begin("process", name, field.doc) {
                continue;
            }
            match value {
                Value::Str(version) => text.sample(&[("version", &version)], 1),
                value => text.sample(&[], value),
            }
        }
        if query.extra {
            kernel(&outside, text);
        }
    }

    fn objects(&self, part: Part, query: &Query, text: &mut Text<'_>, now: Now) {
        let Some((letter, bit)) = part.objects() else { return };
        let name = Part::ALL.iter().find(|(_, p)| *p == part).map_or("", |(name, _)| name);
        let scope = Scope { types: bit, no_maint: query.no_maint, ..Scope::default() };
        let objects: Vec<Object> = scope.objects(&self.registry, now, true).collect();
        for metric in METRICS.iter().filter(|metric| metric.objects.contains(letter)) {
            let Some(column) = COLUMNS.iter().find(|c| c.name == metric.column) else { continue };
            let mut begun = false;
            for object in &objects {
                samples(metric, column, object, &mut |labels, value| {
                    begun = begun || text.begin(name, metric.name, column.doc);
                    if begun {
                        text.sample(labels, value);
                    }
                });
                if !begun && !query.wants(&format!("haproxy_{name}_{}", metric.name)) {
                    break;
                }
            }
        }
        if query.extra {
            modules(name, &objects, text);
        }
    }

    fn tables(&self, text: &mut Text<'_>) {
        let tables = self.registry.tables();
        if tables.is_empty() {
            return;
        }
        if text.begin("sticktable", "size", "Entries the table may hold") {
            for table in tables {
                let labels = [("name", &*table.spec.name), ("type", table.spec.key.name())];
                text.sample(&labels, table.spec.size);
            }
        }
        if text.begin("sticktable", "used", "Entries in the table") {
            for table in tables {
                let labels = [("name", &*table.spec.name), ("type", table.spec.key.name())];
                text.sample(&labels, table.used());
            }
        }
    }
}

/// The columns of modules, under their own names.
fn modules(name: &str, objects: &[Object], text: &mut Text<'_>) {
    for column in COLUMNS.iter().skip_while(|column| column.name != "-").skip(1) {
        let module = column.name.split('_').next().unwrap_or_default();
        let counter = column.tags.starts_with("MC");
        for object in objects {
            let value = (column.value)(object);
            if value == Value::None {
                continue;
            }
            if !text.begin_column(name, column.name, column.doc, counter) {
                break;
            }
            let metric = Metric { objects: "", name: "", column: "", form: Form::Number };
            samples(&metric, column, object, &mut |labels, value| {
                let with: Vec<_> = labels.iter().copied().chain([("mod", module)]).collect();
                text.sample(&with, value);
            });
        }
    }
}

/// Names and values.
type Labels<'l> = &'l [(&'l str, &'l str)];

/// Samples of one object under one metric.
fn samples(
    metric: &Metric,
    column: &Column,
    object: &Object,
    give: &mut dyn FnMut(Labels<'_>, Value),
) {
    let mut labels = Vec::with_capacity(3);
    labels.push(("proxy", object.proxy_name()));
    match &object.kind {
        Kind::Listener(_, listener) => labels.push(("listener", &*listener.name)),
        Kind::Server { server, .. } => labels.push(("server", &*server.name)),
        Kind::Frontend(_) | Kind::Backend(..) => {}
    }
    let mut counted = |label, counts: &[(&str, usize)]| {
        for (state, count) in counts {
            let with: Vec<_> = labels.iter().copied().chain([(label, *state)]).collect();
            give(&with, Value::u32(*count as u64));
        }
    };
    match metric.form {
        Form::State => counted("state", &states(object)),
        Form::CheckState => {
            if let Kind::Server { server, state, .. } = &object.kind
                && server.spec.check.is_some()
            {
                counted("state", &check_states([state.last_check.status].into_iter()));
            }
        }
        Form::ServerStates => {
            if let Kind::Backend(backend, _) = &object.kind {
                counted("state", &server_states(backend.servers().iter().map(|s| s.status())));
            }
        }
        Form::CheckStates => {
            if let Kind::Backend(backend, _) = &object.kind {
                counted("state", &check_states(last_checks(backend, object.now).into_iter()));
            }
        }
        Form::Code(_) | Form::Millis | Form::Number => {
            let value = match ((column.value)(object), metric.form) {
                (Value::None, _) => return,
                (Value::U32(ms), Form::Millis) => seconds(ms.into()),
                (Value::U64(ms), Form::Millis) => seconds(ms),
                (value, _) => value,
            };
            if let Form::Code(code) = metric.form {
                labels.push(("code", code));
            }
            give(&labels, value);
        }
    }
}

/// Milliseconds as seconds.
fn seconds(ms: u64) -> Value {
    format!("{}.{:03}000", ms / 1000, ms % 1000).into()
}

fn states(object: &Object) -> Vec<(&'static str, usize)> {
    let one = |states: &[&'static str], now: &str| {
        states.iter().map(|state| (*state, usize::from(*state == now))).collect()
    };
    let status = COLUMNS.iter().find(|c| c.name == "status").map(|c| (c.value)(object).to_string());
    let status = status.unwrap_or_default();
    match &object.kind {
        Kind::Frontend(_) => one(&["DOWN", "UP"], if status == "STOP" { "DOWN" } else { "UP" }),
        Kind::Backend(..) => one(&["DOWN", "UP"], &status),
        Kind::Listener(..) => {
            let now = if matches!(&*status, "OPEN" | "FULL") { &*status } else { "WAITING" };
            one(&["WAITING", "OPEN", "FULL"], now)
        }
        Kind::Server { status, .. } => server_states([status.clone()].into_iter()),
    }
}

/// How many servers are in each state.
fn server_states(all: impl Iterator<Item = Status>) -> Vec<(&'static str, usize)> {
    let mut states = [("DOWN", 0), ("UP", 0), ("MAINT", 0), ("DRAIN", 0), ("NOLB", 0)];
    for status in all {
        let index = match status {
            Status::Down(_) | Status::DownByAgent => 0,
            Status::Up(_) | Status::NoCheck => 1,
            Status::Maint | Status::MaintVia(_) | Status::MaintResolution => 2,
            Status::Drain | Status::DrainByAgent => 3,
            Status::NoLb(_) => 4,
        };
        states[index].1 += 1;
    }
    states.to_vec()
}

/// Results of the servers that are checked.
fn last_checks(backend: &Backend, now: Now) -> Vec<CheckStatus> {
    let servers = backend.servers();
    let checked = servers.iter().filter(|server| server.spec.check.is_some());
    checked.map(|server| server.state(now).last_check.status).collect()
}

/// How many checks are in each state.
fn check_states(all: impl Iterator<Item = CheckStatus>) -> Vec<(&'static str, usize)> {
    let shown = CheckStatus::ALL
        .iter()
        .filter(|s| !matches!(s, CheckStatus::Unknown | CheckStatus::Initializing));
    let mut states: Vec<_> = shown.map(|status| (status.short(), 0)).collect();
    for status in all {
        if let Some((_, count)) = states.iter_mut().find(|(name, _)| *name == status.short()) {
            *count += 1;
        }
    }
    states
}

/// The kernel paths, which HAProxy has none of.
fn kernel(outside: &Outside, text: &mut Text<'_>) {
    if text.begin_own("frontend_path_info", "What carries the frontend, by its label") {
        for row in &outside.paths {
            let labels =
                [("proxy", &*row.frontend), ("path", &*row.path), ("reason", &*row.reason)];
            text.sample(&labels, 1);
        }
    }
    if text.begin_own("l4_untranslated_packets_total", "Packets the kernel programs let be") {
        for (frontend, reason, packets) in &outside.drops {
            text.sample(&[("proxy", frontend), ("reason", reason)], *packets);
        }
    }
    let labels = |row: &Carried| {
        [
            ("proxy", row.frontend.clone()),
            ("server", row.server.clone()),
            ("direction", row.direction.to_owned()),
        ]
    };
    if text.begin_own("l4_packets_total", "Packets and datagrams the kernel programs carried") {
        for row in &outside.carried {
            let labels = labels(row);
            text.sample(&labels.each_ref().map(|(name, value)| (*name, &**value)), row.packets);
        }
    }
    if text.begin_own("l4_payload_bytes_total", "Payload the kernel programs carried") {
        for row in &outside.carried {
            let labels = labels(row);
            text.sample(&labels.each_ref().map(|(name, value)| (*name, &**value)), row.bytes);
        }
    }
    if text.begin_own("l4_table_entries", "Entries in a table of the kernel programs") {
        for (name, used, _) in &outside.tables {
            text.sample(&[("table", name)], *used);
        }
    }
    if text.begin_own("l4_table_size", "Entries a table of the kernel programs may hold") {
        for (name, _, size) in &outside.tables {
            text.sample(&[("table", name)], *size);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_its_source() {
        for metric in METRICS {
            assert!(COLUMNS.iter().any(|c| c.name == metric.column), "{}", metric.column);
            assert!(metric.objects.chars().all(|c| "FLBS".contains(c)), "{}", metric.name);
        }
        for (field, _) in PROCESS {
            assert!(FIELDS.iter().any(|f| f.name == *field), "{field}");
        }
    }

    #[test]
    fn queries() {
        assert_eq!(Query::parse("/metrics").unwrap().parts, u32::MAX);
        assert_eq!(Query::parse("/m?scope=").unwrap().parts, 0);
        assert_eq!(Query::parse("/m?scope=global&scope=server&no-maint").unwrap().parts, 0b10001);
        assert_eq!(Query::parse("/m?scope=nope"), Err(UnknownScope));
        let query = Query::parse("/m?metrics=+a,b,-c&x=y").unwrap();
        assert!(query.wants("a") && query.wants("b") && !query.wants("c") && !query.wants("d"));
        let query = Query::parse("/m?metrics=-c").unwrap();
        assert!(query.wants("a") && !query.wants("c"));
    }

    #[test]
    fn milliseconds_are_shown_as_seconds() {
        assert_eq!(seconds(0), "0.000000".to_owned().into());
        assert_eq!(seconds(12_034), "12.034000".to_owned().into());
    }
}
