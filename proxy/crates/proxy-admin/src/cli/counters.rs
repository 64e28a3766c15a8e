//! `clear counters`, `dump stats-file`.

use super::named::server;
use crate::Level;
use crate::command::{Answer, Call, Command, Reply, SessionMode};
use crate::stats_file;

/// `clear counters`: the highest values only.
fn clear_max(call: &mut Call<'_>) -> Answer {
    call.admin.registry.clear_counters(false);
    Ok(Reply::done())
}

/// `clear counters all`: everything but the process' own totals, which only a restart resets.
fn clear_all(call: &mut Call<'_>) -> Answer {
    call.admin.registry.clear_counters(true);
    Ok(Reply::done())
}

/// `clear counters server <backend>/<server>`. `force` matters only to counters shared between processes, which these are not.
fn clear_one(call: &mut Call<'_>) -> Answer {
    let server = server(call, call.arg(0))?;
    [&server.sessions, &server.queued, &server.used_connections]
        .iter()
        .for_each(|gauge| gauge.clear_max());
    server.session_rate.clear_max();
    server.times.clear_max();
    server.counters.clear();
    server.tls_counts.clear();
    Ok(Reply::done())
}

fn dump_stats_file(call: &mut Call<'_>) -> Answer {
    let identified = call.admin.process.identified();
    Ok(Reply::Text(stats_file::dump(&identified)))
}

pub(super) static COMMANDS: &[Command] = &[
    Command::new(
        &["dump", "stats-file"],
        "",
        "dump counters for a stats-file",
        Level::User,
        dump_stats_file,
    ),
    Command {
        words: &["clear", "counters"],
        usage: "",
        doc: "clear max statistics counters",
        level: Level::Operator,
        mode: SessionMode::Any,
        run: clear_max,
    },
    Command {
        words: &["clear", "counters", "all"],
        usage: "",
        doc: "clear all statistics counters",
        level: Level::Admin,
        mode: SessionMode::Any,
        run: clear_all,
    },
    Command {
        words: &["clear", "counters", "server"],
        usage: "<bk>/<srv> [force]",
        doc: "clear all statistics counters of a server",
        level: Level::Admin,
        mode: SessionMode::Any,
        run: clear_one,
    },
];
