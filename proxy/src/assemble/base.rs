//! `default-path`: where relative names of files start (configuration manual, 3.1).

use std::path::{Path, PathBuf};

use proxy_config::Sources;
use proxy_config::model::{Config, DefaultPath};
use proxy_types::{DiagSink, Diagnostic, Diagnostics};

/// Until it is dropped the working directory is the one that `default-path` asks for.
#[derive(Default)]
pub(super) struct Base {
    back: Option<PathBuf>,
}

impl Base {
    /// Changes to the directory. What is wrong with it is told.
    pub(super) fn enter(config: &Config, sources: &Sources, diagnostics: &mut Diagnostics) -> Self {
        let Some(path) = &config.global.default_path else { return Self::default() };
        let mut refuse = |text: String| {
            diagnostics.push(Diagnostic::alert(text).at(path.span));
            Self::default()
        };
        let mut places: Vec<PathBuf> = match &path.value {
            DefaultPath::Current => return Self::default(),
            DefaultPath::Origin(origin) => vec![PathBuf::from(origin)],
            DefaultPath::Config => sources.iter().map(|(_, s)| folder(&s.name)).collect(),
            DefaultPath::Parent => sources.iter().map(|(_, s)| parent(&s.name)).collect(),
        };
        places.dedup();
        let [place] = places.as_slice() else {
            return refuse(
                "'default-path' : files in several directories are known, not carried yet"
                    .to_owned(),
            );
        };
        let back = match std::env::current_dir() {
            Ok(back) => back,
            Err(error) => {
                return refuse(format!("'default-path' : cannot go back from there: {error}"));
            }
        };
        match std::env::set_current_dir(place) {
            Ok(()) => Self { back: Some(back) },
            Err(error) => refuse(format!(
                "'default-path' : cannot change to directory '{}' : {error}",
                place.display()
            )),
        }
    }
}

impl Drop for Base {
    fn drop(&mut self) {
        if let Some(back) = &self.back {
            // It was the working directory a moment ago.
            let _ = std::env::set_current_dir(back);
        }
    }
}

/// The longest part of the name up to its last slash.
fn folder(name: &str) -> PathBuf {
    match name.rsplit_once('/') {
        Some(("", _)) => PathBuf::from("/"),
        Some((folder, _)) => PathBuf::from(folder),
        None => PathBuf::from("."),
    }
}

fn parent(name: &str) -> PathBuf {
    match name.rsplit_once('/') {
        Some((folder, _)) => Path::new(if folder.is_empty() { "/" } else { folder }).join(".."),
        None => PathBuf::from(".."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_of_sources() {
        for (name, config, up) in [
            ("haproxy.cfg", ".", ".."),
            ("etc/haproxy.cfg", "etc", "etc/.."),
            ("/etc/haproxy/haproxy.cfg", "/etc/haproxy", "/etc/haproxy/.."),
            ("/haproxy.cfg", "/", "/.."),
        ] {
            assert_eq!(folder(name), Path::new(config), "{name}");
            assert_eq!(parent(name), Path::new(up), "{name}");
        }
    }
}
