//! What each action makes of the example traffic ([`Traffic`]): its rule, and part of what is different behind it.

use bumpalo::Bump;

use super::tests::parse;
use super::{ALL, Effects, RuleEnv, SetKind};
use crate::sample::EvalCtx;
use crate::sample::context::Overrides;
use crate::sample::example::Traffic;

const EXAMPLES: &[(&str, &str)] = &[
    ("tcp-request connection accept", "+ends: Stop"),
    (
        "http-request add-acl(page) v\nset-header x hit if { str(v) -f page }",
        "+request field: x: hit",
    ),
    ("http-request add-header x-new a%[int(1)]", "+request field: x-new: a1"),
    ("http-request add-headers-bin bin(03782d6e0131)", "+request field: x-n: 1"),
    ("http-request allow", "+ends: Stop"),
    ("http-request auth realm Staff", "+ends: Reply(Reply { status: 401, cause: Auth"),
    ("http-response cache-store c", ""),
    ("http-request cache-use c", ""),
    ("http-request capture req.hdr(host) len 7", "captures are only possible in frontends"),
    ("tcp-response content close", "+ends: Close(Reject)"),
    ("http-request add-acl(page) v\ndel-acl(page) v\nset-header x hit if { str(v) -f page }", ""),
    ("http-request del-header host", "-request field: Host: www.example.com:8080"),
    ("http-request del-headers-bin bin(04486f7374)", "-request field: Host: www.example.com:8080"),
    (
        "http-request set-map(page) k v\ndel-map(page) k\nset-header x %[str(k),map(page)]",
        "+request field: x: ",
    ),
    (
        "http-request deny status 429",
        "+ends: Reply(Reply { status: 429, cause: Deny, content: ErrorPage })",
    ),
    ("http-request disable-l7-retry", "+effect: disable_l7_retry: true"),
    ("http-request do-log", ""),
    (
        "http-request do-resolve(txn.ip,dns) hdr(host)",
        "+ends: Resolve(Resolve { section: \"dns\", name: \"www.example.com:8080\"",
    ),
    ("http-request early-hint link </a.css>", "-effect: early_hints: []"),
    ("tcp-request connection expect-netscaler-cip layer4", "+effect: expect_netscaler: true"),
    ("tcp-request connection expect-proxy layer4", "+effect: expect_proxy: true"),
    ("http-request set-path /a//b\nnormalize-uri path-merge-slashes", "+request: GET /a/b?"),
    ("http-response pause 500", "+ends: Pause { ms: 500 }"),
    (
        "http-request redirect location /new code 301",
        "+ends: Reply(Reply { status: 301, cause: Redirect",
    ),
    ("tcp-request content reject", "+ends: Close(Reject)"),
    ("http-request replace-header host (.*):.* \\1", "+request field: Host: www.example.com\n"),
    ("http-request replace-path (.*) /pre\\1", "+request: GET /pre/a/b.png?x=1&y=two&x=3"),
    ("http-request replace-pathq .* /q?z", "+request: GET /q?z\n"),
    ("http-request replace-uri .* /u", "+request: GET /u\n"),
    (
        "http-response replace-value x-served-by 10(.*) 11\\1",
        "+response field: X-Served-By: 11.1.2.3",
    ),
    (
        "http-request return status 200 content-type text/plain string hello",
        "+ends: Reply(Reply { status: 200, cause: Return",
    ),
    ("http-request sc-add-gpc(0,0) 2", ""),
    ("http-request sc-inc-gpc(0,0)", ""),
    ("http-request sc-inc-gpc0(0)", ""),
    ("http-request sc-inc-gpc1(0)", ""),
    ("http-request sc-set-gpt(0,0) 5", ""),
    ("http-request sc-set-gpt0(0) 5", ""),
    ("http-request set-bandwidth-limit up limit 1k period 1s", "+effect: limit: Some(1024)"),
    ("http-request set-dst ipv4(10.0.0.1)", "+set: dst: Cell { value: Some(10.0.0.1:80) }"),
    ("http-request set-dst-port int(81)", "+set: dst: Cell { value: Some(198.51.100.1:81) }"),
    ("http-request set-header host other", "+request field: host: other"),
    ("http-request set-headers-bin bin(04486f7374056f74686572)", "+request field: Host: other"),
    ("http-request set-log-level err", "+effect: Effects { log_level: Some(Level(3))"),
    ("http-request set-map(page) k v\nset-header x %[str(k),map(page)]", "+request field: x: v"),
    ("http-request set-method POST", "+request: POST /a/b.png?x=1&y=two&x=3"),
    ("http-request set-mark 7", "+set: client_mark: Cell { value: Some(7) }"),
    ("http-request set-fc-mark 7", "+set: client_mark: Cell { value: Some(7) }"),
    ("http-request set-fc-tos 2", "+set: client_tos: Cell { value: Some(2) }"),
    ("http-request set-tos 2", "+set: client_tos: Cell { value: Some(2) }"),
    ("http-request set-bc-mark 7", "+set: server_mark: Cell { value: Some(7) }"),
    ("http-request set-bc-tos 2", "+set: server_tos: Cell { value: Some(2) }"),
    ("http-request set-nice 5", ""),
    ("http-request set-path /p", "+request: GET /p?x=1&y=two&x=3"),
    ("http-request set-pathq /p?q", "+request: GET /p?q\n"),
    ("http-request set-priority-class int(1)", "+set: priority: Cell { value: (1"),
    ("http-request set-priority-offset int(2)", "+set: 2) }"),
    ("http-request set-query a=b", "+request: GET /a/b.png?a=b"),
    (
        "tcp-request content set-retries 3",
        "'tcp-request content set-retries' is for proxies with servers",
    ),
    (
        "http-request set-src ipv4(10.0.0.2)",
        "+set: Overrides { src: Cell { value: Some(10.0.0.2:40000) }",
    ),
    (
        "http-request set-src-port int(82)",
        "+set: Overrides { src: Cell { value: Some(192.0.2.10:82) }",
    ),
    ("http-response set-status 503 reason Gone", "+response: 503 Gone"),
    ("http-request set-timeout server 5s", "+set: server: Some(5000)"),
    ("http-request set-uri /u", "+request: GET /u\n"),
    ("http-request set-var(txn.v) int(3)", "+txn.v: Int(3)"),
    ("http-request set-var-fmt(txn.v) a%[int(3)]", "+txn.v: Str([97, 51])"),
    ("http-request silent-drop", "+ends: Close(SilentDrop { rst_ttl: None })"),
    ("http-request strict-mode off", ""),
    ("tcp-request content switch-mode http", "+ends: Stop"),
    ("http-request tarpit", "+ends: Reply(Reply { status: 500, cause: Tarpit"),
    ("http-request track-sc0 src", ""),
    ("http-request track-sc1 src", ""),
    ("http-request track-sc2 src", ""),
    ("http-request unset-var(txn.number)", "-txn.number: Int(7)"),
    (
        "http-request use-service prometheus-exporter",
        "+ends: Service(ServiceDef { name: \"prometheus-exporter\"",
    ),
    ("http-request wait-for-body time 1s at-least 10", "+ends: Body { ms: 1000, at_least: 10 }"),
    ("http-request wait-for-handshake", ""),
];

/// Everything that a rule can change, line by line, and how it ends.
fn state(
    env: &RuleEnv<'_, '_>,
    flow: &str,
    traffic: &Traffic,
    overrides: &Overrides,
) -> Vec<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut lines = vec![format!("ends: {flow}")];
    if let Some(head) = env.request.as_deref() {
        lines.push(format!("request: {} {}", text(head.method_text()), text(head.target())));
        let fields = head.headers().iter();
        lines.extend(fields.map(|f| format!("request field: {}: {}", text(f.name), text(f.value))));
    }
    if let Some(head) = env.response.as_deref() {
        lines.push(format!("response: {} {}", head.status(), text(head.reason())));
        let fields = head.headers().iter();
        lines
            .extend(fields.map(|f| format!("response field: {}: {}", text(f.name), text(f.value))));
    }
    let scratch = Bump::new();
    traffic.vars.txn.all(&scratch, |id, value| {
        let name = traffic.names.name(id).unwrap_or_default();
        lines.push(format!("txn.{name}: {value:?}"));
    });
    for (what, text) in [
        ("effect", format!("{:?}", env.effects)),
        ("set", format!("{overrides:?}")),
        ("captured", format!("{:?}", traffic.captured)),
    ] {
        lines.extend(text.split(", ").map(|part| format!("{what}: {part}")));
    }
    lines
}

/// What is there behind a rule and was not before it, or the other way round.
fn outcome(rule: &str) -> String {
    let keyword = |kind: &SetKind| {
        rule.strip_prefix(kind.keyword()).is_some_and(|rest| rest.starts_with(' '))
    };
    let Some(kind) = SetKind::ALL.into_iter().find(keyword) else { return "no keyword".to_owned() };
    let traffic = Traffic::new();
    let rules = match parse(kind, rule[kind.keyword().len()..].trim(), &traffic) {
        Ok(rules) => rules,
        Err(why) => return why,
    };
    let overrides = Overrides::default();
    let (mut request, mut response) = (traffic.request.clone(), traffic.response.clone());
    let mut effects = Effects::default();
    let base =
        EvalCtx { overrides: Some(&overrides), request: None, response: None, ..traffic.context() };
    let answers = matches!(kind, SetKind::HttpResponse | SetKind::HttpAfterResponse);
    let mut env = RuleEnv {
        base,
        request: Some(&mut request),
        response: answers.then_some(&mut response),
        effects: &mut effects,
    };
    let before = state(&env, "Next", &traffic, &overrides);
    let flow = format!("{:?}", rules.run(&mut env));
    let after = state(&env, &flow, &traffic, &overrides);
    let new = after.iter().filter(|line| !before.contains(line)).map(|line| format!("+{line}"));
    let gone = before.iter().filter(|line| !after.contains(line)).map(|line| format!("-{line}"));
    new.chain(gone).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_action_has_an_example_that_holds() {
    let mut wrong = Vec::new();
    for (rule, expected) in EXAMPLES {
        let outcome = outcome(rule);
        // Where nothing is expected, the traffic of the examples shows nothing: the rule is read and goes on.
        let holds = match expected.is_empty() {
            true => outcome.is_empty(),
            false => outcome.contains(expected),
        };
        if !holds {
            wrong.push(format!("{rule}\n    {}", outcome.replace('\n', "\n    ")));
        }
    }
    for def in ALL.iter().flat_map(|group| group.iter()) {
        let named = |(rule, _): &(&str, &str)| {
            rule.split([' ', '\n']).any(|word| word.split('(').next() == Some(def.name))
        };
        if !EXAMPLES.iter().any(named) {
            wrong.push(format!("{} has no example", def.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
