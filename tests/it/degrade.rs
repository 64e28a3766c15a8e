//! What is left where privileges or the kernel's help are missing.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};
use tests::net::{free_port, is_root};
use tests::peer::HttpServer;
use tests::sluice::{Files, Peer, binary, peer, workspace};
use tests::tools::curl;
use tests::{PATIENCE, Program, eventually};

/// The user that owns nothing.
const NOBODY: &str = "65534";

/// The example for the first five minutes, run by a plain user, with ports of our own.
#[test]
fn without_root_the_quickstart_serves_in_userspace_and_says_what_it_lost() -> Result<()> {
    if peer() != Peer::Sluice {
        return Ok(());
    }
    let servers = [HttpServer::start("one")?, HttpServer::start("two")?];
    let web = free_port()?;
    let example = fs::read_to_string(workspace().join("examples/quickstart.cfg"))?;
    let mut config = example.replace("127.0.0.1:8080", &format!("127.0.0.1:{web}"));
    for (port, server) in ["9001", "9002"].into_iter().zip(&servers) {
        config = config.replace(&format!("127.0.0.1:{port}"), &server.address().to_string());
    }
    let tcp = free_port()?;
    config += &format!(
        "\nlisten raw\n    mode tcp\n    bind 127.0.0.1:{tcp}\n    server one {}\n",
        servers[0].address()
    );
    let files = Files::new()?;
    let file = files.write("quickstart.cfg", &config)?;
    // The build folder may be closed to others.
    let program = files.path("sluice");
    fs::copy(binary()?, &program)?;
    let mut command = if is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"]);
        command.arg("--no-new-privs").arg(&program);
        command
    } else {
        Command::new(&program)
    };
    let mut sluice = Program::start("sluice without root", command.arg("-f").arg(&file))?;

    sluice.wait_line("layer 4 in the kernel is not available", PATIENCE)?;
    let url = format!("http://127.0.0.1:{web}");
    eventually("an answer", PATIENCE, || {
        curl(None, &format!("{url}/hello")).is_ok_and(|body| body.contains("hello"))
    })
    .with_context(|| sluice.log())?;
    for _ in 0..4 {
        curl(None, &format!("{url}/bytes/10"))?;
    }
    assert_eq!(servers.each_ref().map(|server| server.requests_for("/bytes/10")), [2, 2]);
    let body = curl(None, &format!("http://127.0.0.1:{tcp}/bytes/20"))?;
    assert_eq!(body.len(), 20, "through the mode tcp listener");
    assert!(sluice.is_running(), "{}", sluice.log());
    Ok(())
}
