//! Certificates of a running worker: what the runtime API looks at and changes.
//!
//! A change is prepared as a draft and takes effect at once for all who show the certificate, or not at all.
//! Connections keep what they were made with.

mod files;
mod ocsp;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::client::Client;
use crate::listener::{Entry, Filter, Listener, Profile, Slot};
use crate::material::{self, Certificate, MaterialError, Parts};
use crate::ocsp::{Id, OcspError, Response};
use crate::ticket::TicketKeys;
use crate::verify::{Authorities, Change, Revoked, Trust};
use files::Files;
pub use ocsp::{Course, Delays, Job, OcspView, Outcome};

/// A listener and where it is.
#[derive(Clone, Debug)]
pub struct Bound {
    pub frontend: Arc<str>,
    /// `file:line` of its `bind` line.
    pub place: Arc<str>,
    pub listener: Arc<Listener>,
    pub maker: Maker,
}

/// Makes the settings of a new line of a list out of its options.
#[derive(Clone)]
pub struct Maker(pub Arc<MakeProfile>);

/// What the options of a line ask for.
pub struct Made {
    pub profile: Arc<Profile>,
    /// `ocsp-update on`.
    pub ocsp_update: bool,
}

type MakeProfile = dyn Fn(&str) -> Result<Made, String> + Send + Sync;

impl fmt::Debug for Maker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Maker")
    }
}

/// What stops a change.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    #[error("there is none of this name")]
    Unknown,
    #[error("it exists already")]
    Exists,
    #[error("no ongoing transaction")]
    NoTransaction,
    #[error("the ongoing transaction is about '{0}'")]
    OtherTransaction(String),
    /// There is no such list.
    #[error("there is no list of this name")]
    NoList,
    /// Lines that the certificate stands on, when one must be chosen.
    #[error("it stands on several lines")]
    Several(Vec<usize>),
    /// Lines that the certificate stands on, none of which was asked for.
    #[error("it stands on other lines")]
    OtherLines(Vec<usize>),
    #[error("it is in use")]
    InUse,
    #[error("no responder or issuer of it is known")]
    NoResponder,
    /// Created, and never filled.
    #[error("it is empty")]
    Empty,
    #[error("it is the default certificate of a bind line")]
    Default(Vec<Bound>),
    #[error(transparent)]
    Material(#[from] MaterialError),
    #[error("{0}")]
    Text(String),
}

/// A certificate as it will be.
#[derive(Debug, Default)]
struct Draft {
    name: String,
    chain: Vec<CertificateDer<'static>>,
    key: Option<PrivateKeyDer<'static>>,
    issuer: Option<CertificateDer<'static>>,
    ocsp: Option<Vec<u8>>,
    /// The response came with the transaction.
    own_ocsp: bool,
}

impl Draft {
    fn of(name: &str, certificate: Option<&Certificate>) -> Self {
        let mut draft = Self { name: name.to_owned(), ..Self::default() };
        if let Some(certificate) = certificate {
            draft.chain.clone_from(&certificate.chain);
            draft.key = Some(certificate.key_der.clone_key());
            draft.issuer.clone_from(&certificate.issuer);
            draft.ocsp.clone_from(&certificate.ocsp);
        }
        draft
    }

    fn build(&self) -> Result<Certificate, MaterialError> {
        let key = self.key.as_ref().map(PrivateKeyDer::clone_key);
        let own = Parts::new(self.chain.clone(), key);
        let certificate = Certificate::new(own, None, self.issuer.clone())?;
        let Some(response) = &self.ocsp else { return Ok(certificate) };
        let id = Response::parse(response)?.id;
        if certificate.ocsp_id.as_ref() == Some(&id) {
            return Ok(certificate.with_ocsp(Some(response.clone()), true));
        }
        // The response of the former certificate is of no use for another one.
        if self.own_ocsp { Err(OcspError::OtherCertificate.into()) } else { Ok(certificate) }
    }
}

/// A part of a certificate that has a file of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Whole,
    Key,
    Issuer,
    Ocsp,
}

const PARTS: [(&str, Part); 3] =
    [(".key", Part::Key), (".issuer", Part::Issuer), (".ocsp", Part::Ocsp)];

#[derive(Default)]
struct Inner {
    /// `None` is one that was created and not filled yet.
    slots: BTreeMap<String, Option<Arc<Slot>>>,
    listeners: Vec<Bound>,
    clients: Vec<Arc<Client>>,
    draft: Option<Draft>,
    authorities: Files<Authorities>,
    revoked: Files<Revoked>,
    /// Certificates with `ocsp-update on`, and the order they were named in.
    ocsp_updated: BTreeMap<String, usize>,
    /// How updates of responses went.
    courses: BTreeMap<Id, Course>,
    ticket_keys: Vec<(String, Arc<TicketKeys>)>,
    /// `crt-base`.
    base: Option<String>,
    /// Names whose file for the key replaces `.crt` by `.key`.
    del_ext: bool,
}

/// The certificates of a worker.
#[derive(Default)]
pub struct Store {
    inner: Mutex<Inner>,
}

/// A certificate and whether somebody shows it.
#[derive(Clone, Debug)]
pub struct View {
    pub certificate: Option<Arc<Certificate>>,
    pub used: bool,
}

/// How a change of a draft went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The certificate that the transaction is about.
    pub name: String,
    /// The transaction began with this.
    pub created: bool,
}

/// A line of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListLine {
    pub certificate: Arc<str>,
    pub number: usize,
    pub options: Arc<str>,
    pub filters: Vec<String>,
}

/// A host name of a listener.
#[derive(Clone, Debug)]
pub struct Sni {
    pub frontend: Arc<str>,
    pub place: Arc<str>,
    pub name: String,
    pub except: Vec<String>,
    pub file: Arc<str>,
    pub certificate: Arc<Certificate>,
}

impl Store {
    /// Adds a certificate of the configuration.
    pub fn insert(&self, slot: Arc<Slot>) {
        self.inner.lock().slots.insert(slot.name.to_string(), Some(slot));
    }

    /// Adds a listener.
    pub fn add_listener(&self, bound: Bound) {
        self.inner.lock().listeners.push(bound);
    }

    /// Adds what a server is shown.
    pub fn add_client(&self, client: Arc<Client>) {
        self.inner.lock().clients.push(client);
    }

    /// Adds the keys of a `tls-ticket-keys` file.
    pub fn insert_ticket_keys(&self, file: &str, keys: Arc<TicketKeys>) {
        self.inner.lock().ticket_keys.push((file.to_owned(), keys));
    }

    /// The keys of every `tls-ticket-keys` file, in the order of the configuration.
    #[must_use]
    pub fn ticket_keys(&self) -> Vec<(String, Arc<TicketKeys>)> {
        self.inner.lock().ticket_keys.clone()
    }

    /// `crt-base`.
    pub fn set_base(&self, directory: &str) {
        self.inner.lock().base = Some(directory.trim_end_matches('/').to_owned());
    }

    /// Whether a certificate is in use with another `ocsp-update`.
    fn updates_differ(&self, slot: &Arc<Slot>, on: bool) -> bool {
        let inner = self.inner.lock();
        inner.is_used(slot) && inner.ocsp_updated.contains_key(&*slot.name) != on
    }

    /// `ssl-load-extra-del-ext`.
    pub fn set_del_ext(&self) {
        self.inner.lock().del_ext = true;
    }

    /// Names of all certificates.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.inner.lock().slots.keys().cloned().collect()
    }

    /// The certificate that a transaction is about.
    #[must_use]
    pub fn transaction(&self) -> Option<String> {
        self.inner.lock().draft.as_ref().map(|draft| draft.name.clone())
    }

    /// A certificate.
    #[must_use]
    pub fn view(&self, name: &str) -> Option<View> {
        let inner = self.inner.lock();
        let slot = inner.slots.get(name)?;
        let used = slot.as_ref().is_some_and(|slot| inner.is_used(slot));
        Some(View { certificate: slot.as_ref().map(|slot| slot.certificate()), used })
    }

    /// The draft of a certificate, when it is complete.
    #[must_use]
    pub fn view_draft(&self, name: &str) -> Option<View> {
        let inner = self.inner.lock();
        let draft = inner.draft.as_ref().filter(|draft| draft.name == name)?;
        Some(View { certificate: draft.build().ok().map(Arc::new), used: false })
    }

    /// `new ssl cert`.
    ///
    /// # Errors
    /// There is one of this name.
    pub fn create(&self, name: &str) -> Result<(), LiveError> {
        let mut inner = self.inner.lock();
        if inner.slots.contains_key(name) {
            return Err(LiveError::Exists);
        }
        inner.slots.insert(name.to_owned(), None);
        Ok(())
    }

    /// `set ssl cert`: changes a certificate, or the part of it that has a file of this name, in a draft.
    ///
    /// # Errors
    /// There is none of this name, another transaction is going on, or the text is of no use.
    pub fn set(&self, name: &str, text: &[u8]) -> Result<Changed, LiveError> {
        let mut inner = self.inner.lock();
        let (name, part) = inner.find(name).ok_or(LiveError::Unknown)?;
        let created = match &inner.draft {
            None => true,
            Some(draft) if draft.name == name => false,
            Some(draft) => return Err(LiveError::OtherTransaction(draft.name.clone())),
        };
        let mut draft = match inner.draft.take() {
            Some(draft) => draft,
            None => {
                let current = inner.slots.get(&name).and_then(Option::as_ref);
                Draft::of(&name, current.map(|slot| slot.certificate()).as_deref())
            }
        };
        let outcome = change(&mut draft, part, text);
        // A mistake leaves a draft as it was, and starts none.
        if outcome.is_ok() || !created {
            inner.draft = Some(draft);
        }
        outcome.map(|()| Changed { name, created })
    }

    /// `commit ssl cert`: puts the draft in the certificate's place. Tells how many lines show it.
    ///
    /// # Errors
    /// There is no such draft, or it does not hold together; nothing has changed then.
    pub fn commit(&self, name: &str) -> Result<usize, LiveError> {
        let mut inner = self.inner.lock();
        let draft = inner.draft.as_ref().ok_or(LiveError::NoTransaction)?;
        if draft.name != name {
            return Err(LiveError::OtherTransaction(draft.name.clone()));
        }
        let certificate = Arc::new(draft.build()?);
        let slot = match inner.slots.get(name) {
            Some(Some(slot)) => {
                slot.replace(certificate);
                slot.clone()
            }
            _ => {
                let slot = Arc::new(Slot::new(name, certificate));
                inner.slots.insert(name.to_owned(), Some(slot.clone()));
                slot
            }
        };
        inner.draft = None;
        let mut count = 0;
        for bound in &inner.listeners {
            let uses = bound.listener.with_entries(|entries| {
                entries.iter().filter(|entry| Arc::ptr_eq(&entry.slot, &slot)).count()
            });
            if uses > 0 {
                bound.listener.refresh();
            }
            count += uses;
        }
        for client in inner.clients.iter().filter(|client| client.shows(&slot)) {
            client.refresh().map_err(|error| LiveError::Text(error.to_string()))?;
            count += 1;
        }
        Ok(count)
    }

    /// `abort ssl cert`.
    ///
    /// # Errors
    /// There is no such draft.
    pub fn abort(&self, name: &str) -> Result<(), LiveError> {
        let mut inner = self.inner.lock();
        match &inner.draft {
            None => Err(LiveError::NoTransaction),
            Some(draft) if draft.name != name => {
                Err(LiveError::OtherTransaction(draft.name.clone()))
            }
            Some(_) => {
                inner.draft = None;
                Ok(())
            }
        }
    }

    /// `del ssl cert`.
    ///
    /// # Errors
    /// There is none, or somebody shows it.
    pub fn remove(&self, name: &str) -> Result<(), LiveError> {
        let mut inner = self.inner.lock();
        let slot = inner.slots.get(name).ok_or(LiveError::Unknown)?;
        if slot.as_ref().is_some_and(|slot| inner.is_used(slot)) {
            return Err(LiveError::InUse);
        }
        inner.slots.remove(name);
        Ok(())
    }

    /// Names of all lists and directories.
    #[must_use]
    pub fn lists(&self) -> Vec<Arc<str>> {
        let mut names: Vec<Arc<str>> = Vec::new();
        for bound in &self.inner.lock().listeners {
            bound.listener.with_entries(|entries| {
                names.extend(
                    entries.iter().filter_map(|entry| Some(entry.line.as_ref()?.list.clone())),
                );
            });
        }
        names.sort();
        names.dedup();
        names
    }

    /// The lines of a list.
    #[must_use]
    pub fn list(&self, name: &str) -> Option<Vec<ListLine>> {
        let inner = self.inner.lock();
        inner.listeners.iter().find_map(|bound| {
            let lines = bound.listener.with_entries(|entries| {
                let of = entries.iter().filter_map(|entry| {
                    let line = entry.line.as_ref().filter(|line| *line.list == *name)?;
                    Some(ListLine {
                        certificate: entry.slot.name.clone(),
                        number: line.number,
                        options: line.options.clone(),
                        filters: entry.filters.iter().map(Filter::to_string).collect(),
                    })
                });
                of.collect::<Vec<_>>()
            });
            (!lines.is_empty()).then_some(lines)
        })
    }

    /// `add ssl crt-list`.
    ///
    /// # Errors
    /// There is no such list or certificate, or the options are of no use; nothing has changed then.
    pub fn add_line(
        &self,
        list: &str,
        certificate: &str,
        options: &str,
        filters: &[Filter],
    ) -> Result<(), LiveError> {
        let (slot, bounds) = {
            let inner = self.inner.lock();
            let slot = inner.named(certificate).ok_or(LiveError::Unknown)?;
            (slot.clone().ok_or(LiveError::Empty)?, inner.listeners.clone())
        };
        let of_list = |entry: &&Entry| entry.line.as_ref().is_some_and(|line| *line.list == *list);
        let mut new = Vec::new();
        let mut ocsp_update = false;
        for bound in &bounds {
            let (profile, last) = bound.listener.with_entries(|entries| {
                let lines = || entries.iter().filter(of_list);
                let is_same = |entry: &&Entry| {
                    entry.line.as_ref().is_some_and(|line| *line.options == *options)
                };
                let profile = lines().find(is_same).map(|entry| entry.profile.clone());
                (profile, lines().filter_map(|entry| Some(entry.line.as_ref()?.number)).max())
            });
            let Some(last) = last else { continue };
            let made = (bound.maker.0)(options).map_err(LiveError::Text)?;
            if slot.certificate().responder.is_some()
                && self.updates_differ(&slot, made.ocsp_update)
            {
                let text = "certificate has different parameter 'ocsp-update' elsewhere";
                return Err(LiveError::Text(text.to_owned()));
            }
            ocsp_update |= made.ocsp_update;
            let own = || options.is_empty().then(|| bound.listener.profile());
            let profile = profile.or_else(own).unwrap_or(made.profile);
            let line = crate::listener::Line {
                list: list.into(),
                number: last + 1,
                options: options.into(),
            };
            let entry = Entry {
                slot: slot.clone(),
                profile,
                filters: filters.to_vec(),
                default: false,
                line: Some(line),
            };
            new.push((bound, entry));
        }
        if new.is_empty() {
            return Err(LiveError::NoList);
        }
        for (bound, entry) in new {
            bound.listener.update(|entries| entries.push(entry));
        }
        if ocsp_update {
            self.update_ocsp_of(&slot.name);
        }
        Ok(())
    }

    /// `del ssl crt-list`: one line, by its certificate and, if given, its number.
    ///
    /// # Errors
    /// There is no such line, or it is a default.
    pub fn remove_line(
        &self,
        list: &str,
        certificate: &str,
        number: Option<usize>,
    ) -> Result<(), LiveError> {
        let mut guard = self.inner.lock();
        let inner = &mut *guard;
        let mut numbers = Vec::new();
        let mut known = false;
        for bound in &inner.listeners {
            bound.listener.with_entries(|entries| {
                let lines = entries.iter().filter_map(|entry| Some((entry, entry.line.as_ref()?)));
                for (entry, line) in lines.filter(|(_, line)| *line.list == *list) {
                    known = true;
                    if *entry.slot.name == *certificate && !numbers.contains(&line.number) {
                        numbers.push(line.number);
                    }
                }
            });
        }
        let number = match (number, numbers.as_slice()) {
            _ if !known => return Err(LiveError::NoList),
            (_, []) => return Err(LiveError::Unknown),
            (None, [one]) => *one,
            (None, _) => return Err(LiveError::Several(numbers)),
            (Some(number), _) if numbers.contains(&number) => number,
            (Some(_), _) => return Err(LiveError::OtherLines(numbers)),
        };
        let is = |entry: &Entry| {
            *entry.slot.name == *certificate
                && entry
                    .line
                    .as_ref()
                    .is_some_and(|line| *line.list == *list && line.number == number)
        };
        let all = || {
            inner
                .listeners
                .iter()
                .filter(|bound| bound.listener.with_entries(|entries| entries.iter().any(is)))
        };
        let default = |bound: &Bound| {
            !bound.listener.is_strict()
                && bound.listener.with_entries(|entries| entries.iter().any(|e| is(e) && e.default))
        };
        let defaults: Vec<Bound> = all().filter(|bound| default(bound)).cloned().collect();
        if !defaults.is_empty() {
            return Err(LiveError::Default(defaults));
        }
        let mut gone = Vec::new();
        for bound in all() {
            bound.listener.update(|entries| {
                gone.extend(entries.iter().filter(|entry| is(entry)).map(|e| e.slot.clone()));
                entries.retain(|entry| !is(entry));
            });
        }
        gone.retain(|slot| !inner.is_used(slot));
        for slot in &gone {
            inner.ocsp_updated.remove(&*slot.name);
        }
        Ok(())
    }

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

    /// Every host name of every listener, of one frontend if it is given.
    #[must_use]
    pub fn snis(&self, frontend: Option<&str>) -> Vec<Sni> {
        let mut all = Vec::new();
        for bound in &self.inner.lock().listeners {
            if frontend.is_some_and(|name| *bound.frontend != *name) {
                continue;
            }
            let strict = bound.listener.is_strict();
            bound.listener.with_entries(|entries| {
                for entry in entries {
                    let certificate = entry.slot.certificate();
                    let (mut names, mut except) = (Vec::new(), Vec::new());
                    for filter in &entry.filters {
                        match filter {
                            Filter::Any => {}
                            Filter::Is(name) => names.push(name.to_string()),
                            Filter::Not(name) => except.push(name.to_string()),
                        }
                    }
                    if names.is_empty() && !entry.filters.contains(&Filter::Any) {
                        names.extend(certificate.names.iter().map(|name| name.to_string()));
                    }
                    if !strict && (entry.default || entry.filters.contains(&Filter::Any)) {
                        names.insert(0, "*".to_owned());
                    }
                    all.extend(names.into_iter().map(|name| Sni {
                        frontend: bound.frontend.clone(),
                        place: bound.place.clone(),
                        name,
                        except: except.clone(),
                        file: entry.slot.name.clone(),
                        certificate: certificate.clone(),
                    }));
                }
            });
        }
        all
    }
}

impl Inner {
    fn has(&self, change: Change<'_>) -> bool {
        self.listeners.iter().any(|bound| bound.listener.has(change))
            || self.clients.iter().any(|client| client.has(change))
    }

    /// Lets everyone take up a change; tells how many did.
    fn change(&self, change: Change<'_>) -> Result<usize, LiveError> {
        let failed = |error: crate::settings::SettingsError| LiveError::Text(error.to_string());
        let mut count = 0;
        for bound in &self.listeners {
            count += bound.listener.change(change).map_err(failed)?;
        }
        for client in &self.clients {
            count += usize::from(client.change(change).map_err(failed)?);
        }
        Ok(count)
    }

    fn is_used(&self, slot: &Arc<Slot>) -> bool {
        self.listeners.iter().any(|bound| {
            bound.listener.with_entries(|list| list.iter().any(|e| Arc::ptr_eq(&e.slot, slot)))
        }) || self.clients.iter().any(|client| client.shows(slot))
    }

    /// The certificate of this name, which may be one below `crt-base`.
    fn named(&self, name: &str) -> Option<&Option<Arc<Slot>>> {
        let below = || self.slots.get(&format!("{}/{name}", self.base.as_ref()?));
        self.slots.get(name).or_else(below)
    }

    /// The certificate that a file name belongs to.
    fn find(&self, file: &str) -> Option<(String, Part)> {
        if self.slots.contains_key(file) {
            return Some((file.to_owned(), Part::Whole));
        }
        PARTS.iter().find_map(|(end, part)| {
            let name = file.strip_suffix(end)?;
            let crt = format!("{name}.crt");
            if self.slots.contains_key(name) {
                return Some((name.to_owned(), *part));
            }
            (self.del_ext && self.slots.contains_key(&crt)).then_some((crt, *part))
        })
    }
}

fn change(draft: &mut Draft, part: Part, text: &[u8]) -> Result<(), LiveError> {
    if part == Part::Ocsp {
        let text: Vec<u8> =
            text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
        let response = decode(&text)
            .ok_or_else(|| LiveError::Text("an OCSP response is expected in base64".to_owned()))?;
        Response::parse(&response).map_err(MaterialError::Ocsp)?;
        (draft.ocsp, draft.own_ocsp) = (Some(response), true);
        return Ok(());
    }
    let parts = Parts::parse(text)?;
    match part {
        Part::Key => draft.key = Some(parts.key.ok_or(MaterialError::NoKey)?),
        Part::Issuer => {
            let first = parts.certificates.into_iter().next();
            draft.issuer = Some(first.ok_or(MaterialError::NoCertificate)?);
        }
        Part::Whole | Part::Ocsp => {
            if parts.certificates.is_empty() {
                return Err(MaterialError::NoCertificate.into());
            }
            draft.chain = parts.certificates;
            if let Some(key) = parts.key {
                draft.key = Some(key);
            }
        }
    }
    Ok(())
}

fn decode(text: &[u8]) -> Option<Vec<u8>> {
    use base64::Engine;
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).ok()?;
    (!bytes.is_empty()).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listener::{Line, Options, Shared};
    use crate::material::tests::{certificate, make};

    struct Lab {
        store: Store,
        listener: Arc<Listener>,
    }

    fn lab() -> Lab {
        let profile = Arc::new(Profile::new(&Options::default(), &Shared::default()).unwrap());
        let store = Store::default();
        let entry = |name: &str, number: usize| {
            let slot = Arc::new(Slot::new(name, Arc::new(certificate(name, &[]))));
            store.insert(slot.clone());
            let line = Some(Line { list: "list".into(), number, options: "".into() });
            Entry { slot, profile: profile.clone(), filters: Vec::new(), default: false, line }
        };
        let entries = vec![entry("a.pem", 1), entry("b.pem", 2)];
        let listener = Arc::new(Listener::new(profile, entries, false));
        store.add_listener(Bound {
            frontend: "fe".into(),
            place: "cfg:1".into(),
            listener: listener.clone(),
            maker: Maker(Arc::new(|options| match options {
                "alpn x" => Err("no".to_owned()),
                _ => Ok(Made {
                    profile: Arc::new(
                        Profile::new(&Options::default(), &Shared::default()).unwrap(),
                    ),
                    ocsp_update: false,
                }),
            })),
        });
        Lab { store, listener }
    }

    fn name_of(lab: &Lab, slot: &str) -> String {
        lab.store.view(slot).unwrap().certificate.unwrap().names[0].to_string()
    }

    #[test]
    fn a_draft_takes_effect_at_its_commit() {
        let lab = lab();
        let (cert, key) = make("new.org", &[]);
        let both = cert + &key;
        let changed = lab.store.set("a.pem", both.as_bytes()).unwrap();
        assert_eq!(changed, Changed { name: "a.pem".to_owned(), created: true });
        assert!(!lab.store.set("a.pem", both.as_bytes()).unwrap().created);
        assert!(matches!(
            lab.store.set("b.pem", both.as_bytes()),
            Err(LiveError::OtherTransaction(_))
        ));
        assert_eq!(name_of(&lab, "a.pem"), "a.pem");
        assert_eq!(lab.store.commit("a.pem").unwrap(), 1);
        assert_eq!(name_of(&lab, "a.pem"), "new.org");
        assert!(matches!(lab.store.commit("a.pem"), Err(LiveError::NoTransaction)));
        assert!(matches!(lab.store.set("none", both.as_bytes()), Err(LiveError::Unknown)));
    }

    #[test]
    fn certificate_and_key_may_come_one_after_the_other() {
        let lab = lab();
        let (cert, key) = make("new.org", &[]);
        lab.store.set("a.pem", cert.as_bytes()).unwrap();
        assert!(matches!(lab.store.commit("a.pem"), Err(LiveError::Material(_))));
        assert_eq!(name_of(&lab, "a.pem"), "a.pem", "nothing has changed");
        lab.store.set("a.pem.key", key.as_bytes()).unwrap();
        lab.store.commit("a.pem").unwrap();
        assert_eq!(name_of(&lab, "a.pem"), "new.org");
    }

    #[test]
    fn certificates_come_and_go_by_lists() {
        let lab = lab();
        let (cert, key) = make("c.org", &[]);
        lab.store.create("c.pem").unwrap();
        assert!(matches!(lab.store.create("c.pem"), Err(LiveError::Exists)));
        assert!(matches!(lab.store.add_line("list", "c.pem", "", &[]), Err(LiveError::Empty)));
        lab.store.set("c.pem", (cert + &key).as_bytes()).unwrap();
        assert_eq!(lab.store.commit("c.pem").unwrap(), 0);
        assert!(matches!(lab.store.add_line("none", "c.pem", "", &[]), Err(LiveError::NoList)));
        assert!(matches!(
            lab.store.add_line("list", "c.pem", "alpn x", &[]),
            Err(LiveError::Text(_))
        ));
        lab.store.add_line("list", "c.pem", "", &["x.org".parse().unwrap()]).unwrap();
        let lines = lab.store.list("list").unwrap();
        assert_eq!((lines.len(), lines[2].number, &*lines[2].filters[0]), (3, 3, "x.org"));
        assert!(lab.listener.with_entries(|entries| entries.len() == 3));
        assert!(matches!(lab.store.remove("c.pem"), Err(LiveError::InUse)));
        assert!(matches!(lab.store.remove_line("list", "a.pem", None), Err(LiveError::Default(_))));
        assert!(matches!(
            lab.store.remove_line("list", "c.pem", Some(2)),
            Err(LiveError::OtherLines(_))
        ));
        lab.store.remove_line("list", "c.pem", Some(3)).unwrap();
        lab.store.remove("c.pem").unwrap();
        let names: Vec<_> = lab.store.snis(None).into_iter().map(|sni| sni.name).collect();
        assert_eq!(names, ["*", "a.pem", "b.pem"]);
    }
}
