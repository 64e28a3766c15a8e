//! `generate-certificates`: certificates for names that there is none for, signed by an authority of one's own.

mod signer;

use std::sync::Arc;

use parking_lot::Mutex;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData, SerialNumber,
};
use rustc_hash::FxHashMap;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use x509_parser::time::ASN1Time;

use crate::listener::{Chosen, Profile};
use crate::material::{Certificate, Parts};
use crate::names;
use signer::Signer;

/// How long before now they are valid, in seconds: clocks of clients differ.
const SINCE: i64 = 24 * 3600;
/// How long from now on.
const FOR: i64 = 365 * 24 * 3600;
/// Bytes of a serial number (RFC 5280, 4.1.2.2: at most 20).
const SERIAL: usize = 16;

/// An authority, and what it has signed.
pub struct Forge {
    issuer: Issuer<'static, Signer>,
    /// Its name, which those that it signs have, too: a common name has 64 characters at most.
    subject: DistinguishedName,
    made: Mutex<Made>,
    /// `tune.ssl.ssl-ctx-cache-size`.
    limit: usize,
}

#[derive(Default)]
struct Made {
    certificates: FxHashMap<Box<str>, Entry>,
    /// Uses so far.
    clock: u64,
}

struct Entry {
    chosen: Chosen,
    base: Arc<Certificate>,
    profile: Arc<Profile>,
    used: u64,
}

impl std::fmt::Debug for Forge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Forge").field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl Forge {
    /// An authority that remembers `limit` certificates.
    ///
    /// # Errors
    /// Certificate or key cannot be used.
    pub fn new(
        authority: &CertificateDer<'_>,
        key: &PrivateKeyDer<'_>,
        limit: usize,
    ) -> Result<Self, String> {
        let parsed = names::parse(authority).ok_or("the certificate cannot be read")?;
        let key = Signer::new(key).map_err(|error| error.to_string())?;
        if parsed.public_key().raw != key.subject_public_key_info() {
            return Err("private key and certificate do not match".to_owned());
        }
        let mut subject = DistinguishedName::new();
        for attribute in parsed.subject().iter_attributes() {
            let oid: Option<Vec<u64>> = attribute.attr_type().iter().map(Iterator::collect);
            let (Some(oid), Ok(value)) = (oid, attribute.as_str()) else { continue };
            subject.push(DnType::from_oid(&oid), value);
        }
        let issuer = Issuer::from_ca_cert_der(authority, key).map_err(|error| error.to_string())?;
        Ok(Self { issuer, subject, made: Mutex::default(), limit: limit.max(1) })
    }

    /// A certificate for a host name with the key of `base`. `None`: it could not be made.
    pub(crate) fn choose(
        &self,
        name: &str,
        base: &Arc<Certificate>,
        profile: &Arc<Profile>,
    ) -> Option<Chosen> {
        let name = name.to_ascii_lowercase();
        let mut made = self.made.lock();
        made.clock += 1;
        let now = made.clock;
        let same =
            |entry: &Entry| Arc::ptr_eq(&entry.base, base) && Arc::ptr_eq(&entry.profile, profile);
        if let Some(entry) = made.certificates.get_mut(name.as_str()).filter(|entry| same(entry)) {
            entry.used = now;
            return Some(entry.chosen.clone());
        }
        let certificate = Arc::new(self.make(&name, base)?);
        let config = profile.config(&certificate)?;
        let chosen = Chosen { config, certificate, name: name.as_str().into() };
        if made.certificates.len() >= self.limit {
            let oldest = made.certificates.iter().min_by_key(|(_, entry)| entry.used);
            let oldest = oldest.map(|(name, _)| name.clone());
            oldest.map(|name| made.certificates.remove(&name));
        }
        let entry = Entry {
            chosen: chosen.clone(),
            base: base.clone(),
            profile: profile.clone(),
            used: now,
        };
        made.certificates.insert(name.into(), entry);
        Some(chosen)
    }

    fn make(&self, name: &str, base: &Certificate) -> Option<Certificate> {
        let key = KeyPair::try_from(&base.key_der).ok()?;
        let mut params = CertificateParams::new(vec![name.to_owned()]).ok()?;
        params.distinguished_name = self.subject.clone();
        let now = i64::try_from(UnixTime::now().as_secs()).ok()?;
        params.not_before = ASN1Time::from_timestamp(now - SINCE).ok()?.to_datetime();
        params.not_after = ASN1Time::from_timestamp(now + FOR).ok()?.to_datetime();
        let mut serial = [0; SERIAL];
        aws_lc_rs::rand::fill(&mut serial).ok()?;
        // Positive.
        serial[0] &= 0x7f;
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        // Its own key is told apart from the authority's: their names are the same.
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let signed = params.signed_by(&key, &self.issuer).ok()?;
        let own = Parts::new(vec![signed.der().clone()], Some(base.key_der.clone_key()));
        Certificate::new(own, None, None).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listener::{Options, Shared};
    use crate::material::tests::certificate;

    #[test]
    fn certificates_are_signed_with_sha256() {
        use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
        use rcgen::SignatureAlgorithm;
        let check = |kind: &'static SignatureAlgorithm,
                     with: &'static dyn VerificationAlgorithm| {
            let key = KeyPair::generate_for(kind).unwrap();
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            let ca = params.self_signed(&key).unwrap();
            let secret = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
            let forge = Forge::new(ca.der(), &secret, 2).unwrap();
            let base = Arc::new(certificate("base.org", &[]));
            let made = forge.make("a.org", &base).unwrap();
            let parsed = names::parse(&made.chain[0]).unwrap();
            UnparsedPublicKey::new(with, key.public_key_raw())
                .verify(parsed.tbs_certificate.as_ref(), &parsed.signature_value.data)
                .unwrap();
            assert_eq!(parsed.signature_algorithm.algorithm.to_id_string(), "1.2.840.10045.4.3.2");
        };
        check(&rcgen::PKCS_ECDSA_P256_SHA256, &signature::ECDSA_P256_SHA256_ASN1);
        check(&rcgen::PKCS_ECDSA_P384_SHA384, &signature::ECDSA_P384_SHA256_ASN1);
    }

    #[test]
    fn certificates_are_made_once_for_a_name() {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "forging");
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let ca = params.self_signed(&key).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let forge = Forge::new(ca.der(), &key, 2).unwrap();
        let base = Arc::new(certificate("base.org", &[]));
        let profile = Arc::new(Profile::new(&Options::default(), &Shared::default()).unwrap());
        let of = |name: &str| forge.choose(name, &base, &profile).unwrap().certificate;
        let first = of("A.org");
        assert!(
            names::is_for(&first.chain[0], "a.org") && !names::is_for(&first.chain[0], "b.org")
        );
        assert!(names::is_issuer(ca.der(), &first.chain[0]));
        assert_eq!(first.key_der.secret_der(), base.key_der.secret_der());
        assert!(Arc::ptr_eq(&first, &of("a.org")));
        let second = of("b.org");
        of("a.org");
        of("c.org");
        assert!(Arc::ptr_eq(&first, &of("a.org")), "used last but one");
        assert!(!Arc::ptr_eq(&second, &of("b.org")), "there is room for two");
        let other = Arc::new(certificate("other.org", &[]));
        let anew = forge.choose("a.org", &other, &profile).unwrap().certificate;
        assert!(!Arc::ptr_eq(&first, &anew));
        let wrong = Forge::new(ca.der(), &base.key_der, 2).map(drop);
        assert_eq!(wrong, Err("private key and certificate do not match".to_owned()));
    }
}
