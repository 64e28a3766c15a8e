//! What the statistics of a process have from outside the registry: its facts, and the kernel's paths.

use crate::context::{L4Row, ProcessFacts};
use std::time::SystemTime;

/// What only the control thread knows.
#[derive(Clone, Debug)]
pub struct Outside {
    pub facts: ProcessFacts,
    pub wall: SystemTime,
    /// How each frontend is carried.
    pub paths: Vec<L4Row>,
    /// Packets that the kernel programs did not translate: a frontend or `-`, the reason, how many.
    pub drops: Vec<(String, String, u64)>,
    /// Packets and datagrams that the kernel programs carried: a frontend, a server or `-` for all, `in` or `out`, how
    /// many, how many bytes of payload.
    pub carried: Vec<Carried>,
    /// Tables of the kernel programs: name, entries used, entries there may be.
    pub tables: Vec<(String, u64, u64)>,
}

/// What the kernel programs carried in one direction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    pub frontend: String,
    /// `-`: of all servers.
    pub server: String,
    /// `in`: from clients; `out`: from servers.
    pub direction: &'static str,
    pub packets: u64,
    /// Of payload.
    pub bytes: u64,
}

/// Asks the control thread. May take its time: not for a thread that others wait for.
pub trait Source: Send + Sync {
    fn outside(&self) -> Outside;
}
