//! Values that are longer than a frame, on their way out.
//!
//! The parts and the request that stores the value go out in one go, so that what was asked for before
//! and after keeps its place. The server reads no faster than its disk writes, so nothing is gained by
//! waiting for its replies: where a part fails, the request does too.

use bytes::{Bytes, BytesMut};
use nws_proto::{FinishItem, Item, LongRequest, Request, TransferId, limits};

use crate::pieces::InPieces;

/// What stands before a part in its frame: transfer and length, in bytes.
const BEFORE_PART_BYTES: u32 = 8;
/// Shorter pieces are copied together.
const SHARED_PIECE_BYTES: usize = 64 << 10;

/// A request whose one value is sent before it.
#[derive(Debug)]
pub(crate) struct Transferred {
    /// In this order.
    pub(crate) parts: Vec<LongRequest>,
    /// And then this.
    pub(crate) request: Request<TransferId>,
}

/// The same request in parts, where it has exactly one value. The server takes payloads up to the limit.
pub(crate) fn in_parts<V: InPieces>(
    request: &Request<V>,
    transfer: TransferId,
    payload_limit_bytes: u32,
) -> Option<Transferred> {
    let part_bytes = part_bytes(payload_limit_bytes);
    let parts = |value| parts(value, transfer, part_bytes);
    match request {
        Request::Store { variable, items } => {
            let [Item { descriptor, value }] = &items[..] else { return None };
            let items = vec![Item { descriptor: *descriptor, value: transfer }];
            Some(Transferred { parts: parts(value), request: Request::Store { variable: *variable, items } })
        }
        Request::Finish { variable, items } => {
            let [FinishItem { lease, result: Item { descriptor, value } }] = &items[..] else { return None };
            let result = Item { descriptor: *descriptor, value: transfer };
            let items = vec![FinishItem { lease: *lease, result }];
            Some(Transferred { parts: parts(value), request: Request::Finish { variable: *variable, items } })
        }
        _ => None,
    }
}

/// How long a part may be where the server takes payloads of this length.
pub(crate) fn part_bytes(payload_limit_bytes: u32) -> usize {
    limits::PART_BYTES.min(payload_limit_bytes.saturating_sub(BEFORE_PART_BYTES)).max(1) as usize
}

fn parts<V: InPieces>(value: &V, transfer: TransferId, part_bytes: usize) -> Vec<LongRequest> {
    let mut parts = vec![LongRequest::BeginTransfer { transfer }];
    let mut short = BytesMut::new();
    let mut add = |bytes: Bytes| {
        if !bytes.is_empty() {
            parts.push(LongRequest::TransferPart { transfer, bytes });
        }
    };
    for piece in value.pieces() {
        if piece.len() < SHARED_PIECE_BYTES.min(part_bytes) {
            if short.len() + piece.len() > part_bytes {
                add(short.split().freeze());
            }
            short.extend_from_slice(piece);
            continue;
        }
        add(short.split().freeze());
        for start in (0..piece.len()).step_by(part_bytes) {
            add(piece.slice(start..piece.len().min(start + part_bytes)));
        }
    }
    add(short.freeze());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Pieces;
    use nws_proto::{Descriptor, VariableHandle};

    #[test]
    fn the_parts_are_the_value_in_order_and_none_is_too_long() {
        let lengths = [3, 70_000, 0, 5, 3 << 20, 1, (1 << 20) + 1, 64 << 10];
        let pieces: Vec<Bytes> = lengths.iter().zip(1..).map(|(length, n)| vec![n; *length].into()).collect();
        let whole = pieces.concat();
        let mut pieces = pieces.into_iter();
        let value = Pieces::new(pieces.next().unwrap(), pieces.collect());
        let items = vec![Item { descriptor: Descriptor(5), value }];
        let store = Request::Store { variable: VariableHandle(1), items };
        for limit in [100, 65_536, 1 << 30] {
            check(&in_parts(&store, TransferId(4), limit).unwrap(), &whole, part_bytes(limit));
        }
    }

    fn check(sent: &Transferred, whole: &[u8], most_bytes: usize) {
        let mut joined = Vec::new();
        assert_eq!(sent.parts[0], LongRequest::BeginTransfer { transfer: TransferId(4) });
        for part in &sent.parts[1..] {
            let LongRequest::TransferPart { transfer: TransferId(4), bytes } = part else { panic!("{part:?}") };
            assert!((1..=most_bytes).contains(&bytes.len()));
            joined.extend_from_slice(bytes);
        }
        assert!(joined == whole);
        let items = vec![Item { descriptor: Descriptor(5), value: TransferId(4) }];
        assert_eq!(sent.request, Request::Store { variable: VariableHandle(1), items });
    }

    #[test]
    fn several_values_go_in_one_frame_or_not_at_all() {
        let item = Item { descriptor: Descriptor(0), value: Bytes::from_static(b"x") };
        let store = Request::Store { variable: VariableHandle(1), items: vec![item; 2] };
        assert!(in_parts(&store, TransferId(1), 1 << 30).is_none());
        assert!(in_parts(&Request::<Bytes>::Ping, TransferId(1), 1 << 30).is_none());
    }
}
