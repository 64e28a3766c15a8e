//! Any bytes as a configuration: it loads or says why not, and its messages can be shown.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proxy_config::render::{RenderOptions, render};
use proxy_config::{Environment, Options, Sources, discovery, load};

fuzz_target!(|text: &[u8]| {
    let sources = Sources::from_text("fuzz.cfg", text);
    let env: Environment = [("A", "a b"), ("EMPTY", "")].into_iter().collect();
    let (config, diagnostics) = load(&sources, &env, &Options::default());
    assert_eq!(config.is_none(), diagnostics.has_alert());
    let options = RenderOptions { diag: true, ..RenderOptions::default() };
    let _ = render(&diagnostics, &sources, &options);
    let (_, process) = discovery::discover(&sources, &env, &Options::default());
    // What the master refuses, the worker refuses too.
    assert!(!process.has_alert() || diagnostics.has_alert());
});
