//! Sessions that are resumed, and what is sent before their handshake is complete.

use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use anyhow::Result;
use tests::Sluice;
use tests::certificates::Authority;
use tests::net::loopback;
use tests::sluice::{DEFAULTS, Peer, peer};

use super::telling;

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
