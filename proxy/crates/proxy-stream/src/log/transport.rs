//! The thread that carries log messages over connections, and those of others: it is not one that requests wait for.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use proxy_net::stop::{JobGuard, Stop};
use proxy_net::timer;

use super::collect::{self, Forward};
use super::delivery::{self, Delivery};
use super::emit;
use super::setup::Setup;
use crate::env::Env;

/// How long what was logged last may still take to be delivered.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Everything that the thread does.
#[derive(Default)]
pub struct Transport {
    pub deliveries: Vec<Delivery>,
    pub forwards: Vec<Forward>,
}

impl Transport {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.deliveries.is_empty() && self.forwards.is_empty()
    }
}

/// Carries messages until the worker has left. `listening` keeps a worker that leaves from being idle before the last
/// look at the sockets.
pub async fn run(transport: Transport, env: Arc<Env>, stop: Stop, listening: JobGuard) {
    let setup = Rc::new(Setup::new(env, stop.clone()));
    let deliveries: Vec<_> = transport
        .deliveries
        .into_iter()
        .map(|delivery| tokio::task::spawn_local(delivery::run(delivery, setup.clone())))
        .collect();
    let forwards: Vec<_> = transport
        .forwards
        .into_iter()
        .map(|forward| tokio::task::spawn_local(collect::run(forward, setup.clone())))
        .collect();
    stop.draining().await;
    for forward in forwards {
        let _ = forward.await;
    }
    emit::flush();
    drop(listening);
    tokio::select! {
        () = stop.idle() => {}
        () = stop.killed() => {}
    }
    emit::flush();
    setup.leave();
    let all = async {
        for delivery in deliveries {
            let _ = delivery.await;
        }
    };
    let _ = timer::timeout(Some(LAST_WORDS), all).await;
}
