//! Texts that are sent once and named by a number from then on (peers.txt, "Entry update message format").

use std::sync::Arc;

use rustc_hash::FxHashMap;

/// Texts each side remembers; HAProxy's number.
pub const SIZE: usize = 128;

/// What was told to the peer.
#[derive(Debug, Default)]
pub struct Told {
    numbers: FxHashMap<Arc<str>, usize>,
    texts: Vec<Arc<str>>,
    /// The place that is given away next when all are in use.
    next: usize,
    revision: u64,
}

impl Told {
    /// The number of a text, from 1 on, and whether the peer knows it.
    pub fn number(&mut self, text: &Arc<str>) -> (u64, bool) {
        if let Some(place) = self.numbers.get(text) {
            return (*place as u64 + 1, true);
        }
        let place = match self.texts.len() {
            SIZE => {
                let place = self.next;
                self.next = (place + 1) % SIZE;
                let before = std::mem::replace(&mut self.texts[place], text.clone());
                self.numbers.remove(&before);
                place
            }
            free => {
                self.texts.push(text.clone());
                free
            }
        };
        self.revision += 1;
        self.numbers.insert(text.clone(), place);
        (place as u64 + 1, false)
    }

    /// Every text with its number.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &Arc<str>)> {
        (1..).zip(&self.texts)
    }

    /// Grows with every text.
    pub fn revision(&self) -> u64 {
        self.revision
    }
}

/// What the peer told.
#[derive(Debug, Default)]
pub struct Heard {
    texts: Vec<Option<Arc<str>>>,
    revision: u64,
}

impl Heard {
    /// Remembers a text. Numbers that the peer should not use are not remembered.
    pub fn learn(&mut self, number: u64, text: &Arc<str>) {
        let Some(place) = place(number) else { return };
        if self.texts.len() <= place {
            self.texts.resize(place + 1, None);
        }
        self.texts[place] = Some(text.clone());
        self.revision += 1;
    }

    /// The text of a number.
    pub fn text(&self, number: u64) -> Option<&Arc<str>> {
        self.texts.get(place(number)?)?.as_ref()
    }

    /// Every text with its number.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &Arc<str>)> {
        (1..).zip(&self.texts).filter_map(|(number, text)| Some((number, text.as_ref()?)))
    }

    /// Grows with every text.
    pub fn revision(&self) -> u64 {
        self.revision
    }
}

fn place(number: u64) -> Option<usize> {
    usize::try_from(number.checked_sub(1)?).ok().filter(|place| *place < SIZE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_agree() {
        let (mut told, mut heard) = (Told::default(), Heard::default());
        for round in 0..3 {
            // More texts than places.
            for i in 0..200 {
                let text: Arc<str> = format!("s{}", i % (150 + round)).into();
                let (number, known) = told.number(&text);
                if !known {
                    heard.learn(number, &text);
                }
                assert_eq!(heard.text(number), Some(&text));
            }
        }
        heard.learn(0, &"x".into());
        heard.learn(129, &"x".into());
        heard.learn(u64::MAX, &"x".into());
        assert_eq!((heard.text(0), heard.text(129)), (None, None));
        assert_eq!(heard.iter().count(), SIZE);
        let first = told.iter().next().unwrap().1.clone();
        assert_eq!(told.number(&first), (1, true));
    }
}
