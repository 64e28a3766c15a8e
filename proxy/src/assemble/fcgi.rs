//! `fcgi-app` sections as live ones.

use std::collections::HashMap;
use std::sync::Arc;

use proxy_config::model::Config;
use proxy_rules::regex;
use proxy_stream::env::FcgiApp;
use proxy_types::{DiagSink, Diagnostic, Diagnostics};

use super::logs::Logs;
use super::rules::Rules;
use crate::version;

/// Applications by their name.
pub(crate) type Apps = HashMap<String, Arc<FcgiApp>>;

/// The applications that backends use.
pub(super) fn apps(
    config: &Config,
    rules: &Rules<'_>,
    logs: &Logs<'_>,
    diagnostics: &mut Diagnostics,
) -> Apps {
    let mut apps = Apps::new();
    for app in &config.fcgi_apps {
        let name = &app.name.value;
        if config.backends().all(|proxy| proxy.fcgi_app.as_ref().is_none_or(|a| a.value != *name)) {
            continue;
        }
        for (what, span) in [
            ("get-values", app.get_values.map(|option| option.span)),
            ("max-reqs", app.max_reqs.map(|option| option.span)),
            ("mpxs-conns", app.mpxs_conns.filter(|on| on.value).map(|option| option.span)),
        ] {
            let Some(span) = span else { continue };
            let message = format!(
                "option '{what}': a connection carries one request at a time here, no effect"
            );
            diagnostics.push(Diagnostic::notice(message).at(span));
        }
        let path_info = app.path_info.as_ref().and_then(|text| {
            regex::compile(text.value.as_bytes(), false)
                .map_err(|why| diagnostics.push(Diagnostic::alert(why).at(text.span)))
                .ok()
        });
        let text = |text: &Option<proxy_types::Spanned<String>>| {
            text.as_ref().map(|text| Box::from(text.value.as_bytes()))
        };
        let compiled = rules.fcgi(app, diagnostics);
        let live = FcgiApp {
            docroot: text(&app.docroot).unwrap_or_default(),
            software: format!("HAProxy {}", version::COMPATIBLE_WITH).into_bytes().into(),
            index: text(&app.index),
            path_info,
            keep_conn: app.keep_conn.is_none_or(|option| option.value),
            params: compiled.params,
            passed: compiled.passed,
            log: logs.of_entries(&app.log_stderr, diagnostics),
        };
        apps.insert(name.clone(), Arc::new(live));
    }
    apps
}
