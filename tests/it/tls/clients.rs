//! Certificates of clients.

use anyhow::Result;
use tests::Sluice;
use tests::certificates::Authority;
use tests::net::loopback;
use tests::sluice::DEFAULTS;
use tests::tools::curl;

use super::{ask, telling, words};

#[test]
fn client_certificates_are_judged() -> Result<()> {
    let ca = Authority::new()?;
    let other = Authority::new()?;
    let crt = ca.issue("a.pem", "a.test", 30)?;
    let good = ca.issue("good.pem", "good", 30)?;
    let old = ca.issue("old.pem", "old", -1)?;
    let foreign = other.issue("foreign.pem", "foreign", 30)?;
    let with = |file: &str| format!("-k --cert {file}");
    let verify = |mode: &str| format!("ssl crt {crt} ca-file {} verify {mode}", ca.ca());
    let (_sluice, address) = telling(&verify("required"))?;
    words(&ask(address, "a.test", &with(&good))?, "* * * * * good 0");
    for bad in ["-k".to_owned(), with(&old), with(&foreign)] {
        assert!(ask(address, "a.test", &bad).is_err(), "{bad}");
    }
    let (_sluice, address) = telling(&verify("optional"))?;
    words(&ask(address, "a.test", "-k")?, "* * * * *  0");
    assert!(ask(address, "a.test", &with(&foreign)).is_err());
    let lenient = verify("required") + " crt-ignore-err all";
    let (_sluice, address) = telling(&lenient)?;
    words(&ask(address, "a.test", &with(&old))?, "* * * * * old 10");
    words(&ask(address, "a.test", &with(&foreign))?, "* * * * * foreign 20");
    // A session is not resumed, or its fault would be forgotten: curl offers that for the second transfer.
    let url = format!("https://a.test:{}/", address.port());
    let again =
        format!("--resolve a.test:{}:127.0.0.1 {} -H connection:close", address.port(), with(&old));
    let both = curl(None, &format!("{again} --http1.1 {url} {url}"))?;
    assert_eq!(both.matches(" old 10 ").count(), 2, "{both}");
    Ok(())
}

/// Without extensions, OpenSSL 3.0 makes certificates of X.509 version 1.
#[test]
fn a_version_1_certificate_below_an_intermediate_is_good() -> Result<()> {
    let ca = Authority::new()?;
    let crt = ca.issue("a.pem", "a.test", 30)?;
    std::fs::write(ca.path("between.ext"), "basicConstraints=critical,CA:TRUE\n")?;
    for name in ["between", "old"] {
        ca.openssl(&format!("ecparam -genkey -name prime256v1 -noout -out {name}.key"))?;
        ca.openssl(&format!("req -new -key {name}.key -subj /CN={name} -out {name}.csr"))?;
    }
    ca.openssl(
        "x509 -req -in between.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 \
         -extfile between.ext -out between.pem",
    )?;
    ca.openssl(
        "x509 -req -in old.csr -CA between.pem -CAkey between.key -CAcreateserial -days 30 -out old.pem",
    )?;
    let read = |name: &str| std::fs::read_to_string(ca.path(name));
    let between = read("between.pem")?;
    std::fs::write(ca.path("chain.pem"), read("old.pem")? + &between + &read("old.key")?)?;
    let address = loopback()?;
    let config = format!(
        "{DEFAULTS}
frontend web
    bind {address} ssl crt {crt} ca-file {} verify required
    http-request return status 200 content-type text/plain lf-string \
\"%[ssl_c_s_dn(CN)] %[ssl_c_version] %[ssl_c_chain_der,base64]\"
",
        ca.ca()
    );
    let _sluice = Sluice::config(config).start()?;
    let told = ask(address, "a.test", &format!("-k --cert {}", ca.path("chain.pem")))?;
    let base64: String = between.lines().filter(|line| !line.starts_with('-')).collect();
    assert_eq!(told, format!("old 1 {base64}"));
    let good = ca.issue("good.pem", "good", 30)?;
    assert_eq!(ask(address, "a.test", &format!("-k --cert {good}"))?, "good 3 ");
    Ok(())
}
