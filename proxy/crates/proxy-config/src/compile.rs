//! The words of ACLs, conditions and rules to what `proxy-rules` evaluates.
//!
//! `load` does this once to find the mistakes, with a loader that has no files, and forgets the result; `assemble`
//! does it again with the real one and keeps it. The model stays plain data that way.

use std::cell::RefCell;
use std::sync::Arc;

use proxy_rules::acl::{AclTable, Condition};
use proxy_rules::action::SetKind;
use proxy_rules::bandwidth::{Direction, Kind, Limiter};
use proxy_rules::capture::{CaptureSlot, CaptureSlots};
use proxy_rules::check::{self, RequestLine, Script};
use proxy_rules::fetch::{self, Looks};
use proxy_rules::jwt::PublicKeys;
use proxy_rules::logformat::{LogFormat, Use, formats};
use proxy_rules::pattern::PatternLists;
use proxy_rules::ruleset::{self, BackendRules, Rule, ServerRules};
use proxy_rules::sample::args::TableRef;
use proxy_rules::sample::parse::{FileNames, Loader, Named, ParseCx, words as words_of};
use proxy_rules::sample::{Expr, FetchDef, Parsed, Place};
use proxy_rules::vars::{VarNames, VarRef};
use proxy_types::{DiagSink, Diagnostic, Mode, Span, Spanned};
use rustc_hash::FxHashMap;

use crate::lexer::Word;
use crate::model::{
    self, Balance, CheckLine, CheckOption, Checks, Config, ErrorSource, FcgiApp, FilterKind,
    LogOption, LogProfile, LogStep, OwnChecks, Proxy, ProxyKind, RuleLine, RuleSet, StickRule,
    StoreWhen,
};

/// The ACLs of sections that were declared so far. Whoever compiles something of a section takes the same ones: their
/// pattern lists are changed, shown and numbered once.
#[derive(Debug, Default)]
pub struct AclTables(RefCell<FxHashMap<(Span, String), AclTable>>);

/// Where compiled things get their surroundings from.
pub struct Compiler<'a> {
    /// One for the whole configuration.
    pub vars: &'a VarNames,
    /// Gives the files that ACLs and rules name.
    pub loader: &'a dyn Loader,
    /// The pattern lists; one for the whole configuration.
    pub patterns: &'a PatternLists,
    /// The public keys that converters name.
    pub keys: &'a PublicKeys,
    pub files: &'a dyn FileNames,
    pub diag: &'a mut dyn DiagSink,
    /// Of the section that is compiled.
    pub mode: Mode,
    pub in_frontend: bool,
    /// The section is a `listen` section, or may become one.
    pub listen: bool,
    /// The slots of the frontend that is compiled.
    pub captures: CaptureSlots,
    /// `tune.stick-counters`.
    pub counters: u8,
    pub section: &'a str,
    /// The named ACLs of the section that is compiled, for expressions that refer to them.
    pub acls: Option<AclTable>,
    /// One for the whole configuration.
    pub tables: &'a AclTables,
    /// Takes the sections that expressions name.
    pub refs: Vec<Spanned<Named>>,
}

/// Finds every file, and nothing in it: for checks that must not touch files.
pub struct BlankFiles;

impl Loader for BlankFiles {
    fn load(&self, _name: &str) -> Result<Vec<u8>, String> {
        Ok(Vec::new())
    }
}

impl Compiler<'_> {
    fn parse(&mut self, place: Place) -> ParseCx<'_> {
        ParseCx {
            place,
            listen: self.listen,
            mode: self.mode,
            section: self.section,
            vars: self.vars,
            loader: self.loader,
            patterns: self.patterns,
            keys: self.keys,
            files: self.files,
            captures: self.in_frontend.then_some(&self.captures),
            acls: self.acls.clone(),
            counters: self.counters,
            diag: self.diag,
            refs: &mut self.refs,
        }
    }

    /// The variables that the `global` section sets.
    pub fn global_vars(&mut self, config: &Config) -> Vec<GlobalVar> {
        let mut vars = Vec::new();
        self.mode = Mode::Http;
        for line in &config.global.set_vars {
            let var = match self.vars.parse(&line.name.value) {
                Ok(var) => var,
                Err(why) => {
                    self.tell(Diagnostic::alert(why).at(line.name.span), line.span);
                    continue;
                }
            };
            let word = Spanned::new(line.value.value.as_bytes(), line.value.span);
            let mut cx = self.parse(Place::Config);
            let value = match line.is_format {
                true => LogFormat::parse(word, Use::Http, &mut cx).map(VarValue::Format),
                false => Expr::parse(word, &mut cx).map(VarValue::Expr),
            };
            match value {
                Ok(value) => vars.push(GlobalVar { var, value }),
                Err(diagnostic) => self.tell(*diagnostic, line.span),
            }
        }
        vars
    }

    /// A log format that is part of the program.
    pub fn builtin_format(&mut self, text: &str) -> Option<LogFormat> {
        LogFormat::builtin(text, &mut self.parse(Place::Log)).ok()
    }

    /// The rules that choose a server of a backend or bind requests to one.
    pub fn server_choice(&mut self, section: &Proxy) -> ServerChoice {
        let mut out = ServerChoice::default();
        let nothing = section.persist_rules.is_empty()
            && section.use_servers.is_empty()
            && section.stick_rules.is_empty();
        if nothing {
            return out;
        }
        let mut acls = self.acls(section);
        let place = Place::BeServerChoice;
        for line in &section.persist_rules {
            let words = words_of(&line.condition.words);
            match Condition::parse(&words, &mut acls, &mut self.parse(place)) {
                Ok(condition) => out.persist.push((line.force, condition)),
                Err(diagnostic) => self.tell(*diagnostic, line.span),
            }
        }
        for line in &section.stick_rules {
            match self.stick_rule(line, &mut acls) {
                Ok(rule) => out.sticks.push(rule),
                Err(diagnostic) => self.tell(*diagnostic, line.span),
            }
        }
        for line in &section.use_servers {
            let mut words = words_of(std::slice::from_ref(&line.target));
            if let Some(condition) = &line.condition {
                words.extend(words_of(&condition.words));
            }
            let pushed = out.use_servers.push(&words, &mut acls, &mut self.parse(place));
            if let Err(diagnostic) = pushed {
                self.tell(*diagnostic, line.span);
            }
        }
        out
    }

    fn stick_rule(&mut self, line: &StickRule, acls: &mut AclTable) -> Parsed<Stick> {
        let on_response = line.store == Some(StoreWhen::Response);
        let place = if on_response { Place::StickStore } else { Place::BeServerChoice };
        let section = self.section;
        let mut cx = self.parse(place);
        let pattern = words_of(std::slice::from_ref(&line.pattern));
        let pattern = Expr::parse(pattern[0], &mut cx)?;
        let table = match &line.table {
            Some(name) => TableRef::named(&name.value, name.span, &mut cx),
            None => TableRef::named(section, line.span, &mut cx),
        };
        let condition = match &line.condition {
            Some(condition) => Some(Condition::parse(&words_of(&condition.words), acls, &mut cx)?),
            None => None,
        };
        let (matches, on_request) = (line.matches, line.store == Some(StoreWhen::Request));
        Ok(Stick { matches, on_request, on_response, pattern, table, condition })
    }

    /// The limits of bandwidth that the section's filters make.
    pub fn limiters(&mut self, section: &Proxy) -> Vec<Limiter> {
        let mut limiters = Vec::new();
        for line in &section.filters.lines {
            let FilterKind::Bandwidth(filter) = &line.kind else { continue };
            let direction = if filter.upload { Direction::In } else { Direction::Out };
            let limit = filter.limit.value;
            let kind = match &filter.shared {
                None => {
                    let period = filter.period.map_or(0, |period| period.value.as_millis());
                    Kind::Stream { limit, period: u32::try_from(period).unwrap_or(u32::MAX) }
                }
                Some((key, table)) => {
                    self.acls_in(section, key.value.as_bytes());
                    let mut cx = self.parse(Place::FeHttpRequest);
                    let (name, span) = match table {
                        Some(table) => (table.value.as_str(), table.span),
                        None => (section.name.value.as_str(), line.span),
                    };
                    let table = TableRef::named(name, span, &mut cx);
                    let words = words_of(std::slice::from_ref(key));
                    match Expr::parse_anywhere(words[0], &mut cx) {
                        Ok(key) => Kind::Shared { limit, key, table },
                        Err(diagnostic) => {
                            self.tell(*diagnostic, line.span);
                            continue;
                        }
                    }
                }
            };
            let min_size = filter.min_size.map_or(0, |size| size.value);
            limiters.push(Limiter {
                name: filter.name.value.as_str().into(),
                direction,
                min_size,
                kind,
            });
        }
        limiters
    }

    /// The rules of a FastCGI application.
    pub fn fcgi(&mut self, app: &FcgiApp) -> CompiledFcgi {
        let mode = std::mem::replace(&mut self.mode, Mode::Http);
        let mut acls = AclTable::default();
        self.acls = Some(acls.clone());
        for acl in &app.acls {
            let declared = acls.declare(&words_of(&acl.words), &mut self.parse(Place::Config));
            if let Err(diagnostic) = declared {
                self.tell(*diagnostic, acl.span);
            }
        }
        let mut out = CompiledFcgi::default();
        for line in &app.params {
            let place = Place::BeHttpRequest;
            let condition = self.condition(line.condition.as_ref(), &mut acls, place);
            let word = words_of(std::slice::from_ref(&line.format));
            match LogFormat::parse(word[0], Use::Http, &mut self.parse(place)) {
                Ok(format) => {
                    out.params.push((line.name.value.as_str().into(), format, condition));
                }
                Err(diagnostic) => self.tell(*diagnostic, line.span),
            }
        }
        for line in &app.pass_headers {
            let condition =
                self.condition(line.condition.as_ref(), &mut acls, Place::BeHttpRequest);
            out.passed.push((line.name.value.as_str().into(), condition));
        }
        self.mode = mode;
        out
    }

    fn condition(
        &mut self,
        line: Option<&model::Condition>,
        acls: &mut AclTable,
        place: Place,
    ) -> Option<Condition> {
        let line = line?;
        Condition::parse(&words_of(&line.words), acls, &mut self.parse(place))
            .map_err(|diagnostic| self.tell(*diagnostic, line.span))
            .ok()
    }

    /// The ACLs of a section. Those that have mistakes are left out and told.
    pub fn acls(&mut self, section: &Proxy) -> AclTable {
        // What a 'defaults' section says may mean something else in each section that takes it.
        let key = (section.span, self.section.to_owned());
        let known = self.tables.0.borrow().get(&key).cloned();
        let mut table = known.clone().unwrap_or_default();
        self.acls = Some(table.clone());
        if known.is_some() {
            return table;
        }
        for acl in &section.acls {
            let declared = table.declare(&words_of(&acl.words), &mut self.parse(Place::Config));
            if let Err(diagnostic) = declared {
                self.tell(*diagnostic, acl.span);
            }
        }
        self.tables.0.borrow_mut().insert(key, table.clone());
        table
    }

    /// Everything of a frontend, backend or listen section: the rules of its `defaults` section first, with the
    /// ACLs of that one, then its own.
    pub fn proxy(&mut self, config: &Config, proxy: &Proxy) -> CompiledProxy {
        let mut out = CompiledProxy::default();
        let in_frontend = proxy.kind.is_frontend();
        self.mode = proxy.settings.mode();
        self.declare_captures(proxy);
        if let Some(defaults) = proxy.defaults.and_then(|id| config.defaults.get(id.0)) {
            self.rules(defaults, in_frontend, &mut out);
        }
        self.rules(proxy, in_frontend, &mut out);
        out.log_format = self.log_format(proxy);
        if in_frontend {
            let settings = &proxy.settings;
            out.error_log_format = self.line_format(settings.error_log_format.as_ref(), Use::Log);
            out.log_format_sd = self.line_format(settings.log_format_sd.as_ref(), Use::Log);
            out.profiles = config.log_profiles.iter().map(|p| self.profile(p)).collect();
            out.unique_id_format = self.line_format(settings.unique_id_format.as_ref(), Use::Http);
        }
        out.captures = std::mem::take(&mut self.captures);
        out.error_rules = self.error_rules(proxy);
        out
    }

    /// What is said on the connections of health checks; `None` when connecting is enough, or a program is asked.
    /// `own` says which rules the section has itself.
    pub fn check_script(&mut self, checks: &Checks, own: OwnChecks) -> Option<Script> {
        let option = checks.option.as_ref().map(|option| &option.value);
        // Rules that are not used may have mistakes, too.
        if own.http && !matches!(option, Some(CheckOption::Http { .. })) {
            self.script(check::Kind::Http, RequestLine::default(), &checks.http);
        }
        if own.tcp && option != Some(&CheckOption::Tcp) {
            self.script(check::Kind::Tcp, RequestLine::default(), &checks.tcp);
        }
        let (kind, request, lines) = match option? {
            CheckOption::Protocol(protocol) => return Some(protocol.script()),
            CheckOption::External => return None,
            CheckOption::Tcp => (check::Kind::Tcp, RequestLine::default(), &checks.tcp),
            CheckOption::Http { method, uri, version, host } => {
                let text = |word: &Option<Word>| word.as_ref().map(|word| word.value.to_string());
                let request = RequestLine {
                    method: text(method),
                    uri: text(uri),
                    version: text(version),
                    host: text(host),
                };
                (check::Kind::Http, request, &checks.http)
            }
        };
        Some(self.script(kind, request, lines))
    }

    fn script(&mut self, kind: check::Kind, request: RequestLine, lines: &[CheckLine]) -> Script {
        let lines: Vec<check::Line<'_>> =
            lines.iter().map(|line| (words_of(&line.words), line.span)).collect();
        // Their rules are about HTTP whatever the mode of the proxy.
        let mode = std::mem::replace(&mut self.mode, Mode::Http);
        let tell = |mut diagnostic: Diagnostic, span: Span, cx: &mut ParseCx<'_>| {
            diagnostic.span = diagnostic.span.or(Some(span));
            cx.diag.push(diagnostic);
        };
        let script = Script::parse(kind, &request, &lines, &mut self.parse(Place::Check), tell);
        self.mode = mode;
        script
    }

    /// The formats of a profile as this proxy sees them.
    fn profile(&mut self, profile: &LogProfile) -> CompiledProfile {
        let steps = profile.steps.iter().map(|line| CompiledStep {
            step: line.step,
            drop: line.drop,
            format: self.line_format(line.format.as_ref(), Use::Log),
            sd: self.line_format(line.sd.as_ref(), Use::Log),
        });
        CompiledProfile { steps: steps.collect() }
    }

    /// Opens the slots that lines of a frontend declare; its rules may add some.
    pub fn declare_captures(&mut self, proxy: &Proxy) {
        self.in_frontend = proxy.kind.is_frontend();
        // The sections that inherit from `defaults` are not known here.
        self.listen = !matches!(proxy.kind, ProxyKind::Frontend | ProxyKind::Backend);
        self.captures = CaptureSlots::default();
        for line in &proxy.captures {
            let header = line.header.as_ref().map(|name| name.value.as_str().into());
            let slot = CaptureSlot { header, len: line.len as usize };
            let slots =
                if line.response { &self.captures.response } else { &self.captures.request };
            slots.borrow_mut().push(slot);
        }
    }

    /// A format of log lines that stands on a line of its own.
    pub fn line_format(&mut self, word: Option<&Word>, purpose: Use) -> Option<LogFormat> {
        // Unique ids are made when the request is there.
        let place = if purpose == Use::Log { Place::Log } else { Place::FeHttpRequest };
        let word = word?;
        let words = words_of(std::slice::from_ref(word));
        LogFormat::parse(words[0], purpose, &mut self.parse(place))
            .map_err(|diagnostic| self.tell(*diagnostic, word.span))
            .ok()
    }

    /// The unique ids that a backend has for its health checks; those of other sections are of requests.
    pub fn check_unique_id(&mut self, proxy: &Proxy) -> Option<LogFormat> {
        let format = proxy.settings.unique_id_format.as_ref();
        self.format(format.filter(|_| proxy.kind == ProxyKind::Backend)?, Place::Check)
    }

    /// What the backend's algorithm hashes, where that is the value of an expression.
    pub fn balance_key(&mut self, proxy: &Proxy) -> Option<Expr> {
        if !proxy.kind.is_backend() {
            return None;
        }
        let balance = proxy.settings.balance.as_ref()?;
        if let Balance::LogHash(converters) = &balance.value {
            let word = Spanned::new(converters.value.as_bytes(), converters.span);
            return Expr::of_message(word, &mut self.parse(Place::Log))
                .map_err(|diagnostic| self.tell(*diagnostic, converters.span))
                .ok();
        }
        if let Balance::Hash(word) = &balance.value {
            self.acls_in(proxy, word.value.as_bytes());
        }
        let text = match &balance.value {
            Balance::Hash(word) => word.value.as_bytes().to_vec(),
            Balance::Header { name, .. } => format!("req.hdr({name},1)").into_bytes(),
            Balance::RdpCookie { name } => format!("req.rdp_cookie({name})").into_bytes(),
            Balance::UrlParam { name } => format!("url_param({name})").into_bytes(),
            _ => return None,
        };
        let span = match &balance.value {
            Balance::Hash(word) => word.span,
            _ => balance.span,
        };
        self.expression(&Spanned::new(text, span), Place::BeServerChoice)
    }

    /// Has what is compiled next know the ACLs of its section, if `text` names some. Others are left undeclared: who
    /// compiles one line of a running section makes no lists for it.
    pub fn acls_in(&mut self, section: &Proxy, text: &[u8]) {
        let names = |call: &[u8]| text.windows(call.len()).any(|part| part == call);
        if names(b"acl(") || names(b"when(") {
            self.acls(section);
        }
    }

    /// An expression of a line that is not a rule.
    pub fn expression<T: AsRef<[u8]>>(&mut self, text: &Spanned<T>, place: Place) -> Option<Expr> {
        let word = Spanned::new(text.value.as_ref(), text.span);
        Expr::parse(word, &mut self.parse(place))
            .map_err(|diagnostic| self.tell(*diagnostic, text.span))
            .ok()
    }

    /// A format of a line that is not a rule.
    pub fn format<T: AsRef<[u8]>>(&mut self, text: &Spanned<T>, place: Place) -> Option<LogFormat> {
        let word = Spanned::new(text.value.as_ref(), text.span);
        LogFormat::parse(word, Use::Http, &mut self.parse(place))
            .map_err(|diagnostic| self.tell(*diagnostic, text.span))
            .ok()
    }

    /// Adds the rules that the section itself has.
    pub fn rules(&mut self, section: &Proxy, in_frontend: bool, out: &mut CompiledProxy) {
        let mut acls = self.acls(section);
        let switches = section.switches_mode();
        for line in &section.rules {
            let (kind, set) = match line.set {
                RuleSet::HttpAfterResponse => {
                    (SetKind::HttpAfterResponse, &mut out.http_after_response)
                }
                RuleSet::HttpRequest => (SetKind::HttpRequest, &mut out.http_request),
                RuleSet::HttpResponse => (SetKind::HttpResponse, &mut out.http_response),
                RuleSet::MonitorFail => (SetKind::HttpRequest, &mut out.monitor_fail),
                RuleSet::Redirect => (SetKind::HttpRequest, &mut out.redirects),
                RuleSet::StatsHttpRequest => (SetKind::HttpRequest, &mut out.stats_rules),
                RuleSet::TcpRequestConnection => (SetKind::TcpConnection, &mut out.tcp_connection),
                RuleSet::TcpRequestContent => (SetKind::TcpRequest, &mut out.tcp_content),
                RuleSet::TcpRequestSession => (SetKind::TcpSession, &mut out.tcp_session),
                RuleSet::TcpResponseContent => (SetKind::TcpResponse, &mut out.tcp_response),
            };
            let http = matches!(
                kind,
                SetKind::HttpRequest | SetKind::HttpResponse | SetKind::HttpAfterResponse
            );
            let mode = self.mode;
            if http {
                self.mode = Mode::Http;
            }
            let mut cx = self.parse(kind.place(in_frontend));
            let words = words_of(&line.words);
            let rule = match line.set {
                RuleSet::Redirect => Rule::parse_redirect(&words[1..], &mut acls, &mut cx),
                _ => Rule::parse(kind, &words, &mut acls, &mut cx),
            };
            self.mode = mode;
            match rule {
                // HTTP rules of a TCP proxy are ignored, with a warning of `resolve`.
                Ok(_) if http && self.mode == Mode::Tcp && !switches => {}
                Ok(rule) => {
                    self.check_timeout(section, line);
                    self.warn_payload(section, rule.condition(), line.span);
                    if line.set == RuleSet::TcpRequestContent {
                        self.warn_tracking(section, line, rule.condition());
                    }
                    set.push(rule);
                }
                Err(diagnostic) => self.tell(*diagnostic, line.span),
            }
        }
        for line in &section.stats_admin {
            let words = words_of(&line.words);
            let place = SetKind::HttpRequest.place(in_frontend);
            match Condition::parse(&words, &mut acls, &mut self.parse(place)) {
                Ok(condition) => out.stats_admin.push(condition),
                Err(diagnostic) => self.tell(*diagnostic, line.span),
            }
        }
        for line in &section.force_switch {
            let words = words_of(&line.words);
            match Condition::parse(&words, &mut acls, &mut self.parse(Place::UseBackend)) {
                Ok(condition) => out.force_switch.push(condition),
                Err(diagnostic) => self.tell(*diagnostic, line.span),
            }
        }
        for line in &section.use_backends {
            let mut words = words_of(std::slice::from_ref(&line.target));
            if let Some(condition) = &line.condition {
                words.extend(words_of(&condition.words));
            }
            let pushed =
                out.use_backends.push(&words, &mut acls, &mut self.parse(Place::UseBackend));
            match pushed {
                Ok(()) => self.warn_payload(section, out.use_backends.last_condition(), line.span),
                Err(diagnostic) => self.tell(*diagnostic, line.span),
            }
        }
    }

    /// `set-timeout` for the side that the section is not.
    fn check_timeout(&mut self, section: &Proxy, line: &RuleLine) {
        let [action, which, ..] = line.words.as_slice() else { return };
        if action.value != "set-timeout" || section.kind == ProxyKind::Defaults {
            return;
        }
        let missing = match which.value.as_str() {
            "client" if !section.kind.is_frontend() => "frontend",
            "connect" | "queue" | "server" | "tunnel" if !section.kind.is_backend() => "backend",
            _ => return,
        };
        let message = format!(
            "error detected in {} while parsing '{} set-timeout' rule : proxy '{}' has no {missing} capability",
            section.label(),
            line.set.as_str(),
            section.name
        );
        self.tell(Diagnostic::alert(message).at(which.span), line.span);
    }

    /// Raw bytes are not to be had where HTTP is parsed.
    fn warn_payload(&mut self, section: &Proxy, condition: Option<&Condition>, span: Span) {
        let at_payload = |condition: &Condition| {
            condition.fetches().any(|def| fetch::looks(def) == Looks::Payload)
        };
        if section.kind != ProxyKind::Defaults
            && self.mode == Mode::Http
            && condition.is_some_and(at_payload)
        {
            let message =
                format!("Proxy '{}': L6 sample fetches ignored on HTTP proxies", section.name);
            self.tell(Diagnostic::warning(message), span);
        }
    }

    /// `tcp-request content track-sc*` in a frontend: too early for what it looks at, or later than it could be.
    fn warn_tracking(&mut self, section: &Proxy, line: &RuleLine, condition: Option<&Condition>) {
        let [action, key, ..] = line.words.as_slice() else { return };
        let tracks = action.value.starts_with("track-sc");
        if !(tracks || action.value == "capture") || !section.kind.is_frontend() {
            return;
        }
        let rule = if tracks { "content track-sc*" } else { "capture" };
        let name = key.value.split(['(', ',']).next().unwrap_or_default();
        let Some(def) = fetch::find(name) else { return };
        let label = section.label();
        if section.settings.tcp_request_inspect_delay.is_none()
            && !def.at.contains(Place::FeTcpSession)
        {
            let message = format!(
                "{label} : a 'tcp-request {rule}' rule explicitly depending on request contents \
                 without any 'tcp-request inspect-delay' setting. This means that this rule will randomly \
                 find its contents. This can be fixed by setting the tcp-request inspect-delay."
            );
            self.tell(Diagnostic::warning(message), line.span);
        }
        let elsewhere = |def: &FetchDef| fetch::looks(def) == Looks::Elsewhere;
        if tracks
            && self.mode == Mode::Http
            && elsewhere(def)
            && condition.is_none_or(|condition| condition.fetches().all(elsewhere))
        {
            let message = format!(
                "{label} : a 'tcp-request content track-sc*' rule not depending on request contents for an \
                 HTTP frontend should be executed at the session level, using a 'tcp-request session' rule \
                 (mandatory to track invalid HTTP requests)."
            );
            self.tell(Diagnostic::warning(message), line.span);
        }
    }

    /// The answers of `http-error` lines that are made when they are needed.
    pub fn error_rules(&mut self, proxy: &Proxy) -> Vec<(usize, ruleset::RuleSet)> {
        let mut all = Vec::new();
        let kind = SetKind::HttpRequest;
        let place = kind.place(proxy.kind.is_frontend());
        let mode = std::mem::replace(&mut self.mode, Mode::Http);
        for (index, page) in proxy.settings.error_pages.iter().enumerate() {
            let ErrorSource::Made(words) = &page.source else { continue };
            let (mut acls, mut set) = (AclTable::default(), ruleset::RuleSet::new());
            match Rule::parse(kind, &words_of(words), &mut acls, &mut self.parse(place)) {
                Ok(rule) => set.push(rule),
                Err(diagnostic) => self.tell(*diagnostic, page.span),
            }
            all.push((index, set));
        }
        self.mode = mode;
        all
    }

    /// The format of the log lines of a frontend: its own or that of an option. Without one HAProxy logs the
    /// connection when it is accepted.
    pub fn log_format(&mut self, proxy: &Proxy) -> Option<LogFormat> {
        if !proxy.kind.is_frontend() {
            return None;
        }
        let (format, span) = match (&proxy.settings.log_format, proxy.settings.log_option) {
            (Some(word), _) => {
                let words = words_of(std::slice::from_ref(word));
                (LogFormat::parse(words[0], Use::Log, &mut self.parse(Place::Log)), word.span)
            }
            (None, Some(option)) => {
                let text = match option.value {
                    LogOption::Http { clf: false } => formats::HTTP,
                    LogOption::Http { clf: true } => formats::HTTP_CLF,
                    LogOption::Https => formats::HTTPS,
                    LogOption::Tcp { clf: false } => formats::TCP,
                    LogOption::Tcp { clf: true } => formats::TCP_CLF,
                };
                (LogFormat::builtin(text, &mut self.parse(Place::Log)), option.span)
            }
            (None, None) => return None,
        };
        format.map_err(|diagnostic| self.tell(*diagnostic, span)).ok()
    }

    /// Tells a mistake, at the directive when the parser knew no better place.
    fn tell(&mut self, mut diagnostic: Diagnostic, directive: Span) {
        diagnostic.span =
            diagnostic.span.or_else(|| Some(directive).filter(|span| !span.is_none()));
        self.diag.push(diagnostic);
    }
}

/// The rules of an `fcgi-app` section.
#[derive(Debug, Default)]
pub struct CompiledFcgi {
    /// `set-param`.
    pub params: Vec<(Arc<str>, LogFormat, Option<Condition>)>,
    /// `pass-header`.
    pub passed: Vec<(Arc<str>, Option<Condition>)>,
}

/// A `log-profile` section, compiled for one proxy.
#[derive(Debug, Default)]
pub struct CompiledProfile {
    pub steps: Vec<CompiledStep>,
}

/// An `on` line of a profile.
#[derive(Debug)]
pub struct CompiledStep {
    pub step: LogStep,
    pub drop: bool,
    pub format: Option<LogFormat>,
    pub sd: Option<LogFormat>,
}

/// A variable of the process and what it is set to at start.
#[derive(Debug)]
pub struct GlobalVar {
    pub var: VarRef,
    pub value: VarValue,
}

#[derive(Debug)]
pub enum VarValue {
    Expr(Expr),
    Format(LogFormat),
}

/// How a backend chooses a server beside its algorithm.
#[derive(Debug, Default)]
pub struct ServerChoice {
    /// `force-persist` (true) and `ignore-persist` (false).
    pub persist: Vec<(bool, Condition)>,
    pub use_servers: ServerRules,
    pub sticks: Vec<Stick>,
}

/// A `stick` rule.
#[derive(Debug)]
pub struct Stick {
    pub matches: bool,
    pub on_request: bool,
    pub on_response: bool,
    pub pattern: Expr,
    pub table: TableRef,
    pub condition: Option<Condition>,
}

/// What `proxy-rules` evaluates for one proxy.
#[derive(Debug, Default)]
pub struct CompiledProxy {
    pub http_after_response: ruleset::RuleSet,
    pub http_request: ruleset::RuleSet,
    pub http_response: ruleset::RuleSet,
    /// `monitor fail`: denies when it holds.
    pub monitor_fail: ruleset::RuleSet,
    /// The `redirect` keyword: evaluated after `http_request`, whatever ended that.
    pub redirects: ruleset::RuleSet,
    /// `stats http-request`.
    pub stats_rules: ruleset::RuleSet,
    /// `stats admin`.
    pub stats_admin: Vec<Condition>,
    pub tcp_connection: ruleset::RuleSet,
    pub tcp_content: ruleset::RuleSet,
    pub tcp_response: ruleset::RuleSet,
    pub tcp_session: ruleset::RuleSet,
    pub use_backends: BackendRules,
    /// `force-be-switch`.
    pub force_switch: Vec<Condition>,
    /// `http-error` lines that make their answer, by their place in `Settings::error_pages`.
    pub error_rules: Vec<(usize, ruleset::RuleSet)>,
    /// `None` in backends and without a format.
    pub log_format: Option<LogFormat>,
    pub error_log_format: Option<LogFormat>,
    pub log_format_sd: Option<LogFormat>,
    /// Those of `log-profile` sections, in their order.
    pub profiles: Vec<CompiledProfile>,
    pub unique_id_format: Option<LogFormat>,
    /// The slots that lines and rules of a frontend declare.
    pub captures: CaptureSlots,
}
