//! Settings that few lines have.

use std::fmt;
use std::ops::{Deref, DerefMut};

/// A group of settings that takes no room where nothing of it is set. It reads as its default then.
#[derive(Clone, Default)]
pub struct Rare<T>(Option<Box<T>>);

/// Has a default that lives as long as the process.
pub trait Unset: Default + 'static {
    fn unset() -> &'static Self;
}

/// Implements [`Unset`].
macro_rules! unset {
    ($($ty:ty),+) => {$(
        impl $crate::model::rare::Unset for $ty {
            fn unset() -> &'static Self {
                static UNSET: std::sync::LazyLock<$ty> = std::sync::LazyLock::new(Default::default);
                &UNSET
            }
        }
    )+};
}
pub(super) use unset;

impl<T: Unset> Deref for Rare<T> {
    type Target = T;
    fn deref(&self) -> &T {
        self.0.as_deref().unwrap_or_else(|| T::unset())
    }
}

impl<T: Unset> DerefMut for Rare<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.get_or_insert_default()
    }
}

impl<T: Unset + fmt::Debug> fmt::Debug for Rare<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        T::fmt(self, f)
    }
}
