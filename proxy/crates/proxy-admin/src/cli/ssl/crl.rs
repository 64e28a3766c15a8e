//! Revocation lists: show, change by transactions.

use std::fmt::Write;

use proxy_rules::x509;
use proxy_tls::live::LiveError;
use proxy_tls::verify::{Change, Revoked};

use super::shared::{not_removed, other_abort, other_set};
use crate::command::{Answer, Call, Command, Reply};

fn show(call: &mut Call<'_>) -> Answer {
    let store = &call.admin.certificates;
    let (known, draft) = store.revoked();
    let wanted = call.arg(0);
    if wanted.is_empty() {
        let mut text = String::new();
        if let Some(draft) = &draft {
            text = format!("# transaction\n*{}\n", draft.name);
        }
        text.push_str("# filename\n");
        known.iter().for_each(|file| text.extend([&file.name, "\n"]));
        return Ok(Reply::Text(text));
    }
    let (star, name) = match wanted.strip_prefix('*') {
        Some(name) => ("*", name),
        None => ("", wanted.strip_prefix('\\').unwrap_or(wanted)),
    };
    let find = |name: &str| -> Option<&Revoked> {
        match star {
            "" => known.iter().find(|file| file.name == name),
            _ => draft.iter().find(|file| file.name == name),
        }
    };
    let (file, number) = match (find(name), name.rsplit_once(':')) {
        (Some(file), _) => (Some(file), None),
        (None, Some((name, number))) => {
            let number = number.parse::<usize>().ok().filter(|number| *number > 0);
            let number = number.ok_or_else(|| {
                Reply::line(format!("wrong CRL index after colons in '{wanted}'!"))
            })?;
            (find(name), Some(number))
        }
        (None, None) => (None, None),
    };
    let file = file.ok_or_else(|| Reply::line("Can't display the CRL file : Not found!"))?;
    let status = match star {
        "" if file.lists.is_empty() => "Empty",
        "" if store.has(Change::Revoked(file)) => "Used",
        _ => "Unused",
    };
    let mut text = format!("Filename: {star}{}\nStatus: {status}\n", file.name);
    for (index, der) in file.lists.iter().enumerate() {
        if number.is_none_or(|number| number == index + 1) {
            let _ = writeln!(text, " \nCertificate Revocation List #{}:", index + 1);
            text.push_str(&x509::crl::text(der).unwrap_or_default());
        }
    }
    Ok(Reply::Text(text))
}

fn set(call: &mut Call<'_>) -> Answer {
    let name = call.arg(0);
    let Some(payload) = call.payload.filter(|_| !name.is_empty()) else {
        return Err(Reply::line("'set ssl crl-file expects a filename and CRLs as a payload"));
    };
    match call.admin.certificates.set_revoked(name, payload.as_bytes()) {
        Ok(changed) => {
            let how = if changed.created { "created" } else { "updated" };
            Ok(Reply::line(format!("transaction {how} for CRL {name}!")))
        }
        Err(error) => {
            let why = match error {
                LiveError::Unknown => {
                    "Can't replace a CRL file which is not referenced by the configuration!"
                        .to_owned()
                }
                LiveError::OtherTransaction(other) => other_set(&other, name),
                other => format!("Invalid payload: {other}"),
            };
            Err(Reply::line(format!("{why}\nCan't update {name}!")))
        }
    }
}

fn commit(call: &mut Call<'_>) -> Answer {
    let name = call.arg(0);
    if name.is_empty() {
        return Err(Reply::line("'commit ssl crl-file expects a filename"));
    }
    super::shared::committed(name, call.admin.certificates.commit_revoked(name))
}

fn abort(call: &mut Call<'_>) -> Answer {
    let name = call.arg(0);
    if name.is_empty() {
        return Err(Reply::line("'abort ssl crl-file' expects a filename"));
    }
    match call.admin.certificates.abort_revoked(name) {
        // HAProxy calls it a certificate, too.
        Ok(()) => Ok(Reply::line(format!("Transaction aborted for certificate '{name}'!"))),
        Err(error) => Err(other_abort(&error, name)),
    }
}

fn new(call: &mut Call<'_>) -> Answer {
    let name = call.arg(0);
    if name.is_empty() {
        return Err(Reply::line("'new ssl crl-file' expects a filename"));
    }
    match call.admin.certificates.create_revoked(name) {
        Ok(()) => Ok(Reply::line(format!("New CRL file created '{name}'!"))),
        Err(_) => Err(Reply::line(format!("CRL file '{name}' already exists!"))),
    }
}

fn del(call: &mut Call<'_>) -> Answer {
    let name = call.arg(0);
    if name.is_empty() {
        return Err(Reply::line("'del ssl crl-file' expects a CRL file name"));
    }
    match call.admin.certificates.remove_revoked(name) {
        Ok(()) => Ok(Reply::line(format!("CRL file '{name}' deleted!"))),
        Err(error) => Err(not_removed("CRL file", name, &error)),
    }
}

pub(super) static COMMANDS: &[Command] = &[
    Command::admin(
        &["abort", "ssl", "crl-file"],
        "<crlfile>",
        "abort a transaction for a CRL file",
        abort,
    ),
    Command::admin(&["commit", "ssl", "crl-file"], "<crlfile>", "commit a CRL file", commit),
    Command::admin(&["del", "ssl", "crl-file"], "<crlfile>", "delete an unused CRL file", del),
    Command::admin(&["new", "ssl", "crl-file"], "<crlfile>", "create a new CRL file", new),
    Command::admin(&["set", "ssl", "crl-file"], "<crlfile> <payload>", "replace a CRL file", set),
    Command::admin(
        &["show", "ssl", "crl-file"],
        "[<crlfile>[:<index>]]",
        "display the CRL files, or the details of one",
        show,
    ),
];
