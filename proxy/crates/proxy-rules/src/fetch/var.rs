//! All variables at once (configuration manual, 7.3.2).

use crate::sample::args::{ArgDef, ArgKind, opt};
use crate::sample::def::{Out, out};
use crate::sample::value::display;
use crate::sample::{Args, Cursor, EvalCtx, FetchDef, Sample, Type, Validity};
use crate::vars::Scope;

const DUMP: &[ArgDef] = &[opt(ArgKind::Str), opt(ArgKind::Str), opt(ArgKind::Str)];

pub(super) const FETCHES: &[FetchDef] = &[FetchDef::new(
    "dump_all_vars",
    DUMP,
    Type::Str,
    Validity::ALWAYS,
    dump,
    "The variables of a scope, or of all, whose names begin so, with their values.",
)
.check(check)
.eg(&[
    ("dump_all_vars(txn)", Some("txn.example=\"value\", txn.number=7")),
    ("dump_all_vars(txn,n)", Some("txn.number=7")),
    ("dump_all_vars(txn,,;)", Some("txn.example=\"value\";txn.number=7")),
    ("dump_all_vars(req)", Some("")),
])];

/// The order without a scope.
const SCOPES: [Scope; 5] = [Scope::Sess, Scope::Txn, Scope::Req, Scope::Res, Scope::Proc];

fn check(args: &mut Args) -> Result<(), String> {
    match args.str(0) {
        None | Some(b"") => Ok(()),
        Some(word) if Scope::find(word).is_some_and(|scope| SCOPES.contains(&scope)) => Ok(()),
        Some(word) => Err(format!(
            "unknown scope '{}' (sess, txn, req, res or proc is expected)",
            String::from_utf8_lossy(word)
        )),
    }
}

fn dump<'a>(cx: &EvalCtx<'a>, args: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    let only = args.str(0).and_then(Scope::find);
    let prefix = args.str(1).unwrap_or_default();
    let delimiter = args.str(2).filter(|text| !text.is_empty()).unwrap_or(b", ");
    let mut list = out(cx.scratch, 256);
    for scope in SCOPES.into_iter().filter(|scope| only.is_none_or(|only| only == *scope)) {
        let mut see = |id: u32, value: Sample<'a>| {
            let Some(name) = cx.shared.var_names.name(id) else { return };
            // What is too long fails as a whole; no more is gathered then.
            if !name.as_bytes().starts_with(prefix) || list.len() > cx.shared.bufsize {
                return;
            }
            if !list.is_empty() {
                list.extend_from_slice(delimiter);
            }
            list.extend_from_slice(scope.name().as_bytes());
            list.push(b'.');
            list.extend_from_slice(name.as_bytes());
            list.push(b'=');
            show(cx, value, &mut list);
        };
        match scope {
            Scope::Proc => cx.shared.proc_vars.all(cx.scratch, see),
            _ => {
                if let Some(vars) = cx.scope(scope) {
                    vars.all(cx.scratch, &mut see);
                }
            }
        }
    }
    (list.len() <= cx.shared.bufsize).then(|| Sample::Str(list.into_bump_slice()))
}

fn show(cx: &EvalCtx<'_>, value: Sample<'_>, list: &mut Out<'_>) {
    match value {
        Sample::Bool(true) => list.extend_from_slice(b"true"),
        Sample::Bool(false) => list.extend_from_slice(b"false"),
        Sample::Int(n) => list.extend_from_slice(display(cx.scratch, n)),
        Sample::Ipv4(ip) => list.extend_from_slice(display(cx.scratch, ip)),
        Sample::Ipv6(ip) => list.extend_from_slice(display(cx.scratch, ip)),
        Sample::Bin(bytes) => {
            list.push(b'x');
            for byte in bytes {
                let digit = |n: u8| b"0123456789abcdef"[usize::from(n)];
                list.extend_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
            }
        }
        Sample::Str(text) | Sample::Meth(text) => {
            list.push(b'"');
            for byte in text {
                match byte {
                    b'"' => list.extend_from_slice(b"\\\""),
                    b'\\' => list.extend_from_slice(b"\\\\"),
                    b'\r' => list.extend_from_slice(b"\\r"),
                    b'\n' => list.extend_from_slice(b"\\n"),
                    0x08 => list.extend_from_slice(b"\\b"),
                    0 => list.extend_from_slice(b"\\0"),
                    other => list.push(*other),
                }
            }
            list.push(b'"');
        }
    }
}
