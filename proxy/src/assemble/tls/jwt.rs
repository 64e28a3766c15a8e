//! Certificates that tokens may be verified with (`jwt on`; configuration manual, 12.7).

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use proxy_rules::jwe::KeyForm;
use proxy_rules::jwt::{Pair, PairSource, PublicKeys};
use proxy_tls::listener::Slot;
use proxy_tls::material::Certificate;
use proxy_tls::rustls::pki_types::PrivateKeyDer;

/// What is in a slot, read once for each certificate that was there.
struct InSlot {
    slot: Arc<Slot>,
    last: Mutex<(Arc<Certificate>, Option<Arc<Pair>>)>,
}

impl fmt::Debug for InSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.slot.name)
    }
}

impl PairSource for InSlot {
    fn pair(&self) -> Option<Arc<Pair>> {
        let current = self.slot.certificate();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&last.0, &current) {
            *last = (current.clone(), pair(&current));
        }
        last.1.clone()
    }
}

fn pair(certificate: &Certificate) -> Option<Arc<Pair>> {
    let form = match &certificate.key_der {
        PrivateKeyDer::Pkcs1(_) => KeyForm::Pkcs1,
        PrivateKeyDer::Sec1(_) => KeyForm::Sec1,
        _ => KeyForm::Pkcs8,
    };
    Pair::new(&certificate.der, Some((form, certificate.key_der.secret_der()))).map(Arc::new)
}

/// Lets tokens use the certificate of a slot.
///
/// # Errors
/// It is of a kind that tokens know nothing of.
pub(crate) fn declare(keys: &PublicKeys, slot: &Arc<Slot>) -> Result<(), String> {
    let current = slot.certificate();
    let pair = pair(&current);
    if pair.is_none() {
        return Err(format!("'{}': tokens know no keys of this kind", slot.name));
    }
    let last = Mutex::new((current, pair));
    keys.declare(&slot.name, Arc::new(InSlot { slot: slot.clone(), last }));
    Ok(())
}

/// Lets tokens use a certificate that has no private key here.
///
/// # Errors
/// As [`declare`].
pub(super) fn declare_public(
    keys: &PublicKeys,
    name: &str,
    certificate: &[u8],
) -> Result<(), String> {
    let pair = Pair::new(certificate, None)
        .ok_or_else(|| format!("'{name}': tokens know no keys of this kind"))?;
    keys.declare(name, Arc::new(Arc::new(pair)));
    Ok(())
}
