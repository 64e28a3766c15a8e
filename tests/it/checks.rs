//! Health checks by script: what is sent, and the line about what came back. The lines were asked of HAProxy, and
//! `SLUICE_PEER=haproxy` asks again; in one thing they follow later versions than Debian's, see [`refused`].

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use tests::certificates::Authority;
use tests::client::get;
use tests::net::{free_port, loopback};
use tests::peer::ScriptServer;
use tests::sluice::{Peer, peer};
use tests::{PATIENCE, Sluice, eventually};

/// Answers every request head.
fn http(answer: &'static str) -> Result<ScriptServer> {
    ScriptServer::start(move |mut client| {
        let mut request = Vec::new();
        let mut buffer = [0; 1024];
        while !request.windows(4).any(|end| end == b"\r\n\r\n") {
            match client.read(&mut buffer) {
                Ok(count @ 1..) => request.extend_from_slice(&buffer[..count]),
                _ => return,
            }
        }
        let _ = client.write_all(answer.as_bytes());
    })
}

/// Says something at once and waits for the end of the connection.
fn banner(text: &'static str) -> Result<ScriptServer> {
    ScriptServer::start(move |mut client| {
        let _ = client.write_all(text.as_bytes());
        wait(&mut client);
    })
}

fn wait(client: &mut TcpStream) {
    let mut buffer = [0; 1024];
    while matches!(client.read(&mut buffer), Ok(1..)) {}
}

/// What later versions say instead of the C library's words.
fn refused() -> &'static str {
    match peer() {
        Peer::Haproxy => "Connection refused",
        Peer::Sluice => "ECONNREFUSED returned by OS",
    }
}

/// Runs a backend for each row, lines and server, and waits for the line that its first check gives.
fn check(rows: &[(&str, SocketAddr, &str)]) -> Result<()> {
    let mut config = format!(
        "defaults
    mode http
    timeout connect 2s
    timeout client 9s
    timeout server 9s
    timeout check 500ms
    option log-health-checks
    default-server check inter 1s fall 1 rise 1
frontend none
    bind 127.0.0.1:{}
",
        free_port()?
    );
    for (index, (lines, server, _)) in rows.iter().enumerate() {
        let lines = lines.replace('\n', "\n    ");
        config += &format!("backend b{index}\n    {lines}\n    server s {server}\n");
    }
    let mut sluice = Sluice::config(config).start()?;
    let program = sluice.program();
    for (index, (lines, _, expected)) in rows.iter().enumerate() {
        let start = format!("Health check for server b{index}/s ");
        let at = program.wait_line(&start, PATIENCE).with_context(|| (*lines).to_owned())?;
        let line = program.lines().swap_remove(at);
        let (_, line) = line.split_once(&start).context("no start")?;
        let (result, _) = line.split_once(", check duration").context("no duration")?;
        assert_eq!(result, *expected, "{lines}");
    }
    Ok(())
}

#[test]
fn answers_over_http_are_judged_by_rules() -> Result<()> {
    let ok = http("HTTP/1.1 200 OK\r\ncontent-length: 5\r\nx-a: one, two\r\n\r\nhello")?;
    let busy = http("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n")?;
    let gone = http("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")?;
    let chunks = http(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n",
    )?;
    let mute = http("")?;
    let noise = http("garbage\r\n\r\n")?;
    let silent = ScriptServer::start(|mut client| wait(&mut client))?;
    let (ok, busy, gone) = (ok.address(), busy.address(), gone.address());
    let passed = "succeeded, reason: Layer7 check passed, code: 200";
    let wrong = "failed, reason: Layer7 wrong status, code: 200, info: \"OK\"";
    let absent =
        "failed, reason: Layer7 invalid response, info: \"HTTP content check did not match\"";
    check(&[
        ("option httpchk", ok, passed),
        (
            "option httpchk",
            busy,
            "failed, reason: Layer7 wrong status, code: 503, info: \"Service Unavailable\"",
        ),
        (
            "option httpchk\nhttp-check disable-on-404",
            gone,
            "conditionally succeeded, reason: Layer7 check conditionally passed, code: 404",
        ),
        ("option httpchk", mute.address(), "failed, reason: Layer7 invalid response"),
        ("option httpchk", noise.address(), "failed, reason: Layer7 invalid response"),
        ("option httpchk", silent.address(), "failed, reason: Layer7 timeout"),
        ("option httpchk\nhttp-check expect status 503", busy, &passed.replace("200", "503")),
        ("option httpchk\nhttp-check expect ! status 200", ok, wrong),
        ("option httpchk\nhttp-check expect rstatus ^3", ok, wrong),
        ("option httpchk\nhttp-check expect string ell", ok, passed),
        ("option httpchk\nhttp-check expect string nope", ok, absent),
        ("option httpchk\nhttp-check expect string cde", chunks.address(), passed),
        ("option httpchk\nhttp-check expect rstring ^hel+o$", ok, passed),
        (
            "option httpchk\nhttp-check expect ! string ell",
            ok,
            "failed, reason: Layer7 invalid response, info: \"HTTP check matched unwanted content\"",
        ),
        ("option httpchk\nhttp-check expect hdr name x-a value two", ok, passed),
        ("option httpchk\nhttp-check expect fhdr name x-a value two", ok, wrong),
        ("option httpchk\nhttp-check expect hdr name -m beg X- value -m sub ne", ok, passed),
        ("option httpchk\nhttp-check expect hdr name x-b", ok, wrong),
        (
            "option httpchk\nhttp-check expect comment why status 500-599",
            ok,
            "failed, reason: Layer7 wrong status, code: 200, info: \"OK comment: why\"",
        ),
        (
            "option httpchk\nhttp-check expect on-error \"oops %[status]\" status-code status \
             error-status L7STS string nope",
            ok,
            "failed, reason: Layer7 wrong status, code: 200, info: \"oops 200\"",
        ),
        (
            "option httpchk\nhttp-check set-var(check.name) str(x-a)\n\
             http-check expect hdr name-lf %[var(check.name)]",
            ok,
            passed,
        ),
        (
            "option httpchk\nhttp-check connect port 1\nhttp-check send meth GET",
            ok,
            &format!("failed, reason: Layer4 connection problem, info: \"{}\"", refused()),
        ),
    ])
}

#[test]
fn banners_are_judged_by_rules_and_steps_are_named() -> Result<()> {
    let greeter = banner("220 banner here\r\n")?;
    let closer = ScriptServer::start(drop)?;
    let greeter = greeter.address();
    let refused = refused();
    check(&[
        (
            "option tcp-check\ntcp-check expect string banner",
            greeter,
            "succeeded, reason: Layer7 check passed, code: 0, info: \"(tcp-check)\"",
        ),
        (
            "option tcp-check\ntcp-check expect string other",
            greeter,
            "failed, reason: Layer7 timeout, info: \" at step 1 of tcp-check (expect string 'other')\"",
        ),
        (
            "option tcp-check\ntcp-check expect string x",
            closer.address(),
            "failed, reason: Layer7 invalid response, info: \"TCPCHK got an empty response at step 1\"",
        ),
        (
            "option tcp-check\ntcp-check comment first\ntcp-check send a\\r\\n\n\
             tcp-check expect comment text rstring ^221",
            greeter,
            "failed, reason: Layer7 timeout, info: \" at step 3 of tcp-check (expect regex) \
             comment: 'text'\"",
        ),
        (
            "option tcp-check\ntcp-check expect min-recv 0 comment cc rbinary 00ff",
            greeter,
            "failed, reason: Layer7 invalid response, info: \"TCPCHK did not match content \
             (binary regex) at step 1 comment: cc\"",
        ),
        (
            "option tcp-check\ntcp-check expect ! string banner",
            greeter,
            "failed, reason: Layer7 invalid response, info: \"TCPCHK matched unwanted content \
             'banner' at step 1\"",
        ),
        (
            "option tcp-check\ntcp-check connect\ntcp-check expect binary 3232\n\
             tcp-check connect port 1",
            greeter,
            &format!(
                "failed, reason: Layer4 connection problem, info: \"{refused} at step 3 of \
                 tcp-check (connect port 1)\""
            ),
        ),
        (
            "option tcp-check",
            SocketAddr::from(([127, 0, 0, 1], 1)),
            &format!(
                "failed, reason: Layer4 connection problem, info: \"{refused} at initial \
                 connection step of tcp-check\""
            ),
        ),
        (
            "option tcp-check\ntcp-check expect on-success \"good %[res.payload(0,3)]\" \
             status-code res.payload(0,3) string banner",
            greeter,
            "succeeded, reason: Layer7 check passed, code: 220, info: \"good 220\"",
        ),
    ])
}

#[test]
fn requests_are_sent_as_the_rules_have_them() -> Result<()> {
    let requests = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&requests);
    let server = ScriptServer::start(move |mut client| {
        let mut request = vec![0; 4096];
        let _ = client.set_read_timeout(Some(Duration::from_secs(5)));
        let mut length = 0;
        // The bodies of this test end their requests with this.
        while !request[..length].ends_with(b"\r\n\r\n") && !request[..length].ends_with(b"end") {
            match client.read(&mut request[length..]) {
                Ok(count @ 1..) => length += count,
                _ => return,
            }
        }
        let text = String::from_utf8_lossy(&request[..length]).into_owned();
        kept.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(text);
        let _ = client.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    })?;
    let passed = "succeeded, reason: Layer7 check passed, code: 200";
    check(&[
        ("option httpchk", server.address(), passed),
        (
            "option httpchk GET /x HTTP/1.1\nhttp-check send hdr Host example.com hdr X-B \
             %[be_name] body the-end",
            server.address(),
            passed,
        ),
    ])?;
    let mut requests = requests.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
    requests.sort();
    let expected = [
        "GET /x HTTP/1.1\r\nhost: example.com\r\nx-b: b1\r\ncontent-length: 7\r\n\
         connection: close\r\n\r\nthe-end",
        "OPTIONS / HTTP/1.0\r\n\r\n",
    ];
    assert_eq!(requests, expected);
    Ok(())
}

/// `observe`, `error-limit`, `on-error` and `track`.
#[test]
fn traffic_takes_a_server_down_and_trackers_follow() -> Result<()> {
    let server = http("HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n")?;
    let address = loopback()?;
    let config = format!(
        "defaults
    mode http
    timeout connect 2s
    timeout client 9s
    timeout server 9s
listen web
    bind {address}
    server s {0} check inter 60s observe layer7 error-limit 2 on-error mark-down
backend other
    server t {0} track web/s
",
        server.address()
    );
    let sluice = Sluice::config(config).start()?;
    let stats = sluice.stats();
    let status = |backend: &str, server: &str| stats.stat(backend, server, "status");
    let is = |backend: &str, server: &str, wanted: &str| {
        status(backend, server).is_ok_and(|text| text.starts_with(wanted))
    };
    eventually("the first check", PATIENCE, || {
        stats.stat("web", "s", "check_status").is_ok_and(|text| text == "L4OK")
    })?;
    assert_eq!(get(address, "/")?.status, 500);
    assert!(is("web", "s", "UP"), "one error is not enough: {}", status("web", "s")?);
    assert_eq!(get(address, "/")?.status, 500);
    eventually("the server to be down", PATIENCE, || is("web", "s", "DOWN"))?;
    eventually("its tracker to be down", PATIENCE, || is("other", "t", "DOWN"))?;
    assert_eq!(get(address, "/")?.status, 503);
    Ok(())
}

/// `agent-check`: every word takes effect, beside a check and without one.
#[test]
fn an_agent_tells_of_its_server() -> Result<()> {
    let word = Arc::new(Mutex::new("up\n"));
    let heard = Arc::new(Mutex::new(String::new()));
    let (says, hears) = (Arc::clone(&word), Arc::clone(&heard));
    let lock = |what: &Arc<Mutex<&'static str>>| {
        *what.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    };
    let agent = ScriptServer::start(move |mut client| {
        let mut buffer = [0; 64];
        if let Ok(count) = client.read(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
            *hears.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = text;
        }
        let _ = client.write_all(lock(&says).as_bytes());
    })?;
    let server = http("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")?;
    let config = format!(
        "defaults
    mode http
    timeout connect 2s
    timeout client 9s
    timeout server 9s
backend web
    server s {server} check weight 10 agent-check agent-addr 127.0.0.1 agent-port {port} agent-inter 50ms agent-send \"hi\\n\"
    server plain {server} weight 10 agent-check agent-port {port} agent-inter 50ms agent-send x
    server off {server} agent-check agent-port 1 no-agent-check
backend other
    server t {server} track web/plain
",
        server = server.address(),
        port = agent.address().port()
    );
    let sluice = Sluice::config(config).start()?;
    let stats = sluice.stats();
    let check = |says: &'static str, server: &str, columns: &str, expected: &str| {
        *word.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = says;
        let read = || {
            let values = columns.split(' ').map(|column| {
                let text = stats.stat("web", server, column).unwrap_or_default();
                text.trim_start_matches("* ").to_owned()
            });
            values.collect::<Vec<_>>().join("|")
        };
        eventually(&format!("{server}: {says:?} -> {expected}"), PATIENCE, || read() == expected)
            .with_context(|| format!("it is {}", read()))
    };
    let all = "status agent_status last_agt agent_code agent_health";
    check("up\n", "s", all, "UP|L7OK|via agent : up|0|1")?;
    check("75% maxconn:30\n", "s", "weight slim agent_status last_agt", "7|30|CHECKED|")?;
    check("drain\n", "s", "status agent_status", "DRAIN (agent)|CHECKED")?;
    check("maint\n", "s", "status", "MAINT")?;
    check("ready,up\t100%\r", "s", "status weight agent_status", "UP|10|L7OK")?;
    check("ready,up\t100%\r", "plain", "status", "no check")?;
    check("down #by hand\n", "s", all, "DOWN (agent)|L7STS|via agent : down (by hand)|0|0")?;
    check("up\n", "plain", "status agent_status", "no check|L7OK")?;
    check("fail\n", "plain", "status agent_status", "DOWN (agent)|L7STS")?;
    eventually("the tracker to follow", PATIENCE, || {
        stats.stat("other", "t", "status").is_ok_and(|text| text == "DOWN (agent)")
    })?;
    let unheard = "DOWN (agent)|L7STS|Ignoring incomplete line from agent";
    check("up", "plain", "status agent_status last_agt", unheard)?;
    check("bogus\n", "plain", "agent_status last_agt", "CHECKED|agent reports an error : bogus")?;
    assert_eq!(stats.stat("web", "off", "agent_status")?, "");
    stats.command("set server web/s agent-send yo")?;
    eventually("the new greeting", PATIENCE, || {
        *heard.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) == "yo"
    })?;
    stats.command("disable agent web/s")?;
    stats.command("set server web/s agent-port 1")?;
    stats.command("set server web/plain agent up")?;
    check("\n", "plain", "status", "no check")?;
    let answer = stats.command("enable agent web/off")?;
    assert_eq!(answer.trim(), "Agent was not configured on this server, cannot enable.");
    let state = stats.command("show servers state web")?;
    let line = state.lines().find(|line| line.contains(" plain ")).context("no line")?;
    let fields: Vec<_> = line.split(' ').collect();
    assert!(["22", "23"].contains(&fields[14]), "{line}");
    Ok(())
}

/// `check-ssl` and its kin on server lines, and the words of `connect`.
#[test]
fn checks_begin_as_their_lines_and_rules_say() -> Result<()> {
    let ca = Authority::new()?;
    let crt = ca.issue("a.pem", "a.test", 30)?;
    let tls = loopback()?;
    let proxied = loopback()?;
    let config = format!(
        "defaults
    mode http
    timeout client 9s
frontend told
    bind {tls} ssl crt {crt} alpn h2,http/1.1
    bind {proxied} accept-proxy
    http-request return status 200 content-type text/plain lf-string \
\"[%[ssl_fc_sni] %[ssl_fc_alpn] %[req.ver]]\"
"
    );
    let _told = Sluice::config(config).start()?;
    let passed = "succeeded, reason: Layer7 check passed, code: 200";
    let tells = |lines: &str, told: &str| {
        format!("option httpchk\n{lines}\nhttp-check expect string \"[{told}]\"")
    };
    let ssl = "default-server check-ssl verify none";
    let mut lines = vec![
        tells(&format!("{ssl} check-sni b.test"), "b.test  1.0"),
        // ALPN makes it HTTP/2.
        tells(
            "default-server verify none\nhttp-check connect ssl sni d.test alpn h2\n\
             http-check send meth GET uri /x ver HTTP/2 hdr host e.test",
            "d.test h2 2.0",
        ),
        // What traffic has, unless checks go elsewhere.
        tells("default-server ssl verify none check-sni f.test", "f.test  1.0"),
        tells(
            "default-server ssl verify none check-sni f.test\nhttp-check connect default\n\
             http-check send meth GET",
            "f.test  1.0",
        ),
    ];
    if peer() == Peer::Sluice {
        // Later than Debian's: the name of the request, unless something else says so, and 'check-alpn' without a rule.
        let host = "http-check send ver HTTP/1.1 hdr host";
        lines.push(tells(&format!("{ssl}\n{host} c.test:81"), "c.test  1.1"));
        lines.push(tells(
            &format!(
                "{ssl} check-sni a.test check-alpn h2,http/1.1\nhttp-check send hdr host a.test"
            ),
            "a.test h2 2.0",
        ));
        lines.push(tells(&format!("{ssl} check-alpn http/1.1"), " http/1.1 1.0"));
        lines.push(tells(&format!("{ssl} no-check-sni-auto\n{host} c.test"), "  1.1"));
    }
    let mut rows: Vec<_> = lines.iter().map(|lines| (lines.as_str(), tls, passed)).collect();
    let elsewhere = format!(
        "default-server ssl verify none port {}\noption tcp-check\ntcp-check connect default",
        tls.port()
    );
    rows.push((&elsewhere, tls, "succeeded, reason: Layer4 check passed, info: \"(tcp-check)\""));
    rows.push((
        "default-server verify none\noption tcp-check\ntcp-check connect ssl sni a.test",
        tls,
        "succeeded, reason: Layer6 check passed, info: \"(tcp-check)\"",
    ));
    let header = "option httpchk\ndefault-server check-send-proxy";
    let rule = "option httpchk\nhttp-check connect send-proxy";
    let inherited = "option httpchk\ndefault-server send-proxy-v2";
    rows.extend([header, rule, inherited].map(|lines| (lines, proxied, passed)));
    check(&rows)
}

/// `socks4` for traffic, `check-via-socks4` and `via-socks4` for checks.
#[test]
fn a_socks4_proxy_stands_on_the_way() -> Result<()> {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&asked);
    let proxy = ScriptServer::start(move |mut client| {
        let mut request = [0; 16];
        if client.read_exact(&mut request).is_err() {
            return;
        }
        let denied = request[4..8] == [10, 0, 0, 2];
        let _ = client.write_all(&[0, if denied { 0x5b } else { 0x5a }, 0, 0, 0, 0, 0, 0]);
        kept.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(request);
        let mut request = Vec::new();
        let mut buffer = [0; 1024];
        while !denied && !request.ends_with(b"\r\n\r\n") {
            match client.read(&mut buffer) {
                Ok(count @ 1..) => request.extend_from_slice(&buffer[..count]),
                _ => return,
            }
        }
        let _ = client.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    })?;
    let via = format!("default-server socks4 {}", proxy.address());
    let passed = "succeeded, reason: Layer7 check passed, code: 200";
    let there: SocketAddr = "10.0.0.1:8080".parse()?;
    check(&[
        (&format!("option httpchk\n{via} check-via-socks4"), there, passed),
        (&format!("option httpchk\n{via}\nhttp-check connect via-socks4"), there, passed),
    ])?;
    let expected = *b"\x04\x01\x1f\x90\x0a\x00\x00\x01HAProxy\0";
    let mut asked = asked.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    assert!(asked.len() >= 2 && asked.iter().all(|request| *request == expected), "{asked:?}");
    asked.clear();
    drop(asked);
    let address = loopback()?;
    let denied = loopback()?;
    let config = format!(
        "defaults
    mode http
    timeout connect 2s
    timeout client 9s
    timeout server 9s
    retries 0
    {via}
listen web
    bind {address}
    server s {there}
listen denied
    bind {denied}
    server s 10.0.0.2:80
"
    );
    let _sluice = Sluice::config(config).start()?;
    assert_eq!(get(address, "/")?.body, b"ok");
    assert_eq!(get(denied, "/")?.status, 503);
    Ok(())
}

/// `option external-check`: what the program is told, and what its end means.
#[test]
fn programs_can_check() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let told = folder.path().join("told");
    let program = folder.path().join("check");
    let script = format!(
        "#!/bin/sh
case $HAPROXY_SERVER_NAME in
bad) exit 3;;
slow) exec /bin/sleep 30;;
esac
{{ echo \"$@\"; /usr/bin/env; }} > {0}.new
/bin/mv {0}.new {0}
",
        told.display()
    );
    std::fs::write(&program, script)?;
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let port = free_port()?;
    let config = format!(
        "global
    external-check
    insecure-fork-wanted
defaults
    mode http
    timeout connect 2s
    timeout client 9s
    timeout server 9s
    option log-health-checks
    default-server check inter 500ms fall 1 rise 1
    option external-check
    external-check command {}
    external-check path /bin
listen web
    bind 127.0.0.1:{port}
    server good 10.0.0.1:8080 maxconn 7 id 5
backend other
    server bad 10.0.0.1:8080
    server slow 10.0.0.1:8080
",
        program.display()
    );
    let mut sluice = Sluice::config(config).start()?;
    let program = sluice.program();
    for (server, expected) in [
        ("web/good", "succeeded, reason: External check passed, code: 0"),
        ("other/bad", "failed, reason: External check error, code: 3"),
        ("other/slow", "failed, reason: External check timeout, code: 0"),
    ] {
        let start = format!("Health check for server {server} ");
        let at = program.wait_line(&start, PATIENCE)?;
        let line = program.lines().swap_remove(at);
        assert!(line.contains(&format!("{server} {expected}, check duration")), "{line}");
    }
    let told = std::fs::read_to_string(told)?;
    let mut lines: Vec<_> = told.lines().collect();
    assert_eq!(lines.remove(0), format!("127.0.0.1 {port} 10.0.0.1 8080"));
    // What the shell adds of its own.
    lines.retain(|line| {
        !["_=", "PWD=", "SHLVL=", "OLDPWD="].iter().any(|own| line.starts_with(own))
    });
    lines.sort_unstable();
    let expected = [
        "HAPROXY_PROXY_ADDR=127.0.0.1".to_owned(),
        "HAPROXY_PROXY_ID=2".to_owned(),
        "HAPROXY_PROXY_NAME=web".to_owned(),
        format!("HAPROXY_PROXY_PORT={port}"),
        "HAPROXY_SERVER_ADDR=10.0.0.1".to_owned(),
        "HAPROXY_SERVER_CURCONN=0".to_owned(),
        "HAPROXY_SERVER_ID=5".to_owned(),
        "HAPROXY_SERVER_MAXCONN=7".to_owned(),
        "HAPROXY_SERVER_NAME=good".to_owned(),
        "HAPROXY_SERVER_PORT=8080".to_owned(),
        "HAPROXY_SERVER_PROTO=h1".to_owned(),
        "HAPROXY_SERVER_SSL=0".to_owned(),
        "PATH=/bin".to_owned(),
    ];
    assert_eq!(lines, expected);
    Ok(())
}

/// `slowstart` and `init-state`, as statistics show them.
#[test]
fn servers_begin_as_asked_for_and_come_back_slowly() -> Result<()> {
    let server = http("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")?;
    let mut config = format!(
        "defaults
    mode http
    timeout connect 2s
    timeout client 9s
    timeout server 9s
backend web
    balance roundrobin
    server slow {0} weight 100 slowstart 60s check inter 50ms rise 1 fall 1
",
        server.address()
    );
    if peer() == Peer::Sluice {
        // Later than Debian's.
        config += &format!(
            "    server down {0} init-state fully-down check inter 60s rise 2\n",
            server.address()
        );
    }
    let sluice = Sluice::config(config).start()?;
    let stats = sluice.stats();
    let slow = |column: &str| stats.stat("web", "slow", column).unwrap_or_default();
    eventually("the first check", PATIENCE, || slow("check_status") == "L4OK")?;
    assert_eq!(slow("throttle"), "");
    stats.command("set server web/slow state maint")?;
    stats.command("set server web/slow state ready")?;
    eventually("a small share", PATIENCE, || {
        let weight: u32 = slow("weight").parse().unwrap_or(0);
        let throttle: u32 = slow("throttle").parse().unwrap_or(0);
        (1..20).contains(&weight) && (1..20).contains(&throttle)
    })?;
    if peer() == Peer::Sluice {
        eventually("one check", PATIENCE, || {
            stats.stat("web", "down", "status").is_ok_and(|text| text == "DOWN 1/2")
        })?;
    }
    Ok(())
}

/// A `healthcheck` section in place of what the backend has.
#[test]
fn servers_may_be_checked_in_their_own_way() -> Result<()> {
    if peer() == Peer::Haproxy {
        return Ok(());
    }
    let ok = http("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello")?;
    let config = format!(
        "defaults
    mode http
    timeout connect 2s
    timeout client 9s
    timeout server 9s
    option log-health-checks
healthcheck hello
    type httpchk GET /
    http-check expect string hello
healthcheck redis
    type redis-check
backend web
    option httpchk
    http-check expect string nope
    default-server check inter 500ms fall 1 rise 1
    server own {0} healthcheck hello
    server other {0} healthcheck redis
    server plain {0}
",
        ok.address()
    );
    let mut sluice = Sluice::config(config).start()?;
    let program = sluice.program();
    for (server, expected) in [
        ("own", "succeeded, reason: Layer7 check passed, code: 200"),
        ("other", "failed, reason: Layer7"),
        (
            "plain",
            "failed, reason: Layer7 invalid response, info: \"HTTP content check did not match",
        ),
    ] {
        let start = format!("Health check for server web/{server} ");
        let at = program.wait_line(&start, PATIENCE)?;
        let line = program.lines().swap_remove(at);
        assert!(line.contains(expected), "{line}");
    }
    let wrong = [
        ("healthcheck a\n", "has no 'type'"),
        ("healthcheck a\n type redis-check\n tcp-check send x\n", "none of this health-checks"),
        (
            "backend b\n server s 127.0.0.1:1 check healthcheck x\n",
            "unable to find healthcheck section 'x'",
        ),
    ];
    for (text, expected) in wrong {
        let output = Sluice::config(text.to_owned()).arg("-c").run()?;
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.contains(expected), "{told}");
    }
    Ok(())
}

/// `mailers` and `email-alert`, by a dialogue with a server of SMTP.
#[test]
fn mail_tells_of_servers_that_fall() -> Result<()> {
    if peer() == Peer::Haproxy {
        return Ok(());
    }
    let mails = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&mails);
    let smtp = ScriptServer::start(move |mut client| {
        let mut dialogue = String::new();
        let mut buffer = [0; 4096];
        let _ = client.write_all(b"220-hello\r\n220 there\r\n");
        loop {
            let Ok(count @ 1..) = client.read(&mut buffer) else { return };
            let line = String::from_utf8_lossy(&buffer[..count]).into_owned();
            dialogue += &line;
            let answer = match line.get(..4) {
                Some("EHLO") => "250-x\r\n250 y\r\n",
                Some("DATA") => "354 go on\r\n",
                Some("QUIT") => "221 bye\r\n",
                _ => "250 ok\r\n",
            };
            let _ = client.write_all(answer.as_bytes());
            if line.starts_with("QUIT") {
                kept.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(dialogue);
                return;
            }
        }
    })?;
    let config = format!(
        "mailers post
    timeout mail 5s
    mailer one {0}
    mailer gone 127.0.0.1:1
defaults
    mode http
    timeout connect 2s
    timeout client 9s
    timeout server 9s
    email-alert mailers post
    email-alert from me@a.test
    email-alert to you@b.test
    email-alert myhostname lb.test
backend web
    email-alert level notice
    server s 127.0.0.1:1 check inter 100ms fall 1
    server kept 127.0.0.1:1
backend quiet
    server s 127.0.0.1:2
",
        smtp.address()
    );
    let mut sluice = Sluice::config(config).start()?;
    let read = || mails.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
    eventually("the alarm", PATIENCE, || read().len() == 1)?;
    sluice.stats().command("set server quiet/s state maint")?;
    sluice.stats().command("set server web/kept state drain")?;
    eventually("the note", PATIENCE, || read().len() == 2)?;
    let [fall, drain] = read().try_into().map_err(|_| anyhow::anyhow!("not two mails"))?;
    let opening = "EHLO lb.test\r\nMAIL FROM:<me@a.test>\r\nRCPT TO:<you@b.test>\r\nDATA\r\nFrom: <me@a.test>\r\nTo: <you@b.test>\r\nDate: ";
    assert!(fall.starts_with(opening), "{fall}");
    let subject =
        "\r\nSubject: [HAProxy Alert] Server web/s is DOWN, reason: Layer4 connection problem";
    assert!(fall.contains(subject), "{fall}");
    assert!(fall.ends_with("remaining in queue.\r\n.\r\nQUIT\r\n"), "{fall}");
    assert!(drain.contains("Alert] Server web/kept enters drain state"), "{drain}");
    sluice.program().wait_line("mailer 'gone' : no mail sent: ", PATIENCE)?;
    Ok(())
}

/// Answers each connection after a while, which is longer than half of the time that a check has.
fn hesitant() -> Result<ScriptServer> {
    ScriptServer::start(|mut client| {
        let _ = client.read(&mut [0; 64]);
        std::thread::sleep(Duration::from_millis(600));
        let _ = client.write_all(b"+OK\r\n");
        wait(&mut client);
    })
}

/// The time of a check begins anew with each of its connections; one of them goes to another port, wherever checks of the
/// server go.
#[test]
fn each_connection_of_a_check_has_its_time() -> Result<()> {
    let (first, second, web) = (hesitant()?, hesitant()?, loopback()?);
    let config = format!(
        "defaults
    mode tcp
    timeout connect 5s
    timeout client 9s
    timeout server 9s
listen web
    bind {web}
    option tcp-check
    tcp-check connect
    tcp-check send PING\\r\\n
    tcp-check expect string OK
    tcp-check connect port {}
    tcp-check send PING\\r\\n
    tcp-check expect string OK
    server s {} check inter 1s rise 1 fall 1 init-state down
",
        second.address().port(),
        first.address()
    );
    let config = match peer() {
        Peer::Haproxy => config.replace(" init-state down", ""),
        Peer::Sluice => config,
    };
    let sluice = Sluice::config(config).start()?;
    let row = || sluice.stats().command("show servers state web").unwrap_or_default();
    // "L7OK" is 15.
    eventually("a check that passed", PATIENCE, || row().contains(" 15 3 "))?;
    assert!(first.connections() >= 1 && second.connections() >= 1);
    Ok(())
}
