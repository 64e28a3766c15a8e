//! An index answers which pattern of a list a value matches. It is built once and never changes.

pub(super) mod addr;
pub(super) mod number;
mod places;
mod regexes;
mod text;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use regex::bytes::Regex;

use super::{Entry, Method};
use crate::sample::{EvalCtx, Sample};
use number::{Grammar, Word};

/// Entries of a list as one user compares them.
#[derive(Debug)]
pub(super) struct Index {
    /// In the order of the list.
    entries: Box<[Arc<Entry>]>,
    kind: Kind,
    /// Some entry was removed since.
    has_dead: AtomicBool,
}

#[derive(Debug)]
enum Kind {
    Addr(addr::Networks),
    Bin(text::Texts),
    Int(number::Numbers),
    Len(number::Numbers),
    Regex(regexes::Regexes),
    Text(text::Texts),
    /// Of methods that compare with nothing.
    Unused,
}

/// What a value matched.
pub(super) struct Found<'i> {
    pub(super) entry: &'i Entry,
    /// Of several indices, the one with the larger number counts; of equal ones, the older entry.
    pub(super) weight: usize,
    pub(super) regex: Option<&'i Regex>,
}

impl Index {
    /// # Errors
    /// Which entry is no pattern of the method, and why.
    pub(super) fn new(
        method: Method,
        ignore_case: bool,
        entries: Vec<Arc<Entry>>,
    ) -> Result<Self, (usize, String)> {
        let keys = entries.iter().map(|entry| entry.key());
        let text = |at| text::Texts::new(at, keys.clone(), ignore_case).map_err(|why| (0, why));
        let numbers = || {
            let mut set = number::Numbers::default();
            for (at, key) in keys.clone().enumerate() {
                match Grammar::default().read(key).map_err(|why| (at, why))? {
                    Word::Range(range) => set.push(range, at as u32),
                    Word::Operator => return Err((at, "a number is expected".to_owned())),
                }
            }
            Ok(set)
        };
        let kind = match method {
            Method::Beg => Kind::Text(text(text::Where::Start)?),
            Method::Bin => {
                let mut bytes = Vec::with_capacity(entries.len());
                for (at, key) in keys.clone().enumerate() {
                    bytes.push(crate::regex::unhex(key).ok_or_else(|| {
                        let text = String::from_utf8_lossy(key);
                        (at, format!("'{text}' is not an even number of hexadecimal digits"))
                    })?);
                }
                let keys = bytes.iter().map(Vec::as_slice);
                Kind::Bin(
                    text::Texts::new(text::Where::Whole, keys, false).map_err(|why| (0, why))?,
                )
            }
            Method::Bool | Method::Found => Kind::Unused,
            Method::Dir => Kind::Text(text(text::Where::Parts(b"/"))?),
            Method::Dom => Kind::Text(text(text::Where::Parts(b"/?.:"))?),
            Method::End => Kind::Text(text(text::Where::End)?),
            Method::Int => Kind::Int(numbers()?),
            Method::Ip => {
                let mut set = addr::Networks::default();
                for (at, key) in keys.clone().enumerate() {
                    let network = addr::Network::parse(key).map_err(|why| (at, why))?;
                    set.push(network, at as u32);
                }
                Kind::Addr(set)
            }
            Method::Len => Kind::Len(numbers()?),
            Method::Reg => {
                let wrong = |key: &[u8]| crate::regex::compile(key, ignore_case).is_err();
                Kind::Regex(
                    regexes::Regexes::new(keys.clone(), ignore_case)
                        .map_err(|why| (keys.clone().position(wrong).unwrap_or(0), why))?,
                )
            }
            Method::Str => Kind::Text(text(text::Where::Whole)?),
            Method::Sub => Kind::Text(text(text::Where::Anywhere)?),
        };
        Ok(Self { entries: entries.into(), kind, has_dead: AtomicBool::new(false) })
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The entries that were not removed.
    pub(super) fn living(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.entries.iter().filter(|entry| entry.is_alive())
    }

    pub(super) fn mark_dead(&self) {
        self.has_dead.store(true, Ordering::Release);
    }

    fn place<'a>(&self, value: Sample<'a>, any: bool, cx: &EvalCtx<'a>) -> Option<u32> {
        let dead = self.has_dead.load(Ordering::Acquire);
        let alive = |at: u32| !dead || self.entries[at as usize].is_alive();
        match &self.kind {
            Kind::Addr(set) => set.find(value.addr()?, alive),
            Kind::Bin(set) => set.find(value.bin(cx.scratch)?, alive),
            Kind::Int(set) => set.find(value.int()?, alive),
            Kind::Len(set) => set.find(value.str(cx.scratch)?.len() as i64, alive),
            Kind::Regex(set) => set.find(value.str(cx.scratch)?, any && !dead, alive),
            Kind::Text(set) if any && !dead => set.has(value.str(cx.scratch)?).then_some(0),
            Kind::Text(set) => set.find(value.str(cx.scratch)?, alive),
            Kind::Unused => None,
        }
    }

    /// Whether any entry matches.
    pub(super) fn matches<'a>(&self, value: Sample<'a>, cx: &EvalCtx<'a>) -> bool {
        self.place(value, true, cx).is_some()
    }

    /// The entry that matches best; `weigh` when there are other indices to compare with.
    pub(super) fn find<'a>(
        &self,
        value: Sample<'a>,
        weigh: bool,
        cx: &EvalCtx<'a>,
    ) -> Option<Found<'_>> {
        let at = self.place(value, false, cx)?;
        let (weight, regex) = match &self.kind {
            Kind::Addr(_) if weigh => (addr::specificity(self.entries[at as usize].key()), None),
            Kind::Regex(set) => (0, set.regex(at)),
            Kind::Text(set) if set.prefers_longest() => (set.len_of(at), None),
            Kind::Addr(_)
            | Kind::Bin(_)
            | Kind::Int(_)
            | Kind::Len(_)
            | Kind::Text(_)
            | Kind::Unused => (0, None),
        };
        Some(Found { entry: &self.entries[at as usize], weight, regex })
    }
}
