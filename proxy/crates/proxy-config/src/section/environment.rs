//! Variables in the `global` section: of the environment and of the process (configuration manual, 2.3 and 3.1).

use proxy_types::Diagnostic;

use super::global_row::{Parse, global};
use crate::args::{Args, last_word};
use crate::context::{Context, Parsed};
use crate::env::Environment;
use crate::keyword::Row;
use crate::model::{Global, SetVar};

pub(super) const ENVIRONMENT: &[Row<Parse>] = &[
    global(
        "presetenv",
        "<name> <value>",
        "3.1",
        "sets a variable that is not set",
        |cx, _, args| set_env(cx, args, false),
    ),
    global("resetenv", "[<name> ...]", "3.1", "removes all variables but these", |cx, _, args| {
        let keep = args.rest();
        cx.env.retain(|name| keep.iter().any(|word| word.value == name));
        Ok(())
    }),
    global(
        "set-var",
        "<var-name> <expr>",
        "3.1",
        "sets a variable of the process",
        |cx, g, args| set_var(cx, g, args, false),
    ),
    global(
        "set-var-fmt",
        "<var-name> <fmt>",
        "3.1",
        "sets a variable of the process",
        |cx, g, args| set_var(cx, g, args, true),
    ),
    global("setenv", "<name> <value>", "3.1", "sets a variable", |cx, _, args| {
        set_env(cx, args, true)
    }),
    global("unsetenv", "<name> ...", "3.1", "removes variables", |cx, _, args| {
        if args.peek().is_none() {
            return Err(args.missing(cx, "at least one variable name"));
        }
        for word in args.rest() {
            cx.env.unset(&word.value);
        }
        Ok(())
    }),
];

/// `set-var` and `set-var-fmt`: variables of the process only.
fn set_var(
    cx: &mut Context<'_>,
    global: &mut Global,
    args: &mut Args<'_>,
    is_format: bool,
) -> Parsed {
    let span = args.span();
    let name = args.string(cx, "the name of a variable")?;
    if !name.value.starts_with("proc.") {
        let message = format!("'{}': '{}' is no variable of the process", args.name(), name.value);
        let help = "only variables of the scope 'proc' exist here, such as proc.name";
        return Err(cx.report(Diagnostic::alert(message).at(name.span).help(help)));
    }
    let what = if is_format { "a format" } else { "an expression" };
    let value = last_word(cx, args, what)?;
    global.set_vars.push(SetVar { span, name, value, is_format });
    Ok(())
}

fn set_env(cx: &mut Context<'_>, args: &mut Args<'_>, overwrite: bool) -> Parsed {
    const WHAT: &str = "a name and a value";
    let name = args.word(cx, WHAT)?;
    let Some(value) = args.optional() else { return Err(args.missing(cx, WHAT)) };
    args.end(cx)?;
    if !Environment::is_valid_name(&name.value) {
        let message = format!("invalid variable name '{}'", name.value);
        return Err(args.wrong(cx, name.span, message));
    }
    if overwrite || cx.env.get(&name.value).is_none() {
        let (name, value) = (args.text(cx, name)?, args.text(cx, value)?);
        cx.env.set(name.value, value.value);
    }
    Ok(())
}
