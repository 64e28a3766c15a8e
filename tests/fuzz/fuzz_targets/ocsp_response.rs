//! Any bytes as an OCSP response: they are read, and judged by a certificate that did not sign them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proxy_tls::ocsp::Response;
use proxy_tls::rustls::pki_types::CertificateDer;

const ISSUER: &[u8] = include_bytes!("../../../proxy/crates/proxy-tls/testdata/issuer.der");

fuzz_target!(|data: &[u8]| {
    if let Ok(response) = Response::parse(data) {
        let _ = response.expires(1_796_083_200);
        let _ = response.id.fields();
        let _ = response.verify(&CertificateDer::from(ISSUER), 1_796_083_200);
    }
});
