//! From a word to a [`LogFormat`].

use proxy_types::{Diagnostic, Mode, Span, Spanned, text};

use super::{Encoding, Flags, Item, ItemType, Label, LogFormat, Use, alias};
use crate::sample::parse::{fail, show};
use crate::sample::{Expr, ParseCx, Parsed, Word};

impl LogFormat {
    /// Reads a format.
    ///
    /// # Errors
    /// Unknown aliases and flags, aliases of another mode, expressions that have nothing to say in this place.
    pub fn parse(word: Word<'_>, purpose: Use, cx: &mut ParseCx<'_>) -> Parsed<Self> {
        let bytes = word.value;
        let mut items: Vec<Item> = Vec::new();
        let mut literal: Vec<u8> = Vec::new();
        let mut global = Flags::default();
        let mut at = 0;
        while let Some(&b) = bytes.get(at) {
            if b != b'%' {
                if purpose == Use::Log && b == b' ' {
                    flush(&mut literal, &mut items);
                    if !matches!(items.last(), Some(Item::Space)) {
                        items.push(Item::Space);
                    }
                } else {
                    literal.push(b);
                }
                at += 1;
                continue;
            }
            if bytes.get(at + 1) == Some(&b'%') {
                literal.push(b'%');
                at += 2;
                continue;
            }
            flush(&mut literal, &mut items);
            at = item(word, at + 1, purpose, &mut global, &mut items, cx)?;
        }
        flush(&mut literal, &mut items);
        let (object, binary) = (global.encoding, global.binary);
        Ok(Self { items: items.into(), purpose, object, binary, text: show(bytes).into() })
    }

    /// A format that is part of the program.
    pub fn builtin(text: &str, cx: &mut ParseCx<'_>) -> Parsed<Self> {
        Self::parse(Spanned::builtin(text.as_bytes()), Use::Log, cx)
    }
}

fn flush(literal: &mut Vec<u8>, items: &mut Vec<Item>) {
    if !literal.is_empty() {
        items.push(Item::Text(std::mem::take(literal).into()));
    }
}

/// Reads what follows a `%` at `at`; gives the offset after it.
fn item(
    word: Word<'_>,
    mut at: usize,
    purpose: Use,
    global: &mut Flags,
    items: &mut Vec<Item>,
    cx: &mut ParseCx<'_>,
) -> Parsed<usize> {
    let bytes = word.value;
    let start = at;
    let here = |from: usize, to: usize| word.span.sub(from, to - from);
    let mut label = Label::default();
    if bytes.get(at) == Some(&b'(') {
        let Some(len) = memchr::memchr(b')', &bytes[at..]) else {
            return fail(
                Diagnostic::alert("missing ')' after the name of an item")
                    .at(here(at, bytes.len())),
            );
        };
        label = read_label(&bytes[at + 1..at + len], here(at, at + len))?;
        at += len + 1;
    }
    let mut changes: &[u8] = b"";
    if bytes.get(at) == Some(&b'{') {
        let Some(len) = memchr::memchr(b'}', &bytes[at..]) else {
            return fail(
                Diagnostic::alert("missing '}' after the flags of an item")
                    .at(here(at, bytes.len())),
            );
        };
        changes = &bytes[at + 1..at + len];
        at += len + 1;
    }
    let flags = flags(changes, *global, here(start, at))?;
    match bytes.get(at) {
        None => fail(
            Diagnostic::alert("truncated line after '%'")
                .at(here(start - 1, bytes.len()))
                .help("to emit the '%' character verbatim, use '%%'"),
        ),
        Some(b'[') => {
            let inner = &bytes[at + 1..];
            let Some(len) = expression_len(inner) else {
                return fail(
                    Diagnostic::alert(format!("missing ']' after '{}'", show(inner)))
                        .at(here(at, bytes.len())),
                );
            };
            let text = Spanned::new(&inner[..len], here(at + 1, at + 1 + len));
            let expr = Expr::parse(text, cx).map_err(|mut d| {
                d.message = format!(
                    "failed to parse sample expression <{}> : {}",
                    show(text.value),
                    d.message
                );
                d
            })?;
            items.push(Item::Expr(Box::new(expr), flags, label));
            Ok(at + len + 2)
        }
        Some(_) => {
            let len = bytes[at..].iter().take_while(|b| b.is_ascii_alphanumeric()).count();
            let name = show(&bytes[at..at + len]);
            if name == "o" {
                *global = Flags { binary: global.binary || flags.binary, ..flags };
                return Ok(at + len);
            }
            let Some(def) = alias::find(&name) else {
                return fail(
                    Diagnostic::alert(format!(
                        "no such format alias '{}'",
                        if len == 0 { show(&bytes[at..at + 1]) } else { name.clone() }
                    ))
                    .did_you_mean(text::nearest(&name, alias::ALL.iter().map(|d| d.name)))
                    .at(here(start - 1, at + len.max(1)))
                    .help("to emit the '%' character verbatim, use '%%'"),
                );
            };
            if def.http && cx.mode != Mode::Http {
                return fail(
                    Diagnostic::alert(format!("format alias '{name}' is reserved for HTTP mode"))
                        .at(here(start - 1, at + len)),
                );
            }
            if def.name == "OG" && purpose != Use::Log {
                return fail(
                    Diagnostic::alert(format!("format alias '{name}' is only relevant in logs"))
                        .at(here(start - 1, at + len)),
                );
            }
            items.push(Item::Alias(def, flags, label));
            Ok(at + len)
        }
    }
}

/// `name` or `name:type`, which encodings use.
fn read_label(text: &[u8], span: Span) -> Parsed<Label> {
    let text = show(text);
    let (name, ty) = text.split_once(':').unwrap_or((&text, ""));
    if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') {
        return fail(
            Diagnostic::alert(format!("invalid item name '{name}'"))
                .expected("letters, digits, '_' and '-'")
                .at(span),
        );
    }
    let ty = match ty {
        "" => None,
        "bool" => Some(ItemType::Bool),
        "sint" => Some(ItemType::Sint),
        "str" => Some(ItemType::Str),
        _ => {
            return fail(
                Diagnostic::alert(format!("unknown item type '{ty}'"))
                    .expected("str, sint or bool")
                    .at(span),
            );
        }
    };
    Ok(Label { name: name.into(), ty })
}

/// The flags in force after `+X,-Y` changes. A flag without a sign changes nothing.
fn flags(changes: &[u8], mut flags: Flags, span: Span) -> Parsed<Flags> {
    let text = show(changes);
    for change in text.split(',').map(str::trim).filter(|c| !c.is_empty()) {
        let (on, name) = match change.as_bytes()[0] {
            b'+' => (Some(true), &change[1..]),
            b'-' => (Some(false), &change[1..]),
            _ => (None, change),
        };
        let flag = match name {
            "E" => &mut flags.escape,
            "Q" => &mut flags.quote,
            "X" => &mut flags.hex,
            "bin" => &mut flags.binary,
            "cbor" | "json" => {
                let encoding = if name == "json" { Encoding::Json } else { Encoding::Cbor };
                match on {
                    Some(true) => flags.encoding = encoding,
                    Some(false) => flags.encoding = Encoding::None,
                    None => {}
                }
                continue;
            }
            _ => {
                return fail(
                    Diagnostic::alert(format!("unknown format flag '{name}'"))
                        .expected("+Q, +E, +X, +bin, +json or +cbor, or the same with '-'")
                        .at(span),
                );
            }
        };
        *flag = on.unwrap_or(*flag);
    }
    Ok(flags)
}

/// Length of the expression up to the `]` that closes it: one that is not inside parentheses.
fn expression_len(text: &[u8]) -> Option<usize> {
    let mut inside = false;
    let mut quote = None;
    let mut i = 0;
    while let Some(&b) = text.get(i) {
        match (b, quote) {
            (b']', _) if !inside => return Some(i),
            (b'(', None) if !inside => inside = true,
            (b')', None) => inside = false,
            (b'\'' | b'"', None) if inside => quote = Some(b),
            (b'\\', None | Some(b'"')) if inside => {
                i += usize::from(i + 1 < text.len() && escapes(text[i + 1]))
            }
            (_, Some(q)) if b == q => quote = None,
            _ => {}
        }
        i += 1;
    }
    None
}

/// Whether a backslash in arguments takes the meaning off `b`.
fn escapes(b: u8) -> bool {
    matches!(b, b'\\' | b'"' | b'\'')
}
