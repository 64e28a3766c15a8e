//! `-dA`: an archive of the program and the libraries it runs with, for whoever looks at a core file elsewhere
//! (management manual, 3).

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// Writes `files` to a tar archive at `path`, under their paths without the leading slash.
///
/// # Errors
/// The archive cannot be made, or a file cannot be read.
pub(crate) fn write(path: &Path, files: &[PathBuf]) -> io::Result<()> {
    let mut archive = tar::Builder::new(File::create(path)?);
    for file in files {
        archive.append_path_with_name(file, file.strip_prefix("/").unwrap_or(file))?;
    }
    archive.into_inner()?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_the_program() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("libs.tar");
        let files = crate::build_report::files();
        write(&path, &files).unwrap();
        let mut archive = tar::Archive::new(File::open(&path).unwrap());
        let names: Vec<PathBuf> =
            archive.entries().unwrap().map(|e| e.unwrap().path().unwrap().into_owned()).collect();
        let program = std::env::current_exe().unwrap();
        assert!(names.contains(&program.strip_prefix("/").unwrap().to_owned()), "{names:?}");
        assert_eq!(names.len(), files.len());
        assert!(write(dir.path(), &files).is_err());
    }
}
