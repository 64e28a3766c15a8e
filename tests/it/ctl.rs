//! `sluice ctl`: tables, JSON, changes and exit codes.

use std::process::Command;

use anyhow::{Context, Result};
use tests::net::free_port;
use tests::sluice::{DEFAULTS, Peer, binary, peer};
use tests::{PATIENCE, Sluice, eventually};

fn start() -> Result<Sluice> {
    let config = format!(
        "
{DEFAULTS}
frontend web
    bind 127.0.0.1:{}
    default_backend app
backend app
    server s1 127.0.0.1:1 weight 10
    server s2 127.0.0.1:2 disabled
",
        free_port()?
    );
    Sluice::config(config).start()
}

/// Exit code, standard output, standard error.
fn ctl(sluice: &Sluice, words: &str) -> Result<(Option<i32>, String, String)> {
    let mut command = Command::new(binary()?);
    command
        .arg("ctl")
        .args(words.split(' '))
        .env("SLUICE_SOCKET", sluice.files().path("stats.sock"));
    let output = command.output().context("run sluice ctl")?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok((output.status.code(), text(output.stdout), text(output.stderr)))
}

#[test]
fn lists_are_tables_and_json() -> Result<()> {
    if peer() == Peer::Haproxy {
        return Ok(());
    }
    let sluice = start()?;
    let (code, table, _) = ctl(&sluice, "servers")?;
    assert_eq!(code, Some(0));
    let lines: Vec<Vec<&str>> = table.lines().map(|l| l.split_whitespace().collect()).collect();
    assert_eq!(lines[0][..3], ["BACKEND", "SERVER", "STATUS"], "{table}");
    assert_eq!(lines[2][..4], ["app", "s2", "MAINT", "127.0.0.1:2"], "{table}");
    let (code, json, _) = ctl(&sluice, "--json servers app")?;
    assert_eq!(code, Some(0));
    assert!(json.contains("\"svname\": \"s1\"") && json.contains("\"weight\": 10"), "{json}");
    let (_, table, _) = ctl(&sluice, "frontends")?;
    assert!(table.contains("web") && table.contains("OPEN"), "{table}");
    let (_, table, _) = ctl(&sluice, "backends app")?;
    assert_eq!(table.lines().count(), 2, "{table}");
    let (_, info, _) = ctl(&sluice, "info")?;
    assert!(info.starts_with("Name: Sluice\n"), "{info}");
    assert_eq!(ctl(&sluice, "servers nope")?.0, Some(1));
    Ok(())
}

#[test]
fn changes_have_exit_codes() -> Result<()> {
    if peer() == Peer::Haproxy {
        return Ok(());
    }
    let sluice = start()?;
    let status = |server: &str| sluice.stats().stat("app", server, "status");
    assert_eq!(ctl(&sluice, "drain app/s1")?, (Some(0), String::new(), String::new()));
    eventually("a drained server", PATIENCE, || status("s1").is_ok_and(|s| s == "DRAIN"))?;
    assert_eq!(ctl(&sluice, "ready app/s2")?.0, Some(0));
    assert_eq!(status("s2")?, "no check");
    assert_eq!(ctl(&sluice, "maint app/s1")?.0, Some(0));
    assert_eq!(ctl(&sluice, "weight app/s1 50%")?.0, Some(0));
    let (code, answer, _) = ctl(&sluice, "do get weight app/s1")?;
    assert_eq!((code, answer.trim()), (Some(0), "5 (initial 10)"));
    let (code, _, why) = ctl(&sluice, "drain app/nope")?;
    assert_eq!((code, why.trim()), (Some(1), "No such server."));
    let (code, _, why) = ctl(&sluice, "-s /nonexistent/sock info")?;
    assert!(code == Some(2) && why.contains("/nonexistent/sock"), "{why}");
    assert_eq!(ctl(&sluice, "frobnicate")?.0, Some(2));
    Ok(())
}
