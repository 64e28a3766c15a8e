//! How servers are checked.

use std::sync::Arc;

use proxy_config::model::{CheckOption, Config, OwnChecks, Proxy};
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
    methods: &mut Methods,
    diagnostics: &mut Diagnostics,
) {
    let checks = &proxy.settings.checks;
    let checked = proxy.servers.iter().any(|server| server.options.is_checked());
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
                let method = Method::Program(Arc::new(program));
                methods.backends.insert(backend.name.clone(), method);
            }
        }
    } else if let Some(script) = rules.check_script(proxy, checks, proxy.own_checks, diagnostics) {
        methods.backends.insert(backend.name.clone(), Method::Script(Arc::new(script)));
    }
    for server in &proxy.servers {
        let Some(name) = &server.options.healthcheck else { continue };
        // That it is there was seen to.
        let Some(section) = config.healthchecks.iter().find(|s| s.name.value == name.value) else {
            continue;
        };
        if let Some(script) =
            rules.check_script(proxy, &section.checks, OwnChecks::default(), diagnostics)
        {
            let key = (backend.name.clone(), server.name.value.as_str().into());
            methods.servers.insert(key, Method::Script(Arc::new(script)));
        }
    }
}
