//! Digests, message authentication and encryption (configuration manual, 7.3.1), on AWS-LC.

use aws_lc_rs::{aead, cipher, constant_time, digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};

use super::string::made;
use crate::sample::args::{Arg, ArgDef, ArgKind, opt, req};
use crate::sample::{Args, ConvDef, EvalCtx, Sample, Type};

const CBC: &[ArgDef] =
    &[req(ArgKind::Int), req(ArgKind::Value), req(ArgKind::Value), opt(ArgKind::Value)];
const GCM_ENC: &[ArgDef] = &[
    req(ArgKind::Int),
    req(ArgKind::Value),
    req(ArgKind::Value),
    req(ArgKind::Var),
    opt(ArgKind::Value),
];
const GCM_DEC: &[ArgDef] = &[
    req(ArgKind::Int),
    req(ArgKind::Value),
    req(ArgKind::Value),
    req(ArgKind::Value),
    opt(ArgKind::Value),
];

pub(super) const CONVS: &[ConvDef] = &[
    ConvDef::new("aes_cbc_dec", CBC, Type::Bin, Type::Bin, aes_cbc_dec, "Decrypts with AES-CBC; nonce and key are base64.")
        .check(check_cbc)
        .eg(&[("str(xxx),aes_cbc_dec(128,MTIzNDU2Nzg5MDEyMzQ1Ng==,Zm9vb2Zvb29mb29wZm9vbw==)", None)]),
    ConvDef::new("aes_cbc_enc", CBC, Type::Bin, Type::Bin, aes_cbc_enc, "Encrypts with AES-CBC; nonce and key are base64.")
        .check(check_cbc)
        .eg(&[(
            "str(abc),aes_cbc_enc(128,MTIzNDU2Nzg5MDEyMzQ1Ng==,Zm9vb2Zvb29mb29wZm9vbw==),aes_cbc_dec(128,MTIzNDU2Nzg5MDEyMzQ1Ng==,Zm9vb2Zvb29mb29wZm9vbw==)",
            Some("abc"),
        )]),
    ConvDef::new("aes_gcm_dec", GCM_DEC, Type::Bin, Type::Bin, aes_gcm_dec, "Decrypts with AES-GCM and checks the tag; all arguments are base64.")
        .check(check_bits)
        .eg(&[("str(xxx),aes_gcm_dec(128,MTIzNDU2Nzg5MDEy,Zm9vb2Zvb29mb29vb29vbw==,AAAA)", None)]),
    ConvDef::new("aes_gcm_enc", GCM_ENC, Type::Bin, Type::Bin, aes_gcm_enc, "Encrypts with AES-GCM and keeps the tag in a variable; all arguments are base64.")
        .check(check_bits)
        .eg(&[(
            "str(abc),aes_gcm_enc(256,MTIzNDU2Nzg5MDEy,Zm9vb2Zvb29mb29vb29vb2Zvb29mb29vZm9vb29vb28=,txn.tag),aes_gcm_dec(256,MTIzNDU2Nzg5MDEy,Zm9vb2Zvb29mb29vb29vb2Zvb29mb29vZm9vb29vb28=,txn.tag)",
            Some("abc"),
        )]),
    ConvDef::new("digest", &[req(ArgKind::Str)], Type::Bin, Type::Bin, digest, "Message digest, by name: md5, sha1, sha256 and others.")
        .check(check_algorithm)
        .eg(&[
            ("str(abc),digest(md5),hex", Some("900150983CD24FB0D6963F7D28E17F72")),
            ("str(abc),digest(SHA1),hex", Some("A9993E364706816ABA3E25717850C26C9CD0D89D")),
            ("str(abc),digest(sha-256),hex,bytes(0,8)", Some("BA7816BF")),
        ]),
    ConvDef::new("hmac", &[req(ArgKind::Str), req(ArgKind::Value)], Type::Bin, Type::Bin, hmac, "Message authentication code with a key in base64.")
        .check(check_algorithm)
        .eg(&[
            ("str(what do ya want for nothing?),hmac(sha1,SmVmZQ==),hex", Some("EFFCDF6AE5EB2FA2D27416D5F184DF9C259A7C79")),
            ("str(what do ya want for nothing?),hmac(md5,SmVmZQ==),hex", Some("750C783E6AB0B503EAA86E310A5DB738")),
        ]),
    ConvDef::new("secure_memcmp", &[req(ArgKind::Var)], Type::Bin, Type::Bool, secure_memcmp, "Compares with a variable in constant time.")
        .eg(&[("str(value),secure_memcmp(txn.example)", Some("1")), ("str(a),secure_memcmp(txn.example)", Some("0"))]),
    ConvDef::new("sha1", &[], Type::Bin, Type::Bin, sha1, "SHA-1 digest.")
        .eg(&[("str(abc),sha1,hex", Some("A9993E364706816ABA3E25717850C26C9CD0D89D"))]),
    ConvDef::new("sha2", &[opt(ArgKind::Int)], Type::Bin, Type::Bin, sha2, "SHA-2 digest of 224, 256, 384 or 512 bits.")
        .check(check_sha2)
        .eg(&[
            ("str(abc),sha2,hex,bytes(0,8)", Some("BA7816BF")),
            ("str(abc),sha2(224),hex,bytes(0,8)", Some("23097D22")),
            ("str(abc),sha2(512),length", Some("64")),
        ]),
];

/// A digest that is known by a name of OpenSSL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i64)]
enum Algorithm {
    Md5,
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
    Sha512256,
}

const ALGORITHMS: [(&str, Algorithm); 14] = [
    ("md5", Algorithm::Md5),
    ("sha1", Algorithm::Sha1),
    ("sha-1", Algorithm::Sha1),
    ("sha224", Algorithm::Sha224),
    ("sha-224", Algorithm::Sha224),
    ("sha2-224", Algorithm::Sha224),
    ("sha256", Algorithm::Sha256),
    ("sha-256", Algorithm::Sha256),
    ("sha2-256", Algorithm::Sha256),
    ("sha384", Algorithm::Sha384),
    ("sha-384", Algorithm::Sha384),
    ("sha512", Algorithm::Sha512),
    ("sha-512", Algorithm::Sha512),
    ("sha512-256", Algorithm::Sha512256),
];

fn check_algorithm(args: &mut Args) -> Result<(), String> {
    let name = String::from_utf8_lossy(args.str(0).unwrap_or_default()).to_ascii_lowercase();
    let found = ALGORITHMS.iter().position(|(n, _)| *n == name);
    let at = found.ok_or_else(|| {
        format!("unknown digest '{name}' (md5, sha1, sha224, sha256, sha384, sha512 or sha512-256 is expected)")
    })?;
    args.0[0] = Arg::Int(at as i64);
    Ok(())
}

impl Algorithm {
    fn of(args: &Args) -> Option<Self> {
        let row = ALGORITHMS.get(usize::try_from(args.int(0)?).ok()?)?;
        Some(row.1)
    }

    /// `None` for MD5, which AWS-LC does not offer here.
    fn digest(self) -> Option<&'static digest::Algorithm> {
        match self {
            Self::Md5 => None,
            Self::Sha1 => Some(&digest::SHA1_FOR_LEGACY_USE_ONLY),
            Self::Sha224 => Some(&digest::SHA224),
            Self::Sha256 => Some(&digest::SHA256),
            Self::Sha384 => Some(&digest::SHA384),
            Self::Sha512 => Some(&digest::SHA512),
            Self::Sha512256 => Some(&digest::SHA512_256),
        }
    }

    fn hash<'a>(self, cx: &EvalCtx<'a>, data: &[u8]) -> &'a [u8] {
        match self.digest() {
            Some(algorithm) => {
                cx.scratch.alloc_slice_copy(digest::digest(algorithm, data).as_ref())
            }
            None => cx.scratch.alloc_slice_copy(&Md5::digest(data)),
        }
    }

    /// RFC 2104; AWS-LC's own for the digests that it has one for.
    fn hmac<'a>(self, cx: &EvalCtx<'a>, key: &[u8], data: &[u8]) -> &'a [u8] {
        let algorithm = match self {
            Self::Sha1 => Some(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY),
            Self::Sha224 => Some(hmac::HMAC_SHA224),
            Self::Sha256 => Some(hmac::HMAC_SHA256),
            Self::Sha384 => Some(hmac::HMAC_SHA384),
            Self::Sha512 => Some(hmac::HMAC_SHA512),
            Self::Md5 | Self::Sha512256 => None,
        };
        if let Some(algorithm) = algorithm {
            let tag = hmac::sign(&hmac::Key::new(algorithm, key), data);
            return cx.scratch.alloc_slice_copy(tag.as_ref());
        }
        let block = self.digest().map_or(64, |algorithm| algorithm.block_len());
        let key = if key.len() > block { self.hash(cx, key) } else { key };
        let pad = |with: u8, message: &[u8]| {
            let room = cx.scratch.alloc_slice_fill_copy(block + message.len(), with);
            room[..key.len()].iter_mut().zip(key).for_each(|(b, k)| *b ^= k);
            room[block..].copy_from_slice(message);
            self.hash(cx, room)
        };
        pad(0x5c, pad(0x36, data))
    }
}

fn digest<'a>(cx: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    Some(Sample::Bin(Algorithm::of(args)?.hash(cx, value.bytes()?)))
}

fn hmac<'a>(cx: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    let key = decoded(cx, args.text(1, cx)?)?;
    Some(Sample::Bin(Algorithm::of(args)?.hmac(cx, key, value.bytes()?)))
}

fn sha1<'a>(cx: &EvalCtx<'a>, _: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    Some(Sample::Bin(Algorithm::Sha1.hash(cx, value.bytes()?)))
}

fn check_sha2(args: &mut Args) -> Result<(), String> {
    match args.int(0) {
        None | Some(224 | 256 | 384 | 512) => Ok(()),
        Some(n) => {
            Err(format!("unsupported number of bits {n} (224, 256, 384 or 512 is expected)"))
        }
    }
}

fn sha2<'a>(cx: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    let algorithm = match args.int(0).unwrap_or(256) {
        224 => Algorithm::Sha224,
        384 => Algorithm::Sha384,
        512 => Algorithm::Sha512,
        _ => Algorithm::Sha256,
    };
    Some(Sample::Bin(algorithm.hash(cx, value.bytes()?)))
}

fn secure_memcmp<'a>(cx: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    let other = cx.var(args.var(0)?)?.bin(cx.scratch)?;
    Some(Sample::Bool(constant_time::verify_slices_are_equal(value.bytes()?, other).is_ok()))
}

/// The bytes that base64 stands for, in scratch memory.
pub(super) fn decoded<'a>(cx: &EvalCtx<'a>, text: &[u8]) -> Option<&'a [u8]> {
    let room = cx.scratch.alloc_slice_fill_copy(base64::decoded_len_estimate(text.len()), 0u8);
    let len = STANDARD.decode_slice(text, room).ok()?;
    Some(&room[..len])
}

fn check_cbc(args: &mut Args) -> Result<(), String> {
    match args.is_given(3) {
        true => Err("AES-CBC authenticates nothing and takes no additional data".to_owned()),
        false => check_bits(args),
    }
}

fn check_bits(args: &mut Args) -> Result<(), String> {
    match args.int(0) {
        Some(128 | 192 | 256) => Ok(()),
        _ => Err("the key size must be 128, 192 or 256 (bits)".to_owned()),
    }
}

fn gcm_key(cx: &EvalCtx<'_>, args: &Args) -> Option<aead::LessSafeKey> {
    let algorithm = match args.int(0)? {
        128 => &aead::AES_128_GCM,
        192 => &aead::AES_192_GCM,
        _ => &aead::AES_256_GCM,
    };
    let key = decoded(cx, args.text(2, cx)?)?;
    aead::UnboundKey::new(algorithm, key).ok().map(aead::LessSafeKey::new)
}

fn additional<'a>(cx: &EvalCtx<'a>, args: &'a Args) -> Option<&'a [u8]> {
    match args.is_given(4) {
        true => decoded(cx, args.text(4, cx)?),
        false => Some(b""),
    }
}

fn aes_gcm_enc<'a>(cx: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    let nonce = decoded(cx, args.text(1, cx)?)?;
    let nonce = aead::Nonce::try_assume_unique_for_key(nonce).ok()?;
    let aad = aead::Aad::from(additional(cx, args)?);
    let data = cx.scratch.alloc_slice_copy(value.bytes()?);
    let tag = gcm_key(cx, args)?.seal_in_place_separate_tag(nonce, aad, data).ok()?;
    let tag = made(cx, 24, |out| {
        let mut text = [0; 24];
        // 16 bytes are 24 characters.
        let len = STANDARD.encode_slice(tag.as_ref(), &mut text).unwrap_or(0);
        out.extend_from_slice(&text[..len]);
    })?;
    cx.set_var(args.var(3)?, Sample::Str(tag));
    Some(Sample::Bin(data))
}

fn aes_gcm_dec<'a>(cx: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    let nonce = decoded(cx, args.text(1, cx)?)?;
    let nonce = aead::Nonce::try_assume_unique_for_key(nonce).ok()?;
    let aad = aead::Aad::from(additional(cx, args)?);
    let tag = decoded(cx, args.text(3, cx)?)?;
    let cipher = value.bytes()?;
    let plain = cx.scratch.alloc_slice_fill_copy(cipher.len(), 0u8);
    gcm_key(cx, args)?.open_separate_gather(nonce, aad, cipher, tag, plain).ok()?;
    Some(Sample::Bin(plain))
}

fn cbc_key(cx: &EvalCtx<'_>, args: &Args) -> Option<cipher::UnboundCipherKey> {
    let algorithm = match args.int(0)? {
        128 => &cipher::AES_128,
        192 => &cipher::AES_192,
        _ => &cipher::AES_256,
    };
    cipher::UnboundCipherKey::new(algorithm, decoded(cx, args.text(2, cx)?)?).ok()
}

fn iv(cx: &EvalCtx<'_>, args: &Args) -> Option<[u8; 16]> {
    decoded(cx, args.text(1, cx)?)?.try_into().ok()
}

fn aes_cbc_enc<'a>(cx: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    let key = cipher::PaddedBlockEncryptingKey::cbc_pkcs7(cbc_key(cx, args)?).ok()?;
    let mut data = value.bytes()?.to_vec();
    let context = cipher::EncryptionContext::Iv128(iv(cx, args)?.into());
    key.less_safe_encrypt(&mut data, context).ok()?;
    Some(Sample::Bin(cx.scratch.alloc_slice_copy(&data)))
}

fn aes_cbc_dec<'a>(cx: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    let key = cipher::PaddedBlockDecryptingKey::cbc_pkcs7(cbc_key(cx, args)?).ok()?;
    let data = cx.scratch.alloc_slice_copy(value.bytes()?);
    let context = cipher::DecryptionContext::Iv128(iv(cx, args)?.into());
    let plain = key.decrypt(data, context).ok()?;
    Some(Sample::Bin(plain))
}
