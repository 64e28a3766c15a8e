//! The connections of the example traffic: a PROXY protocol header came, and both ends speak TLS.

use std::sync::Arc;

use super::connection::{Connection, ProxyHeader, Tls};

/// A certificate of client.example.org, signed by itself.
const CERTIFICATE: &[u8] = include_bytes!("example.der");

/// A ClientHello: a GREASE value, two suites, groups, formats, algorithms and versions.
const HELLO: &[u8] = &[
    3, 3, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, // version, random
    0, // session
    0, 6, 0x0a, 0x0a, 0x13, 0x01, 0xc0, 0x2f, // suites
    1, 0, // compression
    0, 37, // extensions
    0, 10, 0, 6, 0, 4, 0, 29, 0, 23, // supported_groups
    0, 11, 0, 2, 1, 0, // ec_point_formats
    0, 13, 0, 6, 0, 4, 4, 3, 8, 4, // signature_algorithms
    0, 43, 0, 5, 4, 3, 4, 3, 3, // supported_versions
    0, 0,
];

fn tls(sni: &str) -> Tls {
    // Subject of the certificate, at its place in it.
    let root = crate::x509::parse(CERTIFICATE).map(|c| c.subject().as_raw().into());
    Tls {
        early: None,
        late: None,
        version: "TLSv1.3",
        cipher: "TLS_AES_256_GCM_SHA384",
        bits: 256,
        alpn: Some((*b"h2").into()),
        sni: Some(sni.into()),
        resumed: false,
        established: true,
        group: Some("X25519"),
        own: Some(CERTIFICATE.into()),
        peer: vec![CERTIFICATE.into(), (*b"\x30\x01\x01").into()],
        verify: 10,
        crt_err: 10,
        ca_err: 19,
        ca_err_depth: 1,
        error: 0x0a00_0086,
        error_text: Some("certificate verify failed".into()),
        crtname: Some("site.pem".into()),
        root,
        hello: Some(HELLO.into()),
        secrets: SECRETS.iter().map(|label| ((*label).into(), (*b"\x01\x02").into())).collect(),
        client_random: Some((*b"\x07\x07").into()),
    }
}

const SECRETS: [&str; 7] = [
    "CLIENT_EARLY_TRAFFIC_SECRET",
    "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
    "SERVER_HANDSHAKE_TRAFFIC_SECRET",
    "CLIENT_TRAFFIC_SECRET_0",
    "SERVER_TRAFFIC_SECRET_0",
    "EXPORTER_SECRET",
    "EARLY_EXPORTER_SECRET",
];

/// The client's connection.
pub(super) fn client() -> Connection {
    let tlvs = vec![(0x02, (*b"pp.example.org").into()), (0x05, (*b"id-1").into())];
    Connection {
        tls: Some(Arc::new(tls("www.example.org"))),
        proxy: Some(Arc::new(ProxyHeader { tlvs })),
        error: 31,
        ..Connection::default()
    }
}

/// The server's connection.
pub(super) fn server() -> Connection {
    Connection { tls: Some(Arc::new(tls("s1.example.org"))), error: 26, ..Connection::default() }
}
