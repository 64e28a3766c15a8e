//! The tools that operators have, from Debian's packages: they work with Sluice as they do with HAProxy.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use tests::client::get;
use tests::net::{is_root, loopback};
use tests::netns::run;
use tests::peer::HttpServer;
use tests::sluice::{DEFAULTS, Files, Peer, binary, peer, workspace};
use tests::tools::curl;
use tests::{NetNs, PATIENCE, Program, Sluice, eventually};

/// Whether the program is there; says so when not.
fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    let found = directories.into_iter().any(|directory| directory.join(program).exists());
    if !found {
        eprintln!("skipped: {program} is not installed");
    }
    found
}

fn config(address: SocketAddr, server: &HttpServer) -> String {
    format!(
        "
{DEFAULTS}
frontend entrance
    bind {address}
    http-request use-service prometheus-exporter if {{ path /metrics }}
    default_backend farm
backend farm
    server first {} check inter 1s
    server second 127.0.0.1:1 disabled
",
        server.address()
    )
}

#[test]
fn hatop_shows_frontends_and_servers() -> Result<()> {
    if !has("hatop") || !has("script") {
        return Ok(());
    }
    let server = HttpServer::start("s1")?;
    let address = loopback()?;
    let sluice = Sluice::config(config(address, &server)).start()?;
    let output = sluice.files().path("hatop.out");
    let line = format!(
        "stty rows 40 cols 140; exec hatop -i 1 -s {}",
        sluice.files().path("stats.sock").display()
    );
    let mut command = Command::new("script");
    command.args(["-qefc", &line]).arg(&output).env("TERM", "xterm");
    let mut program = Program::start("hatop", &mut command)?;
    let seen = || std::fs::read(&output).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    eventually("frontends and servers on the screen", PATIENCE, || {
        seen().is_ok_and(|text| {
            ["entrance", "farm", "first", "second", "MAINT"].iter().all(|word| text.contains(word))
        }) || !program.is_running()
    })
    .with_context(|| seen().unwrap_or_default())?;
    ensure!(program.is_running(), "{}", seen().unwrap_or_default());
    Ok(())
}

#[test]
fn prometheus_scrapes_and_its_rules_load() -> Result<()> {
    if !has("prometheus") || !has("promtool") {
        return Ok(());
    }
    let server = HttpServer::start("s1")?;
    let address = loopback()?;
    let _sluice = Sluice::config(config(address, &server)).start()?;
    let files = Files::new()?;
    let examples = workspace().join("examples");
    let rules = examples.join("prometheus-rules.yml");
    run(Command::new("promtool").args(["check", "rules"]).arg(&rules))?;
    let text = std::fs::read_to_string(examples.join("prometheus.yml"))?
        .replace("127.0.0.1:8405", &address.to_string())
        .replace("prometheus-rules.yml", &rules.display().to_string());
    let text = format!("global:\n  scrape_interval: 1s\n{text}");
    let file = files.write("prometheus.yml", &text)?;
    run(Command::new("promtool").args(["check", "config"]).arg(&file))?;
    let web = loopback()?;
    let mut command = Command::new("prometheus");
    command
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--storage.tsdb.path={}", files.path("data").display()))
        .arg(format!("--web.listen-address={web}"));
    let program = Program::start("prometheus", &mut command)?;
    let ask = |path: &str| curl(None, &format!("http://{web}/api/v1/{path}"));
    let query = "query?query=haproxy_server_status{state=\"UP\"}==1".replace('"', "%22");
    let query = query.replace('{', "%7B").replace('}', "%7D");
    eventually("a server that is up, in Prometheus", Duration::from_secs(60), || {
        ask(&query).is_ok_and(|answer| answer.contains("\"server\":\"first\""))
    })
    .with_context(|| program.log())?;
    let targets = ask("targets")?;
    ensure!(targets.contains("\"health\":\"up\""), "{targets}");
    let rules = ask("rules")?;
    ensure!(rules.contains("SluiceServerDown") && !rules.contains("\"health\":\"err\""), "{rules}");
    Ok(())
}

/// An address moves to a host whose load balancer works, and away when it does not.
#[test]
fn keepalived_asks_sluice_ctl() -> Result<()> {
    if !has("keepalived") || !is_root() || peer() == Peer::Haproxy {
        return Ok(());
    }
    let server = HttpServer::start("s1")?;
    let address = loopback()?;
    let mut sluice = Sluice::config(config(address, &server)).start()?;
    let host = NetNs::new("vrrp")?;
    host.ip("link add uplink type veth peer name other")?;
    host.ip("link set uplink up")?;
    host.ip("link set other up")?;
    host.add_address("uplink", "10.3.0.2/24")?;
    let files = Files::new()?;
    let script = format!(
        "{} ctl -s {} info",
        binary()?.display(),
        sluice.files().path("stats.sock").display()
    );
    let text = format!(
        "global_defs {{\n  script_user root\n  enable_script_security\n}}\n\
         vrrp_script sluice {{\n  script \"{script}\"\n  interval 1\n  timeout 5\n  fall 1\n  rise 1\n}}\n\
         vrrp_instance web {{\n  state BACKUP\n  interface uplink\n  virtual_router_id 51\n  priority 100\n  \
         advert_int 1\n  virtual_ipaddress {{\n    10.3.0.100/24\n  }}\n  track_script {{\n    sluice\n  }}\n}}\n"
    );
    let file = files.write("keepalived.conf", &text)?;
    let pid = |name: &str| files.path(name).display().to_string();
    let mut command = host.command("keepalived");
    command.args(["--dont-fork", "--log-console", "--vrrp", "-f"]).arg(&file);
    command.args(["-p", &pid("k.pid"), "-r", &pid("v.pid")]);
    let program = Program::start("keepalived", &mut command)?;
    let holds = || host.ip("addr show dev uplink").is_ok_and(|text| text.contains("10.3.0.100"));
    eventually("the address, while all is well", PATIENCE, holds).with_context(|| program.log())?;
    sluice.stop(Signal::SIGTERM)?;
    eventually("the address gone", PATIENCE, || !holds()).with_context(|| program.log())?;
    Ok(())
}

/// What dist/ makes is whole: the program, its unit, its manual and the completions.
#[test]
fn the_package_has_everything() -> Result<()> {
    if !has("dpkg-deb") || peer() == Peer::Haproxy {
        return Ok(());
    }
    let files = Files::new()?;
    let package = files.path("sluice.deb");
    let mut make = Command::new(workspace().join("dist/package"));
    // What is made here is looked at and thrown away.
    make.env("DPKG_DEB_COMPRESSOR_TYPE", "none");
    run(make.arg(binary()?).arg(&package))?;
    let contents = run(Command::new("dpkg-deb").arg("--contents").arg(&package))?;
    for path in [
        "./usr/sbin/sluice",
        "./lib/systemd/system/sluice.service",
        "./usr/share/man/man1/sluice.1.gz",
        "./usr/share/bash-completion/completions/sluice",
        "./usr/share/zsh/vendor-completions/_sluice",
        "./usr/share/fish/vendor_completions.d/sluice.fish",
        "./etc/sluice/sluice.cfg",
    ] {
        ensure!(contents.lines().any(|line| line.ends_with(path)), "no {path} in\n{contents}");
    }
    let root = files.path("root");
    run(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(&root))?;
    let completion = root.join("usr/share/bash-completion/completions/sluice");
    let ask = format!(
        "source {} && COMP_WORDS=(sluice ctl dr) COMP_CWORD=2 && _sluice sluice dr ctl && echo ${{COMPREPLY[@]}}",
        completion.display()
    );
    let answer = run(Command::new("bash").args(["-c", &ask]))?;
    ensure!(answer.trim() == "drain", "{answer:?}");
    checked(&root.join("etc/sluice/sluice.cfg"))
}

/// The configuration that is installed is valid.
fn checked(file: &Path) -> Result<()> {
    run(Command::new(binary()?).arg("-c").arg("-f").arg(file)).map(drop)
}

#[test]
fn metrics_are_what_promtool_wants() -> Result<()> {
    use std::io::Write;
    if !has("promtool") {
        return Ok(());
    }
    let server = HttpServer::start("s1")?;
    let address = loopback()?;
    let _sluice = Sluice::config(config(address, &server)).start()?;
    let text = get(address, "/metrics")?.text();
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]).stdin(std::process::Stdio::piped());
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut child = command.spawn()?;
    child.stdin.take().context("stdin")?.write_all(text.as_bytes())?;
    let output = child.wait_with_output()?;
    // HAProxy's names break the rules for names (3); only what cannot be parsed counts (1).
    ensure!(output.status.code() != Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
