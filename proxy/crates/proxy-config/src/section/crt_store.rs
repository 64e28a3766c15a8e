//! `crt-store` sections (configuration manual, 12.7).

use proxy_types::{Diagnostic, Spanned};

use crate::args::Args;
use crate::context::{Context, Parsed};
use crate::keyword::{On, Table, find, row, suggest};
use crate::line::cert::NO_TIMESTAMPS;
use crate::model::{CertLoad, CrtStore};
use crate::section::acme;

type Parse = fn(&mut Context<'_>, &mut CrtStore, &mut Args<'_>) -> Parsed;

const M: &str = "12.7";

pub(crate) const CRT_STORE: Table<Parse> = &[&[
    row("crt-base", On::HERE, "<dir>", M, "where relative 'crt's start", |cx, store, args| {
        store.crt_base = Some(args.string(cx, "a directory")?);
        args.end(cx)
    }),
    row("key-base", On::HERE, "<dir>", M, "where relative 'key's start", |cx, store, args| {
        store.key_base = Some(args.string(cx, "a directory")?);
        args.end(cx)
    }),
    row("load", On::HERE, "crt <filename> [param*]", M, "loads a certificate", load),
]];

fn load(cx: &mut Context<'_>, store: &mut CrtStore, args: &mut Args<'_>) -> Parsed {
    let mut load = CertLoad { span: args.span(), ..CertLoad::default() };
    while let Some(word) = args.optional() {
        let slot = match word.value.as_str() {
            "crt" => &mut load.crt,
            "key" => &mut load.key,
            "ocsp" => &mut load.ocsp,
            "issuer" => &mut load.issuer,
            "alias" => &mut load.alias,
            "ocsp-update" => {
                load.ocsp_update = Some(args.choice(cx, &[("off", false), ("on", true)])?);
                continue;
            }
            "jwt" => {
                load.jwt = Some(args.choice(cx, &[("off", false), ("on", true)])?);
                continue;
            }
            "generate-dummy" => {
                let on = args.choice(cx, &[("off", false), ("on", true)])?;
                if on.value {
                    let message = format!("'load' : '{} on': known, not carried yet", word.value);
                    return Err(cx.alert(word.span, message));
                }
                continue;
            }
            "sctl" => {
                let file = args.string(cx, "a file")?;
                cx.warn(file.span, NO_TIMESTAMPS);
                continue;
            }
            "acme" => {
                acme::section(cx, &mut load.acme, args)?;
                continue;
            }
            "domains" => {
                acme::domains(cx, &mut load.acme, args)?;
                continue;
            }
            "ips" => {
                acme::ips(cx, &mut load.acme, args)?;
                continue;
            }
            "keytype" | "bits" | "curves" => {
                let message = format!("'load' : '{}': known, not carried yet", word.value);
                return Err(cx.alert(word.span, message));
            }
            other => {
                const NAMES: [&str; 5] = ["crt", "key", "ocsp", "issuer", "alias"];
                let near = proxy_types::text::nearest(other, NAMES);
                let message = format!("'load' : unknown parameter '{other}'");
                return Err(cx.report(Diagnostic::alert(message).at(word.span).did_you_mean(near)));
            }
        };
        *slot = Some(args.string(cx, "a value")?);
    }
    if load.crt.is_none() {
        return Err(args.missing(cx, "'crt <filename>'"));
    }
    store.loads.push(load);
    Ok(())
}

/// Opens a section; its name is optional.
pub(crate) fn open(cx: &mut Context<'_>, args: &mut Args<'_>) -> CrtStore {
    let span = args.span();
    let name = args.optional().and_then(|word| args.text(cx, word).ok());
    let _ = args.end(cx);
    let name = name.unwrap_or_else(|| Spanned::new(String::new(), span));
    CrtStore { name, ..CrtStore::default() }
}

/// Reads a line of a section.
pub(crate) fn line(cx: &mut Context<'_>, store: &mut CrtStore, args: &mut Args<'_>) -> Parsed {
    let name = args.name().to_owned();
    let Some(row) = find(CRT_STORE, &name) else {
        let message = format!("unknown keyword '{name}' in 'crt-store' section");
        let near = suggest(CRT_STORE, &name);
        let diagnostic = Diagnostic::alert(message).at(args.keyword_span()).did_you_mean(near);
        return Err(cx.report(diagnostic));
    };
    let parse = cx.carried(row, "keyword", "in 'crt-store' section", args.keyword_span())?;
    parse(cx, store, args)
}
