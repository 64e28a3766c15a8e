//! Lines to sections: conditional blocks, directives such as `.notice`, the lines that open sections, and the
//! dispatch of all others to the tables.

use proxy_types::{Diagnostic, FileId, Severity, Span, Spanned, text};

use crate::Environment;
use crate::args::Args;
use crate::cond::{Blocks, Facts, evaluate_words};
use crate::context::{Context, Elsewhere, Parsed};
use crate::dump::Recorder;
use crate::lexer::{self, Variables, Word, sub_span};
use crate::line::shared::is_name_char;
use crate::line::{error_page, server_from};
use crate::model;
use crate::model::{
    Cache, Config, CrtStore, DefaultsId, HealthCheck, HttpErrors, Mailers, Peers, Proxy, ProxyKind,
    Resolvers, Userlist,
};
use crate::section::names::{PROXY_SECTIONS, section_names};
use crate::section::{
    acme, cache, crt_store, fcgi, global, healthcheck, mailers, other, peers, proxy, resolvers,
    traces, userlist,
};
use crate::section::{log_forward, log_profile, ring};
use crate::source::{Source, Sources};

/// The section that lines belong to.
enum Current {
    Global,
    HttpErrors(HttpErrors),
    /// Before the first section.
    None,
    /// Known, not carried: its lines are skipped, the section itself was reported.
    Other(&'static str),
    Peers(Box<Peers>),
    Proxy(Box<Proxy>),
    LogForward(Box<model::LogForward>),
    LogProfile(model::LogProfile),
    Ring(Box<model::Ring>),
    Resolvers(Box<Resolvers>),
    Userlist(Userlist),
    Cache(Cache),
    Acme(Box<model::Acme>),
    FcgiApp(Box<model::FcgiApp>),
    CrtStore(CrtStore),
    HealthCheck(Box<HealthCheck>),
    Mailers(Mailers),
    Traces,
}

/// Variables of one line: the environment and the pseudo-variables.
struct LineVariables<'a> {
    env: &'a Environment,
    source: &'a str,
    line: u32,
    section: &'a str,
}

impl Variables for LineVariables<'_> {
    fn variable(&self, name: &str) -> Option<String> {
        match name {
            ".FILE" => Some(self.source.to_owned()),
            ".LINE" => Some(self.line.to_string()),
            ".SECTION" => Some(self.section.to_owned()),
            _ => self.env.get(name).map(str::to_owned),
        }
    }
}

struct Reader<'a, 'c> {
    cx: &'c mut Context<'a>,
    sources: &'c Sources,
    config: Config,
    current: Current,
    recorder: Option<&'c mut Recorder>,
}

/// Reads all sources into a model whose cross references are not checked yet.
pub(crate) fn read(cx: &mut Context<'_>, sources: &Sources) -> Config {
    read_into(cx, sources, None)
}

/// [`read`], with every line that counts told to the recorder.
pub(crate) fn read_into(
    cx: &mut Context<'_>,
    sources: &Sources,
    recorder: Option<&mut Recorder>,
) -> Config {
    let (config, current) = (Config::default(), Current::None);
    let mut reader = Reader { cx, sources, config, current, recorder };
    for (file, source) in sources.iter() {
        reader.source(file, source);
    }
    reader.config
}

impl Reader<'_, '_> {
    fn source(&mut self, file: FileId, source: &Source) {
        let mut blocks = Blocks::default();
        let count = source.line_count() as u32;
        let mut words = Vec::new();
        for number in 1..=count {
            let line = source.line(number);
            let section = match &self.current {
                Current::Global => "global",
                Current::HttpErrors(section) => section.name.value.as_str(),
                Current::None => "",
                Current::Other(name) => name,
                Current::Peers(section) => section.name.value.as_str(),
                Current::Proxy(p) if p.name.value.is_empty() => p.kind.as_str(),
                Current::Proxy(p) => p.name.value.as_str(),
                Current::LogForward(section) => section.name.value.as_str(),
                Current::LogProfile(profile) => profile.name.value.as_str(),
                Current::Ring(section) => section.name.value.as_str(),
                Current::Resolvers(section) => section.name.value.as_str(),
                Current::Userlist(list) => list.name.value.as_str(),
                Current::Cache(_) => "cache",
                Current::Acme(section) => section.name.value.as_str(),
                Current::FcgiApp(app) => app.name.value.as_str(),
                Current::CrtStore(_) => "crt-store",
                Current::HealthCheck(section) => section.name.value.as_str(),
                Current::Mailers(section) => section.name.value.as_str(),
                Current::Traces => "traces",
            };
            let variables =
                LineVariables { env: &self.cx.env, source: &source.name, line: number, section };
            match lexer::words_into(&mut words, line, file, number, &variables) {
                Ok(()) if words.is_empty() => {}
                Ok(()) => self.line(&mut blocks, &words),
                Err(error) => {
                    if let Current::Proxy(proxy) = &mut self.current {
                        proxy.has_errors = true;
                    }
                    self.cx.report(error.into());
                }
            }
        }
        let last = source.line(count);
        let end = Span::new(file, count, last.len() as u32, last.len() as u32 + 1);
        if source.is_truncated() {
            let message = format!(
                "Missing LF on last line, file might have been truncated at position {}",
                last.len() + 1
            );
            self.cx.alert(end, message);
        }
        if let Some(line) = blocks.open_line() {
            let opened = Span::new(file, line, 0, source.line(line).len() as u32);
            let message = "non-terminated '.if' block";
            self.cx.report(Diagnostic::alert(message).at(end).label(opened, "opened here"));
        }
        self.close_section();
    }

    fn close_section(&mut self) {
        match std::mem::replace(&mut self.current, Current::None) {
            Current::Proxy(proxy) if proxy.kind == ProxyKind::Defaults => {
                self.config.defaults.push(*proxy);
            }
            Current::Proxy(mut proxy) => {
                proxy.servers.shrink_to_fit();
                self.config.proxies.push(*proxy);
            }
            Current::HttpErrors(section) => self.config.http_errors.push(section),
            Current::LogProfile(profile) => self.config.log_profiles.push(profile),
            Current::LogForward(section) => {
                log_forward::check(self.cx, &section);
                self.config.log_forwards.push(*section);
            }
            Current::Ring(section) => {
                ring::check(self.cx, &section);
                self.config.rings.push(*section);
            }
            Current::Resolvers(section) => {
                resolvers::check(self.cx, &section);
                self.config.resolvers.push(*section);
            }
            Current::Userlist(list) => {
                userlist::check(self.cx, &list);
                self.config.userlists.push(list);
            }
            Current::Cache(section) => {
                cache::check(self.cx, &section);
                self.config.caches.push(section);
            }
            Current::Acme(section) => {
                acme::check(self.cx, &section);
                self.config.acmes.push(*section);
            }
            Current::FcgiApp(app) => {
                fcgi::check(self.cx, &app);
                self.config.fcgi_apps.push(*app);
            }
            Current::CrtStore(store) => self.config.crt_stores.push(store),
            Current::Mailers(section) => self.config.mailers.push(section),
            Current::HealthCheck(section) => {
                healthcheck::check(self.cx, &section);
                self.config.healthchecks.push(*section);
            }
            Current::Peers(mut section) => {
                peers::close(self.cx, &mut section);
                self.config.peers.push(*section);
            }
            Current::Global | Current::None | Current::Other(_) | Current::Traces => {}
        }
    }

    /// One line with at least one word.
    fn line(&mut self, blocks: &mut Blocks, words: &[Word]) {
        if words[0].value.starts_with('.') {
            // The mistake, if any, has been told.
            let _ = self.directive(blocks, words);
            return;
        }
        if !blocks.active() {
            return;
        }
        if self.opens_section(words) {
            let kind = PROXY_SECTIONS.iter().find(|(name, _)| *name == words[0].value);
            if let Some(recorder) = &mut self.recorder {
                recorder.section(kind.map(|(_, kind)| *kind), words);
            }
            return;
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.line(words);
        }
        let mut args = Args::new(words);
        let _ = match &mut self.current {
            Current::Global => global::line(self.cx, &mut self.config.global, &mut args),
            Current::Proxy(proxy) => {
                let alerts = self.cx.alerts();
                let origin = server_from::elsewhere(words, &proxy.name.value);
                self.cx.origin = match origin {
                    None => Elsewhere::NotNamed,
                    Some(origin) => {
                        let section = self.config.proxy(origin.backend());
                        let section = section.filter(|p| p.kind.is_backend());
                        Elsewhere::named(section.and_then(|p| origin.settings(p)))
                    }
                };
                let result = proxy::line(self.cx, proxy, &mut args);
                proxy.has_errors |= self.cx.alerts() > alerts;
                result
            }
            Current::LogForward(section) => log_forward::line(self.cx, section, &mut args),
            Current::LogProfile(profile) => log_profile::line(self.cx, profile, &mut args),
            Current::Ring(section) => ring::line(self.cx, section, &mut args),
            Current::Resolvers(section) => resolvers::line(self.cx, section, &mut args),
            Current::Userlist(list) => userlist::line(self.cx, list, &mut args),
            Current::Peers(section) => peers::line(self.cx, section, &mut args),
            Current::Cache(section) => cache::line(self.cx, section, &mut args),
            Current::Acme(section) => acme::line(self.cx, section, &mut args),
            Current::FcgiApp(app) => fcgi::line(self.cx, app, &mut args),
            Current::CrtStore(store) => crt_store::line(self.cx, store, &mut args),
            Current::Mailers(section) => mailers::line(self.cx, section, &mut args),
            Current::Traces => traces::line(self.cx, &mut self.config.traces, &mut args),
            Current::HealthCheck(section) => healthcheck::line(self.cx, section, &mut args),
            Current::HttpErrors(section) => error_page::section_line(self.cx, section, &mut args),
            Current::Other(_) => Ok(()),
            Current::None => {
                let word = &words[0];
                let message = format!("unknown keyword '{}' out of section", word.value);
                let near = text::nearest(&word.value, section_names());
                Err(self.cx.report(Diagnostic::alert(message).at(word.span).did_you_mean(near)))
            }
        };
    }

    fn directive(&mut self, blocks: &mut Blocks, words: &[Word]) -> Parsed {
        let (first, rest) = (&words[0], &words[1..]);
        let misplaced = |cx: &mut Context<'_>, text: &str| cx.alert(first.span, text);
        let severity = match first.value.as_str() {
            ".if" => {
                let line = first.span.line;
                return blocks.on_if(line, || condition(self.cx, first, rest));
            }
            ".elif" => {
                let result = blocks.on_elif(|| condition(self.cx, first, rest));
                return result.map_err(|text| misplaced(self.cx, text))?;
            }
            ".else" => {
                blocks.on_else().map_err(|text| misplaced(self.cx, text))?;
                return self.no_arguments(first, rest);
            }
            ".endif" => {
                blocks.on_endif().map_err(|text| misplaced(self.cx, text))?;
                return self.no_arguments(first, rest);
            }
            ".alert" => Severity::Alert,
            ".diag" => Severity::Diag,
            ".notice" => Severity::Notice,
            ".warning" => Severity::Warning,
            name => {
                if !blocks.active() {
                    return Ok(());
                }
                const KNOWN: [&str; 8] =
                    [".if", ".elif", ".else", ".endif", ".alert", ".diag", ".notice", ".warning"];
                let message = format!("unknown directive '{name}'");
                let near = text::nearest(name, KNOWN);
                return Err(self
                    .cx
                    .report(Diagnostic::alert(message).at(first.span).did_you_mean(near)));
            }
        };
        if !blocks.active() {
            return Ok(());
        }
        if let Some(extra) = rest.get(1) {
            let message = format!("unexpected argument '{}' for '{}'", extra.value, first.value);
            let help = "use quotes if the message should contain spaces";
            return Err(self.cx.report(Diagnostic::alert(message).at(extra.span).help(help)));
        }
        let said = rest.first().map_or("", |word| word.value.as_str());
        let mut diagnostic = Diagnostic::alert(format!("'{said}'")).at(first.span);
        diagnostic.severity = severity;
        self.cx.report(diagnostic);
        Ok(())
    }

    fn no_arguments(&mut self, first: &Word, rest: &[Word]) -> Parsed {
        match rest.first() {
            None => Ok(()),
            Some(extra) => {
                let message =
                    format!("unexpected argument '{}' for '{}'", extra.value, first.value);
                Err(self.cx.alert(extra.span, message))
            }
        }
    }

    /// Opens the section that the line starts, if it starts one.
    fn opens_section(&mut self, words: &[Word]) -> bool {
        let first = &words[0];
        let name = first.value.as_str();
        if name == "global" {
            self.close_section();
            self.current = Current::Global;
            let mut args = Args::new(words);
            let _ = args.end(self.cx);
            return true;
        }
        if name == "cache" {
            self.close_section();
            let section = cache::open(self.cx, &mut Args::new(words));
            let known = self.config.caches.iter().find(|c| c.name.value == section.name.value);
            if let Some(known) = known {
                let message = format!("cache '{}' exists already", section.name);
                let diagnostic = Diagnostic::alert(message).at(section.name.span);
                self.cx.report(diagnostic.label(known.name.span, "here"));
            }
            self.current = Current::Cache(section);
            return true;
        }
        if name == "acme" {
            self.close_section();
            let section = acme::open(self.cx, &mut Args::new(words));
            if self.config.global.expose_experimental_directives.is_none() {
                let message = "section 'acme' is experimental: set 'expose-experimental-directives' in the \
                               global section to use it";
                self.cx.alert(section.name.span, message);
            }
            if self.config.acmes.iter().any(|known| known.name.value == section.name.value) {
                let message = format!("acme section '{}' exists already", section.name);
                self.cx.alert(section.name.span, message);
            }
            self.current = Current::Acme(Box::new(section));
            return true;
        }
        if name == "crt-store" {
            self.close_section();
            let store = crt_store::open(self.cx, &mut Args::new(words));
            self.current = Current::CrtStore(store);
            return true;
        }
        if name == "log-profile" {
            self.close_section();
            let profile = log_profile::open(self.cx, &mut Args::new(words));
            let same = |known: &&model::LogProfile| known.name.value == profile.name.value;
            if let Some(known) = self.config.log_profiles.iter().find(same) {
                let message = format!("log-profile '{}' is already defined", profile.name);
                let diagnostic = Diagnostic::alert(message)
                    .at(profile.name.span)
                    .label(known.name.span, "first defined here");
                self.cx.report(diagnostic);
            }
            self.current = Current::LogProfile(profile);
            return true;
        }
        if name == "ring" {
            self.close_section();
            let section = ring::open(self.cx, &mut Args::new(words));
            let same = |known: &&model::Ring| known.name.value == section.name.value;
            if section.name.value == model::Ring::BUILTIN {
                let message = format!("ring '{}' is there already", section.name);
                self.cx.alert(section.name.span, message);
            } else if let Some(known) = self.config.rings.iter().find(same) {
                let message = format!("ring '{}' exists already", section.name);
                let diagnostic = Diagnostic::alert(message).at(section.name.span);
                self.cx.report(diagnostic.label(known.name.span, "first declared here"));
            }
            self.current = Current::Ring(Box::new(section));
            return true;
        }
        if name == "log-forward" {
            self.close_section();
            let section = log_forward::open(self.cx, &mut Args::new(words));
            let same = |known: &&model::LogForward| known.name.value == section.name.value;
            if let Some(known) = self.config.log_forwards.iter().find(same) {
                let message = format!("log-forward section '{}' exists already", section.name);
                let diagnostic = Diagnostic::alert(message).at(section.name.span);
                self.cx.report(diagnostic.label(known.name.span, "first declared here"));
            }
            self.current = Current::LogForward(Box::new(section));
            return true;
        }
        if name == "resolvers" {
            self.close_section();
            let section = resolvers::open(self.cx, &mut Args::new(words));
            let same = |known: &&Resolvers| known.name.value == section.name.value;
            if let Some(known) = self.config.resolvers.iter().find(same) {
                let message =
                    format!("resolvers '{}' has same name as another resolvers", section.name);
                let diagnostic = Diagnostic::alert(message)
                    .at(section.name.span)
                    .label(known.name.span, "first declared here");
                self.cx.report(diagnostic);
            }
            self.current = Current::Resolvers(Box::new(section));
            return true;
        }
        if name == "fcgi-app" {
            self.close_section();
            let app = fcgi::open(self.cx, &mut Args::new(words));
            let same = |known: &&model::FcgiApp| known.name.value == app.name.value;
            if let Some(known) = self.config.fcgi_apps.iter().find(same) {
                let message = format!("fcgi-app section '{}' exists already", app.name);
                let diagnostic = Diagnostic::alert(message).at(app.name.span);
                self.cx.report(diagnostic.label(known.name.span, "first declared here"));
            }
            self.current = Current::FcgiApp(Box::new(app));
            return true;
        }
        if name == "mailers" {
            self.close_section();
            let section = mailers::open(self.cx, &mut Args::new(words));
            if self.config.mailers.iter().any(|known| known.name.value == section.name.value) {
                let message = format!("mailers section '{}' exists already", section.name);
                self.cx.alert(section.name.span, message);
            }
            self.current = Current::Mailers(section);
            return true;
        }
        if name == "traces" {
            self.close_section();
            let _ = Args::new(words).end(self.cx);
            self.current = Current::Traces;
            return true;
        }
        if name == "healthcheck" {
            self.close_section();
            let section = healthcheck::open(self.cx, &mut Args::new(words));
            let mut known = self.config.healthchecks.iter();
            if known.any(|known| known.name.value == section.name.value) {
                let message = format!("healthcheck section '{}' exists already", section.name);
                self.cx.alert(section.name.span, message);
            }
            self.current = Current::HealthCheck(Box::new(section));
            return true;
        }
        if name == "peers" {
            self.close_section();
            let section = peers::open(self.cx, &mut Args::new(words));
            if let Some(known) =
                self.config.peers.iter().find(|s| s.name.value == section.name.value)
            {
                let message = format!("peers section '{}' exists already", section.name.value);
                let diagnostic = Diagnostic::alert(message).at(section.name.span);
                self.cx.report(diagnostic.label(known.name.span, "first declared here"));
            }
            self.current = Current::Peers(Box::new(section));
            return true;
        }
        if name == "userlist" {
            self.close_section();
            let list = userlist::open(self.cx, &mut Args::new(words));
            if self.config.userlists.iter().any(|known| known.name.value == list.name.value) {
                let message = format!("userlist '{}' is already defined", list.name.value);
                self.cx.alert(list.name.span, message);
            }
            self.current = Current::Userlist(list);
            return true;
        }
        if let Some(&(_, kind)) = PROXY_SECTIONS.iter().find(|(n, _)| *n == name) {
            // `default` and `no` never reach this point: they are no section names.
            self.close_section();
            let proxy = self.open_proxy(kind, words);
            self.current = Current::Proxy(Box::new(proxy));
            return true;
        }
        if name == "http-errors" {
            self.close_section();
            let mut args = Args::new(words);
            let name = args.string(self.cx, "a name as argument").ok();
            let _ = args.end(self.cx);
            let name = name.unwrap_or_else(|| Spanned::new(String::new(), first.span));
            if let Some(known) = self.config.http_errors.iter().find(|s| s.name.value == name.value)
            {
                let message = format!("http-errors section '{name}' exists already");
                let diagnostic =
                    Diagnostic::alert(message).at(name.span).label(known.name.span, "here");
                self.cx.report(diagnostic);
            }
            self.current = Current::HttpErrors(HttpErrors { name, files: Vec::new() });
            return true;
        }
        if let Some(section) = other::find(name) {
            self.close_section();
            let message = if section.name == "program" {
                "section 'program': not supported anymore since version 3.3".to_owned()
            } else {
                format!("section '{name}': known, not carried yet")
            };
            let mut diagnostic = Diagnostic::alert(message).at(first.span);
            if !section.manual.is_empty() {
                diagnostic =
                    diagnostic.note(format!("configuration manual, section {}", section.manual));
            }
            self.cx.report(diagnostic);
            self.current = Current::Other(section.name);
            return true;
        }
        false
    }

    /// A section that lacks a name or has a wrong one is opened all the same: its lines are worth looking at.
    fn open_proxy(&mut self, kind: ProxyKind, words: &[Word]) -> Proxy {
        let mut args = Args::new(words);
        let span = args.span();
        let is_from = args.peek().is_some_and(|w| w.value == "from");
        let name = match kind {
            ProxyKind::Defaults if is_from => None,
            ProxyKind::Defaults => args.optional().and_then(|word| args.text(self.cx, word).ok()),
            _ => args.string(self.cx, "a name as argument").ok(),
        };
        let name = name.unwrap_or_else(|| Spanned::new(String::new(), words[0].span));
        if kind != ProxyKind::Defaults {
            self.check_name(kind, &name);
        }
        let mut proxy = Proxy::new(kind, name, span);
        match args.accept("from") {
            Some(_) => {
                if let Ok(from) =
                    args.string(self.cx, "the name of a 'defaults' section after 'from'")
                {
                    proxy.defaults = self.find_defaults(&proxy, &from);
                    proxy.explicit_defaults = true;
                }
            }
            None if kind == ProxyKind::Defaults => {}
            None => proxy.defaults = self.config.defaults.len().checked_sub(1).map(DefaultsId),
        }
        if let Some(extra) = args.peek()
            && kind == ProxyKind::Defaults
        {
            let message = format!("'defaults' : '{}' and what follows is not read", extra.value);
            self.cx.notice(extra.span, message);
        } else if let Some(extra) = args.peek() {
            let message =
                format!("'{}' cannot handle unexpected argument '{}'", kind.as_str(), extra.value);
            let mut diagnostic = Diagnostic::alert(message).at(extra.span);
            if kind.is_frontend() && extra.value.contains(':') {
                diagnostic =
                    diagnostic.help(format!("use a 'bind {}' line in the section", extra.value));
            }
            self.cx.report(diagnostic);
        }
        if let Some(defaults) = proxy.defaults.and_then(|id| self.config.defaults.get(id.0)) {
            proxy.settings = defaults.settings.clone();
            proxy.has_errors |= defaults.has_errors;
        }
        proxy
    }

    fn check_name(&mut self, kind: ProxyKind, name: &Spanned<String>) {
        if let Some((at, c)) = name.value.char_indices().find(|(_, c)| !is_name_char(*c)) {
            let message =
                format!("character '{c}' is not permitted in '{}' name '{name}'", kind.as_str());
            let expected = "expected letters, digits, '-', '_', '.' and ':'";
            let span = sub_span(name, at, c.len_utf8());
            self.cx.report(Diagnostic::alert(message).at(span).expected(expected));
        }
    }

    fn find_defaults(&mut self, proxy: &Proxy, from: &Spanned<String>) -> Option<DefaultsId> {
        let named = |(_, d): &(usize, &Proxy)| d.name.value == from.value;
        let found: Vec<(usize, &Proxy)> =
            self.config.defaults.iter().enumerate().filter(named).collect();
        match found.as_slice() {
            [(index, _)] => Some(DefaultsId(*index)),
            [] => {
                let message =
                    format!("defaults section '{}' not found for {}", from.value, proxy.label());
                let names = self.config.defaults.iter().map(|d| d.name.value.as_str());
                let near = text::nearest(&from.value, names).map(str::to_owned);
                let diagnostic =
                    Diagnostic::alert(message).at(from.span).did_you_mean(near.as_deref());
                self.cx.report(diagnostic);
                None
            }
            [(_, first), (_, second), ..] => {
                let message = format!(
                    "ambiguous defaults section name '{}' referenced by {} exists at least at {} and {}",
                    from.value,
                    proxy.label(),
                    self.sources.place(first.span),
                    self.sources.place(second.span)
                );
                let diagnostic = Diagnostic::alert(message)
                    .at(from.span)
                    .label(first.span, "one of them")
                    .label(second.span, "another one");
                self.cx.report(diagnostic);
                None
            }
        }
    }
}

/// The value of `.if` or `.elif`.
fn condition(cx: &mut Context<'_>, directive: &Word, words: &[Word]) -> Parsed<bool> {
    let facts = Facts { env: &cx.env, program: &cx.options.program };
    evaluate_words(words, &facts).map_err(|(error, span)| {
        let span = if span.is_none() { directive.span } else { span };
        let message =
            format!("{} in '{}' at position {}", error.message, directive.value, error.offset + 1);
        cx.alert(span, message)
    })
}
