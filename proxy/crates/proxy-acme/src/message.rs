//! What the authority says (RFC 8555, 7.1).

use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Directory {
    pub(crate) new_nonce: String,
    pub(crate) new_account: String,
    pub(crate) new_order: String,
    #[serde(default)]
    pub(crate) meta: Meta,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Meta {
    #[serde(default)]
    pub(crate) external_account_required: bool,
}

/// What an order, an authorization or a challenge is in.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Pending,
    Ready,
    Processing,
    Valid,
    Invalid,
    Deactivated,
    Expired,
    Revoked,
    #[serde(other)]
    Unknown,
}

/// A name or an address.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Identifier {
    /// `dns` or `ip`.
    #[serde(rename = "type")]
    pub kind: String,
    pub value: String,
}

/// What an authority refuses for (RFC 7807).
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
pub struct Problem {
    #[serde(rename = "type", default)]
    pub kind: String,
    #[serde(default)]
    pub detail: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = self.kind.rsplit(':').next().unwrap_or_default();
        // Whoever reads it may have a terminal.
        let detail: String =
            self.detail.chars().filter(|char| !char.is_control()).take(500).collect();
        write!(f, "{kind}: {detail}")
    }
}

/// An order for a certificate.
#[derive(Clone, Debug, Deserialize)]
pub struct Order {
    #[serde(skip)]
    pub url: String,
    pub status: Status,
    #[serde(default)]
    pub authorizations: Vec<String>,
    pub finalize: String,
    pub certificate: Option<String>,
    pub error: Option<Problem>,
}

/// What proves that a name is ours.
#[derive(Clone, Debug, Deserialize)]
pub struct Authorization {
    #[serde(skip)]
    pub url: String,
    pub identifier: Identifier,
    pub status: Status,
    #[serde(default)]
    pub challenges: Vec<Challenge>,
    #[serde(default)]
    pub wildcard: bool,
}

/// One way to prove it.
#[derive(Clone, Debug, Deserialize)]
pub struct Challenge {
    /// `http-01`, `dns-01` and so on.
    #[serde(rename = "type")]
    pub kind: String,
    pub url: String,
    #[serde(default)]
    pub token: String,
    pub status: Status,
    pub error: Option<Problem>,
}
