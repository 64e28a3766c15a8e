//! `show fd`: the descriptors of the process.

use super::read;
use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use std::fs;

/// What a descriptor is, as far as the filter tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Pipe,
    Listener,
    /// A connection of a client.
    Front,
    /// A connection to a server.
    Back,
    Other,
}

/// A socket that the kernel lists.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Socket {
    family: &'static str,
    local: String,
    remote: String,
    listens: bool,
    connected: bool,
}

/// State numbers of the kernel's tables.
const ESTABLISHED: &str = "01";
const LISTEN: &str = "0A";

/// Which kinds are wanted after one more word: its letters add some, behind `!` or `-` they take some away. `None` when it
/// is no such word.
fn select(word: &str, wanted: Option<[bool; 5]>) -> Option<[bool; 5]> {
    // Who begins by leaving out means the others.
    let mut wanted = wanted.unwrap_or_else(|| [word.starts_with(['-', '!']); 5]);
    let mut value = true;
    for letter in word.chars() {
        let kinds: &[Kind] = match letter {
            '-' | '!' => {
                value = false;
                continue;
            }
            'p' => &[Kind::Pipe],
            'l' => &[Kind::Listener],
            'c' => &[Kind::Front, Kind::Back],
            'f' => &[Kind::Front],
            'b' | 's' => &[Kind::Back],
            _ => return None,
        };
        kinds.iter().for_each(|kind| wanted[*kind as usize] = value);
    }
    Some(wanted)
}

/// Address and port of a table: `0100007F:1F90`, words of four bytes in the machine's order.
fn address(text: &str) -> Option<String> {
    let (host, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let mut bytes = Vec::with_capacity(16);
    for at in (0..host.len()).step_by(8) {
        let word = u32::from_str_radix(host.get(at..at + 8)?, 16).ok()?;
        bytes.extend_from_slice(&word.to_ne_bytes());
    }
    Some(match bytes.len() {
        4 => format!("{}:{port}", std::net::Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        16 => format!("[{}]:{port}", std::net::Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)),
        _ => return None,
    })
}

/// The rows of `/proc/net/tcp` and its kin, by inode.
fn inet(table: &str, family: &'static str, sockets: &mut HashMap<String, Socket>) {
    for line in table.lines().skip(1) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (Some(local), Some(remote), Some(state), Some(inode)) =
            (words.get(1), words.get(2), words.get(3), words.get(9))
        else {
            continue;
        };
        let (Some(local), Some(remote)) = (address(local), address(remote)) else { continue };
        let (listens, connected) = (*state == LISTEN, *state == ESTABLISHED);
        let socket = Socket { family, local, remote, listens, connected };
        sockets.insert((*inode).to_owned(), socket);
    }
}

/// The rows of `/proc/net/unix`, by inode.
fn unix(table: &str, sockets: &mut HashMap<String, Socket>) {
    for line in table.lines().skip(1) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (Some(flags), Some(state), Some(inode)) = (words.get(3), words.get(5), words.get(6))
        else {
            continue;
        };
        let socket = Socket {
            family: "unix",
            local: words.get(7).map_or_else(String::new, |path| (*path).to_owned()),
            remote: String::new(),
            // `__SO_ACCEPTCON`
            listens: *flags == "00010000",
            connected: *state == "03",
        };
        sockets.insert((*inode).to_owned(), socket);
    }
}

/// What a link in `/proc/self/fd` and the kernel's tables say.
fn describe(
    link: &str,
    sockets: &HashMap<String, Socket>,
    entrances: &HashSet<String>,
) -> (Kind, String) {
    let inode = link.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'));
    let Some(socket) = inode.and_then(|inode| sockets.get(inode)) else {
        let kind = if link.starts_with("pipe:") { Kind::Pipe } else { Kind::Other };
        return (kind, link.to_owned());
    };
    let Socket { family, local, remote, listens, connected } = socket;
    let kind = match (listens, connected) {
        (true, _) => Kind::Listener,
        (_, true) if entrances.contains(port(local)) => Kind::Front,
        (_, true) if *family != "unix" => Kind::Back,
        _ => Kind::Other,
    };
    let mut text = format!("fam={family}");
    let state = match kind {
        Kind::Listener => " st=LISTEN",
        Kind::Front => " st=EST side=front",
        Kind::Back => " st=EST side=back",
        _ => "",
    };
    text.push_str(state);
    for (name, address) in [("local", local), ("remote", remote)] {
        if !address.is_empty() && (name == "local" || *connected) {
            let _ = write!(text, " {name}={address}");
        }
    }
    (kind, text)
}

/// What follows the last colon: a port; of a path, all of it.
fn port(address: &str) -> &str {
    address.rsplit(':').next().unwrap_or(address)
}

/// `show fd [-!plcfbs]* [[<tgid>]/[<fd>] | <fd>]`.
pub(super) fn text(args: &[String]) -> Result<String, String> {
    let (mut wanted, mut only): (Option<[bool; 5]>, Option<u32>) = (None, None);
    for word in args {
        if let Some(selected) = select(word, wanted) {
            wanted = Some(selected);
            continue;
        }
        let number = word.rsplit('/').next().unwrap_or_default();
        if !number.is_empty() {
            let number = number.parse();
            let wrong = "Expects types out of [-!plcfbs] and the number of a descriptor";
            only = Some(number.map_err(|_| wrong.to_owned())?);
        }
    }
    let mut sockets = HashMap::new();
    for (table, family) in [("tcp", "ipv4"), ("tcp6", "ipv6"), ("udp", "ipv4"), ("udp6", "ipv6")] {
        inet(&read(&format!("/proc/self/net/{table}")), family, &mut sockets);
    }
    unix(&read("/proc/self/net/unix"), &mut sockets);
    let mut own: Vec<(u32, String)> = fs::read_dir("/proc/self/fd")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let number = path.file_name()?.to_str()?.parse().ok()?;
            Some((number, fs::read_link(path).ok()?.to_string_lossy().into_owned()))
        })
        .collect();
    own.sort();
    let entrances: HashSet<String> = own
        .iter()
        .filter_map(|(_, link)| {
            let inode = link.strip_prefix("socket:[")?.strip_suffix(']')?;
            let socket = sockets.get(inode).filter(|socket| socket.listens)?;
            Some(port(&socket.local).to_owned())
        })
        .collect();
    let mut text = String::new();
    for (number, link) in own {
        let (kind, what) = describe(&link, &sockets, &entrances);
        let shown = wanted.is_none_or(|wanted| wanted[kind as usize]);
        if shown && only.is_none_or(|only| only == number) {
            let _ = writeln!(text, "{number:7} : {what}");
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let check =
            |text: &str, expected: Option<&str>| assert_eq!(address(text).as_deref(), expected);
        if cfg!(target_endian = "little") {
            check("0100007F:1F90", Some("127.0.0.1:8080"));
            check("00000000000000000000000001000000:0050", Some("[::1]:80"));
        }
        check("0100007F", None);
        check("01:0050", None);
        check("0100007F:10000", None);
    }

    #[test]
    fn words_select_kinds() {
        let check = |word: &str, expected: [bool; 5]| {
            assert_eq!(select(word, None), Some(expected), "{word}");
        };
        check("p", [true, false, false, false, false]);
        check("lf", [false, true, true, false, false]);
        check("c!f", [false, false, false, true, false]);
        check("-pl", [false, false, true, true, true]);
        assert_eq!(select("x", None), None);
        assert_eq!(select("12", None), None);
    }

    #[test]
    fn sockets_are_told_apart() {
        let table = "  sl  local_address rem_address   st\n\
             0: 0100007F:1F90 00000000:0000 0A 0:0 0:0 0 0 0 11 1\n\
             1: 0100007F:1F90 0100007F:9999 01 0:0 0:0 0 0 0 12 1\n\
             2: 0100007F:9998 0100007F:0050 01 0:0 0:0 0 0 0 13 1\n";
        let mut sockets = HashMap::new();
        inet(table, "ipv4", &mut sockets);
        let entrances = HashSet::from(["8080".to_owned()]);
        let kind = |link: &str| describe(link, &sockets, &entrances).0;
        assert_eq!(kind("socket:[11]"), Kind::Listener);
        assert_eq!(kind("socket:[12]"), Kind::Front);
        assert_eq!(kind("socket:[13]"), Kind::Back);
        assert_eq!(kind("socket:[99]"), Kind::Other);
        assert_eq!(kind("pipe:[5]"), Kind::Pipe);
    }
}
