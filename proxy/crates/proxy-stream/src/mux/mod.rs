//! Between bytes of a connection and messages of a stream.
//!
//! A stream sees one form of message whatever carries it: a head
//! ([`RequestHead`], [`ResponseHead`]), body bytes, trailer lines. HTTP/1 is that form as it travels: its heads
//! are bytes before the body, and [`h1::Pump`] finds the end of the body in what it forwards. A protocol
//! that frames its messages is a [`Framed`] behind the same [`Conn`](crate::io::Conn): reading and writing move
//! body bytes only, the end of the stream is the end of the body, and heads and trailers go by these methods.

pub(crate) mod fcgi;
pub mod h1;
pub mod h2;

use std::io;
use std::task::{Context, Poll};

use proxy_http::{Method, RequestHead, ResponseHead};

/// One stream of a connection that carries heads and trailers apart from bodies, such as HTTP/2.
pub trait Framed {
    /// Sends a request head; with `end`, nothing follows it.
    ///
    /// # Errors
    /// The connection takes no new stream, or the head cannot be said in this protocol.
    fn send_request(&mut self, head: &RequestHead, end: bool) -> io::Result<()>;

    /// Receives the next response head, interim ones included. `method` is that of the request.
    ///
    /// # Errors
    /// The peer reset the stream, or the connection ended.
    fn poll_response(
        &mut self,
        cx: &mut Context<'_>,
        method: Method,
        head: &mut ResponseHead,
    ) -> Poll<io::Result<()>>;

    /// Sends a response head, interim or final; with `end`, nothing follows it.
    ///
    /// # Errors
    /// The peer reset the stream, or the connection ended.
    fn send_response(&mut self, head: &ResponseHead, end: bool) -> io::Result<()>;

    /// Sends body bytes and, with `end`, the end of the body behind the last of them; returns how many were
    /// taken. An empty `data` with `end` sends the end alone.
    ///
    /// # Errors
    /// The peer reset the stream, or the connection ended.
    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        data: &[u8],
        end: bool,
    ) -> Poll<io::Result<usize>>;

    /// Ends the body with trailer lines (`name: value` and CRLF each).
    ///
    /// # Errors
    /// The peer reset the stream, or the connection ended.
    fn send_trailers(&mut self, lines: &[u8]) -> io::Result<()>;

    /// Receives the trailers behind the body as lines.
    ///
    /// # Errors
    /// The peer reset the stream, or the connection ended.
    fn poll_trailers(&mut self, cx: &mut Context<'_>, lines: &mut Vec<u8>) -> Poll<io::Result<()>>;

    /// Ready when the peer gave the stream up.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// Ready when the peer has said what it can do.
    ///
    /// # Errors
    /// The connection ended.
    fn poll_settled(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Gives the stream up: the peer learns that what it got is not complete.
    fn abort(&mut self);

    /// Whether a request may become a tunnel on this stream (RFC 8441 for HTTP/2).
    fn carries_tunnels(&self) -> bool;
}
