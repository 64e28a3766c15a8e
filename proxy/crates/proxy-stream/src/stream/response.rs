//! The response head's way through the proxy: what the client gets to see of it.

use proxy_http::h1::{Keep, write_response};
use proxy_http::{BodyLen, Method, Version};

use super::{Exchange, request};
use crate::mux::h1::Body;
use crate::session::Session;
use crate::term::Fault;

/// What a response head is.
pub(super) enum Kind {
    /// 1xx: another one follows.
    Interim,
    /// The last one of this exchange.
    Final,
}

/// Takes the head that was just parsed and queues it for the client.
pub(super) fn received(s: &mut Session, x: &mut Exchange) -> Result<Kind, Fault> {
    match x.response.status() {
        101 if !x.request.flags().upgrade => Err(Fault::BadResponse),
        101 => {
            x.tunnel = true;
            forward(s, x)
        }
        100..=199 => {
            // A client that speaks HTTP/1.0 does not know interim responses.
            if x.request.version() == Version::Http11 {
                let response = &x.response;
                x.to_client.queue(|out| write_response(response, out));
            }
            Ok(Kind::Interim)
        }
        200..=299 if x.request.method() == Method::Connect => {
            x.tunnel = true;
            forward(s, x)
        }
        _ => forward(s, x),
    }
}

fn forward(s: &mut Session, x: &mut Exchange) -> Result<Kind, Fault> {
    x.record.response_done = Some(s.thread.tick());
    x.record.status = Some(x.response.status());
    let old_client = x.request.version() == Version::Http10;
    let body = x.response.body();
    x.keep_server &= x.response.is_persistent();
    x.keep_client &= (body != BodyLen::UntilClose) && !s.thread.stop.is_draining();

    let headers = x.response.headers_mut();
    let mut keep = Keep::Chunks;
    if body == BodyLen::Chunked && old_client {
        // Chunks mean nothing to this client: it gets the payload, ended by the close.
        keep = Keep::Payload;
        headers.remove(b"transfer-encoding");
        x.keep_client = false;
    }
    if x.record.status == Some(204) {
        headers.remove(b"content-length");
        headers.remove(b"transfer-encoding");
    }
    if x.tunnel {
        x.keep_server = false;
        x.keep_client = false;
        headers.remove(b"content-length");
        headers.remove(b"transfer-encoding");
    } else {
        request::strip_connection(headers);
        if !x.keep_client {
            headers.append(b"connection", b"close");
        } else if old_client {
            headers.append(b"connection", b"keep-alive");
        }
    }
    let body = if x.tunnel { Body::Done } else { Body::new(body, keep) };
    let response = &x.response;
    x.to_client.start(body, |out| write_response(response, out));
    Ok(Kind::Final)
}
