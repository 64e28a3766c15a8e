//! One ACL line: `<criterion> [flags] [operator] <patterns>` (configuration manual, 7.1).

use proxy_types::{Diagnostic, text};

use super::Verdict;
use super::alias::{self, AclAlias};
use super::pattern::{Builder, Method, Patterns};
use crate::sample::expr::name_of;
use crate::sample::parse::{fail, show};
use crate::sample::{Cursor, EvalCtx, Expr, ParseCx, Parsed, Validity, Word};
use crate::{fetch, known};

/// A criterion and its patterns.
#[derive(Debug)]
pub struct AclExpr {
    expr: Expr,
    method: Method,
    patterns: Patterns,
}

impl AclExpr {
    /// Reads the words after the name of an ACL, or between braces.
    pub fn parse(words: &[Word<'_>], cx: &mut ParseCx<'_>) -> Parsed<Self> {
        let Some((&criterion, rest)) = words.split_first() else {
            return fail(Diagnostic::alert("missing fetch method in ACL expression"));
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
        let mut patterns = Builder::new(method);
        if matches!(expr.fetch().name, "req.ssl_ver" | "req_ssl_ver") {
            patterns.allow_dotted();
        }
        for (content, ignore_case) in &flags.files {
            push_file(&mut patterns, content, *ignore_case, flags.map)?;
        }
        for word in rest {
            patterns
                .push(word.value, flags.ignore_case)
                .map_err(|why| Box::new(Diagnostic::alert(why).at(word.span)))?;
        }
        if method.has_patterns() && rest.is_empty() && flags.files.is_empty() && !flags.ended {
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
        let patterns =
            patterns.finish().map_err(|why| Box::new(Diagnostic::alert(why).at(criterion.span)))?;
        Ok(Self { expr, method, patterns })
    }

    pub fn expr(&self) -> &Expr {
        &self.expr
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
                && self.patterns.matches(value, cx)
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
    /// `--` was given.
    ended: bool,
    /// Contents, and whether `-i` came before.
    files: Vec<(Vec<u8>, bool)>,
}

impl Flags {
    fn parse<'w, 't>(
        words: &'w [Word<'t>],
        cx: &mut ParseCx<'_>,
    ) -> Parsed<(Self, &'w [Word<'t>])> {
        let mut flags =
            Self { method: None, ignore_case: false, map: false, ended: false, files: Vec::new() };
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
                    if show(id.value).parse::<u32>().is_err() {
                        return fail(
                            Diagnostic::alert(format!("'{}' is not an ACL id", show(id.value)))
                                .at(id.span)
                                .expected("a number"),
                        );
                    }
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
                    let content = cx.loader.load(&show(name.value)).map_err(|why| {
                        Box::new(
                            Diagnostic::alert(format!(
                                "failed to open pattern file <{}>: {why}",
                                show(name.value)
                            ))
                            .at(name.span),
                        )
                    })?;
                    flags.files.push((content, flags.ignore_case));
                }
                b"--" => {
                    flags.ended = true;
                    break;
                }
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

/// One pattern per line; empty lines and those that start with `#` are left out.
fn push_file(patterns: &mut Builder, content: &[u8], ignore_case: bool, map: bool) -> Parsed<()> {
    for (number, line) in content.split(|b| *b == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.first() == Some(&b'#') {
            continue;
        }
        let start = line.iter().position(|b| !matches!(b, b' ' | b'\t')).unwrap_or(line.len());
        let mut pattern = &line[start..];
        if map && let Some(end) = pattern.iter().position(|b| matches!(b, b' ' | b'\t')) {
            pattern = &pattern[..end];
        }
        if pattern.is_empty() {
            continue;
        }
        if let Err(why) = patterns.push(pattern, ignore_case) {
            return fail(Diagnostic::alert(format!("{why} (line {} of the file)", number + 1)));
        }
    }
    Ok(())
}
