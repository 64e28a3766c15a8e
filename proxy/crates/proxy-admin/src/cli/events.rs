//! `show events`, `show ring`.

use std::sync::Arc;

use proxy_stream::log::ring::Ring;

use crate::Level;
use crate::command::{Answer, Call, Command, Reply};

/// Descriptors that log lines may go to, with what HAProxy calls them.
const DESCRIPTORS: [(&str, &str); 2] =
    [("stdout", "standard output (fd#1)"), ("stderr", "standard error (fd#2)")];

fn list(rings: impl Iterator<Item = Arc<Ring>>) -> String {
    let mut text = String::from(
        "Supported events sinks are listed below. Add -w(wait), -n(new). Any key to stop\n",
    );
    for (name, what) in DESCRIPTORS {
        text.push_str(&format!("    {name:<10} : type=fd, 0 dropped, {what}\n"));
    }
    for ring in rings {
        let (name, dropped, what) = (ring.name(), ring.dropped(), ring.description());
        text.push_str(&format!("    {name:<10} : type=buffer, {dropped} dropped, {what}\n"));
    }
    text
}

fn show_events(call: &mut Call<'_>) -> Answer {
    let rings = &call.admin.rings;
    let Some((name, options)) = call.args.split_first() else {
        return Ok(Reply::Text(list(rings.iter().cloned())));
    };
    let (mut wait, mut new, mut end) = (false, false, b'\n');
    for option in options {
        match option.as_str() {
            "-w" => wait = true,
            "-n" => new = true,
            "-nw" | "-wn" => (wait, new) = (true, true),
            "-0" => end = 0,
            _ => return Err(Reply::line("unknown option")),
        }
    }
    if DESCRIPTORS.iter().any(|(known, _)| known == name) {
        return Err(Reply::line("Nothing to report for this sink"));
    }
    let ring = rings.find(name).ok_or_else(|| Reply::line("No such event sink"))?;
    Ok(Reply::Events { reader: ring.reader(new), end, wait })
}

/// What rings hold: size, use, messages that were lost.
fn show_ring(call: &mut Call<'_>) -> Answer {
    let mut text = String::from("# name size used dropped description\n");
    for ring in call.admin.rings.iter() {
        let (size, used) = ring.fill();
        let (name, dropped, what) = (ring.name(), ring.dropped(), ring.description());
        text.push_str(&format!("{name} {size} {used} {dropped} {what}\n"));
    }
    Ok(Reply::Text(text))
}

pub(super) static COMMANDS: &[Command] = &[
    Command::new(
        &["show", "events"],
        "[<sink>] [-w] [-n] [-0]",
        "show event sink state",
        Level::Operator,
        show_events,
    ),
    Command::new(
        &["show", "ring"],
        "",
        "show what each ring buffer holds and lost",
        Level::Operator,
        show_ring,
    ),
];
