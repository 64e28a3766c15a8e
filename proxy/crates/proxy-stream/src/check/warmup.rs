//! Servers that came back and start slowly: someone has to let their share grow.

use std::rc::Rc;
use std::sync::Arc;

use proxy_net::stop::Phase;
use proxy_net::timer;
use proxy_state::Server;
use tokio::sync::mpsc;

use super::Checker;

/// Watches for servers that start slowly.
pub(super) fn watch(checker: &Rc<Checker>) {
    let (tell, mut told) = mpsc::unbounded_channel::<Arc<Server>>();
    checker.registry.on_transition(Box::new(move |transition| {
        let server = &transition.server;
        if server.throttle().is_some() {
            let _ = tell.send(server.clone());
        }
    }));
    let checker = checker.clone();
    let stop = checker.stop.clone();
    let watch = async move {
        while let Some(server) = told.recv().await {
            let checker = checker.clone();
            tokio::task::spawn_local(async move {
                let mut warming = true;
                while warming {
                    timer::sleep(server.warm_up_step()).await;
                    warming = server.warm_up(checker.now());
                }
            });
        }
    };
    tokio::task::spawn_local(async move {
        tokio::select! {
            () = stop.reached(Phase::Killed) => {}
            () = watch => {}
        }
    });
}
