//! What trace points tell of sessions and streams.

use std::fmt::Write as _;
use std::rc::Rc;
use std::sync::Arc;

use proxy_http::{HeaderList, RequestHead, ResponseHead};
use proxy_rules::sample::connection::Tls;
use proxy_rules::sample::context::LinkFacts;

use super::source::{Level, Subject, Telling};
use crate::session::Session;
use crate::stream::Exchange;

/// A number that tells one shared value from the others that live.
pub(crate) fn number<T>(shared: &Arc<T>) -> u64 {
    Arc::as_ptr(shared).addr() as u64
}

/// The same for what one thread shares.
fn link(link: &Rc<LinkFacts>) -> u64 {
    Rc::as_ptr(link).addr() as u64
}

/// Whose an event is.
#[derive(Clone, Copy)]
pub(crate) struct Parties<'a> {
    session: &'a Session,
    exchange: Option<&'a Exchange>,
    /// The event is one of the server's connection.
    of_server: bool,
}

impl<'a> Parties<'a> {
    pub(crate) fn client(session: &'a Session, exchange: Option<&'a Exchange>) -> Self {
        Self { session, exchange, of_server: false }
    }

    pub(crate) fn server(session: &'a Session, exchange: &'a Exchange) -> Self {
        Self { session, exchange: Some(exchange), of_server: true }
    }

    /// What identifies them.
    pub(crate) fn subject(&self) -> Subject {
        let facts = &self.session.facts;
        let session = link(facts.link.facts());
        let record = self.exchange.map(|x| &x.record);
        let server_link = record.and_then(|record| record.server_link.as_ref());
        Subject {
            backend: record
                .and_then(|r| r.backend.as_ref())
                .map_or(0, |back| number(&back.backend)),
            connection: match (self.of_server, server_link) {
                (true, Some(of_server)) => link(of_server),
                (true, None) => 0,
                (false, _) => session,
            },
            frontend: number(&self.session.front),
            listener: number(&facts.listener),
            server: record.and_then(|r| r.server.as_ref()).map_or(0, number),
            session,
            own: 0,
        }
    }

    fn write(&self, t: &mut Telling) {
        if !t.has_parties() {
            return;
        }
        let facts = &self.session.facts;
        let subject = self.subject();
        // Writing to memory does not fail, here and below.
        let _ = write!(t.text, " : sess={:#x} conn={:#x}", subject.session, subject.connection);
        if let Some(src) = facts.src {
            let _ = write!(t.text, " src={src}");
        }
        let (frontend, listener) = (&self.session.front.frontend.name, &facts.listener.name);
        let _ = write!(t.text, " fe={frontend}/{listener}");
        let Some(x) = self.exchange else { return };
        let _ = write!(t.text, " strm={}", x.number);
        if let Some(back) = &x.record.backend {
            let _ = write!(t.text, " be={}", back.backend.name);
        }
        if let Some(server) = &x.record.server {
            let _ = write!(t.text, " srv={}", server.name);
        }
    }
}

/// Tells an event with whose it is.
#[cold]
#[track_caller]
pub(crate) fn tell(
    source: &super::Source,
    (events, level): (u64, Level),
    parties: &Parties<'_>,
    what: &str,
) {
    source.tell(events, level, &parties.subject(), &|t| {
        t.text.push_str(what);
        parties.write(t);
    });
}

/// Tells an event with something about it.
#[cold]
#[track_caller]
pub(crate) fn tell_with(
    source: &super::Source,
    (events, level): (u64, Level),
    parties: &Parties<'_>,
    what: &str,
    about: &dyn Fn(&mut Telling),
) {
    source.tell(events, level, &parties.subject(), &|t| {
        t.text.push_str(what);
        if t.has_subject() {
            about(t);
        }
        parties.write(t);
    });
}

/// The request line, and fields.
pub(crate) fn request(head: &RequestHead) -> impl Fn(&mut Telling) {
    move |t| {
        let (method, target) = (head.method_text(), head.target());
        let _ = write!(t.text, " {} {}", method.escape_ascii(), target.escape_ascii());
        if t.has_details() {
            let _ =
                write!(t.text, " {} body={:?}", head.version_text().escape_ascii(), head.body());
        }
        fields(head.headers(), t);
    }
}

/// The status line, and fields.
pub(crate) fn response(head: &ResponseHead) -> impl Fn(&mut Telling) {
    move |t| {
        let _ = write!(t.text, " {} {}", head.status(), head.reason().escape_ascii());
        if t.has_details() {
            let _ = write!(t.text, " body={:?}", head.body());
        }
        fields(head.headers(), t);
    }
}

fn fields(headers: &HeaderList, t: &mut Telling) {
    if !t.has_names() {
        return;
    }
    t.text.push_str(" [");
    for (index, field) in headers.iter().enumerate() {
        if index > 0 {
            t.text.push_str(", ");
        }
        let _ = write!(t.text, "{}", field.name.escape_ascii());
        if t.has_values() {
            let _ = write!(t.text, ": {}", field.value.escape_ascii());
        }
    }
    t.text.push(']');
}

/// What a TLS handshake agreed on.
pub(crate) fn agreed(facts: &Tls, t: &mut Telling) {
    let _ = write!(t.text, " {} {}", facts.version, facts.cipher);
    if t.has_details() {
        if let Some(sni) = &facts.sni {
            let _ = write!(t.text, " sni={sni}");
        }
        if let Some(alpn) = &facts.alpn {
            let _ = write!(t.text, " alpn={}", alpn.escape_ascii());
        }
        let _ = write!(t.text, " resumed={}", u8::from(facts.resumed));
    }
}
