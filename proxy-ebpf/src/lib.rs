//! The packet core, compiled for BPF and for the host.
#![cfg_attr(not(test), no_std)]
