//! Any text as a sample expression and as a log format: it compiles or says why not, and evaluates on a message.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proxy_rules::logformat::{LogFormat, Use};
use proxy_rules::pattern::PatternLists;
use proxy_rules::sample::example::Traffic;
use proxy_rules::sample::{Expr, NoFiles};
use proxy_types::Spanned;

fuzz_target!(|input: (&str, &[u8])| {
    let (text, data) = input;
    let mut traffic = Traffic::new();
    traffic.req_data = data.to_vec();
    traffic.res_data = data.to_vec();
    let word = Spanned::builtin(text.as_bytes());
    let (expr, format) = traffic.parse_with(&PatternLists::default(), &NoFiles, |cx| {
        (Expr::parse_anywhere(word, cx), LogFormat::parse(word, Use::Log, cx))
    });
    let context = traffic.context();
    if let Ok(expr) = &expr {
        let _ = expr.eval_str(&context);
    }
    if let Ok(format) = &format {
        let _ = format.render(&context);
    }
});
