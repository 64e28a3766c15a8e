//! `server` lines.

use std::sync::Arc;

use proxy_config::model::{Proxy, Server, TlsVerify, UseSource};
use proxy_rules::sample::{Expr, Place};
use proxy_state::{ServerSpec, Transport};
use proxy_stream::transport::{Exit, SendProxy, SendProxyV2, Sni, TlsExit};
use proxy_tls::client::{Client, Options};
use proxy_tls::findings::SecretLog;
use proxy_types::{DiagSink, Diagnostic, Diagnostics, Mode, Spanned};

use super::{Tls, settings};

impl Tls<'_> {
    /// What connections to a server begin with; `None` is nothing, or was told.
    pub(crate) fn exit(
        &mut self,
        proxy: &Proxy,
        server: &Server,
        diagnostics: &mut Diagnostics,
    ) -> Option<Transport> {
        let tls = if server.options.tls.is_possible {
            Some(self.tls_exit(proxy, server, diagnostics)?)
        } else {
            None
        };
        let pool_name =
            server.options.pool_conn_name.as_ref().and_then(|text| {
                self.rules.expression(proxy, text, Place::ServerSource, diagnostics)
            });
        let exit = Exit {
            proxy: self.send_proxy(proxy, server, diagnostics),
            tls,
            source: self.source(proxy, server, diagnostics),
            pool_name,
        };
        let any = exit.proxy.is_some()
            || exit.tls.is_some()
            || exit.source.is_some()
            || exit.pool_name.is_some();
        any.then(|| Arc::new(exit) as Transport)
    }

    /// `usesrc hdr_ip` as an expression.
    fn source(
        &self,
        proxy: &Proxy,
        server: &Server,
        diagnostics: &mut Diagnostics,
    ) -> Option<Expr> {
        let source = server.options.source.as_ref().or(proxy.settings.source.as_ref())?;
        let whose = source.value.use_source.as_ref()?;
        let UseSource::Header { name, occurrence } = &whose.value else { return None };
        let text = Spanned::new(format!("req.hdr_ip({name},{occurrence})"), whose.span);
        self.rules.expression(proxy, &text, Place::BeServerChoice, diagnostics)
    }

    /// How checks of a server speak TLS, where its line or a rule wants them to. What traffic has is shared.
    pub(crate) fn check_client(
        &mut self,
        proxy: &Proxy,
        server: &Server,
        spec: &ServerSpec,
        diagnostics: &mut Diagnostics,
    ) -> Option<Transport> {
        let traffic = spec.transport.as_ref().and_then(|exit| exit.downcast_ref::<Exit>());
        if let Some(tls) = traffic.and_then(|exit| exit.tls.as_ref()) {
            return Some(tls.client.clone() as Transport);
        }
        let options = &server.options;
        let section = options.healthcheck.as_ref().and_then(|name| {
            self.config.healthchecks.iter().find(|section| section.name.value == name.value)
        });
        let checks = section.map_or(&*proxy.settings.checks, |section| &section.checks);
        let asked = options.checks_over_tls()
            || checks.http.iter().chain(&checks.tcp).any(|rule| {
                let connects = rule.words.first().is_some_and(|word| word.value == "connect");
                connects && rule.words.iter().any(|word| word.value == "ssl")
            });
        if !options.is_checked() || !asked || options.tls.is_on() {
            return None;
        }
        Some(self.client(server, diagnostics)? as Transport)
    }

    fn send_proxy(
        &self,
        proxy: &Proxy,
        server: &Server,
        diagnostics: &mut Diagnostics,
    ) -> Option<SendProxy> {
        let written = &server.options.proxy;
        if !written.v2.is_some_and(|on| on.value) {
            return written.v1.filter(|on| on.value).map(|_| SendProxy::V1);
        }
        let mut formats = Vec::new();
        for (kind, text) in &written.formats {
            if let Some(format) = self.rules.format(proxy, text, Place::ServerSource, diagnostics) {
                formats.push((*kind, format));
            }
        }
        Some(SendProxy::V2(Box::new(SendProxyV2 {
            ssl: written.ssl,
            cert_cn: written.cert_cn,
            ssl_cipher: written.ssl_cipher,
            cert_sig: written.cert_sig,
            cert_key: written.cert_key,
            authority: written.authority,
            crc32c: written.crc32c,
            unique_id: written.unique_id,
            formats,
            never_local: self.config.global.pp2_never_send_local.is_some(),
        })))
    }

    fn tls_exit(
        &mut self,
        proxy: &Proxy,
        server: &Server,
        diagnostics: &mut Diagnostics,
    ) -> Option<TlsExit> {
        let client = self.client(server, diagnostics)?;
        let sni = self.sni(proxy, server, diagnostics)?;
        let allowed = server.options.tls.settings.allow_0rtt;
        // What is spoken must be known before the server has chosen.
        let alpn = server.options.tls.settings.alpn.as_ref();
        let open = alpn.is_some_and(|list| list.value.iter().any(|name| name == "h2"))
            && server.options.proto.is_none();
        if let Some(span) = allowed.filter(|_| open) {
            let message = "'allow-0rtt' has no effect where 'alpn' offers h2 and 'proto' does not say what is spoken";
            diagnostics.push(Diagnostic::warning(message).at(span));
        }
        Some(TlsExit { client, sni, early: allowed.is_some() && !open })
    }

    /// What a server is told, and how its certificate is judged.
    fn client(&mut self, server: &Server, diagnostics: &mut Diagnostics) -> Option<Arc<Client>> {
        let global = &self.config.global.tls;
        let defaults = global.server_at(server.span).settings;
        let written = &server.options.tls;
        let own = &written.settings;
        let verify = own.verify.or(global.server_verify).map(|verify| verify.value);
        let required = verify != Some(TlsVerify::None);
        let mut options = Options {
            settings: settings(own, &defaults, None),
            host: written
                .verifyhost
                .as_ref()
                .map(|host| host.value.clone())
                .filter(|host| !host.is_empty()),
            reuse: written.reuse.is_none_or(|reuse| reuse.value),
            tickets: own.tickets.or(defaults.tickets).is_none_or(|tickets| tickets.value),
            compress: global.compresses_certificates(),
            early_data: own.allow_0rtt.is_some(),
            ..Options::default()
        };
        if required {
            let Some(file) = &own.ca_file else {
                diagnostics.push(
                    Diagnostic::alert("verify is enabled by default but no CA file specified")
                        .at(server.span)
                        .help(
                            "name the authorities by 'ca-file', for instance '@system-ca'; where the \
                             network can be trusted, 'verify none' on the line or 'ssl-server-verify \
                             none' in the global section switches verification off",
                        ),
                );
                return None;
            };
            options.trust = Some(self.trust(&[file], own.crl_file.as_ref(), diagnostics)?);
        }
        if let Some(name) = &written.crt {
            match self.store.certificates(&name.value) {
                Ok(slots) => options.certificate = slots.first().cloned(),
                Err(error) => {
                    diagnostics.push(Diagnostic::alert(error).at(name.span));
                    return None;
                }
            }
        }
        let key_log = global.keylog.is_some_and(|on| on.value).then(|| Arc::new(SecretLog) as _);
        match Client::new(options, key_log) {
            Ok((client, notes)) => {
                for note in notes {
                    diagnostics.push(Diagnostic::notice(note).at(server.span));
                }
                let client = Arc::new(client);
                self.live.add_client(&client);
                Some(client)
            }
            Err(error) => {
                diagnostics.push(Diagnostic::alert(error.to_string()).at(server.span));
                None
            }
        }
    }

    fn sni(&self, proxy: &Proxy, server: &Server, diagnostics: &mut Diagnostics) -> Option<Sni> {
        let written = &server.options.tls;
        let mut expr = |text: &Spanned<String>| -> Option<Expr> {
            self.rules.expression(proxy, text, Place::ServerSource, diagnostics)
        };
        if let Some(text) = &written.sni {
            return expr(text).map(Sni::Expr);
        }
        let auto = written.sni_auto.is_none_or(|auto| auto.value);
        if auto && proxy.settings.mode() == Mode::Http {
            let text = "req.hdr(host),field(1,:)".to_owned();
            return expr(&Spanned::new(text, server.span)).map(Sni::Auto);
        }
        Some(Sni::None)
    }
}
