//! Counters that outlive the process (management manual, 9.5): written by `dump stats-file`, read at the start.
//!
//! A line for each object that has a guid: what it is, the guid, and the counters that are not zero as `name=value`.
//! What a reader does not know is passed over, so that files go between versions.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;

use proxy_state::counters::{Counted, CounterSet};
use proxy_state::{Backend, Frontend, Listener, Server};

/// What a file begins with.
const HEAD: &str = "# sluice stats-file 1";

/// Something that is found again by its guid.
#[derive(Clone, Debug)]
pub struct Identified {
    pub guid: String,
    pub object: Object,
}

/// What it is.
#[derive(Clone, Debug)]
pub enum Object {
    Backend(Arc<Backend>),
    Frontend(Arc<Frontend>),
    Listener(Arc<Listener>),
    Server(Arc<Server>),
}

impl Object {
    fn kind(&self) -> &'static str {
        match self {
            Self::Backend(_) => "backend",
            Self::Frontend(_) => "frontend",
            Self::Listener(_) => "listener",
            Self::Server(_) => "server",
        }
    }

    fn counters(&self) -> &dyn Counters {
        match self {
            Self::Backend(backend) => &backend.counters,
            Self::Frontend(frontend) => &frontend.counters,
            Self::Listener(listener) => &listener.counters,
            Self::Server(server) => &server.counters,
        }
    }
}

/// Counters of any object.
trait Counters {
    fn totals(&self) -> Vec<(&'static str, u64)>;
    fn preload(&self, name: &str, value: u64) -> bool;
}

impl<T: CounterSet> Counters for Counted<T> {
    fn totals(&self) -> Vec<(&'static str, u64)> {
        Self::totals(self)
    }

    fn preload(&self, name: &str, value: u64) -> bool {
        Self::preload(self, name, value)
    }
}

/// The counters of everything that has a guid.
pub fn dump(identified: &[Identified]) -> String {
    let mut text = format!("{HEAD}\n");
    for Identified { guid, object } in identified {
        let totals = object.counters().totals();
        // A String takes everything.
        let _ = write!(text, "{} {guid}", object.kind());
        for (name, value) in totals.into_iter().filter(|(_, value)| *value > 0) {
            let _ = write!(text, " {name}={value}");
        }
        text.push('\n');
    }
    text
}

/// Adds what an earlier process counted to the objects that are still there.
///
/// # Errors
/// The text is no such file: the number of the line and what is wrong with it. What stands before is added.
pub fn load(identified: &[Identified], text: &str) -> Result<(), String> {
    let by_guid: HashMap<(&str, &str), &dyn Counters> = identified
        .iter()
        .map(|one| ((one.object.kind(), one.guid.as_str()), one.object.counters()))
        .collect();
    let mut lines = text.lines().zip(1..);
    if lines.next().is_none_or(|(first, _)| first != HEAD) {
        return Err(format!("line 1 : '{HEAD}' is expected"));
    }
    for (line, number) in lines.filter(|(line, _)| !line.is_empty() && !line.starts_with('#')) {
        let wrong = |what: &str| format!("line {number} : {what}");
        let mut words = line.split(' ');
        let (Some(kind), Some(guid)) = (words.next(), words.next()) else {
            return Err(wrong("a kind of object and its guid are expected"));
        };
        let found = by_guid.get(&(kind, guid));
        for word in words {
            let value =
                word.split_once('=').and_then(|(name, value)| Some((name, value.parse().ok()?)));
            let Some((name, value)) = value else {
                return Err(wrong(&format!("'{word}' is no counter and its value")));
            };
            if let Some(found) = found {
                found.preload(name, value);
            }
        }
    }
    Ok(())
}
