//! Clients that speak HTTP/2, in front of scripted HTTP/1 servers.

use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, SendStream};
use http::{HeaderMap, Request};

use super::lab::Do::{Await, Eof, Get, Send};
use super::lab::{Do, Lab, Setup};

const PATIENCE: Duration = Duration::from_secs(5);

/// Runs the servers' scripts and `client` on a connection of its own, then compares the log lines.
#[track_caller]
fn check<F: Future<Output = ()>>(
    servers: &[&'static [Do]],
    log: &[&str],
    client: impl FnOnce(Client) -> F,
) {
    let lab = Lab::start(Setup { format: "%b/%s %ST %tsc %HV", ..Setup::default() }, servers);
    let proxy = lab.proxy;
    with_runtime(async {
        client(Client::connect(proxy).await).await;
    });
    for expected in log {
        assert_eq!(lab.lines.recv_timeout(PATIENCE).expect("a log line"), *expected);
    }
    lab.finish();
}

fn with_runtime(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(Default::default())
        .expect("runtime")
        .block_on(async { tokio::time::timeout(PATIENCE, work).await.expect("in time") });
}

struct Client {
    request: SendRequest<Bytes>,
    /// How the connection ended.
    end: tokio::task::JoinHandle<Result<(), h2::Error>>,
}

impl Client {
    async fn connect(proxy: std::net::SocketAddr) -> Self {
        let tcp = tokio::net::TcpStream::connect(proxy).await.expect("connect");
        let (request, connection) = h2::client::handshake(tcp).await.expect("handshake");
        Self { request, end: tokio::task::spawn_local(connection) }
    }

    async fn send(&mut self, method: &str, end: bool) -> (ResponseFuture, SendStream<Bytes>) {
        poll_fn(|cx| self.request.poll_ready(cx)).await.expect("room for a stream");
        let request =
            Request::builder().method(method).uri("http://a/p?q").body(()).expect("request");
        self.request.send_request(request, end).expect("send")
    }
}

/// Status, body and trailers.
async fn receive(response: ResponseFuture) -> (u16, Vec<u8>, Option<HeaderMap>) {
    let response = response.await.expect("response");
    let status = response.status().as_u16();
    let (mut body, mut all) = (response.into_body(), Vec::new());
    while let Some(data) = body.data().await {
        let data = data.expect("data");
        body.flow_control().release_capacity(data.len()).expect("capacity");
        all.extend_from_slice(&data);
    }
    (status, all, body.trailers().await.expect("trailers"))
}

#[test]
fn bodies_and_trailers_both_ways() {
    const HEAD: &str = "POST /p?q HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
    let server: &[_] = &[
        Get(HEAD),
        Get("3\r\nabc\r\n0\r\nx-t: 1\r\n\r\n"),
        Send(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: x-hop\r\nX-Hop: 1\r\n\r\n",
        ),
        Send("2\r\nok\r\n0\r\nY-T: 2\r\n\r\n"),
        Eof,
    ];
    check(&[server], &["b/s1 200 ---- HTTP/2.0"], |mut client| async move {
        let (response, mut body) = client.send("POST", false).await;
        body.send_data(Bytes::from_static(b"abc"), false).expect("data");
        let mut trailers = HeaderMap::new();
        trailers.insert("x-t", "1".parse().expect("value"));
        body.send_trailers(trailers).expect("trailers");
        let response = response.await.expect("response");
        assert_eq!(response.headers().get("x-hop"), None, "fields of the hop stay there");
        let mut body = response.into_body();
        assert_eq!(body.data().await.expect("data").expect("data"), "ok");
        let trailers = body.trailers().await.expect("trailers").expect("some");
        assert_eq!(trailers["y-t"], "2");
    });
}

#[test]
fn streams_are_served_side_by_side() {
    const GET: &str = "GET /p?q HTTP/1.1\r\nhost: a\r\n\r\n";
    const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let first: &[_] = &[Get(GET), Await, Send(OK), Eof];
    let second: &[_] = &[Get(GET), Send(OK), Eof];
    let lab = Lab::start(Setup::default(), &[first, second]);
    let proxy = lab.proxy;
    with_runtime(async {
        let mut client = Client::connect(proxy).await;
        let (slow, _) = client.send("GET", true).await;
        let (quick, _) = client.send("GET", true).await;
        assert_eq!(receive(quick).await, (200, b"ok".to_vec(), None));
        lab.signal_server();
        assert_eq!(receive(slow).await, (200, b"ok".to_vec(), None));
    });
    lab.finish();
}

#[test]
fn a_response_cut_short_resets_its_stream_only() {
    const GET: &str = "GET /p?q HTTP/1.1\r\nhost: a\r\n\r\n";
    let short: &[_] = &[Get(GET), Send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhel")];
    let whole: &[_] = &[Get(GET), Send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), Eof];
    let log = &["b/s1 200 SD-- HTTP/2.0", "b/s1 200 ---- HTTP/2.0"];
    check(&[short, whole], log, |mut client| async move {
        let (response, _) = client.send("GET", true).await;
        // The reset may overtake what was sent before it.
        if let Ok(response) = response.await {
            let mut body = response.into_body();
            while let Some(Ok(_)) = body.data().await {}
            assert!(body.trailers().await.is_err(), "the stream was reset");
        }
        let (response, _) = client.send("GET", true).await;
        assert_eq!(receive(response).await, (200, b"ok".to_vec(), None));
    });
}

#[test]
fn rapid_resets_end_the_connection() {
    let lab = Lab::start(Setup { no_servers: true, ..Setup::default() }, &[]);
    let proxy = lab.proxy;
    with_runtime(async {
        let mut client = Client::connect(proxy).await;
        for _ in 0..5_000 {
            if client.end.is_finished() {
                break;
            }
            let ready = poll_fn(|cx| client.request.poll_ready(cx)).await;
            let request = Request::builder().uri("http://a/").body(()).expect("request");
            let Some(Ok((_, mut stream))) =
                ready.ok().map(|()| client.request.send_request(request, true))
            else {
                break;
            };
            stream.send_reset(Reason::CANCEL);
            tokio::task::yield_now().await;
        }
        let end = client.end.await.expect("task").expect_err("it ends");
        // The close of the connection may overtake what it says.
        assert!(end.is_io() || end.reason() == Some(Reason::ENHANCE_YOUR_CALM), "{end:?}");
        // Others are served.
        let mut client = Client::connect(proxy).await;
        let (response, _) = client.send("GET", true).await;
        assert_eq!(response.await.expect("response").status(), 503);
    });
    lab.finish();
}
