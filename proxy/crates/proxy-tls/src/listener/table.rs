//! Host names to certificates, built anew when one of them changes.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use rustls::server::ClientHello;
use rustls::{CipherSuite, ServerConfig, SignatureScheme};

use super::{Chosen, Entry, Profile};
use crate::material::{Certificate, KeyKind};

/// A name on a line of a `crt-list`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// `*`: for clients that no other certificate is for.
    Any,
    /// A host name, or all names one label below a domain: `*.example.org`.
    Is(Box<str>),
    /// `!name`: a name that a wildcard of the line is not for.
    Not(Box<str>),
}

impl FromStr for Filter {
    type Err = std::convert::Infallible;

    /// `!` in front of `*` means nothing (configuration manual, 5.1 "crt-list").
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let lower = |name: &str| name.to_ascii_lowercase().into_boxed_str();
        Ok(match text.strip_prefix('!') {
            Some("*") => Self::Any,
            Some(name) if name.starts_with('*') => Self::Is(lower(name)),
            Some(name) => Self::Not(lower(name)),
            None if text == "*" => Self::Any,
            None => Self::Is(lower(text)),
        })
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Is(name) => f.write_str(name),
            Self::Not(name) => write!(f, "!{name}"),
        }
    }
}

/// What a client can verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Offer {
    pub(super) ecdsa: bool,
    pub(super) rsa: bool,
}

impl Offer {
    pub(super) fn new(hello: &ClientHello<'_>) -> Self {
        let suites = hello.cipher_suites();
        let tls13 = suites.iter().any(|suite| {
            use CipherSuite as C;
            matches!(
                *suite,
                C::TLS13_AES_128_GCM_SHA256
                    | C::TLS13_AES_256_GCM_SHA384
                    | C::TLS13_CHACHA20_POLY1305_SHA256
            )
        });
        let with = |word: &str| {
            tls13
                || suites.iter().any(|suite| {
                    suite
                        .as_str()
                        .is_some_and(|name| name.starts_with("TLS_ECDHE_") && name.contains(word))
                })
        };
        let signs = |wanted: &[SignatureScheme]| {
            hello.signature_schemes().iter().any(|scheme| wanted.contains(scheme))
        };
        use SignatureScheme as S;
        Self {
            ecdsa: with("_ECDSA_")
                && signs(&[
                    S::ECDSA_NISTP256_SHA256,
                    S::ECDSA_NISTP384_SHA384,
                    S::ECDSA_NISTP521_SHA512,
                ]),
            rsa: with("_RSA_")
                && signs(&[
                    S::RSA_PSS_SHA256,
                    S::RSA_PSS_SHA384,
                    S::RSA_PSS_SHA512,
                    S::RSA_PKCS1_SHA256,
                    S::RSA_PKCS1_SHA384,
                    S::RSA_PKCS1_SHA512,
                ]),
        }
    }

    fn takes(self, kind: KeyKind) -> bool {
        match kind {
            KeyKind::Ecdsa => self.ecdsa,
            KeyKind::Rsa => self.rsa,
            KeyKind::Other => true,
        }
    }
}

#[derive(Debug)]
struct Ready {
    profile: Arc<Profile>,
    certificate: Arc<Certificate>,
    config: Arc<ServerConfig>,
    name: Arc<str>,
    /// Names that its wildcards are not for.
    except: Box<[Box<str>]>,
}

/// Indices of `ready`, in the order of the configuration.
type Candidates = Vec<u32>;

/// What a listener knows of its certificates.
#[derive(Debug, Default)]
pub(super) struct Table {
    ready: Vec<Ready>,
    exact: FxHashMap<Box<str>, Candidates>,
    /// By the domain below which the names are.
    wild: FxHashMap<Box<str>, Candidates>,
    default: Candidates,
}

impl Table {
    /// `before` is the table to be replaced: what did not change is taken from it.
    pub(super) fn new(entries: &[Entry], before: Option<&Self>) -> Self {
        let mut known: FxHashMap<(usize, usize), &Arc<ServerConfig>> = FxHashMap::default();
        let key = |profile: &Arc<Profile>, certificate: &Arc<Certificate>| {
            (Arc::as_ptr(profile) as usize, Arc::as_ptr(certificate) as usize)
        };
        for ready in before.iter().flat_map(|table| &table.ready) {
            known.insert(key(&ready.profile, &ready.certificate), &ready.config);
        }
        let mut table = Self::default();
        for entry in entries {
            let certificate = entry.slot.certificate();
            let config = match known.get(&key(&entry.profile, &certificate)) {
                Some(config) => Some((*config).clone()),
                None => entry.profile.config(&certificate),
            };
            let Some(config) = config else { continue };
            table.add(entry, certificate, config);
        }
        table
    }

    fn add(&mut self, entry: &Entry, certificate: Arc<Certificate>, config: Arc<ServerConfig>) {
        let index = u32::try_from(self.ready.len()).unwrap_or(u32::MAX);
        let mut default = entry.default;
        let mut name = |name: &str| {
            let (map, key) = match name.strip_prefix("*.") {
                Some(parent) => (&mut self.wild, parent),
                None => (&mut self.exact, name),
            };
            match map.get_mut(key) {
                Some(list) => list.push(index),
                None => drop(map.insert(key.into(), vec![index])),
            }
        };
        let mut except = Vec::new();
        for filter in &entry.filters {
            match filter {
                Filter::Any => default = true,
                Filter::Is(text) => name(text),
                Filter::Not(text) => except.push(text.clone()),
            }
        }
        if !entry.filters.iter().any(|filter| matches!(filter, Filter::Is(_) | Filter::Any)) {
            certificate.names.iter().for_each(|text| name(text));
        }
        if default {
            self.default.push(index);
        }
        let profile = entry.profile.clone();
        let name = entry.slot.name.clone();
        self.ready.push(Ready { profile, certificate, config, name, except: except.into() });
    }

    pub(super) fn choose(
        &self,
        name: Option<&str>,
        offer: Offer,
        or_default: bool,
    ) -> Option<Chosen> {
        let named = name.and_then(|name| self.named(name, offer));
        let index = match named {
            Some(index) => index,
            None if or_default => self.best(&self.default, offer)?,
            None => return None,
        };
        let ready = self.ready.get(index as usize)?;
        Some(Chosen {
            config: ready.config.clone(),
            certificate: ready.certificate.clone(),
            name: ready.name.clone(),
        })
    }

    /// The exact name first; a wildcard only for what has no exact name that the client can use.
    fn named(&self, name: &str, offer: Offer) -> Option<u32> {
        let name = name.strip_suffix('.').unwrap_or(name);
        let lower;
        let name = if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            lower = name.to_ascii_lowercase();
            lower.as_str()
        } else {
            name
        };
        let exact = self.exact.get(name).map_or(&[][..], Vec::as_slice);
        let wild: Candidates = name
            .split_once('.')
            .and_then(|(_, parent)| self.wild.get(parent))
            .into_iter()
            .flatten()
            .copied()
            .filter(|&index| !self.ready[index as usize].except.iter().any(|text| **text == *name))
            .collect();
        self.fitting(exact, offer)
            .or_else(|| self.fitting(&wild, offer))
            .or_else(|| exact.iter().chain(&wild).next().copied())
    }

    fn best(&self, list: &[u32], offer: Offer) -> Option<u32> {
        self.fitting(list, offer).or_else(|| list.first().copied())
    }

    /// ECDSA is cheaper for both sides.
    fn fitting(&self, list: &[u32], offer: Offer) -> Option<u32> {
        let of = |kind: KeyKind| {
            offer.takes(kind).then(|| {
                list.iter().copied().find(|&i| self.ready[i as usize].certificate.kind == kind)
            })?
        };
        of(KeyKind::Ecdsa).or_else(|| of(KeyKind::Rsa)).or_else(|| of(KeyKind::Other))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Options, Shared, Slot};
    use super::*;
    use crate::material::tests::certificate;

    const BOTH: Offer = Offer { ecdsa: true, rsa: true };

    fn entry(cn: &str, filters: &str, default: bool) -> Entry {
        let profile = Profile::new(&Options::default(), &Shared::default()).unwrap();
        Entry {
            slot: Arc::new(Slot::new(cn, Arc::new(certificate(cn, &[])))),
            profile: Arc::new(profile),
            filters: filters.split_whitespace().map(|text| text.parse().unwrap()).collect(),
            default,
            line: None,
        }
    }

    #[track_caller]
    fn check(table: &Table, name: Option<&str>, expected: Option<&str>) {
        let chosen = table.choose(name, BOTH, true);
        let got = chosen.as_ref().map(|chosen| &*chosen.certificate.names[0]);
        assert_eq!(got, expected, "{name:?}");
    }

    #[test]
    fn names_choose() {
        let table = Table::new(
            &[
                entry("default.org", "", true),
                entry("a.org", "", false),
                entry("*.a.org", "", false),
                entry("filtered.org", "*.b.org !secret.b.org", false),
                entry("secret.org", "secret.c.org Upper.C.org", false),
            ],
            None,
        );
        check(&table, None, Some("default.org"));
        check(&table, Some("nobody.org"), Some("default.org"));
        check(&table, Some("a.org"), Some("a.org"));
        check(&table, Some("A.org."), Some("a.org"));
        check(&table, Some("www.a.org"), Some("*.a.org"));
        check(&table, Some("x.www.a.org"), Some("default.org"));
        check(&table, Some("x.b.org"), Some("filtered.org"));
        check(&table, Some("secret.b.org"), Some("default.org"));
        check(&table, Some("filtered.org"), Some("default.org"));
        check(&table, Some("upper.c.org"), Some("secret.org"));
        assert!(table.choose(Some("nobody.org"), BOTH, false).is_none());
        assert!(table.choose(None, BOTH, false).is_none());
        assert!(Table::default().choose(None, BOTH, true).is_none());
    }

    #[test]
    fn an_explicit_default_counts_with_the_first() {
        let table = Table::new(&[entry("a.org", "x.org", false), entry("b.org", "*", false)], None);
        check(&table, None, Some("b.org"));
        check(&table, Some("x.org"), Some("a.org"));
        check(&table, Some("b.org"), Some("b.org"));
    }

    #[test]
    fn what_did_not_change_is_kept() {
        let entries = [entry("a.org", "", true), entry("b.org", "", false)];
        let before = Table::new(&entries, None);
        entries[1].slot.replace(Arc::new(certificate("c.org", &[])));
        let after = Table::new(&entries, Some(&before));
        assert!(Arc::ptr_eq(&before.ready[0].config, &after.ready[0].config));
        check(&after, Some("b.org"), Some("a.org"));
        check(&after, Some("c.org"), Some("c.org"));
    }
}
