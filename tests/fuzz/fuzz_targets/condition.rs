//! Any bytes as the condition of `-cc` and of `.if`: it has a value or a mistake that lies inside it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proxy_config::cond::{Facts, evaluate, evaluate_line};
use proxy_config::{Environment, Program};

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let env: Environment = [("A", "a b"), ("EMPTY", "")].into_iter().collect();
    let facts = Facts { env: &env, program: &Program::default() };
    if let Err(error) = evaluate(text, &facts) {
        assert!(error.offset <= text.len());
    }
    let _ = evaluate_line(text, &facts);
});
