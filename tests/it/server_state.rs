//! `load-server-state-from-file`: servers begin in the states that a process before them had.

use anyhow::Result;
use tests::net::free_port;
use tests::sluice::{DEFAULTS, Files};
use tests::{Sluice, Stats};

fn config(global: &str, defaults: &str, rest: &str) -> Result<String> {
    Ok(format!(
        "{global}
{DEFAULTS}
    {defaults}
frontend web
    bind 127.0.0.1:{}
    default_backend app
backend app
    {rest}
    server s1 127.0.0.1:1 weight 10
    server s2 127.0.0.1:2 weight 20
    server s3 127.0.0.1:3 weight 30
    server s4 127.0.0.1:4 check inter 1h
    server s5 127.0.0.1:5 disabled
    server s6 127.0.0.1:6 weight 5
",
        free_port()?
    ))
}

fn status(stats: &Stats, server: &str) -> Result<String> {
    stats.stat("app", server, "status")
}

/// Changes states and writes them down.
fn saved(files: &Files) -> Result<String> {
    let first = Sluice::config(config("", "", "")?).start()?;
    let stats = first.stats();
    for command in [
        "disable server app/s1",
        "set server app/s2 state drain",
        "set weight app/s3 7",
        "disable health app/s4",
        "set server app/s5 state ready",
        "set weight app/s6 9",
    ] {
        stats.quiet(command)?;
    }
    let states = stats.command("show servers state")? + "\n";
    files.write("states", &states)?;
    files.write("app", &states)?;
    Ok(states)
}

fn check(sluice: &Sluice) -> Result<()> {
    let stats = sluice.stats();
    assert_eq!(status(stats, "s1")?, "MAINT");
    assert_eq!(status(stats, "s2")?, "DRAIN");
    assert_eq!(stats.command("get weight app/s3")?, "7 (initial 30)");
    assert_eq!(status(stats, "s5")?, "no check");
    let listed = stats.command("show servers state app")?;
    let of_s4 = listed.lines().find(|line| line.contains(" s4 ")).unwrap_or_default();
    assert_eq!(of_s4.split(' ').nth(13), Some("2"), "configured, not enabled: {of_s4}");
    Ok(())
}

#[test]
fn states_come_from_the_global_file() -> Result<()> {
    let files = Files::new()?;
    saved(&files)?;
    let global =
        format!("    server-state-base {}\n    server-state-file states", files.path("").display());
    let changed = config(&global, "load-server-state-from-file global", "")?
        // Who changes the weight of the configuration means the new one.
        .replace("weight 5", "weight 6");
    let second = Sluice::config(changed).start()?;
    check(&second)?;
    assert_eq!(second.stats().command("get weight app/s6")?, "6 (initial 6)");
    Ok(())
}

#[test]
fn a_backend_has_a_file_of_its_own() -> Result<()> {
    let files = Files::new()?;
    saved(&files)?;
    let global = format!("    server-state-base {}", files.path("").display());
    let local = "load-server-state-from-file local";
    check(&Sluice::config(config(&global, local, "")?).start()?)?;
    let own = format!("server-state-file-name {}", files.path("states").display());
    check(&Sluice::config(config("", local, &own)?).start()?)?;
    let none = config(&global, local, "load-server-state-from-file none")?;
    let third = Sluice::config(none).start()?;
    assert_eq!(status(third.stats(), "s1")?, "no check");
    Ok(())
}

#[test]
fn a_missing_file_is_told_and_does_not_stop_the_start() -> Result<()> {
    let global = "    server-state-file /nonexistent/states";
    let text = config(global, "load-server-state-from-file global", "")?;
    let mut sluice = Sluice::config(text).start()?;
    assert_eq!(status(sluice.stats(), "s1")?, "no check");
    assert!(sluice.program().log().contains("server state file"), "{}", sluice.program().log());
    Ok(())
}
