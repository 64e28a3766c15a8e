//! What the kernel asks of a client's address: `tcp-request connection` rules, evaluated for every network that they
//! or their lists name.

use std::net::IpAddr;
use std::sync::Arc;

use proxy_datapath::{
    Answer, Mode, Prefix, ServiceSpec, SourcePolicy, SourceRule, SourceVerdict, flatten,
};
use proxy_rules::ruleset::RuleSet;
use proxy_rules::source::{SourceEval, SourceOutcome};
use proxy_stream::env::{Env, Front};

use crate::paths::Decision;

/// The frontends whose rules the kernel asks.
pub(crate) struct SourceRules {
    env: Arc<Env>,
    fronts: Vec<Arc<Front>>,
}

impl SourceRules {
    pub(crate) fn new<'a>(
        env: Arc<Env>,
        decisions: &[Decision],
        fronts: impl Iterator<Item = &'a Arc<Front>>,
    ) -> Self {
        let asked = |front: &&Arc<Front>| {
            decisions
                .iter()
                .any(|decision| decision.asks_sources && decision.frontend == *front.frontend.name)
        };
        Self { env, fronts: fronts.filter(asked).cloned().collect() }
    }

    /// Whether there is any.
    pub(crate) fn is_empty(&self) -> bool {
        self.fronts.is_empty()
    }

    /// What the lists say now; `None` for a service without rules.
    pub(crate) fn of(&self, service: &ServiceSpec) -> Option<Arc<SourcePolicy>> {
        if service.mode == Mode::Guard {
            return None;
        }
        let front = self.fronts.iter().find(|front| *front.frontend.name == service.frontend)?;
        let v4 = service.vips.first().is_none_or(|vip| vip.ip().to_canonical().is_ipv4());
        let rejects = service.rejects != Answer::Userspace;
        Some(Arc::new(self.policy(&front.tcp_connection, v4, rejects)))
    }

    fn policy(&self, rules: &RuleSet, v4: bool, kernel_rejects: bool) -> SourcePolicy {
        let outcomes: Vec<_> = rules.iter().map(|rule| rule.outcome()).collect();
        let names = rules.iter().zip(&outcomes).map(|(rule, outcome)| {
            let action = match outcome {
                SourceOutcome::Accept => "accept",
                SourceOutcome::Reject => "reject",
                SourceOutcome::SilentDrop => "silent-drop",
                SourceOutcome::Other => "userspace",
            };
            let (file, line) = rule.place().unwrap_or(("-", 0));
            format!("{action}:{file}:{line}")
        });
        let names = names.collect();
        let mut prefixes = Vec::new();
        for rule in rules.iter() {
            match rule.source_prefixes() {
                Some(more) => prefixes.extend(more),
                // A pattern that came at run time, with a mask that is no prefix.
                None => return SourcePolicy { entries: all_to_userspace(v4), rules: names },
            }
        }
        let prefixes = prefixes.into_iter().map(|(bits, len)| Prefix::new(bits, len));
        let mut eval = SourceEval::new(&self.env.shared);
        let decide = |client: IpAddr| match eval.first(rules, client) {
            None => SourceRule::default(),
            Some(at) => SourceRule {
                verdict: match outcomes[at] {
                    SourceOutcome::Accept => SourceVerdict::Accept,
                    SourceOutcome::SilentDrop => SourceVerdict::Drop,
                    SourceOutcome::Reject if kernel_rejects => SourceVerdict::Reject,
                    SourceOutcome::Reject | SourceOutcome::Other => SourceVerdict::Userspace,
                },
                rule: u32::try_from(at).ok(),
            },
        };
        SourcePolicy { entries: flatten(v4, prefixes, decide), rules: names }
    }
}

fn all_to_userspace(v4: bool) -> Vec<(Prefix, SourceRule)> {
    flatten(v4, [], |_| SourceRule { verdict: SourceVerdict::Userspace, rule: None })
}
