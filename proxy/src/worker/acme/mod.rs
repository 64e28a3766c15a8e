//! Certificates by ACME: when they are renewed, and what is known of that (configuration manual, 12.8).

mod attempt;
mod http;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use proxy_acme::{AccountKey, CertificateKey};
use proxy_admin::AcmeRow;
use proxy_names::Names;
use proxy_net::clock;
use proxy_rules::pattern::PatternLists;
use proxy_stream::log::Sink;
use proxy_stream::log::ring::Ring;
use proxy_tls::live::Store;
use proxy_tls::material::{Certificate, Parts};
use tokio::sync::Notify;

use crate::assemble::tls::acme::{Account, Authority, Plan, Wanted};
use crate::messages;
pub(crate) use http::Http;

/// Longest time between two looks at a certificate (12.8).
const LOOK: Duration = Duration::from_secs(12 * 3600);
/// Renewed this long before its end, when its beginning is not known.
const BEFORE: i64 = 7 * 24 * 3600;
/// Attempts of one renewal, and the time before the second; it doubles.
const ATTEMPTS: u32 = 5;
const PAUSE: Duration = Duration::from_secs(5);
const NOTICE: u8 = 5;
const WARNING: u8 = 4;

/// Everything that is renewed.
pub(crate) struct Acme {
    authorities: Vec<(Authority, Option<Arc<AccountKey>>)>,
    jobs: Vec<Rc<Job>>,
    scheduler: bool,
    store: Arc<Store>,
    patterns: Arc<PatternLists>,
    names: Rc<Names>,
    http: Http,
    log: Option<Arc<dyn Sink>>,
    ring: Option<Arc<Ring>>,
}

/// A certificate that is renewed.
struct Job {
    wanted: Wanted,
    running: Cell<bool>,
    /// A renewal was asked for.
    asked: Notify,
    /// Names whose challenge is ready, as somebody said.
    confirmed: RefCell<HashSet<String>>,
    said: Notify,
    /// It came from an authority, not from a file.
    issued: Cell<bool>,
}

/// What the jobs work with.
pub(crate) struct Means {
    pub(crate) store: Arc<Store>,
    pub(crate) patterns: Arc<PatternLists>,
    pub(crate) names: Rc<Names>,
    pub(crate) http: Http,
    pub(crate) log: Option<Arc<dyn Sink>>,
    /// `dpapi`: what programs that set records and keep certificates read.
    pub(crate) ring: Option<Arc<Ring>>,
}

/// Makes keys of accounts that have none yet, while their files can be written.
///
/// # Errors
/// A key cannot be made or kept; what is to be said about it.
pub(crate) fn open_accounts(plan: &mut Plan) -> Result<(), String> {
    use std::os::unix::fs::OpenOptionsExt;
    let used: HashSet<usize> = plan.certificates.iter().map(|wanted| wanted.authority).collect();
    for (index, authority) in plan.authorities.iter_mut().enumerate() {
        let Account::New(path) = &authority.account else { continue };
        if !used.contains(&index) {
            continue;
        }
        let fail = |error: String| {
            format!("acme '{}': account key '{}': {error}", authority.name, path.display())
        };
        let made = CertificateKey::generate(authority.key_kind).map_err(fail)?;
        let mut options = std::fs::OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(path);
        file.and_then(|mut file| std::io::Write::write_all(&mut file, made.pem().as_bytes()))
            .map_err(|error| fail(error.to_string()))?;
        let key = AccountKey::new(&made.der()).map_err(|error| fail(error.to_string()))?;
        messages::notice(format_args!(
            "acme '{}': made the account key '{}'",
            authority.name,
            path.display()
        ));
        authority.account = Account::Known(Arc::new(key));
    }
    Ok(())
}

impl Acme {
    /// `handed` are certificates of the worker before, as PEM by name: good ones take the place of older files.
    pub(crate) fn new(plan: Plan, means: Means, handed: &BTreeMap<String, String>) -> Rc<Self> {
        let mut jobs = Vec::new();
        for wanted in plan.certificates {
            let handed = handed.get(&*wanted.name);
            let issued = handed.is_some_and(|pem| take_over(&means.store, &wanted.name, pem));
            jobs.push(Rc::new(Job {
                wanted,
                running: Cell::new(false),
                asked: Notify::new(),
                confirmed: RefCell::default(),
                said: Notify::new(),
                issued: Cell::new(issued),
            }));
        }
        let keyed = plan.authorities.into_iter().map(|authority| {
            let key = match &authority.account {
                Account::Known(key) => Some(key.clone()),
                // Nobody uses it.
                Account::New(_) => None,
            };
            (authority, key)
        });
        let keyed: Vec<_> = keyed.collect();
        for (authority, _) in &keyed {
            if let Some(map) =
                authority.map.as_ref().filter(|map| means.patterns.find(map).is_none())
            {
                messages::warning(format_args!(
                    "acme '{}': no rule looks at the map '{map}': challenges will not be answered by it",
                    authority.name
                ));
            }
        }
        Rc::new(Self {
            authorities: keyed,
            jobs,
            scheduler: plan.scheduler,
            store: means.store,
            patterns: means.patterns,
            names: means.names,
            http: means.http,
            log: means.log,
            ring: means.ring,
        })
    }

    /// Keeps certificates fresh, on the current thread's local task set.
    pub(crate) fn start(self: &Rc<Self>) {
        for job in &self.jobs {
            tokio::task::spawn_local(self.clone().keep(job.clone()));
        }
    }

    async fn keep(self: Rc<Self>, job: Rc<Job>) {
        let mut at_once = false;
        loop {
            if !std::mem::take(&mut at_once) && !self.is_time(&job).await {
                continue;
            }
            self.renew(&job).await;
            if self.due(&job).is_some_and(|due| due <= clock::wall().secs) {
                // It did not work: not soon again, unless somebody asks for it.
                let asked = tokio::time::timeout(LOOK, job.asked.notified()).await;
                at_once = asked.is_ok() || self.scheduler;
            }
        }
    }

    /// Waits until a certificate is to be renewed; false after a while, when it may be due at another time.
    async fn is_time(&self, job: &Job) -> bool {
        let due = self.due(job).filter(|_| self.scheduler);
        let Some(due) = due else {
            job.asked.notified().await;
            return true;
        };
        let left = Duration::from_secs(u64::try_from(due - clock::wall().secs).unwrap_or(0));
        if left.is_zero() {
            return true;
        }
        tokio::time::timeout(left.min(LOOK), job.asked.notified()).await.is_ok()
    }

    /// When a certificate is to be renewed, in seconds since 1970.
    fn due(&self, job: &Job) -> Option<i64> {
        let certificate = self.store.view(&job.wanted.name)?.certificate?;
        let (since, until) = certificate.validity()?;
        let before = if since > 0 { (until - since) / 12 } else { BEFORE };
        Some(until - before)
    }

    async fn renew(&self, job: &Job) {
        job.running.set(true);
        let mut pause = PAUSE;
        for attempt in 1..=ATTEMPTS {
            let name = &job.wanted.name;
            match self.attempt(job).await {
                Ok(()) => {
                    job.issued.set(true);
                    self.tell(NOTICE, &format!("acme: '{name}': the certificate is renewed"));
                    self.announce(&format!("acme newcert {name}"));
                    break;
                }
                Err(error) => {
                    let more = if attempt < ATTEMPTS { "" } else { ", given up" };
                    let text =
                        format!("acme: '{name}': {error} (attempt {attempt} of {ATTEMPTS}{more})");
                    messages::warning(format_args!("{text}"));
                    self.tell(WARNING, &text);
                }
            }
            if attempt < ATTEMPTS {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
        }
        job.running.set(false);
    }

    fn tell(&self, level: u8, text: &str) {
        if let Some(log) = &self.log {
            log.line(level, text.as_bytes());
        }
    }

    /// Tells programs that read the ring, and the log.
    fn announce(&self, text: &str) {
        self.tell(NOTICE, text);
        if let Some(ring) = &self.ring {
            let time = proxy_rules::x509::iso_seconds(clock::wall().secs);
            ring.append(std::iter::once(format!("<5>{time} {text}").as_bytes()));
        }
    }

    /// `acme renew`. False: it is none of ours, or is being renewed.
    pub(crate) fn ask(&self, name: &str) -> Result<(), &'static str> {
        let job = self.jobs.iter().find(|job| *job.wanted.name == *name);
        let job = job.ok_or("it has no 'acme'")?;
        if job.running.get() {
            return Err("it is being renewed already");
        }
        job.asked.notify_one();
        Ok(())
    }

    /// `acme challenge_ready`: how many names are still waited for.
    pub(crate) fn confirm(&self, name: &str, domain: &str) -> Result<usize, &'static str> {
        let job = self.jobs.iter().find(|job| *job.wanted.name == *name);
        let job = job.ok_or("it has no 'acme'")?;
        if !job.running.get() {
            return Err("it is not being renewed");
        }
        let plain = |name: &str| name.trim_start_matches("*.").to_ascii_lowercase();
        let domain = plain(domain);
        if !job.wanted.domains.iter().any(|known| plain(known) == domain) {
            return Err("it is not for this domain");
        }
        job.confirmed.borrow_mut().insert(domain);
        job.said.notify_waiters();
        let confirmed = job.confirmed.borrow();
        Ok(job.wanted.domains.iter().filter(|known| !confirmed.contains(&plain(known))).count())
    }

    /// `acme status`.
    pub(crate) fn rows(&self) -> Vec<AcmeRow> {
        let row = |job: &Rc<Job>| {
            let certificate = self.store.view(&job.wanted.name).and_then(|view| view.certificate);
            let section = self.authorities.get(job.wanted.authority);
            AcmeRow {
                certificate: job.wanted.name.to_string(),
                section: section.map_or_else(String::new, |(authority, _)| authority.name.clone()),
                state: match (job.running.get(), self.scheduler) {
                    (true, _) => "Running",
                    (false, true) => "Scheduled",
                    (false, false) => "Stopped",
                },
                expires: certificate.and_then(|own| own.validity()).map_or(0, |(_, until)| until),
                due: self.due(job).unwrap_or(0),
                now: clock::wall().secs,
            }
        };
        self.jobs.iter().map(row).collect()
    }

    /// Certificates that no file has, for the worker that comes next.
    pub(crate) fn issued(&self) -> BTreeMap<String, String> {
        let issued = self.jobs.iter().filter(|job| job.issued.get());
        issued
            .filter_map(|job| {
                let certificate = self.store.view(&job.wanted.name)?.certificate?;
                Some((job.wanted.name.to_string(), certificate.to_pem()))
            })
            .collect()
    }
}

/// Takes a certificate of the worker before, when it is good for longer than the one of the file.
fn take_over(store: &Store, name: &str, pem: &str) -> bool {
    let read = || {
        let parts = Parts::parse(pem.as_bytes()).ok()?;
        let handed = Certificate::new(parts, None, None).ok()?;
        let known = store.view(name)?.certificate?;
        let until =
            |certificate: &Certificate| certificate.validity().map_or(0, |(_, until)| until);
        (until(&handed) > until(&known)).then_some(handed)
    };
    read().is_some_and(|certificate| store.install(name, certificate).is_ok())
}
