//! Our own words.

use bytes::Bytes;
use nws_proto::{
    Cursor, Descriptor, FRAME_HEADER_BYTES, FrameHeader, GREETING, Hello, Item, Language, NONCE_BYTES, Opcode,
    OpenMode, PROTOCOL_VERSION, Request, RequestId, Retrieve, SessionId, Token, VariableHandle, Wait, Welcome,
    WorkspaceHandle, client_proof, limits, proofs_match, server_proof,
};

use crate::replies::Head;
use crate::socket::Socket;

/// What stands before the value in a reply with one value, in bytes.
const BEFORE_VALUE_BYTES: usize = 20 + 18;
const WORKSPACE: WorkspaceHandle = WorkspaceHandle(1);
const VARIABLE: VariableHandle = VariableHandle(1);
/// Longer than any measurement: nobody here answers pings.
const SILENCE_MS: u32 = 3_600_000;

pub(crate) fn prepare(socket: &mut Socket, token: &str, name: &str) {
    let token = Token::from_hex(token).unwrap();
    socket.send(&GREETING);
    let challenge = nws_proto::Challenge::decode(receive(socket, Opcode::Challenge)).unwrap();
    let nonce = [7; NONCE_BYTES];
    let hello = Hello {
        version: PROTOCOL_VERSION,
        nonce,
        proof: client_proof(&token, &challenge.nonce, &nonce),
        silence_ms: SILENCE_MS,
        guardian: SessionId(0),
        label: b"load".to_vec(),
        resume: Vec::new(),
    };
    let mut payload = Vec::new();
    hello.encode(&mut payload);
    socket.send(&frame(Opcode::Hello, 0, &payload));
    let welcome = Welcome::decode(receive(socket, Opcode::Welcome)).unwrap();
    assert!(proofs_match(&welcome.proof, &server_proof(&token, &challenge.nonce, &nonce)));
    let open = Request::Open { workspace: WORKSPACE, name: b"load".to_vec(), mode: OpenMode::Use, create: true };
    socket.send(&request(1, &open));
    receive(socket, Opcode::Opened);
    socket.send(&request(1, &Request::Bind { variable: VARIABLE, workspace: WORKSPACE, name: name.into() }));
    receive(socket, Opcode::Done);
}

pub(crate) fn store(id: u32, value: &[u8]) -> Vec<u8> {
    let item = Item { descriptor: Descriptor::bytes(Language::Rust), value: Bytes::copy_from_slice(value) };
    request(id, &Request::Store { variable: VARIABLE, items: vec![item] })
}

pub(crate) fn fetch(id: u32, wait: Wait) -> Vec<u8> {
    let retrieve = Retrieve {
        variable: VARIABLE,
        take: true,
        lease: false,
        wait,
        cursor: Cursor::Mode,
        max_values: 1,
        max_bytes: limits::BATCH_BYTES,
    };
    request(id, &Request::Retrieve(retrieve))
}

pub(crate) fn ping(id: u32) -> Vec<u8> {
    request(id, &Request::Ping)
}

pub(crate) fn head(bytes: &[u8]) -> Option<Head> {
    let header = FrameHeader::decode(bytes.first_chunk()?).unwrap();
    let payload = header.payload_bytes as usize;
    let value = match Opcode::from_wire(header.opcode) {
        Some(Opcode::Done | Opcode::Pong) => None,
        Some(Opcode::Values) => Some(payload.saturating_sub(BEFORE_VALUE_BYTES)),
        other => panic!("expected a reply, got {other:?}"),
    };
    Some(Head { length: FRAME_HEADER_BYTES, payload, value, parts: 1 })
}

fn request(id: u32, request: &Request<Bytes>) -> Vec<u8> {
    let mut payload = Vec::new();
    request.encode(&mut payload);
    frame(request.opcode(), id, &payload)
}

fn frame(opcode: Opcode, id: u32, payload: &[u8]) -> Vec<u8> {
    let payload_bytes = payload.len() as u32;
    let header = FrameHeader { payload_bytes, request: RequestId(id), opcode: opcode.to_wire() };
    [&header.encode()[..], payload].concat()
}

fn receive(socket: &mut Socket, expected: Opcode) -> Bytes {
    let mut head = [0; FRAME_HEADER_BYTES];
    socket.receive_exactly(&mut head);
    let header = FrameHeader::decode(&head).unwrap();
    assert_eq!(Opcode::from_wire(header.opcode), Some(expected));
    let mut payload = vec![0; header.payload_bytes as usize];
    socket.receive_exactly(&mut payload);
    payload.into()
}
