//! Any bytes as a line: every word lies inside the line and in order.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proxy_config::Environment;
use proxy_config::lexer::{WORDS_MAX, words};
use proxy_types::FileId;

fuzz_target!(|line: &[u8]| {
    let env: Environment = [("A", "a b"), ("EMPTY", "")].into_iter().collect();
    if let Ok(words) = words(line, FileId(0), 1, &env) {
        assert!(words.len() <= WORDS_MAX);
        let mut before = 0;
        for word in words {
            assert!(word.span.start < word.span.end && word.span.end as usize <= line.len());
            assert!(word.span.start >= before);
            before = word.span.start;
        }
    }
});
