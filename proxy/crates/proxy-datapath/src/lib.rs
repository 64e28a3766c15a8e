//! User side of the kernel programs.
