//! Actions on the method and the target of requests.

use regex::bytes::Regex;

use super::def::{Act, ActionArgs, ActionDef, Sets};
use super::env::{Flow, RuleEnv};
use super::header::regex;
use crate::logformat::LogFormat;
use crate::sample::{ParseCx, Parsed};

const REQUEST: Sets = Sets::of(".....Y..");

const fn row(
    name: &'static str,
    syntax: &'static str,
    parse: super::def::ParseFn,
    doc: &'static str,
) -> ActionDef {
    ActionDef { name, sets: REQUEST, parse, syntax, doc }
}

pub(super) const ACTIONS: &[ActionDef] = &[
    row(
        "replace-path",
        "<match-regex> <replace-fmt>",
        |a, cx| replace(a, cx, Part::Path),
        "Replaces a path that matches.",
    ),
    row(
        "replace-pathq",
        "<match-regex> <replace-fmt>",
        |a, cx| replace(a, cx, Part::PathQuery),
        "Replaces a path with its query that match.",
    ),
    row(
        "replace-uri",
        "<match-regex> <replace-fmt>",
        |a, cx| replace(a, cx, Part::Uri),
        "Replaces a target that matches.",
    ),
    row("set-method", "<fmt>", |a, cx| set(a, cx, Part::Method), "Sets the method."),
    row("set-path", "<fmt>", |a, cx| set(a, cx, Part::Path), "Sets the path and keeps the query."),
    row("set-pathq", "<fmt>", |a, cx| set(a, cx, Part::PathQuery), "Sets the path with the query."),
    row(
        "set-query",
        "<fmt>",
        |a, cx| set(a, cx, Part::Query),
        "Sets the query, without its question mark.",
    ),
    row("set-uri", "<fmt>", |a, cx| set(a, cx, Part::Uri), "Sets the whole target."),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Method,
    Path,
    PathQuery,
    Query,
    Uri,
}

impl Part {
    fn write(self, env: &mut RuleEnv<'_, '_>, value: &[u8]) {
        let Some(head) = env.request.as_deref_mut() else { return };
        match self {
            Self::Method => head.set_method(value),
            Self::Path => head.set_path(value),
            Self::PathQuery => head.set_path_and_query(value),
            // A question mark that is there stays, even in front of nothing.
            Self::Query if value.is_empty() && head.uri().has_query => {
                let mut tail = head.path().to_vec();
                tail.push(b'?');
                head.set_path_and_query(&tail);
            }
            Self::Query => head.set_query(value),
            Self::Uri => head.set_target(value),
        }
    }
}

#[derive(Debug)]
struct Set {
    part: Part,
    value: LogFormat,
}

fn set(args: &mut ActionArgs<'_, '_>, cx: &mut ParseCx<'_>, part: Part) -> Parsed<Box<dyn Act>> {
    Ok(Box::new(Set { part, value: args.format("a format", cx)? }))
}

impl Act for Set {
    fn run<'a>(&'a self, env: &mut RuleEnv<'_, 'a>) -> Flow<'a> {
        let value = env.render(&self.value);
        // A target cannot be empty, and a method neither.
        if !(value.is_empty() && matches!(self.part, Part::Method | Part::Uri)) {
            self.part.write(env, value);
        }
        Flow::Next
    }
}

#[derive(Debug)]
struct Replace {
    part: Part,
    pattern: Regex,
    template: LogFormat,
}

fn replace(
    args: &mut ActionArgs<'_, '_>,
    cx: &mut ParseCx<'_>,
    part: Part,
) -> Parsed<Box<dyn Act>> {
    let pattern = regex(args)?;
    let template = args.format("a replacement", cx)?;
    Ok(Box::new(Replace { part, pattern, template }))
}

impl Act for Replace {
    fn run<'a>(&'a self, env: &mut RuleEnv<'_, 'a>) -> Flow<'a> {
        let template = env.render(&self.template);
        let mut value = bumpalo::collections::Vec::new_in(env.base.scratch);
        let Some(head) = env.request.as_deref() else { return Flow::Next };
        let text = match self.part {
            Part::Path => head.path(),
            Part::PathQuery => head.path_and_query(),
            Part::Method | Part::Query | Part::Uri => head.target(),
        };
        if let Some(groups) = self.pattern.captures(text) {
            crate::regex::expand(template, &groups, |piece| value.extend_from_slice(piece));
            self.part.write(env, &value);
        }
        Flow::Next
    }
}
