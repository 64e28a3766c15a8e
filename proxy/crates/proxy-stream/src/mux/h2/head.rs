//! Heads between the HTTP/2 library's form and ours (RFC 9113 section 8).

use std::io;

use h2::ext::Protocol;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use proxy_http::framed::{RequestLine, is_connection_field};
use proxy_http::{BodyLen, HeaderList, Method, RequestHead, ResponseHead, uri};

/// Fills `head` with a received request. `ended` says that no body follows.
pub(super) fn take_request<B>(request: &http::Request<B>, ended: bool, head: &mut RequestHead) {
    let uri = request.uri();
    let line = RequestLine {
        method: request.method().as_str().as_bytes(),
        scheme: uri.scheme_str().unwrap_or_default().as_bytes(),
        authority: uri.authority().map_or("", Authority::as_str).as_bytes(),
        path: uri.path_and_query().map_or("", PathAndQuery::as_str).as_bytes(),
        version: b"HTTP/2.0",
        upgrade: request.extensions().get::<Protocol>().map(|p| p.as_str().as_bytes()),
    };
    let tunnel = line.method == b"CONNECT";
    let body = if ended || tunnel { BodyLen::None } else { length(request.headers()) };
    head.assemble(&line, fields(request.headers()), body);
}

/// Fills `head` with a received response to a request of `method`.
pub(super) fn take_response<B>(
    response: &http::Response<B>,
    ended: bool,
    method: Method,
    head: &mut ResponseHead,
) {
    let status = response.status().as_u16();
    let bodiless = ended || status < 200 || matches!(status, 204 | 304) || method == Method::Head;
    let body = if bodiless { BodyLen::None } else { length(response.headers()) };
    head.assemble(status, fields(response.headers()), body);
}

fn fields(map: &HeaderMap) -> impl Iterator<Item = (&[u8], &[u8])> {
    map.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()))
}

/// The library holds bodies to what `content-length` says.
fn length(map: &HeaderMap) -> BodyLen {
    let said = map.get(http::header::CONTENT_LENGTH).and_then(|v| v.to_str().ok());
    said.and_then(|v| v.parse().ok()).map_or(BodyLen::Chunked, BodyLen::Length)
}

/// The request to send for `head`. Fails when it cannot be said in HTTP/2.
pub(super) fn make_request(
    head: &RequestHead,
    tls: bool,
    extended_connect: bool,
) -> io::Result<http::Request<()>> {
    let headers = head.headers();
    let parts = uri::split(head.target());
    let authority = match headers.get(b"host") {
        Some(host) if !host.is_empty() => host,
        _ => parts.authority,
    };
    let upgrade = head.flags().upgrade.then(|| headers.get(b"upgrade")).flatten();
    let mut request = http::Request::new(());
    *request.method_mut() = if upgrade.is_some() && extended_connect {
        http::Method::CONNECT
    } else {
        http::Method::from_bytes(head.method_text()).map_err(io::Error::other)?
    };
    let mut uri = http::uri::Parts::default();
    if !authority.is_empty() {
        uri.authority = Some(Authority::try_from(authority).map_err(io::Error::other)?);
    }
    if head.method() != Method::Connect {
        let https = parts.scheme.eq_ignore_ascii_case(b"https") || parts.scheme.is_empty() && tls;
        uri.scheme = Some(if https { Scheme::HTTPS } else { Scheme::HTTP });
        let path = head.path_and_query();
        let path = if path.is_empty() { b"/" } else { path };
        uri.path_and_query = Some(PathAndQuery::try_from(path).map_err(io::Error::other)?);
    }
    // A request without an authority is one that the library takes from HTTP/1 only.
    *request.version_mut() = match uri.authority {
        Some(_) => http::Version::HTTP_2,
        None => {
            uri.scheme = None;
            http::Version::HTTP_11
        }
    };
    *request.uri_mut() = Uri::from_parts(uri).map_err(io::Error::other)?;
    if let Some(protocol) = upgrade.filter(|_| extended_connect) {
        let protocol = std::str::from_utf8(protocol).map_err(io::Error::other)?;
        request.extensions_mut().insert(Protocol::from(protocol));
    }
    make_fields(headers, request.headers_mut(), |name| {
        name.eq_ignore_ascii_case(b"host")
            || upgrade.is_some() && name.eq_ignore_ascii_case(b"sec-websocket-key")
    });
    Ok(request)
}

/// The response to send for `head`. A switch of protocols is a plain success here (RFC 8441).
pub(super) fn make_response(head: &ResponseHead) -> io::Result<http::Response<()>> {
    let mut response = http::Response::new(());
    let switched = head.status() == 101;
    let status = if switched { 200 } else { head.status() };
    *response.status_mut() = http::StatusCode::from_u16(status).map_err(io::Error::other)?;
    *response.version_mut() = http::Version::HTTP_2;
    make_fields(head.headers(), response.headers_mut(), |name| {
        switched && name.eq_ignore_ascii_case(b"sec-websocket-accept")
    });
    Ok(response)
}

/// Copies fields, but for those of HTTP/1 connections, those that `Connection` names, and those to `skip`.
fn make_fields(from: &HeaderList, to: &mut HeaderMap, skip: impl Fn(&[u8]) -> bool) {
    to.reserve(from.len());
    let listed = from.contains(b"connection");
    for field in from.iter() {
        if is_connection_field(field.name)
            || skip(field.name)
            || listed && from.has_token(b"connection", field.name)
        {
            continue;
        }
        if field.name.eq_ignore_ascii_case(b"te") && !field.value.eq_ignore_ascii_case(b"trailers")
        {
            continue;
        }
        add(to, field.name, field.value);
    }
}

/// A field that HTTP/2 cannot carry is left out.
fn add(to: &mut HeaderMap, name: &[u8], value: &[u8]) {
    let pair = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value));
    if let (Ok(name), Ok(value)) = pair {
        to.append(name, value);
    }
}

/// Trailer lines as fields.
pub(super) fn make_trailers(lines: &[u8]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for line in lines.split(|&b| b == b'\n') {
        let Some(colon) = memchr::memchr(b':', line) else { continue };
        let (name, value) = (&line[..colon], proxy_http::value::trim(&line[colon + 1..]));
        if !is_connection_field(name) && !name.eq_ignore_ascii_case(b"content-length") {
            add(&mut map, name, value.strip_suffix(b"\r").unwrap_or(value));
        }
    }
    map
}

/// Fields as trailer lines.
pub(super) fn take_trailers(map: &HeaderMap, lines: &mut Vec<u8>) {
    for (name, value) in fields(map) {
        for part in [name, b": ", value, b"\r\n"] {
            lines.extend_from_slice(part);
        }
    }
}
