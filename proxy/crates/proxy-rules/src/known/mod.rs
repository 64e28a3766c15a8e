//! The whole vocabulary of HAProxy 3.5 as its `-dK` lists it, so that a name which is not carried here can be
//! told from a mistyped one.

use proxy_types::{Diagnostic, text};

const FETCHES: &str = include_str!("fetches.txt");
const CONVERTERS: &str = include_str!("converters.txt");
const ACLS: &str = include_str!("acls.txt");
const ACTIONS: &str = include_str!("actions.txt");

const NO_ID: &str = "the TLS library does not tell identifiers of sessions";
const NO_KEY: &str =
    "the TLS library tells secrets to key logs only: see 'tune.ssl.keylog' and the traffic secrets";
const NO_RANDOM: &str = "the TLS library does not tell the server's random number";
const NO_FINISHED: &str =
    "the TLS library does not tell the Finished messages that it is made of (RFC 5929, 3)";

/// Why a name is not carried, where that is not for want of time.
const WHY: [(&str, &str); 8] = [
    ("ssl_bc_server_random", NO_RANDOM),
    ("ssl_bc_session_id", NO_ID),
    ("ssl_bc_session_key", NO_KEY),
    ("ssl_bc_unique_id", NO_FINISHED),
    ("ssl_fc_server_random", NO_RANDOM),
    ("ssl_fc_session_id", NO_ID),
    ("ssl_fc_session_key", NO_KEY),
    ("ssl_fc_unique_id", NO_FINISHED),
];

/// A kind of name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Acl,
    Action,
    Conv,
    Fetch,
}

impl Kind {
    fn list(self) -> &'static str {
        match self {
            Self::Acl => ACLS,
            Self::Action => ACTIONS,
            Self::Conv => CONVERTERS,
            Self::Fetch => FETCHES,
        }
    }

    fn noun(self) -> &'static str {
        match self {
            Self::Acl => "ACL keyword",
            Self::Action => "action",
            Self::Conv => "converter",
            Self::Fetch => "fetch method",
        }
    }

    /// Every name of this kind.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        self.entries().map(|entry| entry.split(['(', ':', ' ']).next().unwrap_or(entry))
    }

    /// Lines such as `ipmask(IPv4 mask[,IPv6 mask]): addr => addr`, without the matrix of fetches.
    pub fn entries(self) -> impl Iterator<Item = &'static str> {
        self.list().lines().filter(|line| !line.starts_with('#')).map(|line| {
            line.split_once("] ").filter(|_| line.starts_with('[')).map_or(line, |(_, l)| l)
        })
    }

    /// Why `name` cannot be used, given that no row has it.
    pub fn unknown(self, name: &str) -> Diagnostic {
        let noun = self.noun();
        if self.names().any(|n| n == name) {
            let why = WHY.iter().find(|(known, _)| *known == name).map(|(_, why)| *why);
            return Diagnostic::alert(format!("{noun} '{name}' is not supported yet")).note(
                match why {
                    Some(why) => why.to_owned(),
                    None => format!("HAProxy 3.5 has this {noun}; Sluice does not carry it"),
                },
            );
        }
        Diagnostic::alert(format!("unknown {noun} '{name}'"))
            .did_you_mean(text::nearest(name, self.names()))
    }
}

/// The matrix of places of a fetch, for comparison with its row.
pub fn fetch_matrix(name: &str) -> Option<String> {
    matrix(FETCHES, name)
}

/// The matrix of rule sets of an action, for comparison with its row.
pub fn action_matrix(name: &str) -> Option<String> {
    matrix(ACTIONS, name)
}

fn matrix(list: &str, name: &str) -> Option<String> {
    list.lines().find_map(|line| {
        let (matrix, entry) = line.strip_prefix("[ ")?.split_once("] ")?;
        let found = entry.split(['(', ':']).next() == Some(name);
        found.then(|| matrix.split_whitespace().collect())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind: Kind, name: &str, expected: &str) {
        assert_eq!(kind.unknown(name).message, expected);
    }

    #[test]
    fn known_and_mistyped_names() {
        check(Kind::Fetch, "51d.all", "unknown fetch method '51d.all'");
        check(Kind::Fetch, "ssl_c_serial", "fetch method 'ssl_c_serial' is not supported yet");
        check(Kind::Fetch, "paht", "unknown fetch method 'paht'; did you mean 'path' maybe ?");
        check(Kind::Conv, "protobuf", "converter 'protobuf' is not supported yet");
        check(Kind::Conv, "lowr", "unknown converter 'lowr'; did you mean 'lower' maybe ?");
        assert_eq!(Kind::Acl.names().next(), Some("base"));
    }
}
