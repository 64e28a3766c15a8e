//! Backends: made, taken away, and whether rules may choose them.

use super::named::backend;
use crate::Level;
use crate::command::{Answer, Call, Command, Reply, SessionMode};
use proxy_state::Backend;
use proxy_types::Mode;
use std::sync::Arc;

fn named(call: &Call<'_>, name: &str) -> Result<Arc<Backend>, Reply> {
    backend(call, name).ok_or_else(|| Reply::line("No such backend."))
}

/// `add backend <name> from <defproxy> [mode <mode>] [guid <guid>]`.
fn add(call: &mut Call<'_>) -> Answer {
    let usage =
        || Reply::line("'add backend' expects <name> from <defproxy> [mode <mode>] [guid <guid>].");
    let [name, from_word, from, settings @ ..] = call.args else { return Err(usage()) };
    if from_word != "from" || settings.len() % 2 != 0 {
        return Err(usage());
    }
    let (mut mode, mut guid) = (None, None);
    for pair in settings.chunks_exact(2) {
        match (pair[0].as_str(), pair[1].as_str()) {
            ("mode", "http") => mode = Some(Mode::Http),
            ("mode", "tcp") => mode = Some(Mode::Tcp),
            ("mode", other) => {
                let text = format!(
                    "Mode '{other}' is not possible: only TCP or HTTP proxies can be created."
                );
                return Err(Reply::line(text));
            }
            ("guid", value) => guid = Some(value),
            _ => return Err(usage()),
        }
    }
    call.admin.builder.add_backend(name, from, mode, guid).map_err(Reply::line)?;
    Ok(Reply::line("New backend registered."))
}

fn remove(call: &mut Call<'_>) -> Answer {
    let backend = named(call, call.arg(0))?;
    call.admin.builder.remove_backend(&backend).map_err(Reply::line)?;
    Ok(Reply::line("Backend deleted."))
}

fn show_defaults(call: &mut Call<'_>) -> Answer {
    let names = call.admin.builder.defaults();
    Ok(Reply::Text(names.into_iter().map(|name| name + "\n").collect()))
}

/// `show default-server [<backend>]`: a line per backend with unnamed settings, and one below for each named ones.
fn show_default_server(call: &mut Call<'_>) -> Answer {
    let wanted = match call.arg(0) {
        "" => None,
        name => Some(named(call, name)?),
    };
    let mut text = String::new();
    for settings in call.admin.builder.default_servers() {
        if wanted.as_ref().is_some_and(|wanted| *wanted.name != *settings.backend) {
            continue;
        }
        if settings.unnamed {
            text.push_str(&format!("* {}\n", settings.backend));
        }
        for name in settings.named {
            text.push_str(&format!("  {}/{name}\n", settings.backend));
        }
    }
    Ok(Reply::Text(text))
}

/// Changes whether rules may choose a backend.
fn set_published(call: &Call<'_>, published: bool) -> Answer {
    let backend = named(call, call.arg(0))?;
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

/// The backend that a command about its cookie names.
fn of_cookie(call: &Call<'_>) -> Result<Arc<Backend>, Reply> {
    match call.arg(0) {
        "" => Err(Reply::line("A backend name is expected.")),
        name => named(call, name),
    }
}

fn enable_dynamic_cookie(call: &mut Call<'_>) -> Answer {
    of_cookie(call)?.set_dynamic_cookie(true);
    Ok(Reply::done())
}

fn disable_dynamic_cookie(call: &mut Call<'_>) -> Answer {
    of_cookie(call)?.set_dynamic_cookie(false);
    Ok(Reply::done())
}

fn set_cookie_key(call: &mut Call<'_>) -> Answer {
    let backend = of_cookie(call)?;
    if call.arg(1).is_empty() {
        return Err(Reply::line("String value expected."));
    }
    backend.set_cookie_key(call.arg(1));
    Ok(Reply::done())
}

pub(super) static COMMANDS: &[Command] = &[
    Command {
        words: &["add", "backend"],
        usage: "<name> from <defproxy> [mode <mode>] [guid <guid>]",
        doc: "make a backend with the settings of a defaults section",
        level: Level::Admin,
        mode: SessionMode::Any,
        run: add,
    },
    Command {
        words: &["del", "backend"],
        usage: "<backend>",
        doc: "take a backend without servers away",
        level: Level::Admin,
        mode: SessionMode::Any,
        run: remove,
    },
    Command {
        words: &["show", "default-server"],
        usage: "[<backend>]",
        doc: "list the default-server settings that new servers can start from",
        level: Level::User,
        mode: SessionMode::Any,
        run: show_default_server,
    },
    Command {
        words: &["show", "defaults"],
        usage: "",
        doc: "list the defaults sections that new backends can start from",
        level: Level::User,
        mode: SessionMode::Any,
        run: show_defaults,
    },
    Command {
        words: &["publish", "backend"],
        usage: "<backend>",
        doc: "let rules choose a backend",
        level: Level::Operator,
        mode: SessionMode::Any,
        run: publish,
    },
    Command {
        words: &["unpublish", "backend"],
        usage: "<backend>",
        doc: "have rules pass a backend over",
        level: Level::Operator,
        mode: SessionMode::Any,
        run: unpublish,
    },
    Command::admin(
        &["enable", "dynamic-cookie", "backend"],
        "<bk>",
        "make cookie values of the addresses of a backend's servers",
        enable_dynamic_cookie,
    ),
    Command::admin(
        &["disable", "dynamic-cookie", "backend"],
        "<bk>",
        "make no cookie values of the addresses of a backend's servers",
        disable_dynamic_cookie,
    ),
    Command::admin(
        &["set", "dynamic-cookie-key", "backend"],
        "<bk> <k>",
        "change the key that cookie values are made with",
        set_cookie_key,
    ),
];
