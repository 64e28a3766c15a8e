//! Ranges that several keywords share.

/// Counters of connections and descriptors fit a signed 32-bit integer.
pub(crate) const COUNT_MAX: u32 = i32::MAX as u32;
/// 3.1 "nbthread" is limited by what one machine may have.
pub(crate) const THREADS_MAX: u32 = 1024;
