//! OpenSSL's names of cipher suites, and its language for lists of them (`man 1 ciphers`).

use rustls::crypto::aws_lc_rs::cipher_suite as offered;
use rustls::{CipherSuite, SupportedCipherSuite};

/// A suite of TLS 1.2 with what the group words of OpenSSL look at.
struct Suite {
    name: &'static str,
    iana: &'static str,
    suite: SupportedCipherSuite,
    ecdsa: bool,
    cipher: Cipher,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Cipher {
    Aes128Gcm,
    Aes256Gcm,
    ChaCha20,
}

const fn suite(
    name: &'static str,
    iana: &'static str,
    suite: SupportedCipherSuite,
    ecdsa: bool,
    cipher: Cipher,
) -> Suite {
    Suite { name, iana, suite, ecdsa, cipher }
}

/// In OpenSSL's order of preference.
static SUITES: [Suite; 6] = [
    suite(
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        offered::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        true,
        Cipher::Aes256Gcm,
    ),
    suite(
        "ECDHE-RSA-AES256-GCM-SHA384",
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        offered::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        false,
        Cipher::Aes256Gcm,
    ),
    suite(
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        offered::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        true,
        Cipher::ChaCha20,
    ),
    suite(
        "ECDHE-RSA-CHACHA20-POLY1305",
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        offered::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        false,
        Cipher::ChaCha20,
    ),
    suite(
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        offered::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        true,
        Cipher::Aes128Gcm,
    ),
    suite(
        "ECDHE-RSA-AES128-GCM-SHA256",
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        offered::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        false,
        Cipher::Aes128Gcm,
    ),
];

/// Suites of TLS 1.3 in OpenSSL's order of preference.
static SUITES13: [(&str, SupportedCipherSuite); 3] = [
    ("TLS_AES_256_GCM_SHA384", offered::TLS13_AES_256_GCM_SHA384),
    ("TLS_CHACHA20_POLY1305_SHA256", offered::TLS13_CHACHA20_POLY1305_SHA256),
    ("TLS_AES_128_GCM_SHA256", offered::TLS13_AES_128_GCM_SHA256),
];

/// A list that was read.
#[derive(Debug, Default, PartialEq)]
pub struct List {
    /// In order of preference.
    pub suites: Vec<SupportedCipherSuite>,
    /// Suites or groups that were asked for of which there is nothing here.
    pub missing: Vec<String>,
}

/// All suites of TLS 1.2, in OpenSSL's order of preference.
#[must_use]
pub fn all() -> Vec<SupportedCipherSuite> {
    SUITES.iter().map(|suite| suite.suite).collect()
}

/// All suites of TLS 1.3, in OpenSSL's order of preference.
#[must_use]
pub fn all13() -> Vec<SupportedCipherSuite> {
    SUITES13.iter().map(|(_, suite)| *suite).collect()
}

/// Reads a `ciphersuites` list: names of suites of TLS 1.3.
#[must_use]
pub fn parse13(text: &str) -> List {
    let mut list = List::default();
    for word in text.split(':').map(str::trim).filter(|word| !word.is_empty()) {
        match SUITES13.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)) {
            Some((_, suite)) if !list.suites.contains(suite) => list.suites.push(*suite),
            Some(_) => {}
            None => list.missing.push(word.to_owned()),
        }
    }
    list
}

/// Reads a `ciphers` list: names and groups of suites up to TLS 1.2, with the operators `!`, `-`, `+` and the commands
/// `@STRENGTH` and `@SECLEVEL`.
#[must_use]
pub fn parse(text: &str) -> List {
    let mut list = List::default();
    // Indices into `SUITES`.
    let mut active: Vec<usize> = Vec::new();
    let mut killed = [false; SUITES.len()];
    // A command may stand right behind a word: `DEFAULT@SECLEVEL=1`.
    let text = text.replace('@', ":@");
    for word in text.split([':', ',', ' ', ';']).filter(|word| !word.is_empty()) {
        if let Some(command) = word.strip_prefix('@') {
            if command == "STRENGTH" {
                active.sort_by_key(|&i| SUITES[i].cipher == Cipher::Aes128Gcm);
            } else if !command.starts_with("SECLEVEL=") {
                list.missing.push(word.to_owned());
            }
            continue;
        }
        let (operator, name) = match word.as_bytes()[0] {
            operator @ (b'!' | b'-' | b'+') => (Some(operator), &word[1..]),
            _ => (None, word),
        };
        let matching: Vec<usize> = (0..SUITES.len())
            .filter(|&i| name.split('+').all(|part| is_in(&SUITES[i], part)))
            .collect();
        match operator {
            None if matching.is_empty() => {
                if !is_removal_only(name) {
                    list.missing.push(word.to_owned());
                }
            }
            None => {
                for i in matching {
                    if !killed[i] && !active.contains(&i) {
                        active.push(i);
                    }
                }
            }
            Some(b'+') => {
                let (moved, kept): (Vec<_>, Vec<_>) =
                    active.iter().partition(|i| matching.contains(i));
                active = kept;
                active.extend(moved);
            }
            Some(operator) => {
                active.retain(|i| !matching.contains(i));
                if operator == b'!' {
                    matching.iter().for_each(|&i| killed[i] = true);
                }
            }
        }
    }
    list.suites = active.iter().map(|&i| SUITES[i].suite).collect();
    list
}

/// Groups that are empty in OpenSSL, too.
fn is_removal_only(name: &str) -> bool {
    matches!(name, "COMPLEMENTOFALL" | "COMPLEMENTOFDEFAULT" | "eNULL" | "NULL")
}

/// Whether a suite has this name or is in this group.
fn is_in(suite: &Suite, word: &str) -> bool {
    let aes = suite.cipher != Cipher::ChaCha20;
    match word {
        "ALL" | "DEFAULT" | "HIGH" | "TLSv1.2" | "ECDHE" | "EECDH" | "kEECDH" | "kECDHE"
        | "ECDH" | "AEAD" => true,
        // "RSA" alone is the exchange of keys by RSA, which is not offered.
        "aRSA" => !suite.ecdsa,
        "FIPS" => aes,
        "ECDSA" | "aECDSA" => suite.ecdsa,
        "AES" | "AESGCM" => aes,
        "AES128" => suite.cipher == Cipher::Aes128Gcm,
        "AES256" => suite.cipher == Cipher::Aes256Gcm,
        "CHACHA20" => suite.cipher == Cipher::ChaCha20,
        "SUITEB128" | "SUITEB192" => suite.ecdsa && suite.cipher == Cipher::Aes256Gcm,
        "SUITEB128ONLY" => suite.ecdsa && suite.cipher == Cipher::Aes128Gcm,
        name => name == suite.name || name == suite.iana,
    }
}

/// OpenSSL's name of a suite, and the strength of its symmetric cipher in bits.
#[must_use]
pub fn describe(suite: CipherSuite) -> Option<(&'static str, u16)> {
    let strength = |cipher| if cipher == Cipher::Aes128Gcm { 128 } else { 256 };
    SUITES
        .iter()
        .find(|known| known.suite.suite() == suite)
        .map(|known| (known.name, strength(known.cipher)))
        .or_else(|| {
            let (name, _) = SUITES13.iter().find(|(_, known)| known.suite() == suite)?;
            Some((*name, if name.contains("128") { 128 } else { 256 }))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names without the common `ECDHE-` and the hash.
    #[track_caller]
    fn check(text: &str, expected: &[&str], missing: &[&str]) {
        let list = parse(text);
        let names: Vec<&str> =
            list.suites.iter().map(|suite| describe(suite.suite()).unwrap().0).collect();
        assert_eq!(names, expected, "{text}");
        assert_eq!(list.missing, missing, "{text}");
    }

    const E256: &str = "ECDHE-ECDSA-AES256-GCM-SHA384";
    const R256: &str = "ECDHE-RSA-AES256-GCM-SHA384";
    const EC: &str = "ECDHE-ECDSA-CHACHA20-POLY1305";
    const RC: &str = "ECDHE-RSA-CHACHA20-POLY1305";
    const E128: &str = "ECDHE-ECDSA-AES128-GCM-SHA256";
    const R128: &str = "ECDHE-RSA-AES128-GCM-SHA256";

    #[test]
    fn names_keep_their_order() {
        check(&format!("{R128}:{E256}"), &[R128, E256], &[]);
        check(&format!("{R128}:{R128} {E256},AES128-SHA"), &[R128, E256], &["AES128-SHA"]);
        check("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", &[R128], &[]);
        check("DHE-RSA-AES256-GCM-SHA384", &[], &["DHE-RSA-AES256-GCM-SHA384"]);
    }

    #[test]
    fn groups_and_operators() {
        check("ALL", &[E256, R256, EC, RC, E128, R128], &[]);
        check("EECDH+AESGCM:EDH+AESGCM", &[E256, R256, E128, R128], &["EDH+AESGCM"]);
        check("ECDH+AESGCM:ECDH+CHACHA20:!aNULL:!MD5:!DSS", &[E256, R256, E128, R128, EC, RC], &[]);
        check("HIGH:!aNULL:!AES256:AES256", &[EC, RC, E128, R128], &[]);
        check("HIGH:-AES256:AES256", &[EC, RC, E128, R128, E256, R256], &[]);
        check("ALL:+AES256", &[EC, RC, E128, R128, E256, R256], &[]);
        check("ALL:!ECDSA", &[R256, RC, R128], &[]);
        check("AES128:AES256:@STRENGTH", &[E256, R256, E128, R128], &[]);
        check("DEFAULT@SECLEVEL=0", &[E256, R256, EC, RC, E128, R128], &[]);
        check("DEFAULT:@SECLEVEL=0", &[E256, R256, EC, RC, E128, R128], &[]);
        check("no-such-thing:RC4:RSA", &[], &["no-such-thing", "RC4", "RSA"]);
        check("", &[], &[]);
    }

    #[test]
    fn suites_of_tls13() {
        let list = parse13("TLS_AES_128_GCM_SHA256:TLS_AES_128_CCM_SHA256:TLS_AES_256_GCM_SHA384");
        let names: Vec<_> =
            list.suites.iter().map(|suite| describe(suite.suite()).unwrap()).collect();
        assert_eq!(names, [("TLS_AES_128_GCM_SHA256", 128), ("TLS_AES_256_GCM_SHA384", 256)]);
        assert_eq!(list.missing, ["TLS_AES_128_CCM_SHA256"]);
    }
}
