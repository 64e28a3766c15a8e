//! User side of the kernel programs.

pub mod object;
