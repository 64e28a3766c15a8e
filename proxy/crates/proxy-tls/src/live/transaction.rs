//! Certificates change as a whole: a draft takes effect at its commit.

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::sync::Arc;

use super::{Changed, Inner, LiveError, Store, View};
use crate::listener::Slot;
use crate::material::{Certificate, MaterialError, Parts};
use crate::ocsp::{OcspError, Response};

/// A certificate as it will be.
#[derive(Debug, Default)]
pub(super) struct Draft {
    name: String,
    chain: Vec<CertificateDer<'static>>,
    key: Option<PrivateKeyDer<'static>>,
    issuer: Option<CertificateDer<'static>>,
    ocsp: Option<Vec<u8>>,
    /// The response came with the transaction.
    own_ocsp: bool,
}

impl Draft {
    fn of(name: &str, certificate: Option<&Certificate>) -> Self {
        let mut draft = Self { name: name.to_owned(), ..Self::default() };
        if let Some(certificate) = certificate {
            draft.chain.clone_from(&certificate.chain);
            draft.key = Some(certificate.key_der.clone_key());
            draft.issuer.clone_from(&certificate.issuer);
            draft.ocsp.clone_from(&certificate.ocsp);
        }
        draft
    }

    fn build(&self) -> Result<Certificate, MaterialError> {
        let key = self.key.as_ref().map(PrivateKeyDer::clone_key);
        let own = Parts::new(self.chain.clone(), key);
        let certificate = Certificate::new(own, None, self.issuer.clone())?;
        let Some(response) = &self.ocsp else { return Ok(certificate) };
        let id = Response::parse(response)?.id;
        if certificate.ocsp_id.as_ref() == Some(&id) {
            return Ok(certificate.with_ocsp(Some(response.clone()), true));
        }
        // The response of the former certificate is of no use for another one.
        if self.own_ocsp { Err(OcspError::OtherCertificate.into()) } else { Ok(certificate) }
    }
}

/// A part of a certificate that has a file of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Whole,
    Key,
    Issuer,
    Ocsp,
}

const PARTS: [(&str, Part); 3] =
    [(".key", Part::Key), (".issuer", Part::Issuer), (".ocsp", Part::Ocsp)];

impl Store {
    /// The certificate that a transaction is about.
    #[must_use]
    pub fn transaction(&self) -> Option<String> {
        self.inner.lock().draft.as_ref().map(|draft| draft.name.clone())
    }

    /// The draft of a certificate, when it is complete.
    #[must_use]
    pub fn view_draft(&self, name: &str) -> Option<View> {
        let inner = self.inner.lock();
        let draft = inner.draft.as_ref().filter(|draft| draft.name == name)?;
        Some(View { certificate: draft.build().ok().map(Arc::new), used: false })
    }

    /// `new ssl cert`.
    ///
    /// # Errors
    /// There is one of this name.
    pub fn create(&self, name: &str) -> Result<(), LiveError> {
        let mut inner = self.inner.lock();
        if inner.slots.contains_key(name) {
            return Err(LiveError::Exists);
        }
        inner.slots.insert(name.to_owned(), None);
        Ok(())
    }

    /// `set ssl cert`: changes a certificate, or the part of it that has a file of this name, in a draft.
    ///
    /// # Errors
    /// There is none of this name, another transaction is going on, or the text is of no use.
    pub fn set(&self, name: &str, text: &[u8]) -> Result<Changed, LiveError> {
        let mut inner = self.inner.lock();
        let (name, part) = inner.find(name).ok_or(LiveError::Unknown)?;
        let created = match &inner.draft {
            None => true,
            Some(draft) if draft.name == name => false,
            Some(draft) => return Err(LiveError::OtherTransaction(draft.name.clone())),
        };
        let mut draft = match inner.draft.take() {
            Some(draft) => draft,
            None => {
                let current = inner.slots.get(&name).and_then(Option::as_ref);
                Draft::of(&name, current.map(|slot| slot.certificate()).as_deref())
            }
        };
        let outcome = change(&mut draft, part, text);
        // A mistake leaves a draft as it was, and starts none.
        if outcome.is_ok() || !created {
            inner.draft = Some(draft);
        }
        outcome.map(|()| Changed { name, created })
    }

    /// `commit ssl cert`: puts the draft in the certificate's place. Tells how many lines show it.
    ///
    /// # Errors
    /// There is no such draft, or it does not hold together; nothing has changed then.
    pub fn commit(&self, name: &str) -> Result<usize, LiveError> {
        let mut inner = self.inner.lock();
        let draft = inner.draft.as_ref().ok_or(LiveError::NoTransaction)?;
        if draft.name != name {
            return Err(LiveError::OtherTransaction(draft.name.clone()));
        }
        let certificate = Arc::new(draft.build()?);
        let slot = match inner.slots.get(name) {
            Some(Some(slot)) => {
                slot.replace(certificate);
                slot.clone()
            }
            _ => {
                let slot = Arc::new(Slot::new(name, certificate));
                inner.slots.insert(name.to_owned(), Some(slot.clone()));
                slot
            }
        };
        inner.draft = None;
        inner.take_up(&slot)
    }

    /// Puts a certificate in the place of one that is there, past any draft. Tells how many lines show it.
    ///
    /// # Errors
    /// There is none of this name, or a server's settings could not be prepared.
    pub fn install(&self, name: &str, certificate: Certificate) -> Result<usize, LiveError> {
        let inner = self.inner.lock();
        let slot = inner.slots.get(name).and_then(Option::as_ref).ok_or(LiveError::Unknown)?;
        slot.replace(Arc::new(certificate));
        inner.take_up(slot)
    }

    /// `abort ssl cert`.
    ///
    /// # Errors
    /// There is no such draft.
    pub fn abort(&self, name: &str) -> Result<(), LiveError> {
        let mut inner = self.inner.lock();
        match &inner.draft {
            None => Err(LiveError::NoTransaction),
            Some(draft) if draft.name != name => {
                Err(LiveError::OtherTransaction(draft.name.clone()))
            }
            Some(_) => {
                inner.draft = None;
                Ok(())
            }
        }
    }

    /// `del ssl cert`.
    ///
    /// # Errors
    /// There is none, or somebody shows it.
    pub fn remove(&self, name: &str) -> Result<(), LiveError> {
        let mut inner = self.inner.lock();
        let slot = inner.slots.get(name).ok_or(LiveError::Unknown)?;
        if slot.as_ref().is_some_and(|slot| inner.is_used(slot)) {
            return Err(LiveError::InUse);
        }
        inner.slots.remove(name);
        Ok(())
    }
}

impl Inner {
    /// Has everyone who shows a certificate take up its change; tells how many do.
    fn take_up(&self, slot: &Arc<Slot>) -> Result<usize, LiveError> {
        let mut count = 0;
        for bound in &self.listeners {
            let uses = bound.listener.with_entries(|entries| {
                entries.iter().filter(|entry| Arc::ptr_eq(&entry.slot, slot)).count()
            });
            if uses > 0 {
                bound.listener.refresh();
            }
            count += uses;
        }
        for client in self.clients().filter(|client| client.shows(slot)) {
            client.refresh().map_err(|error| LiveError::Text(error.to_string()))?;
            count += 1;
        }
        Ok(count)
    }

    /// The certificate that a file name belongs to.
    fn find(&self, file: &str) -> Option<(String, Part)> {
        if self.slots.contains_key(file) {
            return Some((file.to_owned(), Part::Whole));
        }
        PARTS.iter().find_map(|(end, part)| {
            let name = file.strip_suffix(end)?;
            let crt = format!("{name}.crt");
            if self.slots.contains_key(name) {
                return Some((name.to_owned(), *part));
            }
            (self.del_ext && self.slots.contains_key(&crt)).then_some((crt, *part))
        })
    }
}

fn change(draft: &mut Draft, part: Part, text: &[u8]) -> Result<(), LiveError> {
    if part == Part::Ocsp {
        let text: Vec<u8> =
            text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
        let response = decode(&text)
            .ok_or_else(|| LiveError::Text("an OCSP response is expected in base64".to_owned()))?;
        Response::parse(&response).map_err(MaterialError::Ocsp)?;
        (draft.ocsp, draft.own_ocsp) = (Some(response), true);
        return Ok(());
    }
    let parts = Parts::parse(text)?;
    match part {
        Part::Key => draft.key = Some(parts.key.ok_or(MaterialError::NoKey)?),
        Part::Issuer => {
            let first = parts.certificates.into_iter().next();
            draft.issuer = Some(first.ok_or(MaterialError::NoCertificate)?);
        }
        Part::Whole | Part::Ocsp => {
            if parts.certificates.is_empty() {
                return Err(MaterialError::NoCertificate.into());
            }
            draft.chain = parts.certificates;
            if let Some(key) = parts.key {
                draft.key = Some(key);
            }
        }
    }
    Ok(())
}

fn decode(text: &[u8]) -> Option<Vec<u8>> {
    use base64::Engine;
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).ok()?;
    (!bytes.is_empty()).then_some(bytes)
}
