use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::thread;

use socket2::SockRef;

use super::*;

/// The far ends of a proxied pair: what a client and a server see.
struct Ends {
    client: TcpStream,
    server: TcpStream,
}

fn tcp_pair() -> (TcpStream, TcpStream) {
    let l = TcpListener::bind("127.0.0.1:0").unwrap();
    let a = TcpStream::connect(l.local_addr().unwrap()).unwrap();
    (a, l.accept().unwrap().0)
}

fn config(timeout_ms: u64) -> Config {
    let t = Some(Duration::from_millis(timeout_ms));
    Config {
        timeouts: Timeouts { client: t, server: t, ..Timeouts::default() },
        ..Config::default()
    }
}

/// Runs a pair on this thread while `play` acts as client and server on another.
fn proxy<T: Send + 'static>(
    config: Config,
    first: (&[u8], &[u8]),
    play: impl FnOnce(Ends) -> T + Send + 'static,
) -> (End, Counts, T) {
    let (client, near_client) = tcp_pair();
    let (server, near_server) = tcp_pair();
    let player = thread::spawn(move || play(Ends { client, server }));
    let rt = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(Default::default())
        .unwrap();
    let (end, counts) = rt.block_on(async {
        let stream = |s: TcpStream| Stream::from_fd(OwnedFd::from(s)).unwrap();
        let (c, s) = (stream(near_client), stream(near_server));
        let mut pair = Pair::new(c, s, first.0.to_vec(), first.1.to_vec(), &config);
        let end = pair.run(|_| Poll::Pending).await;
        (end, pair.counts())
    });
    let seen = player.join().unwrap();
    (end, counts, seen)
}

fn noise(len: usize, mut seed: u64) -> Vec<u8> {
    (0..len)
        .map(|_| {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (seed >> 56) as u8
        })
        .collect()
}

fn read_all(mut s: &TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    s.read_to_end(&mut all).unwrap();
    all
}

fn reset(s: TcpStream) {
    SockRef::from(&s).set_linger(Some(Duration::ZERO)).unwrap();
}

#[test]
fn large_random_data_crosses_both_ways_unchanged() {
    const LEN: usize = 24 << 20;
    let (end, counts, ()) = proxy(config(20_000), (b"first ", b"hello "), |e| {
        let (up, down) = (Rc::new(noise(LEN, 1)), noise(LEN, 2));
        let expected_up = [&b"first "[..], up.as_slice()].concat();
        let expected_down = [&b"hello "[..], down.as_slice()].concat();
        let up = up.to_vec();
        thread::scope(|s| {
            s.spawn(|| {
                (&e.client).write_all(&up).unwrap();
                e.client.shutdown(Shutdown::Write).unwrap();
            });
            s.spawn(|| {
                (&e.server).write_all(&down).unwrap();
                e.server.shutdown(Shutdown::Write).unwrap();
            });
            s.spawn(|| assert!(read_all(&e.client) == expected_down, "server to client"));
            s.spawn(|| assert!(read_all(&e.server) == expected_up, "client to server"));
        });
    });
    assert_eq!(end, End::Normal);
    let len = LEN as u64 + 6;
    assert_eq!((counts.from_client, counts.to_server), (len, len));
    assert_eq!((counts.from_server, counts.to_client), (len, len));
    assert!(counts.spliced > len, "most of it is spliced: {}", counts.spliced);
}

#[test]
fn small_messages_are_copied_and_the_end_of_one_direction_leaves_the_other_open() {
    let (end, counts, got) = proxy(config(20_000), (b"", b""), |e| {
        let mut buf = [0; 16];
        for _ in 0..100 {
            (&e.client).write_all(b"ping").unwrap();
            (&e.server).read_exact(&mut buf[..4]).unwrap();
            (&e.server).write_all(b"pong!").unwrap();
            (&e.client).read_exact(&mut buf[..5]).unwrap();
        }
        e.client.shutdown(Shutdown::Write).unwrap();
        assert_eq!((&e.server).read(&mut buf).unwrap(), 0, "the server sees the end");
        (&e.server).write_all(b"late").unwrap();
        drop(e.server);
        read_all(&e.client)
    });
    assert_eq!((end, got.as_slice()), (End::Normal, &b"late"[..]));
    let expected =
        Counts { from_client: 400, to_server: 400, from_server: 504, to_client: 504, spliced: 0 };
    assert_eq!(counts, expected);
}

#[test]
fn a_slow_reader_holds_the_writer_back_and_gets_everything() {
    // More than all socket buffers on the way can grow to.
    const LEN: usize = 96 << 20;
    let (end, _, ()) = proxy(config(20_000), (b"", b""), |e| {
        let down = noise((1 << 20) + 7, 3).repeat(LEN >> 20);
        e.server.set_nonblocking(true).unwrap();
        let mut sent = 0;
        // Sockets and one pipe are all that may be filled while nobody reads.
        let mut idle = 0;
        while idle < 20 {
            match (&e.server).write(&down[sent..]) {
                Ok(n) => (sent, idle) = (sent + n, 0),
                Err(_) => {
                    idle += 1;
                    thread::sleep(Duration::from_millis(5));
                }
            }
        }
        assert!(sent < down.len(), "no backpressure");
        e.server.set_nonblocking(false).unwrap();
        thread::scope(|s| {
            s.spawn(|| {
                (&e.server).write_all(&down[sent..]).unwrap();
                e.server.shutdown(Shutdown::Write).unwrap();
            });
            assert!(read_all(&e.client) == down);
        });
    });
    assert_eq!(end, End::Normal);
}

#[test]
fn a_reset_of_the_client_reaches_the_server_as_a_reset() {
    let (end, _, kind) = proxy(config(20_000), (b"", b""), |e| {
        let mut one = [0];
        (&e.client).write_all(b"x").unwrap();
        (&e.server).read_exact(&mut one).unwrap();
        reset(e.client);
        (&e.server).read(&mut one).unwrap_err().kind()
    });
    assert_eq!((end, kind), (End::ClientAbort, std::io::ErrorKind::ConnectionReset));
}

#[test]
fn a_reset_of_the_server_reaches_the_client_as_a_close() {
    let (end, _, got) = proxy(config(20_000), (b"", b""), |e| {
        let mut one = [0];
        (&e.server).write_all(b"x").unwrap();
        (&e.client).read_exact(&mut one).unwrap();
        reset(e.server);
        (&e.client).read(&mut one).unwrap()
    });
    assert_eq!((end, got), (End::ServerAbort, 0));
}

#[test]
fn the_side_that_is_silent_first_is_blamed() {
    let mut c = config(60);
    c.timeouts.server = Some(Duration::from_millis(300));
    let (end, _, ()) = proxy(c, (b"", b""), |e| {
        assert!(read_all(&e.server).is_empty());
        assert!(read_all(&e.client).is_empty());
    });
    assert_eq!(end, End::ClientTimeout);
    c.timeouts.client = Some(Duration::from_millis(600));
    let (end, _, ()) = proxy(c, (b"", b""), |e| {
        assert!(read_all(&e.client).is_empty());
        assert!(read_all(&e.server).is_empty());
    });
    assert_eq!(end, End::ServerTimeout);
}

#[test]
fn traffic_in_one_direction_keeps_both_sides_alive() {
    let (end, counts, ()) = proxy(config(150), (b"", b""), |e| {
        for _ in 0..20 {
            (&e.server).write_all(b"tick").unwrap();
            thread::sleep(Duration::from_millis(20));
        }
        drop(e.server);
        assert_eq!(read_all(&e.client).len(), 80);
    });
    assert_eq!((end, counts.to_client), (End::Normal, 80));
}

#[test]
fn half_closed_connections_have_their_own_timeout() {
    let mut c = config(20_000);
    c.timeouts.server_fin = Some(Duration::from_millis(50));
    let start = std::time::Instant::now();
    let (end, _, ()) = proxy(c, (b"", b""), |e| {
        e.client.shutdown(Shutdown::Write).unwrap();
        assert!(read_all(&e.server).is_empty());
        assert!(read_all(&e.client).is_empty());
    });
    assert_eq!(end, End::ServerTimeout);
    assert!(start.elapsed() < Duration::from_secs(10), "the timeout of open connections was used");
}

#[test]
fn a_client_that_does_not_read_is_timed_out_though_the_server_waits_longer() {
    let mut c = config(100);
    c.timeouts.server = Some(Duration::from_secs(20));
    let (end, _, ()) = proxy(c, (b"", b""), |e| {
        let chunk = vec![0; 1 << 20];
        while (&e.server).write_all(&chunk).is_ok() {}
    });
    assert_eq!(end, End::ClientTimeout);
}

#[test]
fn nolinger_resets_instead_of_half_closing() {
    let c = Config { server_nolinger: true, ..config(20_000) };
    let (end, _, kind) = proxy(c, (b"", b""), |e| {
        e.client.shutdown(Shutdown::Write).unwrap();
        (&e.server).read(&mut [0]).unwrap_err().kind()
    });
    assert_eq!((end, kind), (End::Normal, std::io::ErrorKind::ConnectionReset));
}

#[test]
fn an_interrupt_ends_it() {
    let rt = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(Default::default())
        .unwrap();
    let (_client, c) = tcp_pair();
    let (_server, s) = tcp_pair();
    let end = rt.block_on(async {
        let stream = |s: TcpStream| Stream::from_fd(OwnedFd::from(s)).unwrap();
        let mut pair = Pair::new(stream(c), stream(s), vec![], vec![], &config(20_000));
        pair.run(|_| Poll::Ready(())).await
    });
    assert_eq!(end, End::Interrupted);
}
