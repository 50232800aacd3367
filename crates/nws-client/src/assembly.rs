//! Replies whose values are not in their frames: the I/O thread asks for them part by part, and gives
//! the reply out when it is whole.
//!
//! A value that was fetched is the user's when the server knows that it has arrived: before that it would
//! go back to its place if the connection ended, and somebody else could get it as well.

use std::collections::VecDeque;

use bytes::Bytes;
use nws_proto::{ErrorCode, Fault, Given, LongRequest, ReadingId, Reply, RequestId, limits};

use crate::awaited::Answer;
use crate::in_flight::Receiver;
use crate::shared::Shared;

/// Parts that are asked for ahead.
const PARTS_AHEAD: u64 = 4;

/// A value that is being read.
#[derive(Debug)]
struct Reading {
    id: ReadingId,
    len_bytes: u64,
    bytes: Vec<u8>,
}

/// A reply that is not whole.
#[derive(Debug)]
struct Assembly {
    request: RequestId,
    reply: Reply<Given>,
    /// In the order of the values; those before `current` are complete.
    readings: Vec<Reading>,
    current: usize,
}

/// Replies that are not whole, in the order in which they came. The first is being read.
#[derive(Debug, Default)]
pub(crate) struct Assemblies {
    waiting: VecDeque<Assembly>,
    /// What was asked for of the first one's current value, in bytes.
    asked_bytes: u64,
    /// Parts that are asked for and have not come.
    parts: u64,
    /// Of those, how many nobody wants any more.
    unwanted: u64,
}

impl Assemblies {
    /// Gives a reply out, or begins to read what is not in it. False: nobody asked.
    pub(crate) fn take(&mut self, shared: &Shared, request: RequestId, reply: Reply<Given>) -> bool {
        let reply = match reply {
            Reply::Failed(fault) if shared.take_own_part(request) => return self.fail(shared, fault),
            reply => reply,
        };
        let readings = readings(&reply);
        if readings.is_empty() {
            let whole = reply.try_map(|value| match value {
                Given::Here(bytes) => Ok(bytes),
                Given::Reading { .. } => Err(()),
            });
            return whole.is_ok_and(|reply| shared.answer(request, reply));
        }
        if shared.is_unread(request) {
            return shared.give_unread(request, reply);
        }
        if !shared.is_in_flight(request) {
            return false;
        }
        self.waiting.push_back(Assembly { request, reply, readings, current: 0 });
        if self.waiting.len() == 1 {
            self.begin(shared);
        }
        true
    }

    /// Takes a part. False: nobody asked.
    pub(crate) fn part(&mut self, shared: &Shared, request: RequestId, bytes: &Bytes) -> bool {
        match shared.part_receiver(request) {
            Some(Receiver::Part) if self.parts > 0 => {}
            Some(Receiver::PartTo(slot)) => {
                slot.complete(Ok(bytes.clone()));
                return true;
            }
            Some(Receiver::Nobody) => return true,
            _ => return false,
        }
        self.parts -= 1;
        if self.unwanted > 0 {
            self.unwanted -= 1;
            return true;
        }
        let Some(first) = self.waiting.front_mut() else { return false };
        let Some(reading) = first.readings.get_mut(first.current) else { return false };
        if bytes.is_empty() || bytes.len() as u64 > reading.len_bytes - reading.bytes.len() as u64 {
            return false;
        }
        reading.bytes.extend_from_slice(bytes);
        if reading.bytes.len() as u64 == reading.len_bytes {
            first.current += 1;
            self.begin(shared);
        } else {
            self.ask(shared);
        }
        true
    }

    /// A part cannot be had: what it is of is given back, and who waits for it is told.
    fn fail(&mut self, shared: &Shared, fault: Fault) -> bool {
        if self.parts == 0 {
            return false;
        }
        self.parts -= 1;
        if self.unwanted > 0 {
            self.unwanted -= 1;
        } else if let Some(unreadable) = self.waiting.pop_front() {
            unreadable.give_back(shared, Reply::Failed(fault));
            self.begin(shared);
        }
        true
    }

    /// Begins to read the next value; of the next reply, where that was the last of its reply.
    fn begin(&mut self, shared: &Shared) {
        self.unwanted = self.parts;
        self.asked_bytes = 0;
        while let Some(first) = self.waiting.front_mut() {
            let Some(reading) = first.readings.get_mut(first.current) else {
                if let Some(whole) = self.waiting.pop_front() {
                    whole.hand_over(shared);
                }
                continue;
            };
            let length = usize::try_from(reading.len_bytes).unwrap_or(usize::MAX);
            if length == 0 {
                first.current += 1;
                continue;
            }
            if reading.bytes.try_reserve_exact(length).is_ok() {
                return self.ask(shared);
            }
            let fault = no_memory(reading.len_bytes);
            if let Some(refused) = self.waiting.pop_front() {
                refused.give_back(shared, Reply::Failed(fault));
            }
        }
    }

    fn ask(&mut self, shared: &Shared) {
        let Some(first) = self.waiting.front() else { return };
        if shared.is_abandoned(first.request) {
            if let Some(unwanted) = self.waiting.pop_front() {
                unwanted.give_back(shared, Reply::Canceled);
            }
            return self.begin(shared);
        }
        let Some(reading) = first.readings.get(first.current) else { return };
        while self.parts - self.unwanted < PARTS_AHEAD && self.asked_bytes < reading.len_bytes {
            let max_bytes = limits::PART_BYTES;
            let part = LongRequest::ReadPart { reading: reading.id, offset: self.asked_bytes, max_bytes };
            if shared.submit_long(&part, Receiver::Part).is_err() {
                // The connection has ended, and everybody is told.
                return;
            }
            self.asked_bytes += u64::from(max_bytes).min(reading.len_bytes - self.asked_bytes);
            self.parts += 1;
        }
    }
}

impl Assembly {
    /// Closes the readings; when the server has heard of the last one the reply is given out.
    fn hand_over(self, shared: &Shared) {
        let mut bytes = self.readings.into_iter().map(|reading| (reading.id, Bytes::from(reading.bytes)));
        let mut closed = Vec::new();
        let whole = self.reply.try_map(|value| match value {
            Given::Here(bytes) => Ok::<_, ()>(bytes),
            Given::Reading { .. } => {
                let (id, bytes) = bytes.next().ok_or(())?;
                closed.push(id);
                Ok(bytes)
            }
        });
        let (Ok(reply), Some(last)) = (whole, closed.pop()) else { return };
        for reading in closed {
            close(shared, reading, false, Receiver::Nobody);
        }
        close(shared, last, false, Receiver::Closed { request: self.request, reply: Box::new(reply) });
    }

    /// Closes the readings so that the values go back, and gives out what became of the request.
    fn give_back(self, shared: &Shared, reply: Reply<Bytes>) {
        self.reply.give_back(shared);
        shared.answer(self.request, reply);
    }
}

impl Answer for Reply<Given> {
    /// Values go back to their places, by lease or not.
    fn give_back(self, shared: &Shared) {
        for reading in readings(&self) {
            close(shared, reading.id, true, Receiver::Nobody);
        }
        if let Ok(reply) = self.try_map(|_| Ok::<_, ()>(Bytes::new())) {
            shared.give_back(Ok(reply));
        }
    }
}

impl Answer for Reply<Bytes> {
    fn give_back(self, shared: &Shared) {
        shared.give_back(Ok(self));
    }
}

impl Answer for Bytes {
    fn give_back(self, _shared: &Shared) {}
}

fn close(shared: &Shared, reading: ReadingId, give_back: bool, receiver: Receiver) {
    // It fails where the connection has ended, and with it the reading.
    let _ = shared.submit_long(&LongRequest::CloseReading { reading, give_back }, receiver);
}

fn readings(reply: &Reply<Given>) -> Vec<Reading> {
    let Reply::Values { values, .. } = reply else { return Vec::new() };
    let reading = |value: &Given| match value {
        Given::Here(_) => None,
        Given::Reading { reading, len_bytes } => {
            Some(Reading { id: *reading, len_bytes: *len_bytes, bytes: Vec::new() })
        }
    };
    values.iter().filter_map(|grant| reading(&grant.item.value)).collect()
}

fn no_memory(len_bytes: u64) -> Fault {
    let message = format!(
        "expected a value that fits into the memory of this process, got one of {len_bytes} bytes; write it to a file, \
         part by part"
    );
    Fault::new(ErrorCode::ValueTooLong, message)
}
