//! Lines that leave together.

/// The lines in a buffer, each with its end.
#[derive(Clone)]
pub(super) struct Lines<'a> {
    bytes: &'a [u8],
    ends: &'a [usize],
    start: usize,
}

impl<'a> Lines<'a> {
    /// `ends` tells where each line ends.
    pub(super) fn new(bytes: &'a [u8], ends: &'a [usize]) -> Self {
        Self { bytes, ends, start: 0 }
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (end, rest) = self.ends.split_first()?;
        let line = &self.bytes[self.start..*end];
        (self.ends, self.start) = (rest, *end);
        Some(line)
    }
}
