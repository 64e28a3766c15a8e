//! Session tickets: the keys of `tls-ticket-keys`, which may be those of other balancers, too.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{hkdf, rand};
use parking_lot::RwLock;
use rustls::server::ProducesTickets;

/// Bytes that tell which key a ticket was made with.
pub const NAME: usize = 16;
/// Name, 128-bit key and 128-bit HMAC key of OpenSSL's tickets.
pub const SHORT: usize = 48;
/// Name, 256-bit key and 256-bit HMAC key.
pub const LONG: usize = 80;
/// Why a list of keys cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TicketKeyError {
    #[error("a key is {0} bytes long, not 48 or 80")]
    Length(usize),
    #[error("all keys must have the same length")]
    Mixed,
    #[error("at least 3 keys are needed")]
    TooFew,
    #[error("out of randomness")]
    Random,
}

struct Key {
    /// As it was given: for `show tls-keys`.
    secret: Box<[u8]>,
    seal: LessSafeKey,
}

impl Key {
    fn new(secret: &[u8]) -> Result<Self, TicketKeyError> {
        struct Len;
        impl hkdf::KeyType for Len {
            fn len(&self) -> usize {
                32
            }
        }
        if secret.len() != SHORT && secret.len() != LONG {
            return Err(TicketKeyError::Length(secret.len()));
        }
        let mut bytes = [0; 32];
        hkdf::Salt::new(hkdf::HKDF_SHA256, &secret[..NAME])
            .extract(&secret[NAME..])
            .expand(&[b"sluice tls ticket"], Len)
            .and_then(|okm| okm.fill(&mut bytes))
            .map_err(|_| TicketKeyError::Random)?;
        let seal = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| TicketKeyError::Random)?;
        Ok(Self { secret: secret.into(), seal: LessSafeKey::new(seal) })
    }

    fn name(&self) -> &[u8] {
        &self.secret[..NAME]
    }
}

/// The keys of one file. Tickets are made with the last but one; all are understood (configuration manual, 5.1
/// "tls-ticket-keys"), so that a key can be given to all balancers before the first uses it.
pub struct TicketKeys {
    keys: RwLock<Vec<Arc<Key>>>,
}

impl TicketKeys {
    /// # Errors
    /// There are fewer than three keys, or some have the wrong length.
    pub fn new(keys: &[Vec<u8>]) -> Result<Self, TicketKeyError> {
        if keys.len() < 3 {
            return Err(TicketKeyError::TooFew);
        }
        if keys.iter().any(|key| key.len() != keys[0].len()) {
            return Err(TicketKeyError::Mixed);
        }
        let keys = keys.iter().map(|key| Key::new(key).map(Arc::new)).collect::<Result<_, _>>()?;
        Ok(Self { keys: RwLock::new(keys) })
    }

    /// Three random keys: tickets of this process only.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn random() -> Result<Self, TicketKeyError> {
        let one = || {
            let mut key = vec![0; LONG];
            rand::fill(&mut key).map(|()| key).map_err(|_| TicketKeyError::Random)
        };
        Self::new(&[one()?, one()?, one()?])
    }

    /// Adds a key as the last one and drops the first (management manual, "set ssl tls-key").
    ///
    /// # Errors
    /// The key does not have the length of the others.
    pub fn rotate(&self, secret: &[u8]) -> Result<(), TicketKeyError> {
        let key = Arc::new(Key::new(secret)?);
        let mut keys = self.keys.write();
        if keys.iter().any(|other| other.secret.len() != secret.len()) {
            return Err(TicketKeyError::Mixed);
        }
        keys.remove(0);
        keys.push(key);
        Ok(())
    }

    /// The secrets, oldest first.
    #[must_use]
    pub fn secrets(&self) -> Vec<Box<[u8]>> {
        self.keys.read().iter().map(|key| key.secret.clone()).collect()
    }
}

impl fmt::Debug for TicketKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketKeys").field("keys", &self.keys.read().len()).finish_non_exhaustive()
    }
}

impl TicketKeys {
    /// Name of the key, nonce, sealed text.
    fn seal(&self, context: &[u8], plain: &[u8]) -> Option<Vec<u8>> {
        let key = {
            let keys = self.keys.read();
            keys.get(keys.len().checked_sub(2)?)?.clone()
        };
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).ok()?;
        let mut text = plain.to_vec();
        let aad = Aad::from(context);
        let nonce_value = Nonce::assume_unique_for_key(nonce);
        let tag = key.seal.seal_in_place_separate_tag(nonce_value, aad, &mut text).ok()?;
        let mut ticket = Vec::with_capacity(NAME + NONCE_LEN + text.len() + tag.as_ref().len());
        ticket.extend_from_slice(key.name());
        ticket.extend_from_slice(&nonce);
        ticket.extend_from_slice(&text);
        ticket.extend_from_slice(tag.as_ref());
        Some(ticket)
    }

    fn open(&self, context: &[u8], ticket: &[u8]) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_at_checked(NAME)?;
        let (nonce, sealed) = rest.split_at_checked(NONCE_LEN)?;
        let key = self.keys.read().iter().find(|key| key.name() == name)?.clone();
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut text = sealed.to_vec();
        let len = key.seal.open_in_place(nonce, Aad::from(context), &mut text).ok()?.len();
        text.truncate(len);
        Some(text)
    }
}

/// Tickets of one listener.
#[derive(Debug)]
pub(crate) struct Tickets {
    pub(crate) keys: Arc<TicketKeys>,
    /// What a client proved to get one. A ticket is not good where more must be proved, although the key is the same.
    pub(crate) context: Vec<u8>,
    /// How long clients may come back with one, in seconds.
    pub(crate) lifetime: u32,
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        self.lifetime
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.keys.seal(&self.context, plain)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.keys.open(&self.context, ticket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u8, len: usize) -> Vec<u8> {
        vec![n; len]
    }

    #[test]
    fn tickets_live_as_long_as_their_key() {
        let keys = TicketKeys::new(&[key(1, 48), key(2, 48), key(3, 48)]).unwrap();
        let ticket = keys.seal(b"c", b"state").unwrap();
        assert_eq!(&ticket[..NAME], &[2; NAME], "made with the last but one");
        assert_eq!(keys.open(b"c", &ticket).unwrap(), b"state");
        keys.rotate(&key(4, 48)).unwrap();
        assert_eq!(keys.open(b"c", &ticket).unwrap(), b"state");
        assert_eq!(&keys.seal(b"c", b"").unwrap()[..NAME], &[3; NAME]);
        keys.rotate(&key(5, 48)).unwrap();
        assert_eq!(keys.open(b"c", &ticket), None);
        let elsewhere = TicketKeys::new(&[key(3, 48), key(4, 48), key(5, 48)]).unwrap();
        assert_eq!(keys.open(b"c", &elsewhere.seal(b"c", b"x").unwrap()).unwrap(), b"x");
    }

    #[test]
    fn what_was_changed_is_refused() {
        let keys = TicketKeys::random().unwrap();
        let ticket = keys.seal(b"c", b"state").unwrap();
        for i in 0..ticket.len() {
            let mut wrong = ticket.clone();
            wrong[i] ^= 1;
            assert_eq!(keys.open(b"c", &wrong), None, "byte {i}");
            assert_eq!(keys.open(b"c", &ticket[..i]), None, "cut at {i}");
        }
    }

    #[test]
    fn a_ticket_is_not_good_elsewhere() {
        let keys = TicketKeys::random().unwrap();
        let ticket = keys.seal(b"verify none", b"state").unwrap();
        assert_eq!(keys.open(b"verify required", &ticket), None);
    }

    #[test]
    fn keys_of_one_length() {
        let new = |keys: &[Vec<u8>]| TicketKeys::new(keys).map(|_| ()).unwrap_err();
        assert_eq!(new(&[key(1, 48), key(2, 48)]), TicketKeyError::TooFew);
        assert_eq!(new(&[key(1, 47), key(2, 47), key(3, 47)]), TicketKeyError::Length(47));
        assert_eq!(new(&[key(1, 48), key(2, 48), key(3, 80)]), TicketKeyError::Mixed);
        let keys = TicketKeys::new(&[key(1, 80), key(2, 80), key(3, 80)]).unwrap();
        assert_eq!(keys.rotate(&key(4, 48)), Err(TicketKeyError::Mixed));
    }
}
