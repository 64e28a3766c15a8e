//! HTTP/2 frame by frame: a client or a server that says exactly what a test wants.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// What a client sends first.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
/// Flags.
pub const ACK: u8 = 1;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    /// The number at the start of the payload, or at `at`.
    pub fn number(&self, at: usize) -> u32 {
        self.payload.get(at..at + 4).map_or(0, |b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
    }
}

/// A frame as bytes.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend_from_slice(payload);
    out
}

/// Literal fields that nobody keeps, as a section; names and values of up to 126 bytes.
pub fn section(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(0);
        for text in [name, value] {
            out.push(u8::try_from(text.len()).unwrap_or(126));
            out.extend_from_slice(text.as_bytes());
        }
    }
    out
}

/// `method` of `path` on `http://a`.
pub fn request(method: &str, path: &str) -> Vec<u8> {
    section(&[(":method", method), (":scheme", "http"), (":authority", "a"), (":path", path)])
}

/// One end of a connection.
#[derive(Debug)]
pub struct Conn(pub TcpStream);

impl Conn {
    /// A client's connection on which HTTP/2 has begun.
    pub fn client(address: SocketAddr) -> Result<Self> {
        let mut this = Self(TcpStream::connect(address)?);
        this.0.set_read_timeout(Some(Duration::from_secs(20)))?;
        this.0.write_all(PREFACE)?;
        this.send(SETTINGS, 0, 0, &[])?;
        Ok(this)
    }

    /// A server's end: the preface is read, and settings are sent.
    pub fn server(stream: TcpStream) -> Result<Self> {
        let mut this = Self(stream);
        this.0.set_read_timeout(Some(Duration::from_secs(20)))?;
        let mut preface = [0; PREFACE.len()];
        this.0.read_exact(&mut preface)?;
        anyhow::ensure!(preface == PREFACE, "no preface");
        this.send(SETTINGS, 0, 0, &[])?;
        Ok(this)
    }

    /// Sends a frame.
    pub fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Result<()> {
        self.0.write_all(&frame(kind, flags, stream, payload)).context("send")
    }

    /// The next frame; `None` at the end.
    pub fn next_frame(&mut self) -> Result<Option<Frame>> {
        let mut head = [0; 9];
        match self.0.read_exact(&mut head) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return Ok(None),
            Err(error) => return Err(error).context("frame"),
        }
        let len = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let mut payload = vec![0; len];
        self.0.read_exact(&mut payload).context("payload")?;
        let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
        Ok(Some(Frame { kind: head[3], flags: head[4], stream, payload }))
    }

    /// Reads up to a frame of this kind, an acknowledgement or not.
    pub fn until(&mut self, kind: u8, ack: bool) -> Result<Frame> {
        loop {
            let Some(frame) = self.next_frame()? else { bail!("the connection ended") };
            let acks = matches!(frame.kind, SETTINGS | PING) && frame.flags & ACK != 0;
            if frame.kind == kind && acks == ack {
                return Ok(frame);
            }
        }
    }
}
