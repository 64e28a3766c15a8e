//! `do-resolve` (configuration manual, 4.4).

use proxy_types::addr::Family;
use proxy_types::{Diagnostic, Spanned};

use super::def::{Act, ActionArgs, ActionDef, Sets};
use super::env::{Flow, RuleEnv};
use super::request::Resolve;
use crate::sample::parse::{Named, fail, show};
use crate::sample::{Expr, ParseCx, Parsed};
use crate::vars::VarRef;

pub(super) const ACTIONS: &[ActionDef] = &[ActionDef {
    name: "do-resolve",
    sets: Sets::of("...Y.Y.."),
    parse,
    syntax: "(<var>,<resolvers>[,ipv4|ipv6]) <expr>",
    doc: "Resolves a host name and sets a variable to its address.",
}];

#[derive(Debug)]
struct DoResolve {
    section: Box<str>,
    prefer: Family,
    var: VarRef,
    expr: Expr,
}

fn parse(args: &mut ActionArgs<'_, '_>, cx: &mut ParseCx<'_>) -> Parsed<Box<dyn Act>> {
    let word = args.paren("<var>,<resolvers>[,ipv4|ipv6]")?;
    let text = show(word.value).into_owned();
    let mut parts = text.split(',').map(str::trim);
    let wrong = |why: String| Box::new(Diagnostic::alert(why).at(word.span));
    let var = cx.vars.parse(parts.next().unwrap_or_default()).map_err(wrong)?;
    let section = match parts.next() {
        Some(section) if !section.is_empty() => Box::<str>::from(section),
        _ => {
            let message = format!("{} expects the name of a 'resolvers' section", args.what());
            return fail(Diagnostic::alert(message).at(word.span));
        }
    };
    let prefer = match parts.next() {
        None => Family::Any,
        Some("ipv4") => Family::V4,
        Some("ipv6") => Family::V6,
        Some(other) => {
            let message = format!("{}: unknown family '{other}'", args.what());
            let diagnostic = Diagnostic::alert(message).at(word.span);
            return fail(diagnostic.expected("'ipv4' or 'ipv6'"));
        }
    };
    if let Some(extra) = parts.next() {
        let message = format!("{}: unexpected argument '{extra}'", args.what());
        return fail(Diagnostic::alert(message).at(word.span));
    }
    cx.refs.push(Spanned::new(Named::Resolvers(section.clone()), word.span));
    Ok(Box::new(DoResolve { section, prefer, var, expr: args.expr(cx)? }))
}

impl Act for DoResolve {
    fn run<'a>(&'a self, env: &mut RuleEnv<'_, 'a>) -> Flow<'a> {
        let scratch = env.base.scratch;
        let name = env.with_value(&self.expr, |value, cx| {
            let text = value?.str(cx.scratch)?;
            let text = std::str::from_utf8(text).ok().filter(|text| !text.is_empty())?;
            Some(&*scratch.alloc_str(text))
        });
        match name {
            Some(name) => Flow::Resolve(Resolve {
                section: &self.section,
                name,
                prefer: self.prefer,
                var: self.var,
            }),
            None => Flow::Next,
        }
    }
}
