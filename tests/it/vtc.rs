//! Runs every `tests/vtc/**/*.vtc` by Debian's `varnishtest`, each in a network namespace of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use tests::NetNs;
use tests::net::is_root;
use tests::sluice::{Files, binary, workspace};
use tests::tools::command;

fn cases(directory: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(directory).with_context(|| format!("{directory:?}"))? {
        let path = entry?.path();
        if path.is_dir() {
            cases(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "vtc") {
            found.push(path);
        }
    }
    Ok(())
}

/// Runs one case: nothing when it passes or does not apply, its log when it fails.
fn run(case: &Path, binary: &Path) -> Result<Option<String>> {
    let files = Files::new()?;
    let netns = if is_root() { Some(NetNs::new("vtc")?) } else { None };
    let mut varnishtest = command(netns.as_ref(), "varnishtest");
    varnishtest
        .args(["-t", "60", "-l"])
        .arg(case)
        .env("HAPROXY_PROGRAM", binary)
        .env("TMPDIR", files.path(""));
    let output = varnishtest.output().context("varnishtest (cargo xtask setup installs it)")?;
    match output.status.code() {
        // 77: the case says that it does not apply here.
        Some(0 | 77) => Ok(None),
        _ => Ok(Some(
            String::from_utf8_lossy(&output.stdout).into_owned()
                + &String::from_utf8_lossy(&output.stderr),
        )),
    }
}

#[test]
fn all_cases_pass() -> Result<()> {
    let mut found = Vec::new();
    cases(&workspace().join("tests/vtc"), &mut found)?;
    found.sort();
    let wanted = std::env::var("SLUICE_VTC").unwrap_or_default();
    found.retain(|path| path.display().to_string().contains(&wanted));
    let binary = binary()?;
    assert!(Command::new("varnishtest").arg("-h").output().is_ok(), "no varnishtest");
    let next = std::sync::atomic::AtomicUsize::new(0);
    let failures = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let Some(case) = found.get(index) else { return };
                    let log = match run(case, &binary) {
                        Ok(None) => continue,
                        Ok(Some(log)) => log,
                        Err(error) => format!("{error:#}"),
                    };
                    println!("==== {}\n{log}", case.display());
                    failures.lock().expect("failures").push(case.clone());
                }
            });
        }
    });
    let failures = failures.into_inner().expect("failures");
    assert!(
        failures.is_empty(),
        "{} of {} cases failed: {failures:#?}",
        failures.len(),
        found.len()
    );
    Ok(())
}
