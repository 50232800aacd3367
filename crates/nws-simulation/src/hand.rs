//! A client of the project's own protocol that does what a test tells it.

use bytes::Bytes;
use nws_proto::{
    Challenge, Descriptor, FRAME_HEADER_BYTES, FrameHeader, GREETING, Item, Language, LongRequest, Opcode, OpenMode,
    Request, RequestId, SessionId, VariableHandle, WorkspaceHandle,
};
use nws_server::simulation::{Carried, Link, Simulated};

use crate::own::{TOKEN, frame, hello};

/// A frame that came.
pub type Frame = (FrameHeader, Bytes);

/// Turns until nothing more is to be done at this time, and the tables agree.
///
/// # Panics
/// Where they do not, or it does not come to rest.
pub fn settle(server: &mut Simulated, now_ms: u64) {
    server.turn(now_ms, |_| ());
    for _ in 0..10_000 {
        if server.due_ms().is_none_or(|due_ms| due_ms > now_ms) {
            return server.audit().expect("the tables agree");
        }
        server.turn(now_ms, |_| ());
    }
    panic!("it does not come to rest");
}

/// A client, and how far it has read.
#[derive(Debug)]
pub struct Hand {
    /// Its connection.
    pub link: Link,
    read: usize,
}

impl Hand {
    /// A client that is let in, has opened the workspace `w` and bound its variable `x` to the handle 1.
    /// The server takes it for silent after so many milliseconds.
    ///
    /// # Panics
    /// Where it is not let in.
    pub fn new(server: &mut Simulated, now_ms: u64, silence_ms: u32) -> Self {
        Self::narrow(server, now_ms, silence_ms, 1 << 28)
    }

    /// The same, with at most so many bytes on their way in each direction.
    ///
    /// # Panics
    /// Where it is not let in.
    pub fn narrow(server: &mut Simulated, now_ms: u64, silence_ms: u32, room_bytes: usize) -> Self {
        let link = server.connect(Carried::ByTcp, "10.0.0.1:1", room_bytes);
        let mut hand = Self { link, read: 0 };
        hand.link.send(&GREETING);
        server.turn(now_ms, |_| ());
        let (_, challenge) = hand.frames().remove(0);
        let challenge = Challenge::decode(challenge).expect("a challenge");
        hand.link.send(&hello(&challenge, silence_ms, SessionId(0)));
        let (workspace, variable) = (WorkspaceHandle(1), VariableHandle(1));
        hand.ask(1, &Request::Open { workspace, name: b"w".to_vec(), mode: OpenMode::Use, create: true });
        hand.ask(2, &Request::Bind { variable, workspace, name: b"x".to_vec() });
        server.turn(now_ms, |_| ());
        assert_eq!(hand.opcodes(), [Opcode::Welcome, Opcode::Opened, Opcode::Done]);
        hand
    }

    /// The token of servers for such clients.
    pub fn token() -> nws_proto::Token {
        TOKEN
    }

    /// Sends a request.
    pub fn ask(&self, id: u32, request: &Request<Bytes>) {
        let mut payload = Vec::new();
        request.encode(&mut payload);
        self.say(&frame(request.opcode(), RequestId(id), &payload));
    }

    /// Sends a request about a long value.
    pub fn ask_long(&self, id: u32, request: &LongRequest) {
        let mut payload = Vec::new();
        request.encode(&mut payload);
        self.say(&frame(request.opcode(), RequestId(id), &payload));
    }

    /// Stores a value in `x`.
    pub fn store(&self, id: u32, value: Vec<u8>) {
        let item = Item { descriptor: Descriptor::bytes(Language::Rust), value: value.into() };
        self.ask(id, &Request::Store { variable: VariableHandle(1), items: vec![item] });
    }

    /// Sends bytes.
    ///
    /// # Panics
    /// Where there is no room for them.
    pub fn say(&self, bytes: &[u8]) {
        assert_eq!(self.link.send(bytes), bytes.len(), "the link takes them");
    }

    /// What has come whole since the last time.
    ///
    /// # Panics
    /// Where it is no frame.
    pub fn frames(&mut self) -> Vec<Frame> {
        self.link.receive(usize::MAX);
        let bytes = self.link.look(self.read, Bytes::copy_from_slice);
        let (mut frames, mut at) = (Vec::new(), 0);
        while let Some((head, rest)) = bytes[at..].split_first_chunk::<FRAME_HEADER_BYTES>() {
            let header = FrameHeader::decode(head).expect("a header");
            let length = header.payload_bytes as usize;
            if rest.len() < length {
                break;
            }
            let start = at + FRAME_HEADER_BYTES;
            at = start + length;
            frames.push((header, bytes.slice(start..at)));
        }
        self.read += at;
        frames
    }

    /// What has come whole since the last time, by its kind.
    ///
    /// # Panics
    /// Where it is no frame.
    pub fn opcodes(&mut self) -> Vec<Opcode> {
        self.frames().into_iter().map(|(header, _)| Opcode::from_wire(header.opcode).expect("an opcode")).collect()
    }
}
