//! Encrypted private keys: PKCS#8 with PBES2 (RFC 8018), and the older form of OpenSSL, which says `DEK-Info` in its PEM.

use aes::{Aes128, Aes192, Aes256};
use base64::Engine;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockDecryptMut, KeyIvInit};
use des::TdesEde3;
use md5::{Digest, Md5};
use pkcs8::EncryptedPrivateKeyInfo;
use rustls::pki_types::PrivateKeyDer;

/// Longest text of one key: RSA keys of 16384 bits have 13 kB.
const TEXT_MAX: usize = 64 * 1024;

/// A private key that a passphrase opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EncryptedKey {
    /// `ENCRYPTED PRIVATE KEY`, as DER.
    Pkcs8(Vec<u8>),
    /// `RSA PRIVATE KEY` or `EC PRIVATE KEY` with `Proc-Type: 4,ENCRYPTED`.
    Legacy { kind: Kind, cipher: Cipher, iv: Vec<u8>, body: Vec<u8> },
    /// It is encrypted by something else.
    Unknown(String),
}

/// What a key of the older form is once it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Pkcs1,
    Sec1,
}

/// Ciphers of the older form, all in CBC mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cipher {
    Aes128,
    Aes192,
    Aes256,
    TripleDes,
}

/// Why a key stays closed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecryptError {
    #[error("the passphrase does not open the private key")]
    Passphrase,
    #[error(
        "the private key is encrypted by {0}, which is not offered: AES and 3DES of PBES2 (as 'openssl pkcs8 -topk8 \
         -v2 aes-256-cbc' writes) and of older PEM are"
    )]
    Method(String),
}

impl EncryptedKey {
    /// Takes the first encrypted key out of PEM text. The second value is the text without it, when there is one.
    #[must_use]
    pub fn take(pem: &[u8]) -> Option<(Self, Vec<u8>)> {
        let text = String::from_utf8_lossy(pem);
        // Both forms say so.
        if !text.contains("ENCRYPTED") {
            return None;
        }
        let mut at = 0;
        while let Some(start) = text[at..].find("-----BEGIN ").map(|found| at + found) {
            let after = &text[start + "-----BEGIN ".len()..];
            let label = after.split("-----").next()?;
            let end_mark = format!("-----END {label}-----");
            let length = text[start..].find(&end_mark)?;
            let end = start + length + end_mark.len();
            let body = text[start..start + length].lines().skip(1);
            let lines: Vec<&str> = body.map(str::trim).collect();
            if let Some(key) = Self::read(label, &lines) {
                return Some((key, [&text[..start], &text[end..]].concat().into_bytes()));
            }
            at = end;
        }
        None
    }

    fn read(label: &str, lines: &[&str]) -> Option<Self> {
        let decode = |lines: &[&str]| {
            let text = lines.concat();
            let engine = base64::engine::general_purpose::STANDARD;
            (text.len() <= TEXT_MAX).then(|| engine.decode(text).ok())?
        };
        let kind = match label {
            "ENCRYPTED PRIVATE KEY" => return decode(lines).map(Self::Pkcs8),
            "RSA PRIVATE KEY" => Kind::Pkcs1,
            "EC PRIVATE KEY" => Kind::Sec1,
            _ => return None,
        };
        let field =
            |name: &str| lines.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        if !field("Proc-Type")?.ends_with("ENCRYPTED") {
            return None;
        }
        let (name, iv) =
            field("DEK-Info").and_then(|info| info.split_once(',')).unwrap_or_default();
        let cipher = match name {
            "AES-128-CBC" => Cipher::Aes128,
            "AES-192-CBC" => Cipher::Aes192,
            "AES-256-CBC" => Cipher::Aes256,
            "DES-EDE3-CBC" => Cipher::TripleDes,
            other => return Some(Self::Unknown(format!("'{other}'"))),
        };
        let blank = lines.iter().position(|line| line.is_empty())?;
        let (iv, body) = (unhex(iv)?, decode(&lines[blank..])?);
        Some(Self::Legacy { kind, cipher, iv, body })
    }

    /// Opens it.
    ///
    /// # Errors
    /// The passphrase is another one, or the encryption is one that is not offered.
    pub fn decrypt(&self, passphrase: &[u8]) -> Result<PrivateKeyDer<'static>, DecryptError> {
        let key = match self {
            Self::Pkcs8(der) => {
                let sealed = EncryptedPrivateKeyInfo::try_from(der.as_slice()).ok();
                let sealed = sealed.filter(|key| key.encryption_algorithm.pbes2().is_some());
                let other = || DecryptError::Method("something else than PBES2".to_owned());
                let sealed = sealed.ok_or_else(other)?;
                let open = sealed.decrypt(passphrase).map_err(|_| DecryptError::Passphrase)?;
                PrivateKeyDer::Pkcs8(open.as_bytes().to_vec().into())
            }
            Self::Legacy { kind, cipher, iv, body } => {
                let der = cipher.decrypt(passphrase, iv, body).ok_or(DecryptError::Passphrase)?;
                match kind {
                    Kind::Pkcs1 => PrivateKeyDer::Pkcs1(der.into()),
                    Kind::Sec1 => PrivateKeyDer::Sec1(der.into()),
                }
            }
            Self::Unknown(name) => return Err(DecryptError::Method(name.clone())),
        };
        // One wrong passphrase of 256 leaves a padding that looks right.
        rustls::crypto::aws_lc_rs::sign::any_supported_type(&key)
            .map_err(|_| DecryptError::Passphrase)?;
        Ok(key)
    }
}

impl Cipher {
    fn decrypt(self, passphrase: &[u8], iv: &[u8], body: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Aes128 => open::<cbc::Decryptor<Aes128>>(passphrase, iv, body),
            Self::Aes192 => open::<cbc::Decryptor<Aes192>>(passphrase, iv, body),
            Self::Aes256 => open::<cbc::Decryptor<Aes256>>(passphrase, iv, body),
            Self::TripleDes => open::<cbc::Decryptor<TdesEde3>>(passphrase, iv, body),
        }
    }
}

fn open<D: KeyIvInit + BlockDecryptMut>(
    passphrase: &[u8],
    iv: &[u8],
    body: &[u8],
) -> Option<Vec<u8>> {
    let key = derive(passphrase, iv.get(..8)?, D::key_size());
    D::new_from_slices(&key, iv).ok()?.decrypt_padded_vec_mut::<Pkcs7>(body).ok()
}

/// The key of the older form: MD5 of what came before, the passphrase and the salt, as often as it takes
/// (`EVP_BytesToKey` with one round).
fn derive(passphrase: &[u8], salt: &[u8], length: usize) -> Vec<u8> {
    let mut key = Vec::new();
    let mut last: Vec<u8> = Vec::new();
    while key.len() < length {
        last = Md5::new()
            .chain_update(&last)
            .chain_update(passphrase)
            .chain_update(salt)
            .finalize()
            .to_vec();
        key.extend_from_slice(&last);
    }
    key.truncate(length);
    key
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .trim()
        .chars()
        .map(|digit| digit.to_digit(16).and_then(|n| u8::try_from(n).ok()))
        .collect();
    let digits = digits?;
    (digits.len() % 2 == 0)
        .then(|| digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::material::Parts;

    /// Keys of P-256 that OpenSSL 3.0 encrypted under "secret".
    const PKCS8: &str = include_str!("../testdata/pkcs8-aes256.pem");
    const PBES1: &str = include_str!("../testdata/pkcs8-pbes1.pem");
    const AES: &str = include_str!("../testdata/sec1-aes128.pem");
    const TRIPLE: &str = include_str!("../testdata/rsa-3des.pem");

    #[track_caller]
    fn check(pem: &str, passphrase: &str, expected: Result<(), DecryptError>) {
        let (key, rest) = EncryptedKey::take(pem.as_bytes()).unwrap();
        assert!(!String::from_utf8(rest).unwrap().contains("BEGIN"));
        assert_eq!(key.decrypt(passphrase.as_bytes()).map(drop), expected);
    }

    #[test]
    fn a_passphrase_opens_what_it_closed() {
        for pem in [PKCS8, AES, TRIPLE] {
            check(pem, "secret", Ok(()));
            check(pem, "Secret", Err(DecryptError::Passphrase));
            check(pem, "", Err(DecryptError::Passphrase));
        }
        check(PBES1, "secret", Err(DecryptError::Method("something else than PBES2".to_owned())));
    }

    #[test]
    fn other_sections_stay() {
        let both = format!("{}{AES}", crate::material::tests::pem("a.org"));
        let mut parts = Parts::parse(both.as_bytes()).unwrap();
        assert_eq!(parts.certificates.len(), 1);
        assert!(parts.is_locked());
        parts.unlock(b"secret").unwrap();
        assert!(!parts.is_locked() && parts.key.is_some());
    }

    #[test]
    fn nonsense_is_none() {
        for text in ["", "-----BEGIN ", "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n"]
        {
            assert_eq!(EncryptedKey::take(text.as_bytes()), None);
        }
        let text = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: IDEA-CBC,00\n\nAA==\n\
                    -----END RSA PRIVATE KEY-----";
        let (key, _) = EncryptedKey::take(text.as_bytes()).unwrap();
        assert_eq!(key, EncryptedKey::Unknown("'IDEA-CBC'".to_owned()));
    }
}
