//! Payload through a compressor (RFC 1950, 1951, 1952), within the limits of the process.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use proxy_net::clock;
use proxy_state::Process;
use proxy_state::options::Compressing;
use zlib_rs::{Deflate, DeflateConfig, DeflateFlush, Status};

use crate::env::Env;
use crate::mux::h1::Transform;

/// How compressors are made (configuration manual, 3.2).
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// `tune.comp.maxlevel`, 0 to 9.
    pub max_level: u8,
    /// `tune.zlib.windowsize`, 8 to 15 bits.
    pub window: u8,
    /// `tune.zlib.memlevel`, 1 to 9.
    pub memory_level: u8,
    /// `maxcompcpuusage`: percent of a thread's time beyond which nothing more is compressed; 100 is no limit.
    pub max_cpu: u8,
}

impl Default for Settings {
    fn default() -> Self {
        Self { max_level: 1, window: 15, memory_level: 8, max_cpu: 100 }
    }
}

impl Settings {
    /// Bytes that one compressor takes, by zlib's own account.
    fn memory(&self) -> u64 {
        (1 << (self.window + 2)) + (1 << (self.memory_level + 9))
    }
}

/// What went through a compressor, in bytes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Compressed {
    pub(crate) taken: u64,
    pub(crate) given: u64,
}

/// Names in configurations and in `res.comp_algo`.
pub(crate) fn name(algorithm: Compressing) -> &'static str {
    match algorithm {
        Compressing::Identity => "identity",
        Compressing::Gzip => "gzip",
        Compressing::Deflate => "deflate",
        Compressing::RawDeflate => "raw-deflate",
    }
}

/// The name in Content-Encoding and Accept-Encoding.
pub(crate) fn coding(algorithm: Compressing) -> &'static str {
    match algorithm {
        Compressing::RawDeflate => "deflate",
        other => name(other),
    }
}

/// One message's compressor. What is given to it comes out at once, so that nothing waits in it.
pub(crate) struct Compressor {
    env: Arc<Env>,
    /// `None` passes payload on as it is.
    state: Option<Deflate>,
    level: u8,
    reserved: u64,
    count: Compressed,
}

/// The compressor could not go on, which its documentation rules out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the compressor failed")]
pub struct CompressError;

impl Compressor {
    /// A compressor; `None` when the process has no memory left for one, unless it `must` be there.
    pub(crate) fn new(env: &Arc<Env>, algorithm: Compressing, must: bool) -> Option<Self> {
        let settings = &env.compression;
        let wrapped = match algorithm {
            Compressing::Identity => None,
            Compressing::Gzip => Some(16),
            Compressing::Deflate => Some(0),
            Compressing::RawDeflate => Some(-1),
        };
        let mut reserved = 0;
        let state = match wrapped {
            None => None,
            Some(form) => {
                if env.registry().process.reserve_compressor(settings.memory()) {
                    reserved = settings.memory();
                } else if !must {
                    return None;
                }
                // zlib's smallest window is 9 bits whatever its manual says.
                let window = i32::from(settings.window.clamp(9, 15));
                Some(Deflate::new_with_config(DeflateConfig {
                    level: i32::from(settings.max_level),
                    window_bits: if form < 0 { -window } else { window + form },
                    mem_level: i32::from(settings.memory_level),
                    ..DeflateConfig::default()
                }))
            }
        };
        let level = settings.max_level;
        Some(Self { env: env.clone(), state, level, reserved, count: Compressed::default() })
    }

    fn process(&self) -> &Process {
        &self.env.registry().process
    }

    /// Goes easier on the processor while the limit on the rate is exceeded, and back when it no longer is.
    fn adapt(&mut self) {
        if self.process().compress_rate_limit.load(Ordering::Relaxed) == 0 {
            return;
        }
        let now = self.env.now(clock::coarse());
        let level = match self.process().compresses_too_much(now) {
            true => self.level.saturating_sub(1),
            false => (self.level + 1).min(self.env.compression.max_level),
        };
        if level != self.level
            && let Some(state) = &mut self.state
            && state.set_level(i32::from(level)).is_ok()
        {
            self.level = level;
        }
    }

    fn count(&mut self, taken: usize, given: usize) {
        self.count.taken += taken as u64;
        self.count.given += given as u64;
        let now = self.env.now(clock::coarse());
        let process = &self.env.registry().process;
        process.compress_in.add(now, (taken as u64).div_ceil(Process::OUT_UNIT));
        process.compress_out.add(now, (given as u64).div_ceil(Process::OUT_UNIT));
    }
}

impl Drop for Compressor {
    fn drop(&mut self) {
        self.process().release_compressor(self.reserved);
    }
}

impl Transform for Compressor {
    fn push(&mut self, data: &[u8], last: bool, out: &mut Vec<u8>) -> Result<(), CompressError> {
        let before = out.len();
        self.adapt();
        match &mut self.state {
            None => out.extend_from_slice(data),
            Some(state) => {
                let flush = if last { DeflateFlush::Finish } else { DeflateFlush::SyncFlush };
                if last || !data.is_empty() {
                    deflate(state, data, flush, out)?;
                }
            }
        }
        self.count(data.len(), out.len() - before);
        Ok(())
    }

    fn moved(&self) -> Compressed {
        self.count
    }
}

/// Compresses all of `data` and appends all that comes of it.
fn deflate(
    state: &mut Deflate,
    mut data: &[u8],
    flush: DeflateFlush,
    out: &mut Vec<u8>,
) -> Result<(), CompressError> {
    loop {
        let start = out.len();
        out.resize(start + zlib_rs::compress_bound(data.len()).max(256), 0);
        let (taken, given) = (state.total_in(), state.total_out());
        let status = state.compress(data, &mut out[start..], flush).map_err(|_| CompressError)?;
        let taken = usize::try_from(state.total_in() - taken).map_err(|_| CompressError)?;
        let given = usize::try_from(state.total_out() - given).map_err(|_| CompressError)?;
        let full = start + given == out.len();
        out.truncate(start + given);
        data = &data[taken..];
        match (status, flush) {
            (Status::StreamEnd, _) => return Ok(()),
            (_, DeflateFlush::Finish) if taken == 0 && given == 0 => return Err(CompressError),
            (_, DeflateFlush::Finish) => {}
            _ if data.is_empty() && !full => return Ok(()),
            _ if taken == 0 && given == 0 => return Err(CompressError),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use zlib_rs::{Inflate, InflateFlush};

    /// Feeds the parts one by one and unpacks what comes out; each part must be readable as soon as it went in.
    fn check(window: i32, header: bool, inflate_window: u8, parts: &[Vec<u8>]) {
        let mut state = Deflate::new_with_config(DeflateConfig {
            level: 1,
            window_bits: window,
            ..DeflateConfig::default()
        });
        let mut inflate = Inflate::new(header, inflate_window);
        let whole: Vec<u8> = parts.concat();
        let mut unpacked = vec![0; whole.len() + 1];
        let (mut at, mut fed) = (0, 0);
        for (n, part) in parts.iter().enumerate() {
            let last = n + 1 == parts.len();
            let flush = if last { DeflateFlush::Finish } else { DeflateFlush::SyncFlush };
            let mut out = Vec::new();
            deflate(&mut state, part, flush, &mut out).unwrap();
            fed += part.len();
            let before = inflate.total_out();
            inflate.decompress(&out, &mut unpacked[at..], InflateFlush::SyncFlush).unwrap();
            at += usize::try_from(inflate.total_out() - before).unwrap();
            assert_eq!(at, fed);
        }
        assert_eq!(&unpacked[..at], &whole[..]);
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..5000), 1..6),
            zeros in 0usize..300_000,
        ) {
            let mut parts = parts;
            parts.push(vec![0; zeros + 1]);
            check(15 + 16, true, 15 + 16, &parts);
            check(15, true, 15, &parts);
            check(-9, false, 9, &parts);
        }
    }
}
