//! The project's own protocol: headers and every payload.

use bytes::Bytes;
use nws_proto::{
    Challenge, Event, FRAME_HEADER_BYTES, FrameHeader, Given, Hello, LongRequest, Malformed, Opcode, Reply, Request,
    Retrieve, Sent, Sink, Welcome, decode_part,
};

use super::memory::most_held_by;

/// An item in memory may be larger than its bytes on the wire, at most by this factor; a vector of them
/// that grows is held twice while it moves.
const LARGER: usize = 48;
/// For an error's message.
const LITTLE_BYTES: usize = 4096;

/// Reads the bytes as a stream of frames that any end may have sent. What can be read is written as the
/// same bytes, and reading takes no more memory than the bytes are worth, whatever they announce.
///
/// # Panics
/// Where that is not so.
pub fn frames(bytes: &[u8]) {
    let mut rest = bytes;
    while let Some((head, after)) = rest.split_first_chunk::<FRAME_HEADER_BYTES>() {
        let Some(header) = FrameHeader::decode(head) else { return };
        assert_eq!(header.encode(), *head, "a header is written as it was read");
        // A length that lies is no reason to look at less.
        let length = after.len().min(header.payload_bytes as usize);
        payload(header.opcode, &after[..length]);
        rest = &after[length..];
    }
}

fn payload(opcode: u16, bytes: &[u8]) {
    let payload = Bytes::copy_from_slice(bytes);
    let (written, held) = most_held_by(|| match Opcode::from_wire(opcode) {
        Some(Opcode::Hello) => written(Hello::decode(payload), Hello::encode),
        Some(Opcode::Challenge) => written(Challenge::decode(payload), Challenge::encode),
        Some(Opcode::Welcome) => written(Welcome::decode(payload), Welcome::encode),
        Some(Opcode::Part) => decode_part(payload).ok().map(|part| {
            let mut sink = Vec::new();
            Sink::<Bytes>::put_sized_value(&mut sink, &part);
            sink
        }),
        _ if LongRequest::has(opcode) => LongRequest::decode(opcode, payload).ok().map(|request| {
            assert_eq!(request.opcode().to_wire(), opcode);
            let mut sink = Vec::new();
            request.encode(&mut sink);
            sink
        }),
        _ if opcode < 0x80 => request(opcode, payload),
        // As clients read it: values may be elsewhere.
        _ if opcode < 0xC0 => Reply::<Given>::decode(opcode, payload).ok().map(|reply| {
            assert_eq!(reply.opcode().to_wire(), opcode);
            let mut sink = Vec::new();
            reply.encode(&mut sink);
            sink
        }),
        _ => Event::decode(opcode, payload).ok().map(|event| {
            assert_eq!(event.opcode().to_wire(), opcode);
            let mut sink = Vec::new();
            event.encode(&mut sink);
            sink
        }),
    });
    let most = LARGER * bytes.len() + LITTLE_BYTES;
    assert!(held <= most, "opcode {opcode:#x}: {} bytes made it hold {held}", bytes.len());
    if let Some(written) = written {
        assert_eq!(written, bytes, "opcode {opcode:#x} is written as it was read");
    }
}

fn written<T>(read: Result<T, Malformed>, encode: impl Fn(&T, &mut Vec<u8>)) -> Option<Vec<u8>> {
    let mut sink = Vec::new();
    encode(&read.ok()?, &mut sink);
    Some(sink)
}

/// Of a request that was read, the bytes that it is written as, if those must be the same.
fn request(opcode: u16, payload: Bytes) -> Option<Vec<u8>> {
    // As the server reads it: values may be elsewhere.
    let request = Request::<Sent>::decode(opcode, payload.clone()).ok()?;
    assert_eq!(request.opcode().to_wire(), opcode);
    if let Ok(whole) = Request::<Bytes>::decode(opcode, payload.clone()) {
        assert_eq!(whole.payload_bytes(), payload.len() as u64);
    }
    let mut sink = Vec::new();
    request.encode(&mut sink);
    // A retrieval may ask for more bytes than it gets, and is then read as what it gets.
    if let Request::Retrieve(Retrieve { .. }) = request {
        assert_eq!(Request::decode(opcode, sink.clone().into()).as_ref(), Ok(&request));
        assert_eq!(sink.len(), payload.len());
        return None;
    }
    Some(sink)
}
