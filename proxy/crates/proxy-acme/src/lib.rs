//! The client's side of ACME (RFC 8555), without sockets and clocks.
//!
//! ```text
//! account key ── jws ── Client (directory, account, orders, challenges) ── Transport ── who carries the bytes
//! certificate key, names ── csr ──┘
//! ```
//!
//! Crates for this sign by P-256 alone; account keys of HAProxy's users are RSA or P-384 as a rule (configuration
//! manual, 12.8 "account-key").
#![forbid(unsafe_code)]

mod client;
mod csr;
mod jws;
mod key;
mod message;

pub use client::{AcmeError, Answer, Client, Method, Question, Transport};
pub use csr::{CertificateKey, KeyKind, request, temporary};
pub use jws::{Eab, Hmac};
pub use key::{AccountKey, KeyError};
pub use message::{Authorization, Challenge, Identifier, Order, Problem, Status};
