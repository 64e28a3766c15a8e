//! Certificates of a running worker: what the runtime API looks at and changes.
//!
//! A change is prepared as a draft and takes effect at once for all who show the certificate, or not at all.
//! Connections keep what they were made with.

mod files;
mod lists;
mod ocsp;
mod transaction;
mod trust;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::client::Client;
use crate::listener::{Listener, Profile, Slot};
use crate::material::{Certificate, MaterialError};
use crate::ocsp::Id;
use crate::ticket::TicketKeys;
use crate::verify::{Authorities, Revoked};
use files::Files;
pub use lists::{ListLine, Sni};
pub use ocsp::{Course, Delays, Job, OcspView, Outcome};
use transaction::Draft;

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

#[derive(Default)]
struct Inner {
    /// `None` is one that was created and not filled yet.
    slots: BTreeMap<String, Option<Arc<Slot>>>,
    listeners: Vec<Bound>,
    /// Those of servers that are there.
    clients: Vec<Weak<Client>>,
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
    pub fn add_client(&self, client: &Arc<Client>) {
        let clients = &mut self.inner.lock().clients;
        // Those that are gone make room when there is none: thousands come one after the other at the start.
        if clients.len() == clients.capacity() {
            clients.retain(|client| client.strong_count() > 0);
        }
        clients.push(Arc::downgrade(client));
    }

    /// The certificate of this name.
    #[must_use]
    pub fn slot(&self, name: &str) -> Option<Arc<Slot>> {
        self.inner.lock().slots.get(name)?.clone()
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

    /// `ssl-load-extra-del-ext`.
    pub fn set_del_ext(&self) {
        self.inner.lock().del_ext = true;
    }

    /// Names of all certificates.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.inner.lock().slots.keys().cloned().collect()
    }

    /// A certificate.
    #[must_use]
    pub fn view(&self, name: &str) -> Option<View> {
        let inner = self.inner.lock();
        let slot = inner.slots.get(name)?;
        let used = slot.as_ref().is_some_and(|slot| inner.is_used(slot));
        Some(View { certificate: slot.as_ref().map(|slot| slot.certificate()), used })
    }
}

impl Inner {
    fn clients(&self) -> impl Iterator<Item = Arc<Client>> {
        self.clients.iter().filter_map(Weak::upgrade)
    }

    fn is_used(&self, slot: &Arc<Slot>) -> bool {
        self.listeners.iter().any(|bound| {
            bound.listener.with_entries(|list| list.iter().any(|e| Arc::ptr_eq(&e.slot, slot)))
        }) || self.clients().any(|client| client.shows(slot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listener::{Entry, Line, Options, Shared};
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
