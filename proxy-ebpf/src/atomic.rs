//! Atomic changes of words in shared map values.
//!
//! The BPF target lacks `core`'s atomic types below 64 bits and those that return the old value, though
//! its third instruction set has both; so they are written as instructions there.

/// Adds to a word and returns what it was, wrapping around.
///
/// # Safety
///
/// `word` is valid, aligned, and changed by others only atomically.
#[inline(always)]
pub unsafe fn fetch_add_u32(word: *mut u32, value: u32) -> u32 {
    #[cfg(target_arch = "bpf")]
    {
        let mut value = value;
        // SAFETY: by the caller.
        unsafe {
            core::arch::asm!(
                "{value} = atomic_fetch_add((u32 *)({word} + 0), {value})",
                value = inout(wreg) value,
                word = in(reg) word,
            );
        }
        value
    }
    #[cfg(not(target_arch = "bpf"))]
    {
        use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
        // SAFETY: by the caller.
        unsafe { AtomicU32::from_ptr(word) }.fetch_add(value, Relaxed)
    }
}

/// Sets bits of a word and returns what it was.
///
/// # Safety
///
/// As for [`fetch_add_u32`].
#[inline(always)]
pub unsafe fn fetch_or_u32(word: *mut u32, bits: u32) -> u32 {
    #[cfg(target_arch = "bpf")]
    {
        let mut value = bits;
        // SAFETY: by the caller.
        unsafe {
            core::arch::asm!(
                "{value} = atomic_fetch_or((u32 *)({word} + 0), {value})",
                value = inout(wreg) value,
                word = in(reg) word,
            );
        }
        value
    }
    #[cfg(not(target_arch = "bpf"))]
    {
        use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
        // SAFETY: by the caller.
        unsafe { AtomicU32::from_ptr(word) }.fetch_or(bits, Relaxed)
    }
}

/// Adds to a long word.
///
/// # Safety
///
/// As for [`fetch_add_u32`].
#[inline(always)]
pub unsafe fn add_u64(word: *mut u64, value: u64) {
    #[cfg(target_arch = "bpf")]
    // SAFETY: by the caller.
    unsafe {
        core::arch::asm!(
            "lock *(u64 *)({word} + 0) += {value}",
            value = in(reg) value,
            word = in(reg) word,
        );
    }
    #[cfg(not(target_arch = "bpf"))]
    {
        use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
        // SAFETY: by the caller.
        unsafe { AtomicU64::from_ptr(word) }.fetch_add(value, Relaxed);
    }
}
