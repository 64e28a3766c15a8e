//! The packet core: what becomes of one frame. Compiled for BPF, and for the host, where tests run the
//! same code on byte buffers and hash maps.
//!
//! The files stand in the order in which a packet meets them:
//!
//! [`headers`] and [`frame`] (access to its bytes) → [`parse`] → [`process`] (the way through) →
//! [`cache`] → [`flow`] (the exact table) → [`known`] or [`open`] (with [`deny`], [`source`], [`select`] and [`ports`]) →
//! [`rewrite`] (with [`checksum`]) and [`mss`], or [`oneway`] where servers answer by themselves; [`fragment`] takes what follows the first piece of a datagram, [`icmp`] the errors about packets sent, [`end`] whatever ends a
//! connection, [`answer`] what is said to clients in the balancer's own name, and [`expire`] the user side's wish to end some.
//!
//! Nothing here allocates, recurses or loops without a constant bound, since the kernel's verifier must
//! follow every path; `inline(always)` because the 512-byte stack is shared by whatever is called.
#![cfg_attr(not(any(test, feature = "host")), no_std)]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]

pub mod answer;
pub mod atomic;
pub mod cache;
pub mod cell;
pub mod checksum;
pub mod deny;
pub mod end;
pub mod expire;
pub mod flow;
pub mod fragment;
pub mod frame;
pub mod hash;
pub mod headers;
pub mod hops;
pub mod icmp;
pub mod known;
pub mod mss;
pub mod oneway;
pub mod open;
pub mod parse;
pub mod ports;
pub mod process;
pub mod rate;
pub mod rewrite;
pub mod select;
pub mod source;
pub mod tables;

#[cfg(any(test, feature = "host"))]
pub mod host;
#[cfg(test)]
mod model;

pub use frame::{Frame, Hop, NoWay, Path, Verdict};
pub use process::process;
pub use tables::{InsertError, Scratch, Tables};
