//! `acme` sections (configuration manual, 12.8), and what the certificates that they are for say.

use std::net::IpAddr;
use std::time::Duration;

use proxy_types::{Span, Spanned};

/// How a name is proven.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AcmeChallenge {
    #[default]
    Http01,
    Dns01,
    /// A record that stays.
    DnsPersist01,
}

impl AcmeChallenge {
    /// As it is written, and as authorities call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http01 => "http-01",
            Self::Dns01 => "dns-01",
            Self::DnsPersist01 => "dns-persist-01",
        }
    }
}

/// What must be before an authority looks (`challenge-ready`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AcmeReady {
    /// The runtime API says so.
    pub cli: bool,
    /// `dns-delay` is over.
    pub delay: bool,
    /// The record can be seen.
    pub dns: bool,
}

/// Keys that are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcmeKeyType {
    Rsa,
    Ecdsa,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcmeCurve {
    P256,
    P384,
    P521,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcmeMac {
    Hs256,
    Hs384,
    Hs512,
}

/// An `acme` section.
#[derive(Clone, Debug, Default)]
pub struct Acme {
    pub name: Spanned<String>,
    /// Always there.
    pub directory: Option<Spanned<String>>,
    /// `<name>.account.key` by default, made when it is not there.
    pub account_key: Option<Spanned<String>>,
    pub contact: Option<Spanned<String>>,
    pub challenge: Option<Spanned<AcmeChallenge>>,
    pub ready: Option<Spanned<AcmeReady>>,
    /// ECDSA by default.
    pub key_type: Option<Spanned<AcmeKeyType>>,
    /// Of RSA keys: 2048 by default, or 3072, 4096.
    pub bits: Option<Spanned<u32>>,
    /// P-384 by default.
    pub curve: Option<Spanned<AcmeCurve>>,
    pub reuse_key: Option<Spanned<bool>>,
    /// Where tokens and thumbprints go.
    pub map: Option<Spanned<String>>,
    pub profile: Option<Spanned<String>>,
    /// 30 s by default.
    pub dns_delay: Option<Spanned<Duration>>,
    /// 600 s by default.
    pub dns_timeout: Option<Spanned<Duration>>,
    pub vars: Option<Spanned<String>>,
    pub provider: Option<Spanned<String>>,
    pub eab_key_id: Option<Spanned<String>>,
    pub eab_mac_key: Option<Spanned<String>>,
    pub eab_mac_alg: Option<Spanned<AcmeMac>>,
}

/// `acme`, `domains` and `ips` of a certificate (12.7.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AcmeCert {
    /// Name of the section.
    pub section: String,
    pub domains: Vec<String>,
    pub ips: Vec<IpAddr>,
    pub span: Span,
}

impl AcmeCert {
    /// Whether there is something to renew.
    pub fn is_on(&self) -> bool {
        !self.section.is_empty()
    }

    /// Why it cannot be renewed, though a line says that it should.
    pub fn wrong(&self, sections: &[Acme]) -> Option<String> {
        let empty = self.domains.is_empty() && self.ips.is_empty();
        if !self.is_on() {
            return (!empty).then(|| "'domains' and 'ips' are of no use without 'acme'".to_owned());
        }
        if !sections.iter().any(|section| section.name.value == self.section) {
            return Some(format!("unable to find acme section '{}'", self.section));
        }
        empty.then(|| "'acme' needs 'domains' or 'ips'".to_owned())
    }
}
