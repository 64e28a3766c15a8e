//! Certificates with their keys, out of PEM text.

use std::sync::Arc;

use rustls::SignatureAlgorithm;
use rustls::pki_types::pem::{PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey};

use crate::encrypted::{DecryptError, EncryptedKey};
use crate::names;
use crate::ocsp::{self, OcspError};

/// Why text is no certificate or key.
#[derive(Debug, thiserror::Error)]
pub enum MaterialError {
    #[error("{0}")]
    Pem(String),
    #[error("no certificate in it")]
    NoCertificate,
    #[error("no private key in it")]
    NoKey,
    #[error(
        "the private key is encrypted: name a program that knows the passphrase by 'ssl-passphrase-cmd', or decrypt it \
         with 'openssl pkey'"
    )]
    EncryptedKey,
    #[error("unusable private key: {0}")]
    Key(rustls::Error),
    #[error("private key and certificate do not match")]
    Mismatch,
    #[error("unusable certificate: {0}")]
    Certificate(String),
    #[error("no certificate revocation list in it")]
    NoCrl,
    #[error(transparent)]
    Ocsp(#[from] OcspError),
}

/// What PEM text holds, beside parts that are of no use here (DH parameters, EC parameters).
#[derive(Debug, Default)]
pub struct Parts {
    pub certificates: Vec<CertificateDer<'static>>,
    pub key: Option<PrivateKeyDer<'static>>,
    /// A key that nobody opened yet.
    locked: Option<EncryptedKey>,
}

impl Parts {
    /// Parts that are there already.
    #[must_use]
    pub fn new(
        certificates: Vec<CertificateDer<'static>>,
        key: Option<PrivateKeyDer<'static>>,
    ) -> Self {
        Self { certificates, key, locked: None }
    }

    /// Reads PEM text. The first key counts.
    ///
    /// # Errors
    /// A section is cut off or is no base64.
    pub fn parse(pem: &[u8]) -> Result<Self, MaterialError> {
        let mut parts = Self::default();
        let (locked, rest) = EncryptedKey::take(pem).unzip();
        for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(rest.as_deref().unwrap_or(pem)) {
            let (kind, der) = section.map_err(|error| MaterialError::Pem(error.to_string()))?;
            let key = match kind {
                SectionKind::Certificate => {
                    parts.certificates.push(der.into());
                    continue;
                }
                SectionKind::PrivateKey => PrivateKeyDer::Pkcs8(der.into()),
                SectionKind::RsaPrivateKey => PrivateKeyDer::Pkcs1(der.into()),
                SectionKind::EcPrivateKey => PrivateKeyDer::Sec1(der.into()),
                _ => continue,
            };
            parts.key.get_or_insert(key);
        }
        parts.locked = locked.filter(|_| parts.key.is_none());
        Ok(parts)
    }

    /// Whether its key waits for a passphrase.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.locked.is_some()
    }

    /// Opens its key, if that is encrypted.
    ///
    /// # Errors
    /// The passphrase is another one, or the encryption is one that is not offered; the key stays closed.
    pub fn unlock(&mut self, passphrase: &[u8]) -> Result<(), DecryptError> {
        let Some(locked) = &self.locked else { return Ok(()) };
        self.key = Some(locked.decrypt(passphrase)?);
        self.locked = None;
        Ok(())
    }
}

/// Every certificate of PEM text, such as that of a `ca-file`.
///
/// # Errors
/// The text is broken, or has none.
pub fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, MaterialError> {
    let list = Parts::parse(pem)?.certificates;
    if list.is_empty() { Err(MaterialError::NoCertificate) } else { Ok(list) }
}

/// Every revocation list of PEM text.
///
/// # Errors
/// The text is broken, or has none.
pub fn crls(pem: &[u8]) -> Result<Vec<CertificateRevocationListDer<'static>>, MaterialError> {
    let list: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(pem).collect();
    let list = list.map_err(|error| MaterialError::Pem(error.to_string()))?;
    if list.is_empty() { Err(MaterialError::NoCrl) } else { Ok(list) }
}

/// The kind of a certificate's key, by which one is chosen for a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyKind {
    Rsa,
    Ecdsa,
    /// Ed25519: for clients that say they know it.
    Other,
}

/// A certificate that can be shown to a peer.
#[derive(Debug)]
pub struct Certificate {
    /// Own certificate first, then its issuers.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its own certificate once more, for those who look at it.
    pub der: Arc<[u8]>,
    pub key: Arc<dyn SigningKey>,
    /// The key as it came.
    pub key_der: PrivateKeyDer<'static>,
    pub kind: KeyKind,
    /// Host names it is for, in lower case: DNS names and the common name.
    pub names: Vec<Box<str>>,
    /// A DER response of the issuer's OCSP responder.
    pub ocsp: Option<Vec<u8>>,
    /// Until when the response is good, in seconds since 1970.
    pub ocsp_expires: Option<i64>,
    stapled: bool,
    /// The certificate that signed it, when known: of the chain or of an `.issuer` file.
    pub issuer: Option<CertificateDer<'static>>,
    /// What responses about it are known by; needs its issuer.
    pub ocsp_id: Option<ocsp::Id>,
    /// Where responses about it can be had.
    pub responder: Option<String>,
}

impl Certificate {
    /// Puts a certificate together. `key` and `issuer` are what separate files hold, if there are any.
    ///
    /// # Errors
    /// There is no certificate or no key, they do not belong together, or one is of a kind that cannot be used.
    pub fn new(
        own: Parts,
        key: Option<Parts>,
        issuer: Option<CertificateDer<'static>>,
    ) -> Result<Self, MaterialError> {
        let key_parts = key.as_ref().filter(|parts| parts.key.is_some() || parts.is_locked());
        let encrypted = own.is_locked() || key_parts.is_some_and(Parts::is_locked);
        let leaf = own.certificates.first().ok_or(MaterialError::NoCertificate)?;
        let parsed = names::parse(leaf).ok_or_else(|| {
            MaterialError::Certificate("it is no X.509 certificate in DER".to_owned())
        })?;
        let names = names::host_names(&parsed);
        let der = key_parts
            .and_then(|parts| parts.key.as_ref())
            .or(own.key.as_ref())
            .map(PrivateKeyDer::clone_key);
        let key_der = match der {
            Some(der) => der,
            None if encrypted => return Err(MaterialError::EncryptedKey),
            None => return Err(MaterialError::NoKey),
        };
        let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key_der)
            .map_err(MaterialError::Key)?;
        let of_key = key.public_key();
        if of_key.is_some_and(|public| public.as_ref() != parsed.public_key().raw) {
            return Err(MaterialError::Mismatch);
        }
        let kind = match key.algorithm() {
            SignatureAlgorithm::RSA => KeyKind::Rsa,
            SignatureAlgorithm::ECDSA => KeyKind::Ecdsa,
            _ => KeyKind::Other,
        };
        let of_chain = own.certificates.iter().skip(1).find(|der| names::is_issuer(der, leaf));
        let issuer = issuer.or_else(|| of_chain.cloned());
        let ocsp_id = issuer.as_ref().and_then(|issuer| ocsp::Id::of(leaf, issuer));
        Ok(Self {
            der: leaf.as_ref().into(),
            responder: ocsp::responder(leaf),
            chain: own.certificates,
            key,
            key_der,
            kind,
            names,
            ocsp: None,
            ocsp_expires: None,
            stapled: false,
            issuer,
            ocsp_id,
        })
    }

    /// The same with another OCSP response, shown to clients if it is `stapled`.
    #[must_use]
    pub fn with_ocsp(&self, response: Option<Vec<u8>>, stapled: bool) -> Self {
        let parsed = response.as_deref().and_then(|data| ocsp::Response::parse(data).ok());
        Self {
            chain: self.chain.clone(),
            der: self.der.clone(),
            key: self.key.clone(),
            key_der: self.key_der.clone_key(),
            kind: self.kind,
            names: self.names.clone(),
            ocsp_expires: parsed.and_then(|response| response.next_update),
            stapled,
            ocsp: response,
            issuer: self.issuer.clone(),
            ocsp_id: self.ocsp_id.clone(),
            responder: self.responder.clone(),
        }
    }

    /// Whether an OCSP response is about this certificate and good at `now`, in seconds since 1970.
    ///
    /// # Errors
    /// Why not.
    pub fn judge_ocsp(&self, response: &[u8], now: i64) -> Result<(), OcspError> {
        let response = ocsp::Response::parse(response)?;
        if self.ocsp_id.as_ref() != Some(&response.id) {
            return Err(OcspError::OtherCertificate);
        }
        response.expires(now).map(drop)
    }

    /// When its time begins and when it is over, in seconds since 1970.
    #[must_use]
    pub fn validity(&self) -> Option<(i64, i64)> {
        let validity = names::parse(&self.chain[0])?.validity().clone();
        Some((validity.not_before.timestamp(), validity.not_after.timestamp()))
    }

    /// Whether clients are shown its OCSP response.
    #[must_use]
    pub fn is_stapled(&self) -> bool {
        self.stapled && self.ocsp.is_some()
    }

    /// Its key, itself and its issuers, as PEM.
    #[must_use]
    pub fn to_pem(&self) -> String {
        let label = match &self.key_der {
            PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
            PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
            _ => "PRIVATE KEY",
        };
        let mut text = pem(label, self.key_der.secret_der());
        self.chain.iter().for_each(|der| text.push_str(&pem("CERTIFICATE", der)));
        text
    }

    /// In the form of the TLS library.
    #[must_use]
    pub fn certified(&self, key: Arc<dyn SigningKey>) -> Arc<CertifiedKey> {
        let mut certified = CertifiedKey::new(self.chain.clone(), key);
        certified.ocsp = self.ocsp.clone().filter(|_| self.stapled);
        Arc::new(certified)
    }
}

/// A section of PEM text (RFC 7468, 2).
fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        out.push_str(&String::from_utf8_lossy(line));
        out.push('\n');
    }
    out + &format!("-----END {label}-----\n")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    /// A self-signed certificate and its key, as PEM.
    pub(crate) fn make(cn: &str, sans: &[&str]) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = sans.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, cn);
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    /// A certificate as PEM, without its key.
    pub(crate) fn pem(cn: &str) -> String {
        make(cn, &[]).0
    }

    pub(crate) fn certificate(cn: &str, sans: &[&str]) -> Certificate {
        let (cert, key) = make(cn, sans);
        let own = Parts::parse((cert + &key).as_bytes()).unwrap();
        Certificate::new(own, None, None).unwrap()
    }

    #[test]
    fn certificate_and_key_may_be_one_text_or_two() {
        let (cert, key) = make("Example.ORG", &["www.example.org", "*.example.org"]);
        let one = Parts::parse(format!("{key}{cert}").as_bytes()).unwrap();
        let one = Certificate::new(one, None, None).unwrap();
        assert_eq!(one.kind, KeyKind::Ecdsa);
        let names: Vec<&str> = one.names.iter().map(|name| &**name).collect();
        assert_eq!(names, ["example.org", "www.example.org", "*.example.org"]);
        let own = Parts::parse(cert.as_bytes()).unwrap();
        let two = Certificate::new(own, Some(Parts::parse(key.as_bytes()).unwrap()), None);
        assert_eq!(two.unwrap().chain, one.chain);
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let (cert, _) = make("a", &[]);
        let (_, key) = make("b", &[]);
        let of = |text: &str| Certificate::new(Parts::parse(text.as_bytes()).unwrap(), None, None);
        assert!(matches!(of(&format!("{cert}{key}")), Err(MaterialError::Mismatch)));
        assert!(matches!(of(&cert), Err(MaterialError::NoKey)));
        assert!(matches!(of(&key), Err(MaterialError::NoCertificate)));
        assert!(matches!(of(""), Err(MaterialError::NoCertificate)));
        let locked =
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        assert!(matches!(of(&format!("{cert}{locked}")), Err(MaterialError::EncryptedKey)));
        assert!(Parts::parse(b"-----BEGIN CERTIFICATE-----\nAAAA").is_err());
    }
}
