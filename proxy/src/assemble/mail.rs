//! Who gets mail about servers.

use std::time::Duration;

use proxy_config::model::{Config, LogLevel};
use proxy_types::{DiagSink, Diagnostic, Diagnostics};

use super::addresses::Resolver;
use crate::worker::mail::{MailSpec, MailerSpec};

/// How long one mail may take (configuration manual, 12.3 "timeout mail").
const TIMEOUT: Duration = Duration::from_secs(10);

/// The routes of backends whose `email-alert` lines are complete.
pub(super) fn routes(
    config: &Config,
    resolver: Resolver,
    diagnostics: &mut Diagnostics,
) -> Vec<MailSpec> {
    let mut routes = Vec::new();
    for proxy in config.backends() {
        let alert = &proxy.settings.email_alert;
        let (Some(name), Some(from), Some(to)) = (&alert.mailers, &alert.from, &alert.to) else {
            continue;
        };
        // That it is there was seen to.
        let Some(section) = config.mailers.iter().find(|s| s.name.value == name.value) else {
            continue;
        };
        let mut mailers = Vec::new();
        for mailer in &section.mailers {
            match resolver.target(&mailer.address.value, 0) {
                Ok(addr) => mailers.push(MailerSpec { name: mailer.name.value.clone(), addr }),
                Err(error) => {
                    diagnostics.push(Diagnostic::alert(error.to_string()).at(mailer.address.span))
                }
            }
        }
        routes.push(MailSpec {
            backend: proxy.name.value.clone(),
            mailers,
            timeout: section.timeout.map_or(TIMEOUT, |timeout| timeout.value),
            from: from.value.clone(),
            to: to.value.clone(),
            level: alert.level.map_or(LogLevel::Alert, |level| level.value) as u8,
            hostname: alert.myhostname.as_ref().map(|name| name.value.clone()),
        });
    }
    routes
}
