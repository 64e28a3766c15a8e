//! `show cache`.

use std::fmt::Write;
use std::sync::Arc;

use crate::Level;
use crate::command::{Answer, Call, Command, Reply, SessionMode};

fn show_cache(call: &mut Call<'_>) -> Answer {
    let now = call.admin.process.now();
    let mut out = String::new();
    for cache in call.admin.registry.caches() {
        let (free, entries) = cache.show(now);
        let at = Arc::as_ptr(cache);
        let _ =
            writeln!(out, "{at:p}: {} (shctx:{at:p}, available blocks:{free})", cache.spec.name);
        for entry in entries {
            let hash = entry.hash;
            let vary = if entry.has_variant { hash.rotate_left(32) } else { 0 };
            let _ = writeln!(
                out,
                "{:#x} hash:{} vary:{vary:#018x} size:{} ({} blocks), refcount:{}, expire:{}",
                entry.address, hash as u32, entry.size, entry.blocks, entry.users, entry.expire
            );
        }
    }
    Ok(Reply::Text(out))
}

pub(super) static COMMANDS: &[Command] = &[Command {
    words: &["show", "cache"],
    usage: "",
    doc: "show cache status",
    level: Level::Operator,
    mode: SessionMode::Any,
    run: show_cache,
}];
