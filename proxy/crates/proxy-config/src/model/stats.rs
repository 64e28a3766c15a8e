//! The statistics page of a proxy.

use std::time::Duration;

use proxy_types::{Span, Spanned};

/// `stats ...` (configuration manual, 4.2): what the page shows and to whom. Any line of it switches the page on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatsPage {
    /// The first line that switched it on.
    pub enabled: Option<Span>,
    /// Requests whose target begins with this get the page.
    pub uri: Option<Spanned<String>>,
    pub realm: Option<Spanned<String>>,
    /// `user:password` pairs; empty lets everybody in.
    pub accounts: Vec<Spanned<String>>,
    /// How often a browser is asked to load the page again.
    pub refresh: Option<Spanned<Duration>>,
    pub show_version: bool,
    /// `None` hides it, `Some(None)` is the global one.
    pub node: Option<Option<String>>,
    pub description: Option<Option<String>>,
    pub legends: bool,
    /// Sections shown; `.` is the section itself, empty shows all.
    pub scope: Vec<String>,
}

impl StatsPage {
    /// 4.2 "stats uri": the prefix when none is given.
    pub const URI: &'static str = "/haproxy?stats";
    /// 4.2 "stats realm".
    pub const REALM: &'static str = "HAProxy Statistics";

    pub fn uri(&self) -> &str {
        self.uri.as_ref().map_or(Self::URI, |uri| &uri.value)
    }

    pub fn realm(&self) -> &str {
        self.realm.as_ref().map_or(Self::REALM, |realm| &realm.value)
    }
}
