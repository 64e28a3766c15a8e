//! The words of `trace` and `show trace`: of the runtime API, of `traces` sections and of `-dt`.

use std::fmt::Write as _;

use super::source::{
    CLEAN, CRITERIA, Criterion, LEVELS, Run, Sinks, Source, State, TraceSink, VERBOSITIES,
};
use super::vocabulary::{NOT_CARRIED, SOURCES};
use std::sync::Arc;

/// What a command says when it did something or was asked to list, and when it could not.
type Said = Result<String, String>;

const COMMANDS: &[(&str, &str)] = &[
    ("event", "list/enable/disable source-specific event reporting"),
    ("follow", "also trace what another source keeps to"),
    ("level", "list/set trace reporting level"),
    ("lock", "automatic lock on thread/connection/stream/..."),
    ("pause", "pause and automatically restart after a specific event"),
    ("sink", "list/set event sinks"),
    ("start", "start immediately or after a specific event"),
    ("stop", "stop immediately or after a specific event"),
    ("verbosity", "list/set trace output verbosity"),
];

/// Which sources a word means.
fn sources(name: &str) -> Result<Vec<&'static Source>, String> {
    if name == "all" {
        return Ok(SOURCES.to_vec());
    }
    let found = SOURCES.iter().find(|source| source.name == name);
    found.map(|source| vec![*source]).ok_or_else(|| match NOT_CARRIED.contains(&name) {
        true => format!("Trace source '{name}' is known, not carried yet"),
        false => "No such trace source".to_owned(),
    })
}

/// `trace [<source> [<command> [<argument>]]...]`; `words` are those after `trace`. An empty answer: done.
///
/// # Errors
/// What is wrong with the words. The commands before the wrong one were obeyed.
pub fn run(words: &[String], sinks: &Sinks) -> Said {
    let Some((name, commands)) = words.split_first() else { return Ok(list()) };
    if name == "0" {
        SOURCES.iter().for_each(|source| source.change(stop));
        return Ok("All traces now stopped\n".to_owned());
    }
    let sources = sources(name)?;
    if commands.is_empty() {
        let mut text = "Supported commands:\n".to_owned();
        for (name, doc) in COMMANDS {
            let _ = writeln!(text, "  {name:<10}: {doc}");
        }
        return Ok(text);
    }
    let mut rest = commands.iter();
    while let Some(command) = rest.next() {
        let command = COMMANDS.iter().map(|row| row.0).find(|name| name == command);
        let command = command.ok_or_else(|| "Unknown trace keyword".to_owned())?;
        match rest.next() {
            Some(argument) => {
                for source in &sources {
                    set(source, command, argument, sinks)?;
                }
            }
            None => return listing(&sources, command, sinks),
        }
    }
    Ok(String::new())
}

/// `-dt[<source>[:<level>[:<verbosity>]],...]` as the lines it stands for: traces on standard error, of errors when no
/// level is said. Without a source it is all of them.
#[must_use]
pub fn flag_lines(text: &str) -> Vec<Vec<String>> {
    let line = |element: &str| {
        let mut parts = element.split(':');
        let mut part = |or: &'static str| {
            parts.next().filter(|part| !part.is_empty()).unwrap_or(or).to_owned()
        };
        let (source, level) = (part("all"), part("error"));
        let mut words = vec![source, "sink".into(), "stderr".into(), "level".into(), level];
        if let Some(verbosity) = parts.next().filter(|part| !part.is_empty()) {
            words.extend(["verbosity".into(), verbosity.into()]);
        }
        words.extend(["start".into(), "now".into()]);
        words
    };
    text.split(',').map(line).collect()
}

fn stop(state: &mut State) {
    (state.run, state.locked) = (Run::Stopped, 0);
}

fn listing(sources: &[&'static Source], command: &str, sinks: &Sinks) -> Said {
    let [source] = sources else { return Err("Missing argument".to_owned()) };
    let text = match command {
        "event" | "pause" | "start" | "stop" => events(source, command),
        "level" => choices(
            &format!("Supported trace levels for source {}:", source.name),
            LEVELS.iter().map(|row| (row.1, row.2, source.change(|s| s.level == row.0))),
        ),
        "lock" => {
            let current = source.change(|s| s.lock);
            let own = source.own.map(|(name, doc)| (name, doc, current == Criterion::Own));
            choices(
                &format!("Supported lock-on criteria for source {}:", source.name),
                CRITERIA.iter().map(|row| (row.1, row.2, current == row.0)).chain(own),
            )
        }
        "sink" => {
            let current = source.change(|s| s.sink.clone());
            let is = |sink: &Arc<TraceSink>| {
                current.as_ref().is_some_and(|current| current.name == sink.name)
            };
            let rows = sinks.iter().map(|sink| (&*sink.name, &*sink.description, is(sink)));
            choices(
                &format!("Supported sinks for source {} (*=current):", source.name),
                std::iter::once(("none", "no sink", current.is_none())).chain(rows),
            )
        }
        "verbosity" => choices(
            &format!("Supported trace verbosities for source {}:", source.name),
            VERBOSITIES
                .iter()
                .enumerate()
                .map(|(n, row)| (row.0, row.1, source.change(|s| s.verbosity == n))),
        ),
        // "follow"
        _ => {
            let current = source.change(|s| s.follows);
            let is = |other: &Source| current.is_some_and(|current| current.name == other.name);
            let rows = SOURCES.iter().filter(|other| other.name != source.name);
            choices(
                &format!("Supported sources to follow for source {}:", source.name),
                rows.map(|other| (other.name, other.doc, is(other))),
            )
        }
    };
    Ok(text)
}

fn choices<'a>(head: &str, rows: impl Iterator<Item = (&'a str, &'a str, bool)>) -> String {
    let mut text = format!("{head}\n");
    for (name, doc, current) in rows {
        let star = if current { '*' } else { ' ' };
        let _ = writeln!(text, "  {star} {name:<10} : {doc}");
    }
    text
}

/// The events of one action.
fn mask(state: &mut State, action: &str) -> u64 {
    *masks(state, action)
}

fn masks<'s>(state: &'s mut State, action: &str) -> &'s mut u64 {
    match action {
        "event" => &mut state.report,
        "pause" => &mut state.pause,
        "start" => &mut state.start,
        _ => &mut state.stop,
    }
}

fn sign(on: bool) -> char {
    if on { '+' } else { '-' }
}

fn events(source: &Source, action: &str) -> String {
    let on = source.change(|state| mask(state, action));
    let mut text =
        format!("Supported events for source {} (+=enabled, -=disabled):\n", source.name);
    let mut row = |on, name: &str, doc: &str| {
        let _ = writeln!(text, "  {} {name:<12} : {doc}", sign(on));
    };
    if action != "event" {
        row(false, "now", "don't wait for events, immediately change the state");
    }
    row(false, "none", "disable all event types");
    row(false, "any", "enable all event types");
    for event in source.events {
        row(on & event.bit != 0, event.name, event.doc);
    }
    text
}

fn set(
    source: &'static Source,
    command: &str,
    argument: &str,
    sinks: &Sinks,
) -> Result<(), String> {
    match command {
        "event" | "pause" | "start" | "stop" => return set_event(source, command, argument),
        "level" => {
            let level = LEVELS.iter().find(|row| row.1 == argument);
            let level = level.ok_or("No such trace level")?.0;
            source.change(|state| state.level = level);
        }
        "lock" => {
            let common = CRITERIA.iter().find(|row| row.1 == argument).map(|row| row.0);
            let own = source.own.is_some_and(|(name, _)| name == argument);
            let lock = common.or_else(|| own.then_some(Criterion::Own));
            let lock = lock.ok_or("Unsupported lock-on criterion")?;
            source.change(|state| (state.lock, state.locked) = (lock, 0));
        }
        "sink" => {
            let sink = sinks.iter().find(|sink| *sink.name == *argument).cloned();
            if sink.is_none() && argument != "none" {
                return Err("No such sink".to_owned());
            }
            source.change(|state| state.sink = sink);
        }
        "verbosity" => {
            let level = VERBOSITIES.iter().position(|row| row.0 == argument);
            // What HAProxy calls the only verbosity of a source.
            let level = level.or_else(|| (argument == "default").then_some(CLEAN));
            let level = level.ok_or("No such verbosity level")?;
            source.change(|state| state.verbosity = level);
        }
        // "follow"
        _ => {
            let [other] = sources(argument)?[..] else {
                return Err("No such trace source".to_owned());
            };
            let other = (other.name != source.name).then_some(other);
            source.change(|state| state.follows = other);
        }
    }
    Ok(())
}

fn set_event(source: &Source, action: &str, argument: &str) -> Result<(), String> {
    if argument == "now" && action != "event" {
        source.change(|state| {
            state.run = match action {
                "start" => Run::Running,
                "pause" => Run::Waiting,
                _ => Run::Stopped,
            };
            if state.run != Run::Running {
                state.locked = 0;
            }
        });
        return Ok(());
    }
    let (add, name) = match argument.strip_prefix(['-', '!']) {
        Some(name) => (false, name),
        None => (true, argument.strip_prefix('+').unwrap_or(argument)),
    };
    let event = source.events.iter().find(|event| event.name == name);
    let bits = match (name, event) {
        ("none" | "any", _) => u64::MAX,
        (_, Some(event)) => event.bit,
        (_, None) => return Err("No such trace event".to_owned()),
    };
    source.change(|state| {
        let mask = masks(state, action);
        match (name, add) {
            ("none", _) | ("any", false) => *mask = 0,
            (_, true) => *mask |= bits,
            (_, false) => *mask &= !bits,
        }
        // Start events put a stopped source into waiting for them.
        if action == "start" && state.start != 0 && state.run == Run::Stopped {
            state.run = Run::Waiting;
        }
    });
    Ok(())
}

/// `trace` alone.
fn list() -> String {
    let mut text =
        "Supported trace sources and states (.=stopped, w=waiting, R=running) :\n".to_owned();
    let _ = writeln!(text, " [.] {:<10} : not a source, will immediately stop all traces", '0');
    for source in SOURCES {
        let run = source.change(|state| state.run.sign());
        let _ = writeln!(text, " [{run}] {:<10} : {}", source.name, source.doc);
    }
    text
}

/// `show trace [<source>]`.
///
/// # Errors
/// There is no such source.
pub fn show(name: Option<&str>) -> Said {
    let mut text = String::new();
    let target = |source: &Source| match source.change(|state| state.sink.clone()) {
        Some(sink) => (sink.name.clone(), sink.dropped()),
        None => ("none".into(), 0),
    };
    let Some(name) = name else {
        text.push_str("Supported trace sources and states (.=stopped, w=waiting, R=running) :\n");
        for source in SOURCES {
            let run = source.change(|state| state.run.sign());
            let (to, dropped) = target(source);
            let _ = writeln!(
                text,
                " [{run}] {:<10} -> {to} [drp {dropped}]  [{}]",
                source.name, source.doc
            );
        }
        return Ok(text);
    };
    let [source] = sources(name)?[..] else { return Err("No such trace source".to_owned()) };
    let (to, dropped) = target(source);
    let _ = writeln!(text, "Trace status for {}:\n  - sink: {to} [{dropped} dropped]", source.name);
    text.push_str("  - event name   :     report    start    stop    pause\n");
    let masks = source.change(|s| [s.report, s.start, s.stop, s.pause]);
    for event in source.events {
        let [report, start, stop, pause] = masks.map(|mask| sign(mask & event.bit != 0));
        let _ = writeln!(
            text,
            "    {:<12} :        {report}        {start}        {stop}       {pause}",
            event.name
        );
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let lines: Vec<String> = flag_lines(text).iter().map(|words| words.join(" ")).collect();
        assert_eq!(lines, expected);
    }

    #[test]
    fn the_flag_is_short_for_lines() {
        check("", &["all sink stderr level error start now"]);
        check(
            "h1:user:complete,h2::quiet",
            &[
                "h1 sink stderr level user verbosity complete start now",
                "h2 sink stderr level error verbosity quiet start now",
            ],
        );
    }

    /// What is said of words; the sources are those of the process, so only what fails or lists is asked.
    fn says(words: &str, expected: Result<&str, &str>) {
        let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        let said = run(&words, &Vec::new());
        let first = said.as_ref().map(|text| text.lines().next().unwrap_or_default());
        assert_eq!(first.map_err(String::as_str), expected, "{words:?}");
    }

    #[test]
    fn words_are_checked() {
        says("foo", Err("No such trace source"));
        says("quic", Err("Trace source 'quic' is known, not carried yet"));
        says("h1 foo", Err("Unknown trace keyword"));
        says("h1 event foo", Err("No such trace event"));
        says("h1 level foo", Err("No such trace level"));
        says("h1 lock foo", Err("Unsupported lock-on criterion"));
        says("h1 lock h2s", Err("Unsupported lock-on criterion"));
        says("h1 sink foo", Err("No such sink"));
        says("h1 verbosity foo", Err("No such verbosity level"));
        says("h1 follow foo", Err("No such trace source"));
        says("h1", Ok("Supported commands:"));
        says("h1 start", Ok("Supported events for source h1 (+=enabled, -=disabled):"));
        says("all level", Err("Missing argument"));
    }
}
