//! Account keys: they sign requests, and their thumbprint answers challenges.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
    ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::RSAPublicKey;

/// Why a key cannot be an account's.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error(
        "the key is of a kind that accounts cannot have: RSA, P-256, P-384 and P-521 can be used"
    )]
    Kind,
    #[error("the key could not sign")]
    Signature,
}

enum Pair {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
}

/// The key of an account.
pub struct AccountKey {
    pair: Pair,
    /// `alg` of its signatures (RFC 7518, 3.1).
    algorithm: &'static str,
    jwk: Value,
    thumbprint: String,
}

impl std::fmt::Debug for AccountKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccountKey").field("thumbprint", &self.thumbprint).finish_non_exhaustive()
    }
}

pub(crate) fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl AccountKey {
    /// Takes a private key.
    ///
    /// # Errors
    /// It is of a kind that cannot be used.
    pub fn new(der: &PrivateKeyDer<'_>) -> Result<Self, KeyError> {
        let curves = [
            (&ECDSA_P256_SHA256_FIXED_SIGNING, "ES256", "P-256"),
            (&ECDSA_P384_SHA384_FIXED_SIGNING, "ES384", "P-384"),
            (&ECDSA_P521_SHA512_FIXED_SIGNING, "ES512", "P-521"),
        ];
        let rsa = match der {
            PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()).ok(),
            PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).ok(),
            _ => None,
        };
        if let Some(pair) = rsa {
            return Self::of_rsa(pair).ok_or(KeyError::Kind);
        }
        curves
            .into_iter()
            .find_map(|(signing, algorithm, curve)| {
                let pair = match der {
                    PrivateKeyDer::Pkcs8(der) => {
                        EcdsaKeyPair::from_pkcs8(signing, der.secret_pkcs8_der()).ok()
                    }
                    PrivateKeyDer::Sec1(der) => {
                        EcdsaKeyPair::from_private_key_der(signing, der.secret_sec1_der()).ok()
                    }
                    _ => None,
                };
                Self::of_ec(pair?, algorithm, curve)
            })
            .ok_or(KeyError::Kind)
    }

    fn of_rsa(pair: RsaKeyPair) -> Option<Self> {
        let (_, public) = RSAPublicKey::from_der(pair.public_key().as_ref()).ok()?;
        // Integers in DER are signed, those of a JWK are not.
        let number = |bytes: &[u8]| {
            let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
            base64url(&bytes[start..])
        };
        let (e, n) = (number(public.exponent), number(public.modulus));
        let canonical = format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#);
        let jwk = json!({ "e": e, "kty": "RSA", "n": n });
        Some(Self::put_together(Pair::Rsa(pair), "RS256", jwk, &canonical))
    }

    fn of_ec(pair: EcdsaKeyPair, algorithm: &'static str, curve: &str) -> Option<Self> {
        // Uncompressed: 4, x, y.
        let (x, y) = match pair.public_key().as_ref() {
            [4, point @ ..] if point.len() % 2 == 0 => point.split_at(point.len() / 2),
            _ => return None,
        };
        let (x, y) = (base64url(x), base64url(y));
        let canonical = format!(r#"{{"crv":"{curve}","kty":"EC","x":"{x}","y":"{y}"}}"#);
        let jwk = json!({ "crv": curve, "kty": "EC", "x": x, "y": y });
        Some(Self::put_together(Pair::Ec(pair), algorithm, jwk, &canonical))
    }

    /// `canonical` is the form that is hashed (RFC 7638, 3).
    fn put_together(pair: Pair, algorithm: &'static str, jwk: Value, canonical: &str) -> Self {
        let thumbprint = base64url(digest(&SHA256, canonical.as_bytes()));
        Self { pair, algorithm, jwk, thumbprint }
    }

    /// The public part.
    #[must_use]
    pub fn jwk(&self) -> &Value {
        &self.jwk
    }

    /// RFC 7638.
    #[must_use]
    pub fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// What stands in the TXT record that answers a `dns-01` challenge (RFC 8555, 8.4).
    #[must_use]
    pub fn dns_value(&self, token: &str) -> String {
        let authorization = format!("{token}.{}", self.thumbprint);
        base64url(digest(&SHA256, authorization.as_bytes()))
    }

    pub(crate) fn algorithm(&self) -> &'static str {
        self.algorithm
    }

    pub(crate) fn sign(&self, data: &[u8]) -> Result<Vec<u8>, KeyError> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, data, &mut signature)
                    .map_err(|_| KeyError::Signature)?;
                Ok(signature)
            }
            Pair::Ec(pair) => {
                let signature = pair.sign(&random, data).map_err(|_| KeyError::Signature)?;
                Ok(signature.as_ref().to_vec())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::csr::{CertificateKey, KeyKind};
    use aws_lc_rs::signature::{self, UnparsedPublicKey};

    #[test]
    fn what_is_signed_can_be_verified() {
        for (kind, algorithm) in [
            (KeyKind::Rsa(2048), "RS256"),
            (KeyKind::P256, "ES256"),
            (KeyKind::P384, "ES384"),
            (KeyKind::P521, "ES512"),
        ] {
            let made = CertificateKey::generate(kind).unwrap();
            let key = AccountKey::new(&made.der()).unwrap();
            assert_eq!(key.algorithm(), algorithm);
            let signature = key.sign(b"text").unwrap();
            let verification: &dyn signature::VerificationAlgorithm = match kind {
                KeyKind::Rsa(_) => &signature::RSA_PKCS1_2048_8192_SHA256,
                KeyKind::P256 => &signature::ECDSA_P256_SHA256_FIXED,
                KeyKind::P384 => &signature::ECDSA_P384_SHA384_FIXED,
                KeyKind::P521 => &signature::ECDSA_P521_SHA512_FIXED,
            };
            let public = match &key.pair {
                Pair::Rsa(pair) => pair.public_key().as_ref().to_vec(),
                Pair::Ec(pair) => pair.public_key().as_ref().to_vec(),
            };
            UnparsedPublicKey::new(verification, public).verify(b"text", &signature).unwrap();
        }
    }

    /// The key of RFC 7638, 3.1.
    #[test]
    fn thumbprints_are_those_of_the_rfc() {
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECP\
                 ebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY\
                 368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0f\
                 M4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        let canonical = format!(r#"{{"e":"AQAB","kty":"RSA","n":"{n}"}}"#);
        let thumbprint = base64url(digest(&SHA256, canonical.as_bytes()));
        assert_eq!(thumbprint, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }
}
