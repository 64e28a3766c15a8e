//! Any bytes from a peer: messages are read or refused, a session never stops working, and what it says can be read.
#![no_main]

use std::sync::Arc;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use proxy_state::Now;
use proxy_state::stick::{KeyType, Store, Table, TableSpec, data};
use proxy_stream::peers::section::{PeerSpec, Section, SectionSpec};
use proxy_stream::peers::session::Session;
use proxy_stream::peers::wire;

fuzz_target!(|input: (u8, &[u8])| {
    let (piece, bytes) = input;
    let stores = data::TYPES.iter().filter(|kind| kind.is_array || kind.id > 18);
    let table = Table::new(TableSpec {
        expire: Some(Duration::from_secs(60)),
        stores: stores
            .map(|kind| Store { kind, count: 2, period: Duration::from_secs(10) })
            .collect(),
        shared: true,
        ..TableSpec::new("t", KeyType::Str(9), 100)
    });
    let peer = |name: &str| PeerSpec { name: name.to_owned(), address: None, shard: 0 };
    let spec = SectionSpec {
        name: "peers".to_owned(),
        local: "a".to_owned(),
        peers: vec![peer("a"), peer("b")],
        tables: vec![("t".to_owned(), Arc::clone(&table))],
    };
    let mut session = Session::accept(Section::new(spec, false, Now(0)), 1, Now(0));
    let _ = session.receive(b"HAProxyS 2.1\na\nb 9 1\n", Now(0));
    let mut waiting = Vec::new();
    for piece in bytes.chunks(usize::from(piece).max(1)) {
        waiting.extend_from_slice(piece);
        let Ok(used) = session.receive(&waiting, Now(1)) else { break };
        waiting.drain(..used);
        let mut out = Vec::new();
        if session.produce(&mut out, 100, Now(1)).is_err() {
            break;
        }
        let mut said = out.strip_prefix(b"200\n").unwrap_or(&out);
        while let Ok(Some((_, length))) = wire::frame(said) {
            said = &said[length..];
        }
        assert!(said.is_empty());
    }
    assert!(table.used() <= 100);
});
