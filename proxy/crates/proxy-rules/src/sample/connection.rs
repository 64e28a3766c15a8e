//! What is known of a connection beyond its addresses.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

/// A connection, on either side.
#[derive(Clone, Debug, Default)]
pub struct Connection {
    /// Once a TLS handshake ended well; for a client that failed, what is known of it.
    pub tls: Option<Arc<Tls>>,
    /// A PROXY protocol header came first.
    pub proxy: Option<Arc<ProxyHeader>>,
    /// It carries streams of HTTP/2.
    pub multiplexed: bool,
    /// Why it did not come to a session: 0 is nothing (configuration manual, 7.3.3 "fc_err_str").
    pub error: u8,
}

impl Connection {
    /// Whether the TLS handshake still goes on while early data are served.
    #[must_use]
    pub fn is_early(&self) -> bool {
        let early = self.tls.as_ref().and_then(|tls| tls.early.as_ref());
        early.is_some_and(|early| early.is_pending())
    }
}

/// What a PROXY protocol header said beside the addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyHeader {
    /// Types and values, in order; none in version 1.
    pub tlvs: Vec<(u8, Box<[u8]>)>,
}

impl ProxyHeader {
    /// The first value of this type.
    #[must_use]
    pub fn tlv(&self, kind: u8) -> Option<&[u8]> {
        self.tlvs.iter().find(|(known, _)| *known == kind).map(|(_, value)| &**value)
    }
}

/// What a TLS handshake agreed on.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// `TLSv1.3`; empty before there is one.
    pub version: &'static str,
    /// OpenSSL's name of the cipher suite; empty before there is one.
    pub cipher: &'static str,
    /// Strength of the cipher, in bits.
    pub bits: u16,
    pub alpn: Option<Box<[u8]>>,
    /// The host that the client named.
    pub sni: Option<Box<str>>,
    /// An earlier session was taken up.
    pub resumed: bool,
    /// The handshake is complete.
    pub established: bool,
    /// The group of the key exchange.
    pub group: Option<&'static str>,
    /// Our certificate, as DER.
    pub own: Option<Arc<[u8]>>,
    /// The peer's certificate and what came with it, as DER.
    pub peer: Vec<Box<[u8]>>,
    /// OpenSSL's number of the last error found in the peer's certificate that was looked past, or that ended the
    /// handshake; 0 is none.
    pub verify: u8,
    /// The first error of the certificate itself.
    pub crt_err: u8,
    /// The first error above it, and how far above.
    pub ca_err: u8,
    pub ca_err_depth: u8,
    /// OpenSSL's code of the error that ended the handshake.
    pub error: u64,
    /// The same in words.
    pub error_text: Option<Box<str>>,
    /// Name of our certificate in the store.
    pub crtname: Option<Arc<str>>,
    /// Subject of the authority that the peer's chain ends at, as DER.
    pub root: Option<Box<[u8]>>,
    /// The body of the ClientHello, when capturing is on.
    pub hello: Option<Box<[u8]>>,
    /// Secrets of the session by their label in key logs, when logging them is on.
    pub secrets: Vec<(Box<str>, Box<[u8]>)>,
    pub client_random: Option<Box<[u8]>>,
    /// The client sent data before its handshake was complete.
    pub early: Option<Arc<Early>>,
    /// What is known once a handshake is complete that data were sent before.
    pub late: Option<Arc<OnceLock<Self>>>,
}

impl Tls {
    /// What is known by now.
    #[must_use]
    pub fn by_now(&self) -> &Self {
        self.late.as_ref().and_then(|late| late.get()).unwrap_or(self)
    }
}

/// A handshake that goes on while its early data (RFC 8446, 2.3) are served.
#[derive(Debug, Default)]
pub struct Early {
    state: AtomicU8,
    waiting: Mutex<Vec<Waker>>,
}

impl Early {
    const PENDING: u8 = 0;
    const COMPLETE: u8 = 1;
    const FAILED: u8 = 2;

    /// Until then, what came may be a copy of what somebody else sent before.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.state.load(Ordering::Acquire) == Self::PENDING
    }

    /// The handshake ended, one way or the other. Only the first call counts.
    pub fn end(&self, complete: bool) {
        let state = if complete { Self::COMPLETE } else { Self::FAILED };
        let order = (Ordering::AcqRel, Ordering::Acquire);
        let _ = self.state.compare_exchange(Self::PENDING, state, order.0, order.1);
        let waiting =
            std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Waits for the end; whether it is a good one.
    pub fn poll_end(&self, cx: &mut Context<'_>) -> Poll<bool> {
        if self.is_pending() {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                waiting.push(cx.waker().clone());
            }
        }
        match self.state.load(Ordering::Acquire) {
            Self::PENDING => Poll::Pending,
            state => Poll::Ready(state == Self::COMPLETE),
        }
    }
}

/// Names and messages of [`Connection::error`], by number (configuration manual, 7.3.3 "fc_err_str").
pub const ERRORS: [(&str, &str); 57] = [
    ("", "Success"),
    ("CONF_FDLIM", "Reached configured maxconn value"),
    ("PROC_FDLIM", "Too many sockets on the process"),
    ("SYS_FDLIM", "Too many sockets on the system"),
    ("SYS_MEMLIM", "Out of system buffers"),
    ("NOPROTO", "Protocol or address family not supported"),
    ("SOCK_ERR", "General socket error"),
    ("PORT_RANGE", "Source port range exhausted"),
    ("CANT_BIND", "Can't bind to source address"),
    ("FREE_PORTS", "Out of local source ports on the system"),
    ("ADDR_INUSE", "Local source address already in use"),
    ("PRX_EMPTY", "Connection closed while waiting for PROXY protocol header"),
    ("PRX_ABORT", "Connection error while waiting for PROXY protocol header"),
    ("PRX_TIMEOUT", "Timeout while waiting for PROXY protocol header"),
    ("PRX_TRUNCATED", "Truncated PROXY protocol header received"),
    ("PRX_NOT_HDR", "Received something which does not look like a PROXY protocol header"),
    ("PRX_BAD_HDR", "Received an invalid PROXY protocol header"),
    ("PRX_BAD_PROTO", "Received an unhandled protocol in the PROXY protocol header"),
    ("CIP_EMPTY", "Connection closed while waiting for NetScaler Client IP header"),
    ("CIP_ABORT", "Connection error while waiting for NetScaler Client IP header"),
    ("CIP_TIMEOUT", "Timeout while waiting for a NetScaler Client IP header"),
    ("CIP_TRUNCATED", "Truncated NetScaler Client IP header received"),
    ("CIP_BAD_MAGIC", "Received an invalid NetScaler Client IP magic number"),
    ("CIP_BAD_PROTO", "Received an unhandled protocol in the NetScaler Client IP header"),
    ("SSL_EMPTY", "Connection closed during SSL handshake"),
    ("SSL_ABORT", "Connection error during SSL handshake"),
    ("SSL_TIMEOUT", "Timeout during SSL handshake"),
    ("SSL_TOO_MANY", "Too many SSL connections"),
    ("SSL_NO_MEM", "Out of memory when initializing an SSL connection"),
    ("SSL_RENEG", "Rejected a client-initiated SSL renegotiation attempt"),
    ("SSL_CA_FAIL", "SSL client CA chain cannot be verified"),
    ("SSL_CRT_FAIL", "SSL client certificate not trusted"),
    ("SSL_MISMATCH", "Server presented an SSL certificate different from the configured one"),
    ("SSL_MISMATCH_SNI", "Server presented an SSL certificate different from the expected one"),
    ("SSL_HANDSHAKE", "SSL handshake failure"),
    ("SSL_HANDSHAKE_HB", "SSL handshake failure after heartbeat"),
    ("SSL_KILLED_HB", "Stopped a TLSv1 heartbeat attack (CVE-2014-0160)"),
    ("SSL_NO_TARGET", "Attempt to use SSL on an unknown target (internal error)"),
    ("SSL_EARLY_FAILED", "Server refused early data"),
    ("SOCKS4_SEND", "SOCKS4 Proxy write error during handshake"),
    ("SOCKS4_RECV", "SOCKS4 Proxy read error during handshake"),
    ("SOCKS4_DENY", "SOCKS4 Proxy deny the request"),
    ("SOCKS4_ABORT", "SOCKS4 Proxy handshake aborted by server"),
    ("SSL_FATAL", "SSL fatal error"),
    ("REVERSE", "Reverse connect failure"),
    ("POLLERR", "Poller reported POLLERR"),
    ("EREFUSED", "ECONNREFUSED returned by OS"),
    ("ERESET", "ECONNRESET returned by OS"),
    ("EUNREACH", "ENETUNREACH returned by OS"),
    ("ENOMEM", "ENOMEM returned by OS"),
    ("EBADF", "EBADF returned by OS"),
    ("EFAULT", "EFAULT returned by OS"),
    ("EINVAL", "EINVAL returned by OS"),
    ("ENCONN", "ENCONN returned by OS"),
    ("ENSOCK", "ENSOCK returned by OS"),
    ("ENOBUFS", "ENOBUFS returned by OS"),
    ("EPIPE", "EPIPE returned by OS"),
];
