//! Settings of `bind` lines and of lines of lists, also for those that are added at runtime.

use std::sync::{Arc, Weak};

use proxy_config::crt_list;
use proxy_config::model::{AcmeCert, Bind, BindTls, Proxy, TlsGlobal, TlsSettings, TlsVerify};
use proxy_tls::listener::{Options, Profile, Shared, Verify};
use proxy_tls::live::{self, Made, Maker};
use proxy_tls::verify::{Ignored, Trust};
use proxy_types::{Mode, Span, Spanned};

use super::{files, settings};

/// Bytes of early data that a client may send: a request that fits a buffer of the usual size with room for changes.
const EARLY_DATA: u32 = 15 * 1024;

/// What the settings of a line are based on.
#[derive(Clone)]
pub(super) struct Base {
    bind: BindTls,
    global: BindTls,
    ca_base: Option<Spanned<String>>,
    /// Mode http agrees on protocols of its own accord.
    http: bool,
    /// `ocsp-update.mode`.
    ocsp_mode: bool,
    shared: Shared,
}

/// Why there are no settings.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) message: String,
    /// The words that it is about, if not the whole line.
    pub(super) span: Span,
}

impl Fault {
    /// What it is has been said already.
    pub(super) fn told() -> Self {
        Self { message: String::new(), span: Span::NONE }
    }
}

impl From<String> for Fault {
    fn from(message: String) -> Self {
        Self { message, span: Span::NONE }
    }
}

impl Base {
    pub(super) fn new(global: &TlsGlobal, proxy: &Proxy, bind: &Bind, shared: Shared) -> Self {
        Self {
            bind: bind.tls.clone(),
            global: global.bind_at(bind.span),
            ca_base: global.ca_base.clone(),
            http: proxy.settings.mode() == Mode::Http,
            ocsp_mode: global.ocsp.mode.is_some_and(|mode| mode.value),
            shared,
        }
    }

    /// The settings of a line of a list; those of the `bind` line when it is empty. `trusted` reads a `ca-file` and a
    /// `ca-verify-file`, and a `crl-file`.
    pub(super) fn profile(
        &self,
        line: &BindTls,
        mut trusted: impl FnMut(
            &[&Spanned<String>],
            Option<&Spanned<String>>,
        ) -> Result<Arc<Trust>, Fault>,
    ) -> Result<Profile, Fault> {
        let bind = &self.bind;
        let (own, base) = (&line.settings, &bind.settings);
        let verify = own.verify.or(base.verify);
        let ca_file = own.ca_file.as_ref().or(base.ca_file.as_ref());
        let ca_verify = line.ca_verify_file.as_ref().or(bind.ca_verify_file.as_ref());
        let crl = own.crl_file.as_ref().or(base.crl_file.as_ref());
        let mode = match verify.map(|verify| verify.value) {
            None | Some(TlsVerify::None) => Verify::None,
            Some(TlsVerify::Optional) => Verify::Optional,
            Some(TlsVerify::Required) => Verify::Required,
        };
        let mut options = Options { verify: mode, ..Options::default() };
        if mode != Verify::None {
            let all: Vec<&Spanned<String>> = ca_file.into_iter().chain(ca_verify).collect();
            if all.is_empty() {
                return Err(Fault {
                    message: "verify is enabled but no CA file specified: use 'ca-file'".to_owned(),
                    span: verify.map_or(Span::NONE, |verify| verify.span),
                });
            }
            options.trust = Some(trusted(&all, crl)?);
            let told = line.no_ca_names.or(bind.no_ca_names).is_none();
            if let Some(file) = ca_file.filter(|_| told) {
                options.hints = Some(trusted(&[file], crl)?);
            }
        }
        options.crt_ignored = ignored(bind.crt_ignore_err.as_ref());
        options.ca_ignored = ignored(bind.ca_ignore_err.as_ref());
        let tickets = bind.settings.tickets.or(self.global.settings.tickets);
        options.tickets = tickets.is_none_or(|tickets| tickets.value);
        if own.allow_0rtt.or(base.allow_0rtt).is_some() {
            options.early_data = EARLY_DATA;
        }
        options.prefer_client_ciphers =
            bind.prefer_client_ciphers.or(self.global.prefer_client_ciphers).is_some();
        // A list of the line counts before those of the 'bind' line, whichever word either was written with.
        let curves = line.ecdhe.as_ref();
        let inherited = base.curves.as_ref().or(bind.ecdhe.as_ref()).cloned();
        let mut defaults = merged(base, &self.global.settings);
        defaults.curves = inherited.or(defaults.curves);
        options.settings = settings(own, &defaults, curves);
        if own.alpn.is_none() {
            options.settings.alpn = self.protocols();
        }
        Profile::new(&options, &self.shared).map_err(|error| Fault::from(error.to_string()))
    }

    /// `alpn` of the line; HTTP says what it speaks when nothing was written (configuration manual, 5.1 "alpn").
    fn protocols(&self) -> Vec<Vec<u8>> {
        match &self.bind.settings.alpn {
            Some(list) => list.value.iter().map(|name| name.clone().into_bytes()).collect(),
            None if self.http => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            None => Vec::new(),
        }
    }

    /// For lines that are added at runtime. Files are those that were loaded before: a running process may see others,
    /// or none.
    pub(super) fn maker(&self, live: &Arc<live::Store>) -> Maker {
        let (base, live) = (self.clone(), Arc::downgrade(live));
        Maker(Arc::new(move |options| base.at_runtime(options, &live)))
    }

    fn at_runtime(&self, options: &str, live: &Weak<live::Store>) -> Result<Made, String> {
        let line = crt_list::line(1, &format!("x [{options}]"), &mut Vec::new())?;
        if line.acme != AcmeCert::default() {
            return Err("'acme', 'domains' and 'ips' cannot be changed at run time".to_owned());
        }
        let trusted = |files: &[&Spanned<String>], crl: Option<&Spanned<String>>| {
            let live = live.upgrade().ok_or_else(|| Fault::from("leaving".to_owned()))?;
            let path = |file: &Spanned<String>| files::path(&file.value, self.ca_base.as_ref());
            // Those that came by the runtime API have no base directory.
            let name = |file: &Spanned<String>| {
                if live.knows(&file.value) { file.value.clone() } else { path(file) }
            };
            let names: Vec<String> = files.iter().copied().map(name).collect();
            live.trust(&names, crl.map(name).as_deref()).map(Arc::new).map_err(Fault::from)
        };
        let profile = self.profile(&line.tls, trusted).map_err(|fault| fault.message)?;
        let ocsp_update = line.ocsp_update.unwrap_or(self.ocsp_mode);
        Ok(Made { profile: Arc::new(profile), ocsp_update })
    }
}

/// Settings of a `bind` line with the defaults of `global`.
fn merged(base: &TlsSettings, global: &TlsSettings) -> TlsSettings {
    let mut out = base.clone();
    out.min = out.min.or(global.min);
    out.max = out.max.or(global.max);
    for (own, default) in out.off.iter_mut().zip(&global.off) {
        *own = own.or(*default);
    }
    let texts = [
        (&mut out.ciphers, &global.ciphers),
        (&mut out.ciphersuites, &global.ciphersuites),
        (&mut out.curves, &global.curves),
        (&mut out.sigalgs, &global.sigalgs),
        (&mut out.client_sigalgs, &global.client_sigalgs),
    ];
    for (own, default) in texts {
        if own.is_none() {
            own.clone_from(default);
        }
    }
    out
}

fn ignored(errors: Option<&Spanned<Vec<u8>>>) -> Ignored {
    match errors {
        None => Ignored::Nothing,
        Some(list) if list.value.contains(&0) => Ignored::All,
        Some(list) => Ignored::Codes(list.value.clone()),
    }
}
