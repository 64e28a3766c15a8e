//! What stands before the bytes for a server.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::Context;

use proxy_net::Stream;
use proxy_net::timer::Timer;
use proxy_rules::logformat::LogFormat;
use proxy_rules::sample::connection::{Connection, Tls};
use proxy_rules::sample::{EvalCtx, Expr, Sample};
use proxy_rules::x509;
use proxy_tls::client::Client;
use proxy_tls::findings::Findings;
use proxy_tls::rustls::pki_types::ServerName;
use proxy_tls::rustls::{ClientConfig, ClientConnection};

use super::handshake::{self, HandshakeError};
use super::proxy_protocol::{self, Content, Ssl};
use super::socks4;
use super::tls_stream::{Ahead, TlsStream};
use crate::io::Io;
use crate::traces::{self, Level, Subject, Telling, ssl};

/// How connections to a server begin.
#[derive(Default)]
pub struct Exit {
    /// The PROXY protocol header that is sent first.
    pub proxy: Option<SendProxy>,
    pub tls: Option<TlsExit>,
    /// `usesrc hdr_ip`: gives the address to come from.
    pub source: Option<Expr>,
    /// `pool-conn-name`.
    pub pool_name: Option<Expr>,
}

impl fmt::Debug for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (proxy, tls) = (self.proxy.is_some(), self.tls.is_some());
        f.debug_struct("Exit").field("proxy", &proxy).field("tls", &tls).finish()
    }
}

/// `send-proxy` and its kin.
pub enum SendProxy {
    V1,
    V2(Box<SendProxyV2>),
}

/// What a header of version 2 tells.
#[derive(Default)]
pub struct SendProxyV2 {
    /// The value on TLS, and what is in it.
    pub ssl: bool,
    pub cert_cn: bool,
    pub ssl_cipher: bool,
    pub cert_sig: bool,
    pub cert_key: bool,
    pub authority: bool,
    pub crc32c: bool,
    pub unique_id: bool,
    /// `set-proxy-v2-tlv-fmt`.
    pub formats: Vec<(u8, LogFormat)>,
    /// Checks say PROXY, not LOCAL (`pp2-never-send-local`).
    pub never_local: bool,
}

/// TLS to a server.
pub struct TlsExit {
    pub client: Arc<Client>,
    pub sni: Sni,
    /// `allow-0rtt`: requests may be sent before the handshake is complete.
    pub early: bool,
}

/// The host that the server is asked for.
pub enum Sni {
    None,
    /// The host of the request, when there is one.
    Auto(Expr),
    Expr(Expr),
}

/// How one connection begins: an [`Exit`] evaluated for a stream.
#[derive(Clone, Default)]
pub(crate) struct Opening {
    /// What a SOCKS4 proxy is asked for first.
    pub(crate) socks4: Option<socks4::Request>,
    pub(crate) header: Vec<u8>,
    pub(crate) tls: Option<(Arc<ClientConfig>, Option<Box<str>>)>,
    /// The first bytes may be sent before the handshake is complete.
    pub(crate) early: bool,
    /// The address to come from, which need not be one of this host.
    pub(crate) source: Option<IpAddr>,
    /// What tells idle connections apart in place of the host in `tls`.
    pub(crate) name: Option<Vec<u8>>,
}

impl Opening {
    /// Whether the first byte is the stream's own.
    pub(crate) fn is_nothing(&self) -> bool {
        self.socks4.is_none() && self.header.is_empty() && self.tls.is_none()
    }

    /// Has both ends agree on `protocol` (ALPN), where they would agree on one at all; false otherwise.
    pub(crate) fn agree_on(&mut self, protocol: &[u8]) -> bool {
        let Some((config, _)) = &mut self.tls else { return false };
        if config.alpn_protocols.is_empty() {
            return false;
        }
        let mut own = ClientConfig::clone(config);
        own.alpn_protocols = vec![protocol.to_vec()];
        *config = Arc::new(own);
        true
    }

    /// Whether ALPN offers `protocol`.
    pub(crate) fn offers(&self, protocol: &[u8]) -> bool {
        let offered = self.tls.as_ref().map(|(config, _)| &config.alpn_protocols);
        offered.is_some_and(|offered| offered.iter().any(|known| known == protocol))
    }

    /// Tells connections apart that must not stand in for each other.
    pub(crate) fn key(&self) -> u64 {
        use std::hash::{Hash, Hasher};
        let host = self.tls.as_ref().and_then(|(_, name)| name.as_deref());
        let name = self.name.as_deref().or_else(|| host.map(str::as_bytes));
        if self.header.is_empty() && name.is_none() && self.source.is_none() {
            // Commands may switch TLS.
            return if self.tls.is_some() { 2 } else { 0 };
        }
        let mut hasher = rustc_hash::FxHasher::default();
        (&self.header, name, self.source).hash(&mut hasher);
        hasher.finish() | 1
    }

    /// Sends what comes first and shakes hands.
    pub(crate) async fn perform(
        self,
        socket: Stream,
        server: Option<SocketAddr>,
        timer: &Timer,
    ) -> Result<Opened, OpenError> {
        if let Some(request) = &self.socks4 {
            request.perform(&socket, timer).await?;
        }
        send(&socket, &self.header, timer).await?;
        match self.tls {
            None => Ok(Opened::plain(socket)),
            Some((config, name)) => {
                let to = server;
                trace(ssl::NEW, Level::State, "new TLS handshake with", to, &|_| {});
                let (outcome, mut tls) =
                    connect(socket, config, name.as_deref(), server, timer, self.early).await;
                tls.sni = name;
                let mut facts = Connection::default();
                if let Err(error) = &outcome {
                    error.note(&mut tls);
                    facts.error = error.code(&tls);
                }
                match &outcome {
                    Ok(_) => {
                        trace(ssl::HANDSHAKE, Level::User, "TLS handshake done with", to, &|t| {
                            traces::agreed(&tls, t);
                        })
                    }
                    Err(error) => {
                        trace(ssl::ERR, Level::Error, "TLS handshake failed with", to, &|t| {
                            t.text.push_str(&format!(": {error}"));
                        })
                    }
                }
                facts.tls = Some(Arc::new(tls));
                let facts = Some(Arc::new(facts));
                match outcome {
                    Ok(stream) => Ok(Opened { io: Box::new(stream), facts }),
                    Err(error) => Err(OpenError { error, facts }),
                }
            }
        }
    }
}

/// Tells of the handshake with a server.
fn trace(
    event: u64,
    level: Level,
    what: &str,
    server: Option<SocketAddr>,
    about: &dyn Fn(&mut Telling),
) {
    if traces::SSL.wants(event) {
        traces::SSL.tell(event, level, &Subject::default(), &|t| {
            t.text.push_str(what);
            match server {
                Some(server) => t.text.push_str(&format!(" {server}")),
                None => t.text.push_str(" a unix socket"),
            }
            if t.has_subject() {
                about(t);
            }
        });
    }
}

/// A connection that did not get so far.
pub(crate) struct OpenError {
    pub(crate) error: HandshakeError,
    pub(crate) facts: Option<Arc<Connection>>,
}

impl From<HandshakeError> for OpenError {
    fn from(error: HandshakeError) -> Self {
        Self { error, facts: None }
    }
}

/// A connection that is ready for the first byte.
pub(crate) struct Opened {
    pub(crate) io: Box<dyn Io>,
    pub(crate) facts: Option<Arc<Connection>>,
}

impl Opened {
    pub(crate) fn plain(socket: Stream) -> Self {
        Self { io: Box::new(socket), facts: None }
    }
}

/// Sends what nobody answers.
pub(super) async fn send(
    socket: &Stream,
    mut rest: &[u8],
    timer: &Timer,
) -> Result<(), HandshakeError> {
    while !rest.is_empty() {
        match socket.try_write(rest) {
            Ok(n) => rest = &rest[n..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let waited = timer.guard(socket.writable()).await;
                let waited = waited.map_err(|_| HandshakeError::Timeout)?;
                waited.map_err(HandshakeError::Io)?;
            }
            Err(error) => return Err(HandshakeError::Io(error)),
        }
    }
    Ok(())
}

/// Shakes hands with a server. A name that is no host name is not sent.
async fn connect(
    mut socket: Stream,
    config: Arc<ClientConfig>,
    name: Option<&str>,
    server: Option<SocketAddr>,
    timer: &Timer,
    early: bool,
) -> (Result<TlsStream, HandshakeError>, Tls) {
    let sni: Option<Box<str>> = name.map(Into::into);
    let name = name.and_then(|name| ServerName::try_from(name.to_owned()).ok());
    // An address is never sent as a name.
    let nowhere = IpAddr::from([0, 0, 0, 0]);
    let name = name.unwrap_or_else(|| server.map_or(nowhere, |server| server.ip()).into());
    let mut found = Findings::default();
    let mut client = match ClientConnection::new(config, name) {
        Ok(client) => client,
        Err(error) => return (Err(HandshakeError::Tls(error)), Tls::default()),
    };
    if early && client.early_data().is_some() {
        // It resumes a session, or so it hopes.
        found.update();
        let ahead = Ahead::new(found, sni);
        let facts = Tls { late: Some(ahead.known()), resumed: true, ..Tls::default() };
        return (Ok(TlsStream::ahead(socket, client.into(), ahead)), facts);
    }
    let mut tls = client.into();
    let expired = |cx: &mut Context<'_>| timer.poll_expired(cx);
    let outcome =
        handshake::complete(&mut tls, &mut socket, &mut found, &mut Vec::new(), expired).await;
    let facts = handshake::facts(&tls, found);
    (outcome.map(|()| TlsStream::new(socket, tls, None)), facts)
}

impl Exit {
    /// Evaluates what a connection begins with. `ends` are the client's address and the one it connected to.
    pub(crate) fn opening(
        &self,
        cx: &EvalCtx<'_>,
        ends: Option<(SocketAddr, SocketAddr)>,
        unique_id: Option<&[u8]>,
    ) -> Opening {
        let wanted = cx.server.is_none_or(proxy_state::Server::uses_tls);
        let tls = self.tls.as_ref().filter(|_| wanted).map(|tls| {
            let name = match &tls.sni {
                Sni::None => None,
                Sni::Auto(expr) | Sni::Expr(expr) => expr
                    .eval_str(cx)
                    .and_then(|name| std::str::from_utf8(name).ok())
                    .filter(|name| !name.is_empty())
                    .map(Into::into),
            };
            (tls.client.config(), name)
        });
        let header = match &self.proxy {
            None => Vec::new(),
            Some(SendProxy::V1) => proxy_protocol::v1(ends),
            Some(SendProxy::V2(options)) => options.header(cx, ends, unique_id),
        };
        let source = self.source.as_ref().and_then(|expr| match expr.eval(cx)? {
            Sample::Ipv4(ip) => Some(IpAddr::V4(ip)),
            Sample::Ipv6(ip) => Some(IpAddr::V6(ip)),
            _ => None,
        });
        let name = self.pool_name.as_ref();
        let name = name.map(|name| name.eval_str(cx).unwrap_or_default().to_vec());
        Opening { socks4: None, header, tls, early: false, source, name }
    }

    /// The header of a health check, which speaks for nobody.
    pub(crate) fn check_header(&self, cx: &EvalCtx<'_>) -> Vec<u8> {
        match &self.proxy {
            None | Some(SendProxy::V1) => proxy_protocol::v1(None),
            Some(SendProxy::V2(options)) => {
                let mut header = options.header(cx, None, None);
                if options.never_local {
                    proxy_protocol::say_proxy(&mut header);
                }
                header
            }
        }
    }
}

impl SendProxyV2 {
    fn header(
        &self,
        cx: &EvalCtx<'_>,
        ends: Option<(SocketAddr, SocketAddr)>,
        unique_id: Option<&[u8]>,
    ) -> Vec<u8> {
        let tls = cx.session.and_then(|session| session.connection.tls.as_deref());
        let leaf = tls.and_then(|tls| tls.peer.first());
        let leaf_fields = leaf.filter(|_| self.cert_cn).and_then(|der| x509::parse(der));
        let cn = leaf_fields.and_then(|leaf| x509::attribute(leaf.subject(), "CN", 1));
        let own = tls
            .filter(|_| self.cert_sig || self.cert_key)
            .and_then(|tls| x509::parse(tls.own.as_deref()?));
        let sig_alg = own.as_ref().filter(|_| self.cert_sig).map(x509::signature_algorithm);
        let key_alg = own.as_ref().filter(|_| self.cert_key).and_then(x509::key_kind);
        let ssl = self.ssl.then(|| Ssl {
            over_tls: tls.is_some(),
            certificate: leaf.is_some(),
            resumed: tls.is_some_and(|tls| tls.resumed),
            verify: tls.map_or(0, |tls| u32::from(tls.verify)),
            version: tls.map(|tls| tls.version.as_bytes()),
            cn: cn.as_deref().map(str::as_bytes),
            cipher: tls.filter(|_| self.ssl_cipher).map(|tls| tls.cipher.as_bytes()),
            sig_alg: sig_alg.as_deref().map(str::as_bytes),
            key_alg: key_alg.as_deref().map(str::as_bytes),
        });
        let content = Content {
            alpn: tls.and_then(|tls| tls.alpn.as_deref()),
            authority: tls
                .filter(|_| self.authority)
                .and_then(|tls| Some(tls.sni.as_deref()?.as_bytes())),
            crc32c: self.crc32c,
            unique_id: unique_id.filter(|_| self.unique_id),
            ssl,
            others: self
                .formats
                .iter()
                .map(|(kind, format)| (*kind, format.render(cx).to_vec()))
                .collect(),
        };
        proxy_protocol::v2(ends, &content)
    }
}
