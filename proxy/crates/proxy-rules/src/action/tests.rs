//! Rows: rules, and what they make of the example traffic.

use proxy_types::{Diagnostics, Mode, Spanned};

use super::{Cause, Close, Content, Effects, Flow, LogLevel, Reply, RuleEnv, SetKind};
use crate::acl::AclTable;
use crate::known;
use crate::ruleset::{BackendRules, Found, Rule, RuleSet};
use crate::sample::example::Traffic;
use crate::sample::{EvalCtx, Loader, ParseCx, Word};

struct Files;

impl Loader for Files {
    fn load(&self, name: &str) -> Result<Vec<u8>, String> {
        match name {
            "page" => Ok(b"<%[src]>".to_vec()),
            _ => Err("no such file".to_owned()),
        }
    }
}

fn split(line: &str) -> Vec<Word<'_>> {
    line.split(' ').filter(|w| !w.is_empty()).map(|w| Spanned::builtin(w.as_bytes())).collect()
}

fn with_cx<T>(
    kind: SetKind,
    traffic: &Traffic,
    f: impl FnOnce(&mut AclTable, &mut ParseCx<'_>) -> T,
) -> T {
    let mut diag = Diagnostics::new();
    let mut refs = Vec::new();
    let mut cx = ParseCx {
        section: "fe",
        listen: false,
        place: kind.place(true),
        mode: Mode::Http,
        vars: &traffic.names,
        loader: &Files,
        patterns: &crate::pattern::PatternLists::default(),
        keys: &crate::jwt::PublicKeys::default(),
        files: &(),
        captures: None,
        acls: None,
        counters: 5,
        diag: &mut diag,
        refs: &mut refs,
    };
    f(&mut AclTable::default(), &mut cx)
}

pub(super) fn parse(kind: SetKind, lines: &str, traffic: &Traffic) -> Result<RuleSet, String> {
    with_cx(kind, traffic, |acls, cx| {
        let mut set = RuleSet::new();
        for line in lines.lines() {
            set.push(Rule::parse(kind, &split(line), acls, cx).map_err(|d| d.message)?);
        }
        Ok(set)
    })
}

/// Runs rules on a stream that can be told what to do; hands what they end with and what they set to `look`.
pub(super) fn run_with(
    kind: SetKind,
    lines: &str,
    look: impl FnOnce(Flow<'_>, &crate::sample::context::Overrides),
) {
    let traffic = Traffic::new();
    let overrides = crate::sample::context::Overrides::default();
    let rules = parse(kind, lines, &traffic).unwrap();
    let (mut request, mut effects) = (traffic.request.clone(), Effects::default());
    let base = EvalCtx { overrides: Some(&overrides), ..traffic.context() };
    let mut env =
        RuleEnv { base, request: Some(&mut request), response: None, effects: &mut effects };
    look(rules.run(&mut env), &overrides);
}

/// Runs rules; hands what they end with and the changed traffic to `look`.
pub(super) fn run<T>(
    kind: SetKind,
    lines: &str,
    look: impl for<'a> FnOnce(Flow<'a>, &RuleEnv<'_, 'a>) -> T,
) -> T {
    let traffic = Traffic::new();
    let rules = parse(kind, lines, &traffic).unwrap();
    let mut request = traffic.request.clone();
    let mut response = traffic.response.clone();
    let mut effects = Effects::default();
    let base = EvalCtx { request: None, response: None, ..traffic.context() };
    let mut env = RuleEnv {
        base,
        request: Some(&mut request),
        response: Some(&mut response),
        effects: &mut effects,
    };
    let flow = rules.run(&mut env);
    look(flow, &env)
}

#[track_caller]
fn check_request(lines: &str, line: &str, headers: &[(&str, &str)]) {
    run(SetKind::HttpRequest, lines, |flow, env| {
        assert_eq!(flow, Flow::Next);
        let head = env.request.as_deref().unwrap();
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        assert_eq!(
            format!("{} {}", text(head.method_text()), text(head.target())),
            line,
            "{lines}"
        );
        for (name, value) in headers {
            let got: Vec<_> = head.headers().get_all(name.as_bytes()).map(text).collect();
            assert_eq!(got.join("|"), *value, "{lines}: {name}");
        }
    });
}

const LINE: &str = "GET /a/b.png?x=1&y=two&x=3";

#[test]
fn header_edits() {
    check_request("add-header X-List e", LINE, &[("x-list", "a, b ,c|d|e")]);
    check_request("set-header X-List %[src]:%[method]", LINE, &[("x-list", "192.0.2.10:GET")]);
    check_request(
        "set-header Host %[req.hdr(host),field(1,:),lower]",
        LINE,
        &[("host", "www.example.com")],
    );
    check_request("del-header X-List", LINE, &[("x-list", "")]);
    check_request(
        "del-header x- -m beg",
        LINE,
        &[("x-list", ""), ("x-num", ""), ("host", "www.example.com:8080")],
    );
    check_request(r"replace-header Host (.*):8080 \1", LINE, &[("host", "www.example.com")]);
    check_request("replace-header User-Agent curl foo", LINE, &[("user-agent", "foo")]);
    check_request("replace-value X-List ^[bd]$ <\\0>", LINE, &[("x-list", "a, <b> ,c|<d>")]);
    check_request(
        "set-header X 1 if { path_beg /z }\nset-header Y 2 unless { path_beg /z }",
        LINE,
        &[("x", ""), ("y", "2")],
    );
    check_request("set-header X %[var(txn.v)]", LINE, &[("x", "")]);
    check_request("set-var(txn.v) path,length\nset-header X %[var(txn.v)]", LINE, &[("x", "8")]);
    check_request(
        "set-var-fmt(req.v) <%[src]>\nset-header X %[var(req.v)]",
        LINE,
        &[("x", "<192.0.2.10>")],
    );
    check_request(
        "unset-var(txn.example)\nset-header X [%[var(txn.example)]]",
        LINE,
        &[("x", "[]")],
    );
    check_request(
        "set-var(txn.example,ifnotset) int(1)\nset-header X %[var(txn.example)]",
        LINE,
        &[("x", "value")],
    );
}

#[test]
fn target_edits() {
    check_request("set-path /x", "GET /x?x=1&y=two&x=3", &[]);
    check_request("set-query a=%[src]", "GET /a/b.png?a=192.0.2.10", &[]);
    check_request("set-query %[var(txn.no)]", "GET /a/b.png?", &[]);
    check_request("set-pathq /x?y", "GET /x?y", &[]);
    check_request("set-uri http://h/", "GET http://h/", &[]);
    check_request("set-method PUT", "PUT /a/b.png?x=1&y=two&x=3", &[]);
    check_request(r"replace-path /a/(.*) /\1", "GET /b.png?x=1&y=two&x=3", &[]);
    check_request(r"replace-path (.*) /foo\1", "GET /foo/a/b.png?x=1&y=two&x=3", &[]);
    check_request(
        r"replace-pathq ([^?]*)(\?(.*))? \1/foo\2",
        "GET /a/b.png/foo?x=1&y=two&x=3",
        &[],
    );
    check_request(r"replace-uri ^/a(.*) http://h\1", "GET http://h/b.png?x=1&y=two&x=3", &[]);
    check_request("replace-path ^/zzz /", LINE, &[]);
}

#[test]
fn lists_of_fields() {
    // X-New: 1, Host: h, the end.
    let list = "bin(05582d4e6577013104486f737401680000)";
    let fields = |rule: &str, names: &[&str]| {
        run(SetKind::HttpRequest, rule, |_, env| {
            let headers = env.request.as_deref().unwrap().headers();
            let all = |name: &&str| headers.get_all(name.as_bytes()).count();
            names.iter().map(all).collect::<Vec<_>>()
        })
    };
    assert_eq!(fields(&format!("add-headers-bin {list}"), &["x-new", "host"]), [1, 2]);
    assert_eq!(fields(&format!("set-headers-bin {list}"), &["x-new", "host"]), [1, 1]);
    assert_eq!(fields(&format!("add-headers-bin {list} prefix x-"), &["x-new", "host"]), [1, 1]);
    // A line end would begin another field.
    assert_eq!(fields("add-headers-bin bin(0158030d0a590000)", &["x"]), [0]);
    // User-Agent; x-; agent.
    assert_eq!(
        fields("del-headers-bin bin(0a557365722d4167656e74)", &["user-agent", "host"]),
        [0, 1]
    );
    assert_eq!(
        fields("del-headers-bin bin(02782d) -m beg", &["x-list", "x-num", "host"]),
        [0, 0, 1]
    );
    assert_eq!(fields("del-headers-bin bin(054147454e54) -m end", &["user-agent", "host"]), [0, 1]);
}

#[track_caller]
fn check_flow(kind: SetKind, lines: &str, expected: Flow<'_>) {
    run(kind, lines, |flow, _| assert_eq!(flow, expected, "{lines}"));
}

#[track_caller]
fn check_reply(lines: &str, status: u16, cause: Cause, headers: &[(&str, &str)], body: &str) {
    let headers: Vec<_> = headers.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
    let content = Content::Made { headers: &headers, body: body.as_bytes() };
    check_flow(SetKind::HttpRequest, lines, Flow::Reply(Reply { status, cause, content }));
}

#[test]
fn verdicts() {
    let page = |status, cause| Flow::Reply(Reply { status, cause, content: Content::ErrorPage });
    check_flow(SetKind::HttpRequest, "deny", page(403, Cause::Deny));
    check_flow(SetKind::HttpRequest, "deny deny_status 429", page(429, Cause::Deny));
    check_flow(SetKind::HttpResponse, "deny", page(502, Cause::Deny));
    check_flow(SetKind::HttpRequest, "tarpit", page(500, Cause::Tarpit));
    check_flow(
        SetKind::HttpRequest,
        "return status 404 default-errorfiles",
        page(404, Cause::Return),
    );
    check_flow(SetKind::HttpRequest, "deny if FALSE\nallow if TRUE\ndeny", Flow::Stop);
    check_flow(SetKind::TcpRequest, "accept if { src 192.0.2.0/24 }\nreject", Flow::Stop);
    check_flow(
        SetKind::TcpConnection,
        "reject if { src 192.0.2.0/24 }",
        Flow::Close(Close::Reject),
    );
    check_flow(SetKind::TcpConnection, "accept if { src 10.0.0.0/8 }", Flow::Next);
    check_flow(SetKind::HttpRequest, "reject", Flow::Close(Close::Reject));
    check_flow(
        SetKind::TcpRequest,
        "silent-drop rst-ttl 3",
        Flow::Close(Close::SilentDrop { rst_ttl: Some(3) }),
    );
    check_flow(
        SetKind::HttpRequest,
        "silent-drop",
        Flow::Close(Close::SilentDrop { rst_ttl: None }),
    );
}

#[test]
fn replies() {
    check_reply("return", 200, Cause::Return, &[("content-length", "0")], "");
    check_reply("deny status 299", 299, Cause::Deny, &[("content-length", "0")], "");
    check_reply(
        "return status 201 content-type text/plain string abc hdr X-A %[path] hdr x-b c",
        201,
        Cause::Return,
        &[
            ("X-A", "/a/b.png"),
            ("x-b", "c"),
            ("content-length", "3"),
            ("content-type", "text/plain"),
        ],
        "abc",
    );
    check_reply(
        "return content-type text/plain lf-file page",
        200,
        Cause::Return,
        &[("content-length", "12"), ("content-type", "text/plain")],
        "<192.0.2.10>",
    );
    check_reply(
        "return content-type text/plain file page",
        200,
        Cause::Return,
        &[("content-length", "8"), ("content-type", "text/plain")],
        "<%[src]>",
    );
}

#[test]
fn redirects() {
    let check = |rule: &str, code: u16, location: &str, cookie: Option<&str>| {
        let mut headers = vec![("content-length", "0"), ("location", location)];
        if matches!(code, 302 | 303 | 307) {
            headers.push(("cache-control", "no-cache"));
        }
        headers.extend(cookie.map(|c| ("set-cookie", c)));
        check_reply(&format!("redirect {rule}"), code, Cause::Redirect, &headers, "");
    };
    check("location /x", 302, "/x", None);
    check("location /%[src] code 303", 303, "/192.0.2.10", None);
    check("scheme https code 301", 301, "https://www.example.com:8080/a/b.png?x=1&y=two&x=3", None);
    check(
        "scheme https drop-query append-slash",
        302,
        "https://www.example.com:8080/a/b.png/",
        None,
    );
    check("prefix http://y code 307 drop-query", 307, "http://y/a/b.png", None);
    check("code 308 prefix /", 308, "/a/b.png?x=1&y=two&x=3", None);
    check("prefix /p set-cookie SEEN=1", 302, "/p/a/b.png?x=1&y=two&x=3", Some("SEEN=1; path=/;"));
    check("location / clear-cookie B=", 302, "/", Some("B=; path=/; Max-Age=0;"));
    check("location /x keep-query", 302, "/x?x=1&y=two&x=3", None);
    check("location /x?z keep-query", 302, "/x?z&x=1&y=two&x=3", None);
    check_flow(SetKind::HttpRequest, "redirect location %[var(txn.no)] ignore-empty", Flow::Next);
    // The keyword of proxies knows no formats.
    let traffic = Traffic::new();
    let rule = with_cx(SetKind::HttpRequest, &traffic, |acls, cx| {
        Rule::parse_redirect(&split("location /%b code 301 if TRUE"), acls, cx).unwrap()
    });
    let mut rules = RuleSet::new();
    rules.push(rule);
    let mut effects = Effects::default();
    let mut env =
        RuleEnv { base: traffic.context(), request: None, response: None, effects: &mut effects };
    let Flow::Reply(reply) = rules.run(&mut env) else { panic!() };
    let Content::Made { headers, .. } = reply.content else { panic!() };
    assert_eq!(headers[1].1, b"/%b");
}

#[test]
fn response_edits_and_effects() {
    let lines = "set-status 418 reason Tea\nset-header X-S %[status]\nset-log-level silent\ndel-header set-cookie";
    for kind in [SetKind::HttpResponse, SetKind::HttpAfterResponse] {
        run(kind, lines, |flow, env| {
            assert_eq!(flow, Flow::Next);
            let head = env.response.as_deref().unwrap();
            assert_eq!((head.status(), head.reason()), (418, b"Tea".as_slice()));
            assert_eq!(head.headers().get(b"x-s"), Some(b"418".as_slice()));
            assert!(!head.headers().contains(b"set-cookie"));
            assert_eq!(env.effects.log_level, Some(LogLevel::Silent));
        });
    }
}

#[track_caller]
pub(super) fn check_error(kind: SetKind, line: &str, expected: &str) {
    let got = parse(kind, line, &Traffic::new()).map(|_| ());
    assert_eq!(got, Err(expected.to_owned()), "{line}");
}

#[test]
fn errors() {
    use SetKind::{HttpAfterResponse, HttpRequest, HttpResponse, TcpConnection, TcpRequest};
    check_error(
        HttpRequest,
        "set-haeder X y",
        "unknown action 'set-haeder' in 'http-request' rule; did you mean 'set-header' maybe ?",
    );
    check_error(
        HttpRequest,
        "do-resolve x",
        "'http-request do-resolve' expects <var>,<resolvers>[,ipv4|ipv6] in parentheses",
    );
    check_error(
        TcpRequest,
        "do-resolve(txn.ip) src",
        "'tcp-request content do-resolve' expects the name of a 'resolvers' section",
    );
    check_error(
        HttpRequest,
        "do-resolve(txn.ip,dns,ipv5) src",
        "'http-request do-resolve': unknown family 'ipv5'",
    );
    check_error(
        TcpConnection,
        "deny",
        "action 'deny' is not possible in 'tcp-request connection' rules",
    );
    check_error(
        HttpAfterResponse,
        "set-path /",
        "action 'set-path' is not possible in 'http-after-response' rules",
    );
    check_error(HttpRequest, "deny foo", "'http-request deny' does not know 'foo'");
    check_error(
        HttpRequest,
        "set-path /x foo",
        "'http-request set-path' expects either 'if' or 'unless' followed by a condition but found 'foo'",
    );
    check_error(
        HttpRequest,
        "set-header X",
        "'http-request set-header' expects a name and a format",
    );
    check_error(HttpRequest, "set-header X-\u{1} y", "invalid header name 'X-\u{1}'");
    check_error(HttpRequest, "return status 700", "'http-request return': '700' is not a status");
    check_error(
        HttpRequest,
        "return string abc",
        "'http-request return': a content type must be defined when non-empty payload is configured",
    );
    check_error(
        HttpRequest,
        "redirect location /x code 300",
        "'code': unsupported HTTP code '300' (must be one of 301, 302, 303, 307 or 308)",
    );
    check_error(
        HttpRequest,
        "redirect code 301",
        "'http-request redirect' expects a redirection type ('prefix', 'location', or 'scheme')",
    );
    check_error(
        HttpResponse,
        "redirect scheme https",
        "'http-response redirect': only 'location' is possible in responses",
    );
    check_error(
        HttpRequest,
        "deny if nope",
        "error detected while parsing an 'http-request deny' condition : no such ACL : 'nope'",
    );
    check_error(
        HttpRequest,
        "set-var x",
        "'http-request set-var' expects <scope>.<name> in parentheses",
    );
    check_error(
        HttpRequest,
        "set-var(foo.x) src",
        "invalid variable scope 'foo': it must be 'proc', 'sess', 'txn', 'req', 'res' or 'check'",
    );
    check_error(
        TcpRequest,
        "accept(1)",
        "'tcp-request content accept' takes no argument in parentheses",
    );
    check_error(
        TcpConnection,
        "set-var(sess.x) path",
        "sample fetch 'path' has nothing to fetch in a frontend tcp-request connection rule",
    );
}

#[test]
fn backends() {
    let traffic = Traffic::new();
    let mut rules = BackendRules::new();
    with_cx(SetKind::HttpRequest, &traffic, |acls, cx| {
        rules.push(&split("static if { path_end .css }"), acls, cx).unwrap();
        rules
            .push(&split("be_%[req.hdr(host),field(1,.)] if { path_end .png }"), acls, cx)
            .unwrap();
        rules.push(&split("last"), acls, cx).unwrap();
        assert!(rules.push(&split("x foo"), acls, cx).is_err());
        assert_eq!(cx.refs.len(), 2);
    });
    let any = |name: &[u8]| Found::Usable(name.to_owned());
    assert_eq!(rules.choose(&traffic.context(), any).as_deref(), Some(&b"be_www"[..]));
    // One that is not to be chosen is passed over, one that is not there sends to the default backend.
    let closed = |name: &[u8]| match name {
        b"be_www" => Found::Unusable,
        other => Found::Usable(other.to_owned()),
    };
    assert_eq!(rules.choose(&traffic.context(), closed).as_deref(), Some(&b"last"[..]));
    let unknown = |name: &[u8]| match name {
        b"be_www" => Found::Nothing,
        other => Found::Usable(other.to_owned()),
    };
    assert_eq!(rules.choose(&traffic.context(), unknown), None);
    let early = EvalCtx { request: None, ..traffic.context() };
    assert_eq!(rules.choose(&early, any), None);
    assert_eq!(BackendRules::new().choose(&early, any), None);
}

#[test]
fn rows_are_valid_where_the_manual_says() {
    for rows in super::ALL {
        assert!(rows.windows(2).all(|w| w[0].name < w[1].name), "{}", rows[0].name);
        for def in rows.iter() {
            assert_eq!(known::action_matrix(def.name), Some(def.sets.letters()), "{}", def.name);
            assert!(def.doc.ends_with('.'));
        }
    }
}
