use std::cell::RefCell;
use std::net::TcpListener;

use proxy_net::stop::StopSource;
use proxy_rules::sample::context::Shared;
use proxy_state::backend::BackendSpec;
use proxy_state::registry::RegistrySpec;
use proxy_state::server::{CheckStatus, OpState, ServerSpec};
use proxy_types::ServerId;

use proxy_net::timer;

use super::*;

fn registry(addr: std::net::SocketAddr, check: CheckSpec) -> Arc<Registry> {
    let mut server = ServerSpec::new("s1", ServerId(1), addr.into());
    server.check = Some(check.into());
    let mut backend =
        BackendSpec { name: "be".into(), servers: vec![server], ..BackendSpec::default() };
    backend.options.log_health_checks = true;
    Registry::new(RegistrySpec { backends: vec![backend], ..RegistrySpec::default() }).unwrap()
}

fn env(registry: &Arc<Registry>) -> Arc<Env> {
    let shared = Shared {
        registry: registry.clone(),
        patterns: Arc::default(),
        public_keys: Arc::default(),
        userlists: Vec::new(),
        var_names: Arc::default(),
        proc_vars: Default::default(),
        hostname: "host".into(),
        node: "node".into(),
        pid: 1,
        nbthread: 1,
        started: Default::default(),
        bufsize: 16384,
        jwe: Default::default(),
        is_local: |_| false,
        env: Vec::new(),
    };
    Arc::new(Env::new(shared, clock::precise()))
}

fn often() -> CheckSpec {
    CheckSpec { inter: Duration::from_millis(20), ..CheckSpec::default() }
}

fn local<F: Future>(f: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(Default::default())
        .unwrap()
        .block_on(f)
}

/// Runs checks and hands out their lines one by one, without durations.
struct Lines {
    lines: Rc<RefCell<Vec<String>>>,
    came: Rc<Notify>,
    stop: StopSource,
}

impl Lines {
    fn start(registry: &Arc<Registry>) -> Self {
        let this = Self { lines: Rc::default(), came: Rc::default(), stop: StopSource::new() };
        let (lines, came) = (this.lines.clone(), this.came.clone());
        let checker = Checker {
            registry: registry.clone(),
            env: env(registry),
            methods: Arc::default(),
            epoch: clock::precise(),
            spread: 0,
            spread_within: None,
            stop: this.stop.handle(),
            report: Box::new(move |_, line| {
                lines.borrow_mut().push(line.to_owned());
                came.notify_one();
            }),
            unreachable: Box::new(|_| {}),
            random: Box::new(|| 0),
        };
        spawn(checker);
        this
    }

    async fn next(&self) -> String {
        while self.lines.borrow().is_empty() {
            timer::timeout(Some(Duration::from_secs(5)), self.came.notified()).await.unwrap();
        }
        let line = self.lines.borrow_mut().remove(0);
        let (before, rest) = line.split_once("check duration: ").unwrap();
        format!("{before}{}", rest.split_once("ms, ").unwrap().1)
    }
}

#[test]
fn a_server_falls_and_rises_as_haproxy_says_it() {
    local(async {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let registry = registry(addr, often());
        let server = registry.backend("be").unwrap().server("s1").unwrap();
        let lines = Lines::start(&registry);
        let passed = "Health check for server be/s1 succeeded, reason: Layer4 check passed,";
        let failed = "Health check for server be/s1 failed, reason: Layer4 connection problem, info: \"ECONNREFUSED returned by OS\",";
        assert_eq!(lines.next().await, format!("{passed} status: 3/3 UP."));
        drop(listener);
        for status in ["2/3 UP", "1/3 UP", "0/2 DOWN"] {
            assert_eq!(lines.next().await, format!("{failed} status: {status}."));
        }
        tokio::task::yield_now().await;
        assert_eq!(server.op_state(), OpState::Stopped);
        let state = server.state(Now(0));
        assert_eq!(state.last_check.status, CheckStatus::L4Connection);
        assert_eq!(state.last_check.info, "ECONNREFUSED returned by OS");
        let _listener = TcpListener::bind(addr).unwrap();
        for status in ["1/2 DOWN", "3/3 UP"] {
            assert_eq!(lines.next().await, format!("{passed} status: {status}."));
        }
        tokio::task::yield_now().await;
        assert_eq!(server.op_state(), OpState::Running);
        lines.stop.kill();
    });
}

#[test]
fn a_server_in_maintenance_is_not_asked() {
    local(async {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let registry = registry(listener.local_addr().unwrap(), often());
        let server = registry.backend("be").unwrap().server("s1").unwrap();
        server.set_maint(Now(0));
        let lines = Lines::start(&registry);
        timer::sleep(Duration::from_millis(60)).await;
        assert!(lines.lines.borrow().is_empty());
        assert_eq!(server.state(Now(0)).last_check.status, CheckStatus::Initializing);
        server.set_ready(Now(0));
        assert!(lines.next().await.ends_with("UP."));
    });
}

#[test]
fn a_silent_network_is_a_timeout() {
    local(async {
        let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let full = full.unwrap();
        full.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        full.listen(0).unwrap();
        let addr = full.local_addr().unwrap().as_socket().unwrap();
        let _first = std::net::TcpStream::connect(addr).unwrap();
        let registry = registry(addr, often());
        let lines = Lines::start(&registry);
        let expected =
            "Health check for server be/s1 failed, reason: Layer4 timeout, status: 0/2 DOWN.";
        assert_eq!(lines.next().await, expected);
    });
}

#[test]
fn the_end_of_a_pause_wakes_and_the_address_of_the_moment_is_asked() {
    local(async {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        // After the first check the next is due in an hour: only a wake-up explains another.
        let rarely = CheckSpec { inter: Duration::from_secs(3600), ..CheckSpec::default() };
        let registry = registry(listener.local_addr().unwrap(), rarely);
        let server = registry.backend("be").unwrap().server("s1").unwrap();
        let lines = Lines::start(&registry);
        assert!(lines.next().await.ends_with("3/3 UP."));
        let closed = TcpListener::bind("127.0.0.2:0").unwrap().local_addr().unwrap();
        server.set_addr(closed.into());
        server.set_maint(Now(0));
        timer::sleep(Duration::from_millis(20)).await;
        assert!(lines.lines.borrow().is_empty(), "asked in maintenance");
        server.set_ready(Now(0));
        assert!(lines.next().await.ends_with("0/2 DOWN."));
        server.set_addr(listener.local_addr().unwrap().into());
        server.set_check_enabled(false);
        timer::sleep(Duration::from_millis(20)).await;
        assert!(lines.lines.borrow().is_empty(), "asked although disabled");
        server.set_check_enabled(true);
        assert!(lines.next().await.ends_with("1/2 DOWN."));
    });
}

#[test]
fn the_soft_stop_ends_checks() {
    local(async {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let registry = registry(listener.local_addr().unwrap(), often());
        let lines = Lines::start(&registry);
        assert!(lines.next().await.ends_with("3/3 UP."));
        lines.stop.drain();
        drop(listener);
        timer::sleep(Duration::from_millis(100)).await;
        assert!(lines.lines.borrow().is_empty(), "{:?}", lines.lines);
    });
}
