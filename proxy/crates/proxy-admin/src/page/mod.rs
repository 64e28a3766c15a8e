//! The statistics page (configuration manual, 4.2 `stats enable`): who may see it, in which form, and what the
//! request asks for behind the URI (`;csv`, `;json`, `;typed`, `;norefresh`, `;up`, `;no-maint`, `;scope=`).

mod change;
mod html;

use crate::context::Product;
use crate::stats::{Object, Scope, csv, json, schema, typed};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use proxy_state::{Now, Registry};
use std::sync::Arc;
use std::time::Duration;

use change::Outcome;
pub use change::{ControlThread, Sent};

/// The page of one section.
pub struct Page {
    pub registry: Arc<Registry>,
    pub control: Box<dyn ControlThread>,
    pub product: Product,
    pub process: Process,
    /// `stats uri`.
    pub uri: String,
    pub realm: String,
    /// `stats auth`: user, colon, password. Empty lets everybody in.
    pub accounts: Vec<String>,
    pub refresh: Option<Duration>,
    pub show_version: bool,
    pub node: Option<String>,
    pub description: Option<String>,
    pub legends: bool,
    /// Names of the sections shown; empty shows all.
    pub scope: Vec<String>,
}

/// What the head of the page says of the process.
#[derive(Clone, Debug)]
pub struct Process {
    pub pid: u32,
    /// Worker threads.
    pub threads: u32,
}

/// A request for the page.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The target, which begins with [`Page::uri`].
    pub target: &'a str,
    /// The value of `Authorization`.
    pub authorization: Option<&'a [u8]>,
    /// The client may change states: some `stats admin` condition holds.
    pub admin: bool,
    /// What was sent with POST.
    pub sent: Option<Sent<'a>>,
    pub now: Now,
}

/// The answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

/// What the words behind the URI ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Options {
    form: Form,
    no_refresh: bool,
    up: bool,
    no_maint: bool,
    /// Part of the names of the proxies wanted.
    scope: Option<String>,
    /// What to tell of the last change.
    outcome: Option<Outcome>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Form {
    Csv,
    #[default]
    Html,
    Json,
    JsonSchema,
    Typed,
}

/// Longest filter that is looked at, in bytes.
const SCOPE_MAX: usize = 64;

impl Options {
    /// Reads the words between semicolons (and ampersands, of the page's own form) behind the URI.
    fn parse(rest: &str) -> Self {
        let mut options = Self::default();
        for word in rest.split([';', '&', '?']) {
            match word {
                "csv" => options.form = Form::Csv,
                "json" => options.form = Form::Json,
                "json-schema" => options.form = Form::JsonSchema,
                "typed" => options.form = Form::Typed,
                "norefresh" => options.no_refresh = true,
                "up" => options.up = true,
                "no-maint" => options.no_maint = true,
                _ => {
                    if let Some(text) = word.strip_prefix("scope=").filter(|text| !text.is_empty())
                    {
                        options.scope = Some(text.chars().take(SCOPE_MAX).collect());
                    } else if let Some(code) = word.strip_prefix("st=") {
                        options.outcome = Outcome::find(code);
                    }
                }
            }
        }
        options
    }

    /// The same words again, for links; `change` turns one of them over.
    fn link(&self, uri: &str, change: impl FnOnce(&mut Self)) -> String {
        let mut options = self.clone();
        change(&mut options);
        let mut link = uri.to_owned();
        let form = match options.form {
            Form::Csv => ";csv",
            Form::Html => "",
            Form::Json => ";json",
            Form::JsonSchema => ";json-schema",
            Form::Typed => ";typed",
        };
        link.push_str(form);
        if let Some(outcome) = options.outcome {
            link.push_str(";st=");
            link.push_str(outcome.code());
        }
        for (set, word) in [
            (options.no_refresh, ";norefresh"),
            (options.up, ";up"),
            (options.no_maint, ";no-maint"),
        ] {
            if set {
                link.push_str(word);
            }
        }
        if let Some(scope) = &options.scope {
            link.push_str(";scope=");
            link.push_str(scope);
        }
        link
    }
}

impl Page {
    /// Makes the answer. Takes as long as there are servers: not for a thread that others wait for.
    pub fn answer(&self, request: &Request<'_>) -> Response {
        if !self.admits(request.authorization) {
            return self.refuse();
        }
        let options = Options::parse(request.target.get(self.uri.len()..).unwrap_or_default());
        if let Some(sent) = &request.sent {
            let outcome = self.change(sent, request.admin, request.now);
            let place = options.link(&self.uri, |o| o.outcome = Some(outcome));
            return Response {
                status: 303,
                headers: vec![
                    ("cache-control", "no-cache".to_owned()),
                    ("content-length", "0".to_owned()),
                    ("location", place),
                ],
                body: Vec::new(),
            };
        }
        let (kind, body) = match options.form {
            Form::Csv => {
                let lines = self.objects(&options, request.now).map(|object| csv::line(&object));
                ("text/plain", std::iter::once(csv::header()).chain(lines).collect::<String>())
            }
            Form::Json => {
                let items: Vec<String> =
                    self.objects(&options, request.now).map(|o| json::object(&o)).collect();
                ("application/json", format!("[{}]\n", items.join(",")))
            }
            Form::JsonSchema => ("application/json", format!("{}\n", schema::SCHEMA)),
            Form::Typed => {
                let lines = self.objects(&options, request.now).map(|o| typed::object(&o, false));
                ("text/plain", lines.collect())
            }
            Form::Html => {
                self.registry.observe_rates(request.now);
                let objects: Vec<Object> = self.objects(&options, request.now).collect();
                ("text/html", html::page(self, &options, &objects, request).into_string())
            }
        };
        let mut headers = vec![
            ("cache-control", "no-cache".to_owned()),
            ("content-type", kind.to_owned()),
            ("content-length", body.len().to_string()),
        ];
        if let Some(delay) = self.refresh
            && !options.no_refresh
            && options.form == Form::Html
        {
            headers.push(("refresh", delay.as_secs().max(1).to_string()));
        }
        Response { status: 200, headers, body: body.into_bytes() }
    }

    /// The lines shown, in the order of the configuration.
    fn objects(&self, options: &Options, now: Now) -> impl Iterator<Item = Object> {
        let scope = Scope { no_maint: options.no_maint, up: options.up, ..Scope::default() };
        let filter = options.scope.clone();
        scope.objects(&self.registry, now, self.legends).filter(move |object| {
            let name = object.proxy_name();
            (self.scope.is_empty() || self.scope.iter().any(|shown| shown == name))
                && filter.as_ref().is_none_or(|part| name.contains(part.as_str()))
        })
    }

    /// Whether the credentials are those of an account (RFC 7617).
    fn admits(&self, authorization: Option<&[u8]>) -> bool {
        if self.accounts.is_empty() {
            return true;
        }
        let Some(value) = authorization else { return false };
        let Some((scheme, token)) = value.split_at_checked(6) else { return false };
        if !scheme.eq_ignore_ascii_case(b"basic ") {
            return false;
        }
        let Ok(given) = BASE64.decode(token.trim_ascii()) else { return false };
        // Every account is compared in full, so that the time taken tells nothing.
        let mut admitted = false;
        for account in &self.accounts {
            let account = account.as_bytes();
            let colon: &[u8] = if account.contains(&b':') { b"" } else { b":" };
            admitted |= equal(&given, account, colon);
        }
        admitted
    }

    fn refuse(&self) -> Response {
        let body = "<html><body><h1>401 Unauthorized</h1>\n\
                    You need a valid user and password to access this content.\n</body></html>\n";
        let realm = self.realm.replace(['"', '\\'], "'");
        Response {
            status: 401,
            headers: vec![
                ("cache-control", "no-cache".to_owned()),
                ("content-type", "text/html".to_owned()),
                ("www-authenticate", format!("Basic realm=\"{realm}\"")),
                ("content-length", body.len().to_string()),
            ],
            body: body.into(),
        }
    }
}

/// Compares `given` with `account` followed by `end`, in a time that depends on the lengths only.
fn equal(given: &[u8], account: &[u8], end: &[u8]) -> bool {
    let wanted = account.iter().chain(end);
    let length = account.len() + end.len();
    let differs =
        given.iter().zip(wanted).fold(given.len() ^ length, |all, (a, b)| all | usize::from(a ^ b));
    differs == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_behind_the_uri_are_understood() {
        assert_eq!(Options::parse(""), Options::default());
        let options = Options::parse(";csv;norefresh");
        assert!(options.form == Form::Csv && options.no_refresh && !options.up);
        let options = Options::parse(";up;no-maint&scope=web");
        assert!(options.up && options.no_maint);
        assert_eq!(options.scope.as_deref(), Some("web"));
        assert_eq!(options.link("/s", |o| o.up = false), "/s;no-maint;scope=web");
        assert_eq!(Options::parse(";scope=").scope, None);
    }

    #[test]
    fn accounts_are_compared_whole() {
        assert!(equal(b"a:b", b"a:b", b""));
        assert!(equal(b"a:", b"a", b":"));
        assert!(!equal(b"a:bc", b"a:b", b""));
        assert!(!equal(b"a:", b"a:b", b""));
        assert!(!equal(b"", b"a", b":"));
    }
}
