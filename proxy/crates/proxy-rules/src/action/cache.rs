//! Actions that look into HTTP caches and fill them (configuration manual, 6 and 4.4).

use std::sync::Arc;

use proxy_state::cache::{Cache, HintsMode};
use proxy_types::{Diagnostic, Spanned};

use super::def::{Act, ActionArgs, ActionDef, Sets};
use super::env::{Flow, RuleEnv};
use crate::cache;
use crate::sample::parse::{Named, fail, show};
use crate::sample::{EvalCtx, ParseCx, Parsed};

pub(super) const ACTIONS: &[ActionDef] = &[
    ActionDef {
        name: "cache-store",
        sets: Sets::of("......Y."),
        parse: |args, cx| Ok(Box::new(Store(name(args, cx)?))),
        syntax: "<name>",
        doc: "Keeps the response in a cache when it may be kept.",
    },
    ActionDef {
        name: "cache-use",
        sets: Sets::of(".....Y.."),
        parse: |args, cx| {
            let cache = name(args, cx)?;
            let mut hints = true;
            while let Some(word) = args.take() {
                if word.value != b"no-early-hints" {
                    let text = show(word.value);
                    return fail(
                        Diagnostic::alert(format!("{} does not know '{text}'", args.what()))
                            .at(word.span)
                            .expected("'no-early-hints'"),
                    );
                }
                hints = false;
            }
            Ok(Box::new(Use { cache, hints }))
        },
        syntax: "<name> [no-early-hints]",
        doc: "Answers from a cache when it has the response.",
    },
];

fn name(args: &mut ActionArgs<'_, '_>, cx: &mut ParseCx<'_>) -> Parsed<Box<str>> {
    let (name, span) = args.text("the name of a cache")?;
    let name: Box<str> = name.into();
    cx.refs.push(Spanned::new(Named::Cache(name.clone()), span));
    Ok(name)
}

fn find<'a>(cx: &EvalCtx<'a>, name: &str) -> Option<&'a Arc<Cache>> {
    cx.shared.registry.cache(name)
}

#[derive(Debug)]
struct Use {
    cache: Box<str>,
    hints: bool,
}

impl Act for Use {
    fn run<'a>(&'a self, env: &mut RuleEnv<'_, 'a>) -> Flow<'a> {
        let found = env.effects.cache.as_ref().is_some_and(|turn| turn.hit.is_some());
        let (Some(cache), Some(head), false) =
            (find(&env.base, &self.cache), env.request.as_deref(), found)
        else {
            return Flow::Next;
        };
        let Some(mut turn) = cache::begin(cache, head) else { return Flow::Next };
        let counts = &mut env.effects.cache_counts;
        if cache.spec.hints != HintsMode::Only {
            turn.look_up(head, env.base.clock.now, counts);
        }
        if self.hints
            && let Some(links) = turn.hints(counts)
        {
            let fields = links.iter().map(|link| (b"link"[..].into(), link.clone()));
            env.effects.early_hints.extend(fields);
        }
        env.effects.cache = Some(Box::new(turn));
        Flow::Next
    }
}

#[derive(Debug)]
struct Store(Box<str>);

impl Act for Store {
    fn run<'a>(&'a self, env: &mut RuleEnv<'_, 'a>) -> Flow<'a> {
        let turn = env.effects.cache.as_mut().filter(|turn| *turn.cache.spec.name == *self.0);
        if let (Some(turn), Some(head)) = (turn, env.response.as_deref()) {
            turn.see_response(head, env.base.clock);
        }
        Flow::Next
    }
}
