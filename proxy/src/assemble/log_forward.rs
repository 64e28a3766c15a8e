//! `log-forward` sections as live ones, without their sockets.

use proxy_config::model::{HostStrategy, LogForward, Timeouts};
use proxy_stream::log::emit::HostRule;
use proxy_stream::log::syslog::frames::Framing;
use proxy_stream::transport::Entrance;
use proxy_types::Diagnostics;

use super::logs::Logs;
use super::peers::transport;
use super::tls::Tls;
use super::transport::Forward;

/// `maxconn` of a section (configuration manual, 12.6).
const DEFAULT_MAXCONN: usize = 10;

/// The sections, in the order of the configuration.
pub(super) fn forwards(
    logs: &Logs<'_>,
    tls: &mut Tls<'_>,
    diagnostics: &mut Diagnostics,
) -> Vec<Forward> {
    let forward = |section: &LogForward| {
        let settings = &section.proxy.settings;
        let mut entrance = |bind| {
            let entrance = tls.entrance(&section.proxy, bind, diagnostics);
            transport::<Entrance>(entrance)
        };
        let entrances = section.proxy.binds.iter().map(&mut entrance).collect();
        Forward {
            name: section.name.value.clone(),
            host: match section.host.map(|rule| rule.value).unwrap_or_default() {
                HostStrategy::Append => HostRule::Append,
                HostStrategy::Fill => HostRule::Fill,
                HostStrategy::Keep => HostRule::Keep,
                HostStrategy::Replace => HostRule::Replace,
            },
            parses: section.dont_parse.is_none(),
            framing: match section.assume_ntf {
                Some(_) => Framing::Lines,
                None => Framing::Either,
            },
            maxconn: settings.maxconn.map_or(DEFAULT_MAXCONN, |limit| limit.value as usize),
            timeout: Timeouts::effective(settings.timeouts.client),
            most: logs.config.global.tune.bufsize() as usize,
            entrances,
            targets: logs.of_forward(&section.proxy, diagnostics),
        }
    };
    logs.config.log_forwards.iter().map(forward).collect()
}
