//! Rules and formats, compiled with the files they name. Their mistakes were found while loading; what is
//! left for here is what needs the file system.

use std::cell::RefCell;
use std::io::Read;
use std::sync::Arc;

use proxy_config::Sources;
use proxy_config::compile::{
    AclTables, CompiledFcgi, CompiledProxy, Compiler, GlobalVar, ServerChoice,
};
use proxy_config::model::{Checks, Config, FcgiApp, OwnChecks, Proxy};
use proxy_rules::bandwidth::Limiter;
use proxy_rules::check::Script;
use proxy_rules::jwt::PublicKeys;
use proxy_rules::logformat::LogFormat;
use proxy_rules::pattern::PatternLists;
use proxy_rules::ruleset::RuleSet;
use proxy_rules::sample::parse::{Loader, Named};
use proxy_rules::sample::{Expr, Place};
use proxy_rules::vars::VarNames;
use proxy_types::{Diagnostics, Mode, Spanned};

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
            length if length as u64 > FILE_MAX => {
                Err(format!("it is larger than {FILE_MAX} bytes"))
            }
            _ => Ok(content),
        }
    }
}

/// What the rules of the whole configuration share.
pub(super) struct Rules<'a> {
    pub(super) sources: &'a Sources,
    pub(super) vars: Arc<VarNames>,
    pub(super) patterns: Arc<PatternLists>,
    pub(super) keys: Arc<PublicKeys>,
    /// `tune.stick-counters`.
    pub(super) counters: u8,
    /// The sections and servers that were named, by the section that names them.
    pub(super) named: RefCell<Vec<(String, Named)>>,
    /// The ACLs of the sections that were compiled.
    pub(super) acls: AclTables,
}

impl Rules<'_> {
    /// The variables that the `global` section sets.
    pub(super) fn global_vars(
        &self,
        config: &Config,
        diagnostics: &mut Diagnostics,
    ) -> Vec<GlobalVar> {
        self.compiler("", Mode::Http, diagnostics).global_vars(config)
    }

    /// Compiles a section.
    pub(super) fn compile(
        &self,
        config: &Config,
        proxy: &Proxy,
        diagnostics: &mut Diagnostics,
    ) -> CompiledProxy {
        self.with(proxy, diagnostics, |compiler| compiler.proxy(config, proxy))
    }

    /// What is said on the connections of a backend's health checks.
    pub(super) fn check_script(
        &self,
        proxy: &Proxy,
        checks: &Checks,
        own: OwnChecks,
        diagnostics: &mut Diagnostics,
    ) -> Option<Script> {
        self.with(proxy, diagnostics, |compiler| {
            let mut script = compiler.check_script(checks, own)?;
            script.unique_id = compiler.check_unique_id(proxy);
            Some(script)
        })
    }

    /// The rules of a FastCGI application.
    pub(super) fn fcgi(&self, app: &FcgiApp, diagnostics: &mut Diagnostics) -> CompiledFcgi {
        self.compiler("", Mode::Http, diagnostics).fcgi(app)
    }

    /// What the algorithm of a backend hashes, where that is the value of an expression.
    pub(super) fn balance_key(&self, proxy: &Proxy, diagnostics: &mut Diagnostics) -> Option<Expr> {
        self.with(proxy, diagnostics, |compiler| compiler.balance_key(proxy))
    }

    /// How a backend chooses a server beside its algorithm.
    pub(super) fn server_choice(
        &self,
        proxy: &Proxy,
        diagnostics: &mut Diagnostics,
    ) -> ServerChoice {
        self.with(proxy, diagnostics, |compiler| compiler.server_choice(proxy))
    }

    /// An expression of a line that is not a rule.
    pub(super) fn expression<T: AsRef<[u8]>>(
        &self,
        proxy: &Proxy,
        text: &Spanned<T>,
        place: Place,
        diagnostics: &mut Diagnostics,
    ) -> Option<Expr> {
        self.with(proxy, diagnostics, |compiler| {
            compiler.acls_in(proxy, text.value.as_ref());
            compiler.expression(text, place)
        })
    }

    /// A format of a line that is not a rule.
    pub(super) fn format<T: AsRef<[u8]>>(
        &self,
        proxy: &Proxy,
        text: &Spanned<T>,
        place: Place,
        diagnostics: &mut Diagnostics,
    ) -> Option<LogFormat> {
        self.with(proxy, diagnostics, |compiler| {
            compiler.acls_in(proxy, text.value.as_ref());
            compiler.format(text, place)
        })
    }

    /// The answers of `http-error` lines.
    pub(super) fn error_rules(
        &self,
        proxy: &Proxy,
        diagnostics: &mut Diagnostics,
    ) -> Vec<(usize, RuleSet)> {
        self.with(proxy, diagnostics, |compiler| {
            compiler.acls(proxy);
            compiler.error_rules(proxy)
        })
    }

    /// Compiles something of a section, and notes what it names.
    fn with<T>(
        &self,
        proxy: &Proxy,
        diagnostics: &mut Diagnostics,
        compile: impl FnOnce(&mut Compiler<'_>) -> T,
    ) -> T {
        let mut compiler = self.compiler(&proxy.name.value, proxy.settings.mode(), diagnostics);
        let compiled = compile(&mut compiler);
        let named = std::mem::take(&mut compiler.refs);
        let named = named.into_iter().map(|named| (proxy.name.value.clone(), named.value));
        self.named.borrow_mut().extend(named);
        compiled
    }

    /// The limits of bandwidth of a section's filters.
    pub(crate) fn limiters(&self, proxy: &Proxy, diagnostics: &mut Diagnostics) -> Vec<Limiter> {
        self.with(proxy, diagnostics, |compiler| compiler.limiters(proxy))
    }

    fn compiler<'c>(
        &'c self,
        section: &'c str,
        mode: Mode,
        diagnostics: &'c mut Diagnostics,
    ) -> Compiler<'c> {
        Compiler {
            vars: &self.vars,
            loader: &Files,
            patterns: &self.patterns,
            keys: &self.keys,
            files: self.sources,
            diag: diagnostics,
            mode,
            in_frontend: false,
            listen: false,
            captures: Default::default(),
            acls: None,
            tables: &self.acls,
            counters: self.counters,
            section,
            refs: Vec::new(),
        }
    }

    /// The line of a proxy that logs without a format (configuration manual, 8.2.1).
    pub(super) fn connect_format(
        &self,
        mode: Mode,
        diagnostics: &mut Diagnostics,
    ) -> Option<LogFormat> {
        let text = match mode {
            Mode::Http => "Connect from %ci:%cp to %fi:%fp (%f/HTTP)",
            Mode::Log | Mode::Tcp => "Connect from %ci:%cp to %fi:%fp (%f/TCP)",
            Mode::Udp => "Connect from %ci:%cp to %fi:%fp (%f/UDP)",
        };
        self.compiler("", mode, diagnostics).builtin_format(text)
    }
}
