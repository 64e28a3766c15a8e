//! What the commands of certificates, lists and keys share: sentences, encodings, rows.

use crate::command::{Answer, Call, Reply};
use proxy_tls::live::LiveError;

/// Seconds since 1970.
pub(super) fn seconds(call: &Call<'_>) -> i64 {
    let wall = call.admin.process.wall().duration_since(std::time::UNIX_EPOCH);
    wall.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

/// Base64, in any number of lines.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    use base64::Engine;
    let text: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).ok()?;
    (!bytes.is_empty()).then_some(bytes)
}

pub(super) fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Why nothing can be set for `name`.
pub(super) fn other_set(other: &str, name: &str) -> String {
    format!("The ongoing transaction is about '{other}' but you are trying to set '{name}'")
}

/// Why nothing can be aborted for `name`.
pub(super) fn other_abort(error: &LiveError, name: &str) -> Reply {
    match error {
        LiveError::OtherTransaction(other) => Reply::line(format!(
            "The ongoing transaction is about '{other}' but you are trying to abort a transaction \
             for '{name}'"
        )),
        _ => Reply::line("No ongoing transaction!"),
    }
}

/// What `commit` answers.
pub(super) fn committed(name: &str, outcome: Result<usize, LiveError>) -> Answer {
    let why = match outcome {
        Ok(count) => {
            return Ok(Reply::line(format!("Committing {name}{}\nSuccess!", ".".repeat(count))));
        }
        Err(LiveError::NoTransaction) => "No ongoing transaction! !".to_owned(),
        Err(LiveError::OtherTransaction(other)) => other_set(&other, name),
        Err(other) => other.to_string(),
    };
    Err(Reply::line(format!("{why}\nCan't commit {name}!")))
}

pub(super) fn not_removed(what: &str, name: &str, error: &LiveError) -> Reply {
    let why = match error {
        LiveError::InUse => "in use, can't be deleted!",
        _ => "doesn't exist!",
    };
    Reply::line(format!("Can't remove the {what}: {what} '{name}' {why}\n"))
}
