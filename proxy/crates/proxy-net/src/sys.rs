//! The system calls that no safe wrapper covers: the crate's only `unsafe`.
#![allow(unsafe_code, reason = "each block argues why it is sound")]

use std::cell::OnceCell;
use std::io;
use std::mem::size_of;
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use socket2::SockAddr as RawAddr;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Most descriptors that one message can carry (the kernel's `SCM_MAX_FD`).
pub(crate) const SCM_MAX_FD: usize = 253;

/// Sets an integer socket option that `socket2` has no method for.
pub(crate) fn set_int(fd: impl AsFd, level: i32, name: i32, value: i32) -> io::Result<()> {
    // SAFETY: the pointer and length describe `value`, which lives across the call; the kernel only reads it.
    let r = unsafe {
        libc::setsockopt(
            fd.as_fd().as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of::<i32>() as libc::socklen_t,
        )
    };
    Errno::result(r).map(drop).map_err(io::Error::from)
}

/// Sets a socket option of any shape.
pub(crate) fn set_bytes(fd: impl AsFd, level: i32, name: i32, value: &[u8]) -> io::Result<()> {
    // SAFETY: the pointer and length describe `value`, which lives across the call; the kernel only reads it.
    let r = unsafe {
        libc::setsockopt(
            fd.as_fd().as_raw_fd(),
            level,
            name,
            value.as_ptr().cast(),
            value.len() as libc::socklen_t,
        )
    };
    Errno::result(r).map(drop).map_err(io::Error::from)
}

/// Reads an integer socket option.
pub(crate) fn get_int(fd: impl AsFd, level: i32, name: i32) -> io::Result<i32> {
    let mut value = 0i32;
    let mut len = size_of::<i32>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes, the size of `value`, and updates `len`.
    let r = unsafe {
        libc::getsockopt(fd.as_fd().as_raw_fd(), level, name, (&raw mut value).cast(), &raw mut len)
    };
    Errno::result(r).map(|_| value).map_err(io::Error::from)
}

/// Reads a socket option of any shape into `value`; gives its length.
pub(crate) fn get_bytes(
    fd: impl AsFd,
    level: i32,
    name: i32,
    value: &mut [u8],
) -> io::Result<usize> {
    let mut len = value.len() as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes, the size of `value`, and updates `len`.
    let r = unsafe {
        libc::getsockopt(
            fd.as_fd().as_raw_fd(),
            level,
            name,
            value.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    Errno::result(r).map(|_| value.len().min(len as usize)).map_err(io::Error::from)
}

/// Lends a descriptor whose owner is known to live during `use_it`.
pub(crate) fn lend<T>(
    fd: RawFd,
    _owner: &std::rc::Rc<()>,
    use_it: impl FnOnce(BorrowedFd<'_>) -> T,
) -> T {
    // SAFETY: the token is held across the call. The descriptor's owner drops its own reference to the token only
    // when it closes the descriptor, which it does on this thread, and this call does not give the thread away.
    use_it(unsafe { BorrowedFd::borrow_raw(fd) })
}

/// Takes ownership of a descriptor that the parent process left open for us (`fd@N`).
///
/// # Errors
/// When `fd` is not open.
pub(crate) fn adopt(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: fcntl touches no memory; it only tells whether the descriptor is open.
    Errno::result(unsafe { libc::fcntl(fd, libc::F_GETFD) })?;
    // SAFETY: it is open, and naming it in the configuration hands it to the listener or log target that asked:
    // nothing else in this process knows the number. Callers duplicate it when it is named twice.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Duplicates a descriptor known by number only (such as 1 for standard output), close-on-exec.
pub(crate) fn duplicate(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: fcntl touches no memory and fails for a number that is not open.
    let new = Errno::result(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) })?;
    // SAFETY: the kernel just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(new) })
}

/// Receives bytes and the descriptors that came with them. Zero bytes is the end of the stream.
pub(crate) fn recv_with_fds(
    socket: impl AsFd,
    bytes: &mut [u8],
    fds: &mut Vec<OwnedFd>,
) -> io::Result<usize> {
    const SPACE: usize = size_of::<libc::cmsghdr>() + (SCM_MAX_FD + 2) * size_of::<RawFd>();
    // u64 elements give the alignment that `cmsghdr` needs.
    let mut control = [0u64; SPACE.div_ceil(8)];
    let mut iov = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    // SAFETY: an all-zero `msghdr` is a valid value: null pointers and zero lengths.
    let mut msg: libc::msghdr = unsafe { std::mem::zeroed() };
    msg.msg_iov = &raw mut iov;
    msg.msg_iovlen = 1;
    msg.msg_control = control.as_mut_ptr().cast();
    msg.msg_controllen = size_of_val(&control) as _;
    // SAFETY: `msg` points to `iov`, `bytes` and `control`, which all outlive the call and may be written.
    let n = Errno::result(unsafe {
        libc::recvmsg(socket.as_fd().as_raw_fd(), &raw mut msg, libc::MSG_CMSG_CLOEXEC)
    })?;
    // SAFETY: `msg` was filled by the kernel, so the walk stays inside `control`.
    let mut cmsg = unsafe { libc::CMSG_FIRSTHDR(&raw const msg) };
    while !cmsg.is_null() {
        // SAFETY: non-null results of the CMSG macros point to a whole header inside `control`.
        let header = unsafe { &*cmsg };
        if header.cmsg_level == libc::SOL_SOCKET && header.cmsg_type == libc::SCM_RIGHTS {
            // SAFETY: pure arithmetic on the length.
            let head = unsafe { libc::CMSG_LEN(0) } as usize;
            let count = (header.cmsg_len as usize - head) / size_of::<RawFd>();
            // SAFETY: the data of this message follows its header inside `control`.
            let data = unsafe { libc::CMSG_DATA(cmsg) }.cast::<RawFd>();
            for i in 0..count {
                // SAFETY: `i` is below the count the kernel announced; the data may be unaligned. Each
                // descriptor was installed for us by this call and has no other owner.
                fds.push(unsafe { OwnedFd::from_raw_fd(data.add(i).read_unaligned()) });
            }
        }
        // SAFETY: `cmsg` came from the same, unmodified `msg`.
        cmsg = unsafe { libc::CMSG_NXTHDR(&raw const msg, cmsg) };
    }
    if msg.msg_flags & libc::MSG_CTRUNC != 0 {
        return Err(io::Error::other("descriptors were lost: more than a message can carry"));
    }
    Ok(n as usize)
}

/// Sends several datagrams with one system call; `to` is `None` on a connected socket. Returns how many went out.
pub(crate) fn send_many<'a>(
    socket: impl AsFd,
    to: Option<&RawAddr>,
    datagrams: impl Iterator<Item = &'a [u8]> + Clone,
) -> io::Result<usize> {
    // Clearing the room for many costs more than sending one.
    match datagrams.clone().take(9).count() {
        ..=1 => send_up_to::<1>(socket, to, datagrams),
        2..=8 => send_up_to::<8>(socket, to, datagrams),
        _ => send_up_to::<64>(socket, to, datagrams),
    }
}

fn send_up_to<'a, const MOST: usize>(
    socket: impl AsFd,
    to: Option<&RawAddr>,
    datagrams: impl Iterator<Item = &'a [u8]>,
) -> io::Result<usize> {
    // SAFETY: all-zero `iovec`s and `mmsghdr`s are valid values: null pointers and zero lengths.
    let mut iovs: [libc::iovec; MOST] = unsafe { std::mem::zeroed() };
    // SAFETY: as above.
    let mut msgs: [libc::mmsghdr; MOST] = unsafe { std::mem::zeroed() };
    let mut count = 0;
    for (i, d) in datagrams.take(MOST).enumerate() {
        iovs[i] = libc::iovec { iov_base: d.as_ptr().cast_mut().cast(), iov_len: d.len() };
        let header = &mut msgs[i].msg_hdr;
        header.msg_iov = &raw mut iovs[i];
        header.msg_iovlen = 1;
        if let Some(to) = to {
            header.msg_name = to.as_ptr().cast_mut().cast();
            header.msg_namelen = to.len();
        }
        count += 1;
    }
    // SAFETY: the first `count` headers point to `iovs`, to the callers' datagrams and to `to`, all alive across
    // the call; sending reads them only.
    let sent = Errno::result(unsafe {
        libc::sendmmsg(
            socket.as_fd().as_raw_fd(),
            msgs.as_mut_ptr(),
            count as libc::c_uint,
            libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
        )
    })?;
    Ok(sent as usize)
}

/// Accepts one connection, non-blocking and close-on-exec, with the peer's address.
pub(crate) fn accept(socket: impl AsFd) -> io::Result<(OwnedFd, RawAddr)> {
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: `storage` and `len` are valid for writing and describe each other; on success the kernel has
    // initialised `len` bytes of `storage`. The new descriptor belongs to nobody else.
    unsafe {
        RawAddr::try_init(|storage, len| {
            let new =
                libc::accept4(fd, storage.cast(), len, libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC);
            if new < 0 {
                return Err(io::Error::last_os_error());
            }
            Ok(OwnedFd::from_raw_fd(new))
        })
    }
}

/// Registers a descriptor for read readiness with this thread's reactor.
pub(crate) fn register(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: `AsyncFd` owns the `OwnedFd`, which keeps the same descriptor open until it is dropped.
    unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }.map_err(io::Error::from)
}

/// A connected socket that comes to the reactor when it is first waited for. The standard library's type has the calls
/// for sockets of every family.
#[derive(Debug)]
pub(crate) struct Watched {
    /// Before `socket`: fields are dropped in their order.
    watch: OnceCell<AsyncFd<RawFd>>,
    socket: TcpStream,
}

impl Watched {
    pub(crate) fn new(socket: TcpStream) -> Self {
        Self { watch: OnceCell::new(), socket }
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// The registration, if there is one.
    pub(crate) fn registered(&self) -> Option<&AsyncFd<RawFd>> {
        self.watch.get()
    }

    /// The registration; made when there is none.
    #[inline]
    pub(crate) fn register(&self) -> io::Result<&AsyncFd<RawFd>> {
        match self.watch.get() {
            Some(watch) => Ok(watch),
            None => self.begin(),
        }
    }

    #[cold]
    fn begin(&self) -> io::Result<&AsyncFd<RawFd>> {
        // SAFETY: the descriptor stays open and the same as long as the registration lives: `socket` is lent out
        // only, closed after `watch` was dropped, and given away by `into_socket` after that, too.
        let watch = unsafe { AsyncFd::register(self.socket.as_raw_fd()) }?;
        Ok(self.watch.get_or_init(|| watch))
    }

    /// Leaves the reactor.
    pub(crate) fn into_socket(self) -> TcpStream {
        drop(self.watch);
        self.socket
    }
}

/// Seconds that local time is ahead of UTC at `secs`; 0 when the C library cannot tell.
pub(crate) fn utc_offset(secs: i64) -> i32 {
    // SAFETY: an all-zero `tm` is a valid value.
    let mut tm: libc::tm = unsafe { std::mem::zeroed() };
    let time = secs as libc::time_t;
    // SAFETY: both pointers are to live values; `localtime_r` keeps neither.
    let known = unsafe { libc::localtime_r(&raw const time, &raw mut tm) };
    if known.is_null() { 0 } else { tm.tm_gmtoff as i32 }
}
