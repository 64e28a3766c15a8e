//! Authorities and revocation lists: what is judged by, and its changes.

use super::{Changed, Inner, LiveError, Store};
use crate::material;
use crate::verify::{Authorities, Change, Revoked, Trust};

impl Store {
    /// Adds a `ca-file` of the configuration.
    pub fn insert_authorities(&self, authorities: Authorities) {
        let name = authorities.name.clone();
        self.inner.lock().authorities.insert(&name, authorities);
    }

    /// Adds a `crl-file` of the configuration.
    pub fn insert_revoked(&self, revoked: Revoked) {
        let name = revoked.name.clone();
        self.inner.lock().revoked.insert(&name, revoked);
    }

    /// Whether there is a `ca-file` or `crl-file` of this name.
    #[must_use]
    pub fn knows(&self, name: &str) -> bool {
        let inner = self.inner.lock();
        inner.authorities.get(name).is_some() || inner.revoked.get(name).is_some()
    }

    /// What these `ca-file`s and this `crl-file` trust, all of which are there already.
    ///
    /// # Errors
    /// One of them is not.
    pub fn trust(&self, files: &[String], crl: Option<&str>) -> Result<Trust, String> {
        let inner = self.inner.lock();
        let missing = |name: &str| format!("'{name}' is not loaded");
        let authorities = files
            .iter()
            .map(|name| inner.authorities.get(name).cloned().ok_or_else(|| missing(name)));
        let authorities = authorities.collect::<Result<_, _>>()?;
        let revoked = match crl {
            None => None,
            Some(name) => Some(inner.revoked.get(name).cloned().ok_or_else(|| missing(name))?),
        };
        Ok(Trust::new(authorities, revoked))
    }

    /// Every `ca-file`, and the draft of one.
    #[must_use]
    pub fn authorities(&self) -> (Vec<Authorities>, Option<Authorities>) {
        let inner = self.inner.lock();
        (inner.authorities.all(), inner.authorities.draft())
    }

    /// Every `crl-file`, and the draft of one.
    #[must_use]
    pub fn revoked(&self) -> (Vec<Revoked>, Option<Revoked>) {
        let inner = self.inner.lock();
        (inner.revoked.all(), inner.revoked.draft())
    }

    /// Whether somebody judges by a file.
    #[must_use]
    pub fn has(&self, change: Change<'_>) -> bool {
        self.inner.lock().has(change)
    }

    /// `new ssl ca-file`.
    ///
    /// # Errors
    /// There is one of this name.
    pub fn create_authorities(&self, name: &str) -> Result<(), LiveError> {
        let empty = Authorities { name: name.to_owned(), certificates: Vec::new() };
        self.inner.lock().authorities.create(name, empty)
    }

    /// `new ssl crl-file`.
    ///
    /// # Errors
    /// There is one of this name.
    pub fn create_revoked(&self, name: &str) -> Result<(), LiveError> {
        let empty = Revoked::new(name, Vec::new()).map_err(LiveError::Text)?;
        self.inner.lock().revoked.create(name, empty)
    }

    /// `set ssl ca-file`, or `add ssl ca-file` to keep what is there.
    ///
    /// # Errors
    /// There is none of this name, another transaction is going on, or the text has no certificate.
    pub fn set_authorities(
        &self,
        name: &str,
        text: &[u8],
        add: bool,
    ) -> Result<Changed, LiveError> {
        self.inner.lock().authorities.set(name, |before| {
            let mut draft = before.clone();
            let new = material::certificates(text)?;
            if !add {
                draft.certificates.clear();
            }
            draft.certificates.extend(new);
            Ok(draft)
        })
    }

    /// `set ssl crl-file`.
    ///
    /// # Errors
    /// There is none of this name, another transaction is going on, or the text has no list.
    pub fn set_revoked(&self, name: &str, text: &[u8]) -> Result<Changed, LiveError> {
        self.inner
            .lock()
            .revoked
            .set(name, |_| Revoked::new(name, material::crls(text)?).map_err(LiveError::Text))
    }

    /// `commit ssl ca-file`. Tells how many lines judge by it.
    ///
    /// # Errors
    /// There is no such draft, or settings could not be prepared.
    pub fn commit_authorities(&self, name: &str) -> Result<usize, LiveError> {
        let mut inner = self.inner.lock();
        let draft = inner.authorities.pending(name)?;
        let count = inner.change(Change::Authorities(&draft))?;
        inner.authorities.commit();
        Ok(count)
    }

    /// `commit ssl crl-file`. Tells how many lines judge by it.
    ///
    /// # Errors
    /// There is no such draft, or settings could not be prepared.
    pub fn commit_revoked(&self, name: &str) -> Result<usize, LiveError> {
        let mut inner = self.inner.lock();
        let draft = inner.revoked.pending(name)?;
        let count = inner.change(Change::Revoked(&draft))?;
        inner.revoked.commit();
        Ok(count)
    }

    /// `abort ssl ca-file`.
    ///
    /// # Errors
    /// There is no such draft.
    pub fn abort_authorities(&self, name: &str) -> Result<(), LiveError> {
        self.inner.lock().authorities.abort(name)
    }

    /// `abort ssl crl-file`.
    ///
    /// # Errors
    /// There is no such draft.
    pub fn abort_revoked(&self, name: &str) -> Result<(), LiveError> {
        self.inner.lock().revoked.abort(name)
    }

    /// `del ssl ca-file`.
    ///
    /// # Errors
    /// There is none, or somebody judges by it.
    pub fn remove_authorities(&self, name: &str) -> Result<(), LiveError> {
        let mut inner = self.inner.lock();
        let known = inner.authorities.get(name).ok_or(LiveError::Unknown)?;
        if inner.has(Change::Authorities(known)) {
            return Err(LiveError::InUse);
        }
        inner.authorities.remove(name);
        Ok(())
    }

    /// `del ssl crl-file`.
    ///
    /// # Errors
    /// There is none, or somebody judges by it.
    pub fn remove_revoked(&self, name: &str) -> Result<(), LiveError> {
        let mut inner = self.inner.lock();
        let known = inner.revoked.get(name).ok_or(LiveError::Unknown)?;
        if inner.has(Change::Revoked(known)) {
            return Err(LiveError::InUse);
        }
        inner.revoked.remove(name);
        Ok(())
    }
}

impl Inner {
    fn has(&self, change: Change<'_>) -> bool {
        self.listeners.iter().any(|bound| bound.listener.has(change))
            || self.clients().any(|client| client.has(change))
    }

    /// Lets everyone take up a change; tells how many did.
    fn change(&self, change: Change<'_>) -> Result<usize, LiveError> {
        let failed = |error: crate::settings::SettingsError| LiveError::Text(error.to_string());
        let mut count = 0;
        for bound in &self.listeners {
            count += bound.listener.change(change).map_err(failed)?;
        }
        for client in self.clients() {
            count += usize::from(client.change(change).map_err(failed)?);
        }
        Ok(count)
    }
}
