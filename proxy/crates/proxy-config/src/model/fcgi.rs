//! `fcgi-app` sections (configuration manual, 10.1).

use proxy_types::{Span, Spanned};

use super::{AclLine, Condition, LogEntry};
use crate::lexer::Word;

/// A FastCGI application.
#[derive(Clone, Debug, Default)]
pub struct FcgiApp {
    pub name: Spanned<String>,
    /// Private to the section.
    pub acls: Vec<AclLine>,
    /// Where the scripts are on the application's host.
    pub docroot: Option<Spanned<String>>,
    /// The script of paths that end with a slash.
    pub index: Option<Spanned<String>>,
    /// What takes the script's name and what follows it from a path.
    pub path_info: Option<Spanned<String>>,
    /// Where what the application writes to its standard error goes.
    pub log_stderr: Vec<LogEntry>,
    /// Request fields that are passed though they usually are not.
    pub pass_headers: Vec<FcgiHeader>,
    pub params: Vec<FcgiParam>,
    /// `option get-values`: the application is asked what it can do.
    pub get_values: Option<Spanned<bool>>,
    /// `option keep-conn`, on by default.
    pub keep_conn: Option<Spanned<bool>>,
    /// `option max-reqs`: 1 by default.
    pub max_reqs: Option<Spanned<u32>>,
    /// `option mpxs-conns`: connections carry several requests at once.
    pub mpxs_conns: Option<Spanned<bool>>,
}

/// `pass-header <name> [if|unless <condition>]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FcgiHeader {
    pub span: Span,
    pub name: Spanned<String>,
    pub condition: Option<Condition>,
}

/// `set-param <name> <fmt> [if|unless <condition>]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FcgiParam {
    pub span: Span,
    pub name: Spanned<String>,
    pub format: Word,
    pub condition: Option<Condition>,
}
