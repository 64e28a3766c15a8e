//! HTTP messages and codecs. No IO, no clock.
#![forbid(unsafe_code)]
