//! The key of an authority, which signs with SHA-256 on each curve that the library can.

use aws_lc_rs::digest::{Digest, SHA256, SHA256_OUTPUT_LEN, SHA384, SHA384_OUTPUT_LEN, digest};
use aws_lc_rs::signature::{ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair};
use rcgen::{
    Error, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PublicKeyData,
    SignatureAlgorithm, SigningKey,
};
use rustls::pki_types::PrivateKeyDer;

pub(super) struct Signer {
    key: KeyPair,
    /// The same key, if it is one of P-384: `rcgen` signs with SHA-384 only there.
    p384: Option<EcdsaKeyPair>,
}

impl Signer {
    pub(super) fn new(key: &PrivateKeyDer<'_>) -> Result<Self, Error> {
        let pair = KeyPair::try_from(key)?;
        let p384 = (pair.algorithm() == &PKCS_ECDSA_P384_SHA384)
            .then(|| {
                let of = &ECDSA_P384_SHA384_ASN1_SIGNING;
                EcdsaKeyPair::from_private_key_der(of, key.secret_der())
                    .map_err(|error| Error::RingKeyRejected(error.to_string()))
            })
            .transpose()?;
        Ok(Self { key: pair, p384 })
    }
}

impl PublicKeyData for Signer {
    fn subject_public_key_info(&self) -> Vec<u8> {
        self.key.subject_public_key_info()
    }

    fn der_bytes(&self) -> &[u8] {
        self.key.der_bytes()
    }

    /// That of the signatures; the curve is part of it in name only.
    fn algorithm(&self) -> &'static SignatureAlgorithm {
        if self.p384.is_some() { &PKCS_ECDSA_P256_SHA256 } else { self.key.algorithm() }
    }
}

impl SigningKey for Signer {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let Some(key) = &self.p384 else { return self.key.sign(message) };
        // ECDSA signs the number that a digest is (FIPS 186-5, 6.4.1), and zeros in front do not change that. The
        // library wants as many bytes as a digest of SHA-384 has.
        let mut number = [0; SHA384_OUTPUT_LEN];
        number[SHA384_OUTPUT_LEN - SHA256_OUTPUT_LEN..]
            .copy_from_slice(digest(&SHA256, message).as_ref());
        let number =
            Digest::import_less_safe(&number, &SHA384).map_err(|_| Error::RingUnspecified)?;
        let signature = key.sign_digest(&number).map_err(|_| Error::RingUnspecified)?;
        Ok(signature.as_ref().to_vec())
    }
}
