//! Keeps a small value from holding on to the large frame that it came in.
//!
//! Values are slices of their frame's memory, so the longest-lived value of a frame keeps all of it.
//! For a value that is a good part of its frame that is what we want: it was received in its place.
//! A batch of small ones is another matter: one value that stays would keep all its companions'
//! memory, unseen by the limit on values. Copying each into memory of its own would cost an
//! allocation for each of thousands of values that will mostly be gone in milliseconds. So they are
//! copied together into blocks of 4 KiB: one allocation and one short copy for some hundred tasks
//! (about 2 ns for each), and what a forgotten value can keep beside itself is less than one block.

use bytes::Bytes;
use nws_proto::{Item, Request, Sent};

use crate::stored::Stored;

/// A frame up to this long is no more than a block, and may be kept whole.
const BLOCK_BYTES: usize = 4096;
/// A value from this length on gets memory of its own rather than a part of a block.
const LONE_BYTES: usize = BLOCK_BYTES / 4;
/// A value that is at least this part of its frame keeps the frame.
const KEPT_PART: usize = 8;

/// Moves the values of a request that came in a frame with this payload out of it where they would
/// keep too much.
pub(crate) fn detach<V: InFrame>(payload_bytes: usize, request: &mut Request<V>) {
    if payload_bytes <= BLOCK_BYTES {
        return;
    }
    match request {
        Request::Store { items, .. } => detach_all(payload_bytes, items.iter_mut()),
        Request::Finish { items, .. } => detach_all(payload_bytes, items.iter_mut().map(|item| &mut item.result)),
        _ => {}
    }
}

/// A value as it is read from a frame.
pub(crate) trait InFrame {
    /// Its bytes, where they may be a part of the frame's memory.
    fn in_frame(&mut self) -> Option<&mut Bytes>;
}

impl InFrame for Sent {
    fn in_frame(&mut self) -> Option<&mut Bytes> {
        match self {
            Sent::Here(bytes) => Some(bytes),
            Sent::Transfer(_) => None,
        }
    }
}

impl InFrame for Stored {
    fn in_frame(&mut self) -> Option<&mut Bytes> {
        match self {
            Stored::Memory(bytes) => Some(bytes),
            Stored::Large(kept) => kept.bytes_mut(),
            Stored::Short(_) | Stored::Disk { .. } => None,
        }
    }
}

fn detach_all<'a, V: InFrame + 'a>(payload_bytes: usize, items: impl Iterator<Item = &'a mut Item<V>>) {
    let mut block = Vec::new();
    let mut waiting: Vec<&mut Bytes> = Vec::new();
    for Item { value, .. } in items {
        let Some(value) = value.in_frame() else { continue };
        if value.len() >= payload_bytes / KEPT_PART {
            continue;
        }
        if value.len() >= LONE_BYTES {
            *value = Bytes::copy_from_slice(value);
            continue;
        }
        if block.len() + value.len() > BLOCK_BYTES {
            share(std::mem::take(&mut block), &mut waiting);
        }
        if block.is_empty() {
            block.reserve_exact(BLOCK_BYTES);
        }
        block.extend_from_slice(value);
        waiting.push(value);
    }
    block.shrink_to_fit();
    share(block, &mut waiting);
}

/// Makes the values that were copied into the block slices of it.
fn share(block: Vec<u8>, waiting: &mut Vec<&mut Bytes>) {
    let block = Bytes::from(block);
    let mut at = 0;
    for value in waiting.drain(..) {
        let end = at + value.len();
        *value = block.slice(at..end);
        at = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nws_proto::{Descriptor, VariableHandle};

    /// A request as it comes from a frame, and where the frame's memory is.
    fn received(lengths: &[usize]) -> (usize, std::ops::Range<usize>, Request<Bytes>) {
        let items = lengths
            .iter()
            .enumerate()
            .map(|(i, length)| Item { descriptor: Descriptor(i as u32), value: Bytes::from(vec![i as u8; *length]) });
        let sent = Request::Store { variable: VariableHandle(1), items: items.collect() };
        let mut payload = Vec::new();
        sent.encode(&mut payload);
        let payload = Bytes::from(payload);
        let memory = payload.as_ptr() as usize..payload.as_ptr() as usize + payload.len();
        let request = Request::decode(sent.opcode().to_wire(), payload.clone()).unwrap();
        assert_eq!(request, sent);
        (payload.len(), memory, request)
    }

    fn detached(payload_bytes: usize, request: Request<Bytes>) -> Request<Bytes> {
        let mut request = request.try_map(|value| Ok::<_, ()>(Sent::Here(value))).unwrap();
        detach(payload_bytes, &mut request);
        let in_memory = |value| match value {
            Sent::Here(bytes) => Ok(bytes),
            Sent::Transfer(_) => Err(()),
        };
        request.try_map(in_memory).unwrap()
    }

    fn values(request: &Request<Bytes>) -> Vec<Bytes> {
        let Request::Store { items, .. } = request else { panic!("expected a store") };
        items.iter().map(|item| item.value.clone()).collect()
    }

    #[test]
    fn a_large_batch_of_small_values_is_moved_into_blocks_of_its_own() {
        let lengths: Vec<usize> = (0..2000).map(|i| i % 200).chain([1500, 2000]).collect();
        let (length, memory, mut request) = received(&lengths);
        let before = request.clone();
        request = detached(length, request);
        assert_eq!(request, before, "the values stay the same");
        for value in values(&request) {
            assert!(value.is_empty() || !memory.contains(&(value.as_ptr() as usize)));
        }
    }

    #[test]
    fn neighbours_share_a_block() {
        let (length, _, mut request) = received(&[100; 500]);
        request = detached(length, request);
        let values = values(&request);
        let follow = values.windows(2).filter(|pair| pair[0].as_ptr() as usize + 100 == pair[1].as_ptr() as usize);
        assert!(follow.count() >= 500 - 500 / 40 - 2, "40 values of 100 bytes fit in a block");
    }

    #[test]
    fn a_value_that_is_most_of_its_frame_stays_in_it() {
        let (length, memory, mut request) = received(&[100_000, 10]);
        request = detached(length, request);
        let values = values(&request);
        assert!(memory.contains(&(values[0].as_ptr() as usize)));
        assert!(!memory.contains(&(values[1].as_ptr() as usize)));
    }

    #[test]
    fn a_short_frame_is_left_alone() {
        let (length, memory, mut request) = received(&[10; 20]);
        assert!(length < BLOCK_BYTES);
        request = detached(length, request);
        assert!(values(&request).iter().all(|value| memory.contains(&(value.as_ptr() as usize))));
    }

    #[test]
    fn the_results_of_a_finish_are_moved_too() {
        let items = (0..1000u32).map(|i| nws_proto::FinishItem {
            lease: nws_proto::LeaseId(i.into()),
            result: Item { descriptor: Descriptor(i), value: Bytes::from(vec![7; 20]) },
        });
        let sent = Request::Finish { variable: VariableHandle(1), items: items.collect() };
        let mut payload = Vec::new();
        sent.encode(&mut payload);
        let payload = Bytes::from(payload);
        let memory = payload.as_ptr() as usize..payload.as_ptr() as usize + payload.len();
        let mut request = Request::decode(sent.opcode().to_wire(), payload.clone()).unwrap();
        request = detached(payload.len(), request);
        assert_eq!(request, sent);
        let Request::Finish { items, .. } = request else { panic!("expected a finish") };
        assert!(items.iter().all(|item| !memory.contains(&(item.result.value.as_ptr() as usize))));
    }
}
