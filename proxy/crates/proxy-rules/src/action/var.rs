//! Actions on variables (configuration manual, 2.8).

use proxy_types::Diagnostic;

use super::def::{Act, ActionArgs, ActionDef, SetKind, Sets};
use super::env::{Flow, RuleEnv};
use crate::conv::VarCondition;
use crate::logformat::LogFormat;
use crate::sample::parse::{fail, show};
use crate::sample::{EvalCtx, Expr, ParseCx, Parsed, Sample};
use crate::vars::{Scope, VarRef};

const SETS: Sets = Sets::of(".YYYYYYY");

pub(super) const ACTIONS: &[ActionDef] = &[
    ActionDef {
        name: "set-var",
        sets: SETS,
        parse: set_var,
        syntax: "(<var-name>[,<cond>...]) <expr>",
        doc: "Sets a variable to the value of an expression.",
    },
    ActionDef {
        name: "set-var-fmt",
        sets: SETS,
        parse: set_var_fmt,
        syntax: "(<var-name>[,<cond>...]) <fmt>",
        doc: "Sets a variable to a format's text.",
    },
    ActionDef {
        name: "unset-var",
        sets: SETS,
        parse: unset_var,
        syntax: "(<var-name>)",
        doc: "Removes a variable.",
    },
];

#[derive(Debug)]
struct Target {
    var: VarRef,
    conditions: Vec<VarCondition>,
    /// The variable belongs to a stream, and there is none yet.
    early: bool,
}

fn target(args: &ActionArgs<'_, '_>, cx: &mut ParseCx<'_>) -> Parsed<Target> {
    let word = args.paren("<scope>.<name>")?;
    let text = show(word.value);
    let mut parts = text.split(',');
    let wrong = |why: String| Box::new(Diagnostic::alert(why).at(word.span));
    let var = cx.vars.parse(parts.next().unwrap_or_default().trim()).map_err(wrong)?;
    let early = matches!(args.kind, SetKind::TcpConnection | SetKind::TcpSession)
        && !matches!(var.scope, Scope::Proc | Scope::Sess);
    if early {
        // HAProxy takes them; there is no stream yet that could have them.
        let message = format!(
            "{}: '{text}' has no effect, only variables of scopes 'proc' and 'sess' are there so early",
            args.what()
        );
        cx.diag.push(Diagnostic::notice(message).at(word.span));
    }
    let conditions = parts
        .map(|name| {
            VarCondition::find(name.trim()).ok_or_else(|| wrong(VarCondition::unknown(name)))
        })
        .collect::<Parsed<_>>()?;
    Ok(Target { var, conditions, early })
}

impl Target {
    fn set(&self, value: Sample<'_>, cx: &EvalCtx<'_>) {
        if !self.early && self.conditions.iter().all(|c| c.holds(self.var, value, cx)) {
            cx.set_var(self.var, value);
        }
    }
}

#[derive(Debug)]
struct SetVar {
    target: Target,
    expr: Expr,
}

fn set_var(args: &mut ActionArgs<'_, '_>, cx: &mut ParseCx<'_>) -> Parsed<Box<dyn Act>> {
    let target = target(args, cx)?;
    Ok(Box::new(SetVar { target, expr: args.expr(cx)? }))
}

impl Act for SetVar {
    fn run<'a>(&'a self, env: &mut RuleEnv<'_, 'a>) -> Flow<'a> {
        env.with_value(&self.expr, |value, cx| {
            if let Some(value) = value {
                self.target.set(value, cx);
            }
        });
        Flow::Next
    }
}

#[derive(Debug)]
struct SetVarFmt {
    target: Target,
    value: LogFormat,
}

fn set_var_fmt(args: &mut ActionArgs<'_, '_>, cx: &mut ParseCx<'_>) -> Parsed<Box<dyn Act>> {
    let target = target(args, cx)?;
    Ok(Box::new(SetVarFmt { target, value: args.format("a format", cx)? }))
}

impl Act for SetVarFmt {
    fn run<'a>(&'a self, env: &mut RuleEnv<'_, 'a>) -> Flow<'a> {
        let value = env.render(&self.value);
        self.target.set(Sample::Str(value), &env.cx());
        Flow::Next
    }
}

#[derive(Debug)]
struct UnsetVar(VarRef);

fn unset_var(args: &mut ActionArgs<'_, '_>, cx: &mut ParseCx<'_>) -> Parsed<Box<dyn Act>> {
    let target = target(args, cx)?;
    if !target.conditions.is_empty() {
        return fail(
            Diagnostic::alert(format!("{} takes no conditions", args.what())).at(args.span()),
        );
    }
    Ok(Box::new(UnsetVar(target.var)))
}

impl Act for UnsetVar {
    fn run<'a>(&'a self, env: &mut RuleEnv<'_, 'a>) -> Flow<'a> {
        env.base.unset_var(self.0);
        Flow::Next
    }
}
