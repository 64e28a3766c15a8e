//! Rows of the fetch and converter tables.

use bumpalo::Bump;

use super::args::{ArgDef, Args};
use super::context::EvalCtx;
use super::place::Validity;
use super::value::{Sample, Type};

/// How a fetch is called and what it tells besides the value.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cursor {
    /// The caller looks at every occurrence in turn (ACLs) rather than at one.
    pub iterate: bool,
    /// Set by the fetch when a further call with this cursor may give another occurrence.
    pub more: bool,
    /// Set by the fetch when later data may change the answer; `None` with it means "not known yet".
    pub may_change: bool,
    /// Free for the fetch between calls; all zero on the first.
    pub at: [u32; 2],
}

impl Cursor {
    pub fn all() -> Self {
        Self { iterate: true, ..Self::default() }
    }

    /// "Not known yet": data must come first.
    pub fn wait<T>(&mut self) -> Option<T> {
        self.may_change = true;
        None
    }
}

pub type FetchFn = for<'a> fn(&EvalCtx<'a>, &'a Args, &mut Cursor) -> Option<Sample<'a>>;
pub type ConvFn = for<'a> fn(&EvalCtx<'a>, &'a Args, Sample<'a>) -> Option<Sample<'a>>;
/// Says what is wrong with arguments that have the right types.
pub type CheckFn = fn(&mut Args) -> Result<(), String>;

/// An expression and its text form on the standard example traffic ([`super::example`]); `None` when it
/// gives no value. Run as tests and shown in the reference.
pub type Example = (&'static str, Option<&'static str>);

/// A sample fetch.
#[derive(Clone, Copy)]
pub struct FetchDef {
    pub name: &'static str,
    pub args: &'static [ArgDef],
    pub out: Type,
    pub at: Validity,
    pub run: FetchFn,
    pub check: Option<CheckFn>,
    /// Times of tasks are taken when this is used.
    pub times_tasks: bool,
    /// One line, third person.
    pub doc: &'static str,
    pub examples: &'static [Example],
}

impl FetchDef {
    pub const fn new(
        name: &'static str,
        args: &'static [ArgDef],
        out: Type,
        at: Validity,
        run: FetchFn,
        doc: &'static str,
    ) -> Self {
        Self { name, args, out, at, run, check: None, times_tasks: false, doc, examples: &[] }
    }

    pub const fn eg(mut self, examples: &'static [Example]) -> Self {
        self.examples = examples;
        self
    }

    pub const fn check(mut self, check: CheckFn) -> Self {
        self.check = Some(check);
        self
    }
}

/// A converter.
#[derive(Clone, Copy)]
pub struct ConvDef {
    pub name: &'static str,
    pub args: &'static [ArgDef],
    pub input: Type,
    pub out: Type,
    pub run: ConvFn,
    pub check: Option<CheckFn>,
    /// One line, third person.
    pub doc: &'static str,
    pub examples: &'static [Example],
}

impl ConvDef {
    pub const fn new(
        name: &'static str,
        args: &'static [ArgDef],
        input: Type,
        out: Type,
        run: ConvFn,
        doc: &'static str,
    ) -> Self {
        Self { name, args, input, out, run, check: None, doc, examples: &[] }
    }

    pub const fn eg(mut self, examples: &'static [Example]) -> Self {
        self.examples = examples;
        self
    }

    pub const fn check(mut self, check: CheckFn) -> Self {
        self.check = Some(check);
        self
    }
}

/// Scratch vector for values that converters build.
pub type Out<'a> = bumpalo::collections::Vec<'a, u8>;

/// An empty [`Out`] with room for `capacity` bytes.
pub fn out(scratch: &Bump, capacity: usize) -> Out<'_> {
    Out::with_capacity_in(capacity, scratch)
}
