//! What a FastCGI application gets to know of a request (configuration manual, 10.1 and 10.2).

use std::io::Write;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use proxy_http::{BodyLen, value};
use proxy_rules::acl::{Condition, Verdict};
use proxy_rules::logformat::LogFormat;
use proxy_rules::regex::Regex;
use proxy_rules::sample::EvalCtx;

use super::Exchange;
use super::rules::show_request;
use crate::env::Back;
use crate::log::Sink;
use crate::mux::fcgi::Params;
use crate::session::Session;

/// An application.
pub struct FcgiApp {
    /// `docroot`, without a slash at its end.
    pub docroot: Box<[u8]>,
    /// What the application gets as `SERVER_SOFTWARE`.
    pub software: Box<[u8]>,
    pub index: Option<Box<[u8]>>,
    pub path_info: Option<Regex>,
    /// `option keep-conn`.
    pub keep_conn: bool,
    /// `set-param`.
    pub params: Vec<(Arc<str>, LogFormat, Option<Condition>)>,
    /// `pass-header`.
    pub passed: Vec<(Arc<str>, Option<Condition>)>,
    /// `log-stderr`.
    pub log: Option<Arc<dyn Sink>>,
}

/// Gathers what the application gets.
///
/// # Errors
/// The status that says why the request cannot be passed on.
pub(super) fn prepare(
    s: &Session,
    x: &mut Exchange,
    back: &Back,
    app: &FcgiApp,
) -> Result<(), u16> {
    const LENGTH_REQUIRED: u16 = 411;
    const FAILED: u16 = 500;
    let length = match x.request.body() {
        BodyLen::None => 0,
        BodyLen::Length(length) => length,
        // Bodies of unknown length have been waited for.
        BodyLen::Chunked | BodyLen::UntilClose if x.has_whole_body() => {
            x.peeked(s.client.input.data()).map_or(0, |body| body.len() as u64)
        }
        BodyLen::Chunked | BodyLen::UntilClose => return Err(LENGTH_REQUIRED),
    };
    let mut defaults = defaults(s, x, app).ok_or(FAILED)?;
    defaults.push(("CONTENT_LENGTH", length.to_string().into_bytes()));
    let bump = s.thread.bump.borrow();
    let mut cx = s.context(&bump);
    show_request(s, x, &mut cx);
    cx.backend = Some(&back.backend);
    cx.vars = Some(&x.vars);
    cx.tracked = Some(&x.tracked);
    let holds = |condition: &Option<Condition>, cx: &EvalCtx<'_>| {
        condition.as_ref().is_none_or(|condition| condition.eval(cx) == Verdict::True)
    };
    let set = app.params.iter().filter(|(_, _, condition)| holds(condition, &cx));
    let set = set.map(|(name, format, _)| (name.clone(), format.render(&cx).to_vec()));
    let set = set.filter(|(_, value)| !value.is_empty()).collect();
    let passed = app.passed.iter().filter(|(_, condition)| holds(condition, &cx));
    let passed = passed.map(|(name, _)| name.clone()).collect();
    drop(bump);
    s.thread.bump.borrow_mut().reset();
    x.fcgi = Some(Box::new(Params { defaults, set, passed }));
    Ok(())
}

/// The parameters that every request has; `None` when its path cannot be split.
fn defaults(s: &Session, x: &Exchange, app: &FcgiApp) -> Option<Vec<(&'static str, Vec<u8>)>> {
    let head = &x.request;
    let mut all: Vec<(&'static str, Vec<u8>)> = Vec::with_capacity(20);
    let path = decoded(head.path());
    let (mut script, mut info) = (path.clone(), None);
    if let Some(regex) = &app.path_info {
        if path.iter().any(|b| matches!(b, b'\n' | 0)) {
            return None;
        }
        if let Some(groups) = regex.captures(&path) {
            if let Some(group) = groups.get(1) {
                script = group.as_bytes().to_vec();
            }
            info = groups.get(2).map(|group| group.as_bytes().to_vec());
        }
    }
    if script.ends_with(b"/")
        && let Some(index) = &app.index
    {
        script.extend_from_slice(index);
    }
    let below = |path: &[u8]| [&app.docroot[..], path].concat();
    all.push(("DOCUMENT_ROOT", app.docroot.to_vec()));
    all.push(("SCRIPT_FILENAME", below(&script)));
    all.push(("SCRIPT_NAME", script));
    if let Some(info) = info.filter(|info| !info.is_empty()) {
        all.push(("PATH_TRANSLATED", below(&info)));
        all.push(("PATH_INFO", info));
    }
    all.push(("REQUEST_URI", head.path_and_query().to_vec()));
    all.push(("QUERY_STRING", head.query().to_vec()));
    all.push(("REQUEST_METHOD", head.method_text().to_vec()));
    all.push(("GATEWAY_INTERFACE", b"CGI/1.1".to_vec()));
    all.push(("SERVER_SOFTWARE", app.software.to_vec()));
    all.push(("SERVER_PROTOCOL", head.version_text().to_vec()));
    let host = head.headers().get(b"host").filter(|host| !host.is_empty());
    let asked = s.facts.dst;
    let text = |value: &dyn std::fmt::Display| {
        let mut out = Vec::new();
        // Writing to memory does not fail.
        let _ = write!(out, "{value}");
        out
    };
    if let Some(name) = host.map(<[u8]>::to_vec).or_else(|| asked.map(|to| text(&to.ip()))) {
        all.push(("SERVER_NAME", name));
    }
    if let Some(to) = asked {
        all.push(("SERVER_PORT", text(&to.port())));
    }
    if let Some(from) = x.overrides.src.get().or(s.facts.src) {
        all.push(("REMOTE_ADDR", text(&from.ip().to_canonical())));
        all.push(("REMOTE_PORT", text(&from.port())));
    }
    if s.facts.connection.tls.is_some() {
        all.push(("HTTPS", b"on".to_vec()));
    }
    if let Some(user) = head.headers().get(b"authorization").and_then(basic_user) {
        all.push(("AUTH_TYPE", b"Basic".to_vec()));
        all.push(("REMOTE_USER", user));
    }
    Some(all)
}

/// The user of basic authentication (RFC 7617).
fn basic_user(credentials: &[u8]) -> Option<Vec<u8>> {
    let (scheme, rest) = credentials.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let mut user = BASE64_STANDARD.decode(value::trim(rest)).ok()?;
    user.truncate(user.iter().position(|&b| b == b':')?);
    Some(user)
}

/// A path without percent-encodings; what is none stays.
fn decoded(path: &[u8]) -> Vec<u8> {
    let digit = |b: u8| char::from(b).to_digit(16);
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if let (b'%', [high, low, after @ ..]) = (first, after)
            && let (Some(high), Some(low)) = (digit(*high), digit(*low))
        {
            out.push((high << 4 | low) as u8);
            rest = after;
            continue;
        }
        out.push(first);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_users() {
        assert_eq!(decoded(b"/a%20b%2x%"), b"/a b%2x%");
        assert_eq!(basic_user(b"Basic dGlnZXI6c2NvdHQ="), Some(b"tiger".to_vec()));
        assert_eq!(basic_user(b"Bearer abc"), None);
    }
}
