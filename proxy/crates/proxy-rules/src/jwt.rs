//! Algorithms of JSON Web Tokens (RFC 7518, 3.1) and the public keys that rules name.

use std::sync::Arc;

use aws_lc_rs::{hmac, signature};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parking_lot::RwLock;

use crate::sample::parse::Loader;

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
        let body = |kind: &str| {
            let (_, rest) = text.split_once(&format!("-----BEGIN {kind}-----"))?;
            let (body, _) = rest.split_once(&format!("-----END {kind}-----"))?;
            let digits: String = body.split_whitespace().collect();
            STANDARD.decode(digits).ok()
        };
        if let Some(der) = body("RSA PUBLIC KEY") {
            return Some(Self { name: name.into(), family: Family::Rsa, der });
        }
        let der = body("PUBLIC KEY")?;
        // The object identifier of the algorithm stands at the start of SPKI (RFC 3279, 2.3).
        let start = &der[..der.len().min(32)];
        let has = |oid: &[u8]| memchr::memmem::find(start, oid).is_some();
        let family = if has(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1]) {
            Family::Rsa
        } else if has(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1]) {
            Family::Ec
        } else {
            return None;
        };
        Some(Self { name: name.into(), family, der })
    }
}

/// The public keys of a configuration: variables may name those that stand in it.
#[derive(Debug, Default)]
pub struct PublicKeys(RwLock<Vec<Arc<PublicKey>>>);

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
}
