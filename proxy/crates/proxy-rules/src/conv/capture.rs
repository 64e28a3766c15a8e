//! Keeping a value in a slot on its way (configuration manual, 7.3.1 "capture-req").

use crate::capture::Captured;
use crate::sample::args::{ArgDef, ArgKind, req};
use crate::sample::{Args, ConvDef, EvalCtx, Sample, Type};

const SLOT: &[ArgDef] = &[req(ArgKind::Int)];

pub(super) const CONVS: &[ConvDef] = &[
    ConvDef::new(
        "capture-req",
        SLOT,
        Type::Str,
        Type::Str,
        capture_req,
        "Keeps the value in a slot of the request, and passes it on.",
    )
    .check(check_slot)
    .eg(&[("str(x),capture-req(0)", Some("x")), ("str(x),capture-req(9)", Some("x"))]),
    ConvDef::new(
        "capture-res",
        SLOT,
        Type::Str,
        Type::Str,
        capture_res,
        "Keeps the value in a slot of the response, and passes it on.",
    )
    .check(check_slot)
    .eg(&[("str(x),capture-res(0)", Some("x"))]),
];

fn check_slot(args: &mut Args) -> Result<(), String> {
    match args.int(0) {
        Some(0..) => Ok(()),
        _ => Err("the number of a slot must not be negative".to_owned()),
    }
}

fn keep(args: &Args, value: Sample<'_>, slots: &std::cell::RefCell<Vec<Option<Vec<u8>>>>) {
    let index = args.int(0).and_then(|n| usize::try_from(n).ok());
    // A slot that the frontend does not have keeps nothing.
    if let (Some(index), Some(text)) = (index, value.bytes())
        && index < slots.borrow().len()
    {
        Captured::set(slots, index, usize::MAX, text);
    }
}

fn capture_req<'a>(cx: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    if let Some(captured) = cx.captured {
        keep(args, value, &captured.request);
    }
    Some(value)
}

fn capture_res<'a>(cx: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    if let Some(captured) = cx.captured {
        keep(args, value, &captured.response);
    }
    Some(value)
}
