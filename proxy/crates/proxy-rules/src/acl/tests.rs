//! Rows: a condition, and what it says of the example traffic.

use proxy_types::{Diagnostics, Mode, Spanned};

use super::{AclTable, Condition, Verdict};
use crate::sample::example::Traffic;
use crate::sample::{EvalCtx, Loader, ParseCx, Place, Word};

struct Files;

impl Loader for Files {
    fn load(&self, name: &str) -> Result<Vec<u8>, String> {
        match name {
            "paths" => Ok(b"# comment\n\n/a/b.png\r\n   /x\n #hash".to_vec()),
            "hosts.map" => Ok(b"www.example.com:8080\tvalue\n".to_vec()),
            _ => Err("no such file".to_owned()),
        }
    }
}

fn split(line: &str) -> Vec<Word<'_>> {
    line.split(' ').filter(|w| !w.is_empty()).map(|w| Spanned::builtin(w.as_bytes())).collect()
}

/// Compiles ACL lines and a condition for `place`; gives the condition or the message, and the warnings.
fn compile(
    traffic: &Traffic,
    acls: &str,
    condition: &str,
    place: Place,
) -> (Result<Condition, String>, Vec<String>) {
    let mut diag = Diagnostics::new();
    let mut refs = Vec::new();
    let mut cx = ParseCx {
        section: "fe",
        listen: false,
        place,
        mode: Mode::Http,
        vars: &traffic.names,
        loader: &Files,
        patterns: &crate::pattern::PatternLists::default(),
        keys: &crate::jwt::PublicKeys::default(),
        files: &(),
        captures: None,
        acls: None,
        counters: crate::track::COUNTERS,
        diag: &mut diag,
        refs: &mut refs,
    };
    let mut table = AclTable::default();
    let mut declare = || {
        for line in acls.lines() {
            table.declare(&split(line), &mut cx)?;
        }
        Condition::parse(&split(condition), &mut table, &mut cx)
    };
    let condition = declare().map_err(|d| d.message);
    (condition, diag.iter().map(|d| d.message.clone()).collect())
}

#[track_caller]
fn check_with(
    acls: &str,
    condition: &str,
    change: impl for<'a> Fn(&mut EvalCtx<'a>),
    expected: Verdict,
) {
    let traffic = Traffic::new();
    let (compiled, warnings) = compile(&traffic, acls, condition, Place::FeHttpRequest);
    let compiled = compiled.unwrap();
    assert_eq!(warnings, Vec::<String>::new(), "{condition}");
    let mut cx = traffic.context();
    change(&mut cx);
    assert_eq!(compiled.eval(&cx), expected, "{condition}");
}

#[track_caller]
fn check(condition: &str, expected: bool) {
    let traffic = Traffic::new();
    let (compiled, _) = compile(&traffic, "", condition, Place::FeHttpRequest);
    let expected = if expected { Verdict::True } else { Verdict::False };
    assert_eq!(compiled.unwrap().eval(&traffic.context()), expected, "{condition}");
}

#[track_caller]
fn check_error(acls: &str, condition: &str, expected: &str) {
    let traffic = Traffic::new();
    let (compiled, _) = compile(&traffic, acls, condition, Place::FeHttpRequest);
    assert_eq!(compiled.map(|_| ()), Err(expected.to_owned()), "{condition}");
}

#[test]
fn conditions() {
    check("if TRUE", true);
    check("unless TRUE", false);
    check("if !TRUE", false);
    check("if ! TRUE", false);
    check("if !!TRUE", true);
    check("if TRUE FALSE", false);
    check("if FALSE or TRUE", true);
    check("if FALSE || FALSE TRUE || TRUE !FALSE", true);
    check("if TRUE FALSE or FALSE", false);
    check("unless FALSE or FALSE", true);
    check("if METH_GET HTTP_1.1 HTTP_URL_SLASH", true);
    check("if METH_POST or HTTP_URL_ABS or HTTP_URL_STAR or HTTP_CONTENT", false);
}

#[test]
fn methods_of_matching() {
    check("if { path /a/b.png }", true);
    check("if { path /A/b.png }", false);
    check("if { path, upper, lower -m str /a/b.png }", true);
    check("if { path, upper -m str /a/b.png }", false);
    check("if { path -i /A/b.png }", true);
    check("if { path_beg /a /z }", true);
    check("if { path_end -i .PNG }", true);
    check("if { path_dir a }", true);
    check("if { path_dir b }", false);
    check("if { path_sub b.p }", true);
    check("if { path_reg ^/[a-c]/ }", true);
    check("if { path_len 8 }", true);
    check("if { path_len gt 8 }", false);
    check("if { path -m beg /a }", true);
    check("if { path,length gt 5 }", true);
    check("if { path_beg,length 8 }", true);
    check("if { hdr_dom(host) example }", true);
    check("if { hdr(host) -i WWW.example.com:8080 }", true);
    check("if { hdr(x-list) b }", true);
    check("if { hdr(x-list) d }", true);
    check("if { hdr(x-list,1) d }", false);
    check("if { hdr(none) -m found }", false);
    check("if { hdr(x-list) -m found }", true);
    check("if { hdr_cnt(x-list) eq 4 }", true);
    check("if { hdr_val(x-num) lt 0 }", true);
    check("if { hdr_ip(x-forwarded-for) 192.0.2.0/24 }", true);
    check("if { hdr_ip(x-forwarded-for) 198.51.100.0/24 }", false);
    check("if { str(AB) -m bin 4142 }", true);
    check("if { int(7) -m bool }", true);
    check("if { int(7) -m str 7 }", true);
    check("if { always_true ignored }", true);
    check("if { ipv4(10.1.2.3) 10.0.0.0/8 }", true);
    check("if { ipv4(10.1.2.3) -m str 10.1.2.3 }", true);
    check("if { str(10.1.2.3) -m ip 10.0.0.0/8 }", true);
    check("if { method -m len 3 }", true);
    check("if { str(-i) -- -i }", true);
    check("if { var(txn.example) -m str value }", true);
}

#[test]
fn files() {
    check("if { path -f paths }", true);
    check("if { str(#hash) -f paths }", true);
    check("if { path_beg -f paths /zzz }", true);
    check("if { hdr(host) -M -f hosts.map }", true);
    check("if { path -f hosts.map -f paths }", true);
    check_error("", "if { path -f none }", "failed to open pattern file <none>: no such file");
}

#[test]
fn named_acls_are_a_disjunction() {
    let acls = "a path /x\na path /a/b.png\nb method POST";
    check_with(acls, "if a", |_| {}, Verdict::True);
    check_with(acls, "if b", |_| {}, Verdict::False);
    check_with(acls, "if a !b", |_| {}, Verdict::True);
}

#[test]
fn unknown_until_data_come() {
    let acls = "p path /a\nfalse always_false";
    let early = |cx: &mut EvalCtx<'_>| cx.request = None;
    check_with(acls, "if p", early, Verdict::NeedMore);
    check_with(acls, "unless p", early, Verdict::NeedMore);
    check_with(acls, "if !p", early, Verdict::NeedMore);
    check_with(acls, "if false p", early, Verdict::False);
    check_with(acls, "if p or TRUE", early, Verdict::True);
    check_with(acls, "if p or FALSE", early, Verdict::NeedMore);
    let late = |cx: &mut EvalCtx<'_>| {
        cx.request = None;
        cx.complete = true;
    };
    check_with(acls, "if p", late, Verdict::False);
    check_with(acls, "unless p", late, Verdict::True);
}

#[test]
fn errors() {
    check_error("", "if foo", "no such ACL : 'foo'");
    check_error("", "if METH_GTE", "no such ACL : 'METH_GTE'; did you mean 'METH_GET' maybe ?");
    check_error("", "if", "nothing after 'if' in condition");
    check_error("", "if !", "nothing after '!' in condition");
    check_error("", "if TRUE or", "nothing after 'or' in condition");
    check_error("", "if or TRUE", "nothing before 'or' in condition");
    check_error("", "if { path a", "missing closing '}' in condition");
    check_error("", "if { }", "empty anonymous ACL in condition");
    check_error(
        "",
        "if { paht /a }",
        "unknown fetch method 'paht' in ACL expression; did you mean 'path' maybe ?",
    );
    check_error(
        "",
        "if { path -z a }",
        "'-z' is not a valid ACL option. Please use '--' before any pattern beginning with a '-'",
    );
    check_error("", "if { path -m foo a }", "unknown matching method 'foo'");
    check_error(
        "",
        "if { path -f paths -m beg }",
        "'-m' must only be specified before patterns and files",
    );
    check_error("", "if { hdr_cnt(a) 5:3 }", "'5:3' is not a valid number range");
    check_error(
        "",
        "if { always_true -m ip 1.2.3.4 }",
        "matching method 'ip' cannot be used with 'always_true', which gives values of type bool",
    );
    check_error(
        "",
        "if { var(txn.a) b }",
        "matching method must be specified first (using '-m') when using a sample fetch of this type ('var(txn.a)')",
    );
    check_error("", "if { path_reg (a }", "regex '(a' is invalid: unclosed group");
    check_error("a/b path /", "if TRUE", "character '/' is not permitted in acl name 'a/b'");
    check_error(
        "or path /",
        "if TRUE",
        "acl name 'or' will never match. 'or' is used to express a logical disjunction within a condition",
    );
    check_error(
        "x src nohost",
        "if TRUE",
        "ACL 'x' : 'nohost' is not a valid IPv4 or IPv6 address",
    );
}

#[test]
fn warnings() {
    let traffic = Traffic::new();
    let (_, warnings) =
        compile(&traffic, "x status 200", "if x { res.ver 1.1 } { path }", Place::FeHttpRequest);
    assert_eq!(warnings.len(), 3);
    assert!(warnings[0].starts_with("acl 'x' will never match"));
    assert!(warnings[1].starts_with("anonymous acl will never match"));
    assert!(warnings[2].contains("no pattern to match"));
}
