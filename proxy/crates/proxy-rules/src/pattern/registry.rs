//! All pattern lists of a configuration, by name and by number.

use std::ops::Deref;
use std::sync::Arc;

use parking_lot::Mutex;
use rustc_hash::FxHashSet;

use super::file;
use super::list::{Hook, PatternList};
use crate::sample::parse::Loader;

/// The pattern lists of a configuration.
#[derive(Debug, Default)]
pub struct PatternLists {
    lists: Mutex<Lists>,
    watch: Hook,
}

#[derive(Debug, Default)]
struct Lists {
    all: Vec<Listed>,
    taken: FxHashSet<u32>,
    /// Every number below it is taken: lists never go.
    low: u32,
}

impl Lists {
    /// Takes the smallest number that no list has.
    fn take_free(&mut self) -> u32 {
        while !self.taken.insert(self.low) {
            self.low += 1;
        }
        self.low
    }
}

impl Deref for Lists {
    type Target = [Listed];
    fn deref(&self) -> &[Listed] {
        &self.all
    }
}

#[derive(Debug)]
struct Listed {
    list: Arc<PatternList>,
    /// The number was asked for with `-u`.
    fixed: bool,
}

impl PatternLists {
    /// Has `hook` called after each change of a list at run time. It must return soon; only the first one counts.
    pub fn watch(&self, hook: Box<dyn Fn() + Send + Sync>) {
        let _ = self.watch.0.set(hook);
    }

    /// Every list, by number.
    pub fn all(&self) -> Vec<Arc<PatternList>> {
        let mut all: Vec<_> = self.lists.lock().iter().map(|listed| listed.list.clone()).collect();
        all.sort_by_key(|list| list.id());
        all
    }

    /// The list that the CLI calls `#<number>` or by its name.
    pub fn find(&self, reference: &str) -> Option<Arc<PatternList>> {
        let lists = self.lists.lock();
        let found = match reference.strip_prefix('#') {
            Some(id) => {
                let id: u32 = id.parse().ok()?;
                lists.iter().find(|listed| listed.list.id() == id)
            }
            None => lists.iter().find(|listed| listed.list.name() == Some(name_of(reference).1)),
        };
        found.map(|listed| listed.list.clone())
    }

    /// The list called `reference`, read when it is new: `file@x` or `x` must exist, `opt@x` may, `virt@x` is no file.
    ///
    /// # Errors
    /// The file cannot be read, or was read with another number of columns.
    pub(crate) fn named(
        &self,
        reference: &str,
        map: bool,
        loader: &dyn Loader,
    ) -> Result<Arc<PatternList>, String> {
        let (kind, name) = name_of(reference);
        if let Some(listed) =
            self.lists.lock().iter().find(|listed| listed.list.name() == Some(name))
        {
            let columns = |map| if map { "two columns (a map)" } else { "one column" };
            if listed.list.is_map() != map {
                return Err(format!(
                    "it is used with {} elsewhere and cannot be used with {}",
                    columns(!map),
                    columns(map)
                ));
            }
            return Ok(listed.list.clone());
        }
        let content = match (kind, loader.load(name)) {
            (Kind::Virtual, _) => Vec::new(),
            (_, Ok(content)) => content,
            (Kind::Optional, Err(_)) => Vec::new(),
            (Kind::File, Err(why)) => return Err(why),
        };
        let list = self.push(Some(name), map, None)?;
        list.load(file::lines(&content, map).map(|line| (line.key, line.value)));
        Ok(list)
    }

    /// The line of a file that the entry at `index` came from, for messages.
    pub(crate) fn line_of(
        reference: &str,
        map: bool,
        index: usize,
        loader: &dyn Loader,
    ) -> Option<usize> {
        let content = loader.load(name_of(reference).1).ok()?;
        file::lines(&content, map).nth(index).map(|line| line.number)
    }

    /// A list without a name, for patterns that stand in the configuration.
    ///
    /// # Errors
    /// `id` is taken.
    pub(crate) fn inline(
        &self,
        keys: &[Vec<u8>],
        id: Option<u32>,
    ) -> Result<Arc<PatternList>, String> {
        let list = self.push(None, false, id)?;
        list.load(keys.iter().map(|key| (key.as_slice(), None)));
        Ok(list)
    }

    fn push(
        &self,
        name: Option<&str>,
        map: bool,
        id: Option<u32>,
    ) -> Result<Arc<PatternList>, String> {
        let mut lists = self.lists.lock();
        if let Some(id) = id
            && let Some(holder) = lists.iter().find(|listed| listed.list.id() == id)
        {
            if holder.fixed {
                return Err(format!("the id {id} is already used by another list"));
            }
            // A number that was only given in order makes room.
            let holder = holder.list.clone();
            holder.set_id(lists.take_free());
        }
        let number = match id {
            Some(id) => {
                lists.taken.insert(id);
                id
            }
            None => lists.take_free(),
        };
        let list = Arc::new(PatternList::new(number, name, map, self.watch.clone()));
        lists.all.push(Listed { list: list.clone(), fixed: id.is_some() });
        Ok(list)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    File,
    Optional,
    Virtual,
}

/// The kind of a name (configuration manual, 2.7), and what identifies the list.
fn name_of(reference: &str) -> (Kind, &str) {
    if let Some(name) = reference.strip_prefix("file@") {
        (Kind::File, name)
    } else if let Some(name) = reference.strip_prefix("opt@") {
        (Kind::Optional, name)
    } else if reference.starts_with("virt@") {
        (Kind::Virtual, reference)
    } else {
        (Kind::File, reference)
    }
}
