//! Users, their passwords and groups (configuration manual, 12.2 "userlist").

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use aws_lc_rs::{constant_time, digest};

/// A `userlist` section.
#[derive(Debug)]
pub struct Userlist {
    pub name: Box<str>,
    pub users: Vec<User>,
}

/// One user.
#[derive(Debug)]
pub struct User {
    pub name: Box<str>,
    pub password: Password,
    /// The names of the groups it belongs to.
    pub groups: Vec<Box<str>>,
}

/// What a password is compared with.
#[derive(Debug)]
pub enum Password {
    /// As crypt(3) writes it. Hashing takes milliseconds, so the digest of the last good password is kept.
    Crypt {
        hash: Box<str>,
        good: ArcSwapOption<[u8; 32]>,
    },
    Plain(Box<[u8]>),
}

impl Password {
    /// A hash of crypt(3): SHA-256 (`$5$`), SHA-512 (`$6$`), MD5 (`$1$`), bcrypt (`$2b$` and its kin) or DES. What is
    /// no hash at all is accepted as crypt(3) does it, and no password is right then.
    ///
    /// # Errors
    /// A method of crypt(3) that is not supported: right passwords would be refused.
    pub fn crypt(hash: &str) -> Result<Self, String> {
        const NOT_SUPPORTED: [&str; 7] = ["$7$", "$gy$", "$md5", "$sha1$", "$sm3$", "$y$", "_"];
        if let Some(method) = NOT_SUPPORTED.iter().find(|prefix| hash.starts_with(**prefix)) {
            return Err(format!("password hashes that start with '{method}' are not supported"));
        }
        Ok(Self::Crypt { hash: hash.into(), good: ArcSwapOption::empty() })
    }

    /// Whether any password can be right.
    pub fn is_hash(text: &str) -> bool {
        let known = ["$1$", "$2a$", "$2b$", "$2y$", "$5$", "$6$"];
        known.iter().any(|prefix| text.starts_with(prefix))
            || (text.len() == 13 && !text.starts_with('$'))
    }

    /// Whether `given` is the password.
    pub fn accepts(&self, given: &[u8]) -> bool {
        match self {
            Self::Plain(password) => {
                constant_time::verify_slices_are_equal(password, given).is_ok()
            }
            Self::Crypt { hash, good } => {
                let mut own = [0; 32];
                own.copy_from_slice(digest::digest(&digest::SHA256, given).as_ref());
                if good.load().as_ref().is_some_and(|g| **g == own) {
                    return true;
                }
                let right = pwhash::unix::verify(given, hash);
                if right {
                    good.store(Some(Arc::new(own)));
                }
                right
            }
        }
    }
}

impl Userlist {
    /// The user, when name and password are right.
    pub fn authenticate(&self, name: &[u8], password: &[u8]) -> Option<&User> {
        let user = self.users.iter().find(|user| user.name.as_bytes() == name)?;
        user.password.accepts(password).then_some(user)
    }
}

/// The list of the examples.
pub(crate) fn example() -> Userlist {
    Userlist {
        name: "users".into(),
        users: vec![User {
            name: "tiger".into(),
            password: Password::Plain(b"scott".as_slice().into()),
            groups: vec!["g1".into(), "g2".into()],
        }],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(hash: &str, good: &str, bad: &str) {
        let password = Password::crypt(hash).unwrap();
        for _ in 0..2 {
            assert!(password.accepts(good.as_bytes()), "{hash}");
            assert!(!password.accepts(bad.as_bytes()), "{hash}");
        }
    }

    #[test]
    fn hashes_of_crypt() {
        for hash in [
            "$6$abcdefgh$8jbzjVhPpSPrO/SSstjk1VRdLfzvc1796qZmZYIM8EVpOUw8Orv5y4BkSaXsw0ADjk1gtu8nTp6I.zopyA.iB.",
            "$5$abcdefgh$UZ.ebPapoHfdm7/qh5qUKomQi5zAyOYsMEwRmVN4nUB",
            "$1$abcdefgh$MyavVX9wLBqPKzOzijw4N1",
            "absnCLWGNoQvM",
        ] {
            check(hash, "elgato", "elgat");
        }
        assert!(Password::crypt("$y$x").is_err());
        for no_hash in ["elgato", "x", "!", "", "$6$x"] {
            assert!(!Password::crypt(no_hash).unwrap().accepts(b"elgato"), "{no_hash}");
        }
        assert!(!Password::is_hash("elgato") && Password::is_hash("absnCLWGNoQvM"));
    }

    #[test]
    fn names_and_passwords() {
        let list = example();
        assert!(list.authenticate(b"tiger", b"scott").is_some());
        assert!(list.authenticate(b"tiger", b"scot").is_none());
        assert!(list.authenticate(b"lion", b"scott").is_none());
    }
}
