//! Definitions of tables and updates of entries (peers.txt, "Stick-table update message class").

use std::sync::Arc;

use proxy_state::Now;
use proxy_state::stick::data::{self, Form};
use proxy_state::stick::{DataType, KeyType, Table, Values};
use smallvec::SmallVec;

use super::dictionary::Told;
use super::wire::{bytes, int, put_int, word};

/// Elements of an array at most (configuration manual, 11.1 "gpc").
const ELEMENTS: u64 = 100;
/// Bytes of the name of a table at most.
const NAME_MAX: u64 = 4096;

/// One data type of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    pub kind: &'static DataType,
    /// Elements of an array; 1 for others.
    pub count: u16,
    /// Of rates, in milliseconds, when it was told.
    pub period: Option<u64>,
}

/// What a peer says of a table before it sends its entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// The sender's number of the table.
    pub id: u64,
    pub name: String,
    pub key_type: u64,
    pub key_len: u64,
    /// By number of the type.
    pub columns: Vec<Column>,
    /// Milliseconds; 0 is never.
    pub expire: u64,
}

/// Type and length of keys in definitions.
pub fn key_type(key: KeyType) -> (u64, u64) {
    match key {
        KeyType::Integer => (2, 4),
        KeyType::Ipv4 => (4, 4),
        KeyType::Ipv6 => (5, 16),
        // One more for an end that is not sent.
        KeyType::Str(len) => (6, len as u64 + 1),
        KeyType::Binary(len) => (7, len as u64),
    }
}

impl Definition {
    /// The definition of one of our tables.
    pub fn of(id: u64, name: &str, table: &Table) -> Self {
        let (key_type, key_len) = key_type(table.spec.key);
        let ms = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let columns = table.layout.stores().map(|store| Column {
            kind: store.kind,
            count: store.count,
            period: (store.kind.form == Form::Rate).then(|| ms(store.period)),
        });
        Self {
            id,
            name: name.to_owned(),
            key_type,
            key_len,
            columns: columns.collect(),
            expire: table.spec.expire.map_or(0, ms),
        }
    }

    /// The content of the message.
    pub fn content(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_int(&mut out, self.id);
        put_int(&mut out, self.name.len() as u64);
        out.extend_from_slice(self.name.as_bytes());
        put_int(&mut out, self.key_type);
        put_int(&mut out, self.key_len);
        put_int(&mut out, self.bits());
        put_int(&mut out, self.expire);
        for column in &self.columns {
            if column.kind.is_array {
                put_int(&mut out, column.kind.id as u64);
                put_int(&mut out, u64::from(column.count));
            }
            if let Some(period) = column.period {
                if !column.kind.is_array {
                    put_int(&mut out, column.kind.id as u64);
                }
                put_int(&mut out, period);
            }
        }
        out
    }

    /// A bit for each data type.
    pub fn bits(&self) -> u64 {
        self.columns.iter().fold(0, |bits, column| bits | 1 << column.kind.id)
    }

    /// Reads the content of a message. Types that are not known here stand at the end of updates and are left out.
    pub fn parse(mut content: &[u8]) -> Option<Self> {
        let input = &mut content;
        let id = int(input)?;
        let name_len = int(input).filter(|len| *len <= NAME_MAX)?;
        let name = std::str::from_utf8(bytes(input, name_len as usize)?).ok()?.to_owned();
        let (key_type, key_len, bits) = (int(input)?, int(input)?, int(input)?);
        // What follows was added later.
        let expire = int(input).unwrap_or(0);
        let mut columns = Vec::new();
        for kind in data::TYPES.iter().filter(|kind| bits >> kind.id & 1 == 1) {
            let mut column = Column { kind, count: 1, period: None };
            let is_rate = kind.form == Form::Rate;
            if kind.is_array {
                int(input).filter(|id| *id == kind.id as u64)?;
                let count = int(input).filter(|count| (1..=ELEMENTS).contains(count))?;
                column.count = count as u16;
                column.period = if is_rate { Some(int(input)?) } else { None };
            } else if is_rate && !input.is_empty() {
                int(input).filter(|id| *id == kind.id as u64)?;
                column.period = Some(int(input)?);
            }
            columns.push(column);
        }
        Some(Self { id, name, key_type, key_len, columns, expire })
    }
}

/// The value of a column, or of an element of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    Number(u64),
    /// Milliseconds since the running period began, its count, the count before.
    Rate(u32, u32, u32),
    /// A text by its number; the text itself when it is told for the first time.
    Text(Option<(u64, Option<&'a str>)>),
}

/// What is told of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update<'a> {
    /// Its number; `None` is the next one.
    pub id: Option<u32>,
    /// Milliseconds, when it is told.
    pub expires_in: Option<u32>,
    pub key: &'a [u8],
    /// By column and element.
    pub values: SmallVec<[(Column, u16, Value<'a>); 4]>,
}

impl<'a> Update<'a> {
    /// Reads the content of an update of a defined table.
    pub fn parse(
        mut content: &'a [u8],
        has_id: bool,
        is_timed: bool,
        of: &Definition,
    ) -> Option<Self> {
        let input = &mut content;
        let id = if has_id { Some(word(input)?) } else { None };
        let expires_in = if is_timed { Some(word(input)?) } else { None };
        let length = match of.key_type {
            2 => 4,
            6 => int(input)?,
            _ => of.key_len,
        };
        let key = bytes(input, usize::try_from(length).ok()?)?;
        let mut values = SmallVec::new();
        for column in &of.columns {
            for index in 0..column.count {
                values.push((*column, index, Value::parse(input, column.kind.form)?));
            }
        }
        Some(Self { id, expires_in, key, values })
    }
}

impl<'a> Value<'a> {
    fn parse(input: &mut &'a [u8], form: Form) -> Option<Self> {
        let small = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        Some(match form {
            Form::Small | Form::Large => Self::Number(int(input)?),
            Form::Rate => Self::Rate(small(int(input)?), small(int(input)?), small(int(input)?)),
            Form::Server => {
                let length = usize::try_from(int(input)?).ok()?;
                let mut entry = bytes(input, length)?;
                if entry.is_empty() {
                    return Some(Self::Text(None));
                }
                let number = int(&mut entry)?;
                if entry.is_empty() {
                    return Some(Self::Text(Some((number, None))));
                }
                let length = usize::try_from(int(&mut entry)?).ok()?;
                let text = std::str::from_utf8(bytes(&mut entry, length)?).ok()?;
                Self::Text(Some((number, Some(text))))
            }
        })
    }
}

/// Appends a key.
pub fn put_key(out: &mut Vec<u8>, kind: KeyType, key: &[u8]) {
    if let KeyType::Str(_) = kind {
        put_int(out, key.len() as u64);
    }
    out.extend_from_slice(key);
}

/// Appends everything that an entry of `table` holds.
pub fn put_values(out: &mut Vec<u8>, table: &Table, values: &Values, told: &mut Told, now: Now) {
    for store in table.layout.stores() {
        if store.kind.form == Form::Server {
            put_text(out, values.server.as_ref(), told);
            continue;
        }
        for index in 0..store.count {
            let Some(slot) = table.slot(store.kind.id, index) else { continue };
            if slot.form == Form::Rate {
                let (age, current, before) = values.rate_parts(slot, now);
                for part in [age, current, before] {
                    put_int(out, u64::from(part));
                }
            } else {
                put_int(out, values.get(slot, now));
            }
        }
    }
}

fn put_text(out: &mut Vec<u8>, text: Option<&Arc<str>>, told: &mut Told) {
    let Some(text) = text else { return put_int(out, 0) };
    let (number, known) = told.number(text);
    let mut entry = Vec::with_capacity(text.len() + 12);
    put_int(&mut entry, number);
    if !known {
        put_int(&mut entry, text.len() as u64);
        entry.extend_from_slice(text.as_bytes());
    }
    put_int(out, entry.len() as u64);
    out.extend_from_slice(&entry);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use proxy_state::stick::{Store, TableSpec};

    use super::*;

    fn table(key: KeyType, stores: &[(&str, u16, u64)]) -> Arc<Table> {
        let store = |(name, count, secs): &(&str, u16, u64)| Store {
            kind: data::find(name).unwrap(),
            count: *count,
            period: Duration::from_secs(*secs),
        };
        Table::new(TableSpec {
            expire: Some(Duration::from_secs(30)),
            stores: stores.iter().map(store).collect(),
            ..TableSpec::new("t", key, 100)
        })
    }

    fn hex(text: &str) -> Vec<u8> {
        text.split(' ').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
    }

    #[track_caller]
    fn check(id: u64, name: &str, table: &Table, expected: &str) {
        let own = Definition::of(id, name, table);
        assert_eq!(own.content(), hex(expected));
        assert_eq!(Definition::parse(&hex(expected)), Some(own));
    }

    /// As a real HAProxy 2.6 sends them.
    #[test]
    fn definitions() {
        let integer = table(KeyType::Integer, &[("gpc0", 1, 0)]);
        check(4, "t_int", &integer, "04 05 74 5f 69 6e 74 02 04 04 f0 c4 0d");
        let never = Table::new(TableSpec {
            expire: None,
            ..table(KeyType::Str(20), &[("gpt", 3, 0), ("gpc", 2, 0), ("gpc_rate", 4, 30)])
                .spec
                .clone()
        });
        let arrays = "03 05 74 5f 61 72 72 06 15 f0 f1 fe 6e 00 16 03 17 02 18 04 f0 c4 0d";
        check(3, "t_arr", &never, arrays);
        let hour = Table::new(TableSpec {
            expire: Some(Duration::from_secs(3600)),
            ..table(
                KeyType::Ipv4,
                &[("server_id", 1, 0), ("server_key", 1, 0), ("http_req_rate", 1, 20)],
            )
            .spec
            .clone()
        });
        let server = "07 03 73 72 76 04 04 f1 b1 ff 00 f0 d9 dc 0c 0a f0 d3 08";
        check(7, "srv", &hour, server);
        // An array without its length cannot be read.
        assert_eq!(Definition::parse(&hex("03 01 74 06 15 f0 f1 fe 6e 00")), None);
        // Older peers tell no periods; a later type is nothing to worry about.
        let old = Definition::parse(&hex("03 01 74 04 04 08")).unwrap();
        assert_eq!((old.expire, old.columns[0].period), (0, None));
        let mut later = hex("03 01 74 04 04");
        put_int(&mut later, 1 << 40 | 4);
        assert_eq!(Definition::parse(&later).unwrap().columns.len(), 1);
    }

    /// As a real HAProxy 2.6 sends them.
    #[test]
    fn updates() {
        let hour = table(
            KeyType::Ipv4,
            &[("server_id", 1, 0), ("server_key", 1, 0), ("http_req_rate", 1, 20)],
        );
        let of = Definition::of(7, "srv", &hour);
        let told = hex("00 00 00 01 7f 00 00 01 01 fe aa e2 b8 15 00 00 04 01 02 73 31");
        let update = Update::parse(&told, true, false, &of).unwrap();
        assert_eq!((update.id, update.key), (Some(1), &[127, 0, 0, 1][..]));
        let values: Vec<_> = update.values.iter().map(|(_, _, value)| *value).collect();
        let Value::Rate(_, 0, 0) = values[1] else { panic!("{values:?}") };
        assert_eq!((values[0], values[2]), (Value::Number(1), Value::Text(Some((1, Some("s1"))))));
        let known = hex("00 36 e8 9e 7f 00 00 01 01 00 00 00 01 01");
        let update = Update::parse(&known, false, true, &of).unwrap();
        assert_eq!((update.id, update.expires_in), (None, Some(0x36_e89e)));
        assert_eq!(update.values[2].2, Value::Text(Some((1, None))));
        for cut in 0..told.len() {
            assert_eq!(Update::parse(&told[..cut], true, false, &of), None, "{cut}");
        }
    }

    #[test]
    fn what_is_sent_is_read_back() {
        let stores =
            [("gpt", 2, 0), ("gpc_rate", 2, 10), ("bytes_in_cnt", 1, 0), ("server_key", 1, 0)];
        let table = table(KeyType::Str(10), &stores);
        let entry = table.get_or_make(b"key", Now(5000)).unwrap();
        let slot = |name: &str, index| table.slot(data::find(name).unwrap().id, index).unwrap();
        table.update(&entry, |values| {
            values.set(slot("gpt", 1), 9, Now(5000));
            values.add(slot("gpc_rate", 0), 3, Now(5000));
            values.set(slot("bytes_in_cnt", 0), 1 << 40, Now(5000));
            values.server = Some("s1".into());
        });
        let mut told = Told::default();
        for text in [Some("s1"), None] {
            let mut out = Vec::new();
            put_key(&mut out, table.spec.key, &entry.key);
            entry.read(|values| put_values(&mut out, &table, values, &mut told, Now(5250)));
            let update = Update::parse(&out, false, false, &Definition::of(1, "t", &table));
            let values: Vec<_> =
                update.unwrap().values.iter().map(|(_, _, value)| *value).collect();
            let rate = Value::Rate(250, 3, 0);
            assert_eq!(
                values[..3],
                [Value::Number(1 << 40), Value::Text(Some((1, text))), Value::Number(0)]
            );
            assert_eq!(values[3..5], [Value::Number(9), rate]);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_looked_at(content: Vec<u8>, id: bool, timed: bool) {
            if let Some(definition) = Definition::parse(&content) {
                let again = Definition::parse(&definition.content());
                prop_assert_eq!(again.map(|d| d.bits()), Some(definition.bits()));
                let _ = Update::parse(&content, id, timed, &definition);
            }
        }
    }
}
