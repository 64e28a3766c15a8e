//! What a server is told, and how its certificate is judged.

use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::client::{ClientSessionMemoryCache, Resumption, Tls12Resumption};
use rustls::{ClientConfig, KeyLog};

use crate::listener::Slot;
use crate::settings::{Settings, SettingsError, restrict};
use crate::verify::{Change, ServerVerifier, Trust};

/// Sessions remembered per server: one per name that is asked for.
const SESSIONS: usize = 64;

/// Settings of the client's side.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub settings: Settings,
    /// `verify required` with these authorities; `None` is `verify none`.
    pub trust: Option<Arc<Trust>>,
    /// `verifyhost`.
    pub host: Option<String>,
    /// `crt`: shown to servers that ask for a certificate.
    pub certificate: Option<Arc<Slot>>,
    /// Not with `no-ssl-reuse`.
    pub reuse: bool,
    /// Not with `no-tls-tickets`.
    pub tickets: bool,
}

/// How a server is spoken to, changing with its certificate.
#[derive(Debug)]
pub struct Client {
    options: Mutex<Options>,
    key_log: Option<Arc<dyn KeyLog>>,
    current: ArcSwap<ClientConfig>,
}

impl Client {
    /// Prepares settings. The second value says what was asked for and is not offered.
    ///
    /// # Errors
    /// Nothing that was asked for is offered, or the certificate cannot be used.
    pub fn new(
        options: Options,
        key_log: Option<Arc<dyn KeyLog>>,
    ) -> Result<(Self, Vec<String>), SettingsError> {
        let (config, notes) = config(&options, key_log.clone())?;
        let options = Mutex::new(options);
        Ok((Self { options, key_log, current: ArcSwap::new(config) }, notes))
    }

    /// The configuration for the next connection.
    #[must_use]
    pub fn config(&self) -> Arc<ClientConfig> {
        self.current.load_full()
    }

    /// Whether servers are shown this certificate.
    #[must_use]
    pub fn shows(&self, slot: &Arc<Slot>) -> bool {
        self.options.lock().certificate.as_ref().is_some_and(|own| Arc::ptr_eq(own, slot))
    }

    /// Whether servers are judged by this file.
    #[must_use]
    pub fn has(&self, change: Change<'_>) -> bool {
        self.options.lock().trust.as_ref().is_some_and(|trust| trust.has(change))
    }

    /// Takes up a change of a file; false when it does not use that.
    ///
    /// # Errors
    /// Settings could not be prepared.
    pub fn change(&self, change: Change<'_>) -> Result<bool, SettingsError> {
        let mut options = self.options.lock();
        let Some(trust) = options.trust.as_ref().and_then(|trust| trust.changed(change)) else {
            return Ok(false);
        };
        options.trust = Some(Arc::new(trust));
        let (config, _) = config(&options, self.key_log.clone())?;
        self.current.store(config);
        Ok(true)
    }

    /// Takes up a certificate that was replaced. Sessions made with the former are not resumed.
    ///
    /// # Errors
    /// The certificate cannot be used.
    pub fn refresh(&self) -> Result<(), SettingsError> {
        let (config, _) = config(&self.options.lock(), self.key_log.clone())?;
        self.current.store(config);
        Ok(())
    }
}

/// Prepares settings. The second value says what was asked for and is not offered.
///
/// # Errors
/// Nothing that was asked for is offered, or the certificate cannot be used.
fn config(
    options: &Options,
    key_log: Option<Arc<dyn KeyLog>>,
) -> Result<(Arc<ClientConfig>, Vec<String>), SettingsError> {
    let library = |error: rustls::Error| SettingsError::Library(error.to_string());
    let prepared = options.settings.prepare()?;
    let verifier = ServerVerifier {
        trust: options.trust.clone(),
        host: options.host.clone(),
        algorithms: prepared.provider.signature_verification_algorithms,
        sigalgs: prepared.sigalgs.clone(),
    };
    let builder = ClientConfig::builder_with_provider(prepared.provider)
        .with_protocol_versions(&prepared.versions)
        .map_err(library)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match &options.certificate {
        None => builder.with_no_client_auth(),
        Some(slot) => {
            let certificate = slot.certificate();
            let key = restrict(&certificate.key, prepared.client_sigalgs.as_ref());
            let resolver = rustls::sign::SingleCertAndKey::from(certificate.certified(key));
            builder.with_client_cert_resolver(Arc::new(resolver))
        }
    };
    config.alpn_protocols = prepared.alpn;
    config.resumption = if options.reuse {
        let by = if options.tickets {
            Tls12Resumption::SessionIdOrTickets
        } else {
            Tls12Resumption::SessionIdOnly
        };
        Resumption::store(Arc::new(ClientSessionMemoryCache::new(SESSIONS))).tls12_resumption(by)
    } else {
        Resumption::disabled()
    };
    if let Some(key_log) = key_log {
        config.key_log = key_log;
    }
    Ok((Arc::new(config), prepared.notes))
}
