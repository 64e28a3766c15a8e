//! OCSP: which certificate a response is about, whether it may be shown to clients, and requests for one (RFC 6960).

mod der;

use std::fmt;

use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;

use crate::names;
use crate::verify::{is_valid_signature, is_within};
use der::{CONTEXT_0, CONTEXT_1, CONTEXT_2, Der, PRIMITIVE_0, PRIMITIVE_2, SEQUENCE, wrap};

const SHA1: &[u8] = &[0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a];
const SHA1_WITH_NULL: &[u8] = &[0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00];
/// `id-pkix-ocsp-basic`.
const BASIC: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01];
/// `id-ad-ocsp`.
const RESPONDER: &str = "1.3.6.1.5.5.7.48.1";
/// How far clocks of responders may be ahead, in seconds.
const SKEW: i64 = 300;

/// Which certificate a response is about: hashes of its issuer, and its serial number, as DER. Responses may have other
/// hashes than SHA-1; they are kept as they are then.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(Box<[u8]>);

impl fmt::Display for Id {
    /// In hexadecimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Id({self})")
    }
}

/// The fields of an [`Id`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdFields<'a> {
    pub issuer_name_hash: &'a [u8],
    pub issuer_key_hash: &'a [u8],
    pub serial: &'a [u8],
}

impl Id {
    /// The identity of a certificate.
    #[must_use]
    pub fn of(certificate: &[u8], issuer: &[u8]) -> Option<Self> {
        let (certificate, issuer) = (names::parse(certificate)?, names::parse(issuer)?);
        if issuer.subject().as_raw() != certificate.issuer().as_raw() {
            return None;
        }
        let name = sha1(issuer.subject().as_raw());
        let key = sha1(&issuer.public_key().subject_public_key.data);
        Some(Self::new(&name, &key, certificate.raw_serial()))
    }

    fn new(name: &[u8], key: &[u8], serial: &[u8]) -> Self {
        let fields = [
            SHA1_WITH_NULL.to_vec(),
            wrap(der::OCTETS, name),
            wrap(der::OCTETS, key),
            wrap(der::INTEGER, serial),
        ];
        Self(wrap(SEQUENCE, &fields.concat()).into())
    }

    /// Of a response: with the parameter that OpenSSL gives to SHA-1.
    fn read(content: Der<'_>, whole: &[u8]) -> Option<Self> {
        let mut content = content;
        let mut algorithm = content.take(SEQUENCE)?;
        let oid = algorithm.take(der::OID)?;
        let (name, key) = (content.take(der::OCTETS)?, content.take(der::OCTETS)?);
        let serial = content.take(der::INTEGER)?;
        Some(if oid.rest() == &SHA1[2..] {
            Self::new(name.rest(), key.rest(), serial.rest())
        } else {
            Self(whole.into())
        })
    }

    /// Its fields.
    #[must_use]
    pub fn fields(&self) -> Option<IdFields<'_>> {
        let mut content = Der::new(&self.0).take(SEQUENCE)?;
        content.take(SEQUENCE)?;
        Some(IdFields {
            issuer_name_hash: content.take(der::OCTETS)?.rest(),
            issuer_key_hash: content.take(der::OCTETS)?.rest(),
            serial: content.take(der::INTEGER)?.rest(),
        })
    }

    /// A request for a response about it.
    #[must_use]
    pub fn request(&self) -> Vec<u8> {
        (0..4).fold(self.0.to_vec(), |inner, _| wrap(SEQUENCE, &inner))
    }
}

fn sha1(data: &[u8]) -> Vec<u8> {
    use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
    digest(&SHA1_FOR_LEGACY_USE_ONLY, data).as_ref().to_vec()
}

/// Where a certificate's responder is: the first address in it.
#[must_use]
pub fn responder(certificate: &[u8]) -> Option<String> {
    let certificate = names::parse(certificate)?;
    certificate.extensions().iter().find_map(|extension| {
        let ParsedExtension::AuthorityInfoAccess(info) = extension.parsed_extension() else {
            return None;
        };
        info.iter().find_map(|entry| match &entry.access_location {
            GeneralName::URI(uri) if entry.access_method.to_id_string() == RESPONDER => {
                Some((*uri).to_owned())
            }
            _ => None,
        })
    })
}

/// What became of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Good,
    /// When, in seconds since 1970, and the number of the reason.
    Revoked(i64, Option<u8>),
    Unknown,
}

/// Who signed a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signer<'a> {
    /// DER of a name.
    Name(&'a [u8]),
    KeyHash(&'a [u8]),
}

/// A response about one certificate.
#[derive(Clone, Debug)]
pub struct Response<'a> {
    pub signer: Signer<'a>,
    /// Seconds since 1970, as all times here.
    pub produced_at: i64,
    pub id: Id,
    pub status: Status,
    pub this_update: i64,
    pub next_update: Option<i64>,
    /// Object identifier of the signature's algorithm, its content.
    pub algorithm: &'a [u8],
    signed: &'a [u8],
    signature: &'a [u8],
    certificates: Vec<&'a [u8]>,
}

/// Why a response cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OcspError {
    #[error("Unable to parse OCSP response")]
    Unreadable,
    #[error("OCSP response status not successful")]
    NotSuccessful,
    #[error("OCSP response ignored because contains {0} SingleResponses, expected 1")]
    Count(usize),
    #[error("OCSP single response: certificate status is unknown")]
    UnknownStatus,
    #[error("OCSP single response: missing nextupdate")]
    NoNextUpdate,
    #[error("OCSP single response: no longer valid")]
    Expired,
    #[error("OCSP single response: not valid yet")]
    TooEarly,
    #[error("OCSP single response: Certificate ID does not match certificate and issuer")]
    OtherCertificate,
    #[error("OCSP single response: Certificate ID does not match any certificate or issuer")]
    NoCertificate,
    #[error("OCSP response is not signed by the issuer or in its name")]
    Signature,
}

fn seconds(time: Der<'_>, whole: &[u8]) -> Option<i64> {
    let _ = time;
    ASN1Time::from_der(whole).ok().map(|(_, time)| time.timestamp())
}

impl<'a> Response<'a> {
    /// Reads a response.
    ///
    /// # Errors
    /// It is none, tells of a failure, or is about more than one certificate.
    pub fn parse(data: &'a [u8]) -> Result<Self, OcspError> {
        let mut outer = Der::new(data).take(SEQUENCE).ok_or(OcspError::Unreadable)?;
        let status = outer.take(der::ENUMERATED).ok_or(OcspError::Unreadable)?;
        if status.rest() != [0] {
            return Err(OcspError::NotSuccessful);
        }
        let basic = (|| {
            let mut bytes = outer.take(CONTEXT_0)?.take(SEQUENCE)?;
            let kind = bytes.take(der::OID)?;
            let content = bytes.take(der::OCTETS)?;
            (kind.rest() == BASIC).then_some(content)
        })();
        let mut basic =
            basic.and_then(|mut content| content.take(SEQUENCE)).ok_or(OcspError::Unreadable)?;
        let (mut data, signed) = basic.take_whole(SEQUENCE).ok_or(OcspError::Unreadable)?;
        let _version = data.take(CONTEXT_0);
        let mut read = || {
            let signer = match data.take(CONTEXT_1) {
                Some(name) => Signer::Name(name.rest()),
                None => Signer::KeyHash(data.take(CONTEXT_2)?.take(der::OCTETS)?.rest()),
            };
            let (time, whole) = data.take_whole(der::TIME)?;
            let mut list = data.take(SEQUENCE)?;
            let first = list.take(SEQUENCE)?;
            let mut more = 0;
            while list.take(SEQUENCE).is_some() {
                more += 1;
            }
            let mut algorithm = basic.take(SEQUENCE)?;
            let signature = basic.take(der::BITS)?;
            let mut certificates = Vec::new();
            if let Some(mut list) = basic.take(CONTEXT_0).and_then(|mut all| all.take(SEQUENCE)) {
                while let Some((_, whole)) = list.take_whole(SEQUENCE) {
                    certificates.push(whole);
                }
            }
            let algorithm = algorithm.take(der::OID)?.rest();
            let signature = signature.rest().strip_prefix(&[0])?;
            let produced_at = seconds(time, whole)?;
            Some((signer, produced_at, first, more, algorithm, signature, certificates))
        };
        let (signer, produced_at, mut single, more, algorithm, signature, certificates) =
            read().ok_or(OcspError::Unreadable)?;
        if more > 0 {
            return Err(OcspError::Count(more + 1));
        }
        let mut of_single = || {
            let (id, whole) = single.take_whole(SEQUENCE)?;
            let id = Id::read(id, whole)?;
            let status = if single.take(PRIMITIVE_0).is_some() {
                Status::Good
            } else if single.take(PRIMITIVE_2).is_some() {
                Status::Unknown
            } else {
                let mut revoked = single.take(CONTEXT_1)?;
                let (time, whole) = revoked.take_whole(der::TIME)?;
                let reason = revoked.take(CONTEXT_0).and_then(|mut r| r.take(der::ENUMERATED));
                let reason = reason.and_then(|reason| reason.rest().first().copied());
                Status::Revoked(seconds(time, whole)?, reason)
            };
            let (time, whole) = single.take_whole(der::TIME)?;
            let this_update = seconds(time, whole)?;
            let next_update = match single.take(CONTEXT_0) {
                None => None,
                Some(mut next) => {
                    let (time, whole) = next.take_whole(der::TIME)?;
                    Some(seconds(time, whole)?)
                }
            };
            Some((id, status, this_update, next_update))
        };
        let (id, status, this_update, next_update) = of_single().ok_or(OcspError::Unreadable)?;
        Ok(Self {
            signer,
            produced_at,
            id,
            status,
            this_update,
            next_update,
            algorithm,
            signed,
            signature,
            certificates,
        })
    }

    /// Until when it may be shown to clients, in seconds since 1970.
    ///
    /// # Errors
    /// It may not be shown, or not at this time.
    pub fn expires(&self, now: i64) -> Result<i64, OcspError> {
        if self.status == Status::Unknown {
            return Err(OcspError::UnknownStatus);
        }
        let next = self.next_update.ok_or(OcspError::NoNextUpdate)?;
        if next < now {
            return Err(OcspError::Expired);
        }
        if self.this_update > now + SKEW {
            return Err(OcspError::TooEarly);
        }
        Ok(next)
    }

    /// Whether `issuer` signed it, or one whom `issuer` has given that right (RFC 6960, 4.2.2.2).
    ///
    /// # Errors
    /// Neither did.
    pub fn verify(&self, issuer: &CertificateDer<'_>, now: i64) -> Result<(), OcspError> {
        let issuer = names::parse(issuer).ok_or(OcspError::Signature)?;
        let delegates = self.certificates.iter().filter_map(|der| names::parse(der));
        let may_sign = |one: &X509Certificate<'_>| {
            one.issuer().as_raw() == issuer.subject().as_raw()
                && one
                    .extended_key_usage()
                    .ok()
                    .flatten()
                    .is_some_and(|use_| use_.value.ocsp_signing)
                && is_within(one, now)
                && is_valid_signature(
                    &issuer,
                    one.signature_algorithm.algorithm.as_bytes(),
                    one.tbs_certificate.as_ref(),
                    one.signature_value.as_ref(),
                )
        };
        let is_signer = |one: &X509Certificate<'_>| match self.signer {
            Signer::Name(name) => one.subject().as_raw() == name,
            Signer::KeyHash(hash) => sha1(&one.public_key().subject_public_key.data) == hash,
        };
        let signed_by = |one: &X509Certificate<'_>| {
            is_signer(one) && is_valid_signature(one, self.algorithm, self.signed, self.signature)
        };
        if signed_by(&issuer) || delegates.into_iter().any(|one| signed_by(&one) && may_sign(&one))
        {
            Ok(())
        } else {
            Err(OcspError::Signature)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // Made by `openssl ocsp` for `leaf.der`, by its issuer or by one whom that gave the right to.
    const GOOD: &[u8] = include_bytes!("../testdata/good.ocsp");
    const REVOKED: &[u8] = include_bytes!("../testdata/revoked.ocsp");
    const DELEGATE: &[u8] = include_bytes!("../testdata/delegate.ocsp");
    const ENDLESS: &[u8] = include_bytes!("../testdata/endless.ocsp");
    const ISSUER: &[u8] = include_bytes!("../testdata/issuer.der");
    const LEAF: &[u8] = include_bytes!("../testdata/leaf.der");
    /// 2026-12-01.
    const NOW: i64 = 1_796_083_200;

    #[test]
    fn a_response_is_about_one_certificate() {
        let id = Id::of(LEAF, ISSUER).unwrap();
        let text = id.to_string();
        assert!(
            text.starts_with(
                "304d300906052b0e03021a05000414d08ce9dae861987de0483e887955106165f6f7d4"
            )
        );
        assert_eq!(Id::of(LEAF, LEAF), None);
        for response in [GOOD, REVOKED, DELEGATE, ENDLESS] {
            assert_eq!(Response::parse(response).unwrap().id, id);
        }
        assert_eq!(id.fields().unwrap().issuer_key_hash.len(), 20);
        // A sequence of sequences around it, as `openssl ocsp -reqout` writes it.
        assert_eq!(id.request().len(), id.0.len() + 8);
        assert_eq!(responder(LEAF).as_deref(), Some("http://127.0.0.1:18888/ocsp"));
        assert_eq!(responder(ISSUER), None);
    }

    #[test]
    fn what_may_be_shown() {
        let check = |data, now, expected| {
            assert_eq!(Response::parse(data).unwrap().expires(now), expected);
        };
        check(GOOD, NOW, Ok(1_796_656_226));
        check(GOOD, NOW + 8 * 86_400, Err(OcspError::Expired));
        check(GOOD, NOW - 86_400, Err(OcspError::TooEarly));
        check(ENDLESS, NOW, Err(OcspError::NoNextUpdate));
        let revoked = Response::parse(REVOKED).unwrap();
        assert!(matches!(revoked.status, Status::Revoked(_, Some(1))), "{:?}", revoked.status);
        assert!(revoked.expires(NOW).is_ok());
    }

    #[test]
    fn who_may_sign() {
        let issuer = CertificateDer::from(ISSUER);
        for data in [GOOD, REVOKED, DELEGATE] {
            Response::parse(data).unwrap().verify(&issuer, NOW).unwrap();
        }
        let other = CertificateDer::from(LEAF);
        let outcome = Response::parse(GOOD).unwrap().verify(&other, NOW);
        assert_eq!(outcome, Err(OcspError::Signature));
        // The delegate's certificate has an end, too.
        let late = Response::parse(DELEGATE).unwrap().verify(&issuer, NOW + 4000 * 86_400);
        assert_eq!(late, Err(OcspError::Signature));
        for at in 0..GOOD.len() {
            let mut wrong = GOOD.to_vec();
            wrong[at] ^= 1;
            let Ok(response) = Response::parse(&wrong) else { continue };
            let same = Response::parse(GOOD).unwrap();
            let told = |r: &Response<'_>| (r.status, r.next_update, r.id.clone());
            assert!(
                response.verify(&issuer, NOW).is_err() || told(&response) == told(&same),
                "byte {at}"
            );
        }
    }

    #[test]
    fn failures_of_responders() {
        let parse = |data: &[u8]| Response::parse(data).map(drop);
        // `tryLater`.
        assert_eq!(parse(&[0x30, 0x03, 0x0a, 0x01, 0x03]), Err(OcspError::NotSuccessful));
        assert_eq!(parse(b"abc"), Err(OcspError::Unreadable));
        for cut in 0..GOOD.len() {
            assert!(parse(&GOOD[..cut]).is_err(), "cut at {cut}");
        }
    }

    proptest! {
        #[test]
        fn nothing_breaks_the_reader(data in proptest::collection::vec(any::<u8>(), 0..200), at in 0..600usize) {
            let _ = Response::parse(&data);
            let mut mixed = GOOD.to_vec();
            mixed.truncate(at);
            mixed.extend(&data);
            if let Ok(response) = Response::parse(&mixed) {
                let _ = response.verify(&CertificateDer::from(ISSUER), NOW);
            }
        }
    }
}
