//! The stats socket: forms that tools read.

use anyhow::Result;
use tests::client::{Client, get};
use tests::net::loopback;
use tests::peer::HttpServer;
use tests::sluice::{DEFAULTS, Peer, peer};
use tests::{PATIENCE, Sluice, eventually};

fn start() -> Result<(Sluice, std::net::SocketAddr, HttpServer)> {
    let server = HttpServer::start("s1")?;
    let address = loopback()?;
    let config = format!(
        "
defaults
    mode http
    balance roundrobin
    timeout connect 5s
    timeout client 20s
    timeout server 20s
frontend web
    bind {address}
    default_backend app
backend app
    server s1 {}
    server s2 {} disabled
",
        server.address(),
        server.address()
    );
    Ok((Sluice::config(config).start()?, address, server))
}

#[test]
fn show_info_has_the_lines_tools_read() -> Result<()> {
    let (mut sluice, _, _server) = start()?;
    let pid = sluice.program().pid().to_string();
    let stats = sluice.stats();
    let info = stats.command("show info")?;
    for name in [
        "Name",
        "Version",
        "Nbthread",
        "Process_num",
        "Pid",
        "Uptime",
        "Uptime_sec",
        "Maxconn",
        "CurrConns",
        "CumConns",
        "CumReq",
        "Idle_pct",
        "node",
    ] {
        assert!(info.lines().any(|line| line.starts_with(&format!("{name}: "))), "{name}\n{info}");
    }
    assert_eq!(stats.info("Pid")?, pid);
    Ok(())
}

#[test]
fn show_stat_is_csv_with_a_row_per_proxy_and_server() -> Result<()> {
    let (sluice, address, _server) = start()?;
    for _ in 0..3 {
        get(address, "/")?;
    }
    let stats = sluice.stats();
    // A request is counted at its end, which comes after the client has its answer.
    eventually("the counts of three requests", PATIENCE, || {
        stats.count("web", "FRONTEND", "hrsp_2xx").is_ok_and(|count| count == 3)
    })?;
    let csv = stats.command("show stat")?;
    let header = csv.lines().next().unwrap_or_default();
    assert!(
        header.starts_with(
            "# pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,dreq,dresp,ereq,econ,eresp,\
             wretr,wredis,status,weight,act,bck,chkfail,chkdown,lastchg,downtime,qlimit,pid,iid,\
             sid,throttle,lbtot,tracked,type,rate,rate_lim,rate_max,check_status,check_code,\
             check_duration,hrsp_1xx,hrsp_2xx,hrsp_3xx,hrsp_4xx,hrsp_5xx,hrsp_other,hanafail,\
             req_rate,req_rate_max,req_tot,cli_abrt,srv_abrt,"
        ),
        "{header}"
    );
    let columns = header.split(',').count();
    for line in csv.lines().skip(1) {
        assert_eq!(line.split(',').count(), columns, "{line}");
    }
    assert_eq!(stats.stat("web", "FRONTEND", "status")?, "OPEN");
    assert_eq!(stats.stat("app", "BACKEND", "status")?, "UP");
    assert_eq!(stats.stat("app", "s1", "status")?, "no check");
    assert_eq!(stats.stat("app", "s2", "status")?, "MAINT");
    assert_eq!(stats.count("web", "FRONTEND", "hrsp_2xx")?, 3);
    assert_eq!(stats.count("app", "s1", "stot")?, 3);
    assert_eq!(stats.count("app", "s1", "lbtot")?, 3);
    Ok(())
}

#[test]
fn errors_are_told_in_the_known_words() -> Result<()> {
    let (sluice, _, _server) = start()?;
    let rows = [
        ("disable server app/nope", "No such server."),
        ("disable server nope/s1", "No such backend."),
        ("enable server app", "Require 'backend/server'."),
        ("get weight app/nope", "No such server."),
    ];
    for (command, answer) in rows {
        assert_eq!(sluice.stats().command(command)?.trim(), answer, "{command}");
    }
    let unknown = sluice.stats().command("frobnicate")?;
    assert!(unknown.starts_with("Unknown command"), "{unknown}");
    Ok(())
}

#[test]
fn several_commands_on_a_line_and_weights() -> Result<()> {
    let (sluice, _, _server) = start()?;
    let stats = sluice.stats();
    assert_eq!(stats.command("get weight app/s1")?, "1 (initial 1)");
    stats.quiet("set weight app/s1 5")?;
    assert_eq!(stats.command("get weight app/s1")?, "5 (initial 1)");
    let both = stats.command("get weight app/s1; get weight app/s2")?;
    assert_eq!(both.lines().filter(|line| line.contains("initial")).count(), 2, "{both}");
    assert!(stats.command("set weight app/s1 300")?.contains("0 and 256"));
    Ok(())
}

#[test]
fn show_servers_state_lists_every_server() -> Result<()> {
    let (sluice, _, server) = start()?;
    let state = sluice.stats().command("show servers state")?;
    let mut lines = state.lines();
    assert_eq!(lines.next(), Some("1"), "format version");
    assert!(
        lines.next().unwrap_or_default().starts_with("# be_id be_name srv_id srv_name srv_addr")
    );
    let rows: Vec<Vec<&str>> = lines.map(|line| line.split(' ').collect()).collect();
    assert_eq!(rows.len(), 2, "{state}");
    assert_eq!(rows[0][1..5].join(" "), "app 1 s1 127.0.0.1");
    assert!(rows[0].contains(&&*server.address().port().to_string()));
    Ok(())
}

#[test]
fn a_frontend_can_be_stopped_and_opened_by_command() -> Result<()> {
    let (sluice, address, _server) = start()?;
    sluice.stats().quiet("disable frontend web")?;
    assert_eq!(sluice.stats().stat("web", "FRONTEND", "status")?, "PAUSED");
    // Each worker thread follows the command in its own turn.
    eventually("closed doors", PATIENCE, || get(address, "/").is_err())?;
    sluice.stats().quiet("enable frontend web")?;
    eventually("open doors", PATIENCE, || get(address, "/").is_ok_and(|reply| reply.status == 200))
}

#[test]
fn counters_are_cleared() -> Result<()> {
    let (sluice, address, _server) = start()?;
    get(address, "/")?;
    sluice.stats().quiet("clear counters all")?;
    assert_eq!(sluice.stats().count("web", "FRONTEND", "req_tot")?, 0);
    get(address, "/")?;
    assert_eq!(sluice.stats().count("web", "FRONTEND", "req_tot")?, 1);
    Ok(())
}

#[test]
fn streams_are_shown_and_ended() -> Result<()> {
    let (sluice, address, server) = start()?;
    let stats = sluice.stats();
    let mine = |wanted: &str| -> Result<Option<String>> {
        let list = stats.command("show sess")?;
        let mut lines = list.lines().map(str::to_owned);
        Ok(lines.find(|line| line.contains("fe=web") && line.contains(wanted)))
    };
    // A request whose body does not come keeps its stream, and its server.
    let mut client = Client::connect(address)?;
    client.send("POST /held HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")?;
    let mut line = String::new();
    eventually("the stream at its server", PATIENCE, || {
        mine("be=app srv=s1").is_ok_and(|found| found.map(|text| line = text).is_some())
    })?;
    let port = client.stream().local_addr()?.port();
    assert!(line.starts_with("0x") && line.contains("proto=tcpv4"), "{line}");
    assert!(line.contains(&format!("src=127.0.0.1:{port}")), "{line}");
    assert_eq!(stats.command("shutdown session 0x1")?, "No such session (use 'show sess').");
    let id = line.split(':').next().unwrap_or_default();
    stats.quiet(&format!("shutdown session {id}"))?;
    assert!(client.is_closed());
    eventually("the stream's end", PATIENCE, || mine("").is_ok_and(|found| found.is_none()))?;
    assert_eq!(stats.command("show sess 0x12")?, "Session not found.");
    eventually("its server free", PATIENCE, || {
        stats.count("app", "s1", "scur").is_ok_and(|count| count == 0)
    })?;
    drop(server);
    Ok(())
}

#[test]
fn a_tcp_connection_is_ended_by_command() -> Result<()> {
    let server = HttpServer::start("s1")?;
    let address = loopback()?;
    let config = format!(
        "
defaults
    mode tcp
    timeout connect 5s
    timeout client 20s
    timeout server 20s
frontend t
    bind {address}
    tcp-request content accept
    default_backend tb
backend tb
    server s1 {}
",
        server.address()
    );
    let sluice = Sluice::config(config).start()?;
    let mut client = Client::connect(address)?;
    let mut id = String::new();
    eventually("the connection", PATIENCE, || {
        let list = sluice.stats().command("show sess").unwrap_or_default();
        let line = list.lines().find(|line| line.contains("fe=t be=tb srv=s1"));
        line.map(|line| id = line.split(':').next().unwrap_or_default().to_owned()).is_some()
    })?;
    sluice.stats().quiet(&format!("shutdown session {id}"))?;
    assert!(client.is_closed());
    Ok(())
}

#[test]
fn sessions_and_requests_are_counted_by_protocol() -> Result<()> {
    if peer() == Peer::Haproxy {
        return Ok(());
    }
    let (sluice, address, _server) = start()?;
    get(address, "/")?;
    let url = format!("http://{address}/");
    // Not both at once: curl with prior knowledge does not use a connection again.
    for _ in 0..2 {
        tests::tools::curl(None, &format!("--http2-prior-knowledge {url}"))?;
    }
    let stats = sluice.stats();
    eventually("one of each", PATIENCE, || {
        let counts = ["h1sess", "h2sess", "h1req", "h2req", "sess_other", "req_other"]
            .map(|column| stats.count("web", "FRONTEND", column).unwrap_or(99));
        counts == [1, 2, 1, 2, 0, 0]
    })
}

/// What those who look for a fault ask: the answers are about this process.
#[test]
fn the_inside_is_shown() -> Result<()> {
    if peer() == Peer::Haproxy {
        return Ok(());
    }
    let address = loopback()?;
    let config = format!(
        "global\n    nbthread 2\n{DEFAULTS}\nfrontend web\n    bind {address}\n    http-request return status 200\n"
    );
    let sluice = Sluice::config(config).start()?;
    let stats = sluice.stats();
    let mut client = Client::connect(address)?;
    assert_eq!(client.get("/")?.status, 200);
    let ask = |command: &str| stats.command(command);
    let activity = ask("show activity")?;
    assert!(
        activity.contains("\nconn_tot: 1 [ ") || activity.contains("\nconn_tot: "),
        "{activity}"
    );
    assert_eq!(ask("show activity 9")?, "Expects -1, 0 or a thread from 1 to 2.");
    let threads = ask("show threads")?;
    assert!(threads.contains("name=worker/0 ") && threads.contains("name=worker/1 "), "{threads}");
    assert_eq!(threads.lines().filter(|line| line.starts_with('*')).count(), 1, "{threads}");
    let listeners = ask("show fd l")?;
    let listens = format!("fam=ipv4 st=LISTEN local={address}");
    assert!(listeners.matches(&listens).count() >= 2, "{listeners}");
    let clients = ask("show fd f")?;
    assert!(
        clients.contains(&format!("side=front local={address} remote=127.0.0.1:")),
        "{clients}"
    );
    assert!(!ask("show fd -f")?.contains("side=front"));
    assert!(ask("show fd 0")?.starts_with("      0 : "));
    assert!(ask("show libs")?.contains("sluice"));
    assert!(ask("show dev")?.contains("\n  OS name: Linux\n"));
    assert!(ask("show pools")?.contains("  - VmRSS: "));
    assert!(ask("show tasks")?.starts_with("Running tasks: "));
    assert!(ask("set profiling tasks on")?.contains("is not carried"));
    Ok(())
}
