//! Body framing and connection facts out of header fields (RFC 9112 sections 6 and 9).
//!
//! This is where request smuggling is prevented: a message whose length two parsers could read
//! differently is refused or rewritten into one reading.

use super::limits::{Limits, Reject};
use crate::headers::HeaderList;
use crate::message::{HeadFlags, Version};
use crate::value;

/// What the fields seen so far say; fed field by field while a head is parsed.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) length: Option<u64>,
    /// The length fields cannot be forwarded as they are: several, a list, or leading zeros.
    length_unclean: bool,
    codings: usize,
    pub(super) chunked: bool,
    /// Codings other than chunked come first.
    pub(super) other_codings: bool,
    upgrade: bool,
    connection_upgrade: bool,
    pub(super) host: Option<usize>,
    hosts: usize,
    flags: HeadFlags,
}

impl Facts {
    /// Takes note of the field at `index` of the list.
    pub(super) fn see(&mut self, index: usize, name: &[u8], value: &[u8]) -> Result<(), Reject> {
        match name.len() {
            2 if name.eq_ignore_ascii_case(b"te") => self.flags.te = true,
            4 if name.eq_ignore_ascii_case(b"host") => {
                self.hosts += 1;
                self.host.get_or_insert(index);
            }
            6 if name.eq_ignore_ascii_case(b"expect") => {
                self.flags.expect_continue |= value.eq_ignore_ascii_case(b"100-continue");
            }
            7 if name.eq_ignore_ascii_case(b"upgrade") => self.upgrade = true,
            10 if name.eq_ignore_ascii_case(b"connection") => self.connection(value),
            14 if name.eq_ignore_ascii_case(b"content-length") => return self.length(value),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => return self.coding(value),
            _ => {}
        }
        Ok(())
    }

    fn connection(&mut self, value: &[u8]) {
        self.flags.has_connection = true;
        for token in value::split(value) {
            match token.len() {
                5 if token.eq_ignore_ascii_case(b"close") => self.flags.close = true,
                7 if token.eq_ignore_ascii_case(b"upgrade") => self.connection_upgrade = true,
                10 if token.eq_ignore_ascii_case(b"keep-alive") => self.flags.keep_alive = true,
                _ => {}
            }
        }
    }

    fn length(&mut self, value: &[u8]) -> Result<(), Reject> {
        if let (None, Some(length)) = (self.length, number(value)) {
            self.length_unclean |= value.len() > 1 && value[0] == b'0';
            self.length = Some(length);
            return Ok(());
        }
        self.length_unclean |= self.length.is_some() || value.len() > 1 && value[0] == b'0';
        let mut parts = value.split(|&b| b == b',').peekable();
        while let Some(part) = parts.next() {
            self.length_unclean |= parts.peek().is_some();
            let length = number(value::trim(part)).ok_or(Reject::BadContentLength)?;
            if self.length.is_some_and(|known| known != length) {
                return Err(Reject::ConflictingContentLength);
            }
            self.length = Some(length);
        }
        Ok(())
    }

    fn coding(&mut self, value: &[u8]) -> Result<(), Reject> {
        let before = self.codings;
        for coding in value::split(value) {
            if self.chunked {
                return Err(Reject::BadTransferEncoding);
            }
            self.codings += 1;
            if coding.eq_ignore_ascii_case(b"chunked") {
                self.chunked = true;
            } else {
                self.other_codings = true;
            }
        }
        if self.codings == before { Err(Reject::BadTransferEncoding) } else { Ok(()) }
    }

    /// Checks what only the whole head tells, and rewrites ambiguous length fields.
    pub(super) fn finish(
        &mut self,
        headers: &mut HeaderList,
        limits: &Limits,
    ) -> Result<HeadFlags, Reject> {
        if self.codings > 0 && !self.chunked {
            return Err(Reject::BadTransferEncoding);
        }
        if self.chunked && self.length.take().is_some() {
            headers.remove(b"content-length");
            self.flags.close_after = !limits.keep_insecure;
        } else if let (true, Some(length)) = (self.length_unclean, self.length) {
            headers.set(b"Content-Length", length.to_string().as_bytes());
        }
        self.flags.upgrade = self.upgrade && self.connection_upgrade;
        Ok(self.flags)
    }

    /// Several `Host` fields are one when they agree.
    pub(super) fn merge_hosts(&self, headers: &mut HeaderList) -> Result<(), Reject> {
        if self.hosts < 2 {
            return Ok(());
        }
        let first = headers.get(b"host").unwrap_or_default();
        if headers.get_all(b"host").any(|v| !v.eq_ignore_ascii_case(first)) {
            return Err(Reject::ConflictingHost);
        }
        let mut seen = false;
        headers.remove_if(|h| {
            h.name.eq_ignore_ascii_case(b"host") && std::mem::replace(&mut seen, true)
        });
        Ok(())
    }
}

/// A decimal number of at most 64 bits, digits only.
fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |n, &b| {
        let digit = b.is_ascii_digit().then(|| u64::from(b - b'0'))?;
        n.checked_mul(10)?.checked_add(digit)
    })
}

/// Whether the sender of a head wants the connection kept afterwards (RFC 9112 section 9.3).
pub(super) fn persistent(version: Version, flags: HeadFlags) -> bool {
    match version {
        _ if flags.close || flags.close_after => false,
        Version::Http11 => true,
        Version::Http10 => flags.keep_alive,
    }
}
