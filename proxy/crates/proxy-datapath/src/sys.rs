//! The system calls no safe crate offers. This file holds the crate's only `unsafe`.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use aya::Pod;
use nix::sys::socket::{AddressFamily, SockFlag, SockType};
use proxy_common::{ExpireRequest, FlowEvent, RING_SLOTS};

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

const BPF_MAP_LOOKUP_ELEM: libc::c_long = 1;
const BPF_MAP_UPDATE_ELEM: libc::c_long = 2;
const BPF_OBJ_GET: libc::c_long = 7;
const BPF_MAP_LOOKUP_BATCH: libc::c_long = 24;
const BPF_LINK_DETACH: libc::c_long = 34;

/// `BPF_F_RDONLY`.
const READ_ONLY: u32 = 1 << 3;

/// `union bpf_attr`, the member of `BPF_OBJ_*`.
#[repr(C)]
struct ObjectAttr {
    path: u64,
    fd: u32,
    flags: u32,
}

fn open_pin(pin: &Path, flags: u32) -> io::Result<OwnedFd> {
    let path = CString::new(pin.as_os_str().as_bytes())?;
    let mut attr = ObjectAttr { path: path.as_ptr() as u64, fd: 0, flags };
    // SAFETY: the attribute is as long as said, and the path a live, terminated string.
    let fd = unsafe {
        libc::syscall(libc::SYS_bpf, BPF_OBJ_GET, &raw mut attr, size_of::<ObjectAttr>())
    };
    let fd = RawFd::try_from(fd).unwrap_or(-1);
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Opens a pinned map that cannot be written through this descriptor.
pub(crate) fn open_read_only(pin: &Path) -> io::Result<OwnedFd> {
    open_pin(pin, READ_ONLY)
}

/// Takes a pinned link off its interface at once (Linux 5.9). Removing the pin alone does so some
/// time later.
pub(crate) fn detach_link(pin: &Path) -> io::Result<()> {
    let link = open_pin(pin, 0)?;
    let mut detach = link.as_raw_fd() as u32;
    // SAFETY: the attribute's member for this command is one descriptor, which is open.
    let rc =
        unsafe { libc::syscall(libc::SYS_bpf, BPF_LINK_DETACH, &raw mut detach, size_of::<u32>()) };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// `union bpf_attr`, the member of `BPF_MAP_*_ELEM` commands.
#[repr(C)]
struct ElementAttr {
    map_fd: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// Reads one ring. The typed maps would put its 128 KB on the stack, several times over.
pub(crate) fn read_ring(map: BorrowedFd<'_>, index: u32) -> io::Result<Vec<u16>> {
    let mut slots = vec![0; RING_SLOTS];
    let mut attr = ElementAttr {
        map_fd: map.as_raw_fd() as u32,
        padding: 0,
        key: (&raw const index) as u64,
        value: slots.as_mut_ptr() as u64,
        flags: 0,
    };
    // SAFETY: key and value point to live memory of the map's key size (4) and value size (those
    // of `Ring`, checked when the map was opened); the kernel writes no more than that.
    let rc = unsafe {
        libc::syscall(libc::SYS_bpf, BPF_MAP_LOOKUP_ELEM, &raw mut attr, size_of::<ElementAttr>())
    };
    if rc == 0 { Ok(slots) } else { Err(io::Error::last_os_error()) }
}

/// Writes one ring; missing places are zero.
pub(crate) fn write_ring(map: BorrowedFd<'_>, index: u32, content: &[u16]) -> io::Result<()> {
    let mut slots = vec![0; RING_SLOTS];
    let used = content.len().min(RING_SLOTS);
    slots[..used].copy_from_slice(&content[..used]);
    let mut attr = ElementAttr {
        map_fd: map.as_raw_fd() as u32,
        padding: 0,
        key: (&raw const index) as u64,
        value: slots.as_ptr() as u64,
        flags: 0,
    };
    // SAFETY: as in `read_ring`; the kernel only reads key and value.
    let rc = unsafe {
        libc::syscall(libc::SYS_bpf, BPF_MAP_UPDATE_ELEM, &raw mut attr, size_of::<ElementAttr>())
    };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

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

/// The entries of a hash map, read in batches.
pub(crate) struct Entries<'a, K, V> {
    map: BorrowedFd<'a>,
    cursor: BatchCursor,
    keys: Vec<K>,
    values: Vec<V>,
    room: usize,
    next: usize,
    done: bool,
}

/// Entries of a batch, unless a bucket holds more.
const BATCH: usize = 4096;

impl<'a, K: Pod, V: Pod> Entries<'a, K, V> {
    /// `K` and `V` are those of the map.
    pub(crate) fn new(map: BorrowedFd<'a>) -> Self {
        let (keys, values) = (Vec::new(), Vec::new());
        Self {
            map,
            cursor: BatchCursor::default(),
            keys,
            values,
            room: BATCH,
            next: 0,
            done: false,
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        self.next = 0;
        loop {
            let (keys, values) = (&mut self.keys, &mut self.values);
            match lookup_batch(self.map, &mut self.cursor, keys, values, self.room) {
                Ok(more) => {
                    self.done = !more;
                    return Ok(());
                }
                // One bucket holds more than there was room for.
                Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => self.room *= 2,
                Err(error) => {
                    self.done = true;
                    return Err(error);
                }
            }
        }
    }
}

impl<K: Pod, V: Pod> Iterator for Entries<'_, K, V> {
    type Item = io::Result<(K, V)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let (Some(key), Some(value)) = (self.keys.get(self.next), self.values.get(self.next))
            {
                self.next += 1;
                return Some(Ok((*key, *value)));
            }
            if self.done {
                return None;
            }
            if let Err(error) = self.fill() {
                return Some(Err(error));
            }
        }
    }
}

/// Memory that a map takes, in bytes; 0 when the kernel does not tell.
pub(crate) fn memory_of(map: BorrowedFd<'_>) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", map.as_raw_fd()));
    let text = text.unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("memlock:"));
    line.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
}

/// Nanoseconds of the clock the programs stamp flows with (`bpf_ktime_get_coarse_ns`).
pub(crate) fn coarse_monotonic_ns() -> u64 {
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC_COARSE)
        .map_or(0, |t| t.tv_sec() as u64 * 1_000_000_000 + t.tv_nsec() as u64)
}

/// Nanoseconds of a jiffy: the resolution of that clock.
pub fn jiffy_ns() -> u64 {
    nix::time::clock_getres(nix::time::ClockId::CLOCK_MONOTONIC_COARSE)
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
