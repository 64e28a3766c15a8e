//! The statistics page: forms, access, scope, and how it is logged.

use std::net::SocketAddr;

use anyhow::Result;
use tests::client::get;
use tests::net::loopback;
use tests::peer::{HttpServer, Syslog};
use tests::sluice::{DEFAULTS, Peer, peer};
use tests::tools::curl;
use tests::{PATIENCE, Sluice};

fn start(frontend: &str, rest: &str) -> Result<(Sluice, SocketAddr, HttpServer)> {
    let server = HttpServer::start("s1")?;
    let address = loopback()?;
    let config = format!(
        "{DEFAULTS}
frontend web
    bind {address}
    {frontend}
    default_backend app
backend app
    server s1 {}
    {rest}
",
        server.address()
    );
    Ok((Sluice::config(config).start()?, address, server))
}

#[test]
fn the_page_has_a_form_for_each_reader() -> Result<()> {
    let (_sluice, address, server) = start("stats enable\n    stats refresh 7s", "")?;
    let page = get(address, "/haproxy?stats")?;
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), Some("text/html"));
    assert_eq!(page.header("refresh"), Some("7"));
    let html = String::from_utf8_lossy(&page.body).into_owned();
    assert!(html.contains("BACKEND") && html.contains("s1"), "{html}");

    let quiet = get(address, "/haproxy?stats;norefresh")?;
    assert_eq!(quiet.header("refresh"), None);

    let csv = get(address, "/haproxy?stats;csv;norefresh")?;
    assert_eq!(csv.header("content-type"), Some("text/plain"));
    let csv = String::from_utf8_lossy(&csv.body).into_owned();
    assert!(csv.starts_with("# pxname,svname,") && csv.contains("\napp,s1,"), "{csv}");

    let json = get(address, "/haproxy?stats;json")?;
    assert_eq!(json.header("content-type"), Some("application/json"));
    assert!(json.body.starts_with(b"[["), "{}", String::from_utf8_lossy(&json.body));

    // Anything else goes to the server.
    get(address, "/haproxy")?;
    assert_eq!(server.requests(), 1);
    Ok(())
}

#[test]
fn accounts_open_the_page_and_scope_limits_it() -> Result<()> {
    let (_sluice, address, _server) = start(
        "stats uri /admin\n    stats auth joe:secret\n    stats auth ann:other\n    \
         stats realm Our\\ Page\n    stats scope app",
        "",
    )?;
    let refused = get(address, "/admin")?;
    assert_eq!(refused.status, 401);
    assert_eq!(refused.header("www-authenticate"), Some("Basic realm=\"Our Page\""));
    let status = |user: &str| {
        curl(None, &format!("-o /dev/null -w %{{http_code}} -u {user} http://{address}/admin"))
    };
    assert_eq!(status("joe:secret")?, "200");
    assert_eq!(status("ann:other")?, "200");
    assert_eq!(status("joe:other")?, "401");
    assert_eq!(status("joe:")?, "401");
    let csv = curl(None, &format!("-u joe:secret http://{address}/admin;csv"))?;
    assert!(csv.contains("\napp,BACKEND,") && !csv.contains("\nweb,"), "{csv}");
    Ok(())
}

#[test]
fn rules_decide_who_sees_it() -> Result<()> {
    let (_sluice, address, _server) = start(
        "stats enable\n    stats http-request allow if { hdr(x-key) open }\n    \
         stats http-request deny",
        "",
    )?;
    assert_eq!(get(address, "/haproxy?stats")?.status, 403);
    let allowed = curl(
        None,
        &format!("-o /dev/null -w %{{http_code}} -H x-key:open http://{address}/haproxy?stats"),
    )?;
    assert_eq!(allowed, "200");
    Ok(())
}

#[test]
fn a_backend_has_a_page_and_it_is_logged_as_such() -> Result<()> {
    let log = Syslog::start()?;
    let (_sluice, address, server) =
        start(&format!("log {} local0\n    option httplog", log.address()), "stats uri /stats")?;
    assert_eq!(get(address, "/stats")?.status, 200);
    let line = log.next_with("web app/<STATS>", PATIENCE)?;
    assert!(line.contains(" LR-- ") && line.contains("\"GET /stats HTTP/1.1\""), "{line}");
    assert_eq!(server.requests(), 0);
    Ok(())
}

/// Where a form of the page leads to.
fn post(address: SocketAddr, fields: &str, form: &str) -> Result<String> {
    let mut client = tests::Client::connect(address)?;
    client.send(format!(
        "POST /haproxy?stats HTTP/1.1\r\nHost: lb\r\n{fields}Content-Length: {}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\n\r\n{form}",
        form.len()
    ))?;
    let reply = client.response()?;
    assert_eq!(reply.status, 303, "{}", reply.head);
    Ok(reply.header("location").unwrap_or_default().to_owned())
}

#[test]
fn servers_are_changed_by_the_form_where_a_condition_holds() -> Result<()> {
    let admin = "stats enable\n    stats admin if { req.hdr(x-admin) yes }";
    let (sluice, address, _server) = start(admin, "server s2 127.0.0.1:1 check inter 1h")?;
    const YES: &str = "X-Admin: yes\r\n";
    let status = |server: &str| sluice.stats().stat("app", server, "status");
    let rows = [
        ("", "b=app&s=s1&action=maint", "DENY"),
        (YES, "b=app&s=s1&action=maint", "DONE"),
        (YES, "s=s1&s=nope&action=drain&b=app", "PART"),
        (YES, "b=app&s=nope&action=drain", "ERRP"),
        (YES, "b=nope&s=s1&action=drain", "ERRP"),
        (YES, "b=app&s=s1&action=foo", "ERRP"),
        (YES, "b=app&s=s1", "NONE"),
        (YES, "x=y", "NONE"),
        (YES, "b=app&s=s1&action=dhlth", "NONE"),
        (YES, "b=app&s=s2&action=dhlth", "DONE"),
        (YES, "b=app&s=s2&action=maint", "DONE"),
        (YES, "b=app&s=s%31&action=ready", "DONE"),
    ];
    for (fields, form, code) in rows {
        assert_eq!(post(address, fields, form)?, format!("/haproxy?stats;st={code}"), "{form}");
        if code == "DENY" {
            assert_eq!(status("s1")?, "no check");
        }
    }
    assert_eq!((status("s1")?.as_str(), status("s2")?.as_str()), ("no check", "MAINT"));
    let long = format!("b=app&s=s1&action=maint&x={}", "a".repeat(40_000));
    let mut client = tests::Client::connect(address)?;
    client.send(format!(
        "POST /haproxy?stats HTTP/1.1\r\nHost: lb\r\n{YES}Content-Length: {}\r\n\r\n{long}",
        long.len()
    ))?;
    assert_eq!(client.response()?.header("location"), Some("/haproxy?stats;st=EXCD"));
    if peer() == Peer::Sluice {
        let foreign = format!("{YES}Origin: https://evil.example\r\n");
        let place = post(address, &foreign, "b=app&s=s1&action=maint")?;
        assert_eq!(place, "/haproxy?stats;st=DENY");
        let own = format!("{YES}Origin: http://lb\r\n");
        let place = post(address, &own, "b=app&s=s1&action=maint")?;
        assert_eq!(place, "/haproxy?stats;st=DONE");
    }
    Ok(())
}

#[test]
fn the_form_is_shown_to_those_who_may_use_it() -> Result<()> {
    let (_sluice, address, _server) =
        start("stats enable\n    stats admin if { req.hdr(x-admin) yes }", "")?;
    let page = get(address, "/haproxy?stats")?.text();
    assert!(!page.contains("name=\"action\"") && !page.contains("name=action"), "{page}");
    let mut client = tests::Client::connect(address)?;
    client.send("GET /haproxy?stats;st=DONE HTTP/1.1\r\nHost: lb\r\nX-Admin: yes\r\n\r\n")?;
    let page = client.response()?.text();
    for part in [
        "<form method=\"post\">",
        "name=\"b\" value=\"#",
        "value=\"maint\"",
        "name=\"s\" value=\"s1\"",
        "[X]",
    ] {
        assert!(page.contains(part), "{part} in {page}");
    }
    Ok(())
}
