//! Patterns of ACLs: how they are read, indexed and matched (configuration manual, 7.1).

mod addr;
mod number;
mod regexes;
mod text;

use crate::sample::{EvalCtx, Sample, Type};

pub use addr::AddrSet;
pub use number::{NumberSet, Operator};
pub use regexes::RegexList;
pub use text::TextSet;

/// How a value is compared with patterns (`-m`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    Beg,
    Bin,
    Bool,
    Dir,
    Dom,
    End,
    Found,
    Int,
    Ip,
    Len,
    Reg,
    Str,
    Sub,
}

impl Method {
    pub const ALL: [Self; 13] = [
        Self::Found,
        Self::Bool,
        Self::Int,
        Self::Ip,
        Self::Bin,
        Self::Len,
        Self::Str,
        Self::Beg,
        Self::Sub,
        Self::Dir,
        Self::Dom,
        Self::End,
        Self::Reg,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Beg => "beg",
            Self::Bin => "bin",
            Self::Bool => "bool",
            Self::Dir => "dir",
            Self::Dom => "dom",
            Self::End => "end",
            Self::Found => "found",
            Self::Int => "int",
            Self::Ip => "ip",
            Self::Len => "len",
            Self::Reg => "reg",
            Self::Str => "str",
            Self::Sub => "sub",
        }
    }

    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|m| m.name() == name)
    }

    /// What is used for values of type `ty` without `-m`.
    pub fn default_for(ty: Type) -> Option<Self> {
        match ty {
            Type::Addr | Type::Ipv4 | Type::Ipv6 => Some(Self::Ip),
            Type::Bool => Some(Self::Bool),
            Type::Meth | Type::Str => Some(Self::Str),
            Type::Sint => Some(Self::Int),
            Type::Any | Type::Bin | Type::Same => None,
        }
    }

    /// The type that values are turned into before they are compared; `None` when anything will do.
    pub fn takes(self) -> Option<Type> {
        match self {
            Self::Found => None,
            Self::Bool => Some(Type::Bool),
            Self::Int => Some(Type::Sint),
            Self::Ip => Some(Type::Addr),
            Self::Bin => Some(Type::Bin),
            Self::Beg
            | Self::Dir
            | Self::Dom
            | Self::End
            | Self::Len
            | Self::Reg
            | Self::Str
            | Self::Sub => Some(Type::Str),
        }
    }

    /// Whether patterns mean anything.
    pub fn has_patterns(self) -> bool {
        !matches!(self, Self::Bool | Self::Found)
    }
}

/// Patterns while they are read.
#[derive(Debug)]
pub enum Builder {
    Addr(addr::Builder),
    Bin(text::Builder),
    None(Method),
    Number(Method, number::Builder),
    Regex(regexes::Builder),
    Text(text::Builder),
}

impl Builder {
    pub fn new(method: Method) -> Self {
        match method {
            Method::Bool | Method::Found => Self::None(method),
            Method::Int | Method::Len => Self::Number(method, number::Builder::default()),
            Method::Ip => Self::Addr(addr::Builder::default()),
            Method::Bin => Self::Bin(text::Builder::new(text::Where::Whole)),
            Method::Beg => Self::Text(text::Builder::new(text::Where::Start)),
            Method::Dir => Self::Text(text::Builder::new(text::Where::Parts(b"/"))),
            Method::Dom => Self::Text(text::Builder::new(text::Where::Parts(b"/?.:"))),
            Method::End => Self::Text(text::Builder::new(text::Where::End)),
            Method::Reg => Self::Regex(regexes::Builder::default()),
            Method::Str => Self::Text(text::Builder::new(text::Where::Whole)),
            Method::Sub => Self::Text(text::Builder::new(text::Where::Anywhere)),
        }
    }

    /// Takes one pattern, or the operator of those that follow.
    ///
    /// # Errors
    /// Why it is none.
    pub fn push(&mut self, pattern: &[u8], ignore_case: bool) -> Result<(), String> {
        match self {
            Self::Addr(set) => set.push(pattern),
            Self::Bin(set) => {
                let bytes = crate::regex::unhex(pattern).ok_or_else(|| {
                    let text = String::from_utf8_lossy(pattern);
                    format!("'{text}' is not an even number of hexadecimal digits")
                })?;
                set.push(&bytes, false);
                Ok(())
            }
            Self::None(_) => Ok(()),
            Self::Number(_, set) => set.push(pattern),
            Self::Regex(set) => set.push(pattern, ignore_case),
            Self::Text(set) => {
                set.push(pattern, ignore_case);
                Ok(())
            }
        }
    }

    /// Two numbers joined by a dot are one number, for versions.
    pub fn allow_dotted(&mut self) {
        if let Self::Number(_, set) = self {
            set.allow_dotted();
        }
    }

    /// # Errors
    /// Regular expressions that are too large together.
    pub fn finish(self) -> Result<Patterns, String> {
        Ok(match self {
            Self::Addr(set) => Patterns::Addr(set.finish()),
            Self::Bin(set) => Patterns::Bin(set.finish()?),
            Self::None(Method::Bool) => Patterns::Bool,
            Self::None(_) => Patterns::Found,
            Self::Number(Method::Len, set) => Patterns::Len(set.finish()),
            Self::Number(_, set) => Patterns::Int(set.finish()),
            Self::Regex(set) => Patterns::Regex(set.finish()?),
            Self::Text(set) => Patterns::Text(set.finish()?),
        })
    }
}

/// All patterns of one ACL line, ready to match.
#[derive(Debug)]
pub enum Patterns {
    Addr(AddrSet),
    Bin(TextSet),
    Bool,
    Found,
    Int(NumberSet),
    Len(NumberSet),
    Regex(RegexList),
    Text(TextSet),
}

impl Patterns {
    /// Whether any pattern matches. A value that has no form to compare matches none.
    pub fn matches<'a>(&self, value: Sample<'a>, cx: &EvalCtx<'a>) -> bool {
        match self {
            Self::Addr(set) => value.addr().is_some_and(|ip| set.contains(ip)),
            Self::Bin(set) => value.bin(cx.scratch).is_some_and(|s| set.matches(s, cx.scratch)),
            Self::Bool => value.bool() == Some(true),
            Self::Found => true,
            Self::Int(set) => value.int().is_some_and(|n| set.contains(n)),
            Self::Len(set) => value.str(cx.scratch).is_some_and(|s| set.contains(s.len() as i64)),
            Self::Regex(set) => value.str(cx.scratch).is_some_and(|s| set.matches(s)),
            Self::Text(set) => value.str(cx.scratch).is_some_and(|s| set.matches(s, cx.scratch)),
        }
    }
}
