//! `show errors`: what was refused last, with the place where it went wrong (management manual, 9.3).

use std::fmt::Write;
use std::time::UNIX_EPOCH;

use proxy_state::invalid::Invalid;
use proxy_stream::invalid::local;
use proxy_types::ProxyId;

use super::show_process::date;
use crate::Level;
use crate::command::{Answer, Call, Command, Reply};

/// Characters of a message in a line of the answer, escapes written out.
const WIDTH: usize = 70;

/// Which sections an argument means; `None` is all.
fn wanted(call: &Call<'_>, name: &str) -> Result<Option<Vec<ProxyId>>, Reply> {
    let registry = &call.admin.registry;
    if let Ok(number) = name.parse::<i64>() {
        return Ok(u32::try_from(number).ok().map(|id| vec![ProxyId(id)]));
    }
    let front = registry.frontend(name).map(|frontend| frontend.id);
    let back = registry.backend(name).map(|backend| backend.id);
    let ids: Vec<_> = front.into_iter().chain(back).collect();
    if ids.is_empty() { Err(Reply::line("No such proxy.")) } else { Ok(Some(ids)) }
}

fn show_errors(call: &mut Call<'_>) -> Answer {
    let (name, kind) = match call.arg(0) {
        kind @ ("request" | "response") => ("", kind),
        name => (name, call.arg(1)),
    };
    let ids = if name.is_empty() { None } else { wanted(call, name)? };
    let kept = &call.admin.registry.process.invalid;
    let now = call.admin.process.wall().duration_since(UNIX_EPOCH).unwrap_or_default();
    let secs = i64::try_from(now.as_secs()).unwrap_or_default();
    let mut text = format!(
        "Total events captured on [{}] : {}\n",
        date(local(secs).unsigned_abs(), now.subsec_millis()),
        kept.total()
    );
    for message in kept.all() {
        let fits = ids.as_ref().is_none_or(|ids| ids.contains(&message.proxy.0))
            && match kind {
                "request" => message.is_request,
                "response" => !message.is_request,
                _ => true,
            };
        if fits {
            describe(&message, &mut text);
        }
    }
    Ok(Reply::Text(text))
}

/// One message, as HAProxy describes it, without what only its own engine has.
fn describe(message: &Invalid, out: &mut String) {
    let named = |place: Option<(String, &str)>| match place {
        Some((id, name)) => format!("{name} (#{id})"),
        None => "<NONE> (#-1)".to_owned(),
    };
    let other = named(message.other.as_ref().map(|(id, name)| (id.to_string(), &**name)));
    let server = named(message.server.as_ref().map(|(id, name)| (id.to_string(), &**name)));
    let (mine, theirs, what) = match message.is_request {
        true => ("frontend", "backend", "request"),
        false => ("backend", "frontend", "response"),
    };
    let (id, name) = &message.proxy;
    let client = message.client.map_or_else(|| "unix".to_owned(), |client| client.to_string());
    let (len, room) = (message.bytes.len(), message.room);
    let when = date(message.date.0.unsigned_abs(), message.date.1 / 1000);
    // A String takes everything.
    let _ = write!(
        out,
        " \n[{when}] {mine} {name} (#{id}): invalid {what}\n  \
         {theirs} {other}, server {server}, event #{}, src {client}\n  \
         buffer starts at 0 (including 0 out), {} free,\n  \
         len {len}, wraps at {room}, error at position {}\n  {} :\n  \n",
        message.event,
        room.saturating_sub(len),
        message.at,
        message.reason,
    );
    dump(&message.bytes, out);
}

/// The bytes, each line of them on lines of its own, with the position of its first byte.
fn dump(bytes: &[u8], out: &mut String) {
    let mut line = String::new();
    let (mut start, mut goes_on) = (0, false);
    let mut put = |line: &mut String, start: usize, goes_on: bool| {
        let mark = if goes_on { '+' } else { ' ' };
        let _ = writeln!(out, "  {start:05}{mark} {line}");
        line.clear();
    };
    for (at, byte) in bytes.iter().enumerate() {
        let shown = escaped(*byte);
        if line.len() + shown.len() > WIDTH {
            put(&mut line, start, goes_on);
            (start, goes_on) = (at, true);
        }
        line.push_str(&shown);
        if *byte == b'\n' {
            put(&mut line, start, goes_on);
            (start, goes_on) = (at + 1, false);
        }
    }
    if !line.is_empty() {
        put(&mut line, start, goes_on);
    }
}

fn escaped(byte: u8) -> String {
    match byte {
        b'\t' => "\\t".into(),
        b'\n' => "\\n".into(),
        b'\r' => "\\r".into(),
        0x1b => "\\e".into(),
        b'\\' => "\\\\".into(),
        b' '..=b'~' => char::from(byte).into(),
        other => format!("\\x{other:02X}"),
    }
}

pub(super) static COMMANDS: &[Command] = &[Command::new(
    &["show", "errors"],
    "[<px>] [request|response]",
    "report last request and/or response errors for each proxy",
    Level::Operator,
    show_errors,
)];

#[cfg(test)]
mod tests {
    use super::*;

    /// As HAProxy 2.6 writes the same message.
    #[test]
    fn lines_are_broken_and_escaped() {
        let long = "Long-line: this is a very long line which should be broken into multiple lines on the output buffer, \
                    otherwise it would be too large to print in a terminal\r\n";
        let mut out = String::new();
        dump(format!("bad header\x01\t: \\ x\r\n{long}\r\nbody").as_bytes(), &mut out);
        assert_eq!(
            out,
            "  00000  bad header\\x01\\t: \\\\ x\\r\\n
  00019  Long-line: this is a very long line which should be broken into multip
  00089+ le lines on the output buffer, otherwise it would be too large to prin
  00159+ t in a terminal\\r\\n
  00176  \\r\\n
  00178  body
"
        );
    }
}
