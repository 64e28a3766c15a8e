//! Samples, ACLs, rules and log formats. No IO; what a rule sees comes through a context.
//!
//! | module | holds |
//! |---|---|
//! | [`sample`] | value types, rows of fetches and converters, expressions, the context of an evaluation |
//! | [`fetch`], [`conv`] | the rows, by topic |
//! | [`acl`] | named and anonymous ACLs, conditions |
//! | [`pattern`] | lists of patterns for ACLs and maps, changed at run time |
//! | [`action`], [`ruleset`] | the actions by topic; rules in order, and the choice of a backend |
//! | [`vars`], [`capture`] | variables of the process, session and stream; captured values |
//! | [`check`] | scripts of health checks |
//! | [`logformat`] | log formats: parser, aliases, rendering, built-in formats |
//! | [`known`] | HAProxy's whole vocabulary, to tell what is not carried from what is mistyped |
//!
//! Everything is compiled while the configuration is read; evaluation borrows from the message and takes memory
//! only from the scratch arena of the context.
#![forbid(unsafe_code)]

pub mod acl;
pub mod action;
pub mod address;
pub mod bandwidth;
pub mod cache;
pub mod capture;
pub mod check;
pub mod conv;
mod date;
pub mod fetch;
pub mod hash;
pub mod json;
pub mod jwe;
pub mod jwt;
pub mod known;
pub mod logformat;
pub mod pattern;
pub mod regex;
pub mod ruleset;
pub mod sample;
pub mod source;
pub mod spop;
pub mod track;
pub mod users;
pub mod vars;
pub mod x509;

pub use date::http_date;
