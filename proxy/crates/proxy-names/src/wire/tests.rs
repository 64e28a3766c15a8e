use super::*;
use hickory_proto::rr::Record;
use hickory_proto::rr::rdata::{A, AAAA, CNAME, SRV};
use proptest::prelude::*;

const ID: u16 = 0x1234;

fn name(text: &str) -> Name {
    let mut name = Name::from_ascii(text).unwrap();
    name.set_fqdn(true);
    name
}

/// A record from `owner type data...`.
fn record(text: &str) -> Record {
    let words: Vec<&str> = text.split(' ').collect();
    let data = match words[1] {
        "A" => RData::A(A(words[2].parse().unwrap())),
        "AAAA" => RData::AAAA(AAAA(words[2].parse().unwrap())),
        "CNAME" => RData::CNAME(CNAME(name(words[2]))),
        _ => {
            let number = |n: usize| words[n].parse().unwrap();
            RData::SRV(SRV::new(number(2), number(3), number(4), name(words[5])))
        }
    };
    Record::from_rdata(name(words[0]), 60, data)
}

/// The reply to a question with these records; those behind `+` are additional.
fn reply(question: &Question, records: &[&str]) -> Message {
    let mut message = Message::response(ID, OpCode::Query);
    message.add_query(Query::query(question.name.clone(), question.kind.record_type()));
    for text in records {
        match text.strip_prefix("+ ") {
            Some(more) => message.add_additional(record(more)),
            None => message.add_answer(record(text)),
        };
    }
    message
}

fn question(text: &str) -> Question {
    let (kind, text) = text.split_once(' ').unwrap();
    let kind = match kind {
        "A" => Kind::Address(Family::V4),
        "AAAA" => Kind::Address(Family::V6),
        _ => Kind::Service,
    };
    Question::new(text, kind).unwrap()
}

#[track_caller]
fn check(asked: &str, records: &[&str], expected: &str) {
    let question = question(asked);
    let bytes = reply(&question, records).to_vec().unwrap();
    let seen = match read(&bytes, ID, &question) {
        Ok(Reply::Answer(Answer::Addresses(all))) => {
            all.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        }
        Ok(Reply::Answer(Answer::Services(all))) => all
            .iter()
            .map(|s| {
                let at = s.address.map_or_else(|| "?".to_owned(), |ip| ip.to_string());
                format!("{}:{}*{}@{at}", s.target, s.port, s.weight)
            })
            .collect::<Vec<_>>()
            .join(" "),
        other => format!("{other:?}"),
    };
    assert_eq!(seen, expected);
}

#[test]
fn answers() {
    check("A a.test", &["a.test A 1.1.1.1", "a.test A 1.1.1.2"], "1.1.1.1 1.1.1.2");
    check("A a.test", &["A.TEST A 1.1.1.1", "b.test A 1.1.1.2"], "1.1.1.1");
    check("AAAA a.test", &["a.test A 1.1.1.1", "a.test AAAA ::1"], "::1");
    let chain = ["b.test CNAME c.test", "a.test CNAME b.test", "c.test A 1.1.1.1"];
    check("A a.test", &chain, "1.1.1.1");
    check("A a.test", &["a.test CNAME b.test"], "Ok(DanglingAlias)");
    check("A a.test", &["a.test CNAME a.test", "a.test A 1.1.1.1"], "1.1.1.1");
    check("A a.test", &["b.test A 1.1.1.1", "+ a.test A 1.1.1.2"], "Ok(Empty)");
    let srv = ["_x._tcp.a.test SRV 0 7 80 B.test", "+ b.test AAAA ::2", "+ b.test A 1.1.1.1"];
    check("SRV _x._tcp.a.test", &srv, "b.test:80*7@::2");
    check("SRV _x._tcp.a.test", &["_x._tcp.a.test SRV 0 0 0 ."], "Ok(Empty)");
    check("SRV _x._tcp.a.test", &["_x._tcp.a.test SRV 1 65535 81 b.test"], "b.test:81*65535@?");
}

#[test]
fn what_is_no_answer() {
    let asked = question("A a.test");
    let good = reply(&asked, &["a.test A 1.1.1.1"]);
    let check = |edit: &dyn Fn(&mut Message), expected: Result<Reply, ReadError>| {
        let mut message = good.clone();
        edit(&mut message);
        assert_eq!(read(&message.to_vec().unwrap(), ID, &asked), expected);
    };
    check(&|m| m.metadata.id = 1, Err(ReadError::NotOurs));
    check(&|m| m.metadata.message_type = MessageType::Query, Err(ReadError::NotOurs));
    check(&|m| m.queries.clear(), Err(ReadError::NotOurs));
    check(&|m| m.queries[0].name = name("b.test"), Err(ReadError::NotOurs));
    check(&|m| m.queries[0].query_type = RecordType::AAAA, Err(ReadError::NotOurs));
    check(&|m| m.metadata.truncation = true, Ok(Reply::Truncated));
    check(&|m| m.metadata.response_code = ResponseCode::NXDomain, Ok(Reply::NxDomain));
    check(&|m| m.metadata.response_code = ResponseCode::Refused, Ok(Reply::Refused));
    check(&|m| m.metadata.response_code = ResponseCode::ServFail, Ok(Reply::Failed(2)));
    assert_eq!(read(b"", ID, &asked), Err(ReadError::Malformed));
    // As many records as a header can promise, and none of them.
    let promises = [0x12, 0x34, 0x80, 0, 0, 1, 255, 255, 255, 255, 255, 255];
    assert_eq!(read(&promises, ID, &asked), Err(ReadError::Malformed));
}

#[test]
fn queries_can_be_read() {
    let bytes = question("A web.Test").encode(7, 4096);
    let message = Message::from_vec(&bytes).unwrap();
    assert_eq!((message.metadata.id, message.metadata.recursion_desired), (7, true));
    assert_eq!(message.queries[0].name(), &name("web.test"));
    assert_eq!(message.edns.unwrap().max_payload(), 4096);
    for bad in ["", ".", "a..b", &"a".repeat(64), &"a.".repeat(200)] {
        assert!(Question::new(bad, Kind::Service).is_err(), "{bad:?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = read(&bytes, ID, &question("SRV _x._tcp.a.test"));
    }

    /// A reply that was cut or changed anywhere is no reply, or still one to the question.
    #[test]
    fn damaged_replies_are_read(cut in 0usize..200, at in 0usize..200, byte: u8) {
        let asked = question("A a.test");
        let records = ["a.test CNAME b.test", "b.test A 1.1.1.1", "+ b.test A 1.1.1.2"];
        let mut bytes = reply(&asked, &records).to_vec().unwrap();
        let at = at % bytes.len();
        bytes[at] = byte;
        bytes.truncate(bytes.len().saturating_sub(cut));
        if let Ok(Reply::Answer(Answer::Addresses(found))) = read(&bytes, ID, &asked) {
            prop_assert!(found.len() <= 2);
        }
    }
}
