//! Files about certificates.

use std::io::Read;
use std::path::Path;

use proxy_tls::material::{self, Parts};
use proxy_tls::rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use proxy_types::Spanned;

/// Largest file, in bytes: bundles of authorities have about 200 kB, revocation lists some MB.
const FILE_MAX: u64 = 64 << 20;

/// A path of the configuration: relative ones start at a base directory when there is one.
pub(super) fn path(name: &str, base: Option<&Spanned<String>>) -> String {
    match base {
        Some(base) if !name.starts_with(['/', '@']) => {
            format!("{}/{name}", base.value.trim_end_matches('/'))
        }
        _ => name.to_owned(),
    }
}

pub(super) fn read(path: &str) -> Result<Vec<u8>, String> {
    let mut content = Vec::new();
    let file = std::fs::File::open(path)
        .map_err(|error| format!("unable to open '{path}': {}", plain(&error)))?;
    file.take(FILE_MAX + 1)
        .read_to_end(&mut content)
        .map_err(|error| format!("unable to read '{path}': {}", plain(&error)))?;
    if content.len() as u64 > FILE_MAX {
        return Err(format!("'{path}' is larger than {FILE_MAX} bytes"));
    }
    Ok(content)
}

/// The file, or nothing when there is none.
pub(super) fn read_optional(path: &str) -> Result<Option<Vec<u8>>, String> {
    if Path::new(path).exists() { read(path).map(Some) } else { Ok(None) }
}

/// The text of a system error without its number.
fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

pub(super) fn parts(path: &str) -> Result<Parts, String> {
    Parts::parse(&read(path)?).map_err(|error| format!("'{path}': {error}"))
}

/// Authorities of a file, of all files of a directory, or of the system (`@system-ca`).
pub(super) fn authorities(name: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    if name == "@system-ca" {
        let found = proxy_tls::system_authorities();
        return if found.is_empty() {
            Err("'@system-ca': the system has no certificates of authorities".to_owned())
        } else {
            Ok(found)
        };
    }
    if !Path::new(name).is_dir() {
        return material::certificates(&read(name)?).map_err(|error| format!("'{name}': {error}"));
    }
    let mut all = Vec::new();
    for path in directory(name)? {
        // Directories of authorities hold links, hashes and read-me files, too.
        if let Ok(found) = material::certificates(&read(&path)?) {
            all.extend(found);
        }
    }
    if all.is_empty() { Err(format!("'{name}': no certificate in it")) } else { Ok(all) }
}

pub(super) fn revoked(name: &str) -> Result<Vec<CertificateRevocationListDer<'static>>, String> {
    material::crls(&read(name)?).map_err(|error| format!("'{name}': {error}"))
}

/// Files of a directory in alphabetic order, without those that start with a dot.
pub(super) fn directory(name: &str) -> Result<Vec<String>, String> {
    let fail =
        |error: &std::io::Error| format!("unable to read directory '{name}': {}", plain(error));
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(name).map_err(|error| fail(&error))? {
        let entry = entry.map_err(|error| fail(&error))?;
        let file = entry.file_name().to_string_lossy().into_owned();
        if !file.starts_with('.') && entry.path().is_file() {
            paths.push(format!("{}/{file}", name.trim_end_matches('/')));
        }
    }
    paths.sort();
    Ok(paths)
}
