//! What `-vv`, `-dL` and conditions in the configuration say of how this program is built.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use proxy_rules::action::service::SERVICES;

use crate::filters::FILTERS;
use crate::version;

/// The whole text of `-v`, or of `-vv`.
pub(crate) fn report(verbose: bool) -> String {
    let mut out = version::banner();
    out.push('\n');
    if let Ok(os) = nix::sys::utsname::uname() {
        let _ = writeln!(
            out,
            "Running on: {} {} {} {}",
            os.sysname().to_string_lossy(),
            os.release().to_string_lossy(),
            os.version().to_string_lossy(),
            os.machine().to_string_lossy()
        );
    }
    if verbose {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let _ = writeln!(out, "Build options :");
        let _ = writeln!(
            out,
            "  TARGET  = {}-{}\n  PROFILE = {}",
            std::env::consts::OS,
            std::env::consts::ARCH,
            if cfg!(debug_assertions) { "debug" } else { "release" }
        );
        let _ = write!(out, "\nFeature list :");
        for (name, present) in feature_list() {
            let _ = write!(out, " {}{name}", if present { '+' } else { '-' });
        }
        let _ = writeln!(out, "\n\nDefault settings :\n  bufsize = 16384, maxrewrite = 1024");
        let _ = writeln!(out, "\nBuilt with multi-threading support (default={threads}).");
        let _ = writeln!(
            out,
            "Compression algorithms supported : identity(\"identity\"), deflate(\"deflate\"), \
             raw-deflate(\"deflate\"), gzip(\"gzip\")"
        );
        let _ = match proxy_datapath::object::bytes() {
            Ok(object) => {
                writeln!(out, "Built with layer 4 kernel programs ({} bytes).", object.len())
            }
            Err(reason) => writeln!(out, "Built without layer 4 kernel programs: {reason}."),
        };
        let _ = writeln!(
            out,
            "\nAvailable polling systems :\n      epoll : pref=300,  test result OK\n\
             Total: 1 (1 usable), will use epoll."
        );
        let services: Vec<_> = SERVICES.iter().map(|service| service.name).collect();
        let _ = writeln!(out, "\nAvailable services : {}", services.join(" "));
        let _ = writeln!(out, "\nAvailable filters :");
        for (name, origin) in FILTERS {
            let _ = writeln!(out, "\t[{origin}] {name}");
        }
    }
    out
}

/// The program and the shared libraries it runs with.
pub(crate) fn files() -> Vec<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let mut files: Vec<PathBuf> = Vec::new();
    for path in maps.lines().filter_map(|line| line.find('/').map(|at| Path::new(&line[at..]))) {
        if path.is_file() && !files.iter().any(|known| known == path) {
            files.push(path.to_owned());
        }
    }
    files
}

/// [`files`], one a line (`-dL`).
pub(crate) fn libraries() -> String {
    files().iter().map(|path| format!("{}\n", path.display())).collect()
}

/// Features by HAProxy's names, with whether each is there, as `-vv` lists them.
fn feature_list() -> Vec<(&'static str, bool)> {
    let kernel_programs = proxy_datapath::object::bytes().is_ok();
    vec![
        ("ACCEPT4", true),
        ("BPF", kernel_programs),
        ("CPU_AFFINITY", true),
        ("EPOLL", true),
        ("GETADDRINFO", true),
        ("KTLS", false),
        ("LINUX_SPLICE", true),
        ("LINUX_TPROXY", true),
        ("LUA", false),
        ("NS", true),
        ("OPENSSL", true),
        ("OPENSSL_AWSLC", true),
        ("POLL", false),
        ("PRCTL", true),
        ("PROMEX", true),
        ("QUIC", false),
        ("SYSTEMD", true),
        ("TFO", true),
        ("THREAD", true),
        ("TPROXY", true),
        ("ZLIB", true),
    ]
}

/// The features that are there, for the `feature()` predicate.
pub(crate) fn features() -> &'static [&'static str] {
    static NAMES: OnceLock<Vec<&'static str>> = OnceLock::new();
    NAMES.get_or_init(|| {
        feature_list().into_iter().filter(|(_, present)| *present).map(|(name, _)| name).collect()
    })
}
