//! Captured values: the slots that a frontend declares, and what a stream keeps in them (configuration manual, 4.2
//! "capture request header" and "declare capture").

use std::cell::RefCell;

/// Where a value may be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaptureSlot {
    /// The header field that fills it; `None` for slots that rules fill.
    pub header: Option<Box<str>>,
    /// Bytes kept at most.
    pub len: usize,
}

/// The slots of a frontend, in order. Rules may add some while they are read.
#[derive(Debug, Default)]
pub struct CaptureSlots {
    pub request: RefCell<Vec<CaptureSlot>>,
    pub response: RefCell<Vec<CaptureSlot>>,
}

/// The values of a stream, one per slot.
#[derive(Debug, Default)]
pub struct Captured {
    pub request: RefCell<Vec<Option<Vec<u8>>>>,
    pub response: RefCell<Vec<Option<Vec<u8>>>>,
}

impl Captured {
    /// Keeps the first `len` bytes of `value` in a slot.
    pub fn set(slots: &RefCell<Vec<Option<Vec<u8>>>>, index: usize, len: usize, value: &[u8]) {
        let mut slots = slots.borrow_mut();
        if slots.len() <= index {
            slots.resize(index + 1, None);
        }
        let kept = slots[index].get_or_insert_with(Vec::new);
        kept.clear();
        kept.extend_from_slice(&value[..value.len().min(len)]);
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.request.borrow_mut().clear();
        self.response.borrow_mut().clear();
    }
}
