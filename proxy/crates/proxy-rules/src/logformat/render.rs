//! From a [`LogFormat`] to bytes.

use super::{Flags, Item, LogFormat, Use, encode};
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
        let start = text.len();
        for item in &self.items {
            match item {
                Item::Alias(def, flags) => {
                    let mut line = Line { out: text, cx, flags: *flags, purpose: self.purpose };
                    (def.run)(&mut line);
                }
                Item::Expr(expr, flags) => {
                    let value = expr.eval(cx);
                    Line { out: text, cx, flags: *flags, purpose: self.purpose }.sample(value);
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
}

/// What an alias writes to.
pub struct Line<'o, 'a, 'c> {
    pub(super) out: &'o mut Out<'a>,
    pub(super) cx: &'c EvalCtx<'a>,
    pub(super) flags: Flags,
    purpose: Use,
}

impl Line<'_, '_, '_> {
    /// A string field: quoted when asked for; nothing shows as `-` in logs.
    pub(super) fn string(&mut self, text: &[u8]) {
        self.quoted(text.is_empty(), |line| line.raw(text));
    }

    /// A string field whose unsafe bytes show as `#XX`.
    pub(super) fn encoded(&mut self, text: &[u8], is_unsafe: fn(u8) -> bool) {
        self.quoted(text.is_empty(), |line| encode::push(line.out, text, b'#', is_unsafe));
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
        if self.purpose == Use::Log {
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
                encode::push(line.out, text, b'%', encode::is_unsafe_in_http);
            }),
            // Controls could make one line look like two.
            Use::Log => self.quoted(text.is_empty(), |line| {
                if line.flags.escape {
                    encode::push_escaped(line.out, text);
                } else {
                    encode::push(line.out, text, b'#', encode::is_unsafe_in_http);
                }
            }),
        }
    }
}

/// The text of a value; binary goes up to its first zero byte, as everywhere.
fn to_bytes<'v>(value: Sample<'v>, cx: &EvalCtx<'v>) -> Option<&'v [u8]> {
    value.str(cx.scratch)
}
