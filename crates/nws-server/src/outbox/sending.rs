//! Sending what is in an outbox.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::iter;

use super::{Outbox, Spare};
use crate::stream::Carrier;

/// Most pieces of one write.
const PIECES: usize = 64;
/// Most bytes of one connection a flush, so that one that reads fast does not keep the others waiting.
const FLUSH_BYTES: usize = 4 << 20;
/// Sent bytes at the buffer's start that are worth moving the rest for.
const COMPACT_BYTES: usize = 1 << 20;

/// Why a flush ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flushed {
    /// All is sent.
    All,
    /// The kernel takes no more for now.
    Blocked,
    /// What comes next is still on disk.
    Starved,
    /// There is more, and it is others' turn.
    Yielded,
}

impl Outbox {
    /// Sends what the kernel takes, within what is one connection's share of a turn. A buffer that
    /// becomes free goes to `spare`.
    ///
    /// # Errors
    /// Where the peer is gone.
    pub(crate) fn flush(&mut self, carrier: &impl Carrier, spare: &mut Spare) -> io::Result<Flushed> {
        let mut budget = FLUSH_BYTES;
        while !self.is_empty() {
            if budget == 0 {
                return Ok(Flushed::Yielded);
            }
            let (count, asked) = self.send_once(carrier)?;
            if asked == 0 {
                return Ok(Flushed::Starved);
            }
            if count < asked {
                return Ok(Flushed::Blocked);
            }
            budget = budget.saturating_sub(count);
        }
        if self.large.capacity() > 0 {
            self.large = VecDeque::new();
        }
        self.small_sent = 0;
        spare.put(std::mem::take(&mut self.small));
        Ok(Flushed::All)
    }

    fn send_once(&mut self, carrier: &impl Carrier) -> io::Result<(usize, usize)> {
        if self.large.is_empty() {
            let unsent = &self.small[self.small_sent..];
            let asked = unsent.len();
            let count = taken(carrier.send_pieces(&[IoSlice::new(unsent)]))?;
            self.advance(count);
            return Ok((count, asked));
        }
        let mut pieces = [IoSlice::new(&[]); PIECES];
        let (mut used, mut asked, mut at) = (0, 0, self.small_sent);
        let mut larges = self.large.iter();
        loop {
            let large = larges.next();
            let until = large.map_or(self.small.len(), |large| large.held_from().unwrap_or(large.after));
            let small = &self.small[at..until];
            let ready = large.into_iter().flat_map(|large| large.value.ready());
            for piece in iter::once(small).chain(ready) {
                if !piece.is_empty() && used < PIECES {
                    pieces[used] = IoSlice::new(piece);
                    used += 1;
                    asked += piece.len();
                }
            }
            match large {
                Some(large) if used < PIECES && large.value.is_ready() => at = large.after,
                _ => break,
            }
        }
        if used == 0 {
            return Ok((0, 0));
        }
        let count = taken(carrier.send_pieces(&pieces[..used]))?;
        self.advance(count);
        Ok((count, asked))
    }

    fn advance(&mut self, mut count: usize) {
        self.sent += count as u64;
        while count > 0 {
            let until = self.large.front().map_or(self.small.len(), |large| large.after);
            let step = count.min(until - self.small_sent);
            self.small_sent += step;
            count -= step;
            let Some(large) = self.large.front_mut().filter(|_| count > 0) else { break };
            let (step, loaded) = large.value.advance(count);
            self.large_bytes -= step;
            self.loaded_bytes -= loaded;
            count -= step;
            if !large.value.is_over() {
                break;
            }
            self.large.pop_front();
        }
        if self.small_sent >= COMPACT_BYTES && self.small_sent >= self.small.len() / 2 {
            self.small.drain(..self.small_sent);
            self.large.iter_mut().for_each(|large| large.shift(|place| place.checked_sub(self.small_sent)));
            self.small_sent = 0;
        }
    }
}

/// How much the kernel took.
fn taken(sent: io::Result<usize>) -> io::Result<usize> {
    match sent {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        sent => sent,
    }
}
