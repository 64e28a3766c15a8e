//! Requests to authorities, over HTTPS as a rule (configuration manual, 3.4 "httpclient").

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Request, Response, Uri, header, http};
use hyper_util::rt::TokioIo;
use proxy_acme::{Answer, Method, Question, Transport};
use proxy_config::model::{AddressFamily, HttpClient};
use proxy_tls::rustls::pki_types::{CertificateDer, ServerName};
use proxy_tls::rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Longest time for one answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of an answer: certificates with their chains have some 10 kB.
const ANSWER_MAX: usize = 1 << 20;
const CONNECT: Duration = Duration::from_secs(5);
const SLOW: &str = "the server takes too long";
/// Time before another attempt to connect.
const PAUSE: Duration = Duration::from_secs(1);

/// A request as it is sent.
type Wire = Request<Full<Bytes>>;

/// How connections are made.
#[derive(Clone)]
pub(crate) struct Http {
    tls: Result<Arc<ClientConfig>, String>,
    prefer: Option<AddressFamily>,
    retries: u32,
    connect: Duration,
}

impl Http {
    /// `authorities` is who may say which server is which: those of `httpclient.ssl.ca-file`.
    pub(crate) fn new(
        settings: &HttpClient,
        authorities: Result<Vec<CertificateDer<'static>>, String>,
    ) -> Self {
        Self {
            tls: client_config(settings.verify.is_none_or(|on| on.value), authorities),
            prefer: settings.prefer.map(|prefer| prefer.value),
            retries: settings.retries(),
            connect: settings.connect.map_or(CONNECT, |limit| limit.value),
        }
    }

    async fn socket(&self, host: &str, port: u16) -> Result<TcpStream, String> {
        let fail = |error: std::io::Error| format!("{host}:{port}: {error}");
        let mut last = String::new();
        for attempt in 0..=self.retries {
            if attempt > 0 {
                tokio::time::sleep(PAUSE).await;
            }
            let found = tokio::net::lookup_host((host, port)).await;
            let mut addresses: Vec<SocketAddr> = match found {
                Ok(found) => found.collect(),
                Err(error) => {
                    last = fail(error);
                    continue;
                }
            };
            addresses.sort_by_key(|address| match self.prefer {
                Some(AddressFamily::V4) => address.is_ipv6(),
                Some(AddressFamily::V6) => address.is_ipv4(),
                None => false,
            });
            for address in addresses {
                match tokio::time::timeout(self.connect, TcpStream::connect(address)).await {
                    Ok(Ok(socket)) => return Ok(socket),
                    Ok(Err(error)) => last = fail(error),
                    Err(_) => last = format!("{host}:{port}: the connection takes too long"),
                }
            }
        }
        Err(last)
    }

    async fn exchange(&self, uri: &Uri, request: Wire) -> Result<Response<Bytes>, String> {
        let host = uri.host().ok_or("a URL without a host")?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let secure = uri.scheme_str() == Some("https");
        let socket =
            self.socket(&host, uri.port_u16().unwrap_or(if secure { 443 } else { 80 })).await?;
        if !secure {
            return send(socket, request).await;
        }
        let name =
            ServerName::try_from(host.clone()).map_err(|_| format!("'{host}' is no host"))?;
        let connector = TlsConnector::from(self.tls.clone()?);
        let stream =
            connector.connect(name, socket).await.map_err(|error| format!("{host}: {error}"))?;
        send(stream, request).await
    }

    async fn ask(&self, question: Question) -> Result<Answer, String> {
        let uri = parse(&question.url)?;
        let request = request(&uri).method(match question.method {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
        });
        let request = match question.method {
            Method::Post => request.header(header::CONTENT_TYPE, "application/jose+json"),
            Method::Get | Method::Head => request,
        };
        let request = request.body(Full::new(Bytes::from(question.body)));
        let response = self.exchange(&uri, request.map_err(|error| error.to_string())?).await?;
        let text = |name: &str| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
        Ok(Answer {
            status: response.status().as_u16(),
            nonce: text("replay-nonce"),
            location: text("location"),
            retry_after: text("retry-after").and_then(|seconds| seconds.parse().ok()),
            body: response.body().to_vec(),
        })
    }

    /// Sends a request without a body; the response as it was on the wire, with what is no text replaced.
    pub(crate) async fn show(&self, method: &str, url: &str) -> Result<String, String> {
        let exchange = async {
            let uri = parse(url)?;
            let request = request(&uri).method(method).body(Full::default());
            self.exchange(&uri, request.map_err(|error| error.to_string())?).await
        };
        let response = tokio::time::timeout(PATIENCE, exchange).await.map_err(|_| SLOW)??;
        let mut text = format!("{:?} {}\r\n", response.version(), response.status());
        for (name, value) in response.headers() {
            let value = String::from_utf8_lossy(value.as_bytes());
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        text.push_str(&String::from_utf8_lossy(response.body()));
        Ok(text)
    }
}

fn parse(url: &str) -> Result<Uri, String> {
    url.parse().map_err(|_| format!("'{url}' is no URL"))
}

/// A request to that host.
fn request(uri: &Uri) -> http::request::Builder {
    let host = uri.authority().map_or("", |authority| authority.as_str());
    Request::builder()
        .uri(uri.path_and_query().map_or("/", |path| path.as_str()))
        .header(header::HOST, host)
        .header(header::USER_AGENT, concat!("sluice/", env!("CARGO_PKG_VERSION")))
        .header(header::CONNECTION, "close")
}

/// TLS as a client that trusts these.
fn client_config(
    verify: bool,
    authorities: Result<Vec<CertificateDer<'static>>, String>,
) -> Result<Arc<ClientConfig>, String> {
    if !verify {
        let (client, _) = proxy_tls::client::Client::new(Default::default(), None)
            .map_err(|error| error.to_string())?;
        return Ok(client.config());
    }
    let mut roots = RootCertStore::empty();
    // Authorities of the system that nobody understands are not missed.
    roots.add_parsable_certificates(authorities?);
    let provider = Arc::new(proxy_tls::rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

async fn send(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    request: Wire,
) -> Result<Response<Bytes>, String> {
    let fail = |error: hyper::Error| error.to_string();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(fail)?;
    let answer = async {
        let (head, body) = sender.send_request(request).await.map_err(fail)?.into_parts();
        let body = Limited::new(body, ANSWER_MAX).collect().await;
        let body = body.map_err(|error| error.to_string())?.to_bytes();
        Ok(Response::from_parts(head, body))
    };
    let mut answer = std::pin::pin!(answer);
    let mut connection = std::pin::pin!(connection);
    // The connection is driven here: what is said on it ends with the answer.
    tokio::select! {
        outcome = &mut answer => outcome,
        outcome = &mut connection => match outcome {
            Ok(()) => answer.await,
            Err(error) => Err(fail(error)),
        },
    }
}

impl Transport for Http {
    async fn send(&self, question: Question) -> Result<Answer, String> {
        tokio::time::timeout(PATIENCE, self.ask(question)).await.map_err(|_| SLOW)?
    }

    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}
