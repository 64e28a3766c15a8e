//! `send` and its forms: the bytes of a check.

use proxy_types::Diagnostic;

use super::http::HttpRequest;
use super::words::Words;
use crate::logformat::LogFormat;
use crate::regex::unhex;
use crate::sample::parse::{fail, show};
use crate::sample::{EvalCtx, ParseCx, Parsed};

/// What is sent.
#[derive(Debug)]
pub enum Send {
    Bytes(Vec<u8>),
    Format(LogFormat),
    /// The format makes hexadecimal digits.
    HexFormat(LogFormat),
    Http(Box<HttpRequest>),
}

impl Send {
    pub(super) fn parse(
        keyword: &str,
        words: &mut Words<'_, '_>,
        cx: &mut ParseCx<'_>,
    ) -> Parsed<(Self, Option<Box<str>>)> {
        let send = match keyword {
            "send-lf" => Self::Format(words.format(cx)?),
            "send-binary-lf" => Self::HexFormat(words.format(cx)?),
            "send-binary" => {
                let word = words.next("hexadecimal digits")?;
                match unhex(word.value) {
                    Some(bytes) => Self::Bytes(bytes),
                    None => {
                        return fail(
                            Diagnostic::alert(format!(
                                "'tcp-check send-binary' expects an even number of hexadecimal \
                                 digits, got '{}'",
                                show(word.value)
                            ))
                            .at(word.span),
                        );
                    }
                }
            }
            _ => Self::Bytes(words.next("a text")?.value.to_vec()),
        };
        let comment = match words.accept("comment") {
            true => Some(words.text("a text")?.into()),
            false => None,
        };
        Ok((send, comment))
    }

    /// The bytes of the moment. `state` is the value of the header of `http-check send-state`, when it is wanted;
    /// `None` when a format makes no valid digits.
    pub fn bytes<'a>(&'a self, cx: &EvalCtx<'a>, state: Option<&str>) -> Option<Vec<u8>> {
        match self {
            Self::Bytes(bytes) => Some(bytes.clone()),
            Self::Format(format) => Some(format.render(cx).to_vec()),
            Self::HexFormat(format) => unhex(format.render(cx)),
            Self::Http(request) => Some(request.bytes(cx, state)),
        }
    }
}
