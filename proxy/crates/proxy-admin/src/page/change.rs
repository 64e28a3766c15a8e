//! Changes of servers through the page (configuration manual, 4.2 `stats admin`): the fields of its form, and what
//! came of them.

use proxy_state::server::OpState;
use proxy_state::{Backend, Now, Registry, Server};
use proxy_types::ProxyId;
use std::sync::Arc;
use std::sync::mpsc;

/// Runs work on the control thread, which alone may change servers.
pub trait ControlThread: Send + Sync {
    /// Runs `job`, or drops it when the worker ends; returns after either.
    fn run(&self, job: Box<dyn FnOnce() + Send>);
}

/// How a change went; the page tells it in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Denied,
    Done,
    /// More data than a buffer holds.
    Exceeded,
    Invalid,
    Nothing,
    Partly,
}

impl Outcome {
    const ROWS: [(&'static str, Self, &'static str, &'static str); 6] = [
        ("DENY", Self::Denied, "down", "The action is not allowed here."),
        ("DONE", Self::Done, "up", "Done."),
        ("EXCD", Self::Exceeded, "down", "Too many servers at a time: nothing was done."),
        (
            "ERRP",
            Self::Invalid,
            "down",
            "Nothing was done: the action, the backend or all of the servers are unknown.",
        ),
        ("NONE", Self::Nothing, "going", "Nothing was changed."),
        ("PART", Self::Partly, "going", "Done in part: some of the servers are unknown."),
    ];

    /// The word behind `st=`.
    pub(super) fn code(self) -> &'static str {
        Self::ROWS.iter().find(|row| row.1 == self).map_or("UNKN", |row| row.0)
    }

    pub(super) fn find(code: &str) -> Option<Self> {
        Self::ROWS.iter().find(|row| row.0 == code).map(|row| row.1)
    }

    /// Class and words of the message.
    pub(super) fn message(self) -> (&'static str, &'static str) {
        Self::ROWS.iter().find(|row| row.1 == self).map_or(("", ""), |row| (row.2, row.3))
    }
}

/// What a server is told; `false` when there is nothing to tell it.
type Act = fn(&Arc<Server>, Now) -> bool;

/// The actions: word, label in the form, what it does. Those without a label are older names.
pub(super) static ACTIONS: &[(&str, &str, Act)] = &[
    ("ready", "Set state to READY", ready),
    ("drain", "Set state to DRAIN", |s, now| {
        s.set_drain(now);
        true
    }),
    ("maint", "Set state to MAINT", maint),
    ("dhlth", "Health: disable checks", |s, now| {
        s.state(now).check_enabled && s.set_check_enabled(false)
    }),
    ("ehlth", "Health: enable checks", |s, now| {
        s.spec.check.is_some() && !s.state(now).check_enabled && s.set_check_enabled(true)
    }),
    ("hrunn", "Health: force UP", |s, now| force(s, OpState::Running, now)),
    ("hnolb", "Health: force NOLB", |s, now| force(s, OpState::Stopping, now)),
    ("hdown", "Health: force DOWN", |s, now| force(s, OpState::Stopped, now)),
    ("dagent", "Agent: disable checks", |s, _| s.agent().is_some() && s.set_agent_enabled(false)),
    ("eagent", "Agent: enable checks", |s, _| s.agent().is_some() && s.set_agent_enabled(true)),
    ("arunn", "Agent: force UP", |s, now| force_agent(s, true, now)),
    ("adown", "Agent: force DOWN", |s, now| force_agent(s, false, now)),
    ("shutdown", "Kill Sessions", |s, _| {
        s.shutdown_sessions();
        true
    }),
    ("disable", "", maint),
    ("enable", "", ready),
    ("stop", "", |s, now| s.set_weight_text("0%", now).is_ok()),
    ("start", "", |s, now| s.set_weight_text("100%", now).is_ok()),
];

fn ready(server: &Arc<Server>, now: Now) -> bool {
    server.set_ready(now);
    true
}

fn maint(server: &Arc<Server>, now: Now) -> bool {
    server.set_maint(now);
    true
}

fn force(server: &Arc<Server>, to: OpState, now: Now) -> bool {
    let own = server.tracked().is_none() && server.state(now).check_enabled;
    if own {
        server.force_health(to, now);
    }
    own
}

fn force_agent(server: &Arc<Server>, up: bool, now: Now) -> bool {
    let has = server.agent().is_some();
    if has {
        server.force_agent(up, now);
    }
    has
}

/// The fields of the form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Order {
    action: String,
    backend: String,
    servers: Vec<String>,
}

impl Order {
    fn parse(body: &[u8]) -> Self {
        let mut order = Self::default();
        for (name, value) in fields(body) {
            match &*name {
                "action" => order.action = value,
                "b" => order.backend = value,
                "s" => order.servers.push(value),
                _ => {}
            }
        }
        order
    }

    fn carry_out(&self, registry: &Registry, scope: &[String], now: Now) -> Outcome {
        if self.action.is_empty() || self.backend.is_empty() || self.servers.is_empty() {
            return Outcome::Nothing;
        }
        let Some((.., act)) = ACTIONS.iter().find(|(word, ..)| *word == self.action) else {
            return Outcome::Invalid;
        };
        let Some(backend) = backend(registry, &self.backend) else { return Outcome::Invalid };
        if !scope.is_empty() && !scope.iter().any(|shown| **shown == *backend.name) {
            return Outcome::Denied;
        }
        let (mut known, mut changed) = (0, 0);
        for name in &self.servers {
            let Some(server) = backend.server(name) else { continue };
            known += 1;
            changed += usize::from(act(&server, now));
        }
        match (known, changed) {
            (0, _) => Outcome::Invalid,
            (known, _) if known < self.servers.len() => Outcome::Partly,
            (_, 0) => Outcome::Nothing,
            _ => Outcome::Done,
        }
    }
}

fn backend(registry: &Registry, name: &str) -> Option<Arc<Backend>> {
    match name.strip_prefix('#') {
        Some(id) => registry.backend_by_id(ProxyId(id.parse().ok()?)),
        None => registry.backend(name),
    }
}

/// Names and values of a form (`application/x-www-form-urlencoded`).
fn fields(body: &[u8]) -> impl Iterator<Item = (String, String)> {
    body.split(|b| *b == b'&').filter_map(|field| {
        let at = field.iter().position(|b| *b == b'=')?;
        Some((decode(&field[..at]), decode(&field[at + 1..])))
    })
}

fn decode(text: &[u8]) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        let hex = |b: u8| (b as char).to_digit(16);
        rest = after;
        match (first, after) {
            (b'%', [high, low, after @ ..]) if hex(*high).is_some() && hex(*low).is_some() => {
                let value = hex(*high).unwrap_or(0) * 16 + hex(*low).unwrap_or(0);
                out.push(u8::try_from(value).unwrap_or(b'?'));
                rest = after;
            }
            (b'+', _) => out.push(b' '),
            (byte, _) => out.push(*byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// What the client says of itself when it sends a form.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sent<'a> {
    pub body: &'a [u8],
    /// The body is all there.
    pub whole: bool,
    pub host: Option<&'a [u8]>,
    /// `Origin`, or `Referer` where there is none.
    pub origin: Option<&'a [u8]>,
}

impl Sent<'_> {
    /// Whether a page of another site sent the form. Clients that are no browsers do not say where they come from.
    fn is_foreign(&self) -> bool {
        let Some(origin) = self.origin else { return false };
        let start = memchr::memmem::find(origin, b"://").map_or(0, |at| at + 3);
        let rest = &origin[start..];
        let end = rest.iter().position(|b| *b == b'/').unwrap_or(rest.len());
        !self.host.is_some_and(|host| host.eq_ignore_ascii_case(&rest[..end]))
    }
}

/// Does what a form says, on the control thread, to the proxies of `scope`.
pub(super) fn change(
    control: &dyn ControlThread,
    (registry, scope): (Arc<Registry>, Vec<String>),
    sent: &Sent<'_>,
    allowed: bool,
    now: Now,
) -> Outcome {
    if !allowed || sent.is_foreign() {
        return Outcome::Denied;
    }
    if !sent.whole {
        return Outcome::Exceeded;
    }
    let order = Order::parse(sent.body);
    let (tell, told) = mpsc::channel();
    control.run(Box::new(move || {
        let _ = tell.send(order.carry_out(&registry, &scope, now));
    }));
    told.recv().unwrap_or(Outcome::Nothing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_read() {
        let order = Order::parse(b"s=s1&action=maint&b=%233&s=a+b&x&junk=1");
        let expected = Order {
            action: "maint".into(),
            backend: "#3".into(),
            servers: vec!["s1".into(), "a b".into()],
        };
        assert_eq!(order, expected);
        assert_eq!(decode(b"%41%4g%"), "A%4g%");
    }

    #[test]
    fn forms_of_other_sites_are_told_apart() {
        let sent = |host: &'static str, origin: Option<&'static str>| Sent {
            host: Some(host.as_bytes()),
            origin: origin.map(str::as_bytes),
            ..Sent::default()
        };
        assert!(!sent("lb:80", None).is_foreign());
        assert!(!sent("LB:80", Some("http://lb:80")).is_foreign());
        assert!(!sent("lb", Some("https://lb/stats;up")).is_foreign());
        assert!(sent("lb", Some("https://evil/lb")).is_foreign());
        assert!(sent("lb", Some("null")).is_foreign());
        assert!(Sent { host: None, ..sent("", Some("http://x")) }.is_foreign());
    }
}
