//! The PROXY protocol, both versions, in both directions (proxy-protocol.txt), and NetScaler's client IP header.

pub mod netscaler;
mod parse;
mod write;

use std::net::SocketAddr;

pub use parse::{Header, HeaderError, parse};
pub(crate) use write::{Content, Ssl, say_proxy, v1, v2};

/// Opens a header of version 2.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// Types of values in version 2.
pub mod tlv {
    pub const ALPN: u8 = 0x01;
    pub const AUTHORITY: u8 = 0x02;
    pub const CRC32C: u8 = 0x03;
    pub const UNIQUE_ID: u8 = 0x05;
    pub const SSL: u8 = 0x20;
    pub const SSL_VERSION: u8 = 0x21;
    pub const SSL_CN: u8 = 0x22;
    pub const SSL_CIPHER: u8 = 0x23;
    pub const SSL_SIG_ALG: u8 = 0x24;
    pub const SSL_KEY_ALG: u8 = 0x25;
}

/// Both ends of a connection.
type Ends = (SocketAddr, SocketAddr);
