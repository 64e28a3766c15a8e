use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

use super::*;

fn spec(addr: SockAddr) -> ListenSpec {
    ListenSpec { addr: ListenAddr::Sock(addr), options: ListenOptions::default() }
}

fn loopback() -> SockAddr {
    SockAddr::Inet("127.0.0.1:0".parse().unwrap())
}

#[test]
fn one_socket_per_thread_on_one_port() {
    let b = bind(&spec(loopback()), 3, &mut Inherited::none()).unwrap();
    assert_eq!(b.sockets().len(), 3);
    let ports: Vec<_> = b
        .sockets()
        .iter()
        .map(|s| SockRef::from(s).local_addr().unwrap().as_socket().unwrap().port())
        .collect();
    assert!(ports[0] != 0 && ports.iter().all(|p| *p == ports[0]), "{ports:?}");
    assert_eq!(b.addr.port(), Some(ports[0]));
    let per_thread = b.for_threads(3).unwrap();
    assert!(per_thread.iter().all(|t| t.len() == 1));
}

#[test]
fn inherited_sockets_are_all_taken_and_the_missing_ones_bound() {
    let old = bind(&spec(loopback()), 2, &mut Inherited::none()).unwrap();
    let mut inherited = Inherited::none();
    for s in old.sockets() {
        let id = Identity::of_socket(s, None).unwrap();
        assert_eq!(id, old.identity);
        inherited.add(id, s.try_clone().unwrap());
    }
    let other = bind(&spec(loopback()), 1, &mut Inherited::none()).unwrap();
    inherited.add(other.identity.clone(), other.sockets()[0].try_clone().unwrap());
    let new = bind(&spec(old.addr.clone()), 3, &mut inherited).unwrap();
    assert_eq!(new.sockets().len(), 3);
    assert_eq!(inherited.close_unused(), [other.identity]);
    // Fewer threads than sockets: every queue still has somebody who accepts from it.
    let fewer = new.for_threads(2).unwrap();
    assert_eq!(fewer.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
    // A connection waiting in the old queue survives the old process' close.
    let _client = TcpStream::connect(old.addr.inet().unwrap()).unwrap();
    drop(old);
    let accepted = new.sockets().iter().any(|s| sys::accept(s).is_ok());
    assert!(accepted);
}

#[test]
fn identity_tells_apart_what_cannot_be_changed_later() {
    let id = |f: fn(&mut ListenOptions)| {
        let mut o = ListenOptions::default();
        f(&mut o);
        Identity::of_spec(&SockAddr::Inet("[::]:80".parse().unwrap()), &o)
    };
    let plain = id(|_| ());
    assert!(id(|o| o.backlog = 5).serves(&plain));
    assert!(id(|o| o.v6only = Some(true)).serves(&plain), "left to the system: any will do");
    assert!(!id(|o| o.v6only = Some(true)).serves(&id(|o| o.v6only = Some(false))));
    assert!(!id(|o| o.interface = Some("lo".into())).serves(&plain));
    assert!(!id(|o| o.namespace = Some("a".into())).serves(&plain));
    assert!(!id(|o| o.transparent = true).serves(&plain));
}

#[test]
fn a_unix_socket_replaces_the_old_one_only_when_published() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let mut s = spec(SockAddr::Unix(path.clone()));
    s.options.owner.mode = Some(0o640);
    let mut first = bind(&s, 4, &mut Inherited::none()).unwrap();
    assert!(!path.exists());
    first.publish().unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    drop(bind(&s, 1, &mut Inherited::none()).unwrap());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "a failed start leaves no trace");
    let _reaches_first = UnixStream::connect(&path).unwrap();
    assert!(sys::accept(&first.sockets()[0]).is_ok());
    let mut second = bind(&s, 1, &mut Inherited::none()).unwrap();
    second.publish().unwrap();
    let _reaches_second = UnixStream::connect(&path).unwrap();
    assert!(sys::accept(&second.sockets()[0]).is_ok());
    assert!(sys::accept(&first.sockets()[0]).is_err());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary left");
    // One queue shared by the threads.
    assert!(second.for_threads(4).unwrap().iter().all(|t| t.len() == 1));
}

#[test]
fn abstract_sockets_are_found_by_their_padded_name() {
    let name = format!("sluice-test-{}", std::process::id());
    let b = bind(&spec(SockAddr::abstract_padded(name.as_bytes())), 1, &mut Inherited::none());
    let b = b.unwrap();
    let client = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    client.connect(&raw_addr(&b.addr).unwrap()).unwrap();
    assert_eq!(Identity::of_socket(&b.sockets()[0], None).unwrap(), b.identity);
    let exact = raw_addr(&SockAddr::abstract_exact(name.as_bytes())).unwrap();
    let other = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    assert!(other.connect(&exact).is_err());
}

#[test]
fn a_socket_of_the_parent_is_used_as_it_is() {
    use std::os::fd::IntoRawFd;
    let l = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = l.local_addr().unwrap();
    let spec = ListenSpec { addr: ListenAddr::Fd(l.into_raw_fd()), options: Default::default() };
    let b = bind(&spec, 2, &mut Inherited::none()).unwrap();
    assert_eq!(b.addr, SockAddr::Inet(addr));
    let _c = TcpStream::connect(addr).unwrap();
    assert!(sys::accept(&b.sockets()[0]).is_ok());
}

#[track_caller]
fn refused(spec: &ListenSpec, message: &str, hint: Option<&str>) {
    let e = bind(spec, 1, &mut Inherited::none()).unwrap_err();
    assert_eq!(e.to_string(), message);
    match hint {
        None => assert_eq!(e.hint(), None),
        Some(words) => assert!(e.hint().unwrap_or("").contains(words), "{:?}", e.hint()),
    }
}

#[test]
fn errors_name_the_address_and_what_to_do() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    let message = format!("cannot bind socket (Address already in use) for [{addr}]");
    refused(&spec(addr.into()), &message, Some("ss -ltnp"));
    refused(
        &spec("192.0.2.1:80".parse::<SocketAddr>().unwrap().into()),
        "cannot bind socket (Cannot assign requested address) for [192.0.2.1:80]",
        Some("transparent"),
    );
    refused(
        &spec(SockAddr::Unix("/nonexistent/x".into())),
        "cannot bind UNIX socket (No such file or directory) [/nonexistent/x]",
        Some("directory"),
    );
    let mut on_device = spec(loopback());
    on_device.options.interface = Some("nope0".into());
    let message = "cannot bind to device 'nope0' (No such device) for [127.0.0.1:0]";
    refused(&on_device, message, None);
    let fd = ListenSpec { addr: ListenAddr::Fd(999), options: Default::default() };
    refused(&fd, "cannot create listening socket (Bad file descriptor) for [fd@999]", None);
}

#[test]
fn accepted_sockets_acknowledge_as_the_listener_says() {
    for smart in [false, true] {
        let options = ListenOptions { smart_accept: smart, ..ListenOptions::default() };
        let spec = ListenSpec { addr: ListenAddr::Sock(loopback()), options };
        let bound = bind(&spec, 1, &mut Inherited::none()).unwrap();
        let _client = TcpStream::connect(bound.addr.inet().unwrap()).unwrap();
        let socket = &bound.sockets()[0];
        let accepted = std::iter::repeat_with(|| sys::accept(socket)).find_map(Result::ok);
        let (fd, _) = accepted.unwrap();
        assert_eq!(SockRef::from(&fd).tcp_quickack().unwrap(), !smart);
    }
}
