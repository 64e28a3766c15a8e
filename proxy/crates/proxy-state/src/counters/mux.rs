//! What is counted of the protocols of connections.

use std::sync::Arc;

use super::{Counted, Counter, MuxCounters};

/// The counters of a frontend or backend, held by its connections, too.
pub type Mux = Arc<Counted<MuxCounters>>;

/// Picks a counter.
type Field = fn(&MuxCounters) -> &Counter;

/// A connection, or a stream, that is counted as open while this lives.
#[derive(Debug)]
pub struct Open {
    mux: Mux,
    end: Field,
}

impl Open {
    /// A connection of HTTP/1.
    #[must_use]
    pub fn h1(mux: &Mux) -> Self {
        Self::new(mux, |c| &c.h1_conn, |c| &c.h1_conn_end)
    }

    /// A connection of HTTP/2.
    #[must_use]
    pub fn h2(mux: &Mux) -> Self {
        Self::new(mux, |c| &c.h2_conn, |c| &c.h2_conn_end)
    }

    fn new(mux: &Mux, begin: Field, end: Field) -> Self {
        begin(mux.local()).inc();
        Self { mux: mux.clone(), end }
    }

    /// The counters it is counted in.
    pub fn mux(&self) -> &MuxCounters {
        self.mux.local()
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        (self.end)(self.mux.local()).inc();
    }
}
