//! User lists (configuration manual, 12.2).

use proxy_types::{Span, Spanned};

use crate::lexer::Word;

/// A `userlist` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Userlist {
    pub name: Spanned<String>,
    pub span: Span,
    pub groups: Vec<Group>,
    pub users: Vec<User>,
}

/// `group <name> [users <user>,<user>...]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub name: Spanned<String>,
    pub users: Vec<Spanned<String>>,
}

/// `user <name> [password|insecure-password <password>] [groups <group>,<group>...]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub name: Spanned<String>,
    pub password: Option<Password>,
    pub groups: Vec<Spanned<String>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Password {
    /// A hash of crypt(3).
    Crypt(Spanned<String>),
    Plain(Word),
}
