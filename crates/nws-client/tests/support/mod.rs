//! A scripted peer: a thread that speaks frames as a test tells it, well or badly.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

pub mod running;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Once;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use nws_client::{ConnectOptions, Connection, Endpoint, Error, Silence};
use nws_proto::*;

/// Longer than anything takes that does not hang.
pub const LONG: Duration = Duration::from_secs(30);
pub const TOKEN: Token = Token([7; 32]);

/// Ends the tests where one hangs; each by itself is bounded by its peer, but not by a defect that
/// keeps an answer from who waits for it.
pub fn watchdog() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        thread::spawn(|| {
            let start = Instant::now();
            while start.elapsed() < Duration::from_secs(300) {
                thread::park_timeout(Duration::from_secs(300));
            }
            eprintln!("these tests have run for 5 minutes: one of them hangs");
            std::process::abort();
        });
    });
}

/// The server's end of a connection.
pub struct Peer {
    pub stream: TcpStream,
}

impl Peer {
    /// Listens, and runs `script` with the first who connects. Its panics fail the test when the
    /// result is asked for.
    pub fn start<T: Send + 'static>(script: impl FnOnce(Peer) -> T + Send + 'static) -> (Endpoint, Script<T>) {
        watchdog();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = Endpoint::Tcp("127.0.0.1".into(), listener.local_addr().unwrap().port());
        let (sender, ended) = channel();
        let run = move || {
            let (stream, _) = listener.accept().unwrap();
            stream.set_nodelay(true).unwrap();
            stream.set_read_timeout(Some(LONG)).unwrap();
            stream.set_write_timeout(Some(LONG)).unwrap();
            let result = script(Peer { stream });
            let _ = sender.send(result);
        };
        thread::spawn(run);
        (endpoint, Script { ended })
    }

    /// As `start`, after a good handshake.
    pub fn greeted<T: Send + 'static>(script: impl FnOnce(Peer) -> T + Send + 'static) -> (Connection, Script<T>) {
        Self::greeted_with(0, script)
    }

    /// With this silence granted.
    pub fn greeted_with<T: Send + 'static>(
        silence_ms: u32,
        script: impl FnOnce(Peer) -> T + Send + 'static,
    ) -> (Connection, Script<T>) {
        let (endpoint, script) = Self::start(move |mut peer| {
            peer.greet(silence_ms);
            script(peer)
        });
        (Connection::connect(&endpoint, options()).unwrap(), script)
    }

    pub fn greet(&mut self, silence_ms: u32) -> Hello {
        self.challenge(1, 1);
        self.welcome(&TOKEN, silence_ms)
    }

    pub fn challenge(&mut self, oldest_version: u16, newest_version: u16) {
        let mut greeting = [0; 4];
        self.stream.read_exact(&mut greeting).unwrap();
        assert_eq!(greeting, GREETING);
        let challenge = Challenge { oldest_version, newest_version, server: [3; 16], nonce: [5; NONCE_BYTES] };
        let mut payload = Vec::new();
        challenge.encode(&mut payload);
        self.send(RequestId(0), Opcode::Challenge, &payload);
    }

    pub fn hello(&mut self) -> Hello {
        let (header, payload) = self.receive().expect("a hello");
        assert_eq!(header.opcode, Opcode::Hello.to_wire());
        Hello::decode(payload).unwrap()
    }

    /// Takes the hello and answers as a server that holds `token`.
    pub fn welcome(&mut self, token: &Token, silence_ms: u32) -> Hello {
        let hello = self.hello();
        let welcome = Welcome {
            session: SessionId(11),
            proof: server_proof(token, &[5; NONCE_BYTES], &hello.nonce),
            frame_payload_bytes: limits::FRAME_PAYLOAD_BYTES,
            silence_ms,
        };
        let mut payload = Vec::new();
        welcome.encode(&mut payload);
        self.send(RequestId(0), Opcode::Welcome, &payload);
        hello
    }

    pub fn send(&mut self, request: RequestId, opcode: Opcode, payload: &[u8]) {
        let header = FrameHeader { payload_bytes: payload.len() as u32, request, opcode: opcode.to_wire() };
        self.stream.write_all(&[&header.encode(), payload].concat()).unwrap();
    }

    pub fn reply(&mut self, request: RequestId, reply: &Reply<Bytes>) {
        let mut payload = Vec::new();
        reply.encode(&mut payload);
        self.send(request, reply.opcode(), &payload);
    }

    pub fn event(&mut self, event: &Event) {
        let mut payload = Vec::new();
        event.encode(&mut payload);
        self.send(RequestId(0), event.opcode(), &payload);
    }

    /// The next frame; `None` at the end.
    pub fn receive(&mut self) -> Option<(FrameHeader, Bytes)> {
        let mut header = [0; FRAME_HEADER_BYTES];
        if let Err(error) = self.stream.read_exact(&mut header) {
            assert!(
                matches!(error.kind(), std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::ConnectionReset),
                "{error}"
            );
            return None;
        }
        let header = FrameHeader::decode(&header).unwrap();
        let mut payload = vec![0; header.payload_bytes as usize];
        self.stream.read_exact(&mut payload).unwrap();
        Some((header, payload.into()))
    }

    /// The next request.
    pub fn request(&mut self) -> (RequestId, Request<Bytes>) {
        let (header, payload) = self.receive().expect("a request");
        (header.request, Request::decode(header.opcode, payload).unwrap())
    }

    /// Asserts that the client ends the connection.
    pub fn expect_end(&mut self) {
        let frame = self.receive();
        assert!(frame.is_none(), "{frame:?}");
    }
}

/// A running script.
pub struct Script<T> {
    ended: Receiver<T>,
}

impl<T> Script<T> {
    /// What it gave. A script that panicked fails the test here.
    pub fn result(self) -> T {
        self.ended.recv_timeout(LONG).expect("the peer's script ended well")
    }
}

/// With the token, and never asking for the runtime folder.
pub fn options() -> ConnectOptions {
    ConnectOptions {
        token: Some(TOKEN),
        prefer_unix: false,
        silence: Silence::Never,
        timeout: LONG,
        ..Default::default()
    }
}

/// One value to `variable`.
pub fn store(variable: u32, value: impl Into<Bytes>) -> Request<Bytes> {
    Request::Store {
        variable: VariableHandle(variable),
        items: vec![Item { descriptor: Descriptor::bytes(Language::Rust), value: value.into() }],
    }
}

pub fn fetch(variable: u32, lease: bool, wait: Wait) -> Request<Bytes> {
    Request::Retrieve(Retrieve {
        variable: VariableHandle(variable),
        take: true,
        lease,
        wait,
        cursor: Cursor::Mode,
        max_values: 10,
        max_bytes: 1 << 20,
    })
}

pub fn values(first_lease: u64, values: &[&'static [u8]]) -> Reply<Bytes> {
    let grant = |(value, index): (&&'static [u8], u64)| Grant {
        index: Index(index),
        deaths: 0,
        item: Item { descriptor: Descriptor::bytes(Language::Rust), value: Bytes::from_static(value) },
    };
    let values = values.iter().zip(0..).map(grant).collect();
    Reply::Values { variable: VariableId(1), first_lease: LeaseId(first_lease), values }
}

/// The reason for which a connection has ended.
pub fn reason(error: Error) -> String {
    match error {
        Error::Closed { reason } => reason,
        other => panic!("expected Error::Closed, got {other:?}"),
    }
}
