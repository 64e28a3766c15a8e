//! What an entry of a stick table may hold (configuration manual, 11.1): one row per data type, and where its words are.

use std::time::Duration;

/// How a value is kept, in words of 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A number of 32 bits.
    Small,
    /// A number of 64 bits.
    Large,
    /// Events over a period: start of the running one, its count, the count of the one before.
    Rate,
    /// The key of a server; not in the words.
    Server,
}

impl Form {
    fn words(self) -> usize {
        match self {
            Self::Small => 1,
            Self::Large => 2,
            Self::Rate => 3,
            Self::Server => 0,
        }
    }
}

/// A row of [`TYPES`].
#[derive(Debug, PartialEq, Eq)]
pub struct DataType {
    pub name: &'static str,
    pub form: Form,
    /// `name(<nb>)` with as many elements.
    pub is_array: bool,
    /// Number in the peers protocol: the place in [`TYPES`].
    pub id: usize,
}

const fn data(id: usize, name: &'static str, form: Form) -> DataType {
    DataType { name, form, is_array: false, id }
}

const fn array(id: usize, name: &'static str, form: Form) -> DataType {
    DataType { name, form, is_array: true, id }
}

/// Every data type by its number in the peers protocol.
pub static TYPES: &[DataType] = &[
    data(0, "server_id", Form::Small),
    data(1, "gpt0", Form::Small),
    data(2, "gpc0", Form::Small),
    data(3, "gpc0_rate", Form::Rate),
    data(4, "conn_cnt", Form::Small),
    data(5, "conn_rate", Form::Rate),
    data(6, "conn_cur", Form::Small),
    data(7, "sess_cnt", Form::Small),
    data(8, "sess_rate", Form::Rate),
    data(9, "http_req_cnt", Form::Small),
    data(10, "http_req_rate", Form::Rate),
    data(11, "http_err_cnt", Form::Small),
    data(12, "http_err_rate", Form::Rate),
    data(13, "bytes_in_cnt", Form::Large),
    data(14, "bytes_in_rate", Form::Rate),
    data(15, "bytes_out_cnt", Form::Large),
    data(16, "bytes_out_rate", Form::Rate),
    data(17, "gpc1", Form::Small),
    data(18, "gpc1_rate", Form::Rate),
    data(19, "server_key", Form::Server),
    data(20, "http_fail_cnt", Form::Small),
    data(21, "http_fail_rate", Form::Rate),
    array(22, "gpt", Form::Small),
    array(23, "gpc", Form::Small),
    array(24, "gpc_rate", Form::Rate),
    data(25, "glitch_cnt", Form::Small),
    data(26, "glitch_rate", Form::Rate),
];

/// The row of this name.
pub fn find(name: &str) -> Option<&'static DataType> {
    TYPES.iter().find(|row| row.name == name)
}

/// One `store` of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Store {
    pub kind: &'static DataType,
    /// Elements of an array; 1 for others.
    pub count: u16,
    /// Of rates.
    pub period: Duration,
}

/// Where one value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    pub kind: &'static DataType,
    pub form: Form,
    pub at: usize,
    /// Of rates, in milliseconds.
    pub period_ms: u32,
}

/// Where the values of a table's entries are.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    /// In the order of their types.
    stores: Vec<(Store, usize)>,
    pub words: usize,
}

impl Layout {
    pub fn new(stores: &[Store]) -> Self {
        let mut stores = stores.to_vec();
        stores.sort_by_key(|store| store.kind.id);
        stores.dedup_by_key(|store| store.kind.id);
        let mut words = 0;
        let mut placed = Vec::new();
        for store in stores {
            placed.push((store, words));
            words += store.kind.form.words() * usize::from(store.count);
        }
        Self { stores: placed, words }
    }

    /// Everything that is stored, by type.
    pub fn stores(&self) -> impl Iterator<Item = &Store> {
        self.stores.iter().map(|(store, _)| store)
    }

    /// The place of element `index` of the data type with this number. `gpc0` and the like are also the first
    /// elements of arrays.
    pub fn slot(&self, id: usize, index: u16) -> Option<Slot> {
        let find = |id: usize, index: u16| {
            let (store, at) = self.stores.iter().find(|(store, _)| store.kind.id == id)?;
            let form = store.kind.form;
            (index < store.count).then(|| Slot {
                kind: store.kind,
                form,
                at: at + form.words() * usize::from(index),
                period_ms: u32::try_from(store.period.as_millis()).unwrap_or(u32::MAX).max(1),
            })
        };
        find(id, index).or_else(|| match (id, index) {
            (id::GPT0, 0) => find(id::GPT, 0),
            (id::GPC0, 0) => find(id::GPC, 0),
            (id::GPC1, 0) => find(id::GPC, 1),
            (id::GPC0_RATE, 0) => find(id::GPC_RATE, 0),
            (id::GPC1_RATE, 0) => find(id::GPC_RATE, 1),
            _ => None,
        })
    }

    /// Whether servers are kept.
    pub fn has_server_key(&self) -> bool {
        self.stores.iter().any(|(store, _)| store.kind.id == id::SERVER_KEY)
    }
}

/// Numbers of data types that code names.
pub mod id {
    pub const SERVER_ID: usize = 0;
    pub const GPT0: usize = 1;
    pub const GPC0: usize = 2;
    pub const GPC0_RATE: usize = 3;
    pub const CONN_CNT: usize = 4;
    pub const CONN_RATE: usize = 5;
    pub const CONN_CUR: usize = 6;
    pub const SESS_CNT: usize = 7;
    pub const SESS_RATE: usize = 8;
    pub const HTTP_REQ_CNT: usize = 9;
    pub const HTTP_REQ_RATE: usize = 10;
    pub const HTTP_ERR_CNT: usize = 11;
    pub const HTTP_ERR_RATE: usize = 12;
    pub const BYTES_IN_CNT: usize = 13;
    pub const BYTES_IN_RATE: usize = 14;
    pub const BYTES_OUT_CNT: usize = 15;
    pub const BYTES_OUT_RATE: usize = 16;
    pub const GPC1: usize = 17;
    pub const GPC1_RATE: usize = 18;
    pub const SERVER_KEY: usize = 19;
    pub const HTTP_FAIL_CNT: usize = 20;
    pub const HTTP_FAIL_RATE: usize = 21;
    pub const GPT: usize = 22;
    pub const GPC: usize = 23;
    pub const GPC_RATE: usize = 24;
    pub const GLITCH_CNT: usize = 25;
    pub const GLITCH_RATE: usize = 26;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_at_their_numbers() {
        assert!(TYPES.iter().enumerate().all(|(i, row)| row.id == i));
        assert_eq!(find("glitch_rate").map(|row| row.id), Some(id::GLITCH_RATE));
        assert_eq!(find("server_key").map(|row| row.id), Some(id::SERVER_KEY));
        assert_eq!(find("gpc_rate").map(|row| row.id), Some(id::GPC_RATE));
    }

    #[test]
    fn arrays_stand_in_for_single_values() {
        let store = |name: &str, count| Store {
            kind: find(name).unwrap(),
            count,
            period: Duration::from_secs(10),
        };
        let layout =
            Layout::new(&[store("gpc", 2), store("bytes_in_cnt", 1), store("gpc_rate", 1)]);
        assert_eq!(layout.words, 2 + 2 + 3);
        assert_eq!(layout.slot(id::GPC1, 0).map(|slot| slot.at), Some(3));
        assert_eq!(layout.slot(id::GPC1_RATE, 0), None);
        assert_eq!(layout.slot(id::GPC, 2), None);
        assert_eq!(layout.slot(id::CONN_CNT, 0), None);
    }
}
