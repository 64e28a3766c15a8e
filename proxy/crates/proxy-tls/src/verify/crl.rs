//! Revocation lists, of both versions: `openssl ca -gencrl` makes the first without extensions.

use rustc_hash::FxHashSet;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use super::{Flaw, code};
use crate::names;

/// A list, taken as it was given: who names the file vouches for it.
#[derive(Debug)]
pub(super) struct Crl {
    /// Who made it, as DER.
    issuer: Box<[u8]>,
    /// Serial numbers without leading zeros.
    revoked: FxHashSet<Box<[u8]>>,
    /// When the next one is due, in seconds since 1970.
    next_update: Option<u64>,
}

/// Numbers may have a zero in front that keeps them positive.
fn number(serial: &[u8]) -> &[u8] {
    let zeros = serial.iter().take_while(|byte| **byte == 0).count();
    &serial[zeros..]
}

impl Crl {
    pub(super) fn parse(der: &CertificateRevocationListDer<'_>) -> Option<Self> {
        let (_, list) = CertificateRevocationList::from_der(der).ok()?;
        let revoked = list.iter_revoked_certificates();
        let seconds = |time: x509_parser::time::ASN1Time| u64::try_from(time.timestamp()).ok();
        Some(Self {
            issuer: list.issuer().as_raw().into(),
            revoked: revoked.map(|one| number(one.raw_serial()).into()).collect(),
            next_update: list.next_update().and_then(seconds),
        })
    }
}

/// Looks a certificate up in the list of its issuer; there must be one, as OpenSSL has it.
pub(super) fn check(
    lists: &[Crl],
    certificate: &X509Certificate<'_>,
    now: UnixTime,
    depth: u8,
) -> Result<(), Flaw> {
    let issuer = certificate.issuer().as_raw();
    let list = lists.iter().find(|list| *list.issuer == *issuer);
    let list = list.ok_or(Flaw { code: code::UNABLE_TO_GET_CRL, depth })?;
    if list.next_update.is_some_and(|due| due < now.as_secs()) {
        return Err(Flaw { code: code::CRL_HAS_EXPIRED, depth });
    }
    if list.revoked.contains(number(certificate.raw_serial())) {
        return Err(Flaw { code: code::CERT_REVOKED, depth });
    }
    Ok(())
}

/// Looks up a certificate and those above it, the end of the chain excepted.
pub(super) fn check_chain<'a>(
    lists: &[Crl],
    leaf: &'a CertificateDer<'_>,
    above: impl Iterator<Item = &'a [u8]>,
    now: UnixTime,
) -> Result<(), Flaw> {
    let all = std::iter::once(leaf.as_ref()).chain(above);
    for (depth, der) in all.enumerate() {
        let depth = u8::try_from(depth).unwrap_or(u8::MAX);
        let certificate = names::parse(der).ok_or(Flaw { code: code::UNSPECIFIED, depth })?;
        check(lists, &certificate, now, depth)?;
    }
    Ok(())
}
