//! Sessions from end to end over an in-memory stream; rows marked as HAProxy's were asked of HAProxy 2.6.

use crate::builder::{Builder, DefaultServers};
use crate::context::{
    Admin, CliSocket, L4Filter, L4Flow, L4Row, L4View, Later, ProcessFacts, ProcessView, Product,
    SessionInfo,
};
use crate::{Level, stats};
use crate::{SessionOptions, serve};
use proxy_state::backend::BackendSpec;
use proxy_state::lb::{LbSpec, algorithm};
use proxy_state::registry::{Registry, RegistrySpec};
use proxy_state::server::CheckSpec;
use proxy_state::{
    Backend, FrontendSpec, ListenerSpec, Now, ProxyOptions, Server, ServerSpec, SockAddr,
};
use proxy_types::{ListenerId, Mode, ProxyId, ServerId};
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

struct World;

thread_local! {
    static NOTICES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

impl ProcessView for World {
    fn now(&self) -> Now {
        Now(3000)
    }
    fn wall(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(1_795_425_537_564)
    }
    fn facts(&self) -> ProcessFacts {
        ProcessFacts {
            pid: 42,
            threads: 2,
            node: "vm".into(),
            listeners: 3,
            ..ProcessFacts::default()
        }
    }
    fn startup_logs(&self) -> String {
        "[NOTICE]   (42) : ready\n".into()
    }
    fn cli_sockets(&self) -> Vec<CliSocket> {
        vec![CliSocket { address: "unix@/tmp/s.sock".into(), level: Level::Admin }]
    }
    fn environment(&self) -> Vec<(String, String)> {
        vec![("HOME".into(), "/root".into()), ("X".into(), "a\nb".into())]
    }
    fn sessions(&self) -> Later<Vec<SessionInfo>> {
        let session = SessionInfo {
            id: 0x1f,
            proto: "tcpv4".into(),
            source: "127.0.0.1:5".into(),
            frontend: "fe".into(),
            phase: "request",
            ..SessionInfo::default()
        };
        Box::pin(async { vec![session] })
    }
    fn shutdown_session(&self, id: u64) -> Later<bool> {
        Box::pin(async move { id == 0x1f })
    }
    fn update_ocsp(&self, _: proxy_tls::live::Job) -> Later<Option<proxy_tls::live::Course>> {
        Box::pin(async { None })
    }
    fn notice(&self, text: &str) {
        NOTICES.with_borrow_mut(|n| n.push(text.into()));
    }
}

/// Makes nothing.
impl Builder for World {
    fn add_server(&self, _: &Arc<Backend>, words: &[String], _: Now) -> Result<(), String> {
        Err(words.join(" "))
    }

    fn remove_server(&self, server: &Arc<Server>, now: Now) -> Result<(), String> {
        let backend = server.backend().unwrap();
        backend.remove_server(server, now).map_err(|error| error.to_string())
    }

    fn server_words(&self) -> Vec<(&'static str, &'static str)> {
        vec![("weight", "<weight>"), ("backup", "")]
    }

    fn add_backend(
        &self,
        name: &str,
        from: &str,
        mode: Option<Mode>,
        guid: Option<&str>,
    ) -> Result<(), String> {
        Err(format!("{name} {from} {mode:?} {guid:?}"))
    }

    fn backend_removable(&self, backend: &Arc<Backend>) -> Result<bool, String> {
        match backend.is_published() {
            true => Err("Backend must be unpublished prior to its deletion.".to_owned()),
            false => Ok(backend.sessions.get() == 0),
        }
    }

    fn remove_backend(&self, backend: &Arc<Backend>) -> Result<(), String> {
        self.backend_removable(backend).map(drop)
    }

    fn default_servers(&self) -> Vec<DefaultServers> {
        let own = |backend: &str, unnamed, named: &[&str]| DefaultServers {
            backend: backend.to_owned(),
            unnamed,
            named: named.iter().map(|name| (*name).to_owned()).collect(),
        };
        vec![own("be", true, &["x", "y"]), own("be2", false, &["z"])]
    }

    fn defaults(&self) -> Vec<String> {
        vec!["d".to_owned(), "e".to_owned()]
    }
}

impl L4View for World {
    fn rows(&self) -> Vec<L4Row> {
        vec![L4Row {
            frontend: "fe".into(),
            listener: "127.0.0.1:18080".into(),
            path: "userspace".into(),
            reason: "mode http".into(),
        }]
    }
    fn status(&self) -> Vec<(String, String)> {
        vec![("flows".into(), "0/1024".into())]
    }
    fn tables(&self) -> Vec<(String, u64, u64)> {
        vec![("flows".into(), 3, 1024)]
    }
    fn flows(&self, filter: &L4Filter) -> Vec<L4Flow> {
        let flow = L4Flow {
            frontend: "fe".into(),
            server: "be/s1".into(),
            client: "192.0.2.1:5555".parse().unwrap(),
            vip: "192.0.2.9:80".parse().unwrap(),
            source: "10.0.0.1:40000".parse().unwrap(),
            server_addr: "10.0.0.9:8080".parse().unwrap(),
            state: "established",
            age_secs: 7,
            idle_secs: 1,
            bytes_in: 10,
            bytes_out: 20,
        };
        let wanted = filter.client.is_none_or(|ip| ip == flow.client.ip()) && filter.max > 0;
        wanted.then_some(flow).into_iter().collect()
    }
    fn drops(&self) -> Vec<(String, String, u64)> {
        vec![("-".into(), "no_flow".into(), 3), ("fe".into(), "full".into(), 2)]
    }
    fn carried(&self) -> Vec<crate::outside::Carried> {
        Vec::new()
    }
    fn denied(&self) -> Vec<(String, std::net::IpAddr, u64)> {
        vec![("fe".into(), "192.0.2.7".parse().unwrap(), 59)]
    }
    fn forgive(&self, client: Option<std::net::IpAddr>) -> usize {
        usize::from(client.is_none_or(|ip| ip == self.denied()[0].1))
    }
}

fn shared(registry: Arc<Registry>) -> Arc<proxy_rules::sample::context::Shared> {
    let mut traffic = proxy_rules::sample::example::Traffic::new();
    traffic.shared.registry = registry;
    Arc::new(traffic.shared)
}

/// The configuration that was run in HAProxy for the rows below.
fn admin() -> Rc<Admin> {
    let inet = |port| SockAddr::Inet(SocketAddr::from(([127, 0, 0, 1], port)));
    let server = |name: &str, id, port, weight| ServerSpec {
        weight,
        ..ServerSpec::new(name, ServerId(id), inet(port))
    };
    let lb = |name| LbSpec { algorithm: algorithm(name).unwrap(), ..LbSpec::default() };
    let fe = FrontendSpec {
        name: "fe".into(),
        id: ProxyId(2),
        mode: Mode::Http,
        maxconn: 100,
        options: ProxyOptions { socket_stats: true, ..ProxyOptions::default() },
        listeners: vec![ListenerSpec {
            id: ListenerId(1),
            name: Some("l1".into()),
            addr: inet(18080),
            maxconn: 0,
            transport: None,
            proto: None,
            raw: false,
            idle_ping: None,
        }],
        ..FrontendSpec::default()
    };
    let li = FrontendSpec { name: "li".into(), id: ProxyId(5), ..FrontendSpec::default() };
    let be = BackendSpec {
        name: "be".into(),
        id: ProxyId(3),
        mode: Mode::Http,
        lb: lb("roundrobin"),
        fullconn: 10,
        servers: vec![
            ServerSpec { check: Some(CheckSpec::default().into()), ..server("s1", 1, 18081, 10) },
            ServerSpec { maxconn: 5, ..server("s2", 2, 18082, 20) },
            ServerSpec { backup: true, disabled: true, ..server("s3", 3, 18083, 1) },
        ],
        ..BackendSpec::default()
    };
    let be2 = BackendSpec {
        name: "be2".into(),
        id: ProxyId(4),
        lb: lb("source"),
        fullconn: 1,
        servers: vec![ServerSpec { cookie: Some("c1".into()), ..server("t1", 1, 18084, 1) }],
        ..BackendSpec::default()
    };
    let registry = Registry::new(RegistrySpec {
        frontends: vec![fe, li],
        backends: vec![be, be2],
        maxconn: 9983,
        ..RegistrySpec::default()
    })
    .unwrap();
    Rc::new(Admin {
        peers: Vec::new(),
        rings: Arc::new(proxy_stream::log::ring::Rings::builtin()),
        traces: Vec::new(),
        log: None,
        certificates: Default::default(),
        shared: shared(registry.clone()),
        registry,
        names: None,
        builder: Rc::new(World),
        product: Product {
            name: "Sluice",
            version: "3.5.0".into(),
            release_date: "2026/11/23".into(),
        },
        payload_max: crate::PAYLOAD_MAX,
        process: Box::new(World),
        l4: Some(Box::new(World)),
    })
}

/// Sends `input` to a session and returns everything it answers.
fn talk(admin: &Rc<Admin>, level: Level, input: &str) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (mut client, ours) = tokio::io::duplex(4096);
        let options = SessionOptions { level, ..SessionOptions::default() };
        let serving = serve(ours, admin.clone(), options);
        let asking = async {
            client.write_all(input.as_bytes()).await.unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            answer
        };
        let (_, answer) = tokio::join!(serving, asking);
        answer
    })
}

#[track_caller]
fn check(admin: &Rc<Admin>, command: &str, expected: &str) {
    assert_eq!(talk(admin, Level::Admin, &format!("{command}\n")), expected, "{command}");
}

/// Header of HAProxy 2.6 up to its last static column.
const HEADER_2_6: &str = "# pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,dreq,dresp,ereq,econ,eresp,wretr,wredis,status,weight,act,bck,chkfail,chkdown,lastchg,downtime,qlimit,pid,iid,sid,throttle,lbtot,tracked,type,rate,rate_lim,rate_max,check_status,check_code,check_duration,hrsp_1xx,hrsp_2xx,hrsp_3xx,hrsp_4xx,hrsp_5xx,hrsp_other,hanafail,req_rate,req_rate_max,req_tot,cli_abrt,srv_abrt,comp_in,comp_out,comp_byp,comp_rsp,lastsess,last_chk,last_agt,qtime,ctime,rtime,ttime,agent_status,agent_code,agent_duration,check_desc,agent_desc,check_rise,check_fall,check_health,agent_rise,agent_fall,agent_health,addr,cookie,mode,algo,conn_rate,conn_rate_max,conn_tot,intercepted,dcon,dses,wrew,connect,reuse,cache_lookups,cache_hits,srv_icur,src_ilim,qtime_max,ctime_max,rtime_max,ttime_max,eint,idle_conn_cur,safe_conn_cur,used_conn_cur,need_conn_est,uweight,agg_server_status,agg_server_check_status,agg_check_status,";

#[test]
fn stat_lines_are_those_of_haproxy() {
    assert!(stats::csv::header().starts_with(HEADER_2_6));
    assert_eq!(
        stats::columns::COLUMNS.len(),
        144,
        "118 is the last static column, then `-`, then those of TLS, HTTP/2 and HTTP/1"
    );
    let answer = talk(&admin(), Level::Admin, "show stat\n");
    // Rows of HAProxy 2.6 for the same configuration, up to column 102.
    let rows = [
        "fe,FRONTEND,,,0,0,100,0,0,0,0,0,0,,,,,OPEN,,,,,,,,,1,2,0,,,,0,0,0,0,,,,0,0,0,0,0,0,,0,0,0,,,0,0,0,0,,,,,,,,,,,,,,,,,,,,,http,,0,0,0,0,0,0,0,,,0,0,,,,,,,0,,,,,,,,,",
        "fe,l1,,,0,0,0,0,0,0,0,0,0,,,,,OPEN,,,,,,,,,1,2,1,,,,3,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,127.0.0.1:18080,,http,,,,,,0,0,0,,,,,,,,,,,0,,,,,,,,,",
        "be,s2,0,0,0,0,5,0,0,0,,0,,0,0,0,0,no check,20,1,0,,,3,,,1,3,2,,0,,2,0,,0,,,,0,0,0,0,0,0,,,,0,0,0,,,,,-1,,,0,0,0,0,,,,,,,,,,,,127.0.0.1:18082,,http,,,,,,,,0,0,0,,,0,,0,0,0,0,0,0,0,0,0,20,,,,",
        "be,s3,0,0,0,0,,0,0,0,,0,,0,0,0,0,MAINT,1,0,1,,,3,,,1,3,3,,0,,2,0,,0,,,,0,0,0,0,0,0,,,,0,0,0,,,,,-1,,,0,0,0,0,,,,,,,,,,,,127.0.0.1:18083,,http,,,,,,,,0,0,0,,,0,,0,0,0,0,0,0,0,0,0,1,,,,",
        "be2,t1,0,0,0,0,,0,0,0,,0,,0,0,0,0,no check,1,1,0,,,3,,,1,4,1,,0,,2,0,,0,,,,,,,,,,,,,,0,0,,,,,-1,,,0,0,0,0,,,,,,,,,,,,127.0.0.1:18084,c1,tcp,,,,,,,,0,0,0,,,0,,0,0,0,0,0,0,0,0,0,1,,,,",
        "be2,BACKEND,0,0,0,0,1,0,0,0,0,0,,0,0,0,0,UP,1,1,0,,0,3,0,,1,4,0,,0,,1,0,,0,,,,,,,,,,,,,,0,0,0,0,0,0,-1,,,0,0,0,0,,,,,,,,,,,,,,tcp,source,,,,,,,0,0,0,,,,,0,0,0,0,0,,,,,1,0,0,0,",
        "li,FRONTEND,,,0,0,9983,0,0,0,0,0,0,,,,,OPEN,,,,,,,,,1,5,0,,,,0,0,0,0,,,,,,,,,,,0,0,0,,,0,0,0,0,,,,,,,,,,,,,,,,,,,,,tcp,,0,0,0,,0,0,0,,,,,,,,,,,0,,,,,,,,,",
    ];
    for row in rows {
        let name: String = row.split_inclusive(',').take(2).collect();
        let line = answer.lines().find(|l| l.starts_with(&name)).unwrap();
        let seen: String = line.split_inclusive(',').take(103).collect();
        assert_eq!(seen, row, "{name}");
    }
    // Columns of the modules stand behind the mark.
    assert!(answer.lines().all(|l| l.is_empty() || l.contains(",-,")));
}

#[test]
fn stat_can_be_narrowed() {
    let admin = admin();
    let names = |command: &str| -> String {
        let answer = talk(&admin, Level::Admin, &format!("{command}\n"));
        let rows = answer.lines().skip(1).filter(|l| !l.is_empty());
        rows.map(|l| l.split(',').take(2).collect::<Vec<_>>().join("/"))
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(
        names("show stat"),
        "fe/FRONTEND fe/l1 be/s1 be/s2 be/s3 be/BACKEND be2/t1 be2/BACKEND li/FRONTEND"
    );
    assert_eq!(names("show stat be 4 -1"), "be/s1 be/s2 be/s3");
    assert_eq!(names("show stat 3 4 2"), "be/s2");
    assert_eq!(names("show stat -1 2 -1"), "be/BACKEND be2/BACKEND");
    assert_eq!(names("show stat -1 4 -1 no-maint"), "be/s1 be/s2 be2/t1");
    assert_eq!(names("show stat domain proxy -1 4 -1 up"), "be/s1 be/s2 be2/t1");
    check(&admin, "show stat nope 1 -1", "No such proxy.\n\n");
    let typed = talk(&admin, Level::Admin, "show stat be 4 2 typed\n");
    assert!(typed.starts_with("S.3.2.0.pxname.1:KNSV:str:be\nS.3.2.1.svname.1:KNSV:str:s2\n"));
    let json = talk(&admin, Level::Admin, "show stat be 4 2 json\n");
    assert!(
        json.starts_with("[[{\"objType\":\"Server\",\"proxyId\":3,\"id\":2,\"field\":{\"pos\":0,")
    );
    assert!(json.ends_with("}}]]\n\n"));
    check(&admin, "show stat be 1 -1 json", "[]\n\n");
    let user = talk(&admin, Level::User, "show stat be2 -1 -1\n");
    assert!(!user.contains("127.0.0.1") && !user.contains("source"));
}

#[test]
fn info_names_and_counts() {
    let answer = talk(&admin(), Level::User, "show info\n");
    assert!(
        answer.starts_with("Name: Sluice\nVersion: 3.5.0\nRelease_date: 2026/11/23\nNbthread: 2\n")
    );
    for line in [
        "Pid: 42",
        "Uptime: 0d 0h00m03s",
        "Maxconn: 9983",
        "node: vm",
        "Start_time_sec: 1795425534",
    ] {
        assert!(answer.lines().any(|l| l == line), "{line}");
    }
    let typed = talk(&admin(), Level::User, "show info typed\n");
    assert!(typed.starts_with("0.Name.1:POSV:str:Sluice\n"));
    assert!(typed.contains("\n8.Uptime_sec.1:MDPV:u32:3\n"));
    let json = talk(&admin(), Level::User, "show info json\n");
    assert!(json.starts_with("[{\"field\":{\"pos\":0,\"name\":\"Name\"},\"processNum\":1,"));
}

#[test]
fn servers_are_listed_as_haproxy_does() {
    let admin = admin();
    let answer = talk(&admin, Level::Admin, "show servers state be\n");
    let mut lines = answer.lines();
    assert_eq!(lines.next(), Some("1"));
    assert!(lines.next().unwrap().starts_with("# be_id be_name srv_id srv_name srv_addr "));
    assert_eq!(
        lines.collect::<Vec<_>>(),
        [
            "3 be 1 s1 127.0.0.1 2 0 10 10 3 1 0 2 6 0 0 0 - 18081 - 0 0 - - 0",
            "3 be 2 s2 127.0.0.1 2 0 20 20 3 1 0 1 0 0 0 0 - 18082 - 0 0 - - 0",
            "3 be 3 s3 127.0.0.1 0 5 1 1 3 1 0 0 0 0 0 0 - 18083 - 0 0 - - 0",
            "",
        ]
    );
    check(&admin, "show servers state nope", "Can't find backend.\n\n");
    let answer = talk(&admin, Level::Admin, "show servers conn be2\n");
    assert_eq!(
        answer.lines().nth(1),
        Some("be2/t1 4/1 127.0.0.1 18084 - 5000 0 0 0 0 0 0 0 -1 0 0 0")
    );
}

#[test]
fn answers_are_those_of_haproxy() {
    let a = admin();
    let rows = [
        ("set server nope/x state maint", "No such backend.\n\n"),
        ("set server be/x state maint", "No such server.\n\n"),
        ("set server be state maint", "Require 'backend/server'.\n\n"),
        (
            "set server be/s1 state",
            "'set server <srv> state' expects 'ready', 'drain' and 'maint'.\n\n",
        ),
        (
            "set server be/s1 health x",
            "'set server <srv> health' expects 'up', 'stopping', or 'down'.\n\n",
        ),
        ("set server be/s1 weight", "Require <weight> or <weight%>.\n\n"),
        ("set weight be/s1 300", "Absolute weight can only be between 0 and 256 inclusive.\n\n"),
        ("set weight be/s1 50%; get weight be/s1", "\n5 (initial 10)\n\n"),
        (
            "set weight be2/t1 5",
            "Backend is using a static LB algorithm and only accepts weights '0%' and '100%'.\n\n",
        ),
        (
            "set server be/s1 addr",
            "set server <b>/<s> addr requires an address and optionally a port.\n\n",
        ),
        (
            "set server be/s1 addr 127.0.0.9",
            "IP changed from '127.0.0.1' to '127.0.0.9' by 'stats socket command'\n\n",
        ),
        (
            "set server be/s1 addr 127.0.0.9 port 9999",
            "no need to change the addr, port changed from '18081' to '9999' by 'stats socket command'\n\n",
        ),
        (
            "set server be/s1 addr 127.0.0.9 port 9999",
            "no need to change the addr, no need to change the port by 'stats socket command'\n\n",
        ),
        (
            "set server be/s1 addr 127.0.0.9 port foo",
            "no need to change the addr, problem converting port 'foo' to an int by 'stats socket command'\n\n",
        ),
        ("set server be/s1 addr foo", "Invalid addr 'foo' by 'stats socket command'\n\n"),
        (
            "enable health be/s2",
            "Health check was not configured on this server, cannot enable.\n\n",
        ),
        ("disable frontend", "A frontend name is expected.\n\n"),
        ("disable frontend x", "No such frontend.\n\n"),
        ("disable frontend fe; disable frontend fe", "\nAll sockets are already disabled.\n\n"),
        ("enable frontend fe; enable frontend fe", "\nAll sockets are already enabled.\n\n"),
        ("shutdown frontend li; shutdown frontend li", "\nFrontend was already shut down.\n\n"),
        ("shutdown session", "Session pointer expected (use 'show sess').\n\n"),
        ("shutdown session 0x1", "No such session (use 'show sess').\n\n"),
        ("shutdown session 0x1f", "\n"),
        ("shutdown sessions server be/s1", "\n"),
        ("set maxconn frontend fe", "Integer value expected.\n\n"),
        ("set maxconn global 500", "\n"),
        ("set maxconn global 50000000", "Value out of range.\n\n"),
        ("set maxconn global", "Expects an integer value.\n\n"),
        ("set maxconn server be/s1", "Require <maxconn>.\n\n"),
        ("set maxconn server be/s1 x", "maxconn string empty or preceded by garbage\n\n"),
        ("clear counters", "\n"),
        ("clear counters all", "\n"),
        ("set timeout cli 10", "\n"),
        ("set timeout cli", "Expects an integer value.\n\n"),
        ("set timeout foo", "'set timeout' only supports 'cli'.\n\n"),
        ("set timeout cli x", "Invalid timeout value.\n\n"),
        ("show cli level", "admin\n\n"),
        ("show cli sockets", "# socket lvl processes\nunix@/tmp/s.sock admin all\n\n"),
        ("show version", "3.5.0\n\n"),
        ("show env HOME", "HOME=/root\n\n"),
        ("show env X", "X=a\\nb\n\n"),
        ("show env NOPE", "Variable not found\n\n"),
        ("show backend", "# name\nbe\nbe2\n\n"),
        ("show errors", "Total events captured on [23/Nov/2026:09:18:57.564] : 0\n\n"),
        ("show errors nope", "No such proxy.\n\n"),
        ("show startup-logs", "[NOTICE]   (42) : ready\n\n"),
        ("expert-mode on; expert-mode", "\nexpert-mode is ON\n\n"),
        ("echo a\\;b c", "a;b c\n\n"),
        (
            "show sess",
            "0x1f: proto=tcpv4 src=127.0.0.1:5 fe=fe be=<NONE> srv=<none> ts=00 age=0s st=request\n\n",
        ),
        ("show sess 0x12", "Session not found.\n\n"),
        (
            "show l4",
            "# frontend listener        path      reason\nfe         127.0.0.1:18080 userspace mode http\nflows: 0/1024\n\n",
        ),
        ("show l4 drops", "# frontend reason packets\n- no_flow 3\nfe full 2\n\n"),
        (
            "show l4 flows client 192.0.2.1",
            "192.0.2.1:5555 -> 192.0.2.9:80 fe=fe src=10.0.0.1:40000 srv=be/s1 dst=10.0.0.9:8080 \
             state=established age=7s idle=1s in=10 out=20\n\n",
        ),
        ("show l4 denied", "# frontend client seconds\nfe 192.0.2.7 59\n\n"),
        ("clear l4 denied", "A client's address or 'all' is expected.\n\n"),
        ("clear l4 denied nobody", "Invalid address.\n\n"),
        ("clear l4 denied 192.0.2.8", "This client is not turned away.\n\n"),
        ("clear l4 denied 192.0.2.7", "1 let in again.\n\n"),
        ("clear l4 denied all", "1 let in again.\n\n"),
        ("show l4 flows max 0", "\n"),
        ("show l4 flows client nobody", "Invalid address.\n\n"),
        ("get var", "Missing process-wide variable identifier.\n\n"),
        ("get var proc.x", "Variable not found.\n\n"),
        ("set var proc.x int(7)", "This command is restricted to experimental mode only.\n\n"),
        (
            "experimental-mode on; set var proc.x",
            "\nMissing either 'expr', 'fmt' or expression.\n\n",
        ),
        (
            "experimental-mode on; set var sess.i str(abc)",
            "\n'set var': cannot set variable 'sess.i', only scope 'proc' is permitted here.\n\n",
        ),
        (
            "experimental-mode on; set var proc.i str(abc) if TRUE",
            "\n'set var': arg type must be either 'expr' or 'fmt' but got 'str(abc)'.\n\n",
        ),
        (
            "experimental-mode on; set var proc.i int(7); get var proc.i",
            "\n\nproc.i: type=sint value=<7>\n\n",
        ),
        (
            "experimental-mode on; set var proc.s expr str(abc),hex; get var proc.s",
            "\n\nproc.s: type=str value=<616263>\n\n",
        ),
        (
            "experimental-mode on; set var proc.y fmt abc%[int(4)]; get var proc.y",
            "\n\nproc.y: type=str value=<abc4>\n\n",
        ),
        (
            "experimental-mode on; set var proc.a ipv4(1.2.3.4); get var proc.a",
            "\n\nproc.a: type=ipv4 value=<1.2.3.4>\n\n",
        ),
        ("quit", ""),
    ];
    for (command, expected) in rows {
        check(&a, command, expected);
    }
}

#[test]
fn commands_change_what_the_statistics_show() {
    let a = admin();
    let status = |server: &str| {
        let be = a.registry.backend("be").unwrap();
        be.server(server).unwrap().status().to_string()
    };
    check(&a, "disable server be/s1", "\n");
    assert_eq!(status("s1"), "MAINT");
    check(&a, "enable server be/s1; set server be/s2 state drain", "\n\n");
    assert_eq!((status("s1"), status("s2")), ("UP 1/3".into(), "DRAIN".into()));
    check(&a, "set server be/s1 health down", "\n");
    assert_eq!(status("s1"), "DOWN");
    check(&a, "disable frontend fe", "\n");
    assert!(
        talk(&a, Level::Admin, "show stat fe 1 -1\n")
            .contains("fe,FRONTEND,,,0,0,100,0,0,0,0,0,0,,,,,PAUSED,")
    );
    assert_eq!(NOTICES.with_borrow_mut(std::mem::take), ["Paused frontend fe."]);
}

#[test]
fn levels_only_fall() {
    let a = admin();
    let denied = "Permission denied\n\n";
    assert_eq!(talk(&a, Level::Operator, "disable server be/s1\n"), denied);
    assert_eq!(talk(&a, Level::User, "show env\n"), denied);
    assert_eq!(
        talk(
            &a,
            Level::Admin,
            "user; show cli level; operator; show cli level; set weight be/s1 3\n"
        ),
        format!("\nuser\n\n\nuser\n\n{denied}")
    );
    assert!(!talk(&a, Level::User, "help\n").contains("disable server"));
}

#[test]
fn modes_and_prompts() {
    let a = admin();
    assert_eq!(talk(&a, Level::Admin, "show version\nshow version\n"), "3.5.0\n\n", "one line");
    assert_eq!(talk(&a, Level::Admin, "prompt\nshow version\n\nquit\n"), "\n> 3.5.0\n\n> > ");
    assert_eq!(
        talk(&a, Level::Admin, "prompt i\nshow version\nshow version\nquit\n"),
        "\n3.5.0\n\n3.5.0\n\n"
    );
    assert_eq!(talk(&a, Level::Admin, "prompt timed\nquit\n"), "\n[0:00:00:03]> ");
    assert_eq!(
        talk(&a, Level::Admin, "prompt\nshow version <<\na\n\nprompt n\n"),
        "\n> + + 3.5.0\n\n> \n"
    );
}

#[test]
fn unknown_commands_get_suggestions() {
    let a = admin();
    let answer = talk(&a, Level::Admin, "set maxconn foo\n");
    let expected = "Unknown command, but maybe one of the following ones is a better match:
  set maxconn frontend <frontend> <value> : change a frontend's maxconn setting
  set maxconn global <value>              : change the per-process maxconn setting
  set maxconn server <bk>/<srv>           : change a server's maxconn setting
  help [<command>]                        : list matching or all commands
  prompt [help | n | i | p | timed]*      : toggle interactive mode with prompt
  quit                                    : disconnect

";
    assert_eq!(answer, expected);
    assert!(talk(&a, Level::Admin, "sohw stat\n").contains("show stat [domain "));
    let all = talk(&a, Level::Admin, "\n");
    assert!(all.starts_with("Unknown command. Please enter one of the following commands only:\n"));
    let help = talk(&a, Level::Admin, "help show cli\n");
    assert_eq!(help.lines().filter(|l| l.starts_with("  show cli")).count(), 2, "{help}");
    assert_eq!(help.lines().count(), 7, "{help}");
}

#[test]
fn long_input_is_cut_off() {
    let a = admin();
    let answer = talk(&a, Level::Admin, &format!("{}\n", "x".repeat(crate::session::LINE_MAX + 1)));
    assert_eq!(answer, "The command line or its payload is too long.\n\n");
}

#[test]
fn servers_and_backends_are_made_and_taken_away() {
    let admin = admin();
    check(&admin, "add server nope/x 127.0.0.1", "No such backend.\n\n");
    check(&admin, "add server be", "Require 'backend/server'.\n\n");
    check(&admin, "add server be/x 127.0.0.1:1 weight 3", "x 127.0.0.1:1 weight 3\n\n");
    check(
        &admin,
        "add server help",
        "List of keywords supported for dynamic servers:\n  backup\n  weight <weight>\n\n",
    );
    check(&admin, "del server be/nope", "No such server.\n\n");
    check(&admin, "del server be/s2", "Only servers in maintenance mode can be deleted.\n\n");
    let server = admin.registry.backend("be").unwrap().server("s3").unwrap();
    server.idle.count(true, true);
    let busy = "Server still has connections attached to it, cannot remove it.\n\n";
    check(&admin, "del server be/s3", busy);
    check(&admin, "wait 30 srv-removable be/s3", "Wait delay expired.\n\n");
    server.idle.count(true, false);
    check(&admin, "wait 30s srv-removable be/s3; del server be/s3", "Done.\n\nServer deleted.\n\n");
    check(&admin, "del server be/s3", "No such server.\n\n");
    server.set_named();
    let text = "Only servers in maintenance mode can be deleted.\n\n";
    check(&admin, "wait 30s srv-removable be/s1", text);
    check(&admin, "wait 1", "\n");
    assert!(talk(&admin, Level::Admin, "wait\n").starts_with("Usage: wait"));
    assert!(talk(&admin, Level::Admin, "wait 1 -h\n").starts_with("Usage: wait"));
    check(&admin, "wait x", "Invalid duration 'x' for 'wait'.\n\n");
    check(&admin, "add backend b from d mode http guid g", "b d Some(Http) Some(\"g\")\n\n");
    check(&admin, "add backend b from d", "b d None None\n\n");
    assert!(talk(&admin, Level::Admin, "add backend b\n").starts_with("'add backend' expects"));
    assert!(talk(&admin, Level::Admin, "add backend b from d mode log\n").contains("TCP or HTTP"));
    check(&admin, "del backend be", "Backend must be unpublished prior to its deletion.\n\n");
    check(
        &admin,
        "unpublish backend be; wait 1 be-removable be",
        "Backend unpublished.\n\nDone.\n\n",
    );
    check(&admin, "show defaults", "d\ne\n\n");
    check(&admin, "show default-server", "* be\n  be/x\n  be/y\n  be2/z\n\n");
    check(&admin, "show default-server be2", "  be2/z\n\n");
}

#[test]
fn commands_for_experts_are_hidden_from_others() {
    let admin = admin();
    let ask = |line: &str| talk(&admin, Level::Admin, &format!("{line}\n"));
    let line = format!("{}\n", ".".repeat(5));
    for (sent, expected) in [
        (
            "httpclient GET http://x/",
            "This command is restricted to expert mode only.\n\n".to_owned(),
        ),
        ("debug dev delay 1", "This command is restricted to expert mode only.\n\n".to_owned()),
        ("expert-mode on; debug dev delay 1", "\n\n".to_owned()),
        ("expert-mode on; debug dev loop x", "\n'x' is not a number here.\n\n".to_owned()),
        ("expert-mode on; debug dev write 5", format!("\n{line}\n")),
        ("debug dev hash abc", "abc\n\n".to_owned()),
        (
            "expert-mode on; httpclient GET",
            "\nCan't start the HTTP client: not enough parameters.\n\n".to_owned(),
        ),
        ("show stat domain nope", "Invalid statistics domain.\n\n".to_owned()),
        ("show stat domain", "Invalid statistics domain.\n\n".to_owned()),
    ] {
        assert_eq!(ask(sent), expected, "{sent}");
    }
    let help = |line: &str| ask(line).contains("  debug dev write");
    assert!(!help("help debug") && help("expert-mode on; help debug"));
    assert!(ask("expert-mode on; debug dev hex 0x1").contains("use a debugger"));
    assert!(ask("debug counters cnt").contains("No places in the code"));
    assert!(ask("show stat domain resolvers").starts_with("# id,pid,sent,send_error,"));
}
