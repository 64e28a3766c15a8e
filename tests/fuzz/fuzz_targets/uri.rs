//! Any bytes as the target of a request: its parts are parts of it, and what asks for them gets an answer.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proxy_http::{RequestHead, h1, uri};
use proxy_rules::sample::example::Traffic;

const ASKED: [&str; 14] = [
    "path,url_dec",
    "pathq",
    "base",
    "base32+src",
    "url",
    "url32",
    "url_ip",
    "url_port",
    "query,url_dec(1)",
    "url_param(x,,i)",
    "url_param()",
    "urlp_val(y)",
    "url,host_only",
    "url,port_only",
];

fuzz_target!(|target: &[u8]| {
    let parts = uri::split(target);
    let length = parts.scheme.len() + parts.authority.len() + parts.path.len() + parts.query.len();
    assert!(length <= target.len());
    let (host, port) = uri::host_port(parts.authority);
    assert!(host.len() + port.len() <= parts.authority.len());
    assert!(uri::same_authority(parts.authority, parts.authority, b"80"));

    let mut head = RequestHead::default();
    let text = [b"GET ", target, b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
    if !matches!(
        h1::parse_request(&text, &h1::Limits::default(), &mut head),
        Ok(h1::Progress::Complete { .. })
    ) {
        return;
    }
    let mut traffic = Traffic::new();
    traffic.request = head;
    for asked in ASKED {
        assert!(traffic.eval(asked).is_ok());
    }
});
