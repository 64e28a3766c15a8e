//! The values that flow through expressions, and how one type becomes another.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bumpalo::Bump;

use crate::address;

/// A value taken from the traffic or made by a converter. Bytes are borrowed from the message, the
/// configuration or the scratch memory of the evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sample<'a> {
    Bin(&'a [u8]),
    Bool(bool),
    Int(i64),
    Ipv4(Ipv4Addr),
    Ipv6(Ipv6Addr),
    /// An HTTP method, as it was sent.
    Meth(&'a [u8]),
    Str(&'a [u8]),
}

/// What a fetch returns or a converter takes, in the words of `-dK` (configuration manual, 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// IPv4 or IPv6, known only at run time.
    Addr,
    /// Known only at run time.
    Any,
    Bin,
    Bool,
    Ipv4,
    Ipv6,
    Meth,
    /// Of converters: the type that came in.
    Same,
    Sint,
    Str,
}

impl Type {
    pub fn name(self) -> &'static str {
        match self {
            Self::Addr => "addr",
            Self::Any => "any",
            Self::Bin => "bin",
            Self::Bool => "bool",
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
            Self::Meth => "meth",
            Self::Same => "same",
            Self::Sint => "sint",
            Self::Str => "str",
        }
    }

    /// Whether a value of this type can be handed to something that takes `to`. Some of these casts still
    /// fail on particular values, e.g. a string that is no number.
    pub fn can_become(self, to: Self) -> bool {
        use Type::{Addr, Any, Bin, Bool, Ipv4, Ipv6, Meth, Same, Sint, Str};
        match (self, to) {
            (_, Any | Same) | (Any | Same, _) => true,
            (Bool | Sint, Bool | Sint | Str) => true,
            (Sint, Addr | Ipv4 | Ipv6 | Bin) => true,
            (Bool, _) => false,
            (Sint, Meth) => false,
            (Addr, Sint | Addr | Ipv4 | Ipv6 | Str | Bin) => true,
            (Ipv4, Sint | Addr | Ipv4 | Ipv6 | Str | Bin) => true,
            (Ipv6, Addr | Ipv4 | Ipv6 | Str | Bin) => true,
            (Addr | Ipv4 | Ipv6, _) => false,
            (Str, _) => true,
            (Bin, Str | Bin | Meth) => true,
            (Bin, _) => false,
            (Meth, Str | Bin | Meth) => true,
            (Meth, _) => false,
        }
    }
}

impl<'a> Sample<'a> {
    pub fn ty(&self) -> Type {
        match self {
            Self::Bin(_) => Type::Bin,
            Self::Bool(_) => Type::Bool,
            Self::Int(_) => Type::Sint,
            Self::Ipv4(_) => Type::Ipv4,
            Self::Ipv6(_) => Type::Ipv6,
            Self::Meth(_) => Type::Meth,
            Self::Str(_) => Type::Str,
        }
    }

    /// The value as type `to`, or `None` when this value has no such form. Text made on the way lives in
    /// `scratch`.
    pub fn cast(self, to: Type, scratch: &'a Bump) -> Option<Self> {
        match to {
            Type::Any | Type::Same => Some(self),
            Type::Addr => self.addr().map(Self::from),
            Type::Bin => self.bin(scratch).map(Self::Bin),
            Type::Bool => self.bool().map(Self::Bool),
            Type::Ipv4 => self.ipv4().map(Self::Ipv4),
            Type::Ipv6 => self.ipv6().map(Self::Ipv6),
            Type::Meth => self.bytes().map(Self::Meth),
            Type::Sint => self.int().map(Self::Int),
            Type::Str => self.str(scratch).map(Self::Str),
        }
    }

    /// The bytes of a value that is made of bytes.
    pub fn bytes(&self) -> Option<&'a [u8]> {
        match *self {
            Self::Str(s) | Self::Bin(s) | Self::Meth(s) => Some(s),
            Self::Bool(_) | Self::Int(_) | Self::Ipv4(_) | Self::Ipv6(_) => None,
        }
    }

    pub fn bool(&self) -> Option<bool> {
        match *self {
            Self::Bool(b) => Some(b),
            Self::Int(n) => Some(n != 0),
            Self::Str(s) => parse_int(s).map(|n| n != 0),
            Self::Bin(_) | Self::Ipv4(_) | Self::Ipv6(_) | Self::Meth(_) => None,
        }
    }

    pub fn int(&self) -> Option<i64> {
        match *self {
            Self::Bool(b) => Some(i64::from(b)),
            Self::Int(n) => Some(n),
            Self::Ipv4(ip) => Some(i64::from(u32::from(ip))),
            Self::Str(s) => parse_int(s),
            Self::Bin(_) | Self::Ipv6(_) | Self::Meth(_) => None,
        }
    }

    /// The value as an address of whichever family it has.
    pub fn addr(&self) -> Option<IpAddr> {
        match *self {
            Self::Int(_) => self.ipv4().map(IpAddr::V4),
            Self::Ipv4(ip) => Some(IpAddr::V4(ip)),
            Self::Ipv6(ip) => Some(IpAddr::V6(ip)),
            Self::Str(s) => std::str::from_utf8(s).ok()?.parse().ok(),
            Self::Bin(_) | Self::Bool(_) | Self::Meth(_) => None,
        }
    }

    /// IPv6 has a form in IPv4 when it is mapped (`::ffff:a.b.c.d`).
    pub fn ipv4(&self) -> Option<Ipv4Addr> {
        match *self {
            Self::Int(n) => Some(Ipv4Addr::from((n & 0xffff_ffff) as u32)),
            Self::Ipv4(ip) => Some(ip),
            Self::Ipv6(ip) => ip.to_ipv4_mapped(),
            Self::Str(s) => std::str::from_utf8(s).ok()?.parse().ok(),
            Self::Bin(_) | Self::Bool(_) | Self::Meth(_) => None,
        }
    }

    pub fn ipv6(&self) -> Option<Ipv6Addr> {
        match *self {
            Self::Int(_) | Self::Ipv4(_) => self.ipv4().map(|ip| ip.to_ipv6_mapped()),
            Self::Ipv6(ip) => Some(ip),
            Self::Str(s) => std::str::from_utf8(s).ok()?.parse().ok(),
            Self::Bin(_) | Self::Bool(_) | Self::Meth(_) => None,
        }
    }

    /// The value as text. Binary ends at its first zero byte.
    pub fn str(&self, scratch: &'a Bump) -> Option<&'a [u8]> {
        Some(match *self {
            Self::Bin(s) => memchr::memchr(0, s).map_or(s, |end| &s[..end]),
            Self::Bool(b) => {
                if b {
                    b"1"
                } else {
                    b"0"
                }
            }
            Self::Int(n) => {
                let mut text = itoa::Buffer::new();
                scratch.alloc_slice_copy(text.format(n).as_bytes())
            }
            Self::Ipv4(ip) => scratch.alloc_slice_copy(address::text_v4(ip, &mut [0; 46])),
            Self::Ipv6(ip) => display(scratch, ip),
            Self::Meth(s) | Self::Str(s) => s,
        })
    }

    /// The value as raw bytes; numbers are 8 bytes, network order.
    pub fn bin(&self, scratch: &'a Bump) -> Option<&'a [u8]> {
        match *self {
            Self::Bin(s) | Self::Meth(s) | Self::Str(s) => Some(s),
            Self::Bool(_) => None,
            Self::Int(n) => Some(scratch.alloc_slice_copy(&n.to_be_bytes())),
            Self::Ipv4(ip) => Some(scratch.alloc_slice_copy(&ip.octets())),
            Self::Ipv6(ip) => Some(scratch.alloc_slice_copy(&ip.octets())),
        }
    }
}

impl From<IpAddr> for Sample<'_> {
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => Self::Ipv4(ip),
            IpAddr::V6(ip) => Self::Ipv6(ip),
        }
    }
}

/// The text form of `value` in scratch memory.
pub(crate) fn display(scratch: &Bump, value: impl std::fmt::Display) -> &[u8] {
    let mut out = bumpalo::collections::Vec::new_in(scratch);
    // Writing to memory cannot fail.
    let _ = write!(out, "{value}");
    out.into_bump_slice()
}

/// The number at the start of `s`: an optional sign and digits, saturating at the ends of 64 bits. What
/// follows the digits is not looked at; an empty text is no number.
pub fn parse_int(s: &[u8]) -> Option<i64> {
    let (negative, digits) = match s {
        [] => return None,
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, s),
    };
    let mut n: i64 = 0;
    for d in digits.iter().take_while(|d| d.is_ascii_digit()) {
        let d = i64::from(d - b'0');
        n = n.saturating_mul(10);
        n = if negative { n.saturating_sub(d) } else { n.saturating_add(d) };
    }
    Some(n)
}
