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
use x509_parser::extensions::{ExtendedKeyUsage, KeyUsage, X509Extension};
use x509_parser::oid_registry::{self, Oid};

use super::{Chain, Flaw, Trust, Whose, code, crl, validity_of, within};
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
    let algorithm = certificate.signature_algorithm.algorithm.as_bytes();
    let (tbs, signature) =
        (certificate.tbs_certificate.as_ref(), certificate.signature_value.as_ref());
    is_signature(issuer, algorithm, algorithms, tbs, signature)
}

/// Whether the key of a certificate signed a message, by an algorithm of this object identifier.
pub(crate) fn is_valid_signature(
    signer: &X509Certificate<'_>,
    algorithm: &[u8],
    message: &[u8],
    signature: &[u8],
) -> bool {
    let all = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms;
    is_signature(signer, algorithm, all, message, signature)
}

fn is_signature(
    signer: &X509Certificate<'_>,
    oid: &[u8],
    algorithms: WebPkiSupportedAlgorithms,
    message: &[u8],
    signature: &[u8],
) -> bool {
    let key = spki(signer);
    let Ok(key) = RawPublicKeyEntity::try_from(&key) else { return false };
    // DER of an object identifier: its type, its length, itself.
    let is = |algorithm: &&&'static dyn SignatureVerificationAlgorithm| {
        algorithm.signature_alg_id().as_ref().get(2..2 + oid.len()) == Some(oid)
    };
    let mut fitting = algorithms.all.iter().filter(is);
    fitting.any(|algorithm| key.verify_signature(*algorithm, message, signature).is_ok())
}

/// Signatures that are checked for one certificate: a peer chooses how many certificates it sends.
const SIGNATURES: usize = 32;
/// Certificates between the peer's and an authority.
const BETWEEN: usize = 8;

type Parsed<'a> = X509Certificate<'a>;

/// A search for a chain that ends at an authority.
struct Walk<'a> {
    chain: &'a Chain<'a>,
    roots: Vec<Parsed<'a>>,
    between: Vec<Parsed<'a>>,
    signatures: usize,
    /// Of the longest chain that was tried.
    flaw: Flaw,
}

impl<'a> Walk<'a> {
    fn is_signed(&mut self, certificate: &Parsed<'_>, issuer: &Parsed<'_>) -> bool {
        let Some(left) = self.signatures.checked_sub(1) else { return false };
        self.signatures = left;
        is_signed_by(certificate, issuer, self.chain.algorithms)
    }

    /// Completes `path`, which has the peer's certificate first, and returns the authority it ends at.
    fn climb(&mut self, path: &mut Vec<Parsed<'a>>) -> Option<Parsed<'a>> {
        let top = path.last()?.clone();
        let name = top.issuer().as_raw();
        let depth = u8::try_from(path.len() - 1).unwrap_or(u8::MAX);
        let mut tried = false;
        let named = |list: &[Parsed<'a>]| -> Vec<Parsed<'a>> {
            list.iter().filter(|one| one.subject().as_raw() == name).cloned().collect()
        };
        for root in named(&self.roots) {
            tried = true;
            if self.is_signed(&top, &root) {
                return Some(root);
            }
        }
        let self_signed = top.subject().as_raw() == name;
        if path.len() <= BETWEEN && !self_signed {
            for issuer in named(&self.between) {
                let seen = path.iter().any(|one| one.as_raw() == issuer.as_raw());
                if seen || !self.is_signed(&top, &issuer) {
                    tried = true;
                    continue;
                }
                path.push(issuer);
                if let Some(root) = self.climb(path) {
                    return Some(root);
                }
                path.pop();
            }
        }
        if self.flaw.code == code::OK || depth > self.flaw.depth {
            let code = match (self_signed, depth) {
                (true, 0) if !tried => code::DEPTH_ZERO_SELF_SIGNED_CERT,
                (true, _) if !tried => code::SELF_SIGNED_CERT_IN_CHAIN,
                _ if tried => code::CERT_SIGNATURE_FAILURE,
                _ => code::UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
            };
            self.flaw = Flaw { code, depth };
        }
        None
    }
}

/// Judges a certificate by a walk over those above it.
pub(super) fn attempt(
    trust: &Trust,
    chain: &Chain<'_>,
    now: UnixTime,
    with_crls: bool,
) -> Result<(), Flaw> {
    let at = |code, depth| Flaw { code, depth };
    let leaf = names::parse(chain.leaf).ok_or_else(|| at(code::UNSPECIFIED, 0))?;
    let roots = trust.certificates.iter().filter(|der| names::is_issuer(der, der));
    let between = chain.intermediates.iter().chain(&trust.between);
    let mut walk = Walk {
        chain,
        roots: roots.filter_map(|der| names::parse(der)).collect(),
        between: between.filter_map(|der| names::parse(der)).collect(),
        signatures: SIGNATURES,
        flaw: at(code::OK, 0),
    };
    let mut path = vec![leaf];
    let Some(root) = walk.climb(&mut path) else { return Err(walk.flaw) };
    for (depth, certificate) in path.iter().enumerate() {
        fits(certificate, depth, chain.whose).map_err(|code| at(code, depth as u8))?;
    }
    if let Some(lists) = trust.lists().filter(|_| with_crls) {
        for (depth, certificate) in path.iter().enumerate() {
            crl::check(lists, certificate, now, depth as u8)?;
        }
    }
    let all: Vec<_> = path.iter().chain([&root]).collect();
    for (depth, certificate) in all.into_iter().enumerate().rev() {
        within(validity_of(certificate), now).map_err(|code| at(code, depth as u8))?;
    }
    super::note_root(root.subject().as_raw());
    Ok(())
}

/// Extensions that are looked at here.
const KNOWN: [Oid<'static>; 6] = [
    oid_registry::OID_X509_EXT_BASIC_CONSTRAINTS,
    oid_registry::OID_X509_EXT_KEY_USAGE,
    oid_registry::OID_X509_EXT_EXTENDED_KEY_USAGE,
    oid_registry::OID_X509_EXT_SUBJECT_ALT_NAME,
    oid_registry::OID_X509_EXT_SUBJECT_KEY_IDENTIFIER,
    oid_registry::OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER,
];

/// Whether a certificate may stand at this depth, as far as its extensions tell (RFC 5280, 6.1).
fn fits(certificate: &Parsed<'_>, depth: usize, whose: Whose) -> Result<(), u8> {
    let broken = |_| code::UNSPECIFIED;
    // Restrictions of names are left to the library's own judge.
    let unknown = |one: &&X509Extension<'_>| one.critical && !KNOWN.contains(&one.oid);
    if certificate.extensions().iter().any(|one| unknown(&one)) {
        return Err(code::UNHANDLED_CRITICAL_EXTENSION);
    }
    let constraints = certificate.basic_constraints().map_err(broken)?.map(|one| one.value);
    let usage = certificate.key_usage().map_err(broken)?.map(|one| one.value);
    let purposes = certificate.extended_key_usage().map_err(broken)?.map(|one| one.value);
    if depth > 0 {
        if !constraints.is_some_and(|one| one.ca) || usage.is_some_and(|one| !one.key_cert_sign()) {
            return Err(code::INVALID_CA);
        }
        let below = u32::try_from(depth - 1).unwrap_or(u32::MAX);
        if constraints.and_then(|one| one.path_len_constraint).is_some_and(|most| below > most) {
            return Err(code::PATH_LENGTH_EXCEEDED);
        }
    }
    let may_sign = |usage: &KeyUsage| match whose {
        _ if depth > 0 => true,
        Whose::Client => usage.digital_signature() || usage.key_agreement(),
        Whose::Server => {
            usage.digital_signature() || usage.key_agreement() || usage.key_encipherment()
        }
    };
    let may_speak = |purposes: &ExtendedKeyUsage<'_>| match whose {
        Whose::Client => purposes.client_auth,
        Whose::Server => purposes.server_auth,
    };
    if usage.is_some_and(|usage| !may_sign(usage))
        || purposes.is_some_and(|purposes| !may_speak(purposes))
    {
        return Err(code::INVALID_PURPOSE);
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use std::time::Duration;

    // Made by OpenSSL 3.0 until 2126: its `x509 -req` without extensions makes version 1.
    const ROOT: &str = "\
        MIIBdjCCARugAwIBAgIUQaZSOiFUhMFp7iD8l1Vd84J+x6kwCgYIKoZIzj0EAwIwDzENMAsGA1UEAwwEcm9vdDAgFw0y\
        NjExMzAxNDM5MTdaGA8yMTI2MTEwNjE0MzkxN1owDzENMAsGA1UEAwwEcm9vdDBZMBMGByqGSM49AgEGCCqGSM49AwEH\
        A0IABCF8RtBy+0kFZCyR93t6Rfi3KrCFwpwudPOh1KHR1nBe1ZuDESKv9W/yYC+WEbfNtxCPz1H47gY45lRngG23Vkuj\
        UzBRMB0GA1UdDgQWBBQgMVP+3W8w/7LBPP6ZjlMpDu35JDAfBgNVHSMEGDAWgBQgMVP+3W8w/7LBPP6ZjlMpDu35JDAP\
        BgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0kAMEYCIQCjYE7OdkslmTToAMds9JycMavnDuQ/Mr/ClI+puix2TwIh\
        AMJCT8pdxkgLKj00JKy9Kex7L5W1x6sdFOvDceoykpaM";
    const BETWEEN: &str = "\
        MIIBiDCCAS6gAwIBAgIUU6UYsfBixAFYmE3fCD+tCG5eCvAwCgYIKoZIzj0EAwIwDzENMAsGA1UEAwwEcm9vdDAgFw0y\
        NjExMzAxNDM5MTdaGA8yMTI2MTEwNjE0MzkxN1owEjEQMA4GA1UEAwwHYmV0d2VlbjBZMBMGByqGSM49AgEGCCqGSM49\
        AwEHA0IABEV4/N/aGveo5HJsHGpr7XpFGyt2Y8BW1kPx2gS0vv+DU1G5kjzv/aY53c3nedK+GgE5NiSlpFleTGRbWZfs\
        1bmjYzBhMA8GA1UdEwEB/wQFMAMBAf8wDgYDVR0PAQH/BAQDAgEGMB0GA1UdDgQWBBT7jGweaz7GelMHEqNOG4PUbZVv\
        fjAfBgNVHSMEGDAWgBQgMVP+3W8w/7LBPP6ZjlMpDu35JDAKBggqhkjOPQQDAgNIADBFAiANCu+9aqQBjiWPwHMnTNYh\
        D3+WAM/dADlilqrJx8VtogIhAI3CEVplqTsH8HkpjnGO3xhrkSEfrClxF+4kzX1tMmOK";
    const NO_AUTHORITY: &str = "\
        MIIBdjCCARugAwIBAgIUU6UYsfBixAFYmE3fCD+tCG5eCvEwCgYIKoZIzj0EAwIwDzENMAsGA1UEAwwEcm9vdDAgFw0y\
        NjExMzAxNDM5MTdaGA8yMTI2MTEwNjE0MzkxN1owEjEQMA4GA1UEAwwHYmV0d2VlbjBZMBMGByqGSM49AgEGCCqGSM49\
        AwEHA0IABEV4/N/aGveo5HJsHGpr7XpFGyt2Y8BW1kPx2gS0vv+DU1G5kjzv/aY53c3nedK+GgE5NiSlpFleTGRbWZfs\
        1bmjUDBOMAwGA1UdEwEB/wQCMAAwHQYDVR0OBBYEFPuMbB5rPsZ6UwcSo04bg9RtlW9+MB8GA1UdIwQYMBaAFCAxU/7d\
        bzD/ssE8/pmOUykO7fkkMAoGCCqGSM49BAMCA0kAMEYCIQDwN6JXYq+ZhxpuPl1qbPNW7F2TMGQDV9/WEXBnENbekgIh\
        AKT5Gei1uHQdEUgocJNfcHS5JuUvg8z3wGGzuyTXOQnD";
    const LEAF: &str = "\
        MIIBHTCBxAIUeZg1/E7q+YlXaBzT3Uh8zeo4TW8wCgYIKoZIzj0EAwIwEjEQMA4GA1UEAwwHYmV0d2VlbjAgFw0yNjEx\
        MzAxNDM5MTdaGA8yMTI2MTEwNjE0MzkxN1owDzENMAsGA1UEAwwEbGVhZjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IA\
        BNVCGnUsq1uBGid6fpj7wDsmctqikRHaNSvv5KJD5LSiTXN+m4X7k3jE4uCxVzZBXN6PbwzKCl5WarKukT7iudQwCgYI\
        KoZIzj0EAwIDSAAwRQIhALjLx7XFPRdxMg6Q0dcrQSRhyRIjLno3qzIDsKmMmQd4AiASNnPBoc9RcH7Y7qA/q/DT51I6\
        8X8LEX5GfNstzy/tBw==";

    fn der(text: &str) -> CertificateDer<'static> {
        base64::engine::general_purpose::STANDARD.decode(text).unwrap().into()
    }

    /// Expected is an error and its depth.
    #[track_caller]
    fn check(trusted: &[&str], sent: &[&str], leaf: &str, year: u64, expected: (u8, u8)) {
        let trust = Trust::of(trusted.iter().map(|text| der(text)).collect());
        let intermediates: Vec<_> = sent.iter().map(|text| der(text)).collect();
        let chain = Chain {
            leaf: &der(leaf),
            intermediates: &intermediates,
            algorithms: rustls::crypto::aws_lc_rs::default_provider()
                .signature_verification_algorithms,
            whose: Whose::Client,
        };
        let now = UnixTime::since_unix_epoch(Duration::from_secs((year - 1970) * 31_556_952));
        let got = trust.attempt(&chain, now, true).err();
        let got = got.map_or((0, 0), |flaw| (flaw.code, flaw.depth));
        assert_eq!(got, expected);
    }

    #[test]
    fn version_1_is_below_whatever_signed_it() {
        check(&[ROOT], &[BETWEEN], LEAF, 2030, (0, 0));
        check(&[ROOT, BETWEEN], &[], LEAF, 2030, (0, 0));
        check(&[ROOT], &[NO_AUTHORITY, BETWEEN], LEAF, 2030, (code::INVALID_CA, 1));
        check(&[ROOT], &[], LEAF, 2030, (code::UNABLE_TO_GET_ISSUER_CERT_LOCALLY, 0));
        check(&[], &[BETWEEN], LEAF, 2030, (code::UNABLE_TO_GET_ISSUER_CERT_LOCALLY, 1));
        check(&[], &[BETWEEN, ROOT], LEAF, 2030, (code::SELF_SIGNED_CERT_IN_CHAIN, 2));
        check(&[ROOT], &[BETWEEN], LEAF, 2020, (code::CERT_NOT_YET_VALID, 2));
        check(&[ROOT], &[LEAF, LEAF], LEAF, 2030, (code::UNABLE_TO_GET_ISSUER_CERT_LOCALLY, 0));
    }
}
