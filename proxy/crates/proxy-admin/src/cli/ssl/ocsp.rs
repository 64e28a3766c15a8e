//! OCSP responses: show, replace, ask for anew.

use std::fmt::Write;

use proxy_rules::x509::{self, NameForm};
use proxy_tls::live::{LiveError, OcspView};
use proxy_tls::ocsp::{Id, Response, Signer, Status};

use crate::command::{Answer, Call, Command, Reply};

/// Reasons of revocations (RFC 5280, 5.3.1).
const REASONS: [&str; 11] = [
    "unspecified",
    "keyCompromise",
    "cACompromise",
    "affiliationChanged",
    "superseded",
    "cessationOfOperation",
    "certificateHold",
    "(UNKNOWN)",
    "removeFromCRL",
    "privilegeWithdrawn",
    "aACompromise",
];

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

/// A serial number without the zero that keeps it positive.
fn serial(bytes: &[u8]) -> String {
    hex(bytes.strip_prefix(&[0]).filter(|rest| !rest.is_empty()).unwrap_or(bytes))
}

fn identity(id: &Id, indent: &str) -> String {
    let Some(fields) = id.fields() else { return String::new() };
    format!(
        "{indent}Issuer Name Hash: {}\n{indent}Issuer Key Hash: {}\n{indent}Serial Number: {}\n",
        hex(fields.issuer_name_hash),
        hex(fields.issuer_key_hash),
        serial(fields.serial)
    )
}

/// A response as `openssl ocsp -respin ... -text` tells it, without its signature.
pub(super) fn text(data: &[u8]) -> Option<String> {
    let response = Response::parse(data).ok()?;
    let signer = match response.signer {
        Signer::Name(name) => x509::name_of_der(name, NameForm::Spaced).unwrap_or_default(),
        Signer::KeyHash(hash) => hex(hash),
    };
    let mut text = format!(
        "OCSP Response Data:\n    OCSP Response Status: successful (0x0)\n    Response Type: Basic OCSP \
         Response\n    Version: 1 (0x0)\n    Responder Id: {signer}\n    Produced At: {}\n    \
         Responses:\n    Certificate ID:\n      Hash Algorithm: sha1\n{}",
        x509::readable_seconds(response.produced_at),
        identity(&response.id, "      "),
    );
    match response.status {
        Status::Good => text.push_str("    Cert Status: good\n"),
        Status::Unknown => text.push_str("    Cert Status: unknown\n"),
        Status::Revoked(when, reason) => {
            let when = x509::readable_seconds(when);
            let _ = write!(text, "    Cert Status: revoked\n    Revocation Time: {when}\n");
            if let Some(reason) = reason {
                let name = REASONS.get(usize::from(reason)).unwrap_or(&"(UNKNOWN)");
                let _ = writeln!(text, "    Revocation Reason: {name} (0x{reason:x})");
            }
        }
    }
    let _ = writeln!(text, "    This Update: {}", x509::readable_seconds(response.this_update));
    if let Some(next) = response.next_update {
        let _ = writeln!(text, "    Next Update: {}", x509::readable_seconds(next));
    }
    let algorithm = x509::algorithm_of_content(response.algorithm);
    let _ = write!(text, " \n    Signature Algorithm: {algorithm}\n");
    Some(text)
}

fn show(call: &mut Call<'_>) -> Answer {
    let all = call.admin.certificates.ocsp();
    let form = match call.arg(0) {
        word @ ("text" | "base64") => Some(word.to_owned()),
        _ => None,
    };
    let wanted = call.arg(usize::from(form.is_some()));
    if wanted.is_empty() {
        if form.is_some() {
            return Err(Reply::line("'show ssl ocsp-response' expects an id or a path"));
        }
        let mut text = String::from("# Certificate IDs\n");
        for view in &all {
            let _ = write!(
                text,
                "Certificate ID key : {}\nCertificate path : {}\n Certificate ID:\n{}",
                view.id,
                view.path,
                identity(&view.id, "   ")
            );
        }
        return Ok(Reply::Text(text));
    }
    let is = |view: &&OcspView| view.id.to_string().eq_ignore_ascii_case(wanted);
    let by_path = || {
        let id = call.admin.certificates.view(wanted)?.certificate?.ocsp_id.clone()?;
        all.iter().find(|view| view.id == id)
    };
    let view = all
        .iter()
        .find(is)
        .or_else(by_path)
        .ok_or_else(|| Reply::line("Certificate ID does not match any certificate."))?;
    let data = view.response.as_deref().unwrap_or_default();
    match form.as_deref() {
        Some("base64") => Ok(Reply::line(super::shared::base64(data))),
        _ => Ok(Reply::Text(text(data).unwrap_or_default())),
    }
}

fn updates(call: &mut Call<'_>) -> Answer {
    let mut all = call.admin.certificates.ocsp();
    all.retain(|view| view.updated);
    all.sort_by_key(|view| view.course.next);
    let mut text = String::from(
        "OCSP Certid | Path | Next Update | Last Update | Successes | Failures | Last Update Status | \
         Last Update Status (str)\n",
    );
    let time = |at: Option<i64>| at.map_or_else(|| "-".to_owned(), x509::log_seconds);
    for view in &all {
        let course = &view.course;
        let _ = writeln!(
            text,
            "{} | {} | {} | {} | {} | {} | {} | {}",
            view.id,
            view.path,
            time(course.next),
            time(course.last),
            course.successes,
            course.failures,
            course.outcome.number(),
            course.outcome.text()
        );
    }
    Ok(Reply::Text(text))
}

fn set(call: &mut Call<'_>) -> Answer {
    let given = call.payload.unwrap_or_else(|| call.arg(0));
    if given.trim().is_empty() {
        return Err(Reply::line("'set ssl ocsp-response' expects response in base64 encoding."));
    }
    let data = super::shared::decode(given).ok_or_else(|| {
        Reply::line("'set ssl ocsp-response' received invalid base64 encoded response.")
    })?;
    let now = super::shared::seconds(call);
    match call.admin.certificates.set_ocsp(&data, now) {
        Ok(_) => Ok(Reply::line("OCSP Response updated!")),
        Err(error) => Err(Reply::line(format!("{error}."))),
    }
}

fn update(call: &mut Call<'_>) -> Answer {
    let name = call.arg(0);
    if name.is_empty() {
        return Err(Reply::line("'update ssl ocsp-response' expects a filename"));
    }
    let certificates = call.admin.certificates.clone();
    let job = certificates.ocsp_job(name).map_err(|error| {
        Reply::line(match error {
            LiveError::NoResponder => format!(
                "Can't update the OCSP response: the issuer or the responder of '{name}' is not known"
            ),
            _ => format!("Can't update the OCSP response: '{name}' is not known"),
        })
    })?;
    let id = job.id.clone();
    if !certificates.ocsp().iter().any(|view| view.id == id) {
        return Err(Reply::line(format!(
            "Can't update the OCSP response: '{name}' has none that could be replaced"
        )));
    }
    let asked = call.admin.process.update_ocsp(job);
    Ok(Reply::Later(Box::pin(async move {
        let course = asked.await;
        let view = certificates.ocsp().into_iter().find(|view| view.id == id);
        let data = view.and_then(|view| view.response).unwrap_or_default();
        match course {
            Some(course) if course.outcome.number() == 1 => {
                Reply::Text(text(&data).unwrap_or_default())
            }
            Some(course) => {
                Reply::line(format!("Can't update the OCSP response: {}", course.outcome.text()))
            }
            None => Reply::line("Can't update the OCSP response: the process is leaving"),
        }
    })))
}

pub(super) static COMMANDS: &[Command] = &[
    Command::admin(
        &["set", "ssl", "ocsp-response"],
        "<resp|payload>",
        "update a certificate's OCSP response from a base64-encoded DER",
        set,
    ),
    Command::admin(
        &["show", "ssl", "ocsp-response"],
        "[[text|base64] <id|path>]",
        "display the IDs of the OCSP responses, or the details of one",
        show,
    ),
    Command::admin(
        &["show", "ssl", "ocsp-updates"],
        "",
        "display information about the OCSP responses that are kept fresh",
        updates,
    ),
    Command::admin(
        &["update", "ssl", "ocsp-response"],
        "<certfile>",
        "ask the responder for a certificate's OCSP response",
        update,
    ),
];
