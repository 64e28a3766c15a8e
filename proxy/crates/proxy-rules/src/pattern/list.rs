//! A list of patterns: its entries by version, its users, and the changes that are possible at run time
//! (management guide, 9.3 "add map" and others).

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use rustc_hash::{FxHashMap, FxHasher};
use smallvec::SmallVec;

use super::matcher::{Matcher, Output};
use super::{Entry, Method};
use crate::sample::{EvalCtx, Sample, Type};

/// Why a change of a list is refused; in HAProxy's words, which scripts look at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    #[error("Version number out of range.")]
    VersionOutOfRange,
    #[error("Version number in the future, please use 'prepare {}' before.", if *map { "map" } else { "acl" })]
    VersionInTheFuture { map: bool },
    #[error("Key not found.")]
    NoSuchKey,
    #[error("entry not found.")]
    NoSuchEntry,
    #[error("{0}.")]
    Invalid(String),
}

/// Which entries a change is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'k> {
    /// All entries with this pattern.
    Key(&'k [u8]),
    /// The one with this [`Entry::id`].
    Id(u64),
}

/// What a user of the list says of a value (`get map`).
#[derive(Clone, Debug)]
pub struct Hit {
    pub method: Method,
    pub ignore_case: bool,
    /// What the values of this user are; `None` for ACLs.
    pub output: Option<Type>,
    pub entry: Option<(Vec<u8>, Option<Vec<u8>>)>,
}

/// A list of patterns, shared by all ACLs and maps that name it.
#[derive(Debug)]
pub struct PatternList {
    id: AtomicU32,
    /// `None` for patterns that stand in the configuration.
    name: Option<Box<str>>,
    /// Entries have values.
    map: bool,
    state: Mutex<State>,
    watch: Hook,
}

/// What is called after a list was changed, for all lists of a configuration; set once.
#[derive(Clone, Default)]
pub(super) struct Hook(pub(super) Arc<OnceLock<Box<dyn Fn() + Send + Sync>>>);

impl std::fmt::Debug for Hook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hook")
    }
}

impl Hook {
    fn call(&self) {
        if let Some(hook) = self.0.get() {
            hook();
        }
    }
}

#[derive(Debug, Default)]
struct State {
    /// The version that is matched against.
    current: u32,
    /// The version that was prepared last.
    next: u32,
    /// In order of their numbers.
    versions: BTreeMap<u32, BTreeMap<u64, Arc<Entry>>>,
    /// Entries of the current version by the hash of their pattern; made when first needed.
    by_key: Option<FxHashMap<u64, SmallVec<[u64; 1]>>>,
    /// Removed entries that indices still hold.
    dead: usize,
    matchers: Vec<Arc<Matcher>>,
    /// Where the list is used, for listings.
    uses: Vec<Box<str>>,
    used_by_map: bool,
    used_by_acl: bool,
}

fn hash(key: &[u8]) -> u64 {
    let mut hasher = FxHasher::default();
    key.hash(&mut hasher);
    hasher.finish()
}

impl State {
    fn entries(&mut self) -> &mut BTreeMap<u64, Arc<Entry>> {
        self.versions.entry(self.current).or_default()
    }

    fn find(&mut self, target: Target<'_>) -> SmallVec<[Arc<Entry>; 2]> {
        let key = match target {
            Target::Id(id) => return self.entries().get(&id).cloned().into_iter().collect(),
            Target::Key(key) => key,
        };
        if self.by_key.is_none() {
            let mut by_key: FxHashMap<u64, SmallVec<[u64; 1]>> = FxHashMap::default();
            for (id, entry) in self.entries().iter() {
                by_key.entry(hash(entry.key())).or_default().push(*id);
            }
            self.by_key = Some(by_key);
        }
        let ids = self.by_key.as_ref().and_then(|m| m.get(&hash(key))).cloned().unwrap_or_default();
        let entries = self.entries();
        let found = ids.iter().filter_map(|id| entries.get(id)).filter(|e| e.key() == key);
        found.cloned().collect()
    }

    /// Indexes the current version anew for every user.
    fn rebuild(&mut self) -> Result<(), (usize, String)> {
        let entries: Vec<_> = self.entries().values().cloned().collect();
        let mut indices = Vec::with_capacity(self.matchers.len());
        for matcher in &self.matchers {
            indices.push(matcher.index(entries.clone())?);
        }
        for (matcher, index) in self.matchers.iter().zip(indices) {
            matcher.replace(index);
        }
        self.by_key = None;
        self.dead = 0;
        Ok(())
    }
}

impl PatternList {
    pub(super) fn new(id: u32, name: Option<&str>, map: bool, watch: Hook) -> Self {
        let name = name.map(Into::into);
        Self { id: AtomicU32::new(id), name, map, state: Mutex::default(), watch }
    }

    /// Number in the CLI, given by `-u` or in order.
    pub fn id(&self) -> u32 {
        self.id.load(Ordering::Relaxed)
    }

    pub(super) fn set_id(&self, id: u32) {
        self.id.store(id, Ordering::Relaxed);
    }

    /// The name of the file, or `virt@...`; `None` for patterns that stand in the configuration.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Whether entries have values.
    pub fn is_map(&self) -> bool {
        self.map
    }

    /// Whether a map converter uses it.
    pub fn is_used_by_map(&self) -> bool {
        self.state.lock().used_by_map
    }

    /// Whether an ACL uses it.
    pub fn is_used_by_acl(&self) -> bool {
        self.state.lock().used_by_acl
    }

    /// The line of `show acl` and `show map`, without the number and the name.
    pub fn description(&self) -> String {
        let state = self.state.lock();
        let uses = match state.uses.as_slice() {
            [] => "without a user".to_owned(),
            uses => uses.join(", "),
        };
        let what = match &self.name {
            Some(name) if name.starts_with("virt@") => format!("virtual list '{name}' used {uses}"),
            Some(name) => format!("pattern loaded from file '{name}' used {uses}"),
            None => uses,
        };
        let count: usize = state.versions.values().map(BTreeMap::len).sum();
        format!("{what}. curr_ver={} next_ver={} entry_cnt={count}", state.current, state.next)
    }

    /// The version that is matched against, and the one prepared last.
    pub fn versions(&self) -> (u32, u32) {
        let state = self.state.lock();
        (state.current, state.next)
    }

    /// The entries of a version, of the current one by default, in order.
    pub fn entries(&self, version: Option<u32>) -> Vec<Arc<Entry>> {
        let state = self.state.lock();
        let version = version.unwrap_or(state.current);
        state.versions.get(&version).map_or_else(Vec::new, |v| v.values().cloned().collect())
    }

    /// A way of comparing with this list. Users that compare alike share one.
    pub(crate) fn user(
        &self,
        method: Method,
        ignore_case: bool,
        output: Output,
        by_map: bool,
        place: &str,
    ) -> Result<Arc<Matcher>, (usize, String)> {
        let mut state = self.state.lock();
        let same = |m: &&Arc<Matcher>| {
            (m.method(), m.ignores_case(), m.output()) == (method, ignore_case, output)
        };
        let matcher = match state.matchers.iter().find(same) {
            Some(matcher) => matcher.clone(),
            None => {
                let matcher = Arc::new(Matcher::new(method, ignore_case, output));
                let entries = state.entries().values().cloned().collect();
                matcher.replace(matcher.index(entries)?);
                state.matchers.push(matcher.clone());
                matcher
            }
        };
        if !place.is_empty() {
            state.uses.push(place.into());
        }
        state.used_by_map |= by_map;
        state.used_by_acl |= !by_map;
        Ok(matcher)
    }

    /// Fills a new list: nobody uses it yet.
    pub(super) fn load<'p>(&self, pairs: impl Iterator<Item = (&'p [u8], Option<&'p [u8]>)>) {
        let mut state = self.state.lock();
        let entries = state.entries();
        for (key, value) in pairs {
            let entry = Entry::new(key, value);
            entries.insert(entry.id(), entry);
        }
    }

    /// Adds entries to the current version, or to one that was prepared. All of them or none.
    ///
    /// # Errors
    /// A version that does not exist; a pattern or value that a user of the list cannot take.
    pub fn add(
        &self,
        version: Option<u32>,
        pairs: &[(&[u8], Option<&[u8]>)],
    ) -> Result<(), ListError> {
        let mut state = self.state.lock();
        let version = self.version(&state, version)?;
        let entries: Vec<_> = pairs
            .iter()
            .map(|(key, value)| Entry::new(key, value.or(self.map.then_some(b"".as_slice()))))
            .collect();
        let mut indices = Vec::with_capacity(state.matchers.len());
        for matcher in &state.matchers {
            let index = matcher.index(entries.clone());
            indices.push(index.map_err(|(_, why)| ListError::Invalid(why))?);
        }
        if version == state.current {
            for (matcher, index) in state.matchers.iter().zip(indices) {
                matcher.append(index);
            }
            if let Some(by_key) = &mut state.by_key {
                for entry in &entries {
                    by_key.entry(hash(entry.key())).or_default().push(entry.id());
                }
            }
        }
        let of_version = state.versions.entry(version).or_default();
        of_version.extend(entries.into_iter().map(|entry| (entry.id(), entry)));
        drop(state);
        self.watch.call();
        Ok(())
    }

    fn version(&self, state: &State, version: Option<u32>) -> Result<u32, ListError> {
        let version = version.unwrap_or(state.current);
        if version.wrapping_sub(state.current) > state.next.wrapping_sub(state.current) {
            return Err(ListError::VersionInTheFuture { map: self.map });
        }
        Ok(version)
    }

    /// Adds an entry, or sets the value of those that are there (`set-map`, `add-acl`).
    ///
    /// # Errors
    /// A pattern or value that a user of the list cannot take.
    pub fn put(&self, key: &[u8], value: Option<&[u8]>) -> Result<(), ListError> {
        let exists = !self.state.lock().find(Target::Key(key)).is_empty();
        match (exists, value) {
            (false, _) => self.add(None, &[(key, value)]),
            (true, Some(value)) => self.set(Target::Key(key), value),
            (true, None) => Ok(()),
        }
    }

    /// Sets the value of entries of the current version.
    ///
    /// # Errors
    /// No such entry; a value that a user cannot take.
    pub fn set(&self, target: Target<'_>, value: &[u8]) -> Result<(), ListError> {
        let mut state = self.state.lock();
        for matcher in &state.matchers {
            matcher.output().check(value).map_err(ListError::Invalid)?;
        }
        let found = state.find(target);
        if found.is_empty() {
            return Err(ListError::NoSuchEntry);
        }
        found.iter().for_each(|entry| entry.set_value(value));
        drop(state);
        self.watch.call();
        Ok(())
    }

    /// Removes entries of the current version.
    ///
    /// # Errors
    /// No such entry.
    pub fn delete(&self, target: Target<'_>) -> Result<(), ListError> {
        let mut state = self.state.lock();
        let found = state.find(target);
        if found.is_empty() {
            return Err(ListError::NoSuchKey);
        }
        for entry in &found {
            entry.kill();
            state.entries().remove(&entry.id());
        }
        if let (Target::Key(key), Some(by_key)) = (target, &mut state.by_key) {
            by_key.remove(&hash(key));
        } else if let (Some(entry), Some(by_key)) = (found.first(), &mut state.by_key)
            && let Some(ids) = by_key.get_mut(&hash(entry.key()))
        {
            ids.retain(|id| *id != entry.id());
        }
        state.dead += found.len();
        let living = state.entries().len();
        if state.dead > 16 && state.dead > living / 2 {
            // What was indexed before can be indexed with less.
            state.rebuild().map_err(|(_, why)| ListError::Invalid(why))?;
        } else {
            state.matchers.iter().for_each(|matcher| matcher.mark_dead());
        }
        drop(state);
        self.watch.call();
        Ok(())
    }

    /// Removes all entries of a version, of the current one by default.
    ///
    /// # Errors
    /// A version that does not exist.
    pub fn clear(&self, version: Option<u32>) -> Result<(), ListError> {
        let mut state = self.state.lock();
        let version = self.version(&state, version)?;
        state.versions.remove(&version);
        if version == state.current {
            state.rebuild().map_err(|(_, why)| ListError::Invalid(why))?;
        }
        drop(state);
        self.watch.call();
        Ok(())
    }

    /// Opens a new version.
    pub fn prepare(&self) -> u32 {
        let mut state = self.state.lock();
        state.next = state.next.wrapping_add(1);
        state.next
    }

    /// Makes a version the current one and forgets those before it.
    ///
    /// # Errors
    /// A version that was not prepared; expressions that are too large together, in which case nothing changes.
    pub fn commit(&self, version: u32) -> Result<(), ListError> {
        let mut state = self.state.lock();
        let ahead = version.wrapping_sub(state.current);
        if ahead == 0 || ahead > state.next.wrapping_sub(state.current) {
            return Err(ListError::VersionOutOfRange);
        }
        let before = std::mem::replace(&mut state.current, version);
        if let Err((_, why)) = state.rebuild() {
            state.current = before;
            return Err(ListError::Invalid(why));
        }
        let next = state.next;
        state.versions.retain(|v, _| v.wrapping_sub(version) <= next.wrapping_sub(version));
        drop(state);
        self.watch.call();
        Ok(())
    }

    /// What every user says of `text` (`get map`).
    pub fn look_up(&self, text: &[u8], cx: &EvalCtx<'_>) -> Vec<Hit> {
        let matchers = self.state.lock().matchers.clone();
        let text = cx.scratch.alloc_slice_copy(text);
        let hit = |matcher: &Arc<Matcher>| Hit {
            method: matcher.method(),
            ignore_case: matcher.ignores_case(),
            output: match matcher.output() {
                Output::None => None,
                Output::Addr => Some(Type::Addr),
                Output::Int => Some(Type::Sint),
                Output::Str => Some(Type::Str),
            },
            entry: matcher.find(Sample::Str(text), cx, |entry, _| {
                (entry.key().to_vec(), entry.with_value(<[u8]>::to_vec))
            }),
        };
        matchers.iter().map(hit).collect()
    }
}

#[cfg(test)]
mod tests;
