//! One resolution of a name: all nameservers at once, other query types after errors, all of it again until it is
//! given up (configuration manual, 5.3.2).

use crate::Family;
use crate::counters::count;
use crate::exchange::{Failure, Nameserver};
use crate::family::Families;
use crate::spec::SectionSpec;
use crate::wire::{Answer, Kind, Question};
use std::rc::Rc;
use tokio::sync::{Semaphore, mpsc};

/// Resolutions of a section that may be under way at once: what a nameserver has to bear, and descriptors.
const AT_ONCE: usize = 256;

/// A `resolvers` section at work.
#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) spec: SectionSpec,
    pub(crate) nameservers: Vec<Rc<Nameserver>>,
    families: Rc<Families>,
    slots: Semaphore,
}

/// What a name is resolved to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Want {
    /// Addresses, of the preferred family first.
    Addresses(Family),
    Services,
    Texts,
}

/// An answer, and the index of the nameserver that gave it first.
pub(crate) type Found = (usize, Answer);

impl Section {
    pub(crate) fn new(spec: SectionSpec, families: Rc<Families>) -> Self {
        let nameservers =
            spec.nameservers.iter().map(|spec| Rc::new(Nameserver::new(spec.clone()))).collect();
        Self { spec, nameservers, families, slots: Semaphore::new(AT_ONCE) }
    }

    /// `section/nameserver`, for logs.
    pub(crate) fn label(&self, nameserver: usize) -> String {
        let name = self.nameservers.get(nameserver).map_or("", |n| n.spec.name.as_str());
        format!("{}/{name}", self.spec.name)
    }

    /// Resolves a name. Takes `retries` rounds of `timeout retry` at most for each query type.
    pub(crate) async fn lookup(&self, name: &str, want: Want) -> Result<Found, Failure> {
        let kinds: Vec<Kind> = match want {
            Want::Addresses(prefer) => self.families.in_order(prefer).map(Kind::Address).collect(),
            Want::Services => vec![Kind::Service],
            Want::Texts => vec![Kind::Text],
        };
        // Never closed.
        let Ok(_slot) = self.slots.acquire().await else { return Err(Failure::Other) };
        let mut failure = Failure::Other;
        for _ in 0..self.spec.retries.max(1) {
            for kind in &kinds {
                let Ok(question) = Question::new(name, *kind) else { return Err(Failure::Other) };
                match self.round(question).await {
                    Ok(found) => return Ok(found),
                    Err(other) => failure = other,
                }
                // The other family will not answer sooner.
                if failure == Failure::Timeout {
                    break;
                }
            }
        }
        Err(failure)
    }

    /// Asks every nameserver. The first answer counts; or else, when all have failed or the time is over, the last error.
    async fn round(&self, question: Question) -> Result<Found, Failure> {
        let question = Rc::new(question);
        let (say, mut said) = mpsc::unbounded_channel();
        for (index, nameserver) in self.nameservers.iter().enumerate() {
            let (say, question, nameserver) = (say.clone(), question.clone(), nameserver.clone());
            let (limit, payload) = (self.spec.retry, self.spec.payload);
            tokio::task::spawn_local(async move {
                let answer = tokio::time::timeout(limit, nameserver.ask(&question, payload)).await;
                let counters = &nameserver.counters;
                if answer.is_err() {
                    count(&counters.timeout);
                }
                let answer = answer.unwrap_or(Err(Failure::Timeout));
                if say.send((index, answer)).is_err() {
                    count(&counters.outdated);
                }
            });
        }
        drop(say);
        let mut failure = Failure::Timeout;
        while let Some((index, answer)) = said.recv().await {
            match answer {
                Ok(answer) => return Ok((index, answer)),
                Err(Failure::Timeout) => {}
                Err(other) => failure = other,
            }
        }
        Err(failure)
    }
}
