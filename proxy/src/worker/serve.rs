//! What happens to an accepted connection, by the mode of its frontend.

use std::rc::Rc;
use std::sync::Arc;

use proxy_net::Stream;
use proxy_stream::Thread;
use proxy_stream::env::{Accepted, Front};

/// The engine of a frontend.
#[derive(Clone)]
pub(crate) enum Service {
    Http(Arc<Front>),
    Tcp(Arc<Front>),
    Udp(Arc<Front>),
}

impl Service {
    /// What its connections go through.
    pub(crate) fn front(&self) -> &Arc<Front> {
        match self {
            Self::Http(front) | Self::Tcp(front) | Self::Udp(front) => front,
        }
    }

    /// Starts the session; it runs on this thread to its end.
    pub(crate) fn start(&self, engine: &Rc<Thread>, stream: Stream, accepted: Accepted) {
        match self {
            Self::Http(front) => {
                let task =
                    proxy_stream::serve(engine.clone(), front.clone(), Box::new(stream), accepted);
                tokio::task::spawn_local(task);
            }
            Self::Tcp(front) => {
                let task = proxy_stream::serve_tcp(engine.clone(), front.clone(), stream, accepted);
                tokio::task::spawn_local(task);
            }
            // Its sockets accept nothing.
            Self::Udp(_) => {}
        }
    }
}
