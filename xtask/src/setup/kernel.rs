//! What the running kernel can do.

use super::report::Report;

/// The first kernel with tcx (BPF programs on any interface, held by links).
const TCX: (u32, u32) = (6, 6);

pub(super) fn look(report: &Report) {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release = release.trim();
    match version(release) {
        Some(version) if version >= TCX => {
            report.ok(&format!("kernel {release}: layer 4 by XDP and by tcx"))
        }
        // Nothing to install, so a remark and not a missing part.
        Some(_) => println!(
            "  note     kernel {release}: layer 4 by XDP only; tcx (containers, veth) came with {}.{}",
            TCX.0, TCX.1
        ),
        None => println!("  note     kernel release {release:?} is not understood"),
    }
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(['.', '-']).map(str::parse::<u32>);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_understood() {
        let rows = [
            ("6.18.44-fc-v769", Some((6, 18))),
            ("6.1.0-38-amd64", Some((6, 1))),
            ("6.6", Some((6, 6))),
            ("odd", None),
        ];
        for (release, expected) in rows {
            assert_eq!(version(release), expected, "{release}");
        }
    }
}
