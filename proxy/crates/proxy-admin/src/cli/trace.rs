//! `trace`, `show trace`.

use proxy_stream::traces;

use crate::Level;
use crate::command::{Answer, Call, Command, Reply};

fn answer(said: Result<String, String>) -> Answer {
    said.map(Reply::Text).map_err(Reply::line)
}

fn trace(call: &mut Call<'_>) -> Answer {
    answer(traces::run(call.args, &call.admin.traces))
}

fn show(call: &mut Call<'_>) -> Answer {
    answer(traces::show(call.args.first().map(String::as_str)))
}

pub(super) static COMMANDS: &[Command] = &[
    Command::admin(
        &["trace"],
        "[<module>|0] [cmd [args...]]",
        "manage live tracing (empty to list, 0 to stop all)",
        trace,
    ),
    Command::new(
        &["show", "trace"],
        "[<module>]",
        "show live tracing state",
        Level::Operator,
        show,
    ),
];
