//! `acme` sections (configuration manual, 12.8).

use proxy_types::{Diagnostic, Spanned};

use crate::args::{Args, last_string};
use crate::context::{Context, Parsed};
use crate::keyword::{On, Table, find, row, suggest};
use crate::model::{Acme, AcmeCert, AcmeChallenge, AcmeCurve, AcmeKeyType, AcmeMac, AcmeReady};

type Parse = fn(&mut Context<'_>, &mut Acme, &mut Args<'_>) -> Parsed;

const M: &str = "12.8";

fn text(cx: &mut Context<'_>, args: &mut Args<'_>, what: &str) -> Parsed<Option<Spanned<String>>> {
    last_string(cx, args, what).map(Some)
}

pub(crate) const ACME: Table<Parse> = &[&[
    row("account-key", On::HERE, "<filename>", M, "key of the account", |cx, acme, args| {
        acme.account_key = text(cx, args, "a file")?;
        Ok(())
    }),
    row("acme-vars", On::HERE, "<string>", M, "told to who sets DNS records", |cx, acme, args| {
        acme.vars = text(cx, args, "a text")?;
        Ok(())
    }),
    row("bits", On::HERE, "<number>", M, "size of RSA keys", |cx, acme, args| {
        const SIZES: &[(&str, u32)] = &[("2048", 2048), ("3072", 3072), ("4096", 4096)];
        acme.bits = Some(args.choice(cx, SIZES)?);
        args.end(cx)
    }),
    row("challenge", On::HERE, "<string>", M, "how names are proven", |cx, acme, args| {
        const KINDS: &[(&str, AcmeChallenge)] = &[
            ("http-01", AcmeChallenge::Http01),
            ("HTTP-01", AcmeChallenge::Http01),
            ("dns-01", AcmeChallenge::Dns01),
            ("DNS-01", AcmeChallenge::Dns01),
            ("dns-persist-01", AcmeChallenge::DnsPersist01),
            ("DNS-PERSIST-01", AcmeChallenge::DnsPersist01),
        ];
        acme.challenge = Some(args.choice(cx, KINDS)?);
        args.end(cx)
    }),
    row(
        "challenge-ready",
        On::HERE,
        "{cli|delay|dns|none}[,...]",
        M,
        "what comes before the authority looks",
        ready,
    ),
    row("contact", On::HERE, "<string>", M, "mail address of the account", |cx, acme, args| {
        acme.contact = text(cx, args, "a mail address")?;
        Ok(())
    }),
    row("curves", On::HERE, "<string>", M, "curve of ECDSA keys", |cx, acme, args| {
        const CURVES: &[(&str, AcmeCurve)] =
            &[("P-256", AcmeCurve::P256), ("P-384", AcmeCurve::P384), ("P-521", AcmeCurve::P521)];
        acme.curve = Some(args.choice(cx, CURVES)?);
        args.end(cx)
    }),
    row("directory", On::HERE, "<string>", M, "where the authority is", |cx, acme, args| {
        let url = last_string(cx, args, "an address")?;
        if !url.value.starts_with("https://") && !url.value.starts_with("http://") {
            return Err(args.wrong(cx, url.span, "an address starts with https://"));
        }
        acme.directory = Some(url);
        Ok(())
    }),
    row(
        "dns-delay",
        On::HERE,
        "<time>",
        M,
        "time until records are looked for",
        |cx, acme, args| {
            acme.dns_delay = Some(args.timer_in(cx, proxy_types::time::Unit::Second)?);
            args.end(cx)
        },
    ),
    row("dns-timeout", On::HERE, "<time>", M, "time for records to be there", |cx, acme, args| {
        acme.dns_timeout = Some(args.timer_in(cx, proxy_types::time::Unit::Second)?);
        args.end(cx)
    }),
    row(
        "eab-key-id",
        On::HERE,
        "<filename>",
        M,
        "name of another account there",
        |cx, acme, args| {
            acme.eab_key_id = text(cx, args, "a file")?;
            Ok(())
        },
    ),
    row(
        "eab-mac-alg",
        On::HERE,
        "{HS256|HS384|HS512}",
        M,
        "how its key signs",
        |cx, acme, args| {
            const MACS: &[(&str, AcmeMac)] =
                &[("HS256", AcmeMac::Hs256), ("HS384", AcmeMac::Hs384), ("HS512", AcmeMac::Hs512)];
            acme.eab_mac_alg = Some(args.choice(cx, MACS)?);
            args.end(cx)
        },
    ),
    row(
        "eab-mac-key",
        On::HERE,
        "<filename>",
        M,
        "key of another account there",
        |cx, acme, args| {
            acme.eab_mac_key = text(cx, args, "a file")?;
            Ok(())
        },
    ),
    row("keytype", On::HERE, "{RSA|ECDSA}", M, "kind of keys that are made", |cx, acme, args| {
        const TYPES: &[(&str, AcmeKeyType)] =
            &[("RSA", AcmeKeyType::Rsa), ("ECDSA", AcmeKeyType::Ecdsa)];
        acme.key_type = Some(args.choice(cx, TYPES)?);
        args.end(cx)
    }),
    row("map", On::HERE, "<map>", M, "where tokens and thumbprints go", |cx, acme, args| {
        acme.map = text(cx, args, "a map")?;
        Ok(())
    }),
    row("profile", On::HERE, "<string>", M, "kind of certificate asked for", |cx, acme, args| {
        acme.profile = text(cx, args, "a profile")?;
        Ok(())
    }),
    row(
        "provider-name",
        On::HERE,
        "<string>",
        M,
        "told to who sets DNS records",
        |cx, acme, args| {
            acme.provider = text(cx, args, "a name")?;
            Ok(())
        },
    ),
    row(
        "reuse-key",
        On::HERE,
        "{on|off}",
        M,
        "keeps the key of the last certificate",
        |cx, acme, args| {
            acme.reuse_key = Some(args.choice(cx, &[("on", true), ("off", false)])?);
            args.end(cx)
        },
    ),
]];

fn ready(cx: &mut Context<'_>, acme: &mut Acme, args: &mut Args<'_>) -> Parsed {
    let words = args.string(cx, "conditions")?;
    let mut ready = AcmeReady::default();
    let all: Vec<&str> = words.value.split(',').collect();
    for word in &all {
        match *word {
            "cli" => ready.cli = true,
            "delay" => ready.delay = true,
            "dns" => ready.dns = true,
            "none" if all.len() == 1 => {}
            "none" => return Err(args.wrong(cx, words.span, "'none' stands alone")),
            other => {
                let message =
                    format!("unknown condition '{other}': 'cli', 'delay', 'dns' or 'none'");
                return Err(args.wrong(cx, words.span, message));
            }
        }
    }
    acme.ready = Some(Spanned::new(ready, words.span));
    args.end(cx)
}

/// Opens a section.
pub(crate) fn open(cx: &mut Context<'_>, args: &mut Args<'_>) -> Acme {
    let span = args.span();
    let name = args.string(cx, "a name");
    let _ = args.end(cx);
    let name = name.unwrap_or_else(|_| Spanned::new(String::new(), span));
    Acme { name, ..Acme::default() }
}

/// Reads a line of a section.
pub(crate) fn line(cx: &mut Context<'_>, acme: &mut Acme, args: &mut Args<'_>) -> Parsed {
    let name = args.name().to_owned();
    let Some(row) = find(ACME, &name) else {
        let message = format!("unknown keyword '{name}' in 'acme' section");
        let near = suggest(ACME, &name);
        let diagnostic = Diagnostic::alert(message).at(args.keyword_span()).did_you_mean(near);
        return Err(cx.report(diagnostic));
    };
    let parse = cx.carried(row, "keyword", "in 'acme' section", args.keyword_span())?;
    parse(cx, acme, args)
}

/// Looks at a whole section.
pub(crate) fn check(cx: &mut Context<'_>, acme: &Acme) {
    let name = &acme.name;
    if acme.directory.is_none() {
        cx.alert(name.span, format!("acme '{name}': no 'directory' is configured"));
    }
    let challenge = acme.challenge.map(|challenge| challenge.value).unwrap_or_default();
    if let Some(ready) = acme.ready.filter(|_| challenge == AcmeChallenge::Http01) {
        let message = "'challenge-ready' is for 'challenge dns-01' and 'dns-persist-01'";
        cx.alert(ready.span, message);
    }
    if acme.eab_key_id.is_some() != acme.eab_mac_key.is_some() {
        cx.alert(name.span, format!("acme '{name}': 'eab-key-id' and 'eab-mac-key' go together"));
    }
}

/// `acme` of a certificate: the section.
pub(crate) fn section(cx: &mut Context<'_>, acme: &mut AcmeCert, args: &mut Args<'_>) -> Parsed {
    let section = args.string(cx, "the name of an 'acme' section")?;
    (acme.section, acme.span) = (section.value, section.span);
    Ok(())
}

/// `domains` of a certificate.
pub(crate) fn domains(cx: &mut Context<'_>, acme: &mut AcmeCert, args: &mut Args<'_>) -> Parsed {
    let list = args.string(cx, "a list of domains")?;
    let domains = list.value.split(',').map(|name| name.trim().to_ascii_lowercase());
    acme.domains = domains.filter(|name| !name.is_empty()).collect();
    Ok(())
}

/// `ips` of a certificate.
pub(crate) fn ips(cx: &mut Context<'_>, acme: &mut AcmeCert, args: &mut Args<'_>) -> Parsed {
    let list = args.string(cx, "a list of addresses")?;
    let ips = list.value.split(',').map(|ip| ip.trim().parse()).collect::<Result<_, _>>();
    acme.ips = ips.map_err(|_| args.wrong(cx, list.span, "addresses are separated by commas"))?;
    Ok(())
}
