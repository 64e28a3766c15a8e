//! FastCGI: who uses which application (configuration manual, 10.1.2).

use proxy_types::{Diagnostic, Mode, Spanned, text};

use crate::context::Context;
use crate::model::{CheckOption, Config, FilterKind, Proto, Proxy};

pub(super) fn check(cx: &mut Context<'_>, config: &Config) {
    for proxy in &config.proxies {
        if let Some(name) = &proxy.fcgi_app {
            exists(cx, config, name);
        }
        for line in &proxy.filters.lines {
            let FilterKind::FcgiApp(name) = &line.kind else { continue };
            exists(cx, config, name);
            match &proxy.fcgi_app {
                Some(app) if app.value == name.value => {}
                Some(app) => {
                    let message = format!("the filter is of another application than '{app}'");
                    let diagnostic = Diagnostic::alert(message).at(name.span);
                    cx.report(diagnostic.label(app.span, "used here"));
                }
                None => {
                    let message = format!("{} uses no application", proxy.label());
                    let help = format!("add 'use-fcgi-app {name}' to the section");
                    cx.report(Diagnostic::alert(message).at(line.span).help(help));
                }
            }
        }
        servers(cx, proxy);
    }
}

fn exists(cx: &mut Context<'_>, config: &Config, name: &Spanned<String>) {
    let apps = || config.fcgi_apps.iter().map(|app| app.name.value.as_str());
    if apps().all(|app| app != name.value) {
        let message = format!("there is no fcgi-app '{name}'");
        let near = text::nearest(&name.value, apps());
        cx.report(Diagnostic::alert(message).at(name.span).did_you_mean(near));
    }
}

fn servers(cx: &mut Context<'_>, proxy: &Proxy) {
    let speaks = |server: &&crate::model::Server| {
        server.options.proto.is_some_and(|proto| proto.value == Proto::Fcgi)
    };
    let first = proxy.servers.iter().find(speaks);
    if let Some(name) = &proxy.fcgi_app {
        if proxy.settings.mode() != Mode::Http {
            let message = format!("{}: 'use-fcgi-app' is for mode http", proxy.label());
            cx.report(Diagnostic::alert(message).at(name.span));
        } else if first.is_none() {
            let message = format!("{}: no server of it speaks FastCGI", proxy.label());
            let help = "add 'proto fcgi' to its servers";
            cx.report(Diagnostic::alert(message).at(name.span).help(help));
        }
    }
    let Some(server) = first else { return };
    let Some(proto) = server.options.proto else { return };
    if proxy.fcgi_app.is_none() {
        let message =
            format!("{}: FastCGI server '{}' has no application", proxy.label(), server.name);
        let help = "add 'use-fcgi-app' with the name of an 'fcgi-app' section";
        cx.report(Diagnostic::alert(message).at(proto.span).help(help));
    }
    let http = |option: &Spanned<CheckOption>| matches!(option.value, CheckOption::Http { .. });
    let checked = proxy.servers.iter().filter(speaks).find(|server| {
        server.options.check.is_some_and(|check| check.value)
            && server.options.probe.proto.is_none()
    });
    if let Some(server) = checked
        && proxy.settings.checks.option.as_ref().is_some_and(http)
    {
        let message = "health checks over FastCGI are known, not carried yet";
        let help = "leave 'option httpchk' out: connecting is enough then, or set 'check-proto h1' and a 'port' that speaks it";
        cx.report(Diagnostic::alert(message).at(server.span).help(help));
    }
}
