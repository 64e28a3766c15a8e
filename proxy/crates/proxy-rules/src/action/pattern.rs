//! Actions that change pattern lists (configuration manual, 4.4 "set-map" and others).

use std::sync::Arc;

use proxy_types::{Diagnostic, Span};

use super::def::{Act, ActionArgs, ActionDef, Sets};
use super::env::{Flow, RuleEnv};
use crate::logformat::LogFormat;
use crate::pattern::{PatternList, Target};
use crate::sample::parse::show;
use crate::sample::{ParseCx, Parsed};

pub(super) const ACTIONS: &[ActionDef] = &[
    ActionDef {
        name: "add-acl",
        sets: Sets::of(".....YY."),
        parse: |args, cx| change(args, cx, Edit::Add),
        syntax: "(<file-name>) <key fmt>",
        doc: "Adds a pattern to a list, unless it is there.",
    },
    ActionDef {
        name: "del-acl",
        sets: Sets::of(".....YYY"),
        parse: |args, cx| change(args, cx, Edit::Delete),
        syntax: "(<file-name>) <key fmt>",
        doc: "Removes a pattern from a list.",
    },
    ActionDef {
        name: "del-map",
        sets: Sets::of(".....YYY"),
        parse: |args, cx| change(args, cx, Edit::DeleteFromMap),
        syntax: "(<map-name>) <key fmt>",
        doc: "Removes a pattern from a map.",
    },
    ActionDef {
        name: "set-map",
        sets: Sets::of(".....YYY"),
        parse: |args, cx| change(args, cx, Edit::Set),
        syntax: "(<map-name>) <key fmt> <value fmt>",
        doc: "Sets the value of a pattern in a map, adding it when it is not there.",
    },
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Edit {
    Add,
    Delete,
    DeleteFromMap,
    Set,
}

#[derive(Debug)]
struct Change {
    edit: Edit,
    list: Arc<PatternList>,
    key: LogFormat,
    value: Option<LogFormat>,
}

fn change(args: &mut ActionArgs<'_, '_>, cx: &mut ParseCx<'_>, edit: Edit) -> Parsed<Box<dyn Act>> {
    let name = args.paren("the name of a list")?;
    let map = matches!(edit, Edit::Set | Edit::DeleteFromMap);
    let text = show(name.value);
    let list = match cx.patterns.named(&text, map, cx.loader) {
        Ok(list) => list,
        // Whoever reads the list needs its file; to change it none is needed.
        Err(why) if !text.contains('@') => {
            let empty = cx.patterns.named(&format!("opt@{text}"), map, cx.loader);
            let list = empty.map_err(|_| failed(&text, &why, name.span))?;
            let message = format!("pattern file <{text}>: {why}, it starts empty");
            cx.diag.push(Diagnostic::notice(message).at(name.span));
            list
        }
        Err(why) => return Err(failed(&text, &why, name.span)),
    };
    let key = args.format("a format of the pattern", cx)?;
    let value = match edit {
        Edit::Set => Some(args.format("a format of the value", cx)?),
        _ => None,
    };
    Ok(Box::new(Change { edit, list, key, value }))
}

fn failed(name: &str, why: &str, span: Span) -> Box<Diagnostic> {
    let message = format!("failed to open pattern file <{name}>: {why}");
    Box::new(Diagnostic::alert(message).at(span))
}

impl Act for Change {
    fn run<'a>(&'a self, env: &mut RuleEnv<'_, 'a>) -> Flow<'a> {
        let key = env.render(&self.key);
        let value = self.value.as_ref().map(|value| env.render(value));
        // A key or value that a user of the list cannot take, and one that is not there, change nothing.
        let _ = match self.edit {
            Edit::Add | Edit::Set => self.list.put(key, value),
            Edit::Delete | Edit::DeleteFromMap => self.list.delete(Target::Key(key)),
        };
        Flow::Next
    }
}
