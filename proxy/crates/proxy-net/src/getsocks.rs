//! HAProxy's own way of handing its listening sockets to the next process: `_getsocks` on a stats socket with
//! `expose-fd listeners`, `-x` on the new process's command line.
//!
//! The manuals name it and do not describe it; this is what HAProxy 2.6 was seen to send. Numbers are 32-bit
//! integers in the order of the machine.
//!
//! ```text
//! new                     old
//! "_getsocks\n"      ->
//!                    <-   how many sockets there are
//!                    <-   at most 252 descriptors, and the description of each
//! how many came before ->
//!                    <-   the next ones, and so on
//! ```
//!
//! A description is the namespace and the interface, each as one byte of length and a name, then four bytes of
//! options that are zero today. All else is read off the socket. Who exposes nothing closes the connection.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use proxy_types::SockAddr;
use socket2::{Domain, SockRef, Socket, Type};

use crate::addr::raw_addr;
use crate::fdpass::{Channel, PassError};
use crate::listener::Identity;

/// What a new process says to a stats socket.
const REQUEST: &[u8] = b"_getsocks\n";
/// Descriptors in one message.
const BATCH: usize = 252;
/// More sockets than any process has.
const MOST: i32 = 1 << 20;
/// Options at the end of a description.
const OPTIONS: usize = 4;

/// Gives sockets to a process that asked for them on this connection; `limit` is for all of it.
///
/// They go backwards: of those that share an address HAProxy 2.6 keeps the one that comes last, which is the first then,
/// the one that gets all new connections while the others close.
///
/// # Errors
/// Those of the connection. A process that leaves after the last message is none.
pub fn give<'a>(
    over: &impl AsFd,
    sockets: impl IntoIterator<Item = (&'a Identity, BorrowedFd<'a>)>,
    limit: Duration,
) -> Result<(), PassError> {
    let channel = Channel::new(over, limit);
    let mut all: Vec<_> = sockets.into_iter().collect();
    all.reverse();
    channel.send(&i32::try_from(all.len()).unwrap_or(MOST).to_ne_bytes(), &[])?;
    for batch in all.chunks(BATCH) {
        let mut text = Vec::new();
        for (identity, _) in batch {
            describe(identity, &mut text);
        }
        let fds: Vec<i32> = batch.iter().map(|(_, fd)| fd.as_raw_fd()).collect();
        channel.send(&text, &fds)?;
        match channel.receive(&mut [0; 4], &mut Vec::new()) {
            Ok(()) => {}
            Err(PassError::Closed) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Asks the process behind a stats socket for its listening sockets; `limit` is for all of it. Sockets of kinds
/// that are not known here are closed.
///
/// # Errors
/// When the socket cannot be reached, gives nothing away, or speaks another language.
pub fn fetch(from: &SockAddr, limit: Duration) -> Result<Vec<(Identity, OwnedFd)>, PassError> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.connect(&raw_addr(from)?)?;
    let channel = Channel::new(&socket, limit);
    channel.send(REQUEST, &[])?;
    let mut fds = Vec::new();
    let mut head = [0; 4];
    channel.receive(&mut head, &mut fds)?;
    let total = i32::from_ne_bytes(head);
    if !(0..=MOST).contains(&total) {
        return Err(PassError::Version);
    }
    let (mut seen, mut before, mut out) = (0, 0, Vec::new());
    let mut text = Vec::new();
    let mut chunk = [0; 8192];
    while seen < total {
        let count = channel.receive_some(&mut chunk, &mut fds)?;
        text.extend_from_slice(&chunk[..count]);
        let mut rest = text.as_slice();
        let mut whole = fds.drain(..);
        while let Some((namespace, tail)) = description(rest) {
            let fd = whole.next().ok_or(PassError::Malformed("descriptors missing"))?;
            rest = tail;
            seen += 1;
            if let Ok(identity) = identify(&fd, namespace) {
                out.push((identity, fd));
            }
        }
        let later: Vec<OwnedFd> = whole.collect();
        text = rest.to_vec();
        if later.is_empty() && text.is_empty() {
            // The last one is not waited for.
            match channel.send(&i32::to_ne_bytes(before), &[]) {
                Err(PassError::Closed) if seen >= total => {}
                sent => sent?,
            }
            before = seen;
        }
        fds = later;
    }
    out.reverse();
    Ok(out)
}

fn describe(identity: &Identity, out: &mut Vec<u8>) {
    for name in [&identity.namespace, &identity.interface] {
        let name = name.as_deref().unwrap_or_default().as_bytes();
        let name = &name[..name.len().min(255)];
        out.push(name.len() as u8);
        out.extend_from_slice(name);
    }
    out.extend_from_slice(&[0; OPTIONS]);
}

/// The namespace of the first description, and what follows it; `None` while it is not whole.
fn description(text: &[u8]) -> Option<(Option<String>, &[u8])> {
    let name = |text: &'_ [u8]| {
        let (len, rest) = text.split_first()?;
        rest.split_at_checked(usize::from(*len)).map(|(name, rest)| (name.to_vec(), rest.len()))
    };
    let (namespace, left) = name(text)?;
    let (_, left) = name(&text[text.len() - left..])?;
    let rest = text[text.len() - left..].get(OPTIONS..)?;
    // A name that is not text matches no configuration.
    let namespace = String::from_utf8_lossy(&namespace).into_owned();
    Some(((!namespace.is_empty()).then_some(namespace), rest))
}

fn identify(fd: &OwnedFd, namespace: Option<String>) -> io::Result<Identity> {
    let mut identity = Identity::of_socket(fd, namespace)?;
    if let SockAddr::Unix(path) = &mut identity.addr {
        *path = published(path);
    }
    SockRef::from(fd).set_nonblocking(true)?;
    Ok(identity)
}

/// Where a unix socket is found: it was bound as `<path>.<pid>.tmp` and then moved to `<path>`.
fn published(path: &std::path::Path) -> PathBuf {
    let bare = || {
        let (bare, pid) = path.to_str()?.strip_suffix(".tmp")?.rsplit_once('.')?;
        let is_pid = !pid.is_empty() && pid.bytes().all(|b| b.is_ascii_digit());
        is_pid.then(|| bare.into())
    };
    bare().unwrap_or_else(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listener::SocketKind;
    use proptest::prelude::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;

    const LIMIT: Duration = Duration::from_secs(5);

    /// Runs `old` on the connection of one [`fetch`].
    fn fetch_from(
        old: impl FnOnce(std::os::unix::net::UnixStream) + Send,
    ) -> Result<Vec<(Identity, OwnedFd)>, PassError> {
        let name = format!("sluice-getsocks-{:?}", std::thread::current().id()).into_bytes();
        let name = [name, std::process::id().to_string().into_bytes()].concat();
        let address = SockAddr::Abstract(name);
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        socket.bind(&raw_addr(&address).unwrap()).unwrap();
        socket.listen(1).unwrap();
        let listener = UnixListener::from(OwnedFd::from(socket));
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let mut stream = listener.accept().unwrap().0;
                let mut request = [0; REQUEST.len()];
                stream.read_exact(&mut request).unwrap();
                assert_eq!(request, REQUEST);
                old(stream);
            });
            fetch(&address, LIMIT)
        })
    }

    #[test]
    fn six_hundred_sockets_arrive() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = |n: usize| Identity {
            kind: SocketKind::Stream,
            addr: SockAddr::Inet(listener.local_addr().unwrap()),
            v6only: None,
            interface: (n.is_multiple_of(3)).then(|| "lo".to_owned()),
            namespace: (n.is_multiple_of(7)).then(|| "blue".to_owned()),
            transparent: false,
        };
        let all: Vec<Identity> = (0..600).map(own).collect();
        let got = fetch_from(|stream| {
            give(&stream, all.iter().map(|one| (one, listener.as_fd())), LIMIT).unwrap();
        })
        .unwrap();
        assert_eq!(got.len(), 600);
        // The interface is read off the socket, which is bound to none.
        for (n, (identity, _)) in got.iter().enumerate() {
            let expected = Identity { interface: None, ..own(n) };
            assert_eq!(*identity, expected);
        }
        let last = TcpListener::from(got.into_iter().last().unwrap().1);
        assert_eq!(last.local_addr().unwrap(), listener.local_addr().unwrap());
        assert!(fetch_from(|stream| give(&stream, [], LIMIT).unwrap()).unwrap().is_empty());
    }

    #[test]
    fn a_process_that_gives_nothing_away_is_an_error() {
        assert!(matches!(fetch_from(drop), Err(PassError::Closed)));
        let unknown = |mut stream: std::os::unix::net::UnixStream| {
            stream.write_all(b"Unknown command.\n").unwrap();
        };
        assert!(matches!(fetch_from(unknown), Err(PassError::Version)));
        let liar = |mut stream: std::os::unix::net::UnixStream| {
            stream.write_all(&1i32.to_ne_bytes()).unwrap();
            stream.write_all(&[0; 6]).unwrap();
        };
        assert!(matches!(fetch_from(liar), Err(PassError::Malformed(_))));
    }

    #[test]
    fn a_unix_socket_is_known_by_where_it_was_moved() {
        for (bound, path) in [
            ("/run/a.sock.123.tmp", "/run/a.sock"),
            ("/run/a.sock", "/run/a.sock"),
            ("/run/a.x.tmp", "/run/a.x.tmp"),
            ("/run/a..tmp", "/run/a..tmp"),
        ] {
            assert_eq!(published(bound.as_ref()), PathBuf::from(path));
        }
    }

    proptest! {
        #[test]
        fn descriptions_survive_and_garbage_does_not_panic(
            namespace in "[a-z]{0,12}", interface in "[a-z]{0,12}", garbage: Vec<u8>, cut in 0usize..40,
        ) {
            let identity = Identity {
                kind: SocketKind::Stream,
                addr: SockAddr::Abstract(Vec::new()),
                v6only: None,
                interface: Some(interface),
                namespace: Some(namespace.clone()),
                transparent: false,
            };
            let mut text = Vec::new();
            describe(&identity, &mut text);
            let whole = text.len();
            text.extend_from_slice(&garbage);
            let expected = (!namespace.is_empty()).then_some(namespace);
            prop_assert_eq!(description(&text), Some((expected, garbage.as_slice())));
            prop_assert_eq!(description(&text[..cut.min(whole - 1)]), None);
            let _ = description(&garbage);
        }
    }
}
