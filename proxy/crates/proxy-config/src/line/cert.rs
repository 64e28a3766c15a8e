//! Options of a certificate: of a line of a `crt-list`, and of `ssl-f-use` (configuration manual, 5.1 "crt-list", 4.2
//! "ssl-f-use", 12.7.1).

use proxy_types::{Diagnostic, Spanned};

use super::tls::{self, HasTls, Parse};
use crate::args::Args;
use crate::context::{Context, Parsed};
use crate::keyword::{On, Row, Support, Table, find, row, suggest};
use crate::model::{CertLine, Proxy, TlsSettings};
use crate::place::check_shape;
use crate::section::acme;

const M: &str = "5.1";

impl HasTls for CertLine {
    fn tls(&mut self) -> &mut TlsSettings {
        &mut self.tls.settings
    }
}

pub(crate) const OPTIONS: Table<Parse<CertLine>> = &[FILES, &tls::settings(M), &tls::range(M), TLS];

const fn own(
    name: &'static str,
    syntax: &'static str,
    doc: &'static str,
    parse: Parse<CertLine>,
) -> Row<Parse<CertLine>> {
    row(name, On::HERE, syntax, M, doc, parse)
}

const FILES: &[Row<Parse<CertLine>>] = &[
    own("acme", "<section>", "renewed by ACME", |cx, line, args| {
        acme::section(cx, &mut line.acme, args)
    }),
    own("crt", "<filename>", "the certificate", |cx, line, args| {
        line.certificate = args.string(cx, "a file")?.value;
        Ok(())
    }),
    own("domains", "<list>", "names to be proven by ACME", |cx, line, args| {
        acme::domains(cx, &mut line.acme, args)
    }),
    own("ips", "<list>", "addresses to be proven by ACME", |cx, line, args| {
        acme::ips(cx, &mut line.acme, args)
    }),
    own("issuer", "<filename>", "who signed the certificate", |cx, line, args| {
        line.files.issuer = Some(args.string(cx, "a file")?.value);
        Ok(())
    }),
    own("key", "<filename>", "key of the certificate", |cx, line, args| {
        line.files.key = Some(args.string(cx, "a file")?.value);
        Ok(())
    }),
    own("ocsp", "<filename>", "OCSP response of the certificate", |cx, line, args| {
        line.files.ocsp = Some(args.string(cx, "a file")?.value);
        Ok(())
    }),
    own("ocsp-update", "{on|off}", "keeps the OCSP response fresh", |cx, line, args| {
        let on = args.choice(cx, &[("off", false), ("on", true)])?;
        line.ocsp_update = Some(on.value);
        Ok(())
    }),
    own("sctl", "<filename>", "certificate timestamps, which are not sent", |cx, _, args| {
        let file = args.string(cx, "a file")?;
        cx.warn(file.span, NO_TIMESTAMPS);
        Ok(())
    }),
];

/// Timestamps inside of certificates, which is where authorities put them today, are not touched by this.
pub(crate) const NO_TIMESTAMPS: &str =
    "'sctl' : certificate timestamps are not sent in the handshake, no effect";

const TLS: &[Row<Parse<CertLine>>] = &[
    own("allow-0rtt", "", "takes data before the handshake is complete", |_, line, args| {
        line.tls.settings.allow_0rtt = Some(args.keyword_span());
        Ok(())
    }),
    own("ca-verify-file", "<cafile>", "authorities that clients are not told", |cx, line, args| {
        line.tls.ca_verify_file = Some(args.string(cx, "a file")?);
        Ok(())
    }),
    own("ecdhe", "<curve>", "the group of the key exchange", |cx, line, args| {
        line.tls.ecdhe = Some(args.string(cx, "a curve")?);
        Ok(())
    }),
    own("ktls", "{on|off}", "TLS in the kernel, which is not used", |cx, _, args| {
        tls::ktls(cx, args)
    }),
    own("no-alpn", "", "agrees on no protocol", |_, line, args| {
        line.tls.settings.alpn = Some(Spanned::new(Vec::new(), args.keyword_span()));
        Ok(())
    }),
    own("no-ca-names", "", "does not tell clients the authorities", |_, line, args| {
        line.tls.no_ca_names = Some(args.keyword_span());
        Ok(())
    }),
    own("verify", "{none|optional|required}", "client certificates", |cx, line, args| {
        line.tls.settings.verify = Some(tls::verify(cx, args)?);
        Ok(())
    }),
];

/// Reads all options of a line.
pub(crate) fn options(cx: &mut Context<'_>, line: &mut CertLine, args: &mut Args<'_>) -> Parsed {
    let keyword = args.name().to_owned();
    while let Some(word) = args.optional() {
        let Some(row) = find(OPTIONS, &word.value) else {
            let message = format!("'{keyword}' : unknown option '{}'", word.value);
            let near = suggest(OPTIONS, &word.value);
            return Err(cx.report(Diagnostic::alert(message).at(word.span).did_you_mean(near)));
        };
        args.rename(row.name);
        check_shape(cx, row, args, false)?;
        match cx.carried(row, "option", format_args!("of '{keyword}'"), word.span) {
            Ok(parse) => parse(cx, line, args)?,
            Err(_) if matches!(row.support, Support::NoEffect(_)) => {}
            Err(reported) => return Err(reported),
        }
    }
    Ok(())
}

/// `ssl-f-use`.
pub(crate) fn ssl_f_use(cx: &mut Context<'_>, p: &mut Proxy, args: &mut Args<'_>) -> Parsed {
    let span = args.span();
    let mut line = CertLine { number: p.certificates.len() + 1, ..CertLine::default() };
    let words = args.clone().rest();
    options(cx, &mut line, args)?;
    if line.certificate.is_empty() {
        return Err(args.missing(cx, "'crt <filename>'"));
    }
    // For listings: what is not the name.
    let mut told = Vec::new();
    let mut words = words.iter().map(|word| word.value.as_str());
    while let Some(word) = words.next() {
        if word == "crt" {
            words.next();
        } else {
            told.push(word);
        }
    }
    line.options = told.join(" ");
    p.certificates.push(Spanned::new(line, span));
    Ok(())
}
