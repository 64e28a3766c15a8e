//! One HTTP/2 stream as a connection of the engine.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use proxy_http::h2::frame::Code;
use proxy_http::h2::take_response;
use proxy_http::{Method, RequestHead, ResponseHead};
use proxy_net::Stream;
use proxy_rules::sample::context::StreamEnd;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::head;
use super::link::{End, Shared};
use crate::io::{Detached, Io};
use crate::mux::Framed;

/// A stream of a client's connection, or to be opened on a server's.
pub(super) struct H2Stream {
    link: Shared,
    slot: usize,
    tls: bool,
    /// We have no more to send.
    done: bool,
}

impl H2Stream {
    pub(super) fn new(link: Shared, slot: usize, tls: bool) -> Self {
        Self { link, slot, tls, done: false }
    }
}

impl Drop for H2Stream {
    fn drop(&mut self) {
        self.link.borrow_mut().release(self.slot);
    }
}

fn broken(code: Code) -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, code.to_string())
}

fn reset(code: Code) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, code.to_string())
}

impl Framed for H2Stream {
    fn send_request(&mut self, request: &RequestHead, end: bool) -> io::Result<()> {
        let mut link = self.link.borrow_mut();
        link.begin(self.slot).map_err(broken)?;
        let extended = link.peer.extended_connect;
        let tls = self.tls;
        let write = |out: &mut Vec<u8>| head::write_request(request, tls, extended, out);
        link.section(self.slot, end, write).map_err(broken)?;
        self.done |= end;
        Ok(())
    }

    fn poll_response(
        &mut self,
        cx: &mut Context<'_>,
        method: Method,
        response: &mut ResponseHead,
    ) -> Poll<io::Result<()>> {
        let mut link = self.link.borrow_mut();
        link.watch(self.slot, cx);
        let Some(stream) = link.stream(self.slot) else {
            return Poll::Ready(Err(broken(Code::INTERNAL_ERROR)));
        };
        let Some(received) = stream.heads.pop_front() else {
            return match stream.reset {
                Some(code) => Poll::Ready(Err(reset(code))),
                None => Poll::Pending,
            };
        };
        let taken = take_response(&received.fields, received.ended, method, response);
        link.recycle(received.fields);
        match taken {
            Ok(said) => {
                if response.status() >= 200 {
                    link.set_length(self.slot, said.length);
                }
                Poll::Ready(Ok(()))
            }
            Err(error) => {
                link.glitch();
                link.reset(self.slot, Code::PROTOCOL_ERROR);
                Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)))
            }
        }
    }

    fn send_response(&mut self, response: &ResponseHead, end: bool) -> io::Result<()> {
        let write = |out: &mut Vec<u8>| head::write_response(response, out);
        self.link.borrow_mut().section(self.slot, end, write).map_err(broken)?;
        self.done |= end;
        Ok(())
    }

    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        data: &[u8],
        end: bool,
    ) -> Poll<io::Result<usize>> {
        let sent = self.link.borrow_mut().poll_send(self.slot, cx, data, end);
        let n = ready!(sent).map_err(broken)?;
        self.done |= end && n == data.len();
        Poll::Ready(Ok(n))
    }

    fn send_trailers(&mut self, lines: &[u8]) -> io::Result<()> {
        let write = |out: &mut Vec<u8>| head::write_trailers(lines, out);
        self.link.borrow_mut().section(self.slot, true, write).map_err(broken)?;
        self.done = true;
        Ok(())
    }

    fn poll_trailers(&mut self, cx: &mut Context<'_>, lines: &mut Vec<u8>) -> Poll<io::Result<()>> {
        let mut link = self.link.borrow_mut();
        link.watch(self.slot, cx);
        let Some(stream) = link.stream(self.slot) else { return Poll::Ready(Ok(())) };
        if stream.ended {
            lines.append(&mut stream.trailers);
            return Poll::Ready(Ok(()));
        }
        match stream.reset {
            Some(code) => Poll::Ready(Err(reset(code))),
            None => Poll::Pending,
        }
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut link = self.link.borrow_mut();
        link.watch(self.slot, cx);
        match link.stream(self.slot) {
            Some(stream) if stream.reset.is_none() => Poll::Pending,
            _ => Poll::Ready(()),
        }
    }

    fn poll_settled(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut link = self.link.borrow_mut();
        link.watch(self.slot, cx);
        if link.peer.known {
            return Poll::Ready(Ok(()));
        }
        match link.closed {
            true => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
            false => Poll::Pending,
        }
    }

    fn abort(&mut self) {
        let mut link = self.link.borrow_mut();
        let code = match link.end {
            End::Server => Code::INTERNAL_ERROR,
            End::Client => Code::CANCEL,
        };
        if !self.done {
            link.reset(self.slot, code);
        }
        self.done = true;
    }

    fn carries_tunnels(&self) -> bool {
        let link = self.link.borrow();
        link.end == End::Server || link.peer.extended_connect
    }
}

impl Io for H2Stream {
    fn detach(self: Box<Self>) -> Result<Detached, Box<dyn Io>> {
        Err(self)
    }

    fn into_socket(self: Box<Self>) -> Result<Stream, Box<dyn Io>> {
        Err(self)
    }

    fn is_tls(&self) -> bool {
        self.tls
    }

    fn framed(&mut self) -> Option<&mut dyn Framed> {
        Some(self)
    }

    fn stream(&self) -> Option<StreamEnd> {
        let link = self.link.borrow();
        let stream = link.streams.get(self.slot)?;
        let reset = stream.reset.filter(|_| stream.told).map(|code| code.0);
        Some(StreamEnd { id: stream.id, reset, aborted: stream.told || link.is_broken(stream) })
    }
}

impl AsyncRead for H2Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.link.borrow_mut().poll_read(self.slot, cx, buf).map_err(reset)
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
        if self.done {
            return Poll::Ready(Ok(()));
        }
        self.poll_send(cx, &[], true).map_ok(|_| ())
    }
}
