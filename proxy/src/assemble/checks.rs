//! How servers are checked.

use std::sync::Arc;

use proxy_config::model::{CheckOption, Config, OwnChecks, Proxy, Server};
use proxy_state::Backend;
use proxy_stream::check::{Method, Methods, Program};
use proxy_types::{DiagSink, Diagnostic, Diagnostics};

use super::rules::Rules;

/// The methods of a backend and of those of its servers that have their own.
pub(super) fn methods(
    config: &Config,
    proxy: &Proxy,
    backend: &Backend,
    rules: &Rules<'_>,
    methods: &Methods,
    diagnostics: &mut Diagnostics,
) {
    let checked = proxy.servers.iter().any(|server| server.options.is_checked());
    if let Some(method) = of_backend(config, proxy, rules, checked, diagnostics) {
        methods.set_backend(&backend.name, method);
    }
    for server in &proxy.servers {
        if let Some(method) = of_server(config, proxy, server, rules, diagnostics) {
            methods.set_server(&backend.name, &server.name.value, method);
        }
    }
}

/// How servers of a backend are checked that say nothing else.
pub(super) fn of_backend(
    config: &Config,
    proxy: &Proxy,
    rules: &Rules<'_>,
    checked: bool,
    diagnostics: &mut Diagnostics,
) -> Option<Method> {
    let checks = &proxy.settings.checks;
    let external = checks.option.as_ref().filter(|option| option.value == CheckOption::External);
    if let Some(option) = external.filter(|_| checked) {
        let wrong = |text: &str, help: &str| {
            let message = format!("{} : 'option external-check' : {text}", proxy.label());
            Diagnostic::alert(message).at(option.span).help(help.to_owned())
        };
        match (&config.global.external_check, &checks.command) {
            (None, _) => diagnostics.push(wrong(
                "'external-check' is not in the global section",
                "add it there to allow programs to be started",
            )),
            (_, None) => diagnostics.push(wrong(
                "there is no 'external-check command'",
                "add 'external-check command <command>': the program",
            )),
            (Some(allowed), Some(command)) => {
                let program = Program {
                    command: command.value.clone(),
                    path: checks.path.as_ref().map(|path| path.value.clone()).unwrap_or_default(),
                    listener: proxy
                        .binds
                        .iter()
                        .flat_map(|bind| &bind.addresses)
                        .find_map(|address| super::state::first_address(&address.value)),
                    preserve_env: allowed.value,
                };
                return Some(Method::Program(Arc::new(program)));
            }
        }
        return None;
    }
    let script = rules.check_script(proxy, checks, proxy.own_checks, diagnostics)?;
    Some(Method::Script(Arc::new(script)))
}

/// How a server is checked that names a `healthcheck` section.
pub(super) fn of_server(
    config: &Config,
    proxy: &Proxy,
    server: &Server,
    rules: &Rules<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Method> {
    let name = server.options.healthcheck.as_ref()?;
    // That it is there was seen to.
    let section = config.healthchecks.iter().find(|s| s.name.value == name.value)?;
    let script = rules.check_script(proxy, &section.checks, OwnChecks::default(), diagnostics)?;
    Some(Method::Script(Arc::new(script)))
}
