//! No text of a configuration makes a parser panic, and no traffic an evaluation.

use proptest::prelude::*;
use proxy_rules::acl::{AclTable, Condition};
use proxy_rules::action::SetKind;
use proxy_rules::logformat::{LogFormat, Use};
use proxy_rules::ruleset::Rule;
use proxy_rules::sample::example::Traffic;
use proxy_rules::sample::{EvalCtx, Expr, NoFiles, ParseCx, Place, Word};
use proxy_types::{Diagnostics, Mode, Spanned};

fn with_cx<T>(traffic: &Traffic, f: impl FnOnce(&mut ParseCx<'_>) -> T) -> T {
    let mut diag = Diagnostics::new();
    let mut refs = Vec::new();
    f(&mut ParseCx {
        section: "fe",
        listen: false,
        place: Place::FeHttpRequest,
        mode: Mode::Http,
        vars: &traffic.names,
        loader: &NoFiles,
        patterns: &proxy_rules::pattern::PatternLists::default(),
        keys: &proxy_rules::jwt::PublicKeys::default(),
        files: &(),
        captures: None,
        acls: None,
        counters: proxy_rules::track::COUNTERS,
        diag: &mut diag,
        refs: &mut refs,
    })
}

fn split(line: &[u8]) -> Vec<Word<'_>> {
    line.split(|b| *b == b' ').filter(|w| !w.is_empty()).map(Spanned::builtin).collect()
}

/// Text that often looks like the language.
fn language() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just("path".to_owned()),
        Just("req.hdr(".to_owned()),
        Just("req.payload(".to_owned()),
        Just("regsub(".to_owned()),
        Just("field(".to_owned()),
        Just("word(".to_owned()),
        Just("bytes(".to_owned()),
        Just("utime(".to_owned()),
        Just("x-list".to_owned()),
        Just("str(a.b.c)".to_owned()),
        Just("deny".to_owned()),
        Just("set-header".to_owned()),
        Just("redirect location".to_owned()),
        Just("return string".to_owned()),
        Just("set-var(txn.a)".to_owned()),
        Just(" if ".to_owned()),
        Just(" { ".to_owned()),
        Just(" } ".to_owned()),
        "[-%\\[\\](){},.!|\"'\\\\ a-z0-9+:/]{0,6}",
    ];
    prop_oneof![
        prop::collection::vec(piece, 0..12).prop_map(|p| p.concat().into_bytes()),
        prop::collection::vec(any::<u8>(), 0..60),
    ]
}

proptest! {
    #[test]
    fn expressions(text in language()) {
        let traffic = Traffic::new();
        let parsed = with_cx(&traffic, |cx| Expr::parse_anywhere(Spanned::builtin(&text), cx));
        if let Ok(expr) = parsed {
            let _ = expr.eval_str(&traffic.context());
        }
    }

    #[test]
    fn formats(text in language()) {
        let traffic = Traffic::new();
        for purpose in [Use::Http, Use::Log] {
            let parsed = with_cx(&traffic, |cx| LogFormat::parse(Spanned::builtin(&text), purpose, cx));
            if let Ok(format) = parsed {
                let _ = format.render(&traffic.context());
            }
        }
    }

    #[test]
    fn conditions_and_rules(text in language()) {
        let traffic = Traffic::new();
        let words = split(&text);
        let mut acls = AclTable::default();
        with_cx(&traffic, |cx| {
            let _ = acls.declare(&words, cx);
            if let Ok(condition) = Condition::parse(&words, &mut acls, cx) {
                let _ = condition.eval(&traffic.context());
            }
            for kind in SetKind::ALL {
                let _ = Rule::parse(kind, &words, &mut acls, cx);
            }
            let _ = Rule::parse_redirect(&words, &mut acls, cx);
        });
    }

    #[test]
    fn buffers(data in prop::collection::vec(any::<u8>(), 0..200), complete: bool) {
        let traffic = Traffic::new();
        for text in ["req.ssl_sni", "req.ssl_ver", "req.payload(3,5)", "req.payload(0,0)", "req.len", "req.proto_http"] {
            let expr = with_cx(&traffic, |cx| Expr::parse_anywhere(Spanned::builtin(text.as_bytes()), cx));
            let expr = expr.map_err(|d| TestCaseError::fail(d.message))?;
            let cx = EvalCtx { request: None, req_data: Some(&data), complete, ..traffic.context() };
            let _ = expr.eval_str(&cx);
        }
    }
}
