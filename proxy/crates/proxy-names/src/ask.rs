//! Questions of other threads (`do-resolve`): answered from what is known for `hold valid`, or else by a resolution
//! that everyone who asks for the same name in the meantime shares.

use crate::Family;
use crate::lookup::{Section, Want};
use crate::wire::Answer;
use rustc_hash::FxHashMap;
use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// Questions on their way to the control thread.
const WAITING: usize = 1024;
/// Names that are kept: clients choose them.
const KNOWN: usize = 10_000;

/// A question of another thread.
#[derive(Debug)]
pub struct Ask {
    section: Box<str>,
    name: String,
    prefer: Family,
    reply: oneshot::Sender<Option<IpAddr>>,
}

impl Ask {
    pub(crate) fn section(&self) -> &str {
        &self.section
    }
}

/// Asks for addresses, from any thread.
#[derive(Clone, Debug)]
pub struct Asker(mpsc::Sender<Ask>);

impl Asker {
    pub(crate) fn new() -> (Self, mpsc::Receiver<Ask>) {
        let (send, receive) = mpsc::channel(WAITING);
        (Self(send), receive)
    }

    /// An address of `name` by this section; `None` when it has none, or too much is asked.
    pub async fn ask(&self, section: &str, name: &str, prefer: Family) -> Option<IpAddr> {
        let (reply, answer) = oneshot::channel();
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        self.0.try_send(Ask { section: section.into(), name, prefer, reply }).ok()?;
        answer.await.ok()?
    }
}

/// What is known of a name.
#[derive(Debug)]
enum Entry {
    /// Being resolved, for these.
    Pending(Vec<oneshot::Sender<Option<IpAddr>>>),
    Known {
        addresses: Vec<IpAddr>,
        until: Instant,
        next: usize,
    },
}

type Key = (String, String, Family);

/// Where questions are answered.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    entries: Rc<RefCell<FxHashMap<Key, Entry>>>,
}

impl Desk {
    /// Answers, at once or later.
    pub(crate) fn take(&self, section: &Rc<Section>, ask: Ask) {
        let key = (section.spec.name.clone(), ask.name, ask.prefer);
        let mut entries = self.entries.borrow_mut();
        let now = Instant::now();
        match entries.get_mut(&key) {
            Some(Entry::Pending(others)) => return others.push(ask.reply),
            Some(Entry::Known { addresses, until, next }) if *until > now => {
                // Each of several addresses in turn.
                let ip = addresses.get(*next % addresses.len().max(1)).copied();
                *next = next.wrapping_add(1);
                let _ = ask.reply.send(ip);
                return;
            }
            Some(Entry::Known { .. }) | None => {}
        }
        if entries.len() >= KNOWN {
            entries.retain(|_, entry| match entry {
                Entry::Pending(_) => true,
                Entry::Known { until, .. } => *until > now,
            });
        }
        if entries.len() >= KNOWN {
            let _ = ask.reply.send(None);
            return;
        }
        entries.insert(key.clone(), Entry::Pending(vec![ask.reply]));
        drop(entries);
        tokio::task::spawn_local(resolve(section.clone(), self.entries.clone(), key));
    }
}

async fn resolve(section: Rc<Section>, entries: Rc<RefCell<FxHashMap<Key, Entry>>>, key: Key) {
    let found = section.lookup(&key.1, Want::Addresses(key.2)).await;
    let addresses = match found {
        Ok((_, Answer::Addresses(addresses))) => addresses,
        Ok((_, Answer::Services(_) | Answer::Texts(_))) | Err(_) => Vec::new(),
    };
    let mut entries = entries.borrow_mut();
    let waiting = match entries.remove(&key) {
        Some(Entry::Pending(waiting)) => waiting,
        Some(Entry::Known { .. }) | None => Vec::new(),
    };
    let mut next = 0;
    for reply in waiting {
        let ip = addresses.get(next % addresses.len().max(1)).copied();
        next = next.wrapping_add(1);
        let _ = reply.send(ip);
    }
    let until = Instant::now() + section.spec.hold.valid;
    if !addresses.is_empty() && !section.spec.hold.valid.is_zero() {
        entries.insert(key, Entry::Known { addresses, until, next });
    }
}
