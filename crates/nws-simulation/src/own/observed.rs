//! What a client of the project's own protocol was sent.

use bytes::Bytes;
use nws_proto::{
    Challenge, ELSEWHERE, ErrorCode, Event, FRAME_HEADER_BYTES, FrameHeader, GRANT_HEAD_BYTES, Given, Grant, Index,
    LeaseId, NONCE_BYTES, Opcode, READING_BYTES, ReadingId, Reply, RequestId, VALUES_HEAD_BYTES, VariableId, Welcome,
    decode_part, server_proof,
};

use super::{Asked, Own, Reaction, Reading, TOKEN};
use crate::ledger::{Ledger, Seen};
use crate::{Tally, Wrong};

impl Own {
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
            for reaction in self.frame(header, payload, ledger, tally)? {
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
    ) -> Result<Vec<Reaction>, Wrong> {
        if let Some(code) = self.goodbye {
            return Err(format!("{header:?} after a goodbye ({})", code.slug()));
        }
        match Opcode::from_wire(header.opcode) {
            Some(Opcode::Challenge) => {
                let challenge = Challenge::decode(payload).map_err(|bad| bad.to_string())?;
                self.nonce = Some(challenge.clone());
                Ok(vec![Reaction::Prove(challenge)])
            }
            Some(Opcode::Welcome) => {
                let welcome = Welcome::decode(payload).map_err(|bad| bad.to_string())?;
                let proof = self.nonce.take().map(|one| server_proof(&TOKEN, &one.nonce, &[5; NONCE_BYTES]));
                if proof != Some(welcome.proof) {
                    return Err("the server does not prove the token".to_owned());
                }
                self.session = Some(welcome.session);
                Ok(vec![Reaction::Begin])
            }
            Some(Opcode::Ping) => {
                *tally.entry("pinged").or_default() += 1;
                Ok(vec![Reaction::Pong(header.request)])
            }
            _ if header.opcode >= 0xC0 => {
                match Event::decode(header.opcode, payload).map_err(|fault| fault.to_string())? {
                    Event::Recall { .. } => {
                        *tally.entry("recalled").or_default() += 1;
                        Ok(vec![Reaction::Recalled])
                    }
                    Event::Goodbye(fault) => {
                        self.goodbye = Some(fault.code);
                        *tally.entry(fault.code.slug()).or_default() += 1;
                        Ok(Vec::new())
                    }
                }
            }
            Some(Opcode::Part) => {
                let part = decode_part(payload).map_err(|fault| fault.to_string())?;
                self.part_came(header.request, &part, ledger, tally)
            }
            _ => {
                let reply = Reply::<Given>::decode(header.opcode, payload).map_err(|fault| fault.to_string())?;
                self.answered(header.request, reply, ledger, tally)
            }
        }
    }

    fn answered(
        &mut self,
        request: RequestId,
        reply: Reply<Given>,
        ledger: &mut Ledger,
        tally: &mut Tally,
    ) -> Result<Vec<Reaction>, Wrong> {
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
                self.found_nothing = values.is_empty();
                let how = if how == Seen::Taken { self.takes } else { how };
                let mut reactions = Vec::new();
                for (grant, lease) in values.into_iter().zip(first_lease.0..) {
                    reactions.extend(self.granted(how, variable, grant, LeaseId(lease), ledger, tally)?);
                }
                return Ok(reactions);
            }
            (Asked::Close(reading), Reply::Done) => self.closed(reading, true, ledger)?,
            (Asked::Close(reading), Reply::Failed(_)) => self.closed(reading, false, ledger)?,
            (Asked::Part(reading), Reply::Failed(fault)) => {
                let open = self.readings.remove(&reading).filter(|_| fault.code == ErrorCode::DiskFailed);
                let lease = |open: Reading| (open.how == Seen::Leased).then_some(open.lease);
                return Ok(open.map(|open| Reaction::GiveUp(reading, lease(open))).into_iter().collect());
            }
            (Asked::Other, Reply::Adopted(adopted)) => {
                *tally.entry("adopted").or_default() += 1;
                let leases = adopted.leases.into_iter().map(|orphan| orphan.lease);
                return Ok(vec![Reaction::Hold(leases.filter(|lease| ledger.value_of(*lease).is_some()).collect())]);
            }
            (Asked::Store(_) | Asked::Finish(_) | Asked::Part(_) | Asked::Close(_), reply) => {
                return Err(format!("request {request} got {reply:?}"));
            }
            _ => {}
        }
        Ok(Vec::new())
    }

    /// A value, or where it can be read.
    fn granted(
        &mut self,
        how: Seen,
        variable: VariableId,
        grant: Grant<Given>,
        lease: LeaseId,
        ledger: &mut Ledger,
        tally: &mut Tally,
    ) -> Result<Option<Reaction>, Wrong> {
        let place = (variable, grant.index);
        self.cursor = Some(place);
        *tally.entry(kind(how)).or_default() += 1;
        match grant.item.value {
            Given::Here(value) => {
                let id = ledger.seen(how, &value, Some(place))?;
                if how != Seen::Leased {
                    return Ok(None);
                }
                ledger.leased(lease, id);
                Ok(Some(Reaction::Hold(vec![lease])))
            }
            Given::Reading { reading, len_bytes } => {
                *tally.entry("long").or_default() += 1;
                let (len_bytes, got) = (len_bytes as usize, Vec::new());
                let open = Reading { how, place, lease, len_bytes, got, id: None, given_back: false };
                if self.readings.insert(reading, open).is_some() {
                    return Err(format!("reading {reading} is open already"));
                }
                Ok(Some(Reaction::Read(reading)))
            }
        }
    }

    fn part_came(
        &mut self,
        request: RequestId,
        part: &[u8],
        ledger: &mut Ledger,
        tally: &mut Tally,
    ) -> Result<Vec<Reaction>, Wrong> {
        let asked = self.pending.remove(&request.0).map(|pending| pending.asked);
        let Some(Asked::Part(reading)) = asked else { return Err(format!("request {request} asked for no part")) };
        let Some(open) = self.readings.get_mut(&reading) else { return Err(format!("no reading {reading}")) };
        open.got.extend_from_slice(part);
        if part.is_empty() || open.got.len() > open.len_bytes {
            return Err(format!("a part of {} bytes of {open:?}", part.len()));
        }
        if open.got.len() < open.len_bytes {
            return Ok(vec![Reaction::Read(reading)]);
        }
        // It is taken when its reading is closed.
        let seen = if open.how == Seen::Leased { Seen::Leased } else { Seen::Found };
        let id = ledger.seen(seen, &open.got, Some(open.place))?;
        open.id = Some(id);
        let mut reactions = vec![Reaction::Read(reading)];
        if open.how == Seen::Leased {
            ledger.leased(open.lease, id);
            reactions.push(Reaction::Hold(vec![open.lease]));
        }
        *tally.entry("read in parts").or_default() += 1;
        Ok(reactions)
    }

    fn closed(&mut self, reading: ReadingId, done: bool, ledger: &mut Ledger) -> Result<(), Wrong> {
        let Some(Reading { how, id: Some(id), given_back, .. }) = self.readings.remove(&reading) else {
            return Err(format!("reading {reading} was closed and not read"));
        };
        if given_back || !matches!(how, Seen::Taken | Seen::Left) {
            return Ok(());
        }
        ledger.take_answered(how, id, done)
    }

    /// The connection is over, and these are the bytes of a frame that was not sent whole: what of its
    /// values was sent whole is delivered.
    pub(crate) fn ended(&mut self, rest: &[u8], ledger: &mut Ledger, tally: &mut Tally) -> Result<(), Wrong> {
        let Some((head, payload)) = rest.split_first_chunk::<FRAME_HEADER_BYTES>() else { return Ok(()) };
        let header = FrameHeader::decode(head).ok_or("no frame")?;
        let asked = self.pending.get(&header.request.0).map(|pending| &pending.asked);
        let taken = matches!(asked, Some(Asked::Retrieve(Seen::Taken)));
        if header.opcode != Opcode::Values.to_wire() || !taken || payload.len() < VALUES_HEAD_BYTES {
            return Ok(());
        }
        *tally.entry("ended amid values").or_default() += 1;
        let (before, mut values) = payload.split_at(VALUES_HEAD_BYTES);
        let variable = VariableId(number(&before[..8]));
        while values.len() >= GRANT_HEAD_BYTES {
            let (before, after) = values.split_at(GRANT_HEAD_BYTES);
            let length = number(&before[14..18]) as u32;
            if length == ELSEWHERE {
                values = after.get(READING_BYTES..).unwrap_or_default();
                continue;
            }
            let length = length as usize;
            if after.len() < length {
                break;
            }
            ledger.seen(Seen::Taken, &after[..length], Some((variable, Index(number(&before[..8])))))?;
            values = &after[length..];
        }
        Ok(())
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
