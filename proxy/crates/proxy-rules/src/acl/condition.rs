//! Conditions: `if` or `unless`, ACLs side by side, `or` between groups, `!` in front (configuration manual, 7.2).

use std::sync::Arc;

use proxy_types::{Diagnostic, Spanned};

use super::Verdict;
use super::expr::AclExpr;
use super::table::{Acl, AclTable};
use crate::sample::parse::{fail, show};
use crate::sample::{EvalCtx, FetchDef, ParseCx, Parsed, Word};

/// A compiled condition.
#[derive(Debug)]
pub struct Condition {
    unless: bool,
    /// Any group; in a group, every term.
    groups: Box<[Box<[Term]>]>,
}

#[derive(Debug)]
struct Term {
    negated: bool,
    test: Test,
}

#[derive(Debug)]
enum Test {
    Anonymous(Box<AclExpr>),
    Named(Arc<Acl>),
}

impl Condition {
    /// Whether `word` starts a condition.
    pub fn starts(word: &[u8]) -> bool {
        matches!(word, b"if" | b"unless")
    }

    /// Reads `if` or `unless` and all that follows.
    pub fn parse(words: &[Word<'_>], acls: &mut AclTable, cx: &mut ParseCx<'_>) -> Parsed<Self> {
        let Some((&keyword, mut rest)) = words.split_first() else {
            return fail(Diagnostic::alert("'if' or 'unless' is expected"));
        };
        let unless = match keyword.value {
            b"if" => false,
            b"unless" => true,
            other => {
                return fail(
                    Diagnostic::alert(format!(
                        "'if' or 'unless' is expected, not '{}'",
                        show(other)
                    ))
                    .at(keyword.span),
                );
            }
        };
        let mut groups: Vec<Box<[Term]>> = Vec::new();
        let mut group: Vec<Term> = Vec::new();
        let mut last = keyword;
        while let Some((&word, after)) = rest.split_first() {
            rest = after;
            last = word;
            if word.value == b"||" || word.value.eq_ignore_ascii_case(b"or") {
                if group.is_empty() {
                    return fail(
                        Diagnostic::alert(format!(
                            "nothing before '{}' in condition",
                            show(word.value)
                        ))
                        .at(word.span)
                        .expected("an ACL"),
                    );
                }
                groups.push(std::mem::take(&mut group).into());
                continue;
            }
            let (term, after) = parse_term(word, rest, acls, cx)?;
            group.push(term);
            rest = after;
        }
        if group.is_empty() {
            return fail(
                Diagnostic::alert(format!("nothing after '{}' in condition", show(last.value)))
                    .at(last.span)
                    .expected("an ACL"),
            );
        }
        groups.push(group.into());
        Ok(Self { unless, groups: groups.into() })
    }

    /// Whether the rule applies.
    pub fn eval<'a>(&'a self, cx: &EvalCtx<'a>) -> Verdict {
        let mut verdict = Verdict::False;
        for group in &self.groups {
            verdict = verdict.max(all(group, cx));
            if verdict == Verdict::True {
                break;
            }
        }
        if self.unless { verdict.negate() } else { verdict }
    }

    /// The fetches of all its ACLs, as they are declared so far.
    pub fn fetches(&self) -> impl Iterator<Item = &'static FetchDef> {
        self.expressions().map(|expr| expr.expr().fetch())
    }

    /// All expressions of all its ACLs, as they are declared so far.
    pub(crate) fn expressions(&self) -> impl Iterator<Item = &AclExpr> {
        self.groups.iter().flat_map(|group| group.iter()).flat_map(|term| {
            let (one, all) = match &term.test {
                Test::Anonymous(expr) => (Some(&**expr), None),
                Test::Named(acl) => (None, Some(acl.lines())),
            };
            one.into_iter().chain(all.into_iter().flatten())
        })
    }

    /// The names of the ACLs used.
    pub fn acls(&self) -> impl Iterator<Item = &str> {
        self.groups.iter().flat_map(|g| g.iter()).filter_map(|term| match &term.test {
            Test::Anonymous(_) => None,
            Test::Named(acl) => Some(acl.name()),
        })
    }
}

fn all<'a>(group: &'a [Term], cx: &EvalCtx<'a>) -> Verdict {
    for term in group {
        let verdict = match &term.test {
            Test::Anonymous(expr) => expr.eval(cx),
            Test::Named(acl) => acl.eval(cx),
        };
        let verdict = if term.negated { verdict.negate() } else { verdict };
        if verdict != Verdict::True {
            return verdict;
        }
    }
    Verdict::True
}

/// Reads `[!]name` or `[!]{ ... }` that starts with `word`; gives what follows it.
fn parse_term<'w, 't>(
    word: Word<'t>,
    mut rest: &'w [Word<'t>],
    acls: &mut AclTable,
    cx: &mut ParseCx<'_>,
) -> Parsed<(Term, &'w [Word<'t>])> {
    let bangs = word.value.iter().take_while(|b| **b == b'!').count();
    let mut negated = bangs % 2 == 1;
    let mut name =
        Spanned::new(&word.value[bangs..], word.span.sub(bangs, word.value.len() - bangs));
    while name.value.is_empty() {
        let Some((&next, after)) = rest.split_first() else {
            return fail(
                Diagnostic::alert("nothing after '!' in condition")
                    .at(word.span)
                    .expected("an ACL"),
            );
        };
        rest = after;
        let bangs = next.value.iter().take_while(|b| **b == b'!').count();
        negated ^= bangs % 2 == 1;
        name = Spanned::new(&next.value[bangs..], next.span.sub(bangs, next.value.len() - bangs));
    }
    if name.value != b"{" {
        let acl = acls.find(name, cx)?;
        if !acl.is_valid_at(cx) {
            cx.diag.push(
                Diagnostic::warning(format!(
                    "acl '{}' will never match because it only involves keywords that are incompatible with '{}'",
                    acl.name(),
                    cx.place.name()
                ))
                .at(name.span),
            );
        }
        return Ok((Term { negated, test: Test::Named(acl) }, rest));
    }
    let Some(end) = rest.iter().position(|w| w.value == b"}") else {
        return fail(
            Diagnostic::alert("missing closing '}' in condition")
                .at(name.span)
                .help("braces must be words of their own, with spaces around them"),
        );
    };
    if end == 0 {
        return fail(Diagnostic::alert("empty anonymous ACL in condition").at(name.span));
    }
    let expr = AclExpr::parse(&rest[..end], cx)?;
    if !cx.allows(expr.valid_at()) {
        cx.diag.push(
            Diagnostic::warning(format!(
                "anonymous acl will never match because it uses keyword '{}' which is incompatible with '{}'",
                expr.expr().fetch().name,
                cx.place.name()
            ))
            .at(rest[0].span),
        );
    }
    Ok((Term { negated, test: Test::Anonymous(Box::new(expr)) }, &rest[end + 1..]))
}
