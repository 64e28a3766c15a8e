//! Any bytes as what a client or a server sent first: hellos of TLS, RDP cookies, MQTT, SPOP, certificates, packets.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proxy_rules::pattern::PatternLists;
use proxy_rules::sample::example::Traffic;
use proxy_rules::sample::{EvalCtx, Expr, NoFiles};
use proxy_types::{Mode, Spanned};

const ASKED: [&str; 24] = [
    "req.ssl_sni",
    "req.ssl_alpn",
    "req.ssl_cipherlist",
    "req.ssl_sigalgs",
    "req.ssl_keyshare_groups",
    "req.ssl_supported_groups",
    "req.ssl_hello_type",
    "req.ssl_ver",
    "req.ssl_st_ext",
    "req.ssl_ec_ext",
    "res.ssl_hello_type",
    "req.rdp_cookie(mstshash)",
    "req.rdp_cookie_cnt()",
    "req.payload(0,0),mqtt_is_valid",
    "req.payload(0,0),mqtt_field_value(connect,client_identifier)",
    "req.payload(0,0),ip.data",
    "req.payload(0,0),eth.data",
    "req.payload(0,0),tcp.options_list",
    "req.payload(0,0),protobuf(1.2,bool)",
    "req.payload(0,0),ungrpc(1.2)",
    "req.payload(0,0),json_query('$.a[0].b')",
    "req.payload(0,0),jwt_header_query('$.alg')",
    "req.payload(0,0),b64dec,bytes(1,3)",
    "req.payload_lv(0,2)",
];

fn compile(text: &str) -> Expr {
    Traffic::new()
        .parse_with(&PatternLists::default(), &NoFiles, |cx| {
            cx.mode = Mode::Tcp;
            Expr::parse_anywhere(Spanned::builtin(text.as_bytes()), cx)
        })
        .unwrap_or_else(|error| panic!("{text}: {}", error.message))
}

thread_local! {
    static EXPRESSIONS: Vec<Expr> = ASKED.into_iter().map(compile).collect();
}

fuzz_target!(|bytes: &[u8]| {
    let mut traffic = Traffic::new();
    traffic.req_data = bytes.to_vec();
    traffic.res_data = bytes.to_vec();
    let context = EvalCtx { http: false, request: None, response: None, ..traffic.context() };
    EXPRESSIONS.with(|all| {
        for expression in all {
            let _ = expression.eval_str(&context);
        }
    });
});
