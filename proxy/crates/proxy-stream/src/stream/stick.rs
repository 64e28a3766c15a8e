//! `stick` rules: the server that an entry names, and entries that name the server (configuration manual, 4.2 "stick on").

use std::sync::Arc;

use proxy_rules::acl::{Condition, Verdict};
use proxy_rules::sample::args::TableRef;
use proxy_rules::sample::{EvalCtx, Expr};
use proxy_rules::track;
use proxy_state::Server;
use proxy_state::stick::data::id;
use proxy_state::stick::{Key, ServerKey, Table};
use smallvec::SmallVec;

use super::{Exchange, rules};
use crate::env::Back;
use crate::session::Session;

/// Keys remembered for one stream.
const STORES: usize = 8;

/// A rule.
#[derive(Debug)]
pub struct StickRule {
    /// Sends the request to the server of the entry.
    pub matches: bool,
    /// Takes the key of the entry that will name the server, from the request or from the response.
    pub on_request: bool,
    pub on_response: bool,
    pub pattern: Expr,
    pub table: TableRef,
    pub condition: Option<Condition>,
}

impl StickRule {
    /// The entry that the rule is about now.
    fn key<'a>(&'a self, cx: &EvalCtx<'a>) -> Option<(Arc<Table>, Key)> {
        let holds = self.condition.as_ref().map_or(Verdict::True, |condition| condition.eval(cx));
        if holds != Verdict::True {
            return None;
        }
        let table = self.table.get(cx)?;
        let key = track::key(table, self.pattern.eval(cx)?, cx.scratch)?;
        Some((table.clone(), key))
    }
}

/// The entries that will name the server of the stream.
pub(crate) type Pending = SmallVec<[(Arc<Table>, Key); 1]>;

/// Looks for the server that an entry names, and remembers which entries are to name the one that is taken.
pub(super) fn on_request(s: &Session, x: &mut Exchange, back: &Back) {
    let list = &back.choice.sticks;
    if list.is_empty() {
        return;
    }
    let now = s.thread.now(s.thread.tick());
    let (pinned, pending) = rules::with_context(s, x, Some(back), |cx| {
        let mut pinned = None;
        let mut pending = Pending::new();
        let free = x.persist.pinned.is_none() && !x.persist.ignore;
        for rule in list.iter().filter(|rule| rule.on_request || rule.matches) {
            let wanted = rule.matches && free && pinned.is_none();
            if !wanted && !rule.on_request {
                continue;
            }
            let Some((table, key)) = rule.key(cx) else { continue };
            if wanted {
                pinned = server(&table, &key, back, now).filter(|s| x.persist.admits(back, s));
                // It is there: nothing to learn for this rule.
                if pinned.is_some() {
                    table.get_or_make(&key, now);
                }
            }
            if rule.on_request && pending.len() < STORES {
                pending.push((table, key));
            }
        }
        (pinned, pending)
    });
    if pinned.is_some() {
        x.persist.pinned = pinned;
    }
    x.persist.pending = pending;
}

/// The server that the entry of a key names.
fn server(table: &Table, key: &Key, back: &Back, now: proxy_state::Now) -> Option<Arc<Server>> {
    let entry = table.get(key, now)?;
    let slot = table.slot(id::SERVER_ID, 0)?;
    let (name, number) = entry.read(|values| (values.server.clone(), values.get(slot, now)));
    let backend = &back.backend;
    let by_key = name.and_then(|name| match table.spec.server_key {
        ServerKey::Name => backend.server(&name),
        ServerKey::Addr => {
            backend.servers().iter().find(|s| *key_of(s, ServerKey::Addr) == *name).cloned()
        }
    });
    let number = u32::try_from(number).ok().filter(|number| *number != 0);
    // The number of a server that was added at run time may have been another's.
    let by_number = || {
        let server = backend.server_by_id(proxy_types::ServerId(number?))?;
        (!server.spec.dynamic).then_some(server)
    };
    by_key.or_else(by_number)
}

/// What identifies a server in a table.
fn key_of(server: &Server, by: ServerKey) -> Arc<str> {
    match by {
        ServerKey::Name => server.name.shared(),
        ServerKey::Addr => match server.addr().inet() {
            Some(addr) => addr.to_string().into(),
            None => server.name.shared(),
        },
    }
}

/// Makes the entries name the server that the stream went to.
pub(crate) fn store(s: &Session, x: &mut Exchange, response: bool) {
    if x.backend.as_ref().is_none_or(|back| back.choice.sticks.is_empty()) {
        return;
    }
    let (Some(back), Some(server)) = (x.backend.clone(), x.record.server.clone()) else { return };
    let mut pending = std::mem::take(&mut x.persist.pending);
    if response && back.choice.sticks.iter().any(|rule| rule.on_response) {
        let more = rules::with_response(s, x, &back, |cx| {
            let rules = back.choice.sticks.iter().filter(|rule| rule.on_response);
            rules.filter_map(|rule| rule.key(cx)).take(STORES).collect::<Pending>()
        });
        pending.extend(more);
    }
    if server.spec.non_stick {
        return;
    }
    let now = s.thread.now(s.thread.tick());
    for (table, key) in pending {
        let Some(slot) = table.slot(id::SERVER_ID, 0) else { continue };
        let Some(entry) = table.get_or_make(&key, now) else { continue };
        let name = key_of(&server, table.spec.server_key);
        table.update(&entry, |values| {
            values.set(slot, u64::from(server.id.0), now);
            values.server = Some(name);
        });
    }
}
