//! `bind` lines.

use std::sync::Arc;

use proxy_config::crt_list;
use proxy_config::model::{Bind, BindTls, CertLine, CertSource, Proxy};
use proxy_state::Transport;
use proxy_stream::transport::Entrance;
use proxy_tls::findings::SecretLog;
use proxy_tls::forge::Forge;
use proxy_tls::listener::{Entry, Filter, Line, Listener, Profile, Shared};
use proxy_tls::live::{Bound, Maker};
use proxy_tls::ticket::{LONG, SHORT, TicketKeys};
use proxy_types::{DiagSink, Diagnostic, Diagnostics, Span, Spanned};

use super::profile::{Base, Fault};
use super::{Tls, files};

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
                let (listener, maker) = self.listener(proxy, bind, diagnostics)?;
                let listener = Arc::new(listener);
                self.live.add_listener(Bound {
                    frontend: proxy.name.value.as_str().into(),
                    place: self.rules.sources.place(bind.span).into(),
                    listener: listener.clone(),
                    maker,
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
    ) -> Option<(Listener, Maker)> {
        let shared = self.shared(&bind.tls, diagnostics)?;
        let base = Base::new(&self.config.global.tls, proxy, bind, shared);
        let profile = self.profile(&base, &BindTls::default(), bind.span, diagnostics)?;
        let mut entries = Vec::new();
        let mut failed = false;
        for source in &bind.tls.certificates {
            let (CertSource::Crt(name) | CertSource::Default(name) | CertSource::List(name)) =
                source;
            if let CertSource::List(_) = source {
                match self.list(&base, name, &profile, diagnostics) {
                    Some(list) => entries.extend(list),
                    None => failed = true,
                }
                continue;
            }
            let slots = self.store.certificates(&name.value);
            let slots = slots.and_then(|slots| {
                slots.iter().try_for_each(|slot| self.store.updates(slot, None)).map(|()| slots)
            });
            match slots {
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
        match self.used(proxy, &base, &profile, diagnostics) {
            Some(used) => entries.extend(used),
            None => failed = true,
        }
        for note in std::mem::take(&mut self.store.notes) {
            diagnostics.push(Diagnostic::warning(note).at(bind.span));
        }
        if let (Some(_), Some(keys)) = (bind.tls.settings.allow_0rtt, &bind.tls.ticket_keys) {
            let message = "'tls-ticket-keys' has no effect with 'allow-0rtt': sessions that may begin with early \
                           data are kept in memory, so that none is used twice";
            diagnostics.push(Diagnostic::warning(message).at(keys.span));
        }
        let strict =
            bind.tls.strict_sni.or_else(|| self.config.global.tls.bind_at(bind.span).strict_sni);
        let strict = strict.is_some_and(|strict| strict.value);
        if entries.is_empty() && !failed && !strict {
            let message = "no SSL certificate specified: use 'crt' or 'ssl-f-use'";
            diagnostics.push(Diagnostic::alert(message).at(bind.span));
            failed = true;
        }
        let forge = match self.forge(bind) {
            Ok(forge) => forge,
            Err((span, error)) => {
                diagnostics.push(Diagnostic::alert(error).at(span));
                failed = true;
                None
            }
        };
        let maker = base.maker(&self.live);
        (!failed).then(|| (Listener::new(profile, entries, strict).forging(forge), maker))
    }

    /// The authority of `generate-certificates`.
    fn forge(&self, bind: &Bind) -> Result<Option<Forge>, (Span, String)> {
        let Some(span) = bind.tls.generate_certificates else { return Ok(None) };
        let file = bind.tls.ca_sign_file.as_ref();
        let file = file.ok_or_else(|| {
            (span, "'generate-certificates' needs an authority: use 'ca-sign-file'".to_owned())
        })?;
        let global = &self.config.global.tls;
        let path = files::path(&file.value, global.ca_base.as_ref());
        let fail = |error: String| (file.span, error);
        let mut parts = files::parts(&path).map_err(fail)?;
        if let Some(pass) = &bind.tls.ca_sign_pass {
            let opened = parts.unlock(pass.value.as_bytes());
            opened.map_err(|error| (pass.span, format!("'{path}': {error}")))?;
        } else if parts.is_locked() {
            let message = format!("'{path}': the private key is encrypted: use 'ca-sign-pass'");
            return Err(fail(message));
        }
        let (Some(authority), Some(key)) = (parts.certificates.first(), &parts.key) else {
            return Err(fail(format!("'{path}': a certificate and its private key are expected")));
        };
        let limit = global.forged.map_or(1000, |limit| limit.value as usize);
        let forge = Forge::new(authority, key, limit);
        forge.map(Some).map_err(|error| fail(format!("'{path}': {error}")))
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
        shared.compress = global.compresses_certificates();
        if let Some(file) = &tls.ticket_keys {
            if !self.ticket_keys.contains_key(&file.value) {
                let keys = match ticket_keys(&file.value) {
                    Ok(keys) => {
                        let keys = Arc::new(keys);
                        self.live.insert_ticket_keys(&file.value, keys.clone());
                        Some(keys)
                    }
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

    /// The settings of a line of a list, or of the `bind` line itself when `line` is empty.
    fn profile(
        &mut self,
        base: &Base,
        line: &BindTls,
        span: Span,
        diagnostics: &mut Diagnostics,
    ) -> Option<Arc<Profile>> {
        let at = |error: Fault, diagnostics: &mut Diagnostics| {
            let span = if error.span == Span::NONE { span } else { error.span };
            diagnostics.push(Diagnostic::alert(error.message).at(span));
        };
        let told = diagnostics.len();
        let trust = |files: &[&Spanned<String>], crl: Option<&Spanned<String>>| {
            self.trust(files, crl, diagnostics).ok_or_else(Fault::told)
        };
        match base.profile(line, trust) {
            Ok(profile) => {
                for note in profile.notes() {
                    diagnostics.push(Diagnostic::notice(note.clone()).at(span));
                }
                Some(Arc::new(profile))
            }
            Err(_) if diagnostics.len() > told => None,
            Err(error) => {
                at(error, diagnostics);
                None
            }
        }
    }

    /// Certificates of `ssl-f-use`, which are a list named after the frontend.
    fn used(
        &mut self,
        proxy: &Proxy,
        base: &Base,
        profile: &Arc<Profile>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Vec<Entry>> {
        let list = format!("@{}", proxy.name.value);
        let mut all = Some(Vec::new());
        for line in &proxy.certificates {
            match self.line(&list, &line.value, line.span, base, profile, diagnostics) {
                Ok(entries) => all.iter_mut().for_each(|all| all.extend(entries.clone())),
                Err(error) => {
                    all = None;
                    if let Some(error) = error {
                        diagnostics.push(Diagnostic::alert(error).at(line.span));
                    }
                }
            }
        }
        all
    }

    fn list(
        &mut self,
        base: &Base,
        file: &Spanned<String>,
        profile: &Arc<Profile>,
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
        let list = crt_list::parse(&text);
        let mut failed = !list.errors.is_empty();
        for error in list.errors {
            tell(diagnostics, format!("'{}': {error}", file.value));
        }
        for warning in list.warnings {
            let message = format!("'{}': {warning}", file.value);
            diagnostics.push(Diagnostic::warning(message).at(file.span));
        }
        let mut entries = Vec::new();
        for line in &list.lines {
            match self.line(&file.value, line, file.span, base, profile, diagnostics) {
                Ok(more) => entries.extend(more),
                Err(error) => {
                    failed = true;
                    if let Some(error) = error {
                        let number = line.number;
                        tell(diagnostics, format!("'{}': line {number}: {error}", file.value));
                    }
                }
            }
        }
        (!failed).then_some(entries)
    }

    /// The certificates of one line. `Err(None)` was told.
    fn line(
        &mut self,
        list: &str,
        line: &CertLine,
        span: Span,
        base: &Base,
        profile: &Arc<Profile>,
        diagnostics: &mut Diagnostics,
    ) -> Result<Vec<Entry>, Option<String>> {
        let slots = self.store.listed(&line.certificate, &line.files).map_err(Some)?;
        for slot in &slots {
            self.store.updates(slot, line.ocsp_update).map_err(Some)?;
            self.renewed(slot, &line.acme).map_err(Some)?;
        }
        let profile = if line.tls == BindTls::default() {
            profile.clone()
        } else {
            self.profile(base, &line.tls, span, diagnostics).ok_or(None)?
        };
        let filters: Vec<Filter> =
            line.filters.iter().filter_map(|text| text.parse().ok()).collect();
        let entry = |slot| Entry {
            slot,
            profile: profile.clone(),
            filters: filters.clone(),
            default: false,
            line: Some(Line {
                list: list.into(),
                number: line.number,
                options: line.options.as_str().into(),
            }),
        };
        Ok(slots.into_iter().map(entry).collect())
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
