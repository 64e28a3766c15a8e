//! HTTP/2 connections to servers: opened once, shared by the requests of a thread.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;

use bytes::Bytes;
use h2::client::{Builder, SendRequest};

use super::Settings;
use super::stream::H2Stream;
use super::transport::Transport;
use crate::io::Conn;

/// Bytes of a request that wait for the server, per stream.
const SEND_BUFFER: usize = 64 * 1024;

/// A connection that requests share.
pub(crate) struct Dialed {
    request: SendRequest<Bytes>,
    tls: bool,
    state: Rc<State>,
}

#[derive(Default)]
struct State {
    streams: Cell<u32>,
    /// Most streams at once.
    limit: u32,
    closed: Cell<bool>,
}

/// Counts one stream while it lives.
struct Held(Rc<State>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.streams.set(self.0.streams.get() - 1);
    }
}

/// Speaks HTTP/2 on a new connection. The task that carries its frames ends with the connection, which closes
/// when nobody holds it and its last stream is over.
pub(crate) async fn dial(conn: Conn, settings: &Settings, max_head: usize) -> io::Result<Dialed> {
    let side = &settings.back;
    let mut builder = Builder::new();
    builder
        .initial_window_size(side.window)
        .initial_connection_window_size(side.connection_window)
        .max_frame_size(settings.frame)
        .max_header_list_size(u32::try_from(max_head).unwrap_or(u32::MAX))
        .max_send_buffer_size(SEND_BUFFER)
        .enable_push(false);
    if side.glitches > 0 {
        builder.max_local_error_reset_streams(Some(side.glitches as usize));
    }
    if settings.header_table != Settings::default().header_table {
        builder.header_table_size(settings.header_table);
    }
    let tls = conn.io.is_tls();
    let (request, connection) =
        builder.handshake(Transport(conn)).await.map_err(io::Error::other)?;
    let limit = if side.streams == 0 { u32::MAX } else { side.streams };
    let state = Rc::new(State { limit, ..State::default() });
    let told = state.clone();
    tokio::task::spawn_local(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "HTTP/2 connection to a server ended");
        }
        told.closed.set(true);
    });
    Ok(Dialed { request, tls, state })
}

impl Dialed {
    /// Whether one more stream may be opened now.
    pub(crate) fn has_room(&self) -> bool {
        let peer = self.request.current_max_send_streams();
        let streams = self.state.streams.get();
        !self.state.closed.get() && streams < self.state.limit && (streams as usize) < peer
    }

    /// Whether the connection is over.
    pub(crate) fn is_closed(&self) -> bool {
        self.state.closed.get()
    }

    /// Streams in use.
    pub(crate) fn streams(&self) -> u32 {
        self.state.streams.get()
    }

    /// A stream for one request.
    ///
    /// # Errors
    /// The connection ended meanwhile.
    pub(crate) async fn open(&self) -> io::Result<Conn> {
        self.state.streams.set(self.state.streams.get() + 1);
        let held = Held(self.state.clone());
        let mut request = self.request.clone();
        poll_fn(|cx| request.poll_ready(cx)).await.map_err(io::Error::other)?;
        Ok(Conn::new(Box::new(H2Stream::opening(request, self.tls, Box::new(held)))))
    }
}
