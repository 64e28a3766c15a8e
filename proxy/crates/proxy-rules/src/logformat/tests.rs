//! Rows: a format, and its text for the facts below. Texts were compared with HAProxy 2.6.

use std::net::{Ipv4Addr, SocketAddr};

use proxy_types::{Diagnostics, Mode, Spanned};

use super::{LogFacts, LogFormat, Termination, Use, formats};
use crate::sample::context::Date;
use crate::sample::example::{CLOCK, Traffic};
use crate::sample::{EvalCtx, NoFiles, ParseCx, Place};

fn parse(text: &str, purpose: Use, mode: Mode, traffic: &Traffic) -> Result<LogFormat, String> {
    let mut diag = Diagnostics::new();
    let mut refs = Vec::new();
    let place = if purpose == Use::Log { Place::Log } else { Place::FeHttpRequest };
    let mut cx = ParseCx {
        section: "fe",
        listen: false,
        place,
        mode,
        vars: &traffic.names,
        loader: &NoFiles,
        patterns: &crate::pattern::PatternLists::default(),
        keys: &crate::jwt::PublicKeys::default(),
        files: &(),
        captures: None,
        acls: None,
        counters: crate::track::COUNTERS,
        diag: &mut diag,
        refs: &mut refs,
    };
    LogFormat::parse(Spanned::builtin(text.as_bytes()), purpose, &mut cx).map_err(|d| d.message)
}

const UA: &[u8] = b"a\"b{c|d}\x01\xe9 #";

fn facts() -> LogFacts<'static> {
    LogFacts {
        accepted: CLOCK.date,
        request: Date { secs: CLOCK.date.secs + 1, usec: 7_000 },
        handshake: Some(0),
        idle: Some(1),
        request_head: Some(2),
        queue: Some(3),
        connect: Some(4),
        response_head: Some(5),
        total: 25,
        status: Some(200),
        bytes_out: 1234,
        bytes_in: 99,
        process_conns: 7,
        frontend_conns: 6,
        backend_conns: 5,
        server_conns: 4,
        backend_src: Some(SocketAddr::from((Ipv4Addr::new(10, 0, 0, 250), 50000))),
        backend_dst: Some(SocketAddr::from((Ipv4Addr::new(10, 0, 0, 1), 8080))),
        request_line: Some(b"GET /a/b?x=1 HTTP/1.1"),
        stream_number: 18,
        line_number: 3,
        ..LogFacts::NONE
    }
}

#[track_caller]
fn check_with(
    text: &str,
    purpose: Use,
    change: impl Fn(&mut LogFacts<'static>, &mut EvalCtx<'_>),
    expected: &str,
) {
    let traffic = Traffic::new();
    let format = parse(text, purpose, Mode::Http, &traffic).unwrap();
    let mut facts = facts();
    let mut cx = traffic.context();
    change(&mut facts, &mut cx);
    let cx = EvalCtx { facts: Some(&facts), ..cx };
    assert_eq!(String::from_utf8_lossy(format.render(&cx)), expected, "{text}");
}

#[track_caller]
fn check(text: &str, expected: &str) {
    check_with(text, Use::Log, |_, _| {}, expected);
}

#[test]
fn built_in_formats() {
    check(
        formats::HTTP,
        "192.0.2.10:40000 [22/Nov/2026:11:00:01.007] fe be/s1 2/3/4/5/24 200 1234 - - ---- 7/6/5/4/0 0/0 \
         \"GET /a/b?x=1 HTTP/1.1\"",
    );
    check(
        formats::HTTP_CLF,
        "192.0.2.10 - - [22/Nov/2026:10:00:01 +0000] \"GET /a/b?x=1 HTTP/1.1\" 200 1234 \"\" \"\" 40000 123 \
         \"fe\" \"be\" \"s1\" 2 3 4 5 24 ---- 7 6 5 4 0 0 0 \"\" \"\" ",
    );
    check(
        formats::TCP,
        "192.0.2.10:40000 [22/Nov/2026:11:00:00.123] fe be/s1 3/4/25 1234 -- 7/6/5/4/0 0/0",
    );
    let captured = |f: &mut LogFacts<'static>, _: &mut EvalCtx<'_>| {
        f.request_captures = &[Some(UA), None];
        f.response_captures = &[None];
        f.unfinished = true;
        f.redispatched = true;
        f.retries = 2;
        f.termination =
            Termination { cause: b'C', phase: b'D', request_cookie: b'V', response_cookie: b'N' };
    };
    check_with(
        formats::HTTP,
        Use::Log,
        captured,
        "192.0.2.10:40000 [22/Nov/2026:11:00:01.007] fe be/s1 2/3/4/5/+24 200 +1234 - - CDVN 7/6/5/4/+2 0/0 \
         {a#22b#7Bc#7Cd#7D#01#E9 #23|} {} \"GET /a/b?x=1 HTTP/1.1\"",
    );
    check_with(
        formats::TCP,
        Use::Log,
        captured,
        "192.0.2.10:40000 [22/Nov/2026:11:00:00.123] fe be/s1 3/4/+25 +1234 CD 7/6/5/4/+2 0/0",
    );
    let bad = |f: &mut LogFacts<'static>, cx: &mut EvalCtx<'_>| {
        *f = LogFacts {
            status: Some(400),
            process_conns: 1,
            frontend_conns: 1,
            termination: Termination { cause: b'P', phase: b'R', ..Termination::NONE },
            accepted: CLOCK.date,
            request: CLOCK.date,
            ..LogFacts::NONE
        };
        cx.backend = None;
        cx.server = None;
    };
    check_with(
        formats::HTTP,
        Use::Log,
        bad,
        "192.0.2.10:40000 [22/Nov/2026:11:00:00.123] fe fe/<NOSRV> -1/-1/-1/-1/0 400 0 - - PR-- 1/1/0/0/0 0/0 \
         \"<BADREQ>\"",
    );
}

#[test]
fn aliases() {
    check("%Th/%Ti/%TR/%Tq/%Tw/%Tc/%Tr/%Ta/%Tt/%Td/%Tu", "0/1/2/3/3/4/5/24/25/10/24");
    check(
        "%T|%Tl|%t|%tr|%trg|%trl",
        "22/Nov/2026:10:00:00 +0000|22/Nov/2026:11:00:00 +0100|22/Nov/2026:11:00:00.123|22/Nov/2026:11:00:01.007|22/Nov/2026:10:00:01 +0000|22/Nov/2026:11:00:01 +0100",
    );
    check("%Ts %ms %pid %H %lc %rt", "1795341600 123 4711 lb1 3 18");
    check(
        "%ci %cp %fi %fp %bi %bp %si %sp",
        "192.0.2.10 40000 198.51.100.1 80 10.0.0.250 50000 10.0.0.1 8080",
    );
    check(
        "%{+X}o%ci:%cp_%fi:%fp_%Ts_%rt:%pid %lc %ms",
        "C000020A:9C40_C6336401:0050_6B02BD20_0012:1267 0003 7B",
    );
    check(
        "%r|%HM|%HP|%HPO|%HQ|%HU|%HV",
        "GET /a/b?x=1 HTTP/1.1|GET|/a/b|/a/b|?x=1|/a/b?x=1|HTTP/1.1",
    );
    let absolute = |f: &mut LogFacts<'static>, _: &mut EvalCtx<'_>| {
        f.request_line = Some(b"GET http://h/a?b=c HTTP/1.0")
    };
    check_with("%HP|%HPO|%HQ|%HU", Use::Log, absolute, "http://h/a|/a|?b=c|http://h/a?b=c");
    let star = |f: &mut LogFacts<'static>, _: &mut EvalCtx<'_>| {
        f.request_line = Some(b"OPTIONS * HTTP/1.1")
    };
    check_with(
        "%r|%HM|%HP|%HPO|%HQ|%HU|%HV|%{+Q}HQ",
        Use::Log,
        star,
        "OPTIONS * HTTP/1.1|OPTIONS|*|||*|HTTP/1.1|\"\"",
    );
    let none = |f: &mut LogFacts<'static>, _: &mut EvalCtx<'_>| f.request_line = None;
    check_with(
        "%r|%HM|%HP|%HV|%{+Q}HM",
        Use::Log,
        none,
        "<BADREQ>|<BADREQ>|<BADREQ>|<BADREQ>|\"<BADREQ>\"",
    );
    check("%ID %sslc %sslv %OG %U %ST", "- - - unspec 99 200");
    check(
        "%{+Q}o %ID %CC %s %b %hr %hrl %hs %si %sp %ST",
        "\"\" \"\" \"s1\" \"be\" \"10.0.0.1\" 8080 200",
    );
    check_with(
        "%s %{+Q}s",
        Use::Log,
        |f, _| f.answered_by = super::AnsweredBy::Applet("STATS"),
        "<STATS> \"<STATS>\"",
    );
    check_with("%ft", Use::Log, |f, _| f.tls = true, "fe~");
    let captures =
        |f: &mut LogFacts<'static>, _: &mut EvalCtx<'_>| f.request_captures = &[Some(UA), None];
    check_with(
        "%hrl|%{+Q}hrl|%{+Q}hr",
        Use::Log,
        captures,
        "a#22b#7Bc#7Cd#7D#01#E9 #23 -|\"a#22b#7Bc#7Cd#7D#01#E9 #23\" \"\"|\"{a#22b#7Bc#7Cd#7D#01#E9 #23|}\"",
    );
    check_with("%CC", Use::Log, |f, _| f.request_cookie = Some(b"a=b"), "a=b");
}

#[test]
fn text_flags_and_expressions() {
    check("a%%b  c", "a%b c");
    check(" a%{+Q}b", "a\"be\"");
    check("%[src] x  %[var(txn.no)]  y%[bool(1)]  ", "192.0.2.10 x - y1 ");
    check("<%[var(txn.no)]> <%{+Q}[var(txn.no)]> <%[str()]>", "<-> <\"\"> <->");
    check("%{+E}[str(a]b)] %[str(a]b)]", "a\\]b a]b");
    check("%{+Q}o %{-Q}ci %ci", "192.0.2.10 \"192.0.2.10\"");
    check("%{Q}ci %(name:str){+Q}ci %(name)[src]", "192.0.2.10 \"192.0.2.10\" 192.0.2.10");
    check("%{+Q}ci%cp|%[status]", "\"192.0.2.10\"40000|200");
    check("%[bin(410d0a42097fff)]", "A#0D#0AB\t#7F\u{fffd}");
    check_with(
        "%[bin(410d0a42097fff)]  x%[var(txn.no)]",
        Use::Http,
        |_, _| {},
        "A%0D%0AB\t%7F\u{fffd}  x",
    );
    check_with(
        "%[req.hdr(host),field(1,:)]/%b%[path]",
        Use::Http,
        |_, _| {},
        "www.example.com/be/a/b.png",
    );
}

#[track_caller]
fn check_error(text: &str, mode: Mode, expected: &str) {
    let got = parse(text, Use::Log, mode, &Traffic::new()).map(|_| ());
    assert_eq!(got, Err(expected.to_owned()), "{text}");
}

#[test]
fn encodings() {
    check(
        "%{+json}o %(request)r text %ci %(custom)[str(ab)] %(st)ST %(none)[var(txn.no)]",
        "{\"request\": \"GET /a/b?x=1 HTTP/1.1\", \"custom\": \"ab\", \"st\": 200, \"none\": null}",
    );
    check("%{+json}[str(x)] %{+json}ST %{+json}[bool(1)] %ci", "\"x\" 200 true 192.0.2.10");
    check("%(:sint){+json}[str(12)] %(:str){+json}ST %(:bool){+json}[int(0)]", "12 \"200\" false");
    check("%{+json}[bin(610a22ff)]", "\"a\\n\\\"\\u00ff\"");
    check("%{+cbor}o %(a)ST %(b)[str(xy)] %(c)[int(-3)]", "BF616118C86162627879616322FF");
    let growing = |f: &mut LogFacts<'static>, _: &mut EvalCtx<'_>| f.unfinished = true;
    check_with("%{+json}B %B", Use::Log, growing, "1234 +1234");
}

#[test]
fn errors() {
    check_error("%zzzz", Mode::Http, "no such format alias 'zzzz'");
    check_error("%-", Mode::Http, "no such format alias '-'");
    check_error("a%", Mode::Http, "truncated line after '%'");
    check_error("%{+Z}ci", Mode::Http, "unknown format flag 'Z'");
    check_error("%(a:float)ci", Mode::Http, "unknown item type 'float'");
    check_error("%{+Q", Mode::Http, "missing '}' after the flags of an item");
    check_error("%[src", Mode::Http, "missing ']' after 'src'");
    check_error(
        "%[foo]",
        Mode::Http,
        "failed to parse sample expression <foo> : unknown fetch method 'foo'",
    );
    check_error("%HM", Mode::Tcp, "format alias 'HM' is reserved for HTTP mode");
    check_error(
        "%[req.hdr(a)]",
        Mode::Http,
        "failed to parse sample expression <req.hdr(a)> : sample fetch 'req.hdr' has nothing to fetch in a logs",
    );
}

#[test]
fn lines_without_a_format() {
    let traffic = Traffic::new();
    let cx = traffic.context();
    let mut out = crate::sample::def::out(&traffic.scratch, 0);
    formats::connect_line(&mut out, &cx);
    assert_eq!(
        String::from_utf8_lossy(&out),
        "Connect from 192.0.2.10:40000 to 198.51.100.1:80 (fe/HTTP)"
    );
    let mut out = crate::sample::def::out(&traffic.scratch, 0);
    formats::error_line(&mut out, &cx, "Connection error during SSL handshake");
    assert_eq!(
        String::from_utf8_lossy(&out),
        "192.0.2.10:40000 [22/Nov/2026:11:00:00.123] fe/web: Connection error during SSL handshake"
    );
}

#[test]
fn rows_are_those_of_the_manual() {
    assert_eq!(super::alias::ALL.len(), 64);
    assert!(super::alias::ALL.windows(2).all(|w| w[0].name < w[1].name));
    assert!(super::alias::ALL.iter().all(|d| d.doc.ends_with('.')));
}
