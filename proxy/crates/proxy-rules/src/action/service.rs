//! Internal services that answer in a server's place (configuration manual, 4.4 "use-service").

use proxy_types::{Diagnostic, text};

use super::def::{Act, ActionArgs, ActionDef, SetKind, Sets};
use super::env::{Flow, RuleEnv};
use super::request::ServiceDef;
use crate::sample::parse::fail;
use crate::sample::{ParseCx, Parsed};

/// Every service.
pub static SERVICES: &[ServiceDef] =
    &[ServiceDef { name: PROMETHEUS, doc: "Gives the metrics of the process, for Prometheus." }];

/// The metrics.
pub const PROMETHEUS: &str = "prometheus-exporter";

pub(super) const ACTIONS: &[ActionDef] = &[ActionDef {
    name: "use-service",
    sets: Sets::of("...Y.Y.."),
    parse,
    syntax: "<service-name>",
    doc: "Lets an internal service answer.",
}];

#[derive(Debug)]
struct UseService(&'static ServiceDef);

fn parse(args: &mut ActionArgs<'_, '_>, _: &mut ParseCx<'_>) -> Parsed<Box<dyn Act>> {
    let (name, span) = args.text("the name of a service")?;
    let Some(service) = SERVICES.iter().find(|service| service.name == name) else {
        let names = || SERVICES.iter().map(|service| service.name);
        return fail(
            Diagnostic::alert(format!("{}: unknown service '{name}'", args.what()))
                .at(span)
                .did_you_mean(text::nearest(&name, names()))
                .expected(names().collect::<Vec<_>>().join(", ")),
        );
    };
    if args.kind != SetKind::HttpRequest {
        return fail(
            Diagnostic::alert(format!("{}: the service '{name}' answers HTTP only", args.what()))
                .at(span)
                .expected("'http-request use-service'"),
        );
    }
    Ok(Box::new(UseService(service)))
}

impl Act for UseService {
    fn run<'a>(&'a self, _: &mut RuleEnv<'_, 'a>) -> Flow<'a> {
        Flow::Service(self.0)
    }
}
