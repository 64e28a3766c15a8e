//! One renewal, from the order to the certificate that is shown.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use proxy_acme::{
    AccountKey, AcmeError, Authorization, CertificateKey, Challenge, Client, Status, request,
};
use proxy_config::model::AcmeChallenge;
use proxy_rules::pattern::{PatternList, Target};
use proxy_tls::material::{Certificate, Parts};
use tokio::time::Instant;

use super::{Acme, Job};
use crate::assemble::tls::acme::Authority;

/// Longest time for somebody to say that a challenge is ready.
const CONFIRMATION: Duration = Duration::from_secs(24 * 3600);
/// The section that records are looked for by.
const RESOLVERS: &str = "default";

/// Why there is no new certificate.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Acme(#[from] AcmeError),
    #[error("{0}")]
    Own(String),
}

/// Tokens in a map, as long as they are looked for.
struct Tokens {
    list: Option<Arc<PatternList>>,
    put: Vec<String>,
}

impl Tokens {
    fn put(&mut self, token: &str, thumbprint: &str) -> Result<(), Failure> {
        let Some(list) = &self.list else { return Ok(()) };
        list.put(token.as_bytes(), Some(thumbprint.as_bytes()))
            .map_err(|error| Failure::Own(format!("the map takes no token: {error}")))?;
        self.put.push(token.to_owned());
        Ok(())
    }
}

impl Drop for Tokens {
    fn drop(&mut self) {
        for token in &self.put {
            if let Some(list) = &self.list {
                // Somebody may have cleared the map.
                let _ = list.delete(Target::Key(token.as_bytes()));
            }
        }
    }
}

impl Acme {
    pub(super) async fn attempt(&self, job: &Job) -> Result<(), Failure> {
        let wanted = &job.wanted;
        let of = self.authorities.get(wanted.authority);
        let (authority, account) = of
            .and_then(|(authority, account)| Some((authority, account.as_ref()?)))
            .ok_or_else(|| Failure::Own("its account has no key".to_owned()))?;
        job.confirmed.borrow_mut().clear();
        let (key, csr) = self.key(job, authority).await?;
        let mut client =
            Client::meet(self.http.clone(), &authority.directory, account.clone()).await?;
        client.register(authority.contact.as_deref(), authority.eab.as_ref()).await?;
        let order =
            client.order(&wanted.domains, &wanted.ips, authority.profile.as_deref()).await?;
        let kind = authority.challenge.name();
        let map = authority.map.as_ref().filter(|_| authority.challenge == AcmeChallenge::Http01);
        let list = map.and_then(|map| self.patterns.find(map));
        let mut tokens = Tokens { list, put: Vec::new() };
        let mut open: Vec<(Authorization, Challenge)> = Vec::new();
        for url in &order.authorizations {
            let authorization = client.authorization(url).await?;
            if authorization.status == Status::Valid {
                continue;
            }
            let challenge =
                authorization.challenges.iter().find(|challenge| challenge.kind == kind);
            let challenge = challenge.cloned().ok_or_else(|| {
                let name = &authorization.identifier.value;
                Failure::Own(format!("the server offers no '{kind}' for '{name}'"))
            })?;
            if authority.challenge == AcmeChallenge::Http01 {
                tokens.put(&challenge.token, account.thumbprint())?;
            } else {
                self.tell_record(
                    job,
                    authority,
                    account,
                    client.account(),
                    &authorization,
                    &challenge,
                );
            }
            open.push((authorization, challenge));
        }
        if authority.challenge != AcmeChallenge::Http01 && !open.is_empty() {
            self.wait(job, authority, account, &open).await?;
        }
        for (_, challenge) in &open {
            client.ready(challenge).await?;
        }
        for (authorization, _) in &open {
            client.proven(&authorization.url, kind).await?;
        }
        let pem = client.certificate(&order, &csr).await?;
        drop(tokens);
        let unusable =
            |error: String| Failure::Own(format!("the certificate cannot be used: {error}"));
        let chain = Parts::parse(&pem).map_err(|error| unusable(error.to_string()))?.certificates;
        let own = Parts::new(chain, Some(key.der()));
        let certificate =
            Certificate::new(own, None, None).map_err(|error| unusable(error.to_string()))?;
        self.store
            .install(&wanted.name, certificate)
            .map_err(|error| unusable(error.to_string()))?;
        Ok(())
    }

    /// The key of the new certificate, and the request for that.
    async fn key(
        &self,
        job: &Job,
        authority: &Authority,
    ) -> Result<(CertificateKey, Vec<u8>), Failure> {
        let before = self.store.view(&job.wanted.name).and_then(|view| view.certificate);
        let reused = before.filter(|_| authority.reuse_key).map(|own| own.key_der.clone_key());
        let kind = authority.key_kind;
        let (domains, ips) = (job.wanted.domains.clone(), job.wanted.ips.clone());
        // Keys of RSA take their time.
        let made = tokio::task::spawn_blocking(move || {
            let key = match reused {
                Some(der) => CertificateKey::new(&der)?,
                None => CertificateKey::generate(kind)?,
            };
            let csr = request(&key, &domains, &ips)?;
            Ok((key, csr))
        });
        let made = made.await.map_err(|error| Failure::Own(error.to_string()))?;
        made.map_err(Failure::Own)
    }

    /// Tells whoever sets records what is to be set.
    fn tell_record(
        &self,
        job: &Job,
        authority: &Authority,
        account: &AccountKey,
        uri: Option<&str>,
        authorization: &Authorization,
        challenge: &Challenge,
    ) {
        let domain = &authorization.identifier.value;
        let record = match authority.challenge {
            AcmeChallenge::DnsPersist01 => format!("accounturi={}", uri.unwrap_or_default()),
            _ => account.dns_value(&challenge.token),
        };
        let text = serde_json::json!({
            "certificate": &*job.wanted.name,
            "domain": domain,
            "wildcard": authorization.wildcard,
            "challenge": challenge.kind,
            "name": record_name(authority.challenge, domain),
            "record": record,
            "provider": authority.provider,
            "vars": authority.vars,
        });
        let thumbprint = account.thumbprint();
        let line = format!("acme deploy {} thumbprint {thumbprint} {text}", job.wanted.name);
        self.announce(&line);
    }

    /// Waits for what must be before the authority looks: somebody's word, then time, then the records.
    async fn wait(
        &self,
        job: &Job,
        authority: &Authority,
        account: &AccountKey,
        open: &[(Authorization, Challenge)],
    ) -> Result<(), Failure> {
        let persists = authority.challenge == AcmeChallenge::DnsPersist01;
        if persists && self.are_set(authority, account, open).await {
            return Ok(());
        }
        let ready = authority.ready;
        if ready.cli {
            let confirmed = self.confirmed(job, open);
            tokio::time::timeout(CONFIRMATION, confirmed)
                .await
                .map_err(|_| Failure::Own("nobody said that the challenge is ready".to_owned()))?;
        }
        if ready.delay {
            tokio::time::sleep(authority.dns_delay).await;
        }
        if !ready.dns {
            return Ok(());
        }
        let until = Instant::now() + authority.dns_timeout;
        while !self.are_set(authority, account, open).await {
            if Instant::now() + authority.dns_delay > until {
                return Err(Failure::Own("the DNS records cannot be seen in time".to_owned()));
            }
            tokio::time::sleep(authority.dns_delay).await;
        }
        Ok(())
    }

    async fn confirmed(&self, job: &Job, open: &[(Authorization, Challenge)]) {
        let wanted: HashSet<&str> =
            open.iter().map(|(authorization, _)| authorization.identifier.value.as_str()).collect();
        loop {
            let said = job.said.notified();
            if wanted.iter().all(|name| job.confirmed.borrow().contains(*name)) {
                return;
            }
            said.await;
        }
    }

    /// Whether all records can be seen.
    async fn are_set(
        &self,
        authority: &Authority,
        account: &AccountKey,
        open: &[(Authorization, Challenge)],
    ) -> bool {
        for (authorization, challenge) in open {
            let name = record_name(authority.challenge, &authorization.identifier.value);
            let texts = self.names.texts(RESOLVERS, &name).await;
            let expected = account.dns_value(&challenge.token);
            let is_set = match authority.challenge {
                AcmeChallenge::DnsPersist01 => !texts.is_empty(),
                _ => texts.iter().any(|text| text == expected.as_bytes()),
            };
            if !is_set {
                return false;
            }
        }
        true
    }
}

/// Where a record must be.
fn record_name(challenge: AcmeChallenge, domain: &str) -> String {
    match challenge {
        AcmeChallenge::DnsPersist01 => format!("_validation-persist.{domain}"),
        _ => format!("_acme-challenge.{domain}"),
    }
}
