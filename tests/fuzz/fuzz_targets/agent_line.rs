//! Any text as the line of an agent: it is read, and told in a result.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proxy_state::server::AgentAnswer;

fuzz_target!(|line: &str| {
    let answer = AgentAnswer::parse(line);
    let result = answer.result(0);
    assert_eq!(answer.state.is_some(), result.code.is_some());
});
