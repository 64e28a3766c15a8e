//! Certificates by ACME, from an authority that verifies what it is sent.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use tests::certificates::Authority;
use tests::client::get;
use tests::net::loopback;
use tests::peer::Syslog;
use tests::peer::acme::{AcmeServer, Asked};
use tests::peer::dns::DnsServer;
use tests::sluice::DEFAULTS;
use tests::{PATIENCE, Sluice, eventually};

/// Looks at a frontend for the answer to a challenge, as authorities do.
fn over_http(front: SocketAddr) -> impl Fn(&Asked) -> Result<(), String> + Send + Sync {
    move |asked| {
        let path = format!("/.well-known/acme-challenge/{}", asked.token);
        let answer = get(front, &path).map_err(|error| error.to_string())?;
        let text = answer.text();
        if text.trim_end() == asked.authorization { Ok(()) } else { Err(format!("{text:?}")) }
    }
}

/// Issuer, end and public key of the certificate that a name is shown.
fn shown(address: SocketAddr, name: &str) -> Result<String> {
    let client = Command::new("openssl")
        .args(["s_client", "-connect", &address.to_string(), "-servername", name])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let out = Command::new("openssl")
        .args(["x509", "-noout", "-issuer", "-subject", "-pubkey", "-ext", "subjectAltName"])
        .stdin(client.stdout.context("output")?)
        .output()?;
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

fn waits_for(address: SocketAddr, name: &str, text: &str) -> Result<String> {
    let mut last = String::new();
    eventually(&format!("a certificate with {text}"), PATIENCE, || {
        last = shown(address, name).unwrap_or_default();
        last.contains(text)
    })?;
    Ok(last)
}

#[test]
fn a_certificate_is_had_before_there_is_a_file_and_outlives_a_reload() -> Result<()> {
    let ca = Authority::new()?;
    let server = ca.issue("server.pem", "localhost", 30)?;
    let (http, https, api) = (loopback()?, loopback()?, loopback()?);
    let authority = AcmeServer::start(over_http(http))?;
    let config = format!(
        "global
    expose-experimental-directives
    httpclient.ssl.ca-file {ca_file}
    httpclient.resolvers.prefer ipv4
    crt-base {directory}
{DEFAULTS}
acme test
    directory https://localhost:{port}/directory
    account-key {directory}/account.key
    contact john@example.test
    keytype RSA
    map virt@acme
crt-store
    load crt first.pem acme test domains \"a.test,*.b.test\" ips 192.0.2.1 alias first
listen authority
    bind {api} ssl crt {server} alpn http/1.1
    server s {authority}
frontend web
    bind {http}
    bind {https} ssl crt @/first
    http-request return status 200 content-type text/plain lf-string \
\"%[path,field(-1,/)].%[path,field(-1,/),map(virt@acme)]\\n\" if {{ path_beg '/.well-known/acme-challenge/' }}
    http-request return status 200
",
        ca_file = ca.ca(),
        directory = ca.path("").trim_end_matches('/'),
        port = api.port(),
        authority = authority.address(),
    );
    authority.set_base(&format!("https://localhost:{}", api.port()));
    let mut sluice = Sluice::config(config).master().start()?;
    let got = waits_for(https, "a.test", "acme 127.0.0.1")?;
    assert!(got.contains("DNS:a.test, DNS:*.b.test, IP Address:192.0.2.1"), "{got}");
    assert!(got.contains("CN = a.test"), "{got}");
    assert_eq!(authority.contacts()[0][0], "mailto:john@example.test");
    assert!(std::fs::read_to_string(ca.path("account.key"))?.contains("PRIVATE KEY"));
    let cli = sluice.stats();
    let row = || -> Result<Vec<String>> {
        let status = cli.command("acme status")?;
        let row = status.lines().nth(1).context("a row")?;
        Ok(row.split('\t').map(str::to_owned).collect())
    };
    eventually("the end of the renewal", PATIENCE, || {
        row().is_ok_and(|row| row[2] == "Scheduled")
    })?;
    assert_eq!(row()?[..2], ["@/first", "test"]);
    // Tokens do not stay.
    assert_eq!(cli.command("show map virt@acme")?.trim(), "");
    // The next worker has it from this one.
    sluice.reload()?;
    assert_eq!(shown(https, "a.test")?, got);
    assert_eq!(authority.counts(), (1, 1));
    // By hand, with another key; the account stays.
    let cli = sluice.stats();
    assert_eq!(cli.command("acme renew @/first")?.trim(), "");
    eventually("another certificate", PATIENCE, || {
        shown(https, "a.test").is_ok_and(|now| now != got)
    })?;
    assert_eq!(authority.counts(), (1, 2));
    let refused = cli.command("acme renew other.pem")?;
    assert!(refused.contains("it has no 'acme'"), "{refused}");
    Ok(())
}

#[test]
fn records_are_announced_confirmed_and_looked_for() -> Result<()> {
    let ca = Authority::new()?;
    let old = ca.issue("old.pem", "old.test", 30)?;
    let record = Arc::new(Mutex::new(String::new()));
    let known = record.clone();
    let authority = AcmeServer::start(move |asked: &Asked| {
        let set = known.lock().map_err(|error| error.to_string())?.clone();
        if asked.kind == "dns-01" && set == asked.dns {
            Ok(())
        } else {
            Err(format!("{set} is set"))
        }
    })?;
    let mut dns = DnsServer::start("")?;
    let syslog = Syslog::start()?;
    let https = loopback()?;
    let config = format!(
        "global
    expose-experimental-directives
    acme.scheduler off
    log {log} local0
{DEFAULTS}
resolvers default
    nameserver ns {ns}
    timeout retry 200ms
acme test
    directory {authority}/directory
    account-key {directory}/account.key
    challenge dns-01
    challenge-ready cli,dns
    dns-delay 1s
    curves P-256
    reuse-key on
    provider-name somebody
    acme-vars \"zone=test\"
frontend web
    bind {https} ssl
    ssl-f-use crt {old} acme test domains \"*.a.test\"
    http-request return status 200
",
        log = syslog.address(),
        ns = dns.address(),
        authority = format_args!("http://{}", authority.address()),
        directory = ca.path("").trim_end_matches('/'),
    );
    let sluice = Sluice::config(config).start()?;
    let cli = sluice.stats();
    let before = shown(https, "x.a.test")?;
    assert!(cli.command("acme status")?.contains("\tStopped\t"));
    assert_eq!(cli.command(&format!("acme renew {old}"))?.trim(), "");
    let line = loop {
        let line = syslog.next(PATIENCE)?;
        if let Some((_, line)) = line.split_once("acme deploy ") {
            break line.to_owned();
        }
    };
    let json = line.split_once('{').map(|(_, json)| format!("{{{json}")).context("JSON")?;
    let told: serde_json::Value = serde_json::from_str(&json)?;
    assert_eq!(told["name"], "_acme-challenge.a.test");
    assert_eq!((&told["provider"], &told["vars"]), (&"somebody".into(), &"zone=test".into()));
    let text = told["record"].as_str().context("a record")?;
    text.clone_into(&mut record.lock().unwrap_or_else(|e| e.into_inner()));
    assert!(cli.command("show events dpapi")?.contains(line.trim_end()));
    let other = cli.command(&format!("acme challenge_ready {old} domain b.test"))?;
    assert!(other.contains("it is not for this domain"), "{other}");
    let ready = cli.command(&format!("acme challenge_ready {old} domain a.test"))?;
    assert_eq!(ready.trim(), "All challenges are ready.");
    // Now the record is looked for.
    eventually("a question", PATIENCE, || dns.log().contains("_acme-challenge.a.test"))?;
    assert!(cli.command("acme status")?.contains("\tRunning\t"));
    dns.set(&format!("txt-record=_acme-challenge.a.test,{text}"))?;
    let after = waits_for(https, "x.a.test", "acme 127.0.0.1")?;
    let key = |text: &str| text.split("-----").nth(2).map(str::to_owned);
    assert!(key(&before).is_some() && key(&before) == key(&after), "the key is another one");
    Ok(())
}

#[test]
fn what_cannot_be_had_is_told_and_the_old_one_stays() -> Result<()> {
    let ca = Authority::new()?;
    let old = ca.issue("old.pem", "old.test", -1)?;
    let https = loopback()?;
    let authority = AcmeServer::start(|_: &Asked| Err("nothing there".to_owned()))?;
    let config = format!(
        "global
    expose-experimental-directives
{DEFAULTS}
acme test
    directory http://{}/directory
    account-key {}
frontend web
    bind {https} ssl
    ssl-f-use crt {old} acme test domains a.test
    http-request return status 200
",
        authority.address(),
        ca.path("account.key"),
    );
    // An account of one's own.
    ca.openssl("genrsa -traditional -out account.key 2048")?;
    let mut sluice = Sluice::config(config.clone()).start()?;
    let told = "the challenge for 'a.test' failed: unauthorized: nothing there (attempt 1 of 5)";
    sluice.program().wait_line(told, PATIENCE)?;
    assert!(shown(https, "a.test")?.contains("old.test"));
    assert_eq!(authority.counts(), (1, 0));
    for (from, to, why) in [
        ("    expose-experimental-directives\n", "", "is experimental"),
        ("acme test domains", "acme other domains", "unable to find acme section 'other'"),
        (" domains a.test", "", "'acme' needs 'domains' or 'ips'"),
        ("http://", "ftp://", "an address starts with https://"),
    ] {
        let refused = Sluice::config(config.replace(from, to)).start().map(drop);
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains(why), "{refused}");
    }
    Ok(())
}
