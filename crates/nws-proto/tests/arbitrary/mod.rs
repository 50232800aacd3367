//! Any frame of the protocol, and how to write and read it without knowing which one it is.

#![allow(dead_code, reason = "each test crate uses its part")]

use bytes::Bytes;
use nws_proto::{
    Adopted, Challenge, Cursor, Descriptor, ErrorCode, Event, Fault, FinishItem, Given, Grant, Hello, Index, Item,
    LeaseId, LongRequest, Mode, Opcode, OpenMode, OrphanedLease, ReadingId, Reply, Request, RequestId, Retrieve, Sent,
    SessionId, Sink, TransferId, VariableHandle, VariableId, VariableInfo, Wait, Welcome, WorkspaceHandle,
    WorkspaceInfo, decode_part, limits,
};
use proptest::collection::vec;
use proptest::prelude::*;

/// Whatever a payload can be.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Frame {
    Request(Request<Bytes>),
    /// One of which some values are not in the frame.
    LongRequest(Request<Sent>),
    Parts(LongRequest),
    Reply(Reply<Bytes>),
    LongReply(Reply<Given>),
    Part(Bytes),
    Event(Event),
    Hello(Hello),
    Challenge(Challenge),
    Welcome(Welcome),
}

impl Frame {
    pub(crate) fn opcode(&self) -> Opcode {
        match self {
            Frame::Request(request) => request.opcode(),
            Frame::LongRequest(request) => request.opcode(),
            Frame::Parts(request) => request.opcode(),
            Frame::Reply(reply) => reply.opcode(),
            Frame::LongReply(reply) => reply.opcode(),
            Frame::Part(_) => Opcode::Part,
            Frame::Event(event) => event.opcode(),
            Frame::Hello(_) => Opcode::Hello,
            Frame::Challenge(_) => Opcode::Challenge,
            Frame::Welcome(_) => Opcode::Welcome,
        }
    }

    pub(crate) fn payload(&self) -> Vec<u8> {
        let mut payload = Vec::new();
        match self {
            Frame::Request(request) => request.encode(&mut payload),
            Frame::LongRequest(request) => request.encode(&mut payload),
            Frame::Parts(request) => request.encode(&mut payload),
            Frame::Reply(reply) => reply.encode(&mut payload),
            Frame::LongReply(reply) => reply.encode(&mut payload),
            Frame::Part(bytes) => Sink::<Bytes>::put_sized_value(&mut payload, bytes),
            Frame::Event(event) => event.encode(&mut payload),
            Frame::Hello(hello) => hello.encode(&mut payload),
            Frame::Challenge(challenge) => challenge.encode(&mut payload),
            Frame::Welcome(welcome) => welcome.encode(&mut payload),
        }
        payload
    }

    /// Reads a payload as the end does that frames of this opcode are sent to.
    pub(crate) fn decode(opcode: u16, payload: &[u8]) -> Result<Frame, Fault> {
        let payload = Bytes::copy_from_slice(payload);
        Ok(match Opcode::from_wire(opcode) {
            Some(Opcode::Hello) => Frame::Hello(Hello::decode(payload)?),
            Some(Opcode::Challenge) => Frame::Challenge(Challenge::decode(payload)?),
            Some(Opcode::Welcome) => Frame::Welcome(Welcome::decode(payload)?),
            _ if LongRequest::has(opcode) => Frame::Parts(LongRequest::decode(opcode, payload)?),
            Some(Opcode::Part) => Frame::Part(decode_part(payload)?),
            _ if opcode < 0x80 => match Request::decode(opcode, payload.clone()) {
                Ok(request) => Frame::Request(request),
                Err(_) => Frame::LongRequest(Request::decode(opcode, payload)?),
            },
            _ if opcode < 0xC0 => match Reply::decode(opcode, payload.clone()) {
                Ok(reply) => Frame::Reply(reply),
                Err(_) => Frame::LongReply(Reply::decode(opcode, payload)?),
            },
            _ => Frame::Event(Event::decode(opcode, payload)?),
        })
    }
}

/// Any frame with this opcode. The match has no default: a new opcode needs its frames.
pub(crate) fn frame(opcode: Opcode) -> BoxedStrategy<Frame> {
    match opcode {
        Opcode::Hello => hello().prop_map(Frame::Hello).boxed(),
        Opcode::Challenge => challenge().prop_map(Frame::Challenge).boxed(),
        Opcode::Welcome => welcome().prop_map(Frame::Welcome).boxed(),
        Opcode::Recall => (any::<u32>(), any::<u32>())
            .prop_map(|(variable, wanted)| Frame::Event(Event::Recall { variable: VariableHandle(variable), wanted }))
            .boxed(),
        Opcode::Goodbye => fault().prop_map(|fault| Frame::Event(Event::Goodbye(fault))).boxed(),
        Opcode::Done
        | Opcode::Failed
        | Opcode::TimedOut
        | Opcode::Canceled
        | Opcode::Opened
        | Opcode::Workspaces
        | Opcode::Variables
        | Opcode::Finished
        | Opcode::Adopted
        | Opcode::Pong => reply(opcode).prop_map(Frame::Reply).boxed(),
        Opcode::Values => prop_oneof![
            reply(opcode).prop_map(Frame::Reply),
            (any::<u64>(), any::<u64>(), any::<u32>()).prop_map(|(variable, len_bytes, reading)| {
                let value = Given::Reading { reading: ReadingId(reading), len_bytes };
                let item = Item { descriptor: Descriptor(reading), value };
                let values = vec![Grant { index: Index(len_bytes), deaths: 0, item }];
                let (variable, first_lease) = (VariableId(variable), LeaseId(variable / 2));
                Frame::LongReply(Reply::Values { variable, first_lease, values })
            }),
        ]
        .boxed(),
        Opcode::Store => prop_oneof![
            request(opcode).prop_map(Frame::Request),
            (any::<u32>(), any::<u32>()).prop_map(|(variable, transfer)| {
                let value = Sent::Transfer(TransferId(transfer));
                let items = vec![Item { descriptor: Descriptor(variable), value }];
                Frame::LongRequest(Request::Store { variable: VariableHandle(variable), items })
            }),
        ]
        .boxed(),
        Opcode::BeginTransfer
        | Opcode::TransferPart
        | Opcode::DropTransfer
        | Opcode::ReadPart
        | Opcode::CloseReading => long_request(opcode).prop_map(Frame::Parts).boxed(),
        Opcode::Part => vec(any::<u8>(), 0..64).prop_map(|bytes| Frame::Part(bytes.into())).boxed(),
        Opcode::Ping
        | Opcode::Cancel
        | Opcode::Open
        | Opcode::MakeTemporary
        | Opcode::DeleteWorkspace
        | Opcode::ListWorkspaces
        | Opcode::CloseWorkspace
        | Opcode::Bind
        | Opcode::Unbind
        | Opcode::Declare
        | Opcode::DeleteVariable
        | Opcode::ListVariables
        | Opcode::Retrieve
        | Opcode::Finish
        | Opcode::Release
        | Opcode::Adopt => request(opcode).prop_map(Frame::Request).boxed(),
    }
}

fn request(opcode: Opcode) -> BoxedStrategy<Request<Bytes>> {
    let workspace = || any::<u32>().prop_map(WorkspaceHandle);
    let variable = || any::<u32>().prop_map(VariableHandle);
    match opcode {
        Opcode::Ping => Just(Request::Ping).boxed(),
        Opcode::Cancel => any::<u32>().prop_map(|id| Request::Cancel { target: RequestId(id) }).boxed(),
        Opcode::Open => (workspace(), name(), open_mode(), any::<bool>())
            .prop_map(|(workspace, name, mode, create)| Request::Open { workspace, name, mode, create })
            .boxed(),
        Opcode::MakeTemporary => (workspace(), name())
            .prop_map(|(workspace, template)| Request::MakeTemporary { workspace, template })
            .boxed(),
        Opcode::CloseWorkspace => workspace().prop_map(|workspace| Request::CloseWorkspace { workspace }).boxed(),
        Opcode::DeleteWorkspace => name().prop_map(|name| Request::DeleteWorkspace { name }).boxed(),
        Opcode::ListWorkspaces => {
            prop_oneof![Just(None), name().prop_map(Some)].prop_map(|name| Request::ListWorkspaces { name }).boxed()
        }
        Opcode::Bind => (variable(), workspace(), name())
            .prop_map(|(variable, workspace, name)| Request::Bind { variable, workspace, name })
            .boxed(),
        Opcode::Unbind => variable().prop_map(|variable| Request::Unbind { variable }).boxed(),
        Opcode::Declare => {
            (variable(), mode()).prop_map(|(variable, mode)| Request::Declare { variable, mode }).boxed()
        }
        Opcode::DeleteVariable => variable().prop_map(|variable| Request::DeleteVariable { variable }).boxed(),
        Opcode::ListVariables => workspace().prop_map(|workspace| Request::ListVariables { workspace }).boxed(),
        Opcode::Store => {
            (variable(), vec(item(), 1..5)).prop_map(|(variable, items)| Request::Store { variable, items }).boxed()
        }
        Opcode::Retrieve => retrieve().prop_map(Request::Retrieve).boxed(),
        Opcode::Finish => {
            let done = (any::<u64>(), item()).prop_map(|(id, result)| FinishItem { lease: LeaseId(id), result });
            (variable(), vec(done, 1..5)).prop_map(|(variable, items)| Request::Finish { variable, items }).boxed()
        }
        Opcode::Release => (vec(any::<u64>().prop_map(LeaseId), 0..5), any::<bool>(), any::<bool>())
            .prop_map(|(leases, died, recalled)| match (died, recalled, leases.len()) {
                (false, false, 2..) => Request::ReleaseDone { leases },
                _ => Request::Release { leases, died, recalled },
            })
            .boxed(),
        Opcode::Adopt => wait().prop_map(|wait| Request::Adopt { wait }).boxed(),
        other => panic!("{other:?} is no request"),
    }
}

fn long_request(opcode: Opcode) -> BoxedStrategy<LongRequest> {
    let transfer = || any::<u32>().prop_map(TransferId);
    let reading = || any::<u32>().prop_map(ReadingId);
    match opcode {
        Opcode::BeginTransfer => transfer().prop_map(|transfer| LongRequest::BeginTransfer { transfer }).boxed(),
        Opcode::TransferPart => (transfer(), vec(any::<u8>(), 0..64))
            .prop_map(|(transfer, bytes)| LongRequest::TransferPart { transfer, bytes: bytes.into() })
            .boxed(),
        Opcode::DropTransfer => transfer().prop_map(|transfer| LongRequest::DropTransfer { transfer }).boxed(),
        Opcode::ReadPart => (reading(), any::<u64>(), 1..=limits::PART_BYTES)
            .prop_map(|(reading, offset, max_bytes)| LongRequest::ReadPart { reading, offset, max_bytes })
            .boxed(),
        Opcode::CloseReading => (reading(), any::<bool>())
            .prop_map(|(reading, give_back)| LongRequest::CloseReading { reading, give_back })
            .boxed(),
        other => panic!("{other:?} is not about parts"),
    }
}

fn reply(opcode: Opcode) -> BoxedStrategy<Reply<Bytes>> {
    match opcode {
        Opcode::Done => Just(Reply::Done).boxed(),
        Opcode::Failed => fault().prop_map(Reply::Failed).boxed(),
        Opcode::TimedOut => Just(Reply::TimedOut).boxed(),
        Opcode::Canceled => Just(Reply::Canceled).boxed(),
        Opcode::Opened => (name(), any::<bool>()).prop_map(|(name, owned)| Reply::Opened { name, owned }).boxed(),
        Opcode::Workspaces => vec(workspace_info(), 0..4).prop_map(Reply::Workspaces).boxed(),
        Opcode::Variables => vec(variable_info(), 0..4).prop_map(Reply::Variables).boxed(),
        // A first lease so high that the others' would run over is malformed.
        Opcode::Values => (any::<u64>(), 0..u64::MAX - 5, vec(grant(), 0..5))
            .prop_map(|(variable, lease, values)| Reply::Values {
                variable: VariableId(variable),
                first_lease: LeaseId(lease),
                values,
            })
            .boxed(),
        Opcode::Finished => vec((any::<u32>(), code()), 0..5).prop_map(|refused| Reply::Finished { refused }).boxed(),
        Opcode::Adopted => (any::<u64>(), vec(orphan(), 0..5))
            .prop_map(|(session, leases)| Reply::Adopted(Adopted { session: SessionId(session), leases }))
            .boxed(),
        Opcode::Pong => Just(Reply::Pong).boxed(),
        other => panic!("{other:?} is no reply"),
    }
}

fn hello() -> impl Strategy<Value = Hello> {
    let label = prop_oneof![vec(any::<u8>(), 0..20), vec(any::<u8>(), usize::from(limits::LABEL_BYTES))];
    let proofs = (any::<[u8; 32]>(), any::<[u8; 32]>());
    (any::<u16>(), proofs, any::<u32>(), any::<u64>(), label, vec(any::<u8>(), 0..20)).prop_map(
        |(version, (nonce, proof), silence_ms, guardian, label, resume)| Hello {
            version,
            nonce,
            proof,
            silence_ms,
            guardian: SessionId(guardian),
            label,
            resume,
        },
    )
}

fn challenge() -> impl Strategy<Value = Challenge> {
    (any::<u16>(), any::<u16>(), any::<[u8; 16]>(), any::<[u8; 32]>()).prop_map(
        |(oldest_version, newest_version, server, nonce)| Challenge { oldest_version, newest_version, server, nonce },
    )
}

fn welcome() -> impl Strategy<Value = Welcome> {
    (any::<u64>(), any::<[u8; 32]>(), any::<u32>(), any::<u32>()).prop_map(
        |(session, proof, frame_payload_bytes, silence_ms)| Welcome {
            session: SessionId(session),
            proof,
            frame_payload_bytes,
            silence_ms,
        },
    )
}

fn retrieve() -> impl Strategy<Value = Retrieve> {
    let kind = prop_oneof![Just((false, false)), Just((true, false)), Just((true, true))];
    let cursor = prop_oneof![
        Just(Cursor::Mode),
        Just(Cursor::Oldest),
        (any::<u64>(), any::<u64>())
            .prop_map(|(variable, index)| Cursor::After { variable: VariableId(variable), index: Index(index) }),
    ];
    (any::<u32>(), kind, wait(), cursor, 1..=limits::BATCH_VALUES, 0..=limits::BATCH_BYTES).prop_map(
        |(variable, (take, lease), wait, cursor, max_values, max_bytes)| Retrieve {
            variable: VariableHandle(variable),
            take,
            lease,
            wait,
            cursor,
            max_values,
            max_bytes,
        },
    )
}

fn wait() -> impl Strategy<Value = Wait> {
    prop_oneof![
        Just(Wait::No),
        Just(Wait::Forever),
        (1..=limits::WAIT_MS).prop_map(Wait::Ms),
        Just(Wait::Ms(1)),
        Just(Wait::Ms(limits::WAIT_MS)),
    ]
}

fn open_mode() -> impl Strategy<Value = OpenMode> {
    prop_oneof![Just(OpenMode::Use), any::<bool>().prop_map(|persistent| OpenMode::Own { persistent })]
}

fn mode() -> impl Strategy<Value = Mode> {
    proptest::sample::select(&Mode::ALL[..])
}

fn code() -> impl Strategy<Value = ErrorCode> {
    proptest::sample::select(ErrorCode::ALL)
}

fn fault() -> impl Strategy<Value = Fault> {
    (code(), ".{0,40}").prop_map(|(code, message)| Fault { code, message })
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => vec(any::<u8>(), 0..40),
        1 => vec(any::<u8>(), usize::from(limits::NAME_BYTES)),
    ]
}

fn item() -> impl Strategy<Value = Item<Bytes>> {
    (any::<u32>(), vec(any::<u8>(), 0..64))
        .prop_map(|(descriptor, value)| Item { descriptor: Descriptor(descriptor), value: value.into() })
}

fn grant() -> impl Strategy<Value = Grant<Bytes>> {
    (any::<u64>(), any::<u16>(), item()).prop_map(|(index, deaths, item)| Grant { index: Index(index), deaths, item })
}

fn orphan() -> impl Strategy<Value = OrphanedLease> {
    (any::<u64>(), any::<u64>(), any::<u16>()).prop_map(|(lease, index, deaths)| OrphanedLease {
        lease: LeaseId(lease),
        index: Index(index),
        deaths,
    })
}

fn workspace_info() -> impl Strategy<Value = WorkspaceInfo> {
    (name(), name(), any::<bool>(), any::<bool>(), vec(name(), 0..4)).prop_map(
        |(name, owner, mine, persistent, variables)| WorkspaceInfo { name, owner, mine, persistent, variables },
    )
}

fn variable_info() -> impl Strategy<Value = VariableInfo> {
    let mode = prop_oneof![Just(None), mode().prop_map(Some)];
    (name(), any::<u64>(), any::<u64>(), any::<u32>(), any::<u32>(), mode).prop_map(
        |(name, values, leased, fetchers, finders, mode)| VariableInfo {
            name,
            values,
            leased,
            fetchers,
            finders,
            mode,
        },
    )
}
