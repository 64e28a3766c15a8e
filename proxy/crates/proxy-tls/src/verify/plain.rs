//! Certificates that the library's own judge does not look at: those of X.509 version 1, as `openssl x509 -req` makes
//! them without extensions, and those of authorities that are shown as one's own. OpenSSL takes both.

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{
    CertificateDer, SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer, UnixTime,
};
use rustls::{CertificateError, DigitallySignedStruct, Error, PeerMisbehaved, SignatureScheme};
use webpki::RawPublicKeyEntity;
use x509_parser::certificate::X509Certificate;

use super::{Chain, Flaw, Trust, code, crl, valid_at};
use crate::names;

/// The key of a certificate, as DER.
fn spki<'a>(certificate: &'a X509Certificate<'a>) -> SubjectPublicKeyInfoDer<'a> {
    SubjectPublicKeyInfoDer::from(certificate.public_key().raw)
}

/// Whether `issuer` signed `certificate`.
fn is_signed_by(
    certificate: &X509Certificate<'_>,
    issuer: &X509Certificate<'_>,
    algorithms: WebPkiSupportedAlgorithms,
) -> bool {
    let key = spki(issuer);
    let Ok(key) = RawPublicKeyEntity::try_from(&key) else { return false };
    let oid = certificate.signature_algorithm.algorithm.as_bytes();
    // DER of an object identifier: its type, its length, itself.
    let is = |algorithm: &&&'static dyn SignatureVerificationAlgorithm| {
        algorithm.signature_alg_id().as_ref().get(2..2 + oid.len()) == Some(oid)
    };
    algorithms.all.iter().filter(is).any(|algorithm| {
        let (tbs, signature) =
            (certificate.tbs_certificate.as_ref(), certificate.signature_value.as_ref());
        key.verify_signature(*algorithm, tbs, signature).is_ok()
    })
}

/// Judges a certificate that one of those trusted must have signed itself.
pub(super) fn attempt(
    trust: &Trust,
    chain: &Chain<'_>,
    now: UnixTime,
    with_crls: bool,
) -> Result<(), Flaw> {
    let at = |code, depth| Flaw { code, depth };
    let leaf = names::parse(chain.leaf).ok_or_else(|| at(code::UNSPECIFIED, 0))?;
    let named = trust.certificates.iter().filter_map(|der| {
        let issuer = names::parse(der).filter(|_| names::is_issuer(der, der))?;
        (issuer.subject().as_raw() == leaf.issuer().as_raw()).then_some((der, issuer))
    });
    let mut signed = None;
    let mut any = false;
    for (der, issuer) in named {
        any = true;
        if is_signed_by(&leaf, &issuer, chain.algorithms) {
            signed = Some((der, issuer));
            break;
        }
    }
    let Some((issuer_der, issuer)) = signed else {
        let code = if any {
            code::CERT_SIGNATURE_FAILURE
        } else if leaf.subject().as_raw() == leaf.issuer().as_raw() {
            code::DEPTH_ZERO_SELF_SIGNED_CERT
        } else {
            code::UNABLE_TO_GET_ISSUER_CERT_LOCALLY
        };
        return Err(at(code, 0));
    };
    if with_crls && !trust.crls.is_empty() {
        crl::check(&trust.crls, &leaf, now, 0)?;
    }
    valid_at(issuer_der, now).map_err(|code| at(code, 1))?;
    valid_at(chain.leaf, now).map_err(|code| at(code, 0))?;
    super::note_root(issuer.subject().as_raw());
    Ok(())
}

/// Checks the signature of a handshake with the key of a certificate, whatever its version.
pub(super) fn handshake_signature(
    algorithms: WebPkiSupportedAlgorithms,
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
    tls13: bool,
) -> Result<HandshakeSignatureValid, Error> {
    if tls13 && is_only_tls12(signed.scheme) {
        return Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into());
    }
    let certificate = names::parse(certificate).ok_or(CertificateError::BadEncoding)?;
    let key = spki(&certificate);
    let key = RawPublicKeyEntity::try_from(&key).map_err(|_| CertificateError::BadEncoding)?;
    let candidates = algorithms
        .mapping
        .iter()
        .find(|(scheme, _)| *scheme == signed.scheme)
        .map(|(_, candidates)| *candidates)
        .ok_or(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
    // In TLS 1.3 a scheme names the curve, too (RFC 8446, 4.2.3).
    let candidates = if tls13 { candidates.get(..1).unwrap_or_default() } else { candidates };
    let valid = candidates
        .iter()
        .any(|algorithm| key.verify_signature(*algorithm, message, signed.signature()).is_ok());
    if valid {
        Ok(HandshakeSignatureValid::assertion())
    } else {
        Err(CertificateError::BadSignature.into())
    }
}

/// Signatures by RSA without PSS end with TLS 1.2 (RFC 8446, 4.2.3).
fn is_only_tls12(scheme: SignatureScheme) -> bool {
    matches!(
        scheme,
        SignatureScheme::RSA_PKCS1_SHA1
            | SignatureScheme::RSA_PKCS1_SHA256
            | SignatureScheme::RSA_PKCS1_SHA384
            | SignatureScheme::RSA_PKCS1_SHA512
            | SignatureScheme::ECDSA_SHA1_Legacy
    )
}
