//! Revocation lists, as `openssl crl -text` tells them.

use std::fmt::Write;

use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use super::certificate::{NameForm, algorithm_name, long_name, name, readable_time};

/// What a list says, a line each. `None` is no list.
pub fn text(der: &[u8]) -> Option<String> {
    let (_, list) = CertificateRevocationList::from_der(der).ok()?;
    let version = list.version().map_or(0, |version| version.0) + 1;
    let issuer = name(list.issuer(), NameForm::OneLine).unwrap_or_default();
    let next = list.next_update().map_or_else(|| "NONE".to_owned(), |time| readable_time(&time));
    let mut text = format!(
        "Version {version}\nSignature Algorithm: {}\nIssuer: {issuer}\nLast Update: {}\nNext Update: {next}\n",
        long_name(&algorithm_name(&list.signature_algorithm.algorithm)),
        readable_time(&list.last_update()),
    );
    let mut any = false;
    for revoked in list.iter_revoked_certificates() {
        if !std::mem::replace(&mut any, true) {
            text.push_str("Revoked Certificates:\n");
        }
        let serial: String =
            revoked.raw_serial().iter().map(|byte| format!("{byte:02X}")).collect();
        let serial = serial.strip_prefix("00").filter(|rest| !rest.is_empty()).unwrap_or(&serial);
        let when = readable_time(&revoked.revocation_date);
        let _ = writeln!(text, "    Serial Number: {serial}\n        Revocation Date: {when}");
    }
    if !any {
        text.push_str("No Revoked Certificates.\n");
    }
    Some(text)
}
