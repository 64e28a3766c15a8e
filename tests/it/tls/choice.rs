//! Which certificate a client is shown, and with which settings.

use anyhow::Result;
use tests::Sluice;
use tests::certificates::Authority;
use tests::net::loopback;
use tests::sluice::{DEFAULTS, Peer, peer};

use super::{ask, telling, words};

#[test]
fn certificates_are_chosen_by_name() -> Result<()> {
    let ca = Authority::new()?;
    let first = ca.issue("first.pem", "first.test", 30)?;
    let wild = ca.issue("wild.pem", "*.wild.test", 30)?;
    let list = ca.issue("list.pem", "list.test", 30)?;
    std::fs::write(
        ca.path("list.txt"),
        format!("{list} [alpn http/1.1] other.test *.more.test !not.more.test\n"),
    )?;
    let bind = format!("ssl crt {first} crt {wild} crt-list {}", ca.path("list.txt"));
    let (_sluice, address) = telling(&bind)?;
    let trusted = format!("--cacert {}", ca.ca());
    words(
        &ask(address, "first.test", &trusted)?,
        "TLSv1.3 TLS_AES_256_GCM_SHA384 h2 first.test first.test",
    );
    words(&ask(address, "a.wild.test", &trusted)?, "TLSv1.3 * h2 a.wild.test *.wild.test");
    words(&ask(address, "a.wild.test", &format!("{trusted} --http1.1"))?, "TLSv1.3 * http/1.1");
    words(&ask(address, "other.test", "-k")?, "TLSv1.3 * http/1.1 other.test list.test");
    words(&ask(address, "x.more.test", "-k")?, "* * http/1.1 x.more.test list.test");
    words(&ask(address, "not.more.test", "-k")?, "* * h2 not.more.test first.test");
    words(&ask(address, "list.test", "-k")?, "* * h2 list.test first.test");
    words(&ask(address, "x.test", "-k --tls-max 1.2")?, "TLSv1.2 ECDHE-ECDSA-AES256-GCM-SHA384 h2");
    assert!(ask(address, "x.test", "-k --tls-max 1.1").is_err());
    Ok(())
}

#[test]
fn strict_sni_refuses_other_names() -> Result<()> {
    let ca = Authority::new()?;
    let first = ca.issue("first.pem", "first.test", 30)?;
    let (_sluice, address) = telling(&format!("ssl crt {first} strict-sni"))?;
    words(&ask(address, "first.test", "-k")?, "TLSv1.3");
    let refused = ask(address, "other.test", "-k").unwrap_err().to_string();
    assert!(refused.contains("unrecognized name"), "{refused}");
    Ok(())
}

#[test]
fn versions_and_suites_are_those_of_the_line() -> Result<()> {
    let ca = Authority::new()?;
    let crt = ca.issue("a.pem", "a.test", 30)?;
    let (_sluice, address) =
        telling(&format!("ssl crt {crt} ssl-max-ver TLSv1.2 ciphers AES128:!aRSA"))?;
    words(&ask(address, "a.test", "-k")?, "TLSv1.2 ECDHE-ECDSA-AES128-GCM-SHA256");
    let (_sluice, address) = telling(&format!("ssl crt {crt} ssl-min-ver TLSv1.3"))?;
    assert!(ask(address, "a.test", "-k --tls-max 1.2").is_err());
    words(&ask(address, "a.test", "-k")?, "TLSv1.3");
    Ok(())
}

#[test]
fn certificates_are_made_for_names_without_one() -> Result<()> {
    if peer() == Peer::Haproxy {
        // The one of Debian does not make them with keys of elliptic curves.
        return Ok(());
    }
    let ca = Authority::new()?;
    let crt = ca.issue("a.pem", "a.test", 30)?;
    let read = |name: &str| std::fs::read_to_string(ca.path(name));
    std::fs::write(ca.path("sign.pem"), read("ca.pem")? + &read("ca.key")?)?;
    let words = format!("generate-certificates ca-sign-file {}", ca.path("sign.pem"));
    let (_sluice, address) = telling(&format!("ssl crt {crt} {words}"))?;
    let trusted = format!("--cacert {}", ca.ca());
    // curl checks the name.
    for _ in 0..2 {
        ask(address, "a.test", &trusted)?;
        ask(address, "unknown.test", &trusted)?;
        let long = format!("{}.{}.test", "x".repeat(50), "y".repeat(50));
        ask(address, &long, &trusted)?;
    }
    let (_strict, address) = telling(&format!("ssl crt {crt} strict-sni {words}"))?;
    ask(address, "other.test", &trusted)?;
    Ok(())
}

#[test]
fn a_program_knows_the_passphrases_of_keys() -> Result<()> {
    let ca = Authority::new()?;
    let mut locked = Vec::new();
    for (name, secret, how) in [
        ("a.test", "one", "pkcs8 -topk8 -v2 aes-256-cbc"),
        ("b.test", "two", "ec -aes128"),
        ("c.test", "one", "pkcs8 -topk8 -v2 des3"),
    ] {
        let pem = std::fs::read_to_string(ca.issue(&format!("{name}.pem"), name, 30)?)?;
        let file = ca.path(&format!("{name}.locked"));
        std::fs::write(&file, &pem)?;
        ca.openssl(&format!("{how} -in {file} -passout pass:{secret} -out {file}.key"))?;
        ca.openssl(&format!("x509 -in {file} -out {file}"))?;
        locked.push(file);
    }
    // It is asked for what no known passphrase opens.
    let asked = ca.path("asked");
    let program = ca.path("passphrase");
    std::fs::write(
        &program,
        format!("echo $1 $2 >> {asked}\ncase $1 in */a.*) echo one;; *) echo two;; esac\n"),
    )?;
    let crts: String = locked.iter().map(|file| format!(" crt {file}")).collect();
    let address = loopback()?;
    let config = |global: &str| {
        format!(
            "global
    {global}
{DEFAULTS}
frontend web
    bind {address} ssl{crts}
    http-request return status 200 content-type text/plain lf-string \"%[ssl_f_s_dn(CN)]\"
"
        )
    };
    let script = ca.path("script");
    std::fs::write(&script, format!("#!/bin/sh\n. {program}\n"))?;
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let _sluice = Sluice::config(config(&format!("ssl-passphrase-cmd {script} more"))).start()?;
    for name in ["a.test", "b.test", "c.test"] {
        assert_eq!(ask(address, name, "-k")?.trim(), name);
    }
    let asked = std::fs::read_to_string(asked)?;
    let expected: String = locked[..2].iter().map(|file| format!("{file}.key more\n")).collect();
    assert_eq!(asked, expected);
    let refused = Sluice::config(config("")).start().map(drop).unwrap_err().to_string();
    assert!(refused.contains("the private key is encrypted"), "{refused}");
    Ok(())
}
