//! A FastCGI application whose every request is answered by a closure.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::TcpStream;

use anyhow::Result;
use proxy_http::fcgi::params;
use proxy_http::fcgi::record::{self, Reader, kind};

use super::ScriptServer;

/// What an application was asked.
#[derive(Debug, Default)]
pub struct Asked {
    pub params: HashMap<String, String>,
    pub body: Vec<u8>,
}

impl Asked {
    /// A parameter; empty when it was not sent.
    pub fn get(&self, name: &str) -> &str {
        self.params.get(name).map_or("", String::as_str)
    }
}

/// What an application answers.
#[derive(Debug, Default)]
pub struct Answer {
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    /// Bytes of a record; 0 is as many as it takes.
    pub piece: usize,
    /// What became of the request (FastCGI specification, 5.5); 0 is that it is complete.
    pub status: u8,
    /// The connection ends in place of the request.
    pub dies: bool,
}

impl Answer {
    /// This text.
    pub fn text(text: impl Into<Vec<u8>>) -> Self {
        Self { stdout: text.into(), ..Self::default() }
    }
}

/// Starts an application on a free loopback port.
pub fn application(
    answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
) -> Result<ScriptServer> {
    ScriptServer::start(move |mut stream| {
        let mut reader = Reader::default();
        while serve(&mut stream, &mut reader, &answer).unwrap_or(false) {}
    })
}

/// One request; whether the connection stays.
fn serve(
    stream: &mut TcpStream,
    reader: &mut Reader,
    answer: &impl Fn(&Asked) -> Answer,
) -> Result<bool> {
    let (mut begun, mut all, mut asked) = (Vec::new(), Vec::new(), Asked::default());
    let mut buffer = vec![0; 8192];
    let (mut ended, mut id) = (false, 0);
    while !ended {
        let n = stream.read(&mut buffer)?;
        if n == 0 {
            return Ok(false);
        }
        let mut data = &buffer[..n];
        loop {
            let (used, part) = reader.next(data)?;
            data = &data[used..];
            let Some(part) = part else { break };
            id = part.id;
            match part.kind {
                kind::BEGIN_REQUEST => begun.extend_from_slice(part.content),
                kind::PARAMS => all.extend_from_slice(part.content),
                kind::STDIN => {
                    asked.body.extend_from_slice(part.content);
                    ended |= part.empty;
                }
                _ => {}
            }
        }
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    asked.params = params::read(&all).map(|(name, value)| (text(name), text(value))).collect();
    let said = answer(&asked);
    let mut out = Vec::new();
    if !said.stderr.is_empty() {
        record::write(&mut out, kind::STDERR, id, &said.stderr);
    }
    let piece = if said.piece == 0 { said.stdout.len().max(1) } else { said.piece };
    for part in said.stdout.chunks(piece) {
        record::write(&mut out, kind::STDOUT, id, part);
    }
    if !said.dies {
        record::write(&mut out, kind::STDOUT, id, &[]);
        record::write(&mut out, kind::END_REQUEST, id, &[0, 0, 0, 0, said.status, 0, 0, 0]);
    }
    stream.write_all(&out)?;
    Ok(!said.dies && begun.get(2) == Some(&1))
}
