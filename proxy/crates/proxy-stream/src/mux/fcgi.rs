//! FastCGI to servers: one request of a connection at a time (configuration manual, 10).

use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use proxy_http::fcgi::record::{self, Reader, kind};
use proxy_http::fcgi::{params, reply};
use proxy_http::framed::is_connection_field;
use proxy_http::{BodyLen, Method, RequestHead, ResponseHead};
use proxy_net::Stream;
use proxy_rules::http_date;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Framed;
use crate::io::{Conn, Detached, Io};
use crate::log::Sink;
use crate::scratch;

/// The only request of a connection.
const REQUEST: u16 = 1;
/// Bytes read at once.
const READ: usize = 16 * 1024;
/// Bytes that may wait for the application before no more are taken.
const WAITING: usize = 64 * 1024;
/// Longest line of standard error that is logged whole.
const LINE: usize = 4096;
/// Content of an END_REQUEST record: what became of the request comes behind the application's own status.
const END: usize = 8;
const STATUS_AT: usize = 4;

/// What an application gets beside the request itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct Params {
    /// What is known without rules, in the form of records.
    pub(crate) defaults: Vec<(&'static str, Vec<u8>)>,
    /// What `set-param` rules say: it counts more.
    pub(crate) set: Vec<(Arc<str>, Vec<u8>)>,
    /// Fields that `pass-header` rules let through.
    pub(crate) passed: Vec<Arc<str>>,
}

impl Params {
    fn is_set(&self, name: &[u8]) -> bool {
        self.set.iter().any(|(known, _)| known.as_bytes() == name)
    }

    /// Whether the application does not learn of a field unless a rule says so: it is a matter between the client and
    /// us.
    fn hides(&self, name: &[u8]) -> bool {
        let hidden = is_connection_field(&name.to_ascii_lowercase())
            || name.eq_ignore_ascii_case(b"te")
            || name.eq_ignore_ascii_case(b"authorization")
            || name.eq_ignore_ascii_case(b"proxy-authorization");
        hidden && !self.passed.iter().any(|passed| passed.as_bytes().eq_ignore_ascii_case(name))
    }

    /// All parameters of a request, as they are sent.
    fn encode(&self, head: &RequestHead, out: &mut Vec<u8>) {
        let headers = head.headers();
        for (name, value) in &self.defaults {
            if !self.is_set(name.as_bytes()) {
                params::write(out, name.as_bytes(), value);
            }
        }
        const TYPE: &[u8] = b"CONTENT_TYPE";
        if let Some(value) = headers.get(b"content-type").filter(|_| !self.is_set(TYPE)) {
            params::write(out, TYPE, value);
        }
        let (mut name, mut value) = (Vec::new(), Vec::new());
        for (at, field) in headers.iter().enumerate() {
            let converted = field.name.eq_ignore_ascii_case(b"content-length")
                || field.name.eq_ignore_ascii_case(b"content-type");
            // Fields of one name are one parameter (RFC 3875, 4.1.18).
            let again =
                |other: &proxy_http::Header<'_>| other.name.eq_ignore_ascii_case(field.name);
            if converted || self.hides(field.name) || headers.iter().take(at).any(|f| again(&f)) {
                continue;
            }
            name.clear();
            params::field_name(field.name, &mut name);
            if self.is_set(&name) {
                continue;
            }
            value.clear();
            let cookie = field.name.eq_ignore_ascii_case(b"cookie");
            for (n, same) in headers.iter().filter(again).enumerate() {
                if n > 0 {
                    value.extend_from_slice(if cookie { b"; " } else { b", " });
                }
                value.extend_from_slice(same.value);
            }
            params::write(out, &name, &value);
        }
        for (name, value) in &self.set {
            params::write(out, name.as_bytes(), value);
        }
    }
}

/// A connection to an application while it carries a request.
pub(crate) struct FcgiStream {
    carrier: Conn,
    params: Params,
    /// The application is to keep the connection open.
    keep: bool,
    /// Most bytes of a response head.
    max_head: usize,
    log: Option<Arc<dyn Sink>>,
    out: Vec<u8>,
    sent: usize,
    reader: Reader,
    /// What was read, and the part of it that was not looked at.
    incoming: Vec<u8>,
    unread: Range<usize>,
    /// The response's head as far as it came; behind it, body bytes that came with it from `early` on.
    head: Vec<u8>,
    early: usize,
    /// Body bytes in `incoming` that were not taken yet.
    body: Range<usize>,
    /// Bytes of the body that are still to come, when that was said.
    length: Option<u64>,
    /// The client waits to be told to send its body.
    expects: bool,
    /// All of the request was written.
    asked: bool,
    line: Vec<u8>,
    end: Vec<u8>,
    ended: bool,
}

fn bad(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

impl FcgiStream {
    /// Speaks FastCGI on a connection that carries nothing at the moment.
    pub(crate) fn new(
        carrier: Conn,
        params: Params,
        keep: bool,
        max_head: usize,
        log: Option<Arc<dyn Sink>>,
    ) -> Self {
        Self {
            carrier,
            params,
            keep,
            max_head,
            log,
            out: scratch::take(),
            sent: 0,
            reader: Reader::default(),
            incoming: Vec::new(),
            unread: 0..0,
            head: Vec::new(),
            early: 0,
            body: 0..0,
            length: None,
            expects: false,
            asked: false,
            line: Vec::new(),
            end: Vec::new(),
            ended: false,
        }
    }

    /// Writes what waits.
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.out.len() {
            self.sent += ready!(self.carrier.poll_write(cx, &self.out[self.sent..], &[]))?;
        }
        self.out.clear();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }

    /// Goes on with reading until there are bytes of the response ([`FcgiStream::body`]), or its end.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Whoever waits for the answer is the only one who can send the rest. An application may answer without
        // having read it all.
        let _ = self.poll_out(cx);
        while self.body.is_empty() && !self.ended {
            if self.unread.is_empty() {
                if self.incoming.is_empty() {
                    self.incoming = scratch::take();
                    self.incoming.resize(READ, 0);
                }
                let n = ready!(self.carrier.poll_read(cx, &mut self.incoming))?;
                if n == 0 {
                    return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                }
                self.unread = 0..n;
            }
            self.look()?;
        }
        Poll::Ready(Ok(()))
    }

    /// Looks at the next part of what was read.
    fn look(&mut self) -> io::Result<()> {
        let data = &self.incoming[self.unread.clone()];
        let (used, part) = self
            .reader
            .next(data)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        self.unread.start += used;
        let Some(part) = part.filter(|part| part.id == REQUEST) else { return Ok(()) };
        match part.kind {
            kind::STDOUT => {
                let end = self.unread.start;
                self.body = end - part.content.len()..end;
            }
            kind::STDERR => complain(&mut self.line, self.log.as_deref(), part.content),
            kind::END_REQUEST => {
                let room = END.saturating_sub(self.end.len());
                self.end.extend_from_slice(&part.content[..part.content.len().min(room)]);
                if part.last {
                    if self.end.len() < END || self.end[STATUS_AT] != 0 {
                        return Err(bad("the application did not take the request"));
                    }
                    self.ended = true;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Adds what is here of the body to the bytes that came with the head.
    fn gather(&mut self) -> io::Result<()> {
        while !self.ended && !self.unread.is_empty() {
            self.look()?;
            self.head.extend_from_slice(&self.incoming[self.body.clone()]);
            self.body = 0..0;
        }
        Ok(())
    }

    /// Takes body bytes; none is the end.
    fn poll_body(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.early == self.head.len() {
            ready!(self.poll_more(cx))?;
        }
        let from = match self.early < self.head.len() {
            true => &self.head[self.early..],
            false => &self.incoming[self.body.clone()],
        };
        let n = from.len().min(buf.remaining());
        if n == 0 {
            return match self.length {
                Some(1..) => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                _ => Poll::Ready(Ok(())),
            };
        }
        if let Some(left) = &mut self.length {
            *left = left.checked_sub(n as u64).ok_or_else(|| bad("more than was announced"))?;
        }
        buf.put_slice(&from[..n]);
        if self.early < self.head.len() {
            self.early += n;
        } else {
            self.body.start += n;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_stdin(
        &mut self,
        cx: &mut Context<'_>,
        data: &[u8],
        end: bool,
    ) -> Poll<io::Result<usize>> {
        if self.out.len() - self.sent > WAITING {
            ready!(self.poll_out(cx))?;
        }
        let taken = data.len().min(WAITING);
        if taken > 0 {
            record::write(&mut self.out, kind::STDIN, REQUEST, &data[..taken]);
        }
        if end && taken == data.len() {
            self.end_input();
        }
        match self.poll_out(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(taken)),
        }
    }

    fn end_input(&mut self) {
        if !std::mem::replace(&mut self.asked, true) {
            record::write(&mut self.out, kind::STDIN, REQUEST, &[]);
        }
    }
}

/// Logs the lines of standard error; what has no end yet stays in `line`.
fn complain(line: &mut Vec<u8>, log: Option<&dyn Sink>, content: &[u8]) {
    const ERR: u8 = 3;
    let Some(log) = log else { return };
    for byte in content {
        if *byte != b'\n' {
            line.push(if byte.is_ascii_control() { b' ' } else { *byte });
        }
        if *byte == b'\n' && !line.is_empty() || line.len() == LINE {
            log.line(ERR, line);
            line.clear();
        }
    }
}

impl Drop for FcgiStream {
    fn drop(&mut self) {
        complain(&mut self.line, self.log.as_deref(), b"\n");
        scratch::give(&mut self.out);
        scratch::give(&mut self.incoming);
    }
}

impl Framed for FcgiStream {
    fn send_request(&mut self, head: &RequestHead, end: bool) -> io::Result<()> {
        record::write_begin(&mut self.out, REQUEST, self.keep);
        let mut all = scratch::take();
        self.params.encode(head, &mut all);
        record::write(&mut self.out, kind::PARAMS, REQUEST, &all);
        if !all.is_empty() {
            record::write(&mut self.out, kind::PARAMS, REQUEST, &[]);
        }
        scratch::give(&mut all);
        self.expects = head.headers().contains(b"expect") && !end;
        if end {
            self.end_input();
        }
        Ok(())
    }

    fn poll_response(
        &mut self,
        cx: &mut Context<'_>,
        method: Method,
        head: &mut ResponseHead,
    ) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.expects) {
            // Applications do not know of it (RFC 9110, 10.1.1).
            head.clear();
            head.assemble(100, std::iter::empty(), BodyLen::None);
            head.set_status(100, None);
            return Poll::Ready(Ok(()));
        }
        loop {
            if let Some(length) = reply::head_length(&self.head) {
                self.early = length;
                self.gather()?;
                let body = self.ended.then_some((self.head.len() - length) as u64);
                let said = reply::take(&self.head[..length], method, body, head);
                self.length =
                    said.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
                if !head.headers().contains(b"date") {
                    let date = http_date(crate::env::date().secs);
                    head.headers_mut().append(b"date", &date);
                }
                return Poll::Ready(Ok(()));
            }
            if self.head.len() > self.max_head {
                return Poll::Ready(Err(bad("the head is too long")));
            }
            ready!(self.poll_more(cx))?;
            if self.body.is_empty() {
                return Poll::Ready(Err(bad("the response has no head")));
            }
            self.head.extend_from_slice(&self.incoming[self.body.clone()]);
            self.body = 0..0;
        }
    }

    fn send_response(&mut self, _: &ResponseHead, _: bool) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        data: &[u8],
        end: bool,
    ) -> Poll<io::Result<usize>> {
        self.poll_stdin(cx, data, end)
    }

    fn send_trailers(&mut self, _: &[u8]) -> io::Result<()> {
        self.end_input();
        Ok(())
    }

    fn poll_trailers(&mut self, _: &mut Context<'_>, _: &mut Vec<u8>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_gone(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }

    fn poll_settled(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn abort(&mut self) {
        self.keep = false;
    }

    fn carries_tunnels(&self) -> bool {
        false
    }
}

impl Io for FcgiStream {
    fn transport(&self) -> Option<&Stream> {
        self.carrier.io.transport()
    }

    fn is_tls(&self) -> bool {
        self.carrier.io.is_tls()
    }

    fn framed(&mut self) -> Option<&mut dyn Framed> {
        Some(self)
    }

    fn carrier(mut self: Box<Self>) -> Option<Conn> {
        // The end may have come along with the last bytes.
        while !self.ended && !self.unread.is_empty() {
            self.look().ok()?;
        }
        let free = self.keep
            && self.ended
            && self.asked
            && self.sent == self.out.len()
            && self.unread.is_empty()
            && !self.carrier.eof;
        free.then(|| std::mem::replace(&mut self.carrier, Conn::gone()))
    }

    fn detach(self: Box<Self>) -> Result<Detached, Box<dyn Io>> {
        Err(self)
    }

    fn into_socket(self: Box<Self>) -> Result<Stream, Box<dyn Io>> {
        Err(self)
    }
}

impl AsyncRead for FcgiStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_body(cx, buf)
    }
}

impl AsyncWrite for FcgiStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_stdin(cx, buf, false)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_out(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.keep = false;
        self.end_input();
        ready!(self.poll_out(cx))?;
        self.carrier.poll_shutdown(cx).map(Ok)
    }
}
