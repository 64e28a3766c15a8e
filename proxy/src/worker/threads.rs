//! The worker threads: each a runtime of its own, with its own accept loops and engine.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;

use proxy_net::accept::{self, Acceptance, Accepted, Room, Switch};
use proxy_net::clock;
use proxy_net::listener::ListenSocket;
use proxy_net::stop::Stop;
use proxy_state::process::Process;
use proxy_state::{Frontend, Listener, SockAddr};
use proxy_stream::Thread;
use proxy_stream::env::{self, Env};
use proxy_stream::transport::Entrance;
use proxy_stream::udp::Relay;
use tokio::sync::mpsc;

use super::cpus::Plan;
use super::serve::Service;

/// One accept loop of one thread.
pub(crate) struct Port {
    pub(crate) socket: ListenSocket,
    pub(crate) frontend: Arc<Frontend>,
    pub(crate) listener: Arc<Listener>,
    pub(crate) service: Service,
    pub(crate) switch: Switch,
    /// Address that all connections of this socket were made to, unless it is a wildcard.
    pub(crate) local: Option<std::net::SocketAddr>,
}

/// What all threads share.
#[derive(Clone)]
pub(crate) struct Common {
    pub(crate) env: Arc<Env>,
    pub(crate) stop: Stop,
    /// `tune.maxaccept`.
    pub(crate) batch: usize,
    /// `harden.reject-privileged-ports.tcp`.
    pub(crate) reject_privileged: bool,
    /// CPUs of the threads.
    pub(crate) plan: Arc<Plan>,
}

/// What a thread is asked to do between its tasks.
pub(crate) type Job = Box<dyn FnOnce(&Thread) + Send>;

/// Where to ask a thread.
pub(crate) type Jobs = mpsc::Sender<Job>;

/// Jobs of a thread that may wait.
const JOBS: usize = 16;

/// Starts a worker thread; it ends when the worker is drained or killed.
///
/// # Errors
/// Those of creating a thread or a runtime.
pub(crate) fn spawn(
    index: usize,
    ports: Vec<Port>,
    common: Common,
) -> io::Result<(JoinHandle<()>, Jobs)> {
    let (jobs, mut asked) = mpsc::channel::<Job>(JOBS);
    let (built, started) = std::sync::mpsc::channel();
    let thread = std::thread::Builder::new().name(format!("worker/{index}")).spawn(move || {
        common.plan.pin(index);
        proxy_state::thread::register(index);
        // It stays on the thread that builds it: its tasks need no set of their own.
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().build_local(Default::default());
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => return drop(built.send(error)),
        };
        drop(built);
        runtime.block_on(run(index, ports, common, &mut asked));
    })?;
    match started.recv() {
        Ok(error) => Err(error),
        // Nothing to tell.
        Err(_) => Ok((thread, jobs)),
    }
}

async fn run(index: usize, ports: Vec<Port>, common: Common, asked: &mut mpsc::Receiver<Job>) {
    let Common { env, stop, batch, reject_privileged, .. } = common;
    let slots = env.slots.clone();
    let seed = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), index);
    let engine = Thread::start(env, stop.clone(), seed);
    for port in ports {
        let Port { socket, frontend, listener, service, switch, local } = port;
        let address = socket.addr().clone();
        if let Service::Udp(front) = service {
            let (engine, listening) = (engine.clone(), stop.listen());
            tokio::task::spawn_local(async move {
                let _listening = listening;
                let relay = Relay::run(engine, front, listener, socket, switch, batch);
                if let Err(error) = relay.await {
                    tracing::error!(%error, %address, "listener lost");
                }
            });
            continue;
        }
        let over_tls = listener
            .transport
            .as_ref()
            .and_then(|transport| transport.downcast_ref::<Entrance>())
            .is_some_and(|entrance| entrance.tls.is_some());
        let door = Rc::new(Door {
            engine: engine.clone(),
            frontend,
            listener,
            service,
            local,
            over_tls,
            reject_privileged,
        });
        let (slots, stop) = (slots.clone(), stop.clone());
        let listening = stop.listen();
        tokio::task::spawn_local(async move {
            let _listening = listening;
            if let Err(error) = accept::run(socket, door, slots, switch, stop, batch).await {
                tracing::error!(%error, %address, "listener lost");
            }
        });
    }
    let end = async {
        stop.draining().await;
        tokio::select! {
            () = stop.killed() => {}
            () = stop.idle() => {}
        }
    };
    let obey = async {
        while let Some(job) = asked.recv().await {
            job(&engine);
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = end => {}
        () = obey => {}
    }
    // The last lines of the last streams are flushed at the end of this turn.
    tokio::task::yield_now().await;
}

/// Lets connections of one listener in.
struct Door {
    engine: Rc<Thread>,
    frontend: Arc<Frontend>,
    listener: Arc<Listener>,
    service: Service,
    local: Option<std::net::SocketAddr>,
    over_tls: bool,
    reject_privileged: bool,
}

/// Ports that only the system may use as a source (RFC 6335).
const PRIVILEGED: u16 = 1024;

thread_local! {
    /// Failures of accept are said once a second at most.
    static SAID: RefCell<u64> = const { RefCell::new(0) };
}

impl Acceptance for Door {
    fn room(&self) -> Room {
        let process = &self.engine.env.registry().process;
        let full = process.connections.get() >= process.maxconn()
            || self.frontend.is_full()
            || self.listener.is_full()
            || (self.over_tls && is_full_of_tls(process));
        if full { Room::Full } else { self.rate() }
    }

    fn accepted(&self, connection: Accepted) {
        let src = match connection.peer {
            SockAddr::Inet(addr) => Some(addr),
            SockAddr::Unix(_) | SockAddr::Abstract(_) => None,
        };
        if self.reject_privileged && src.is_some_and(|src| src.port() < PRIVILEGED) {
            return;
        }
        let dst = self.local.or_else(|| connection.stream.local_addr());
        let facts =
            env::Accepted { listener: self.listener.clone(), src, dst, at: clock::precise() };
        self.service.start(&self.engine, connection.stream, facts);
    }

    fn failed(&self, error: &io::Error) {
        let second = clock::coarse().as_millis() / 1000;
        let first = SAID.with(|said| std::mem::replace(&mut *said.borrow_mut(), second) != second);
        if first {
            tracing::warn!(frontend = &*self.frontend.name, %error, "cannot accept connections");
        }
    }
}

/// `maxsslconn`.
fn is_full_of_tls(process: &Process) -> bool {
    let limit = process.tls_conn_limit();
    limit != 0 && process.tls_connections.get() >= limit
}

impl Door {
    /// `maxconnrate` and `rate-limit sessions`: what is over the rate waits in the kernel's queue.
    fn rate(&self) -> Room {
        const PAUSE: std::time::Duration = std::time::Duration::from_millis(10);
        let now = self.engine.env.now(clock::coarse());
        let process = &self.engine.env.registry().process;
        let over = |limit: u32, rate: u64| limit != 0 && rate >= u64::from(limit);
        if over(process.conn_rate_limit(), process.connection_rate.get(now))
            || over(process.sess_rate_limit(), process.session_rate.get(now))
            || over(self.frontend.rate_limit(), self.frontend.session_rate.get(now))
            || (self.over_tls && over(process.tls_rate_limit(), process.tls_rate.get(now)))
        {
            return Room::Wait(PAUSE);
        }
        Room::Yes
    }
}
