//! The conversation with an authority.

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::jws::{self, Eab};
use crate::key::{AccountKey, KeyError, base64url};
use crate::message::{Authorization, Challenge, Directory, Order, Problem, Status};

/// Attempts when the authority does not like the nonce (RFC 8555, 6.5).
const NONCES: u32 = 3;
/// How often the authority is asked whether it is done.
const POLLS: u32 = 60;
/// Time between two such questions, unless the authority says how long.
const PAUSE: Duration = Duration::from_secs(2);
/// Longest time that the authority may ask us to wait for between two.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Names of one order; what an authority sends for them is bounded by it.
const AUTHORIZATIONS: usize = 1000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Head,
    /// With `content-type: application/jose+json`.
    Post,
}

/// What is to be sent.
#[derive(Debug)]
pub struct Question {
    pub method: Method,
    pub url: String,
    pub body: Vec<u8>,
}

/// What came back.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub status: u16,
    /// `replay-nonce`.
    pub nonce: Option<String>,
    pub location: Option<String>,
    /// `retry-after`, when it is in seconds.
    pub retry_after: Option<u64>,
    pub body: Vec<u8>,
}

/// Who carries the bytes, and lets time pass.
pub trait Transport {
    /// Sends a request and waits for the whole answer, which the carrier bounds in size and time.
    fn send(&self, question: Question) -> impl Future<Output = Result<Answer, String>>;

    fn sleep(&self, time: Duration) -> impl Future<Output = ()>;
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum AcmeError {
    #[error("{0}")]
    Transport(String),
    #[error("the server answered {status}: {problem}")]
    Refused { status: u16, problem: Problem },
    #[error("the server's answer cannot be read: {0}")]
    Answer(String),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(
        "the server wants an account bound to one of its own: use 'eab-key-id' and 'eab-mac-key'"
    )]
    EabRequired,
    #[error("the challenge for '{name}' failed: {problem}")]
    Challenge { name: String, problem: Problem },
    #[error("the order failed: {0}")]
    Order(Problem),
    #[error("the server did not come to an end in time")]
    TooSlow,
}

/// An authority, and our account there.
pub struct Client<T> {
    transport: T,
    directory: Directory,
    key: Arc<AccountKey>,
    account: Option<String>,
    nonce: Option<String>,
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, AcmeError> {
    serde_json::from_slice(body).map_err(|error| AcmeError::Answer(error.to_string()))
}

impl<T: Transport> Client<T> {
    /// Asks an authority where its services are.
    ///
    /// # Errors
    /// It cannot be reached, or is none.
    pub async fn meet(transport: T, url: &str, key: Arc<AccountKey>) -> Result<Self, AcmeError> {
        let question = Question { method: Method::Get, url: url.to_owned(), body: Vec::new() };
        let answer = transport.send(question).await.map_err(AcmeError::Transport)?;
        if answer.status != 200 {
            return Err(refused(&answer));
        }
        let directory = read(&answer.body)?;
        Ok(Self { transport, directory, key, account: None, nonce: answer.nonce })
    }

    #[must_use]
    pub fn transport(&self) -> &T {
        &self.transport
    }

    /// Our account, once there is one.
    #[must_use]
    pub fn account(&self) -> Option<&str> {
        self.account.as_deref()
    }

    async fn nonce(&mut self) -> Result<String, AcmeError> {
        if let Some(nonce) = self.nonce.take() {
            return Ok(nonce);
        }
        let url = self.directory.new_nonce.clone();
        let question = Question { method: Method::Head, url, body: Vec::new() };
        let answer = self.transport.send(question).await.map_err(AcmeError::Transport)?;
        answer.nonce.ok_or_else(|| AcmeError::Answer("it has no nonce".to_owned()))
    }

    /// A signed request; without a payload it asks for what is there.
    async fn post(&mut self, url: &str, payload: Option<&Value>) -> Result<Answer, AcmeError> {
        let payload = payload.map(Value::to_string).unwrap_or_default();
        let mut attempt = 0;
        loop {
            let nonce = self.nonce().await?;
            let kid = self.account.as_deref();
            let body = jws::signed(&self.key, kid, &nonce, url, &payload)?;
            let question = Question { method: Method::Post, url: url.to_owned(), body };
            let mut answer = self.transport.send(question).await.map_err(AcmeError::Transport)?;
            self.nonce = answer.nonce.take();
            if (200..300).contains(&answer.status) {
                return Ok(answer);
            }
            attempt += 1;
            let error = refused(&answer);
            let stale = matches!(&error, AcmeError::Refused { problem, .. } if problem.kind.ends_with(":badNonce"));
            if !stale || attempt >= NONCES {
                return Err(error);
            }
        }
    }

    /// Finds the account of the key, or makes one.
    ///
    /// # Errors
    /// The authority refuses.
    pub async fn register(
        &mut self,
        contact: Option<&str>,
        eab: Option<&Eab>,
    ) -> Result<(), AcmeError> {
        if self.directory.meta.external_account_required && eab.is_none() {
            // An account that was made before needs none.
            let url = self.directory.new_account.clone();
            let known = self.post(&url, Some(&json!({ "onlyReturnExisting": true }))).await;
            self.account = known.map_err(|_| AcmeError::EabRequired)?.location;
            return self.account.as_ref().map(|_| ()).ok_or(AcmeError::EabRequired);
        }
        let url = self.directory.new_account.clone();
        let mut payload = json!({ "termsOfServiceAgreed": true });
        if let Some(contact) = contact {
            payload["contact"] = json!([format!("mailto:{contact}")]);
        }
        if let Some(eab) = eab {
            payload["externalAccountBinding"] = eab.bind(&self.key, &url)?;
        }
        let answer = self.post(&url, Some(&payload)).await?;
        let account =
            answer.location.ok_or_else(|| AcmeError::Answer("it names no account".to_owned()))?;
        self.account = Some(account);
        Ok(())
    }

    /// Orders a certificate.
    ///
    /// # Errors
    /// The authority refuses.
    pub async fn order(
        &mut self,
        domains: &[String],
        ips: &[IpAddr],
        profile: Option<&str>,
    ) -> Result<Order, AcmeError> {
        let names = domains.iter().map(|name| json!({ "type": "dns", "value": name }));
        let addresses = ips.iter().map(|ip| json!({ "type": "ip", "value": ip.to_string() }));
        let identifiers: Vec<Value> = names.chain(addresses).collect();
        let mut payload = json!({ "identifiers": identifiers });
        if let Some(profile) = profile {
            payload["profile"] = profile.into();
        }
        let url = self.directory.new_order.clone();
        let answer = self.post(&url, Some(&payload)).await?;
        let mut order: Order = read(&answer.body)?;
        order.url =
            answer.location.ok_or_else(|| AcmeError::Answer("it names no order".to_owned()))?;
        order.authorizations.truncate(AUTHORIZATIONS);
        Ok(order)
    }

    /// What is asked of us for one name.
    ///
    /// # Errors
    /// The authority refuses.
    pub async fn authorization(&mut self, url: &str) -> Result<Authorization, AcmeError> {
        let answer = self.post(url, None).await?;
        let mut authorization: Authorization = read(&answer.body)?;
        authorization.url = url.to_owned();
        Ok(authorization)
    }

    /// Says that a challenge can be looked at.
    ///
    /// # Errors
    /// The authority refuses.
    pub async fn ready(&mut self, challenge: &Challenge) -> Result<(), AcmeError> {
        self.post(&challenge.url, Some(&json!({}))).await.map(drop)
    }

    /// Waits until the authority has looked at our answer to a challenge of this kind.
    ///
    /// # Errors
    /// It did not like it, or takes too long.
    pub async fn proven(&mut self, url: &str, kind: &str) -> Result<(), AcmeError> {
        for _ in 0..POLLS {
            let answer = self.post(url, None).await?;
            let authorization: Authorization = read(&answer.body)?;
            match authorization.status {
                Status::Valid => return Ok(()),
                Status::Pending | Status::Processing => {}
                _ => {
                    let of_kind = authorization.challenges.into_iter().find(|c| c.kind == kind);
                    let problem = of_kind.and_then(|challenge| challenge.error).unwrap_or_default();
                    let name = authorization.identifier.value;
                    return Err(AcmeError::Challenge { name, problem });
                }
            }
            self.pause(&answer).await;
        }
        Err(AcmeError::TooSlow)
    }

    /// Sends the request for the certificate, and gets it: its own first, then its issuers, as PEM.
    ///
    /// # Errors
    /// The authority refuses, or takes too long.
    pub async fn certificate(&mut self, order: &Order, csr: &[u8]) -> Result<Vec<u8>, AcmeError> {
        let payload = json!({ "csr": base64url(csr) });
        let mut answer = self.post(&order.finalize, Some(&payload)).await?;
        for _ in 0..POLLS {
            let now: Order = read(&answer.body)?;
            match (now.status, now.certificate) {
                (Status::Valid, Some(url)) => return Ok(self.post(&url, None).await?.body),
                (Status::Invalid, _) => {
                    return Err(AcmeError::Order(now.error.unwrap_or_default()));
                }
                _ => {}
            }
            self.pause(&answer).await;
            answer = self.post(&order.url, None).await?;
        }
        Err(AcmeError::TooSlow)
    }

    async fn pause(&self, answer: &Answer) {
        let time = answer.retry_after.map_or(PAUSE, Duration::from_secs);
        self.transport.sleep(time.min(PAUSE_MAX)).await;
    }
}

fn refused(answer: &Answer) -> AcmeError {
    let problem = serde_json::from_slice(&answer.body).unwrap_or_default();
    AcmeError::Refused { status: answer.status, problem }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;
    use crate::csr::{CertificateKey, KeyKind};

    /// An authority of prepared answers; what was asked is kept.
    #[derive(Clone, Default)]
    struct Script {
        answers: Rc<RefCell<Vec<Answer>>>,
        asked: Rc<RefCell<Vec<(Method, String, String)>>>,
        slept: Rc<RefCell<Vec<Duration>>>,
    }

    impl Script {
        fn answer(&self, status: u16, location: Option<&str>, body: &Value) {
            self.answers.borrow_mut().push(Answer {
                status,
                nonce: Some("n".to_owned()),
                location: location.map(str::to_owned),
                retry_after: None,
                body: body.to_string().into_bytes(),
            });
        }

        fn paths(&self) -> Vec<String> {
            self.asked.borrow_mut().drain(..).map(|(_, url, _)| url).collect()
        }
    }

    impl Transport for Script {
        async fn send(&self, question: Question) -> Result<Answer, String> {
            let body = serde_json::from_slice::<Value>(&question.body).unwrap_or_default();
            let decode = |name: &str| {
                use base64::Engine;
                let text = body[name].as_str().unwrap_or_default();
                let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).unwrap();
                String::from_utf8(bytes).unwrap()
            };
            let payload = decode("payload");
            self.asked.borrow_mut().push((question.method, question.url, payload));
            let mut answers = self.answers.borrow_mut();
            if answers.is_empty() { Err("nothing more".to_owned()) } else { Ok(answers.remove(0)) }
        }

        async fn sleep(&self, time: Duration) {
            self.slept.borrow_mut().push(time);
        }
    }

    fn directory() -> Value {
        json!({ "newNonce": "/nonce", "newAccount": "/account", "newOrder": "/order" })
    }

    fn run<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    async fn client(script: &Script) -> Client<Script> {
        let key = CertificateKey::generate(KeyKind::P256).unwrap();
        let key = Arc::new(AccountKey::new(&key.der()).unwrap());
        script.answer(200, None, &directory());
        script.answer(201, Some("/account/1"), &json!({}));
        let mut client = Client::meet(script.clone(), "/directory", key).await.unwrap();
        client.register(Some("a@b.test"), None).await.unwrap();
        client
    }

    #[test]
    fn a_certificate_is_ordered_proven_and_fetched() {
        run(async {
            let script = Script::default();
            let mut client = client(&script).await;
            let order = json!({ "status": "pending", "authorizations": ["/authz/1"], "finalize": "/finalize" });
            script.answer(201, Some("/order/1"), &order);
            let order = client.order(&["a.test".to_owned()], &[], None).await.unwrap();
            assert_eq!(order.authorizations, ["/authz/1"]);
            let challenge = json!({ "type": "http-01", "url": "/challenge", "token": "t", "status": "pending" });
            let authz = |status: &str| {
                json!({ "status": status, "identifier": { "type": "dns", "value": "a.test" },
                        "challenges": [challenge] })
            };
            script.answer(200, None, &authz("pending"));
            let authorization = client.authorization("/authz/1").await.unwrap();
            script.answer(200, None, &json!({}));
            client.ready(&authorization.challenges[0]).await.unwrap();
            script.answer(200, None, &authz("pending"));
            script.answer(200, None, &authz("valid"));
            client.proven("/authz/1", "http-01").await.unwrap();
            assert_eq!(*script.slept.borrow(), [PAUSE]);
            script.answer(200, None, &json!({ "status": "processing", "finalize": "/finalize" }));
            let valid =
                json!({ "status": "valid", "finalize": "/finalize", "certificate": "/cert" });
            script.answer(200, None, &valid);
            script.answer(200, None, &json!("PEM"));
            assert_eq!(client.certificate(&order, b"csr").await.unwrap(), b"\"PEM\"");
            let expected = "/directory /account /order /authz/1 /challenge /authz/1 /authz/1 /finalize /order/1 /cert";
            assert_eq!(script.paths().join(" "), expected);
        });
    }

    #[test]
    fn a_stale_nonce_is_replaced_and_a_refusal_is_told() {
        run(async {
            let script = Script::default();
            let mut client = client(&script).await;
            let stale = json!({ "type": "urn:ietf:params:acme:error:badNonce" });
            script.answer(400, None, &stale);
            let refused = json!({ "type": "urn:ietf:params:acme:error:rejectedIdentifier", "detail": "no\u{1b}" });
            script.answer(403, None, &refused);
            let error = client.order(&["a.test".to_owned()], &[], Some("short")).await.unwrap_err();
            assert_eq!(error.to_string(), "the server answered 403: rejectedIdentifier: no");
            for _ in 0..NONCES {
                script.answer(400, None, &stale);
            }
            let error = client.order(&[], &[], None).await.unwrap_err();
            assert_eq!(error.to_string(), "the server answered 400: badNonce: ");
            let asked = script.asked.borrow();
            let last = &asked.last().unwrap().2;
            assert_eq!(last, r#"{"identifiers":[]}"#);
        });
    }

    #[test]
    fn a_failed_challenge_says_why() {
        run(async {
            let script = Script::default();
            let mut client = client(&script).await;
            let error =
                json!({ "type": "urn:ietf:params:acme:error:unauthorized", "detail": "404" });
            let challenge =
                json!({ "type": "dns-01", "url": "/c", "status": "invalid", "error": error });
            let authz = json!({ "status": "invalid", "identifier": { "type": "dns", "value": "a.test" },
                                "challenges": [challenge] });
            script.answer(200, None, &authz);
            let error = client.proven("/authz", "dns-01").await.unwrap_err().to_string();
            assert_eq!(error, "the challenge for 'a.test' failed: unauthorized: 404");
        });
    }

    #[test]
    fn accounts_may_be_bound_to_others() {
        run(async {
            let script = Script::default();
            let mut directory = directory();
            directory["meta"] = json!({ "externalAccountRequired": true });
            script.answer(200, None, &directory);
            script.answer(
                400,
                None,
                &json!({ "type": "urn:ietf:params:acme:error:accountDoesNotExist" }),
            );
            script.answer(201, Some("/account/1"), &json!({}));
            let key = CertificateKey::generate(KeyKind::P384).unwrap();
            let key = Arc::new(AccountKey::new(&key.der()).unwrap());
            let mut client = Client::meet(script.clone(), "/d", key).await.unwrap();
            let error = client.register(None, None).await.unwrap_err();
            assert!(matches!(error, AcmeError::EabRequired));
            let eab = Eab {
                key_id: "id".to_owned(),
                mac_key: vec![1; 32],
                algorithm: Default::default(),
            };
            client.register(None, Some(&eab)).await.unwrap();
            assert_eq!(client.account(), Some("/account/1"));
            assert!(script.asked.borrow().last().unwrap().2.contains("externalAccountBinding"));
        });
    }
}
