//! OCSP responses: from files, by the runtime API, from a real responder.

use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Context, Result};
use tests::certificates::Authority;
use tests::net::{free_port, loopback};
use tests::program::Program;
use tests::sluice::{DEFAULTS, Peer, peer};
use tests::{PATIENCE, Sluice, eventually};

/// What a client is shown with the certificate.
fn stapled(address: SocketAddr, name: &str) -> Result<String> {
    let out = Command::new("openssl")
        .args(["s_client", "-status", "-servername", name, "-connect", &address.to_string()])
        .stdin(std::process::Stdio::null())
        .output()
        .context("openssl s_client")?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let line = text.lines().find(|line| line.contains("Cert Status:"));
    let none = text.contains("OCSP response: no response sent").then_some("none");
    line.map(|line| line.trim().replace("Cert Status: ", ""))
        .or_else(|| none.map(str::to_owned))
        .with_context(|| format!("no word on OCSP: {text:.600}"))
}

fn base64(path: &str) -> Result<String> {
    let out = Command::new("openssl").args(["base64", "-A", "-in", path]).output()?;
    Ok(String::from_utf8(out.stdout)?)
}

#[test]
fn responses_come_from_files_and_from_the_runtime_api() -> Result<()> {
    let ca = Authority::new()?;
    let good = ca.issue("good.pem", "good.test", 30)?;
    let bare = ca.issue("bare.pem", "bare.test", 30)?;
    let wrong = ca.issue("wrong.pem", "wrong.test", 30)?;
    let issuer = std::fs::read(ca.ca())?;
    for file in [&good, &bare, &wrong] {
        std::fs::write(format!("{file}.issuer"), &issuer)?;
    }
    ca.enter("good.pem")?;
    ca.ocsp("good.pem", "good.pem.ocsp")?;
    std::fs::copy(ca.path("good.pem.ocsp"), ca.path("wrong.pem.ocsp"))?;
    let address = loopback()?;
    let config = format!(
        "{DEFAULTS}
frontend web
    bind {address} ssl crt {good} crt {bare} crt {wrong}
    http-request return status 200
"
    );
    let mut sluice = Sluice::config(config).start()?;
    assert_eq!(stapled(address, "good.test")?, "good");
    assert_eq!(stapled(address, "bare.test")?, "none");
    // Not about this certificate: told, and not shown.
    assert_eq!(stapled(address, "wrong.test")?, "none");
    let told = "OCSP single response: Certificate ID does not match certificate and issuer";
    assert!(sluice.program().log().contains(told), "{}", sluice.program().log());
    let cli = sluice.stats();
    let shown = cli.command(&format!("show ssl cert {good}"))?;
    let key = shown.lines().find_map(|line| line.strip_prefix("OCSP Response Key: "));
    let key = key.context("a key")?.to_owned();
    let list = cli.command("show ssl ocsp-response")?;
    assert!(list.contains(&format!("Certificate ID key : {key}\n")), "{list}");
    assert!(cli.command(&format!("show ssl ocsp-response {key}"))?.contains("Cert Status: good"));
    assert!(cli.command(&format!("show ssl cert {good}.ocsp"))?.contains("Cert Status: good"));
    let none = cli.command("show ssl ocsp-response 3012")?;
    assert_eq!(none.trim(), "Certificate ID does not match any certificate.");

    ca.revoke("good.pem", "list.crl")?;
    ca.ocsp("good.pem", "revoked.ocsp")?;
    let set =
        cli.command(&format!("set ssl ocsp-response {}", base64(&ca.path("revoked.ocsp"))?))?;
    assert_eq!(set.trim(), "OCSP Response updated!");
    assert_eq!(stapled(address, "good.test")?, "revoked");
    let shown = cli.command(&format!("show ssl ocsp-response {key}"))?;
    assert!(shown.contains("Cert Status: revoked\n    Revocation Time: "), "{shown}");
    let bad = cli.command("set ssl ocsp-response !!")?;
    assert_eq!(bad.trim(), "'set ssl ocsp-response' received invalid base64 encoded response.");
    // One for a certificate that is not here.
    let other = Authority::new()?;
    other.issue("x.pem", "x.test", 30)?;
    other.enter("x.pem")?;
    other.ocsp("x.pem", "x.ocsp")?;
    let bad = cli.command(&format!("set ssl ocsp-response {}", base64(&other.path("x.ocsp"))?))?;
    let expected = "OCSP single response: Certificate ID does not match any certificate or issuer.";
    assert_eq!(bad.trim(), expected);
    assert_eq!(stapled(address, "good.test")?, "revoked");

    // A transaction, too.
    let back = base64(&ca.path("good.pem.ocsp"))?;
    cli.command(&format!("set ssl cert {good}.ocsp <<\n{back}\n"))?;
    assert!(cli.command(&format!("show ssl cert *{good}.ocsp"))?.contains("Cert Status: good"));
    assert_eq!(stapled(address, "good.test")?, "revoked");
    let commit = cli.command(&format!("commit ssl cert {good}"))?;
    assert!(commit.contains("Success!"), "{commit}");
    assert!(cli.command(&format!("show ssl ocsp-response {key}"))?.contains("Cert Status: good"));
    assert_eq!(stapled(address, "good.test")?, "good");
    Ok(())
}

#[test]
fn responses_are_kept_fresh() -> Result<()> {
    if peer() == Peer::Haproxy {
        // Words of HAProxy 2.8.
        return Ok(());
    }
    let ca = Authority::new()?;
    let port = free_port()?;
    let with = |name: &str| {
        let more = format!("authorityInfoAccess=OCSP;URI:http://127.0.0.1:{port}\n");
        let file = format!("{name}.pem");
        let path = ca.issue_with(&file, &format!("{name}.test"), 30, &more)?;
        let chain = std::fs::read_to_string(&path)? + &std::fs::read_to_string(ca.ca())?;
        std::fs::write(&path, chain)?;
        ca.enter(&file)?;
        anyhow::Ok(path)
    };
    let (kept, other) = (with("kept")?, with("other")?);
    ca.ocsp("other.pem", "other.pem.ocsp")?;
    std::fs::write(ca.path("list.txt"), format!("{kept} [ocsp-update on]\n{other}\n"))?;
    let responder = Program::start(
        "openssl ocsp",
        Command::new("openssl")
            .args(["ocsp", "-index", "index.txt", "-rsigner", "ca.pem", "-rkey", "ca.key"])
            .args(["-CA", "ca.pem", "-ndays", "1", "-timeout", "5", "-port", &port.to_string()])
            .current_dir(ca.path("")),
    )?;
    responder.wait_line("waiting for OCSP client connections", PATIENCE)?;
    let address = loopback()?;
    let config = format!(
        "{DEFAULTS}
frontend web
    bind {address} ssl crt-list {}
    http-request return status 200
",
        ca.path("list.txt")
    );
    let sluice = Sluice::config(config).start()?;
    let cli = sluice.stats();
    eventually("the response is fetched", PATIENCE, || {
        let updates = cli.command("show ssl ocsp-updates");
        updates.is_ok_and(|text| text.contains(" | 1 | 0 | 1 | Update successful"))
    })?;
    assert_eq!(stapled(address, "kept.test")?, "good");
    let updates = cli.command("show ssl ocsp-updates")?;
    assert!(updates.contains(&format!(" | {kept} | ")), "{updates}");
    assert!(!updates.contains(&other), "{updates}");

    // The other one when it is asked for.
    ca.revoke("other.pem", "list.crl")?;
    let answer = cli.command(&format!("update ssl ocsp-response {other}"))?;
    // The responder has read its books before; it only has to answer.
    assert!(answer.contains("OCSP Response Status: successful"), "{answer}");
    let gone = cli.command("update ssl ocsp-response none.pem")?;
    assert!(gone.contains("not known"), "{gone}");
    drop(responder);
    let failed = cli.command(&format!("update ssl ocsp-response {kept}"))?;
    assert!(failed.contains("HTTP error"), "{failed}");
    let updates = cli.command("show ssl ocsp-updates")?;
    assert!(updates.contains(" | 1 | 1 | 2 | HTTP error"), "{updates}");
    assert_eq!(stapled(address, "kept.test")?, "good", "what there was is still good");
    Ok(())
}
