//! One pattern of a list, with the value that a map gives for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwap;

/// A pattern as it was written, and in maps its value. Shared by the list and the indices of its users, so that a
/// change of the value or a removal shows everywhere at once.
#[derive(Debug)]
pub struct Entry {
    id: u64,
    key: Box<[u8]>,
    value: Option<ArcSwap<Box<[u8]>>>,
    dead: AtomicBool,
}

impl Entry {
    pub(super) fn new(key: &[u8], value: Option<&[u8]>) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0x1000);
        Arc::new(Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            key: key.into(),
            value: value.map(|value| ArcSwap::from_pointee(value.into())),
            dead: AtomicBool::new(false),
        })
    }

    /// Number of the entry, unique in the process and growing: entries of a list match in this order.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The pattern as it was written.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// The value, in maps.
    pub fn value(&self) -> Option<Arc<Box<[u8]>>> {
        self.value.as_ref().map(|value| value.load_full())
    }

    /// Hands the value to `use_it` without counting references.
    pub(crate) fn with_value<T>(&self, use_it: impl FnOnce(&[u8]) -> T) -> Option<T> {
        self.value.as_ref().map(|value| use_it(&value.load()))
    }

    pub(super) fn set_value(&self, value: &[u8]) {
        if let Some(slot) = &self.value {
            slot.store(Arc::new(value.into()));
        }
    }

    /// Takes the entry out of all indices that still hold it.
    pub(super) fn kill(&self) {
        self.dead.store(true, Ordering::Release);
    }

    pub(super) fn is_alive(&self) -> bool {
        !self.dead.load(Ordering::Acquire)
    }
}
