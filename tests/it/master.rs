//! Master and worker: signals, exit codes, pid file, daemon mode, the master CLI.

use std::fs;
use std::net::SocketAddr;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tests::client::{Client, get};
use tests::guardian::{Registration, Resource};
use tests::net::loopback;
use tests::peer::HttpServer;
use tests::sluice::{DEFAULTS, Files};
use tests::{PATIENCE, Sluice, eventually};

fn config(server: &HttpServer) -> Result<(String, SocketAddr)> {
    let address = loopback()?;
    let text = format!(
        "
{DEFAULTS}
listen web
    bind {address}
    server s1 {}
",
        server.address()
    );
    Ok((text, address))
}

#[test]
fn master_and_worker_are_two_processes() -> Result<()> {
    let server = HttpServer::start("s1")?;
    let (text, address) = config(&server)?;
    let mut sluice = Sluice::config(text).master().start()?;
    assert_eq!(get(address, "/")?.text(), "s1");
    let worker = sluice.worker_pid()?;
    assert_ne!(worker, sluice.program().pid());
    let table = sluice.master_cli().command("show proc")?;
    assert!(table.contains(&worker.to_string()), "{table}");
    assert!(table.contains(&sluice.program().pid().to_string()), "{table}");
    let info = sluice.master_cli().command("@1 show info")?;
    assert!(info.contains(&format!("Pid: {worker}")), "{info}");
    Ok(())
}

#[test]
fn signals_end_it_with_the_usual_exit_codes() -> Result<()> {
    let server = HttpServer::start("s1")?;
    // Standalone: SIGTERM and SIGINT end at once, SIGUSR1 when the last connection has gone.
    for (signal, master, code) in [
        (Signal::SIGUSR1, false, 0),
        (Signal::SIGTERM, false, 143),
        (Signal::SIGINT, false, 130),
        (Signal::SIGUSR1, true, 0),
        (Signal::SIGTERM, true, 0),
        (Signal::SIGINT, true, 130),
    ] {
        let (text, address) = config(&server)?;
        let builder = Sluice::config(text);
        let mut sluice = if master { builder.master() } else { builder }.start()?;
        get(address, "/")?;
        assert_eq!(sluice.stop(signal)?, code, "{signal} master={master}");
        assert!(Client::connect(address).is_err(), "{signal} master={master}");
    }
    Ok(())
}

#[test]
fn a_soft_stop_waits_for_the_last_response() -> Result<()> {
    let server = HttpServer::start("s1")?;
    let (text, address) = config(&server)?;
    let mut sluice = Sluice::config(text).start()?;
    let mut client = Client::connect(address)?;
    client.send("GET /delay/500 HTTP/1.1\r\nhost: a\r\n\r\n")?;
    eventually("the request at the server", PATIENCE, || server.connections() == 1)?;
    sluice.program().signal(Signal::SIGUSR1)?;
    assert_eq!(client.response()?.text(), "s1");
    assert_eq!(sluice.program().wait_code(PATIENCE)?, 0);
    Ok(())
}

#[test]
fn the_pid_file_names_the_master_and_daemons_detach() -> Result<()> {
    let server = HttpServer::start("s1")?;
    for flags in [&["-D"][..], &["-W", "-D"]] {
        let (text, address) = config(&server)?;
        let files = Files::new()?;
        let pid_path = files.path("pid");
        let _guard = Registration::new(Resource::PidFile(pid_path.display().to_string()));
        let mut builder = Sluice::config(text).arg("-p").arg(&pid_path);
        for flag in flags {
            builder = builder.arg(*flag);
        }
        let output = builder.run()?;
        assert!(output.status.success(), "{flags:?} {output:?}");
        // The caller is back only when the daemon serves, so nothing needs to be awaited.
        assert_eq!(get(address, "/")?.text(), "s1", "{flags:?}");
        let pid: i32 = fs::read_to_string(&pid_path)?.trim().parse().context("pid file")?;
        kill(Pid::from_raw(pid), Signal::SIGTERM)?;
        eventually("the daemon's end", PATIENCE, || kill(Pid::from_raw(pid), None).is_err())?;
    }
    Ok(())
}

#[test]
fn systemd_hears_of_ready() -> Result<()> {
    let server = HttpServer::start("s1")?;
    let (text, _) = config(&server)?;
    let files = Files::new()?;
    let path = files.path("notify.sock");
    let socket = std::os::unix::net::UnixDatagram::bind(&path)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut sluice = Sluice::config(text).arg("-Ws").env("NOTIFY_SOCKET", &path).start()?;
    let mut buffer = [0; 4096];
    let mut states = String::new();
    while !states.contains("READY=1") {
        let length = socket.recv(&mut buffer).with_context(|| states.clone())?;
        states.push_str(&String::from_utf8_lossy(&buffer[..length]));
        states.push('\n');
    }
    sluice.stop(Signal::SIGTERM).map(drop)
}

#[test]
fn a_port_in_use_is_a_failed_start() -> Result<()> {
    let server = HttpServer::start("s1")?;
    let (text, _) = config(&server)?;
    let taken = server.address();
    let text = text.replace("listen web", &format!("listen taken\n    bind {taken}\nlisten web"));
    let output = Sluice::config(text).run()?;
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        errors.contains("cannot bind") && errors.contains(&taken.port().to_string()),
        "{errors}"
    );
    Ok(())
}
