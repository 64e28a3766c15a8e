//! The system calls no safe crate offers. This file holds the crate's only `unsafe`.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use aya::Pod;
use nix::sys::socket::{AddressFamily, SockFlag, SockType};
use proxy_common::{ExpireRequest, FlowEvent};

/// The cookie of the calling thread's network namespace: unique until reboot, and 1 for the
/// initial one (Linux 5.14).
pub(crate) fn netns_cookie() -> io::Result<u64> {
    let socket = nix::sys::socket::socket(
        AddressFamily::Unix,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    let mut cookie = 0_u64;
    let mut length = size_of::<u64>() as libc::socklen_t;
    // SAFETY: `cookie` and `length` are live locals, and `length` is the size of `cookie`.
    let rc = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    if rc == 0 { Ok(cookie) } else { Err(io::Error::last_os_error()) }
}

const BPF_MAP_LOOKUP_BATCH: libc::c_long = 24;

/// `union bpf_attr`, member `batch` (`include/uapi/linux/bpf.h`).
#[repr(C)]
#[derive(Default)]
struct BatchAttr {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

/// Position of a batch scan of a hash map.
#[derive(Default)]
pub(crate) struct BatchCursor(Option<u64>);

/// Reads the next entries of a hash map into the vectors (their old contents are dropped), at
/// most `room`; `Ok(false)` after the last ones. One bucket that does not fit gives `ENOSPC`.
pub(crate) fn lookup_batch<K: Pod, V: Pod>(
    map: BorrowedFd<'_>,
    cursor: &mut BatchCursor,
    keys: &mut Vec<K>,
    values: &mut Vec<V>,
    room: usize,
) -> io::Result<bool> {
    keys.clear();
    values.clear();
    keys.reserve(room);
    values.reserve(room);
    // The kernel keeps a u32 bucket number there; 8 bytes leave it room.
    let input = cursor.0.unwrap_or(0);
    let mut output = 0_u64;
    let mut attr = BatchAttr {
        in_batch: if cursor.0.is_some() { (&raw const input) as u64 } else { 0 },
        out_batch: (&raw mut output) as u64,
        keys: keys.as_mut_ptr() as u64,
        values: values.as_mut_ptr() as u64,
        count: u32::try_from(room).unwrap_or(u32::MAX),
        map_fd: map.as_raw_fd() as u32,
        ..BatchAttr::default()
    };
    // SAFETY: every pointer in `attr` refers to a live allocation: the cursors to locals, keys and
    // values to capacity for `room` elements; the kernel writes at most `count` of each. The
    // caller's K and V have the map's key and value sizes (the typed maps check that).
    let rc = unsafe {
        libc::syscall(libc::SYS_bpf, BPF_MAP_LOOKUP_BATCH, &raw mut attr, size_of::<BatchAttr>())
    };
    let error = (rc != 0).then(io::Error::last_os_error);
    let last = match &error {
        None => false,
        Some(error) if error.raw_os_error() == Some(libc::ENOENT) => true,
        Some(_) => return Err(error.unwrap_or_else(io::Error::last_os_error)),
    };
    let count = (attr.count as usize).min(room);
    // SAFETY: the kernel wrote `count` elements to both, within the reserved capacity, and any bit
    // pattern is a valid `Pod`.
    unsafe {
        keys.set_len(count);
        values.set_len(count);
    }
    cursor.0 = Some(output);
    Ok(!last)
}

/// Nanoseconds of the clock the programs stamp flows with (`bpf_ktime_get_coarse_ns`).
pub(crate) fn coarse_monotonic_ns() -> u64 {
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC_COARSE)
        .map_or(0, |t| t.tv_sec() as u64 * 1_000_000_000 + t.tv_nsec() as u64)
}

/// The bytes of a request to the programs.
pub(crate) fn bytes_of(request: &ExpireRequest) -> &[u8] {
    // SAFETY: the type is `Pod`: initialised throughout, without padding; the slice has its size
    // and borrows it.
    unsafe {
        std::slice::from_raw_parts(std::ptr::from_ref(request).cast(), size_of::<ExpireRequest>())
    }
}

/// Reads a record of the ring buffer; `None` when it is too short to be one.
pub(crate) fn read_event(bytes: &[u8]) -> Option<FlowEvent> {
    let whole = bytes.get(..size_of::<FlowEvent>())?;
    // SAFETY: there are as many bytes as the type has, any bit pattern is a valid `Pod`, and an
    // unaligned read has no further condition.
    Some(unsafe { whole.as_ptr().cast::<FlowEvent>().read_unaligned() })
}
