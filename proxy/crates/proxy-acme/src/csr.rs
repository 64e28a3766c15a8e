//! Keys of certificates, and the requests for them.

use std::net::IpAddr;

use rcgen::{
    CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256,
    PKCS_ECDSA_P384_SHA384, PKCS_ECDSA_P521_SHA512, PKCS_RSA_SHA256, RsaKeySize, SanType,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// Kinds of keys that can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// 2048, 3072 or 4096 bits.
    Rsa(u32),
    P256,
    P384,
    P521,
}

/// A private key.
pub struct CertificateKey {
    pair: KeyPair,
    der: PrivateKeyDer<'static>,
}

impl std::fmt::Debug for CertificateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CertificateKey")
    }
}

impl CertificateKey {
    /// Makes one. That takes some 100 ms for RSA.
    ///
    /// # Errors
    /// The library cannot.
    pub fn generate(kind: KeyKind) -> Result<Self, String> {
        let pair = match kind {
            KeyKind::P256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
            KeyKind::P384 => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384),
            KeyKind::P521 => KeyPair::generate_for(&PKCS_ECDSA_P521_SHA512),
            KeyKind::Rsa(bits) => {
                let size = match bits {
                    2048 => RsaKeySize::_2048,
                    3072 => RsaKeySize::_3072,
                    4096 => RsaKeySize::_4096,
                    other => return Err(format!("RSA keys of {other} bits cannot be made")),
                };
                KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, size)
            }
        };
        let pair = pair.map_err(|error| error.to_string())?;
        let der = PrivatePkcs8KeyDer::from(pair.serialize_der()).into();
        Ok(Self { pair, der })
    }

    /// Takes one that is there.
    ///
    /// # Errors
    /// It cannot be used.
    pub fn new(der: &PrivateKeyDer<'_>) -> Result<Self, String> {
        let pair = KeyPair::try_from(der).map_err(|error| error.to_string())?;
        Ok(Self { pair, der: der.clone_key() })
    }

    #[must_use]
    pub fn der(&self) -> PrivateKeyDer<'static> {
        self.der.clone_key()
    }

    /// One that was made, as PKCS#8.
    #[must_use]
    pub fn pem(&self) -> String {
        self.pair.serialize_pem()
    }
}

fn params(domains: &[String], ips: &[IpAddr]) -> Result<CertificateParams, String> {
    let mut params = CertificateParams::new(domains).map_err(|error| error.to_string())?;
    params.subject_alt_names.extend(ips.iter().map(|ip| SanType::IpAddress(*ip)));
    params.distinguished_name = DistinguishedName::new();
    // A common name has 64 characters at most (X.520, ub-common-name).
    if let Some(first) = domains.first().filter(|name| name.len() <= 64) {
        params.distinguished_name.push(DnType::CommonName, first);
    }
    Ok(params)
}

/// A request for a certificate (PKCS#10, DER). The first domain is its common name.
///
/// # Errors
/// A name cannot stand in a certificate.
pub fn request(
    key: &CertificateKey,
    domains: &[String],
    ips: &[IpAddr],
) -> Result<Vec<u8>, String> {
    let request = params(domains, ips)?.serialize_request(&key.pair);
    request.map(|request| request.der().to_vec()).map_err(|error| error.to_string())
}

/// A certificate that its own key signed, for the time until there is another one.
///
/// # Errors
/// A name cannot stand in a certificate.
pub fn temporary(
    key: &CertificateKey,
    domains: &[String],
    ips: &[IpAddr],
) -> Result<CertificateDer<'static>, String> {
    let mut params = params(domains, ips)?;
    // It is over already: no scheduler takes it for a good one.
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2020, 1, 2);
    let signed = params.self_signed(&key.pair).map_err(|error| error.to_string())?;
    Ok(signed.der().clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_asked_for() {
        use x509_parser::prelude::{FromDer, X509CertificationRequest};
        let key = CertificateKey::generate(KeyKind::P256).unwrap();
        let names = ["a.test".to_owned(), "*.b.test".to_owned()];
        let der = request(&key, &names, &["192.0.2.1".parse().unwrap()]).unwrap();
        let (_, request) = X509CertificationRequest::from_der(&der).unwrap();
        assert_eq!(request.certification_request_info.subject.to_string(), "CN=a.test");
        let text = format!("{:?}", request.requested_extensions().unwrap().collect::<Vec<_>>());
        assert!(
            text.contains("a.test") && text.contains("*.b.test") && text.contains("192, 0, 2, 1")
        );
        let again = CertificateKey::new(&key.der()).unwrap();
        assert_eq!(again.pem(), key.pem());
        assert!(CertificateKey::generate(KeyKind::Rsa(1024)).is_err());
    }
}
