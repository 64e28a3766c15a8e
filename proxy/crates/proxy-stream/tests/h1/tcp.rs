//! Connections in mode tcp: the server's script, the client's, the log.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use super::lab::Do::{self, Await, End, Eof, Get, Reset, Send, Shut, Signal};
use super::lab::{Lab, Setup, check};
use super::{SHORT, short};
use proxy_types::Mode;

const FORMAT: &str = "%ft %b/%s %U %B %ts %fc/%bc/%sc/%rc %sq/%bq";
const LONG: Option<Duration> = Some(Duration::from_secs(30));

fn tcp(setup: Setup) -> Setup {
    Setup { mode: Mode::Tcp, format: FORMAT, ..setup }
}

#[track_caller]
fn plain(setup: Setup, server: &[&'static [Do]], client: &[Do], log: &str) {
    check(tcp(setup), server, client, &[log]);
}

#[test]
fn both_ways_with_half_close() {
    let server: &[_] = &[Get("ping"), Send("pong"), Eof, Send("after"), Shut];
    let client = [Send("ping"), Get("pong"), Shut, Get("after"), Eof];
    plain(Setup::default(), &[server], &client, "f b/s1 4 9 -- 1/0/0/0 0/0");
}

#[test]
fn the_server_may_speak_first() {
    let server: &[_] = &[Send("220 hello"), Get("QUIT"), Shut, Eof];
    let client = [Get("220 hello"), Send("QUIT"), Eof, Shut];
    plain(Setup::default(), &[server], &client, "f b/s1 4 9 -- 1/0/0/0 0/0");
}

#[test]
fn large_transfers_arrive_whole() {
    const SIZE: usize = 24 << 20;
    let lab = Lab::start(tcp(Setup::default()), &[&[Do::Echo]]);
    let mut stream = TcpStream::connect(lab.proxy).unwrap();
    let mut up = stream.try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        let piece: Vec<u8> = (0..1 << 20).map(|i| (i % 251) as u8).collect();
        for _ in 0..SIZE >> 20 {
            up.write_all(&piece).unwrap();
        }
        up.shutdown(Shutdown::Write).unwrap();
    });
    let mut got = Vec::new();
    stream.read_to_end(&mut got).unwrap();
    sender.join().unwrap();
    assert_eq!(got.len(), SIZE);
    assert!(got.iter().enumerate().all(|(i, b)| *b == (i % (1 << 20) % 251) as u8));
    let line = lab.lines.recv_timeout(Duration::from_secs(5)).unwrap();
    assert_eq!(line, format!("f b/s1 {SIZE} {SIZE} -- 1/0/0/0 0/0"));
    lab.finish();
}

#[test]
fn servers_that_refuse() {
    let dead = || Setup { dead_servers: 1, ..Setup::default() };
    plain(dead(), &[], &[End], "f b/s1 0 0 SC 1/0/0/0 0/0");
    let setup = Setup { retries: 1, redispatch: Some(1), ..dead() };
    let server: &[_] = &[Get("x"), Send("y"), Shut, Eof];
    plain(setup, &[server], &[Send("x"), Get("y"), Eof, Shut], "f b/s2 1 1 -- 1/0/0/+1 0/0");
    let mut setup = Setup { retries: 1, ..dead() };
    setup.timeouts.connect = SHORT;
    plain(setup, &[], &[End], "f b/s1 0 0 SC 1/0/0/1 0/0");
    let setup = Setup { no_servers: true, ..Setup::default() };
    plain(setup, &[], &[End], "f b/<NOSRV> 0 0 SC 1/0/0/0 0/0");
}

#[test]
fn silence_on_either_side() {
    let server: &[_] = &[Get("x"), End];
    plain(
        short(|t| (t.client, t.server) = (SHORT, LONG)),
        &[server],
        &[Send("x"), End],
        "f b/s1 1 0 cD 1/0/0/0 0/0",
    );
    plain(
        short(|t| (t.client, t.server) = (LONG, SHORT)),
        &[server],
        &[Send("x"), End],
        "f b/s1 1 0 sD 1/0/0/0 0/0",
    );
}

#[test]
fn connections_that_break() {
    let server: &[_] = &[Get("x"), Signal, End];
    let client = [Send("x"), Await, Reset];
    plain(Setup::default(), &[server], &client, "f b/s1 1 0 CD 1/0/0/0 0/0");
    let server: &[_] = &[Get("x"), Await, Reset];
    let client = [Send("x"), Signal, End];
    plain(Setup::default(), &[server], &client, "f b/s1 1 0 SD 1/0/0/0 0/0");
}

#[test]
fn rules_on_connections() {
    let setup = Setup { rules: &["tcp-request reject"], ..Setup::default() };
    check(tcp(setup), &[], &[End], &[]);
}

#[test]
fn rules_on_content() {
    const RULES: &[&str] = &["tcp-request content reject if { req.payload(0,3) -m str bad }"];
    let setup = || Setup { rules: RULES, inspect_delay: LONG, ..Setup::default() };
    let client = [Send("b"), Send("ad"), End];
    plain(setup(), &[], &client, "f f/<NOSRV> 3 0 PR 1/0/0/0 0/0");
    // What was looked at is passed on.
    let server: &[_] = &[Get("good"), Send("y"), Shut, Eof];
    let client = [Send("good"), Get("y"), Eof, Shut];
    plain(setup(), &[server], &client, "f b/s1 4 1 -- 1/0/0/0 0/0");
    // Neither enough data nor its end: the delay decides.
    let setup = Setup { inspect_delay: SHORT, ..setup() };
    let server: &[_] = &[Get("b"), Send("y"), Shut, Eof];
    plain(setup, &[server], &[Send("b"), Get("y"), Eof, Shut], "f b/s1 1 1 -- 1/0/0/0 0/0");
}

#[test]
fn silent_clients_while_data_is_awaited() {
    let rules: &[&str] = &["tcp-request content accept if { req.len gt 9 }"];
    let mut setup = Setup { rules, inspect_delay: LONG, ..Setup::default() };
    setup.timeouts.client = SHORT;
    plain(setup, &[], &[Send("x"), End], "f f/<NOSRV> 1 0 cR 1/0/0/0 0/0");
}

#[test]
fn probes_are_not_logged_with_dontlognull() {
    let mut setup = Setup::default();
    setup.options.dontlognull = true;
    let lab = Lab::start(tcp(setup), &[&[Send("banner"), Shut, Eof]]);
    let mut stream = TcpStream::connect(lab.proxy).unwrap();
    let mut got = String::new();
    stream.read_to_string(&mut got).unwrap();
    assert_eq!(got, "banner");
    drop(stream);
    let lines = lab.finish_with_lines();
    assert!(lines.is_empty(), "{lines:?}");
}
