//! Arguments of fetches and converters: their types, their quoting and their values.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, OnceLock};

use proxy_state::stick::Table;
use proxy_state::{Backend, Frontend, Server};
use proxy_types::{Diagnostic, Span, Spanned};
use regex::bytes::Regex;

use super::context::EvalCtx;
use super::parse::{Named, ParseCx, Parsed, Word};
use super::value::Sample;
use crate::acl::{Acl, Verdict};
use crate::jwt::{PairSource, PublicKey};
use crate::pattern::{Matcher, Method, Output, PatternLists};
use crate::vars::VarRef;

/// What one argument must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgKind {
    /// `[!]name` of an ACL.
    Acl,
    Backend,
    /// Numbers of Protocol Buffers fields, joined by dots.
    FieldPath,
    Frontend,
    Int,
    Ipv4,
    Ipv6,
    /// The name of a map that is looked up so, with such values.
    Map(Method, Output),
    /// Prefix length or dotted mask.
    Mask4,
    Mask6,
    /// A number, or the variable that holds it.
    Number,
    /// The name or the file of a certificate, or the variable that holds it.
    Certificate,
    /// The file of a public key, a secret, or the variable that holds either.
    PublicKey,
    Regex,
    /// `server` of the proxy the rule is in, or `backend/server`.
    Server,
    Str,
    Table,
    Userlist,
    /// A text, or the variable that holds it.
    Value,
    /// `scope.name`.
    Var,
}

impl ArgKind {
    /// The word of `-dK` listings and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Backend => "backend",
            Self::FieldPath => "Protocol buffers field number",
            Self::Frontend => "frontend",
            Self::Int => "integer",
            Self::Ipv4 => "IPv4 address",
            Self::Ipv6 => "IPv6 address",
            Self::Mask4 => "IPv4 mask",
            Self::Mask6 => "IPv6 mask",
            Self::Acl
            | Self::Map(..)
            | Self::Number
            | Self::Certificate
            | Self::PublicKey
            | Self::Str
            | Self::Value
            | Self::Var => "string",
            Self::Regex => "regex",
            Self::Server => "server",
            Self::Table => "table",
            Self::Userlist => "user list",
        }
    }
}

/// One argument of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArgDef {
    pub kind: ArgKind,
    pub required: bool,
}

/// A required argument.
pub const fn req(kind: ArgKind) -> ArgDef {
    ArgDef { kind, required: true }
}

/// An argument that may be left out, like all after it.
pub const fn opt(kind: ArgKind) -> ArgDef {
    ArgDef { kind, required: false }
}

/// `(string[,integer])`, or nothing.
pub fn signature(args: &[ArgDef]) -> String {
    if args.is_empty() {
        return String::new();
    }
    let required = args.iter().filter(|a| a.required).count();
    let mut text = String::from("(");
    for (i, arg) in args.iter().enumerate() {
        if i == required {
            text.push('[');
        }
        if i > 0 {
            text.push(',');
        }
        text.push_str(arg.kind.name());
    }
    if required < args.len() {
        text.push(']');
    }
    text.push(')');
    text
}

/// The value of an argument.
#[derive(Debug)]
pub enum Arg {
    Absent,
    Acl {
        negated: bool,
        acl: Arc<Acl>,
    },
    Int(i64),
    Ipv4(Ipv4Addr),
    Ipv6(Ipv6Addr),
    Map(Arc<Matcher>),
    Mask4(u32),
    Mask6(u128),
    Backend(Late<Backend>),
    FieldPath(Box<[u32]>),
    Frontend(Late<Frontend>),
    PublicKey(Arc<PublicKey>),
    Certificate(Arc<dyn PairSource>),
    Regex(Box<Regex>),
    /// Without a backend, the one the stream uses.
    Server {
        backend: Option<Late<Backend>>,
        server: Box<str>,
    },
    Str(Box<[u8]>),
    Table(TableRef),
    /// A section that no live object stands for yet.
    Name(Box<str>),
    Var(VarRef),
}

impl From<IpAddr> for Arg {
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => Self::Ipv4(ip),
            IpAddr::V6(ip) => Self::Ipv6(ip),
        }
    }
}

/// A live object that is looked up by name at the first use: rules are compiled before objects exist.
#[derive(Debug)]
pub struct Late<T> {
    name: Box<str>,
    found: OnceLock<Arc<T>>,
}

impl<T> Late<T> {
    fn new(name: &str) -> Self {
        Self { name: name.into(), found: OnceLock::new() }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    fn get(&self, find: impl FnOnce(&str) -> Option<Arc<T>>) -> Option<&T> {
        self.get_arc(find).map(|object| &**object)
    }

    fn get_arc(&self, find: impl FnOnce(&str) -> Option<Arc<T>>) -> Option<&Arc<T>> {
        self.found.get().or_else(|| {
            // Another thread may have been faster: it found the same object, for what is named here stays.
            let found = find(&self.name)?;
            Some(self.found.get_or_init(|| found))
        })
    }
}

/// A stick table.
#[derive(Debug)]
pub struct TableRef(Late<Table>);

impl TableRef {
    /// The table of this name, which whoever knows all sections checks to exist.
    pub fn named(name: &str, span: Span, cx: &mut ParseCx<'_>) -> Self {
        cx.refs.push(Spanned::new(Named::Table(name.into()), span));
        Self(Late::new(name))
    }

    /// The table; `None` only where no configuration was checked.
    pub fn get<'a>(&'a self, cx: &EvalCtx<'a>) -> Option<&'a Arc<Table>> {
        self.0.get_arc(|name| cx.shared.registry.table(name).cloned())
    }
}

/// The values of all arguments of a call. Accessors answer for the type given in the row; an argument that
/// was left out is `None`.
#[derive(Debug, Default)]
pub struct Args(pub Vec<Arg>);

impl Args {
    pub fn get(&self, i: usize) -> &Arg {
        self.0.get(i).unwrap_or(&Arg::Absent)
    }

    pub fn is_given(&self, i: usize) -> bool {
        !matches!(self.get(i), Arg::Absent)
    }

    /// The list of a map.
    pub fn map(&self, index: usize) -> Option<&Matcher> {
        match self.get(index) {
            Arg::Map(matcher) => Some(matcher),
            _ => None,
        }
    }

    /// Whether a named ACL holds, negated where that was asked; `None` where none is given.
    pub fn acl<'a>(&'a self, i: usize, cx: &EvalCtx<'a>) -> Option<Verdict> {
        match self.get(i) {
            Arg::Acl { negated: true, acl } => Some(acl.eval(cx).negate()),
            Arg::Acl { negated: false, acl } => Some(acl.eval(cx)),
            _ => None,
        }
    }

    pub fn str(&self, i: usize) -> Option<&[u8]> {
        match self.get(i) {
            Arg::Str(s) => Some(s),
            _ => None,
        }
    }

    pub fn int(&self, i: usize) -> Option<i64> {
        match self.get(i) {
            Arg::Int(n) => Some(*n),
            _ => None,
        }
    }

    pub fn addr(&self, i: usize) -> Option<IpAddr> {
        match self.get(i) {
            Arg::Ipv4(ip) => Some(IpAddr::V4(*ip)),
            Arg::Ipv6(ip) => Some(IpAddr::V6(*ip)),
            _ => None,
        }
    }

    /// The backend that is named, or the stream's when the argument was left out.
    pub fn backend<'a>(&'a self, i: usize, cx: &EvalCtx<'a>) -> Option<&'a Backend> {
        match self.get(i) {
            Arg::Absent => cx.backend,
            Arg::Backend(late) => late.get(|name| cx.shared.registry.backend(name)),
            _ => None,
        }
    }

    /// The frontend that is named, or the stream's when the argument was left out.
    pub fn frontend<'a>(&'a self, i: usize, cx: &EvalCtx<'a>) -> Option<&'a Frontend> {
        match self.get(i) {
            Arg::Absent => cx.frontend,
            Arg::Frontend(late) => late.get(|name| cx.shared.registry.frontend(name).cloned()),
            _ => None,
        }
    }

    /// The stick table that is named, or that of the section the rule is in.
    pub fn table<'a>(&'a self, i: usize, cx: &EvalCtx<'a>) -> Option<&'a Arc<Table>> {
        match self.get(i) {
            Arg::Table(table) => table.get(cx),
            _ => None,
        }
    }

    pub fn server(&self, i: usize, cx: &EvalCtx<'_>) -> Option<Arc<Server>> {
        let Arg::Server { backend, server } = self.get(i) else { return None };
        let backend = match backend {
            Some(late) => late.get(|name| cx.shared.registry.backend(name))?,
            None => cx.backend?,
        };
        backend.server(server)
    }

    pub fn regex(&self, i: usize) -> Option<&Regex> {
        match self.get(i) {
            Arg::Regex(re) => Some(re),
            _ => None,
        }
    }

    pub fn mask4(&self, i: usize) -> Option<u32> {
        match self.get(i) {
            Arg::Mask4(m) => Some(*m),
            _ => None,
        }
    }

    pub fn mask6(&self, i: usize) -> Option<u128> {
        match self.get(i) {
            Arg::Mask6(m) => Some(*m),
            _ => None,
        }
    }

    pub fn var(&self, i: usize) -> Option<VarRef> {
        match self.get(i) {
            Arg::Var(v) => Some(*v),
            _ => None,
        }
    }

    /// A [`ArgKind::Number`]: the number itself, or what its variable holds.
    pub fn number(&self, i: usize, cx: &EvalCtx<'_>) -> Option<i64> {
        match self.get(i) {
            Arg::Int(n) => Some(*n),
            Arg::Var(v) => cx.var(*v).and_then(|s| s.int()),
            _ => None,
        }
    }

    /// A [`ArgKind::Var`] or string argument as text: the variable's value or the text itself.
    pub fn text<'a>(&'a self, i: usize, cx: &EvalCtx<'a>) -> Option<&'a [u8]> {
        match self.get(i) {
            Arg::Str(s) => Some(s),
            Arg::Var(v) => cx.var(*v).and_then(|s: Sample<'a>| s.str(cx.scratch)),
            _ => None,
        }
    }
}

/// Cuts the text after an opening parenthesis into arguments and undoes their quoting. Gives the arguments and
/// the number of bytes up to and with the closing parenthesis; `Err` says what is missing.
pub fn split(text: Word<'_>) -> Parsed<(Vec<Spanned<Vec<u8>>>, usize)> {
    let bytes = text.value;
    let mut args = Vec::new();
    let mut arg = Vec::new();
    let mut start = 0;
    let mut quote = None;
    let mut i = 0;
    while let Some(&b) = bytes.get(i) {
        match (b, quote) {
            (b'\'' | b'"', None) => quote = Some(b),
            (_, Some(q)) if b == q => quote = None,
            (b'\\', None | Some(b'"')) if i + 1 < bytes.len() => {
                i += 1;
                match bytes[i] {
                    b'n' => arg.push(b'\n'),
                    b'r' => arg.push(b'\r'),
                    b't' => arg.push(b'\t'),
                    c @ (b' ' | b'\\' | b'"' | b'\'') => arg.push(c),
                    // An unknown escape keeps its backslash, and its character keeps its meaning.
                    _ => {
                        arg.push(b'\\');
                        continue;
                    }
                }
            }
            (b',' | b')', None) => {
                args.push(Spanned::new(std::mem::take(&mut arg), text.span.sub(start, i - start)));
                start = i + 1;
                if b == b')' {
                    return Ok((args, i + 1));
                }
            }
            _ => arg.push(b),
        }
        i += 1;
    }
    let missing = match quote {
        Some(q) => format!("missing closing quote {} in arguments", char::from(q)),
        None => "missing closing ')' after arguments".to_owned(),
    };
    Err(Box::new(Diagnostic::alert(missing).at(text.span)))
}

/// Checks the number and the types of the arguments of `what` and makes their values.
pub fn typed(
    what: &str,
    defs: &'static [ArgDef],
    given: &[Spanned<Vec<u8>>],
    span: Span,
    cx: &mut ParseCx<'_>,
) -> Parsed<Args> {
    // `name()` is the same as `name`.
    let given = match given {
        [only]
            if only.is_empty()
                && defs.first().is_none_or(|d| !d.required || d.kind == ArgKind::Table) =>
        {
            &[]
        }
        _ => given,
    };
    if given.len() > defs.len() {
        let at = given[defs.len()].span;
        let text = match defs.len() {
            0 => format!("{what} takes no argument"),
            n => format!("too many arguments for {what}: it takes at most {n}"),
        };
        return Err(Box::new(Diagnostic::alert(text).at(at).expected(signature(defs))));
    }
    let mut args = Vec::with_capacity(given.len());
    for (i, def) in defs.iter().enumerate() {
        // The table of the section the rule is in goes without saying.
        if def.kind == ArgKind::Table && def.required && given.get(i).is_none_or(|w| w.is_empty()) {
            args.push(Arg::Table(TableRef::named(cx.section, span, cx)));
            continue;
        }
        let Some(word) = given.get(i) else {
            if def.required {
                let required = defs.iter().filter(|d| d.required).count();
                return Err(Box::new(
                    Diagnostic::alert(format!(
                        "missing arguments for {what} (got {i}/{required}), type '{}' expected",
                        def.kind.name()
                    ))
                    .at(span)
                    .expected(signature(defs)),
                ));
            }
            break;
        };
        let absent = word.is_empty() && !def.required && def.kind != ArgKind::Str;
        let arg = if absent {
            Arg::Absent
        } else {
            value(def.kind, word, cx).map_err(|why| {
                Box::new(
                    Diagnostic::alert(format!("invalid argument {} for {what}: {why}", i + 1,))
                        .at(word.span)
                        .expected(def.kind.name()),
                )
            })?
        };
        args.push(arg);
    }
    Ok(Args(args))
}

fn value(kind: ArgKind, word: &Spanned<Vec<u8>>, cx: &mut ParseCx<'_>) -> Result<Arg, String> {
    if kind == ArgKind::Str {
        return Ok(Arg::Str(word.value.clone().into_boxed_slice()));
    }
    let text = std::str::from_utf8(&word.value)
        .map_err(|_| format!("'{}' is not text", String::from_utf8_lossy(&word.value)))?;
    let wrong = |what: &str| format!("'{text}' is not {what}");
    Ok(match kind {
        ArgKind::Acl => acl(text, word.span, cx)?,
        ArgKind::Backend => Arg::Backend(Late::new(named(Named::Backend, text, word.span, cx)?)),
        ArgKind::FieldPath => {
            let numbers: Option<Box<[u32]>> = text.split('.').map(|n| n.parse().ok()).collect();
            Arg::FieldPath(numbers.ok_or_else(|| wrong("field numbers joined by dots"))?)
        }
        ArgKind::Frontend => Arg::Frontend(Late::new(named(Named::Frontend, text, word.span, cx)?)),
        ArgKind::Table => Arg::Table(TableRef::named(text, word.span, cx)),
        ArgKind::Userlist => Arg::Name(named(Named::Userlist, text, word.span, cx)?.into()),
        ArgKind::Int => Arg::Int(text.parse().map_err(|_| wrong("an integer"))?),
        ArgKind::Ipv4 => Arg::Ipv4(text.parse().map_err(|_| wrong("an IPv4 address"))?),
        ArgKind::Ipv6 => Arg::Ipv6(text.parse().map_err(|_| wrong("an IPv6 address"))?),
        ArgKind::Map(method, output) => map(text, method, output, word.span, cx)?,
        ArgKind::Mask4 => Arg::Mask4(
            mask4(text)
                .ok_or_else(|| wrong("an IPv4 mask (a length from 0 to 32, or a dotted mask)"))?,
        ),
        ArgKind::Mask6 => Arg::Mask6(
            mask6(text).ok_or_else(|| wrong("an IPv6 mask (a length from 0 to 128, or a mask)"))?,
        ),
        ArgKind::Number => match text.parse() {
            Ok(n) => Arg::Int(n),
            Err(_) if text.contains('.') => Arg::Var(cx.vars.parse(text)?),
            Err(_) => return Err(wrong("an integer or the name of a variable")),
        },
        ArgKind::Certificate => match cx.vars.parse(text) {
            Ok(var) => Arg::Var(var),
            Err(_) => Arg::Certificate(cx.keys.load_certificate(text, cx.loader)?),
        },
        ArgKind::PublicKey => match cx.vars.parse(text) {
            Ok(var) => Arg::Var(var),
            Err(_) => match cx.keys.load(text, cx.loader) {
                Some(key) => Arg::PublicKey(key),
                None => Arg::Str(text.as_bytes().into()),
            },
        },
        ArgKind::Regex => Arg::Regex(Box::new(crate::regex::compile(text.as_bytes(), false)?)),
        ArgKind::Server => {
            let (backend, server) = match text.split_once('/') {
                Some((backend, server)) => (Some(backend), server),
                None => (None, text),
            };
            cx.refs.push(Spanned::new(
                Named::Server(backend.map(Into::into), server.into()),
                word.span,
            ));
            Arg::Server { backend: backend.map(Late::new), server: server.into() }
        }
        ArgKind::Str => Arg::Str(text.as_bytes().into()),
        ArgKind::Value => match cx.vars.parse(text) {
            Ok(var) => Arg::Var(var),
            Err(_) => Arg::Str(text.as_bytes().into()),
        },
        ArgKind::Var => Arg::Var(cx.vars.parse(text)?),
    })
}

fn acl(text: &str, span: Span, cx: &mut ParseCx<'_>) -> Result<Arg, String> {
    let (negated, name) = match text.strip_prefix('!') {
        Some(name) => (true, name),
        None => (false, text),
    };
    let Some(table) = cx.acls.clone() else {
        return Err("there are no ACLs here".to_owned());
    };
    let acl = table.refer(Spanned::new(name.as_bytes(), span), cx).map_err(|d| d.message)?;
    Ok(Arg::Acl { negated, acl })
}

fn map(
    name: &str,
    method: Method,
    output: Output,
    span: Span,
    cx: &ParseCx<'_>,
) -> Result<Arg, String> {
    let list = cx.patterns.named(name, true, cx.loader);
    let list = list.map_err(|why| format!("failed to open '{name}': {why}"))?;
    let (file, line) = cx.place_of(span);
    let place = format!("by map at file '{file}' line {line}");
    let matcher = list.user(method, false, output, true, &place);
    matcher.map(Arg::Map).map_err(|(at, why)| {
        match PatternLists::line_of(name, true, at, cx.loader) {
            Some(line) => format!("in '{name}' line {line}: {why}"),
            None => format!("in '{name}': {why}"),
        }
    })
}

fn named<'t>(
    make: fn(Box<str>) -> Named,
    text: &'t str,
    span: Span,
    cx: &mut ParseCx<'_>,
) -> Result<&'t str, String> {
    if text.is_empty() {
        return Err("a name is expected".to_owned());
    }
    cx.refs.push(Spanned::new(make(text.into()), span));
    Ok(text)
}

/// `24`, `/24` is not a mask, `255.255.255.0` is.
pub fn mask4(text: &str) -> Option<u32> {
    if let Ok(len) = text.parse::<u32>() {
        return (len <= 32).then(|| u32::MAX.checked_shl(32 - len).unwrap_or(0));
    }
    text.parse::<Ipv4Addr>().ok().map(u32::from)
}

pub fn mask6(text: &str) -> Option<u128> {
    if let Ok(len) = text.parse::<u32>() {
        return (len <= 128).then(|| u128::MAX.checked_shl(128 - len).unwrap_or(0));
    }
    text.parse::<Ipv6Addr>().ok().map(u128::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<(&[&str], usize)>) {
        let got = split(Spanned::builtin(text.as_bytes())).ok();
        let got = got.as_ref().map(|(args, used)| {
            (args.iter().map(|a| std::str::from_utf8(a).unwrap()).collect::<Vec<_>>(), *used)
        });
        assert_eq!(got, expected.map(|(args, used)| (args.to_vec(), used)), "{text}");
    }

    #[test]
    fn quoting_of_arguments() {
        check("a,b)rest", Some((&["a", "b"], 4)));
        check(")", Some((&[""], 1)));
        check("a,,)", Some((&["a", "", ""], 4)));
        check(r#""a,b)c")"#, Some((&["a,b)c"], 8)));
        check(r"'a\n,b')", Some((&[r"a\n,b"], 8)));
        check(r#"a"b"c)"#, Some((&["abc"], 6)));
        check(r#"a\.b)"#, Some((&[r"a\.b"], 5)));
        check(r#""\"\\\n\1")"#, Some((&["\"\\\n\\1"], 11)));
        // A backslash does not protect a delimiter.
        check(r"a\,b)", Some((&[r"a\", "b"], 5)));
        check(r"\ x)", Some((&[" x"], 4)));
        check("a,b", None);
        check("'a)", None);
    }

    #[test]
    fn masks() {
        assert_eq!(mask4("24"), Some(0xffff_ff00));
        assert_eq!(mask4("0"), Some(0));
        assert_eq!(mask4("32"), Some(u32::MAX));
        assert_eq!(mask4("255.255.0.0"), Some(0xffff_0000));
        assert_eq!(mask4("33"), None);
        assert_eq!(mask6("64"), Some(u128::MAX << 64));
        assert_eq!(mask6("ffff::"), Some(0xffff << 112));
    }
}
