//! An HTTP/1.1 client that shows every byte.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// One connection.
#[derive(Debug)]
pub struct Client {
    reader: BufReader<TcpStream>,
}

/// A response, read to the end of its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Status line and header lines as they came, without the empty line.
    pub head: String,
    /// Body, unchunked.
    pub body: Vec<u8>,
}

impl Client {
    /// Connects; reads time out after twenty seconds.
    pub fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(20))
            .with_context(|| format!("connect to {address}"))?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.set_nodelay(true)?;
        Ok(Self { reader: BufReader::new(stream) })
    }

    /// The socket itself.
    pub fn stream(&self) -> &TcpStream {
        self.reader.get_ref()
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> Result<()> {
        self.reader.get_mut().write_all(bytes.as_ref()).context("send")
    }

    /// Sends `GET` of `path` with a `host` header and reads the response.
    pub fn get(&mut self, path: &str) -> Result<Response> {
        self.send(format!("GET {path} HTTP/1.1\r\nhost: sluice.test\r\n\r\n"))?;
        self.response()
    }

    /// Reads a response head and its body (by length, chunks, or to the end).
    pub fn response(&mut self) -> Result<Response> {
        self.response_to(false)
    }

    /// Reads a response that has no body whatever its head says (to `HEAD`).
    pub fn response_to_head(&mut self) -> Result<Response> {
        self.response_to(true)
    }

    fn response_to(&mut self, bodiless: bool) -> Result<Response> {
        let mut head = String::new();
        loop {
            let start = head.len();
            if self.reader.read_line(&mut head).context("response head")? == 0 {
                bail!("the connection ended in the response head: {head:?}");
            }
            if &head[start..] == "\r\n" {
                head.truncate(start);
                break;
            }
        }
        let status: u16 = head
            .split(' ')
            .nth(1)
            .and_then(|code| code.trim().parse().ok())
            .with_context(|| format!("no status in {head:?}"))?;
        let mut response = Response { status, head, body: Vec::new() };
        if bodiless || status < 200 || status == 204 || status == 304 {
            return Ok(response);
        }
        if response.header("transfer-encoding").is_some_and(|value| value == "chunked") {
            response.body = self.chunks()?;
        } else if let Some(length) = response.header("content-length") {
            response.body = vec![0; length.parse().context("content-length")?];
            self.reader.read_exact(&mut response.body).context("response body")?;
        } else {
            self.reader.read_to_end(&mut response.body).context("response body")?;
        }
        Ok(response)
    }

    fn chunks(&mut self) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let mut line = String::new();
            self.reader.read_line(&mut line)?;
            let digits = line.trim_end().split(';').next().unwrap_or_default();
            let size = usize::from_str_radix(digits, 16)
                .with_context(|| format!("chunk size {line:?}"))?;
            let start = body.len();
            body.resize(start + size, 0);
            self.reader.read_exact(&mut body[start..]).context("chunk")?;
            line.clear();
            self.reader.read_line(&mut line)?;
            if size == 0 {
                if line != "\r\n" {
                    bail!("trailers are not expected here: {line:?}");
                }
                return Ok(body);
            }
            if line != "\r\n" {
                bail!("chunk of {size} bytes followed by {line:?}");
            }
        }
    }

    /// Reads exactly as much as `bytes` has room for.
    pub fn read_exact(&mut self, bytes: &mut [u8]) -> Result<()> {
        self.reader.read_exact(bytes).context("read")
    }

    /// Reads to the end of the connection.
    pub fn rest(&mut self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.reader.read_to_end(&mut bytes).context("read to the end")?;
        Ok(bytes)
    }

    /// Reads exactly so many bytes.
    pub fn exactly(&mut self, count: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.reader.read_exact(&mut bytes).context("read bytes")?;
        Ok(bytes)
    }

    /// Reads one line, without its end.
    pub fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.reader.read_line(&mut line).context("read a line")?;
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    }

    /// Whether the other side has closed (waits for it up to the read timeout).
    pub fn is_closed(&mut self) -> bool {
        matches!(self.reader.fill_buf(), Ok([]) | Err(_))
    }
}

impl Response {
    /// The first header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// One `GET` on a connection of its own.
pub fn get(address: SocketAddr, path: &str) -> Result<Response> {
    let mut client = Client::connect(address)?;
    client
        .send(format!("GET {path} HTTP/1.1\r\nhost: sluice.test\r\nconnection: close\r\n\r\n"))?;
    client.response()
}

/// One raw exchange on a connection of its own: what comes back until the connection ends.
pub fn raw(address: SocketAddr, bytes: impl AsRef<[u8]>) -> Result<String> {
    let mut client = Client::connect(address)?;
    client.send(bytes)?;
    Ok(String::from_utf8_lossy(&client.rest()?).into_owned())
}
