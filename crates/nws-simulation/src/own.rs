//! A client of the project's own protocol, with many requests in flight: what it asks.

mod last;
mod observed;

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use nws_proto::{
    Challenge, Cursor, ErrorCode, FinishItem, FrameHeader, GREETING, Hello, Index, Item, LeaseId, LongRequest, Mode,
    NONCE_BYTES, Opcode, OpenMode, PROTOCOL_VERSION, ReadingId, Request, RequestId, Retrieve, Sent, SessionId, Token,
    TransferId, VariableHandle, VariableId, Wait, WorkspaceHandle, client_proof, limits,
};
use nws_testkit::Dice;

use crate::client::Out;
use crate::ledger::{KEPT, Ledger, RESULTS, Seen, VARIABLES, VOLATILE, ValueId};

pub(crate) const TOKEN: Token = Token([9; 32]);
const IN_FLIGHT: usize = 8;
const PART_BYTES: usize = limits::PART_BYTES as usize;
const KEPT_SPACE: WorkspaceHandle = WorkspaceHandle(1);
const VOLATILE_SPACE: WorkspaceHandle = WorkspaceHandle(2);
/// The handles of [`VARIABLES`] are their places and one; this is the one in `volatile`.
const VOLATILE_VARIABLE: u32 = VARIABLES.len() as u32 + 1;

/// What was asked, as far as the answer matters.
#[derive(Clone, Debug)]
enum Asked {
    Store(Vec<ValueId>),
    Retrieve(Seen),
    Finish(Vec<(LeaseId, ValueId)>),
    Part(ReadingId),
    /// Of a value that is taken or given back.
    Close(ReadingId),
    Other,
}

/// A long value that is being read, part by part.
#[derive(Clone, Debug)]
struct Reading {
    how: Seen,
    place: (VariableId, Index),
    lease: LeaseId,
    len_bytes: usize,
    got: Vec<u8>,
    /// Once all of it was read.
    id: Option<ValueId>,
    given_back: bool,
}

#[derive(Clone, Debug)]
struct Pending {
    asked: Asked,
    waits: bool,
}

/// What the client does when it has read this.
#[derive(Clone, Debug)]
enum Reaction {
    Prove(Challenge),
    Begin,
    Pong(RequestId),
    Hold(Vec<LeaseId>),
    /// Goes on with a long value.
    Read(ReadingId),
    /// This value cannot be read; it may be leased.
    GiveUp(ReadingId, Option<LeaseId>),
    Recalled,
}

#[derive(Debug)]
pub(crate) struct Own {
    silence_ms: u32,
    guardian: SessionId,
    pub(crate) session: Option<SessionId>,
    nonce: Option<Challenge>,
    ready: bool,
    next: u32,
    pending: BTreeMap<u32, Pending>,
    held: Vec<LeaseId>,
    readings: BTreeMap<ReadingId, Reading>,
    next_transfer: u32,
    /// The last time that it asked for values there were none.
    pub(crate) found_nothing: bool,
    reactions: VecDeque<(usize, Reaction)>,
    cursor: Option<(VariableId, Index)>,
    goodbye: Option<ErrorCode>,
    /// How values count that it takes.
    takes: Seen,
}

pub(crate) fn frame(opcode: Opcode, request: RequestId, payload: &[u8]) -> Vec<u8> {
    let header = FrameHeader { payload_bytes: payload.len() as u32, request, opcode: opcode.to_wire() };
    [&header.encode()[..], payload].concat()
}

/// A hello that proves the token.
pub(crate) fn hello(challenge: &Challenge, silence_ms: u32, guardian: SessionId) -> Vec<u8> {
    let nonce = [5; NONCE_BYTES];
    let proof = client_proof(&TOKEN, &challenge.nonce, &nonce);
    let label = b"simulated".to_vec();
    let hello = Hello { version: PROTOCOL_VERSION, nonce, proof, silence_ms, guardian, label, resume: vec![] };
    let mut payload = Vec::new();
    hello.encode(&mut payload);
    frame(Opcode::Hello, RequestId(0), &payload)
}

impl Own {
    pub(crate) fn new(silence_ms: u32, guardian: SessionId) -> Self {
        Self {
            silence_ms,
            guardian,
            session: None,
            nonce: None,
            ready: false,
            next: 1,
            pending: BTreeMap::new(),
            held: Vec::new(),
            readings: BTreeMap::new(),
            next_transfer: 1,
            found_nothing: false,
            reactions: VecDeque::new(),
            cursor: None,
            goodbye: None,
            takes: Seen::Taken,
        }
    }

    pub(crate) fn begin(&mut self, out: &mut Out) {
        out.say(&GREETING);
    }

    /// No answer takes it away: a session without limits to its silence has to be told that it is gone.
    pub(crate) fn is_silent_for_ever(&self) -> bool {
        self.silence_ms == 0
    }

    pub(crate) fn unanswered(&self) -> usize {
        self.pending.len() + self.readings.len() + usize::from(!self.ready)
    }

    /// It is to get values for good.
    pub(crate) fn takes(&self) -> bool {
        self.pending.values().any(|pending| matches!(pending.asked, Asked::Retrieve(Seen::Taken)))
    }

    /// It has said that a long value has arrived, and waits for the answer.
    pub(crate) fn closes(&self) -> bool {
        self.pending.values().any(|pending| matches!(pending.asked, Asked::Close(_)))
    }

    /// Something that no server takes for a request.
    pub(crate) fn garbage(&self, dice: &mut Dice) -> &'static [u8] {
        const LONG: [u8; 12] = [0xff, 0xff, 0xff, 0xff, 77, 0, 0, 0, 0x30, 0, 0, 0];
        const UNKNOWN: [u8; 12] = [0, 0, 0, 0, 77, 0, 0, 0, 0x7f, 0, 0, 0];
        const REPLY: [u8; 12] = [0, 0, 0, 0, 77, 0, 0, 0, 0x80, 0, 0, 0];
        const NAMELESS: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0];
        const COUNT: [u8; 20] = [8, 0, 0, 0, 77, 0, 0, 0, 0x30, 0, 0, 0, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff];
        [&[0xff; 40][..], &LONG, &UNKNOWN, &REPLY, &NAMELESS, &COUNT][dice.below(6)]
    }

    fn request(&mut self, out: &mut Out, request: &Request<Sent>, asked: Asked) {
        let mut payload = Vec::new();
        request.encode(&mut payload);
        let waits = match request {
            Request::Retrieve(Retrieve { wait, .. }) | Request::Adopt { wait } => *wait != Wait::No,
            _ => false,
        };
        self.say(out, request.opcode(), &payload, asked, waits);
    }

    fn request_long(&mut self, out: &mut Out, request: &LongRequest, asked: Asked) {
        let mut payload = Vec::new();
        request.encode(&mut payload);
        self.say(out, request.opcode(), &payload, asked, false);
    }

    fn say(&mut self, out: &mut Out, opcode: Opcode, payload: &[u8], asked: Asked, waits: bool) {
        let id = RequestId(self.next);
        self.next += 1;
        let values = match &asked {
            Asked::Store(ids) => ids.clone(),
            Asked::Finish(items) => items.iter().map(|(_, id)| *id).collect(),
            _ => Vec::new(),
        };
        out.say_values(&frame(opcode, id, payload), values);
        self.pending.insert(id.0, Pending { asked, waits });
    }

    fn open_volatile(&mut self, out: &mut Out, persistent: bool) {
        let mode = OpenMode::Own { persistent };
        let name = VOLATILE.as_bytes().to_vec();
        self.request(out, &Request::Open { workspace: VOLATILE_SPACE, name, mode, create: true }, Asked::Other);
        let (variable, workspace, name) = (VariableHandle(VOLATILE_VARIABLE), VOLATILE_SPACE, b"v".to_vec());
        self.request(out, &Request::Bind { variable, workspace, name }, Asked::Other);
    }

    /// All that it sends before it knows of any answer.
    fn open(&mut self, out: &mut Out) {
        let name = KEPT.as_bytes().to_vec();
        let open = Request::Open { workspace: KEPT_SPACE, name, mode: OpenMode::Use, create: true };
        self.request(out, &open, Asked::Other);
        for (place, name) in (1..).zip(VARIABLES) {
            let (variable, workspace) = (VariableHandle(place), KEPT_SPACE);
            let name = name.as_bytes().to_vec();
            self.request(out, &Request::Bind { variable, workspace, name }, Asked::Other);
        }
        let modes = [(1, Mode::Fifo), (2, Mode::Lifo), (3, Mode::Multi), (4, Mode::Fifo), (5, Mode::Single)];
        for (variable, mode) in modes {
            self.request(out, &Request::Declare { variable: VariableHandle(variable), mode }, Asked::Other);
        }
        self.open_volatile(out, false);
        self.ready = true;
    }

    /// Asks something.
    pub(crate) fn ask(&mut self, out: &mut Out, ledger: &mut Ledger, dice: &mut Dice) {
        if !self.ready || self.pending.len() >= IN_FLIGHT {
            return;
        }
        let variable = VariableHandle(1 + dice.below(VOLATILE_VARIABLE as usize) as u32);
        match dice.below(20) {
            0..6 => self.store(out, variable, ledger, dice),
            6..13 => self.retrieve(out, variable, dice),
            13..16 if !self.held.is_empty() => self.finish(out, ledger, dice),
            16 => self.release(out, dice, false),
            17 => {
                let waits: Vec<u32> = self.pending.iter().filter(|(_, one)| one.waits).map(|(id, _)| *id).collect();
                let target = RequestId(dice.any(&waits).unwrap_or(4_000_000));
                self.request(out, &Request::Cancel { target }, Asked::Other);
            }
            18 => self.other(out, dice),
            _ => {
                let wait = if dice.one_in(2) { Wait::No } else { Wait::Ms(1 + dice.below(500) as u32) };
                self.request(out, &Request::Adopt { wait }, Asked::Other);
            }
        }
    }

    fn other(&mut self, out: &mut Out, dice: &mut Dice) {
        let volatile = VariableHandle(VOLATILE_VARIABLE);
        let request = match dice.below(8) {
            0 => Request::DeleteVariable { variable: volatile },
            1 => Request::DeleteWorkspace { name: VOLATILE.as_bytes().to_vec() },
            2 | 3 => {
                self.request(out, &Request::CloseWorkspace { workspace: VOLATILE_SPACE }, Asked::Other);
                return self.open_volatile(out, dice.one_in(2));
            }
            4 => Request::ListWorkspaces { name: None },
            5 => Request::Ping,
            _ => Request::ListVariables { workspace: KEPT_SPACE },
        };
        self.request(out, &request, Asked::Other);
    }

    fn store(&mut self, out: &mut Out, variable: VariableHandle, ledger: &mut Ledger, dice: &mut Dice) {
        let kept = Some(variable.0 as usize - 1).filter(|place| *place < VARIABLES.len());
        let by_transfer = dice.one_in(4);
        let count = if by_transfer { 1 } else { 1 + dice.below(5) };
        let (ids, items): (_, Vec<_>) = (0..count).map(|_| ledger.make(kept, dice)).unzip();
        let items = items.into_iter().map(|item| self.bring(out, item, by_transfer, dice)).collect();
        self.request(out, &Request::Store { variable, items }, Asked::Store(ids));
    }

    /// The value as a request says it: itself, or that it came before in parts.
    fn bring(&mut self, out: &mut Out, item: Item<Bytes>, by_transfer: bool, dice: &mut Dice) -> Item<Sent> {
        let descriptor = item.descriptor;
        if !by_transfer {
            return Item { descriptor, value: Sent::Here(item.value) };
        }
        let transfer = TransferId(self.next_transfer);
        self.next_transfer += 1;
        self.request_long(out, &LongRequest::BeginTransfer { transfer }, Asked::Other);
        let longest = (item.value.len() / (1 + dice.below(3)) + 1).min(PART_BYTES);
        for at in (0..item.value.len()).step_by(longest) {
            let bytes = item.value.slice(at..item.value.len().min(at + longest));
            self.request_long(out, &LongRequest::TransferPart { transfer, bytes }, Asked::Other);
        }
        if dice.one_in(10) {
            self.request_long(out, &LongRequest::DropTransfer { transfer }, Asked::Other);
        }
        Item { descriptor, value: Sent::Transfer(transfer) }
    }

    /// Asks for what is missing of a long value, or says that it has all of it.
    fn read(&mut self, out: &mut Out, reading: ReadingId, ledger: &mut Ledger, dice: &mut Dice) {
        let Some(open) = self.readings.get_mut(&reading) else { return };
        let Some(id) = open.id else {
            let (offset, missing) = (open.got.len() as u64, open.len_bytes - open.got.len());
            let missing = missing.min(PART_BYTES);
            let max_bytes = if dice.one_in(2) { missing } else { 1 + dice.below(missing) };
            let request = LongRequest::ReadPart { reading, offset, max_bytes: max_bytes as u32 };
            return self.request_long(out, &request, Asked::Part(reading));
        };
        open.given_back = open.how == Seen::Taken && dice.one_in(3);
        let give_back = open.given_back;
        if !give_back && matches!(open.how, Seen::Taken | Seen::Left) {
            ledger.may_take(id);
        }
        self.request_long(out, &LongRequest::CloseReading { reading, give_back }, Asked::Close(reading));
    }

    /// Leaves a value that cannot be read as it was.
    fn give_up(&mut self, out: &mut Out, reading: ReadingId, lease: Option<LeaseId>) {
        self.request_long(out, &LongRequest::CloseReading { reading, give_back: true }, Asked::Other);
        if let Some(lease) = lease {
            self.request(out, &Request::Release { leases: vec![lease], died: false, recalled: false }, Asked::Other);
        }
    }

    fn retrieve(&mut self, out: &mut Out, variable: VariableHandle, dice: &mut Dice) {
        let how = [Seen::Found, Seen::Leased, Seen::Leased, Seen::Taken, Seen::Taken][dice.below(5)];
        let cursor = match (dice.below(6), self.cursor) {
            (0, _) => Cursor::Oldest,
            (1, Some((variable, index))) => Cursor::After { variable, index },
            _ => Cursor::Mode,
        };
        let wait = match dice.below(4) {
            // A wait by a cursor may have nothing to come to though there are values.
            0 | 1 => Wait::No,
            2 => Wait::Ms(1 + dice.below(300) as u32),
            _ => Wait::Forever,
        };
        let retrieve = Retrieve {
            variable,
            take: how != Seen::Found,
            lease: how == Seen::Leased,
            wait,
            cursor,
            max_values: 1 + dice.below(5) as u32,
            max_bytes: if dice.one_in(4) { 100 } else { u32::MAX },
        };
        self.request(out, &Request::Retrieve(retrieve), Asked::Retrieve(how));
    }

    fn finish(&mut self, out: &mut Out, ledger: &mut Ledger, dice: &mut Dice) {
        let count = 1 + dice.below(self.held.len().min(5));
        let leases: Vec<LeaseId> = self.held.drain(..count.min(self.held.len())).collect();
        let mut items = Vec::new();
        let mut asked = Vec::new();
        let by_transfer = leases.len() == 1 && dice.one_in(3);
        for lease in leases {
            let (id, result) = ledger.make(Some(RESULTS), dice);
            ledger.may_finish(lease, id);
            let result = self.bring(out, result, by_transfer, dice);
            items.push(FinishItem { lease, result });
            asked.push((lease, id));
        }
        let variable = VariableHandle(RESULTS as u32 + 1);
        self.request(out, &Request::Finish { variable, items }, Asked::Finish(asked));
    }

    fn release(&mut self, out: &mut Out, dice: &mut Dice, recalled: bool) {
        let count = dice.below(self.held.len() + 1);
        let leases = self.held.drain(self.held.len() - count..).collect();
        self.request(out, &Request::Release { leases, died: dice.one_in(3), recalled }, Asked::Other);
    }

    pub(crate) fn cancel_waits(&mut self, out: &mut Out) {
        let waits: Vec<u32> = self.pending.iter().filter(|(_, one)| one.waits).map(|(id, _)| *id).collect();
        for target in waits {
            self.request(out, &Request::Cancel { target: RequestId(target) }, Asked::Other);
        }
    }

    /// Does what follows from what it has read; whether there was anything.
    pub(crate) fn react(&mut self, received: usize, out: &mut Out, ledger: &mut Ledger, dice: &mut Dice) -> bool {
        let mut reacted = false;
        while self.reactions.front().is_some_and(|(end, _)| *end <= received)
            && let Some((_, reaction)) = self.reactions.pop_front()
        {
            reacted = true;
            match reaction {
                Reaction::Prove(challenge) => out.say(&hello(&challenge, self.silence_ms, self.guardian)),
                Reaction::Begin => self.open(out),
                Reaction::Pong(request) => out.say(&frame(Opcode::Pong, request, &[])),
                Reaction::Hold(leases) => self.held.extend(leases),
                Reaction::Read(reading) => self.read(out, reading, ledger, dice),
                Reaction::GiveUp(reading, lease) => self.give_up(out, reading, lease),
                // Some never answer.
                Reaction::Recalled if dice.one_in(5) => {}
                Reaction::Recalled => self.release(out, dice, true),
            }
        }
        reacted
    }

    /// Whether it may be sent away though it did nothing wrong: it was slow, or the guardian that it names
    /// ended before it came.
    pub(crate) fn may_be_ended(&self, slow: bool) -> bool {
        let late = slow && (self.session.is_none() || self.goodbye == Some(ErrorCode::Silent));
        late || self.goodbye == Some(ErrorCode::NoSuchGuardian)
    }
}
