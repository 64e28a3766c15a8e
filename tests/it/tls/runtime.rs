//! Certificates, authorities and lists that commands change.

use anyhow::Result;
use tests::Sluice;
use tests::certificates::Authority;
use tests::net::loopback;
use tests::sluice::{DEFAULTS, Peer, peer};

use super::{ask, telling, words};

#[test]
fn certificates_change_at_runtime() -> Result<()> {
    let ca = Authority::new()?;
    let crt = ca.issue("a.pem", "a.test", 30)?;
    let next = std::fs::read_to_string(ca.issue("b.pem", "b.test", 30)?)?;
    let next: String =
        next.lines().filter(|line| !line.is_empty()).map(|l| format!("{l}\n")).collect();
    let (sluice, address) = telling(&format!("ssl crt {crt}"))?;
    let cli = sluice.stats();
    let before = ask(address, "x.test", "-k")?;
    words(&before, "* * * * a.test");
    let set = cli.command(&format!("set ssl cert {crt} <<\n{next}\n"))?;
    assert_eq!(set.trim(), format!("Transaction created for certificate {crt}!"));
    words(&ask(address, "x.test", "-k")?, "* * * * a.test");
    let commit = cli.command(&format!("commit ssl cert {crt}"))?;
    assert_eq!(commit.trim(), format!("Committing {crt}.\nSuccess!"));
    words(&ask(address, "x.test", "-k")?, "* * * * b.test");
    let shown = cli.command(&format!("show ssl cert {crt}"))?;
    assert!(shown.contains("Status: Used") && shown.contains("Subject: /CN=b.test"), "{shown}");
    let snis = cli.command("show ssl sni")?;
    assert!(snis.contains("\tb.test\t-\tecdsa\t"), "{snis}");
    Ok(())
}

#[test]
fn authorities_change_at_runtime() -> Result<()> {
    let (first, second) = (Authority::new()?, Authority::new()?);
    let crt = first.issue("a.pem", "a.test", 30)?;
    let client = second.issue("client.pem", "client", 30)?;
    let file = first.ca();
    let (sluice, address) = telling(&format!("ssl crt {crt} ca-file {file} verify required"))?;
    let cli = sluice.stats();
    assert!(ask(address, "a.test", &format!("-k --cert {client}")).is_err());
    let pem = std::fs::read_to_string(second.ca())?;
    let set = cli.command(&format!("set ssl ca-file {file} <<\n{pem}\n"))?;
    assert_eq!(set.trim(), format!("transaction created for CA {file}!"));
    assert!(ask(address, "a.test", &format!("-k --cert {client}")).is_err());
    let commit = cli.command(&format!("commit ssl ca-file {file}"))?;
    assert_eq!(commit.trim(), format!("Committing {file}.\nSuccess!"));
    words(&ask(address, "a.test", &format!("-k --cert {client}"))?, "* * * * * client 0");
    let shown = cli.command("show ssl ca-file")?;
    assert!(shown.contains(&format!("{file} - 1 certificate(s)")), "{shown}");
    let gone = cli.command(&format!("del ssl ca-file {file}"))?;
    assert!(gone.contains("in use"), "{gone}");
    Ok(())
}

#[test]
fn certificates_of_a_frontend_are_a_list() -> Result<()> {
    if peer() == Peer::Haproxy {
        // A word of HAProxy 3.2.
        return Ok(());
    }
    let ca = Authority::new()?;
    let first = ca.issue("first.pem", "first.test", 30)?;
    let second = ca.issue("second.pem", "second.test", 30)?;
    let (one, two) = (loopback()?, loopback()?);
    let config = format!(
        "{DEFAULTS}
frontend web
    bind {one} ssl
    bind {two} ssl alpn http/1.1
    ssl-f-use crt {first}
    ssl-f-use crt {second} alpn h2 ssl-max-ver TLSv1.2
    http-request return status 200 content-type text/plain lf-string \
\"%[ssl_fc_protocol] %[ssl_fc_alpn] %[ssl_f_s_dn(CN)]\"
"
    );
    let sluice = Sluice::config(config).start()?;
    words(&ask(one, "first.test", "-k")?, "TLSv1.3 h2 first.test");
    words(&ask(two, "first.test", "-k")?, "TLSv1.3 http/1.1 first.test");
    for address in [one, two] {
        words(&ask(address, "second.test", "-k")?, "TLSv1.2 h2 second.test");
    }
    let cli = sluice.stats();
    assert_eq!(cli.command("show ssl crt-list")?.trim(), "@web");
    let shown = cli.command("show ssl crt-list -n @web")?;
    let expected = format!("# @web\n{first}:1\n{second}:2 [alpn h2 ssl-max-ver TLSv1.2]");
    assert_eq!(shown.trim(), expected);
    let gone = cli.command(&format!("del ssl crt-list @web {second}"))?;
    assert_eq!(gone.trim(), format!("Entry '{second}' deleted in crtlist '@web'!"));
    words(&ask(two, "second.test", "-k")?, "TLSv1.3 http/1.1 first.test");
    Ok(())
}

#[test]
fn lines_of_a_list_come_and_go_with_their_options() -> Result<()> {
    let ca = Authority::new()?;
    let crt = ca.issue("a.pem", "a.test", 30)?;
    let more = ca.issue("b.pem", "b.test", 30)?;
    let client = ca.issue("client.pem", "client", 30)?;
    let list = ca.path("list.txt");
    std::fs::write(&list, format!("{crt}\n"))?;
    let (sluice, address) =
        telling(&format!("ssl alpn h2 ca-file {} verify optional crt-list {list}", ca.ca()))?;
    let cli = sluice.stats();
    let check = |command: &str, expected: &str| -> Result<()> {
        // HAProxy takes the end of a text for a command of its own.
        let answer = cli.command(command)?;
        assert!(
            answer.trim().starts_with(expected),
            "{command:.60}: {answer:.300}, not {expected}"
        );
        Ok(())
    };
    let added = format!("Inserting certificate '{more}' in crt-list '{list}'.\nSuccess!");
    // Empty lines would end the text.
    let pem = std::fs::read_to_string(&more)?;
    check(&format!("new ssl cert {more}"), &format!("New empty certificate store '{more}'!"))?;
    check(
        &format!("add ssl crt-list {list} {more}"),
        &format!("Can't edit the crt-list: certificate '{more}' is empty!"),
    )?;
    cli.command(&format!("set ssl cert {more} <<\n{pem}\n"))?;
    check(&format!("commit ssl cert {more}"), &format!("Committing {more}\nSuccess!"))?;
    let line = format!("{more} [ssl-max-ver TLSv1.2 verify none] b.test *.c.test !no.c.test");
    check(&format!("add ssl crt-list {list} <<\n{line}\n"), &added)?;
    words(&ask(address, "b.test", "-k")?, "TLSv1.2 * h2 b.test b.test");
    words(&ask(address, "x.c.test", "-k")?, "TLSv1.2 * h2 x.c.test b.test");
    words(&ask(address, "no.c.test", "-k")?, "TLSv1.3 * h2 no.c.test a.test");
    check(
        &format!("add ssl crt-list {list} <<\n{more} [ca-file /none verify required] d.test\n"),
        if peer() == Peer::Haproxy {
            "Can't edit the crt-list: 'ca-file' : unable to load /none"
        } else {
            "Can't edit the crt-list: '/none' is not loaded"
        },
    )?;
    // A list of revoked certificates that exists here only.
    ca.revoke("client.pem", "revoked.crl")?;
    let crl = std::fs::read_to_string(ca.path("revoked.crl"))?;
    check("new ssl crl-file new.crl", "New CRL file created 'new.crl'!")?;
    let set = format!("set ssl crl-file new.crl <<\n{crl}\n");
    check(&set, "transaction created for CRL new.crl!")?;
    check("commit ssl crl-file new.crl", "Committing new.crl\nSuccess!")?;
    words(&ask(address, "e.test", &format!("-k --cert {client}"))?, "* * * e.test a.test client");
    let line = format!("{more} [crl-file new.crl] e.test");
    check(&format!("add ssl crt-list {list} <<\n{line}\n"), &added)?;
    assert!(ask(address, "e.test", &format!("-k --cert {client}")).is_err());
    words(&ask(address, "e.test", "-k")?, "* * * e.test b.test");
    let shown = cli.command("show ssl crl-file new.crl")?;
    assert!(shown.contains("Status: Used\n") && shown.contains("    Serial Number: "), "{shown}");
    check(
        "del ssl crl-file new.crl",
        "Can't remove the CRL file: CRL file 'new.crl' in use, can't be deleted!",
    )?;
    check(
        &format!("del ssl crt-list {list} {more}"),
        &format!(
            "Can't delete the entry: found the certificate '{more}' in several entries, please specify \
             a line number preceded by colons (2, 3)!"
        ),
    )?;
    let gone = format!("Entry '{more}' deleted in crtlist '{list}'!");
    check(&format!("del ssl crt-list {list} {more}:3"), &gone)?;
    words(&ask(address, "e.test", &format!("-k --cert {client}"))?, "* * * e.test a.test client");
    check("del ssl crl-file new.crl", "CRL file 'new.crl' deleted!")?;
    Ok(())
}

#[test]
fn revoked_certificates_change_at_runtime() -> Result<()> {
    let ca = Authority::new()?;
    let crt = ca.issue("a.pem", "a.test", 30)?;
    let client = ca.issue("client.pem", "client", 30)?;
    ca.revocations("none.crl")?;
    let file = ca.path("none.crl");
    let (sluice, address) =
        telling(&format!("ssl crt {crt} ca-file {} crl-file {file} verify required", ca.ca()))?;
    let cli = sluice.stats();
    let with = format!("-k --cert {client}");
    words(&ask(address, "a.test", &with)?, "* * * * * client 0");
    ca.revoke("client.pem", "revoked.crl")?;
    let crl = std::fs::read_to_string(ca.path("revoked.crl"))?;
    cli.command(&format!("set ssl crl-file {file} <<\n{crl}\n"))?;
    words(&ask(address, "a.test", &with)?, "* * * * * client 0");
    let listed = cli.command("show ssl crl-file")?;
    assert_eq!(listed.trim(), format!("# transaction\n*{file}\n# filename\n{file}"));
    let commit = cli.command(&format!("commit ssl crl-file {file}"))?;
    assert_eq!(commit.trim(), format!("Committing {file}.\nSuccess!"));
    assert!(ask(address, "a.test", &with).is_err());
    Ok(())
}
