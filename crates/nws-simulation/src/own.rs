//! A client of the project's own protocol, with many requests in flight.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use nws_proto::{
    Challenge, Cursor, ErrorCode, Event, FRAME_HEADER_BYTES, FinishItem, FrameHeader, GREETING, Hello, Index, LeaseId,
    Mode, NONCE_BYTES, Opcode, OpenMode, PROTOCOL_VERSION, Reply, Request, RequestId, Retrieve, SessionId, Token,
    VariableHandle, VariableId, Wait, Welcome, WorkspaceHandle, client_proof, server_proof,
};
use nws_testkit::Dice;

use crate::client::Out;
use crate::ledger::{KEPT, Ledger, RESULTS, Seen, VARIABLES, VOLATILE, ValueId};
use crate::{Tally, Wrong};

pub(crate) const TOKEN: Token = Token([9; 32]);
const IN_FLIGHT: usize = 8;
const KEPT_SPACE: WorkspaceHandle = WorkspaceHandle(1);
const VOLATILE_SPACE: WorkspaceHandle = WorkspaceHandle(2);
/// The handles of [`VARIABLES`] are their places and one; this is the one in `volatile`.
const VOLATILE_VARIABLE: u32 = VARIABLES.len() as u32 + 1;
/// Before the first value of a reply: variable, first lease and count.
const BEFORE_VALUES_BYTES: usize = 20;
/// Before each value: index, deaths, descriptor and length.
const BEFORE_VALUE_BYTES: usize = 18;

/// What was asked, as far as the answer matters.
#[derive(Clone, Debug)]
enum Asked {
    Store(Vec<ValueId>),
    Retrieve(Seen),
    Finish(Vec<(LeaseId, ValueId)>),
    Other,
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
            reactions: VecDeque::new(),
            cursor: None,
            goodbye: None,
            takes: Seen::Taken,
        }
    }

    /// Who takes what is left when all is over.
    pub(crate) fn last() -> Self {
        Self { takes: Seen::Left, ..Self::new(0, SessionId(0)) }
    }

    pub(crate) fn begin(&mut self, out: &mut Out) {
        out.say(&GREETING);
    }

    /// No answer takes it away: a session without limits to its silence has to be told that it is gone.
    pub(crate) fn is_silent_for_ever(&self) -> bool {
        self.silence_ms == 0
    }

    pub(crate) fn unanswered(&self) -> usize {
        self.pending.len() + usize::from(!self.ready)
    }

    /// It is to get values for good.
    pub(crate) fn takes(&self) -> bool {
        self.pending.values().any(|pending| matches!(pending.asked, Asked::Retrieve(Seen::Taken)))
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

    fn request(&mut self, out: &mut Out, request: &Request<Bytes>, asked: Asked) {
        let id = RequestId(self.next);
        self.next += 1;
        let mut payload = Vec::new();
        request.encode(&mut payload);
        let waits = match request {
            Request::Retrieve(Retrieve { wait, .. }) | Request::Adopt { wait } => *wait != Wait::No,
            _ => false,
        };
        let values = match &asked {
            Asked::Store(ids) => ids.clone(),
            Asked::Finish(items) => items.iter().map(|(_, id)| *id).collect(),
            _ => Vec::new(),
        };
        out.say_values(&frame(request.opcode(), id, &payload), values);
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
        let (ids, items) = (0..1 + dice.below(5)).map(|_| ledger.make(kept, dice)).unzip();
        self.request(out, &Request::Store { variable, items }, Asked::Store(ids));
    }

    fn retrieve(&mut self, out: &mut Out, variable: VariableHandle, dice: &mut Dice) {
        let how = [Seen::Found, Seen::Leased, Seen::Leased, Seen::Taken][dice.below(4)];
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
        for lease in leases {
            let (id, result) = ledger.make(Some(RESULTS), dice);
            ledger.may_finish(lease, id);
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

    /// Takes what there is of a variable of `kept`; whether the last time there was nothing.
    pub(crate) fn take_all(&mut self, out: &mut Out, variable: usize) {
        let retrieve = Retrieve {
            variable: VariableHandle(variable as u32 + 1),
            take: true,
            lease: false,
            wait: Wait::No,
            cursor: Cursor::Mode,
            max_values: 1000,
            max_bytes: u32::MAX,
        };
        self.request(out, &Request::Retrieve(retrieve), Asked::Retrieve(Seen::Left));
    }

    pub(crate) fn delete_volatile(&mut self, out: &mut Out) {
        self.request(out, &Request::DeleteWorkspace { name: VOLATILE.as_bytes().to_vec() }, Asked::Other);
    }

    pub(crate) fn cancel_waits(&mut self, out: &mut Out) {
        let waits: Vec<u32> = self.pending.iter().filter(|(_, one)| one.waits).map(|(id, _)| *id).collect();
        for target in waits {
            self.request(out, &Request::Cancel { target: RequestId(target) }, Asked::Other);
        }
    }

    /// Does what follows from what it has read; whether there was anything.
    pub(crate) fn react(&mut self, received: usize, out: &mut Out, _: &mut Ledger, dice: &mut Dice) -> bool {
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
                // Some never answer.
                Reaction::Recalled if dice.one_in(5) => {}
                Reaction::Recalled => self.release(out, dice, true),
            }
        }
        reacted
    }

    /// Looks at the frames that were sent to it; how many bytes those are.
    pub(crate) fn observe(
        &mut self,
        from: usize,
        bytes: &Bytes,
        ledger: &mut Ledger,
        tally: &mut Tally,
    ) -> Result<usize, Wrong> {
        let mut at = 0;
        while let Some((head, rest)) = bytes[at..].split_first_chunk::<FRAME_HEADER_BYTES>() {
            let header = FrameHeader::decode(head).ok_or_else(|| format!("no frame: {head:02x?}"))?;
            let length = header.payload_bytes as usize;
            if rest.len() < length {
                break;
            }
            let start = at + FRAME_HEADER_BYTES;
            at = start + length;
            let payload = bytes.slice(start..at);
            if let Some(reaction) = self.frame(header, payload, ledger, tally)? {
                self.reactions.push_back((from + at, reaction));
            }
        }
        Ok(at)
    }

    fn frame(
        &mut self,
        header: FrameHeader,
        payload: Bytes,
        ledger: &mut Ledger,
        tally: &mut Tally,
    ) -> Result<Option<Reaction>, Wrong> {
        if let Some(code) = self.goodbye {
            return Err(format!("{header:?} after a goodbye ({})", code.slug()));
        }
        match Opcode::from_wire(header.opcode) {
            Some(Opcode::Challenge) => {
                let challenge = Challenge::decode(payload).map_err(|bad| bad.to_string())?;
                self.nonce = Some(challenge.clone());
                Ok(Some(Reaction::Prove(challenge)))
            }
            Some(Opcode::Welcome) => {
                let welcome = Welcome::decode(payload).map_err(|bad| bad.to_string())?;
                let proof = self.nonce.take().map(|one| server_proof(&TOKEN, &one.nonce, &[5; NONCE_BYTES]));
                if proof != Some(welcome.proof) {
                    return Err("the server does not prove the token".to_owned());
                }
                self.session = Some(welcome.session);
                Ok(Some(Reaction::Begin))
            }
            Some(Opcode::Ping) => {
                *tally.entry("pinged").or_default() += 1;
                Ok(Some(Reaction::Pong(header.request)))
            }
            _ if header.opcode >= 0xC0 => {
                match Event::decode(header.opcode, payload).map_err(|fault| fault.to_string())? {
                    Event::Recall { .. } => {
                        *tally.entry("recalled").or_default() += 1;
                        Ok(Some(Reaction::Recalled))
                    }
                    Event::Goodbye(fault) => {
                        self.goodbye = Some(fault.code);
                        *tally.entry(fault.code.slug()).or_default() += 1;
                        Ok(None)
                    }
                }
            }
            _ => {
                let reply = Reply::decode(header.opcode, payload).map_err(|fault| fault.to_string())?;
                self.answered(header.request, reply, ledger, tally)
            }
        }
    }

    fn answered(
        &mut self,
        request: RequestId,
        reply: Reply<Bytes>,
        ledger: &mut Ledger,
        tally: &mut Tally,
    ) -> Result<Option<Reaction>, Wrong> {
        let Some(pending) = self.pending.remove(&request.0) else {
            return Err(format!("request {request} has no reply to come, and got {reply:?}"));
        };
        if let Reply::Failed(fault) = &reply {
            *tally.entry(fault.code.slug()).or_default() += 1;
        }
        match (pending.asked, reply) {
            (Asked::Store(ids), Reply::Done) => ids.into_iter().for_each(|id| ledger.stored(id)),
            (Asked::Store(ids), Reply::Failed(_)) => ids.into_iter().for_each(|id| ledger.refused(id)),
            (Asked::Finish(items), Reply::Finished { refused }) => {
                for (position, (lease, result)) in (0..).zip(items) {
                    let finished = refused.iter().all(|(other, _)| *other != position);
                    *tally.entry(if finished { "finished" } else { "finish refused" }).or_default() += 1;
                    ledger.finish_answered(lease, result, finished)?;
                }
            }
            (Asked::Finish(items), Reply::Failed(_)) => {
                for (lease, result) in items {
                    ledger.finish_answered(lease, result, false)?;
                }
            }
            (Asked::Retrieve(how), Reply::Values { variable, first_lease, values }) => {
                let how = if how == Seen::Taken { self.takes } else { how };
                let mut leases = Vec::new();
                for (grant, lease) in values.iter().zip(first_lease.0..) {
                    let id = ledger.seen(how, &grant.item.value, Some((variable, grant.index)))?;
                    *tally.entry(kind(how)).or_default() += 1;
                    self.cursor = Some((variable, grant.index));
                    if how == Seen::Leased {
                        ledger.leased(LeaseId(lease), id);
                        leases.push(LeaseId(lease));
                    }
                }
                return Ok(Some(Reaction::Hold(leases)));
            }
            (Asked::Other, Reply::Adopted(adopted)) => {
                *tally.entry("adopted").or_default() += 1;
                let leases = adopted.leases.into_iter().map(|orphan| orphan.lease);
                return Ok(Some(Reaction::Hold(leases.filter(|lease| ledger.value_of(*lease).is_some()).collect())));
            }
            (Asked::Store(_) | Asked::Finish(_), reply) => return Err(format!("request {request} got {reply:?}")),
            _ => {}
        }
        Ok(None)
    }

    /// The connection is over, and these are the bytes of a frame that was not sent whole: what of its
    /// values was sent whole is delivered.
    pub(crate) fn ended(&mut self, rest: &[u8], ledger: &mut Ledger, tally: &mut Tally) -> Result<(), Wrong> {
        let Some((head, payload)) = rest.split_first_chunk::<FRAME_HEADER_BYTES>() else { return Ok(()) };
        let header = FrameHeader::decode(head).ok_or("no frame")?;
        let asked = self.pending.get(&header.request.0).map(|pending| &pending.asked);
        let taken = matches!(asked, Some(Asked::Retrieve(Seen::Taken)));
        if header.opcode != Opcode::Values.to_wire() || !taken || payload.len() < BEFORE_VALUES_BYTES {
            return Ok(());
        }
        *tally.entry("ended amid values").or_default() += 1;
        let (before, mut values) = payload.split_at(BEFORE_VALUES_BYTES);
        let variable = VariableId(number(&before[..8]));
        while values.len() >= BEFORE_VALUE_BYTES {
            let (before, after) = values.split_at(BEFORE_VALUE_BYTES);
            let length = number(&before[14..18]) as usize;
            if after.len() < length {
                break;
            }
            ledger.seen(Seen::Taken, &after[..length], Some((variable, Index(number(&before[..8])))))?;
            values = &after[length..];
        }
        Ok(())
    }

    /// Whether it may be sent away though it did nothing wrong: it was slow, or the guardian that it names
    /// ended before it came.
    pub(crate) fn may_be_ended(&self, slow: bool) -> bool {
        let late = slow && (self.session.is_none() || self.goodbye == Some(ErrorCode::Silent));
        late || self.goodbye == Some(ErrorCode::NoSuchGuardian)
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn kind(how: Seen) -> &'static str {
    match how {
        Seen::Found => "found",
        Seen::Leased => "leased",
        Seen::Taken => "taken",
        Seen::Left => "left",
    }
}
