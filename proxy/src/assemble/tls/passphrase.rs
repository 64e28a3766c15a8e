//! Passphrases of encrypted private keys, asked of the program of `ssl-passphrase-cmd`.

use std::process::{Command, Stdio};

use proxy_tls::encrypted::DecryptError;
use proxy_tls::material::Parts;
use proxy_types::Spanned;

use super::files;

/// What there is to try.
#[derive(Default)]
pub(super) struct Passphrases {
    command: Vec<String>,
    known: Vec<Vec<u8>>,
}

impl Passphrases {
    pub(super) fn new(command: Option<&[Spanned<String>]>) -> Self {
        let command = command.into_iter().flatten().map(|word| word.value.clone()).collect();
        Self { command, known: Vec::new() }
    }

    /// What a PEM file holds, its key open if somebody knows how.
    ///
    /// # Errors
    /// It cannot be read, or its key stays closed though there is a program to ask.
    pub(super) fn parts(&mut self, path: &str) -> Result<Parts, String> {
        let mut parts = files::parts(path)?;
        let Some((program, arguments)) = self.command.split_first() else { return Ok(parts) };
        if !parts.is_locked() || self.known.iter().any(|known| parts.unlock(known).is_ok()) {
            return Ok(parts);
        }
        let fail = |why: String| format!("'{path}': 'ssl-passphrase-cmd {program}': {why}");
        let told = Command::new(program)
            .arg(path)
            .args(arguments)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| fail(error.to_string()))?;
        if !told.status.success() {
            return Err(fail(format!("it ended with {}", told.status)));
        }
        // What it prints is a line, as a rule.
        let mut passphrase = told.stdout;
        while passphrase.last().is_some_and(|end| matches!(end, b'\n' | b'\r')) {
            passphrase.pop();
        }
        parts.unlock(&passphrase).map_err(|error: DecryptError| fail(error.to_string()))?;
        self.known.push(passphrase);
        Ok(parts)
    }
}
