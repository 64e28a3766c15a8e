//! Debian packages.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use tests::guardian::{Registration, Resource};
use tests::net::is_root;

use super::report::{Report, Scope};
use crate::shell::{find, output};

/// A program, the package that has it, and who needs it.
struct Need {
    program: &'static str,
    package: &'static str,
    scope: Scope,
}

const NEEDS: &[Need] = &[
    Need { program: "cc", package: "gcc", scope: Scope::Build },
    Need { program: "ip", package: "iproute2", scope: Scope::Demo },
    Need { program: "nsenter", package: "util-linux", scope: Scope::Demo },
    Need { program: "curl", package: "curl", scope: Scope::Demo },
    Need { program: "bpftool", package: "bpftool", scope: Scope::Test },
    Need { program: "dig", package: "bind9-dnsutils", scope: Scope::Test },
    Need { program: "dnsmasq", package: "dnsmasq-base", scope: Scope::Test },
    Need { program: "ethtool", package: "ethtool", scope: Scope::Test },
    Need { program: "haproxy", package: "haproxy", scope: Scope::Test },
    Need { program: "iperf3", package: "iperf3", scope: Scope::Test },
    Need { program: "nghttp", package: "nghttp2-client", scope: Scope::Test },
    Need { program: "nginx", package: "nginx-light", scope: Scope::Test },
    Need { program: "openssl", package: "openssl", scope: Scope::Test },
    Need { program: "nft", package: "nftables", scope: Scope::Bench },
    Need { program: "php-fpm8.2", package: "php8.2-fpm", scope: Scope::Test },
    Need { program: "ping", package: "iputils-ping", scope: Scope::Test },
    Need { program: "ps", package: "procps", scope: Scope::Test },
    Need { program: "socat", package: "socat", scope: Scope::Test },
    Need { program: "strace", package: "strace", scope: Scope::Bench },
    Need { program: "varnishtest", package: "varnish", scope: Scope::Test },
    Need { program: "wrk", package: "wrk", scope: Scope::Test },
];

/// Packages whose service Debian starts and enables; tests want the programs only.
const SERVICES: [&str; 4] = ["haproxy", "nginx", "php8.2-fpm", "varnish"];

pub(super) fn look(report: &mut Report, scope: Scope) {
    let mut packages: Vec<&str> = NEEDS
        .iter()
        .filter(|need| need.scope <= scope && find(need.program).is_none())
        .map(|need| need.package)
        .collect();
    if scope >= Scope::Test {
        packages.extend(rust_tools());
        packages.extend(python_modules());
    }
    if packages.is_empty() {
        let count = NEEDS.iter().filter(|need| need.scope <= scope).count();
        report.ok(&format!(
            "{count} programs from Debian packages (haproxy, nginx, varnishtest ...)"
        ));
        return;
    }
    install(report, &packages, "some tests or the demo cannot run");
}

/// What `cargo fmt` and `cargo clippy` need where cargo comes from Debian; rustup brings its own.
fn rust_tools() -> Vec<&'static str> {
    if find("rustup").is_some() {
        return Vec::new();
    }
    [("cargo-fmt", "rustfmt-web"), ("cargo-clippy", "rust-web-clippy")]
        .into_iter()
        .filter(|(program, _)| find(program).is_none())
        .map(|(_, package)| package)
        .collect()
}

/// What tests speak gRPC with.
fn python_modules() -> Option<&'static str> {
    let there = Path::new("/usr/lib/python3/dist-packages/grpc").exists();
    (!there).then_some("python3-grpcio")
}

/// Installs packages, or says why not. Returns whether they are there now.
pub(super) fn install(report: &mut Report, packages: &[&str], consequence: &str) -> bool {
    let list = packages.join(" ");
    let remedy = format!("as root: apt-get install --no-install-recommends {list}");
    if !report.install || !is_root() || find("apt-get").is_none() {
        report.missing(&list, consequence, &remedy);
        return false;
    }
    report.doing(&format!("Debian packages: {list}"));
    if let Err(error) = apt_install(packages) {
        eprintln!("{error:#}");
        report.missing(&list, consequence, &remedy);
        return false;
    }
    true
}

fn apt_install(packages: &[&str]) -> Result<()> {
    let fresh: Vec<&str> = SERVICES
        .into_iter()
        .filter(|service| find(service).is_none() && find(&format!("{service}d")).is_none())
        .collect();
    let _quiet = NoServices::new()?;
    // A bare machine has no lists, an old one has lists of packages that are gone.
    apt(&["update"])?;
    let mut arguments = vec!["install", "--yes", "--no-install-recommends"];
    arguments.extend(packages);
    apt(&arguments)?;
    for service in fresh {
        disable(service);
    }
    Ok(())
}

fn apt(arguments: &[&str]) -> Result<()> {
    let result = Command::new("apt-get")
        .arg("--quiet")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .output()
        .context("apt-get")?;
    if !result.status.success() {
        bail!(
            "apt-get {}: {}\n{}",
            arguments.join(" "),
            result.status,
            String::from_utf8_lossy(&result.stderr).trim_end()
        );
    }
    Ok(())
}

/// Keeps a service that was just installed from starting at the next boot.
fn disable(service: &str) {
    if Path::new("/run/systemd/system").exists() {
        let _ = output(Command::new("systemctl").args(["disable", "--quiet", service]));
    } else if Path::new("/etc/init.d").join(service).exists() {
        let _ = output(Command::new("update-rc.d").args([service, "disable"]));
    }
}

/// While this lives, no package starts its service: Debian's maintainer scripts ask
/// `/usr/sbin/policy-rc.d` first (invoke-rc.d(8)).
struct NoServices(Option<Registration>);

const POLICY: &str = "/usr/sbin/policy-rc.d";

impl NoServices {
    fn new() -> Result<Self> {
        use std::os::unix::fs::PermissionsExt;
        if Path::new(POLICY).exists() {
            return Ok(Self(None));
        }
        let guard = Registration::new(Resource::Dir(POLICY.into()));
        fs::write(
            POLICY,
            "#!/bin/sh\n# Made by `cargo xtask setup`, for as long as it runs.\nexit 101\n",
        )
        .context(POLICY)?;
        fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755))?;
        Ok(Self(Some(guard)))
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.0.is_some() {
            let _ = fs::remove_file(POLICY);
        }
    }
}
