//! The configuration sources: files named by `-f` and `--`, directories, texts.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proxy_types::{FileId, Span};

/// Files are read whole; one that is larger than this is no configuration.
pub const FILE_MAX: u64 = 256 << 20;

/// One source with the places of its lines.
#[derive(Clone, Debug)]
pub struct Source {
    /// As given on the command line, or inside the directory given there.
    pub name: String,
    bytes: Vec<u8>,
    /// Offset of the first byte of each line.
    lines: Vec<u32>,
}

impl Source {
    pub fn new(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        // What is behind [`FILE_MAX`] is not read.
        let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        let mut lines: Vec<u32> = vec![0];
        lines.extend(memchr::memchr_iter(b'\n', &bytes).map(|at| place(at + 1)));
        if lines.last() == Some(&place(bytes.len())) {
            lines.pop();
        }
        lines.shrink_to_fit();
        Self { name: name.into(), bytes, lines }
    }

    /// The whole text.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Number of lines, the last one counted even without its line feed.
    pub fn line_count(&self) -> usize {
        self.lines.len()
    }

    /// A line without its line feed, counted from 1; empty when there is no such line.
    pub fn line(&self, number: u32) -> &[u8] {
        let index = (number as usize).wrapping_sub(1);
        let Some(&start) = self.lines.get(index) else { return &[] };
        let start = start as usize;
        let end = self.lines.get(index + 1).map_or(self.bytes.len(), |&next| next as usize - 1);
        let line = &self.bytes[start..end.max(start)];
        line.strip_suffix(b"\n").unwrap_or(line)
    }

    /// Whether the last line misses its line feed: then the file may have been truncated.
    pub fn is_truncated(&self) -> bool {
        self.bytes.last().is_some_and(|&last| last != b'\n')
    }
}

/// All sources in the order of loading. A copy has the same texts in the same memory.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    list: Vec<Arc<Source>>,
}

/// A source that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot open configuration file/directory {} : {error}", path.display())]
pub struct SourceError {
    pub path: PathBuf,
    #[source]
    pub error: io::Error,
}

impl Sources {
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads every file in `paths`. A directory stands for its files named `*.cfg` that are not hidden, in the
    /// byte order of their names, without going deeper. `-` stands for nothing special.
    ///
    /// # Errors
    /// The first path that cannot be read, or is larger than [`FILE_MAX`].
    pub fn read<P: AsRef<Path>>(paths: &[P]) -> Result<Self, SourceError> {
        let mut sources = Self::new();
        for path in paths {
            for file in expand(path.as_ref())? {
                let bytes = read_bounded(&file)
                    .map_err(|error| SourceError { path: file.clone(), error })?;
                sources.add(file.to_string_lossy(), bytes);
            }
        }
        Ok(sources)
    }

    /// One source that is not a file.
    pub fn from_text(name: &str, text: impl Into<Vec<u8>>) -> Self {
        let mut sources = Self::new();
        sources.add(name, text);
        sources
    }

    pub fn add(&mut self, name: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.list.push(Arc::new(Source::new(name, bytes)));
    }

    pub fn iter(&self) -> impl Iterator<Item = (FileId, &Source)> {
        (0..).map(FileId).zip(self.list.iter().map(AsRef::as_ref))
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub fn get(&self, file: FileId) -> Option<&Source> {
        self.list.get(file.0 as usize).map(AsRef::as_ref)
    }

    /// `file:line` of a span, as HAProxy writes places.
    pub fn place(&self, span: Span) -> String {
        let name = self.get(span.file).map_or("?", |s| s.name.as_str());
        format!("{name}:{}", span.line)
    }
}

impl proxy_rules::sample::parse::FileNames for Sources {
    fn name(&self, file: FileId) -> Option<&str> {
        self.get(file).map(|source| source.name.as_str())
    }
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let length = std::fs::metadata(path)?.len();
    if length > FILE_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 256 MB"));
    }
    std::fs::read(path)
}

/// The files that a path on the command line stands for.
fn expand(path: &Path) -> Result<Vec<PathBuf>, SourceError> {
    if !path.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let fail = |error| SourceError { path: path.to_path_buf(), error };
    let mut names: Vec<OsString> = Vec::new();
    for entry in std::fs::read_dir(path).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let name = entry.file_name();
        let bytes = name.as_encoded_bytes();
        if bytes.ends_with(b".cfg") && !bytes.starts_with(b".") && !entry.path().is_dir() {
            names.push(name);
        }
    }
    names.sort();
    Ok(names.into_iter().map(|name| path.join(name)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[&str], truncated: bool) {
        let source = Source::new("t", text);
        let lines: Vec<&str> = (1..=source.line_count())
            .map(|n| std::str::from_utf8(source.line(n as u32)).unwrap())
            .collect();
        assert_eq!((lines.as_slice(), source.is_truncated()), (expected, truncated), "{text:?}");
    }

    #[test]
    fn lines() {
        check("", &[], false);
        check("\n", &[""], false);
        check("a\nb\n", &["a", "b"], false);
        check("a\n\nb", &["a", "", "b"], true);
        check("a", &["a"], true);
        assert_eq!(Source::new("t", "a\n").line(7), b"");
        assert_eq!(Source::new("t", "a\n").line(0), b"");
    }

    #[test]
    fn directories_expand_in_byte_order() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.cfg", "a.cfg", "Z.cfg", ".hidden.cfg", "note.txt"] {
            std::fs::write(dir.path().join(name), "global\n").unwrap();
        }
        std::fs::create_dir(dir.path().join("d.cfg")).unwrap();
        let sources = Sources::read(&[dir.path()]).unwrap();
        let names: Vec<_> =
            sources.iter().map(|(_, s)| s.name.rsplit('/').next().unwrap().to_owned()).collect();
        assert_eq!(names, ["Z.cfg", "a.cfg", "b.cfg"]);
        assert!(Sources::read(&[dir.path().join("nope.cfg")]).is_err());
    }
}
