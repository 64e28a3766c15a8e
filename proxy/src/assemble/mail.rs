//! Who gets mail about servers.

use std::time::Duration;

use proxy_config::model::{Config, LogLevel, Proxy};
use proxy_state::SockAddr;
use proxy_types::{DiagSink, Diagnostic, Diagnostics};

use super::addresses::Resolver;

/// How long one mail may take (configuration manual, 12.3 "timeout mail").
const TIMEOUT: Duration = Duration::from_secs(10);

/// Where alerts about the servers of a backend go.
#[derive(Clone, Debug)]
pub(crate) struct MailSpec {
    pub(crate) backend: String,
    pub(crate) mailers: Vec<MailerSpec>,
    /// How long one mail may take.
    pub(crate) timeout: Duration,
    pub(crate) from: String,
    pub(crate) to: String,
    /// Severity of the least severe alert that is sent.
    pub(crate) level: u8,
    /// The name to introduce oneself by; the host's by default.
    pub(crate) hostname: Option<String>,
}

/// A server that takes mail.
#[derive(Clone, Debug)]
pub(crate) struct MailerSpec {
    pub(crate) name: String,
    pub(crate) addr: SockAddr,
}

/// The routes of backends whose `email-alert` lines are complete.
pub(super) fn routes(
    config: &Config,
    resolver: Resolver,
    diagnostics: &mut Diagnostics,
) -> Vec<MailSpec> {
    config.backends().filter_map(|proxy| route(config, proxy, resolver, diagnostics)).collect()
}

/// The route of a backend whose `email-alert` lines are complete.
pub(super) fn route(
    config: &Config,
    proxy: &Proxy,
    resolver: Resolver,
    diagnostics: &mut Diagnostics,
) -> Option<MailSpec> {
    let alert = &proxy.settings.email_alert;
    let (Some(name), Some(from), Some(to)) = (&alert.mailers, &alert.from, &alert.to) else {
        return None;
    };
    // That it is there was seen to.
    let section = config.mailers.iter().find(|s| s.name.value == name.value)?;
    let mut mailers = Vec::new();
    for mailer in &section.mailers {
        match resolver.target(&mailer.address.value, 0) {
            Ok(addr) => mailers.push(MailerSpec { name: mailer.name.value.clone(), addr }),
            Err(error) => {
                diagnostics.push(Diagnostic::alert(error.to_string()).at(mailer.address.span))
            }
        }
    }
    Some(MailSpec {
        backend: proxy.name.value.clone(),
        mailers,
        timeout: section.timeout.map_or(TIMEOUT, |timeout| timeout.value),
        from: from.value.clone(),
        to: to.value.clone(),
        level: alert.level.map_or(LogLevel::Alert, |level| level.value) as u8,
        hostname: alert.myhostname.as_ref().map(|name| name.value.clone()),
    })
}
