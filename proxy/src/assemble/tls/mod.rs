//! TLS and the PROXY protocol of `bind` and `server` lines: files read, settings combined with their defaults.

pub(crate) mod acme;
mod bind;
mod files;
pub(crate) mod jwt;
mod passphrase;
mod profile;
mod server;
mod store;

use std::collections::HashMap;
use std::sync::Arc;

use proxy_config::model::{CertSource, Config, CrtStore, TlsSettings, TlsVersion};
use proxy_tls::live;
use proxy_tls::settings::{Settings, Version};
use proxy_tls::ticket::TicketKeys;
use proxy_tls::verify::{Authorities, Revoked, Trust};
use proxy_types::{DiagSink, Diagnostic, Diagnostics, Spanned};

use super::rules::Rules;
use store::Store;

/// What the lines of one configuration share.
pub(crate) struct Tls<'a> {
    config: &'a Config,
    rules: &'a Rules<'a>,
    store: Store<'a>,
    /// What stays when the configuration is gone.
    live: Arc<live::Store>,
    trusts: HashMap<Vec<String>, Option<Arc<Trust>>>,
    ticket_keys: HashMap<String, Option<Arc<TicketKeys>>>,
    /// Certificates to be renewed.
    wanted: Vec<acme::Wanted>,
}

impl<'a> Tls<'a> {
    pub(super) fn new(
        config: &'a Config,
        rules: &'a Rules<'a>,
        diagnostics: &mut Diagnostics,
    ) -> Self {
        let live = Arc::new(live::Store::default());
        if config.global.tls.load_extra_del_ext.is_some() {
            live.set_del_ext();
        }
        if let Some(base) = &config.global.tls.crt_base {
            live.set_base(&base.value);
        }
        let mut tls = Self::running(config, rules, live);
        for section in &config.crt_stores {
            tls.section(section, diagnostics);
        }
        tls
    }

    /// For lines that come while the worker runs: what was loaded, or came by commands, is there.
    pub(super) fn running(
        config: &'a Config,
        rules: &'a Rules<'a>,
        live: Arc<live::Store>,
    ) -> Self {
        Self {
            config,
            rules,
            store: Store::new(&config.global.tls, live.clone()),
            live,
            trusts: HashMap::new(),
            ticket_keys: HashMap::new(),
            wanted: Vec::new(),
        }
    }

    /// Loads the certificates of a `crt-store` section.
    fn section(&mut self, section: &CrtStore, diagnostics: &mut Diagnostics) {
        for load in &section.loads {
            let Some(crt) = &load.crt else { continue };
            // What was used before is there already, with files that may be others.
            let before = self.config.proxies.iter().flat_map(|proxy| &proxy.binds).find(|bind| {
                let earlier = (bind.span.file, bind.span.line) < (load.span.file, load.span.line);
                let named = |source: &CertSource| match source {
                    CertSource::Crt(name) | CertSource::Default(name) => name.value == crt.value,
                    CertSource::List(_) => false,
                };
                earlier && bind.tls.certificates.iter().any(named)
            });
            if let Some(bind) = before {
                let message = format!("'{}' is in use before it is declared", crt.value);
                diagnostics
                    .push(Diagnostic::alert(message).at(load.span).label(bind.span, "used here"));
                continue;
            }
            let of_tokens = load.jwt.is_some_and(|jwt| jwt.value);
            if of_tokens && let Some((name, certificate)) = self.store.without_key(section, load) {
                // It is no certificate for handshakes, and verifies tokens all the same.
                if let Err(error) = jwt::declare_public(&self.rules.keys, &name, &certificate) {
                    diagnostics.push(Diagnostic::alert(error).at(load.span));
                }
                continue;
            }
            let declared = self.store.declare(section, load);
            if let Err(error) = declared.and_then(|slot| match slot {
                Some(slot) => {
                    if of_tokens {
                        jwt::declare(&self.rules.keys, &slot)?;
                    }
                    self.renewed(&slot, &load.acme)
                }
                None => Ok(()),
            }) {
                diagnostics.push(Diagnostic::alert(error).at(load.span));
            }
        }
    }

    /// The certificates, for the runtime API.
    pub(super) fn live(&self) -> Arc<live::Store> {
        self.live.clone()
    }

    /// Authorities of `files`, without what `crl` revokes. Each combination is read once. `None` was told.
    fn trust(
        &mut self,
        files: &[&Spanned<String>],
        crl: Option<&Spanned<String>>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Arc<Trust>> {
        let base = self.config.global.tls.ca_base.as_ref();
        let mut key: Vec<String> =
            files.iter().map(|file| files::path(&file.value, base)).collect();
        let names = key.clone();
        let crl_name = crl.map(|file| files::path(&file.value, base));
        key.push(crl_name.clone().unwrap_or_default());
        if let Some(known) = self.trusts.get(&key) {
            return known.clone();
        }
        let read = || {
            // What commands changed of a file counts more than the file.
            if let Ok(known) = self.live.trust(&names, crl_name.as_deref()) {
                return Ok(known);
            }
            let mut all = Vec::new();
            for (file, name) in files.iter().zip(&names) {
                let certificates = files::authorities(name).map_err(|error| (file.span, error))?;
                let authorities = Authorities { name: name.clone(), certificates };
                self.live.insert_authorities(authorities.clone());
                all.push(authorities);
            }
            let Some((file, name)) = crl.zip(crl_name.as_ref()) else {
                return Ok(Trust::new(all, None));
            };
            let fail = |error| (file.span, error);
            let revoked = Revoked::new(name.as_str(), files::revoked(name).map_err(fail)?);
            let revoked = revoked.map_err(|error| fail(format!("'{name}': {error}")))?;
            self.live.insert_revoked(revoked.clone());
            Ok(Trust::new(all, Some(revoked)))
        };
        let trust = match read() {
            Ok(trust) => Some(Arc::new(trust)),
            Err((span, error)) => {
                diagnostics.push(Diagnostic::alert(error).at(span));
                None
            }
        };
        self.trusts.insert(key, trust.clone());
        trust
    }
}

/// Settings of a line in the library's form, those of `defaults` where it says nothing.
fn settings(
    line: &TlsSettings,
    defaults: &TlsSettings,
    curves: Option<&Spanned<String>>,
) -> Settings {
    let text = |own: &Option<Spanned<String>>, default: &Option<Spanned<String>>| {
        own.as_ref().or(default.as_ref()).map(|text| text.value.clone())
    };
    let version = |own: Option<Spanned<TlsVersion>>, default: Option<Spanned<TlsVersion>>| {
        own.or(default).map(|version| match version.value {
            TlsVersion::Ssl3 => Version::Ssl3,
            TlsVersion::Tls10 => Version::Tls10,
            TlsVersion::Tls11 => Version::Tls11,
            TlsVersion::Tls12 => Version::Tls12,
            TlsVersion::Tls13 => Version::Tls13,
        })
    };
    let mut off = [false; 5];
    for (index, off) in off.iter_mut().enumerate() {
        *off = line.off[index].or(defaults.off[index]).is_some();
    }
    Settings {
        min: version(line.min, defaults.min),
        max: version(line.max, defaults.max),
        off,
        ciphers: text(&line.ciphers, &defaults.ciphers),
        ciphersuites: text(&line.ciphersuites, &defaults.ciphersuites),
        curves: line
            .curves
            .as_ref()
            .or(curves)
            .or(defaults.curves.as_ref())
            .map(|text| text.value.clone()),
        sigalgs: text(&line.sigalgs, &defaults.sigalgs),
        client_sigalgs: text(&line.client_sigalgs, &defaults.client_sigalgs),
        alpn: line
            .alpn
            .as_ref()
            .map(|list| list.value.iter().map(|name| name.clone().into_bytes()).collect())
            .unwrap_or_default(),
    }
}
