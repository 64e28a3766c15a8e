//! Keys of session tickets: show, rotate.

use std::fmt::Write;
use std::sync::Arc;

use proxy_tls::ticket::TicketKeys;

use crate::command::{Answer, Call, Command, Reply};

/// The keys that `#<id>` or a file name stands for.
fn find(call: &Call<'_>, wanted: &str) -> Option<(usize, String, Arc<TicketKeys>)> {
    let id = wanted.strip_prefix('#').and_then(|id| id.parse::<usize>().ok());
    let all = call.admin.certificates.ticket_keys().into_iter().enumerate();
    all.map(|(n, (file, keys))| (n, file, keys))
        .find(|(n, file, _)| id == Some(*n) || file == wanted)
}

fn show(call: &mut Call<'_>) -> Answer {
    let wanted = call.arg(0).to_owned();
    let all = call.admin.certificates.ticket_keys();
    let mut text = String::new();
    if wanted.is_empty() {
        text.push_str("# id (file)\n");
        for (id, (file, _)) in all.iter().enumerate() {
            let _ = writeln!(text, "{id} ({file})");
        }
        return Ok(Reply::Text(text));
    }
    let chosen =
        match wanted.as_str() {
            "*" => all.into_iter().enumerate().map(|(n, (file, keys))| (n, file, keys)).collect(),
            wanted => vec![find(call, wanted).ok_or_else(|| {
                Reply::line("'show tls-keys' unable to locate referenced filename")
            })?],
        };
    text.push_str("# id secret\n");
    for (id, file, keys) in chosen {
        let _ = writeln!(text, "# {id} ({file})");
        for (n, secret) in keys.secrets().iter().enumerate() {
            let _ = writeln!(text, "{id}.{n} {}", super::shared::base64(secret));
        }
    }
    Ok(Reply::Text(text))
}

fn set(call: &mut Call<'_>) -> Answer {
    let (wanted, key) = (call.arg(0).to_owned(), call.arg(1));
    if wanted.is_empty() || key.is_empty() {
        return Err(Reply::line(
            "'set ssl tls-key' expects a filename and the new TLS key in base64 encoding.",
        ));
    }
    let (_, _, keys) = find(call, &wanted)
        .ok_or_else(|| Reply::line("'set ssl tls-key' unable to locate referenced filename"))?;
    let key = super::shared::decode(key)
        .ok_or_else(|| Reply::line("'set ssl tls-key' received invalid base64 encoded TLS key."))?;
    keys.rotate(&key)
        .map_err(|_| Reply::line("'set ssl tls-key' received a key of wrong size."))?;
    Ok(Reply::line("TLS ticket key updated!"))
}

pub(super) static COMMANDS: &[Command] = &[
    Command::admin(
        &["set", "ssl", "tls-key"],
        "[id|file] <key>",
        "set the next TLS key for the <id> or <file> listener to <key>",
        set,
    ),
    Command::admin(
        &["show", "tls-keys"],
        "[id|*]",
        "show tls keys references or dump tls ticket keys when id specified",
        show,
    ),
];
