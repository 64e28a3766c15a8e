//! The file behind a ring (configuration manual, 12.5 "backing-file"): the same bytes at the same places, behind a line
//! that tells where they begin.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Bytes in front of the records: a line of text, filled with spaces.
const HEAD: u64 = 128;

/// A file of fixed size.
#[derive(Debug)]
pub(super) struct Backing {
    file: File,
    size: u64,
}

impl Backing {
    /// Makes the file with room for `size` bytes of records. What was there, and is not empty, is renamed.
    pub(super) fn create(path: &Path, size: u64) -> io::Result<Self> {
        if std::fs::metadata(path).is_ok_and(|file| file.len() > 0) {
            // In a directory that cannot be written there is no second file (manual: this is a way to ask for none).
            let _ = std::fs::rename(path, kept(path));
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true).mode(0o600);
        let file = options.open(path)?;
        let whole = i64::try_from(HEAD + size).map_err(|_| io::ErrorKind::FileTooLarge)?;
        // Room is taken now: a full disk is told here and not while messages are written.
        nix::fcntl::posix_fallocate(&file, 0, whole)?;
        Ok(Self { file, size })
    }

    /// Says where the oldest record and the next one are.
    pub(super) fn begin(&mut self, oldest: u64, next: u64) -> io::Result<()> {
        let (first, end) = (HEAD + oldest % self.size, HEAD + next % self.size);
        let used = next - oldest;
        let mut head = format!(
            "sluice ring 1: {used} of {} bytes in use, the oldest message is at byte {first}, the next at {end}",
            self.size
        )
        .into_bytes();
        head.resize(HEAD as usize - 1, b' ');
        head.push(b'\n');
        self.file.write_all_at(&head, 0)
    }

    /// Writes a part of the records.
    pub(super) fn write(&mut self, at: u64, part: &[u8]) -> io::Result<()> {
        self.file.write_all_at(part, HEAD + at)
    }
}

/// `.bak` behind the name.
fn kept(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".bak");
    name.into()
}
