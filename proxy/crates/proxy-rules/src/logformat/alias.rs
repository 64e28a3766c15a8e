//! The `%aliases`, one row each (configuration manual, 8.2.6).

use std::net::{IpAddr, SocketAddr};

use super::encode::{self, UNSAFE_IN_CAPTURE, UNSAFE_IN_URL};
use super::facts::{AnsweredBy, LogFacts};
use super::render::Line;
use crate::address;
use crate::date::{Civil, zone};
use crate::sample::context::Date;

type Run = fn(&mut Line<'_, '_, '_>);

/// A log-format alias.
#[derive(Clone, Copy)]
pub struct AliasDef {
    pub name: &'static str,
    /// Exists in `mode http` only.
    pub http: bool,
    pub run: Run,
    /// One line.
    pub doc: &'static str,
}

impl std::fmt::Debug for AliasDef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// Aliases whose values are numbers where they are encoded.
const NUMBERS: &[&str] = &[
    "B", "ST", "TR", "Ta", "Tc", "Td", "Th", "Ti", "Tq", "Tr", "Ts", "Tt", "Tu", "Tw", "U", "ac",
    "bc", "bp", "bq", "cp", "fc", "fp", "lc", "ms", "pid", "rc", "rt", "sc", "sp", "sq",
];

impl AliasDef {
    /// Whether the value is a number where it is encoded.
    pub fn is_number(&self) -> bool {
        NUMBERS.contains(&self.name)
    }
}

const fn any(name: &'static str, run: Run, doc: &'static str) -> AliasDef {
    AliasDef { name, http: false, run, doc }
}

const fn http(name: &'static str, run: Run, doc: &'static str) -> AliasDef {
    AliasDef { name, http: true, run, doc }
}

/// Every row, by name. `%o` is no row: it only sets flags.
pub const ALL: &[AliasDef] = &[
    any("B", bytes_out, "Bytes sent to the client."),
    http("CC", request_cookie, "Captured cookie of the request."),
    http("CS", response_cookie, "Captured cookie of the response."),
    any("H", hostname, "Name of the machine."),
    http("HM", method, "Method."),
    http("HP", uri_path, "Target without the query."),
    http("HPO", path_only, "Path only."),
    http("HQ", query, "Query with its question mark."),
    http("HU", uri, "Target."),
    http("HV", version, "Version, such as HTTP/1.1."),
    any("ID", unique_id, "Unique id."),
    any("OG", origin, "Why the line was made."),
    any("ST", status, "Status sent to the client."),
    any("T", accept_utc, "Accept date, UTC."),
    http("TR", t_request, "Time to receive the request."),
    http("Ta", t_active, "Active time of the request."),
    any("Tc", t_connect, "Time to connect to the server."),
    any("Td", t_data, "Time to transfer the data."),
    any("Th", t_handshake, "Time of the handshakes."),
    http("Ti", t_idle, "Idle time before the request."),
    any("Tl", accept_local, "Accept date, local."),
    http("Tq", t_query, "Th + Ti + TR."),
    http("Tr", t_response, "Time to get the response head."),
    any("Ts", accept_secs, "Accept date, seconds since 1970."),
    any("Tt", t_total, "Total time."),
    any("Tu", t_user, "Total time as the user feels it."),
    any("Tw", t_queue, "Time in queues."),
    any("U", bytes_in, "Bytes received from the client."),
    any("ac", process_conns, "Connections of the process."),
    any("b", backend, "Backend."),
    any("bc", backend_conns, "Connections of the backend."),
    any("bi", backend_src_ip, "Own address towards the server."),
    any("bp", backend_src_port, "Own port towards the server."),
    any("bq", backend_queue, "Place in the backend's queue."),
    any("ci", client_ip, "Client's address."),
    any("cp", client_port, "Client's port."),
    any("f", frontend, "Frontend."),
    any("fc", frontend_conns, "Connections of the frontend."),
    any("fi", frontend_ip, "Address the client connected to."),
    any("fp", frontend_port, "Port the client connected to."),
    any("ft", frontend_transport, "Frontend, with `~` when encrypted."),
    any("hr", request_headers, "Captured request headers between braces."),
    any("hrl", request_header_list, "Captured request headers, one field each."),
    any("hs", response_headers, "Captured response headers between braces."),
    any("hsl", response_header_list, "Captured response headers, one field each."),
    any("lc", line_number, "Number of the line in its frontend."),
    any("ms", accept_ms, "Milliseconds of the accept date."),
    any("pid", pid, "Process."),
    http("r", request_line, "Request line."),
    any("rc", retries, "Retries, with `+` after a redispatch."),
    any("rt", stream_number, "Number of the stream in the process."),
    any("s", server, "Server, or who else answered."),
    any("sc", server_conns, "Connections of the server."),
    any("si", server_ip, "Server's address."),
    any("sp", server_port, "Server's port."),
    any("sq", server_queue, "Place in the server's queue."),
    any("sslc", tls_cipher, "Cipher of the client's connection."),
    any("sslv", tls_version, "TLS version of the client's connection."),
    any("t", accept_local_ms, "Accept date, local, with milliseconds."),
    http("tr", request_local_ms, "Request date, local, with milliseconds."),
    http("trg", request_utc, "Request date, UTC."),
    http("trl", request_local, "Request date, local."),
    any("ts", termination, "Termination state."),
    http("tsc", termination_cookies, "Termination state with the cookies'."),
];

/// The row called `name`.
pub fn find(name: &str) -> Option<&'static AliasDef> {
    ALL.iter().find(|def| def.name == name)
}

/// Facts of a context that has none.
static NO_FACTS: LogFacts<'static> = LogFacts::NONE;

impl<'a> Line<'_, 'a, '_> {
    fn facts(&self) -> &'a LogFacts<'a> {
        self.cx.facts.unwrap_or(&NO_FACTS)
    }

    /// A duration, -1 for a phase that was not reached.
    fn timer(&mut self, ms: Option<u32>) {
        self.number(ms.map_or(-1, i64::from));
    }

    /// A sum that may still grow.
    fn growing(&mut self, n: i64) {
        if self.facts().unfinished && !self.plain {
            self.out.push(b'+');
        }
        self.number(n);
    }

    fn ip(&mut self, addr: Option<IpAddr>) {
        if let (Some(ip), true) = (addr, self.flags.hex) {
            match ip {
                IpAddr::V4(ip) => encode::push_hex(self.out, u64::from(u32::from(ip)), 8),
                IpAddr::V6(ip) => {
                    let bits = u128::from(ip);
                    encode::push_hex(self.out, (bits >> 64) as u64, 16);
                    encode::push_hex(self.out, bits as u64, 16);
                }
            }
            return;
        }
        self.quoted(addr.is_none(), |line| {
            if let Some(ip) = addr {
                line.out.extend_from_slice(address::text(ip, &mut [0; 46]));
            }
        });
    }

    fn port(&mut self, addr: Option<SocketAddr>) {
        match addr {
            Some(addr) => self.number_or_hex(u64::from(addr.port()), 4),
            None => self.quoted(true, |_| {}),
        }
    }

    fn display(&mut self, value: impl std::fmt::Display) {
        use std::io::Write;
        // Writing to memory cannot fail.
        let _ = write!(self.out, "{value}");
    }

    /// Date, and the offset from UTC.
    fn date_zone(&mut self, date: Date, offset: i32) {
        let secs = date.secs.saturating_add(i64::from(offset));
        self.out.extend_from_slice(&Civil::log_at(secs));
        self.out.push(b' ');
        self.out.extend_from_slice(&zone(offset));
    }

    /// Local date with milliseconds.
    fn date_ms(&mut self, date: Date) {
        let local = date.secs.saturating_add(i64::from(self.cx.clock.utc_offset));
        self.out.extend_from_slice(&Civil::log_at(local));
        let ms = date.usec / 1000 % 1000;
        let digit = |n: u32| b'0' + (n % 10) as u8;
        self.out.extend_from_slice(&[b'.', digit(ms / 100), digit(ms / 10), digit(ms)]);
    }

    fn accepted(&self) -> Date {
        match (self.cx.facts, self.cx.session) {
            (Some(facts), _) => facts.accepted,
            (None, Some(session)) => session.accepted,
            (None, None) => Date::default(),
        }
    }

    fn request_date(&self) -> Date {
        self.cx.facts.map_or_else(|| self.accepted(), |f| f.request)
    }

    /// `{a|b}`, or nothing when nothing is captured by declaration.
    fn braces(&mut self, captures: &[Option<&[u8]>]) {
        if captures.is_empty() {
            return;
        }
        self.quoted(false, |line| {
            line.out.push(b'{');
            for (i, capture) in captures.iter().enumerate() {
                if i > 0 {
                    line.out.push(b'|');
                }
                encode::push(line.out, capture.unwrap_or_default(), b'#', &UNSAFE_IN_CAPTURE);
            }
            line.out.push(b'}');
        });
    }

    fn list(&mut self, captures: &[Option<&[u8]>]) {
        for (i, capture) in captures.iter().enumerate() {
            if i > 0 {
                self.out.push(b' ');
            }
            self.encoded(capture.unwrap_or_default(), &UNSAFE_IN_CAPTURE);
        }
    }

    /// The parts of the request line, or `None` when there is no such line.
    fn request_parts(&self) -> Option<[&'a [u8]; 3]> {
        if let Some(facts) = self.cx.facts {
            let line = facts.request_line?;
            let (method, rest) = cut(line);
            let (uri, version) = cut(rest);
            return Some([method, uri, version]);
        }
        let (method, uri, version) = self.cx.request?.received();
        Some([method, uri, version])
    }

    /// A part of the request line, or `<BADREQ>`.
    fn request_part(&mut self, part: impl FnOnce([&'a [u8]; 3]) -> &'a [u8]) {
        match self.request_parts() {
            Some(parts) => {
                let text = part(parts);
                // An empty part stays empty: only a missing request has a word for it.
                if text.is_empty() && !self.flags.quote {
                    return;
                }
                self.encoded(text, &UNSAFE_IN_URL);
            }
            None => self.string(b"<BADREQ>"),
        }
    }
}

/// Cuts at the first space.
fn cut(text: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b' ', text) {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, b""),
    }
}

fn query_start(uri: &[u8]) -> usize {
    memchr::memchr(b'?', uri).unwrap_or(uri.len())
}

fn sum(terms: &[Option<u32>]) -> Option<u32> {
    terms.iter().try_fold(0u32, |sum, term| Some(sum.saturating_add((*term)?)))
}

fn bytes_out(line: &mut Line<'_, '_, '_>) {
    line.growing(line.facts().bytes_out as i64);
}

fn request_cookie(line: &mut Line<'_, '_, '_>) {
    line.encoded(line.facts().request_cookie.unwrap_or_default(), &UNSAFE_IN_URL);
}

fn response_cookie(line: &mut Line<'_, '_, '_>) {
    line.encoded(line.facts().response_cookie.unwrap_or_default(), &UNSAFE_IN_URL);
}

fn hostname(line: &mut Line<'_, '_, '_>) {
    line.string(line.cx.shared.hostname.as_bytes());
}

fn method(line: &mut Line<'_, '_, '_>) {
    line.request_part(|[method, ..]| method);
}

fn uri_path(line: &mut Line<'_, '_, '_>) {
    line.request_part(|[_, uri, _]| &uri[..query_start(uri)]);
}

fn path_only(line: &mut Line<'_, '_, '_>) {
    line.request_part(|[_, uri, _]| {
        let path = proxy_http::uri::split(uri).path;
        if path.starts_with(b"/") { path } else { b"" }
    });
}

fn query(line: &mut Line<'_, '_, '_>) {
    line.request_part(|[_, uri, _]| &uri[query_start(uri)..]);
}

fn uri(line: &mut Line<'_, '_, '_>) {
    line.request_part(|[_, uri, _]| uri);
}

fn version(line: &mut Line<'_, '_, '_>) {
    line.request_part(|[.., version]| version);
}

fn unique_id(line: &mut Line<'_, '_, '_>) {
    line.string(line.facts().unique_id.unwrap_or_default());
}

fn origin(line: &mut Line<'_, '_, '_>) {
    line.string(line.facts().origin.name().as_bytes());
}

fn status(line: &mut Line<'_, '_, '_>) {
    let status = line.facts().status;
    line.number(status.map_or(-1, i64::from));
}

fn accept_utc(line: &mut Line<'_, '_, '_>) {
    line.date_zone(line.accepted(), 0);
}

fn t_request(line: &mut Line<'_, '_, '_>) {
    line.timer(line.facts().request_head);
}

fn t_active(line: &mut Line<'_, '_, '_>) {
    let f = line.facts();
    let before = f.idle.unwrap_or(0).saturating_add(f.handshake.unwrap_or(0));
    line.growing(i64::from(f.total.saturating_sub(before)));
}

fn t_connect(line: &mut Line<'_, '_, '_>) {
    line.timer(line.facts().connect);
}

fn t_data(line: &mut Line<'_, '_, '_>) {
    let f = line.facts();
    let before = sum(&[t_q(f), f.queue, f.connect, f.response_head]);
    line.timer(before.map(|before| f.total.saturating_sub(before)));
}

fn t_q(f: &LogFacts<'_>) -> Option<u32> {
    let before = f.idle.unwrap_or(0).saturating_add(f.handshake.unwrap_or(0));
    Some(f.request_head?.saturating_add(before))
}

fn t_handshake(line: &mut Line<'_, '_, '_>) {
    line.timer(Some(line.facts().handshake.unwrap_or(0)));
}

fn t_idle(line: &mut Line<'_, '_, '_>) {
    line.timer(Some(line.facts().idle.unwrap_or(0)));
}

fn accept_local(line: &mut Line<'_, '_, '_>) {
    line.date_zone(line.accepted(), line.cx.clock.utc_offset);
}

fn t_query(line: &mut Line<'_, '_, '_>) {
    line.timer(t_q(line.facts()));
}

fn t_response(line: &mut Line<'_, '_, '_>) {
    line.timer(line.facts().response_head);
}

fn accept_secs(line: &mut Line<'_, '_, '_>) {
    let secs = line.accepted().secs;
    line.number_or_hex(u64::try_from(secs).unwrap_or(0), 4);
}

fn t_total(line: &mut Line<'_, '_, '_>) {
    line.growing(i64::from(line.facts().total));
}

fn t_user(line: &mut Line<'_, '_, '_>) {
    let f = line.facts();
    line.growing(i64::from(f.total.saturating_sub(f.idle.unwrap_or(0))));
}

fn t_queue(line: &mut Line<'_, '_, '_>) {
    line.timer(line.facts().queue);
}

fn bytes_in(line: &mut Line<'_, '_, '_>) {
    line.number(line.facts().bytes_in as i64);
}

fn process_conns(line: &mut Line<'_, '_, '_>) {
    line.number(i64::from(line.facts().process_conns));
}

fn backend(line: &mut Line<'_, '_, '_>) {
    let name = line.cx.backend.map(|b| &*b.name).or_else(|| line.cx.frontend.map(|f| &*f.name));
    line.string(name.unwrap_or_default().as_bytes());
}

fn backend_conns(line: &mut Line<'_, '_, '_>) {
    line.number(i64::from(line.facts().backend_conns));
}

fn backend_src_ip(line: &mut Line<'_, '_, '_>) {
    line.ip(line.facts().backend_src.map(|a| a.ip()));
}

fn backend_src_port(line: &mut Line<'_, '_, '_>) {
    line.port(line.facts().backend_src);
}

fn backend_queue(line: &mut Line<'_, '_, '_>) {
    line.number(i64::from(line.facts().backend_queue));
}

fn client_ip(line: &mut Line<'_, '_, '_>) {
    match line.cx.session {
        Some(_) if line.cx.src().is_none() => line.string(b"unix"),
        _ => line.ip(line.cx.src().map(|a| a.ip())),
    }
}

fn client_port(line: &mut Line<'_, '_, '_>) {
    match line.cx.session {
        Some(session) if line.cx.src().is_none() => {
            line.number_or_hex(u64::from(session.listener.id.0), 4);
        }
        _ => line.port(line.cx.src()),
    }
}

fn frontend(line: &mut Line<'_, '_, '_>) {
    line.string(line.cx.frontend.map_or("", |f| &*f.name).as_bytes());
}

fn frontend_conns(line: &mut Line<'_, '_, '_>) {
    line.number(i64::from(line.facts().frontend_conns));
}

fn frontend_ip(line: &mut Line<'_, '_, '_>) {
    match line.cx.session {
        Some(_) if line.cx.dst().is_none() => line.string(b"unix"),
        _ => line.ip(line.cx.dst().map(|a| a.ip())),
    }
}

fn frontend_port(line: &mut Line<'_, '_, '_>) {
    match line.cx.session {
        Some(session) if line.cx.dst().is_none() => {
            line.number_or_hex(u64::from(session.listener.id.0), 4);
        }
        _ => line.port(line.cx.dst()),
    }
}

fn frontend_transport(line: &mut Line<'_, '_, '_>) {
    let name = line.cx.frontend.map_or("", |f| &*f.name).as_bytes();
    let tls = line.facts().tls;
    line.quoted(name.is_empty(), |line| {
        line.raw(name);
        if tls {
            line.out.push(b'~');
        }
    });
}

fn request_headers(line: &mut Line<'_, '_, '_>) {
    line.braces(line.facts().request_captures);
}

fn request_header_list(line: &mut Line<'_, '_, '_>) {
    line.list(line.facts().request_captures);
}

fn response_headers(line: &mut Line<'_, '_, '_>) {
    line.braces(line.facts().response_captures);
}

fn response_header_list(line: &mut Line<'_, '_, '_>) {
    line.list(line.facts().response_captures);
}

fn line_number(line: &mut Line<'_, '_, '_>) {
    line.number_or_hex(u64::from(line.facts().line_number), 4);
}

fn accept_ms(line: &mut Line<'_, '_, '_>) {
    let ms = line.accepted().usec / 1000;
    if line.flags.hex {
        encode::push_hex(line.out, u64::from(ms), 2);
    } else {
        line.display(format_args!("{ms:03}"));
    }
}

fn pid(line: &mut Line<'_, '_, '_>) {
    line.number_or_hex(u64::from(line.cx.shared.pid), 4);
}

fn request_line(line: &mut Line<'_, '_, '_>) {
    match line.request_parts() {
        Some(parts) => match line.cx.facts.and_then(|f| f.request_line) {
            Some(text) => line.encoded(text, &UNSAFE_IN_URL),
            None => line.quoted(false, |line| {
                for (i, part) in parts.iter().enumerate() {
                    if i > 0 {
                        line.out.push(b' ');
                    }
                    encode::push(line.out, part, b'#', &UNSAFE_IN_URL);
                }
            }),
        },
        None => line.string(b"<BADREQ>"),
    }
}

fn retries(line: &mut Line<'_, '_, '_>) {
    if line.facts().redispatched {
        line.out.push(b'+');
    }
    line.number(i64::from(line.facts().retries));
}

fn stream_number(line: &mut Line<'_, '_, '_>) {
    line.number_or_hex(u64::from(line.facts().stream_number), 4);
}

fn server(line: &mut Line<'_, '_, '_>) {
    match (line.facts().answered_by, line.cx.server) {
        (AnsweredBy::Applet(name), _) => line.quoted(false, |line| {
            line.out.push(b'<');
            line.raw(name.as_bytes());
            line.out.push(b'>');
        }),
        (AnsweredBy::Server, Some(server)) => line.string(server.name.as_bytes()),
        (AnsweredBy::Server, None) => line.string(b"<NOSRV>"),
    }
}

fn server_conns(line: &mut Line<'_, '_, '_>) {
    line.number(i64::from(line.facts().server_conns));
}

fn server_ip(line: &mut Line<'_, '_, '_>) {
    line.ip(line.facts().backend_dst.map(|a| a.ip()));
}

fn server_port(line: &mut Line<'_, '_, '_>) {
    line.port(line.facts().backend_dst);
}

fn server_queue(line: &mut Line<'_, '_, '_>) {
    line.number(i64::from(line.facts().server_queue));
}

fn tls_cipher(line: &mut Line<'_, '_, '_>) {
    line.string(line.facts().tls_cipher.unwrap_or_default());
}

fn tls_version(line: &mut Line<'_, '_, '_>) {
    line.string(line.facts().tls_version.unwrap_or_default());
}

fn accept_local_ms(line: &mut Line<'_, '_, '_>) {
    line.date_ms(line.accepted());
}

fn request_local_ms(line: &mut Line<'_, '_, '_>) {
    line.date_ms(line.request_date());
}

fn request_utc(line: &mut Line<'_, '_, '_>) {
    line.date_zone(line.request_date(), 0);
}

fn request_local(line: &mut Line<'_, '_, '_>) {
    line.date_zone(line.request_date(), line.cx.clock.utc_offset);
}

fn termination(line: &mut Line<'_, '_, '_>) {
    let t = line.facts().termination;
    line.out.extend_from_slice(&[t.cause, t.phase]);
}

fn termination_cookies(line: &mut Line<'_, '_, '_>) {
    let t = line.facts().termination;
    line.out.extend_from_slice(&[t.cause, t.phase, t.request_cookie, t.response_cookie]);
}
