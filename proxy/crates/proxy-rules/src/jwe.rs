//! Encrypted JSON Web Tokens in compact form (RFC 7516, 7518): the content encryption key is found first, by the
//! algorithm `alg`, and opens the content then, by the algorithm `enc`.

use aws_lc_rs::cipher::{self, DecryptingKey, DecryptionContext, UnboundCipherKey};
use aws_lc_rs::rsa::{
    OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepAlgorithm, OaepPrivateDecryptingKey,
    Pkcs1PrivateDecryptingKey, PrivateDecryptingKey,
};
use aws_lc_rs::{aead, agreement, constant_time, digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::json::{self, Json};

/// Names of `alg` (RFC 7518, 4.1).
pub const ALGORITHMS: [&str; 14] = [
    "RSA1_5",
    "A128KW",
    "A192KW",
    "A256KW",
    "A128GCMKW",
    "A192GCMKW",
    "A256GCMKW",
    "dir",
    "RSA-OAEP",
    "RSA-OAEP-256",
    "ECDH-ES",
    "ECDH-ES+A128KW",
    "ECDH-ES+A192KW",
    "ECDH-ES+A256KW",
];

/// Names of `enc` (RFC 7518, 5.1).
pub const ENCRYPTIONS: [&str; 6] =
    ["A128CBC-HS256", "A192CBC-HS384", "A256CBC-HS512", "A128GCM", "A192GCM", "A256GCM"];

/// Which algorithms tokens may use (`jwt.decrypt_alg_list`, `jwt.decrypt_enc_list`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowed {
    algorithms: u16,
    encryptions: u16,
}

impl Default for Allowed {
    /// All but RSA1_5 (RFC 8725, 3.2).
    fn default() -> Self {
        Self { algorithms: !1, encryptions: !0 }
    }
}

impl Allowed {
    /// Takes the algorithms of a list such as `ALL:!ECDH-ES`.
    ///
    /// # Errors
    /// A name that is none.
    pub fn set_algorithms(&mut self, list: &str) -> Result<(), String> {
        self.algorithms = set(list, &ALGORITHMS)?;
        Ok(())
    }

    /// Takes the encryptions of a list.
    ///
    /// # Errors
    /// A name that is none.
    pub fn set_encryptions(&mut self, list: &str) -> Result<(), String> {
        self.encryptions = set(list, &ENCRYPTIONS)?;
        Ok(())
    }
}

fn set(list: &str, names: &[&str]) -> Result<u16, String> {
    let (mut with, mut without) = (0, 0);
    for word in list.split(':') {
        let (name, bits) = match word.strip_prefix('!') {
            Some(name) => (name, &mut without),
            None => (word, &mut with),
        };
        *bits |= match names.iter().position(|known| *known == name) {
            Some(at) => 1 << at,
            None if name == "ALL" => !0,
            None => return Err(format!("unknown algorithm '{name}'")),
        };
    }
    Ok(with & !without)
}

fn permits(bits: u16, names: &[&str], name: &[u8]) -> bool {
    names.iter().position(|known| known.as_bytes() == name).is_some_and(|at| bits >> at & 1 == 1)
}

/// What a token is opened with.
#[derive(Clone, PartialEq, Eq)]
pub enum Key {
    /// A key on an elliptic curve: its name in JWKs, and the number that is secret.
    Ec(Curve, Vec<u8>),
    /// PKCS#8 of an RSA key.
    Rsa(Vec<u8>),
    /// Shared by both sides.
    Secret(Vec<u8>),
}

/// A curve of [`Key::Ec`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    P256,
    P384,
    P521,
}

impl Curve {
    fn find(name: &[u8]) -> Option<Self> {
        match name {
            b"P-256" => Some(Self::P256),
            b"P-384" => Some(Self::P384),
            b"P-521" => Some(Self::P521),
            _ => None,
        }
    }

    fn algorithm(self) -> &'static agreement::Algorithm {
        match self {
            Self::P256 => &agreement::ECDH_P256,
            Self::P384 => &agreement::ECDH_P384,
            Self::P521 => &agreement::ECDH_P521,
        }
    }

    /// Bytes of a coordinate.
    fn size(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }
}

impl Key {
    /// Reads a JSON Web Key of type `oct`, `EC` or `RSA` (RFC 7517, RFC 7518, 6) that holds what is secret, too.
    pub fn from_jwk(jwk: &[u8]) -> Option<Self> {
        match text(jwk, b"$.kty")? {
            b"oct" => Some(Self::Secret(bytes(jwk, b"$.k")?)),
            b"EC" => Some(Self::Ec(Curve::find(text(jwk, b"$.crv")?)?, bytes(jwk, b"$.d")?)),
            b"RSA" => {
                let parts: [&[u8]; 8] =
                    [b"$.n", b"$.e", b"$.d", b"$.p", b"$.q", b"$.dp", b"$.dq", b"$.qi"];
                let numbers: Option<Vec<_>> = parts.iter().map(|name| bytes(jwk, name)).collect();
                Some(Self::Rsa(pkcs8(&numbers?)))
            }
            _ => None,
        }
    }
}

/// How a private key is written in DER.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyForm {
    /// RFC 8017, A.1.2.
    Pkcs1,
    /// RFC 5208.
    Pkcs8,
    /// RFC 5915.
    Sec1,
}

impl Key {
    /// Reads a private key; `None` for kinds that open no tokens.
    pub fn from_der(form: KeyForm, key: &[u8]) -> Option<Self> {
        match form {
            KeyForm::Pkcs1 => {
                let key = der(4, key);
                Some(Self::Rsa(der(0x30, &[&der(2, &[0])[..], RSA, &key].concat())))
            }
            KeyForm::Sec1 => ec(key, None),
            KeyForm::Pkcs8 => {
                let (content, _) = value(0x30, key)?;
                let (_, rest) = value(2, content)?;
                let (algorithm, rest) = value(0x30, rest)?;
                let (oid, parameters) = value(6, algorithm)?;
                match oid {
                    OID_RSA => Some(Self::Rsa(key.to_vec())),
                    OID_EC => ec(value(4, rest)?.0, Some(value(6, parameters)?.0)),
                    _ => None,
                }
            }
        }
    }
}

/// `ECPrivateKey`; the curve may stand outside.
fn ec(key: &[u8], curve: Option<&[u8]>) -> Option<Key> {
    let (content, _) = value(0x30, key)?;
    let (_, rest) = value(2, content)?;
    let (secret, rest) = value(4, rest)?;
    let oid = match curve {
        Some(oid) => oid,
        None => value(6, value(0xa0, rest)?.0)?.0,
    };
    let curve = match oid {
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7] => Curve::P256,
        [0x2b, 0x81, 4, 0, 0x22] => Curve::P384,
        [0x2b, 0x81, 4, 0, 0x23] => Curve::P521,
        _ => return None,
    };
    Some(Key::Ec(curve, secret.to_vec()))
}

/// rsaEncryption (RFC 8017, A.1).
pub(crate) const OID_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
/// id-ecPublicKey (RFC 5480, 2.1.1).
pub(crate) const OID_EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];

/// The content of a value of DER with this tag, and what follows it.
fn value(tag: u8, data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = data.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    (found == tag).then(|| rest.split_at_checked(length))?
}

/// A text in a JSON object that has no escapes.
fn text<'a>(json: &'a [u8], path: &[u8]) -> Option<&'a [u8]> {
    match json::find(json, path)? {
        Json::String(text) if !text.contains(&b'\\') => Some(text),
        _ => None,
    }
}

/// Bytes in a JSON object, which stand there in base64url.
fn bytes(json: &[u8], path: &[u8]) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text(json, path)?).ok()
}

/// A value of ASN.1 DER.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let length = content.len().to_be_bytes();
    let digits = &length[length.iter().position(|b| *b != 0).unwrap_or(length.len() - 1)..];
    match digits {
        [short] if *short < 0x80 => out.push(*short),
        _ => {
            out.push(0x80 | digits.len() as u8);
            out.extend_from_slice(digits);
        }
    }
    out.extend_from_slice(content);
    out
}

/// The algorithm of an RSA key in PKCS#8.
const RSA: &[u8] = &[0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0];

/// PKCS#8 (RFC 5208) of an RSA key from its numbers, in the order of RFC 8017, A.1.2.
fn pkcs8(numbers: &[Vec<u8>]) -> Vec<u8> {
    let mut key = der(2, &[0]);
    for number in numbers {
        let digits = &number[number.iter().position(|b| *b != 0).unwrap_or(number.len())..];
        // The highest bit is the sign.
        let sign = digits.first().is_none_or(|first| *first >= 0x80);
        let mut content = vec![0; usize::from(sign)];
        content.extend_from_slice(digits);
        key.extend(der(2, &content));
    }
    let key = der(4, &der(0x30, &key));
    der(0x30, &[&der(2, &[0])[..], RSA, &key].concat())
}

/// The content of a token; `None` when it is none, uses what is not allowed, or `key` does not open it.
pub fn decrypt(token: &[u8], key: &Key, allowed: Allowed) -> Option<Vec<u8>> {
    let mut parts = token.split(|b| *b == b'.');
    let mut next = || parts.next();
    let (header_text, wrapped) = (next()?, next()?);
    let (iv, content, tag) = (next()?, next()?, next()?);
    next().is_none().then_some(())?;
    let decode = |part: &[u8]| URL_SAFE_NO_PAD.decode(part).ok();
    let header = decode(header_text)?;
    let (alg, enc) = (text(&header, b"$.alg")?, text(&header, b"$.enc")?);
    let permitted = permits(allowed.algorithms, &ALGORITHMS, alg)
        && permits(allowed.encryptions, &ENCRYPTIONS, enc);
    permitted.then_some(())?;
    let cek = content_key(key, alg, enc, &header, &decode(wrapped)?)?;
    open(&cek, enc, header_text, &decode(iv)?, decode(content)?, &decode(tag)?)
}

/// Bytes of the key of an encryption.
fn key_size(enc: &[u8]) -> Option<usize> {
    Some(match enc {
        b"A128GCM" => 16,
        b"A192GCM" => 24,
        b"A256GCM" | b"A128CBC-HS256" => 32,
        b"A192CBC-HS384" => 48,
        b"A256CBC-HS512" => 64,
        _ => return None,
    })
}

/// The bits that the name of a key-wrapping algorithm tells, as bytes.
fn wrapping_size(alg: &[u8]) -> Option<usize> {
    let has = |bits: &[u8]| alg.windows(4).any(|part| part == bits);
    [(&b"A128"[..], 16), (b"A192", 24), (b"A256", 32)]
        .into_iter()
        .find(|(name, _)| has(name))
        .map(|(_, size)| size)
}

fn content_key(
    key: &Key,
    alg: &[u8],
    enc: &[u8],
    header: &[u8],
    wrapped: &[u8],
) -> Option<Vec<u8>> {
    match (alg, key) {
        (b"dir", Key::Secret(secret)) => wrapped.is_empty().then(|| secret.clone()),
        (b"A128KW" | b"A192KW" | b"A256KW", Key::Secret(secret)) => {
            (wrapping_size(alg) == Some(secret.len())).then(|| unwrap(secret, wrapped))?
        }
        (b"A128GCMKW" | b"A192GCMKW" | b"A256GCMKW", Key::Secret(secret)) => {
            (wrapping_size(alg) == Some(secret.len())).then_some(())?;
            let (iv, tag) = (bytes(header, b"$.iv")?, bytes(header, b"$.tag")?);
            open_gcm(secret, b"", &iv, wrapped.to_vec(), &tag)
        }
        (b"RSA-OAEP", Key::Rsa(rsa)) => open_oaep(rsa, &OAEP_SHA1_MGF1SHA1, wrapped),
        (b"RSA-OAEP-256", Key::Rsa(rsa)) => open_oaep(rsa, &OAEP_SHA256_MGF1SHA256, wrapped),
        (b"RSA1_5", Key::Rsa(rsa)) => {
            let key = PrivateDecryptingKey::from_pkcs8(rsa).ok()?;
            let mut room = vec![0; key.key_size_bytes()];
            let key = Pkcs1PrivateDecryptingKey::new(key).ok()?;
            key.decrypt(wrapped, &mut room).ok().map(|cek| cek.to_vec())
        }
        (b"ECDH-ES", Key::Ec(curve, secret)) => {
            wrapped.is_empty().then_some(())?;
            agree(*curve, secret, header, enc, key_size(enc)?)
        }
        (b"ECDH-ES+A128KW" | b"ECDH-ES+A192KW" | b"ECDH-ES+A256KW", Key::Ec(curve, secret)) => {
            unwrap(&agree(*curve, secret, header, alg, wrapping_size(alg)?)?, wrapped)
        }
        _ => None,
    }
}

fn open_oaep(pkcs8: &[u8], algorithm: &'static OaepAlgorithm, wrapped: &[u8]) -> Option<Vec<u8>> {
    let key = PrivateDecryptingKey::from_pkcs8(pkcs8).ok()?;
    let mut room = vec![0; key.key_size_bytes()];
    let key = OaepPrivateDecryptingKey::new(key).ok()?;
    key.decrypt(algorithm, wrapped, &mut room, None).ok().map(|cek| cek.to_vec())
}

/// The key that both sides agree on (RFC 7518, 4.6), for the algorithm `name`.
fn agree(curve: Curve, secret: &[u8], header: &[u8], name: &[u8], size: usize) -> Option<Vec<u8>> {
    (Curve::find(text(header, b"$.epk.crv")?)? == curve).then_some(())?;
    let mut point = vec![4];
    for part in [&b"$.epk.x"[..], b"$.epk.y"] {
        let number = bytes(header, part)?;
        point.resize(point.len() + curve.size().checked_sub(number.len())?, 0);
        point.extend(number);
    }
    let mut padded = vec![0; curve.size().checked_sub(secret.len())?];
    padded.extend_from_slice(secret);
    let own = agreement::PrivateKey::from_private_key(curve.algorithm(), &padded).ok()?;
    let other = agreement::UnparsedPublicKey::new(curve.algorithm(), &point);
    let party = |path: &[u8]| match json::find(header, path) {
        None => Some(Vec::new()),
        Some(_) => bytes(header, path),
    };
    let (apu, apv) = (party(b"$.apu")?, party(b"$.apv")?);
    agreement::agree(&own, other, (), |shared| {
        let mut made = Vec::new();
        for round in 1u32.. {
            let mut hash = digest::Context::new(&digest::SHA256);
            hash.update(&round.to_be_bytes());
            hash.update(shared);
            for part in [name, &apu, &apv] {
                hash.update(&(part.len() as u32).to_be_bytes());
                hash.update(part);
            }
            hash.update(&(size as u32 * 8).to_be_bytes());
            made.extend_from_slice(hash.finish().as_ref());
            if made.len() >= size {
                break;
            }
        }
        made.truncate(size);
        Ok(made)
    })
    .ok()
}

fn aes(key: &[u8]) -> Option<UnboundCipherKey> {
    let algorithm = match key.len() {
        16 => &cipher::AES_128,
        24 => &cipher::AES_192,
        32 => &cipher::AES_256,
        _ => return None,
    };
    UnboundCipherKey::new(algorithm, key).ok()
}

/// AES key wrap (RFC 3394, 2.2.2). The library's own knows no keys of 192 bits.
fn unwrap(key: &[u8], wrapped: &[u8]) -> Option<Vec<u8>> {
    let aes = DecryptingKey::ecb(aes(key)?).ok()?;
    (wrapped.len() >= 24 && wrapped.len().is_multiple_of(8)).then_some(())?;
    let (first, rest) = wrapped.split_first_chunk::<8>()?;
    let (mut a, mut blocks) = (*first, rest.to_vec());
    let count = (blocks.len() / 8) as u64;
    for round in (0..6).rev() {
        for index in (1..=count).rev() {
            let at = (index as usize - 1) * 8;
            let step = u64::from_be_bytes(a) ^ (count * round + index);
            let mut both = [0; 16];
            both[..8].copy_from_slice(&step.to_be_bytes());
            both[8..].copy_from_slice(&blocks[at..at + 8]);
            aes.decrypt(&mut both, DecryptionContext::None).ok()?;
            a.copy_from_slice(&both[..8]);
            blocks[at..at + 8].copy_from_slice(&both[8..]);
        }
    }
    constant_time::verify_slices_are_equal(&a, &[0xa6; 8]).is_ok().then_some(blocks)
}

fn open_gcm(
    key: &[u8],
    aad: &[u8],
    iv: &[u8],
    mut content: Vec<u8>,
    tag: &[u8],
) -> Option<Vec<u8>> {
    let algorithm = match key.len() {
        16 => &aead::AES_128_GCM,
        24 => &aead::AES_192_GCM,
        32 => &aead::AES_256_GCM,
        _ => return None,
    };
    let nonce = aead::Nonce::try_assume_unique_for_key(iv).ok()?;
    let key = aead::LessSafeKey::new(aead::UnboundKey::new(algorithm, key).ok()?);
    (tag.len() == 16).then(|| content.extend_from_slice(tag))?;
    let length = key.open_in_place(nonce, aead::Aad::from(aad), &mut content).ok()?.len();
    content.truncate(length);
    Some(content)
}

fn open(
    cek: &[u8],
    enc: &[u8],
    header: &[u8],
    iv: &[u8],
    mut content: Vec<u8>,
    tag: &[u8],
) -> Option<Vec<u8>> {
    (key_size(enc)? == cek.len()).then_some(())?;
    let mac = match enc {
        b"A128CBC-HS256" => hmac::HMAC_SHA256,
        b"A192CBC-HS384" => hmac::HMAC_SHA384,
        b"A256CBC-HS512" => hmac::HMAC_SHA512,
        _ => return open_gcm(cek, header, iv, content, tag),
    };
    // RFC 7518, 5.2.2.2: the first half of the key authenticates, the second decrypts.
    let (mac_key, key) = cek.split_at(cek.len() / 2);
    let mut seal = hmac::Context::with_key(&hmac::Key::new(mac, mac_key));
    for part in [header, iv, &content, &(header.len() as u64 * 8).to_be_bytes()] {
        seal.update(part);
    }
    let seal = seal.sign();
    constant_time::verify_slices_are_equal(&seal.as_ref()[..mac_key.len()], tag).ok()?;
    let iv: [u8; 16] = iv.try_into().ok()?;
    let key = cipher::PaddedBlockDecryptingKey::cbc_pkcs7(aes(key)?).ok()?;
    let plain = key.decrypt(&mut content, DecryptionContext::Iv128(iv.into())).ok()?.len();
    content.truncate(plain);
    Some(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_unwrapped() {
        // RFC 3394, 4.1 and 4.6.
        let hex = |text: &str| -> Vec<u8> {
            (0..text.len())
                .step_by(2)
                .map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap())
                .collect()
        };
        let (kek, data) = ("000102030405060708090A0B0C0D0E0F", "00112233445566778899AABBCCDDEEFF");
        let wrapped = hex("1FA68B0A8112B447AEF34BD8FB5A7B829D3E862371D2CFE5");
        assert_eq!(unwrap(&hex(kek), &wrapped), Some(hex(data)));
        let kek = hex("000102030405060708090A0B0C0D0E0F1011121314151617");
        let wrapped = hex("96778B25AE6CA435F92B5B97C050AED2468AB8A17AD84E5D");
        assert_eq!(unwrap(&kek, &wrapped), Some(hex(data)));
        let mut bad = wrapped;
        bad[3] ^= 1;
        assert_eq!(unwrap(&kek, &bad), None);
    }

    #[test]
    fn lists_of_algorithms() {
        let mut allowed = Allowed::default();
        assert!(!permits(allowed.algorithms, &ALGORITHMS, b"RSA1_5"));
        assert!(permits(allowed.algorithms, &ALGORITHMS, b"dir"));
        allowed.set_algorithms("ALL:!ECDH-ES").unwrap();
        assert!(permits(allowed.algorithms, &ALGORITHMS, b"RSA1_5"));
        assert!(!permits(allowed.algorithms, &ALGORITHMS, b"ECDH-ES"));
        allowed.set_encryptions("A128GCM:A256GCM").unwrap();
        assert!(!permits(allowed.encryptions, &ENCRYPTIONS, b"A128CBC-HS256"));
        assert!(allowed.set_encryptions("A128GCM:AES").is_err());
    }

    #[test]
    fn the_agreement_of_the_rfc() {
        // RFC 7518, appendix C.
        let bob = br#"{"kty":"EC","crv":"P-256","x":"weNJy2HscCSM6AEDTDg04biOvhFhyyWvOHQfeF_PxMQ",
            "y":"e8lnCO-AlStT-NJVX-crhB7QRYhiix03illJOVAOyck","d":"VEmDZpDXXK8p8N0Cndsxs924q6nS1RXFASRl6BfUqdw"}"#;
        let header = br#"{"alg":"ECDH-ES","enc":"A128GCM","apu":"QWxpY2U","apv":"Qm9i","epk":{"kty":"EC","crv":"P-256",
            "x":"gI0GAILBdu7T53akrFmMyGcsF3n5dO7MmwNBHKW5SV0","y":"SLW_xSffzlPWrHEVI30DHM_4egVwt3NQqeUD7nMFpps"}}"#;
        let Some(Key::Ec(curve, secret)) = Key::from_jwk(bob) else { panic!("no key") };
        let made = agree(curve, &secret, header, b"A128GCM", 16).unwrap();
        assert_eq!(URL_SAFE_NO_PAD.encode(made), "VqqN6vgjbSBcIijNcacQGg");
    }

    proptest::proptest! {
        #[test]
        fn any_token_is_survived(
            token in "[A-Za-z0-9_.-]{0,80}",
            header in r#"\{"alg":"(dir|A128KW|A256GCMKW|ECDH-ES|RSA-OAEP)","enc":"A(128GCM|128CBC-HS256)"(,"epk":\{"crv":"P-256","x":"[a-z]{0,4}"\})?\}"#,
            jwk in r#"\{"kty":"(oct|EC|RSA)","k":"[A-Za-z]{0,22}","crv":"P-256","d":"[a-z]{0,50}"\}"#,
        ) {
            let key = Key::from_jwk(jwk.as_bytes()).unwrap_or_else(|| Key::Secret(vec![1; 16]));
            let whole = format!("{}.{token}", URL_SAFE_NO_PAD.encode(header));
            assert_eq!(decrypt(whole.as_bytes(), &key, Allowed::default()), None);
        }
    }
}
