//! What is refused here, before it is sent, because the server would end the connection over it.

use nws_proto::{ErrorCode, Fault, LongRequest, Request, Sink, limits};

use crate::pieces::{InPieces, put_sized};

/// The length of the request's payload, where the request is one that the server reads.
pub(crate) fn payload_bytes<V: InPieces>(request: &Request<V>, limit_bytes: u32) -> Result<u32, Fault> {
    let too_long = |bytes: u64| {
        let message = format!(
            "expected at most {limit_bytes} bytes in one request, got {bytes}; store fewer values at a time, or cut \
             the value"
        );
        Fault::new(ErrorCode::FrameTooLong, message)
    };
    match request {
        Request::Store { items, .. } => {
            batch(items.len(), "values to store")?;
            longest(items.iter().map(|item| item.value.value_bytes())).map_err(too_long)?;
        }
        Request::Finish { items, .. } => {
            batch(items.len(), "leases to finish")?;
            longest(items.iter().map(|item| item.result.value.value_bytes())).map_err(too_long)?;
        }
        Request::Retrieve(retrieve) => {
            batch(retrieve.max_values as usize, "as the most values")?;
            if retrieve.lease && !retrieve.take {
                let message =
                    "expected a fetch where values are leased, got a find; a find leaves the value where it is";
                return Err(Fault::new(ErrorCode::BadArguments, message));
            }
        }
        _ => {}
    }
    let mut length = Length(0);
    request.encode(&mut length);
    match length.0 {
        bytes if bytes <= u64::from(limit_bytes) => Ok(bytes as u32),
        bytes => Err(too_long(bytes)),
    }
}

/// Counts what would be written.
struct Length(u64);

impl<V: InPieces> Sink<V> for Length {
    fn put(&mut self, bytes: &[u8]) {
        self.0 += bytes.len() as u64;
    }
    fn put_value(&mut self, value: &V) {
        self.0 += value.value_bytes() as u64;
    }
    fn value_len(value: &V) -> u64 {
        value.value_bytes() as u64
    }

    fn put_sized_value(&mut self, value: &V) {
        put_sized(self, value);
    }
}

/// The length of the payload of a request about a value that travels in parts.
pub(crate) fn long_payload_bytes(request: &LongRequest) -> u32 {
    let mut length = Length(0);
    request.encode(&mut length);
    // A part is at most a mebibyte.
    length.0 as u32
}

/// A length of four bytes could not say what is longer.
fn longest(mut lengths: impl Iterator<Item = usize>) -> Result<(), u64> {
    lengths.find(|length| *length > limits::VALUE_BYTES as usize).map_or(Ok(()), |length| Err(length as u64))
}

fn batch(count: usize, what: &str) -> Result<(), Fault> {
    if (1..=limits::BATCH_VALUES as usize).contains(&count) {
        return Ok(());
    }
    let message = format!("expected 1 to {} {what} in one request, got {count}", limits::BATCH_VALUES);
    Err(Fault::new(ErrorCode::BadArguments, message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use nws_proto::{Cursor, Descriptor, Item, Retrieve, VariableHandle, Wait};

    fn store(count: usize, bytes: usize) -> Request<Bytes> {
        let item = Item { descriptor: Descriptor(0), value: Bytes::from(vec![0; bytes]) };
        Request::Store { variable: VariableHandle(1), items: vec![item; count] }
    }

    #[test]
    fn batches_have_one_to_4096_values() {
        for (count, good) in [(0, false), (1, true), (4096, true), (4097, false)] {
            assert_eq!(payload_bytes(&store(count, 1), 1 << 30).is_ok(), good, "{count}");
        }
        for (max_values, good) in [(0, false), (1, true), (4096, true), (4097, false)] {
            let retrieve = Retrieve {
                variable: VariableHandle(1),
                take: true,
                lease: false,
                wait: Wait::No,
                cursor: Cursor::Mode,
                max_values,
                max_bytes: 1,
            };
            assert_eq!(payload_bytes(&Request::<Bytes>::Retrieve(retrieve), 1 << 30).is_ok(), good, "{max_values}");
        }
    }

    #[test]
    fn a_payload_may_be_as_long_as_the_server_takes_and_no_longer() {
        // Handle, count, descriptor, length, and 100 bytes.
        assert_eq!(payload_bytes(&store(1, 100), 116), Ok(116));
        let fault = payload_bytes(&store(1, 100), 115).unwrap_err();
        assert_eq!(fault.code, ErrorCode::FrameTooLong);
        assert!(fault.message.contains("at most 115") && fault.message.contains("116"), "{}", fault.message);
    }
}
