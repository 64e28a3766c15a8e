//! The rows of `sluice explain` and `show l4`.

use std::collections::HashMap;

use proxy_config::model::Config;
use proxy_datapath::net::{Choice, NetFacts};
use proxy_datapath::object;
use proxy_types::Address;

use crate::loading::Loaded;
use crate::paths::{Decision, Path, Row};

/// One row per frontend; `obstacle` tells why a frontend that qualifies is not carried after all.
pub(crate) fn rows(
    decisions: &[Decision],
    loaded: &Loaded,
    obstacle: &dyn Fn(&str) -> Option<String>,
    hooks: &str,
) -> Vec<Row> {
    decisions
        .iter()
        .map(|decision| {
            let why = decision.why(&loaded.sources);
            let (path, why) = match (decision.path, obstacle(&decision.frontend)) {
                (Path::L4, None) => (format!("l4 ({hooks})"), why),
                (Path::L4, Some(obstacle)) => {
                    (Path::Splice.as_str().to_owned(), format!("qualifies for l4, but {obstacle}"))
                }
                (path, _) => (path.as_str().to_owned(), why),
            };
            Row {
                frontend: decision.frontend.clone(),
                listeners: listeners(&loaded.config, &decision.frontend),
                path,
                why,
            }
        })
        .collect()
}

fn listeners(config: &Config, frontend: &str) -> String {
    let texts: Vec<_> = config
        .proxy(frontend)
        .into_iter()
        .flat_map(|proxy| &proxy.binds)
        .flat_map(|bind| &bind.addresses)
        .map(|address| Address::to_string(&address.value))
        .collect();
    texts.join(",")
}

/// What the kernel path would do on this host, without touching it.
pub(crate) struct Outlook {
    /// Why no frontend can be carried here.
    absent: Option<String>,
    rejected: HashMap<String, String>,
    pub(crate) hooks: String,
    pub(crate) notes: Vec<String>,
}

impl Outlook {
    /// Looks at the build, the rights of this process, and the network.
    pub(crate) fn of_this_host(config: &Config, decisions: &[Decision]) -> Self {
        let mut outlook = Self {
            absent: None,
            rejected: HashMap::new(),
            hooks: String::new(),
            notes: Vec::new(),
        };
        let services: Vec<_> = decisions.iter().filter_map(|d| d.service.clone()).collect();
        if services.is_empty() {
            return outlook;
        }
        if let Err(error) = object::bytes() {
            outlook.absent = Some(error.to_string());
        }
        match super::l4::make_plan(&services) {
            Ok(plan) => {
                outlook.rejected = plan
                    .rejected
                    .iter()
                    .map(|rejected| (rejected.service.clone(), rejected.reason.to_string()))
                    .collect();
            }
            Err(error) => outlook.absent = Some(error.to_string()),
        }
        outlook.hooks = hooks(config);
        if outlook.absent.is_none() && !nix::unistd::Uid::effective().is_root() {
            outlook.notes.push(
                "Layer 4 in the kernel needs root (or CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON) at start; \
                 without it these frontends are served by splice."
                    .into(),
            );
        }
        outlook
    }

    pub(crate) fn obstacle(&self, frontend: &str) -> Option<String> {
        self.absent.clone().or_else(|| self.rejected.get(frontend).cloned())
    }
}

/// The hooks that would be used on the interfaces that are up.
fn hooks(config: &Config) -> String {
    let Ok(facts) = NetFacts::gather([]) else { return "tc".into() };
    let wanted = super::l4::hook(config);
    let names = &config.global.l4_interfaces;
    let mut hooks: Vec<_> = facts
        .links
        .iter()
        .filter(|link| names.is_empty() || names.iter().any(|name| name.value == link.name))
        .filter_map(|link| match facts.choice(wanted, link) {
            Choice::None(_) => None,
            Choice::Tc => Some("tc"),
            Choice::Xdp { generic: false } => Some("xdp"),
            Choice::Xdp { generic: true } => Some("xdp-generic"),
        })
        .collect();
    hooks.sort_unstable();
    hooks.dedup();
    if hooks.is_empty() { "tc".into() } else { hooks.join("+") }
}
