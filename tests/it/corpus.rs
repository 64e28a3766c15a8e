//! Configurations as people write them (`tests/corpus`): each has the verdict that HAProxy 3.5 gives, and tells whether
//! Debian's 2.6 gives the same.
//!
//! What is said about them stands beside each, in `*.out`. `UPDATE_EXPECT=1` rewrites that.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tests::certificates::Authority;
use tests::sluice::{Files, Peer, binary, peer, workspace};

/// What a check says in one word.
fn verdict(success: bool, said: &str) -> &'static str {
    match success {
        false => "refused",
        true if said.contains("[WARNING]") => "warnings",
        true => "valid",
    }
}

/// The value of a comment `# name: value` in the head of a configuration.
fn told<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix("# ")?.strip_prefix(name)?.strip_prefix(": "))
}

/// The files that configurations name, relative to where they are checked.
fn material(files: &Files) -> Result<()> {
    let authority = Authority::new()?;
    for folder in ["ca", "certs", "errors", "lists", "maps", "run"] {
        std::fs::create_dir(files.path(folder))?;
    }
    std::fs::copy(
        authority.issue("site.pem", "www.example.com", 30)?,
        files.path("certs/site.pem"),
    )?;
    std::fs::copy(authority.ca(), files.path("ca/ca.pem"))?;
    files.write("maps/blocked.lst", "192.0.2.66\n")?;
    for map in ["http", "passthrough", "rates", "redirect"] {
        files.write(&format!("maps/{map}.map"), "")?;
    }
    files.write(
        "errors/page.http",
        "HTTP/1.0 503 Service Unavailable\r\nConnection: close\r\n\r\n<html></html>\r\n",
    )?;
    files.write("lists/list.crt_list", "certs/site.pem\n")?;
    Ok(())
}

/// Diagnostics without what changes from run to run.
fn steady(said: &str, path: &Path) -> String {
    let folder = path.parent().map(|folder| format!("{}/", folder.display())).unwrap_or_default();
    let said = said.replace(&folder, "");
    let lines = said.lines().filter(|line| {
        !line.contains("sluice version is") && !line.contains("path to executable is")
    });
    lines.fold(String::new(), |mut out, line| {
        match (line.find("] "), line.find(") : ")) {
            (Some(open), Some(close)) if line.starts_with('[') && open < close => {
                out.push_str(&line[..=open]);
                out.push_str(&line[close + 1..]);
            }
            _ => out.push_str(line),
        }
        out.push('\n');
        out
    })
}

/// What `sluice check --dump` writes is a configuration, and has no `defaults` left.
fn reads_back(files: &Files, path: &Path) -> Result<()> {
    let folder = files.path("");
    let dump = Command::new(binary()?)
        .args(["check", "--dump", "-f"])
        .arg(path)
        .current_dir(&folder)
        .output()?;
    let text = String::from_utf8(dump.stdout)?;
    ensure!(!text.lines().any(|line| line.starts_with("defaults")), "{text}");
    let file = files.write("dump.cfg", &text)?;
    let output =
        Command::new(binary()?).arg("-c").arg("-f").arg(&file).current_dir(&folder).output()?;
    ensure!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

#[test]
fn verdicts_and_diagnostics_of_the_corpus() -> Result<()> {
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    let files = Files::new()?;
    material(&files)?;
    let (mut seen, mut wrong) = (0, Vec::new());
    let mut paths: Vec<_> = std::fs::read_dir(workspace().join("tests/corpus"))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<_>>()?;
    paths.sort();
    for path in paths {
        if path.extension().is_none_or(|extension| extension != "cfg") {
            continue;
        }
        let text = std::fs::read_to_string(&path)?;
        let expected = told(&text, "verdict").with_context(|| format!("{}", path.display()))?;
        if peer() == Peer::Haproxy && told(&text, "peer") != Some("same") {
            continue;
        }
        seen += 1;
        let mut command = Command::new(binary()?);
        command.arg("-c").arg("-f").arg(&path).current_dir(files.path(""));
        let output = command.output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let found = verdict(output.status.success(), &said);
        if found != expected {
            wrong.push(format!("{}: {found}, not {expected}\n{said}", path.display()));
        }
        if peer() == Peer::Haproxy {
            continue;
        }
        if output.status.success()
            && let Err(why) = reads_back(&files, &path)
        {
            wrong.push(format!("{}: {why:#}", path.display()));
        }
        let out = path.with_extension("out");
        let said = steady(&said, &path);
        if update {
            std::fs::write(&out, &said)?;
        }
        let before = std::fs::read_to_string(&out).unwrap_or_default();
        if said != before {
            wrong.push(format!("{}:\n--- expected\n{before}--- said\n{said}", path.display()));
        }
    }
    assert!(seen >= 60, "{seen} configurations");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}
