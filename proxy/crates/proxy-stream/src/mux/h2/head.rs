//! Heads of ours as fields (RFC 9113 section 8, RFC 8441).

use proxy_http::framed::is_connection_field;
use proxy_http::h2::hpack::{write_field, write_request_line, write_status};
use proxy_http::{HeaderList, Method, RequestHead, ResponseHead, uri, value};

/// Writes the section of a request. `extended_connect` says that the server takes tunnels on streams: an upgrade
/// becomes one.
pub(super) fn write_request(
    head: &RequestHead,
    tls: bool,
    extended_connect: bool,
    out: &mut Vec<u8>,
) {
    let headers = head.headers();
    let parts = uri::split(head.target());
    let authority = match headers.get(b"host") {
        Some(host) if !host.is_empty() => host,
        _ => parts.authority,
    };
    let upgrade = head.flags().upgrade.then(|| headers.get(b"upgrade")).flatten();
    let protocol = upgrade.filter(|_| extended_connect);
    let (mut scheme, mut path) = (None, None);
    if head.method() != Method::Connect {
        let https = parts.scheme.eq_ignore_ascii_case(b"https") || parts.scheme.is_empty() && tls;
        scheme = Some(if https { &b"https"[..] } else { b"http" });
        let target = head.path_and_query();
        path = Some(if target.is_empty() { &b"/"[..] } else { target });
    }
    let method = if protocol.is_some() { b"CONNECT" } else { head.method_text() };
    let authority = Some(authority).filter(|authority| !authority.is_empty());
    write_request_line(out, method, scheme, path, authority, protocol);
    write_fields(headers, out, |name| {
        name.eq_ignore_ascii_case(b"host")
            || upgrade.is_some() && name.eq_ignore_ascii_case(b"sec-websocket-key")
    });
}

/// Writes the section of a response. A switch of protocols is a plain success here.
pub(super) fn write_response(head: &ResponseHead, out: &mut Vec<u8>) {
    let switched = head.status() == 101;
    write_status(out, if switched { 200 } else { head.status() });
    write_fields(head.headers(), out, |name| {
        switched && name.eq_ignore_ascii_case(b"sec-websocket-accept")
    });
}

/// Writes fields, but for those of HTTP/1 connections, those that `Connection` names, and those to `skip`.
fn write_fields(from: &HeaderList, out: &mut Vec<u8>, skip: impl Fn(&[u8]) -> bool) {
    let listed = from.contains(b"connection");
    for field in from.iter() {
        let te = field.name.eq_ignore_ascii_case(b"te");
        if is_connection_field(field.name)
            || skip(field.name)
            || listed && from.has_token(b"connection", field.name)
            || te && !field.value.eq_ignore_ascii_case(b"trailers")
        {
            continue;
        }
        write_field(out, field.name, field.value);
    }
}

/// Writes trailer lines as a section.
pub(super) fn write_trailers(lines: &[u8], out: &mut Vec<u8>) {
    for line in lines.split(|&b| b == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Some(colon) = memchr::memchr(b':', line) else { continue };
        let (name, value) = (&line[..colon], value::trim(&line[colon + 1..]));
        let pseudo = name.is_empty();
        if !pseudo && !is_connection_field(name) && !name.eq_ignore_ascii_case(b"content-length") {
            write_field(out, name, value);
        }
    }
}
