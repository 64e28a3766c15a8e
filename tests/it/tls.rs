//! TLS on both sides, with real clients and servers.

mod choice;
mod clients;
mod connections;
mod runtime;
mod servers;
mod sessions;

use std::net::SocketAddr;

use anyhow::Result;
use tests::Sluice;
use tests::net::loopback;
use tests::sluice::DEFAULTS;
use tests::tools::curl;

/// A frontend that tells what TLS agreed on; `bind` are the words behind its address.
fn telling(bind: &str) -> Result<(Sluice, SocketAddr)> {
    let address = loopback()?;
    let config = format!(
        "{DEFAULTS}
frontend web
    bind {address} {bind}
    http-request return status 200 content-type text/plain lf-string \
\"%[ssl_fc_protocol] %[ssl_fc_cipher] %[ssl_fc_alpn] %[ssl_fc_sni] %[ssl_f_s_dn(CN)] %[ssl_c_s_dn(CN)] %[ssl_c_verify] %[src]:%[src_port]\"
"
    );
    Ok((Sluice::config(config).start()?, address))
}

/// What `curl` gets from a host name at an address.
pub(crate) fn ask(address: SocketAddr, host: &str, arguments: &str) -> Result<String> {
    let port = address.port();
    let resolve = format!("--resolve {host}:{port}:{}", address.ip());
    curl(None, &format!("{resolve} {arguments} https://{host}:{port}/"))
}

#[track_caller]
fn words(answer: &str, expected: &str) {
    let got: Vec<&str> = answer.split(' ').collect();
    for (got, expected) in got.iter().zip(expected.split(' ')) {
        assert!(expected == "*" || *got == expected, "{answer}, not {expected}");
    }
}
