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
    /// Certificates may travel compressed (RFC 8879).
    pub compress: bool,
    /// `allow-0rtt`: sessions that allow it may begin with data.
    pub early_data: bool,
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
    config.enable_early_data = options.early_data;
    if !options.compress {
        config.cert_compressors = Vec::new();
        config.cert_decompressors = Vec::new();
    }
    if let Some(key_log) = key_log {
        config.key_log = key_log;
    }
    Ok((Arc::new(config), prepared.notes))
}

#[cfg(test)]
mod tests {
    use rustls::{ClientConnection, ServerConnection};

    use super::*;
    use crate::listener::{self, Profile, Shared};
    use crate::material::tests::certificate;

    /// Bytes that a server sends until the handshake is complete.
    fn flight(compress: [bool; 2]) -> usize {
        let names: Vec<String> = (0..100).map(|n| format!("host{n}.example.org")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let shared = Shared { compress: compress[0], ..Shared::default() };
        let profile = Profile::new(&listener::Options::default(), &shared).unwrap();
        let mut server =
            ServerConnection::new(profile.config(&certificate("example.org", &names)).unwrap())
                .unwrap();
        let options = Options { compress: compress[1], ..Options::default() };
        let (client, _) = Client::new(options, None).unwrap();
        let name = "example.org".try_into().unwrap();
        let mut client = ClientConnection::new(client.config(), name).unwrap();
        let mut bytes = Vec::new();
        let mut total = 0;
        while client.is_handshaking() || server.is_handshaking() {
            bytes.clear();
            while client.wants_write() {
                client.write_tls(&mut bytes).unwrap();
            }
            server.read_tls(&mut bytes.as_slice()).unwrap();
            server.process_new_packets().unwrap();
            bytes.clear();
            while server.wants_write() {
                server.write_tls(&mut bytes).unwrap();
            }
            total += bytes.len();
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                client.read_tls(&mut rest).unwrap();
                client.process_new_packets().unwrap();
            }
        }
        total
    }

    #[test]
    fn certificates_travel_compressed_when_both_sides_want_that() {
        let plain = flight([false, false]);
        assert!(flight([true, true]) + 1000 < plain);
        for compress in [[true, false], [false, true]] {
            assert!(flight(compress).abs_diff(plain) < 100);
        }
    }
}
