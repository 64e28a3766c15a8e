//! The thread that carries log messages over connections, and those of others. It is there when something is to be
//! carried.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use proxy_net::stop::Stop;
use proxy_stream::env::Env;
use proxy_stream::log::collect::Forward;
use proxy_stream::log::transport::{Transport, run};

use super::listen::Listeners;
use crate::assemble::transport::Assembled;

/// What was assembled, with its sockets.
///
/// # Errors
/// A socket cannot be duplicated.
pub(super) fn carried(assembled: Assembled, listeners: &Listeners) -> io::Result<Transport> {
    let mut forwards = Vec::new();
    for (number, section) in assembled.forwards.into_iter().enumerate() {
        let mut sockets = Vec::new();
        for listener in listeners.logs.iter().filter(|listener| listener.section == number) {
            let entrance = section.entrances.get(listener.bind).cloned().flatten();
            let bound = listener.bound.for_threads(1)?.into_iter().flatten();
            sockets.extend(bound.map(|socket| (socket, entrance.clone())));
        }
        let datagrams = listeners.datagrams.iter().filter(|socket| socket.section == number);
        forwards.push(Forward {
            name: section.name.into(),
            targets: section.targets,
            host: section.host,
            parses: section.parses,
            framing: section.framing,
            maxconn: section.maxconn,
            timeout: section.timeout,
            most: section.most,
            listeners: sockets,
            datagrams: datagrams
                .map(|socket| socket.bound.socket.try_clone())
                .collect::<io::Result<_>>()?,
        });
    }
    Ok(Transport { deliveries: assembled.deliveries, forwards })
}

/// Starts the thread; `None` when there is nothing to carry. It ends when the worker has left and what was logged last is
/// delivered.
///
/// # Errors
/// Those of creating a thread or a runtime.
pub(super) fn spawn(
    transport: Transport,
    env: Arc<Env>,
    stop: Stop,
) -> io::Result<Option<JoinHandle<()>>> {
    if transport.is_empty() {
        return Ok(None);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let listening = stop.listen();
    let thread = std::thread::Builder::new().name("logs".to_owned());
    let handle = thread.spawn(move || {
        proxy_state::thread::register(proxy_state::thread::logs());
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, run(transport, env, stop, listening));
        proxy_stream::log::emit::flush();
    })?;
    Ok(Some(handle))
}
