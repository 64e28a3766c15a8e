//! TLS to servers.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::process::Command;

use anyhow::Result;
use tests::certificates::Authority;
use tests::client::{Client, raw};
use tests::net::loopback;
use tests::peer::ScriptServer;
use tests::program::Program;
use tests::sluice::DEFAULTS;
use tests::{PATIENCE, Sluice};

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
