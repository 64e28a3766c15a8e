//! How connections of health checks differ from those of traffic: `check-ssl` and its kin (configuration manual, 5.2).

use crate::keyword::{On, Row, row};
use crate::line::server_draft::{Parse, here};
use crate::line::shared::proto;
use crate::line::tls::protocols;

const M: &str = "5.2";

pub(crate) const CHECK: &[Row<Parse>] = &[
    row(
        "check-alpn",
        On::HERE,
        "<protocols>",
        M,
        "protocols of checks to agree on",
        |cx, s, args| {
            s.options.probe.alpn = Some(protocols(cx, args)?);
            Ok(())
        },
    ),
    row("check-proto", On::HERE, "<name>", M, "what is spoken by checks", |cx, s, args| {
        s.options.probe.proto = Some(proto(cx, args)?);
        Ok(())
    }),
    row("check-send-proxy", On::HERE, "", M, "PROXY protocol for checks", |_, s, args| {
        s.options.probe.send_proxy = here(args, true);
        Ok(())
    }),
    row("check-sni", On::HERE, "<sni>", M, "host that checks ask for", |cx, s, args| {
        s.options.probe.sni = Some(args.string(cx, "a host name")?);
        Ok(())
    }),
    row(
        "check-sni-auto",
        On::HERE,
        "",
        M,
        "checks ask for the host of their request",
        |_, s, args| {
            s.options.probe.sni_auto = here(args, true);
            Ok(())
        },
    ),
    row("check-ssl", On::HERE, "", M, "TLS for checks", |_, s, args| {
        s.options.probe.ssl = here(args, true);
        Ok(())
    }),
    row("check-via-socks4", On::HERE, "", M, "checks take the way of socks4", |_, s, args| {
        s.options.probe.socks4 = here(args, true);
        Ok(())
    }),
    row("no-check-send-proxy", On::HERE, "", M, "cancels check-send-proxy", |_, s, _| {
        s.options.probe.send_proxy = None;
        Ok(())
    }),
    row("no-check-sni-auto", On::HERE, "", M, "cancels check-sni-auto", |_, s, args| {
        s.options.probe.sni_auto = here(args, false);
        Ok(())
    }),
    row("no-check-ssl", On::HERE, "", M, "cancels check-ssl", |_, s, _| {
        s.options.probe.ssl = None;
        Ok(())
    }),
];
