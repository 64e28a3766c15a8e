//! The page of a section as it is configured, and a request for it.

use super::change::{ControlThread, Sent};
use crate::context::Product;
use proxy_state::{Now, Registry};
use std::sync::Arc;
use std::time::Duration;

/// The page of one section.
pub struct Page {
    pub registry: Arc<Registry>,
    pub control: Box<dyn ControlThread>,
    pub product: Product,
    pub process: Process,
    /// `stats uri`.
    pub uri: String,
    pub realm: String,
    /// `stats auth`: user, colon, password. Empty lets everybody in.
    pub accounts: Vec<String>,
    pub refresh: Option<Duration>,
    pub show_version: bool,
    pub node: Option<String>,
    pub description: Option<String>,
    pub legends: bool,
    /// Names of the sections shown; empty shows all.
    pub scope: Vec<String>,
}

/// What the head of the page says of the process.
#[derive(Clone, Debug)]
pub struct Process {
    pub pid: u32,
    /// Worker threads.
    pub threads: u32,
}

/// A request for the page.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The target, which begins with [`Page::uri`].
    pub target: &'a str,
    /// The value of `Authorization`.
    pub authorization: Option<&'a [u8]>,
    /// The client may change states: some `stats admin` condition holds.
    pub admin: bool,
    /// What was sent with POST.
    pub sent: Option<Sent<'a>>,
    pub now: Now,
}
