//! How a stream ended: every fault with its termination letters, its answer and what it counts.
//!
//! The letters are those of the configuration manual, 8.5.

/// Why a stream did not end normally.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The request head is malformed or too large.
    BadRequest { status: u16 },
    /// `timeout http-request` or `timeout client` before the whole head was there.
    RequestTimeout,
    /// The client closed before the whole head was there.
    RequestAbort,
    /// The client closed before the request body that was waited for was there.
    BodyAbort,
    /// The client closed while its request waited for a slot.
    QueueAbort,
    /// `timeout client` of a connection in mode tcp that waited for a slot.
    QueueClientTimeout,
    /// The client closed while its request was tarpitted.
    TarpitAbort,
    /// The queue of the only server possible is at its `maxqueue`.
    QueueFull,
    /// `timeout queue`.
    QueueTimeout,
    /// No server to send the request to.
    NoServer,
    /// The client closed while a connection was being made.
    ConnectAbort,
    /// `timeout client` of a connection in mode tcp while a connection was being made.
    ConnectClientTimeout,
    /// `timeout connect`.
    ConnectTimeout,
    /// The server refused the connection, or cannot be reached.
    ConnectRefused,
    /// This side lacked the means to connect.
    ConnectResource,
    /// The client closed before the response began.
    WaitAbort,
    /// `timeout client` while the request body was being received, before the response began.
    WaitClientTimeout,
    /// `timeout server` before the whole response head was there.
    ResponseTimeout,
    /// The server closed before the whole response head was there.
    ResponseAbort,
    /// A reused connection turned out to be closed: the client may send its request again.
    StaleConnection,
    /// The server answered with a status after which the request is sent again.
    RetriedStatus,
    /// The response head, or the chunk that came with it, is malformed or too large.
    BadResponse,
    /// A response rule refused the response.
    ResponseDenied,
    /// A response rule answered in the response's place.
    ResponseReplaced,
    /// A malformed chunk of the request, before the response began.
    BadRequestBody,
    /// The client closed during the transfer.
    DataClientAbort,
    /// `timeout client` during the transfer.
    DataClientTimeout,
    /// The server closed during the transfer.
    DataServerAbort,
    /// `timeout server` or `timeout tunnel` during the transfer.
    DataServerTimeout,
    /// A malformed chunk during the transfer.
    DataBad,
    /// The server went down, as [`Fault::ServerDown`], during the transfer.
    DataServerDown,
    /// A hard stop ended the connection.
    Killed,
    /// The server went down and `on-marked-down shutdown-sessions` asks to end its sessions.
    ServerDown,
    /// Something that cannot happen did.
    Internal,
}

/// What a fault adds to, beside the status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// `ereq` of the frontend.
    Request,
    /// `econ` of backend and server.
    Connect,
    /// `eresp` of backend and server.
    Response,
    /// `eresp` of backend and server, and `srv_abrt` of all.
    ResponseAbort,
    /// `cli_abrt` of all.
    ClientAbort,
    /// `srv_abrt` of all.
    ServerAbort,
    /// `eint` of all.
    Internal,
    /// Nothing.
    Nobody,
}

/// What follows from a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    pub cause: u8,
    pub phase: u8,
    /// Answer for a client that got nothing yet.
    pub reply: Option<u16>,
    pub blame: Blame,
}

/// The connection attached takes no request.
impl From<std::io::Error> for Fault {
    fn from(_: std::io::Error) -> Self {
        Self::ResponseAbort
    }
}

impl Fault {
    /// The one place where an ending becomes letters, an answer and a counter.
    #[must_use]
    pub fn verdict(self) -> Verdict {
        let row = |letters: &[u8; 2], reply, blame| Verdict {
            cause: letters[0],
            phase: letters[1],
            reply,
            blame,
        };
        match self {
            Self::BadRequest { status } => row(b"PR", Some(status), Blame::Request),
            Self::RequestTimeout => row(b"cR", Some(408), Blame::Request),
            Self::RequestAbort => row(b"CR", Some(400), Blame::Request),
            Self::BodyAbort => row(b"CR", None, Blame::ClientAbort),
            Self::QueueAbort => row(b"CQ", None, Blame::ClientAbort),
            Self::QueueClientTimeout => row(b"cQ", None, Blame::ClientAbort),
            Self::TarpitAbort => row(b"CT", None, Blame::ClientAbort),
            Self::QueueFull => row(b"SQ", Some(503), Blame::Connect),
            Self::QueueTimeout => row(b"sQ", Some(503), Blame::Connect),
            Self::NoServer => row(b"SC", Some(503), Blame::Connect),
            Self::ConnectAbort => row(b"CC", None, Blame::ClientAbort),
            Self::ConnectClientTimeout => row(b"cC", None, Blame::ClientAbort),
            Self::ConnectTimeout => row(b"sC", Some(503), Blame::Connect),
            Self::ConnectRefused => row(b"SC", Some(503), Blame::Connect),
            Self::ConnectResource => row(b"RC", Some(500), Blame::Connect),
            Self::WaitAbort => row(b"CH", Some(400), Blame::ClientAbort),
            Self::WaitClientTimeout => row(b"cH", Some(408), Blame::ClientAbort),
            Self::ResponseTimeout => row(b"sH", Some(504), Blame::Response),
            Self::ResponseAbort => row(b"SH", Some(502), Blame::ResponseAbort),
            Self::StaleConnection | Self::RetriedStatus => row(b"SH", None, Blame::Nobody),
            Self::BadResponse => row(b"PH", Some(502), Blame::Response),
            Self::ResponseDenied => row(b"PH", None, Blame::Nobody),
            Self::ResponseReplaced => row(b"LH", None, Blame::Nobody),
            Self::BadRequestBody => row(b"PH", Some(400), Blame::Request),
            Self::DataClientAbort => row(b"CD", None, Blame::ClientAbort),
            Self::DataClientTimeout => row(b"cD", None, Blame::ClientAbort),
            Self::DataServerAbort => row(b"SD", None, Blame::ServerAbort),
            Self::DataServerTimeout => row(b"sD", None, Blame::ServerAbort),
            Self::DataBad => row(b"PD", None, Blame::Response),
            Self::DataServerDown => row(b"DD", None, Blame::ServerAbort),
            Self::Killed => row(b"KD", None, Blame::Nobody),
            Self::ServerDown => row(b"DC", Some(503), Blame::ServerAbort),
            Self::Internal => row(b"IR", Some(500), Blame::Internal),
        }
    }
}
