//! Received frames and what they do to a link (RFC 9113 sections 5 and 6).

use proxy_http::h2::frame::{
    self, Code, FrameHead, PAYLOAD, STREAM_MAX, WINDOW_MAX, content, flag, kind, number, setting,
};
use proxy_http::h2::hpack::Bounds;
use proxy_http::h2::{Fields, take_trailers};

use super::frames;
use super::link::{End, Head, Incoming, LEAVE, Leaving, Link};
use crate::traces;

/// CONTINUATION frames of one section.
const CONTINUATIONS: u32 = 64;
/// Requests that a client may give up within a second, before they were answered.
const RESETS: u32 = 500;

/// What the receiving side keeps between frames.
pub(super) struct Receiver {
    /// Largest payload we take.
    frame: usize,
    bounds: Bounds,
    /// Streams that a client may have at once.
    streams: usize,
    settled: bool,
    /// The stream of an unfinished field section.
    section: Option<Section>,
    resets: u32,
}

struct Section {
    stream: u32,
    ended: bool,
    bytes: Vec<u8>,
    parts: u32,
}

/// The connection fails with this code.
type Outcome = Result<(), Code>;

impl Receiver {
    pub(super) fn new(frame: usize, bounds: Bounds, streams: u32) -> Self {
        let streams = if streams == 0 { usize::MAX } else { streams as usize };
        Self { frame, bounds, streams, settled: false, section: None, resets: 0 }
    }

    /// The first part of a head was received, and not the last.
    pub(super) fn mid_head(&self) -> bool {
        self.section.is_some()
    }

    /// A second went by.
    pub(super) fn calm_down(&mut self) {
        self.resets = 0;
    }

    /// Whether more can be taken in: streams that are over for the peer may still be held.
    pub(super) fn has_room(&self, link: &Link) -> bool {
        link.end == End::Client || link.streams.len() < self.streams.saturating_mul(2)
    }

    /// Takes the first frame of `bytes`; returns how long it was, and 0 when it is not complete.
    pub(super) fn take(&mut self, link: &mut Link, bytes: &[u8]) -> Result<usize, Code> {
        let Some(head) = FrameHead::parse(bytes) else { return Ok(0) };
        if head.len > self.frame {
            return Err(Code::FRAME_SIZE_ERROR);
        }
        let Some(payload) = bytes.get(frame::HEAD..frame::HEAD + head.len) else { return Ok(0) };
        link.count_received(&head);
        if traces::H2.wants(u64::MAX) {
            link.trace_frame(frames::RECEIVED, &head);
        }
        if !std::mem::replace(&mut self.settled, true)
            && (head.kind != kind::SETTINGS || head.has(flag::ACK))
        {
            return Err(Code::PROTOCOL_ERROR);
        }
        self.frame(link, &head, payload)?;
        Ok(frame::HEAD + head.len)
    }

    fn frame(&mut self, link: &mut Link, head: &FrameHead, payload: &[u8]) -> Outcome {
        if let Some(section) = &self.section
            && (head.kind != kind::CONTINUATION || head.stream != section.stream)
        {
            return Err(Code::PROTOCOL_ERROR);
        }
        match head.kind {
            kind::DATA => data(link, head, payload),
            kind::HEADERS => self.headers(link, head, payload),
            kind::CONTINUATION => self.continuation(link, head, payload),
            kind::PRIORITY if head.stream == 0 => Err(Code::PROTOCOL_ERROR),
            kind::PRIORITY if payload.len() != 5 => {
                link.glitch();
                self.reset_id(link, head.stream, Code::FRAME_SIZE_ERROR);
                Ok(())
            }
            kind::RST_STREAM => self.rst_stream(link, head, payload),
            kind::SETTINGS => settings(link, head, payload),
            kind::PUSH_PROMISE => Err(Code::PROTOCOL_ERROR),
            kind::PING => ping(link, head, payload),
            kind::GOAWAY => goaway(link, head, payload),
            kind::WINDOW_UPDATE => window_update(link, head, payload),
            // Unknown ones are to be ignored (RFC 9113 section 5.5).
            _ => Ok(()),
        }
    }

    fn reset_id(&self, link: &mut Link, id: u32, code: Code) {
        match link.ids.get(&id) {
            Some(&slot) => link.reset(slot, code),
            None => link.frame(kind::RST_STREAM, 0, id, &code.0.to_be_bytes()),
        }
    }

    fn headers(&mut self, link: &mut Link, head: &FrameHead, payload: &[u8]) -> Outcome {
        if head.stream == 0 {
            return Err(Code::PROTOCOL_ERROR);
        }
        let part = content(head, payload).ok_or(Code::PROTOCOL_ERROR)?;
        let ended = head.has(flag::END_STREAM);
        if head.has(flag::END_HEADERS) {
            return self.section(link, head.stream, ended, part);
        }
        let bytes = part.to_vec();
        self.section = Some(Section { stream: head.stream, ended, bytes, parts: 0 });
        Ok(())
    }

    fn continuation(&mut self, link: &mut Link, head: &FrameHead, payload: &[u8]) -> Outcome {
        let most = self.bounds.bytes.saturating_add(self.frame);
        let Some(section) = &mut self.section else { return Err(Code::PROTOCOL_ERROR) };
        section.parts += 1;
        if section.bytes.len() + payload.len() > most || section.parts > CONTINUATIONS {
            link.glitch();
            return Err(Code::ENHANCE_YOUR_CALM);
        }
        section.bytes.extend_from_slice(payload);
        if !head.has(flag::END_HEADERS) {
            return Ok(());
        }
        let Some(section) = self.section.take() else { return Ok(()) };
        self.section(link, section.stream, section.ended, &section.bytes)
    }

    /// A whole field section.
    fn section(&mut self, link: &mut Link, id: u32, ended: bool, bytes: &[u8]) -> Outcome {
        let mut fields = link.fields();
        let whole = link.decoder.decode(bytes, self.bounds, &mut fields).map_err(|error| {
            tracing::debug!(%error, "HTTP/2 fields");
            link.glitch();
            Code::COMPRESSION_ERROR
        })?;
        if !whole {
            link.glitch();
        }
        match link.ids.get(&id).copied() {
            Some(slot) => self.of_stream(link, slot, fields, whole, ended),
            None if link.end == End::Server => self.request(link, id, fields, whole, ended),
            None => unknown(link, id, fields),
        }
    }

    /// A client begins a request.
    fn request(
        &mut self,
        link: &mut Link,
        id: u32,
        fields: Fields,
        whole: bool,
        ended: bool,
    ) -> Outcome {
        if id.is_multiple_of(2) {
            return Err(Code::PROTOCOL_ERROR);
        }
        if id <= link.last_id {
            return unknown(link, id, fields);
        }
        if link.leaving == Leaving::Last {
            link.recycle(fields);
            return Ok(());
        }
        link.last_id = id;
        if link.ids.len() >= self.streams {
            link.glitch();
            link.recycle(fields);
            link.frame(kind::RST_STREAM, 0, id, &Code::REFUSED_STREAM.0.to_be_bytes());
            return Ok(());
        }
        let slot = link.insert(id);
        if ended {
            link.ended(slot);
        }
        link.incoming.push_back(Incoming { slot, fields, whole, ended });
        Ok(())
    }

    /// A response, or trailers.
    fn of_stream(
        &mut self,
        link: &mut Link,
        slot: usize,
        fields: Fields,
        whole: bool,
        ended: bool,
    ) -> Outcome {
        let client = link.end == End::Client;
        let Some(stream) = link.stream(slot) else { return Ok(()) };
        if stream.ended {
            link.glitch();
            link.reset(slot, Code::STREAM_CLOSED);
            link.recycle(fields);
            return Ok(());
        }
        if client && !stream.answered {
            let status = fields.iter().next().filter(|(name, _)| *name == b":status");
            let interim = status.is_some_and(|(_, value)| value.starts_with(b"1")) && !ended;
            stream.answered = !interim;
            if !whole {
                link.recycle(fields);
                link.reset(slot, Code::ENHANCE_YOUR_CALM);
                return Ok(());
            }
            if !link.keep(slot, Head { fields, ended }) {
                link.glitch();
                link.reset(slot, Code::ENHANCE_YOUR_CALM);
            } else if ended {
                link.ended(slot);
            }
            return Ok(());
        }
        let taken = whole && ended && take_trailers(&fields, &mut stream.trailers).is_ok();
        let complete = stream.count(0, true);
        link.recycle(fields);
        if taken && complete {
            link.ended(slot);
        } else {
            link.glitch();
            link.reset(slot, Code::PROTOCOL_ERROR);
        }
        Ok(())
    }

    fn rst_stream(&mut self, link: &mut Link, head: &FrameHead, payload: &[u8]) -> Outcome {
        if payload.len() != 4 {
            return Err(Code::FRAME_SIZE_ERROR);
        }
        if head.stream == 0 || is_idle(link, head.stream) {
            return Err(Code::PROTOCOL_ERROR);
        }
        let Some(slot) = link.ids.remove(&head.stream) else { return Ok(()) };
        let code = Code(number(payload));
        let server = link.end == End::Server;
        let Some(stream) = link.stream(slot) else { return Ok(()) };
        (stream.reset, stream.told) = (Some(code), true);
        let unanswered = !stream.sent_end;
        link.wake_stream(slot);
        if server && unanswered {
            self.resets += 1;
            if self.resets > RESETS {
                link.glitch();
                return Err(Code::ENHANCE_YOUR_CALM);
            }
        }
        Ok(())
    }
}

/// Whether no frame of this stream can have come yet.
fn is_idle(link: &Link, id: u32) -> bool {
    match link.end {
        End::Server => id > link.last_id,
        End::Client => id.is_multiple_of(2) || id >= link.next_id,
    }
}

/// A section of a stream that is over.
fn unknown(link: &mut Link, id: u32, fields: Fields) -> Outcome {
    link.recycle(fields);
    if is_idle(link, id) {
        return Err(Code::PROTOCOL_ERROR);
    }
    if link.end == End::Server {
        // It may have been sent before our reset arrived.
        link.glitch();
    }
    Ok(())
}

fn data(link: &mut Link, head: &FrameHead, payload: &[u8]) -> Outcome {
    if head.stream == 0 || is_idle(link, head.stream) {
        return Err(Code::PROTOCOL_ERROR);
    }
    let bytes = content(head, payload).ok_or(Code::PROTOCOL_ERROR)?;
    let (all, padding) = (payload.len() as i64, payload.len() - bytes.len());
    link.recv_window -= all;
    if link.recv_window < 0 {
        return Err(Code::FLOW_CONTROL_ERROR);
    }
    let ended = head.has(flag::END_STREAM);
    if bytes.is_empty() && !ended {
        link.glitch();
    }
    let Some(&slot) = link.ids.get(&head.stream) else {
        // Whoever it was for is gone; the connection's window is not.
        link.claim(None, payload.len());
        return Ok(());
    };
    let Some(stream) = link.stream(slot) else { return Ok(()) };
    let wrong = if stream.ended {
        Some(Code::STREAM_CLOSED)
    } else if stream.recv_window < all {
        Some(Code::FLOW_CONTROL_ERROR)
    } else if !stream.count(bytes.len(), ended) {
        Some(Code::PROTOCOL_ERROR)
    } else {
        stream.recv_window -= all;
        None
    };
    if let Some(code) = wrong {
        link.glitch();
        link.claim(None, payload.len());
        link.reset(slot, code);
        return Ok(());
    }
    if padding > 0 {
        link.claim(Some(slot), padding);
    }
    link.receive(slot, bytes);
    if ended {
        link.ended(slot);
    }
    Ok(())
}

fn settings(link: &mut Link, head: &FrameHead, payload: &[u8]) -> Outcome {
    if head.stream != 0 {
        return Err(Code::PROTOCOL_ERROR);
    }
    if head.has(flag::ACK) {
        return if payload.is_empty() { Ok(()) } else { Err(Code::FRAME_SIZE_ERROR) };
    }
    if !payload.len().is_multiple_of(6) {
        return Err(Code::FRAME_SIZE_ERROR);
    }
    for entry in payload.chunks_exact(6) {
        let (id, value) = (u16::from_be_bytes([entry[0], entry[1]]), number(&entry[2..]));
        match id {
            setting::HEADER_TABLE_SIZE => {
                link.drop_table |= value < link.peer.table;
                link.peer.table = value;
            }
            setting::ENABLE_PUSH if value > 1 => return Err(Code::PROTOCOL_ERROR),
            setting::MAX_CONCURRENT_STREAMS => {
                link.peer.streams = value;
                if link.end == End::Client {
                    link.facts.limit.set(value.min(link.facts.limit.get()));
                }
            }
            setting::INITIAL_WINDOW_SIZE => {
                if value > STREAM_MAX {
                    return Err(Code::FLOW_CONTROL_ERROR);
                }
                let by = i64::from(value) - link.peer.window;
                link.peer.window = i64::from(value);
                for (_, stream) in &mut link.streams {
                    stream.send_window += by;
                    if stream.send_window > WINDOW_MAX {
                        return Err(Code::FLOW_CONTROL_ERROR);
                    }
                }
            }
            setting::MAX_FRAME_SIZE => {
                let size = value as usize;
                if !(PAYLOAD..1 << 24).contains(&size) {
                    return Err(Code::PROTOCOL_ERROR);
                }
                link.peer.frame = size;
            }
            setting::ENABLE_CONNECT_PROTOCOL => link.peer.extended_connect = value == 1,
            _ => {}
        }
    }
    link.peer.known = true;
    link.wake_streams();
    link.frame(kind::SETTINGS, flag::ACK, 0, &[]);
    Ok(())
}

fn ping(link: &mut Link, head: &FrameHead, payload: &[u8]) -> Outcome {
    if payload.len() != 8 {
        return Err(Code::FRAME_SIZE_ERROR);
    }
    if head.stream != 0 {
        return Err(Code::PROTOCOL_ERROR);
    }
    if !head.has(flag::ACK) {
        link.frame(kind::PING, flag::ACK, 0, payload);
    } else if payload == LEAVE && link.leaving == Leaving::Told {
        link.close_entry();
    }
    Ok(())
}

fn goaway(link: &mut Link, head: &FrameHead, payload: &[u8]) -> Outcome {
    if head.stream != 0 {
        return Err(Code::PROTOCOL_ERROR);
    }
    if payload.len() < 8 {
        return Err(Code::FRAME_SIZE_ERROR);
    }
    let last = number(payload) & STREAM_MAX;
    link.goaway = Some(last);
    if link.end == End::Client {
        // Those beyond were not looked at: they can go elsewhere.
        let refused: Vec<_> =
            link.ids.iter().filter(|(id, _)| **id > last).map(|(_, slot)| *slot).collect();
        for slot in refused {
            if let Some(stream) = link.stream(slot) {
                stream.reset = Some(Code::REFUSED_STREAM);
                let id = stream.id;
                link.ids.remove(&id);
                link.wake_stream(slot);
            }
        }
    }
    Ok(())
}

fn window_update(link: &mut Link, head: &FrameHead, payload: &[u8]) -> Outcome {
    if payload.len() != 4 {
        return Err(Code::FRAME_SIZE_ERROR);
    }
    let by = i64::from(number(payload) & STREAM_MAX);
    if head.stream == 0 {
        if by == 0 {
            return Err(Code::PROTOCOL_ERROR);
        }
        link.send_window += by;
        if link.send_window > WINDOW_MAX {
            return Err(Code::FLOW_CONTROL_ERROR);
        }
        link.unblock();
        return Ok(());
    }
    if is_idle(link, head.stream) {
        return Err(Code::PROTOCOL_ERROR);
    }
    let Some(&slot) = link.ids.get(&head.stream) else { return Ok(()) };
    let Some(stream) = link.stream(slot) else { return Ok(()) };
    stream.send_window += by;
    let wrong = match stream.send_window {
        _ if by == 0 => Some(Code::PROTOCOL_ERROR),
        window if window > WINDOW_MAX => Some(Code::FLOW_CONTROL_ERROR),
        _ => None,
    };
    match wrong {
        Some(code) => {
            link.glitch();
            link.reset(slot, code);
        }
        None => link.wake_stream(slot),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use proxy_http::h2::hpack::{write_field, write_request_line, write_status};

    use proxy_state::counters::Mux;

    use super::super::Settings;
    use super::*;

    const BOUNDS: Bounds = Bounds { bytes: 4000, fields: 20 };
    const NO_SETTINGS: (u8, u8, u32, &[u8]) = (kind::SETTINGS, 0, 0, &[]);

    fn get() -> Vec<u8> {
        let mut section = Vec::new();
        write_request_line(&mut section, b"GET", Some(b"http"), Some(b"/"), Some(b"a"), None);
        section
    }

    /// Feeds frames to an end; how it failed, and the frames that it queued as `kind:flags:stream:first number`.
    fn feed(end: End, frames: &[(u8, u8, u32, &[u8])]) -> (Link, Result<(), Code>, String) {
        let mut link = Link::new(end, &Settings::default(), Rc::default(), &Mux::default());
        let mut receiver = Receiver::new(PAYLOAD, BOUNDS, 2);
        if end == End::Client {
            let slot = link.insert(0);
            link.begin(slot).unwrap();
            link.section(slot, true, |out| out.extend(get())).unwrap();
            link.sent(link.backlog());
        }
        let mut outcome = Ok(());
        for (kind, flags, stream, payload) in [&[NO_SETTINGS], frames].concat() {
            let mut bytes = Vec::new();
            frame::write(&mut bytes, kind, flags, stream, payload);
            assert_eq!(receiver.take(&mut link, &bytes[..bytes.len() - 1]), Ok(0));
            match receiver.take(&mut link, &bytes) {
                Ok(n) => assert_eq!(n, bytes.len()),
                Err(code) => {
                    outcome = Err(code);
                    break;
                }
            }
        }
        let (mut said, mut rest) = (Vec::new(), &link.out[link.out_at..]);
        while let Some(head) = FrameHead::parse(rest) {
            let first = number(&rest[frame::HEAD..frame::HEAD + head.len]);
            said.push(format!("{}:{}:{}:{first}", head.kind, head.flags, head.stream));
            rest = &rest[frame::HEAD + head.len..];
        }
        // The acknowledgement of the settings comes first.
        let said = said.split_off(1).join(" ");
        (link, outcome, said)
    }

    #[track_caller]
    fn check(end: End, frames: &[(u8, u8, u32, &[u8])], outcome: Result<(), Code>, said: &str) {
        let (_, got, queued) = feed(end, frames);
        assert_eq!((got, queued.as_str()), (outcome, said), "{frames:?}");
    }

    const WHOLE: u8 = flag::END_HEADERS | flag::END_STREAM;
    const OPEN: u8 = flag::END_HEADERS;

    #[test]
    fn what_clients_may_not_send() {
        let get = get();
        let open = (kind::HEADERS, OPEN, 1, &get[..]);
        let done = (kind::HEADERS, WHOLE, 1, &get[..]);
        for (frames, code) in [
            (&[(kind::HEADERS, WHOLE, 0, &get[..])][..], Code::PROTOCOL_ERROR),
            (&[(kind::HEADERS, WHOLE, 2, &get)], Code::PROTOCOL_ERROR),
            (&[(kind::DATA, 0, 1, b"x")], Code::PROTOCOL_ERROR),
            (&[(kind::DATA, 0, 0, b"x")], Code::PROTOCOL_ERROR),
            (&[open, (kind::DATA, flag::PADDED, 1, b"\x05x")], Code::PROTOCOL_ERROR),
            (&[(kind::RST_STREAM, 0, 1, &[0; 4])], Code::PROTOCOL_ERROR),
            (&[open, (kind::RST_STREAM, 0, 1, &[0; 3])], Code::FRAME_SIZE_ERROR),
            (&[(kind::SETTINGS, 0, 1, &[])], Code::PROTOCOL_ERROR),
            (&[(kind::SETTINGS, 0, 0, &[0; 5])], Code::FRAME_SIZE_ERROR),
            (&[(kind::SETTINGS, flag::ACK, 0, &[0; 6])], Code::FRAME_SIZE_ERROR),
            (&[(kind::SETTINGS, 0, 0, &[0, 4, 0xff, 0xff, 0xff, 0xff])], Code::FLOW_CONTROL_ERROR),
            (&[(kind::SETTINGS, 0, 0, &[0, 5, 0, 0, 0, 1])], Code::PROTOCOL_ERROR),
            (&[(kind::PUSH_PROMISE, 0, 1, &[0; 4])], Code::PROTOCOL_ERROR),
            (&[(kind::PING, 0, 0, &[0; 7])], Code::FRAME_SIZE_ERROR),
            (&[(kind::WINDOW_UPDATE, 0, 0, &[0; 4])], Code::PROTOCOL_ERROR),
            (&[(kind::WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff])], Code::FLOW_CONTROL_ERROR),
            (&[(kind::WINDOW_UPDATE, 0, 3, &[0, 0, 0, 1])], Code::PROTOCOL_ERROR),
            (&[(kind::CONTINUATION, OPEN, 1, &get)], Code::PROTOCOL_ERROR),
            (&[(kind::HEADERS, 0, 1, &get), (kind::PING, 0, 0, &[0; 8])], Code::PROTOCOL_ERROR),
            (&[(kind::HEADERS, OPEN, 1, b"\xff")], Code::COMPRESSION_ERROR),
            (&[done, (kind::PRIORITY, 0, 0, &[0; 5])], Code::PROTOCOL_ERROR),
        ] {
            check(End::Server, frames, Err(code), "");
        }
    }

    #[test]
    fn what_costs_a_stream_only() {
        let get = get();
        let open = (kind::HEADERS, OPEN, 1, &get[..]);
        let done = (kind::HEADERS, WHOLE, 1, &get[..]);
        for (frames, said) in [
            // Beyond what was offered: it may try again.
            (
                &[open, (kind::HEADERS, OPEN, 3, &get[..]), (kind::HEADERS, OPEN, 5, &get)][..],
                "3:0:5:7",
            ),
            // Half closed, and closed.
            (&[done, (kind::DATA, 0, 1, b"x")], "3:0:1:5"),
            (&[open, (kind::RST_STREAM, 0, 1, &[0; 4]), (kind::DATA, 0, 1, b"x")], ""),
            (&[open, (kind::WINDOW_UPDATE, 0, 1, &[0; 4])], "3:0:1:1"),
            (&[open, (kind::WINDOW_UPDATE, 0, 1, &[0x7f, 0xff, 0xff, 0xff])], "3:0:1:3"),
            (&[open, (kind::PRIORITY, 0, 1, &[0; 4])], "3:0:1:6"),
            // Trailers have to end the stream, and have no pseudo fields.
            (&[open, (kind::HEADERS, OPEN, 1, &[])], "3:0:1:1"),
            (&[open, (kind::HEADERS, WHOLE, 1, &get)], "3:0:1:1"),
            (&[open, (kind::HEADERS, WHOLE, 1, &[])], ""),
            (&[(kind::PING, 0, 0, &[0, 0, 0, 9, 0, 0, 0, 0])], "6:1:0:9"),
            (&[(77, 255, 9, b"unknown")], ""),
        ] {
            check(End::Server, frames, Ok(()), said);
        }
    }

    #[test]
    fn windows_are_kept() {
        let get = get();
        let mut frames: Vec<(u8, u8, u32, &[u8])> = vec![(kind::HEADERS, OPEN, 1, &get)];
        let full = [0; PAYLOAD];
        frames.extend([(kind::DATA, 0, 1, &full[..]); 4]);
        // 65,535 bytes may be under way on the connection, which nobody has widened here.
        check(End::Server, &frames, Err(Code::FLOW_CONTROL_ERROR), "");
        let (mut link, outcome, _) = feed(End::Server, &frames[..4]);
        assert_eq!((outcome, link.stream(0).unwrap().waiting()), (Ok(()), 3 * PAYLOAD));
        link.set_length(0, Some(10));
        assert_eq!(link.stream(0).unwrap().reset, Some(Code::PROTOCOL_ERROR));
        assert_eq!(link.glitches(), 1);
    }

    #[test]
    fn sections_in_parts() {
        let get = get();
        let (first, rest) = get.split_at(2);
        let begun = (kind::HEADERS, flag::END_STREAM, 1, first);
        let (link, outcome, _) = feed(End::Server, &[begun, (kind::CONTINUATION, OPEN, 1, rest)]);
        assert_eq!((outcome, link.incoming.len()), (Ok(()), 1));
        let more = vec![0; 8000];
        let frames = [
            begun,
            (kind::CONTINUATION, 0, 1, &more[..]),
            (kind::CONTINUATION, 0, 1, &more),
            (kind::CONTINUATION, 0, 1, &more),
        ];
        check(End::Server, &frames, Err(Code::ENHANCE_YOUR_CALM), "");
        let mut frames = vec![begun];
        frames.extend([(kind::CONTINUATION, 0, 1, &[][..]); 65]);
        check(End::Server, &frames, Err(Code::ENHANCE_YOUR_CALM), "");
    }

    #[test]
    fn too_large_a_head_is_said_to_be_so() {
        let mut section = get();
        write_field(&mut section, b"x", &[b'y'; 5000]);
        let (mut link, outcome, _) = feed(End::Server, &[(kind::HEADERS, WHOLE, 1, &section)]);
        assert_eq!((outcome, link.glitches()), (Ok(()), 1));
        assert!(!link.incoming.pop_front().unwrap().whole);
    }

    #[test]
    fn responses() {
        let section = |status| {
            let mut section = Vec::new();
            write_status(&mut section, status);
            section
        };
        let (hint, ok) = (section(103), section(200));
        let frames = [(kind::HEADERS, OPEN, 1, &hint[..]), (kind::HEADERS, WHOLE, 1, &ok)];
        let (mut link, outcome, said) = feed(End::Client, &frames);
        assert_eq!((outcome, said.as_str()), (Ok(()), ""));
        let stream = link.stream(0).unwrap();
        assert_eq!((stream.heads.len(), stream.answered, stream.is_over()), (2, true, true));
        // Interim responses without end.
        let many = [(kind::HEADERS, OPEN, 1, &hint[..]); 9];
        check(End::Client, &many, Ok(()), "3:0:1:11");
        // What the server did not look at can go elsewhere.
        let (mut link, ..) = feed(End::Client, &[(kind::GOAWAY, 0, 0, &[0; 8])]);
        assert_eq!(link.stream(0).unwrap().reset, Some(Code::REFUSED_STREAM));
        check(End::Client, &[(kind::DATA, 0, 3, b"x")], Err(Code::PROTOCOL_ERROR), "");
    }

    #[test]
    fn resets_without_end() {
        let get = get();
        let mut frames: Vec<(u8, u8, u32, &[u8])> = Vec::new();
        for n in 0..=RESETS {
            frames.push((kind::HEADERS, WHOLE, n * 2 + 1, &get));
            frames.push((kind::RST_STREAM, 0, n * 2 + 1, &[0, 0, 0, 8]));
        }
        check(End::Server, &frames, Err(Code::ENHANCE_YOUR_CALM), "");
    }
}
