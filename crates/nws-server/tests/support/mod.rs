//! A server on free ports, and clients that speak in frames. Every wait has an end.
#![allow(clippy::unwrap_used, clippy::expect_used, dead_code, unreachable_pub)]

pub mod http;
pub mod long;
pub mod old;
pub mod process;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use nws_proto::*;
use nws_server::{Config, Handle, Limits, Server};

/// Nothing that is right takes this long.
pub const PATIENCE: Duration = Duration::from_secs(20);
pub const TOKEN: Token = Token([9; 32]);

/// A server that runs on a thread of its own until it is dropped.
pub struct Running {
    pub tcp: SocketAddr,
    pub web: SocketAddr,
    pub unix: PathBuf,
    handle: Handle,
    ended: mpsc::Receiver<io::Result<()>>,
    folder: tempfile::TempDir,
}

impl Running {
    pub fn start() -> Self {
        Self::with(Limits::default())
    }

    pub fn with(limits: Limits) -> Self {
        Self::start_with(limits, false)
    }

    /// A server that lets old clients of other users in.
    pub fn open_to_users() -> Self {
        Self::start_with(Limits::default(), true)
    }

    fn start_with(limits: Limits, allow_users: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let unix = folder.path().join("nws.sock");
        let any = Some("127.0.0.1:0".parse().unwrap());
        let server = Server::bind(Config {
            tcp: any,
            web: any,
            unix: Some(unix.clone()),
            limits,
            allow_users,
            tmp_dir: folder.path().to_owned(),
            ..Config::new(TOKEN)
        })
        .unwrap();
        let (tcp, web, handle) = (server.tcp_addr().unwrap(), server.web_addr().unwrap(), server.handle());
        let (tell, ended) = mpsc::channel();
        thread::spawn(move || tell.send(server.run()));
        Self { tcp, web, unix, handle, ended, folder }
    }

    pub fn shutdown(&self) {
        self.handle.shutdown();
    }

    pub fn wait(&self) -> io::Result<()> {
        self.ended.recv_timeout(PATIENCE).expect("the server ends when it is told to")
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn client(&self) -> Raw {
        Raw::tcp(self.tcp).welcome(Ask::default())
    }

    pub fn unix_client(&self) -> Raw {
        Raw::unix(&self.unix).welcome(Ask::default())
    }

    /// A client of the classic protocol.
    pub fn old(&self) -> old::Old {
        old::Old::tcp(self.tcp, b"1112")
    }

    /// One that uses `workspace`.
    pub fn old_at(&self, workspace: &str) -> old::Old {
        let mut client = self.old();
        assert!(client.status(&["use ws", workspace, "", "no"]));
        client
    }

    /// A client with `workspace` open as 1 and the variable `x` in it bound as 1.
    pub fn client_at(&self, workspace: &str) -> Raw {
        let mut client = self.client();
        client.bind(workspace);
        client
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.shutdown();
        if !thread::panicking() {
            let _ = self.ended.recv_timeout(PATIENCE);
        }
    }
}

/// What a hello asks for.
pub struct Ask {
    pub version: u16,
    pub token: Token,
    pub silence_ms: u32,
    pub guardian: SessionId,
    pub label: Vec<u8>,
}

impl Default for Ask {
    fn default() -> Self {
        // Tests do not answer pings: a minute is longer than any of them.
        let guardian = SessionId(0);
        Self { version: PROTOCOL_VERSION, token: TOKEN, silence_ms: 60_000, guardian, label: b"test".to_vec() }
    }
}

enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(socket) => socket.read(buffer),
            Socket::Unix(socket) => socket.read(buffer),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(socket) => socket.write(buffer),
            Socket::Unix(socket) => socket.write(buffer),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A client that sends and receives frames, one by one.
pub struct Raw {
    socket: Socket,
    pub session: SessionId,
    pub welcome: Option<Welcome>,
    next: u32,
}

impl Raw {
    pub fn tcp(address: SocketAddr) -> Self {
        let socket = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        Self { socket: Socket::Tcp(socket), session: SessionId(0), welcome: None, next: 1 }
    }

    pub fn unix(path: &Path) -> Self {
        let socket = UnixStream::connect(path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { socket: Socket::Unix(socket), session: SessionId(0), welcome: None, next: 1 }
    }

    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).unwrap();
    }

    /// Sends where the server may have closed the connection already.
    pub fn try_send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes)
    }

    pub fn receive_frame(&mut self) -> io::Result<(FrameHeader, Bytes)> {
        let mut header = [0; FRAME_HEADER_BYTES];
        self.socket.read_exact(&mut header)?;
        let header = FrameHeader::decode(&header).unwrap();
        let mut payload = vec![0; header.payload_bytes as usize];
        self.socket.read_exact(&mut payload)?;
        Ok((header, payload.into()))
    }

    pub fn challenge(&mut self) -> Challenge {
        self.send_bytes(&GREETING);
        let (header, payload) = self.receive_frame().unwrap();
        assert_eq!(header.opcode, Opcode::Challenge.to_wire());
        Challenge::decode(payload).unwrap()
    }

    pub fn hello(&mut self, ask: &Ask) -> ProofBytes {
        let challenge = self.challenge();
        let nonce = [5; NONCE_BYTES];
        let proof = client_proof(&ask.token, &challenge.nonce, &nonce);
        let hello = Hello {
            version: ask.version,
            nonce,
            proof,
            silence_ms: ask.silence_ms,
            guardian: ask.guardian,
            label: ask.label.clone(),
            resume: vec![],
        };
        let mut payload = Vec::new();
        hello.encode(&mut payload);
        self.send_bytes(&frame(Opcode::Hello, RequestId(0), &payload));
        server_proof(&ask.token, &challenge.nonce, &nonce)
    }

    pub fn welcome(mut self, ask: Ask) -> Self {
        let proof = self.hello(&ask);
        let (header, payload) = self.receive_frame().unwrap();
        assert_eq!(header.opcode, Opcode::Welcome.to_wire(), "{payload:?}");
        let welcome = Welcome::decode(payload).unwrap();
        assert_eq!(welcome.proof, proof, "the server proves the token too");
        self.session = welcome.session;
        self.welcome = Some(welcome);
        self
    }

    /// Sends a request and says its id.
    pub fn send(&mut self, request: &Request<Bytes>) -> RequestId {
        let id = RequestId(self.next);
        self.next += 1;
        self.send_bytes(&request_frame(id, request));
        id
    }

    /// The next frame that is a reply or an event. Pings on the way are answered.
    pub fn answer(&mut self) -> io::Result<(FrameHeader, Bytes)> {
        loop {
            let (header, payload) = self.receive_frame()?;
            if header.opcode != Opcode::Ping.to_wire() {
                return Ok((header, payload));
            }
            self.send_bytes(&frame(Opcode::Pong, header.request, &[]));
        }
    }

    /// The next reply.
    pub fn reply(&mut self) -> (RequestId, Reply<Bytes>) {
        let (header, payload) = self.answer().expect("a reply comes");
        (header.request, Reply::decode(header.opcode, payload).unwrap())
    }

    pub fn event(&mut self) -> Event {
        let (header, payload) = self.receive_frame().expect("an event comes");
        assert_eq!(header.request, RequestId(0));
        Event::decode(header.opcode, payload).unwrap()
    }

    /// Asks and waits for the answer, which must be the next.
    pub fn ask(&mut self, request: &Request<Bytes>) -> Reply<Bytes> {
        let id = self.send(request);
        let (answered, reply) = self.reply();
        assert_eq!(answered, id);
        reply
    }

    /// Another handle of the same socket, to write while this one reads.
    pub fn second_handle(&self) -> TcpStream {
        match &self.socket {
            Socket::Tcp(socket) => socket.try_clone().unwrap(),
            Socket::Unix(_) => panic!("expected a client over TCP"),
        }
    }

    /// Whether something has arrived that was not read.
    pub fn has_something(&self) -> bool {
        let socket = self.second_handle();
        socket.set_nonblocking(true).unwrap();
        let peeked = socket.peek(&mut [0]);
        socket.set_nonblocking(false).unwrap();
        matches!(peeked, Ok(1))
    }

    /// Receives this many bytes, whatever they are.
    pub fn receive_some(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.socket.read_exact(&mut bytes).unwrap();
        bytes
    }

    pub fn set_write_patience(&mut self, patience: Duration) {
        match &self.socket {
            Socket::Tcp(socket) => socket.set_write_timeout(Some(patience)).unwrap(),
            Socket::Unix(socket) => socket.set_write_timeout(Some(patience)).unwrap(),
        }
    }

    pub fn done(&mut self, request: &Request<Bytes>) {
        assert_eq!(self.ask(request), Reply::Done, "{request:?}");
    }

    pub fn bind(&mut self, workspace: &str) {
        let name = workspace.as_bytes().to_vec();
        let reply = self.ask(&Request::Open { workspace: WorkspaceHandle(1), name, mode: OpenMode::Use, create: true });
        assert!(matches!(reply, Reply::Opened { .. }), "{reply:?}");
        self.bind_as(1, "x");
    }

    pub fn bind_as(&mut self, handle: u32, variable: &str) {
        let name = variable.as_bytes().to_vec();
        self.done(&Request::Bind { variable: VariableHandle(handle), workspace: WorkspaceHandle(1), name });
    }

    /// The fault of the goodbye that comes next, after which the connection ends.
    pub fn goodbye(mut self) -> Fault {
        let Event::Goodbye(fault) = self.event() else { panic!("expected a goodbye") };
        self.ended();
        fault
    }

    /// The connection ends without another frame.
    pub fn ended(mut self) {
        match self.receive_frame() {
            Err(error) if is_end(&error) => {}
            other => panic!("expected the end of the connection, got {other:?}"),
        }
    }
}

pub fn is_end(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}

pub fn frame(opcode: Opcode, request: RequestId, payload: &[u8]) -> Vec<u8> {
    let header = FrameHeader { payload_bytes: payload.len() as u32, request, opcode: opcode.to_wire() };
    [&header.encode()[..], payload].concat()
}

pub fn request_frame(id: RequestId, request: &Request<Bytes>) -> Vec<u8> {
    let mut payload = Vec::new();
    request.encode(&mut payload);
    frame(request.opcode(), id, &payload)
}

pub fn item(value: impl Into<Vec<u8>>) -> Item<Bytes> {
    Item { descriptor: Descriptor::bytes(Language::Rust), value: Bytes::from(value.into()) }
}

pub fn store(value: impl Into<Vec<u8>>) -> Request<Bytes> {
    Request::Store { variable: VariableHandle(1), items: vec![item(value)] }
}

pub fn find() -> Retrieve {
    Retrieve {
        variable: VariableHandle(1),
        take: false,
        lease: false,
        wait: Wait::Forever,
        cursor: Cursor::Mode,
        max_values: 1,
        max_bytes: u32::MAX,
    }
}

pub fn fetch() -> Request<Bytes> {
    Request::Retrieve(Retrieve { take: true, ..find() })
}

pub fn fetch_try() -> Request<Bytes> {
    Request::Retrieve(Retrieve { take: true, wait: Wait::No, ..find() })
}

pub fn fetch_lease(max_values: u32) -> Request<Bytes> {
    Request::Retrieve(Retrieve { take: true, lease: true, max_values, ..find() })
}

/// The values' bytes, and the first lease.
pub fn values(reply: Reply<Bytes>) -> (u64, Vec<Vec<u8>>) {
    let Reply::Values { first_lease, values, .. } = reply else { panic!("expected values, got {reply:?}") };
    (first_lease.0, values.into_iter().map(|grant| grant.item.value.to_vec()).collect())
}

pub fn value(reply: Reply<Bytes>) -> Vec<u8> {
    let (_, mut values) = values(reply);
    assert_eq!(values.len(), 1);
    values.remove(0)
}
