//! Values that are there under a condition only (configuration manual, 7.3.1).

use crate::acl::Verdict;
use crate::logformat::AnsweredBy;
use crate::sample::args::{Arg, ArgDef, ArgKind, opt, req};
use crate::sample::{Args, ConvDef, EvalCtx, Sample, Type};

const CONDITION: &[ArgDef] = &[req(ArgKind::Str), opt(ArgKind::Acl)];

pub(super) const CONVS: &[ConvDef] = &[ConvDef::new(
    "when",
    CONDITION,
    Type::Any,
    Type::Any,
    when,
    "The value if the condition holds: error, forwarded, normal, processed, stopping, toapplet or acl; `!` negates.",
)
.check(check)
.eg(&[
    ("str(a),when(forwarded)", Some("a")),
    ("str(a),when(!processed)", None),
    ("str(a),when(stopping)", None),
    ("str(a),when(toapplet)", None),
    // A retry is an error.
    ("str(a),when(error)", Some("a")),
    ("str(a),when(normal)", None),
    ("str(a),when(acl,METH_GET)", Some("a")),
    ("str(a),when(!acl,METH_GET)", None),
])];

const ACL: &[u8] = b"acl";
const NAMES: [&[u8]; 7] =
    [b"error", b"forwarded", b"normal", b"processed", b"stopping", b"toapplet", ACL];

fn check(args: &mut Args) -> Result<(), String> {
    let word = args.str(0).unwrap_or_default();
    let name = word.strip_prefix(b"!").unwrap_or(word);
    if !NAMES.contains(&name) {
        return Err(format!(
            "unknown condition '{}' (error, forwarded, normal, processed, stopping, toapplet or acl is expected)",
            String::from_utf8_lossy(name)
        ));
    }
    match (name == ACL, args.get(1)) {
        (true, Arg::Acl { .. }) | (false, Arg::Absent) => Ok(()),
        (true, _) => Err("the name of an ACL is expected behind 'acl'".to_owned()),
        (false, _) => Err("only 'acl' takes a further argument".to_owned()),
    }
}

fn holds(cx: &EvalCtx<'_>, name: &[u8]) -> Option<bool> {
    if name == b"stopping" {
        return Some(cx.stopping);
    }
    let known = cx.known()?;
    let applet = matches!(known.answered_by, AnsweredBy::Applet(_));
    let forwarded = known.connect.is_some() && !applet;
    let cause = known.termination.cause;
    let failed = !matches!(cause, b'-' | b'L') || known.status >= Some(500);
    let error = failed || known.retries > 0 || known.redispatched;
    Some(match name {
        b"error" => error,
        b"forwarded" => forwarded,
        b"normal" => !error,
        b"processed" => forwarded || applet,
        b"toapplet" => applet,
        _ => return None,
    })
}

fn when<'a>(cx: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    let word = args.str(0)?;
    let (negated, name) = match word.strip_prefix(b"!") {
        Some(name) => (true, name),
        None => (false, word),
    };
    let holds = match name {
        ACL => args.acl(1, cx)? == Verdict::True,
        _ => holds(cx, name)?,
    };
    (holds != negated).then_some(value)
}
