//! The sources and their events: one row each.

use super::source::{EventRow, Source};

/// Events of one source: a constant of one bit for each, and their table.
macro_rules! events {
    ($module:ident: $($constant:ident $name:literal $doc:literal,)*) => {
        pub(crate) mod $module {
            use super::EventRow;
            events!(@bits 0; $($constant,)*);
            pub(super) static TABLE: &[EventRow] =
                &[$(EventRow { bit: $constant, name: $name, doc: $doc },)*];
        }
    };
    (@bits $n:expr; $constant:ident, $($rest:ident,)*) => {
        pub(crate) const $constant: u64 = 1 << ($n);
        events!(@bits $n + 1; $($rest,)*);
    };
    (@bits $n:expr;) => {};
}

events! { check:
    START "hchk_start" "a health check starts",
    END "hchk_end" "a health check ended",
    OK "hchk_ok" "a health check passed",
    ERR "hchk_err" "a health check failed",
    AGENT_START "agt_start" "an agent is asked",
    AGENT_END "agt_end" "an agent answered, or did not",
}

events! { h1:
    CONN_NEW "h1c_new" "new H1 connection",
    CONN_END "h1c_end" "H1 connection terminated",
    CONN_ERR "h1c_err" "error on H1 connection",
    RX_HEADERS "rx_headers" "receipt of H1 headers",
    RX_BODY "rx_body" "receipt of H1 body",
    TX_HEADERS "tx_headers" "transmission of all headers",
    TX_BODY "tx_body" "transmission of H1 body",
    STREAM_NEW "h1s_new" "new H1 stream",
    STREAM_END "h1s_end" "H1 stream terminated",
    STREAM_ERR "h1s_err" "error on H1 stream",
}

events! { h2:
    CONN_NEW "h2c_new" "new H2 connection",
    CONN_END "h2c_end" "H2 connection terminated",
    CONN_ERR "h2c_err" "error on H2 connection",
    STREAM_NEW "h2s_new" "new H2 stream",
    STREAM_END "h2s_end" "H2 stream terminated",
    RX_FRAME "rx_frame" "receipt of any H2 frame",
    RX_DATA "rx_data" "receipt of H2 DATA frame",
    RX_HEADERS "rx_hdr" "receipt of H2 HEADERS frame",
    RX_PRIORITY "rx_prio" "receipt of H2 PRIORITY frame",
    RX_RST "rx_rst" "receipt of H2 RST_STREAM frame",
    RX_SETTINGS "rx_settings" "receipt of H2 SETTINGS frame",
    RX_PUSH "rx_push" "receipt of H2 PUSH_PROMISE frame",
    RX_PING "rx_ping" "receipt of H2 PING frame",
    RX_GOAWAY "rx_goaway" "receipt of H2 GOAWAY frame",
    RX_WINDOW "rx_wu" "receipt of H2 WINDOW_UPDATE frame",
    RX_CONT "rx_cont" "receipt of H2 CONTINUATION frame",
    TX_FRAME "tx_frame" "transmission of any H2 frame",
    TX_DATA "tx_data" "transmission of H2 DATA frame",
    TX_HEADERS "tx_hdr" "transmission of H2 HEADERS frame",
    TX_RST "tx_rst" "transmission of H2 RST_STREAM frame",
    TX_SETTINGS "tx_settings" "transmission of H2 SETTINGS frame",
    TX_PING "tx_ping" "transmission of H2 PING frame",
    TX_GOAWAY "tx_goaway" "transmission of H2 GOAWAY frame",
    TX_WINDOW "tx_wu" "transmission of H2 WINDOW_UPDATE frame",
}

events! { peers:
    CONN_NEW "sess_new" "new connection with a peer",
    CONN_END "sess_end" "connection with a peer terminated",
    CONN_ERR "sess_err" "no connection with a peer",
}

events! { session:
    NEW "sess_new" "new session",
    END "sess_end" "session terminated",
    ERR "sess_err" "session refused, or failed before it began",
}

events! { ssl:
    NEW "sslc_new" "new TLS handshake",
    HANDSHAKE "sslc_hndshk" "TLS handshake completed",
    ERR "sslc_err" "TLS handshake failed",
}

events! { stream:
    NEW "strm_new" "new stream",
    END "strm_free" "stream terminated",
    ERR "strm_err" "stream failed",
    BACKEND "strm_be" "backend chosen",
    CONNECT "strm_conn" "connection to a server, new or reused",
    CONNECT_ERR "strm_conn_err" "connection to a server failed",
    RETRY "strm_retry" "request sent once more",
}

pub(crate) static CHECK: Source = Source::new("check", "Health-check", check::TABLE, None);
pub(crate) static H1: Source = Source::new("h1", "HTTP/1 multiplexer", h1::TABLE, None);
pub(crate) static H2: Source =
    Source::new("h2", "HTTP/2 multiplexer", h2::TABLE, Some(("h2s", "H2 stream")));
pub(crate) static PEERS: Source = Source::new("peers", "Peers protocol", peers::TABLE, None);
pub(crate) static SESSION: Source =
    Source::new("session", "client session management", session::TABLE, None);
pub(crate) static SSL: Source = Source::new("ssl", "SSL/TLS transport", ssl::TABLE, None);
pub(crate) static STREAM: Source = Source::new("stream", "Applicative stream", stream::TABLE, None);

/// Every source.
pub static SOURCES: &[&Source] = &[&CHECK, &H1, &H2, &PEERS, &SESSION, &SSL, &STREAM];

/// Sources that HAProxy has for what is not there, or not traced.
pub const NOT_CARRIED: &[&str] =
    &["acme", "applet", "fcgi", "h3", "pt", "qmux", "quic", "resolvers", "spop", "tcpchecks"];
