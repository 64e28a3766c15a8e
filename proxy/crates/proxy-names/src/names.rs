//! Every name of the worker, and the tasks that keep them resolved.

use crate::Family;
use crate::ask::{Ask, Asker, Desk};
use crate::counters::COUNTERS;
use crate::family::Families;
use crate::lookup::{Section, Want};
use crate::question::Question;
use crate::servers::{self, Watched};
use crate::spec::NamesSpec;
use crate::wire::{self, Answer, BadName, Kind};
use proxy_state::{Now, Registry, Server};
use rustc_hash::FxHashMap;
use std::cell::RefCell;
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// A resolution that took no time is not repeated sooner than this.
const PAUSE_MIN: Duration = Duration::from_millis(10);
/// How often idle connections to nameservers are looked for.
const HOUSEKEEPING: Duration = Duration::from_secs(5);

/// Told a line about a server.
pub type Report = Box<dyn Fn(&Server, &str)>;

/// What names need of the worker.
pub struct Surroundings {
    pub registry: Arc<Registry>,
    pub now: Box<dyn Fn() -> Now>,
    pub report: Report,
}

pub(crate) struct Shared(Surroundings);

impl Shared {
    pub(crate) fn now(&self) -> Now {
        (self.0.now)()
    }

    pub(crate) fn report(&self, server: &Server, line: &str) {
        (self.0.report)(server, line);
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}

type Key = (usize, String, Want);

/// The names of a worker. Lives on the control thread.
#[derive(Debug)]
pub struct Names {
    pub(crate) shared: Shared,
    sections: Vec<Rc<Section>>,
    watched: RefCell<Vec<Rc<Watched>>>,
    questions: RefCell<FxHashMap<Key, Rc<Question>>>,
    desk: Desk,
}

/// Why a host name was not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FqdnError {
    #[error("the server has no 'resolvers'")]
    NotWatched,
    #[error(transparent)]
    BadName(#[from] BadName),
}

/// A section as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SectionView {
    pub name: String,
    pub nameservers: Vec<NameserverView>,
}

/// A nameserver as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameserverView {
    pub name: String,
    pub addr: SocketAddr,
    /// Names and values in HAProxy's order.
    pub counters: Vec<(&'static str, u64)>,
}

impl Names {
    /// Builds what [`Self::start`] runs. Watches of servers or sections that do not exist are left out.
    #[must_use]
    pub fn new(spec: NamesSpec, surroundings: Surroundings) -> Rc<Self> {
        let families = Rc::new(Families::new(spec.accept));
        let sections: Vec<_> = spec
            .sections
            .into_iter()
            .map(|section| Rc::new(Section::new(section, families.clone())))
            .collect();
        let watched = spec
            .watches
            .into_iter()
            .filter_map(|watch| {
                let server =
                    surroundings.registry.backend(&watch.backend)?.server(&watch.server)?;
                Some(Rc::new(Watched::new(server, watch)))
            })
            .collect();
        Rc::new(Self {
            shared: Shared(surroundings),
            sections,
            watched: RefCell::new(watched),
            questions: RefCell::default(),
            desk: Desk::default(),
        })
    }

    /// What the TXT records of a name say, by a section; nothing when there are none, or no such section.
    pub async fn texts(&self, section: &str, name: &str) -> Vec<Vec<u8>> {
        let section = self.sections.iter().find(|known| known.spec.name == section);
        let Some(section) = section.cloned() else { return Vec::new() };
        match section.lookup(name, Want::Texts).await {
            Ok((_, Answer::Texts(texts))) => texts,
            Ok(_) | Err(_) => Vec::new(),
        }
    }

    /// Starts to resolve, on the current thread's local task set.
    pub fn start(self: &Rc<Self>, asks: mpsc::Receiver<Ask>) {
        for watched in self.watched.borrow().iter() {
            let server = &watched.server;
            if let Some(record) = server.spec.srv_record.clone() {
                self.watch(watched, &record, Want::Services);
            } else if let Some(name) = server.fqdn() {
                self.subscribe(watched, &name);
            }
        }
        tokio::task::spawn_local(self.clone().serve(asks));
        let sections = self.sections.clone();
        tokio::task::spawn_local(async move {
            loop {
                tokio::time::sleep(HOUSEKEEPING).await;
                sections.iter().flat_map(|s| &s.nameservers).for_each(|n| n.close_idle());
            }
        });
    }

    /// Has another thread's questions answered.
    async fn serve(self: Rc<Self>, mut asks: mpsc::Receiver<Ask>) {
        while let Some(ask) = asks.recv().await {
            if let Some(section) = self.section_index(ask.section()).map(|i| &self.sections[i]) {
                self.desk.take(section, ask);
            }
        }
    }

    fn section_index(&self, name: &str) -> Option<usize> {
        self.sections.iter().position(|section| section.spec.name == name)
    }

    /// Has the addresses of `name` reach a server, and those of no other name.
    pub(crate) fn subscribe(self: &Rc<Self>, watched: &Rc<Watched>, name: &str) {
        let want = Want::Addresses(watched.spec.prefer);
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        if let Some(question) = &*watched.question.borrow()
            && question.name == name
        {
            return;
        }
        self.unsubscribe(watched);
        let question = self.watch(watched, &name, want);
        *watched.question.borrow_mut() = question;
    }

    /// Has no addresses reach a server.
    pub(crate) fn unsubscribe(&self, watched: &Rc<Watched>) {
        if let Some(question) = watched.question.take() {
            question.watchers.borrow_mut().retain(|other| !Rc::ptr_eq(other, watched));
        }
    }

    fn watch(
        self: &Rc<Self>,
        watched: &Rc<Watched>,
        name: &str,
        want: Want,
    ) -> Option<Rc<Question>> {
        let index = self.section_index(&watched.spec.section)?;
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let key = (index, name, want);
        let known = self.questions.borrow().get(&key).cloned();
        if let Some(question) = known {
            question.watchers.borrow_mut().push(watched.clone());
            question.wake();
            return Some(question);
        }
        let section = self.sections.get(index)?.clone();
        let question = Rc::new(Question::new(section, key.1.clone(), want));
        question.watchers.borrow_mut().push(watched.clone());
        self.questions.borrow_mut().insert(key.clone(), question.clone());
        tokio::task::spawn_local(self.clone().keep(key, question.clone()));
        Some(question)
    }

    /// Resolves a name as long as somebody watches it.
    async fn keep(self: Rc<Self>, key: Key, question: Rc<Question>) {
        loop {
            if question.watchers.borrow().is_empty() {
                self.questions.borrow_mut().remove(&key);
                return;
            }
            let next = Instant::now() + question.section.spec.resolve.max(PAUSE_MIN);
            let outcome = question.section.lookup(&question.name, question.want).await;
            match question.learn(outcome) {
                Ok(Some(nameserver)) => servers::answered(&self, &question, nameserver),
                // Held.
                Ok(None) => {}
                Err(failure) => servers::failed(&self, &question, failure),
            }
            question.rest(next).await;
        }
    }

    /// Changes the host name of a server (`set server ... fqdn`); the old one, unless it is the same.
    ///
    /// # Errors
    /// The server's names are not resolved, or it is no name.
    pub fn set_fqdn(
        self: &Rc<Self>,
        server: &Arc<Server>,
        fqdn: &str,
    ) -> Result<Option<Option<Arc<String>>>, FqdnError> {
        let watched = self.watch_of(server).ok_or(FqdnError::NotWatched)?;
        wire::Question::new(fqdn, Kind::Address(Family::V4))?;
        let before = server.fqdn();
        if before.as_ref().is_some_and(|name| **name == fqdn) {
            return Ok(None);
        }
        server.set_fqdn(Some(fqdn));
        self.subscribe(&watched, fqdn);
        Ok(Some(before))
    }

    fn watch_of(&self, server: &Arc<Server>) -> Option<Rc<Watched>> {
        self.watched.borrow().iter().find(|w| Arc::ptr_eq(&w.server, server)).cloned()
    }

    /// Resolves nothing for a server any more: it was removed.
    pub fn forget(&self, server: &Arc<Server>) {
        let Some(watched) = self.watch_of(server) else { return };
        self.watched.borrow_mut().retain(|other| !Rc::ptr_eq(other, &watched));
        self.unsubscribe(&watched);
        for question in self.questions.borrow().values() {
            question.watchers.borrow_mut().retain(|other| !Rc::ptr_eq(other, &watched));
        }
    }

    /// Has the name of a server resolved at once: it does not answer where it should be.
    pub fn refresh(&self, server: &Arc<Server>) {
        if let Some(watched) = self.watch_of(server)
            && let Some(question) = &*watched.question.borrow()
        {
            question.wake();
        }
    }

    /// The sections with their counters, in the order of the configuration.
    #[must_use]
    pub fn sections(&self) -> Vec<SectionView> {
        let nameserver = |n: &Rc<crate::exchange::Nameserver>| NameserverView {
            name: n.spec.name.clone(),
            addr: n.spec.addr,
            counters: COUNTERS.iter().copied().zip(n.counters.values()).collect(),
        };
        let section = |s: &Rc<Section>| SectionView {
            name: s.spec.name.clone(),
            nameservers: s.nameservers.iter().map(nameserver).collect(),
        };
        self.sections.iter().map(section).collect()
    }
}

/// A channel for questions of other threads: [`Names::start`] takes the other end.
#[must_use]
pub fn asker() -> (Asker, mpsc::Receiver<Ask>) {
    Asker::new()
}
