//! The certificates of a `bind` line: which one a client gets, and with which settings.

mod profile;
mod table;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::server::ClientHello;

pub use profile::{Options, Profile, Shared, Verify};
pub use table::Filter;

use crate::forge::Forge;
use crate::material::Certificate;
use crate::settings::SettingsError;
use crate::verify::Change;
use table::{Offer, Table};

/// A name in the store of certificates, and what it stands for at the time.
#[derive(Debug)]
pub struct Slot {
    /// The path of the file, or the alias.
    pub name: Arc<str>,
    current: ArcSwap<Certificate>,
}

impl Slot {
    /// A name for a certificate.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, certificate: Arc<Certificate>) -> Self {
        Self { name: name.into(), current: ArcSwap::new(certificate) }
    }

    /// The certificate.
    #[must_use]
    pub fn certificate(&self) -> Arc<Certificate> {
        self.current.load_full()
    }

    /// Puts another certificate in its place. Listeners show it after [`Listener::refresh`].
    pub fn replace(&self, certificate: Arc<Certificate>) {
        self.current.store(certificate);
    }
}

/// One use of a certificate: a `crt`, or a line of a `crt-list`.
#[derive(Clone, Debug)]
pub struct Entry {
    pub slot: Arc<Slot>,
    /// Settings of the line.
    pub profile: Arc<Profile>,
    /// Host names it is for; those in the certificate when there are none.
    pub filters: Vec<Filter>,
    /// Shown to clients that name no host, or one that no certificate is for.
    pub default: bool,
    /// Where it stands, when that is in a list or a directory.
    pub line: Option<Line>,
}

/// A line of a `crt-list`; files of a directory count as lines, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The list's name.
    pub list: Arc<str>,
    /// From 1.
    pub number: usize,
    /// As they were written.
    pub options: Arc<str>,
}

/// What a listener shows to clients.
#[derive(Debug)]
pub struct Listener {
    /// Settings of the `bind` line.
    profile: ArcSwap<Profile>,
    entries: Mutex<Vec<Entry>>,
    table: ArcSwap<Table>,
    strict: AtomicBool,
    /// `generate-certificates`.
    forge: Option<Forge>,
}

/// A certificate that was chosen.
#[derive(Clone, Debug)]
pub struct Chosen {
    pub config: Arc<ServerConfig>,
    pub certificate: Arc<Certificate>,
    /// Its name in the store.
    pub name: Arc<str>,
}

impl Listener {
    /// A listener with these certificates, of which the first is the default when no other says that it is one.
    #[must_use]
    pub fn new(profile: Arc<Profile>, mut entries: Vec<Entry>, strict_sni: bool) -> Self {
        // The first one is a default, whatever others are (configuration manual, 5.1 "default-crt").
        if let Some(first) = entries.first_mut() {
            first.default = true;
        }
        let table = ArcSwap::from_pointee(Table::new(&entries, None));
        let profile = ArcSwap::new(profile);
        Self {
            profile,
            entries: Mutex::new(entries),
            table,
            strict: AtomicBool::new(strict_sni),
            forge: None,
        }
    }

    /// Makes certificates for names that there is none for.
    #[must_use]
    pub fn forging(mut self, forge: Option<Forge>) -> Self {
        self.forge = forge;
        self
    }

    /// One that is made for a name, with the key of the default.
    fn forged(&self, name: &str, offer: Offer, table: &Table) -> Option<Chosen> {
        let forge = self.forge.as_ref()?;
        let base = table.choose(None, offer, true)?;
        forge.choose(name, &base.certificate, &self.profile.load_full())
    }

    /// Chooses for a client. `None` refuses it: nothing fits and `strict-sni` forbids a default, or there is none.
    #[must_use]
    pub fn choose(&self, hello: &ClientHello<'_>) -> Option<Chosen> {
        let table = self.table.load();
        let offer = Offer::new(hello);
        let or_default = !self.strict.load(Ordering::Relaxed);
        let made = || self.forged(hello.server_name()?, offer, &table);
        let mut chosen = match table.choose(hello.server_name(), offer, false).or_else(made) {
            Some(chosen) => chosen,
            None => table.choose(None, offer, or_default)?,
        };
        // No protocol in common is no error here, as it is none with OpenSSL.
        let ours = &chosen.config.alpn_protocols;
        let known = |name: &[u8]| ours.iter().any(|own| own == name);
        if !ours.is_empty() && hello.alpn().is_some_and(|mut theirs| !theirs.any(known)) {
            let mut without = (*chosen.config).clone();
            without.alpn_protocols = Vec::new();
            chosen.config = Arc::new(without);
        }
        Some(chosen)
    }

    /// Settings of the `bind` line.
    #[must_use]
    pub fn profile(&self) -> Arc<Profile> {
        self.profile.load_full()
    }

    /// Whether a change of a file is one of its settings.
    #[must_use]
    pub fn has(&self, change: Change<'_>) -> bool {
        self.profile().has(change)
            || self.with_entries(|list| list.iter().any(|entry| entry.profile.has(change)))
    }

    /// Takes up a change of a file. Tells how many lines do.
    ///
    /// # Errors
    /// Settings could not be prepared; nothing has changed then.
    pub fn change(&self, change: Change<'_>) -> Result<usize, SettingsError> {
        let mut made: Vec<(Arc<Profile>, Arc<Profile>)> = Vec::new();
        let mut renew = |old: &Arc<Profile>| -> Result<Option<Arc<Profile>>, SettingsError> {
            if let Some((_, new)) = made.iter().find(|(known, _)| Arc::ptr_eq(known, old)) {
                return Ok(Some(new.clone()));
            }
            let Some(profile) = old.changed(change).transpose()? else { return Ok(None) };
            let profile = Arc::new(profile);
            made.push((old.clone(), profile.clone()));
            Ok(Some(profile))
        };
        let mut entries = self.with_entries(<[Entry]>::to_vec);
        let own = renew(&self.profile())?;
        let mut count = 0;
        for entry in &mut entries {
            if let Some(profile) = renew(&entry.profile)? {
                entry.profile = profile;
                count += 1;
            }
        }
        if let Some(own) = own {
            self.profile.store(own);
        }
        if count > 0 {
            self.update(|list| *list = entries);
        }
        Ok(count)
    }

    /// Takes up certificates that were replaced. Handshakes that are under way keep theirs.
    pub fn refresh(&self) {
        let entries = self.entries.lock();
        let before = self.table.load();
        self.table.store(Arc::new(Table::new(&entries, Some(&before))));
    }

    /// Looks at, or changes, the entries; changes are in force when it returns.
    pub fn update<T>(&self, change: impl FnOnce(&mut Vec<Entry>) -> T) -> T {
        let mut entries = self.entries.lock();
        let value = change(&mut entries);
        let before = self.table.load();
        self.table.store(Arc::new(Table::new(&entries, Some(&before))));
        value
    }

    /// Looks at the entries.
    pub fn with_entries<T>(&self, look: impl FnOnce(&[Entry]) -> T) -> T {
        look(&self.entries.lock())
    }

    /// Whether clients must name a host that a certificate is for.
    #[must_use]
    pub fn is_strict(&self) -> bool {
        self.strict.load(Ordering::Relaxed)
    }
}
