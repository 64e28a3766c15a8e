//! The line of a connection that did not come to a session.

use bumpalo::collections::Vec;
use proxy_rules::logformat::formats::error_line;
use proxy_rules::logformat::{LogFacts, Origin};
use proxy_rules::sample::connection::ERRORS;

use crate::session::Session;

const INFO: u8 = 6;
const ERR: u8 = 3;

/// Writes it (configuration manual, 8.2.5).
pub(crate) fn write(s: &Session) {
    let error = usize::from(s.facts.connection.error);
    line(s, ERRORS.get(error).map_or("", |(_, text)| *text));
}

/// The same for a connection whose HTTP/2 cannot be understood (`tune.h2.log-errors`).
pub(crate) fn broken(s: &Session, error: impl std::fmt::Display) {
    line(s, &format!("HTTP/2 error: {error}"));
}

fn line(s: &Session, message: &str) {
    let Some(log) = &s.front.log else { return };
    let severity = if s.front.frontend.options.log_separate_errors { ERR } else { INFO };
    let bump = s.thread.bump.borrow();
    let tls = s.facts.connection.tls.as_deref();
    let facts = LogFacts {
        accepted: s.facts.accepted,
        request: s.facts.accepted,
        tls: tls.is_some_and(|tls| tls.established),
        tls_version: tls.map(|tls| tls.version.as_bytes()).filter(|name| !name.is_empty()),
        tls_cipher: tls.map(|tls| tls.cipher.as_bytes()).filter(|name| !name.is_empty()),
        process_conns: s.thread.env.registry().process.connections.get(),
        frontend_conns: s.front.frontend.sessions.get(),
        line_number: s.thread.next_line(),
        origin: Origin::SessError,
        ..LogFacts::NONE
    };
    let mut cx = s.thread.context(&bump, s.thread.clock());
    cx.session = Some(&s.facts);
    cx.frontend = Some(&s.front.frontend);
    cx.facts = Some(&facts);
    let mut line = Vec::new_in(&bump);
    error_line(&mut line, &cx, message);
    log.emit_to(&log.routes, &cx, Origin::SessError, severity, Some(&line));
    drop(line);
    drop(bump);
    s.thread.bump.borrow_mut().reset();
}
