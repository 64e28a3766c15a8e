//! Response heads that rules hold back: `http-response pause` and `wait-for-body` (configuration manual, 4.4).

use std::task::Context;
use std::time::Duration;

use proxy_http::BodyLen;
use proxy_http::h1::{ChunkDecoder, Keep};
use proxy_net::timer::Timer;

use super::Exchange;
use super::response::{self, Kind};
use crate::backend;
use crate::io::Conn;
use crate::mux::h1::Wire;
use crate::session::Session;
use crate::term::Fault;

/// Where rules go on, and what they can see of the body.
#[derive(Debug, Default)]
pub(super) struct Resumed {
    pub(super) set: usize,
    pub(super) at: usize,
    pub(super) data: Option<Vec<u8>>,
}

/// Why rules did not come to their end.
pub(super) enum Paused {
    Fault(Fault),
    Held(Box<Held>),
}

/// A head that is held back.
pub(crate) struct Held {
    timer: Timer,
    /// How the server sent it.
    pub(super) from: Wire,
    set: usize,
    at: usize,
    /// The body is waited for, or so many bytes of it when that is not 0.
    body: Option<u64>,
    /// The payload of a body in chunks, and the bytes of the connection that the decoder has seen.
    payload: Vec<u8>,
    decoder: ChunkDecoder,
    seen: usize,
}

impl Held {
    pub(super) fn new(time: Duration, body: Option<u64>, set: usize, at: usize) -> Box<Self> {
        let timer = Timer::new();
        timer.arm(Some(time));
        let (payload, decoder) = (Vec::new(), ChunkDecoder::default());
        Box::new(Self { timer, from: Wire::Http11, set, at, body, payload, decoder, seen: 0 })
    }
}

/// Goes on once there is no more to wait for; true when the head was sent, or queued.
pub(super) fn poll(
    s: &mut Session,
    x: &mut Exchange,
    server: &mut Conn,
    cx: &mut Context<'_>,
) -> Result<bool, Fault> {
    while let Some(held) = &mut x.held {
        let over = held.timer.poll_expired(cx).is_ready();
        let data = match held.body {
            None if !over => return Ok(false),
            None => None,
            Some(at_least) => {
                let limit = s.thread.env.limits.max_head;
                backend::receive(server, cx, limit).map_err(|_| Fault::ResponseAbort)?;
                let whole = is_whole(held, x.response.body(), server)?;
                let there = server.input.len();
                if !(whole || there >= limit || at_least > 0 && there as u64 >= at_least) {
                    return if over { Err(Fault::ResponseTimeout) } else { Ok(false) };
                }
                Some(match x.response.body() {
                    BodyLen::Chunked if held.from == Wire::Http11 => {
                        std::mem::take(&mut held.payload)
                    }
                    BodyLen::Length(n) => {
                        let n = usize::try_from(n).unwrap_or(usize::MAX).min(there);
                        server.input.data()[..n].to_vec()
                    }
                    BodyLen::None => Vec::new(),
                    BodyLen::Chunked | BodyLen::UntilClose => server.input.data().to_vec(),
                })
            }
        };
        let from = held.from;
        let resumed = Resumed { set: held.set, at: held.at, data };
        x.held = None;
        if let Kind::Final = response::go_on(s, x, from, &resumed)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the body waits with the connection to its end.
fn is_whole(held: &mut Held, body: BodyLen, server: &Conn) -> Result<bool, Fault> {
    let data = server.input.data();
    Ok(match body {
        BodyLen::None => true,
        BodyLen::Length(n) => data.len() as u64 >= n || server.eof,
        BodyLen::Chunked if held.from == Wire::Http11 => {
            let start = held.payload.len();
            held.payload.extend_from_slice(&data[held.seen..]);
            let filtered = held
                .decoder
                .filter(&mut held.payload[start..], Keep::Payload)
                .map_err(|_| Fault::BadResponse)?;
            held.payload.truncate(start + filtered.produced);
            held.seen += filtered.consumed;
            filtered.done || server.eof
        }
        BodyLen::Chunked | BodyLen::UntilClose => server.eof,
    })
}
