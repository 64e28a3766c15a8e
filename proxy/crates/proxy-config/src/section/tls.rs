//! TLS in the `global` section (configuration manual, 3.1 and 3.2).

use proxy_types::time::Unit;
use proxy_types::{Diagnostic, Spanned};

use super::global_row::{Parse, global};
use crate::args::{Args, last_string};
use crate::context::{Context, Parsed};
use crate::keyword::{On, Row, Shape, Table, find, inert, suggest};
use crate::line::tls::{self, HasTls};
use crate::model::{Bind, Global, LoadExtra, ServerTls, TlsSettings, TlsVerify};

const M: &str = "3.1";

/// What there is of OpenSSL only: engines, providers, finite field groups, how its memory and records are managed.
pub(crate) const NO_EFFECT: &[Row<Parse>] = &[
    openssl("ssl-dh-param-file", Shape::Word),
    openssl("ssl-engine", Shape::Words),
    openssl("ssl-mode-async", Shape::None),
    openssl("ssl-propquery", Shape::Word),
    openssl("ssl-provider", Shape::Word),
    openssl("ssl-provider-path", Shape::Word),
    openssl("ssl-security-level", Shape::Number(0, 5)),
    openssl("ssl-skip-self-issued-ca", Shape::None),
    openssl("tune.ssl.default-dh-param", Shape::Number(1024, i32::MAX as i64)),
    openssl("tune.ssl.force-private-cache", Shape::None),
    openssl("tune.ssl.hard-maxrecord", Shape::Number(0, 16384)),
    openssl("tune.ssl.keyupdate-rate-limit", Shape::Number(0, i32::MAX as i64)),
    openssl("tune.ssl.maxrecord", Shape::Number(0, 16384)),
];

const fn openssl(name: &'static str, shape: Shape) -> Row<Parse> {
    inert(name, On::HERE, M, shape, "internals of HAProxy's implementation")
}

fn text(cx: &mut Context<'_>, args: &mut Args<'_>, what: &str) -> Parsed<Option<Spanned<String>>> {
    last_string(cx, args, what).map(Some)
}

pub(crate) const GLOBAL: &[Row<Parse>] = &[
    global("acme.scheduler", "{auto|off}", M, "renews certificates in time", |cx, g, args| {
        g.tls.acme_scheduler = Some(args.choice(cx, &[("auto", true), ("off", false)])?);
        args.end(cx)
    }),
    global("ca-base", "<dir>", M, "where relative 'ca-file's start", |cx, g, args| {
        g.tls.ca_base = text(cx, args, "a directory")?;
        Ok(())
    }),
    global("crt-base", "<dir>", M, "where relative 'crt's start", |cx, g, args| {
        g.tls.crt_base = text(cx, args, "a directory")?;
        Ok(())
    }),
    global("issuers-chain-path", "<dir>", M, "certificates of issuers", |cx, g, args| {
        g.tls.issuers_chain_path = text(cx, args, "a directory")?;
        Ok(())
    }),
    global("key-base", "<dir>", M, "where relative 'key's start", |cx, g, args| {
        g.tls.key_base = text(cx, args, "a directory")?;
        Ok(())
    }),
    global("ocsp-update.disable", "[on|off]", M, "asks for no OCSP response", |cx, g, args| {
        g.tls.ocsp.disable = Some(on_off(cx, args)?);
        Ok(())
    }),
    global(
        "ocsp-update.httpproxy",
        "<address>[:port]",
        M,
        "proxy for requests of OCSP responses",
        |cx, g, args| {
            g.tls.ocsp.http_proxy = text(cx, args, "an address")?;
            Ok(())
        },
    ),
    global(
        "ocsp-update.maxdelay",
        "<number>",
        M,
        "longest time between two updates of an OCSP response",
        max_delay,
    ),
    global(
        "ocsp-update.mindelay",
        "<number>",
        M,
        "shortest time between two updates of an OCSP response",
        min_delay,
    ),
    global(
        "ocsp-update.mode",
        "[on|off]",
        M,
        "'ocsp-update' of all certificates",
        |cx, g, args| {
            g.tls.ocsp.mode = Some(on_off(cx, args)?);
            Ok(())
        },
    ),
    global(
        "tune.ssl.ocsp-update.maxdelay",
        "<number>",
        "3.2",
        "former name of ocsp-update.maxdelay",
        max_delay,
    ),
    global(
        "tune.ssl.ocsp-update.mindelay",
        "<number>",
        "3.2",
        "former name of ocsp-update.mindelay",
        min_delay,
    ),
    global(
        "ssl-default-bind-ciphers",
        "<ciphers>",
        M,
        "'ciphers' of all listeners",
        |cx, g, args| {
            g.tls.bind.settings.ciphers = text(cx, args, "a list of cipher suites")?;
            Ok(())
        },
    ),
    global(
        "ssl-default-bind-ciphersuites",
        "<ciphersuites>",
        M,
        "'ciphersuites' of all listeners",
        |cx, g, args| {
            g.tls.bind.settings.ciphersuites = text(cx, args, "a list of cipher suites")?;
            Ok(())
        },
    ),
    global(
        "ssl-default-bind-client-sigalgs",
        "<sigalgs>",
        M,
        "'client-sigalgs' of all listeners",
        |cx, g, args| {
            g.tls.bind.settings.client_sigalgs = text(cx, args, "a list of algorithms")?;
            Ok(())
        },
    ),
    global("ssl-default-bind-curves", "<curves>", M, "'curves' of all listeners", |cx, g, args| {
        g.tls.bind.settings.curves = text(cx, args, "a list of curves")?;
        Ok(())
    }),
    global(
        "ssl-default-bind-options",
        "[<option>]...",
        M,
        "versions and tickets of all listeners",
        bind_options,
    ),
    global(
        "ssl-default-bind-sigalgs",
        "<sigalgs>",
        M,
        "'sigalgs' of all listeners",
        |cx, g, args| {
            g.tls.bind.settings.sigalgs = text(cx, args, "a list of algorithms")?;
            Ok(())
        },
    ),
    global(
        "ssl-default-server-ciphers",
        "<ciphers>",
        M,
        "'ciphers' of all servers",
        |cx, g, args| {
            g.tls.server.settings.ciphers = text(cx, args, "a list of cipher suites")?;
            Ok(())
        },
    ),
    global(
        "ssl-default-server-ciphersuites",
        "<ciphersuites>",
        M,
        "'ciphersuites' of all servers",
        |cx, g, args| {
            g.tls.server.settings.ciphersuites = text(cx, args, "a list of cipher suites")?;
            Ok(())
        },
    ),
    global(
        "ssl-default-server-client-sigalgs",
        "<sigalgs>",
        M,
        "'client-sigalgs' of all servers",
        |cx, g, args| {
            g.tls.server.settings.client_sigalgs = text(cx, args, "a list of algorithms")?;
            Ok(())
        },
    ),
    global("ssl-default-server-curves", "<curves>", M, "'curves' of all servers", |cx, g, args| {
        g.tls.server.settings.curves = text(cx, args, "a list of curves")?;
        Ok(())
    }),
    global(
        "ssl-default-server-options",
        "[<option>]...",
        M,
        "versions and tickets of all servers",
        server_options,
    ),
    global(
        "ssl-default-server-sigalgs",
        "<sigalgs>",
        M,
        "'sigalgs' of all servers",
        |cx, g, args| {
            g.tls.server.settings.sigalgs = text(cx, args, "a list of algorithms")?;
            Ok(())
        },
    ),
    global("ssl-load-extra-del-ext", "", M, "'.crt' is cut off before '.key'", |cx, g, args| {
        g.tls.load_extra_del_ext = Some(args.span());
        args.end(cx)
    }),
    global(
        "ssl-load-extra-files",
        "{all|none|[bundle][sctl][ocsp][issuer][key]}*",
        M,
        "files looked for beside certificates",
        load_extra,
    ),
    global(
        "ssl-passphrase-cmd",
        "<cmd> [<args>...]",
        M,
        "program that tells passphrases of private keys",
        |cx, g, args| {
            let mut words = vec![args.string(cx, "a program")?];
            for word in args.rest() {
                words.push(args.text(cx, word)?);
            }
            g.tls.passphrase_cmd = Some(words);
            Ok(())
        },
    ),
    global(
        "ssl-server-verify",
        "{none|required}",
        M,
        "'verify' of servers that do not say",
        |cx, g, args| {
            const MODES: &[(&str, TlsVerify)] =
                &[("none", TlsVerify::None), ("required", TlsVerify::Required)];
            g.tls.server_verify = Some(args.choice(cx, MODES)?);
            args.end(cx)
        },
    ),
    global(
        "tune.ssl.ssl-ctx-cache-size",
        "<number>",
        "3.2",
        "generated certificates remembered",
        |cx, g, args| {
            g.tls.forged = Some(args.number(cx, 0..=10_000_000)?);
            args.end(cx)
        },
    ),
    global("tune.ssl.cachesize", "<number>", "3.2", "sessions remembered", |cx, g, args| {
        g.tls.cache_size = Some(args.number(cx, 0..=10_000_000)?);
        args.end(cx)
    }),
    global(
        "tune.ssl.capture-buffer-size",
        "<number>",
        "3.2",
        "bytes of the ClientHello kept for fetches",
        |cx, g, args| {
            g.tls.capture = Some(args.number(cx, 0..=65_536)?);
            args.end(cx)
        },
    ),
    global(
        "tune.ssl.capture-cipherlist-size",
        "<number>",
        "3.2",
        "former name of tune.ssl.capture-buffer-size",
        |cx, g, args| {
            g.tls.capture = Some(args.number(cx, 0..=65_536)?);
            args.end(cx)
        },
    ),
    global(
        "tune.ssl.certificate-compression",
        "{auto|off}",
        "3.2",
        "certificates may travel compressed",
        |cx, g, args| {
            g.tls.certificate_compression =
                Some(args.choice(cx, &[("auto", true), ("off", false)])?);
            args.end(cx)
        },
    ),
    global("tune.ssl.keylog", "{on|off}", "3.2", "secrets for fetches", |cx, g, args| {
        g.tls.keylog = Some(args.choice(cx, &[("on", true), ("off", false)])?);
        args.end(cx)
    }),
    global("tune.ssl.lifetime", "<timeout>", "3.2", "how long sessions are good", |cx, g, args| {
        g.tls.lifetime = Some(args.timer_in(cx, Unit::Second)?);
        args.end(cx)
    }),
];

/// Reads options by the rows of a table, each of which may have arguments.
fn options<T>(
    cx: &mut Context<'_>,
    line: &mut T,
    args: &mut Args<'_>,
    table: Table<tls::Parse<T>>,
) -> Parsed {
    let name = args.name().to_owned();
    while let Some(word) = args.optional() {
        let Some(row) = find(table, &word.value) else {
            let message = format!("'{name}' : unknown option '{}'", word.value);
            let near = suggest(table, &word.value);
            return Err(cx.report(Diagnostic::alert(message).at(word.span).did_you_mean(near)));
        };
        args.rename(format!("{name}' : '{}", row.name));
        let parse = cx.carried(row, format_args!("'{name}' option"), "", word.span)?;
        parse(cx, line, args)?;
    }
    Ok(())
}

fn on_off(cx: &mut Context<'_>, args: &mut Args<'_>) -> Parsed<Spanned<bool>> {
    let on = args.choice(cx, &[("on", true), ("off", false)])?;
    args.end(cx)?;
    Ok(on)
}

fn max_delay(cx: &mut Context<'_>, g: &mut Global, args: &mut Args<'_>) -> Parsed {
    g.tls.ocsp.max_delay = Some(args.number(cx, 1..=i32::MAX as u32)?);
    args.end(cx)?;
    delays(cx, g, args)
}

fn min_delay(cx: &mut Context<'_>, g: &mut Global, args: &mut Args<'_>) -> Parsed {
    g.tls.ocsp.min_delay = Some(args.number(cx, 1..=i32::MAX as u32)?);
    args.end(cx)?;
    delays(cx, g, args)
}

/// The shortest delay must be the shorter one, as far as both are known.
fn delays(cx: &mut Context<'_>, g: &Global, args: &Args<'_>) -> Parsed {
    let ocsp = &g.tls.ocsp;
    let (Some(min), Some(max)) = (ocsp.min_delay, ocsp.max_delay) else { return Ok(()) };
    if min.value <= max.value {
        return Ok(());
    }
    let message = format!("mindelay ({}) is longer than maxdelay ({})", min.value, max.value);
    Err(args.wrong(cx, args.keyword_span(), message))
}

fn bind_options(cx: &mut Context<'_>, g: &mut Global, args: &mut Args<'_>) -> Parsed {
    let mut bind = Bind { tls: g.tls.bind.clone(), ..Bind::default() };
    options(cx, &mut bind, args, &[tls::BIND_VERSIONS, tls::BIND_DEFAULTS])?;
    g.tls.bind = bind.tls;
    Ok(())
}

impl HasTls for ServerTls {
    fn tls(&mut self) -> &mut TlsSettings {
        &mut self.settings
    }
}

const SERVER_VERSIONS: &[Row<tls::Parse<ServerTls>>] = &tls::versions(M);

fn server_options(cx: &mut Context<'_>, g: &mut Global, args: &mut Args<'_>) -> Parsed {
    options(cx, &mut g.tls.server, args, &[SERVER_VERSIONS])
}

fn load_extra(cx: &mut Context<'_>, g: &mut Global, args: &mut Args<'_>) -> Parsed {
    let span = args.keyword_span();
    let mut extra =
        LoadExtra { bundle: false, sctl: false, ocsp: false, issuer: false, key: false };
    if args.peek().is_none() {
        return Err(args.missing(cx, "'all', 'none' or kinds of files"));
    }
    while let Some(word) = args.optional() {
        match word.value.as_str() {
            "all" => extra = LoadExtra::default(),
            "none" => {}
            "bundle" => extra.bundle = true,
            "sctl" => extra.sctl = true,
            "ocsp" => extra.ocsp = true,
            "issuer" => extra.issuer = true,
            "key" => extra.key = true,
            other => {
                let message = format!(
                    "unknown kind of file '{other}', expected 'all', 'none', 'bundle', 'sctl', \
                     'ocsp', 'issuer' or 'key'"
                );
                return Err(args.wrong(cx, word.span, message));
            }
        }
    }
    g.tls.load_extra = Some(Spanned::new(extra, span));
    Ok(())
}
