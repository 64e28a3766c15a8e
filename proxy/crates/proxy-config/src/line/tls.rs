//! Words about TLS that `bind` and `server` lines, lines of a `crt-list` and `ssl-default-*-options` share.

use proxy_types::Spanned;

use crate::args::Args;
use crate::context::{Context, Parsed};
use crate::keyword::{On, Row, Shape, inert, not_yet, row};
use crate::model::{Bind, CertSource, TlsSettings, TlsVerify, TlsVersion};

/// A parse function of a line of kind `T`.
pub(crate) type Parse<T> = fn(&mut Context<'_>, &mut T, &mut Args<'_>) -> Parsed;

/// Lines that have settings of TLS.
pub(crate) trait HasTls {
    fn tls(&mut self) -> &mut TlsSettings;
}

impl HasTls for Bind {
    fn tls(&mut self) -> &mut TlsSettings {
        &mut self.tls.settings
    }
}

/// Longest list of protocols that fits a handshake (RFC 7301, 3.1).
const ALPN_MAX: usize = u16::MAX as usize;

fn off<T: HasTls>(args: &Args<'_>, line: &mut T, version: TlsVersion) -> Parsed {
    line.tls().off[version as usize] = Some(args.keyword_span());
    Ok(())
}

fn force<T: HasTls>(args: &Args<'_>, line: &mut T, version: TlsVersion) -> Parsed {
    let version = Spanned::new(version, args.keyword_span());
    let tls = line.tls();
    (tls.min, tls.max) = (Some(version), Some(version));
    Ok(())
}

fn version(cx: &mut Context<'_>, args: &mut Args<'_>) -> Parsed<Spanned<TlsVersion>> {
    const VERSIONS: &[(&str, TlsVersion)] = &[
        ("SSLv3", TlsVersion::Ssl3),
        ("TLSv1.0", TlsVersion::Tls10),
        ("TLSv1.1", TlsVersion::Tls11),
        ("TLSv1.2", TlsVersion::Tls12),
        ("TLSv1.3", TlsVersion::Tls13),
    ];
    args.choice(cx, VERSIONS)
}

pub(crate) fn protocols(cx: &mut Context<'_>, args: &mut Args<'_>) -> Parsed<Spanned<Vec<String>>> {
    let word = args.word(cx, "a comma-delimited list of protocol names, such as h2,http/1.1")?;
    let list: Vec<String> = word.value.split(',').map(str::to_owned).collect();
    if list.iter().any(|name| name.is_empty() || name.len() > 255) {
        return Err(args.wrong(cx, word.span, "a protocol name has 1 to 255 characters"));
    }
    if word.value.len() > ALPN_MAX {
        return Err(args.wrong(cx, word.span, "too many protocols"));
    }
    Ok(Spanned::new(list, word.span))
}

const fn tls<T>(
    name: &'static str,
    manual: &'static str,
    syntax: &'static str,
    doc: &'static str,
    parse: Parse<T>,
) -> Row<Parse<T>> {
    row(name, On::HERE, syntax, manual, doc, parse)
}

/// Oldest and newest version of the protocol.
pub(crate) const fn range<T: HasTls>(m: &'static str) -> [Row<Parse<T>>; 2] {
    [
        tls("ssl-max-ver", m, "<version>", "newest version", |cx, line, args| {
            line.tls().max = Some(version(cx, args)?);
            Ok(())
        }),
        tls("ssl-min-ver", m, "<version>", "oldest version", |cx, line, args| {
            line.tls().min = Some(version(cx, args)?);
            Ok(())
        }),
    ]
}

/// Versions of the protocol and tickets: what `ssl-default-*-options` take, too.
pub(crate) const fn versions<T: HasTls>(m: &'static str) -> [Row<Parse<T>>; 14] {
    let [max, min] = range(m);
    [
        tls("force-sslv3", m, "", "SSLv3 only, which is not offered", |_, line, args| {
            force(args, line, TlsVersion::Ssl3)
        }),
        tls("force-tlsv10", m, "", "TLSv1.0 only, which is not offered", |_, line, args| {
            force(args, line, TlsVersion::Tls10)
        }),
        tls("force-tlsv11", m, "", "TLSv1.1 only, which is not offered", |_, line, args| {
            force(args, line, TlsVersion::Tls11)
        }),
        tls("force-tlsv12", m, "", "TLSv1.2 only", |_, line, args| {
            force(args, line, TlsVersion::Tls12)
        }),
        tls("force-tlsv13", m, "", "TLSv1.3 only", |_, line, args| {
            force(args, line, TlsVersion::Tls13)
        }),
        tls("no-sslv3", m, "", "not SSLv3", |_, line, args| off(args, line, TlsVersion::Ssl3)),
        tls("no-tlsv10", m, "", "not TLSv1.0", |_, line, args| off(args, line, TlsVersion::Tls10)),
        tls("no-tlsv11", m, "", "not TLSv1.1", |_, line, args| off(args, line, TlsVersion::Tls11)),
        tls("no-tlsv12", m, "", "not TLSv1.2", |_, line, args| off(args, line, TlsVersion::Tls12)),
        tls("no-tlsv13", m, "", "not TLSv1.3", |_, line, args| off(args, line, TlsVersion::Tls13)),
        max,
        min,
        tls("no-tls-tickets", m, "", "no session tickets", |_, line, args| {
            line.tls().tickets = Some(Spanned::new(false, args.keyword_span()));
            Ok(())
        }),
        tls("tls-tickets", m, "", "session tickets", |_, line, args| {
            line.tls().tickets = Some(Spanned::new(true, args.keyword_span()));
            Ok(())
        }),
    ]
}

/// The other settings of both sides.
pub(crate) const fn settings<T: HasTls>(m: &'static str) -> [Row<Parse<T>>; 9] {
    [
        tls("alpn", m, "<protocols>", "protocols to agree on", |cx, line, args| {
            line.tls().alpn = Some(protocols(cx, args)?);
            Ok(())
        }),
        tls("ca-file", m, "<cafile>", "authorities of the peer's certificate", |cx, line, args| {
            line.tls().ca_file = Some(args.string(cx, "a file")?);
            Ok(())
        }),
        tls("ciphers", m, "<ciphers>", "cipher suites up to TLSv1.2", |cx, line, args| {
            line.tls().ciphers = Some(args.string(cx, "a list of cipher suites")?);
            Ok(())
        }),
        tls("ciphersuites", m, "<ciphersuites>", "cipher suites of TLSv1.3", |cx, line, args| {
            line.tls().ciphersuites = Some(args.string(cx, "a list of cipher suites")?);
            Ok(())
        }),
        tls(
            "client-sigalgs",
            m,
            "<sigalgs>",
            "signature algorithms of client certificates",
            |cx, line, args| {
                line.tls().client_sigalgs =
                    Some(args.string(cx, "a list of signature algorithms")?);
                Ok(())
            },
        ),
        tls("crl-file", m, "<crlfile>", "revoked certificates", |cx, line, args| {
            line.tls().crl_file = Some(args.string(cx, "a file")?);
            Ok(())
        }),
        tls("curves", m, "<curves>", "groups of the key exchange", |cx, line, args| {
            line.tls().curves = Some(args.string(cx, "a list of curves")?);
            Ok(())
        }),
        tls("sigalgs", m, "<sigalgs>", "signature algorithms", |cx, line, args| {
            line.tls().sigalgs = Some(args.string(cx, "a list of signature algorithms")?);
            Ok(())
        }),
        inert(
            "npn",
            On::HERE,
            m,
            Shape::Word,
            "ALPN has taken the place of NPN, which is not offered",
        ),
    ]
}

const M: &str = "5.1";

/// Rows of `bind` that `ssl-default-bind-options` takes, beside [`versions`].
pub(crate) const BIND_DEFAULTS: &[Row<Parse<Bind>>] = &[
    tls("no-strict-sni", M, "", "a default certificate for other names", |_, bind, args| {
        bind.tls.strict_sni = Some(Spanned::new(false, args.keyword_span()));
        Ok(())
    }),
    tls("prefer-client-ciphers", M, "", "the client's order of suites counts", |_, bind, args| {
        bind.tls.prefer_client_ciphers = Some(args.keyword_span());
        Ok(())
    }),
    tls("strict-sni", M, "", "refuses names without a certificate", |_, bind, args| {
        bind.tls.strict_sni = Some(Spanned::new(true, args.keyword_span()));
        Ok(())
    }),
];

pub(crate) const BIND_VERSIONS: &[Row<Parse<Bind>>] = &versions(M);
pub(crate) const BIND_SETTINGS: &[Row<Parse<Bind>>] = &settings(M);

/// The other rows of `bind`.
pub(crate) const BIND: &[Row<Parse<Bind>>] = &[
    tls("allow-0rtt", M, "", "takes data before the handshake is complete", |_, bind, args| {
        bind.tls.settings.allow_0rtt = Some(args.keyword_span());
        Ok(())
    }),
    tls(
        "ca-ignore-err",
        M,
        "<errors>",
        "looks past errors above a certificate",
        |cx, bind, args| {
            bind.tls.ca_ignore_err = Some(errors(cx, args)?);
            Ok(())
        },
    ),
    tls(
        "ca-sign-file",
        M,
        "<cafile>",
        "authority that signs generated certificates",
        |cx, bind, args| {
            bind.tls.ca_sign_file = Some(args.string(cx, "a file")?);
            Ok(())
        },
    ),
    tls("ca-sign-pass", M, "<passphrase>", "opens the key of ca-sign-file", |cx, bind, args| {
        bind.tls.ca_sign_pass = Some(args.string(cx, "a passphrase")?);
        Ok(())
    }),
    tls(
        "ca-verify-file",
        M,
        "<cafile>",
        "authorities that clients are not told",
        |cx, bind, args| {
            bind.tls.ca_verify_file = Some(args.string(cx, "a file")?);
            Ok(())
        },
    ),
    tls("crt", M, "<cert>", "certificate to show", |cx, bind, args| {
        let crt = args.string(cx, "a file or directory")?;
        bind.tls.certificates.push(CertSource::Crt(crt));
        Ok(())
    }),
    tls("crt-ignore-err", M, "<errors>", "looks past errors of a certificate", |cx, bind, args| {
        bind.tls.crt_ignore_err = Some(errors(cx, args)?);
        Ok(())
    }),
    tls("crt-list", M, "<file>", "list of certificates", |cx, bind, args| {
        let list = args.string(cx, "a file")?;
        bind.tls.certificates.push(CertSource::List(list));
        Ok(())
    }),
    tls("default-crt", M, "<cert>", "certificate for other names", |cx, bind, args| {
        let crt = args.string(cx, "a file")?;
        bind.tls.certificates.push(CertSource::Default(crt));
        Ok(())
    }),
    tls("ecdhe", M, "<curve>", "the group of the key exchange", |cx, bind, args| {
        bind.tls.ecdhe = Some(args.string(cx, "a curve")?);
        Ok(())
    }),
    tls(
        "generate-certificates",
        M,
        "",
        "makes certificates for names without one",
        |_, bind, args| {
            bind.tls.generate_certificates = Some(args.keyword_span());
            Ok(())
        },
    ),
    tls("ktls", M, "{on|off}", "TLS in the kernel, which is not used", |cx, _, args| {
        ktls(cx, args)
    }),
    tls("no-alpn", M, "", "agrees on no protocol", |_, bind, args| {
        bind.tls.settings.alpn = Some(Spanned::new(Vec::new(), args.keyword_span()));
        Ok(())
    }),
    tls("no-ca-names", M, "", "does not tell clients the authorities", |_, bind, args| {
        bind.tls.no_ca_names = Some(args.keyword_span());
        Ok(())
    }),
    tls("ssl", M, "", "TLS", |_, bind, args| {
        bind.tls.ssl = Some(args.keyword_span());
        Ok(())
    }),
    tls("tls-ticket-keys", M, "<keyfile>", "keys of session tickets", |cx, bind, args| {
        bind.tls.ticket_keys = Some(args.string(cx, "a file")?);
        Ok(())
    }),
    tls("verify", M, "{none|optional|required}", "client certificates", |cx, bind, args| {
        bind.tls.settings.verify = Some(verify(cx, args)?);
        Ok(())
    }),
];

/// Whether clients are asked for certificates.
pub(crate) fn verify(cx: &mut Context<'_>, args: &mut Args<'_>) -> Parsed<Spanned<TlsVerify>> {
    const MODES: &[(&str, TlsVerify)] = &[
        ("none", TlsVerify::None),
        ("optional", TlsVerify::Optional),
        ("required", TlsVerify::Required),
    ];
    args.choice(cx, MODES)
}

/// Rows of `bind` that are not carried.
pub(crate) const BIND_NOT_YET: &[Row<Parse<Bind>>] = &not_yet(
    On::HERE,
    M,
    "the TLS library has no Encrypted Client Hello on the server's side",
    ["ech"],
);

/// `ktls`: the library's own records are faster than a kernel that is told them.
pub(crate) fn ktls(cx: &mut Context<'_>, args: &mut Args<'_>) -> Parsed {
    let on = args.choice(cx, &[("on", true), ("off", false)])?;
    if on.value {
        cx.notice(on.span, "'ktls' : TLS in the kernel is not used, no effect");
    }
    Ok(())
}

/// `all`, or names and numbers of errors of OpenSSL. 0 stands for all.
fn errors(cx: &mut Context<'_>, args: &mut Args<'_>) -> Parsed<Spanned<Vec<u8>>> {
    let word = args.word(cx, "'all' or a comma-delimited list of errors")?;
    if word.value == "all" {
        return Ok(Spanned::new(vec![0], word.span));
    }
    let mut list = Vec::new();
    for text in word.value.split(',') {
        let number = text.parse::<u8>().ok().filter(|number| *number > 0);
        match number.or_else(|| proxy_rules::x509::error::number(text)) {
            Some(number) => list.push(number),
            None => {
                let message = format!("'{text}' is no error of certificates");
                return Err(args.wrong(cx, word.span, message));
            }
        }
    }
    Ok(Spanned::new(list, word.span))
}
