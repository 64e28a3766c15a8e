//! OCSP responses of certificates: shown, replaced, kept fresh.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;

use super::{Inner, LiveError, Store};
use crate::listener::Slot;
use crate::material::Certificate;
use crate::ocsp::{Id, OcspError, Response};

/// How often responses are asked for, in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Delays {
    /// `ocsp-update.mindelay`.
    pub min: i64,
    /// `ocsp-update.maxdelay`.
    pub max: i64,
}

impl Default for Delays {
    fn default() -> Self {
        Self { min: 300, max: 3600 }
    }
}

impl Delays {
    /// When to ask again for what is good until `expires`.
    fn next(self, now: i64, expires: i64) -> i64 {
        now + (expires - now).min(self.max).max(self.min)
    }
}

/// What became of the last request (management manual, "show ssl ocsp-updates").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    #[default]
    Unknown,
    Done,
    Http,
    /// An answer without a response in it.
    NoResponse,
    Check,
    Insertion,
}

impl Outcome {
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }

    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Unknown => "Unknown",
            Self::Done => "Update successful",
            Self::Http => "HTTP error",
            Self::NoResponse => "Missing \"ocsp-response\" header",
            Self::Check => "OCSP response check failure",
            Self::Insertion => "Error during insertion",
        }
    }
}

/// How updates of one response went. Times are in seconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Course {
    pub next: Option<i64>,
    pub last: Option<i64>,
    pub successes: u64,
    pub failures: u64,
    pub outcome: Outcome,
}

/// A certificate that has, or waits for, a response.
#[derive(Clone, Debug)]
pub struct OcspView {
    pub id: Id,
    /// The first certificate that shows it.
    pub path: Arc<str>,
    pub response: Option<Vec<u8>>,
    /// Whether it is kept fresh, and how that went.
    pub updated: bool,
    pub course: Course,
}

/// A response to be asked for.
#[derive(Clone, Debug)]
pub struct Job {
    pub id: Id,
    pub path: Arc<str>,
    /// `http://` and so on.
    pub responder: String,
    pub request: Vec<u8>,
    issuer: CertificateDer<'static>,
}

impl Inner {
    fn with_id(&self) -> impl Iterator<Item = (&Arc<Slot>, Arc<Certificate>, Id)> {
        self.slots.values().flatten().filter_map(|slot| {
            let certificate = slot.certificate();
            let id = certificate.ocsp_id.clone()?;
            Some((slot, certificate, id))
        })
    }

    fn is_updated(&self, slot: &Slot, certificate: &Certificate) -> bool {
        self.turn(slot, certificate).is_some()
    }

    /// Its place among the certificates whose response is kept fresh.
    fn turn(&self, slot: &Slot, certificate: &Certificate) -> Option<usize> {
        certificate.responder.as_ref()?;
        self.ocsp_updated.get(&*slot.name).copied()
    }

    fn job(&self, slot: &Slot, certificate: &Certificate, id: Id) -> Option<Job> {
        Some(Job {
            request: id.request(),
            id,
            path: slot.name.clone(),
            responder: certificate.responder.clone()?,
            issuer: certificate.issuer.clone()?,
        })
    }

    /// Gives a response to every certificate that it is about.
    fn put(&mut self, id: &Id, response: &[u8]) -> usize {
        let slots: Vec<_> = self
            .with_id()
            .filter(|(_, _, own)| own == id)
            .map(|(slot, certificate, _)| (slot.clone(), certificate))
            .collect();
        for (slot, certificate) in &slots {
            slot.replace(Arc::new(certificate.with_ocsp(Some(response.to_vec()), true)));
        }
        self.refresh(slots.iter().map(|(slot, _)| slot));
        slots.len()
    }

    fn refresh<'a>(&self, slots: impl Iterator<Item = &'a Arc<Slot>> + Clone) {
        for bound in &self.listeners {
            let uses = bound.listener.with_entries(|entries| {
                entries.iter().any(|e| slots.clone().any(|slot| Arc::ptr_eq(slot, &e.slot)))
            });
            if uses {
                bound.listener.refresh();
            }
        }
    }
}

impl Store {
    /// `ocsp-update on` for a certificate.
    pub fn update_ocsp_of(&self, name: &str) {
        let updated = &mut self.inner.lock().ocsp_updated;
        let turn = updated.len();
        updated.entry(name.to_owned()).or_insert(turn);
    }

    /// Every certificate that has a response, or is to get one.
    #[must_use]
    pub fn ocsp(&self) -> Vec<OcspView> {
        let inner = self.inner.lock();
        let mut all: Vec<OcspView> = Vec::new();
        for (slot, certificate, id) in inner.with_id() {
            let updated = inner.is_updated(slot, &certificate);
            if certificate.ocsp.is_none() && !updated {
                continue;
            }
            if let Some(known) = all.iter_mut().find(|known| known.id == id) {
                known.updated |= updated;
                continue;
            }
            let course = inner.courses.get(&id).copied().unwrap_or_default();
            let response = certificate.ocsp.clone();
            all.push(OcspView { id, path: slot.name.clone(), response, updated, course });
        }
        all
    }

    /// `set ssl ocsp-response`.
    ///
    /// # Errors
    /// The response is about none of the certificates, or is not good now.
    pub fn set_ocsp(&self, data: &[u8], now: i64) -> Result<Id, OcspError> {
        let response = Response::parse(data)?;
        response.expires(now)?;
        match self.inner.lock().put(&response.id, data) {
            0 => Err(OcspError::NoCertificate),
            _ => Ok(response.id),
        }
    }

    /// The request for one certificate's response.
    ///
    /// # Errors
    /// There is no such certificate, or no responder for it is known.
    pub fn ocsp_job(&self, name: &str) -> Result<Job, LiveError> {
        let inner = self.inner.lock();
        let slot = inner.slots.get(name).and_then(Option::as_ref).ok_or(LiveError::Unknown)?;
        let certificate = slot.certificate();
        let id = certificate.ocsp_id.clone();
        id.and_then(|id| inner.job(slot, &certificate, id)).ok_or(LiveError::NoResponder)
    }

    /// The next request that is due at `now`, or how many seconds to wait for it. `None`: nothing is to be asked for.
    #[must_use]
    pub fn next_ocsp(&self, now: i64, delays: Delays) -> Option<Result<Job, i64>> {
        let mut inner = self.inner.lock();
        let mut due: Option<((i64, usize), Job)> = None;
        let mut courses = Vec::new();
        for (slot, certificate, id) in inner.with_id() {
            let Some(turn) = inner.turn(slot, &certificate) else { continue };
            let known = inner.courses.get(&id).and_then(|course| course.next);
            let at = known.unwrap_or_else(|| {
                let response = certificate.ocsp.as_deref();
                let expires = response
                    .and_then(|response| Response::parse(response).ok())
                    .and_then(|response| response.next_update);
                expires.map_or(now, |expires| delays.next(now, expires))
            });
            if known.is_none() {
                courses.push((id.clone(), at));
            }
            let is_first = due.as_ref().is_none_or(|(first, _)| (at, turn) < *first);
            if let Some(job) = is_first.then(|| inner.job(slot, &certificate, id)).flatten() {
                due = Some(((at, turn), job));
            }
        }
        for (id, at) in courses {
            inner.courses.entry(id).or_default().next.get_or_insert(at);
        }
        due.map(|((at, _), job)| if at <= now { Ok(job) } else { Err(at - now) })
    }

    /// Takes up the answer to a request; `None` is none that could be read. Tells how all of them went.
    pub fn answer_ocsp(
        &self,
        job: &Job,
        answer: Result<&[u8], Outcome>,
        now: i64,
        delays: Delays,
    ) -> Course {
        let checked = answer.and_then(|data| {
            let response = Response::parse(data).map_err(|_| Outcome::Check)?;
            let expires = response.expires(now).map_err(|_| Outcome::Check)?;
            response.verify(&job.issuer, now).map_err(|_| Outcome::Check)?;
            if response.id == job.id { Ok((data, expires)) } else { Err(Outcome::Check) }
        });
        let mut inner = self.inner.lock();
        let outcome = match checked {
            Err(outcome) => Err(outcome),
            Ok((data, expires)) => match inner.put(&job.id, data) {
                0 => Err(Outcome::Insertion),
                _ => Ok(expires),
            },
        };
        let course = inner.courses.entry(job.id.clone()).or_default();
        match outcome {
            Ok(expires) => {
                course.successes += 1;
                (course.outcome, course.last) = (Outcome::Done, Some(now));
                course.next = Some(delays.next(now, expires));
            }
            Err(outcome) => {
                course.failures += 1;
                course.outcome = outcome;
                course.next = Some(now + delays.min);
            }
        }
        *course
    }

    /// Stops showing responses that are not good any longer.
    pub fn expire_ocsp(&self, now: i64) {
        let inner = self.inner.lock();
        let old = |certificate: &Certificate| {
            certificate.is_stapled() && certificate.ocsp_expires.is_some_and(|end| end < now)
        };
        let slots: Vec<_> = inner
            .with_id()
            .filter(|(_, certificate, _)| old(certificate))
            .map(|(slot, certificate, _)| (slot.clone(), certificate))
            .collect();
        for (slot, certificate) in &slots {
            slot.replace(Arc::new(certificate.with_ocsp(certificate.ocsp.clone(), false)));
        }
        if !slots.is_empty() {
            inner.refresh(slots.iter().map(|(slot, _)| slot));
        }
    }
}
