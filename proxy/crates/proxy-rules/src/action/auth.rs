//! Asking for credentials (configuration manual, 4.4 "auth"; RFC 7617).

use super::def::{Act, ActionArgs, ActionDef, Sets};
use super::env::{Cause, Content, Flow, Reply, RuleEnv};
use crate::sample::{ParseCx, Parsed};

pub(super) const ACTIONS: &[ActionDef] = &[ActionDef {
    name: "auth",
    sets: Sets::of(".....Y.."),
    parse: auth,
    syntax: "[realm <realm>]",
    doc: "Answers 401 or 407, to be told a name and a password.",
}];

#[derive(Debug)]
struct Auth {
    /// `Basic realm="..."`; without one, the name of the proxy is it.
    challenge: Option<Box<[u8]>>,
}

fn challenge(realm: &[u8]) -> Vec<u8> {
    let mut text = b"Basic realm=\"".to_vec();
    for &b in realm {
        if matches!(b, b'"' | b'\\') {
            text.push(b'\\');
        }
        text.push(b);
    }
    text.push(b'"');
    text
}

fn auth(args: &mut ActionArgs<'_, '_>, _: &mut ParseCx<'_>) -> Parsed<Box<dyn Act>> {
    let challenge = match args.take_keyword("realm") {
        true => Some(challenge(args.word("a realm")?.value).into()),
        false => None,
    };
    Ok(Box::new(Auth { challenge }))
}

impl Act for Auth {
    fn run<'a>(&'a self, env: &mut RuleEnv<'_, 'a>) -> Flow<'a> {
        let scratch = env.base.scratch;
        // A target that is no path is a request to a proxy.
        let to_proxy = env.request.as_deref().is_some_and(|head| {
            !head.target().starts_with(b"/") && !head.target().starts_with(b"*")
        });
        let (status, name): (u16, &[u8]) = match to_proxy {
            true => (407, b"proxy-authenticate"),
            false => (401, b"www-authenticate"),
        };
        let value: &[u8] = match &self.challenge {
            Some(challenge) => challenge,
            None => {
                let name = env.base.backend.map(|b| &*b.name);
                let name = name.or_else(|| env.base.frontend.map(|f| &*f.name)).unwrap_or("");
                scratch.alloc_slice_copy(&challenge(name.as_bytes()))
            }
        };
        let headers = scratch.alloc_slice_copy(&[(name, value)]);
        let content = Content::ErrorPageWith(headers);
        Flow::Reply(Reply { status, cause: Cause::Auth, content })
    }
}
