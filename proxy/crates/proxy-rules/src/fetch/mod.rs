//! The sample fetches, one file per topic, one row each (configuration manual, 7.3.2 to 7.3.6).

mod connection;
mod constant;
mod header;
mod hello;
mod http_req;
mod http_res;
mod l4;
mod param;
mod payload;
mod process;
mod proxy;
mod tls;

use crate::sample::FetchDef;

/// Every row.
pub const ALL: &[&[FetchDef]] = &[
    connection::FETCHES,
    constant::FETCHES,
    http_req::FETCHES,
    http_res::FETCHES,
    l4::FETCHES,
    param::FETCHES,
    payload::FETCHES,
    process::FETCHES,
    proxy::FETCHES,
    tls::certificate::FETCHES,
    tls::hello::FETCHES,
    tls::secrets::FETCHES,
    tls::session::FETCHES,
];

/// The row called `name`.
pub fn find(name: &str) -> Option<&'static FetchDef> {
    ALL.iter().flat_map(|rows| rows.iter()).find(|def| def.name == name)
}
