//! Variables as converters (configuration manual, 2.8).

use crate::sample::args::{Arg, ArgDef, ArgKind, opt, req};
use crate::sample::{Args, ConvDef, EvalCtx, Sample, Type};
use crate::vars::VarRef;

const SET: &[ArgDef] = &[
    req(ArgKind::Var),
    opt(ArgKind::Str),
    opt(ArgKind::Str),
    opt(ArgKind::Str),
    opt(ArgKind::Str),
];

pub(super) const CONVS: &[ConvDef] = &[
    ConvDef::new(
        "set-var",
        SET,
        Type::Any,
        Type::Any,
        set_var,
        "Keeps the value in a variable, and passes it on.",
    )
    .check(check)
    .eg(&[
        ("str(a),set-var(txn.new),concat(,txn.new)", Some("aa")),
        ("str(a),set-var(txn.example,ifnotexists),concat(,txn.example)", Some("avalue")),
        ("int(9),set-var(txn.number,iflt),add(txn.number)", Some("18")),
    ]),
    ConvDef::new(
        "unset-var",
        &[req(ArgKind::Var)],
        Type::Any,
        Type::Any,
        unset_var,
        "Removes a variable, and passes the value on.",
    )
    .eg(&[("str(a),unset-var(txn.example),concat(,txn.example)", Some("a"))]),
];

/// When a variable is set; variants are named as the configuration does.
#[allow(clippy::enum_variant_names, reason = "the names of the configuration")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VarCondition {
    IfEmpty,
    IfExists,
    IfGt,
    IfLt,
    IfNotEmpty,
    IfNotExists,
    IfNotSet,
    IfSet,
}

impl VarCondition {
    const ROWS: [(&'static str, Self); 8] = [
        ("ifempty", Self::IfEmpty),
        ("ifexists", Self::IfExists),
        ("ifgt", Self::IfGt),
        ("iflt", Self::IfLt),
        ("ifnotempty", Self::IfNotEmpty),
        ("ifnotexists", Self::IfNotExists),
        ("ifnotset", Self::IfNotSet),
        ("ifset", Self::IfSet),
    ];

    pub(crate) fn find(name: &str) -> Option<Self> {
        Self::ROWS.iter().find(|(n, _)| *n == name).map(|(_, c)| *c)
    }

    pub(crate) fn unknown(name: &str) -> String {
        let names = Self::ROWS.map(|(n, _)| n).join(", ");
        format!("unknown condition '{name}' of a variable (one of {names} is expected)")
    }

    /// Whether `input` may go into `var`. A variable of the process exists from the start.
    pub(crate) fn holds(self, var: VarRef, input: Sample<'_>, cx: &EvalCtx<'_>) -> bool {
        let is_set = || cx.var(var).is_some();
        let exists = || var.scope == crate::vars::Scope::Proc || is_set();
        let numbers = || match (cx.var(var), input) {
            (Some(Sample::Int(old)), Sample::Int(new)) => Some((old, new)),
            _ => None,
        };
        match self {
            Self::IfEmpty => input.bytes().is_some_and(<[u8]>::is_empty),
            Self::IfExists => exists(),
            Self::IfGt => numbers().is_none_or(|(old, new)| old > new),
            Self::IfLt => numbers().is_none_or(|(old, new)| old < new),
            Self::IfNotEmpty => !input.bytes().is_some_and(<[u8]>::is_empty),
            Self::IfNotExists => !exists(),
            Self::IfNotSet => !is_set(),
            Self::IfSet => is_set(),
        }
    }
}

fn check(args: &mut Args) -> Result<(), String> {
    for i in 1..args.0.len() {
        let name = String::from_utf8_lossy(args.str(i).unwrap_or_default());
        let at = VarCondition::ROWS
            .iter()
            .position(|(n, _)| *n == name)
            .ok_or_else(|| VarCondition::unknown(&name))?;
        args.0[i] = Arg::Int(at as i64);
    }
    Ok(())
}

fn set_var<'a>(cx: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    let var = args.var(0)?;
    let holds = (1..5).filter_map(|i| args.int(i)).all(|row| {
        let (_, condition) = VarCondition::ROWS[row as usize & 7];
        condition.holds(var, value, cx)
    });
    if holds {
        cx.set_var(var, value);
    }
    Some(value)
}

fn unset_var<'a>(cx: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    cx.unset_var(args.var(0)?);
    Some(value)
}
