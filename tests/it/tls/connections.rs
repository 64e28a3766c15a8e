//! What travels inside, and what happens to those who do not speak TLS.

use std::io::Write;
use std::net::Shutdown;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Result;
use tests::certificates::Authority;
use tests::client::{Client, raw};
use tests::net::loopback;
use tests::peer::HttpServer;
use tests::sluice::{DEFAULTS, Peer, peer};
use tests::tools::curl;
use tests::{PATIENCE, Sluice, trusting};

use super::ask;

#[test]
fn bodies_pass_whole_both_ways() -> Result<()> {
    let ca = Authority::new()?;
    let crt = ca.issue("a.pem", "a.test", 30)?;
    let server = HttpServer::start("s1")?;
    let (address, inner) = (loopback()?, loopback()?);
    let config = format!(
        "{DEFAULTS}
listen outer
    bind {address} ssl crt {crt}
    server s {inner} ssl verify required ca-file {} sni str(a.test)
listen inner
    bind {inner} ssl crt {crt}
    server s1 {}
",
        ca.ca(),
        server.address()
    );
    let _sluice = Sluice::config(config).start()?;
    let port = address.port();
    for version in ["--http1.1", "--http2"] {
        for path in ["/bytes/0", "/bytes/3000000", "/chunked/3000000"] {
            let length: usize = path.rsplit('/').next().unwrap_or_default().parse()?;
            let resolve = format!("--resolve a.test:{port}:127.0.0.1 --cacert {}", ca.ca());
            let body = curl(None, &format!("{resolve} {version} https://a.test:{port}{path}"))?;
            assert_eq!(body.len(), length, "{version} {path}");
            assert_eq!(body.into_bytes(), tests::peer::http::filler(length), "{version} {path}");
        }
    }
    Ok(())
}

#[test]
fn failed_handshakes_are_logged_and_harm_nobody() -> Result<()> {
    let ca = Authority::new()?;
    let crt = ca.issue("a.pem", "a.test", 30)?;
    let syslog = tests::peer::Syslog::start()?;
    let address = loopback()?;
    let config = format!(
        "{DEFAULTS}
    log {} local0
    option httpslog
    option dontlognull
frontend web
    bind {address} ssl crt {crt}
    http-request return status 200
",
        syslog.address()
    );
    let _sluice = Sluice::config(config).start()?;
    // Nothing, then something that is no TLS.
    Client::connect(address)?.stream().shutdown(Shutdown::Both)?;
    let answer = raw(address, "GET / HTTP/1.0\r\n\r\n")?;
    assert!(!answer.contains("HTTP"), "{answer}");
    let line = syslog.next(PATIENCE)?;
    assert!(line.contains("web/sock-1: SSL handshake failure"), "{line}");
    ask(address, "a.test", "-k")?;
    let line = syslog.next(PATIENCE)?;
    assert!(line.contains(" web~ web/<NOSRV> "), "{line}");
    assert!(
        line.contains("0/0000000000000000/0/0/0 a.test/TLSv1.3/TLS_AES_256_GCM_SHA384"),
        "{line}"
    );
    Ok(())
}

#[test]
fn a_client_that_does_not_wait_for_its_tickets_is_served() -> Result<()> {
    let ca = Authority::new()?;
    let crt = ca.issue("a.pem", "a.test", 30)?;
    let syslog = tests::peer::Syslog::start()?;
    let address = loopback()?;
    let config = format!(
        "{DEFAULTS}
    log {} local0
    option httplog
frontend web
    bind {address} ssl crt {crt}
    http-request return status 200
",
        syslog.address()
    );
    let sluice = Sluice::config(config).start()?;
    let mut socket = std::net::TcpStream::connect(address)?;
    let config = trusting::config(&[&rustls::version::TLS13])?;
    let mut tls = rustls::ClientConnection::new(config.into(), "a.test".try_into()?)?;
    while tls.is_handshaking() {
        while tls.wants_write() {
            tls.write_tls(&mut socket)?;
        }
        tls.read_tls(&mut socket)?;
        tls.process_new_packets()?;
    }
    tls.writer().write_all(b"GET /in-vain HTTP/1.0\r\n\r\n")?;
    let mut last = Vec::new();
    while tls.wants_write() {
        tls.write_tls(&mut last)?;
    }
    socket.write_all(&last)?;
    // Whatever is sent to it from here on is answered by a reset.
    socket2::SockRef::from(&socket).set_linger(Some(Duration::ZERO))?;
    drop(socket);
    let line = syslog.next(PATIENCE)?;
    assert!(line.contains("GET /in-vain"), "{line}");
    let cli = sluice.stats();
    tests::eventually("no connection is left", PATIENCE, || {
        cli.command("show info").is_ok_and(|info| info.contains("CurrSslConns: 0\n"))
    })?;
    Ok(())
}

/// Listeners without `ssl` route by what the client says first.
#[test]
fn hellos_are_routed_without_being_answered() -> Result<()> {
    let ca = Authority::new()?;
    let crt = ca.issue("a.pem", "a.test", 30)?;
    let (front, one, two) = (loopback()?, loopback()?, loopback()?);
    let rest = if peer() == Peer::Haproxy {
        // Fetches of HAProxy 2.9 and newer.
        ""
    } else {
        "
    tcp-request content reject unless { req.ssl_cipherlist,hex -m sub 1301 }
    tcp-request content reject unless { req.ssl_supported_groups,hex -m sub 001D }
    tcp-request content reject unless { req.ssl_keyshare_groups,hex -m found }
    tcp-request content reject unless { req.ssl_sigalgs,hex -m sub 0403 }"
    };
    let config = format!(
        "{DEFAULTS}
frontend sni
    bind {front}
    mode tcp
    tcp-request inspect-delay 5s
    tcp-request content reject unless {{ req.ssl_hello_type 1 }}
    tcp-request content reject unless {{ req.ssl_ec_ext 1 }}
    tcp-request content reject unless {{ req.ssl_st_ext 0 1 }}{rest}
    use_backend one if {{ req.ssl_alpn acme-tls/1 }}
    use_backend two if {{ req.ssl_sni -m end .two.test }}
    default_backend one
backend one
    mode tcp
    server s {one}
backend two
    mode tcp
    server s {two}
frontend fone
    bind {one} ssl crt {crt} alpn acme-tls/1,http/1.1
    http-request return status 200 content-type text/plain lf-string one:%[ssl_fc_sni]:%[ssl_fc_alpn]
frontend ftwo
    bind {two} ssl crt {crt} alpn h2,http/1.1
    http-request return status 200 content-type text/plain lf-string two:%[ssl_fc_sni]:%[ssl_fc_alpn]
"
    );
    let _sluice = Sluice::config(config).start()?;
    assert_eq!(ask(front, "x.two.test", "-k")?, "two:x.two.test:h2");
    assert_eq!(ask(front, "one.test", "-k --http1.1")?, "one:one.test:http/1.1");
    let out = Command::new("openssl")
        .args(["s_client", "-connect", &front.to_string(), "-alpn", "acme-tls/1"])
        .args(["-servername", "x.two.test"])
        .stdin(Stdio::null())
        .output()?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(text.contains("ALPN protocol: acme-tls/1"), "{text:.400}");
    // What is no hello is not passed on.
    assert_eq!(raw(front, "GET / HTTP/1.0\r\n\r\n").unwrap_or_default(), "");
    Ok(())
}
