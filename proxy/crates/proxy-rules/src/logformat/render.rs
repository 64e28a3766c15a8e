//! From a [`LogFormat`] to bytes.

use super::encoding::{self, Value};
use super::{Encoding, Flags, Item, Label, LogFormat, Use, encode};
use crate::sample::def::{Out, out};
use crate::sample::{EvalCtx, Sample};

impl LogFormat {
    /// The text of the format in scratch memory.
    pub fn render<'a>(&'a self, cx: &EvalCtx<'a>) -> &'a [u8] {
        if let Some(text) = self.constant() {
            return text;
        }
        let mut text = out(cx.scratch, 256);
        self.render_into(&mut text, cx);
        text.into_bump_slice()
    }

    /// Appends the text of the format.
    pub fn render_into<'a>(&'a self, text: &mut Out<'a>, cx: &EvalCtx<'a>) {
        if self.object != Encoding::None {
            self.render_object(text, cx);
            return;
        }
        let start = text.len();
        for item in &self.items {
            match item {
                Item::Alias(_, flags, label) | Item::Expr(_, flags, label)
                    if flags.encoding != Encoding::None =>
                {
                    self.push_value(item, *flags, label, text, cx);
                }
                Item::Alias(def, flags, _) => {
                    let mut line = self.line(text, cx, *flags);
                    (def.run)(&mut line);
                }
                Item::Expr(expr, flags, _) => {
                    let value = expr.eval(cx);
                    match value {
                        Some(value) if self.binary => {
                            text.extend_from_slice(value.bytes().unwrap_or_default());
                        }
                        value => self.line(text, cx, *flags).sample(value),
                    }
                }
                Item::Space => {
                    // Spaces around what gave nothing are one.
                    if text.len() > start && text.last() != Some(&b' ') {
                        text.push(b' ');
                    }
                }
                Item::Text(literal) => text.extend_from_slice(literal),
            }
        }
    }

    fn line<'o, 'a, 'c>(
        &self,
        out: &'o mut Out<'a>,
        cx: &'c EvalCtx<'a>,
        flags: Flags,
    ) -> Line<'o, 'a, 'c> {
        Line { out, cx, flags, purpose: self.purpose, plain: false }
    }

    /// One object of the named items.
    fn render_object<'a>(&'a self, text: &mut Out<'a>, cx: &EvalCtx<'a>) {
        let json = self.object == Encoding::Json;
        let mark = |text: &mut Out<'a>, json_mark: &[u8], cbor_mark: u8| match json {
            true => text.extend_from_slice(json_mark),
            false => encoding::push_bytes(text, &[cbor_mark], self.binary),
        };
        mark(text, b"{", 0xbf);
        let mut first = true;
        for item in &self.items {
            let (Item::Alias(_, flags, label) | Item::Expr(_, flags, label)) = item else {
                continue;
            };
            if label.name.is_empty() || flags.encoding == Encoding::None {
                continue;
            }
            if json && !std::mem::take(&mut first) {
                text.extend_from_slice(b", ");
            }
            Value::Text(label.name.as_bytes()).push(text, self.object, self.binary);
            if json {
                text.extend_from_slice(b": ");
            }
            self.push_value(item, *flags, label, text, cx);
        }
        mark(text, b"}", 0xff);
    }

    /// Appends the encoded value of an item.
    fn push_value<'a>(
        &'a self,
        item: &'a Item,
        flags: Flags,
        label: &Label,
        text: &mut Out<'a>,
        cx: &EvalCtx<'a>,
    ) {
        let mut buffer = itoa::Buffer::new();
        let value = match item {
            Item::Expr(expr, ..) => match expr.eval(cx) {
                Some(Sample::Bool(b)) => Value::Bool(b),
                Some(Sample::Int(n)) => Value::Int(n),
                Some(value) => to_bytes(value, cx).map_or(Value::Null, Value::Text),
                None => Value::Null,
            },
            Item::Alias(def, ..) => {
                let start = text.len();
                let plain = Flags { quote: false, escape: false, ..flags };
                let mut line = self.line(text, cx, plain);
                line.plain = true;
                (def.run)(&mut line);
                let written = cx.scratch.alloc_slice_copy(&text[start..]);
                text.truncate(start);
                match &*written {
                    [] => Value::Null,
                    digits if def.is_number() && !flags.hex => {
                        crate::sample::value::parse_int(digits).map_or(Value::Null, Value::Int)
                    }
                    written => Value::Text(written),
                }
            }
            Item::Space | Item::Text(_) => return,
        };
        value.typed(label.ty, &mut buffer).push(text, flags.encoding, self.binary);
    }
}

/// What an alias writes to.
pub struct Line<'o, 'a, 'c> {
    pub(super) out: &'o mut Out<'a>,
    pub(super) cx: &'c EvalCtx<'a>,
    pub(super) flags: Flags,
    purpose: Use,
    /// The value is encoded afterwards: nothing is quoted, escaped or put in place of nothing.
    pub(super) plain: bool,
}

impl Line<'_, '_, '_> {
    /// A string field: quoted when asked for; nothing shows as `-` in logs.
    pub(super) fn string(&mut self, text: &[u8]) {
        self.quoted(text.is_empty(), |line| line.raw(text));
    }

    /// A string field whose unsafe bytes show as `#XX`.
    pub(super) fn encoded(&mut self, text: &[u8], hidden: &encode::Bytes) {
        if self.plain {
            self.out.extend_from_slice(text);
            return;
        }
        self.quoted(text.is_empty(), |line| encode::push(line.out, text, b'#', hidden));
    }

    /// Quotes around what `write` writes, or what stands for nothing.
    pub(super) fn quoted(&mut self, empty: bool, write: impl FnOnce(&mut Self)) {
        if self.flags.quote {
            self.out.push(b'"');
            write(self);
            self.out.push(b'"');
        } else if empty {
            self.nothing();
        } else {
            write(self);
        }
    }

    pub(super) fn nothing(&mut self) {
        if self.purpose == Use::Log && !self.plain {
            self.out.push(b'-');
        }
    }

    pub(super) fn raw(&mut self, text: &[u8]) {
        if self.flags.escape {
            encode::push_escaped(self.out, text);
        } else {
            self.out.extend_from_slice(text);
        }
    }

    pub(super) fn number(&mut self, n: i64) {
        self.out.extend_from_slice(itoa::Buffer::new().format(n).as_bytes());
    }

    /// A number that `+X` shows in hexadecimal with at least `width` digits.
    pub(super) fn number_or_hex(&mut self, n: u64, width: u32) {
        if self.flags.hex {
            encode::push_hex(self.out, n, width);
        } else {
            self.out.extend_from_slice(itoa::Buffer::new().format(n).as_bytes());
        }
    }

    fn sample(&mut self, value: Option<Sample<'_>>) {
        let text = value.and_then(|v| Some((v, to_bytes(v, self.cx)?)));
        let Some((_, text)) = text else {
            self.quoted(true, |_| {});
            return;
        };
        match self.purpose {
            Use::Http => self.quoted(text.is_empty(), |line| {
                encode::push(line.out, text, b'%', &encode::UNSAFE_IN_HTTP);
            }),
            // Controls could make one line look like two.
            Use::Log => self.quoted(text.is_empty(), |line| {
                if line.flags.escape {
                    encode::push_escaped(line.out, text);
                } else {
                    encode::push(line.out, text, b'#', &encode::UNSAFE_IN_HTTP);
                }
            }),
        }
    }
}

/// The text of a value; binary goes up to its first zero byte, as everywhere.
fn to_bytes<'v>(value: Sample<'v>, cx: &EvalCtx<'v>) -> Option<&'v [u8]> {
    value.str(cx.scratch)
}
