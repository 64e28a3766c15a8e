//! Algorithms of JSON Web Tokens (RFC 7518, 3.1) and the public keys that rules name.

use std::sync::Arc;

use aws_lc_rs::{hmac, signature};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parking_lot::RwLock;

use crate::jwe::{Key, KeyForm, OID_EC, OID_RSA};
use crate::sample::parse::Loader;
use crate::x509;

/// A signature or MAC algorithm.
#[derive(Clone, Copy)]
pub(crate) enum Algorithm {
    Hmac(hmac::Algorithm),
    None,
    Signature { family: Family, verification: &'static dyn signature::VerificationAlgorithm },
}

impl Algorithm {
    pub(crate) fn find(name: &[u8]) -> Option<Self> {
        let rsa = |verification| Self::Signature { family: Family::Rsa, verification };
        let ec = |verification| Self::Signature { family: Family::Ec, verification };
        Some(match name {
            b"HS256" => Self::Hmac(hmac::HMAC_SHA256),
            b"HS384" => Self::Hmac(hmac::HMAC_SHA384),
            b"HS512" => Self::Hmac(hmac::HMAC_SHA512),
            b"RS256" => rsa(&signature::RSA_PKCS1_2048_8192_SHA256),
            b"RS384" => rsa(&signature::RSA_PKCS1_2048_8192_SHA384),
            b"RS512" => rsa(&signature::RSA_PKCS1_2048_8192_SHA512),
            b"PS256" => rsa(&signature::RSA_PSS_2048_8192_SHA256),
            b"PS384" => rsa(&signature::RSA_PSS_2048_8192_SHA384),
            b"PS512" => rsa(&signature::RSA_PSS_2048_8192_SHA512),
            b"ES256" => ec(&signature::ECDSA_P256_SHA256_FIXED),
            b"ES384" => ec(&signature::ECDSA_P384_SHA384_FIXED),
            b"ES512" => ec(&signature::ECDSA_P521_SHA512_FIXED),
            b"none" => Self::None,
            _ => return None,
        })
    }

    pub(crate) fn needs_public_key(self) -> bool {
        matches!(self, Self::Signature { .. })
    }
}

/// What a key can verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Ec,
    /// The file was not read, or is empty: it verifies nothing.
    None,
    Rsa,
}

/// A public key, with the name it is called by.
#[derive(Debug)]
pub struct PublicKey {
    name: Box<str>,
    family: Family,
    /// SPKI, or PKCS#1 for RSA.
    der: Vec<u8>,
}

impl PublicKey {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn family(&self) -> Family {
        self.family
    }

    pub(crate) fn der(&self) -> &[u8] {
        &self.der
    }

    /// Reads PEM of the kinds PUBLIC KEY and RSA PUBLIC KEY; `None` for anything else.
    fn parse(name: &str, content: &[u8]) -> Option<Self> {
        if content.is_empty() {
            return Some(Self { name: name.into(), family: Family::None, der: Vec::new() });
        }
        let text = std::str::from_utf8(content).ok()?;
        let body = |kind: &str| pem(text, kind);
        if let Some(der) = body("RSA PUBLIC KEY") {
            return Some(Self { name: name.into(), family: Family::Rsa, der });
        }
        let der = body("PUBLIC KEY")?;
        let family = family(&der)?;
        Some(Self { name: name.into(), family, der })
    }
}

/// The content of the first section of this kind.
fn pem(text: &str, kind: &str) -> Option<Vec<u8>> {
    let (_, rest) = text.split_once(&format!("-----BEGIN {kind}-----"))?;
    let (body, _) = rest.split_once(&format!("-----END {kind}-----"))?;
    let digits: String = body.split_whitespace().collect();
    STANDARD.decode(digits).ok()
}

/// What a key in the form of SPKI can verify.
fn family(spki: &[u8]) -> Option<Family> {
    // The object identifier of the algorithm stands at the start (RFC 3279, 2.3).
    let start = &spki[..spki.len().min(32)];
    let has = |oid: &[u8]| memchr::memmem::find(start, oid).is_some();
    if has(OID_RSA) {
        return Some(Family::Rsa);
    }
    has(OID_EC).then_some(Family::Ec)
}

/// A certificate that verifies tokens, with the private key that opens them.
#[derive(Clone, PartialEq, Eq)]
pub struct Pair {
    family: Family,
    spki: Vec<u8>,
    key: Option<Key>,
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.family)
    }
}

impl Pair {
    /// From DER; `None` when tokens know no such keys.
    pub fn new(certificate: &[u8], key: Option<(KeyForm, &[u8])>) -> Option<Self> {
        let certificate = x509::parse(certificate)?;
        let spki = certificate.public_key().raw.to_vec();
        let key = key.and_then(|(form, der)| Key::from_der(form, der));
        Some(Self { family: family(&spki)?, spki, key })
    }

    /// From the sections of a PEM file.
    fn parse(content: &[u8]) -> Option<Self> {
        if content.is_empty() {
            return Some(Self { family: Family::None, spki: Vec::new(), key: None });
        }
        let text = std::str::from_utf8(content).ok()?;
        let forms = [
            ("PRIVATE KEY", KeyForm::Pkcs8),
            ("RSA PRIVATE KEY", KeyForm::Pkcs1),
            ("EC PRIVATE KEY", KeyForm::Sec1),
        ];
        let key = forms.iter().find_map(|(kind, form)| Some((*form, pem(text, kind)?)));
        let key = key.as_ref().map(|(form, der)| (*form, der.as_slice()));
        Self::new(&pem(text, "CERTIFICATE")?, key)
    }

    pub(crate) fn family(&self) -> Family {
        self.family
    }

    pub(crate) fn spki(&self) -> &[u8] {
        &self.spki
    }

    pub(crate) fn key(&self) -> Option<&Key> {
        self.key.as_ref()
    }
}

/// Where a certificate is: commands may exchange it.
pub trait PairSource: std::fmt::Debug + Send + Sync {
    /// The certificate as it is now; `None` when tokens cannot use it.
    fn pair(&self) -> Option<Arc<Pair>>;
}

/// One that stays.
impl PairSource for Arc<Pair> {
    fn pair(&self) -> Option<Arc<Pair>> {
        Some(self.clone())
    }
}

/// The certificates that tokens may be verified with or opened by (`jwt on`), by name.
type Certificates = RwLock<Vec<(Box<str>, Arc<dyn PairSource>)>>;

/// The public keys and the certificates of a configuration: variables may name those that stand in it.
#[derive(Debug, Default)]
pub struct PublicKeys(RwLock<Vec<Arc<PublicKey>>>, Certificates);

impl PublicKeys {
    pub(crate) fn get(&self, name: &[u8]) -> Option<Arc<PublicKey>> {
        self.0.read().iter().find(|key| key.name.as_bytes() == name).cloned()
    }

    /// The key in the file `name`, read when it is new; `None` when there is no key of that name.
    pub(crate) fn load(&self, name: &str, loader: &dyn Loader) -> Option<Arc<PublicKey>> {
        if let Some(known) = self.get(name.as_bytes()) {
            return Some(known);
        }
        let key = Arc::new(PublicKey::parse(name, &loader.load(name).ok()?)?);
        self.0.write().push(key.clone());
        Some(key)
    }

    /// Lets tokens use a certificate.
    pub fn declare(&self, name: &str, source: Arc<dyn PairSource>) {
        let mut known = self.1.write();
        known.retain(|(other, _)| **other != *name);
        known.push((name.into(), source));
    }

    /// Whether tokens used the certificate, which they do no more.
    pub fn forget(&self, name: &str) -> bool {
        let mut known = self.1.write();
        let count = known.len();
        known.retain(|(other, _)| **other != *name);
        known.len() < count
    }

    /// The names of the certificates.
    pub fn certificates(&self) -> Vec<Box<str>> {
        self.1.read().iter().map(|(name, _)| name.clone()).collect()
    }

    pub(crate) fn certificate(&self, name: &[u8]) -> Option<Arc<dyn PairSource>> {
        let known = self.1.read();
        known.iter().find(|(other, _)| other.as_bytes() == name).map(|(_, source)| source.clone())
    }

    /// The certificate of that name, or of the file, read when it is new.
    ///
    /// # Errors
    /// There is none, or tokens cannot use it.
    pub(crate) fn load_certificate(
        &self,
        name: &str,
        loader: &dyn Loader,
    ) -> Result<Arc<dyn PairSource>, String> {
        if let Some(known) = self.certificate(name.as_bytes()) {
            return Ok(known);
        }
        let content =
            loader.load(name).map_err(|why| format!("cannot read certificate '{name}': {why}"))?;
        let pair = Pair::parse(&content)
            .ok_or_else(|| format!("'{name}' has no certificate that tokens can use"))?;
        let source: Arc<dyn PairSource> = Arc::new(Arc::new(pair));
        self.declare(name, source.clone());
        Ok(source)
    }
}
