//! The store of certificates: each file is read once, whatever number of lines name it.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use proxy_acme::{CertificateKey, KeyKind};
use proxy_config::model::{AcmeCert, CertFiles as Files, CertLoad, CrtStore, TlsGlobal};
use proxy_net::clock;
use proxy_tls::listener::Slot;
use proxy_tls::live;
use proxy_tls::material::{Certificate, Parts};
use proxy_tls::rustls::pki_types::CertificateDer;

use proxy_types::Spanned;

use super::files;
use super::passphrase::Passphrases;

/// Files that belong to a certificate, by the end of their names.
const RESERVED: [&str; 4] = [".key", ".issuer", ".ocsp", ".sctl"];
/// Ends of the files of a bundle.
const KINDS: [&str; 3] = [".rsa", ".ecdsa", ".dsa"];

/// Certificates by name.
pub(super) struct Store<'a> {
    global: &'a TlsGlobal,
    live: Arc<live::Store>,
    passphrases: Passphrases,
    slots: HashMap<String, Arc<Slot>>,
    /// Chains of `issuers-chain-path`, once they are needed.
    chains: Option<Vec<Vec<CertificateDer<'static>>>>,
    /// What is worth a warning.
    pub(super) notes: Vec<String>,
    /// Whether `ocsp-update` is on for a certificate, as the first that used it said.
    updated: HashMap<Arc<str>, bool>,
    /// Certificates for which a `crt-store` says that.
    declared: HashSet<Arc<str>>,
}

impl<'a> Store<'a> {
    pub(super) fn new(global: &'a TlsGlobal, live: Arc<live::Store>) -> Self {
        Self {
            global,
            live,
            passphrases: Passphrases::new(global.passphrase_cmd.as_deref()),
            slots: HashMap::new(),
            chains: None,
            notes: Vec::new(),
            updated: HashMap::new(),
            declared: HashSet::new(),
        }
    }

    /// What `crt` names: a file, a bundle of files, a directory of files, or a certificate of a `crt-store`.
    ///
    /// # Errors
    /// One of them cannot be used.
    pub(super) fn certificates(&mut self, name: &str) -> Result<Vec<Arc<Slot>>, String> {
        let path = files::path(name, self.global.crt_base.as_ref());
        if let Some(slot) = self.slots.get(&path) {
            return Ok(vec![slot.clone()]);
        }
        if Path::new(&path).is_dir() {
            return files::directory(&path)?
                .into_iter()
                .filter(|file| !RESERVED.iter().any(|end| file.ends_with(end)))
                .map(|file| self.one(&file, &Files::default()))
                .collect();
        }
        self.file(&path, &Files::default())
    }

    /// What a line of a `crt-list` names.
    ///
    /// # Errors
    /// One of them cannot be used.
    pub(super) fn listed(&mut self, name: &str, extra: &Files) -> Result<Vec<Arc<Slot>>, String> {
        let (crt_base, key_base) = (self.global.crt_base.as_ref(), self.global.key_base.as_ref());
        let path = files::path(name, crt_base);
        let at = |file: &Option<String>, base| file.as_ref().map(|file| files::path(file, base));
        let extra = Files {
            key: at(&extra.key, key_base),
            ocsp: at(&extra.ocsp, crt_base),
            issuer: at(&extra.issuer, crt_base),
        };
        self.file(&path, &extra)
    }

    /// A file, or a bundle of them when there is none of this name.
    fn file(&mut self, path: &str, extra: &Files) -> Result<Vec<Arc<Slot>>, String> {
        let bundle = self.global.load_extra.is_none_or(|kinds| kinds.value.bundle);
        if path.starts_with('@')
            || self.slots.contains_key(path)
            || Path::new(path).exists()
            || !bundle
        {
            return Ok(vec![self.one(path, extra)?]);
        }
        let found: Vec<String> = KINDS
            .iter()
            .map(|kind| format!("{path}{kind}"))
            .filter(|file| Path::new(file).exists())
            .collect();
        if found.is_empty() {
            return Ok(vec![self.one(path, extra)?]);
        }
        found.iter().map(|file| self.one(file, extra)).collect()
    }

    /// A certificate of a `crt-store` section, under the names it can be called by.
    ///
    /// # Errors
    /// It cannot be used.
    pub(super) fn declare(
        &mut self,
        section: &CrtStore,
        load: &CertLoad,
    ) -> Result<Option<Arc<Slot>>, String> {
        let global = self.global;
        let crt_base = section.crt_base.as_ref().or(global.crt_base.as_ref());
        let key_base = section.key_base.as_ref().or(global.key_base.as_ref());
        let text = |file: &Option<Spanned<String>>, base: Option<&Spanned<String>>| {
            file.as_ref().map(|file| files::path(&file.value, base))
        };
        let Some(path) = text(&load.crt, crt_base) else { return Ok(None) };
        let extra = Files {
            key: text(&load.key, key_base),
            ocsp: text(&load.ocsp, crt_base),
            issuer: text(&load.issuer, crt_base),
        };
        let store = &section.name.value;
        let written = load.crt.as_ref().map_or("", |crt| crt.value.as_str());
        let name = name_of(section, load, &path);
        if self.slots.contains_key(&name) {
            return Err(format!("the certificate '{name}' is declared already"));
        }
        let certificate = if load.acme.is_on() && !Path::new(&path).exists() {
            temporary(&load.acme).map_err(|error| format!("'{path}': {error}"))?
        } else {
            self.load(&path, &extra)?
        };
        let slot = Arc::new(Slot::new(name.as_str(), Arc::new(certificate)));
        self.live.insert(slot.clone());
        if let Some(update) = load.ocsp_update {
            self.declared.insert(slot.name.clone());
            self.updates(&slot, Some(update.value))?;
        }
        self.slots.insert(in_store(store, written), slot.clone());
        if store.is_empty() {
            self.slots.insert(path, slot.clone());
        }
        self.slots.insert(name, slot.clone());
        Ok(Some(slot))
    }

    /// The name of a certificate whose file has no private key, and the certificate.
    pub(super) fn without_key(
        &self,
        section: &CrtStore,
        load: &CertLoad,
    ) -> Option<(String, CertificateDer<'static>)> {
        let base = section.crt_base.as_ref().or(self.global.crt_base.as_ref());
        let path = files::path(&load.crt.as_ref()?.value, base);
        let parts = files::parts(&path).ok()?;
        let keyed = parts.key.is_some()
            || parts.is_locked()
            || load.key.is_some()
            || Path::new(&format!("{path}.key")).exists();
        let certificate = parts.certificates.into_iter().next().filter(|_| !keyed)?;
        Some((name_of(section, load, &path), certificate))
    }

    fn one(&mut self, path: &str, extra: &Files) -> Result<Arc<Slot>, String> {
        if let Some(slot) = self.slots.get(path) {
            return Ok(slot.clone());
        }
        if let Some(slot) = self.live.slot(path) {
            return Ok(slot);
        }
        if path.starts_with('@') {
            return Err(format!("no certificate is called '{path}'"));
        }
        let certificate = self.load(path, extra)?;
        let slot = Arc::new(Slot::new(path, Arc::new(certificate)));
        self.live.insert(slot.clone());
        self.slots.insert(path.to_owned(), slot.clone());
        Ok(slot)
    }

    /// Reads a certificate with the files beside it.
    fn load(&mut self, path: &str, extra: &Files) -> Result<Certificate, String> {
        let kinds = self.global.load_extra.map(|kinds| kinds.value).unwrap_or_default();
        let mut own = self.passphrases.parts(path)?;
        let key = match &extra.key {
            Some(name) => Some(self.passphrases.parts(name)?),
            None if own.key.is_none() && !own.is_locked() && kinds.key => {
                let base = match path.strip_suffix(".crt") {
                    Some(base) if self.global.load_extra_del_ext.is_some() => base,
                    _ => path,
                };
                let name = format!("{base}.key");
                if Path::new(&name).exists() { Some(self.passphrases.parts(&name)?) } else { None }
            }
            None => None,
        };
        let issuer = match &extra.issuer {
            Some(name) => Some(files::parts(name)?),
            None if kinds.issuer && Path::new(&format!("{path}.issuer")).exists() => {
                Some(files::parts(&format!("{path}.issuer"))?)
            }
            None => None,
        };
        let issuer = issuer.and_then(|parts| parts.certificates.into_iter().next());
        let beside = format!("{path}.ocsp");
        let ocsp = match &extra.ocsp {
            Some(name) => Some((name, files::read(name)?)),
            None if kinds.ocsp => files::read_optional(&beside)?.map(|data| (&beside, data)),
            None => None,
        };
        if kinds.sctl && Path::new(&format!("{path}.sctl")).exists() {
            self.notes.push(format!(
                "'{path}.sctl': certificate timestamps are not sent in the handshake, no effect"
            ));
        }
        if own.certificates.len() == 1 {
            let chain = self.chain_of(&own.certificates[0])?;
            own.certificates.extend(chain);
        }
        let certificate =
            Certificate::new(own, key, issuer).map_err(|error| format!("'{path}': {error}"))?;
        let Some((name, response)) = ocsp.filter(|(_, data)| !data.is_empty()) else {
            return Ok(certificate);
        };
        if certificate.ocsp_id.is_none() {
            return Err(format!(
                "'{name}' is present and activates OCSP but it is impossible to compute the OCSP \
                 certificate ID (maybe the issuer could not be found)"
            ));
        }
        if let Err(error) = certificate.judge_ocsp(&response, clock::wall().secs) {
            self.notes.push(format!("'{name}': {error}. Content will be ignored."));
            return Ok(certificate);
        }
        Ok(certificate.with_ocsp(Some(response), true))
    }

    /// Notes what `ocsp-update` says about a certificate; the global mode counts when it is not there.
    ///
    /// # Errors
    /// It said something else elsewhere.
    pub(super) fn updates(&mut self, slot: &Arc<Slot>, said: Option<bool>) -> Result<(), String> {
        let known = self.updated.get(&slot.name).copied();
        // What a 'crt-store' says holds wherever nothing else is said.
        let stored = known.filter(|_| self.declared.contains(&slot.name));
        let mode = self.global.ocsp.mode.is_some_and(|mode| mode.value);
        let on = said.or(stored).unwrap_or(mode);
        match known {
            Some(known) if known != on => {
                return Err(format!(
                    "certificate '{}' has 'ocsp-update {}' here and '{}' elsewhere",
                    slot.name,
                    if on { "on" } else { "off" },
                    if known { "on" } else { "off" }
                ));
            }
            Some(_) => {}
            None => drop(self.updated.insert(slot.name.clone(), on)),
        }
        let certificate = slot.certificate();
        if on && certificate.responder.is_some() && certificate.ocsp_id.is_none() {
            return Err(format!(
                "certificate '{}' has 'ocsp-update on', and its issuer, which a request needs, was not found",
                slot.name
            ));
        }
        if on {
            self.live.update_ocsp_of(&slot.name);
        }
        Ok(())
    }

    /// The certificates above one, from `issuers-chain-path`.
    fn chain_of(
        &mut self,
        leaf: &CertificateDer<'static>,
    ) -> Result<Vec<CertificateDer<'static>>, String> {
        let Some(directory) = &self.global.issuers_chain_path else { return Ok(Vec::new()) };
        if self.chains.is_none() {
            let mut chains = Vec::new();
            for file in files::directory(&directory.value)? {
                chains.push(files::parts(&file)?.certificates);
            }
            self.chains = Some(chains);
        }
        let chains = self.chains.iter().flatten();
        let mut fitting = chains.filter(|chain| {
            chain.first().is_some_and(|issuer| proxy_tls::names::is_issuer(issuer, leaf))
        });
        Ok(fitting.next().cloned().unwrap_or_default())
    }
}

/// A certificate for the time until an authority has signed one.
fn temporary(acme: &AcmeCert) -> Result<Certificate, String> {
    let key = CertificateKey::generate(KeyKind::P256)?;
    let certificate = proxy_acme::temporary(&key, &acme.domains, &acme.ips)?;
    let own = Parts::new(vec![certificate], Some(key.der()));
    Certificate::new(own, None, None).map_err(|error| error.to_string())
}

/// What a certificate of a section is called.
fn name_of(section: &CrtStore, load: &CertLoad, path: &str) -> String {
    let store = &section.name.value;
    let written = load.crt.as_ref().map_or("", |crt| crt.value.as_str());
    match &load.alias {
        Some(alias) => format!("@{store}/{}", alias.value),
        None if store.is_empty() => path.to_owned(),
        None => in_store(store, written),
    }
}

/// The name of a certificate of a section: `@section/file`, or `@section` and the path where that is absolute.
fn in_store(section: &str, file: &str) -> String {
    format!("@{section}/{}", file.strip_prefix('/').unwrap_or(file))
}
