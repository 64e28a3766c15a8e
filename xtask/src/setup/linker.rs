//! bpf-linker, which makes one BPF object of many crates.

use std::fs;
use std::process::Command;

use super::debian;
use super::report::Report;
use crate::shell::{cargo, find, output, root};

/// The version everybody builds with.
const VERSION: &str = "0.13.0";
const CONSEQUENCE: &str = "Sluice builds without layer 4 in the kernel";

pub(super) fn look(report: &mut Report, llvm: u32) {
    let stamp = root().join(".tools/bpf-linker-llvm");
    if let Some(path) = find("bpf-linker")
        && let Some(version) = output(Command::new(&path).arg("--version"))
    {
        // One that setup built for another LLVM cannot read this compiler's output.
        let built_for = fs::read_to_string(&stamp).ok().and_then(|text| text.trim().parse().ok());
        let ours = path.starts_with(root().join(".tools"));
        if !ours || built_for.is_none_or(|built_for: u32| built_for >= llvm) {
            return report.ok(&format!("{} ({})", version.trim(), path.display()));
        }
    }
    if !report.install {
        return report.missing("bpf-linker", CONSEQUENCE, "cargo xtask setup");
    }
    let prefix = format!("/usr/lib/llvm-{llvm}");
    let llvm_dev = format!("llvm-{llvm}-dev");
    // What LLVM's own headers and `llvm-config --link-shared --system-libs` ask for.
    let packages = [llvm_dev.as_str(), "g++", "zlib1g-dev", "libzstd-dev"];
    let has_headers = fs::exists(format!("{prefix}/include/llvm-c/Core.h")).unwrap_or(false);
    if !has_headers && !debian::install(report, &packages, CONSEQUENCE) {
        return;
    }
    report.doing(&format!("bpf-linker {VERSION} into .tools (about a minute)"));
    let built = cargo()
        .args(["install", "--quiet", "--locked", "--force", "bpf-linker", "--version", VERSION])
        .args(["--no-default-features", "--features", &format!("llvm-{llvm}"), "--root"])
        .arg(root().join(".tools"))
        .env("LLVM_PREFIX", &prefix)
        .status();
    if built.is_ok_and(|status| status.success()) {
        let _ = fs::write(stamp, format!("{llvm}\n"));
    } else {
        report.missing(
            "bpf-linker",
            CONSEQUENCE,
            &format!("cargo install bpf-linker --version {VERSION} (needs LLVM {llvm})"),
        );
    }
}
