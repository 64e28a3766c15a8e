//! `clear counters`.

use super::{done, refuse};
use crate::Level;
use crate::command::{Answer, Call, Command};

pub(super) static COMMANDS: &[Command] = &[Command {
    words: &["clear", "counters"],
    usage: "[all]",
    doc: "clear max statistics counters (or all counters)",
    level: Level::Operator,
    run: clear,
}];

/// Without argument only the highest values are cleared; `all` clears everything and needs level admin.
fn clear(call: &mut Call<'_>) -> Answer {
    let all = match call.arg(0) {
        "" => false,
        "all" if call.session.level == Level::Admin => true,
        "all" => return refuse("Permission denied"),
        other => return refuse(format!("'{other}' unknown, only 'all' is expected.")),
    };
    call.admin.registry.clear_counters(all);
    done()
}
