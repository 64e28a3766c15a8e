//! Rules that look at nothing of a connection but the client's address, so that they can be asked before there is a
//! connection.

use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};

use bumpalo::Bump;

use crate::acl::{AclExpr, Verdict};
use crate::action::{Close, Flow};
use crate::ruleset::{Rule, RuleSet};
use crate::sample::EvalCtx;
use crate::sample::context::{Clock, Overrides, Shared};

/// What a rule does to the clients it holds for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceOutcome {
    Accept,
    /// `reject`: the client learns that it is not wanted.
    Reject,
    /// `silent-drop` without a time to live.
    SilentDrop,
    /// Whatever else.
    Other,
}

/// First bits, and how many of them count, in the 128-bit address space; IPv4 is mapped.
pub type Bits = (u128, u8);

impl AclExpr {
    /// The networks that decide when the client's address alone does: addresses in the same ones are judged alike.
    pub fn source_prefixes(&self) -> Option<Vec<Bits>> {
        let expr = self.expr();
        match expr.fetch().name {
            "always_true" | "always_false" if !expr.has_converters() => Some(Vec::new()),
            // What the list of a map says is a matter of its networks; what the ACL makes of it, is not one of the
            // address any more.
            "src" => match expr.only_map() {
                Some(map) => map.prefixes(),
                None if expr.has_converters() => None,
                None => {
                    let each = self.matchers().map(|matcher| matcher.prefixes());
                    each.collect::<Option<Vec<_>>>().map(|all| all.concat())
                }
            },
            _ => None,
        }
    }
}

impl Rule {
    /// What it does when its condition holds.
    pub fn outcome(&self) -> SourceOutcome {
        match self.action().verdict() {
            Some(Flow::Stop) => SourceOutcome::Accept,
            Some(Flow::Close(Close::Reject)) => SourceOutcome::Reject,
            Some(Flow::Close(Close::SilentDrop { rst_ttl: None })) => SourceOutcome::SilentDrop,
            _ => SourceOutcome::Other,
        }
    }

    /// As [`AclExpr::source_prefixes`], for all of its condition.
    pub fn source_prefixes(&self) -> Option<Vec<Bits>> {
        let Some(condition) = self.condition() else { return Some(Vec::new()) };
        let each = condition.expressions().map(AclExpr::source_prefixes);
        each.collect::<Option<Vec<_>>>().map(|all| all.concat())
    }
}

/// Asks rules about addresses.
pub struct SourceEval<'a> {
    shared: &'a Shared,
    scratch: Bump,
    random: Cell<u64>,
}

impl<'a> SourceEval<'a> {
    pub fn new(shared: &'a Shared) -> Self {
        Self { shared, scratch: Bump::new(), random: Cell::new(1) }
    }

    /// Position of the first rule that holds for a client.
    pub fn first(&mut self, rules: &RuleSet, client: IpAddr) -> Option<usize> {
        self.scratch.reset();
        let overrides = Overrides::default();
        overrides.src.set(Some(SocketAddr::new(client, 0)));
        let cx = EvalCtx {
            overrides: Some(&overrides),
            complete: true,
            ..EvalCtx::new(&self.scratch, self.shared, Clock::default(), &self.random)
        };
        rules.iter().position(|rule| {
            rule.condition().is_none_or(|condition| condition.eval(&cx) == Verdict::True)
        })
    }
}

#[cfg(test)]
mod tests {
    use proxy_types::{Diagnostics, Mode, Spanned};

    use super::*;
    use crate::acl::AclTable;
    use crate::action::SetKind;
    use crate::pattern::PatternLists;
    use crate::sample::example::Traffic;
    use crate::sample::{Loader, ParseCx, Place, Word};

    struct Files;

    impl Loader for Files {
        fn load(&self, name: &str) -> Result<Vec<u8>, String> {
            match name {
                "nets" => Ok(b"192.0.2.0/24\n2001:db8::/32\n".to_vec()),
                "map" => Ok(b"10.0.0.0/8 deny\n10.1.0.0/16 allow\n".to_vec()),
                _ => Err("no such file".to_owned()),
            }
        }
    }

    fn words(line: &str) -> Vec<Word<'_>> {
        line.split(' ').map(|word| Spanned::builtin(word.as_bytes())).collect()
    }

    fn rules(traffic: &Traffic, acls: &[&str], lines: &[&str]) -> RuleSet {
        let (mut diag, mut refs) = (Diagnostics::new(), Vec::new());
        let mut cx = ParseCx {
            section: "fe",
            listen: false,
            place: Place::FeTcpConnection,
            mode: Mode::Tcp,
            vars: &traffic.names,
            loader: &Files,
            patterns: &PatternLists::default(),
            keys: &crate::jwt::PublicKeys::default(),
            files: &(),
            captures: None,
            acls: None,
            counters: crate::track::COUNTERS,
            diag: &mut diag,
            refs: &mut refs,
        };
        let mut table = AclTable::default();
        for line in acls {
            table.declare(&words(line), &mut cx).unwrap();
        }
        let mut set = RuleSet::new();
        for line in lines {
            set.push(
                Rule::parse(SetKind::TcpConnection, &words(line), &mut table, &mut cx).unwrap(),
            );
        }
        set
    }

    /// Number of networks of each rule, `-` where more than the address is looked at.
    #[track_caller]
    fn cuts(lines: &[&str], expected: &str) {
        let traffic = Traffic::new();
        let set = rules(&traffic, &["bad src 10.0.0.1", "bad src -f nets"], lines);
        let shown: Vec<_> = set
            .iter()
            .map(|rule| {
                rule.source_prefixes().map_or_else(|| "-".to_owned(), |p| p.len().to_string())
            })
            .collect();
        assert_eq!(shown.join(" "), expected);
    }

    #[test]
    fn what_is_a_matter_of_the_address() {
        cuts(&["accept", "reject if TRUE", "silent-drop if { src 10.0.0.0/8 ::1 }"], "0 0 4");
        // Three networks for each of IPv4, one for one of IPv6.
        cuts(&["reject if bad", "reject unless !bad { src -f nets }"], "7 11");
        cuts(&["reject if { src,map_ip(map) -m str deny }"], "6");
        cuts(&["reject if { src,map_ip(map,x) -m found } or bad"], "13");
        cuts(&["reject if { src_port 1 }", "reject if { src -m beg 10. }"], "- -");
        cuts(&["reject if { src,ipmask(24) 10.0.0.0 }", "reject if bad { dst 10.0.0.1 }"], "- -");
        cuts(&["reject if { src 10.0.0.7/255.0.0.255 }"], "-");
        cuts(&["reject if { src,map_ip(map),length gt 1 }"], "-");
    }

    #[test]
    fn outcomes() {
        let traffic = Traffic::new();
        let lines = ["accept", "reject", "silent-drop", "silent-drop rst-ttl 9", "track-sc0 src"];
        let set = rules(&traffic, &[], &lines);
        let outcomes: Vec<_> = set.iter().map(Rule::outcome).collect();
        use SourceOutcome::{Accept, Other, Reject, SilentDrop};
        assert_eq!(outcomes, [Accept, Reject, SilentDrop, Other, Other]);
    }

    #[test]
    fn the_first_that_holds() {
        let traffic = Traffic::new();
        let lines = [
            "accept if { src 10.1.2.3 }",
            "reject if { src,map_ip(map) -m str deny }",
            "silent-drop unless { src 10.0.0.0/8 192.0.2.0/24 }",
        ];
        let set = rules(&traffic, &[], &lines);
        let mut eval = SourceEval::new(&traffic.shared);
        let mut first = |ip: &str| eval.first(&set, ip.parse().unwrap());
        assert_eq!(first("10.1.2.3"), Some(0));
        assert_eq!(first("10.2.0.1"), Some(1));
        assert_eq!(first("10.1.0.1"), None);
        assert_eq!(first("192.0.2.9"), None);
        assert_eq!(first("203.0.113.9"), Some(2));
        assert_eq!(first("2001:db8::1"), Some(2));
    }
}
