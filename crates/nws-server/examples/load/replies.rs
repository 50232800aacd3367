//! Counting replies.

use crate::dialect::Dialect;

/// What a reply, or a part of one, begins with.
#[derive(Debug)]
pub(crate) struct Head {
    /// Its own length, in bytes.
    pub(crate) length: usize,
    /// What follows it, in bytes.
    pub(crate) payload: usize,
    /// The length of the value in it, in bytes.
    pub(crate) value: Option<usize>,
    /// How many parts, this one among them, it begins.
    pub(crate) parts: usize,
}

/// Counts one connection's replies, whose values are let go by.
#[derive(Debug)]
pub(crate) struct Replies {
    dialect: Dialect,
    value_bytes: usize,
    /// A part's head has come, and its payload has not come whole.
    within: bool,
    /// What is missing of it.
    skip_bytes: usize,
    /// Of the reply that is being received.
    parts: usize,
}

impl Replies {
    pub(crate) fn new(dialect: &Dialect, value_bytes: usize) -> Self {
        Self { dialect: dialect.clone(), value_bytes, within: false, skip_bytes: 0, parts: 0 }
    }

    /// How many of the bytes were used, and how many replies ended with them.
    pub(crate) fn count(&mut self, bytes: &[u8]) -> (usize, usize) {
        let (mut used, mut ended) = (0, 0);
        loop {
            let here = self.skip_bytes.min(bytes.len() - used);
            used += here;
            self.skip_bytes -= here;
            if self.skip_bytes > 0 {
                return (used, ended);
            }
            if std::mem::take(&mut self.within) {
                self.parts -= 1;
                ended += usize::from(self.parts == 0);
            }
            let Some(head) = self.dialect.head(&bytes[used..]) else { return (used, ended) };
            used += head.length;
            self.within = true;
            self.skip_bytes = head.payload;
            self.parts = self.parts.max(1) - 1 + head.parts;
            if let (Some(value_bytes), 1) = (head.value, self.parts) {
                assert_eq!(value_bytes, self.value_bytes, "a value came back in another length");
            }
        }
    }
}
