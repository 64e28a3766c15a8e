//! Secrets of sessions, while `tune.ssl.keylog` is on (configuration manual, 7.3.4).

use super::{Back, Front, Side};
use crate::sample::{Args, Cursor, EvalCtx, FetchDef, Sample, Type, Validity};

/// Labels of key logs (draft-ietf-tls-keylogfile, 2.1).
const LABELS: [&str; 7] = [
    "CLIENT_EARLY_TRAFFIC_SECRET",
    "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
    "SERVER_HANDSHAKE_TRAFFIC_SECRET",
    "CLIENT_TRAFFIC_SECRET_0",
    "SERVER_TRAFFIC_SECRET_0",
    "EXPORTER_SECRET",
    "EARLY_EXPORTER_SECRET",
];

pub(in crate::fetch) const FETCHES: &[FetchDef] = &[
    FetchDef::new(
        "ssl_bc_client_early_traffic_secret",
        &[],
        Type::Str,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        secret::<Back, 0>,
        "CLIENT_EARLY_TRAFFIC_SECRET of the server's connection, as key logs have it.",
    )
    .eg(&[("ssl_bc_client_early_traffic_secret", Some("0102"))]),
    FetchDef::new(
        "ssl_bc_client_handshake_traffic_secret",
        &[],
        Type::Str,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        secret::<Back, 1>,
        "CLIENT_HANDSHAKE_TRAFFIC_SECRET of the server's connection, as key logs have it.",
    )
    .eg(&[("ssl_bc_client_handshake_traffic_secret", Some("0102"))]),
    FetchDef::new(
        "ssl_bc_client_random",
        &[],
        Type::Bin,
        Validity::of("...........YYYYYYYYY.."),
        random::<Back>,
        "Random number of the client in the server's handshake.",
    )
    .eg(&[("ssl_bc_client_random,hex", Some("0707"))]),
    FetchDef::new(
        "ssl_bc_client_traffic_secret_0",
        &[],
        Type::Str,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        secret::<Back, 3>,
        "CLIENT_TRAFFIC_SECRET_0 of the server's connection, as key logs have it.",
    )
    .eg(&[("ssl_bc_client_traffic_secret_0", Some("0102"))]),
    FetchDef::new(
        "ssl_bc_early_exporter_secret",
        &[],
        Type::Str,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        secret::<Back, 6>,
        "EARLY_EXPORTER_SECRET of the server's connection, as key logs have it.",
    )
    .eg(&[("ssl_bc_early_exporter_secret", Some("0102"))]),
    FetchDef::new(
        "ssl_bc_exporter_secret",
        &[],
        Type::Str,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        secret::<Back, 5>,
        "EXPORTER_SECRET of the server's connection, as key logs have it.",
    )
    .eg(&[("ssl_bc_exporter_secret", Some("0102"))]),
    FetchDef::new(
        "ssl_bc_server_handshake_traffic_secret",
        &[],
        Type::Str,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        secret::<Back, 2>,
        "SERVER_HANDSHAKE_TRAFFIC_SECRET of the server's connection, as key logs have it.",
    )
    .eg(&[("ssl_bc_server_handshake_traffic_secret", Some("0102"))]),
    FetchDef::new(
        "ssl_bc_server_traffic_secret_0",
        &[],
        Type::Str,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        secret::<Back, 4>,
        "SERVER_TRAFFIC_SECRET_0 of the server's connection, as key logs have it.",
    )
    .eg(&[("ssl_bc_server_traffic_secret_0", Some("0102"))]),
    FetchDef::new(
        "ssl_fc_client_early_traffic_secret",
        &[],
        Type::Str,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        secret::<Front, 0>,
        "CLIENT_EARLY_TRAFFIC_SECRET of the client's connection, as key logs have it.",
    )
    .eg(&[("ssl_fc_client_early_traffic_secret", Some("0102"))]),
    FetchDef::new(
        "ssl_fc_client_handshake_traffic_secret",
        &[],
        Type::Str,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        secret::<Front, 1>,
        "CLIENT_HANDSHAKE_TRAFFIC_SECRET of the client's connection, as key logs have it.",
    )
    .eg(&[("ssl_fc_client_handshake_traffic_secret", Some("0102"))]),
    FetchDef::new(
        "ssl_fc_client_random",
        &[],
        Type::Bin,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        random::<Front>,
        "Random number of the client in the client's handshake.",
    )
    .eg(&[("ssl_fc_client_random,hex", Some("0707"))]),
    FetchDef::new(
        "ssl_fc_client_traffic_secret_0",
        &[],
        Type::Str,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        secret::<Front, 3>,
        "CLIENT_TRAFFIC_SECRET_0 of the client's connection, as key logs have it.",
    )
    .eg(&[("ssl_fc_client_traffic_secret_0", Some("0102"))]),
    FetchDef::new(
        "ssl_fc_early_exporter_secret",
        &[],
        Type::Str,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        secret::<Front, 6>,
        "EARLY_EXPORTER_SECRET of the client's connection, as key logs have it.",
    )
    .eg(&[("ssl_fc_early_exporter_secret", Some("0102"))]),
    FetchDef::new(
        "ssl_fc_exporter_secret",
        &[],
        Type::Str,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        secret::<Front, 5>,
        "EXPORTER_SECRET of the client's connection, as key logs have it.",
    )
    .eg(&[("ssl_fc_exporter_secret", Some("0102"))]),
    FetchDef::new(
        "ssl_fc_server_handshake_traffic_secret",
        &[],
        Type::Str,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        secret::<Front, 2>,
        "SERVER_HANDSHAKE_TRAFFIC_SECRET of the client's connection, as key logs have it.",
    )
    .eg(&[("ssl_fc_server_handshake_traffic_secret", Some("0102"))]),
    FetchDef::new(
        "ssl_fc_server_traffic_secret_0",
        &[],
        Type::Str,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        secret::<Front, 4>,
        "SERVER_TRAFFIC_SECRET_0 of the client's connection, as key logs have it.",
    )
    .eg(&[("ssl_fc_server_traffic_secret_0", Some("0102"))]),
];

/// In hexadecimal, as key logs write it.
fn secret<'a, S: Side, const LABEL: usize>(
    cx: &EvalCtx<'a>,
    _: &'a Args,
    _: &mut Cursor,
) -> Option<Sample<'a>> {
    let label = LABELS.get(LABEL)?;
    let (_, secret) = S::tls(cx)?.secrets.iter().find(|(known, _)| **known == **label)?;
    let text: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    Some(Sample::Str(cx.scratch.alloc_slice_copy(text.as_bytes())))
}

fn random<'a, S: Side>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    S::tls(cx)?.client_random.as_deref().map(Sample::Bin)
}
