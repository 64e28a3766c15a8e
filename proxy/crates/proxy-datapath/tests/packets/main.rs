//! Packet-in, packet-out: the programs run by the kernel on single frames (`BPF_PROG_TEST_RUN`), with
//! every byte of the answer compared, and with what the host build of the packet core makes of the same frame. Needs root; Linux 5.18 for `ctx_in` of XDP (ec94670fcb3b) and of
//! tc with an interface (21594c44083c).

#![allow(clippy::unwrap_used, reason = "helpers of tests: an unwrap is an assertion")]

mod answers;
mod bed;
mod denied;
mod edges;
mod errors;
mod frame;
mod lifetime;
mod mss;
mod oneway;
mod pass;
mod pickup;
mod rates;
mod rules;
mod toobig;
mod translate;
mod twin;
mod udp;
