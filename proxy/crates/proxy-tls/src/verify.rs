//! Whether a peer's certificate can be trusted, in the terms of OpenSSL: an error number and the depth it was found at.

mod crl;
mod plain;

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{
    CertificateDer, CertificateRevocationListDer, ServerName, TrustAnchor, UnixTime,
};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use webpki::{EndEntityCert, KeyUsage};
use x509_parser::certificate::X509Certificate;

use crate::{findings, names};
use crl::Crl;
pub(crate) use plain::is_valid_signature;

/// `X509_V_ERR_*` numbers of OpenSSL that are told here.
pub mod code {
    pub const OK: u8 = 0;
    pub const UNSPECIFIED: u8 = 1;
    pub const UNABLE_TO_GET_CRL: u8 = 3;
    pub const CERT_SIGNATURE_FAILURE: u8 = 7;
    pub const CERT_NOT_YET_VALID: u8 = 9;
    pub const CERT_HAS_EXPIRED: u8 = 10;
    pub const CRL_HAS_EXPIRED: u8 = 12;
    pub const DEPTH_ZERO_SELF_SIGNED_CERT: u8 = 18;
    pub const SELF_SIGNED_CERT_IN_CHAIN: u8 = 19;
    pub const UNABLE_TO_GET_ISSUER_CERT_LOCALLY: u8 = 20;
    pub const CERT_REVOKED: u8 = 23;
    pub const PATH_LENGTH_EXCEEDED: u8 = 25;
    pub const INVALID_PURPOSE: u8 = 26;
    pub const UNHANDLED_CRITICAL_EXTENSION: u8 = 34;
    pub const PERMITTED_VIOLATION: u8 = 47;
    pub const HOSTNAME_MISMATCH: u8 = 62;
    pub const CA_MD_TOO_WEAK: u8 = 68;
    pub const INVALID_CA: u8 = 79;
}

/// Certificates that are trusted, and those that were revoked.
#[derive(Debug, Default)]
pub struct Trust {
    certificates: Vec<CertificateDer<'static>>,
    /// Those that signed themselves: where a chain may end, as OpenSSL has it.
    anchors: Vec<TrustAnchor<'static>>,
    /// The others: they complete chains.
    between: Vec<CertificateDer<'static>>,
    revoked: Option<Revoked>,
    /// Where the certificates come from, in order.
    files: Vec<Authorities>,
}

/// The certificates of one `ca-file`.
#[derive(Clone, Debug)]
pub struct Authorities {
    /// The path, or the name it was given at runtime.
    pub name: String,
    pub certificates: Vec<CertificateDer<'static>>,
}

/// The lists of one `crl-file`.
#[derive(Clone, Debug)]
pub struct Revoked {
    /// The path, or the name it was given at runtime.
    pub name: String,
    pub lists: Vec<CertificateRevocationListDer<'static>>,
    parsed: Arc<Vec<Crl>>,
}

impl Revoked {
    /// Reads lists. Without any, no certificate passes.
    ///
    /// # Errors
    /// A list cannot be used.
    pub fn new(
        name: impl Into<String>,
        lists: Vec<CertificateRevocationListDer<'static>>,
    ) -> Result<Self, String> {
        let parsed = lists.iter().map(|list| {
            Crl::parse(list).ok_or_else(|| "unusable certificate revocation list".to_owned())
        });
        let parsed = Arc::new(parsed.collect::<Result<_, _>>()?);
        Ok(Self { name: name.into(), lists, parsed })
    }
}

/// What takes the place of a file of the same name.
#[derive(Clone, Copy, Debug)]
pub enum Change<'a> {
    Authorities(&'a Authorities),
    Revoked(&'a Revoked),
}

impl Trust {
    /// Trusts the certificates of these files and what they signed, unless a list revokes it. Certificates that cannot
    /// be read are left out: bundles of systems have some.
    #[must_use]
    pub fn new(files: Vec<Authorities>, revoked: Option<Revoked>) -> Self {
        let certificates: Vec<_> =
            files.iter().flat_map(|file| &file.certificates).cloned().collect();
        let (roots, between): (Vec<_>, Vec<_>) =
            certificates.iter().cloned().partition(|der| names::is_issuer(der, der));
        let anchors = roots
            .iter()
            .filter_map(|certificate| webpki::anchor_from_trusted_cert(certificate).ok())
            .map(|anchor| anchor.to_owned())
            .collect();
        Self { certificates, anchors, between, revoked, files }
    }

    /// Trusts these certificates.
    #[must_use]
    pub fn of(certificates: Vec<CertificateDer<'static>>) -> Self {
        Self::new(vec![Authorities { name: String::new(), certificates }], None)
    }

    /// The same after a change of a file; `None` when that is none of its files.
    #[must_use]
    pub fn changed(&self, change: Change<'_>) -> Option<Self> {
        match change {
            Change::Authorities(new) => {
                let mut files = self.files.clone();
                let mut found = false;
                for file in files.iter_mut().filter(|file| file.name == new.name) {
                    file.certificates.clone_from(&new.certificates);
                    found = true;
                }
                found.then(|| Self::new(files, self.revoked.clone()))
            }
            Change::Revoked(new) => {
                let own = self.revoked.as_ref()?;
                (own.name == new.name).then(|| Self::new(self.files.clone(), Some(new.clone())))
            }
        }
    }

    /// Whether [`changed`](Self::changed) has an effect.
    #[must_use]
    pub fn has(&self, change: Change<'_>) -> bool {
        match change {
            Change::Authorities(new) => self.files.iter().any(|file| file.name == new.name),
            Change::Revoked(new) => self.revoked.as_ref().is_some_and(|own| own.name == new.name),
        }
    }

    /// Lists to look certificates up in, if there is a `crl-file`.
    fn lists(&self) -> Option<&[Crl]> {
        self.revoked.as_ref().map(|revoked| revoked.parsed.as_slice())
    }

    /// What is trusted.
    #[must_use]
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.certificates
    }

    /// Names to show to clients, so that they choose a fitting certificate.
    #[must_use]
    pub fn subjects(&self) -> Vec<DistinguishedName> {
        let subject = |der: &CertificateDer<'_>| {
            names::parse(der).map(|c| DistinguishedName::from(c.subject().as_raw().to_vec()))
        };
        self.certificates.iter().filter_map(subject).collect()
    }

    /// One attempt at the chain of a certificate.
    fn attempt(&self, chain: &Chain<'_>, now: UnixTime, with_crls: bool) -> Result<(), Flaw> {
        let is_root = names::is_issuer(chain.leaf, chain.leaf);
        if is_root && self.certificates.iter().any(|trusted| trusted == chain.leaf) {
            return valid_at(chain.leaf, now).map_err(|code| Flaw { code, depth: 0 });
        }
        let flaw = |error| self.flaw(chain, now, error);
        let leaf = match EndEntityCert::try_from(chain.leaf) {
            Ok(leaf) => leaf,
            Err(webpki::Error::UnsupportedCertVersion) => {
                return plain::attempt(self, chain, now, with_crls);
            }
            Err(error) => return Err(flaw(error)),
        };
        let sent = chain.intermediates.iter().map(|der| der.as_ref());
        let known = self.between.iter().map(|der| der.as_ref());
        let intermediates: Vec<CertificateDer<'_>> =
            sent.chain(known).map(CertificateDer::from).collect();
        let outcome = leaf.verify_for_usage(
            chain.algorithms.all,
            &self.anchors,
            &intermediates,
            now,
            chain.whose.usage(),
            None,
            None,
        );
        match outcome {
            Ok(path) => {
                if let Some(lists) = self.lists().filter(|_| with_crls) {
                    let above: Vec<_> = path.intermediate_certificates().map(|c| c.der()).collect();
                    let above = above.iter().map(|der| der.as_ref());
                    crl::check_chain(lists, chain.leaf, above, now)?;
                }
                note_root(DistinguishedName::in_sequence(&path.anchor().subject).as_ref());
                Ok(())
            }
            Err(webpki::Error::CaUsedAsEndEntity) => plain::attempt(self, chain, now, with_crls),
            Err(error) => Err(flaw(error)),
        }
    }

    /// OpenSSL's view of an error.
    fn flaw(&self, chain: &Chain<'_>, now: UnixTime, error: webpki::Error) -> Flaw {
        use webpki::Error as E;
        let at = |code, depth| Flaw { code, depth };
        let time = |fallback: u8| match valid_at(chain.leaf, now) {
            Err(code) => at(code, 0),
            Ok(()) => at(fallback, 1),
        };
        match error {
            E::CertExpired { .. } | E::InvalidCertValidity => time(code::CERT_HAS_EXPIRED),
            E::CertNotValidYet { .. } => time(code::CERT_NOT_YET_VALID),
            E::UnknownIssuer => {
                let self_signed = |der: &CertificateDer<'_>| {
                    names::parse(der).is_some_and(|c| c.subject().as_raw() == c.issuer().as_raw())
                };
                let above = chain.intermediates.iter().position(self_signed);
                match above {
                    _ if self_signed(chain.leaf) => at(code::DEPTH_ZERO_SELF_SIGNED_CERT, 0),
                    Some(position) => at(code::SELF_SIGNED_CERT_IN_CHAIN, position as u8 + 1),
                    None => at(
                        code::UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
                        chain.intermediates.len().min(usize::from(u8::MAX)) as u8,
                    ),
                }
            }
            E::InvalidSignatureForPublicKey => at(code::CERT_SIGNATURE_FAILURE, 0),
            E::EndEntityUsedAsCa => at(code::INVALID_CA, 1),
            E::CaUsedAsEndEntity => at(code::INVALID_PURPOSE, 0),
            E::PathLenConstraintViolated => at(code::PATH_LENGTH_EXCEEDED, 1),
            E::RequiredEkuNotFoundContext(_) => at(code::INVALID_PURPOSE, 0),
            E::UnsupportedCriticalExtension => at(code::UNHANDLED_CRITICAL_EXTENSION, 0),
            E::NameConstraintViolation => at(code::PERMITTED_VIOLATION, 0),
            E::UnsupportedSignatureAlgorithmContext(_)
            | E::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => at(code::CA_MD_TOO_WEAK, 0),
            _ => at(code::UNSPECIFIED, 0),
        }
    }
}

/// Tells the authority that a chain ends at.
fn note_root(subject: &[u8]) {
    findings::with(|found| found.root = Some(subject.into()));
}

struct Chain<'a> {
    leaf: &'a CertificateDer<'a>,
    intermediates: &'a [CertificateDer<'a>],
    algorithms: WebPkiSupportedAlgorithms,
    whose: Whose,
}

/// The side whose certificate is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Client,
    Server,
}

impl Whose {
    fn usage(self) -> KeyUsage {
        match self {
            Self::Client => KeyUsage::client_auth(),
            Self::Server => KeyUsage::server_auth(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Flaw {
    code: u8,
    depth: u8,
}

/// The validity in seconds since 1970.
fn validity(der: &CertificateDer<'_>) -> Option<(u64, u64)> {
    names::parse(der).map(|certificate| validity_of(&certificate))
}

fn validity_of(certificate: &X509Certificate<'_>) -> (u64, u64) {
    let of = |time: &x509_parser::time::ASN1Time| u64::try_from(time.timestamp()).unwrap_or(0);
    let validity = certificate.validity();
    (of(&validity.not_before), of(&validity.not_after))
}

fn valid_at(der: &CertificateDer<'_>, now: UnixTime) -> Result<(), u8> {
    within(validity(der).ok_or(code::UNSPECIFIED)?, now)
}

/// Whether a certificate is valid at a time in seconds since 1970.
pub(crate) fn is_within(certificate: &X509Certificate<'_>, now: i64) -> bool {
    let now = std::time::Duration::from_secs(u64::try_from(now).unwrap_or(0));
    within(validity_of(certificate), UnixTime::since_unix_epoch(now)).is_ok()
}

fn within((from, to): (u64, u64), now: UnixTime) -> Result<(), u8> {
    if now.as_secs() < from {
        return Err(code::CERT_NOT_YET_VALID);
    }
    if now.as_secs() > to { Err(code::CERT_HAS_EXPIRED) } else { Ok(()) }
}

/// Errors that do not end the handshake: `crt-ignore-err`, `ca-ignore-err`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Ignored {
    #[default]
    Nothing,
    Codes(Vec<u8>),
    All,
}

impl Ignored {
    fn has(&self, code: u8) -> bool {
        match self {
            Self::Nothing => false,
            Self::Codes(codes) => codes.contains(&code),
            Self::All => true,
        }
    }
}

/// What was found about a peer's certificate, for `ssl_c_err` and its kin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The last error: `ssl_c_verify`.
    pub result: u8,
    /// The first error of the certificate itself.
    pub crt_err: u8,
    /// The first error of one above it, and how far above.
    pub ca_err: u8,
    pub ca_err_depth: u8,
    /// The error that ended the handshake.
    pub fatal: bool,
}

impl Report {
    fn add(&mut self, flaw: Flaw) {
        self.result = flaw.code;
        if flaw.depth == 0 {
            if self.crt_err == 0 {
                self.crt_err = flaw.code;
            }
        } else if self.ca_err == 0 {
            (self.ca_err, self.ca_err_depth) = (flaw.code, flaw.depth);
        }
    }
}

/// Errors that are looked past, each at most once a kind.
const TRIES: usize = 4;

fn examine(
    trust: &Trust,
    chain: &Chain<'_>,
    now: UnixTime,
    ignored: (&Ignored, &Ignored),
) -> Report {
    let mut report = Report::default();
    let (mut at, mut with_crls) = (now, true);
    for _ in 0..TRIES {
        let Err(flaw) = trust.attempt(chain, at, with_crls) else { return report };
        let of_time = matches!(flaw.code, code::CERT_HAS_EXPIRED | code::CERT_NOT_YET_VALID);
        if of_time && at.as_secs() != now.as_secs() {
            // Of the time that was moved, not of the certificate.
            return report;
        }
        report.add(flaw);
        let (crt, ca) = ignored;
        if !(if flaw.depth == 0 { crt } else { ca }).has(flaw.code) {
            report.fatal = true;
            return report;
        }
        // Look for what else there is to find.
        match flaw.code {
            code::CERT_HAS_EXPIRED | code::CERT_NOT_YET_VALID => {
                let whose = chain.intermediates.iter().find(|c| valid_at(c, at).is_err());
                let whose = if flaw.depth == 0 { chain.leaf } else { whose.unwrap_or(chain.leaf) };
                match validity(whose) {
                    Some((from, to)) if at.as_secs() > to => {
                        at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(
                            to.max(from),
                        ));
                    }
                    Some((from, _)) => {
                        at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(from));
                    }
                    None => return report,
                }
            }
            code::CERT_REVOKED | code::UNABLE_TO_GET_CRL | code::CRL_HAS_EXPIRED => {
                with_crls = false;
            }
            _ => return report,
        }
    }
    report
}

/// The error to tell the peer.
fn alert(code: u8) -> Error {
    Error::InvalidCertificate(match code {
        code::CERT_HAS_EXPIRED => CertificateError::Expired,
        code::CERT_NOT_YET_VALID => CertificateError::NotValidYet,
        code::CERT_REVOKED => CertificateError::Revoked,
        code::DEPTH_ZERO_SELF_SIGNED_CERT
        | code::SELF_SIGNED_CERT_IN_CHAIN
        | code::UNABLE_TO_GET_ISSUER_CERT_LOCALLY => CertificateError::UnknownIssuer,
        code::CERT_SIGNATURE_FAILURE => CertificateError::BadSignature,
        code::INVALID_PURPOSE => CertificateError::InvalidPurpose,
        code::HOSTNAME_MISMATCH => CertificateError::NotValidForName,
        _ => CertificateError::ApplicationVerificationFailure,
    })
}

fn only(
    algorithms: WebPkiSupportedAlgorithms,
    allowed: Option<&[SignatureScheme]>,
) -> Vec<SignatureScheme> {
    let all = algorithms.supported_schemes();
    match allowed {
        None => all,
        Some(allowed) => allowed.iter().filter(|s| all.contains(s)).copied().collect(),
    }
}

/// Judges certificates of clients.
#[derive(Debug)]
pub struct ClientVerifier {
    pub trust: Arc<Trust>,
    /// Names of authorities that clients are told.
    pub hints: Vec<DistinguishedName>,
    /// A client without a certificate is refused.
    pub mandatory: bool,
    pub crt_ignored: Ignored,
    pub ca_ignored: Ignored,
    pub algorithms: WebPkiSupportedAlgorithms,
    /// `client-sigalgs`.
    pub sigalgs: Option<Arc<[SignatureScheme]>>,
}

impl ClientCertVerifier for ClientVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let whose = Whose::Client;
        let chain = Chain { leaf, intermediates, algorithms: self.algorithms, whose };
        let ignored = (&self.crt_ignored, &self.ca_ignored);
        let report = examine(&self.trust, &chain, now, ignored);
        findings::with(|found| found.report = Some(report));
        if report.fatal { Err(alert(report.result)) } else { Ok(ClientCertVerified::assertion()) }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        plain::handshake_signature(self.algorithms, message, certificate, signed, false)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        plain::handshake_signature(self.algorithms, message, certificate, signed, true)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        only(self.algorithms, self.sigalgs.as_deref())
    }
}

/// Judges certificates of servers.
#[derive(Debug)]
pub struct ServerVerifier {
    /// `None` is `verify none`.
    pub trust: Option<Arc<Trust>>,
    /// `verifyhost`: the name a certificate must be for. Without it, the one that was asked for by SNI.
    pub host: Option<String>,
    pub algorithms: WebPkiSupportedAlgorithms,
    /// `sigalgs`.
    pub sigalgs: Option<Arc<[SignatureScheme]>>,
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(trust) = &self.trust else { return Ok(ServerCertVerified::assertion()) };
        let whose = Whose::Server;
        let chain = Chain { leaf, intermediates, algorithms: self.algorithms, whose };
        let none = (&Ignored::Nothing, &Ignored::Nothing);
        let mut report = examine(trust, &chain, now, none);
        if report.result == 0 {
            let host = match (&self.host, name) {
                (Some(host), _) => Some(host.as_str()),
                (None, ServerName::DnsName(name)) => Some(name.as_ref()),
                (None, _) => None,
            };
            if host.is_some_and(|host| !names::is_for(leaf, host)) {
                report.add(Flaw { code: code::HOSTNAME_MISMATCH, depth: 0 });
            }
        }
        report.fatal = report.result != 0;
        findings::with(|found| found.report = Some(report));
        if report.fatal { Err(alert(report.result)) } else { Ok(ServerCertVerified::assertion()) }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        plain::handshake_signature(self.algorithms, message, certificate, signed, false)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        plain::handshake_signature(self.algorithms, message, certificate, signed, true)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        only(self.algorithms, self.sigalgs.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
    use std::time::Duration;

    fn params(cn: &str) -> CertificateParams {
        let mut params = CertificateParams::new(vec![cn.to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, cn);
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2030, 1, 1);
        params
    }

    struct Made {
        ca: CertificateDer<'static>,
        leaf: CertificateDer<'static>,
    }

    fn make(expired: bool) -> Made {
        make_with(expired, 2020)
    }

    /// `since` is the year the authority begins with.
    fn make_with(expired: bool, since: i32) -> Made {
        let (ca_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let mut ca = params(&format!("ca {:?}", std::time::Instant::now()));
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.not_before = rcgen::date_time_ymd(since, 1, 1);
        let ca_cert = ca.self_signed(&ca_key).unwrap();
        let mut leaf = params("leaf.org");
        if expired {
            leaf.not_after = rcgen::date_time_ymd(2021, 1, 1);
        }
        let leaf = leaf.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap();
        Made { ca: ca_cert.der().clone(), leaf: leaf.der().clone() }
    }

    /// 2025-01-01.
    fn now() -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(1_735_689_600))
    }

    fn verifier(trusted: &[&CertificateDer<'static>], crt: Ignored, ca: Ignored) -> ClientVerifier {
        let trusted = trusted.iter().map(|&der| der.clone()).collect();
        ClientVerifier {
            trust: Arc::new(Trust::of(trusted)),
            hints: Vec::new(),
            mandatory: true,
            crt_ignored: crt,
            ca_ignored: ca,
            algorithms: rustls::crypto::aws_lc_rs::default_provider()
                .signature_verification_algorithms,
            sigalgs: None,
        }
    }

    #[track_caller]
    fn check(
        verifier: &ClientVerifier,
        leaf: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        expected: (bool, u8, u8, u8),
    ) {
        let outcome = verifier.verify_client_cert(leaf, above, now());
        let report = findings::take().report.unwrap();
        let got = (outcome.is_ok(), report.crt_err, report.ca_err, report.ca_err_depth);
        assert_eq!(got, expected, "{report:?}");
    }

    #[test]
    fn errors_have_openssls_numbers_and_depths() {
        use Ignored::{All, Codes, Nothing};
        let (good, old, other) = (make(false), make(true), make(false));
        check(&verifier(&[&good.ca], Nothing, Nothing), &good.leaf, &[], (true, 0, 0, 0));
        check(&verifier(&[&other.ca], Nothing, Nothing), &good.leaf, &[], (false, 20, 0, 0));
        check(&verifier(&[&other.ca], All, Nothing), &good.leaf, &[], (true, 20, 0, 0));
        let chain = [good.ca.clone()];
        check(&verifier(&[&other.ca], Nothing, Nothing), &good.leaf, &chain, (false, 0, 19, 1));
        check(
            &verifier(&[&other.ca], Nothing, Codes(vec![19])),
            &good.leaf,
            &chain,
            (true, 0, 19, 1),
        );
        check(
            &verifier(&[&other.ca], Codes(vec![19]), Nothing),
            &good.leaf,
            &chain,
            (false, 0, 19, 1),
        );
        check(&verifier(&[&old.ca], Nothing, Nothing), &old.leaf, &[], (false, 10, 0, 0));
        // Looking past it does not find fault with an authority that is younger.
        let young = make_with(true, 2024);
        check(
            &verifier(&[&young.ca], Codes(vec![10]), Nothing),
            &young.leaf,
            &[],
            (true, 10, 0, 0),
        );
        check(&verifier(&[&old.ca], Codes(vec![10]), Nothing), &old.leaf, &[], (true, 10, 0, 0));
        // Looking past one error finds the next.
        check(&verifier(&[&other.ca], Codes(vec![20]), Nothing), &good.leaf, &[], (true, 20, 0, 0));
    }

    fn revoking(
        certificates: Vec<CertificateDer<'static>>,
        lists: Vec<CertificateRevocationListDer<'static>>,
    ) -> Trust {
        let file = Authorities { name: "ca".to_owned(), certificates };
        Trust::new(vec![file], Some(Revoked::new("crl", lists).unwrap()))
    }

    #[test]
    fn what_was_revoked_is_refused() {
        let (ca_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let mut ca = params("revoking");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![rcgen::KeyUsagePurpose::CrlSign, rcgen::KeyUsagePurpose::KeyCertSign];
        let ca_cert = ca.self_signed(&ca_key).unwrap();
        let issuer = Issuer::new(ca, ca_key);
        let mut leaf = params("leaf.org");
        leaf.serial_number = Some(rcgen::SerialNumber::from(0xff01u64));
        let leaf = leaf.signed_by(&key, &issuer).unwrap();
        let list = |serial: u64, due: i32| {
            let revoked = rcgen::RevokedCertParams {
                serial_number: rcgen::SerialNumber::from(serial),
                revocation_time: rcgen::date_time_ymd(2021, 1, 1),
                reason_code: None,
                invalidity_date: None,
            };
            let params = rcgen::CertificateRevocationListParams {
                this_update: rcgen::date_time_ymd(2021, 1, 1),
                next_update: rcgen::date_time_ymd(due, 1, 1),
                crl_number: rcgen::SerialNumber::from(1u64),
                issuing_distribution_point: None,
                revoked_certs: vec![revoked],
                key_identifier_method: rcgen::KeyIdMethod::Sha256,
            };
            params.signed_by(&issuer).unwrap().der().clone()
        };
        let with = |list: &CertificateRevocationListDer<'static>| {
            let trust = revoking(vec![ca_cert.der().clone()], vec![list.clone()]);
            let mut verifier = verifier(&[], Ignored::Nothing, Ignored::Nothing);
            verifier.trust = Arc::new(trust);
            verifier
        };
        check(&with(&list(5, 2030)), leaf.der(), &[], (true, 0, 0, 0));
        check(&with(&list(0xff01, 2030)), leaf.der(), &[], (false, 23, 0, 0));
        check(&with(&list(5, 2022)), leaf.der(), &[], (false, 12, 0, 0));
        let other = make(false);
        let mut foreign = with(&list(5, 2030));
        let both = vec![ca_cert.der().clone(), other.ca.clone()];
        foreign.trust = Arc::new(revoking(both, vec![list(5, 2030)]));
        check(&foreign, &other.leaf, &[], (false, 3, 0, 0));
        let none = revoking(vec![ca_cert.der().clone()], Vec::new());
        let mut strict = with(&list(5, 2030));
        strict.trust = Arc::new(none);
        check(&strict, leaf.der(), &[], (false, 3, 0, 0));
    }

    #[test]
    fn a_chain_ends_at_an_authority_that_signed_itself() {
        let made = make(false);
        let none = Ignored::Nothing;
        check(
            &verifier(&[&made.leaf], none.clone(), none.clone()),
            &made.leaf,
            &[],
            (false, 20, 0, 0),
        );
        check(&verifier(&[&made.ca], none.clone(), none), &made.ca, &[], (true, 0, 0, 0));
    }

    #[test]
    fn names_of_servers() {
        let made = make(false);
        let with = |host: Option<&str>| ServerVerifier {
            trust: Some(Arc::new(Trust::of(vec![made.ca.clone()]))),
            host: host.map(str::to_owned),
            algorithms: rustls::crypto::aws_lc_rs::default_provider()
                .signature_verification_algorithms,
            sigalgs: None,
        };
        let check = |host, name: &str, expected| {
            let name = ServerName::try_from(name).unwrap();
            let outcome = with(host).verify_server_cert(&made.leaf, &[], &name, &[], now());
            assert_eq!(outcome.is_ok(), expected, "{host:?} {name:?}");
        };
        check(None, "leaf.org", true);
        check(None, "other.org", false);
        check(None, "127.0.0.1", true);
        check(Some("leaf.org"), "other.org", true);
        check(Some("other.org"), "leaf.org", false);
        check(Some("other.org"), "127.0.0.1", false);
    }
}
