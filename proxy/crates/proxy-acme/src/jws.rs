//! Signed requests (RFC 8555, 6.2; RFC 7515 in the flattened form).

use aws_lc_rs::hmac;
use serde_json::{Value, json};

use crate::key::{AccountKey, KeyError, base64url};

/// Algorithms of an external account's key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hmac {
    #[default]
    Hs256,
    Hs384,
    Hs512,
}

/// An account that the authority knows from elsewhere (RFC 8555, 7.3.4).
#[derive(Clone, Debug)]
pub struct Eab {
    pub key_id: String,
    pub mac_key: Vec<u8>,
    pub algorithm: Hmac,
}

impl Hmac {
    fn parts(self) -> (hmac::Algorithm, &'static str) {
        match self {
            Self::Hs256 => (hmac::HMAC_SHA256, "HS256"),
            Self::Hs384 => (hmac::HMAC_SHA384, "HS384"),
            Self::Hs512 => (hmac::HMAC_SHA512, "HS512"),
        }
    }
}

fn flattened(
    protected: &Value,
    payload: &str,
    sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, KeyError>,
) -> Result<Value, KeyError> {
    let protected = base64url(protected.to_string());
    let payload = base64url(payload);
    let signature = base64url(sign(format!("{protected}.{payload}").as_bytes())?);
    Ok(json!({ "protected": protected, "payload": payload, "signature": signature }))
}

/// A request to `url`. Who has no account yet (`kid`) shows the key. An empty payload asks for what is there.
pub(crate) fn signed(
    key: &AccountKey,
    kid: Option<&str>,
    nonce: &str,
    url: &str,
    payload: &str,
) -> Result<Vec<u8>, KeyError> {
    let mut protected = json!({ "alg": key.algorithm(), "nonce": nonce, "url": url });
    match kid {
        Some(kid) => protected["kid"] = kid.into(),
        None => protected["jwk"] = key.jwk().clone(),
    }
    Ok(flattened(&protected, payload, |data| key.sign(data))?.to_string().into_bytes())
}

impl Eab {
    /// Binds an account key to the account.
    pub(crate) fn bind(&self, key: &AccountKey, url: &str) -> Result<Value, KeyError> {
        let (algorithm, name) = self.algorithm.parts();
        let protected = json!({ "alg": name, "kid": self.key_id, "url": url });
        let mac = hmac::Key::new(algorithm, &self.mac_key);
        flattened(&protected, &key.jwk().to_string(), |data| {
            Ok(hmac::sign(&mac, data).as_ref().to_vec())
        })
    }
}
