//! Words of `server` lines about TLS and the PROXY protocol.

use proxy_types::Spanned;

use super::server_draft::{Draft, Parse, here};
use super::tls::{self, HasTls, settings, versions};
use crate::args::Args;
use crate::context::{Context, Parsed};
use crate::keyword::{On, Row, row};
use crate::model::{ServerProxy, TlsSettings, TlsVerify};
use crate::text::Text;

const M: &str = "5.2";

impl HasTls for Draft {
    fn tls(&mut self) -> &mut TlsSettings {
        &mut self.options.tls.settings
    }
}

pub(crate) const VERSIONS: &[Row<Parse>] = &versions(M);
pub(crate) const SETTINGS: &[Row<Parse>] = &settings(M);

const fn own(
    name: &'static str,
    syntax: &'static str,
    doc: &'static str,
    parse: Parse,
) -> Row<Parse> {
    row(name, On::HERE, syntax, M, doc, parse)
}

pub(crate) const TLS: &[Row<Parse>] = &[
    own("crt", "<cert>", "certificate for servers that ask for one", |cx, s, args| {
        s.options.tls.crt = Some(args.string(cx, "a file")?);
        Ok(())
    }),
    own("no-sni-auto", "", "does not name the request's host", |_, s, args| {
        s.options.tls.sni_auto = here(args, false);
        Ok(())
    }),
    own("no-ssl", "", "cancels ssl", |_, s, args| {
        s.options.tls.ssl = here(args, false);
        Ok(())
    }),
    own("no-ssl-reuse", "", "does not resume sessions", |_, s, args| {
        s.options.tls.reuse = here(args, false);
        Ok(())
    }),
    own("no-verifyhost", "", "cancels verifyhost", |_, s, args| {
        s.options.tls.verifyhost = Some(Spanned::new(String::new(), args.keyword_span()));
        Ok(())
    }),
    own("sni", "<expression>", "host that the server is asked for", |cx, s, args| {
        s.options.tls.sni = Some(args.string(cx, "an expression")?);
        Ok(())
    }),
    own("sni-auto", "", "names the request's host", |_, s, args| {
        s.options.tls.sni_auto = here(args, true);
        Ok(())
    }),
    own("ssl", "", "TLS to the server", |_, s, args| {
        s.options.tls.ssl = here(args, true);
        s.options.tls.is_possible = true;
        Ok(())
    }),
    own("ssl-reuse", "", "cancels no-ssl-reuse", |_, s, args| {
        s.options.tls.reuse = here(args, true);
        Ok(())
    }),
    own("verify", "{none|required}", "whether its certificate is judged", |cx, s, args| {
        const MODES: &[(&str, TlsVerify)] =
            &[("none", TlsVerify::None), ("required", TlsVerify::Required)];
        s.options.tls.settings.verify = Some(args.choice(cx, MODES)?);
        Ok(())
    }),
    own("allow-0rtt", "", "sends requests before the handshake is complete", |_, s, args| {
        s.options.tls.settings.allow_0rtt = Some(args.keyword_span());
        Ok(())
    }),
    own("verifyhost", "<hostname>", "host its certificate must be for", |cx, s, args| {
        s.options.tls.verifyhost = Some(args.string(cx, "a host name")?);
        Ok(())
    }),
];

/// What the TLS library decides.
pub(crate) const TLS_LIBRARY: &[Row<Parse>] = &[
    own("ktls", "{on|off}", "TLS in the kernel, which is not used", |cx, _, args| {
        tls::ktls(cx, args)
    }),
    own("no-renegotiate", "", "does not renegotiate, as ever", |_, _, _| Ok(())),
    own("renegotiate", "", "renegotiates, which is not offered", |cx, _, args| {
        cx.notice(args.keyword_span(), "'renegotiate' : renegotiation is not offered, no effect");
        Ok(())
    }),
];

fn proxy_v2(s: &mut Draft, args: &Args<'_>, change: impl FnOnce(&mut ServerProxy)) -> Parsed {
    let proxy = &mut s.options.proxy;
    proxy.v2 = here(args, true);
    change(proxy);
    Ok(())
}

pub(crate) const PROXY: &[Row<Parse>] = &[
    own("no-send-proxy", "", "cancels send-proxy", |_, s, args| {
        s.options.proxy.v1 = here(args, false);
        Ok(())
    }),
    own("no-send-proxy-v2", "", "cancels send-proxy-v2", |_, s, args| {
        s.options.proxy.v2 = here(args, false);
        Ok(())
    }),
    own("no-send-proxy-v2-ssl", "", "cancels send-proxy-v2-ssl", |_, s, args| {
        s.options.proxy.v2 = here(args, false);
        s.options.proxy.ssl = false;
        Ok(())
    }),
    own("no-send-proxy-v2-ssl-cn", "", "cancels send-proxy-v2-ssl-cn", |_, s, args| {
        s.options.proxy.v2 = here(args, false);
        (s.options.proxy.ssl, s.options.proxy.cert_cn) = (false, false);
        Ok(())
    }),
    own("proxy-v2-options", "<option>[,<option>]*", "what version 2 tells", options),
    own("send-proxy", "", "tells the client's address, by version 1", |_, s, args| {
        s.options.proxy.v1 = here(args, true);
        Ok(())
    }),
    own("send-proxy-v2", "", "tells the client's address, by version 2", |_, s, args| {
        proxy_v2(s, args, |_| {})
    }),
    own("send-proxy-v2-ssl", "", "tells of the client's TLS, too", |_, s, args| {
        proxy_v2(s, args, |proxy| proxy.ssl = true)
    }),
    own("send-proxy-v2-ssl-cn", "", "tells the name in its certificate, too", |_, s, args| {
        proxy_v2(s, args, |proxy| (proxy.ssl, proxy.cert_cn) = (true, true))
    }),
    own("set-proxy-v2-tlv-fmt", "(<id>) <fmt>", "a value that version 2 tells", tlv),
];

fn options(cx: &mut Context<'_>, s: &mut Draft, args: &mut Args<'_>) -> Parsed {
    let word = args.word(cx, "a comma-delimited list of options")?;
    let proxy = &mut s.options.proxy;
    for option in word.value.split(',') {
        match option {
            "ssl" => proxy.ssl = true,
            "cert-cn" => (proxy.ssl, proxy.cert_cn) = (true, true),
            "ssl-cipher" => (proxy.ssl, proxy.ssl_cipher) = (true, true),
            "cert-sig" => (proxy.ssl, proxy.cert_sig) = (true, true),
            "cert-key" => (proxy.ssl, proxy.cert_key) = (true, true),
            "authority" => proxy.authority = true,
            "crc32c" => proxy.crc32c = true,
            "unique-id" => proxy.unique_id = true,
            other => {
                let message = format!(
                    "unknown option '{other}', expected 'ssl', 'cert-cn', 'ssl-cipher', 'cert-sig', \
                     'cert-key', 'authority', 'crc32c' or 'unique-id'"
                );
                return Err(args.wrong(cx, word.span, message));
            }
        }
    }
    Ok(())
}

fn tlv(cx: &mut Context<'_>, s: &mut Draft, args: &mut Args<'_>) -> Parsed {
    let span = args.keyword_span();
    let keyword = args.keyword().to_owned();
    let id = keyword.strip_prefix("set-proxy-v2-tlv-fmt(").and_then(|rest| rest.strip_suffix(')'));
    let number = id.and_then(|id| match id.strip_prefix("0x") {
        Some(hex) => u8::from_str_radix(hex, 16).ok(),
        None => id.parse().ok(),
    });
    let Some(number) = number else {
        return Err(args.wrong(cx, span, "a type between 0 and 255 is expected in parentheses"));
    };
    // At the end of a line: a value without content.
    let empty = || Spanned::new(Text::default(), span);
    let format = args.optional().map_or_else(empty, Clone::clone);
    s.options.proxy.formats.push((number, format));
    Ok(())
}
