//! Certificates: show, change by transactions, add to and take from lists (management manual, 9.3).

mod crl;
mod ocsp;
mod shared;
mod tickets;
mod tokens;

use crate::command::{Answer, Call, Command, Reply};
use proxy_rules::x509::{self, NameForm};
use proxy_tls::listener::Filter;
use proxy_tls::live::{LiveError, View};
use proxy_tls::verify::Change;
use shared::{committed, not_removed, other_abort, other_set, seconds};
use std::fmt::Write;

fn show_cert(call: &mut Call<'_>) -> Answer {
    let store = &call.admin.certificates;
    let name = call.arg(0);
    if name.is_empty() {
        let mut text = String::new();
        if let Some(name) = store.transaction() {
            text = format!("# transaction\n*{name}\n");
        }
        text.push_str("# filename\n");
        store.names().iter().for_each(|name| text.extend([name, "\n"]));
        return Ok(Reply::Text(text));
    }
    let find = |name: &str| match name.strip_prefix('*') {
        Some(name) => store.view_draft(name),
        None => store.view(name.strip_prefix('\\').unwrap_or(name)),
    };
    let view = find(name);
    // The response of a certificate is shown by the name of its file.
    if let (None, Some(of)) = (&view, name.strip_suffix(".ocsp")) {
        let certificate = find(of).and_then(|view| view.certificate);
        let text = certificate.as_ref().and_then(|c| ocsp::text(c.ocsp.as_deref()?));
        return text.map(Reply::Text).ok_or_else(|| {
            Reply::line("Can't display the certificate: Not found or the certificate is a bundle!")
        });
    }
    let shown = name.strip_prefix('\\').unwrap_or(name);
    let view = view.ok_or_else(|| {
        Reply::line("Can't display the certificate: Not found or the certificate is a bundle!")
    })?;
    Ok(Reply::Text(details(shown, &view)))
}

fn details(name: &str, view: &View) -> String {
    let status = match (&view.certificate, view.used) {
        (None, _) => "Empty",
        (Some(_), true) => "Used",
        (Some(_), false) => "Unused",
    };
    let mut text = format!("Filename: {name}\nStatus: {status}\n");
    let Some(certificate) = &view.certificate else {
        text.push_str("OCSP Response Key: \n");
        return text;
    };
    fields(&mut text, &certificate.der);
    for (index, der) in certificate.chain.iter().skip(1).enumerate() {
        let subject = x509::parse(der).and_then(|c| x509::name(c.subject(), NameForm::OneLine));
        let issuer = x509::parse(der).and_then(|c| x509::name(c.issuer(), NameForm::OneLine));
        if index == 0 {
            let _ = writeln!(text, "Chain Filename: {}", name.trim_start_matches('*'));
        }
        let _ = writeln!(text, "Chain Subject: {}", subject.unwrap_or_default());
        let _ = writeln!(text, "Chain Issuer: {}", issuer.unwrap_or_default());
    }
    let key = certificate.ocsp.as_ref().and(certificate.ocsp_id.as_ref());
    let _ =
        writeln!(text, "OCSP Response Key: {}", key.map(ToString::to_string).unwrap_or_default());
    text
}

/// What HAProxy shows of a certificate, a line each.
fn fields(text: &mut String, der: &[u8]) {
    let Some(certificate) = x509::parse(der) else { return };
    let serial: String =
        certificate.raw_serial().iter().map(|byte| format!("{byte:02X}")).collect();
    let serial = serial.strip_prefix("00").filter(|rest| !rest.is_empty()).unwrap_or(&serial);
    let validity = certificate.validity();
    let name = |name| x509::name(name, NameForm::OneLine).unwrap_or_default();
    let fingerprint: String = x509::sha1(der).iter().map(|byte| format!("{byte:02X}")).collect();
    let lines = [
        ("Serial", serial.to_owned()),
        ("notBefore", x509::readable_time(&validity.not_before)),
        ("notAfter", x509::readable_time(&validity.not_after)),
        ("Subject Alternative Name", x509::alternative_names(&certificate).unwrap_or_default()),
        ("Algorithm", x509::key_kind(&certificate).unwrap_or_default()),
        ("SHA1 FingerPrint", fingerprint),
        ("Subject", name(certificate.subject())),
        ("Issuer", name(certificate.issuer())),
    ];
    for (what, value) in lines {
        let _ = writeln!(text, "{what}: {value}");
    }
}

fn set_cert(call: &mut Call<'_>) -> Answer {
    let name = call.arg(0);
    let Some(payload) = call.payload.filter(|_| !name.is_empty()) else {
        return Err(Reply::line("'set ssl cert expects a filename and a certificate as a payload"));
    };
    match call.admin.certificates.set(name, payload.as_bytes()) {
        Ok(changed) => {
            let how = if changed.created { "created" } else { "updated" };
            Ok(Reply::line(format!("Transaction {how} for certificate {}!", changed.name)))
        }
        Err(error) => {
            let why = match error {
                LiveError::Unknown => {
                    "Can't replace a certificate which is not referenced by the configuration!"
                        .to_owned()
                }
                LiveError::OtherTransaction(other) => other_set(&other, name),
                other => format!(
                    "unable to load certificate from file '{name}': {other}.\nCan't load the payload"
                ),
            };
            Err(Reply::line(format!("{why}\nCan't update {name}!")))
        }
    }
}

fn commit_cert(call: &mut Call<'_>) -> Answer {
    let name = call.arg(0);
    if name.is_empty() {
        return Err(Reply::line("'commit ssl cert expects a filename"));
    }
    let outcome = call.admin.certificates.commit(name);
    if let Ok(count) = outcome {
        call.admin.process.notice(&format!("Certificate {name} replaced on {count} lines."));
    }
    committed(name, outcome)
}

fn abort_cert(call: &mut Call<'_>) -> Answer {
    let name = call.arg(0);
    if name.is_empty() {
        return Err(Reply::line("'abort ssl cert' expects a filename"));
    }
    match call.admin.certificates.abort(name) {
        Ok(()) => Ok(Reply::line(format!("Transaction aborted for certificate '{name}'!"))),
        Err(error) => Err(other_abort(&error, name)),
    }
}

fn new_cert(call: &mut Call<'_>) -> Answer {
    let name = call.arg(0);
    if name.is_empty() {
        return Err(Reply::line("'new ssl cert' expects a filename"));
    }
    match call.admin.certificates.create(name) {
        Ok(()) => Ok(Reply::line(format!("New empty certificate store '{name}'!"))),
        Err(_) => Err(Reply::line(format!("Certificate '{name}' already exists!"))),
    }
}

fn del_cert(call: &mut Call<'_>) -> Answer {
    let name = call.arg(0);
    if name.is_empty() {
        return Err(Reply::line("'del ssl cert' expects a certificate name"));
    }
    match call.admin.certificates.remove(name) {
        Ok(()) => Ok(Reply::line(format!("Certificate '{name}' deleted!"))),
        Err(error) => Err(not_removed("certificate", name, &error)),
    }
}

fn dump_cert(call: &mut Call<'_>) -> Answer {
    let name = call.arg(0);
    let store = &call.admin.certificates;
    let view = match name.strip_prefix('*') {
        Some(name) => store.view_draft(name),
        None => store.view(name.strip_prefix('\\').unwrap_or(name)),
    };
    let certificate = view.and_then(|view| view.certificate).ok_or_else(|| {
        Reply::line("Can't dump the certificate: Not found or the certificate is a bundle!")
    })?;
    Ok(Reply::Text(certificate.to_pem()))
}

fn show_ca(call: &mut Call<'_>) -> Answer {
    let store = &call.admin.certificates;
    let (known, draft) = store.authorities();
    let wanted = call.arg(0);
    if wanted.is_empty() {
        let mut text = String::new();
        if let Some(draft) = &draft {
            let count = draft.certificates.len();
            text = format!("# transaction\n*{} - {count} certificate(s)\n", draft.name);
        }
        text.push_str("# filename\n");
        for file in &known {
            let _ = writeln!(text, "{} - {} certificate(s)", file.name, file.certificates.len());
        }
        return Ok(Reply::Text(text));
    }
    let (star, name) = match wanted.strip_prefix('*') {
        Some(name) => ("*", name),
        None => ("", wanted.strip_prefix('\\').unwrap_or(wanted)),
    };
    let find = |name: &str| match star {
        "" => known.iter().find(|file| file.name == name),
        _ => draft.iter().find(|file| file.name == name),
    };
    let numbered = || {
        let (name, number) = name.rsplit_once(':')?;
        Some((find(name)?, Some(number.parse::<usize>().ok()?)))
    };
    let (file, number) = find(name)
        .map(|file| (file, None))
        .or_else(numbered)
        .ok_or_else(|| Reply::line("Can't display the CA file : Not found!"))?;
    let status = match star {
        "" if file.certificates.is_empty() => "Empty",
        "" if store.has(Change::Authorities(file)) => "Used",
        _ => "Unused",
    };
    let mut text = format!("Filename: {star}{}\nStatus: {status}\n", file.name);
    for (index, der) in file.certificates.iter().enumerate() {
        if number.is_none_or(|number| number == index + 1) {
            let _ = writeln!(text, " \nCertificate #{}:", index + 1);
            fields(&mut text, der);
        }
    }
    Ok(Reply::Text(text))
}

fn change_ca(call: &mut Call<'_>, add: bool) -> Answer {
    let name = call.arg(0);
    let Some(payload) = call.payload.filter(|_| !name.is_empty()) else {
        let verb = if add { "add" } else { "set" };
        return Err(Reply::line(format!(
            "'{verb} ssl ca-file expects a filename and CAs as a payload"
        )));
    };
    match call.admin.certificates.set_authorities(name, payload.as_bytes(), add) {
        Ok(changed) => {
            let how = if changed.created { "created" } else { "updated" };
            Ok(Reply::line(format!("transaction {how} for CA {name}!")))
        }
        Err(error) => {
            let why = match error {
                LiveError::Unknown => {
                    "Can't replace a CA file which is not referenced by the configuration!"
                        .to_owned()
                }
                LiveError::OtherTransaction(other) => other_set(&other, name),
                other => format!("Invalid payload: {other}"),
            };
            Err(Reply::line(format!("{why}\nCan't update {name}!")))
        }
    }
}

fn set_ca(call: &mut Call<'_>) -> Answer {
    change_ca(call, false)
}

fn add_ca(call: &mut Call<'_>) -> Answer {
    change_ca(call, true)
}

fn commit_ca(call: &mut Call<'_>) -> Answer {
    let name = call.arg(0);
    if name.is_empty() {
        return Err(Reply::line("'commit ssl ca-file expects a filename"));
    }
    committed(name, call.admin.certificates.commit_authorities(name))
}

fn abort_ca(call: &mut Call<'_>) -> Answer {
    let name = call.arg(0);
    if name.is_empty() {
        return Err(Reply::line("'abort ssl ca-file' expects a filename"));
    }
    match call.admin.certificates.abort_authorities(name) {
        Ok(()) => Ok(Reply::line(format!("Transaction aborted for certificate '{name}'!"))),
        Err(error) => Err(other_abort(&error, name)),
    }
}

fn new_ca(call: &mut Call<'_>) -> Answer {
    let name = call.arg(0);
    if name.is_empty() {
        return Err(Reply::line("'new ssl ca-file' expects a filename"));
    }
    match call.admin.certificates.create_authorities(name) {
        Ok(()) => Ok(Reply::line(format!("New CA file created '{name}'!"))),
        Err(_) => Err(Reply::line(format!("CA file '{name}' already exists!"))),
    }
}

fn del_ca(call: &mut Call<'_>) -> Answer {
    let name = call.arg(0);
    if name.is_empty() {
        return Err(Reply::line("'del ssl ca-file' expects a CA file name"));
    }
    match call.admin.certificates.remove_authorities(name) {
        Ok(()) => Ok(Reply::line(format!("CA file '{name}' deleted!"))),
        Err(error) => Err(not_removed("CA file", name, &error)),
    }
}

fn show_list(call: &mut Call<'_>) -> Answer {
    let store = &call.admin.certificates;
    let numbers = call.arg(0) == "-n";
    let name = call.arg(usize::from(numbers));
    if name.is_empty() {
        let names = store.lists();
        return Ok(Reply::Text(names.iter().map(|name| format!("{name}\n")).collect()));
    }
    let lines =
        store.list(name).ok_or_else(|| Reply::line("didn't find the specified filename"))?;
    let mut text = format!("# {name}\n");
    for line in lines {
        text.push_str(&line.certificate);
        if numbers {
            let _ = write!(text, ":{}", line.number);
        }
        if !line.options.is_empty() {
            let _ = write!(text, " [{}]", line.options);
        }
        line.filters.iter().for_each(|filter| text.extend([" ", filter]));
        text.push('\n');
    }
    Ok(Reply::Text(text))
}

fn add_list(call: &mut Call<'_>) -> Answer {
    let list = call.arg(0).to_owned();
    let text = call.payload.map_or_else(|| call.arg(1).to_owned(), |text| text.trim().to_owned());
    if list.is_empty() || text.is_empty() {
        return Err(Reply::line("'add ssl crtlist' expects a filename and a certificate name"));
    }
    if text.lines().count() > 1 {
        return Err(Reply::line("'add ssl crt-list' takes one line"));
    }
    let (certificate, options, filters) = split(&text).map_err(Reply::line)?;
    let begun = format!("Inserting certificate '{certificate}' in crt-list '{list}'");
    match call.admin.certificates.add_line(&list, certificate, &options, &filters) {
        Ok(()) => Ok(Reply::line(format!("{begun}.\nSuccess!"))),
        Err(error) => {
            let why = match error {
                LiveError::NoList => format!("crt-list '{list}' does not exist!"),
                LiveError::Unknown => format!("certificate '{certificate}' does not exist!"),
                LiveError::Empty => format!("certificate '{certificate}' is empty!"),
                other => other.to_string(),
            };
            Err(Reply::line(format!("Can't edit the crt-list: {why}")))
        }
    }
}

/// The parts of a line of a list: certificate, options, names.
fn split(text: &str) -> Result<(&str, String, Vec<Filter>), &'static str> {
    let (certificate, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let (options, names) = match rest.trim_start().strip_prefix('[') {
        None => ("", rest),
        Some(rest) => rest.split_once(']').ok_or("']' is missing behind the options")?,
    };
    let options = options.split_whitespace().collect::<Vec<_>>().join(" ");
    let filters = names.split_whitespace().filter_map(|text| text.parse().ok()).collect();
    Ok((certificate, options, filters))
}

fn del_list(call: &mut Call<'_>) -> Answer {
    let (list, file) = (call.arg(0), call.arg(1));
    if list.is_empty() || file.is_empty() {
        return Err(Reply::line("'del ssl crtlist' expects a filename and a certificate name"));
    }
    let numbered = file.rsplit_once(':').and_then(|(name, n)| Some((name, n.parse().ok()?)));
    let (name, number) = match numbered {
        Some((name, number)) => (name, Some(number)),
        None => (file, None),
    };
    match call.admin.certificates.remove_line(list, name, number) {
        Ok(()) => Ok(Reply::line(format!("Entry '{name}' deleted in crtlist '{list}'!"))),
        Err(LiveError::Default(bounds)) => {
            let mut text = format!(
                "Can't delete the entry: certificate '{name}' cannot be deleted, it is used as default \
                 certificate by the following frontends:\n"
            );
            for bound in bounds {
                let _ = writeln!(text, "\t- {}:{}", bound.frontend, bound.place);
            }
            Err(Reply::Text(text))
        }
        Err(error) => {
            let numbers = |numbers: &[usize]| {
                numbers.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
            };
            let why = match &error {
                LiveError::NoList => format!("crt-list '{list}' does not exist!"),
                LiveError::Several(lines) => format!(
                    "found the certificate '{name}' in several entries, please specify a line number \
                     preceded by colons ({})!",
                    numbers(lines)
                ),
                LiveError::OtherLines(lines) => format!(
                    "found a certificate '{name}' but the line number is incorrect, please specify a \
                     correct line number preceded by colons ({})!",
                    numbers(lines)
                ),
                _ => format!("certificate '{name}' does not exist!"),
            };
            Err(Reply::line(format!("Can't delete the entry: {why}")))
        }
    }
}

fn show_sni(call: &mut Call<'_>) -> Answer {
    let (mut frontend, mut expired, mut offset) = (None, false, 0i64);
    let mut n = 0;
    while n < call.args.len() {
        match call.arg(n) {
            "-f" => {
                n += 1;
                frontend = Some(call.arg(n).to_owned());
            }
            "-A" => expired = true,
            "-t" => {
                n += 1;
                let length =
                    proxy_types::time::parse_timer_in(call.arg(n), proxy_types::time::Unit::Second);
                let length = length.map_err(|error| Reply::line(error.to_string()))?;
                offset = i64::try_from(length.as_secs()).unwrap_or(i64::MAX);
            }
            _ => {
                return Err(Reply::line(
                    "Invalid parameters, 'show ssl sni' only supports '-f <frontend>', '-A' and '-t <offset>'",
                ));
            }
        }
        n += 1;
    }
    if let Some(name) = &frontend {
        super::named::frontend(call, name)?;
    }
    let wall = seconds(call);
    let mut text = String::from(
        "# Frontend/Bind\tSNI\tNegative Filter\tType\tFilename\tNotAfter\tNotBefore\n",
    );
    for sni in call.admin.certificates.snis(frontend.as_deref()) {
        let Some(fields) = x509::parse(&sni.certificate.der) else { continue };
        let validity = fields.validity();
        if expired && validity.not_after.timestamp() > wall.saturating_add(offset) {
            continue;
        }
        let except = if sni.except.is_empty() {
            "-".to_owned()
        } else {
            sni.except.iter().map(|name| format!("!{name}")).collect::<Vec<_>>().join(" ")
        };
        let kind = match sni.certificate.kind {
            proxy_tls::material::KeyKind::Rsa => "rsa",
            proxy_tls::material::KeyKind::Ecdsa => "ecdsa",
            proxy_tls::material::KeyKind::Other => "eddsa",
        };
        let _ = writeln!(
            text,
            "{}/{}\t{}\t{except}\t{kind}\t{}\t{}\t{}",
            sni.frontend,
            sni.place,
            sni.name,
            sni.file,
            x509::readable_time(&validity.not_after),
            x509::readable_time(&validity.not_before),
        );
    }
    Ok(Reply::Text(text))
}

/// Those of revocation lists.
pub(super) static REVOKED: &[Command] = crl::COMMANDS;

/// Those of keys of session tickets.
pub(super) static TICKETS: &[Command] = tickets::COMMANDS;

/// Those of tokens.
pub(super) static TOKENS: &[Command] = tokens::COMMANDS;

/// Those of OCSP responses.
pub(super) static OCSP: &[Command] = ocsp::COMMANDS;

pub(super) static COMMANDS: &[Command] = &[
    Command::admin(
        &["abort", "ssl", "cert"],
        "<certfile>",
        "abort a transaction for a certificate file",
        abort_cert,
    ),
    Command::admin(
        &["add", "ssl", "crt-list"],
        "<list> <cert>",
        "add to crt-list file <list> a line <cert> or a payload",
        add_list,
    ),
    Command::admin(
        &["commit", "ssl", "cert"],
        "<certfile>",
        "commit a certificate file",
        commit_cert,
    ),
    Command::admin(
        &["del", "ssl", "cert"],
        "<certfile>",
        "delete an unused certificate file",
        del_cert,
    ),
    Command::admin(
        &["del", "ssl", "crt-list"],
        "<list> <cert[:line]>",
        "delete a line <cert> from crt-list file <list>",
        del_list,
    ),
    Command::admin(
        &["dump", "ssl", "cert"],
        "<certfile>",
        "dump the SSL certificates in PEM format",
        dump_cert,
    ),
    Command::admin(
        &["new", "ssl", "cert"],
        "<certfile>",
        "create a new certificate file to be used in a crt-list or a directory",
        new_cert,
    ),
    Command::admin(
        &["set", "ssl", "cert"],
        "<certfile> <payload>",
        "replace a certificate file",
        set_cert,
    ),
    Command::admin(
        &["show", "ssl", "cert"],
        "[<certfile>]",
        "display the SSL certificates used in memory, or the details of a file",
        show_cert,
    ),
    Command::admin(
        &["show", "ssl", "crt-list"],
        "[-n] [<list>]",
        "show the list of crt-lists or the content of a crt-list file <list>",
        show_list,
    ),
    Command::admin(
        &["show", "ssl", "sni"],
        "[-f <frontend>] [-A] [-t <offset>]",
        "display the list of SNI and their corresponding filename",
        show_sni,
    ),
    Command::admin(
        &["abort", "ssl", "ca-file"],
        "<cafile>",
        "abort a transaction for a CA file",
        abort_ca,
    ),
    Command::admin(
        &["add", "ssl", "ca-file"],
        "<cafile> <payload>",
        "add a certificate into the CA file",
        add_ca,
    ),
    Command::admin(&["commit", "ssl", "ca-file"], "<cafile>", "commit a CA file", commit_ca),
    Command::admin(&["del", "ssl", "ca-file"], "<cafile>", "delete an unused CA file", del_ca),
    Command::admin(&["new", "ssl", "ca-file"], "<cafile>", "create a new CA file", new_ca),
    Command::admin(&["set", "ssl", "ca-file"], "<cafile> <payload>", "replace a CA file", set_ca),
    Command::admin(
        &["show", "ssl", "ca-file"],
        "[<cafile>[:<index>]]",
        "display the CA files, or the details of one",
        show_ca,
    ),
];
