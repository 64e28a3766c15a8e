//! What is in a ring, to a server over a connection (configuration manual, 12.5 "server"; RFC 6587).

use std::cell::Cell;
use std::io;
use std::io::Write;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bumpalo::Bump;
use proxy_net::connect::{ConnectOptions, connect_with_timer};
use proxy_net::timer::{self, Timer};
use proxy_rules::sample::EvalCtx;
use proxy_rules::sample::context::Clock;
use proxy_state::Server;
use proxy_types::SockAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::ring::{Reader, Ring};
use super::setup::Setup;
use crate::env::date;
use crate::io::Io;
use crate::transport::Exit;

/// Pause after a server could not be reached, or left.
const RECONNECT: Duration = Duration::from_secs(1);
/// Longest time for a connection when no timeout is set.
const CONNECT: Duration = Duration::from_secs(5);
/// Bytes written at once.
const BATCH: usize = 64 * 1024;

/// Where a server is.
#[derive(Debug)]
pub enum Place {
    Fixed(SockAddr),
    /// Wherever the server of a backend is now.
    Of(Arc<Server>),
}

/// A ring and a server that takes what is in it.
#[derive(Debug)]
pub struct Delivery {
    pub ring: Arc<Ring>,
    pub place: Place,
    pub options: ConnectOptions,
    pub exit: Option<Arc<Exit>>,
    /// `log-proto octet-count`: each message has its length in front; otherwise each is a line.
    pub counted: bool,
    /// `timeout connect`.
    pub connect: Option<Duration>,
    /// `timeout server`: what was not taken for that long ends the connection.
    pub server: Option<Duration>,
}

/// Delivers until the worker is killed or, once it leaves, nothing is left to deliver.
pub(super) async fn run(delivery: Delivery, setup: Rc<Setup>) {
    // Messages wait from the beginning on, whether the server is there or not.
    let mut reader = delivery.ring.holder();
    loop {
        match open(&delivery, &setup).await {
            Ok(io) => {
                if let Err(error) = deliver(&delivery, &mut reader, io, &setup).await {
                    tracing::debug!(ring = delivery.ring.name(), %error, "a log server was lost");
                } else if setup.is_leaving() {
                    return;
                }
            }
            Err(error) => {
                tracing::debug!(ring = delivery.ring.name(), %error, "a log server is away");
            }
        }
        reader.rewind();
        timer::sleep(RECONNECT).await;
    }
}

async fn open(delivery: &Delivery, setup: &Setup) -> io::Result<Box<dyn Io>> {
    let address = match &delivery.place {
        Place::Fixed(address) => address.clone(),
        Place::Of(server) => (**server.addr()).clone(),
    };
    let timer = Timer::new();
    timer.arm(delivery.connect.unwrap_or(CONNECT));
    let stream = connect_with_timer(&address, &delivery.options, &timer).await;
    let stream = stream.map_err(|error| io::Error::other(error.to_string()))?;
    let Some(exit) = &delivery.exit else { return Ok(Box::new(stream)) };
    let opening = {
        let scratch = Bump::new();
        let random = Cell::new(1);
        let clock = Clock { date: date(), ..Clock::default() };
        exit.opening(&EvalCtx::new(&scratch, &setup.env.shared, clock, &random), None, None)
    };
    let opened = opening.perform(stream, address.inet(), &timer).await;
    opened.map(|opened| opened.io).map_err(|failed| io::Error::other(failed.error.to_string()))
}

/// Sends what comes, until the server leaves.
async fn deliver(
    delivery: &Delivery,
    reader: &mut Reader,
    io: Box<dyn Io>,
    setup: &Setup,
) -> io::Result<()> {
    let (mut from, mut to) = tokio::io::split(io);
    let mut out = Vec::new();
    // A server says nothing; what it says all the same is not looked at.
    let mut said = [0; 512];
    loop {
        out.clear();
        let taken = match delivery.counted {
            false => reader.lines(BATCH, b'\n', &mut out),
            true => reader.take(BATCH, &mut out, |out, copy, len| {
                let _ = write!(out, "{len} ");
                copy(out);
            }),
        };
        if taken.messages > 0 {
            let write = async {
                to.write_all(&out).await?;
                to.flush().await
            };
            timer::timeout(delivery.server, write).await.map_err(|_| io::ErrorKind::TimedOut)??;
            reader.done();
            continue;
        }
        tokio::select! {
            () = reader.ready() => {}
            read = from.read(&mut said) => {
                if read? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            () = setup.left() => {
                if !reader.is_behind() {
                    return to.shutdown().await;
                }
            }
        }
    }
}
