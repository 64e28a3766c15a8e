//! Any bytes as a reply: what is taken answers the question.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proxy_names::Family;
use proxy_names::wire::{Answer, Kind, Question, Reply, read};

fuzz_target!(|input: (u8, &[u8])| {
    let (kind, bytes) = input;
    let kind = match kind % 3 {
        0 => Kind::Address(Family::V4),
        1 => Kind::Address(Family::V6),
        _ => Kind::Service,
    };
    let Ok(question) = Question::new("a.test", kind) else { return };
    let id = bytes.first_chunk().map_or(0, |id| u16::from_be_bytes(*id));
    match (kind, read(bytes, id, &question)) {
        (Kind::Address(family), Ok(Reply::Answer(Answer::Addresses(found)))) => {
            assert!(!found.is_empty() && found.len() * 11 <= bytes.len());
            assert!(found.iter().all(|ip| Family::of(*ip) == family));
        }
        (Kind::Service, Ok(Reply::Answer(Answer::Services(found)))) => {
            assert!(!found.is_empty() && found.len() * 11 <= bytes.len());
        }
        (_, Ok(Reply::Answer(_))) => panic!("another kind"),
        _ => {}
    }
});
