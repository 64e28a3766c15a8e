//! `tune.h2.*` (configuration manual, 3.2).

/// How HTTP/2 is spoken with one side.
#[derive(Debug, Clone, Copy)]
pub struct Side {
    /// `initial-window-size`: bytes of a body that the peer may send ahead, per stream.
    pub window: u32,
    /// `rxbuf`: bytes of bodies that the peer may send ahead, per connection.
    pub connection_window: u32,
    /// `max-concurrent-streams`; 0 is no limit.
    pub streams: u32,
    /// `max-total-streams`: a connection is asked to end after so many; 0 is never.
    pub total_streams: u32,
    /// `glitches-threshold`: anomalies of a peer after which its connection ends; 0 is no limit.
    pub glitches: u32,
}

impl Default for Side {
    fn default() -> Self {
        Self {
            window: 65_536,
            connection_window: 1_600 * 1024,
            streams: 100,
            total_streams: 0,
            glitches: 0,
        }
    }
}

/// How HTTP/2 is spoken.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// With clients, `tune.h2.fe.*`.
    pub front: Side,
    /// With servers, `tune.h2.be.*`.
    pub back: Side,
    /// `tune.h2.header-table-size`, at most 65,536 bytes.
    pub header_table: u32,
    /// `tune.h2.max-frame-size`, 16,384 bytes to 16 MB.
    pub frame: u32,
    /// Not for `h2-workaround-bogus-websocket-clients`: clients learn that WebSocket works over HTTP/2.
    pub websocket: bool,
    /// `tune.h2.log-errors` other than `none`.
    pub log_errors: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            front: Side::default(),
            back: Side::default(),
            header_table: 4096,
            frame: 16_384,
            websocket: true,
            log_errors: true,
        }
    }
}
