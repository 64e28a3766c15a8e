//! TLS without IO: the certificates of a listener and their choice by name, the settings of both sides, what is known
//! of a connection.
//!
//! ```text
//! PEM text ── material ── Certificate ── Slot (changes at runtime) ─┐
//! words ── settings, ciphers ── Settings ── provider, versions ─────┼─ listener::Listener ── config for a ClientHello
//! CA and CRL text ── verify ── Trust ───────────────────────────────┴─ client::Client ────── config for a server
//! ```
//!
//! Who carries the bytes of a handshake, and when, is `proxy-stream`'s; which files are read is the assembly's.
#![forbid(unsafe_code)]

pub mod ciphers;
pub mod client;
pub mod encrypted;
pub mod findings;
pub mod forge;
pub mod listener;
pub mod live;
pub mod material;
pub mod names;
pub mod ocsp;
pub mod settings;
pub mod ticket;
pub mod verify;

pub use rustls;

/// Authorities that the system trusts: `@system-ca`.
#[must_use]
pub fn system_authorities() -> Vec<rustls::pki_types::CertificateDer<'static>> {
    rustls_native_certs::load_native_certs().certs
}
