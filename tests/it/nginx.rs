//! A real nginx behind the balancer and a real curl in front of it, each in its network namespace.

use std::path::{Path, PathBuf};

use anyhow::Result;
use tests::guardian::{Registration, Resource};
use tests::net::is_root;
use tests::sluice::{Files, Peer, peer};
use tests::tools::curl;
use tests::{Lab, NetNs, PATIENCE, Program, Sluice, eventually};

const PORT: u16 = 8000;
/// Larger than any buffer on the way.
const LARGE: usize = 3_000_000;

/// nginx with two files, `small` and `large`.
fn nginx(netns: &NetNs, files: &Files, address: &str) -> Result<Program> {
    files.write("small", "hello from nginx\n")?;
    files.write("large", &"0123456789".repeat(LARGE / 10))?;
    let root = files.path("");
    let config = files.write(
        "nginx.conf",
        &format!(
            "daemon off; master_process off; pid {root}/pid; error_log stderr error; user root;\n\
             events {{ }}\n\
             http {{ access_log off; gzip on; gzip_min_length 100; gzip_types *;\n\
             client_body_temp_path {root}/b; proxy_temp_path {root}/p; fastcgi_temp_path {root}/f;\n\
             uwsgi_temp_path {root}/u; scgi_temp_path {root}/s;\n\
             server {{ listen {address}:{PORT}; root {root}; }} }}\n",
            root = root.display(),
        ),
    )?;
    Program::start("nginx", netns.command("nginx").arg("-c").arg(config))
}

/// What the kernel path of a namespace leaves.
struct Pins(PathBuf, #[expect(dead_code, reason = "held for its drop")] Registration);

impl Pins {
    fn of(netns: &NetNs) -> Result<Self> {
        let path = Path::new("/sys/fs/bpf/sluice").join(format!("netns-{}", netns.inode()?));
        let guard = Registration::new(Resource::Dir(path.display().to_string()));
        Ok(Self(path, guard))
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn files_of_nginx_arrive_whole_over_http_and_tcp() -> Result<()> {
    if !is_root() {
        eprintln!("skipped: needs root");
        return Ok(());
    }
    let lab = Lab::new(1)?;
    let files = Files::new()?;
    let server = Lab::server_v4(1);
    let _nginx = nginx(&lab.servers[0], &files, &server)?;
    // Dropped behind the balancer, which leaves its pins when it is killed.
    let _pins = Pins::of(&lab.balancer)?;
    let config = format!(
        "defaults
    timeout connect 5s
    timeout client 20s
    timeout server 20s
listen web
    mode http
    bind {front}:80
    server s1 {server}:{PORT} check inter 100ms
listen raw
    mode tcp
    bind {front}:7000
    server s1 {server}:{PORT}
",
        front = Lab::FRONT_V4,
    );
    let sluice = Sluice::config(config).netns(&lab.balancer).start()?;
    let status = || sluice.stats().stat("web", "s1", "check_status");
    eventually("the check of nginx", PATIENCE, || status().is_ok_and(|text| text == "L4OK"))?;
    for port in [80, 7000] {
        let get = |words: &str| {
            curl(Some(&lab.client), &format!("{words} http://{}:{port}", Lab::FRONT_V4))
        };
        let body = |path: &str| {
            curl(Some(&lab.client), &format!("http://{}:{port}/{path}", Lab::FRONT_V4))
        };
        assert_eq!(body("small")?, "hello from nginx\n", "port {port}");
        assert_eq!(body("large")?.len(), LARGE, "port {port}");
        let packed = format!("http://{}:{port}/large", Lab::FRONT_V4);
        // nginx compresses on the fly: chunks of no known total.
        let unpacked = curl(Some(&lab.client), &format!("--compressed {packed}"))?;
        assert_eq!(unpacked.len(), LARGE, "compressed, port {port}");
        let head = get("-I -o /dev/null -w %{http_code}")?;
        assert_eq!(head, "403", "an index that is not there, port {port}");
    }
    if peer() == Peer::Sluice {
        let total = || sluice.stats().stat("web", "FRONTEND", "req_tot");
        eventually("four counted requests", PATIENCE, || total().is_ok_and(|text| text == "4"))?;
    }
    Ok(())
}
