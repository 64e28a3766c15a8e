//! The programs that `cargo xtask bench l4` measures with: one that writes the next frame of a rotation
//! over what the program under test has made of the last one and calls it, and an empty one to call
//! instead, so that this cost can be subtracted. On any other target this is an empty program.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

#[cfg(target_arch = "bpf")]
mod rotate;

#[cfg(not(target_arch = "bpf"))]
fn main() {}
