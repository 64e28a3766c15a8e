//! FastCGI applications behind a backend: what they get, what becomes of what they say.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::Result;
use tests::client::{Client, Response, get};
use tests::net::{free_port, loopback};
use tests::peer::fcgi::{Answer, Asked, application};
use tests::peer::http::filler;
use tests::peer::{ScriptServer, Syslog};
use tests::sluice::{DEFAULTS, Files, Peer, peer};
use tests::tools::curl;
use tests::{PATIENCE, Program, Sluice, eventually};

const PHP: &str = "/usr/sbin/php-fpm8.2";

/// A proxy in front of `server`.
fn proxy(server: &str, app: &str) -> Result<(Sluice, SocketAddr)> {
    let web = loopback()?;
    let config = format!(
        "
{DEFAULTS}
    retries 0
listen web
    bind {web}
    use-fcgi-app app
    server s1 {server} proto fcgi
fcgi-app app
    docroot /srv/www
    {app}
"
    );
    Ok((Sluice::config(config).start()?, web))
}

fn start(
    app: &str,
    answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
) -> Result<(ScriptServer, Sluice, SocketAddr)> {
    let server = application(answer)?;
    let (sluice, web) = proxy(&server.address().to_string(), app)?;
    Ok((server, sluice, web))
}

/// Tells what it was asked.
fn echo(asked: &Asked) -> Answer {
    let mut lines: Vec<_> =
        asked.params.iter().map(|(name, value)| format!("{name}={value}")).collect();
    lines.sort();
    let body = String::from_utf8_lossy(&asked.body);
    Answer::text(format!("Content-Type: text/plain\r\n\r\n{}\nBODY={body}", lines.join("\n")))
}

#[track_caller]
fn has(response: &Response, lines: &[&str]) {
    let text = response.text();
    for line in lines {
        assert!(text.lines().any(|known| known == *line), "{line} is not in\n{text}");
    }
}

#[test]
fn applications_get_what_cgi_has() -> Result<()> {
    let (_server, _sluice, web) = start(
        "index index.php
    path-info ^(/.+\\.php)(/.*)?$
    acl odd path_beg /odd
    set-param X_PATH %[path]
    set-param EMPTY %[req.hdr(nothing)]
    set-param SERVER_SOFTWARE mine if odd
    pass-header Authorization if { path_beg /auth }",
        echo,
    )?;
    let ask = |request: &str| -> Result<Response> {
        let mut client = Client::connect(web)?;
        client.send(request)?;
        client.response()
    };
    let first = ask(
        "POST /a%20b.php/more/x?q=1&r=%20 HTTP/1.1\r\nHost: www.test:81\r\nX-Two: 1\r\nX-Odd_Name: gone\r\n\
         Cookie: a=b\r\nAuthorization: Basic dGlnZXI6c2NvdHQ=\r\nContent-Type: text/x\r\nTE: trailers\r\n\
         Connection: x-hop, te\r\nContent-Length: 5\r\n\r\nhello",
    )?;
    assert_eq!((first.status, first.header("content-type")), (200, Some("text/plain")));
    assert!(first.header("date").is_some());
    let port = web.port();
    has(
        &first,
        &[
            "AUTH_TYPE=Basic",
            "CONTENT_LENGTH=5",
            "CONTENT_TYPE=text/x",
            "DOCUMENT_ROOT=/srv/www",
            "GATEWAY_INTERFACE=CGI/1.1",
            "HTTP_COOKIE=a=b",
            "HTTP_HOST=www.test:81",
            "HTTP_X_TWO=1",
            "PATH_INFO=/more/x",
            "PATH_TRANSLATED=/srv/www/more/x",
            "QUERY_STRING=q=1&r=%20",
            "REMOTE_ADDR=127.0.0.1",
            "REMOTE_USER=tiger",
            "REQUEST_METHOD=POST",
            "REQUEST_URI=/a%20b.php/more/x?q=1&r=%20",
            "SCRIPT_FILENAME=/srv/www/a b.php",
            "SCRIPT_NAME=/a b.php",
            "SERVER_NAME=www.test:81",
            &format!("SERVER_PORT={port}"),
            "SERVER_PROTOCOL=HTTP/1.1",
            "X_PATH=/a%20b.php/more/x",
            "BODY=hello",
        ],
    );
    let text = first.text();
    for hidden in ["HTTP_AUTHORIZATION", "HTTP_X_ODD_NAME", "HTTP_CONNECTION", "HTTP_TE=", "EMPTY="]
    {
        assert!(!text.contains(hidden), "{hidden} in\n{text}");
    }
    let second = ask("GET /odd/ HTTP/1.1\r\nHost: a\r\n\r\n")?;
    has(&second, &["SCRIPT_NAME=/odd/index.php", "SERVER_SOFTWARE=mine", "CONTENT_LENGTH=0"]);
    let third = ask("GET /auth HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer x\r\n\r\n")?;
    has(&third, &["HTTP_AUTHORIZATION=Bearer x", "SCRIPT_NAME=/auth"]);
    assert_eq!(ask("GET /a%00b.php HTTP/1.1\r\nHost: a\r\n\r\n")?.status, 500);
    let chunked = ask(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
    )?;
    has(&chunked, &["CONTENT_LENGTH=5", "BODY=abcde"]);
    Ok(())
}

#[test]
fn statuses_and_bodies_are_those_of_the_application() -> Result<()> {
    let body = filler(300_000);
    let sent = body.clone();
    let (server, sluice, web) = start("", move |asked| {
        let head = |text: &str| text.as_bytes().to_vec();
        match asked.get("SCRIPT_NAME") {
            "/gone" => Answer::text("Status: 410 Gone away\nContent-Length: 3\n\nbye"),
            "/moved" => Answer::text("Location: http://other.test/\r\n\r\n"),
            "/large" => {
                let stdout = [head("Content-Type: x/y\r\n\r\n"), sent.clone()].concat();
                Answer { stdout, piece: 999, ..Answer::default() }
            }
            "/mirror" => {
                let stdout = [head("Content-Type: x/y\r\n\r\n"), asked.body.clone()].concat();
                Answer { stdout, piece: 7, ..Answer::default() }
            }
            "/slow-head" => Answer {
                stdout: head("Status: 201\r\na: b\r\n\r\n"),
                piece: 1,
                ..Answer::default()
            },
            _ => Answer::text("Content-Length: 0\r\n\r\n"),
        }
    })?;
    let gone = get(web, "/gone")?;
    assert_eq!((gone.status, gone.text().as_str()), (410, "bye"));
    let moved = get(web, "/moved")?;
    assert_eq!((moved.status, moved.header("location")), (302, Some("http://other.test/")));
    let large = get(web, "/large")?;
    assert!(large.body == body, "{} bytes", large.body.len());
    let mut client = Client::connect(web)?;
    client.send(format!(
        "POST /mirror HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
        body.len()
    ))?;
    client.send(&body)?;
    assert!(client.response()?.body == body);
    client.send("GET /slow-head HTTP/1.1\r\nHost: a\r\n\r\n")?;
    let created = client.response()?;
    assert_eq!((created.status, created.header("a")), (201, Some("b")));
    if peer() == Peer::Haproxy {
        // It does not take the body that applications send nevertheless.
        return Ok(());
    }
    client.send("HEAD /gone HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
    let head = String::from_utf8_lossy(&client.rest()?).into_owned();
    assert!(head.starts_with("HTTP/1.1 410 ") && !head.contains("bye"), "{head}");
    assert_eq!(sluice.stats().count("web", "s1", "hrsp_4xx")?, 2);
    drop(server);
    Ok(())
}

#[test]
fn connections_stay_unless_they_are_told_not_to() -> Result<()> {
    for (option, connections) in [("", 1), ("no option keep-conn", 4)] {
        let (server, _sluice, web) = start(option, echo)?;
        let mut client = Client::connect(web)?;
        for _ in 0..4 {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")?;
            assert_eq!(client.response()?.status, 200);
        }
        assert_eq!(server.connections(), connections, "{option}");
    }
    Ok(())
}

#[test]
fn applications_that_fail_are_told_from_those_that_answer() -> Result<()> {
    if peer() == Peer::Haproxy {
        // 2.6 closes the client's connection in some of these cases.
        return Ok(());
    }
    let (_server, _sluice, web) = start("", |asked| match asked.get("SCRIPT_NAME") {
        "/dies" => Answer { dies: true, ..Answer::default() },
        "/half" => Answer { dies: true, ..Answer::text("a: b\r\n") },
        "/overloaded" => Answer { status: 2, ..Answer::default() },
        "/silent" => Answer::default(),
        "/nonsense" => Answer::text("nonsense\r\n\r\n"),
        "/short" => Answer { dies: true, ..Answer::text("Content-Length: 9\r\n\r\nabc") },
        _ => Answer::text("\r\nfine"),
    })?;
    for path in ["/dies", "/half", "/overloaded", "/silent", "/nonsense"] {
        assert_eq!(get(web, path)?.status, 502, "{path}");
    }
    let mut client = Client::connect(web)?;
    client.send("GET /short HTTP/1.1\r\nHost: a\r\n\r\n")?;
    assert!(client.rest()?.ends_with(b"\r\n\r\nabc"), "it ends with the connection");
    let fine = get(web, "/")?;
    assert_eq!((fine.status, fine.text().as_str()), (200, "fine"));
    Ok(())
}

#[test]
fn complaints_are_logged() -> Result<()> {
    let log = Syslog::start()?;
    let line = format!("log-stderr {} local0", log.address());
    let (_server, _sluice, web) = start(&line, |_| Answer {
        stderr: b"first line\nsecond\tline".to_vec(),
        ..Answer::text("\r\n")
    })?;
    assert_eq!(get(web, "/")?.status, 200);
    log.next_with("first line", PATIENCE)?;
    Ok(())
}

#[test]
fn mistakes_are_found() -> Result<()> {
    if peer() == Peer::Haproxy {
        // Its words are others.
        return Ok(());
    }
    let server = "server s1 127.0.0.1:1 proto fcgi";
    let app = "fcgi-app app\n    docroot /x\n";
    let check = |backend: &str, app: &str, message: &str| -> Result<()> {
        let config = format!("{DEFAULTS}\nbackend b\n    {backend}\n{app}");
        let output = Sluice::config(config).arg("-c").run()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(message), "{message} is not in\n{said}");
        Ok(())
    };
    check(server, app, "FastCGI server 's1' has no application")?;
    check("use-fcgi-app app", app, "no server of it speaks FastCGI")?;
    check("use-fcgi-app other", app, "there is no fcgi-app 'other'")?;
    check("", "fcgi-app app\n", "its 'docroot' is missing")?;
    check("", &format!("{app}    path-info (\n"), "path-info")?;
    check("", &format!("{app}    set-param A %[nothing]\n"), "unknown fetch method 'nothing'")?;
    check("", &format!("{app}    option max-reqs 0\n"), "an integer between 1 and")?;
    check(
        &format!("use-fcgi-app app\n    option httpchk\n    {server} check"),
        app,
        "health checks over FastCGI",
    )?;
    Ok(())
}

/// php-fpm with one script, `index.php`, in `files`.
fn php(files: &Files) -> Result<(Program, u16)> {
    let (port, root) = (free_port()?, files.path(""));
    let script = "<?php header('X-Path: '.($_SERVER['PATH_INFO'] ?? '')); error_log('complaint of php');\n\
                  echo $_SERVER['REQUEST_METHOD'], ' ', $_GET['q'] ?? '', ' ', strlen(file_get_contents('php://input'));\n";
    files.write("index.php", script)?;
    let config = files.write(
        "fpm.conf",
        &format!(
            "[global]\nerror_log = {root}/fpm.log\ndaemonize = no\n[www]\nlisten = 127.0.0.1:{port}\n\
             user = root\ngroup = root\npm = static\npm.max_children = 8\nclear_env = yes\n\
             php_admin_value[log_errors] = on\nphp_admin_value[error_log] =\n",
            root = root.display(),
        ),
    )?;
    let program =
        Program::start("php-fpm", Command::new(PHP).args(["-n", "-R", "-F", "-y"]).arg(config))?;
    eventually("php-fpm", PATIENCE, || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok())?;
    Ok((program, port))
}

#[test]
fn a_real_php_answers() -> Result<()> {
    if !Path::new(PHP).exists() || !tests::net::is_root() {
        eprintln!("no {PHP}, or not root: not tested");
        return Ok(());
    }
    let files = Files::new()?;
    let (_php, port) = php(&files)?;
    let (log, web) = (Syslog::start()?, loopback()?);
    let config = format!(
        "
{DEFAULTS}
listen web
    bind {web}
    use-fcgi-app php
    server s1 127.0.0.1:{port} proto fcgi check
fcgi-app php
    docroot {}
    index index.php
    path-info ^(/.+\\.php)(/.*)?$
    log-stderr {} local0
",
        files.path("").display().to_string().trim_end_matches('/'),
        log.address()
    );
    let _sluice = Sluice::config(config).start()?;
    let mut client = Client::connect(web)?;
    for round in 0..3 {
        client.send(format!("GET /?q={round} HTTP/1.1\r\nHost: a\r\n\r\n"))?;
        let answer = client.response()?;
        assert_eq!((answer.status, answer.text()), (200, format!("GET {round} 0")));
    }
    log.next_with("complaint of php", PATIENCE)?;
    client.send("GET /index.php/some/info HTTP/1.1\r\nHost: a\r\n\r\n")?;
    assert_eq!(client.response()?.header("x-path"), Some("/some/info"));
    client.send("GET /nothing.php HTTP/1.1\r\nHost: a\r\n\r\n")?;
    assert_eq!(client.response()?.status, 404);
    let body = filler(200_000);
    files.write("body", &"x".repeat(body.len()))?;
    let path = files.path("body").display().to_string();
    let said =
        curl(None, &format!("-H Expect:100-continue --data-binary @{path} http://{web}/?q=2"))?;
    assert_eq!(said, "POST 2 200000");
    Ok(())
}
