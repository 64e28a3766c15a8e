//! Any text as a sample expression and as a log format: it compiles or says why not, and evaluates on a message.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proxy_rules::acl::AclTable;
use proxy_rules::jwt::PublicKeys;
use proxy_rules::logformat::{LogFormat, Use};
use proxy_rules::pattern::PatternLists;
use proxy_rules::sample::example::Traffic;
use proxy_rules::sample::{Expr, NoFiles, ParseCx, Place};
use proxy_rules::track;
use proxy_types::{Diagnostics, Mode, Spanned};

fuzz_target!(|input: (&str, &[u8])| {
    let (text, data) = input;
    let mut traffic = Traffic::new();
    traffic.req_data = data.to_vec();
    traffic.res_data = data.to_vec();
    let (mut diag, mut refs) = (Diagnostics::new(), Vec::new());
    let patterns = PatternLists::default();
    let mut cx = ParseCx {
        place: Place::Log,
        listen: false,
        section: "fe",
        mode: Mode::Http,
        vars: &traffic.names,
        loader: &NoFiles,
        patterns: &patterns,
        keys: &PublicKeys::default(),
        files: &(),
        captures: None,
        acls: Some(AclTable::default()),
        counters: track::COUNTERS,
        diag: &mut diag,
        refs: &mut refs,
    };
    let word = Spanned::builtin(text.as_bytes());
    let expr = Expr::parse_anywhere(word, &mut cx);
    let format = LogFormat::parse(word, Use::Log, &mut cx);
    let context = traffic.context();
    if let Ok(expr) = &expr {
        let _ = expr.eval_str(&context);
    }
    if let Ok(format) = &format {
        let _ = format.render(&context);
    }
});
