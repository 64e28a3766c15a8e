//! Sample expressions: `fetch(args),conv(args),conv` (configuration manual, 7.3).

use proxy_types::{Diagnostic, Span, Spanned};

use super::args::{self, Args};
use super::context::EvalCtx;
use super::def::{ConvDef, Cursor, FetchDef};
use super::parse::{Named, ParseCx, Parsed, Word, fail, show};
use super::place::Validity;
use super::value::{Sample, Type};
use crate::pattern::Matcher;
use crate::{conv, fetch, known};

/// A compiled expression.
#[derive(Debug)]
pub struct Expr {
    fetch: &'static FetchDef,
    args: Args,
    convs: Box<[Conv]>,
    text: Box<str>,
}

#[derive(Debug)]
struct Conv {
    def: &'static ConvDef,
    args: Args,
}

impl std::fmt::Debug for FetchDef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl std::fmt::Debug for ConvDef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Expr {
    /// Reads a whole word as an expression and checks that it can give something at [`ParseCx::place`].
    ///
    /// # Errors
    /// Unknown names, wrong arguments, types that do not fit, a fetch that has nothing to say there.
    pub fn parse(word: Word<'_>, cx: &mut ParseCx<'_>) -> Parsed<Self> {
        let expr = Self::parse_anywhere(word, cx)?;
        if !cx.allows(expr.fetch.at) {
            return fail(
                Diagnostic::alert(format!(
                    "sample fetch '{}' has nothing to fetch in a {}",
                    expr.fetch.name,
                    cx.place.name()
                ))
                .at(word.span),
            );
        }
        Ok(expr)
    }

    /// [`Expr::parse`] without the check of the place, for ACLs, which are used from several.
    pub fn parse_anywhere(word: Word<'_>, cx: &mut ParseCx<'_>) -> Parsed<Self> {
        let (name, rest) = name_of(word);
        let Some(def) = fetch::find(show(name.value).as_ref()) else {
            return fail(known::Kind::Fetch.unknown(&show(name.value)).at(name.span));
        };
        Self::with_fetch(def, word, name, rest, cx)
    }

    /// Reads converters that are applied to a message, which evaluation finds in `req_data`.
    ///
    /// # Errors
    /// Those of converters.
    pub fn of_message(word: Word<'_>, cx: &mut ParseCx<'_>) -> Parsed<Self> {
        if word.value.is_empty() {
            return fail(Diagnostic::alert("converters are expected").at(word.span));
        }
        let mut chain = vec![b','];
        chain.extend_from_slice(word.value);
        // The comma is not of the word.
        let start = word.span.start.saturating_sub(1);
        let chain = Spanned::new(chain.as_slice(), Span { start, ..word.span });
        Self::with_fetch(&fetch::MESSAGE, word, word, chain, cx)
    }

    /// The rest of [`Expr::parse_anywhere`] once the fetch is known: ACL keywords name it differently.
    pub(crate) fn with_fetch(
        def: &'static FetchDef,
        word: Word<'_>,
        name: Word<'_>,
        rest: Word<'_>,
        cx: &mut ParseCx<'_>,
    ) -> Parsed<Self> {
        let what = format!("fetch method '{}'", show(name.value));
        if def.times_tasks {
            cx.refs.push(Spanned::new(Named::TaskTimes, name.span));
        }
        let (args, mut rest) = arguments(&what, def.args, def.check, name, rest, cx)?;
        let mut convs = Vec::new();
        let mut ty = def.out;
        while !rest.value.is_empty() {
            if rest.value[0] != b',' {
                return fail(
                    Diagnostic::alert(format!("unexpected '{}' after {what}", show(rest.value)))
                        .at(rest.span)
                        .expected("',' and a converter, or the end"),
                );
            }
            let (name, after) = name_of(skip(rest, 1));
            let text = show(name.value);
            let Some(def) = conv::find(text.as_ref()) else {
                if text.is_empty() {
                    return fail(Diagnostic::alert("missing converter after ','").at(rest.span));
                }
                return fail(known::Kind::Conv.unknown(&text).at(name.span));
            };
            if !ty.can_become(def.input) {
                return fail(
                    Diagnostic::alert(format!("converter '{text}' cannot be applied"))
                        .at(name.span)
                        .expected(format!(
                            "a value of type {}, not {}",
                            def.input.name(),
                            ty.name()
                        )),
                );
            }
            let what = format!("converter '{text}'");
            let (args, after) = arguments(&what, def.args, def.check, name, after, cx)?;
            if def.out != Type::Same {
                ty = def.out;
            }
            convs.push(Conv { def, args });
            rest = after;
        }
        Ok(Self { fetch: def, args, convs: convs.into(), text: show(word.value).into() })
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn fetch(&self) -> &'static FetchDef {
        self.fetch
    }

    pub(crate) fn args(&self) -> &Args {
        &self.args
    }

    /// The list of the map when looking the value of the fetch up there is all that is done with it.
    pub(crate) fn only_map(&self) -> Option<&Matcher> {
        match &*self.convs {
            [conv] => conv.args.map(0),
            _ => None,
        }
    }

    pub fn has_converters(&self) -> bool {
        !self.convs.is_empty()
    }

    /// The type of the values.
    pub fn out(&self) -> Type {
        self.convs
            .iter()
            .rev()
            .map(|c| c.def.out)
            .find(|t| *t != Type::Same)
            .unwrap_or(self.fetch.out)
    }

    /// The value, when there is one now.
    pub fn eval<'a>(&'a self, cx: &EvalCtx<'a>) -> Option<Sample<'a>> {
        self.next(cx, &mut Cursor::default())
    }

    /// The value as text.
    pub fn eval_str<'a>(&'a self, cx: &EvalCtx<'a>) -> Option<&'a [u8]> {
        self.eval(cx)?.str(cx.scratch)
    }

    /// The next value of a walk, or the only one; see [`Cursor`].
    pub fn next<'a>(&'a self, cx: &EvalCtx<'a>, cursor: &mut Cursor) -> Option<Sample<'a>> {
        cursor.more = false;
        let Some(mut value) = (self.fetch.run)(cx, &self.args, cursor) else {
            cursor.may_change |= self.waits_for_request(cx);
            return None;
        };
        for conv in &self.convs {
            value = value.cast(conv.def.input, cx.scratch)?;
            value = (conv.def.run)(cx, &conv.args, value)?;
        }
        Some(value)
    }
}

impl Expr {
    /// Whether a request in mode tcp may still tell: nothing came yet, or the beginning of one.
    fn waits_for_request(&self, cx: &EvalCtx<'_>) -> bool {
        let of_request = matches!(self.fetch.at, Validity::REQUEST | Validity::REQUEST_KEPT);
        let may_come = || {
            let first = cx.req_data.and_then(<[u8]>::first);
            first.is_none_or(u8::is_ascii_uppercase)
        };
        of_request && cx.request.is_none() && !cx.complete && may_come()
    }
}

/// Cuts the name of a fetch or converter off `word`.
pub(crate) fn name_of(word: Word<'_>) -> (Word<'_>, Word<'_>) {
    let len = word.value.iter().position(|b| matches!(b, b'(' | b',')).unwrap_or(word.value.len());
    (Spanned::new(&word.value[..len], word.span.sub(0, len)), skip(word, len))
}

fn skip(word: Word<'_>, len: usize) -> Word<'_> {
    let left = word.value.len() - len;
    Spanned::new(&word.value[len..], word.span.sub(len, left))
}

/// Reads `(...)` when it is there; gives the values and what follows.
fn arguments<'w>(
    what: &str,
    defs: &'static [args::ArgDef],
    check: Option<super::def::CheckFn>,
    name: Word<'_>,
    rest: Word<'w>,
    cx: &mut ParseCx<'_>,
) -> Parsed<(Args, Word<'w>)> {
    let (given, rest) = match rest.value {
        [b'(', ..] => {
            let inner = skip(rest, 1);
            let (given, used) = args::split(inner)?;
            (given, skip(inner, used))
        }
        _ => (Vec::new(), rest),
    };
    let mut args = args::typed(what, defs, &given, name.span, cx)?;
    if let Some(check) = check
        && let Err(why) = check(&mut args)
    {
        let at = given.iter().fold(name.span, |span, arg| span.to(arg.span));
        return fail(Diagnostic::alert(format!("invalid args in {what}: {why}")).at(at));
    }
    Ok((args, rest))
}
