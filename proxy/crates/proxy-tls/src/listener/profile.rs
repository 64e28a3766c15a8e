//! The settings of a `bind` line or of a line of a `crt-list`, ready to be combined with certificates.

use std::sync::Arc;

use rustls::server::danger::ClientCertVerifier;
use rustls::server::{
    ClientHello, NoServerSessionStorage, ProducesTickets, ResolvesServerCert,
    ServerSessionMemoryCache, StoresServerSessions, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::{KeyLog, ServerConfig};

use crate::material::Certificate;
use crate::settings::{Prepared, Settings, SettingsError, restrict};
use crate::ticket::{TicketKeys, Tickets};
use crate::verify::{Change, ClientVerifier, Ignored, Trust};

/// `verify`: whether clients are asked for a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Verify {
    #[default]
    None,
    /// A client may have none.
    Optional,
    Required,
}

impl Verify {
    /// As it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Optional => "optional",
            Self::Required => "required",
        }
    }
}

/// Settings of the server's side.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub settings: Settings,
    pub verify: Verify,
    /// Authorities of client certificates: `ca-file` and `ca-verify-file`, with `crl-file`.
    pub trust: Option<Arc<Trust>>,
    /// Authorities that clients are told: `ca-file` alone, unless `no-ca-names`.
    pub hints: Option<Arc<Trust>>,
    pub crt_ignored: Ignored,
    pub ca_ignored: Ignored,
    /// Not with `no-tls-tickets`.
    pub tickets: bool,
    pub prefer_client_ciphers: bool,
    /// `allow-0rtt`: bytes of early data, 0 for none.
    pub early_data: u32,
}

/// What the listeners of a `bind` line have in common.
#[derive(Clone, Debug)]
pub struct Shared {
    /// `tls-ticket-keys`.
    pub ticket_keys: Option<Arc<TicketKeys>>,
    /// `tune.ssl.cachesize`: sessions kept for clients without tickets.
    pub sessions: usize,
    /// `tune.ssl.lifetime`, in seconds.
    pub lifetime: u32,
    /// `tune.ssl.keylog`.
    pub key_log: Option<Arc<dyn KeyLog>>,
    /// Certificates may travel compressed (RFC 8879).
    pub compress: bool,
}

impl Default for Shared {
    /// HAProxy's defaults: 20000 sessions, 300 s.
    fn default() -> Self {
        Self { ticket_keys: None, sessions: 20_000, lifetime: 300, key_log: None, compress: true }
    }
}

/// Settings in the form of the library.
#[derive(Debug)]
pub struct Profile {
    prepared: Prepared,
    verifier: Arc<dyn ClientCertVerifier>,
    /// Sessions and tickets are those of this profile: what a client proved to another does not count here.
    sessions: Arc<dyn StoresServerSessions>,
    ticketer: Option<Arc<dyn ProducesTickets>>,
    key_log: Option<Arc<dyn KeyLog>>,
    ignore_client_order: bool,
    early_data: u32,
    options: Options,
    shared: Shared,
    /// How clients are verified.
    pub verify: Verify,
}

impl Profile {
    /// Prepares settings.
    ///
    /// # Errors
    /// Nothing that was asked for is offered, or the system gives no random bytes.
    pub fn new(options: &Options, shared: &Shared) -> Result<Self, SettingsError> {
        let prepared = options.settings.prepare()?;
        let asks = options.verify != Verify::None;
        let verifier: Arc<dyn ClientCertVerifier> = if asks {
            let trust = options.trust.clone().unwrap_or_default();
            Arc::new(ClientVerifier {
                trust,
                hints: options.hints.as_ref().map(|hints| hints.subjects()).unwrap_or_default(),
                mandatory: options.verify == Verify::Required,
                crt_ignored: options.crt_ignored.clone(),
                ca_ignored: options.ca_ignored.clone(),
                algorithms: prepared.provider.signature_verification_algorithms,
                sigalgs: prepared.client_sigalgs.clone(),
            })
        } else {
            WebPkiClientVerifier::no_client_auth()
        };
        // The library takes early data of sessions it remembers only: a ticket could be replayed.
        // What was looked past in a certificate is not part of a session: a client that resumed one would seem to have
        // a good certificate.
        let forgiving =
            options.crt_ignored != Ignored::Nothing || options.ca_ignored != Ignored::Nothing;
        let ticketer = (options.tickets && options.early_data == 0 && !forgiving)
            .then(|| ticketer(options, shared))
            .transpose()?;
        // Where tickets were wanted, they are remembered instead.
        let remembered = match shared.sessions {
            0 if options.tickets && options.early_data > 0 => Shared::default().sessions,
            sessions => sessions,
        };
        let sessions: Arc<dyn StoresServerSessions> = if remembered == 0 || forgiving {
            Arc::new(NoServerSessionStorage {})
        } else {
            ServerSessionMemoryCache::new(remembered)
        };
        Ok(Self {
            prepared,
            verifier,
            sessions,
            ticketer,
            key_log: shared.key_log.clone(),
            ignore_client_order: !options.prefer_client_ciphers,
            early_data: options.early_data,
            options: options.clone(),
            shared: shared.clone(),
            verify: options.verify,
        })
    }

    /// The same after a change of a file; `None` when it does not use that.
    pub fn changed(&self, change: Change<'_>) -> Option<Result<Self, SettingsError>> {
        let replace = |trust: &Option<Arc<Trust>>| trust.as_ref()?.changed(change).map(Arc::new);
        let (trust, hints) = (replace(&self.options.trust), replace(&self.options.hints));
        if trust.is_none() && hints.is_none() {
            return None;
        }
        let mut options = self.options.clone();
        options.trust = trust.or(options.trust);
        options.hints = hints.or(options.hints);
        Some(Self::new(&options, &self.shared))
    }

    /// Whether [`changed`](Self::changed) has an effect.
    #[must_use]
    pub fn has(&self, change: Change<'_>) -> bool {
        let has = |trust: &Option<Arc<Trust>>| trust.as_ref().is_some_and(|own| own.has(change));
        has(&self.options.trust) || has(&self.options.hints)
    }

    /// What was asked for and is not offered, a sentence each.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.prepared.notes
    }

    /// The configuration that shows this certificate.
    pub(crate) fn config(&self, certificate: &Certificate) -> Option<Arc<ServerConfig>> {
        let key = restrict(&certificate.key, self.prepared.sigalgs.as_ref());
        let resolver = Arc::new(Always(certificate.certified(key)));
        let mut config = ServerConfig::builder_with_provider(self.prepared.provider.clone())
            .with_protocol_versions(&self.prepared.versions)
            .ok()?
            .with_client_cert_verifier(self.verifier.clone())
            .with_cert_resolver(resolver);
        config.alpn_protocols.clone_from(&self.prepared.alpn);
        config.ignore_client_order = self.ignore_client_order;
        config.session_storage = self.sessions.clone();
        if let Some(ticketer) = &self.ticketer {
            config.ticketer = ticketer.clone();
        }
        if let Some(key_log) = &self.key_log {
            config.key_log = key_log.clone();
        }
        config.max_early_data_size = self.early_data;
        // Requests of early data are answered before the client's last message of the handshake.
        config.send_half_rtt_data = self.early_data > 0;
        if !self.shared.compress {
            config.cert_compressors = Vec::new();
            config.cert_decompressors = Vec::new();
        }
        Some(Arc::new(config))
    }
}

fn ticketer(options: &Options, shared: &Shared) -> Result<Arc<dyn ProducesTickets>, SettingsError> {
    let keys = match &shared.ticket_keys {
        Some(keys) => keys.clone(),
        None => Arc::new(
            TicketKeys::random().map_err(|error| SettingsError::Library(error.to_string()))?,
        ),
    };
    let mut context = options.verify.name().as_bytes().to_vec();
    if options.verify != Verify::None {
        let mut digest = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
        for certificate in options.trust.iter().flat_map(|trust| trust.certificates()) {
            digest.update(certificate);
        }
        context.extend_from_slice(digest.finish().as_ref());
    }
    Ok(Arc::new(Tickets { keys, context, lifetime: shared.lifetime }))
}

#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesServerCert for Always {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}
