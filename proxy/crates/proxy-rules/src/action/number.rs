//! Numbers that stand in the configuration or that expressions give.

use proxy_types::Diagnostic;

use super::def::ActionArgs;
use super::env::RuleEnv;
use crate::sample::parse::{fail, show};
use crate::sample::{Expr, ParseCx, Parsed};

/// An argument of an action.
#[derive(Debug)]
pub(super) enum Number {
    Expr(Expr),
    Fixed(i64),
}

impl Number {
    /// The next argument: what `read` takes when it starts with a digit, or an expression. `expected` says what it takes.
    pub(super) fn parse(
        args: &mut ActionArgs<'_, '_>,
        cx: &mut ParseCx<'_>,
        expected: &str,
        read: impl FnOnce(&str) -> Option<i64>,
    ) -> Parsed<Self> {
        let digit =
            |word: &crate::sample::Word<'_>| word.value.first().is_some_and(u8::is_ascii_digit);
        let Some(word) = args.peek().filter(digit) else { return Ok(Self::Expr(args.expr(cx)?)) };
        args.take();
        let text = show(word.value);
        match read(&text) {
            Some(number) => Ok(Self::Fixed(number)),
            None => fail(
                Diagnostic::alert(format!("{}: '{text}' is not {expected}", args.what()))
                    .at(word.span)
                    .expected(format!("{expected}, or an expression")),
            ),
        }
    }

    /// The number; `None` when an expression gives none.
    pub(super) fn get(&self, env: &RuleEnv<'_, '_>) -> Option<i64> {
        match self {
            Self::Fixed(number) => Some(*number),
            Self::Expr(expr) => env.with_value(expr, |value, _| value.and_then(|v| v.int())),
        }
    }
}
