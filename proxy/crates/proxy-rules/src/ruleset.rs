//! Rule sets: ordered rules of one phase, and the choice of a backend.

use std::sync::Arc;

use proxy_types::{Diagnostic, Spanned, text};

use crate::acl::Verdict;
use crate::acl::{AclTable, Condition};
use crate::action::{self, Act, ActionArgs, ActionDef, Flow, RuleEnv, SetKind};
use crate::known;
use crate::logformat::{LogFormat, Use};
use crate::sample::parse::{fail, show};
use crate::sample::{EvalCtx, Named, ParseCx, Parsed, Word};

/// An action and its condition.
#[derive(Debug)]
pub struct Rule {
    condition: Option<Condition>,
    action: Box<dyn Act>,
    /// File and line.
    place: Option<(Arc<str>, u32)>,
}

impl Rule {
    pub(crate) fn action(&self) -> &dyn Act {
        &*self.action
    }

    /// Whether it holds for everything.
    pub fn is_unconditional(&self) -> bool {
        self.condition.is_none()
    }

    /// File and line.
    pub fn place(&self) -> Option<(&str, u32)> {
        self.place.as_ref().map(|(file, line)| (&**file, *line))
    }

    /// Reads a rule: the words after its keyword (`http-request`, `tcp-request content` ...).
    ///
    /// # Errors
    /// Unknown actions and those not carried, wrong arguments, wrong conditions, what is left over.
    pub fn parse(
        kind: SetKind,
        words: &[Word<'_>],
        acls: &mut AclTable,
        cx: &mut ParseCx<'_>,
    ) -> Parsed<Self> {
        let Some((&word, rest)) = words.split_first() else {
            return fail(Diagnostic::alert(format!("'{}' expects an action", kind.keyword())));
        };
        let len = memchr::memchr(b'(', word.value).unwrap_or(word.value.len());
        let name = show(&word.value[..len]);
        let Some(def) = action::find(&name).filter(|def| def.sets.contains(kind)) else {
            return fail(unknown(kind, &name).at(word.span.sub(0, len)));
        };
        Self::with_action(def, kind, word, rest, acls, cx)
    }

    /// Reads the `redirect` keyword of a proxy: the words after it.
    pub fn parse_redirect(
        words: &[Word<'_>],
        acls: &mut AclTable,
        cx: &mut ParseCx<'_>,
    ) -> Parsed<Self> {
        let span = words.first().map_or(proxy_types::Span::NONE, |w| w.span);
        let name = Spanned::new(b"redirect".as_slice(), span);
        Self::with_action(&action::redirect::STATEMENT, SetKind::HttpRequest, name, words, acls, cx)
    }

    fn with_action(
        def: &ActionDef,
        kind: SetKind,
        word: Word<'_>,
        rest: &[Word<'_>],
        acls: &mut AclTable,
        cx: &mut ParseCx<'_>,
    ) -> Parsed<Self> {
        let len = memchr::memchr(b'(', word.value).unwrap_or(word.value.len());
        let name = show(&word.value[..len]);
        let paren = match word.value.get(len..) {
            None | Some([]) => None,
            Some([b'(', inner @ .., b')']) => {
                Some(Spanned::new(inner, word.span.sub(len + 1, inner.len())))
            }
            Some(_) => {
                return fail(
                    Diagnostic::alert(format!("'{}': missing closing ')'", show(word.value)))
                        .at(word.span),
                );
            }
        };
        let mut args = ActionArgs::new(kind, &name, word.span, paren, rest);
        if args.has_paren() && !def.syntax.starts_with('(') {
            return fail(
                Diagnostic::alert(format!("{} takes no argument in parentheses", args.what()))
                    .at(word.span),
            );
        }
        let action = (def.parse)(&mut args, cx)?;
        let rest = args.rest();
        let condition = match rest.first() {
            None => None,
            Some(word) if Condition::starts(word.value) => {
                Some(Condition::parse(rest, acls, cx).map_err(|mut d| {
                    d.message = format!(
                        "error detected while parsing an '{} {name}' condition : {}",
                        kind.keyword(),
                        d.message
                    );
                    d
                })?)
            }
            Some(word) => {
                return fail(
                    Diagnostic::alert(format!(
                        "{} expects either 'if' or 'unless' followed by a condition but found '{}'",
                        args.what(),
                        show(word.value)
                    ))
                    .at(word.span),
                );
            }
        };
        let (file, line) = cx.place_of(word.span);
        let place = (!file.is_empty()).then(|| (Arc::from(file), line));
        Ok(Self { condition, action, place })
    }

    pub fn condition(&self) -> Option<&Condition> {
        self.condition.as_ref()
    }

    /// Takes note that the stream waits here, for `waiting_entity`.
    fn wait(&self, env: &RuleEnv<'_, '_>) {
        if let Some(waiting) = env.base.waiting_rule {
            waiting.set(self.place.clone());
        }
    }
}

/// Why `name` is no action of `kind`.
fn unknown(kind: SetKind, name: &str) -> Diagnostic {
    let keyword = kind.keyword();
    let valid = |name: &str| {
        known::action_matrix(name).is_some_and(|m| m.as_bytes().get(kind as usize) == Some(&b'Y'))
    };
    let mut diagnostic = if valid(name) {
        Diagnostic::alert(format!("'{keyword} {name}' is not supported yet"))
            .note("HAProxy 3.5 has this action; Sluice does not carry it")
    } else if known::action_matrix(name).is_some() {
        Diagnostic::alert(format!("action '{name}' is not possible in '{keyword}' rules"))
    } else {
        let names = known::Kind::Action.names().filter(|n| valid(n));
        Diagnostic::alert(format!("unknown action '{name}' in '{keyword}' rule"))
            .did_you_mean(text::nearest(name, names))
    };
    let carried: Vec<_> = action::ALL
        .iter()
        .flat_map(|rows| rows.iter())
        .filter(|def| def.sets.contains(kind))
        .map(|def| def.name)
        .collect();
    diagnostic.expected = Some(carried.join(", "));
    diagnostic
}

/// The rules of one phase in order.
#[derive(Debug, Default)]
pub struct RuleSet(Vec<Rule>);

impl RuleSet {
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.0.iter()
    }

    pub fn new() -> Self {
        Self::default()
    }

    pub fn push(&mut self, rule: Rule) {
        self.0.push(rule);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Runs the rules until one ends the set. [`Flow::Next`] means that none did.
    pub fn run<'a>(&'a self, env: &mut RuleEnv<'_, 'a>) -> Flow<'a> {
        self.run_from(&mut 0, env)
    }

    /// Runs the rules from `at` on. After a wait, `at` is the rule to go on with.
    pub fn run_from<'a>(&'a self, at: &mut usize, env: &mut RuleEnv<'_, 'a>) -> Flow<'a> {
        // Whatever it waited for is there, or time is over.
        if let Some(waiting) = env.base.waiting_rule {
            waiting.set(None);
        }
        while let Some(rule) = self.0.get(*at) {
            let verdict = match &rule.condition {
                None => Verdict::True,
                Some(condition) => condition_holds(condition, env),
            };
            match verdict {
                Verdict::False => {
                    *at += 1;
                    continue;
                }
                Verdict::NeedMore => {
                    rule.wait(env);
                    return Flow::Wait;
                }
                Verdict::True => {}
            }
            match rule.action.run(env) {
                Flow::Next => *at += 1,
                Flow::Wait => {
                    rule.wait(env);
                    return Flow::Wait;
                }
                pause @ (Flow::Body { .. }
                | Flow::Handshake
                | Flow::Pause { .. }
                | Flow::Resolve(_)) => {
                    *at += 1;
                    rule.wait(env);
                    return pause;
                }
                end @ (Flow::Close(_) | Flow::Reply(_) | Flow::Service(_) | Flow::Stop) => {
                    if let Some(last) = env.base.last_rule {
                        last.set(rule.place.clone());
                    }
                    return end;
                }
            }
        }
        Flow::Next
    }
}

fn condition_holds(condition: &Condition, env: &RuleEnv<'_, '_>) -> Verdict {
    condition.eval(&env.cx())
}

/// The `use_backend` rules of a frontend in order.
#[derive(Debug, Default)]
pub struct BackendRules(Vec<BackendRule>);

#[derive(Debug)]
struct BackendRule {
    condition: Option<Condition>,
    target: LogFormat,
}

/// The `use-server` rules of a backend in order.
#[derive(Debug, Default)]
pub struct ServerRules(Vec<BackendRule>);

impl ServerRules {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads the words after `use-server`: a name or a format, and a condition.
    ///
    /// # Errors
    /// As those of rules.
    pub fn push(
        &mut self,
        words: &[Word<'_>],
        acls: &mut AclTable,
        cx: &mut ParseCx<'_>,
    ) -> Parsed<()> {
        let (name, rule) = target("use-server", words, acls, cx)?;
        if let Some(constant) = rule.target.constant() {
            cx.refs.push(Spanned::new(Named::Server(None, show(constant).into()), name.span));
        }
        self.0.push(rule);
        Ok(())
    }

    /// What `find` says of the first rule that applies and whose server can be used. A dynamic rule that names no server ends
    /// the walk.
    pub fn choose<'a, T>(
        &'a self,
        cx: &EvalCtx<'a>,
        find: impl FnMut(&[u8]) -> Found<T>,
    ) -> Option<T> {
        walk(&self.0, cx, false, find)
    }
}

/// `waits`: a condition whose data is not there yet ends the walk; otherwise it counts as false.
fn walk<'a, T>(
    rules: &'a [BackendRule],
    cx: &EvalCtx<'a>,
    waits: bool,
    mut find: impl FnMut(&[u8]) -> Found<T>,
) -> Option<T> {
    for rule in rules {
        match rule.condition.as_ref().map_or(Verdict::True, |c| c.eval(cx)) {
            Verdict::False => continue,
            Verdict::NeedMore if !waits => continue,
            Verdict::NeedMore => return None,
            Verdict::True => {}
        }
        match find(rule.target.render(cx)) {
            Found::Usable(target) => return Some(target),
            Found::Unusable => {}
            Found::Nothing if rule.target.constant().is_none() => return None,
            Found::Nothing => {}
        }
    }
    None
}

/// What there is under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<T> {
    Usable(T),
    Unusable,
    Nothing,
}

/// A name or format and the condition behind it.
fn target<'w>(
    keyword: &str,
    words: &[Word<'w>],
    acls: &mut AclTable,
    cx: &mut ParseCx<'_>,
) -> Parsed<(Word<'w>, BackendRule)> {
    let Some((&name, rest)) = words.split_first() else {
        return fail(Diagnostic::alert(format!("'{keyword}' expects a name")));
    };
    let target = LogFormat::parse(name, Use::Http, cx)?;
    let condition = match rest.first() {
        None => None,
        Some(word) if Condition::starts(word.value) => Some(Condition::parse(rest, acls, cx)?),
        Some(word) => {
            return fail(
                Diagnostic::alert(format!(
                    "'{keyword}' expects either 'if' or 'unless' followed by a condition but found '{}'",
                    show(word.value)
                ))
                .at(word.span),
            );
        }
    };
    Ok((name, BackendRule { condition, target }))
}

impl BackendRules {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads the words after `use_backend`: a name or a format, and a condition.
    pub fn push(
        &mut self,
        words: &[Word<'_>],
        acls: &mut AclTable,
        cx: &mut ParseCx<'_>,
    ) -> Parsed<()> {
        let (name, rule) = target("use_backend", words, acls, cx)?;
        if let Some(constant) = rule.target.constant() {
            cx.refs.push(Spanned::new(Named::Backend(show(constant).into()), name.span));
        }
        self.0.push(rule);
        Ok(())
    }

    /// The condition of the rule that was added last.
    pub fn last_condition(&self) -> Option<&Condition> {
        self.0.last()?.condition.as_ref()
    }

    /// What `find` says of the first rule that applies and whose backend may be chosen. A rule whose data must come first, and a
    /// dynamic rule that names no backend, end the walk: the default backend is meant.
    pub fn choose<'a, T>(
        &'a self,
        cx: &EvalCtx<'a>,
        find: impl FnMut(&[u8]) -> Found<T>,
    ) -> Option<T> {
        walk(&self.0, cx, true, find)
    }
}
