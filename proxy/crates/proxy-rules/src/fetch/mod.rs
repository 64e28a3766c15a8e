//! The sample fetches, one file per topic, one row each (configuration manual, 7.3.2 to 7.3.6).

mod auth;
mod body;
mod capture;
mod connection;
mod constant;
mod cookie;
mod header;
mod hello;
mod http_req;
mod http_res;
mod l4;
mod param;
mod payload;
mod process;
mod proxy;
mod rdp;
mod stick;
mod stream;
mod tls;

use crate::sample::FetchDef;

/// Every row.
pub const ALL: &[&[FetchDef]] = &[
    auth::FETCHES,
    body::FETCHES,
    capture::FETCHES,
    connection::FETCHES,
    constant::FETCHES,
    cookie::FETCHES,
    http_req::FETCHES,
    http_res::FETCHES,
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
    tls::certificate::FETCHES,
    tls::hello::FETCHES,
    tls::secrets::FETCHES,
    tls::session::FETCHES,
];

/// The row called `name`.
pub fn find(name: &str) -> Option<&'static FetchDef> {
    ALL.iter().flat_map(|rows| rows.iter()).find(|def| def.name == name)
}
