//! What traces call frames.

use crate::traces::h2;

/// The two ways of a frame.
pub(super) const SENT: &str = "sent";
pub(super) const RECEIVED: &str = "rcvd";

/// A type of frame: its name, and the events of traces that are about it.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) received: u64,
    pub(super) sent: u64,
}

/// By the type's number (RFC 9113 section 6).
pub(super) const ROWS: &[Row] = &[
    Row { name: "DATA", received: h2::RX_DATA, sent: h2::TX_DATA },
    Row { name: "HEADERS", received: h2::RX_HEADERS, sent: h2::TX_HEADERS },
    Row { name: "PRIORITY", received: h2::RX_PRIORITY, sent: 0 },
    Row { name: "RST_STREAM", received: h2::RX_RST, sent: h2::TX_RST },
    Row { name: "SETTINGS", received: h2::RX_SETTINGS, sent: h2::TX_SETTINGS },
    Row { name: "PUSH_PROMISE", received: h2::RX_PUSH, sent: 0 },
    Row { name: "PING", received: h2::RX_PING, sent: h2::TX_PING },
    Row { name: "GOAWAY", received: h2::RX_GOAWAY, sent: h2::TX_GOAWAY },
    Row { name: "WINDOW_UPDATE", received: h2::RX_WINDOW, sent: h2::TX_WINDOW },
    Row { name: "CONTINUATION", received: h2::RX_CONT, sent: 0 },
];
