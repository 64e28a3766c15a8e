//! The thread that exchanges stick tables with peers. It is there when a `peers` section is.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use proxy_net::stop::Stop;
use proxy_state::Now;
use proxy_stream::env::Env;
use proxy_stream::peers::run::{Place, Setup, run};
use proxy_stream::peers::section;

use super::listen::Listeners;
use crate::assemble::peers::Section;

/// Makes live sections of what was assembled. `predecessor` tells that another worker is being replaced, which is going to
/// teach this one.
///
/// # Errors
/// A listening socket cannot be duplicated.
pub(super) fn places(
    sections: Vec<Section>,
    listeners: &Listeners,
    predecessor: bool,
    now: Now,
) -> io::Result<Vec<Place>> {
    let mut places = Vec::new();
    for (index, section) in sections.into_iter().enumerate() {
        let Section { mut spec, entrances, roads, log } = section;
        let mut sockets = Vec::new();
        for listener in listeners.peers.iter().filter(|listener| listener.section == index) {
            let entrance = entrances.get(listener.bind).cloned().flatten();
            let bound = listener.bound.for_threads(1)?.into_iter().flatten();
            sockets.extend(bound.map(|socket| (socket, entrance.clone())));
            // An inherited socket has told its address.
            let local = spec.local.clone();
            for peer in spec.peers.iter_mut().filter(|peer| peer.name == local) {
                peer.address.get_or_insert_with(|| listener.bound.addr.clone());
            }
        }
        let section = section::Section::new(spec, predecessor, now);
        places.push(Place { section, listeners: sockets, roads, log });
    }
    Ok(places)
}

/// Starts the thread; `None` when there is nothing to exchange. It ends when the worker has left and told its successor
/// everything.
///
/// # Errors
/// Those of creating a thread or a runtime.
pub(super) fn spawn(
    places: Vec<Place>,
    env: Arc<Env>,
    stop: Stop,
    most: usize,
) -> io::Result<Option<JoinHandle<()>>> {
    if places.is_empty() {
        return Ok(None);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let listening = stop.listen();
    let thread = std::thread::Builder::new().name("peers".to_owned());
    let handle = thread.spawn(move || {
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, run(places, Setup { env, stop, most }, listening));
        proxy_stream::log::emit::flush();
    })?;
    Ok(Some(handle))
}
