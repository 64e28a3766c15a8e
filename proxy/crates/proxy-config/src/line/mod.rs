//! Lines that more than one section has, or that are languages of their own.

pub(crate) mod balance;
pub(crate) mod bind;
pub(crate) mod capture;
pub(crate) mod cert;
pub(crate) mod check;
pub(crate) mod error_page;
pub(crate) mod filter;
pub(crate) mod log;
pub(crate) mod mail;
pub(crate) mod names;
pub(crate) mod option;
pub(crate) mod persist;
pub(crate) mod retry;
pub(crate) mod rules;
pub(crate) mod server;
pub(crate) mod server_check;
pub(crate) mod server_draft;
pub(crate) mod server_from;
pub(crate) mod shared;
pub(crate) mod stats;
pub(crate) mod stick;
pub(crate) mod threads;
pub(crate) mod timeout;
pub(crate) mod tls;
pub(crate) mod tls_server;
