//! The state of an HTTP/2 connection that its streams share: what was received for them, what is to be sent.
//!
//! [`Driver`](super::driver::Driver) moves bytes between this and the connection. A stream is a slot here from the first
//! moment somebody holds it to the last; as long as the protocol knows it, its number leads to the slot.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use proxy_http::h2::Fields;
use proxy_http::h2::frame::{self, Code, FrameHead, STREAM_MAX, WINDOW, flag, kind};
use proxy_http::h2::hpack::{self, Decoder};
use proxy_rules::sample::context::LinkFacts;
use proxy_state::counters::{Mux, Open};
use rustc_hash::FxHashMap;
use slab::Slab;

use super::{Settings, frames};
use crate::scratch;
use crate::traces::{self, Level, Subject, Telling, h2};

/// Bytes that may wait for the peer before streams, and the reading side, wait as well.
pub(super) const BACKLOG: usize = 64 * 1024;
/// Interim responses that may wait for their stream.
const HEADS: usize = 8;

/// Which end of the connection we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Server,
    Client,
}

/// A head that waits for its stream.
pub(super) struct Head {
    pub(super) fields: Fields,
    pub(super) ended: bool,
}

/// One stream.
#[derive(Default)]
pub(super) struct Stream {
    /// 0 until its first frame.
    pub(super) id: u32,
    pub(super) send_window: i64,
    /// What the peer may still send.
    pub(super) recv_window: i64,
    /// Bytes that were taken out and that the peer was not told of.
    unclaimed: i64,
    inbox: Vec<u8>,
    read_at: usize,
    /// The peer sent its last frame.
    pub(super) ended: bool,
    /// We sent our last frame.
    pub(super) sent_end: bool,
    /// Either side gave the stream up.
    pub(super) reset: Option<Code>,
    /// It was the peer who did.
    pub(super) told: bool,
    /// Heads received and not looked at, on our side of a request.
    pub(super) heads: VecDeque<Head>,
    /// The final head was received.
    pub(super) answered: bool,
    pub(super) trailers: Vec<u8>,
    /// Bytes that the body has to have, when it was said.
    length: Option<u64>,
    /// Bytes of the body received so far.
    received: u64,
    /// Window that is kept open for the body.
    target: i64,
    /// Who waits for any of this.
    task: Option<Waker>,
}

impl Stream {
    fn wake(&mut self) {
        if let Some(task) = self.task.take() {
            task.wake();
        }
    }

    fn wait(&mut self, cx: &Context<'_>) {
        match &mut self.task {
            Some(task) => task.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
    }

    /// Bytes that wait to be read.
    pub(super) fn waiting(&self) -> usize {
        self.inbox.len() - self.read_at
    }

    /// Counts received bytes of the body; false when they are more, or at the end fewer, than were said.
    pub(super) fn count(&mut self, n: usize, ended: bool) -> bool {
        self.received += n as u64;
        self.fits(ended)
    }

    fn fits(&self, ended: bool) -> bool {
        self.length.is_none_or(
            |said| {
                if ended { self.received == said } else { self.received <= said }
            },
        )
    }

    /// The protocol has no more to say of it.
    pub(super) fn is_over(&self) -> bool {
        self.reset.is_some() || self.ended && self.sent_end
    }
}

/// A request that a client began.
pub(super) struct Incoming {
    pub(super) slot: usize,
    pub(super) fields: Fields,
    /// All of them were kept.
    pub(super) whole: bool,
    /// No body follows.
    pub(super) ended: bool,
}

/// How far the end of the connection came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
pub(super) enum Leaving {
    No,
    /// The peer was told, and asked to show that it knows.
    Told,
    /// No new stream is taken.
    Last,
}

/// What the streams of a connection share.
pub(super) struct Link {
    pub(super) end: End,
    pub(super) out: Vec<u8>,
    pub(super) out_at: usize,
    pub(super) streams: Slab<Stream>,
    /// The slots of the streams that the protocol knows.
    pub(super) ids: FxHashMap<u32, usize>,
    pub(super) incoming: VecDeque<Incoming>,
    spare: Vec<Fields>,
    pub(super) decoder: Decoder,
    /// Of the peer: the last stream it began. Of ours: the next one to begin.
    pub(super) last_id: u32,
    pub(super) next_id: u32,
    pub(super) send_window: i64,
    pub(super) recv_window: i64,
    /// What the peer was told that it may send ahead, of all streams.
    pub(super) window: i64,
    unclaimed: i64,
    /// Bytes of bodies that may be under way to us, of all streams: what `window` may become.
    recv_target: i64,
    /// Of one stream.
    pub(super) stream_target: i64,
    pub(super) peer: PeerSettings,
    pub(super) leaving: Leaving,
    /// The peer takes no stream beyond this one.
    pub(super) goaway: Option<u32>,
    /// What rules see of it.
    pub(super) facts: Rc<LinkFacts>,
    /// The connection is of no use any more.
    pub(super) failed: Option<Code>,
    pub(super) closed: bool,
    /// Those who may open streams.
    pub(super) openers: usize,
    /// Streams wait for room or for the connection's window.
    blocked: bool,
    /// Our next head has to say that the peer's table is not used.
    pub(super) drop_table: bool,
    driver: Option<Waker>,
    /// Counts it, and what goes over it.
    counted: Open,
}

/// What the peer said.
pub(super) struct PeerSettings {
    pub(super) known: bool,
    pub(super) window: i64,
    pub(super) frame: usize,
    pub(super) streams: u32,
    pub(super) table: u32,
    pub(super) extended_connect: bool,
}

impl Default for PeerSettings {
    fn default() -> Self {
        Self {
            known: false,
            window: WINDOW,
            frame: frame::PAYLOAD,
            streams: u32::MAX,
            table: hpack::TABLE as u32,
            extended_connect: false,
        }
    }
}

/// The link as its streams and its driver hold it.
pub(super) type Shared = Rc<RefCell<Link>>;

impl Link {
    pub(super) fn new(end: End, settings: &Settings, facts: Rc<LinkFacts>, mux: &Mux) -> Self {
        let side = if end == End::Server { &settings.front } else { &settings.back };
        Self {
            end,
            out: Vec::new(),
            out_at: 0,
            streams: Slab::new(),
            ids: FxHashMap::default(),
            incoming: VecDeque::new(),
            spare: Vec::new(),
            decoder: Decoder::new(settings.header_table as usize),
            last_id: 0,
            next_id: 1,
            send_window: WINDOW,
            recv_window: WINDOW,
            window: WINDOW,
            unclaimed: 0,
            recv_target: i64::from(side.connection_window),
            stream_target: i64::from(side.window),
            peer: PeerSettings::default(),
            leaving: Leaving::No,
            goaway: None,
            facts,
            failed: None,
            closed: false,
            openers: 0,
            blocked: false,
            drop_table: false,
            driver: None,
            counted: Open::h2(mux),
        }
    }

    /// Counts a frame that was received.
    pub(super) fn count_received(&self, head: &FrameHead) {
        let mux = self.counted.mux();
        match head.kind {
            kind::HEADERS => mux.h2_headers.inc(),
            kind::DATA => mux.h2_data.inc(),
            kind::SETTINGS => mux.h2_settings.inc(),
            kind::RST_STREAM => mux.h2_rst.inc(),
            kind::GOAWAY => mux.h2_goaway.inc(),
            _ => {}
        }
    }

    /// Tells of the connection, or of a stream of it.
    #[track_caller]
    pub(super) fn trace(&self, events: u64, level: Level, stream: u32, what: &str) {
        if traces::H2.wants(events) {
            self.tell(events, level, stream, &|t| t.text.push_str(what));
        }
    }

    #[cold]
    #[track_caller]
    fn tell(&self, events: u64, level: Level, stream: u32, text: &dyn Fn(&mut Telling)) {
        let number = Rc::as_ptr(&self.facts).addr() as u64;
        let session = if self.end == End::Server { number } else { 0 };
        let own = if stream == 0 { 0 } else { number ^ u64::from(stream) << 48 };
        let subject = Subject { connection: number, session, own, ..Subject::default() };
        traces::H2.tell(events, level, &subject, &|t| {
            text(t);
            if t.has_parties() {
                let side = if self.end == End::Server { 'F' } else { 'B' };
                let streams = self.streams.len();
                t.text.push_str(&format!(" : h2c={number:#x}({side}) id={stream} nbst={streams}"));
            }
        });
    }

    /// Tells of a frame that was received or queued.
    #[track_caller]
    pub(super) fn trace_frame(&self, way: &str, head: &FrameHead) {
        let row = frames::ROWS.get(usize::from(head.kind));
        let sent = way == frames::SENT;
        let (events, name) = match row {
            Some(row) if sent => (h2::TX_FRAME | row.sent, row.name),
            Some(row) => (h2::RX_FRAME | row.received, row.name),
            None if sent => (h2::TX_FRAME, "unknown"),
            None => (h2::RX_FRAME, "unknown"),
        };
        if !traces::H2.wants(events) {
            return;
        }
        let level = if head.kind == kind::DATA { Level::Data } else { Level::Proto };
        self.tell(events, level, head.stream, &|t| {
            t.text.push_str(&format!("{way} H2 {name} frame"));
            if t.has_subject() {
                t.text.push_str(&format!(" of stream {}", head.stream));
            }
            if t.has_details() {
                t.text.push_str(&format!(" len={} flags={:#04x}", head.len, head.flags));
            }
        });
    }

    /// Counts an anomaly of the peer.
    pub(super) fn glitch(&mut self) {
        self.facts.glitches.set(self.facts.glitches.get().saturating_add(1));
    }

    /// Anomalies of the peer so far.
    pub(super) fn glitches(&self) -> u32 {
        self.facts.glitches.get()
    }

    /// Has the driver run.
    pub(super) fn wake(&mut self) {
        if let Some(driver) = self.driver.take() {
            driver.wake();
        }
    }

    /// The driver runs.
    pub(super) fn unwait(&mut self) {
        self.driver = None;
    }

    /// The driver waits.
    pub(super) fn wait(&mut self, cx: &Context<'_>) {
        match &mut self.driver {
            Some(driver) => driver.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
    }

    /// Bytes that wait for the peer.
    pub(super) fn backlog(&self) -> usize {
        self.out.len() - self.out_at
    }

    /// Something was sent: whoever waited for room goes on.
    pub(super) fn sent(&mut self, n: usize) {
        self.out_at += n;
        if self.out_at == self.out.len() {
            self.out_at = 0;
            scratch::give(&mut self.out);
        }
        if self.backlog() < BACKLOG / 2 {
            self.unblock();
        }
    }

    /// Wakes the streams that wait for room or for the connection's window.
    pub(super) fn unblock(&mut self) {
        if std::mem::take(&mut self.blocked) {
            self.wake_streams();
        }
    }

    pub(super) fn wake_streams(&mut self) {
        self.streams.iter_mut().for_each(|(_, stream)| stream.wake());
    }

    fn room(&mut self) -> &mut Vec<u8> {
        if self.out.capacity() == 0 {
            self.out = scratch::take();
        }
        &mut self.out
    }

    /// Queues a frame.
    pub(super) fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        frame::write(self.room(), kind, flags, stream, payload);
        match kind {
            kind::RST_STREAM => self.counted.mux().h2_rst_sent.inc(),
            kind::GOAWAY => self.counted.mux().h2_goaway_sent.inc(),
            _ => {}
        }
        if traces::H2.wants(u64::MAX) {
            let head = FrameHead { len: payload.len(), kind, flags, stream };
            self.trace_frame(frames::SENT, &head);
        }
        self.wake();
    }

    pub(super) fn window_update(&mut self, stream: u32, by: i64) {
        let by = u32::try_from(by).unwrap_or(STREAM_MAX).min(STREAM_MAX);
        self.frame(kind::WINDOW_UPDATE, 0, stream, &by.to_be_bytes());
    }

    /// Says that no stream beyond `last` is taken.
    pub(super) fn go_away(&mut self, last: u32, code: Code) {
        let mut payload = [0; 8];
        payload[..4].copy_from_slice(&last.to_be_bytes());
        payload[4..].copy_from_slice(&code.0.to_be_bytes());
        self.frame(kind::GOAWAY, 0, 0, &payload);
    }

    /// Asks the peer to leave: what it has begun by the time it knows is still served.
    pub(super) fn leave(&mut self) {
        if self.leaving == Leaving::No {
            self.leaving = Leaving::Told;
            self.go_away(STREAM_MAX, Code::NO_ERROR);
            self.frame(kind::PING, 0, 0, LEAVE);
        }
    }

    /// Takes no new stream from here on.
    pub(super) fn close_entry(&mut self) {
        if self.leaving < Leaving::Last && self.failed.is_none() {
            self.leaving = Leaving::Last;
            self.go_away(self.last_id, Code::NO_ERROR);
        }
    }

    /// The connection cannot go on.
    pub(super) fn fail(&mut self, code: Code) {
        if self.failed.is_none() {
            self.trace(h2::CONN_ERR, Level::Error, 0, &format!("HTTP/2 connection fails: {code}"));
            if code != Code::NO_ERROR {
                self.counted.mux().h2_conn_errors.inc();
            }
            self.failed = Some(code);
            self.go_away(self.last_id, code);
        }
        self.reset_all(code);
    }

    /// No stream goes on.
    pub(super) fn reset_all(&mut self, code: Code) {
        self.ids.clear();
        for (_, stream) in &mut self.streams {
            if !(stream.ended && stream.sent_end) {
                stream.reset.get_or_insert(code);
            }
            stream.wake();
        }
    }

    pub(super) fn close(&mut self) {
        self.closed = true;
        self.reset_all(Code::CANCEL);
    }

    /// Whether the connection ended before this stream.
    pub(super) fn is_broken(&self, stream: &Stream) -> bool {
        self.closed && stream.reset.is_some()
    }

    /// Gives a stream up.
    pub(super) fn reset(&mut self, slot: usize, code: Code) {
        let Some(stream) = self.streams.get_mut(slot) else { return };
        if stream.is_over() {
            return;
        }
        stream.reset = Some(code);
        stream.wake();
        let id = stream.id;
        if code.is_of_peer() {
            self.counted.mux().h2_stream_errors.inc();
        }
        if id > 0 && self.ids.remove(&id).is_some() {
            self.frame(kind::RST_STREAM, 0, id, &code.0.to_be_bytes());
        }
    }

    /// Forgets what the protocol has no more to say of.
    fn settle(&mut self, slot: usize) {
        if let Some(stream) = self.streams.get(slot)
            && stream.is_over()
        {
            self.ids.remove(&stream.id);
        }
    }

    /// The peer ended its side.
    pub(super) fn ended(&mut self, slot: usize) {
        if let Some(stream) = self.streams.get_mut(slot) {
            stream.ended = true;
            stream.wake();
        }
        self.settle(slot);
    }

    /// An empty section to decode into.
    pub(super) fn fields(&mut self) -> Fields {
        self.spare.pop().unwrap_or_default()
    }

    /// Keeps a section for the next that is decoded: a busy connection one for each stream, an idle one few.
    pub(super) fn recycle(&mut self, mut fields: Fields) {
        if self.spare.len() < self.streams.len().clamp(IDLE_SPARE, BUSY_SPARE) {
            fields.clear();
            self.spare.push(fields);
        }
    }

    /// A new stream of the peer, or one to be opened by us.
    pub(super) fn insert(&mut self, id: u32) -> usize {
        let slot = self.streams.insert(Stream {
            id,
            send_window: self.peer.window,
            recv_window: self.stream_target,
            target: self.stream_target,
            ..Stream::default()
        });
        if id > 0 {
            self.ids.insert(id, slot);
        }
        self.facts.streams.set(self.streams.len() as u32);
        self.counted.mux().h2_stream.inc();
        self.trace(h2::STREAM_NEW, Level::State, id, "new H2 stream");
        slot
    }

    /// Opens the window of a body that is larger than what was announced, or may be, as far as our buffers go: to its
    /// share of them.
    pub(super) fn widen(&mut self, slot: usize, length: Option<u64>) {
        let beyond = |window: i64| length.is_none_or(|length| length > window.unsigned_abs());
        if beyond(self.window) && self.window < self.recv_target {
            // Not before it is needed: clients expect our settings and nothing else at first.
            let by = self.recv_target - self.window;
            self.window = self.recv_target;
            self.recv_window += by;
            self.window_update(0, by);
        }
        if !beyond(self.stream_target) {
            return;
        }
        let streams = self.streams.iter().filter(|(_, stream)| !stream.ended).count();
        let share = self.recv_target / 8 * 7 / i64::try_from(streams.max(1)).unwrap_or(i64::MAX);
        let Some(stream) = self.streams.get_mut(slot) else { return };
        let by = share - stream.recv_window;
        if by > 0 {
            stream.recv_window += by;
            stream.target = share;
            let id = stream.id;
            self.window_update(id, by);
        }
    }

    /// Takes received body bytes in; the windows were looked at.
    pub(super) fn receive(&mut self, slot: usize, data: &[u8]) {
        let Some(stream) = self.streams.get_mut(slot) else { return };
        if data.is_empty() {
            return;
        }
        if stream.inbox.capacity() == 0 {
            stream.inbox = scratch::take();
        }
        stream.inbox.extend_from_slice(data);
        stream.wake();
    }

    /// Bytes of `stream` that nobody will have to wait for any more.
    pub(super) fn claim(&mut self, slot: Option<usize>, n: usize) {
        let n = i64::try_from(n).unwrap_or(i64::MAX);
        self.unclaimed += n;
        if self.unclaimed * 4 >= self.window {
            let by = std::mem::take(&mut self.unclaimed);
            self.recv_window += by;
            self.window_update(0, by);
        }
        let Some(stream) = slot.and_then(|slot| self.streams.get_mut(slot)) else { return };
        stream.unclaimed += n;
        let due = stream.unclaimed * 4 >= stream.target;
        if due && !stream.ended && stream.reset.is_none() {
            let by = std::mem::take(&mut stream.unclaimed);
            stream.recv_window += by;
            let id = stream.id;
            self.window_update(id, by);
        }
    }

    /// Takes body bytes out; 0 is the end of the body.
    pub(super) fn poll_read(
        &mut self,
        slot: usize,
        cx: &Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<Result<(), Code>> {
        let Some(stream) = self.streams.get_mut(slot) else {
            return Poll::Ready(Err(Code::INTERNAL_ERROR));
        };
        let waiting = &stream.inbox[stream.read_at..];
        if waiting.is_empty() {
            return match stream.reset {
                _ if stream.ended => Poll::Ready(Ok(())),
                Some(code) => Poll::Ready(Err(code)),
                None => {
                    stream.wait(cx);
                    Poll::Pending
                }
            };
        }
        let n = waiting.len().min(buf.remaining());
        buf.put_slice(&waiting[..n]);
        stream.read_at += n;
        if stream.read_at == stream.inbox.len() {
            stream.read_at = 0;
            scratch::give(&mut stream.inbox);
        }
        self.claim(Some(slot), n);
        Poll::Ready(Ok(()))
    }

    /// Queues body bytes, and the end behind the last of them; returns how many were taken.
    pub(super) fn poll_send(
        &mut self,
        slot: usize,
        cx: &Context<'_>,
        data: &[u8],
        end: bool,
    ) -> Poll<Result<usize, Code>> {
        let backlog = self.backlog();
        let (window, most) = (self.send_window, self.peer.frame);
        let Some(stream) = self.streams.get_mut(slot) else {
            return Poll::Ready(Err(Code::INTERNAL_ERROR));
        };
        if let Some(code) = stream.reset {
            return Poll::Ready(Err(code));
        }
        if stream.sent_end || stream.id == 0 {
            return Poll::Ready(Err(Code::STREAM_CLOSED));
        }
        let id = stream.id;
        let room = window.min(stream.send_window).max(0);
        let room = usize::try_from(room).unwrap_or(usize::MAX).min(BACKLOG.saturating_sub(backlog));
        let n = data.len().min(room);
        if n == 0 && !data.is_empty() {
            // Its own window is given by a frame of its own; the rest concerns all.
            self.blocked |= stream.send_window > 0;
            stream.wait(cx);
            return Poll::Pending;
        }
        let end = end && n == data.len();
        stream.sent_end |= end;
        stream.send_window -= n as i64;
        self.send_window -= n as i64;
        if n == 0 && !end {
            return Poll::Ready(Ok(0));
        }
        let mut rest = &data[..n];
        loop {
            let (part, after) = rest.split_at(rest.len().min(most));
            let last = after.is_empty();
            let flags = if end && last { flag::END_STREAM } else { 0 };
            frame::write(self.room(), kind::DATA, flags, id, part);
            if traces::H2.wants(u64::MAX) {
                let head = FrameHead { len: part.len(), kind: kind::DATA, flags, stream: id };
                self.trace_frame(frames::SENT, &head);
            }
            rest = after;
            if last {
                break;
            }
        }
        self.wake();
        if end {
            self.settle(slot);
        }
        Poll::Ready(Ok(n))
    }

    /// Queues a field section, written by `write`; with `end`, nothing follows it.
    pub(super) fn section(
        &mut self,
        slot: usize,
        end: bool,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), Code> {
        let most = self.peer.frame;
        let stream = self.streams.get_mut(slot).ok_or(Code::INTERNAL_ERROR)?;
        if let Some(code) = stream.reset {
            return Err(code);
        }
        if stream.sent_end || stream.id == 0 {
            return Err(Code::STREAM_CLOSED);
        }
        stream.sent_end = end;
        let id = stream.id;
        let drop_table = std::mem::take(&mut self.drop_table);
        let out = self.room();
        let start = out.len();
        out.extend_from_slice(&[0; frame::HEAD]);
        if drop_table {
            hpack::write_no_table(out);
        }
        write(out);
        let len = out.len() - start - frame::HEAD;
        let end_stream = if end { flag::END_STREAM } else { 0 };
        if len <= most {
            let flags = end_stream | flag::END_HEADERS;
            let head = FrameHead { len, kind: kind::HEADERS, flags, stream: id };
            out[start..start + frame::HEAD].copy_from_slice(&head.bytes());
        } else {
            let section = out.split_off(start + frame::HEAD);
            out.truncate(start);
            let count = section.len().div_ceil(most);
            for (at, part) in section.chunks(most).enumerate() {
                let kind = if at == 0 { kind::HEADERS } else { kind::CONTINUATION };
                let first = if at == 0 { end_stream } else { 0 };
                let last = if at + 1 == count { flag::END_HEADERS } else { 0 };
                frame::write(out, kind, first | last, id, part);
            }
        }
        if traces::H2.wants(u64::MAX) {
            let flags = end_stream | flag::END_HEADERS;
            let head = FrameHead { len, kind: kind::HEADERS, flags, stream: id };
            self.trace_frame(frames::SENT, &head);
        }
        self.wake();
        if end {
            self.settle(slot);
        }
        Ok(())
    }

    /// Gives a new request of ours its number.
    pub(super) fn begin(&mut self, slot: usize) -> Result<(), Code> {
        let id = self.next_id;
        if self.closed || self.failed.is_some() || self.goaway.is_some() || id > STREAM_MAX {
            return Err(Code::REFUSED_STREAM);
        }
        let stream = self.streams.get_mut(slot).ok_or(Code::INTERNAL_ERROR)?;
        stream.id = id;
        stream.send_window = self.peer.window;
        self.next_id += 2;
        self.ids.insert(id, slot);
        Ok(())
    }

    /// Keeps a response head for its stream; false when there are too many.
    pub(super) fn keep(&mut self, slot: usize, head: Head) -> bool {
        let Some(stream) = self.streams.get_mut(slot) else { return true };
        stream.heads.push_back(head);
        stream.wake();
        stream.heads.len() <= HEADS
    }

    pub(super) fn stream(&mut self, slot: usize) -> Option<&mut Stream> {
        self.streams.get_mut(slot)
    }

    pub(super) fn wake_stream(&mut self, slot: usize) {
        if let Some(stream) = self.streams.get_mut(slot) {
            stream.wake();
        }
    }

    /// Takes note of how long the body is to be, some of which may have come already.
    pub(super) fn set_length(&mut self, slot: usize, length: Option<u64>) {
        let Some(stream) = self.streams.get_mut(slot) else { return };
        stream.length = length;
        if !stream.fits(stream.ended) {
            self.glitch();
            self.reset(slot, Code::PROTOCOL_ERROR);
            if let Some(stream) = self.streams.get_mut(slot) {
                // Both sides may have ended it before.
                stream.reset.get_or_insert(Code::PROTOCOL_ERROR);
                stream.ended = false;
            }
        }
    }

    /// Has the stream's task woken when anything of it changes.
    pub(super) fn watch(&mut self, slot: usize, cx: &Context<'_>) {
        if let Some(stream) = self.streams.get_mut(slot) {
            stream.wait(cx);
        }
    }

    /// Nobody holds the stream any more.
    pub(super) fn release(&mut self, slot: usize) {
        let Some(stream) = self.streams.get(slot) else { return };
        if !stream.is_over() {
            // What is left of a request that was answered is not wanted; nothing went wrong.
            let answered = self.end == End::Server && stream.sent_end;
            self.reset(slot, if answered { Code::NO_ERROR } else { Code::CANCEL });
        }
        let mut stream = self.streams.remove(slot);
        self.facts.streams.set(self.streams.len() as u32);
        self.counted.mux().h2_stream_end.inc();
        self.trace(h2::STREAM_END, Level::State, stream.id, "H2 stream terminated");
        let waiting = stream.waiting();
        scratch::give(&mut stream.inbox);
        if self.streams.is_empty() {
            self.spare.truncate(IDLE_SPARE);
        }
        self.claim(None, waiting);
        self.wake();
    }
}

/// Sections that are kept for decoding while there is no stream, and at most.
const IDLE_SPARE: usize = 4;
const BUSY_SPARE: usize = 128;

/// The ping that shows that a peer knows it is to leave.
pub(super) const LEAVE: &[u8; 8] = b"sluiceGO";
/// The ping that shows that a peer is alive.
pub(super) const ALIVE: &[u8; 8] = b"sluiceOK";
