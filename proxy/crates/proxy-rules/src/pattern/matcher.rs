//! One way of comparing values with a list, and its snapshot of the list.

use std::sync::Arc;

use arc_swap::ArcSwap;
use regex::bytes::Regex;

use super::index::addr::Network;
use super::index::{Found, Index};
use super::{Entry, Method};
use crate::sample::{EvalCtx, Sample};

/// What the values of a list must be for one of its users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// An ACL, or a map that gives keys: values do not matter.
    None,
    Addr,
    Int,
    Str,
}

impl Output {
    /// Why `value` is none.
    pub(super) fn check(self, value: &[u8]) -> Result<(), String> {
        let text = || String::from_utf8_lossy(value);
        let valid = match self {
            Self::None | Self::Str => true,
            Self::Addr => text().parse::<std::net::IpAddr>().is_ok(),
            Self::Int => text().parse::<i64>().is_ok(),
        };
        let what = if self == Self::Addr { "an IP address" } else { "a number" };
        valid.then_some(()).ok_or_else(|| format!("the value '{}' is not {what}", text()))
    }
}

/// A user of a list.
#[derive(Debug)]
pub struct Matcher {
    method: Method,
    ignore_case: bool,
    output: Output,
    /// Sizes fall by [`GROWTH`] at least, so that there are few.
    indices: ArcSwap<Vec<Arc<Index>>>,
}

/// An index is joined with the next smaller one unless it is this many times larger.
const GROWTH: usize = 4;

impl Matcher {
    pub(super) fn new(method: Method, ignore_case: bool, output: Output) -> Self {
        Self { method, ignore_case, output, indices: ArcSwap::from_pointee(Vec::new()) }
    }

    /// Compares with patterns that belong to no list.
    ///
    /// # Errors
    /// Why one of them is no pattern of the method.
    pub(crate) fn fixed(method: Method, ignore_case: bool, keys: &[&[u8]]) -> Result<Self, String> {
        let matcher = Self::new(method, ignore_case, Output::None);
        let entries = keys.iter().map(|key| Entry::new(key, None)).collect();
        matcher.replace(matcher.index(entries).map_err(|(_, why)| why)?);
        Ok(matcher)
    }

    pub fn method(&self) -> Method {
        self.method
    }

    pub fn ignores_case(&self) -> bool {
        self.ignore_case
    }

    pub fn output(&self) -> Output {
        self.output
    }

    /// The networks that it compares addresses with, as first bits and their number in the 128-bit space: all
    /// addresses in the same ones match alike. `None` when it does not compare addresses, or by masks with holes.
    pub fn prefixes(&self) -> Option<Vec<(u128, u8)>> {
        if self.method != Method::Ip {
            return None;
        }
        let mut prefixes = Vec::new();
        for entry in self.indices.load().iter().flat_map(|index| index.living()) {
            prefixes.extend(Network::parse(entry.key()).ok()?.prefixes()?);
        }
        Some(prefixes)
    }

    /// Whether any pattern matches. A value that has no form to compare matches none.
    pub fn matches<'a>(&self, value: Sample<'a>, cx: &EvalCtx<'a>) -> bool {
        match self.method {
            Method::Bool => value.bool() == Some(true),
            Method::Found => true,
            _ => self.indices.load().iter().any(|index| index.matches(value, cx)),
        }
    }

    /// Hands the best match to `use_it`, with its expression if it is one.
    pub fn find<'a, T>(
        &self,
        value: Sample<'a>,
        cx: &EvalCtx<'a>,
        use_it: impl FnOnce(&Entry, Option<&Regex>) -> T,
    ) -> Option<T> {
        let indices = self.indices.load();
        let weigh = indices.len() > 1;
        let mut best: Option<Found<'_>> = None;
        for index in indices.iter() {
            let Some(found) = index.find(value, weigh, cx) else { continue };
            let rank = |f: &Found<'_>| (std::cmp::Reverse(f.weight), f.entry.id());
            if best.as_ref().is_none_or(|best| rank(&found) < rank(best)) {
                best = Some(found);
            }
        }
        best.map(|found| use_it(found.entry, found.regex))
    }

    /// An index of `entries`, for [`Matcher::replace`] or [`Matcher::append`].
    pub(super) fn index(&self, entries: Vec<Arc<Entry>>) -> Result<Index, (usize, String)> {
        for (at, entry) in entries.iter().enumerate() {
            entry
                .with_value(|value| self.output.check(value))
                .unwrap_or(Ok(()))
                .map_err(|why| (at, why))?;
        }
        Index::new(self.method, self.ignore_case, entries)
    }

    /// Takes `index` in place of everything.
    pub(super) fn replace(&self, index: Index) {
        let list = if index.len() == 0 { Vec::new() } else { vec![Arc::new(index)] };
        self.indices.store(Arc::new(list));
    }

    /// Adds `index` behind the others.
    pub(super) fn append(&self, index: Index) {
        let mut list = Vec::clone(&self.indices.load());
        let mut last = index;
        while let Some(before) = list.last()
            && before.len() < last.len().saturating_mul(GROWTH)
        {
            let entries = before.living().chain(last.living()).cloned().collect();
            // What could be indexed apart can be indexed together, but for the size of expressions.
            let Ok(joined) = self.index(entries) else { break };
            list.pop();
            last = joined;
        }
        list.push(Arc::new(last));
        self.indices.store(Arc::new(list));
    }

    /// Tells that entries were removed.
    pub(super) fn mark_dead(&self) {
        self.indices.load().iter().for_each(|index| index.mark_dead());
    }
}
