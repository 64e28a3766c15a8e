//! Rules, conditions and log formats, compiled with the files they name.
//!
//! The configuration's own pass has found most mistakes already; what is left for here is what needs
//! the file system.

use std::io::Read;

use proxy_config::model::{self, Config, LogOption, Proxy};
use proxy_rules::acl::AclTable;
use proxy_rules::action::SetKind;
use proxy_rules::logformat::{LogFormat, Use, formats};
use proxy_rules::ruleset::{BackendRules, Rule, RuleSet};
use proxy_rules::sample::Place;
use proxy_rules::sample::parse::{Loader, ParseCx, words};
use proxy_rules::vars::VarNames;
use proxy_types::{DiagSink, Diagnostic, Diagnostics, Mode, Spanned};

/// Largest file a rule may name, in bytes.
const FILE_MAX: u64 = 256 << 20;

/// Reads the files that rules name.
struct Files;

impl Loader for Files {
    fn load(&self, name: &str) -> Result<Vec<u8>, String> {
        let mut content = Vec::new();
        let file = std::fs::File::open(name).map_err(|error| error.to_string())?;
        let length = file.take(FILE_MAX + 1).read_to_end(&mut content);
        match length.map_err(|error| error.to_string())? {
            length if length as u64 > FILE_MAX => Err(format!("it is larger than {FILE_MAX} bytes")),
            _ => Ok(content),
        }
    }
}

/// Compiles the rules of all sections with one set of variable names.
pub(crate) struct RuleCompiler<'a> {
    config: &'a Config,
    vars: VarNames,
}

/// The rule sets of one section.
#[derive(Default)]
pub(crate) struct Sets {
    pub(crate) tcp_connection: RuleSet,
    pub(crate) tcp_session: RuleSet,
    pub(crate) tcp_content: RuleSet,
    pub(crate) http_request: RuleSet,
    pub(crate) http_response: RuleSet,
    pub(crate) http_after_response: RuleSet,
    pub(crate) use_backend: BackendRules,
}

impl<'a> RuleCompiler<'a> {
    pub(crate) fn new(config: &'a Config) -> Self {
        Self { config, vars: VarNames::default() }
    }

    /// Compiles a section as the side that `in_frontend` tells; a `listen` section is compiled for both.
    pub(crate) fn sets(
        &self,
        proxy: &Proxy,
        in_frontend: bool,
        diagnostics: &mut Diagnostics,
    ) -> Sets {
        let mut sets = Sets::default();
        let inherited = proxy.defaults.and_then(|id| self.config.defaults.get(id.0));
        let mut own = self.acls(proxy, diagnostics);
        let mut theirs = inherited.map(|section| self.acls(section, diagnostics));
        // A `listen` section runs its rules once, as a frontend, except those of the server's side.
        let both = proxy.kind.is_frontend() && proxy.kind.is_backend();
        for (set, kind) in ORDER {
            if both && !in_frontend {
                break;
            }
            for (scope, line) in self.config.rules(proxy, set) {
                let acls = match &mut theirs {
                    Some(theirs) if !std::ptr::eq(scope.0, proxy) => theirs,
                    _ => &mut own,
                };
                let rule = self.parse(kind.place(in_frontend), proxy, diagnostics, |cx| {
                    let words = words(&line.words);
                    if set == model::RuleSet::Redirect {
                        Rule::parse_redirect(words.get(1..).unwrap_or_default(), acls, cx)
                    } else {
                        Rule::parse(kind, &words, acls, cx)
                    }
                });
                match rule {
                    Ok(rule) => sets.target(kind).push(rule),
                    Err(mut diagnostic) => {
                        diagnostic.span = diagnostic.span.or(Some(line.span));
                        diagnostics.push(diagnostic);
                    }
                }
            }
        }
        if in_frontend {
            for rule in &proxy.use_backends {
                let mut line = vec![rule.target.clone()];
                line.extend(rule.condition.iter().flat_map(|condition| condition.words.clone()));
                let pushed = self.parse(Place::UseBackend, proxy, diagnostics, |cx| {
                    sets.use_backend.push(&words(&line), &mut own, cx)
                });
                if let Err(mut diagnostic) = pushed {
                    diagnostic.span = diagnostic.span.or(Some(rule.span));
                    diagnostics.push(diagnostic);
                }
            }
        }
        sets
    }

    /// The format of a frontend's lines: `log-format`, an option's, or the default of its mode.
    pub(crate) fn log_format(
        &self,
        proxy: &Proxy,
        diagnostics: &mut Diagnostics,
    ) -> Option<LogFormat> {
        let settings = &proxy.settings;
        let text = match (&settings.log_format, settings.log_option.map(|option| option.value)) {
            (Some(word), _) => word.clone(),
            (None, Some(LogOption::Http { clf: true })) if settings.mode() == Mode::Http => {
                Spanned::builtin(formats::HTTP_CLF.to_owned())
            }
            (None, Some(LogOption::Http { .. })) if settings.mode() == Mode::Http => {
                Spanned::builtin(formats::HTTP.to_owned())
            }
            (None, Some(LogOption::Tcp { clf: true })) => {
                Spanned::builtin(formats::TCP_CLF.to_owned())
            }
            // `option httplog` in a TCP proxy falls back to the TCP format (manual, 8.2.3).
            (None, Some(LogOption::Tcp { .. } | LogOption::Http { .. })) => {
                Spanned::builtin(formats::TCP.to_owned())
            }
            (None, None) => Spanned::builtin(CONNECT.to_owned()),
        };
        let word = Spanned::new(text.value.as_bytes(), text.span);
        let format = self.parse(Place::Log, proxy, diagnostics, |cx| {
            LogFormat::parse(word, Use::Log, cx)
        });
        format.map_err(|diagnostic| diagnostics.push(diagnostic)).ok()
    }

    fn acls(&self, section: &Proxy, diagnostics: &mut Diagnostics) -> AclTable {
        let mut table = AclTable::default();
        for acl in &section.acls {
            let declared = self.parse(Place::Config, section, diagnostics, |cx| {
                table.declare(&words(&acl.words), cx)
            });
            if let Err(mut diagnostic) = declared {
                diagnostic.span = diagnostic.span.or(Some(acl.span));
                diagnostics.push(diagnostic);
            }
        }
        table
    }

    fn parse<T>(
        &self,
        place: Place,
        proxy: &Proxy,
        diagnostics: &mut Diagnostics,
        parse: impl FnOnce(&mut ParseCx<'_>) -> Result<T, Box<Diagnostic>>,
    ) -> Result<T, Diagnostic> {
        let mut refs = Vec::new();
        let mut cx = ParseCx {
            place,
            mode: proxy.settings.mode(),
            vars: &self.vars,
            loader: &Files,
            diag: diagnostics,
            refs: &mut refs,
        };
        parse(&mut cx).map_err(|diagnostic| *diagnostic)
    }
}

/// Which rules of the configuration make up which set; `redirect` lines come after `http-request`.
const ORDER: [(model::RuleSet, SetKind); 7] = [
    (model::RuleSet::TcpRequestConnection, SetKind::TcpConnection),
    (model::RuleSet::TcpRequestSession, SetKind::TcpSession),
    (model::RuleSet::TcpRequestContent, SetKind::TcpRequest),
    (model::RuleSet::HttpRequest, SetKind::HttpRequest),
    (model::RuleSet::Redirect, SetKind::HttpRequest),
    (model::RuleSet::HttpResponse, SetKind::HttpResponse),
    (model::RuleSet::HttpAfterResponse, SetKind::HttpAfterResponse),
];

/// The line of a proxy that logs without a format (configuration manual, 8.2.1).
const CONNECT: &str = "Connect from %ci:%cp to %fi:%fp (%ft/TCP)";

impl Sets {
    fn target(&mut self, kind: SetKind) -> &mut RuleSet {
        match kind {
            SetKind::TcpConnection => &mut self.tcp_connection,
            SetKind::TcpSession => &mut self.tcp_session,
            SetKind::HttpRequest => &mut self.http_request,
            SetKind::HttpResponse => &mut self.http_response,
            SetKind::HttpAfterResponse => &mut self.http_after_response,
            SetKind::TcpRequest | SetKind::TcpResponse | SetKind::QuicInitial => {
                &mut self.tcp_content
            }
        }
    }
}
