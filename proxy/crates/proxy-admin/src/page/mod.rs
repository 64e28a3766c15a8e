//! The statistics page (configuration manual, 4.2 `stats enable`): who may see it, in which form, and what the
//! request asks for behind the URI (`;csv`, `;json`, `;typed`, `;norefresh`, `;up`, `;no-maint`, `;scope=`).

mod change;
mod html;
mod options;
mod spec;

use crate::stats::{Object, Scope, csv, json, schema, typed};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use proxy_state::Now;

use options::{Form, Options};

pub use change::{ControlThread, Sent};
pub use spec::{Page, Process, Request};

/// The answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

impl Page {
    /// Makes the answer. Takes as long as there are servers: not for a thread that others wait for.
    pub fn answer(&self, request: &Request<'_>) -> Response {
        if !self.admits(request.authorization) {
            return self.refuse();
        }
        let options = Options::parse(request.target.get(self.uri.len()..).unwrap_or_default());
        if let Some(sent) = &request.sent {
            let outcome = change::change(
                &*self.control,
                (self.registry.clone(), self.scope.clone()),
                sent,
                request.admin,
                request.now,
            );
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
