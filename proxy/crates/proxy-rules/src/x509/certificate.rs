//! What is in a certificate, as text.

use x509_parser::certificate::X509Certificate;
use x509_parser::der_parser::Oid;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// Reads a certificate. `None` is none.
pub fn parse(der: &[u8]) -> Option<X509Certificate<'_>> {
    X509Certificate::from_der(der).ok().map(|(_, certificate)| certificate)
}

/// How a whole name is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameForm {
    /// `/C=FR/CN=x`
    OneLine,
    /// `CN=x,C=FR` (RFC 2253).
    Rfc2253,
    /// `C = FR, CN = x`, as OCSP responses are told.
    Spaced,
}

/// The short name of a kind of attribute.
fn short_name(oid: &Oid<'_>) -> String {
    let number = oid.to_id_string();
    let known = match number.as_str() {
        "2.5.4.3" => "CN",
        "2.5.4.4" => "SN",
        "2.5.4.5" => "serialNumber",
        "2.5.4.6" => "C",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.9" => "street",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "2.5.4.12" => "title",
        "2.5.4.13" => "description",
        "2.5.4.15" => "businessCategory",
        "2.5.4.17" => "postalCode",
        "2.5.4.41" => "name",
        "2.5.4.42" => "GN",
        "2.5.4.43" => "initials",
        "2.5.4.44" => "generationQualifier",
        "2.5.4.46" => "dnQualifier",
        "2.5.4.65" => "pseudonym",
        "2.5.4.97" => "organizationIdentifier",
        "0.9.2342.19200300.100.1.1" => "UID",
        "0.9.2342.19200300.100.1.25" => "DC",
        "1.2.840.113549.1.9.1" => "emailAddress",
        "1.2.840.113549.1.9.2" => "unstructuredName",
        "1.3.6.1.4.1.311.60.2.1.1" => "jurisdictionL",
        "1.3.6.1.4.1.311.60.2.1.2" => "jurisdictionST",
        "1.3.6.1.4.1.311.60.2.1.3" => "jurisdictionC",
        _ => return number,
    };
    known.to_owned()
}

fn value(attribute: &AttributeTypeAndValue<'_>) -> String {
    match attribute.as_str() {
        Ok(text) => text.to_owned(),
        Err(_) => String::from_utf8_lossy(attribute.as_slice()).into_owned(),
    }
}

/// A whole name; `None` when it has no attribute.
pub fn name(name: &X509Name<'_>, form: NameForm) -> Option<String> {
    let parts = name.iter_attributes().map(|a| (short_name(a.attr_type()), value(a)));
    let text = match form {
        NameForm::OneLine => parts.map(|(kind, value)| format!("/{kind}={value}")).collect(),
        NameForm::Rfc2253 => {
            let mut parts: Vec<String> =
                parts.map(|(kind, value)| format!("{kind}={}", escaped(&value))).collect();
            parts.reverse();
            parts.join(",")
        }
        NameForm::Spaced => {
            let parts: Vec<String> =
                parts.map(|(kind, value)| format!("{kind} = {value}")).collect();
            parts.join(", ")
        }
    };
    Some(text).filter(|text| !text.is_empty())
}

/// A name that stands alone, as DER.
pub fn name_of_der(der: &[u8], form: NameForm) -> Option<String> {
    let (_, parsed) = X509Name::from_der(der).ok()?;
    name(&parsed, form)
}

/// RFC 2253, 2.4.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let last = text.chars().count().saturating_sub(1);
    for (at, c) in text.chars().enumerate() {
        let edge = (at == 0 && matches!(c, ' ' | '#')) || (at == last && c == ' ');
        if edge || matches!(c, ',' | '+' | '"' | '\\' | '<' | '>' | ';') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// The attribute `kind` (`CN`) of a name: the `occurrence`th, counted from 1, or from the end when negative; 0 is the
/// first.
pub fn attribute(name: &X509Name<'_>, kind: &str, occurrence: i64) -> Option<String> {
    let mut found: Vec<String> = name
        .iter_attributes()
        .filter(|attribute| short_name(attribute.attr_type()) == kind)
        .map(value)
        .collect();
    let position = usize::try_from(occurrence.unsigned_abs()).ok()?.saturating_sub(1);
    if occurrence < 0 {
        found.reverse();
    }
    found.into_iter().nth(position)
}

/// The algorithm of the certificate's signature: `RSA-SHA256`.
pub fn signature_algorithm(certificate: &X509Certificate<'_>) -> String {
    algorithm_name(&certificate.signature_algorithm.algorithm)
}

/// The long name of an algorithm of signatures, of the content of its object identifier.
pub fn algorithm_of_content(oid: &[u8]) -> String {
    long_name(&algorithm_name(&Oid::new(oid.into())))
}

/// The name of an algorithm of signatures.
pub(super) fn algorithm_name(oid: &Oid<'_>) -> String {
    match oid.to_id_string().as_str() {
        "1.2.840.113549.1.1.4" => "RSA-MD5",
        "1.2.840.113549.1.1.5" => "RSA-SHA1",
        "1.2.840.113549.1.1.10" => "RSASSA-PSS",
        "1.2.840.113549.1.1.11" => "RSA-SHA256",
        "1.2.840.113549.1.1.12" => "RSA-SHA384",
        "1.2.840.113549.1.1.13" => "RSA-SHA512",
        "1.2.840.113549.1.1.14" => "RSA-SHA224",
        "1.2.840.10045.4.1" => "ecdsa-with-SHA1",
        "1.2.840.10045.4.3.2" => "ecdsa-with-SHA256",
        "1.2.840.10045.4.3.3" => "ecdsa-with-SHA384",
        "1.2.840.10045.4.3.4" => "ecdsa-with-SHA512",
        "1.3.101.112" => "ED25519",
        "1.3.101.113" => "ED448",
        other => return other.to_owned(),
    }
    .to_owned()
}

/// The algorithm of the key: `rsaEncryption`.
pub fn key_algorithm(certificate: &X509Certificate<'_>) -> String {
    match certificate.public_key().algorithm.algorithm.to_id_string().as_str() {
        "1.2.840.113549.1.1.1" => "rsaEncryption",
        "1.2.840.113549.1.1.10" => "RSASSA-PSS",
        "1.2.840.10045.2.1" => "id-ecPublicKey",
        "1.2.840.10040.4.1" => "dsaEncryption",
        "1.3.101.112" => "ED25519",
        "1.3.101.113" => "ED448",
        other => return other.to_owned(),
    }
    .to_owned()
}

/// Kind and size of the key, as the PROXY protocol tells it: `RSA2048`, `EC256`.
pub fn key_kind(certificate: &X509Certificate<'_>) -> Option<String> {
    match certificate.public_key().parsed().ok()? {
        PublicKey::RSA(key) => Some(format!("RSA{}", key.key_size())),
        PublicKey::EC(key) => Some(format!("EC{}", key.key_size())),
        PublicKey::DSA(_) => Some("DSA".to_owned()),
        _ => None,
    }
}

/// A point of time as `YYMMDDhhmmss[Z]`, as the manual's `notbefore` and `notafter` write it.
pub fn time(time: &x509_parser::time::ASN1Time) -> String {
    let t = time.to_datetime();
    let (year, month, day) = (t.year(), u8::from(t.month()), t.day());
    let (hour, minute, second) = (t.hour(), t.minute(), t.second());
    // Both forms of ASN.1 with the year's last two digits, as HAProxy has them.
    format!("{:02}{month:02}{day:02}{hour:02}{minute:02}{second:02}Z", year % 100)
}

/// SHA-1 of a certificate, by which tools tell them apart.
pub fn sha1(der: &[u8]) -> Vec<u8> {
    use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
    digest(&SHA1_FOR_LEGACY_USE_ONLY, der).as_ref().to_vec()
}

/// A point of time as OpenSSL prints it: `Sep 13 21:20:24 2019 GMT`.
pub fn readable_time(time: &x509_parser::time::ASN1Time) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let t = time.to_datetime();
    let month = MONTHS[usize::from(u8::from(t.month())) - 1];
    let (hour, minute, second) = (t.hour(), t.minute(), t.second());
    format!("{month} {:>2} {hour:02}:{minute:02}:{second:02} {} GMT", t.day(), t.year())
}

/// Seconds since 1970, as OpenSSL prints them.
pub fn readable_seconds(seconds: i64) -> String {
    x509_parser::time::ASN1Time::from_timestamp(seconds)
        .map_or_else(|_| "Bad time value".to_owned(), |time| readable_time(&time))
}

/// Seconds since 1970 as ISO 8601 has them: `2023-01-30T00:08:09Z`.
pub fn iso_seconds(seconds: i64) -> String {
    let Ok(time) = x509_parser::time::ASN1Time::from_timestamp(seconds) else {
        return "-".to_owned();
    };
    let t = time.to_datetime();
    let (month, day) = (u8::from(t.month()), t.day());
    let (hour, minute, second) = (t.hour(), t.minute(), t.second());
    format!("{}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z", t.year())
}

/// Seconds since 1970 as log lines have them: `30/Jan/2023:00:08:09 +0000`.
pub fn log_seconds(seconds: i64) -> String {
    let text = readable_seconds(seconds);
    // `Jan 30 00:08:09 2023 GMT`
    match text.split_whitespace().collect::<Vec<_>>().as_slice() {
        [month, day, time, year, _] => format!("{day:0>2}/{month}/{year}:{time} +0000"),
        _ => text,
    }
}

/// The alternative names, as OpenSSL prints them.
pub fn alternative_names(certificate: &X509Certificate<'_>) -> Option<String> {
    let names = certificate.subject_alternative_name().ok()??;
    let list: Vec<String> = names.value.general_names.iter().filter_map(general_name).collect();
    Some(list.join(", ")).filter(|list| !list.is_empty())
}

/// As OpenSSL prints it.
fn general_name(name: &GeneralName<'_>) -> Option<String> {
    Some(match name {
        GeneralName::DNSName(name) => format!("DNS:{name}"),
        GeneralName::RFC822Name(name) => format!("email:{name}"),
        GeneralName::URI(uri) => format!("URI:{uri}"),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => {
                let octets = <[u8; 4]>::try_from(*bytes).ok()?;
                format!("IP Address:{}", std::net::Ipv4Addr::from(octets))
            }
            _ => {
                let octets = <[u8; 16]>::try_from(*bytes).ok()?;
                let groups = std::net::Ipv6Addr::from(octets).segments();
                let groups: Vec<String> = groups.iter().map(|g| format!("{g:X}")).collect();
                format!("IP Address:{}", groups.join(":"))
            }
        },
        GeneralName::DirectoryName(name) => {
            format!("DirName:{}", self::name(name, NameForm::OneLine)?)
        }
        GeneralName::RegisteredID(id) => format!("Registered ID:{}", id.to_id_string()),
        _ => return None,
    })
}

/// OpenSSL has two names for signatures by RSA; lists show the long one.
pub(super) fn long_name(name: &str) -> String {
    match name.strip_prefix("RSA-") {
        Some(hash) => format!("{}WithRSAEncryption", hash.to_ascii_lowercase()),
        None => name.to_owned(),
    }
}
