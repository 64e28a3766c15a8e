//! Streams under `filter trace`.

use std::fmt::Write as _;
use std::sync::Arc;

use proxy_http::HeaderList;

use super::Exchange;
use crate::session::Session;
use crate::trace::Tracer;

/// Has the filters of a section see the stream from here on.
pub(super) fn attach(s: &Session, x: &mut Exchange, tracers: &[Arc<Tracer>], section: &str) {
    for tracer in tracers {
        tracer.tell(x.number, &format!("attached in {section} by {:?}", s.facts.src));
        if x.record.request_read {
            let (method, target, version) = x.request.received();
            let line = [method, target, version].map(String::from_utf8_lossy).join(" ");
            tracer.tell(x.number, &head("request", &line, x.request.headers()));
        }
        x.to_server.traced().add(tracer, x.number, false);
        x.to_client.traced().add(tracer, x.number, true);
    }
}

/// Tells of the response head.
pub(super) fn response(s: &Session, x: &Exchange) {
    let of_back = x.backend.as_ref().map_or(&[][..], |back| &back.tracers);
    for tracer in s.front.tracers.iter().chain(of_back).filter(|tracer| !tracer.quiet) {
        let line = format!("HTTP {}", x.response.status());
        tracer.tell(x.number, &head("response", &line, x.response.headers()));
    }
}

/// Tells that it is over.
pub(super) fn end(s: &Session, x: &Exchange) {
    let of_back = x.record.backend.as_ref().map_or(&[][..], |back| &back.tracers);
    for tracer in s.front.tracers.iter().chain(of_back) {
        tracer.tell(x.number, "detached");
    }
}

fn head(what: &str, line: &str, headers: &HeaderList) -> String {
    let mut text = format!("{what} head: {line}");
    for field in headers.iter() {
        let (name, value) =
            (String::from_utf8_lossy(field.name), String::from_utf8_lossy(field.value));
        // Writing to memory does not fail.
        let _ = write!(text, "\n  {name}: {value}");
    }
    text
}
