//! The object file of the kernel programs, as the build script made it.

/// Eight bytes of alignment, which reading ELF structures in place needs.
#[repr(C, align(8))]
struct Aligned<T: ?Sized>(T);

static OBJECT: &Aligned<[u8]> =
    &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/sluice.bpf.o")));

const REASON: &str = include_str!(concat!(env!("OUT_DIR"), "/sluice.bpf.reason"));

/// Why this build carries no kernel programs: what was missing and what to run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("this build has no kernel programs: {0}")]
pub struct NotBuiltIn(pub &'static str);

/// The ELF object with the programs and maps of [`proxy_common::maps`].
///
/// # Errors
///
/// [`NotBuiltIn`] when the toolchain or the linker was missing at build time, or the build was asked to
/// go without.
pub fn bytes() -> Result<&'static [u8], NotBuiltIn> {
    if OBJECT.0.is_empty() { Err(NotBuiltIn(REASON)) } else { Ok(&OBJECT.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_is_elf_or_says_why_not() {
        match bytes() {
            Ok(object) => assert!(object.starts_with(b"\x7fELF")),
            Err(NotBuiltIn(reason)) => assert!(!reason.is_empty()),
        }
    }
}
