//! The named ACLs of a proxy.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use proxy_types::{Diagnostic, text};
use rustc_hash::FxHashMap;

use super::expr::AclExpr;
use super::{Verdict, predefined};
use crate::sample::parse::{fail, show};
use crate::sample::{EvalCtx, ParseCx, Parsed, Word};

/// A named ACL: all lines of that name, of which any may match. Lines may be added after rules refer to it.
#[derive(Debug)]
pub struct Acl {
    name: Box<str>,
    lines: OnceLock<Box<Line>>,
    /// `acl()` or `when()` refers to it: lines that came later could refer back.
    closed: AtomicBool,
}

#[derive(Debug)]
struct Line {
    expr: AclExpr,
    next: OnceLock<Box<Self>>,
}

impl Acl {
    fn new(name: &str) -> Self {
        Self { name: name.into(), lines: OnceLock::new(), closed: AtomicBool::new(false) }
    }

    fn push(&self, expr: AclExpr) {
        let mut slot = &self.lines;
        while let Some(line) = slot.get() {
            slot = &line.next;
        }
        // The slot was empty, and only the table that owns this ACL adds to it.
        let _ = slot.set(Box::new(Line { expr, next: OnceLock::new() }));
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn lines(&self) -> impl Iterator<Item = &AclExpr> {
        let mut slot = &self.lines;
        std::iter::from_fn(move || {
            let line = slot.get()?;
            slot = &line.next;
            Some(&line.expr)
        })
    }

    /// Whether any line can match at `place`.
    pub fn is_valid_at(&self, cx: &ParseCx<'_>) -> bool {
        self.lines().any(|line| cx.allows(line.valid_at()))
    }

    pub fn eval<'a>(&'a self, cx: &EvalCtx<'a>) -> Verdict {
        let mut verdict = Verdict::False;
        for line in self.lines() {
            verdict = verdict.max(line.eval(cx));
            if verdict == Verdict::True {
                break;
            }
        }
        verdict
    }
}

/// The ACLs of one proxy, by name. Predefined ones are made when first used. Clones are the same table.
#[derive(Clone, Debug, Default)]
pub struct AclTable(Rc<RefCell<FxHashMap<Box<str>, Arc<Acl>>>>);

impl AclTable {
    /// Reads what follows `acl`: a name and a criterion with its patterns.
    pub fn declare(&mut self, words: &[Word<'_>], cx: &mut ParseCx<'_>) -> Parsed<()> {
        let Some((name, rest)) = words.split_first() else {
            return fail(Diagnostic::alert("'acl' expects a name and a criterion"));
        };
        let text = show(name.value);
        let bad = |b: &u8| !(b.is_ascii_alphanumeric() || b"-_.:".contains(b));
        if let Some(at) = name.value.iter().position(bad) {
            return fail(
                Diagnostic::alert(format!(
                    "character '{}' is not permitted in acl name '{text}'",
                    char::from(name.value[at])
                ))
                .at(name.span.sub(at, 1))
                .expected("letters, digits, '-', '_', '.' and ':'"),
            );
        }
        if name.value.eq_ignore_ascii_case(b"or") {
            return fail(
                Diagnostic::alert(format!(
                    "acl name '{text}' will never match. 'or' is used to express a logical disjunction within a \
                     condition"
                ))
                .at(name.span),
            );
        }
        if rest.is_empty() {
            return fail(
                Diagnostic::alert(format!("missing criterion of acl '{text}'")).at(name.span),
            );
        }
        let expr = AclExpr::parse(rest, cx).map_err(|mut d| {
            d.message = format!("ACL '{text}' : {}", d.message);
            if d.span.is_none() {
                *d = d.clone().at(name.span);
            }
            d
        })?;
        let mut table = self.0.borrow_mut();
        let acl = table.entry(text.as_ref().into()).or_insert_with(|| Arc::new(Acl::new(&text)));
        if acl.closed.load(Ordering::Relaxed) {
            return fail(
                Diagnostic::alert(format!("acl '{text}' goes on behind a line that refers to it"))
                    .at(name.span)
                    .help("declare all of it before it is used in 'acl()' or 'when()'"),
            );
        }
        acl.push(expr);
        Ok(())
    }

    /// The ACL called `name`, for an expression that refers to it: it takes no further lines.
    pub(crate) fn refer(&self, name: Word<'_>, cx: &mut ParseCx<'_>) -> Parsed<Arc<Acl>> {
        let acl = self.find(name, cx)?;
        acl.closed.store(true, Ordering::Relaxed);
        Ok(acl)
    }

    /// The ACL called `name`, declared or predefined.
    pub fn find(&self, name: Word<'_>, cx: &mut ParseCx<'_>) -> Parsed<Arc<Acl>> {
        let text = show(name.value);
        if let Some(acl) = self.get(&text) {
            return Ok(acl);
        }
        if let Some(criterion) = predefined::find(&text) {
            let words: Vec<Word<'_>> =
                criterion.split(' ').map(|w| Word::new(w.as_bytes(), name.span)).collect();
            let acl = Arc::new(Acl::new(&text));
            acl.push(AclExpr::parse(&words, cx)?);
            self.0.borrow_mut().insert(text.as_ref().into(), acl.clone());
            return Ok(acl);
        }
        let table = self.0.borrow();
        let mut names: Vec<&str> =
            table.keys().map(|k| &**k).chain(predefined::ALL.iter().map(|r| r.0)).collect();
        names.sort_unstable();
        fail(
            Diagnostic::alert(format!("no such ACL : '{text}'"))
                .did_you_mean(text::nearest(&text, names))
                .at(name.span),
        )
    }

    /// A declared ACL, for `acl()` and listings.
    pub fn get(&self, name: &str) -> Option<Arc<Acl>> {
        self.0.borrow().get(name).cloned()
    }
}
