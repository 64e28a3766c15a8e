//! `bind` lines.

use std::sync::Arc;

use proxy_config::crt_list;
use proxy_config::model::{Bind, BindTls, CertSource, Proxy, TlsVerify};
use proxy_state::Transport;
use proxy_stream::transport::Entrance;
use proxy_tls::findings::SecretLog;
use proxy_tls::listener::{Entry, Line, Listener, Options, Profile, Shared, Verify};
use proxy_tls::live::Bound;
use proxy_tls::ticket::{LONG, SHORT, TicketKeys};
use proxy_tls::verify::Ignored;
use proxy_types::{DiagSink, Diagnostic, Diagnostics, Mode, Span, Spanned};

use super::{Tls, files, settings};

impl Tls<'_> {
    /// What stands at the entrance of the listeners of a line; `None` is nothing, or was told.
    pub(crate) fn entrance(
        &mut self,
        proxy: &Proxy,
        bind: &Bind,
        diagnostics: &mut Diagnostics,
    ) -> Option<Transport> {
        let tls = match bind.tls.ssl {
            Some(_) => {
                let listener = Arc::new(self.listener(proxy, bind, diagnostics)?);
                self.live.add_listener(Bound {
                    frontend: proxy.name.value.as_str().into(),
                    place: self.rules.sources.place(bind.span).into(),
                    listener: listener.clone(),
                });
                Some(listener)
            }
            None => {
                if !bind.tls.certificates.is_empty() {
                    let message = "a certificate was specified but SSL was not enabled: use 'ssl'";
                    diagnostics.push(Diagnostic::warning(message).at(bind.span));
                }
                None
            }
        };
        let entrance = Entrance {
            accept_proxy: bind.accept_proxy.is_some(),
            netscaler_cip: bind.accept_netscaler_cip.map(|magic| magic.value),
            tls,
            capture: self.config.global.tls.capture.is_some_and(|size| size.value > 0),
        };
        let any =
            entrance.accept_proxy || entrance.netscaler_cip.is_some() || entrance.tls.is_some();
        any.then(|| Arc::new(entrance) as Transport)
    }

    fn listener(
        &mut self,
        proxy: &Proxy,
        bind: &Bind,
        diagnostics: &mut Diagnostics,
    ) -> Option<Listener> {
        let shared = self.shared(&bind.tls, diagnostics)?;
        let profile = self.profile(proxy, &bind.tls, &bind.tls, &shared, bind.span, diagnostics)?;
        let mut entries = Vec::new();
        let mut failed = false;
        for source in &bind.tls.certificates {
            let (CertSource::Crt(name) | CertSource::Default(name) | CertSource::List(name)) =
                source;
            if let CertSource::List(_) = source {
                match self.list(proxy, bind, name, &profile, &shared, diagnostics) {
                    Some(list) => entries.extend(list),
                    None => failed = true,
                }
                continue;
            }
            match self.store.certificates(&name.value) {
                Ok(slots) => {
                    let directory = std::path::Path::new(&name.value).is_dir();
                    entries.extend(slots.into_iter().enumerate().map(|(index, slot)| Entry {
                        slot,
                        profile: profile.clone(),
                        filters: Vec::new(),
                        default: matches!(source, CertSource::Default(_)),
                        line: directory.then(|| Line {
                            list: name.value.as_str().into(),
                            number: index + 1,
                            options: "".into(),
                        }),
                    }));
                }
                Err(error) => {
                    failed = true;
                    diagnostics.push(Diagnostic::alert(error).at(name.span));
                }
            }
        }
        for note in std::mem::take(&mut self.store.notes) {
            diagnostics.push(Diagnostic::warning(note).at(bind.span));
        }
        let strict = bind.tls.strict_sni.or(self.config.global.tls.bind.strict_sni);
        let strict = strict.is_some_and(|strict| strict.value);
        if entries.is_empty() && !failed && !strict {
            let message = "no SSL certificate specified: use 'crt'";
            diagnostics.push(Diagnostic::alert(message).at(bind.span));
            failed = true;
        }
        (!failed).then(|| Listener::new(profile, entries, strict))
    }

    /// What the certificates of a line have in common.
    fn shared(&mut self, tls: &BindTls, diagnostics: &mut Diagnostics) -> Option<Shared> {
        let global = &self.config.global.tls;
        let mut shared = Shared::default();
        if let Some(sessions) = global.cache_size {
            shared.sessions = sessions.value as usize;
        }
        if let Some(lifetime) = global.lifetime {
            shared.lifetime = u32::try_from(lifetime.value.as_secs()).unwrap_or(u32::MAX);
        }
        if global.keylog.is_some_and(|on| on.value) {
            shared.key_log = Some(Arc::new(SecretLog));
        }
        if let Some(file) = &tls.ticket_keys {
            if !self.ticket_keys.contains_key(&file.value) {
                let keys = match ticket_keys(&file.value) {
                    Ok(keys) => Some(Arc::new(keys)),
                    Err(error) => {
                        diagnostics.push(Diagnostic::alert(error).at(file.span));
                        None
                    }
                };
                self.ticket_keys.insert(file.value.clone(), keys);
            }
            shared.ticket_keys = Some(self.ticket_keys.get(&file.value)?.clone()?);
        }
        Some(shared)
    }

    /// The settings of a line, or of a line of a list on top of them.
    fn profile(
        &mut self,
        proxy: &Proxy,
        line: &BindTls,
        bind: &BindTls,
        shared: &Shared,
        span: Span,
        diagnostics: &mut Diagnostics,
    ) -> Option<Arc<Profile>> {
        let global = &self.config.global.tls.bind;
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
                let message = "verify is enabled but no CA file specified: use 'ca-file'";
                let at = verify.map_or(span, |verify| verify.span);
                diagnostics.push(Diagnostic::alert(message).at(at));
                return None;
            }
            options.trust = Some(self.trust(&all, crl, diagnostics)?);
            let told = line.no_ca_names.or(bind.no_ca_names).is_none();
            if let Some(file) = ca_file.filter(|_| told) {
                options.hints = Some(self.trust(&[file], crl, diagnostics)?);
            }
        }
        options.crt_ignored = ignored(bind.crt_ignore_err.as_ref());
        options.ca_ignored = ignored(bind.ca_ignore_err.as_ref());
        let tickets = bind.settings.tickets.or(global.settings.tickets);
        options.tickets = tickets.is_none_or(|tickets| tickets.value);
        options.prefer_client_ciphers =
            bind.prefer_client_ciphers.or(global.prefer_client_ciphers).is_some();
        let curves = line.ecdhe.as_ref().or(bind.ecdhe.as_ref());
        options.settings = settings(own, &merged(base, &global.settings), curves);
        if own.alpn.is_none() {
            options.settings.alpn = protocols(proxy, bind);
        }
        match Profile::new(&options, shared) {
            Ok(profile) => {
                for note in profile.notes() {
                    diagnostics.push(Diagnostic::notice(note.clone()).at(span));
                }
                Some(Arc::new(profile))
            }
            Err(error) => {
                diagnostics.push(Diagnostic::alert(error.to_string()).at(span));
                None
            }
        }
    }

    fn list(
        &mut self,
        proxy: &Proxy,
        bind: &Bind,
        file: &Spanned<String>,
        profile: &Arc<Profile>,
        shared: &Shared,
        diagnostics: &mut Diagnostics,
    ) -> Option<Vec<Entry>> {
        let tell = |diagnostics: &mut Diagnostics, error: String| {
            diagnostics.push(Diagnostic::alert(error).at(file.span));
        };
        let text = match files::read(&file.value) {
            Ok(text) => String::from_utf8_lossy(&text).into_owned(),
            Err(error) => {
                tell(diagnostics, error);
                return None;
            }
        };
        let (lines, errors) = crt_list::parse(&text);
        let mut failed = !errors.is_empty();
        for error in errors {
            tell(diagnostics, format!("'{}': {error}", file.value));
        }
        let mut entries = Vec::new();
        for line in lines {
            let profile = if line.tls == BindTls::default() {
                Some(profile.clone())
            } else {
                self.profile(proxy, &line.tls, &bind.tls, shared, file.span, diagnostics)
            };
            let slots = self.store.listed(&line.certificate, &line.files);
            match (slots, profile) {
                (Ok(slots), Some(profile)) => entries.extend(slots.into_iter().map(|slot| Entry {
                    slot,
                    profile: profile.clone(),
                    filters: line.filters.iter().filter_map(|text| text.parse().ok()).collect(),
                    default: false,
                    line: Some(Line {
                        list: file.value.as_str().into(),
                        number: line.number,
                        options: line.options.as_str().into(),
                    }),
                })),
                (Err(error), _) => {
                    failed = true;
                    tell(diagnostics, format!("'{}': line {}: {error}", file.value, line.number));
                }
                (Ok(_), None) => failed = true,
            }
        }
        (!failed).then_some(entries)
    }
}

/// `alpn` of the line; HTTP says what it speaks when nothing was written (configuration manual, 5.1 "alpn").
fn protocols(proxy: &Proxy, bind: &BindTls) -> Vec<Vec<u8>> {
    match &bind.settings.alpn {
        Some(list) => list.value.iter().map(|name| name.clone().into_bytes()).collect(),
        None if proxy.settings.mode() == Mode::Http => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        None => Vec::new(),
    }
}

/// Settings of a `bind` line with the defaults of `global`.
fn merged(
    base: &proxy_config::model::TlsSettings,
    global: &proxy_config::model::TlsSettings,
) -> proxy_config::model::TlsSettings {
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

/// A key a line, as base64 of 48 or 80 bytes.
fn ticket_keys(path: &str) -> Result<TicketKeys, String> {
    use base64::Engine;
    let text = String::from_utf8_lossy(&files::read(path)?).into_owned();
    let mut keys = Vec::new();
    for (index, line) in text.lines().map(str::trim).enumerate().filter(|(_, l)| !l.is_empty()) {
        let key = base64::engine::general_purpose::STANDARD
            .decode(line)
            .ok()
            .filter(|key| key.len() == SHORT || key.len() == LONG)
            .ok_or_else(|| {
                format!("'{path}': line {}: expected base64 of 48 or 80 bytes", index + 1)
            })?;
        keys.push(key);
    }
    TicketKeys::new(&keys).map_err(|error| format!("'{path}': {error}"))
}
