//! What is to be had by ACME: the sections with the files they name, and the certificates they are for.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use proxy_acme::{AccountKey, Eab, Hmac, KeyKind};
use proxy_config::model::{
    Acme, AcmeCert, AcmeChallenge, AcmeCurve, AcmeKeyType, AcmeMac, AcmeReady,
};
use proxy_tls::listener::Slot;
use proxy_tls::rustls::pki_types::CertificateDer;
use proxy_types::{DiagSink, Diagnostic, Diagnostics, Span};

use super::{Tls, files};

/// How often records are looked for, and for how long (configuration manual, 12.8).
const DNS_DELAY: Duration = Duration::from_secs(30);
const DNS_TIMEOUT: Duration = Duration::from_secs(600);

/// All of it.
pub(crate) struct Plan {
    pub(crate) authorities: Vec<Authority>,
    pub(crate) certificates: Vec<Wanted>,
    /// `acme.scheduler`.
    pub(crate) scheduler: bool,
    /// `httpclient.ssl.ca-file`: who may say which server is which.
    pub(crate) roots: Result<Vec<CertificateDer<'static>>, String>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            authorities: Vec::new(),
            certificates: Vec::new(),
            scheduler: true,
            roots: Ok(Vec::new()),
        }
    }
}

/// The key of an account.
pub(crate) enum Account {
    Known(Arc<AccountKey>),
    /// To be made, and kept in this file.
    New(PathBuf),
}

/// An `acme` section.
pub(crate) struct Authority {
    pub(crate) name: String,
    pub(crate) directory: String,
    pub(crate) account: Account,
    pub(crate) contact: Option<String>,
    pub(crate) challenge: AcmeChallenge,
    pub(crate) ready: AcmeReady,
    pub(crate) key_kind: KeyKind,
    pub(crate) reuse_key: bool,
    pub(crate) map: Option<String>,
    pub(crate) profile: Option<String>,
    pub(crate) dns_delay: Duration,
    pub(crate) dns_timeout: Duration,
    pub(crate) vars: Option<String>,
    pub(crate) provider: Option<String>,
    pub(crate) eab: Option<Eab>,
}

/// A certificate that is kept fresh.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// Its name in the store.
    pub(crate) name: Arc<str>,
    /// Index of the section.
    pub(crate) authority: usize,
    pub(crate) domains: Vec<String>,
    pub(crate) ips: Vec<IpAddr>,
}

impl Tls<'_> {
    /// Notes that a certificate is to be renewed.
    pub(super) fn renewed(&mut self, slot: &Slot, acme: &AcmeCert) -> Result<(), String> {
        if let Some(wrong) = acme.wrong(&self.config.acmes) {
            return Err(wrong);
        }
        if !acme.is_on() {
            return Ok(());
        }
        let sections = &self.config.acmes;
        let authority = sections.iter().position(|section| section.name.value == acme.section);
        let wanted = Wanted {
            name: slot.name.clone(),
            authority: authority.unwrap_or_default(),
            domains: acme.domains.clone(),
            ips: acme.ips.clone(),
        };
        match self.wanted.iter().find(|known| known.name == wanted.name) {
            None => self.wanted.push(wanted),
            Some(known)
                if known.authority == wanted.authority
                    && known.domains == wanted.domains
                    && known.ips == wanted.ips => {}
            Some(_) => {
                return Err(format!("certificate '{}' has another 'acme' elsewhere", slot.name));
            }
        }
        Ok(())
    }

    /// What is to be had by ACME.
    pub(crate) fn acme(&mut self, diagnostics: &mut Diagnostics) -> Plan {
        let mut plan = Plan {
            certificates: std::mem::take(&mut self.wanted),
            scheduler: self.config.global.tls.acme_scheduler.is_none_or(|on| on.value),
            ..Plan::default()
        };
        let client = &self.config.global.http_client;
        let needed = !plan.certificates.is_empty() || client.ca_file.is_some();
        if needed && client.verify.is_none_or(|on| on.value) {
            plan.roots = match &client.ca_file {
                None => files::authorities("@system-ca"),
                Some(file) => {
                    let path = files::path(&file.value, self.config.global.tls.ca_base.as_ref());
                    let roots = files::authorities(&path);
                    if let Err(error) = &roots {
                        diagnostics.push(Diagnostic::alert(error.clone()).at(file.span));
                    }
                    roots
                }
            };
        }
        for section in &self.config.acmes {
            match authority(section) {
                Ok(authority) => plan.authorities.push(authority),
                Err((span, error)) => diagnostics.push(Diagnostic::alert(error).at(span)),
            }
        }
        plan
    }
}

fn authority(section: &Acme) -> Result<Authority, (Span, String)> {
    let name = &section.name.value;
    let text = |text: &Option<proxy_types::Spanned<String>>| text.as_ref().map(|t| t.value.clone());
    let challenge = section.challenge.map(|challenge| challenge.value).unwrap_or_default();
    let ready = section.ready.map(|ready| ready.value).unwrap_or_else(|| match challenge {
        AcmeChallenge::Http01 => AcmeReady::default(),
        AcmeChallenge::Dns01 => AcmeReady { cli: true, ..AcmeReady::default() },
        AcmeChallenge::DnsPersist01 => AcmeReady { dns: true, delay: true, ..AcmeReady::default() },
    });
    let key_kind = match section.key_type.map(|kind| kind.value) {
        Some(AcmeKeyType::Rsa) => KeyKind::Rsa(section.bits.map_or(2048, |bits| bits.value)),
        Some(AcmeKeyType::Ecdsa) | None => match section.curve.map(|curve| curve.value) {
            Some(AcmeCurve::P256) => KeyKind::P256,
            Some(AcmeCurve::P384) | None => KeyKind::P384,
            Some(AcmeCurve::P521) => KeyKind::P521,
        },
    };
    let (file, span) = match &section.account_key {
        Some(file) => (file.value.clone(), file.span),
        None => (format!("{name}.account.key"), section.name.span),
    };
    let account = match files::read_optional(&file).map_err(|error| (span, error))? {
        None => Account::New(file.into()),
        Some(_) => {
            let parts = files::parts(&file).map_err(|error| (span, error))?;
            let key = parts.key.ok_or_else(|| (span, format!("'{file}': no private key in it")))?;
            let key =
                AccountKey::new(&key).map_err(|error| (span, format!("'{file}': {error}")))?;
            Account::Known(Arc::new(key))
        }
    };
    Ok(Authority {
        name: name.clone(),
        directory: text(&section.directory).unwrap_or_default(),
        account,
        contact: text(&section.contact),
        challenge,
        ready,
        key_kind,
        reuse_key: section.reuse_key.is_some_and(|on| on.value),
        map: text(&section.map),
        profile: text(&section.profile),
        dns_delay: section.dns_delay.map_or(DNS_DELAY, |delay| delay.value),
        dns_timeout: section.dns_timeout.map_or(DNS_TIMEOUT, |limit| limit.value),
        vars: text(&section.vars),
        provider: text(&section.provider),
        eab: eab(section)?,
    })
}

/// The account elsewhere; none when its files are empty, as they may be once there is one here.
fn eab(section: &Acme) -> Result<Option<Eab>, (Span, String)> {
    let (Some(id), Some(mac)) = (&section.eab_key_id, &section.eab_mac_key) else {
        return Ok(None);
    };
    let read = |file: &proxy_types::Spanned<String>| {
        let text = files::read(&file.value).map_err(|error| (file.span, error))?;
        let text = String::from_utf8_lossy(&text).into_owned();
        Ok(text.strip_suffix('\n').map(str::to_owned).unwrap_or(text))
    };
    let (key_id, text) = (read(id)?, read(mac)?);
    if key_id.is_empty() || text.is_empty() {
        return Ok(None);
    }
    let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let mac_key = engine
        .decode(text.trim_end_matches('='))
        .map_err(|_| (mac.span, format!("'{}': no base64url", mac.value)))?;
    let algorithm = match section.eab_mac_alg.map(|alg| alg.value) {
        None | Some(AcmeMac::Hs256) => Hmac::Hs256,
        Some(AcmeMac::Hs384) => Hmac::Hs384,
        Some(AcmeMac::Hs512) => Hmac::Hs512,
    };
    Ok(Some(Eab { key_id, mac_key, algorithm }))
}
