//! `show stat`.

use crate::Level;
use crate::command::{Answer, Call, Command, Reply, SessionMode};
use crate::stats::{Scope, csv, json, nameservers, typed};

/// Negative numbers select everything.
fn selector(text: &str) -> Option<Option<u32>> {
    let number: i64 = text.parse().ok()?;
    Some(u32::try_from(number).ok())
}

/// `show stat domain resolvers [typed|json] [desc]`
fn of_nameservers(call: &Call<'_>, args: &[String]) -> Reply {
    let sections = super::resolvers::sections(call);
    let has = |word: &str| args.iter().any(|a| a == word);
    Reply::Text(match () {
        () if has("typed") => nameservers::typed(&sections, has("desc")),
        () if has("json") => nameservers::json(&sections),
        () => nameservers::csv(&sections),
    })
}

/// `show stat [domain proxy] [{<iid>|<proxy>} <type> <sid>] [typed|json] [desc] [up|no-maint]`
fn show_stat(call: &mut Call<'_>) -> Answer {
    let mut args = call.args;
    if let [word, rest @ ..] = args
        && word == "domain"
    {
        match rest.split_first() {
            Some((domain, rest)) if domain == "proxy" => args = rest,
            Some((domain, rest)) if domain == "resolvers" => return Ok(of_nameservers(call, rest)),
            _ => return Err(Reply::line("Invalid statistics domain.")),
        }
    }
    let mut scope = Scope::default();
    if let [proxy, types, sid, ..] = args
        && let (Some(types), Some(sid)) = (selector(types), selector(sid))
    {
        let registry = &call.admin.registry;
        scope.proxy = match selector(proxy) {
            Some(id) => id,
            None => Some(
                registry
                    .frontend(proxy)
                    .map(|f| f.id.0)
                    .or_else(|| registry.backend(proxy).map(|b| b.id.0))
                    .ok_or_else(|| Reply::line("No such proxy."))?,
            ),
        };
        // Sockets are listed with the frontends; only type 8 lists them alone.
        scope.types = types.map_or(u32::MAX, |bits| if bits & 1 != 0 { bits | 8 } else { bits });
        scope.sid = sid.filter(|&n| n > 0);
        args = &args[3..];
    }
    let has = |word: &str| args.iter().any(|a| a == word);
    scope.no_maint = has("no-maint");
    scope.up = has("up");
    let objects = scope.objects(
        &call.admin.registry,
        call.admin.process.now(),
        call.session.level > Level::User,
    );
    if has("typed") {
        let desc = has("desc");
        return Ok(Reply::Pieces(Box::new(objects.map(move |o| typed::object(&o, desc)))));
    }
    if has("json") {
        let mut before = "[";
        let items = objects.map(move |o| {
            let text = format!("{before}{}", json::object(&o));
            before = ",";
            text
        });
        let mut items = items.peekable();
        let empty = if items.peek().is_none() { "[" } else { "" };
        return Ok(Reply::Pieces(Box::new(items.chain([format!("{empty}]\n")]))));
    }
    let header = std::iter::once_with(csv::header);
    Ok(Reply::Pieces(Box::new(header.chain(objects.map(|o| csv::line(&o))))))
}

pub(super) static COMMANDS: &[Command] = &[Command {
    words: &["show", "stat"],
    usage: "[domain {proxy|resolvers}] [desc|json|no-maint|typed|up]*",
    doc: "report counters for each proxy and server",
    level: Level::User,
    mode: SessionMode::Any,
    run: show_stat,
}];
