//! The PROXY protocol, in and out.

use std::process::Command;

use anyhow::Result;
use tests::certificates::Authority;
use tests::client::{Client, raw};
use tests::net::loopback;
use tests::program::Program;
use tests::sluice::DEFAULTS;
use tests::{PATIENCE, Sluice};

use crate::tls::ask;

#[test]
fn the_proxy_protocol_tells_the_client() -> Result<()> {
    let (outer, inner) = (loopback()?, loopback()?);
    for words in ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id"]
    {
        let config = format!(
            "{DEFAULTS}
listen outer
    bind {outer}
    server s {inner} {words}
frontend inner
    bind {inner} accept-proxy
    http-request return status 200 content-type text/plain lf-string \"%[src]:%[src_port] %[dst]:%[dst_port] %[fc_rcvd_proxy]\"
"
        );
        let _sluice = Sluice::config(config).start()?;
        let mut client = Client::connect(outer)?;
        let own = client.stream().local_addr()?;
        assert_eq!(client.get("/")?.text(), format!("{own} {outer} 1"), "{words}");
    }
    Ok(())
}

#[test]
fn wrong_proxy_headers_end_the_connection() -> Result<()> {
    let address = loopback()?;
    let config = format!(
        "{DEFAULTS}
frontend web
    bind {address} accept-proxy
    http-request return status 200 content-type text/plain lf-string \"%[src]\"
"
    );
    let _sluice = Sluice::config(config).start()?;
    let get = "GET / HTTP/1.0\r\n\r\n";
    let answer = raw(address, format!("PROXY TCP4 192.0.2.7 192.0.2.8 1 2\r\n{get}"))?;
    assert!(answer.ends_with("192.0.2.7"), "{answer}");
    for wrong in ["", "PROXY TCP4 192.0.2.7 1 2\r\n", "PROXY TCP9 1 2 3 4\r\n"] {
        assert_eq!(raw(address, format!("{wrong}{get}"))?, "", "{wrong:?}");
    }
    Ok(())
}

#[test]
fn a_rule_may_ask_for_the_header() -> Result<()> {
    let address = loopback()?;
    let config = format!(
        "{DEFAULTS}
frontend web
    bind {address}
    tcp-request connection expect-proxy layer4 if {{ src 127.0.0.0/8 }}
    tcp-request session reject if {{ src 192.0.2.9 }}
    http-request return status 200 content-type text/plain lf-string \"%[src]\"
"
    );
    let _sluice = Sluice::config(config).start()?;
    let get = "GET / HTTP/1.0\r\n\r\n";
    let answer = raw(address, format!("PROXY TCP4 192.0.2.7 192.0.2.8 1 2\r\n{get}"))?;
    assert!(answer.ends_with("192.0.2.7"), "{answer}");
    assert_eq!(raw(address, format!("PROXY TCP4 192.0.2.9 192.0.2.8 1 2\r\n{get}"))?, "");
    assert_eq!(raw(address, get)?, "");
    Ok(())
}

#[test]
fn the_header_is_what_haproxy_reads() -> Result<()> {
    // Debian's haproxy as receiver of what is sent, TLS and its values included.
    let (outer, inner) = (loopback()?, loopback()?);
    let ca = Authority::new()?;
    let crt = ca.issue("a.pem", "a.test", 30)?;
    let text = format!(
        "{DEFAULTS}
frontend inner
    bind {inner} accept-proxy
    http-request return status 200 content-type text/plain lf-string \"%[src]:%[src_port] %[fc_pp_authority] %[fc_pp_unique_id]\"
"
    );
    std::fs::write(ca.path("haproxy.cfg"), text)?;
    let mut command = Command::new("haproxy");
    let haproxy = Program::start("haproxy", command.args(["-db", "-f", &ca.path("haproxy.cfg")]))?;
    tests::eventually("haproxy listens", PATIENCE, || std::net::TcpStream::connect(inner).is_ok())?;
    let config = format!(
        "{DEFAULTS}
listen outer
    bind {outer} ssl crt {crt}
    server s {inner} send-proxy-v2-ssl-cn proxy-v2-options authority,crc32c,ssl-cipher,cert-sig,cert-key
"
    );
    let _sluice = Sluice::config(config).start()?;
    let answer = ask(outer, "a.test", "-k")?;
    assert!(answer.starts_with("127.0.0.1:") && answer.contains(" a.test "), "{answer}");
    drop(haproxy);
    Ok(())
}
