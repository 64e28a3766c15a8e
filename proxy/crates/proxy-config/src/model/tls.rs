//! TLS of `bind` and `server` lines, of lines of a `crt-list`, and what `global` says about them.

use std::time::Duration;

use proxy_types::{Span, Spanned};

use super::AcmeCert;
use crate::lexer::Word;

/// Versions of the protocol, oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    Ssl3,
    Tls10,
    Tls11,
    Tls12,
    Tls13,
}

/// `verify`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVerify {
    None,
    /// Clients only.
    Optional,
    Required,
}

/// What both sides can set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// `ssl-min-ver`, or the version of a `force-` keyword.
    pub min: Option<Spanned<TlsVersion>>,
    /// `ssl-max-ver`, or the version of a `force-` keyword.
    pub max: Option<Spanned<TlsVersion>>,
    /// `no-sslv3` to `no-tlsv13`, by version.
    pub off: [Option<Span>; 5],
    /// Suites up to TLS 1.2, in OpenSSL's language.
    pub ciphers: Option<Spanned<String>>,
    /// Suites of TLS 1.3.
    pub ciphersuites: Option<Spanned<String>>,
    pub curves: Option<Spanned<String>>,
    pub sigalgs: Option<Spanned<String>>,
    pub client_sigalgs: Option<Spanned<String>>,
    /// Protocols in order of preference; empty is none (`no-alpn`).
    pub alpn: Option<Spanned<Vec<String>>>,
    /// A file, a directory, or `@system-ca`.
    pub ca_file: Option<Spanned<String>>,
    pub crl_file: Option<Spanned<String>>,
    pub verify: Option<Spanned<TlsVerify>>,
    /// `tls-tickets` or `no-tls-tickets`.
    pub tickets: Option<Spanned<bool>>,
    pub allow_0rtt: Option<Span>,
}

/// Where certificates of a `bind` line come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertSource {
    /// `crt`: a file, a directory, or a name of a `crt-store`.
    Crt(Spanned<String>),
    /// `default-crt`.
    Default(Spanned<String>),
    /// `crt-list`.
    List(Spanned<String>),
}

/// TLS of a `bind` line, or of a line of a `crt-list`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BindTls {
    pub ssl: Option<Span>,
    /// In the order they were written.
    pub certificates: Vec<CertSource>,
    pub settings: TlsSettings,
    /// `ecdhe`: one group; `curves` counts before it.
    pub ecdhe: Option<Spanned<String>>,
    pub ca_verify_file: Option<Spanned<String>>,
    /// Numbers of errors; 0 stands for all.
    pub crt_ignore_err: Option<Spanned<Vec<u8>>>,
    pub ca_ignore_err: Option<Spanned<Vec<u8>>>,
    /// `strict-sni` or `no-strict-sni`.
    pub strict_sni: Option<Spanned<bool>>,
    pub prefer_client_ciphers: Option<Span>,
    pub no_ca_names: Option<Span>,
    pub ticket_keys: Option<Spanned<String>>,
    pub generate_certificates: Option<Span>,
    /// Certificate and key of the authority that signs them.
    pub ca_sign_file: Option<Spanned<String>>,
    /// Opens the key in it.
    pub ca_sign_pass: Option<Spanned<String>>,
}

/// A certificate with what it is shown with: a line of a `crt-list`, or `ssl-f-use`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertLine {
    /// From 1; lines of `ssl-f-use` are counted by frontend.
    pub number: usize,
    /// The file, or its name in a `crt-store`.
    pub certificate: String,
    pub files: CertFiles,
    /// `ocsp-update`.
    pub ocsp_update: Option<bool>,
    /// `acme`, `domains` and `ips`.
    pub acme: AcmeCert,
    /// The options as they were written, for `show ssl crt-list`.
    pub options: String,
    pub tls: BindTls,
    /// `*`, host names, and those excepted by `!`.
    pub filters: Vec<String>,
}

/// Files of a certificate that are not found by its name (12.7.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertFiles {
    pub key: Option<String>,
    pub ocsp: Option<String>,
    pub issuer: Option<String>,
}

/// TLS to a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerTls {
    /// `ssl` or `no-ssl`.
    pub ssl: Option<Spanned<bool>>,
    /// `ssl` was written, cancelled or not: commands may switch it.
    pub is_possible: bool,
    pub settings: TlsSettings,
    /// Shown to servers that ask for a certificate.
    pub crt: Option<Spanned<String>>,
    /// An expression.
    pub sni: Option<Spanned<String>>,
    /// `sni-auto` or `no-sni-auto`; on by default.
    pub sni_auto: Option<Spanned<bool>>,
    /// `verifyhost`; empty after `no-verifyhost`.
    pub verifyhost: Option<Spanned<String>>,
    /// `ssl-reuse` or `no-ssl-reuse`.
    pub reuse: Option<Spanned<bool>>,
}

impl ServerTls {
    /// Whether connections are made over TLS.
    pub fn is_on(&self) -> bool {
        self.ssl.is_some_and(|ssl| ssl.value)
    }
}

/// What a server is sent first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerProxy {
    /// `send-proxy`.
    pub v1: Option<Spanned<bool>>,
    /// `send-proxy-v2` and its kin.
    pub v2: Option<Spanned<bool>>,
    /// `-ssl`, and `ssl` of `proxy-v2-options`.
    pub ssl: bool,
    pub cert_cn: bool,
    pub ssl_cipher: bool,
    pub cert_sig: bool,
    pub cert_key: bool,
    pub authority: bool,
    pub crc32c: bool,
    pub unique_id: bool,
    /// `set-proxy-v2-tlv-fmt`: types and formats.
    pub formats: Vec<(u8, Word)>,
}

/// TLS in the `global` section.
#[derive(Clone, Debug, Default)]
pub struct TlsGlobal {
    pub ca_base: Option<Spanned<String>>,
    pub crt_base: Option<Spanned<String>>,
    pub key_base: Option<Spanned<String>>,
    /// `ssl-default-bind-*`, as of the end of the configuration.
    pub bind: BindTls,
    /// `ssl-default-server-*`, as of the end of the configuration.
    pub server: ServerTls,
    /// What they were from a line on: they count for the lines behind it.
    pub steps: Vec<(Span, BindTls, ServerTls)>,
    /// `ssl-server-verify`.
    pub server_verify: Option<Spanned<TlsVerify>>,
    /// `ssl-load-extra-files`; all but bundles by default.
    pub load_extra: Option<Spanned<LoadExtra>>,
    pub load_extra_del_ext: Option<Span>,
    pub issuers_chain_path: Option<Spanned<String>>,
    /// `tune.ssl.cachesize`: 20000 sessions by default.
    pub cache_size: Option<Spanned<u32>>,
    /// `tune.ssl.lifetime`: 300 s by default.
    pub lifetime: Option<Spanned<Duration>>,
    /// `tune.ssl.ssl-ctx-cache-size`: 1000 certificates of `generate-certificates` by default.
    pub forged: Option<Spanned<u32>>,
    /// `tune.ssl.capture-buffer-size`, in bytes.
    pub capture: Option<Spanned<u32>>,
    pub keylog: Option<Spanned<bool>>,
    /// `tune.ssl.certificate-compression`: on by default.
    pub certificate_compression: Option<Spanned<bool>>,
    /// `ssl-passphrase-cmd`: a program and its arguments.
    pub passphrase_cmd: Option<Vec<Spanned<String>>>,
    pub ocsp: OcspGlobal,
    /// `acme.scheduler`: on (`auto`) by default.
    pub acme_scheduler: Option<Spanned<bool>>,
}

impl TlsGlobal {
    /// Whether certificates may travel compressed (RFC 8879).
    pub fn compresses_certificates(&self) -> bool {
        self.certificate_compression.is_none_or(|on| on.value)
    }

    /// Notes what the defaults are from a line on.
    pub fn step(&mut self, span: Span) {
        self.steps.push((span, self.bind.clone(), self.server.clone()));
    }

    fn at(&self, span: Span) -> Option<&(Span, BindTls, ServerTls)> {
        let before = |step: &Span| (step.file, step.line) <= (span.file, span.line);
        self.steps.iter().rev().find(|(step, _, _)| before(step))
    }

    /// The defaults of a `bind` line.
    pub fn bind_at(&self, span: Span) -> BindTls {
        self.at(span).map(|(_, bind, _)| bind.clone()).unwrap_or_default()
    }

    /// The defaults of a `server` line.
    pub fn server_at(&self, span: Span) -> ServerTls {
        self.at(span).map(|(_, _, server)| server.clone()).unwrap_or_default()
    }
}

/// `ocsp-update.*`.
#[derive(Clone, Debug, Default)]
pub struct OcspGlobal {
    pub disable: Option<Spanned<bool>>,
    /// Address, and a port unless it is 80.
    pub http_proxy: Option<Spanned<String>>,
    /// Seconds: 3600 by default.
    pub max_delay: Option<Spanned<u32>>,
    /// Seconds: 300 by default.
    pub min_delay: Option<Spanned<u32>>,
    /// `ocsp-update` of certificates that do not say.
    pub mode: Option<Spanned<bool>>,
}

impl OcspGlobal {
    /// Seconds between two requests, at least and at most.
    pub fn delays(&self) -> (u32, u32) {
        (
            self.min_delay.map_or(300, |delay| delay.value),
            self.max_delay.map_or(3600, |delay| delay.value),
        )
    }
}

/// `ssl-load-extra-files`: which files beside a certificate are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadExtra {
    pub bundle: bool,
    pub sctl: bool,
    pub ocsp: bool,
    pub issuer: bool,
    pub key: bool,
}

impl Default for LoadExtra {
    /// "all" (configuration manual, 3.1 "ssl-load-extra-files").
    fn default() -> Self {
        Self { bundle: true, sctl: true, ocsp: true, issuer: true, key: true }
    }
}

/// A `crt-store` section.
#[derive(Clone, Debug, Default)]
pub struct CrtStore {
    /// Empty without one.
    pub name: Spanned<String>,
    pub crt_base: Option<Spanned<String>>,
    pub key_base: Option<Spanned<String>>,
    pub loads: Vec<CertLoad>,
}

/// `load`: a certificate and its files.
#[derive(Clone, Debug, Default)]
pub struct CertLoad {
    pub span: Span,
    /// Always there.
    pub crt: Option<Spanned<String>>,
    pub key: Option<Spanned<String>>,
    pub ocsp: Option<Spanned<String>>,
    pub issuer: Option<Spanned<String>>,
    pub alias: Option<Spanned<String>>,
    pub ocsp_update: Option<Spanned<bool>>,
    /// `jwt`: tokens may be verified with it.
    pub jwt: Option<Spanned<bool>>,
    /// `acme`, `domains` and `ips`.
    pub acme: AcmeCert,
}
