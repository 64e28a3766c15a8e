//! `set anon`, `show anon`: answers without names and addresses.

use std::sync::atomic::Ordering;
use std::time::UNIX_EPOCH;

use crate::Level;
use crate::anon::Anon;
use crate::command::{Answer, Call, Command, Reply};

fn number(text: &str) -> Result<u32, Reply> {
    text.parse().map_err(|_| Reply::line("A key between 0 and 4294967295 is expected."))
}

fn set_anon(call: &mut Call<'_>) -> Answer {
    match call.arg(0) {
        "on" => {
            let global = call.admin.registry.process.anon_key.load(Ordering::Relaxed);
            let key = match (call.arg(1), global) {
                ("", 0) => {
                    // Unlike a key that is set, it need not be known to anybody.
                    let now = call.admin.process.wall().duration_since(UNIX_EPOCH);
                    now.unwrap_or_default().subsec_nanos() ^ std::process::id().rotate_left(20)
                }
                ("", global) => global,
                (text, _) => number(text)?,
            };
            call.session.anon = Anon(Some(key));
        }
        "off" if call.arg(1).is_empty() => call.session.anon = Anon(None),
        "off" => return Err(Reply::line("Key can't be added while disabling anonymized mode")),
        _ => return Err(Reply::line("'on', 'off' or 'global-key' is expected.")),
    }
    Ok(Reply::done())
}

fn set_global_key(call: &mut Call<'_>) -> Answer {
    let key = number(call.arg(0))?;
    call.admin.registry.process.anon_key.store(key, Ordering::Relaxed);
    Ok(Reply::done())
}

fn show_anon(call: &mut Call<'_>) -> Answer {
    let mut text = String::new();
    match call.session.anon.0 {
        Some(key) => text.push_str(&format!("Anonymized mode enabled\nKey : {key}\n")),
        None => text.push_str("Anonymized mode disabled\n"),
    }
    let global = call.admin.registry.process.anon_key.load(Ordering::Relaxed);
    // Who may set it may see it.
    if global != 0 && call.session.level == Level::Admin {
        text.push_str(&format!("Current global key : {global}\n"));
    }
    Ok(Reply::Text(text))
}

pub(super) static COMMANDS: &[Command] = &[
    Command::new(
        &["set", "anon"],
        "[on|off] [<key>]",
        "activate or deactivate the anonymized mode",
        Level::User,
        set_anon,
    ),
    Command::new(
        &["set", "anon", "global-key"],
        "<key>",
        "change the global anonymizing key, 0 for none",
        Level::Admin,
        set_global_key,
    ),
    Command::new(
        &["show", "anon"],
        "",
        "display the current state of anonymized mode",
        Level::User,
        show_anon,
    ),
];
