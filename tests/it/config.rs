//! `-c`: what a good configuration prints, and what ten mistakes do.

use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;

use anyhow::Result;
use tests::Sluice;
use tests::net::free_port;
use tests::sluice::{DEFAULTS, Peer, binary, peer, workspace};

const GOOD: &str = "
defaults
    mode http
    timeout connect 5s
    timeout client 20s
    timeout server 20s
frontend web
    bind 127.0.0.1:0
    default_backend app
backend app
    server s1 127.0.0.1:80
";

/// Checks `config`; returns the exit code and both outputs.
#[track_caller]
fn check(config: &str) -> (Option<i32>, String) {
    let output = Sluice::config(config).arg("-c").run().expect("run");
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    (output.status.code(), text)
}

#[test]
fn a_good_configuration_is_valid() -> Result<()> {
    let good = GOOD.replace(":0\n", &format!(":{}\n", free_port()?));
    let (code, text) = check(&good);
    assert_eq!(code, Some(0), "{text}");
    if peer() == Peer::Haproxy {
        // 2.6 says it unasked; later versions only with -V.
        assert!(text.contains("Configuration file is valid"), "{text}");
    }
    let output = Sluice::config(good).arg("-c").arg("-V").run()?;
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("Configuration file is valid"), "{text}");
    Ok(())
}

#[test]
fn accounts_that_are_elsewhere_stop_a_start_and_no_check() -> Result<()> {
    if peer() == Peer::Haproxy {
        // It refuses the check, too.
        return Ok(());
    }
    let good = GOOD.replace(":0\n", &format!(":{}\n", free_port()?));
    let config = format!("global\n    user no-such-user\n    group no-such-group\n{good}");
    let (code, text) = check(&config);
    assert_eq!(code, Some(0), "{text}");
    for name in ["user id for 'no-such-user'", "group id for 'no-such-group'"] {
        assert!(text.contains("[WARNING]") && text.contains(name), "{text}");
    }
    let output = Sluice::config(config).run()?;
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("[ALERT]") && text.contains(":2] : cannot find user id"), "{text}");
    Ok(())
}

#[test]
fn ten_mistakes_are_found_with_file_and_line() -> Result<()> {
    let good = GOOD.replace(":0\n", &format!(":{}\n", free_port()?));
    // What to replace, by what, and what the message must name.
    let rows = [
        ("mode http", "mode htpt", "htpt"),
        ("timeout connect", "timeout conect", "conect"),
        ("timeout client 20s", "timeout client 20x", "timeout client"),
        ("bind 127", "bnid 127", "bnid"),
        ("default_backend app", "default_backend ap", "ap"),
        ("server s1 127.0.0.1:80", "server s1 127.0.0.1:99999", "99999"),
        ("server s1 127.0.0.1:80", "server s1 127.0.0.1:80 chekc", "chekc"),
        ("server s1", "balance roundrobbin\n    server s1", "balance"),
        (
            "default_backend app",
            "use_backend app if { nofetch }\n    default_backend app",
            "nofetch",
        ),
        ("backend app", "bakend app", "bakend"),
    ];
    for (old, new, named) in rows {
        let (code, text) = check(&good.replacen(old, new, 1));
        assert_eq!(code, Some(1), "{new}:\n{text}");
        assert!(text.contains("[ALERT]"), "{new}:\n{text}");
        assert!(text.contains(named), "{new}:\n{text}");
        if named != "ap" {
            assert!(text.contains("sluice.cfg:"), "{new} without file and line:\n{text}");
        }
    }
    Ok(())
}

/// The listener's address is taken: had anything been bound, its failure would be among the messages.
#[test]
fn all_mistakes_of_one_file_are_reported_and_nothing_is_bound() -> Result<()> {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = taken.local_addr()?.port();
    let config = format!(
        "global
    maxcon 100
defaults
    mode htpt
    timeout conect 5s
    timeout client 20x
frontend web
    bind 127.0.0.1:{port}
    acl admin path_bgn /admin
    http-request denny if admin
    default_backend ap
backend app
    balance roundrobbin
    option htpchk
    server s1 127.0.0.1:99999
    server s1 127.0.0.1:80 chekc
"
    );
    let output = Sluice::config(&config).run()?;
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    for line in [2, 4, 5, 6, 9, 10, 11, 13, 14, 15, 16] {
        assert!(text.contains(&format!("sluice.cfg:{line}]")), "line {line} is missing:\n{text}");
    }
    assert!(!text.contains("cannot bind"), "{text}");
    Ok(())
}

#[test]
fn a_missing_file_is_an_error() -> Result<()> {
    let output = Sluice::config(GOOD).arg("-c").arg("-f").arg("/nonexistent.cfg").run()?;
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nonexistent.cfg"));
    Ok(())
}

#[test]
fn all_examples_are_valid() -> Result<()> {
    if peer() == Peer::Haproxy {
        return Ok(());
    }
    let mut seen = 0;
    for entry in std::fs::read_dir(workspace().join("examples"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "cfg") {
            let output = Sluice::config("").arg("-c").arg("-f").arg(&path).run()?;
            let text = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{}:\n{text}", path.display());
            seen += 1;
        }
    }
    assert!(seen >= 3, "{seen} examples");
    Ok(())
}

#[test]
fn relative_files_start_where_default_path_says() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let port = free_port()?;
    std::fs::create_dir_all(dir.path().join("etc/pages"))?;
    std::fs::create_dir_all(dir.path().join("pages"))?;
    let page = "HTTP/1.0 503 Service Unavailable\r\nConnection: close\r\n\r\n";
    std::fs::write(dir.path().join("etc/pages/in-etc.http"), page)?;
    std::fs::write(dir.path().join("pages/above.http"), page)?;
    let file = dir.path().join("etc/haproxy.cfg");
    let origin = format!("origin {}", dir.path().display());
    for (policy, page, valid) in [
        ("config", "pages/in-etc.http", true),
        ("config", "pages/above.http", false),
        ("parent", "pages/above.http", true),
        ("parent", "pages/in-etc.http", false),
        (origin.as_str(), "etc/pages/in-etc.http", true),
        ("origin /nonexistent", "etc/pages/in-etc.http", false),
        ("current", "etc/pages/in-etc.http", false),
    ] {
        let text = GOOD.replace(":0\n", &format!(":{port}\n    errorfile 503 {page}\n"));
        std::fs::write(&file, format!("global\n    default-path {policy}\n{text}"))?;
        let output = Command::new(binary()?).arg("-c").arg("-f").arg(&file).output()?;
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.success(), valid, "{policy} {page}:\n{text}");
    }
    Ok(())
}

#[test]
fn conditions_of_the_command_line() -> Result<()> {
    for (text, code) in [
        ("-1000 && 200", 0),
        (r#"defined(HOME) && streq("$HOME","$HOME")"#, 0),
        (r#"streq("foo bar",'foo bar')"#, 0),
        ("", 1),
        ("streq(foo,bar)", 1),
        ("200rrr", 2),
        (r#"streq(a,"a)"#, 2),
    ] {
        let output = Sluice::config("").arg("-cc").arg(text).run()?;
        let err = String::from_utf8_lossy(&output.stderr);
        let found = output.status.code();
        // 2.6 does not tell a mistake from a condition that does not hold.
        let expected = if peer() == Peer::Haproxy { code.min(1) } else { code };
        assert_eq!(
            found.map(|c| if peer() == Peer::Haproxy { c.min(1) } else { c }),
            Some(expected),
            "{text}\n{err}"
        );
    }
    Ok(())
}

#[test]
fn check_tells_editors_where_what_is_wrong() -> Result<()> {
    if peer() == Peer::Haproxy {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("haproxy.cfg");
    std::fs::write(&file, GOOD.replace("mode http", "mode htpt"))?;
    let output = Command::new(binary()?).args(["check", "--json", "-f"]).arg(&file).output()?;
    assert_eq!(output.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(report["valid"], false);
    let first = &report["diagnostics"][0];
    assert_eq!(first["severity"], "alert");
    assert_eq!(first["file"].as_str(), file.to_str());
    assert_eq!((&first["line"], &first["column"]), (&3.into(), &10.into()));
    std::fs::write(&file, GOOD.replace(":0\n", &format!(":{}\n", free_port()?)))?;
    let output = Command::new(binary()?).args(["check", "--json", "-f"]).arg(&file).output()?;
    assert_eq!(output.status.code(), Some(0));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(report["valid"], true);
    Ok(())
}

#[test]
fn old_words_are_translated_when_asked() -> Result<()> {
    if peer() == Peer::Haproxy {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("haproxy.cfg");
    let old = std::fs::read_to_string(workspace().join("tests/corpus/old_1_5_style.cfg"))?;
    std::fs::write(&file, &old)?;
    let run = |arguments: &[&str]| -> Result<(bool, String)> {
        let output = Command::new(binary()?).args(arguments).arg("-f").arg(&file).output()?;
        Ok((output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned()))
    };
    assert!(!run(&["-c"])?.0);
    let (valid, said) = run(&["-c", "--legacy"])?;
    assert!(valid, "{said}");
    assert!(said.contains("-    contimeout 5000\n+    timeout connect 5000"), "{said}");
    assert_eq!(std::fs::read_to_string(&file)?, old);
    std::fs::write(&file, old.replacen("global\n", "global\n    legacy-syntax accept\n", 1))?;
    assert!(run(&["-c"])?.0);
    let (valid, said) = run(&["check", "--fix"])?;
    assert!(valid, "{said}");
    let (valid, said) = run(&["-c"])?;
    assert!(valid && !said.contains("translated"), "{said}");
    Ok(())
}

#[test]
fn expressions_of_all_lines_know_the_acls_of_their_section() -> Result<()> {
    if peer() == Peer::Haproxy {
        // 2.6 does not know the fetch.
        return Ok(());
    }
    let config = format!(
        "{DEFAULTS}
backend app
    acl inside src 127.0.0.0/8
    balance hash acl(inside)
    option forwarded for-expr src host-expr acl(inside),iif(a,b)
    server s1 127.0.0.1:1 sni acl(inside),iif(a,b) ssl verify none
"
    );
    let output = Sluice::config(config).arg("-c").run()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
