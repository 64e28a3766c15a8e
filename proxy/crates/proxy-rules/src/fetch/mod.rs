//! The sample fetches, one file per topic, one row each (configuration manual, 7.3.2 to 7.3.6).

mod auth;
mod body;
mod capture;
mod connection;
mod constant;
mod cookie;
mod distcc;
mod ends;
mod header;
mod hello;
mod http_req;
mod http_res;
mod kernel;
mod l4;
mod param;
mod payload;
mod process;
mod proxy;
mod rdp;
mod stick;
mod stream;
mod task;
mod tls;
mod var;

use crate::sample::{FetchDef, Sample, Type, Validity};

/// Every row.
pub const ALL: &[&[FetchDef]] = &[
    auth::FETCHES,
    body::FETCHES,
    capture::FETCHES,
    connection::FETCHES,
    constant::FETCHES,
    cookie::FETCHES,
    distcc::FETCHES,
    ends::FETCHES,
    http_req::FETCHES,
    http_res::FETCHES,
    kernel::FETCHES,
    l4::FETCHES,
    param::FETCHES,
    payload::FETCHES,
    process::FETCHES,
    proxy::FETCHES,
    rdp::FETCHES,
    stream::FETCHES,
    stick::SET0,
    stick::SET1,
    stick::SET2,
    stick::SOURCE,
    stick::TABLES,
    stick::TRACKED,
    task::FETCHES,
    tls::certificate::FETCHES,
    tls::hello::FETCHES,
    tls::secrets::FETCHES,
    tls::session::FETCHES,
    var::FETCHES,
];

/// A log message that is about to be sent: no row, because only `balance log-hash` sees one.
pub(crate) static MESSAGE: FetchDef = FetchDef::new(
    "message",
    &[],
    Type::Str,
    Validity::ALWAYS,
    |cx, _, _| cx.req_data.map(Sample::Str),
    "is the log message that converters are applied to",
);

/// The row called `name`.
pub fn find(name: &str) -> Option<&'static FetchDef> {
    ALL.iter().flat_map(|rows| rows.iter()).find(|def| def.name == name)
}

/// Which bytes of a message a fetch looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looks {
    /// At none, or at what outlives them.
    Elsewhere,
    /// At a message of HTTP.
    Http,
    /// At raw bytes, whatever they are.
    Payload,
}

/// Which bytes of a message the fetch looks at.
pub fn looks(def: &FetchDef) -> Looks {
    const PAYLOAD: [&str; 12] = [
        "distcc_",
        "payload",
        "rdp_cookie",
        "rep_ssl_",
        "req.len",
        "req.payload",
        "req.rdp_cookie",
        "req.ssl_",
        "req_len",
        "req_rdp_cookie",
        "req_ssl_",
        "res.payload",
    ];
    let raw = PAYLOAD.iter().any(|start| def.name.starts_with(start));
    if raw || matches!(def.name, "res.len" | "res.ssl_hello_type") {
        Looks::Payload
    } else if def.at == Validity::REQUEST
        || def.at == Validity::RESPONSE
        || matches!(
            def.name,
            "method" | "req.proto_http" | "req_proto_http" | "req.ver" | "req_ver"
        )
    {
        Looks::Http
    } else {
        Looks::Elsewhere
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fetches_look_at() {
        let of = |name| looks(find(name).unwrap());
        for name in ["req.len", "req.ssl_sni", "rdp_cookie", "res.payload", "payload_lv"] {
            assert_eq!(of(name), Looks::Payload, "{name}");
        }
        for name in ["path", "req.hdr", "method", "req.proto_http", "res.cook"] {
            assert_eq!(of(name), Looks::Http, "{name}");
        }
        for name in ["src", "ssl_fc_sni", "wait_end", "sc0_conn_rate"] {
            assert_eq!(of(name), Looks::Elsewhere, "{name}");
        }
    }
}
