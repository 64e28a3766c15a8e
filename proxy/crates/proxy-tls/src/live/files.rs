//! Files of one kind that change by transactions.

use std::collections::BTreeMap;

use super::{Changed, LiveError};

/// Files by name, and the draft of one of them.
pub(super) struct Files<T> {
    known: BTreeMap<String, T>,
    draft: Option<(String, T)>,
}

impl<T> Default for Files<T> {
    fn default() -> Self {
        Self { known: BTreeMap::new(), draft: None }
    }
}

impl<T: Clone> Files<T> {
    pub(super) fn insert(&mut self, name: &str, file: T) {
        self.known.insert(name.to_owned(), file);
    }

    pub(super) fn get(&self, name: &str) -> Option<&T> {
        self.known.get(name)
    }

    pub(super) fn all(&self) -> Vec<T> {
        self.known.values().cloned().collect()
    }

    pub(super) fn draft(&self) -> Option<T> {
        self.draft.as_ref().map(|(_, file)| file.clone())
    }

    /// `new ssl ...-file`.
    pub(super) fn create(&mut self, name: &str, empty: T) -> Result<(), LiveError> {
        if self.known.contains_key(name) {
            return Err(LiveError::Exists);
        }
        self.known.insert(name.to_owned(), empty);
        Ok(())
    }

    /// `set ssl ...-file`: `make` gets the draft, or else what is there.
    pub(super) fn set(
        &mut self,
        name: &str,
        make: impl FnOnce(&T) -> Result<T, LiveError>,
    ) -> Result<Changed, LiveError> {
        let known = self.known.get(name).ok_or(LiveError::Unknown)?;
        let (created, before) = match &self.draft {
            None => (true, known),
            Some((own, draft)) if own == name => (false, draft),
            Some((other, _)) => return Err(LiveError::OtherTransaction(other.clone())),
        };
        self.draft = Some((name.to_owned(), make(before)?));
        Ok(Changed { name: name.to_owned(), created })
    }

    /// The draft of a file, to be committed.
    pub(super) fn pending(&self, name: &str) -> Result<T, LiveError> {
        match &self.draft {
            None => Err(LiveError::NoTransaction),
            Some((own, draft)) if own == name => Ok(draft.clone()),
            Some((other, _)) => Err(LiveError::OtherTransaction(other.clone())),
        }
    }

    /// Puts the draft in its file's place.
    pub(super) fn commit(&mut self) {
        if let Some((name, file)) = self.draft.take() {
            self.known.insert(name, file);
        }
    }

    pub(super) fn abort(&mut self, name: &str) -> Result<(), LiveError> {
        self.pending(name)?;
        self.draft = None;
        Ok(())
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.known.remove(name);
        if self.draft.as_ref().is_some_and(|(own, _)| own == name) {
            self.draft = None;
        }
    }
}
