//! Variables: `proc.x`, `sess.x`, `txn.x`, `req.x`, `res.x` (configuration manual, 2.8).

use std::cell::RefCell;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bumpalo::Bump;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::sample::Sample;

/// How long a variable lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    Check,
    Proc,
    Req,
    Res,
    Sess,
    Txn,
}

impl Scope {
    const ROWS: [(&'static str, Self); 6] = [
        ("check", Self::Check),
        ("proc", Self::Proc),
        ("req", Self::Req),
        ("res", Self::Res),
        ("sess", Self::Sess),
        ("txn", Self::Txn),
    ];

    /// By its word.
    pub fn find(word: &[u8]) -> Option<Self> {
        Self::ROWS.iter().find(|(name, _)| name.as_bytes() == word).map(|(_, scope)| *scope)
    }

    pub fn name(self) -> &'static str {
        Self::ROWS.iter().find(|(_, s)| *s == self).map_or("", |(name, _)| name)
    }
}

/// A variable, as the configuration names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VarRef {
    pub scope: Scope,
    /// Stands for the name after the dot; see [`VarNames`].
    pub id: u32,
}

/// The names of all variables of the configuration. Shared by the parsers and, for `get var`, the CLI.
#[derive(Debug, Default)]
pub struct VarNames(Mutex<Names>);

#[derive(Debug, Default)]
struct Names {
    ids: FxHashMap<Arc<str>, u32>,
    /// By their ids.
    names: Vec<Arc<str>>,
}

impl VarNames {
    /// `scope.name`, when the configuration or a command named it before.
    pub fn find(&self, text: &str) -> Option<VarRef> {
        let (scope, name) = text.split_once('.')?;
        let &(_, scope) = Scope::ROWS.iter().find(|(word, _)| *word == scope)?;
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.ids.get(name).map(|&id| VarRef { scope, id })
    }

    /// The name behind the dot that `id` stands for.
    pub fn name(&self, id: u32) -> Option<Arc<str>> {
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.names.get(id as usize).cloned()
    }

    /// Reads `scope.name`.
    ///
    /// # Errors
    /// What is wrong with it, as a fragment.
    pub fn parse(&self, text: &str) -> Result<VarRef, String> {
        let Some((scope, name)) = text.split_once('.') else {
            return Err(format!("invalid variable name '{text}': it must be <scope>.<name>"));
        };
        let Some(&(_, scope)) = Scope::ROWS.iter().find(|(word, _)| *word == scope) else {
            let known = ["psess", "ptxn", "preq", "pres"];
            return Err(if known.contains(&scope) {
                format!("variable scope '{scope}' is not supported: no stream has a parent here")
            } else {
                format!(
                    "invalid variable scope '{scope}': it must be 'proc', 'sess', 'txn', 'req', 'res' or 'check'"
                )
            });
        };
        if name.is_empty()
            || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.')
        {
            return Err(format!(
                "invalid variable name '{text}': only letters, digits, '_' and '.' are allowed"
            ));
        }
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = names.ids.get(name).copied();
        let id = match known {
            Some(id) => id,
            None => {
                let id = u32::try_from(names.names.len());
                let id = id.map_err(|_| "too many variables".to_owned())?;
                let name: Arc<str> = name.into();
                names.names.push(name.clone());
                names.ids.insert(name, id);
                id
            }
        };
        Ok(VarRef { scope, id })
    }
}

/// A value that outlives the message it was taken from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored {
    Bin(Vec<u8>),
    Bool(bool),
    /// A value that counts against limits.
    Charged(Box<(Self, Charge)>),
    Int(i64),
    Ipv4(Ipv4Addr),
    Ipv6(Ipv6Addr),
    Meth(Vec<u8>),
    Str(Vec<u8>),
    /// No value: what a session and its streams hold.
    Total(Total),
}

impl Stored {
    fn new(sample: Sample<'_>) -> Self {
        match sample {
            Sample::Bin(s) => Self::Bin(s.to_vec()),
            Sample::Bool(b) => Self::Bool(b),
            Sample::Int(n) => Self::Int(n),
            Sample::Ipv4(ip) => Self::Ipv4(ip),
            Sample::Ipv6(ip) => Self::Ipv6(ip),
            Sample::Meth(s) => Self::Meth(s.to_vec()),
            Sample::Str(s) => Self::Str(s.to_vec()),
        }
    }

    fn bytes(&self) -> u64 {
        match self {
            Self::Charged(charged) => charged.1.bytes,
            _ => 0,
        }
    }

    fn sample<'a>(&self, scratch: &'a Bump) -> Sample<'a> {
        match self {
            Self::Bin(s) => Sample::Bin(scratch.alloc_slice_copy(s)),
            Self::Bool(b) => Sample::Bool(*b),
            Self::Charged(charged) => charged.0.sample(scratch),
            Self::Int(n) => Sample::Int(*n),
            Self::Total(_) => Sample::Int(0),
            Self::Ipv4(ip) => Sample::Ipv4(*ip),
            Self::Ipv6(ip) => Sample::Ipv6(*ip),
            Self::Meth(s) => Sample::Meth(scratch.alloc_slice_copy(s)),
            Self::Str(s) => Sample::Str(scratch.alloc_slice_copy(s)),
        }
    }
}

/// The variables of one scope of one session or stream.
#[derive(Clone, Debug, Default)]
pub struct Vars(RefCell<SmallVec<[(u32, Stored); 2]>>);

impl Vars {
    pub fn get<'a>(&self, id: u32, scratch: &'a Bump) -> Option<Sample<'a>> {
        self.0.borrow().iter().find(|(i, _)| *i == id).map(|(_, v)| v.sample(scratch))
    }

    /// Keeps a value whose size is counted as long as it is here.
    fn set_charged(&self, id: u32, value: Sample<'_>, charge: Charge) {
        self.unset(id);
        let value = Stored::Charged(Box::new((Stored::new(value), charge)));
        self.0.borrow_mut().push((id, value));
    }

    /// Bytes of all values that count.
    fn bytes(&self) -> u64 {
        self.0.borrow().iter().map(|(_, value)| value.bytes()).sum()
    }

    /// Bytes of one value that counts.
    fn bytes_of(&self, id: u32) -> u64 {
        let vars = self.0.borrow();
        vars.iter().filter(|(known, _)| *known == id).map(|(_, value)| value.bytes()).sum()
    }

    /// What counts the bytes of a session and of its streams; made when it is first asked for.
    fn total(&self) -> Total {
        let mut vars = self.0.borrow_mut();
        let known = vars.iter().find_map(|(_, value)| match value {
            Stored::Total(total) => Some(total.clone()),
            _ => None,
        });
        known.unwrap_or_else(|| {
            let total = Total::default();
            vars.push((NO_ID, Stored::Total(total.clone())));
            total
        })
    }

    pub fn set(&self, id: u32, value: Sample<'_>) {
        let mut vars = self.0.borrow_mut();
        match vars.iter_mut().find(|(i, _)| *i == id) {
            Some((_, Stored::Str(old))) if matches!(value, Sample::Str(_)) => {
                old.clear();
                old.extend_from_slice(value.bytes().unwrap_or_default());
            }
            Some((_, old)) => *old = Stored::new(value),
            None => vars.push((id, Stored::new(value))),
        }
    }

    /// Every variable, in the order they were first set.
    pub fn all<'a>(&self, scratch: &'a Bump, mut see: impl FnMut(u32, Sample<'a>)) {
        let vars = self.0.borrow();
        let vars = vars.iter().filter(|(id, _)| *id != NO_ID);
        vars.for_each(|(id, value)| see(*id, value.sample(scratch)));
    }

    pub fn unset(&self, id: u32) {
        self.0.borrow_mut().retain(|(i, _)| *i != id);
    }

    pub fn clear(&self) {
        self.0.borrow_mut().clear();
    }
}

/// Of an entry that is no variable.
const NO_ID: u32 = u32::MAX;

/// Most bytes of values (`tune.vars.*-max-size`; configuration manual, 3.2).
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// Of the variables of a health check.
    pub check: Option<u32>,
    /// Of all together.
    pub global: Option<u32>,
    /// Of the process, its sessions included.
    pub proc: Option<u32>,
    /// Of a request, or of a response.
    pub reqres: Option<u32>,
    /// Of a session, its transactions included.
    pub sess: Option<u32>,
    /// Of a transaction, its request and response included.
    pub txn: Option<u32>,
}

/// A sum of bytes that several hold a part of.
#[derive(Clone, Debug, Default)]
pub struct Total(Arc<AtomicU64>);

impl Total {
    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Two totals are the same when they are one.
impl PartialEq for Total {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Total {}

/// Bytes that are part of totals as long as this lives.
#[derive(Debug, PartialEq, Eq)]
pub struct Charge {
    bytes: u64,
    totals: SmallVec<[Total; 3]>,
}

impl Charge {
    fn new(bytes: u64, totals: SmallVec<[Total; 3]>) -> Self {
        for total in &totals {
            total.0.fetch_add(bytes, Ordering::Relaxed);
        }
        Self { bytes, totals }
    }
}

impl Clone for Charge {
    fn clone(&self) -> Self {
        Self::new(self.bytes, self.totals.clone())
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        for total in &self.totals {
            total.0.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

/// The limits of a process, and what counts against those that are common to all threads.
#[derive(Debug)]
struct Budget {
    limits: Limits,
    all: Total,
    process: Total,
}

/// What there is of a scope and of those around it when a value is to be set.
pub(crate) struct Room<'v> {
    pub(crate) session: Option<&'v Vars>,
    pub(crate) stream: Option<&'v StreamVars>,
    /// Where the variable is to be.
    pub(crate) scope: Option<&'v Vars>,
}

impl Budget {
    /// What the new value counts in; `None` when it does not fit. Threads that set at once may exceed common limits
    /// by a value each.
    fn charge(&self, var: VarRef, value: Sample<'_>, room: &Room<'_>) -> Option<Charge> {
        let (id, limits) = (var.id, &self.limits);
        let bytes = size_of(value);
        let old = room.scope.map_or(0, |vars| vars.bytes_of(id));
        let fits = |held: u64, limit: Option<u32>| {
            limit.is_none_or(|limit| held.saturating_sub(old) + bytes <= u64::from(limit))
        };
        let mut totals = SmallVec::new();
        let message = match var.scope {
            Scope::Req => room.stream.map(|stream| &stream.req),
            Scope::Res => room.stream.map(|stream| &stream.res),
            _ => None,
        };
        if !message.is_none_or(|vars| fits(vars.bytes(), limits.reqres)) {
            return None;
        }
        if matches!(var.scope, Scope::Req | Scope::Res | Scope::Txn)
            && let Some(stream) = room.stream
        {
            let held = [&stream.txn, &stream.req, &stream.res].map(|vars| vars.bytes());
            if !fits(held.iter().sum(), limits.txn) {
                return None;
            }
        }
        if var.scope == Scope::Check {
            let held = room.scope.map_or(0, |vars| vars.bytes());
            if !fits(held, limits.check) {
                return None;
            }
        } else {
            if var.scope != Scope::Proc
                && let Some(session) = room.session
            {
                let total = session.total();
                if !fits(total.get(), limits.sess) {
                    return None;
                }
                totals.push(total);
            }
            if !fits(self.process.get(), limits.proc) {
                return None;
            }
            totals.push(self.process.clone());
        }
        if !fits(self.all.get(), limits.global) {
            return None;
        }
        totals.push(self.all.clone());
        Some(Charge::new(bytes, totals))
    }
}

/// Bytes of a value: of texts their length, of others what they take.
fn size_of(value: Sample<'_>) -> u64 {
    match value {
        Sample::Bin(s) | Sample::Meth(s) | Sample::Str(s) => s.len() as u64,
        Sample::Bool(_) => 1,
        Sample::Int(_) => 8,
        Sample::Ipv4(_) => 4,
        Sample::Ipv6(_) => 16,
    }
}

/// The variables of a stream. The session has a [`Vars`] of its own.
#[derive(Debug, Default)]
pub struct StreamVars {
    pub txn: Vars,
    pub req: Vars,
    pub res: Vars,
}

/// The variables of the process, shared by its threads, and what all variables together may hold.
#[derive(Debug, Default)]
pub struct ProcVars {
    vars: RwLock<FxHashMap<u32, Stored>>,
    budget: Option<Budget>,
}

impl ProcVars {
    /// With limits, which [`EvalCtx::set_var`](crate::sample::EvalCtx::set_var) heeds.
    pub fn limited(limits: Limits) -> Self {
        let Limits { check, global, proc, reqres, sess, txn } = limits;
        let any = [check, global, proc, reqres, sess, txn].iter().any(Option::is_some);
        let (all, process) = (Total::default(), Total::default());
        Self { vars: RwLock::default(), budget: any.then_some(Budget { limits, all, process }) }
    }

    /// Keeps a value in a scope other than that of the process when limits leave room; removes the old one when not.
    /// `false` when there is no such scope.
    pub(crate) fn set_within(&self, var: VarRef, value: Sample<'_>, room: &Room<'_>) -> bool {
        let Some(scope) = room.scope else { return false };
        match self.budget.as_ref().map(|budget| budget.charge(var, value, room)) {
            None => scope.set(var.id, value),
            Some(Some(charge)) => scope.set_charged(var.id, value, charge),
            Some(None) => scope.unset(var.id),
        }
        true
    }

    pub fn get<'a>(&self, id: u32, scratch: &'a Bump) -> Option<Sample<'a>> {
        let vars = self.vars.read().unwrap_or_else(PoisonError::into_inner);
        vars.get(&id).map(|v| v.sample(scratch))
    }

    pub fn set(&self, id: u32, value: Sample<'_>) {
        let mut vars = self.vars.write().unwrap_or_else(PoisonError::into_inner);
        vars.remove(&id);
        let var = VarRef { scope: Scope::Proc, id };
        let room = Room { session: None, stream: None, scope: None };
        let stored = match self.budget.as_ref().map(|budget| budget.charge(var, value, &room)) {
            None => Stored::new(value),
            Some(Some(charge)) => Stored::Charged(Box::new((Stored::new(value), charge))),
            Some(None) => return,
        };
        vars.insert(id, stored);
    }

    /// Every variable, by name's number.
    pub fn all<'a>(&self, scratch: &'a Bump, mut see: impl FnMut(u32, Sample<'a>)) {
        let vars = self.vars.read().unwrap_or_else(PoisonError::into_inner);
        let mut ids: SmallVec<[u32; 16]> = vars.keys().copied().collect();
        ids.sort_unstable();
        ids.iter().for_each(|id| see(*id, vars[id].sample(scratch)));
    }

    pub fn unset(&self, id: u32) {
        self.vars.write().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let names = VarNames::default();
        let a = names.parse("txn.a").unwrap();
        assert_eq!(names.parse("txn.a"), Ok(a));
        assert_eq!(names.parse("req.a"), Ok(VarRef { scope: Scope::Req, id: a.id }));
        assert_ne!(names.parse("txn.b").unwrap().id, a.id);
        for wrong in ["a", "foo.a", "txn.", "txn.a-b", "ptxn.a"] {
            assert!(names.parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn limits_include_those_within() {
        let scratch = Bump::new();
        let limits = Limits { sess: Some(10), reqres: Some(4), ..Limits::default() };
        let proc = ProcVars::limited(limits);
        let (session, stream) = (Vars::default(), StreamVars::default());
        let set = |scope: Scope, id: u32, text: &str| {
            let vars = match scope {
                Scope::Req => &stream.req,
                Scope::Sess => &session,
                _ => &stream.txn,
            };
            let room = Room { session: Some(&session), stream: Some(&stream), scope: Some(vars) };
            proc.set_within(VarRef { scope, id }, Sample::Str(text.as_bytes()), &room);
            vars.get(id, &scratch).is_some()
        };
        assert!(!set(Scope::Req, 1, "12345"), "a message has 4");
        assert!(set(Scope::Req, 1, "1234"));
        assert!(set(Scope::Txn, 1, "123456"));
        assert!(!set(Scope::Sess, 1, "1"), "the session is full");
        assert!(set(Scope::Txn, 1, "654321"), "the old value counts no more");
        assert!(!set(Scope::Txn, 1, "7654321"), "and is gone when the new one does not fit");
        assert!(set(Scope::Sess, 1, "123456"));
        stream.req.clear();
        assert!(set(Scope::Sess, 2, "1234"), "what ends gives its bytes back");
        let mut seen = 0;
        session.all(&scratch, |_, _| seen += 1);
        assert_eq!(seen, 2);
    }

    #[test]
    fn the_process_counts_everybody() {
        let scratch = Bump::new();
        let proc = ProcVars::limited(Limits { proc: Some(5), ..Limits::default() });
        proc.set(1, Sample::Str(b"123"));
        let session = Vars::default();
        let room = Room { session: Some(&session), stream: None, scope: Some(&session) };
        let var = VarRef { scope: Scope::Sess, id: 1 };
        proc.set_within(var, Sample::Str(b"123"), &room);
        assert_eq!(session.get(1, &scratch), None);
        proc.unset(1);
        proc.set_within(var, Sample::Str(b"123"), &room);
        assert_eq!(session.get(1, &scratch), Some(Sample::Str(b"123")));
        drop(session);
        proc.set(1, Sample::Str(b"12345"));
        assert_eq!(proc.get(1, &scratch), Some(Sample::Str(b"12345")));
    }

    #[test]
    fn values() {
        let scratch = Bump::new();
        let vars = Vars::default();
        assert_eq!(vars.get(1, &scratch), None);
        vars.set(1, Sample::Str(b"abc"));
        vars.set(2, Sample::Int(7));
        vars.set(1, Sample::Str(b"de"));
        assert_eq!(vars.get(1, &scratch), Some(Sample::Str(b"de")));
        vars.set(1, Sample::Bool(true));
        assert_eq!(vars.get(1, &scratch), Some(Sample::Bool(true)));
        vars.unset(1);
        assert_eq!(vars.get(1, &scratch), None);
        assert_eq!(vars.get(2, &scratch), Some(Sample::Int(7)));
    }
}
