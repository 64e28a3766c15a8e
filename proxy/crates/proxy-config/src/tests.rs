//! Whole configurations: `tests/config/*.cfg` with the expected messages beside them in `*.out`.
//! `UPDATE_EXPECT=1` rewrites the latter.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use proxy_types::Severity;

use crate::model::{Balance, RuleSet};
use crate::render::{RenderOptions, render};
use crate::{Config, Environment, Options, Sources, load};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../tests/config")
}

/// The messages for one file, as `-c -dD` would print them with process id 1.
fn messages(path: &Path) -> String {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let sources = Sources::from_text(&name, std::fs::read(path).unwrap());
    let env: Environment = [("HOME", "/root"), ("WORDS", "one two")].into_iter().collect();
    let (config, diagnostics) = load(&sources, &env, &Options::default());
    assert_eq!(config.is_none(), diagnostics.has_alert());
    let options = RenderOptions { pid: 1, diag: true, ..RenderOptions::default() };
    render(&diagnostics, &sources, &options)
}

#[test]
fn messages_are_as_expected() {
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    let mut wrong = Vec::new();
    let mut count = 0;
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "cfg") {
            continue;
        }
        count += 1;
        let actual = messages(&path);
        let out = path.with_extension("out");
        if update {
            std::fs::write(&out, &actual).unwrap();
        }
        let expected = std::fs::read_to_string(&out).unwrap_or_default();
        if actual != expected {
            wrong
                .push(format!("{}:\n--- expected\n{expected}--- actual\n{actual}", path.display()));
        }
    }
    assert!(count >= 5, "no configurations found in {}", folder().display());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A configuration that must load, whatever warnings it has.
#[track_caller]
fn valid(text: &str) -> Config {
    let sources = Sources::from_text("t.cfg", text);
    let (config, diagnostics) = load(&sources, &Environment::new(), &Options::default());
    config
        .unwrap_or_else(|| panic!("{}", render(&diagnostics, &sources, &RenderOptions::default())))
}

#[test]
fn defaults_are_inherited_and_overridden() {
    let config = valid(
        "defaults base\n mode http\n timeout client 1s\n retries 5\n option dontlognull\n option http-server-close\n\
         \x20default-server inter 3s fall 7\n\
         defaults more from base\n retries 7\n balance leastconn\n\
         listen a from more\n bind :1\n no option dontlognull\n timeout client 2s\n tcp-request content reject\n\
         \x20server s 127.0.0.1:80 fall 9\n default-server weight 3\n server t 127.0.0.1:81\n\
         defaults ruled from base\n tcp-request content accept\n\
         frontend b from ruled\n bind :2\n default option dontlognull\n\
         defaults blank\n\
         listen c\n bind :3\n",
    );
    let [a, b, c] = config.proxies.as_slice() else { panic!() };
    let settings = &a.settings;
    assert_eq!(settings.mode(), proxy_types::Mode::Http);
    assert_eq!(settings.retries(), 7);
    assert_eq!(settings.balance(), Balance::LeastConn);
    assert_eq!(settings.timeouts.client.unwrap().value, Duration::from_secs(2));
    assert!(!settings.flags.is_on(crate::model::Flag::DontLogNull));
    assert!(settings.flags.get(crate::model::Flag::DontLogNull).is_some());
    assert_eq!(b.settings.retries(), 5);
    assert!(b.settings.flags.get(crate::model::Flag::DontLogNull).is_none());
    let [s, t] = a.servers.as_slice() else { panic!() };
    assert_eq!(
        (s.options.inter(), s.options.fall(), s.options.weight()),
        (Duration::from_secs(3), 9, 1)
    );
    assert_eq!(
        (t.options.inter(), t.options.fall(), t.options.weight()),
        (Duration::from_secs(3), 7, 3)
    );
    assert_eq!((c.settings.retries(), c.settings.mode()), (3, proxy_types::Mode::Tcp));
    // Rules of the section that `from` names come first and keep its ACLs.
    let rules: Vec<_> = config
        .rules(b, RuleSet::TcpRequestContent)
        .map(|(scope, rule)| (scope.0.name.value.as_str(), rule.words[0].value.as_str()))
        .collect();
    assert_eq!(rules, [("ruled", "accept")]);
}

#[test]
fn environment_of_the_configuration() {
    let config = valid(
        "global\n setenv A one\n presetenv A two\n presetenv B \"$A!\"\n unsetenv C\n resetenv A\n description \"$A$B\"\n",
    );
    assert_eq!(config.global.description.unwrap().value, "one");
    assert_eq!(config.environment.iter().collect::<Vec<_>>(), [("A", "one")]);
}

#[test]
fn twenty_thousand_servers_are_read_fast() {
    let mut text = String::from("backend b\n timeout connect 1s\n timeout server 1s\n");
    for n in 0..20_000 {
        text.push_str(&format!(
            " server s{n} 10.{}.{}.1:80 check inter 2s weight 10\n",
            n / 250,
            n % 250
        ));
    }
    let start = Instant::now();
    let config = valid(&text);
    assert_eq!(config.proxies[0].servers.len(), 20_000);
    // Unoptimized code on a loaded machine; quadratic behaviour would take minutes.
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

#[test]
fn every_alert_has_a_place() {
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "cfg") {
            continue;
        }
        let sources = Sources::from_text("t", std::fs::read(&path).unwrap());
        let (_, diagnostics) = load(&sources, &Environment::new(), &Options::default());
        for d in diagnostics.iter().filter(|d| d.severity == Severity::Alert) {
            assert!(d.span.is_some(), "{}: {}", path.display(), d.message);
        }
    }
}
