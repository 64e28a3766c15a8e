//! HTTP/2 connections to servers: opened once, shared by the requests of a thread.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use proxy_http::h2::frame::Code;
use proxy_rules::sample::context::LinkFacts;
use proxy_state::counters::Mux;

use super::Settings;
use super::driver::{Driver, Ended};
use super::link::{End, Link, Shared};
use super::stream::H2Stream;
use crate::env::Glitches;
use crate::io::Conn;
use crate::traces::{Level, h2};

/// A connection that requests share.
pub(crate) struct Dialed {
    link: Shared,
    tls: bool,
    /// Most streams at once.
    limit: u32,
}

/// Speaks HTTP/2 on a new connection. The task that carries its frames ends with the connection, which closes
/// when nobody holds it and its last stream is over. `max` bounds heads in bytes, and their fields in number.
pub(crate) fn dial(
    conn: Conn,
    settings: &Settings,
    max: (usize, usize),
    idle_ping: Option<Duration>,
    mux: &Mux,
) -> Dialed {
    let tls = conn.io.is_tls();
    let mut link = Link::new(End::Client, settings, Rc::default(), mux);
    link.openers = 1;
    link.trace(h2::CONN_NEW, Level::User, 0, "new HTTP/2 connection");
    let link = Rc::new(RefCell::new(link));
    let mut driver = Driver::new(conn, link.clone(), settings, max, idle_ping);
    let glitches = Glitches { threshold: settings.back.glitches };
    tokio::task::spawn_local(async move {
        let ended = poll_fn(|cx| {
            let ended = driver.poll(cx);
            if ended.is_ready() {
                return ended;
            }
            let mut link = driver.link.borrow_mut();
            if glitches.exhausted(link.glitches()) && link.failed.is_none() {
                link.fail(Code::ENHANCE_YOUR_CALM);
            } else {
                let over = link.goaway.is_some() || glitches.worn(link.glitches());
                if !driver.is_open() || !link.streams.is_empty() || link.openers > 0 && !over {
                    return Poll::Pending;
                }
                link.close_entry();
            }
            drop(link);
            driver.close(Ended::Closed);
            driver.poll(cx)
        })
        .await;
        driver.link.borrow().trace(h2::CONN_END, Level::User, 0, "HTTP/2 connection terminated");
        if let Ended::Failed(code) = ended {
            tracing::debug!(%code, "HTTP/2 connection to a server ended");
        }
    });
    let side = &settings.back;
    let limit = if side.streams == 0 { u32::MAX } else { side.streams };
    link.borrow().facts.limit.set(limit);
    Dialed { link, tls, limit }
}

impl Drop for Dialed {
    fn drop(&mut self) {
        let mut link = self.link.borrow_mut();
        link.openers = 0;
        link.wake();
    }
}

impl Dialed {
    /// Whether one more stream may be opened now.
    pub(crate) fn has_room(&self) -> bool {
        if self.is_closed() {
            return false;
        }
        let link = self.link.borrow();
        link.streams.len() < self.limit.min(link.peer.streams) as usize
    }

    /// Whether the connection takes no streams any more.
    pub(crate) fn is_closed(&self) -> bool {
        let link = self.link.borrow();
        link.closed || link.goaway.is_some() || link.failed.is_some()
    }

    /// Whether the server takes tunnels on streams (RFC 8441), as far as it said.
    pub(crate) fn carries_tunnels(&self) -> bool {
        self.link.borrow().peer.extended_connect
    }

    /// Streams in use.
    pub(crate) fn streams(&self) -> u32 {
        u32::try_from(self.link.borrow().streams.len()).unwrap_or(u32::MAX)
    }

    /// What rules see of the connection.
    pub(crate) fn facts(&self) -> Rc<LinkFacts> {
        self.link.borrow().facts.clone()
    }

    /// A stream for one request.
    ///
    /// # Errors
    /// The connection ended meanwhile.
    pub(crate) fn open(&self) -> io::Result<Conn> {
        if self.is_closed() {
            return Err(io::ErrorKind::NotConnected.into());
        }
        let slot = self.link.borrow_mut().insert(0);
        Ok(Conn::new(Box::new(H2Stream::new(self.link.clone(), slot, self.tls))))
    }

    /// Waits for what the server says of itself: whether it takes tunnels on streams is known then.
    ///
    /// # Errors
    /// The connection ended meanwhile.
    pub(crate) async fn settled(&self, stream: &mut Conn) -> io::Result<()> {
        let watched = stream.framed()?;
        poll_fn(|cx| watched.poll_settled(cx)).await
    }
}
