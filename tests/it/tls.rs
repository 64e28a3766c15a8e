//! TLS on both sides, and the PROXY protocol, with real clients and servers.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::process::{Command, Stdio};

use anyhow::Result;
use tests::certificates::Authority;
use tests::client::{Client, raw};
use tests::net::loopback;
use tests::peer::{HttpServer, ScriptServer};
use tests::program::Program;
use tests::sluice::{DEFAULTS, Peer, peer};
use tests::tools::curl;
use tests::{PATIENCE, Sluice};

/// A frontend that tells what TLS agreed on; `bind` are the words behind its address.
fn telling(bind: &str) -> Result<(Sluice, SocketAddr)> {
    let address = loopback()?;
    let config = format!(
        "{DEFAULTS}
frontend web
    bind {address} {bind}
    http-request return status 200 content-type text/plain lf-string \
\"%[ssl_fc_protocol] %[ssl_fc_cipher] %[ssl_fc_alpn] %[ssl_fc_sni] %[ssl_f_s_dn(CN)] %[ssl_c_s_dn(CN)] %[ssl_c_verify] %[src]:%[src_port]\"
"
    );
    Ok((Sluice::config(config).start()?, address))
}

/// What `curl` gets from a host name at an address.
fn ask(address: SocketAddr, host: &str, arguments: &str) -> Result<String> {
    let port = address.port();
    let resolve = format!("--resolve {host}:{port}:{}", address.ip());
    curl(None, &format!("{resolve} {arguments} https://{host}:{port}/"))
}

#[track_caller]
fn words(answer: &str, expected: &str) {
    let got: Vec<&str> = answer.split(' ').collect();
    for (got, expected) in got.iter().zip(expected.split(' ')) {
        assert!(expected == "*" || *got == expected, "{answer}, not {expected}");
    }
}

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
fn servers_are_verified_by_name_and_authority() -> Result<()> {
    let ca = Authority::new()?;
    let other = Authority::new()?;
    let crt = ca.issue("a.pem", "a.test", 30)?;
    let backend = loopback()?;
    // A real TLS server.
    let server = Program::start(
        "openssl s_server",
        Command::new("openssl").args([
            "s_server",
            "-accept",
            &backend.to_string(),
            "-cert",
            &crt,
            "-key",
            &crt,
            "-www",
        ]),
    )?;
    server.wait_line("ACCEPT", PATIENCE)?;
    let check = |words: &str, expected: &str| -> Result<()> {
        let address = loopback()?;
        let config = format!(
            "{DEFAULTS}\nlisten l\n    bind {address}\n    server s {backend} ssl {words}\n"
        );
        let _sluice = Sluice::config(config).start()?;
        let answer = raw(address, "GET / HTTP/1.0\r\nhost: a.test\r\n\r\n")?;
        assert!(answer.starts_with(expected), "{words}: {answer:.40}");
        Ok(())
    };
    check("verify none", "HTTP/1.0 200")?;
    check(&format!("verify required ca-file {}", ca.ca()), "HTTP/1.0 200")?;
    check(&format!("verify required ca-file {} sni str(a.test)", ca.ca()), "HTTP/1.0 200")?;
    check(&format!("verify required ca-file {} sni str(b.test)", ca.ca()), "HTTP/1.1 503")?;
    check(&format!("verify required ca-file {} verifyhost b.test", ca.ca()), "HTTP/1.1 503")?;
    check(&format!("verify required ca-file {}", other.ca()), "HTTP/1.1 503")?;
    Ok(())
}

#[test]
fn sessions_are_resumed() -> Result<()> {
    let ca = Authority::new()?;
    let crt = ca.issue("a.pem", "a.test", 30)?;
    let (_sluice, address) = telling(&format!("ssl crt {crt}"))?;
    let (_stateful, without) = telling(&format!("ssl crt {crt} no-tls-tickets"))?;
    for (address, version) in
        [(address, "-tls1_3"), (address, "-tls1_2"), (without, "-tls1_2"), (without, "-tls1_3")]
    {
        let session = ca.path("session.pem");
        let connect = |how: &str| {
            let mut client = Command::new("openssl");
            client.args(["s_client", "-connect", &address.to_string(), version, how, &session]);
            client.args(["-ign_eof"]).stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut child = client.stderr(Stdio::null()).spawn()?;
            if let Some(mut input) = child.stdin.take() {
                input.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
            }
            anyhow::Ok(String::from_utf8_lossy(&child.wait_with_output()?.stdout).into_owned())
        };
        let first = connect("-sess_out")?;
        assert!(first.contains("New, TLS"), "{version}: {first}");
        let second = connect("-sess_in")?;
        assert!(second.contains("Reused, TLS"), "{version} {address}: {second}");
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

#[test]
fn a_tls_server_in_mode_tcp_is_reached_through() -> Result<()> {
    let ca = Authority::new()?;
    let crt = ca.issue("a.pem", "a.test", 30)?;
    let echo = ScriptServer::start(|mut stream| {
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all);
        let _ = stream.write_all(&all);
    })?;
    let (outer, inner) = (loopback()?, loopback()?);
    let config = format!(
        "{DEFAULTS}
listen outer
    mode tcp
    bind {outer}
    server s {inner} ssl verify none
listen inner
    mode tcp
    bind {inner} ssl crt {crt}
    server echo {}
",
        echo.address()
    );
    let _sluice = Sluice::config(config).start()?;
    let mut client = Client::connect(outer)?;
    let sent: Vec<u8> = (0..400_000u32).flat_map(u32::to_be_bytes).collect();
    let mut writer = client.stream().try_clone()?;
    let copy = sent.clone();
    let thread = std::thread::spawn(move || {
        writer.write_all(&copy)?;
        writer.shutdown(Shutdown::Write)
    });
    let got = client.rest()?;
    assert!(got == sent, "{} of {} bytes", got.len(), sent.len());
    assert!(thread.join().is_ok_and(|outcome| outcome.is_ok()));
    Ok(())
}

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

#[test]
fn ticket_keys_rotate_at_runtime() -> Result<()> {
    let ca = Authority::new()?;
    let crt = ca.issue("a.pem", "a.test", 30)?;
    let key = |seed: u8| {
        use std::fmt::Write as _;
        // 48 bytes are 64 letters of base64, without padding.
        (0..64u8).fold(String::new(), |mut text, at| {
            let _ = write!(text, "{}", char::from(b'A' + (seed + at) % 26));
            text
        })
    };
    let file = ca.path("tickets");
    std::fs::write(&file, format!("{}\n{}\n{}\n", key(1), key(2), key(3)))?;
    let (sluice, address) = telling(&format!("ssl crt {crt} tls-ticket-keys {file}"))?;
    let cli = sluice.stats();
    let check = |command: &str, expected: &str| -> Result<()> {
        assert_eq!(cli.command(command)?.trim(), expected, "{command}");
        Ok(())
    };
    let session = ca.path("session.pem");
    let connect = |how: &str| -> Result<bool> {
        let out = Command::new("openssl")
            .args(["s_client", "-tls1_2", "-connect", &address.to_string(), how, &session])
            .stdin(Stdio::null())
            .output()?;
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        Ok(text.contains("\nReused, "))
    };
    check("show tls-keys", &format!("# id (file)\n0 ({file})"))?;
    let secrets = |keys: [u8; 3]| {
        let lines = keys.iter().enumerate().map(|(n, seed)| format!("\n0.{n} {}", key(*seed)));
        format!("# id secret\n# 0 ({file}){}", lines.collect::<String>())
    };
    check(&format!("show tls-keys {file}"), &secrets([1, 2, 3]))?;
    assert!(!connect("-sess_out")?);
    assert!(connect("-sess_in")?);
    check(&format!("set ssl tls-key #0 {}", key(4)), "TLS ticket key updated!")?;
    check("show tls-keys #0", &secrets([2, 3, 4]))?;
    assert!(connect("-sess_in")?, "the second key is still known");
    check(&format!("set ssl tls-key {file} {}", key(5)), "TLS ticket key updated!")?;
    assert!(!connect("-sess_in")?, "the second key is gone");
    check("set ssl tls-key #0 !", "'set ssl tls-key' received invalid base64 encoded TLS key.")?;
    check("set ssl tls-key #0 AAAA", "'set ssl tls-key' received a key of wrong size.")?;
    check("set ssl tls-key #1 AAAA", "'set ssl tls-key' unable to locate referenced filename")?;
    check("show tls-keys none", "'show tls-keys' unable to locate referenced filename")?;
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

/// What a client is answered that resumes a session and sends `request` as early data, and whether those were taken.
fn send_early(address: SocketAddr, session: &str, request: &str) -> Result<(String, bool)> {
    let file = format!("{session}.request");
    std::fs::write(&file, format!("{request}\r\nhost: a.test\r\nconnection: close\r\n\r\n"))?;
    let connect = address.to_string();
    let s_client = |arguments: &[&str], input: &str| -> Result<String> {
        let out = Command::new("openssl")
            .args(["s_client", "-connect", &connect, "-tls1_3", "-alpn", "http/1.1", "-ign_eof"])
            .args(arguments)
            .stdin(std::fs::File::open(input)?)
            .output()?;
        Ok(String::from_utf8_lossy(&out.stdout).into_owned())
    };
    s_client(&["-sess_out", session], &file)?;
    let answer = s_client(&["-sess_in", session, "-early_data", &file], "/dev/null")?;
    Ok((answer.clone(), answer.contains("Early data was accepted")))
}

#[test]
fn early_data_are_served_at_once_or_after_the_handshake() -> Result<()> {
    // HAProxy 2.6 takes them, too (as many bytes), but has completed the handshake when its rules look.
    if peer() == Peer::Haproxy {
        return Ok(());
    }
    let ca = Authority::new()?;
    let crt = ca.issue("a.pem", "a.test", 30)?;
    let (early, late, echo) = (loopback()?, loopback()?, loopback()?);
    let config = format!(
        "{DEFAULTS}
frontend web
    bind {early} ssl crt {crt} alpn http/1.1 allow-0rtt
    bind {late} ssl crt {crt} alpn http/1.1
    http-request wait-for-handshake if {{ path /wait /wait-and-pass }}
    http-request return status 200 content-type text/plain lf-string \
\"early=%[ssl_fc_has_early] seen=%[ssl_fc_early_rcvd]\" if {{ path /here /wait }}
    default_backend app
backend app
    server echo {echo}
frontend echo
    bind {echo}
    http-request return status 200 content-type text/plain lf-string \"told=%[req.hdr(early-data)];\"
"
    );
    let _sluice = Sluice::config(config).start()?;
    for (path, expected) in [
        ("/here", "early=1 seen=1"),
        ("/wait", "early=0 seen=1"),
        ("/pass", "told=1;"),
        ("/wait-and-pass", "told=;"),
    ] {
        let request = format!("GET {path} HTTP/1.1");
        let (answer, taken) = send_early(early, &ca.path("session"), &request)?;
        assert!(taken && answer.contains(expected), "{path}: {answer}");
    }
    let (answer, taken) = send_early(late, &ca.path("other"), "GET /here HTTP/1.1")?;
    assert!(!taken, "{answer}");
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

#[test]
fn requests_go_to_servers_as_early_data() -> Result<()> {
    // HAProxy 2.6 does not tell it.
    if peer() == Peer::Haproxy {
        return Ok(());
    }
    let ca = Authority::new()?;
    let crt = ca.issue("a.pem", "a.test", 30)?;
    let (front, back) = (loopback()?, loopback()?);
    let server = format!(
        "{DEFAULTS}
frontend web
    bind {back} ssl crt {crt} alpn http/1.1 allow-0rtt
    http-request return status 200 content-type text/plain lf-string \
\"early=%[ssl_fc_early_rcvd] resumed=%[ssl_fc_is_resumed]\"
"
    );
    let client = format!(
        "global
    nbthread 1
{DEFAULTS}
listen front
    bind {front}
    option httpclose
    retry-on 0rtt-rejected
    http-response set-header x-resumed \"%[ssl_bc_is_resumed] %[ssl_bc_protocol]\"
    server s {back} ssl verify none alpn http/1.1 allow-0rtt
"
    );
    let first = Sluice::config(server.clone()).start()?;
    let _front = Sluice::config(client).start()?;
    let ask = || -> Result<(String, String)> {
        let answer = tests::client::get(front, "/")?;
        let resumed = answer.header("x-resumed").unwrap_or_default().to_owned();
        Ok((answer.text(), resumed))
    };
    let text = |early: u8, resumed: u8| {
        (format!("early={early} resumed={resumed}"), format!("{resumed} TLSv1.3"))
    };
    assert_eq!(ask()?, text(0, 0));
    // A handshake gives two tickets; one that a closing server does not wait for gives none.
    assert_eq!(ask()?, text(1, 1));
    // Another server does not know the session: what it did not take is sent again.
    drop(first);
    let _second = Sluice::config(server).start()?;
    assert_eq!(ask()?, text(0, 0));
    assert_eq!(ask()?, text(1, 1));
    Ok(())
}
