//! Queries and replies as bytes (RFC 1035, 2782, 6891). Replies come from the network: what is read of one is
//! bounded by its size, and only what answers the question is taken.

use crate::Family;
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, RecordType};
use std::net::IpAddr;

/// Longest message over TCP.
pub const MESSAGE_MAX: usize = 65535;
/// Bytes of the fixed header.
const HEADER: usize = 12;
/// A chain of aliases longer than this is a circle.
const ALIASES_MAX: usize = 16;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A or AAAA records.
    Address(Family),
    /// SRV records.
    Service,
    /// TXT records.
    Text,
}

impl Kind {
    fn record_type(self) -> RecordType {
        match self {
            Self::Address(Family::V4) => RecordType::A,
            Self::Address(Family::V6) => RecordType::AAAA,
            Self::Service => RecordType::SRV,
            Self::Text => RecordType::TXT,
        }
    }
}

/// A question that can be sent.
#[derive(Clone, Debug)]
pub struct Question {
    name: Name,
    kind: Kind,
}

/// A name that cannot be asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no host name")]
pub struct BadName(pub String);

impl Question {
    /// # Errors
    /// The text is no name: a label is empty or too long, or all of it is.
    pub fn new(name: &str, kind: Kind) -> Result<Self, BadName> {
        let bad = || BadName(name.to_owned());
        let mut parsed = Name::from_ascii(name).map_err(|_| bad())?;
        let is_host = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        if parsed.num_labels() == 0 || !name.bytes().all(is_host) {
            return Err(bad());
        }
        parsed.set_fqdn(true);
        Ok(Self { name: parsed, kind })
    }

    /// The query as it is sent; `payload` is the largest reply over UDP that is welcome.
    #[must_use]
    pub fn encode(&self, id: u16, payload: u16) -> Vec<u8> {
        let mut message = Message::new(id, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.add_query(Query::query(self.name.clone(), self.kind.record_type()));
        let mut edns = Edns::new();
        edns.set_max_payload(payload).set_version(0);
        message.set_edns(edns);
        // A name and a number always fit.
        message.to_vec().unwrap_or_default()
    }
}

/// A record of a service: where to go, and with what share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// In lower case, without the last dot.
    pub target: String,
    pub port: u16,
    /// 0 to 65535.
    pub weight: u16,
    /// The target's address, if the reply has it.
    pub address: Option<IpAddr>,
}

/// What a reply answers with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// At least one.
    Addresses(Vec<IpAddr>),
    /// At least one.
    Services(Vec<Service>),
    /// At least one; the strings of a record in one.
    Texts(Vec<Vec<u8>>),
}

/// A reply to the question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Answer(Answer),
    /// No record of the kind.
    Empty,
    /// An alias whose end is missing.
    DanglingAlias,
    NxDomain,
    Refused,
    /// Another error, by its number.
    Failed(u16),
    /// The rest did not fit: to be asked for over TCP.
    Truncated,
}

/// Why bytes are no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    #[error("not a reply to this question")]
    NotOurs,
    #[error("malformed message")]
    Malformed,
}

/// Reads the reply to `question` with this id.
///
/// # Errors
/// See [`ReadError`].
pub fn read(bytes: &[u8], id: u16, question: &Question) -> Result<Reply, ReadError> {
    if !counts_fit(bytes) {
        return Err(ReadError::Malformed);
    }
    if u16::from_be_bytes([bytes[0], bytes[1]]) != id {
        return Err(ReadError::NotOurs);
    }
    let message = Message::from_vec(bytes).map_err(|_| ReadError::Malformed)?;
    let asked = |query: &Query| {
        query.name() == &question.name
            && query.query_type() == question.kind.record_type()
            && query.query_class() == DNSClass::IN
    };
    if message.metadata.message_type != MessageType::Response
        || message.metadata.op_code != OpCode::Query
        || message.queries.len() != 1
        || !message.queries.iter().all(asked)
    {
        return Err(ReadError::NotOurs);
    }
    Ok(match message.metadata.response_code {
        ResponseCode::NXDomain => Reply::NxDomain,
        ResponseCode::Refused => Reply::Refused,
        ResponseCode::NoError if message.metadata.truncation => Reply::Truncated,
        ResponseCode::NoError => records(&message, question),
        other => Reply::Failed(u16::from(other)),
    })
}

/// Whether the message can hold as many records as its header says: what is allocated for them is
/// bounded by what was received.
fn counts_fit(bytes: &[u8]) -> bool {
    let Some(header) = bytes.first_chunk::<HEADER>() else { return false };
    let count = |at: usize| usize::from(u16::from_be_bytes([header[at], header[at + 1]]));
    // A question takes 5 bytes at least, a record 11.
    let least = count(4) * 5 + (count(6) + count(8) + count(10)) * 11;
    bytes.len() <= MESSAGE_MAX && HEADER + least <= bytes.len()
}

fn records(message: &Message, question: &Question) -> Reply {
    let mut name = &question.name;
    let mut is_alias = false;
    for _ in 0..ALIASES_MAX {
        let next = message.answers.iter().find_map(|record| match &record.data {
            RData::CNAME(alias) if record.name == *name => Some(&alias.0),
            _ => None,
        });
        let Some(next) = next else { break };
        (name, is_alias) = (next, true);
    }
    let own = message.answers.iter().filter(|record| record.name == *name);
    let answer = match question.kind {
        Kind::Address(family) => {
            let mut addresses: Vec<IpAddr> = own.filter_map(|r| address(&r.data)).collect();
            addresses.retain(|ip| Family::of(*ip) == family);
            (!addresses.is_empty()).then_some(Answer::Addresses(addresses))
        }
        Kind::Service => {
            let services: Vec<Service> = own
                .filter_map(|record| match &record.data {
                    RData::SRV(srv) => Some(Service {
                        target: text(&srv.target)?,
                        port: srv.port,
                        weight: srv.weight,
                        address: message
                            .additionals
                            .iter()
                            .filter(|more| more.name == srv.target)
                            .find_map(|more| address(&more.data)),
                    }),
                    _ => None,
                })
                .collect();
            (!services.is_empty()).then_some(Answer::Services(services))
        }
        Kind::Text => {
            let texts: Vec<Vec<u8>> = own
                .filter_map(|record| match &record.data {
                    RData::TXT(txt) => Some(txt.txt_data.concat()),
                    _ => None,
                })
                .collect();
            (!texts.is_empty()).then_some(Answer::Texts(texts))
        }
    };
    match answer {
        Some(answer) => Reply::Answer(answer),
        None if is_alias => Reply::DanglingAlias,
        None => Reply::Empty,
    }
}

fn address(data: &RData) -> Option<IpAddr> {
    match data {
        RData::A(a) => Some(IpAddr::V4(a.0)),
        RData::AAAA(aaaa) => Some(IpAddr::V6(aaaa.0)),
        _ => None,
    }
}

/// A host name as the configuration would write it; `None` for "no such service" (RFC 2782) and for what is no host name.
fn text(name: &Name) -> Option<String> {
    let mut text = name.to_lowercase().to_ascii();
    if text.ends_with('.') {
        text.pop();
    }
    let valid = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    (!text.is_empty() && valid).then_some(text)
}

#[cfg(test)]
mod tests;
