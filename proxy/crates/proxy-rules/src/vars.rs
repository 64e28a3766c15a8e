//! Variables: `proc.x`, `sess.x`, `txn.x`, `req.x`, `res.x` (configuration manual, 2.8).

use std::cell::RefCell;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::{Mutex, PoisonError, RwLock};

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
pub struct VarNames(Mutex<FxHashMap<Box<str>, u32>>);

impl VarNames {
    /// `scope.name`, when the configuration or a command named it before.
    pub fn find(&self, text: &str) -> Option<VarRef> {
        let (scope, name) = text.split_once('.')?;
        let &(_, scope) = Scope::ROWS.iter().find(|(word, _)| *word == scope)?;
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.get(name).map(|&id| VarRef { scope, id })
    }

    /// The name behind the dot that `id` stands for.
    pub fn name(&self, id: u32) -> Option<Box<str>> {
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.iter().find(|(_, known)| **known == id).map(|(name, _)| name.clone())
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
        let next = u32::try_from(names.len()).map_err(|_| "too many variables".to_owned())?;
        let id = *names.entry(name.into()).or_insert(next);
        Ok(VarRef { scope, id })
    }
}

/// A value that outlives the message it was taken from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored {
    Bin(Vec<u8>),
    Bool(bool),
    Int(i64),
    Ipv4(Ipv4Addr),
    Ipv6(Ipv6Addr),
    Meth(Vec<u8>),
    Str(Vec<u8>),
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

    fn sample<'a>(&self, scratch: &'a Bump) -> Sample<'a> {
        match self {
            Self::Bin(s) => Sample::Bin(scratch.alloc_slice_copy(s)),
            Self::Bool(b) => Sample::Bool(*b),
            Self::Int(n) => Sample::Int(*n),
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
        self.0.borrow().iter().for_each(|(id, value)| see(*id, value.sample(scratch)));
    }

    pub fn unset(&self, id: u32) {
        self.0.borrow_mut().retain(|(i, _)| *i != id);
    }

    pub fn clear(&self) {
        self.0.borrow_mut().clear();
    }
}

/// The variables of a stream. The session has a [`Vars`] of its own.
#[derive(Debug, Default)]
pub struct StreamVars {
    pub txn: Vars,
    pub req: Vars,
    pub res: Vars,
}

/// The variables of the process, shared by its threads.
#[derive(Debug, Default)]
pub struct ProcVars(RwLock<FxHashMap<u32, Stored>>);

impl ProcVars {
    pub fn get<'a>(&self, id: u32, scratch: &'a Bump) -> Option<Sample<'a>> {
        let vars = self.0.read().unwrap_or_else(PoisonError::into_inner);
        vars.get(&id).map(|v| v.sample(scratch))
    }

    pub fn set(&self, id: u32, value: Sample<'_>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(id, Stored::new(value));
    }

    /// Every variable, by name's number.
    pub fn all<'a>(&self, scratch: &'a Bump, mut see: impl FnMut(u32, Sample<'a>)) {
        let vars = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut ids: SmallVec<[u32; 16]> = vars.keys().copied().collect();
        ids.sort_unstable();
        ids.iter().for_each(|id| see(*id, vars[id].sample(scratch)));
    }

    pub fn unset(&self, id: u32) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(&id);
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
