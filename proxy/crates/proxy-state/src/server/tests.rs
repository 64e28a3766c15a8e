//! Life of a server as HAProxy 2.6 was seen to live it: statuses, log lines, counters.

use super::{
    Admin, AgentAnswer, AgentSpec, CheckResult, CheckSpec, CheckStatus, OpState, Server,
    WeightError,
};
use crate::backend::{BackendSpec, InUse};
use crate::registry::{Registry, RegistrySpec};
use crate::{Now, ServerSpec, SockAddr};
use parking_lot::Mutex;
use proxy_types::{ProxyId, ServerId};
use std::net::SocketAddr;
use std::sync::Arc;

struct World {
    registry: Arc<Registry>,
    log: Arc<Mutex<Vec<String>>>,
}

impl World {
    /// Backend `be` with a checked `s1` and an unchecked `s2`, and backend `tr` whose `b` tracks `be/s1`.
    fn new() -> Self {
        let server = |name: &str, id| {
            let addr = SockAddr::Inet(SocketAddr::from(([127, 0, 0, 1], 8000)));
            ServerSpec::new(name, ServerId(id), addr)
        };
        let s1 =
            ServerSpec { check: Some(CheckSpec::default().into()), weight: 10, ..server("s1", 1) };
        let b = ServerSpec {
            track: Some(Box::new((Some("be".into()), "s1".into()))),
            ..server("b", 1)
        };
        let backend = |name: &str, id, servers| BackendSpec {
            name: name.into(),
            id: ProxyId(id),
            servers,
            ..BackendSpec::default()
        };
        let backends = vec![backend("be", 2, vec![s1, server("s2", 2)]), backend("tr", 3, vec![b])];
        let registry = Registry::new(RegistrySpec { backends, ..RegistrySpec::default() }).unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let sink = log.clone();
        registry.on_transition(Box::new(move |t| {
            let mut sink = sink.lock();
            sink.push(t.to_string());
            sink.extend(t.backend_line());
        }));
        Self { registry, log }
    }

    fn server(&self, backend: &str, name: &str) -> Arc<Server> {
        self.registry.backend(backend).unwrap().server(name).unwrap()
    }

    /// Statuses of s1, s2 and b.
    #[track_caller]
    fn check(&self, expected: &str) {
        let seen = [("be", "s1"), ("be", "s2"), ("tr", "b")]
            .map(|(b, s)| self.server(b, s).status().to_string());
        assert_eq!(seen.join(", "), expected);
    }

    #[track_caller]
    fn check_log(&self, expected: &[&str]) {
        assert_eq!(*self.log.lock(), expected);
        self.log.lock().clear();
    }

    fn report(&self, status: CheckStatus, info: &str, secs: u64) {
        let result = CheckResult { status, info: info.into(), ..CheckResult::default() };
        self.server("be", "s1").report_check(result, Now::from_secs(secs));
    }
}

#[test]
fn checks_move_the_server_and_who_tracks_it() {
    let w = World::new();
    w.check("UP 1/3, no check, UP 1/3");
    w.report(CheckStatus::L4Ok, "", 1);
    w.check("UP, no check, UP");
    w.report(CheckStatus::L4Connection, "Connection refused", 2);
    w.report(CheckStatus::L4Connection, "Connection refused", 4);
    w.check("UP 1/3, no check, UP 1/3");
    w.check_log(&[]);
    w.report(CheckStatus::L4Connection, "Connection refused", 6);
    w.check("DOWN, no check, DOWN");
    w.check_log(&[
        "Server be/s1 is DOWN, reason: Layer4 connection problem, info: \"Connection refused\", check duration: 0ms. \
         1 active and 0 backup servers left. 0 sessions active, 0 requeued, 0 remaining in queue.",
        "Server tr/b is DOWN via be/s1. 0 active and 0 backup servers left. 0 sessions active, 0 requeued, 0 remaining in queue.",
        "backend tr has no server available!",
    ]);
    let s1 = w.server("be", "s1");
    assert_eq!(s1.counters.total(|c| &c.failed_checks), 3);
    assert_eq!(s1.counters.total(|c| &c.down_transitions), 1);
    assert_eq!(s1.state(Now::from_secs(9)).downtime_ms, 3000);
    w.report(CheckStatus::L4Ok, "", 10);
    w.check("DOWN 1/2, no check, DOWN 1/2");
    w.report(CheckStatus::L4Ok, "", 12);
    w.check("UP, no check, UP");
    w.check_log(&[
        "Server be/s1 is UP, reason: Layer4 check passed, check duration: 0ms. \
         2 active and 0 backup servers online. 0 sessions requeued, 0 total in queue.",
        "Server tr/b is UP via be/s1. 1 active and 0 backup servers online. 0 sessions requeued, 0 total in queue.",
    ]);
    let view = s1.state(Now::from_secs(20));
    assert_eq!((view.downtime_ms, view.last_change), (6000, Now::from_secs(12)));
    let tr = w.registry.backend("tr").unwrap().state(Now::from_secs(20));
    assert_eq!((tr.up, tr.downtime_ms, tr.last_change), (true, 6000, Now::from_secs(12)));
}

#[test]
fn a_404_stops_new_sessions_only() {
    let w = World::new();
    let result = |status, code| CheckResult { status, code: Some(code), ..CheckResult::default() };
    let s1 = w.server("be", "s1");
    s1.report_check(result(CheckStatus::L7OkConditional, 404), Now(1));
    w.check("NOLB, no check, NOLB");
    assert!(s1.is_usable() && !s1.is_eligible());
    assert_eq!(
        w.log.lock()[0],
        "Server be/s1 is stopping, reason: Layer7 check conditionally passed, code: 404, check duration: 0ms. \
         1 active and 0 backup servers online. 0 sessions requeued, 0 total in queue."
    );
    s1.report_check(result(CheckStatus::L7Ok, 200), Now(2));
    w.check("UP, no check, UP");
    for n in 3..6 {
        s1.report_check(result(CheckStatus::L7Status, 503), Now(n));
    }
    w.check("DOWN, no check, DOWN");
    s1.report_check(result(CheckStatus::L7OkConditional, 404), Now(7));
    s1.report_check(result(CheckStatus::L7OkConditional, 404), Now(8));
    assert_eq!(s1.op_state(), OpState::Stopped, "a stopping server is not brought up");
}

#[test]
fn maintenance_and_drain() {
    let w = World::new();
    let s1 = w.server("be", "s1");
    w.report(CheckStatus::L4Ok, "", 1);
    s1.set_maint(Now::from_secs(2));
    w.check("MAINT, no check, MAINT (via be/s1)");
    assert_eq!((s1.admin_state(), s1.op_state()), (Admin(1), OpState::Stopped));
    assert_eq!(w.server("tr", "b").admin_state(), Admin(2));
    assert!(s1.set_maint(Now::from_secs(2)).is_none(), "nothing changes");
    w.report(CheckStatus::L4Connection, "", 2);
    w.check_log(&[
        "Server be/s1 is going DOWN for maintenance. 1 active and 0 backup servers left. \
         0 sessions active, 0 requeued, 0 remaining in queue.",
        "Server tr/b is going DOWN for maintenance via be/s1. 0 active and 0 backup servers left. \
         0 sessions active, 0 requeued, 0 remaining in queue.",
        "backend tr has no server available!",
    ]);
    s1.set_ready(Now::from_secs(5));
    w.check("UP 1/3, no check, UP 1/3");
    w.check_log(&[
        "Server be/s1 is UP/READY (leaving forced maintenance).",
        "Server tr/b is UP/READY (leaving maintenance).",
    ]);
    s1.set_drain(Now::from_secs(6));
    w.check("DRAIN, no check, DRAIN");
    assert!(s1.is_usable() && !s1.is_eligible());
    assert_eq!(w.server("tr", "b").admin_state(), Admin(16));
    s1.set_maint(Now::from_secs(7));
    assert_eq!(s1.admin_state(), Admin(1), "drain is forgotten");
    s1.set_ready(Now::from_secs(8));
    assert_eq!(s1.counters.total(|c| &c.down_transitions), 2);
}

#[test]
fn drain_is_logged() {
    let w = World::new();
    let s2 = w.server("be", "s2");
    s2.set_drain(Now(1));
    s2.set_ready(Now(2));
    w.check_log(&[
        "Server be/s2 enters drain state. 1 active and 0 backup servers online. 0 sessions requeued, 0 total in queue.",
        "Server be/s2 is UP (leaving forced drain).",
    ]);
}

#[test]
fn health_can_be_forced() {
    let w = World::new();
    let s1 = w.server("be", "s1");
    s1.force_health(OpState::Stopped, Now(1));
    w.check("DOWN, no check, DOWN");
    w.check_log(&[
        "Server be/s1 is DOWN, changed from CLI. 1 active and 0 backup servers left. \
         0 sessions active, 0 requeued, 0 remaining in queue.",
        "Server tr/b is DOWN via be/s1. 0 active and 0 backup servers left. 0 sessions active, 0 requeued, 0 remaining in queue.",
        "backend tr has no server available!",
    ]);
    s1.force_health(OpState::Stopping, Now(2));
    w.check("NOLB, no check, NOLB");
    s1.force_health(OpState::Running, Now(3));
    w.check("UP, no check, UP");
    assert!(w.server("tr", "b").force_health(OpState::Stopped, Now(4)).is_none(), "it tracks");
    s1.set_maint(Now(5));
    assert!(s1.force_health(OpState::Stopped, Now(6)).is_none());
}

#[test]
fn disabled_checks_keep_the_state() {
    let w = World::new();
    let s1 = w.server("be", "s1");
    assert!(s1.set_check_enabled(false));
    for n in 0..5 {
        w.report(CheckStatus::L4Connection, "", n);
    }
    assert_eq!(s1.op_state(), OpState::Running);
    assert!(!w.server("be", "s2").set_check_enabled(true), "no check is configured");
}

#[test]
fn weights_are_read_from_text() {
    let w = World::new();
    let s1 = w.server("be", "s1");
    let rows: [(&str, Result<u32, WeightError>); 11] = [
        ("5", Ok(5)),
        ("256", Ok(256)),
        ("50%", Ok(5)),
        ("200%", Ok(20)),
        ("0", Ok(0)),
        ("100%", Ok(10)),
        ("300", Err(WeightError::OutOfRange)),
        ("-3", Err(WeightError::OutOfRange)),
        ("x", Err(WeightError::NotANumber)),
        ("5x", Err(WeightError::Trailing)),
        ("", Err(WeightError::Missing)),
    ];
    for (text, expected) in rows {
        let seen = s1.set_weight_text(text, Now(1)).map(|()| s1.weight());
        assert_eq!(seen, expected, "{text}");
    }
}

#[test]
fn errors_in_traffic_count_as_failed_checks() {
    let mut spec = ServerSpec::new(
        "s1",
        ServerId(1),
        SockAddr::Inet(SocketAddr::from(([127, 0, 0, 1], 8000))),
    );
    spec.check = Some(CheckSpec::default().into());
    spec.observe =
        Some(super::Observe { layer7: false, error_limit: 3, on_error: super::OnError::MarkDown });
    let backend = BackendSpec { name: "be".into(), servers: vec![spec], ..BackendSpec::default() };
    let registry =
        Registry::new(RegistrySpec { backends: vec![backend], ..RegistrySpec::default() }).unwrap();
    let s1 = registry.backend("be").unwrap().server("s1").unwrap();
    let error = || CheckResult { status: CheckStatus::Observed, ..CheckResult::default() };
    s1.observe_error(error(), Now(1));
    s1.observe_error(error(), Now(1));
    s1.observe_success();
    s1.observe_error(error(), Now(1));
    s1.observe_error(error(), Now(1));
    assert_eq!(s1.op_state(), OpState::Running);
    assert!(s1.observe_error(error(), Now(1)).is_some());
    assert_eq!(s1.op_state(), OpState::Stopped);
    assert_eq!(s1.counters.total(|c| &c.failed_hana), 5);
}

#[test]
fn changes_are_told() {
    let w = World::new();
    let told = Arc::new(Mutex::new(Vec::new()));
    let sink = told.clone();
    w.registry.on_server_change(Box::new(move |s| sink.lock().push(s.name.to_string())));
    let before = w.registry.generation();
    let s2 = w.server("be", "s2");
    s2.set_weight(7, Now(1)).unwrap();
    s2.set_weight(7, Now(1)).unwrap();
    s2.set_addr(SockAddr::Inet(SocketAddr::from(([127, 0, 0, 2], 1)))).unwrap();
    s2.set_maint(Now(2));
    assert_eq!(*told.lock(), ["s2", "s2", "s2"]);
    assert_eq!(w.registry.generation() - before, 3);
}

#[test]
fn tracking_errors_are_found() {
    let server = |name: &str, id, track: &str| {
        let addr = SockAddr::Inet(SocketAddr::from(([127, 0, 0, 1], 8000)));
        ServerSpec {
            track: Some(Box::new((None, track.into()))),
            ..ServerSpec::new(name, ServerId(id), addr)
        }
    };
    let build = |servers| {
        let backend = BackendSpec { name: "be".into(), servers, ..BackendSpec::default() };
        let spec = RegistrySpec { backends: vec![backend], ..RegistrySpec::default() };
        Registry::new(spec).map(drop).unwrap_err().to_string()
    };
    assert_eq!(build(vec![server("a", 1, "x")]), "server be/a tracks unknown server be/x");
    assert_eq!(
        build(vec![server("a", 1, "b"), server("b", 2, "a")]),
        "server be/b cannot track be/a: that would be a circle"
    );
}

#[test]
fn ending_the_sessions_of_a_server_tells_the_hooks() {
    let w = World::new();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = seen.clone();
    w.registry.on_server_change(Box::new(move |s| sink.lock().push(s.shutdowns())));
    w.registry.backend("be").unwrap().server("s1").unwrap().shutdown_sessions();
    assert_eq!(*seen.lock(), [1]);
}

/// What HAProxy 2.6 was seen to make of the words of an agent.
#[test]
fn agents_and_checks_decide_together() {
    let w = World::new();
    let addr = SockAddr::Inet(SocketAddr::from(([127, 0, 0, 1], 8000)));
    let spec = |name: &str, id| ServerSpec::new(name, ServerId(id), addr.clone());
    let agent = AgentSpec {
        inter: std::time::Duration::from_secs(2),
        addr: None,
        port: 1,
        send: String::new(),
    };
    let agent = Some(Arc::new(agent));
    let s1 = ServerSpec {
        check: Some(CheckSpec::default().into()),
        agent: agent.clone(),
        weight: 10,
        ..spec("s1", 1)
    };
    let s2 = ServerSpec { agent, ..spec("s2", 2) };
    let b = ServerSpec { track: Some(Box::new((Some("be".into()), "s1".into()))), ..spec("b", 1) };
    let backend =
        |name: &str, servers| BackendSpec { name: name.into(), servers, ..BackendSpec::default() };
    let backends = vec![backend("be", vec![s1, s2]), backend("tr", vec![b])];
    let registry = Registry::new(RegistrySpec { backends, ..RegistrySpec::default() }).unwrap();
    let w = World { registry, log: w.log };
    let (s1, s2) = (w.server("be", "s1"), w.server("be", "s2"));
    let says = |server: &Arc<Server>, line: &str| {
        let answer = AgentAnswer::parse(line);
        server.obey_agent(&answer, Now(1));
        server.report_agent(&answer, answer.result(0), Now(1));
    };
    w.report(CheckStatus::L4Ok, "", 1);
    w.check("UP, no check, UP");
    says(&s1, "50%");
    assert_eq!(s1.weight(), 5);
    says(&s1, "weight:20 maxconn:30");
    assert_eq!((s1.weight(), s1.maxconn()), (20, 30));
    says(&s1, "weight:300");
    assert_eq!(s1.weight(), 20);
    let warning = "agent warns : Absolute weight can only be between 0 and 256 inclusive.";
    assert_eq!(s1.agent().unwrap().last.info, warning);
    says(&s1, "drain");
    w.check("DRAIN (agent), no check, DRAIN (agent)");
    says(&s1, "maint");
    w.check("MAINT, no check, MAINT (via be/s1)");
    says(&s1, "down");
    says(&s1, "ready");
    w.check("DOWN (agent), no check, DOWN (agent)");
    w.report(CheckStatus::L4Ok, "", 2);
    w.check("DOWN (agent), no check, DOWN (agent)");
    says(&s1, "up");
    w.check("UP, no check, UP");
    (0..3).for_each(|_| w.report(CheckStatus::L4Connection, "", 3));
    w.check("DOWN, no check, DOWN");
    says(&s1, "up");
    w.check("DOWN, no check, DOWN");
    says(&s1, "fail");
    (0..2).for_each(|_| w.report(CheckStatus::L4Ok, "", 4));
    w.check("DOWN (agent), no check, DOWN (agent)");
    s1.set_agent_enabled(false);
    w.report(CheckStatus::L4Ok, "", 5);
    w.check("UP, no check, UP");
    says(&s1, "1% drain maxconn:1");
    assert_eq!((s1.weight(), s1.maxconn()), (20, 1), "a disabled agent sets no weight");
    says(&s2, "stopped");
    w.check("UP, DOWN (agent), UP");
    s2.force_agent(true, Now(6));
    w.check("UP, no check, UP");
    assert!(w.server("tr", "b").agent().is_none());
}

#[test]
fn names_without_address() {
    let world = World::new();
    let s1 = world.server("be", "s1");
    let passed = CheckResult { status: CheckStatus::L7Ok, ..CheckResult::default() };
    s1.report_check(passed, Now(1));
    s1.set_unresolved("DNS NX status", Now(2));
    world.check("MAINT (resolution), no check, MAINT (via be/s1)");
    assert_eq!(s1.addr().to_string(), "0.0.0.0:8000");
    let expected = "Server be/s1 is going DOWN for maintenance (DNS NX status). 1 active and 0 backup servers left. 0 sessions active, 0 requeued, 0 remaining in queue.";
    assert_eq!(world.log.lock()[0], expected);
    world.log.lock().clear();
    // Nothing new.
    s1.set_unresolved("DNS timeout status", Now(3));
    world.check_log(&[]);
    s1.set_fqdn(Some("a.test"));
    s1.set_resolved(Now(4));
    assert_eq!(s1.admin_state(), Admin::FQDN_CHANGED);
    assert_eq!(world.log.lock()[0], "Server be/s1 ('a.test') is UP/READY (resolves again).");
}

/// A registry of one backend with these servers.
fn farm(servers: Vec<ServerSpec>) -> Arc<Registry> {
    let backend = BackendSpec { name: "be".into(), servers, ..BackendSpec::default() };
    Registry::new(RegistrySpec { backends: vec![backend], ..RegistrySpec::default() }).unwrap()
}

#[test]
fn a_server_that_comes_back_starts_slowly() {
    let addr = SockAddr::Inet(SocketAddr::from(([127, 0, 0, 1], 8000)));
    let slow = ServerSpec {
        check: Some(CheckSpec { rise: 1, fall: 1, ..CheckSpec::default() }.into()),
        slowstart: std::time::Duration::from_secs(10),
        weight: 2,
        maxconn: 50,
        ..ServerSpec::new("s1", ServerId(1), addr.clone())
    };
    let registry = farm(vec![slow, ServerSpec::new("s2", ServerId(2), addr)]);
    let backend = registry.backend("be").unwrap();
    let s1 = backend.server("s1").unwrap();
    let report = |status, ms| {
        s1.report_check(CheckResult { status, ..CheckResult::default() }, Now(ms));
    };
    let shares = || (s1.throttle(), s1.effective_weight(), s1.limit(), backend.farm().weight);
    // Never at the start.
    report(CheckStatus::L4Ok, 1);
    assert_eq!(shares(), (None, 32, 50, 3));
    report(CheckStatus::L4Connection, 2);
    assert_eq!(backend.farm().weight, 1);
    report(CheckStatus::L4Ok, 1000);
    assert_eq!(shares(), (Some(1), 1, 1, 2));
    assert!(s1.warm_up(Now(3500)));
    assert_eq!(shares(), (Some(25), 8, 13, 2));
    assert!(s1.warm_up(Now(8500)));
    assert_eq!(shares(), (Some(75), 24, 38, 3));
    // A share of 24 to 16.
    let picks = (0..50).map(|random| {
        let input = crate::ChooseInput { random, ..crate::ChooseInput::default() };
        let server = backend.choose(&input).unwrap();
        usize::from(*server.name == *"s1")
    });
    assert_eq!(picks.sum::<usize>(), 30);
    assert!(!s1.warm_up(Now(11_000)));
    assert_eq!(shares(), (None, 32, 50, 3));
    s1.set_maint(Now(12_000));
    s1.set_ready(Now(13_000));
    assert_eq!(s1.throttle(), Some(1));
    s1.set_maint(Now(14_000));
    assert_eq!(s1.throttle(), None);
}

#[test]
fn the_first_state_is_as_asked_for() {
    use super::InitState;
    let check = |init_state, expected: &str| {
        let addr = SockAddr::Inet(SocketAddr::from(([127, 0, 0, 1], 8000)));
        let check = Some(CheckSpec::default().into());
        let spec = ServerSpec { check, init_state, ..ServerSpec::new("s1", ServerId(1), addr) };
        let registry = farm(vec![spec]);
        let s1 = registry.backend("be").unwrap().server("s1").unwrap();
        let report = |status| {
            s1.report_check(CheckResult { status, ..CheckResult::default() }, Now(1));
        };
        let mut seen = vec![s1.status().to_string()];
        report(CheckStatus::L4Ok);
        seen.push(s1.status().to_string());
        report(CheckStatus::L4Ok);
        s1.set_maint(Now(2));
        s1.set_ready(Now(3));
        seen.push(s1.status().to_string());
        report(CheckStatus::L4Connection);
        seen.push(s1.status().to_string());
        assert_eq!(seen.join(", "), expected, "{init_state:?}");
    };
    check(InitState::Up, "UP 1/3, UP, UP 1/3, DOWN");
    check(InitState::FullyUp, "UP, UP, UP, UP 2/3");
    check(InitState::Down, "DOWN 1/2, UP, DOWN 1/2, DOWN");
    check(InitState::FullyDown, "DOWN, DOWN 1/2, DOWN, DOWN");
}

#[test]
fn servers_join_and_leave_a_running_backend() {
    let addr = |port| SockAddr::Inet(SocketAddr::from(([127, 0, 0, 1], port)));
    let dynamic = |name: &str, id: u32| ServerSpec {
        dynamic: true,
        held: true,
        check: Some(CheckSpec::default().into()),
        ..ServerSpec::new(name, ServerId(id), addr(8000))
    };
    let w = World::new();
    let be = w.registry.backend("be").unwrap();
    let told = Arc::new(Mutex::new(0));
    let hook = told.clone();
    w.registry.on_backend_change(Box::new(move |_| *hook.lock() += 1));
    assert_eq!(be.next_server_id(), ServerId(3));
    let s3 = be.add_server(dynamic("s3", 3), None, Now(5)).unwrap();
    assert_eq!((s3.status().to_string(), s3.check_enabled()), ("MAINT".into(), false));
    assert_eq!(be.farm().active, 2);
    // Neither the name nor the number is free.
    assert!(be.add_server(dynamic("s3", 4), None, Now(5)).is_err());
    assert!(be.add_server(dynamic("s4", 3), None, Now(5)).is_err());
    s3.set_ready(Now(6));
    assert_eq!(be.farm().active, 3);
    assert_eq!(be.remove_server(&s3, Now(7)), Err(InUse::InService));
    s3.set_maint(Now(7));
    assert!(s3.try_begin_session(Now(8)));
    assert_eq!(be.remove_server(&s3, Now(8)), Err(InUse::Connections));
    s3.end_session();
    assert_eq!(be.remove_server(&s3, Now(9)), Ok(()));
    assert!(s3.is_gone() && be.server("s3").is_none() && be.servers().len() == 2);
    assert_eq!(be.next_server_id(), ServerId(3));
    assert_eq!(*told.lock(), 2);
    // Who follows it keeps it, and is forgotten when it leaves itself.
    let s1 = w.server("be", "s1");
    let tracked = be.add_server(ServerSpec { held: false, ..dynamic("s4", 3) }, Some(&s1), Now(10));
    let s4 = tracked.unwrap();
    s1.set_maint(Now(11));
    assert_eq!(s4.status().to_string(), "MAINT (via be/s1)");
    assert_eq!(s1.is_removable(), Err(InUse::Named));
    assert_eq!(be.remove_server(&s4, Now(12)), Ok(()));
    // In the other backend there is one more.
    assert_eq!(s1.is_removable(), Err(InUse::Named));
}

#[test]
fn backends_come_and_go() {
    let w = World::new();
    assert_eq!(w.registry.next_proxy_id(), ProxyId(4));
    let spec = |name: &str, id| BackendSpec {
        name: name.into(),
        id: ProxyId(id),
        unpublished: true,
        ..BackendSpec::default()
    };
    let new = w.registry.add_backend(spec("new", 4)).unwrap();
    assert!(w.registry.add_backend(spec("new", 5)).is_err());
    assert!(w.registry.add_backend(spec("other", 4)).is_err());
    assert!(!new.is_open() && w.registry.backend("new").is_some());
    new.set_published(true);
    assert!(new.is_open());
    w.registry.remove_backend(&w.registry.backend("be").unwrap());
    assert!(w.registry.backend("be").is_none() && w.registry.backend("tr").is_some());
    assert_eq!(w.registry.backend_by_id(ProxyId(4)).unwrap().name, new.name);
    assert_eq!(w.registry.next_proxy_id(), ProxyId(2));
}

#[test]
fn a_server_that_is_down_enters_maintenance_without_a_fall() {
    let w = World::new();
    let s1 = w.server("be", "s1");
    s1.force_health(OpState::Stopped, Now(1));
    w.log.lock().clear();
    s1.set_maint(Now(2));
    let log = w.log.lock().clone();
    assert_eq!(log[0], "Server be/s1 was DOWN and now enters maintenance.");
}

/// Twenty thousand servers are nothing unusual where services register themselves.
#[test]
fn a_server_that_carries_nothing_weighs_little() {
    assert!(size_of::<Server>() <= 1024, "{}", size_of::<Server>());
    let addr = SockAddr::Inet(SocketAddr::from(([127, 0, 0, 1], 8000)));
    let spec = |id| {
        let spec = ServerSpec::new(format!("s{id}"), ServerId(id), addr.clone());
        ServerSpec { check: Some(CheckSpec::default().into()), ..spec }
    };
    let (first, mut second) = (spec(1), spec(2));
    second.share(&first);
    let shared = |spec: &ServerSpec| spec.check.as_ref().map(Arc::as_ptr);
    assert_eq!(shared(&first), shared(&second));
    let slow = CheckSpec { rise: 9, ..CheckSpec::default() };
    let mut third = ServerSpec { check: Some(slow.into()), ..spec(3) };
    third.share(&first);
    assert_eq!(third.check.map(|check| check.rise), Some(9));
}
