//! The bytes that `docs/protocol.md` shows are the bytes that the code writes.
//!
//! With `NWS_UPDATE_DOCS=1` in the environment the page is rewritten instead; look at the
//! difference before you commit it: other bytes are another protocol.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod arbitrary;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Mutex;

use arbitrary::Frame;
use bytes::Bytes;
use nws_proto::{
    Adopted, Challenge, Cursor, Descriptor, ErrorCode, Event, FRAME_HEADER_BYTES, Fault, FinishItem, FrameHeader,
    GREETING, Given, Grant, Hello, Index, Item, Language, LeaseId, LongRequest, Mode, Opcode, OpenMode, OrphanedLease,
    ReadingId, Reply, Request, RequestId, Retrieve, Sent, SessionId, Token, TransferId, VariableHandle, VariableId,
    VariableInfo, Wait, Welcome, WorkspaceHandle, WorkspaceInfo, client_proof, limits, server_proof,
};

const SERVER_NONCE: [u8; 32] = [0xaa; 32];
const CLIENT_NONCE: [u8; 32] = [0xbb; 32];
const WORKSPACE: WorkspaceHandle = WorkspaceHandle(1);
const TASKS: VariableHandle = VariableHandle(1);
const RESULTS: VariableHandle = VariableHandle(2);

/// Two tests may rewrite the page at the same time.
static PAGE: Mutex<()> = Mutex::new(());

#[test]
fn the_documented_session_is_what_the_code_writes() {
    let session = session();
    check_block("transcript", &format!("```\n{}```\n", hexdump(&session)));
}

/// What the dump shows can be read again, as the end reads it that it is sent to.
#[test]
fn the_documented_session_can_be_read_frame_by_frame() {
    let mut opcodes = Vec::new();
    for (sender, _, bytes) in session().into_iter().skip(1) {
        let (header, payload) = bytes.split_at(FRAME_HEADER_BYTES);
        let header = FrameHeader::decode(header.try_into().unwrap()).unwrap();
        assert_eq!(header.payload_bytes as usize, payload.len());
        let frame = Frame::decode(header.opcode, payload).unwrap();
        let from_server = header.opcode >= 0x80;
        let both_ways = matches!(frame.opcode(), Opcode::Ping | Opcode::Pong);
        assert!(both_ways || from_server == (sender == "server"), "{sender} sent {frame:?}");
        opcodes.push((header.request.0, frame.opcode()));
    }
    for request in 1..=10 {
        let frames = opcodes.iter().filter(|(id, _)| *id == request).count();
        assert_eq!(frames, 2, "request {request} has one reply");
    }
    let place = |looked_for| opcodes.iter().rposition(|found| *found == looked_for).unwrap();
    assert!(place((3, Opcode::Values)) < place((4, Opcode::Done)), "a delivery comes before the storer's reply");
}

#[test]
fn the_document_shows_every_frame_as_the_code_writes_it() {
    let examples = examples();
    let shown: BTreeSet<u16> = examples.iter().map(|(frame, _)| frame.opcode().to_wire()).collect();
    let all: BTreeSet<u16> = Opcode::ALL.iter().map(|opcode| opcode.to_wire()).collect();
    assert_eq!(shown, all);
    let mut table = String::from("| frame | says | payload |\n|---|---|---|\n");
    for (frame, says) in examples {
        let payload = frame.payload();
        assert_eq!(Frame::decode(frame.opcode().to_wire(), &payload).as_ref(), Ok(&frame));
        let bytes = if payload.is_empty() { "—".to_owned() } else { format!("`{}`", hex(&payload)) };
        writeln!(table, "| `{:?}` | {says} | {bytes} |", frame.opcode()).unwrap();
    }
    check_block("frames", &table);
}

/// Compares what stands between the two marks with `expected`, or puts it there.
fn check_block(mark: &str, expected: &str) {
    let _one_at_a_time = PAGE.lock();
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/protocol.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (begin, end) = (format!("<!-- {mark}: begin -->\n"), format!("<!-- {mark}: end -->\n"));
    let (before, rest) = page.split_once(&begin).unwrap();
    let (block, after) = rest.split_once(&end).unwrap();
    if std::env::var_os("NWS_UPDATE_DOCS").is_some() {
        std::fs::write(&path, [before, &begin, expected, &end, after].concat()).unwrap();
    } else {
        assert_eq!(block, expected, "docs/protocol.md shows other bytes; NWS_UPDATE_DOCS=1 rewrites it");
    }
}

fn hexdump(session: &[Said]) -> String {
    let mut dump = String::new();
    for (sender, says, bytes) in session {
        writeln!(dump, "{sender}: {says}").unwrap();
        for (line, chunk) in bytes.chunks(16).enumerate() {
            let text: String =
                chunk.iter().map(|b| if (0x20..0x7f).contains(b) { char::from(*b) } else { '.' }).collect();
            writeln!(dump, "  {:04x}  {:<47}  |{text}|", line * 16, hex(chunk)).unwrap();
        }
    }
    dump
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

fn framed(id: u32, frame: &Frame) -> Vec<u8> {
    let payload = frame.payload();
    let header =
        FrameHeader { payload_bytes: payload.len() as u32, request: RequestId(id), opcode: frame.opcode().to_wire() };
    [&header.encode()[..], &payload].concat()
}

type Said = (&'static str, &'static str, Vec<u8>);

fn client(id: u32, says: &'static str, request: Request<Bytes>) -> Said {
    ("client", says, framed(id, &Frame::Request(request)))
}

fn server(id: u32, says: &'static str, reply: Reply<Bytes>) -> Said {
    ("server", says, framed(id, &Frame::Reply(reply)))
}

/// Who says what in which bytes, from the greeting to the end.
fn session() -> Vec<Said> {
    let hello_says = "Hello: version 1, nonce, proof, the default silence, no guardian, label 4711";
    let welcome_says = "Welcome: session 1, proof, payloads up to 1 GiB, 4000 ms of silence";
    let delete = Request::DeleteWorkspace { name: b"__default".to_vec() };
    vec![
        ("client", "greeting", GREETING.to_vec()),
        ("server", "Challenge: versions 1 to 1, server id, nonce", framed(0, &Frame::Challenge(challenge()))),
        ("client", hello_says, framed(0, &Frame::Hello(hello()))),
        ("server", welcome_says, framed(0, &Frame::Welcome(welcome()))),
        client(1, "request 1, Open: handle 1 is the workspace demo; own it, make it", open()),
        client(2, "request 2, Bind: handle 1 is its variable tasks", bind(TASKS, "tasks")),
        server(1, "reply to 1, Opened: demo, owned", opened()),
        server(2, "reply to 2, Done", Reply::Done),
        client(3, "request 3, Retrieve: fetch one value, wait without end", fetch(false, Wait::Forever)),
        client(4, "request 4, Store: the text hello", store(text("hello"))),
        server(3, "reply to 3, Values: variable id 7, index 0, hello", values(0, 0, text("hello"))),
        server(4, "reply to 4, Done", Reply::Done),
        client(5, "request 5, Store: the native integer 42", store(native(42))),
        client(6, "request 6, Retrieve: fetch one value by lease, do not wait", fetch(true, Wait::No)),
        server(5, "reply to 5, Done", Reply::Done),
        server(6, "reply to 6, Values: variable id 7, lease 1, index 1, 42", values(1, 1, native(42))),
        client(7, "request 7, Bind: handle 2 is the variable results", bind(RESULTS, "results")),
        client(8, "request 8, Finish: lease 1 is done, its result is the native integer 43", finish()),
        client(9, "request 9, Retrieve: fetch one value, wait for 50 ms", fetch(false, Wait::Ms(50))),
        server(7, "reply to 7, Done", Reply::Done),
        server(8, "reply to 8, Finished: nothing was refused", Reply::Finished { refused: Vec::new() }),
        server(9, "reply to 9, TimedOut", Reply::TimedOut),
        ("server", "Ping: the client said nothing for a second", framed(0, &Frame::Request(Request::Ping))),
        ("client", "Pong", framed(0, &Frame::Reply(Reply::Pong))),
        client(10, "request 10, DeleteWorkspace: __default", delete),
        server(10, "reply to 10, Failed: protected-workspace", refusal()),
    ]
}

fn token() -> Token {
    Token(core::array::from_fn(|at| at as u8))
}

fn challenge() -> Challenge {
    Challenge { oldest_version: 1, newest_version: 1, server: *b"0123456789abcdef", nonce: SERVER_NONCE }
}

fn hello() -> Hello {
    Hello {
        version: 1,
        nonce: CLIENT_NONCE,
        proof: client_proof(&token(), &SERVER_NONCE, &CLIENT_NONCE),
        silence_ms: u32::MAX,
        guardian: SessionId(0),
        label: b"4711".to_vec(),
        resume: Vec::new(),
    }
}

fn welcome() -> Welcome {
    Welcome {
        session: SessionId(1),
        proof: server_proof(&token(), &SERVER_NONCE, &CLIENT_NONCE),
        frame_payload_bytes: limits::FRAME_PAYLOAD_BYTES,
        silence_ms: limits::SILENCE_DEFAULT_MS,
    }
}

fn text(text: &'static str) -> Item<Bytes> {
    Item { descriptor: Descriptor::text(Language::Python), value: Bytes::from_static(text.as_bytes()) }
}

fn native(number: i64) -> Item<Bytes> {
    let value = [&[3][..], &number.to_le_bytes()].concat();
    Item { descriptor: Descriptor::native(Language::Python), value: value.into() }
}

fn open() -> Request<Bytes> {
    let mode = OpenMode::Own { persistent: false };
    Request::Open { workspace: WORKSPACE, name: b"demo".to_vec(), mode, create: true }
}

fn opened() -> Reply<Bytes> {
    Reply::Opened { name: b"demo".to_vec(), owned: true }
}

fn bind(variable: VariableHandle, name: &str) -> Request<Bytes> {
    Request::Bind { variable, workspace: WORKSPACE, name: name.into() }
}

fn store(item: Item<Bytes>) -> Request<Bytes> {
    Request::Store { variable: TASKS, items: vec![item] }
}

fn fetch(lease: bool, wait: Wait) -> Request<Bytes> {
    let cursor = Cursor::Mode;
    Request::Retrieve(Retrieve { variable: TASKS, take: true, lease, wait, cursor, max_values: 1, max_bytes: 65536 })
}

fn finish() -> Request<Bytes> {
    let done = FinishItem { lease: LeaseId(1), result: native(43) };
    Request::Finish { variable: RESULTS, items: vec![done] }
}

fn values(lease: u64, index: u64, item: Item<Bytes>) -> Reply<Bytes> {
    let grant = Grant { index: Index(index), deaths: 0, item };
    Reply::Values { variable: VariableId(7), first_lease: LeaseId(lease), values: vec![grant] }
}

fn refusal() -> Reply<Bytes> {
    Reply::Failed(Fault::new(ErrorCode::ProtectedWorkspace, "the workspace '__default' cannot be deleted"))
}

/// One of each frame, and what it says.
fn examples() -> Vec<(Frame, &'static str)> {
    let mut examples = vec![
        (Frame::Hello(hello()), "as in the session above"),
        (Frame::Challenge(challenge()), "as in the session above"),
        (Frame::Welcome(welcome()), "as in the session above"),
    ];
    examples.extend(requests().into_iter().map(|(request, says)| (Frame::Request(request), says)));
    examples.extend(long_values());
    examples.extend(replies().into_iter().map(|(reply, says)| (Frame::Reply(reply), says)));
    let recall = Event::Recall { variable: TASKS, wanted: 3 };
    examples.push((Frame::Event(recall), "3 values of variable 1 would help"));
    let goodbye = Fault::new(ErrorCode::ShuttingDown, "bye");
    examples.push((Frame::Event(Event::Goodbye(goodbye)), "shutting-down, the message bye"));
    examples
}

fn requests() -> Vec<(Request<Bytes>, &'static str)> {
    let iterate = Retrieve {
        variable: TASKS,
        take: false,
        lease: false,
        wait: Wait::Forever,
        cursor: Cursor::After { variable: VariableId(7), index: Index(41) },
        max_values: 100,
        max_bytes: 65536,
    };
    let from_the_start = Retrieve { cursor: Cursor::Oldest, wait: Wait::No, ..iterate };
    let name = || b"demo".to_vec();
    let persistent = OpenMode::Own { persistent: true };
    let keep = Request::Open { workspace: WORKSPACE, name: name(), mode: persistent, create: false };
    let look = Request::Open { workspace: WORKSPACE, name: name(), mode: OpenMode::Use, create: false };
    let died = Request::Release { leases: vec![LeaseId(5), LeaseId(6)], died: true, recalled: false };
    let recalled = Request::Release { leases: Vec::new(), died: false, recalled: true };
    let done = Request::ReleaseDone { leases: vec![LeaseId(5)] };
    vec![
        (Request::Ping, "is anybody there"),
        (Request::Cancel { target: RequestId(9) }, "end the wait of request 9"),
        (open(), "handle 1, demo, own it, make it"),
        (keep, "handle 1, demo, own it and make it persistent, not where there is none"),
        (look, "handle 1, demo, use it, not where there is none"),
        (
            Request::MakeTemporary { workspace: WORKSPACE, template: b"__ws__%d".to_vec() },
            "handle 1, the template `__ws__%d`",
        ),
        (Request::DeleteWorkspace { name: name() }, "demo"),
        (Request::ListWorkspaces { name: None }, "all of them"),
        (Request::ListWorkspaces { name: Some(name()) }, "demo alone"),
        (Request::CloseWorkspace { workspace: WORKSPACE }, "handle 1"),
        (bind(TASKS, "tasks"), "handle 1 is tasks in workspace 1"),
        (Request::Unbind { variable: TASKS }, "handle 1"),
        (Request::Declare { variable: TASKS, mode: Mode::Single }, "handle 1 is single"),
        (Request::DeleteVariable { variable: TASKS }, "handle 1"),
        (Request::ListVariables { workspace: WORKSPACE }, "those of workspace 1"),
        (
            Request::Store { variable: TASKS, items: vec![text("a"), native(-2)] },
            "the text a and the native integer -2",
        ),
        (fetch(true, Wait::Ms(500)), "fetch one value by lease, wait 500 ms"),
        (Request::Retrieve(from_the_start), "find up to 100 values from the oldest on, do not wait"),
        (Request::Retrieve(iterate), "find up to 100 values behind index 41 of variable id 7, wait without end"),
        (finish(), "lease 1 is done, its result is the native integer 43"),
        (died, "leases 5 and 6, a death on each"),
        (recalled, "none, in answer to a recall"),
        (done, "lease 5 is done, without a result"),
        (Request::Adopt { wait: Wait::Forever }, "wait without end"),
    ]
}

/// Frames of values that travel in parts.
fn long_values() -> Vec<(Frame, &'static str)> {
    let (transfer, reading) = (TransferId(1), ReadingId(3));
    let bytes = Bytes::from_static(b"abc");
    let descriptor = Descriptor::bytes(Language::Python);
    let sent = Item { descriptor, value: Sent::Transfer(transfer) };
    let given = Item { descriptor, value: Given::Reading { reading, len_bytes: 5 << 30 } };
    let grant = Grant { index: Index(41), deaths: 0, item: given };
    let values = Reply::Values { variable: VariableId(7), first_lease: LeaseId(0), values: vec![grant] };
    vec![
        (Frame::Parts(LongRequest::BeginTransfer { transfer }), "transfer 1 begins"),
        (Frame::Parts(LongRequest::TransferPart { transfer, bytes: bytes.clone() }), "transfer 1 goes on with abc"),
        (Frame::Parts(LongRequest::DropTransfer { transfer }), "transfer 1 is given up"),
        (
            Frame::LongRequest(Request::Store { variable: TASKS, items: vec![sent] }),
            "raw bytes, those that came by transfer 1",
        ),
        (Frame::LongReply(values), "variable id 7, index 41, raw bytes: 5 GiB of them, by reading 3"),
        (
            Frame::Parts(LongRequest::ReadPart { reading, offset: 1 << 32, max_bytes: limits::PART_BYTES }),
            "up to 1 MiB of reading 3, from 4 GiB on",
        ),
        (Frame::Part(bytes), "abc"),
        (Frame::Parts(LongRequest::CloseReading { reading, give_back: false }), "reading 3 is done"),
        (
            Frame::Parts(LongRequest::CloseReading { reading, give_back: true }),
            "reading 3 is given up, its value goes back",
        ),
    ]
}

fn replies() -> Vec<(Reply<Bytes>, &'static str)> {
    let workspace = WorkspaceInfo {
        name: b"demo".to_vec(),
        owner: b"127.0.0.1:40000 (4711)".to_vec(),
        mine: true,
        persistent: false,
        variables: vec![b"results".to_vec(), b"tasks".to_vec()],
    };
    let kept = WorkspaceInfo {
        name: b"kept".to_vec(),
        owner: Vec::new(),
        mine: false,
        persistent: true,
        variables: Vec::new(),
    };
    let variable =
        VariableInfo { name: b"tasks".to_vec(), values: 3, leased: 2, fetchers: 0, finders: 1, mode: Some(Mode::Fifo) };
    let orphan = OrphanedLease { lease: LeaseId(5), index: Index(41), deaths: 1 };
    let none = Reply::Values { variable: VariableId(7), first_lease: LeaseId(0), values: Vec::new() };
    vec![
        (Reply::Done, "done"),
        (Reply::Failed(Fault::new(ErrorCode::NoSuchWorkspace, "no")), "no-such-workspace, the message no"),
        (Reply::TimedOut, "nothing came"),
        (Reply::Canceled, "the wait was ended"),
        (opened(), "demo, owned"),
        (
            Reply::Workspaces(vec![workspace, kept]),
            "demo, owned by this session, with the variables results and tasks; kept, persistent and empty",
        ),
        (Reply::Variables(vec![variable]), "tasks: 3 values, 2 leased, no fetcher, 1 finder, fifo"),
        (values(1, 1, native(42)), "variable id 7, lease 1, index 1, no deaths, the native integer 42"),
        (none, "variable id 7, no values"),
        (Reply::Finished { refused: vec![(2, ErrorCode::LeaseEnded)] }, "the third result was refused: lease-ended"),
        (
            Reply::Adopted(Adopted { session: SessionId(3), leases: vec![orphan] }),
            "session 3 ended; its lease 5 of index 41, with one death",
        ),
        (Reply::Pong, "somebody is there"),
    ]
}
