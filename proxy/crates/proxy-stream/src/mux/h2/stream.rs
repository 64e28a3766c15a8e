//! One HTTP/2 stream as a connection of the engine.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use proxy_http::{Method, RequestHead, ResponseHead};
use proxy_net::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::head;
use crate::io::Io;
use crate::mux::Framed;

/// How our side stands.
enum Sending {
    /// Of a client's stream: no final head was sent.
    Respond(SendResponse<Bytes>),
    /// Of a server's stream: no head was sent.
    Request(SendRequest<Bytes>),
    /// The head was sent.
    Body(SendStream<Bytes>),
    /// Nothing more can be sent, or could ever be.
    Ended,
}

/// A stream of a client's connection, or to be opened on a server's.
pub(super) struct H2Stream {
    sending: Sending,
    response: Option<ResponseFuture>,
    body: Option<RecvStream>,
    /// Received and not read yet.
    received: Bytes,
    tls: bool,
    _held: Option<Box<dyn std::any::Any>>,
}

impl H2Stream {
    /// A client's stream, of which the request head was received.
    pub(super) fn accepted(respond: SendResponse<Bytes>, body: RecvStream, tls: bool) -> Self {
        Self {
            sending: Sending::Respond(respond),
            response: None,
            body: Some(body),
            received: Bytes::new(),
            tls,
            _held: None,
        }
    }

    /// A stream to a server that begins with the request. `held` lives as long as the stream.
    pub(super) fn opening(
        request: SendRequest<Bytes>,
        tls: bool,
        held: Box<dyn std::any::Any>,
    ) -> Self {
        Self {
            sending: Sending::Request(request),
            response: None,
            body: None,
            received: Bytes::new(),
            tls,
            _held: Some(held),
        }
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(body) = &mut self.body else { return Poll::Ready(Ok(())) };
        while self.received.is_empty() {
            match ready!(body.poll_data(cx)) {
                None => return Poll::Ready(Ok(())),
                Some(Ok(bytes)) => self.received = bytes,
                Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
            }
        }
        Poll::Ready(Ok(()))
    }
}

fn gone() -> io::Error {
    io::ErrorKind::BrokenPipe.into()
}

impl Framed for H2Stream {
    fn send_request(&mut self, head: &RequestHead, end: bool) -> io::Result<()> {
        let Sending::Request(request) = &mut self.sending else { return Err(gone()) };
        let extended = request.is_extended_connect_protocol_enabled();
        let made = head::make_request(head, self.tls, extended)?;
        let (response, body) = request.send_request(made, end).map_err(io::Error::other)?;
        self.response = Some(response);
        self.sending = Sending::Body(body);
        Ok(())
    }

    fn poll_response(
        &mut self,
        cx: &mut Context<'_>,
        method: Method,
        head: &mut ResponseHead,
    ) -> Poll<io::Result<()>> {
        let Some(future) = &mut self.response else { return Poll::Ready(Err(gone())) };
        match future.poll_informational(cx) {
            Poll::Ready(Some(Ok(interim))) => {
                head::take_response(&interim, false, method, head);
                return Poll::Ready(Ok(()));
            }
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(io::Error::other(error))),
            Poll::Ready(None) | Poll::Pending => {}
        }
        let response = ready!(Pin::new(future).poll(cx)).map_err(io::Error::other)?;
        self.response = None;
        head::take_response(&response, response.body().is_end_stream(), method, head);
        self.body = Some(response.into_body());
        Poll::Ready(Ok(()))
    }

    fn send_response(&mut self, head: &ResponseHead, end: bool) -> io::Result<()> {
        let Sending::Respond(respond) = &mut self.sending else { return Err(gone()) };
        let made = head::make_response(head)?;
        if head.status() < 200 && head.status() != 101 {
            return respond.send_informational(made).map_err(io::Error::other);
        }
        let body = respond.send_response(made, end).map_err(io::Error::other)?;
        self.sending = if end { Sending::Ended } else { Sending::Body(body) };
        Ok(())
    }

    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        data: &[u8],
        end: bool,
    ) -> Poll<io::Result<usize>> {
        let Sending::Body(body) = &mut self.sending else { return Poll::Ready(Err(gone())) };
        let mut n = 0;
        if !data.is_empty() {
            body.reserve_capacity(data.len());
            n = body.capacity();
            while n == 0 {
                n = match ready!(body.poll_capacity(cx)) {
                    Some(granted) => granted.map_err(io::Error::other)?,
                    None => return Poll::Ready(Err(gone())),
                };
            }
        }
        let n = n.min(data.len());
        let end = end && n == data.len();
        body.send_data(Bytes::copy_from_slice(&data[..n]), end).map_err(io::Error::other)?;
        if end {
            self.sending = Sending::Ended;
        }
        Poll::Ready(Ok(n))
    }

    fn send_trailers(&mut self, lines: &[u8]) -> io::Result<()> {
        let Sending::Body(body) = &mut self.sending else { return Err(gone()) };
        body.send_trailers(head::make_trailers(lines)).map_err(io::Error::other)?;
        self.sending = Sending::Ended;
        Ok(())
    }

    fn poll_trailers(&mut self, cx: &mut Context<'_>, lines: &mut Vec<u8>) -> Poll<io::Result<()>> {
        let Some(body) = &mut self.body else { return Poll::Ready(Ok(())) };
        if let Some(map) = ready!(body.poll_trailers(cx)).map_err(io::Error::other)? {
            head::take_trailers(&map, lines);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.sending {
            Sending::Respond(respond) => respond.poll_reset(cx).map(|_| ()),
            Sending::Body(body) => body.poll_reset(cx).map(|_| ()),
            Sending::Request(_) | Sending::Ended => Poll::Pending,
        }
    }

    fn abort(&mut self) {
        match &mut self.sending {
            Sending::Respond(respond) => respond.send_reset(Reason::INTERNAL_ERROR),
            Sending::Body(body) => body.send_reset(Reason::CANCEL),
            Sending::Request(_) | Sending::Ended => {}
        }
        self.sending = Sending::Ended;
    }

    fn carries_tunnels(&self) -> bool {
        match &self.sending {
            Sending::Request(request) => request.is_extended_connect_protocol_enabled(),
            Sending::Respond(_) | Sending::Body(_) | Sending::Ended => true,
        }
    }
}

impl Io for H2Stream {
    fn into_socket(self: Box<Self>) -> Result<Stream, Box<dyn Io>> {
        Err(self)
    }

    fn is_tls(&self) -> bool {
        self.tls
    }

    fn framed(&mut self) -> Option<&mut dyn Framed> {
        Some(self)
    }
}

impl AsyncRead for H2Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut taken = 0;
        while buf.remaining() > 0 {
            match self.poll_receive(cx) {
                // What was taken so far goes on its way before an error or a wait.
                _ if self.received.is_empty() && taken > 0 => break,
                Poll::Pending => return Poll::Pending,
                Poll::Ready(outcome) => outcome?,
            }
            if self.received.is_empty() {
                break;
            }
            let n = self.received.len().min(buf.remaining());
            buf.put_slice(&self.received.split_to(n));
            taken += n;
        }
        if taken > 0
            && let Some(body) = &mut self.body
        {
            // Fails when the stream is closed: then there is no window to give.
            let _ = body.flow_control().release_capacity(taken);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for H2Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_send(cx, buf, false)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.sending {
            Sending::Body(_) => self.poll_send(cx, &[], true).map_ok(|_| ()),
            _ => Poll::Ready(Ok(())),
        }
    }
}
