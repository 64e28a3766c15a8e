//! What both sides can set: versions, suites, groups, signature algorithms, protocols.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs};
use rustls::sign::{Signer, SigningKey};
use rustls::{SignatureAlgorithm, SignatureScheme, SupportedCipherSuite, SupportedProtocolVersion};

use crate::ciphers;

/// Versions of the protocol, oldest first. Only the last two are offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    Ssl3,
    Tls10,
    Tls11,
    Tls12,
    Tls13,
}

impl Version {
    /// All, oldest first.
    pub const ALL: [Self; 5] = [Self::Ssl3, Self::Tls10, Self::Tls11, Self::Tls12, Self::Tls13];

    /// As configurations and `ssl_fc_protocol` write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ssl3 => "SSLv3",
            Self::Tls10 => "TLSv1.0",
            Self::Tls11 => "TLSv1.1",
            Self::Tls12 => "TLSv1.2",
            Self::Tls13 => "TLSv1.3",
        }
    }

    /// The version of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.name() == name)
    }
}

/// Settings of a `bind` or `server` line, with what it inherits. `None` is the library's choice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Settings {
    /// TLS 1.2 by default.
    pub min: Option<Version>,
    pub max: Option<Version>,
    /// `no-tlsv12` and its kin, by position in [`Version::ALL`].
    pub off: [bool; 5],
    /// Up to TLS 1.2, in OpenSSL's language.
    pub ciphers: Option<String>,
    /// Of TLS 1.3.
    pub ciphersuites: Option<String>,
    /// `curves`, or the one of `ecdhe`.
    pub curves: Option<String>,
    /// Algorithms of our signatures to clients, or those offered to servers.
    pub sigalgs: Option<String>,
    /// Algorithms of signatures of client certificates.
    pub client_sigalgs: Option<String>,
    /// In order of preference.
    pub alpn: Vec<Vec<u8>>,
}

/// Why settings cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    #[error("no version of TLS is left: TLSv1.2 and TLSv1.3 are offered")]
    NoVersion,
    #[error("none of the ciphers '{0}' is offered; there are {list}", list = suite_names())]
    NoCipher(String),
    #[error("none of the curves '{0}' is offered; there are {list}", list = group_names())]
    NoCurve(String),
    #[error("none of the signature algorithms '{0}' is offered")]
    NoSignature(String),
    #[error("{0}")]
    Library(String),
}

fn suite_names() -> String {
    let names: Vec<&str> = ciphers::all13()
        .iter()
        .chain(&ciphers::all())
        .filter_map(|suite| ciphers::describe(suite.suite()))
        .map(|(name, _)| name)
        .collect();
    names.join(", ")
}

fn group_names() -> String {
    let names: Vec<&str> = GROUPS.iter().map(|group| group.names[0]).collect();
    names.join(", ")
}

/// Settings in the form of the library.
#[derive(Clone, Debug)]
pub struct Prepared {
    pub provider: Arc<CryptoProvider>,
    pub versions: Vec<&'static SupportedProtocolVersion>,
    /// Of our own signatures to clients, or of those we accept from servers; `None` is all.
    pub sigalgs: Option<Arc<[SignatureScheme]>>,
    /// Of the signatures of client certificates; `None` is all.
    pub client_sigalgs: Option<Arc<[SignatureScheme]>>,
    pub alpn: Vec<Vec<u8>>,
    /// What was asked for and is not offered, a sentence each.
    pub notes: Vec<String>,
}

impl Settings {
    /// Chooses what is offered.
    ///
    /// # Errors
    /// Nothing that was asked for is offered.
    pub fn prepare(&self) -> Result<Prepared, SettingsError> {
        let mut notes = Vec::new();
        let mut versions = self.versions(&mut notes)?;
        let mut suites = Vec::new();
        if versions.contains(&&rustls::version::TLS13) {
            let list = self.ciphersuites.as_deref().map(ciphers::parse13);
            suites.extend(chosen(list, ciphers::all13(), "ciphersuites", &mut notes));
            if suites.is_empty() {
                // As OpenSSL does with an empty list: this version cannot be used.
                versions.retain(|version| **version != rustls::version::TLS13);
            }
        }
        if versions.contains(&&rustls::version::TLS12) {
            let list = self.ciphers.as_deref().map(ciphers::parse);
            let before = suites.len();
            suites.extend(chosen(list, ciphers::all(), "ciphers", &mut notes));
            if suites.len() == before {
                versions.retain(|version| **version != rustls::version::TLS12);
            }
        }
        if suites.is_empty() {
            let text = self.ciphers.as_ref().or(self.ciphersuites.as_ref());
            return Err(SettingsError::NoCipher(text.cloned().unwrap_or_default()));
        }
        let provider = CryptoProvider {
            cipher_suites: suites,
            kx_groups: self.groups(&mut notes)?,
            ..aws_lc_rs::default_provider()
        };
        Ok(Prepared {
            provider: Arc::new(provider),
            versions,
            sigalgs: schemes(self.sigalgs.as_deref(), "sigalgs", &mut notes)?,
            client_sigalgs: schemes(self.client_sigalgs.as_deref(), "client-sigalgs", &mut notes)?,
            alpn: self.alpn.clone(),
            notes,
        })
    }

    fn versions(
        &self,
        notes: &mut Vec<String>,
    ) -> Result<Vec<&'static SupportedProtocolVersion>, SettingsError> {
        let min = self.min.unwrap_or(Version::Tls12);
        let max = self.max.unwrap_or(Version::Tls13);
        // Words for single versions count for nothing beside a range, as in HAProxy.
        let ranged = self.min.is_some() || self.max.is_some();
        let on = |version: Version| {
            (min..=max).contains(&version) && (ranged || !self.off[version as usize])
        };
        // Old versions that are only allowed, not required, lose nothing that a modern client needs.
        if let Some(asked) = self.min.filter(|min| *min < Version::Tls12 && on(*min)) {
            notes.push(format!("{} is not offered: the oldest version is TLSv1.2", asked.name()));
        }
        let mut list = Vec::new();
        if on(Version::Tls13) {
            list.push(&rustls::version::TLS13);
        }
        if on(Version::Tls12) {
            list.push(&rustls::version::TLS12);
        }
        if list.is_empty() { Err(SettingsError::NoVersion) } else { Ok(list) }
    }

    fn groups(
        &self,
        notes: &mut Vec<String>,
    ) -> Result<Vec<&'static dyn SupportedKxGroup>, SettingsError> {
        let Some(text) = &self.curves else {
            return Ok(aws_lc_rs::DEFAULT_KX_GROUPS.to_vec());
        };
        let mut list: Vec<&'static dyn SupportedKxGroup> = Vec::new();
        let mut missing = Vec::new();
        for word in text.split([':', '/']).filter(|word| !word.is_empty()) {
            // `?` asks OpenSSL to skip what it does not know, `*` to send a key share of it.
            let word = word.trim_start_matches(['?', '*']);
            match GROUPS.iter().find(|g| g.names.iter().any(|n| n.eq_ignore_ascii_case(word))) {
                Some(group) => {
                    if !list.iter().any(|known| known.name() == group.group.name()) {
                        list.push(group.group);
                    }
                }
                None => missing.push(word),
            }
        }
        if list.is_empty() {
            return Err(SettingsError::NoCurve(text.clone()));
        }
        if !missing.is_empty() {
            notes.push(format!("curves that are not offered: {}", missing.join(", ")));
        }
        Ok(list)
    }
}

fn chosen(
    list: Option<ciphers::List>,
    all: Vec<SupportedCipherSuite>,
    what: &str,
    notes: &mut Vec<String>,
) -> Vec<SupportedCipherSuite> {
    let Some(list) = list else { return all };
    if !list.missing.is_empty() {
        notes.push(format!("{what} that are not offered: {}", list.missing.join(", ")));
    }
    list.suites
}

struct Group {
    /// The first is the usual one.
    names: &'static [&'static str],
    group: &'static dyn SupportedKxGroup,
}

static GROUPS: [Group; 6] = [
    Group { names: &["X25519"], group: aws_lc_rs::kx_group::X25519 },
    Group { names: &["P-256", "prime256v1", "secp256r1"], group: aws_lc_rs::kx_group::SECP256R1 },
    Group { names: &["P-384", "secp384r1"], group: aws_lc_rs::kx_group::SECP384R1 },
    Group { names: &["X25519MLKEM768"], group: aws_lc_rs::kx_group::X25519MLKEM768 },
    Group { names: &["SecP256r1MLKEM768"], group: aws_lc_rs::kx_group::SECP256R1MLKEM768 },
    Group { names: &["MLKEM768"], group: aws_lc_rs::kx_group::MLKEM768 },
];

/// Names of a group as `ssl_fc_curve` shows it.
#[must_use]
pub fn group_name(group: rustls::NamedGroup) -> Option<&'static str> {
    GROUPS.iter().find(|known| known.group.name() == group).map(|known| known.names[0])
}

/// IANA names first, then those of OpenSSL.
const SCHEMES: [(&[&str], SignatureScheme); 10] = [
    (&["ecdsa_secp256r1_sha256", "ECDSA+SHA256"], SignatureScheme::ECDSA_NISTP256_SHA256),
    (&["ecdsa_secp384r1_sha384", "ECDSA+SHA384"], SignatureScheme::ECDSA_NISTP384_SHA384),
    (&["ecdsa_secp521r1_sha512", "ECDSA+SHA512"], SignatureScheme::ECDSA_NISTP521_SHA512),
    (&["ed25519"], SignatureScheme::ED25519),
    (
        &["rsa_pss_rsae_sha256", "RSA-PSS+SHA256", "PSS+SHA256", "rsa_pss_pss_sha256"],
        SignatureScheme::RSA_PSS_SHA256,
    ),
    (
        &["rsa_pss_rsae_sha384", "RSA-PSS+SHA384", "PSS+SHA384", "rsa_pss_pss_sha384"],
        SignatureScheme::RSA_PSS_SHA384,
    ),
    (
        &["rsa_pss_rsae_sha512", "RSA-PSS+SHA512", "PSS+SHA512", "rsa_pss_pss_sha512"],
        SignatureScheme::RSA_PSS_SHA512,
    ),
    (&["rsa_pkcs1_sha256", "RSA+SHA256"], SignatureScheme::RSA_PKCS1_SHA256),
    (&["rsa_pkcs1_sha384", "RSA+SHA384"], SignatureScheme::RSA_PKCS1_SHA384),
    (&["rsa_pkcs1_sha512", "RSA+SHA512"], SignatureScheme::RSA_PKCS1_SHA512),
];

fn schemes(
    text: Option<&str>,
    what: &str,
    notes: &mut Vec<String>,
) -> Result<Option<Arc<[SignatureScheme]>>, SettingsError> {
    let Some(text) = text else { return Ok(None) };
    let mut list = Vec::new();
    let mut missing = Vec::new();
    for word in text.split(':').map(|w| w.trim_start_matches('?')).filter(|w| !w.is_empty()) {
        let known = SCHEMES
            .iter()
            .find(|(names, _)| names.iter().any(|name| name.eq_ignore_ascii_case(word)));
        match known {
            Some((_, scheme)) if !list.contains(scheme) => list.push(*scheme),
            Some(_) => {}
            None => missing.push(word),
        }
    }
    if list.is_empty() {
        return Err(SettingsError::NoSignature(text.to_owned()));
    }
    if !missing.is_empty() {
        notes.push(format!("{what} that are not offered: {}", missing.join(", ")));
    }
    Ok(Some(list.into()))
}

/// Name of a signature scheme, as `ssl_fc_sigalgs` readers know it.
#[must_use]
pub fn scheme_name(scheme: SignatureScheme) -> Option<&'static str> {
    SCHEMES.iter().find(|(_, known)| *known == scheme).map(|(names, _)| names[0])
}

/// A key that signs with some algorithms only, in their order.
#[derive(Debug)]
struct Restricted {
    key: Arc<dyn SigningKey>,
    allowed: Arc<[SignatureScheme]>,
}

impl SigningKey for Restricted {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        self.allowed
            .iter()
            .filter(|scheme| offered.contains(scheme))
            .find_map(|scheme| self.key.choose_scheme(&[*scheme]))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.key.algorithm()
    }
}

/// The key as `sigalgs` lets it sign.
pub(crate) fn restrict(
    key: &Arc<dyn SigningKey>,
    allowed: Option<&Arc<[SignatureScheme]>>,
) -> Arc<dyn SigningKey> {
    match allowed {
        None => key.clone(),
        Some(allowed) => Arc::new(Restricted { key: key.clone(), allowed: allowed.clone() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(settings: &Settings) -> Result<Vec<&'static str>, SettingsError> {
        Ok(settings
            .prepare()?
            .provider
            .cipher_suites
            .iter()
            .map(|suite| ciphers::describe(suite.suite()).unwrap().0)
            .collect())
    }

    #[track_caller]
    fn check_versions(settings: &Settings, expected: &str, notes: usize) {
        let prepared = settings.prepare().unwrap();
        let text: Vec<String> =
            prepared.versions.iter().map(|version| format!("{:?}", version.version)).collect();
        assert_eq!(text.join(" "), expected);
        assert_eq!(prepared.notes.len(), notes, "{:?}", prepared.notes);
    }

    #[test]
    fn versions() {
        check_versions(&Settings::default(), "TLSv1_3 TLSv1_2", 0);
        let with = |min, max| Settings { min, max, ..Settings::default() };
        check_versions(&with(Some(Version::Tls13), None), "TLSv1_3", 0);
        check_versions(&with(None, Some(Version::Tls12)), "TLSv1_2", 0);
        check_versions(&with(Some(Version::Tls10), None), "TLSv1_3 TLSv1_2", 1);
        let off = [true, true, true, false, true];
        check_versions(&Settings { off, ..Settings::default() }, "TLSv1_2", 0);
        // HAProxy tells that they are ignored.
        check_versions(&Settings { off, ..with(Some(Version::Ssl3), None) }, "TLSv1_3 TLSv1_2", 1);
        let none = with(Some(Version::Tls10), Some(Version::Tls11)).prepare();
        assert_eq!(none.unwrap_err(), SettingsError::NoVersion);
    }

    #[test]
    fn a_version_without_suites_is_off() {
        let only13 = Settings { ciphers: Some("AES128-SHA".to_owned()), ..Settings::default() };
        check_versions(&only13, "TLSv1_3", 1);
        let only12 = Settings { ciphersuites: Some(String::new()), ..Settings::default() };
        check_versions(&only12, "TLSv1_2", 0);
        let none = Settings { max: Some(Version::Tls12), ..only13 };
        assert_eq!(names(&none), Err(SettingsError::NoCipher("AES128-SHA".to_owned())));
        let both = Settings {
            ciphers: Some("ECDHE-RSA-AES128-GCM-SHA256".to_owned()),
            ciphersuites: Some("TLS_AES_128_GCM_SHA256".to_owned()),
            ..Settings::default()
        };
        assert_eq!(
            names(&both).unwrap(),
            ["TLS_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256"]
        );
    }

    #[test]
    fn groups_by_their_many_names() {
        let check = |text: &str, expected: &[&str], notes: usize| {
            let settings = Settings { curves: Some(text.to_owned()), ..Settings::default() };
            let prepared = settings.prepare().unwrap();
            let names: Vec<_> = prepared
                .provider
                .kx_groups
                .iter()
                .map(|group| group_name(group.name()).unwrap())
                .collect();
            assert_eq!(names, expected, "{text}");
            assert_eq!(prepared.notes.len(), notes, "{text}");
        };
        check("X25519:P-256", &["X25519", "P-256"], 0);
        check("prime256v1:secp256r1", &["P-256"], 0);
        check("secp384r1:P-521:?sect571r1", &["P-384"], 1);
        let none = Settings { curves: Some("P-521".to_owned()), ..Settings::default() };
        assert_eq!(none.prepare().unwrap_err(), SettingsError::NoCurve("P-521".to_owned()));
    }

    #[test]
    fn signature_algorithms_by_their_many_names() {
        let text = "rsa_pss_rsae_sha256:ECDSA+SHA256:ed448";
        let settings = Settings { sigalgs: Some(text.to_owned()), ..Settings::default() };
        let prepared = settings.prepare().unwrap();
        let expected = [SignatureScheme::RSA_PSS_SHA256, SignatureScheme::ECDSA_NISTP256_SHA256];
        assert_eq!(prepared.sigalgs.as_deref(), Some(&expected[..]));
        assert_eq!(prepared.notes, ["sigalgs that are not offered: ed448"]);
    }
}
