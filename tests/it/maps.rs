//! Maps and ACLs changed over the stats socket: the same exchanges as with HAProxy.

use anyhow::Result;
use tests::client::{Client, get};
use tests::net::loopback;
use tests::sluice::DEFAULTS;
use tests::{PATIENCE, Sluice, eventually};

/// A frontend that answers with what a map says of the Host field, 403 for users in a list.
fn start() -> Result<(Sluice, std::net::SocketAddr, tests::sluice::Files)> {
    let files = tests::sluice::Files::new()?;
    let hosts = files.write("hosts.map", "# names\na.com one\nb.com two\na.com three\n")?;
    let numbers = files.write("numbers.map", "1 10\n2 20\n")?;
    let nets = files.write("nets.map", "10.0.0.0/8 192.0.2.1\n")?;
    let users = files.write("users.lst", "admin\nroot\n")?;
    let address = loopback()?;
    let config = format!(
        "
{DEFAULTS}
frontend web
    bind {address}
    acl known req.hdr(x-user) -f {users}
    acl loud req.hdr(x-user) -i -f {users}
    acl near src -u 7 127.0.0.1 10.0.0.0/8
    acl local req.hdr(host) -M -f {hosts}
    http-request deny if known
    http-request set-var(txn.n) int(1),map_int_int({numbers})
    http-request set-var(txn.a) src,map_ip_ip({nets})
    http-request return status 200 content-type text/plain lf-string %[req.hdr(host),map({hosts},none)] if near || local || loud
",
        users = users.display(),
        hosts = hosts.display(),
        numbers = numbers.display(),
        nets = nets.display(),
    );
    Ok((Sluice::config(config).start()?, address, files))
}

/// The answer with entry numbers and paths put aside.
fn shown(sluice: &Sluice, files: &tests::sluice::Files, command: &str) -> Result<String> {
    let command =
        command.replace('$', &format!("{}/", files.path("").display()).replace("//", "/"));
    let answer = sluice.stats().command(&command)?;
    let line = |line: &str| match line.split_once(' ') {
        Some((id, rest)) if id.starts_with("0x") => rest.to_owned(),
        _ => line.to_owned(),
    };
    Ok(answer.lines().map(line).collect::<Vec<_>>().join("|"))
}

fn host(address: std::net::SocketAddr, host: &str) -> Result<String> {
    let mut client = Client::connect(address)?;
    client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"))?;
    Ok(client.response()?.text())
}

#[test]
fn exchanges_are_those_of_haproxy() -> Result<()> {
    let (sluice, _, files) = start()?;
    let rows = [
        ("show map $hosts.map", "a.com one|b.com two|a.com three"),
        ("show acl $hosts.map", "a.com one|b.com two|a.com three"),
        ("show acl #7", "127.0.0.1|10.0.0.0/8"),
        ("show map #7", "Unknown map identifier. Please use #<id> or <file>."),
        ("show map nope", "Unknown map identifier. Please use #<id> or <file>."),
        ("show acl nope", "Unknown ACL identifier. Please use #<id> or <file>."),
        ("show map @9 $hosts.map", ""),
        ("show map @0", "Unknown map identifier. Please use #<id> or <file>."),
        (
            "get map $hosts.map a.com",
            "type=str, case=sensitive, found=yes, idx=tree, key=\"a.com\", value=none|\
             type=str, case=sensitive, found=yes, idx=tree, key=\"a.com\", value=\"one\", type=\"str\"",
        ),
        (
            "get map $hosts.map x",
            "type=str, case=sensitive, found=no|type=str, case=sensitive, found=no",
        ),
        (
            "get map $numbers.map 2",
            "type=int, case=sensitive, found=yes, idx=list, key=\"2\", value=\"20\", type=\"sint\"",
        ),
        (
            "get map $nets.map 10.1.1.1",
            "type=ip, case=sensitive, found=yes, idx=tree, key=\"10.0.0.0/8\", value=\"192.0.2.1\", type=\"ipv4\"",
        ),
        (
            "get acl $users.lst ROOT",
            "type=str, case=sensitive, match=no|\
             type=str, case=insensitive, match=yes, idx=list, pattern=\"root\"",
        ),
        (
            "get acl #7 10.2.3.4",
            "type=ip, case=sensitive, match=yes, idx=tree, pattern=\"10.0.0.0/8\"",
        ),
        ("get map $hosts.map", "Missing map identifier and/or key."),
        ("get acl", "Missing ACL identifier and/or key."),
        (
            "add map $hosts.map k",
            "'add map' expects three parameters (map identifier, key and value) or one parameter \
             (map identifier) and a payload",
        ),
        ("add map nope a b", "Unknown map identifier. Please use #<id> or <file>."),
        ("add map $numbers.map abc 6", "'abc' is not a number."),
        ("add map $nets.map abc 1.2.3.4", "'abc' is not a valid IPv4 or IPv6 address."),
        ("add map $hosts.map k v w", ""),
        (
            "add map @1 $hosts.map k v",
            "Version number in the future, please use 'prepare map' before.",
        ),
        (
            "add acl @5 $users.lst x",
            "Version number in the future, please use 'prepare acl' before.",
        ),
        ("add acl $users.lst", "'add acl' expects two parameters: ACL identifier and pattern."),
        ("add acl $users.lst guest", ""),
        (
            "add acl $hosts.map k",
            "This ACL is shared with a map containing samples. You must use the command 'add map' \
             to add values.",
        ),
        ("add acl #7 zz", "'zz' is not a valid IPv4 or IPv6 address."),
        ("show acl $users.lst", "admin|root|guest"),
        ("add map $hosts.map <<\np1 v1\np2  v 2\n", ""),
        ("add map $hosts.map <<\np3\n", "Missing value for key 'p3'."),
        ("show map $hosts.map", "a.com one|b.com two|a.com three|k v|p1 v1|p2 v 2"),
        (
            "set map $hosts.map a.com",
            "'set map' expects three parameters: map identifier, key and value.",
        ),
        ("set map $hosts.map a.com new", ""),
        ("set map $hosts.map absent new", "entry not found."),
        ("set map $hosts.map #zz new", "entry not found."),
        ("show map $hosts.map", "a.com new|b.com two|a.com new|k v|p1 v1|p2 v 2"),
        ("del map $hosts.map", "This command expects two parameters: map identifier and key."),
        ("del map $hosts.map absent", "Key not found."),
        ("del map $hosts.map #zz", "Key not found."),
        ("del map $hosts.map a.com", ""),
        ("del acl $users.lst root", ""),
        ("show map $hosts.map", "b.com two|k v|p1 v1|p2 v 2"),
        ("show acl $users.lst", "admin|guest"),
        ("prepare map $hosts.map", "New version created: 1"),
        ("prepare map $hosts.map", "New version created: 2"),
        ("prepare acl $users.lst", "New version created: 1"),
        ("prepare map", "Unknown map identifier. Please use #<id> or <file>."),
        ("add map @2 $hosts.map v2 2", ""),
        ("add map @2 $hosts.map <<\nv3 3\n", ""),
        ("show map @2 $hosts.map", "v2 2|v3 3"),
        ("clear map @1 $hosts.map", ""),
        ("commit map", "Missing version number."),
        ("commit map @2", "Missing map identifier."),
        ("commit map @x $hosts.map", "Version number out of range."),
        ("commit map @0 $hosts.map", "Version number out of range."),
        ("commit map @5 $hosts.map", "Version number out of range."),
        ("commit map @2 $hosts.map", ""),
        ("commit map @2 $hosts.map", "Version number out of range."),
        ("show map $hosts.map", "v2 2|v3 3"),
        ("commit acl @1 $users.lst", ""),
        ("show acl $users.lst", ""),
        ("clear map", "Missing map identifier."),
        ("clear acl", "Missing ACL identifier."),
        ("clear map $hosts.map", ""),
        ("show map $hosts.map", ""),
        ("clear acl #7", ""),
        ("get acl #7 10.2.3.4", "type=ip, case=sensitive, match=no"),
    ];
    for (command, expected) in rows {
        assert_eq!(shown(&sluice, &files, command)?, expected, "{command}");
    }
    Ok(())
}

#[test]
fn the_listing_tells_where_lists_are_used() -> Result<()> {
    let (sluice, _, files) = start()?;
    let maps = shown(&sluice, &files, "show map")?;
    let hosts = files.path("hosts.map").display().to_string();
    let row = maps.split('|').find(|line| line.contains("hosts.map"));
    let row = row.unwrap_or_default();
    assert!(maps.starts_with("# id (file) description|"), "{maps}");
    assert!(
        row.contains(&format!("({hosts}) pattern loaded from file '{hosts}' used by ")),
        "{row}"
    );
    assert!(row.contains("by map at file '"), "{row}");
    assert!(row.contains(" curr_ver=0 next_ver=0 entry_cnt="), "{row}");
    let acls = shown(&sluice, &files, "show acl")?;
    let inline = acls.split('|').find(|line| line.starts_with("7 () acl 'src' file '"));
    assert!(
        inline.is_some_and(|line| line.ends_with(". curr_ver=0 next_ver=0 entry_cnt=2")),
        "{acls}"
    );
    Ok(())
}

#[test]
fn requests_see_a_commit_whole() -> Result<()> {
    let (sluice, address, files) = start()?;
    assert_eq!(host(address, "a.com")?, "one");
    for command in [
        "prepare map $hosts.map",
        "add map @1 $hosts.map a.com fresh",
        "add map @1 $hosts.map c.com third",
    ] {
        shown(&sluice, &files, command)?;
    }
    assert_eq!(host(address, "a.com")?, "one");
    assert_eq!(host(address, "c.com")?, "none");
    assert_eq!(shown(&sluice, &files, "commit map @1 $hosts.map")?, "");
    assert_eq!(host(address, "a.com")?, "fresh");
    assert_eq!(host(address, "c.com")?, "third");
    assert_eq!(host(address, "b.com")?, "none");
    eventually("an answer", PATIENCE, || get(address, "/").is_ok())
}
