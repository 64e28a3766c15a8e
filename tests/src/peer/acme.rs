//! A certificate authority that speaks ACME (RFC 8555): signatures, nonces and addresses of requests are verified, and
//! certificates are really signed.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, bail, ensure};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{self, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, IsCa, Issuer,
    KeyPair,
};
use serde_json::{Value, json};

/// What is asked about a name when it is to be proven.
#[derive(Clone, Debug)]
pub struct Asked {
    /// `http-01` and so on.
    pub kind: &'static str,
    pub name: String,
    pub token: String,
    /// The token and the account's thumbprint.
    pub authorization: String,
    /// What a TXT record must say.
    pub dns: String,
}

type Judge = dyn Fn(&Asked) -> Result<(), String> + Send + Sync;

struct Authorization {
    name: String,
    wildcard: bool,
    token: String,
    valid: Option<bool>,
    why: String,
}

struct Order {
    names: Vec<(String, String)>,
    first: usize,
    certificate: Option<String>,
}

#[derive(Default)]
struct State {
    nonces: HashSet<String>,
    made: u64,
    accounts: Vec<Value>,
    orders: Vec<Order>,
    authorizations: Vec<Authorization>,
    contacts: Vec<Value>,
    /// Nonces refused without reason.
    refused: u32,
}

struct Shared {
    base: Mutex<String>,
    state: Mutex<State>,
    judge: Box<Judge>,
    issuer: Issuer<'static, KeyPair>,
    ca: String,
}

/// The authority, in plain HTTP on a loopback port.
pub struct AcmeServer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl AcmeServer {
    /// Starts; `judge` looks at answers to challenges.
    pub fn start(
        judge: impl Fn(&Asked) -> Result<(), String> + Send + Sync + 'static,
    ) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        params.distinguished_name.push(DnType::CommonName, format!("acme {address}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = params.self_signed(&key)?.pem();
        let shared = Arc::new(Shared {
            base: Mutex::new(format!("http://{address}")),
            state: Mutex::default(),
            judge: Box::new(judge),
            issuer: Issuer::new(params, key),
            ca,
        });
        let served = shared.clone();
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let shared = served.clone();
                std::thread::spawn(move || serve(&shared, socket));
            }
        });
        Ok(Self { address, shared })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Clients reach it by another address.
    pub fn set_base(&self, base: &str) {
        *self.shared.base.lock().unwrap_or_else(|e| e.into_inner()) = base.to_owned();
    }

    /// Its own certificate.
    pub fn ca(&self) -> &str {
        &self.shared.ca
    }

    /// Accounts and certificates so far.
    pub fn counts(&self) -> (usize, usize) {
        let state = self.shared.state.lock().unwrap_or_else(|e| e.into_inner());
        let signed = state.orders.iter().filter(|order| order.certificate.is_some()).count();
        (state.accounts.len(), signed)
    }

    /// What accounts said of themselves when they were made.
    pub fn contacts(&self) -> Vec<Value> {
        self.shared.state.lock().unwrap_or_else(|e| e.into_inner()).contacts.clone()
    }
}

struct Reply {
    status: u16,
    location: Option<String>,
    body: Vec<u8>,
}

impl Reply {
    fn json(status: u16, body: &Value) -> Self {
        Self { status, location: None, body: body.to_string().into_bytes() }
    }

    fn problem(status: u16, kind: &str, detail: &str) -> Self {
        let kind = format!("urn:ietf:params:acme:error:{kind}");
        Self::json(status, &json!({ "type": kind, "detail": detail }))
    }
}

fn serve(shared: &Shared, socket: TcpStream) {
    let _ = exchange(shared, socket);
}

fn exchange(shared: &Shared, mut socket: TcpStream) -> Result<()> {
    let mut reader = BufReader::new(socket.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let (method, path) = line
        .split_once(' ')
        .and_then(|(method, rest)| Some((method.to_owned(), rest.split_once(' ')?.0.to_owned())))
        .context("a request line")?;
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|n| n.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let reply = if method == "POST"
        && headers.get("content-type").map(String::as_str) != Some("application/jose+json")
    {
        Reply::problem(415, "malformed", "content-type")
    } else {
        answer(shared, &method, &path, &body)
            .unwrap_or_else(|error| Reply::problem(400, "malformed", &format!("{error:#}")))
    };
    let nonce = {
        let mut state = shared.state.lock().unwrap_or_else(|e| e.into_inner());
        state.made += 1;
        let nonce = format!("nonce-{}", state.made);
        state.nonces.insert(nonce.clone());
        nonce
    };
    let location = reply.location.map(|url| format!("location: {url}\r\n")).unwrap_or_default();
    let head = format!(
        "HTTP/1.1 {} x\r\nreplay-nonce: {nonce}\r\nretry-after: 0\r\n{location}content-length: {}\r\nconnection: close\r\n\r\n",
        reply.status,
        reply.body.len()
    );
    socket.write_all(head.as_bytes())?;
    if method != "HEAD" {
        socket.write_all(&reply.body)?;
    }
    Ok(())
}

fn decode(value: &Value) -> Result<Vec<u8>> {
    Ok(URL_SAFE_NO_PAD.decode(value.as_str().context("a text")?)?)
}

fn thumbprint(jwk: &Value) -> String {
    let field = |name: &str| jwk[name].as_str().unwrap_or_default();
    let canonical = match field("kty") {
        "RSA" => format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, field("e"), field("n")),
        _ => format!(
            r#"{{"crv":"{}","kty":"EC","x":"{}","y":"{}"}}"#,
            field("crv"),
            field("x"),
            field("y")
        ),
    };
    URL_SAFE_NO_PAD.encode(digest(&SHA256, canonical.as_bytes()))
}

fn verify(jwk: &Value, algorithm: &str, data: &[u8], signature: &[u8]) -> Result<()> {
    let bad = |_| anyhow::anyhow!("the signature is wrong");
    if algorithm == "RS256" {
        let (n, e) = (decode(&jwk["n"])?, decode(&jwk["e"])?);
        let public = signature::RsaPublicKeyComponents { n: &n, e: &e };
        return public.verify(&signature::RSA_PKCS1_2048_8192_SHA256, data, signature).map_err(bad);
    }
    let how: &signature::EcdsaVerificationAlgorithm = match algorithm {
        "ES256" => &signature::ECDSA_P256_SHA256_FIXED,
        "ES384" => &signature::ECDSA_P384_SHA384_FIXED,
        other => bail!("algorithm {other}"),
    };
    let point = [vec![4], decode(&jwk["x"])?, decode(&jwk["y"])?].concat();
    UnparsedPublicKey::new(how, point).verify(data, signature).map_err(bad)
}

fn answer(shared: &Shared, method: &str, path: &str, body: &[u8]) -> Result<Reply> {
    let base = shared.base.lock().unwrap_or_else(|e| e.into_inner()).clone();
    let mut state = shared.state.lock().unwrap_or_else(|e| e.into_inner());
    let url = |path: &str| format!("{base}{path}");
    match (method, path) {
        ("GET", "/directory") => {
            let directory = json!({ "newNonce": url("/nonce"), "newAccount": url("/account"), "newOrder": url("/order") });
            return Ok(Reply::json(200, &directory));
        }
        ("HEAD", "/nonce") => return Ok(Reply::json(200, &json!({}))),
        ("POST", _) => {}
        _ => bail!("no such page"),
    }
    let jws: Value = serde_json::from_slice(body)?;
    let protected: Value = serde_json::from_slice(&decode(&jws["protected"])?)?;
    let nonce = protected["nonce"].as_str().unwrap_or_default();
    // Some are lost, as those that are too old are.
    state.refused += 1;
    if !state.nonces.remove(nonce) || state.refused == 3 {
        return Ok(Reply::problem(400, "badNonce", nonce));
    }
    ensure!(protected["url"] == url(path), "the url is {} and not {path}", protected["url"]);
    let account = protected["kid"].as_str().map(|kid| -> Result<usize> {
        let number = kid.strip_prefix(&url("/account/")).context("a foreign account")?;
        Ok(number.parse()?)
    });
    let account = account.transpose()?;
    let jwk = match account {
        Some(number) => state.accounts.get(number).context("no such account")?.clone(),
        None => protected["jwk"].clone(),
    };
    let text = |name: &str| jws[name].as_str().unwrap_or_default();
    let signed = format!("{}.{}", text("protected"), text("payload"));
    let algorithm = protected["alg"].as_str().unwrap_or_default();
    verify(&jwk, algorithm, signed.as_bytes(), &decode(&jws["signature"])?)?;
    let payload: Value = serde_json::from_slice(&decode(&jws["payload"])?).unwrap_or_default();
    if path == "/account" {
        let known = state.accounts.iter().position(|account| *account == jwk);
        let number = known.unwrap_or(state.accounts.len());
        if known.is_none() {
            state.accounts.push(jwk);
            state.contacts.push(payload["contact"].clone());
        }
        let mut reply =
            Reply::json(if known.is_some() { 200 } else { 201 }, &json!({ "status": "valid" }));
        reply.location = Some(url(&format!("/account/{number}")));
        return Ok(reply);
    }
    ensure!(account.is_some(), "who is that?");
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match parts.as_slice() {
        ["order"] => {
            let first = state.authorizations.len();
            let mut names = Vec::new();
            for identifier in payload["identifiers"].as_array().context("identifiers")? {
                let field = |name: &str| identifier[name].as_str().unwrap_or_default().to_owned();
                let (kind, value) = (field("type"), field("value"));
                let token = format!("token-{}", state.authorizations.len());
                let name = value.trim_start_matches("*.").to_owned();
                let wildcard = name != value;
                let authorization =
                    Authorization { name, wildcard, token, valid: None, why: String::new() };
                state.authorizations.push(authorization);
                names.push((kind, value));
            }
            state.orders.push(Order { names, first, certificate: None });
            let number = state.orders.len() - 1;
            let mut reply = Reply::json(201, &order(&state, number, &url));
            reply.location = Some(url(&format!("/order/{number}")));
            Ok(reply)
        }
        ["order", number] => Ok(Reply::json(200, &order(&state, number.parse()?, &url))),
        ["authz", number] => {
            let number: usize = number.parse()?;
            let authz = state.authorizations.get(number).context("no such authorization")?;
            let status = match authz.valid {
                None => "pending",
                Some(true) => "valid",
                Some(false) => "invalid",
            };
            let challenge = |kind: &str| {
                json!({ "type": kind, "url": url(&format!("/challenge/{number}/{kind}")), "token": authz.token,
                        "status": status, "error": { "type": "urn:ietf:params:acme:error:unauthorized",
                        "detail": authz.why } })
            };
            let kinds = ["http-01", "dns-01", "dns-persist-01"].map(challenge);
            let identifier = json!({ "type": "dns", "value": authz.name });
            Ok(Reply::json(
                200,
                &json!({ "status": status, "identifier": identifier,
                "wildcard": authz.wildcard, "challenges": kinds }),
            ))
        }
        ["challenge", number, kind] => {
            let number: usize = number.parse()?;
            let authz = state.authorizations.get(number).context("no such authorization")?;
            let authorization = format!("{}.{}", authz.token, thumbprint(&jwk));
            let asked = Asked {
                kind: match *kind {
                    "http-01" => "http-01",
                    "dns-01" => "dns-01",
                    _ => "dns-persist-01",
                },
                name: authz.name.clone(),
                token: authz.token.clone(),
                dns: URL_SAFE_NO_PAD.encode(digest(&SHA256, authorization.as_bytes())),
                authorization,
            };
            drop(state);
            let judged = (shared.judge)(&asked);
            let mut state = shared.state.lock().unwrap_or_else(|e| e.into_inner());
            let authz = state.authorizations.get_mut(number).context("no such authorization")?;
            authz.valid = Some(judged.is_ok());
            authz.why = judged.err().unwrap_or_default();
            Ok(Reply::json(200, &json!({ "status": "processing" })))
        }
        ["finalize", number] => {
            let number: usize = number.parse()?;
            ensure!(is_ready(&state, number), "the order is not ready");
            let der = decode(&payload["csr"])?;
            let csr = CertificateSigningRequestParams::from_der(&der.into())?;
            let asked: Vec<String> = csr
                .params
                .subject_alt_names
                .iter()
                .map(|name| match name {
                    rcgen::SanType::DnsName(name) => name.as_str().to_owned(),
                    rcgen::SanType::IpAddress(ip) => ip.to_string(),
                    other => format!("{other:?}"),
                })
                .collect();
            let ordered = state.orders.get(number).context("no such order")?.names.iter();
            let ordered: Vec<String> = ordered.map(|(_, value)| value.clone()).collect();
            ensure!(asked == ordered, "{asked:?} is not {ordered:?}");
            let certificate = csr.signed_by(&shared.issuer)?;
            let order_of = state.orders.get_mut(number).context("no such order")?;
            order_of.certificate = Some(format!("{}{}", certificate.pem(), shared.ca));
            Ok(Reply::json(200, &order(&state, number, &url)))
        }
        ["certificate", number] => {
            let order = state.orders.get(number.parse::<usize>()?).context("no such order")?;
            let pem = order.certificate.clone().context("no certificate yet")?;
            Ok(Reply { status: 200, location: None, body: pem.into_bytes() })
        }
        _ => bail!("no such page"),
    }
}

fn is_ready(state: &State, number: usize) -> bool {
    state.orders.get(number).is_some_and(|order| {
        let own = &state.authorizations[order.first..order.first + order.names.len()];
        own.iter().all(|authz| authz.valid == Some(true))
    })
}

fn order(state: &State, number: usize, url: &dyn Fn(&str) -> String) -> Value {
    let Some(order) = state.orders.get(number) else { return json!({}) };
    let status = match (&order.certificate, is_ready(state, number)) {
        (Some(_), _) => "valid",
        (None, true) => "ready",
        (None, false) => "pending",
    };
    let authorizations: Vec<String> =
        (0..order.names.len()).map(|n| url(&format!("/authz/{}", order.first + n))).collect();
    let mut value = json!({ "status": status, "authorizations": authorizations,
        "finalize": url(&format!("/finalize/{number}")) });
    if order.certificate.is_some() {
        value["certificate"] = url(&format!("/certificate/{number}")).into();
    }
    value
}
