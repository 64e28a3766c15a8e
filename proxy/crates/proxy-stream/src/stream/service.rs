//! Requests that an internal service answers.

use std::sync::Arc;

use proxy_http::Method;
use proxy_rules::acl::Verdict as Holds;
use proxy_rules::action::ServiceDef;
use proxy_state::Now;

use super::request::{Next, apply};
use super::{Exchange, answer, buffer, rules};
use crate::env::Back;
use crate::reply::{self, Reply};
use crate::service::{Sent, Service, ServiceRequest, Stats};
use crate::session::Session;
use crate::term::Fault;

/// Whether the statistics page answers this request, or the rules in front of it do.
pub(super) fn intercept(
    s: &mut Session,
    x: &mut Exchange,
    back: Option<&Back>,
    stats: Option<&Stats>,
) -> Option<Next> {
    let stats = stats?;
    let method = x.request.method();
    if !matches!(method, Method::Get | Method::Head | Method::Post)
        || !x.request.path_and_query().starts_with(&stats.uri)
    {
        return None;
    }
    let verdict = rules::on_request(s, x, back, &stats.rules);
    if let Some(next) = apply(s, x, back, verdict) {
        return Some(next);
    }
    let admin = stats
        .admin
        .iter()
        .any(|condition| rules::with_context(s, x, back, |cx| condition.eval(cx) == Holds::True));
    let mut request = request(x, admin);
    if method == Method::Post {
        let field = |name: &[u8]| x.request.headers().get(name).map(<[u8]>::to_vec);
        request.sent = Some(Sent {
            host: field(b"host"),
            origin: field(b"origin").or_else(|| field(b"referer")),
            ..Sent::default()
        });
    }
    Some(Next::Service(stats.service.clone(), Box::new(request)))
}

/// Sends the request to the service that a rule named.
pub(super) fn called(s: &Session, x: &Exchange, def: &ServiceDef) -> Next {
    let services = &s.thread.env.services;
    let service = services.iter().find(|(name, _)| *name == def.name);
    match service {
        Some((_, service)) => Next::Service(service.clone(), Box::new(request(x, false))),
        // The configuration names services of the table only, and all of them are there.
        None => Next::Closed,
    }
}

fn request(x: &Exchange, admin: bool) -> ServiceRequest {
    ServiceRequest {
        method: x.request.method_text().to_vec(),
        target: x.request.path_and_query().to_vec(),
        authorization: x.request.headers().get(b"authorization").map(<[u8]>::to_vec),
        admin,
        sent: None,
    }
}

/// Lets the service make its answer and queues it.
pub(super) async fn run(
    s: &mut Session,
    x: &mut Exchange,
    service: Arc<dyn Service>,
    mut request: Box<ServiceRequest>,
) -> Result<(), Fault> {
    if let Some(sent) = &mut request.sent {
        Box::pin(buffer::wait(s, x)).await?;
        sent.body = x.peeked(s.client.input.data()).unwrap_or_default().to_vec();
        let limit = s.thread.env.limits.max_head;
        sent.whole = x.has_whole_body() && sent.body.len() <= limit;
    }
    s.front.frontend.counters.local().intercepted.inc();
    x.record.service = Some(service.name());
    (x.record.cause, x.record.phase) = (b'L', b'R');
    let now = s.thread.now(s.thread.tick());
    let reply = made_elsewhere(service, request, now).await;
    answer::queue(s, x, &reply);
    Ok(())
}

/// The answer, made on a helper thread. A service that fails costs its client a 500, nobody else anything.
async fn made_elsewhere(
    service: Arc<dyn Service>,
    request: Box<ServiceRequest>,
    now: Now,
) -> Reply {
    let made = tokio::task::spawn_blocking(move || service.answer(&request, now)).await;
    made.unwrap_or_else(|_| reply::builtin(500))
}
