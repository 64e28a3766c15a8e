//! Whole exchanges through the HTTP/1 engine. Each row: the servers' scripts, the client's, the log.
//! What happens in odd cases is what HAProxy 2.6 does in the same place, unless the row says why not.

mod http2;
mod lab;
mod tcp;

use std::time::Duration;

use lab::Do::{Await, Eof, Get, Reset, Send, Shut, Signal};
use lab::{Setup, check};
use proxy_state::ProxyOptions;
use proxy_state::options::{HttpConnection, HttpReuse};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n";
const E400: &str = "HTTP/1.1 400 Bad request\r\n";
const E408: &str = "HTTP/1.1 408 Request Time-out\r\n";
const E502: &str = "HTTP/1.1 502 Bad Gateway\r\n";
const E503: &str = "HTTP/1.1 503 Service Unavailable\r\n";
const E504: &str = "HTTP/1.1 504 Gateway Time-out\r\n";
const NORMAL: &str = "b/s1 200 ---- 0";

fn options(set: impl FnOnce(&mut ProxyOptions)) -> Setup {
    let mut setup = Setup::default();
    set(&mut setup.options);
    setup
}

fn short(set: impl FnOnce(&mut proxy_state::Timeouts)) -> Setup {
    let mut setup = Setup::default();
    set(&mut setup.timeouts);
    setup
}

const SHORT: Option<Duration> = Some(Duration::from_millis(60));

#[test]
fn keep_alive_on_both_sides() {
    let server = &[Get(GET), Send(OK), Get(GET), Send(CHUNKED), Get(GET), Send(OK), Eof];
    let client = [Send(GET), Get(OK), Send(GET), Get(CHUNKED), Send(GET), Get(OK), Shut, Eof];
    check(Setup::default(), &[server], &client, &[NORMAL; 3]);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    const TWO: &str = "GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n";
    let server = &[
        Get("GET /1 HTTP/1.1\r\n\r\n"),
        Send(OK),
        Get("GET /2 HTTP/1.1\r\n\r\n"),
        Send(CHUNKED),
        Eof,
    ];
    check(Setup::default(), &[server], &[Send(TWO), Get(OK), Get(CHUNKED)], &[NORMAL; 2]);
}

#[test]
fn connection_modes() {
    const CLOSING: &str = "GET / HTTP/1.1\r\nHost: a\r\nconnection: close\r\n\r\n";
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nconnection: close\r\n\r\nok";
    let server: &[_] = &[Get(CLOSING), Send(OK), Eof];
    let setup = options(|o| o.http_connection = Some(HttpConnection::ServerClose));
    check(setup, &[server; 2], &[Send(GET), Get(OK), Send(GET), Get(OK)], &[NORMAL; 2]);
    let setup = options(|o| o.http_connection = Some(HttpConnection::Close));
    check(setup, &[server], &[Send(GET), Get(answer), Eof], &[NORMAL]);
    let server = &[Get("GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n"), Send(OK), Eof];
    let client = [Send("GET / HTTP/1.0\r\n\r\n"), Get(answer), Eof];
    check(Setup::default(), &[server], &client, &[NORMAL]);
}

#[test]
fn reuse_never_keeps_a_session_on_its_own_connection() {
    let server: &[_] = &[Get(GET), Send(OK), Get(GET), Send(OK), Eof];
    let setup = options(|o| o.http_reuse = HttpReuse::Never);
    check(setup, &[server], &[Send(GET), Get(OK), Send(GET), Get(OK)], &[NORMAL; 2]);
}

#[test]
fn stale_connections() {
    // The server closes after the request came: repeated when that is safe, otherwise left to the client.
    let server: &[_] = &[Get(GET), Send(OK), Get(GET)];
    let again: &[_] = &[Get(GET), Send(OK), Eof];
    let client = [Send(GET), Get(OK), Send(GET), Get(OK)];
    check(Setup::default(), &[server, again], &client, &[NORMAL, "b/s1 200 ---- 1"]);
    let server: &[_] = &[Get(GET), Send(OK), Get(POST)];
    check(Setup::default(), &[server], &[Send(GET), Get(OK), Send(POST), Eof], &[NORMAL]);
}

#[test]
fn bodies() {
    const BODY: &str = "0123456789";
    let server = &[Get(POST), Get(BODY), Send(OK), Eof];
    check(Setup::default(), &[server], &[Send(POST), Send(BODY), Get(OK)], &[NORMAL]);
    const HEAD: &str = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    let server = &[Get(HEAD), Get("2\r\nab\r\n"), Get("0\r\nT: x\r\n\r\n"), Send(OK), Eof];
    let client = [Send(HEAD), Send("2;ext=1\r\nab\r\n"), Send("0\r\nT: x\r\n\r\n"), Get(OK)];
    check(Setup::default(), &[server], &client, &[NORMAL]);
}

#[test]
fn bodies_without_a_length_end_with_the_connection() {
    let server: &[_] = &[Get(GET), Send("HTTP/1.1 200 OK\r\n\r\nhello"), Shut, Eof];
    let client = [Send(GET), Get("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello"), Eof];
    check(Setup::default(), &[server], &client, &[NORMAL]);
}

#[test]
fn chunks_are_undone_for_http_1_0() {
    let server = &[Get("GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n"), Send(CHUNKED), Eof];
    let answer = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nab";
    let client = [Send("GET / HTTP/1.0\r\n\r\n"), Get(answer), Eof];
    check(Setup::default(), &[server], &client, &[NORMAL]);
}

#[test]
fn answers_without_a_body() {
    const HEAD: &str = "HEAD / HTTP/1.1\r\n\r\n";
    const NINE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n";
    const SAME: &str = "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n";
    const NONE: &str = "HTTP/1.1 204 No Content\r\n\r\n";
    let server = &[
        Get(HEAD),
        Send(NINE),
        Get(GET),
        Send(SAME),
        Get(GET),
        Send("HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n"),
        Eof,
    ];
    let client = [Send(HEAD), Get(NINE), Send(GET), Get(SAME), Send(GET), Get(NONE)];
    check(Setup::default(), &[server], &client, &[NORMAL, "b/s1 304 ---- 0", "b/s1 204 ---- 0"]);
}

#[test]
fn interim_responses() {
    const EXPECT: &str = "POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";
    let server = &[Get(EXPECT), Send(CONTINUE), Get("ab"), Send(OK), Eof];
    let client = [Send(EXPECT), Get(CONTINUE), Send("ab"), Get(OK)];
    check(Setup::default(), &[server], &client, &[NORMAL]);
    const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    let server: &[_] = &[Get(GET), Send(HINTS), Send(OK), Eof];
    check(Setup::default(), &[server], &[Send(GET), Get(HINTS), Get(OK)], &[NORMAL]);
}

#[test]
fn upgrades_become_tunnels() {
    const ASK: &str = "GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
    const YES: &str =
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
    let server = &[Get(ASK), Send(YES), Send("hi"), Get("there"), Send("bye"), Shut, Eof];
    let client = [Send(ASK), Get(YES), Get("hi"), Send("there"), Get("bye"), Eof];
    check(Setup::default(), &[server], &client, &["b/s1 101 ---- 0"]);
    let server: &[_] = &[Get(GET), Send(YES), Eof];
    check(Setup::default(), &[server], &[Send(GET), Get(E502)], &["b/s1 502 PH-- 0"]);
    const CONNECT: &str = "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n";
    let server = &[Get(CONNECT), Send("HTTP/1.1 200 OK\r\n\r\nhi"), Get("up"), Shut, Eof];
    let client = [Send(CONNECT), Get("HTTP/1.1 200 OK\r\n\r\nhi"), Send("up"), Eof];
    check(Setup::default(), &[server], &client, &[NORMAL]);
}

#[test]
fn early_responses() {
    let server = &[Get(POST), Send(OK), Get("0123456789"), Eof];
    let client = [Send(POST), Get(OK), Send("0123456789")];
    check(Setup::default(), &[server], &client, &[NORMAL]);
    const CLOSE: &str = "HTTP/1.1 413 Big\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno";
    const BIG: &str = "HTTP/1.1 413 Big\r\nContent-Length: 2\r\n\r\nno";
    let first: &[_] = &[Get(POST), Send(CLOSE)];
    let second: &[_] = &[Get(GET), Send(OK), Eof];
    let client = [Send(POST), Get(BIG), Send("0123456789"), Send(GET), Get(OK)];
    check(Setup::default(), &[first, second], &client, &["b/s1 413 ---- 0", NORMAL]);
}

#[test]
fn bad_requests() {
    for (text, log) in [
        ("GET / HTTP/2.0\r\n\r\n", "f/<NOSRV> 400 PR-- 0"),
        ("GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n", "f/<NOSRV> 400 PR-- 0"),
        ("\x16\x03\x01", "f/<NOSRV> 400 PR-- 0"),
    ] {
        check(Setup::default(), &[], &[Send(text), Get(E400)], &[log]);
    }
    check(Setup::default(), &[], &[Send("GET /"), Shut, Get(E400)], &["f/<NOSRV> 400 CR-- 0"]);
    check(Setup::default(), &[], &[Shut, Get(E400)], &["f/<NOSRV> 400 CR-- 0"]);
    check(options(|o| o.dontlognull = true), &[], &[Shut, Get(E400)], &[]);
    check(options(|o| o.http_ignore_probes = true), &[], &[Shut, Eof], &[]);
    const HEAD: &str = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    let server: &[_] = &[Get(HEAD), Signal, Eof];
    let client = [Send(HEAD), Await, Send("zz\r\n"), Get(E400)];
    check(Setup::default(), &[server], &client, &["b/s1 400 PH-- 0"]);
}

#[test]
fn bad_responses() {
    for text in [
        "garbage\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX Y: z\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ] {
        let server: &'static [_] = Box::leak(Box::new([Get(GET), Send(text), Eof]));
        check(Setup::default(), &[server], &[Send(GET), Get(E502)], &["b/s1 502 PH-- 0"]);
    }
}

#[test]
fn servers_that_leave() {
    let rows: [(&[_], &str, &str); 5] = [
        (&[Get(GET)], E502, "b/s1 502 SH-- 0"),
        (&[Get(GET), Reset], E502, "b/s1 502 SH-- 0"),
        (&[Get(GET), Send("HTTP/1.1 200 OK\r\nX")], E502, "b/s1 502 SH-- 0"),
        (
            &[Get(GET), Send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello")],
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
            "b/s1 200 SD-- 0",
        ),
        (
            &[Get(GET), Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n")],
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
            "b/s1 200 SD-- 0",
        ),
    ];
    for (server, answer, log) in rows {
        check(Setup::default(), &[server], &[Send(GET), Get(answer)], &[log]);
    }
}

#[test]
fn clients_that_leave() {
    let server: &[_] = &[Get(POST), Get("012"), Signal, Eof];
    let client = [Send(POST), Send("012"), Await, Shut];
    check(Setup::default(), &[server], &client, &["b/s1 400 CH-- 0"]);
    // A half-closed client still gets its answer; the server is told, so it can decide.
    let server: &[_] = &[Get(GET), Signal, Eof, Send(OK)];
    check(Setup::default(), &[server], &[Send(GET), Await, Shut, Get(OK), Eof], &[NORMAL]);
}

#[test]
fn timeouts() {
    let quiet: &[_] = &[Get(GET), Eof];
    check(short(|t| t.server = SHORT), &[quiet], &[Send(GET), Get(E504)], &["b/s1 504 sH-- 0"]);
    const PART: &str = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello";
    let stuck: &[_] = &[Get(GET), Send(PART), Eof];
    check(
        short(|t| t.server = SHORT),
        &[stuck],
        &[Send(GET), Get(PART), Eof],
        &["b/s1 200 sD-- 0"],
    );
    let server: &[_] = &[Get(POST), Eof];
    check(short(|t| t.client = SHORT), &[server], &[Send(POST), Get(E408)], &["b/s1 408 cH-- 0"]);
    let log = ["f/<NOSRV> 408 cR-- 0"];
    check(short(|t| t.http_request = SHORT), &[], &[Send("GET /"), Get(E408)], &log);
    check(short(|t| t.http_request = SHORT), &[], &[Get(E408)], &log);
    let server: &[_] = &[Get(GET), Send(OK), Eof];
    let setup = short(|t| t.http_keep_alive = SHORT);
    check(setup, &[server], &[Send(GET), Get(OK), Eof], &[NORMAL]);
}

#[test]
fn servers_that_refuse() {
    let dead = |retries, redispatch| Setup {
        dead_servers: 1,
        retries,
        redispatch,
        timeouts: proxy_state::Timeouts { connect: SHORT, ..Setup::default().timeouts },
        ..Setup::default()
    };
    check(dead(0, None), &[], &[Send(GET), Get(E503)], &["b/s1 503 SC-- 0"]);
    check(dead(1, None), &[], &[Send(GET), Get(E503)], &["b/s1 503 SC-- 1"]);
    let live: &[_] = &[Get(GET), Send(OK), Eof];
    check(dead(1, Some(-1)), &[live], &[Send(GET), Get(OK)], &["b/s2 200 ---- +1"]);
    check(dead(2, Some(1)), &[live], &[Send(GET), Get(OK)], &["b/s2 200 ---- +1"]);
}

#[test]
fn rules_on_requests() {
    let with = |rules| Setup { rules, ..Setup::default() };
    let forbidden = "HTTP/1.1 403 Forbidden\r\n";
    let setup = with(&["http-request deny if { path / }"]);
    check(setup, &[], &[Send(GET), Get(forbidden)], &["f/<NOSRV> 403 PR-- 0"]);
    let setup = with(&["http-request redirect location /x code 301"]);
    let moved = "HTTP/1.1 301 Moved Permanently\r\n";
    check(setup, &[], &[Send(GET), Get(moved)], &["f/<NOSRV> 301 LR-- 0"]);
    let setup = with(&["http-request return status 200"]);
    check(setup, &[], &[Send(GET), Get("HTTP/1.1 200 OK\r\n")], &["f/<NOSRV> 200 LR-- 0"]);
    let setup = with(&["http-request reject"]);
    check(setup, &[], &[Send(GET), Eof], &["f/<NOSRV> -1 PR-- 0"]);
    check(with(&["tcp-request reject"]), &[], &[Eof], &[]);
    let setup = with(&["http-request set-header X b", "http-request set-path /n"]);
    let server = &[Get("GET /n HTTP/1.1\r\nHost: a\r\nX: b\r\n\r\n"), Send(OK), Eof];
    check(setup, &[server], &[Send(GET), Get(OK)], &[NORMAL]);
    let mut setup = with(&["http-request tarpit"]);
    setup.timeouts.tarpit = SHORT;
    let error = "HTTP/1.1 500 Internal Server Error\r\n";
    check(setup, &[], &[Send(GET), Get(error)], &["f/<NOSRV> 500 PT-- 0"]);
}

#[test]
fn rules_on_responses() {
    let with = |rules| Setup { rules, ..Setup::default() };
    let server: &[_] = &[Get(GET), Send(OK), Eof];
    let setup = with(&["http-response set-header X b", "http-after-response set-header Y c"]);
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: b\r\nY: c\r\n\r\nok";
    check(setup, &[server], &[Send(GET), Get(answer)], &[NORMAL]);
    let setup = with(&["http-response deny"]);
    check(setup, &[server], &[Send(GET), Get(E502)], &["b/s1 502 PH-- 0"]);
    let setup = with(&["http-response return status 200"]);
    check(setup, &[server], &[Send(GET), Get("HTTP/1.1 200 OK\r\n")], &["b/s1 200 LH-- 0"]);
}

#[test]
fn requests_wait_for_a_slot() {
    let setup = Setup { maxconn: 1, ..Setup::default() };
    let server: &[_] = &[Get(GET), Signal, Await, Send(OK), Eof];
    let second: &[_] = &[Get(GET), Send(OK), Eof];
    let lab = lab::Lab::start(setup, &[server, second]);
    lab.two_at_once(GET, OK);
    for _ in 0..2 {
        assert_eq!(lab.lines.recv_timeout(Duration::from_secs(5)).unwrap(), NORMAL);
    }
    lab.finish();
}

#[test]
fn buffered_requests_reach_a_server_whole_or_not_at_all() {
    let buffer = || options(|o| o.http_buffer_request = true);
    const POST3: &str = "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\n";
    let server: &[_] = &[Get("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"), Send(OK), Eof];
    let client = [Send(POST3), Send("ab"), Send("c"), Get(OK)];
    check(buffer(), &[server], &client, &[NORMAL]);
    const INVITED: &str = "POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";
    let client = [Send(INVITED), Get("HTTP/1.1 100 Continue\r\n\r\n"), Send("abc"), Get(OK)];
    check(buffer(), &[server], &client, &[NORMAL]);
    const CHUNKS: &str = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    let server: &[_] = &[Get(CHUNKS), Get("3\r\nabc\r\n0\r\n\r\n"), Send(OK), Eof];
    let client = [Send(CHUNKS), Send("3\r\na"), Send("bc\r\n0\r\n"), Send("\r\n"), Get(OK)];
    check(buffer(), &[server], &client, &[NORMAL]);
    let client = [Send(CHUNKS), Send("zz\r\n"), Get(E400)];
    check(buffer(), &[], &client, &["f/<NOSRV> 400 PR-- 0"]);
    let client = [Send(POST3), Send("ab"), Shut, Eof];
    check(buffer(), &[], &client, &["f/<NOSRV> -1 CR-- 0"]);
    let mut setup = buffer();
    setup.timeouts.http_request = SHORT;
    check(setup, &[], &[Send(POST3), Get(E408)], &["f/<NOSRV> 408 cR-- 0"]);
}

#[test]
fn idle_sessions_are_small() {
    // What an exchange needs is not part of it: an idle connection holds this much, and its socket.
    let size = lab::session_size();
    assert!(size <= 608, "{size} bytes");
}
