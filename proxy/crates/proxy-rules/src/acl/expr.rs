//! One ACL line: `<criterion> [flags] [operator] <patterns>` (configuration manual, 7.1).

use std::sync::Arc;

use proxy_types::{Diagnostic, Spanned, text};
use smallvec::SmallVec;

use super::Verdict;
use super::alias::{self, AclAlias};
use crate::pattern::{Grammar, Matcher, Method, NumberWord, Output, PatternList, PatternLists};
use crate::sample::args::Arg;
use crate::sample::expr::name_of;
use crate::sample::parse::{Named, fail, show};
use crate::sample::{Cursor, EvalCtx, Expr, ParseCx, Parsed, Validity, Word};
use crate::{fetch, known};

/// A criterion and its patterns.
#[derive(Debug)]
pub struct AclExpr {
    expr: Expr,
    method: Method,
    /// The files in order, then what stands in the line.
    matchers: SmallVec<[Arc<Matcher>; 1]>,
}

impl AclExpr {
    /// Reads the words after the name of an ACL, or between braces.
    pub fn parse(words: &[Word<'_>], cx: &mut ParseCx<'_>) -> Parsed<Self> {
        // Behind a comma the expression goes on in the next word.
        let open = words.iter().take_while(|word| word.value.ends_with(b",")).count();
        let length = (open + 1).min(words.len());
        let (spread, rest) = words.split_at(length);
        let joined: Vec<u8>;
        let criterion = match spread {
            [] => return fail(Diagnostic::alert("missing fetch method in ACL expression")),
            [word] => *word,
            [first, ..] => {
                joined = spread.iter().flat_map(|word| word.value).copied().collect();
                Spanned::new(&joined[..], first.span)
            }
        };
        let (expr, implied) = parse_criterion(criterion, cx)?;
        let (flags, rest) = Flags::parse(rest, cx)?;
        let ty = expr.out();
        let Some(method) = flags.method.or(implied).or_else(|| Method::default_for(ty)) else {
            return fail(
                    Diagnostic::alert(format!(
                        "matching method must be specified first (using '-m') when using a sample fetch of \
                         this type ('{}')",
                        show(criterion.value)
                    ))
                    .at(criterion.span)
                    .help("add for example '-m str', '-m bin' or '-m found'"),
                );
        };
        if let Some(takes) = method.takes()
            && !ty.can_become(takes)
        {
            return fail(
                Diagnostic::alert(format!(
                    "matching method '{}' cannot be used with '{}', which gives values of type {}",
                    method.name(),
                    expr.text(),
                    ty.name()
                ))
                .at(criterion.span),
            );
        }
        if expr.fetch().name == "http_auth_group"
            && let Arg::Name(list) = expr.args().get(0)
        {
            for word in rest {
                let group = Named::Group { list: list.clone(), name: show(word.value).into() };
                cx.refs.push(Spanned::new(group, word.span));
            }
        }
        let mut matchers = SmallVec::new();
        for file in &flags.files {
            matchers.push(file.matcher(method, cx)?);
        }
        if method.has_patterns() || !rest.is_empty() {
            let dotted = matches!(expr.fetch().name, "req.ssl_ver" | "req_ssl_ver");
            let keys = keys(method, dotted, rest)?;
            let list = cx.patterns.inline(&keys, flags.id.map(|id| id.value));
            let at = flags.id.map_or(criterion.span, |id| id.span);
            let list = list.map_err(|why| Box::new(Diagnostic::alert(why).at(at)))?;
            let (file, line) = cx.place_of(criterion.span);
            let place = format!("acl '{}' file '{file}' line {line}", show(criterion.value));
            let user = list.user(method, flags.ignore_case, Output::None, false, &place);
            matchers.push(user.map_err(|(at, why)| {
                let span = rest.get(at).map_or(criterion.span, |word| word.span);
                Box::new(Diagnostic::alert(why).at(span))
            })?);
        } else if matchers.is_empty() {
            let matcher = Matcher::fixed(method, false, &[]);
            matchers.extend(matcher.ok().map(Arc::new));
        }
        // As in HAProxy, any flag tells that the list is meant.
        if method.has_patterns() && words.len() == 1 {
            cx.diag.push(
                Diagnostic::warning(format!(
                    "acl keyword '{}': no pattern to match against were provided, so this ACL will never match",
                    show(criterion.value)
                ))
                .at(criterion.span)
                .help("if this is what you intended, add '--'")
                .help("to match only for existence, use '-m found'")
                .help("to force an int to match as a bool, use '-m bool'"),
            );
        }
        Ok(Self { expr, method, matchers })
    }

    pub fn expr(&self) -> &Expr {
        &self.expr
    }

    pub(crate) fn matchers(&self) -> impl Iterator<Item = &Arc<Matcher>> {
        self.matchers.iter()
    }

    pub fn method(&self) -> Method {
        self.method
    }

    /// Where the criterion has something to say.
    pub fn valid_at(&self) -> Validity {
        self.expr.fetch().at
    }

    /// Whether any value of the criterion matches any pattern.
    pub fn eval<'a>(&'a self, cx: &EvalCtx<'a>) -> Verdict {
        let mut cursor = Cursor::all();
        let mut verdict = Verdict::False;
        loop {
            cursor.may_change = false;
            if let Some(value) = self.expr.next(cx, &mut cursor)
                && self.matchers.iter().any(|matcher| matcher.matches(value, cx))
            {
                return Verdict::True;
            }
            if cursor.may_change && !cx.complete {
                verdict = Verdict::NeedMore;
            }
            if !cursor.more {
                return verdict;
            }
        }
    }
}

/// The expression, and the method that an ACL keyword implies when no converter follows it.
fn parse_criterion(word: Word<'_>, cx: &mut ParseCx<'_>) -> Parsed<(Expr, Option<Method>)> {
    let (name, rest) = name_of(word);
    let text = show(name.value);
    let row: Option<&AclAlias> = alias::find(&text);
    let fetch_name = row.map_or(&*text, |row| row.fetch);
    let Some(def) = fetch::find(fetch_name) else {
        if known::Kind::Acl.names().any(|n| n == text) {
            return fail(known::Kind::Acl.unknown(&text).at(name.span));
        }
        let names = known::Kind::Fetch.names().chain(known::Kind::Acl.names());
        let known_fetch = known::Kind::Fetch.names().any(|n| n == text);
        let diagnostic = if known_fetch {
            known::Kind::Fetch.unknown(&text)
        } else {
            Diagnostic::alert(format!("unknown fetch method '{text}' in ACL expression"))
                .did_you_mean(text::nearest(&text, names))
        };
        return fail(diagnostic.at(name.span));
    };
    let expr = Expr::with_fetch(def, word, name, rest, cx)?;
    let implied = row.map(|row| row.method).filter(|_| !expr.has_converters());
    Ok((expr, implied))
}

/// Flags in front of the patterns.
struct Flags {
    method: Option<Method>,
    ignore_case: bool,
    /// Files are maps: the pattern is the first column.
    map: bool,
    /// `-u`.
    id: Option<Spanned<u32>>,
    files: Vec<File>,
}

/// `-f`.
struct File {
    name: Spanned<String>,
    /// `-i` came before.
    ignore_case: bool,
    map: bool,
    list: Arc<PatternList>,
}

impl File {
    fn matcher(&self, method: Method, cx: &ParseCx<'_>) -> Parsed<Arc<Matcher>> {
        let (file, line) = cx.place_of(self.name.span);
        let place = format!("by acl at file '{file}' line {line}");
        let user = self.list.user(method, self.ignore_case, Output::None, false, &place);
        user.map_err(|(at, why)| {
            let line = PatternLists::line_of(&self.name.value, self.map, at, cx.loader);
            let line = line.map_or_else(String::new, |n| format!(" (line {n} of the file)"));
            Box::new(Diagnostic::alert(format!("{why}{line}")).at(self.name.span))
        })
    }
}

/// The patterns of a line. Operators become the ranges they stand for.
fn keys(method: Method, dotted: bool, words: &[Word<'_>]) -> Parsed<Vec<Vec<u8>>> {
    if !matches!(method, Method::Int | Method::Len) {
        return Ok(words.iter().map(|word| word.value.to_vec()).collect());
    }
    let mut grammar = if dotted { Grammar::DOTTED } else { Grammar::default() };
    let plain = grammar;
    let mut keys = Vec::with_capacity(words.len());
    // HAProxy passes over `--` wherever it stands between numbers.
    for word in words.iter().filter(|word| word.value != b"--") {
        let read = grammar.read(word.value);
        match read.map_err(|why| Box::new(Diagnostic::alert(why).at(word.span)))? {
            NumberWord::Operator | NumberWord::Range(None) => {}
            NumberWord::Range(_) if grammar == plain && !dotted => keys.push(word.value.to_vec()),
            NumberWord::Range(Some((low, high))) if low == high => {
                keys.push(low.to_string().into_bytes());
            }
            NumberWord::Range(Some((low, high))) => {
                let end = |n: i64, open: i64| if n == open { String::new() } else { n.to_string() };
                let text = format!("{}:{}", end(low, i64::MIN), end(high, i64::MAX));
                keys.push(text.into_bytes());
            }
        }
    }
    Ok(keys)
}

impl Flags {
    fn parse<'w, 't>(
        words: &'w [Word<'t>],
        cx: &mut ParseCx<'_>,
    ) -> Parsed<(Self, &'w [Word<'t>])> {
        let mut flags =
            Self { method: None, ignore_case: false, map: false, id: None, files: Vec::new() };
        let mut rest = words;
        while let Some((flag, after)) = rest.split_first()
            && flag.value.first() == Some(&b'-')
        {
            rest = after;
            let mut argument = |what: &str| match rest.split_first() {
                Some((word, after)) => {
                    rest = after;
                    Ok(word)
                }
                None => fail(
                    Diagnostic::alert(format!("missing argument of '{}'", show(flag.value)))
                        .at(flag.span)
                        .expected(what),
                ),
            };
            match flag.value {
                b"-i" => flags.ignore_case = true,
                b"-n" => {}
                b"-M" => flags.map = true,
                b"-u" => {
                    let id = argument("a number")?;
                    let Ok(number) = show(id.value).parse::<u32>() else {
                        return fail(
                            Diagnostic::alert(format!("'{}' is not an ACL id", show(id.value)))
                                .at(id.span)
                                .expected("a number"),
                        );
                    };
                    flags.id = Some(Spanned::new(number, id.span));
                }
                b"-m" => {
                    let name = argument("a matching method")?;
                    if !flags.files.is_empty() {
                        return fail(
                            Diagnostic::alert(
                                "'-m' must only be specified before patterns and files",
                            )
                            .at(flag.span),
                        );
                    }
                    let text = show(name.value);
                    let Some(method) = Method::find(&text) else {
                        let names = Method::ALL.map(Method::name);
                        return fail(
                            Diagnostic::alert(format!("unknown matching method '{text}'"))
                                .did_you_mean(text::nearest(&text, names))
                                .at(name.span)
                                .expected(names.join(", ")),
                        );
                    };
                    flags.method = Some(method);
                }
                b"-f" => {
                    let name = argument("a file")?;
                    let text = show(name.value).into_owned();
                    let list = cx.patterns.named(&text, flags.map, cx.loader).map_err(|why| {
                        Box::new(
                            Diagnostic::alert(format!(
                                "failed to open pattern file <{text}>: {why}"
                            ))
                            .at(name.span),
                        )
                    })?;
                    flags.files.push(File {
                        name: Spanned::new(text, name.span),
                        ignore_case: flags.ignore_case,
                        map: flags.map,
                        list,
                    });
                }
                b"--" => break,
                other => {
                    return fail(
                        Diagnostic::alert(format!(
                            "'{}' is not a valid ACL option. Please use '--' before any pattern beginning \
                             with a '-'",
                            show(other)
                        ))
                        .at(flag.span)
                        .expected("-i, -m <method>, -f <file>, -M, -n, -u <id> or --"),
                    );
                }
            }
        }
        Ok((flags, rest))
    }
}
