//! The statistics page of a section, from its `stats` lines.

use std::sync::Arc;

use proxy_admin::Product;
use proxy_admin::page::{Page, Process, Request, Response, Sent};
use proxy_config::model::{Config, Proxy};
use proxy_http::{BodyLen, ResponseHead};
use proxy_rules::acl::Condition;
use proxy_rules::ruleset::RuleSet;
use proxy_state::{Now, Registry};
use proxy_stream::reply::Reply;
use proxy_stream::service::{Service, ServiceRequest, Stats};

use crate::version;
use crate::worker::desk::Desk;

/// The page, when the section has one.
pub(super) fn page(
    config: &Config,
    proxy: &Proxy,
    registry: &Arc<Registry>,
    rules: RuleSet,
    admin: Vec<Condition>,
    desk: &Desk,
) -> Option<Stats> {
    let settings = &proxy.settings.stats;
    settings.enabled?;
    let own_name = |name: &String| match name.as_str() {
        "." => proxy.name.value.clone(),
        other => other.to_owned(),
    };
    let page = Page {
        registry: registry.clone(),
        control: Box::new(desk.clone()),
        product: product(),
        process: Process {
            pid: std::process::id(),
            threads: u32::try_from(proxy_state::thread::workers()).unwrap_or(u32::MAX),
        },
        uri: settings.uri().to_owned(),
        realm: settings.realm().to_owned(),
        accounts: settings.accounts.iter().map(|account| account.value.clone()).collect(),
        refresh: settings.refresh.as_ref().map(|delay| delay.value),
        show_version: settings.show_version,
        node: settings.node.as_ref().map(|own| own.clone().unwrap_or_else(|| node(config))),
        description: settings.description.as_ref().and_then(|own| {
            own.clone().or_else(|| config.global.description.as_ref().map(|d| d.value.to_string()))
        }),
        legends: settings.legends,
        scope: settings.scope.iter().map(own_name).collect(),
    };
    let uri = page.uri.as_bytes().into();
    Some(Stats { uri, rules, admin, service: Arc::new(StatsService(page)) })
}

/// `node`, by default the host name.
pub(crate) fn node(config: &Config) -> String {
    let host = || nix::unistd::gethostname().unwrap_or_default().to_string_lossy().into_owned();
    config.global.node.as_ref().map_or_else(host, |node| node.value.clone())
}

/// Who this is.
pub(crate) fn product() -> Product {
    Product {
        name: "Sluice",
        version: version::VERSION.into(),
        release_date: version::RELEASE_DATE.into(),
    }
}

/// The page as the engine asks for it.
struct StatsService(Page);

impl Service for StatsService {
    fn name(&self) -> &'static str {
        "STATS"
    }

    fn answer(&self, request: &ServiceRequest, now: Now) -> Reply {
        let target = String::from_utf8_lossy(&request.target);
        let authorization = request.authorization.as_deref();
        let sent = request.sent.as_ref().map(|sent| Sent {
            body: &sent.body,
            whole: sent.whole,
            host: sent.host.as_deref(),
            origin: sent.origin.as_deref(),
        });
        let admin = request.admin;
        reply(self.0.answer(&Request { target: &target, authorization, admin, sent, now }))
    }
}

fn reply(response: Response) -> Reply {
    let mut head = ResponseHead::default();
    head.start(response.status, BodyLen::None);
    for (name, value) in &response.headers {
        head.headers_mut().append(name.as_bytes(), value.as_bytes());
    }
    Reply::made(head, response.body)
}
