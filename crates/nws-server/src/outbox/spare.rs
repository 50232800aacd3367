//! Memory for small fields that goes from connection to connection.

/// Buffers that wait for the next reply, so that busy connections need no allocation and idle ones
/// hold none.
#[derive(Debug, Default)]
pub(crate) struct Spare(Vec<Vec<u8>>);

impl Spare {
    const BUFFERS: usize = 64;
    /// Enough for most replies, and not much where thousands of clients are answered at once.
    const FIRST_BYTES: usize = 256;
    const BUFFER_BYTES: usize = 64 * 1024;

    pub(super) fn take(&mut self) -> Vec<u8> {
        self.0.pop().unwrap_or_else(|| Vec::with_capacity(Self::FIRST_BYTES))
    }

    pub(super) fn put(&mut self, mut buffer: Vec<u8>) {
        if self.0.len() < Self::BUFFERS && (1..=Self::BUFFER_BYTES).contains(&buffer.capacity()) {
            buffer.clear();
            self.0.push(buffer);
        }
    }
}
