//! Backends: which rules may choose them.

use super::named::backend;
use crate::Level;
use crate::command::{Answer, Call, Command, Reply};

/// Changes whether rules may choose a backend.
fn set_published(call: &Call<'_>, published: bool) -> Answer {
    let backend = backend(call, call.arg(0)).ok_or_else(|| Reply::line("No such backend."))?;
    if backend.disabled {
        return Err(Reply::line("No effect on a disabled backend."));
    }
    backend.set_published(published);
    let done = if published { "Backend published." } else { "Backend unpublished." };
    Ok(Reply::line(done))
}

fn publish(call: &mut Call<'_>) -> Answer {
    set_published(call, true)
}

fn unpublish(call: &mut Call<'_>) -> Answer {
    set_published(call, false)
}

pub(super) static COMMANDS: &[Command] = &[
    Command {
        words: &["publish", "backend"],
        usage: "<backend>",
        doc: "let rules choose a backend",
        level: Level::Operator,
        run: publish,
    },
    Command {
        words: &["unpublish", "backend"],
        usage: "<backend>",
        doc: "have rules pass a backend over",
        level: Level::Operator,
        run: unpublish,
    },
];
