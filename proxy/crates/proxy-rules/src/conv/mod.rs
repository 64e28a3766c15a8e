//! The converters, one file per topic, one row each (configuration manual, 7.3.1).

mod bytes;
mod capture;
mod certificate;
mod convert;
mod crypto;
mod date;
mod fix;
mod forwarded;
mod hash;
mod json;
mod jwt;
mod live;
mod map;
mod mqtt;
mod number;
mod packet;
mod protobuf;
mod stick;
mod string;
mod text;
mod var;
mod when;

use crate::sample::ConvDef;

pub(crate) use var::VarCondition;

/// Every row.
pub const ALL: &[&[ConvDef]] = &[
    bytes::CONVS,
    capture::CONVS,
    certificate::CONVS,
    convert::CONVS,
    crypto::CONVS,
    date::CONVS,
    fix::CONVS,
    forwarded::CONVS,
    hash::CONVS,
    json::CONVS,
    jwt::CONVS,
    live::CONVS,
    map::CONVS,
    mqtt::CONVS,
    number::CONVS,
    packet::CONVS,
    protobuf::CONVS,
    stick::ENTRIES,
    stick::VALUES,
    string::CONVS,
    text::CONVS,
    var::CONVS,
    when::CONVS,
];

/// The row called `name`.
pub fn find(name: &str) -> Option<&'static ConvDef> {
    ALL.iter().flat_map(|rows| rows.iter()).find(|def| def.name == name)
}
