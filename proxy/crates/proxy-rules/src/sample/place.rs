//! Where in a stream's life an expression is used, and where a fetch has something to say.

/// A kind of rule or other user of expressions, in the column order of `-dKsmp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Place {
    FeTcpConnection,
    FeTcpSession,
    FeTcpContent,
    FeHttpRequest,
    FeHttpRequestBody,
    UseBackend,
    BeTcpContent,
    BeHttpRequest,
    BeHttpRequestBody,
    /// `use-server`, `balance`, `stick match`.
    BeServerChoice,
    ServerSource,
    BeTcpResponse,
    BeHttpResponse,
    BeHttpResponseBody,
    StickStore,
    FeTcpResponse,
    FeHttpResponse,
    FeHttpResponseBody,
    Log,
    Check,
    Config,
    Cli,
}

impl Place {
    pub const ALL: [Self; 22] = [
        Self::FeTcpConnection,
        Self::FeTcpSession,
        Self::FeTcpContent,
        Self::FeHttpRequest,
        Self::FeHttpRequestBody,
        Self::UseBackend,
        Self::BeTcpContent,
        Self::BeHttpRequest,
        Self::BeHttpRequestBody,
        Self::BeServerChoice,
        Self::ServerSource,
        Self::BeTcpResponse,
        Self::BeHttpResponse,
        Self::BeHttpResponseBody,
        Self::StickStore,
        Self::FeTcpResponse,
        Self::FeHttpResponse,
        Self::FeHttpResponseBody,
        Self::Log,
        Self::Check,
        Self::Config,
        Self::Cli,
    ];

    /// The place of the same rule in a backend.
    #[must_use]
    pub fn of_backend(self) -> Self {
        match self {
            Self::FeTcpContent => Self::BeTcpContent,
            Self::FeHttpRequest => Self::BeHttpRequest,
            Self::FeHttpRequestBody => Self::BeHttpRequestBody,
            Self::FeTcpResponse => Self::BeTcpResponse,
            Self::FeHttpResponse => Self::BeHttpResponse,
            Self::FeHttpResponseBody => Self::BeHttpResponseBody,
            other => other,
        }
    }

    /// HAProxy's words for it in warnings.
    pub fn name(self) -> &'static str {
        match self {
            Self::FeTcpConnection => "frontend tcp-request connection rule",
            Self::FeTcpSession => "frontend tcp-request session rule",
            Self::FeTcpContent => "frontend tcp-request content rule",
            Self::FeHttpRequest => "frontend http-request header rule",
            Self::FeHttpRequestBody => "frontend http-request body rule",
            Self::UseBackend => "frontend use-backend rule",
            Self::BeTcpContent => "backend tcp-request content rule",
            Self::BeHttpRequest => "backend http-request header rule",
            Self::BeHttpRequestBody => "backend http-request body rule",
            Self::BeServerChoice => "backend use-server, balance or stick-match rule",
            Self::ServerSource => "server source selection",
            Self::BeTcpResponse => "backend tcp-response content rule",
            Self::BeHttpResponse => "backend http-response header rule",
            Self::BeHttpResponseBody => "backend http-response body rule",
            Self::StickStore => "backend stick-store rule",
            Self::FeTcpResponse => "frontend tcp-response content rule",
            Self::FeHttpResponse => "frontend http-response header rule",
            Self::FeHttpResponseBody => "frontend http-response body rule",
            Self::Log => "logs",
            Self::Check => "backend tcp-check rule",
            Self::Config => "configuration parser",
            Self::Cli => "CLI parser",
        }
    }
}

/// The set of places where a fetch works.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Validity(u32);

impl Validity {
    /// Constants and what depends on nothing.
    pub const ALWAYS: Self = Self::of("YYYYYYYYYYYYYYYYYYYYYY");
    /// The process's own state.
    pub const INTERNAL: Self = Self::of("YYYYYYYYYYYYYYYYYYYY.Y");
    /// The client connection and its frontend.
    pub const CLIENT: Self = Self::of("YYYYYYYYYYYYYYYYYYYY..");
    /// The client connection once its handshakes are done.
    pub const CLIENT_SESSION: Self = Self::of(".YYYYYYYYYYYYYYYYYY...");
    /// What arrived from the client and is still held.
    pub const REQUEST: Self = Self::of("..YYYYYYYYY...........");
    /// What a response or log still knows of the request.
    pub const REQUEST_KEPT: Self = Self::of("..YYYYYYYYYYYYYYYYY...");
    /// From the choice of the backend on.
    pub const BACKEND: Self = Self::of("......YYYYYYYYYYYYYY..");
    /// From the choice of the server on.
    pub const SERVER: Self = Self::of(".........YYYYYYYYYY...");
    /// The server connection.
    pub const SERVER_CONN: Self = Self::of("...........YYYYYYYYY..");
    /// What arrived from the server and is still held.
    pub const RESPONSE: Self = Self::of("...........YYYYYYY.Y..");
    /// Either held message.
    pub const MESSAGE: Self = Self::of("..YYYYYYYYYYYYYYYY.Y..");
    /// Every place in the life of a connection.
    pub const STREAM: Self = Self::of("YYYYYYYYYYYYYYYYYYY...");

    /// From a line of the matrix: one letter per place, `Y` or `.`.
    pub const fn of(matrix: &str) -> Self {
        let letters = matrix.as_bytes();
        assert!(letters.len() == Place::ALL.len());
        let mut bits = 0;
        let mut i = 0;
        while i < letters.len() {
            if letters[i] == b'Y' {
                bits |= 1 << i;
            }
            i += 1;
        }
        Self(bits)
    }

    pub fn contains(self, place: Place) -> bool {
        self.0 & (1 << place as u32) != 0
    }

    pub fn letters(self) -> impl Iterator<Item = char> {
        Place::ALL.into_iter().map(move |p| if self.contains(p) { 'Y' } else { '.' })
    }
}

impl std::fmt::Debug for Validity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.letters().try_for_each(|c| write!(f, "{c}"))
    }
}
