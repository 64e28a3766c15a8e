//! Names in certificates, and which host names they are for.

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

/// A certificate, read without judging it.
pub(crate) fn parse(der: &[u8]) -> Option<X509Certificate<'_>> {
    X509Certificate::from_der(der).ok().map(|(_, certificate)| certificate)
}

/// The common name and all DNS names, in lower case, each once.
pub(crate) fn host_names(certificate: &X509Certificate<'_>) -> Vec<Box<str>> {
    let mut names: Vec<Box<str>> = Vec::new();
    let mut add = |name: &str| {
        let name = name.to_ascii_lowercase().into_boxed_str();
        if !name.is_empty() && !names.contains(&name) {
            names.push(name);
        }
    };
    common_names(certificate).for_each(&mut add);
    dns_names(certificate).for_each(&mut add);
    names
}

fn common_names<'a>(certificate: &'a X509Certificate<'_>) -> impl Iterator<Item = &'a str> {
    certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok())
}

fn general_names<'a>(
    certificate: &'a X509Certificate<'_>,
) -> impl Iterator<Item = &'a GeneralName<'a>> {
    let names = certificate.subject_alternative_name().ok().flatten();
    names.into_iter().flat_map(|names| names.value.general_names.iter())
}

fn dns_names<'a>(certificate: &'a X509Certificate<'_>) -> impl Iterator<Item = &'a str> {
    general_names(certificate).filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(*name),
        _ => None,
    })
}

/// Whether the certificate `issuer` may have signed `certificate`: their names fit.
#[must_use]
pub fn is_issuer(issuer: &[u8], certificate: &[u8]) -> bool {
    let (Some(issuer), Some(certificate)) = (parse(issuer), parse(certificate)) else {
        return false;
    };
    issuer.subject().as_raw() == certificate.issuer().as_raw()
}

/// Whether a certificate is for `host`, a DNS name or an IP address: by its alternative names, and by its common name
/// when it has no alternative DNS name (RFC 2818, 3.1).
#[must_use]
pub fn is_for(der: &[u8], host: &str) -> bool {
    let Some(certificate) = parse(der) else { return false };
    if let Ok(ip) = host.parse::<std::net::IpAddr>() {
        let bytes = match ip {
            std::net::IpAddr::V4(ip) => ip.octets().to_vec(),
            std::net::IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        let by_address = general_names(&certificate)
            .any(|name| matches!(name, GeneralName::IPAddress(address) if *address == bytes));
        if by_address {
            return true;
        }
    }
    let mut names = dns_names(&certificate).peekable();
    if names.peek().is_some() {
        return names.any(|name| matches(name, host));
    }
    common_names(&certificate).any(|name| matches(name, host))
}

/// Whether a name of a certificate, where `*` may stand for the first label, is that of `host`.
#[must_use]
pub fn matches(pattern: &str, host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    match pattern.strip_prefix("*.") {
        None => pattern.eq_ignore_ascii_case(host),
        Some(parent) => host
            .split_once('.')
            .is_some_and(|(label, rest)| !label.is_empty() && rest.eq_ignore_ascii_case(parent)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::material::tests::certificate;

    #[test]
    fn a_wildcard_is_one_label() {
        let check = |pattern, host, expected| {
            assert_eq!(matches(pattern, host), expected, "{pattern} {host}")
        };
        check("a.org", "a.org", true);
        check("A.org", "a.ORG", true);
        check("a.org", "a.org.", true);
        check("a.org", "b.a.org", false);
        check("*.a.org", "b.a.org", true);
        check("*.a.org", "B.A.org", true);
        check("*.a.org", "a.org", false);
        check("*.a.org", "c.b.a.org", false);
        check("*.a.org", ".a.org", false);
    }

    #[test]
    fn the_common_name_counts_without_alternative_names() {
        let check = |cn, sans: &[&str], host, expected| {
            let certificate = certificate(cn, sans);
            assert_eq!(is_for(&certificate.chain[0], host), expected, "{cn} {sans:?} {host}");
        };
        check("a.org", &[], "a.org", true);
        check("a.org", &["b.org"], "a.org", false);
        check("a.org", &["b.org"], "b.org", true);
        check("a.org", &["127.0.0.1"], "127.0.0.1", true);
        check("a.org", &["127.0.0.1"], "a.org", true);
        check("a.org", &["127.0.0.1"], "127.0.0.2", false);
    }
}
