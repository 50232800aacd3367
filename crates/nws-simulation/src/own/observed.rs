//! What a client of the project's own protocol was sent.

use bytes::Bytes;
use nws_proto::{
    Challenge, Event, FRAME_HEADER_BYTES, FrameHeader, Index, LeaseId, NONCE_BYTES, Opcode, Reply, RequestId,
    VariableId, Welcome, server_proof,
};

use super::{Asked, Own, Reaction, TOKEN};
use crate::ledger::{Ledger, Seen};
use crate::{Tally, Wrong};

/// Before the first value of a reply: variable, first lease and count.
const BEFORE_VALUES_BYTES: usize = 20;
/// Before each value: index, deaths, descriptor and length.
const BEFORE_VALUE_BYTES: usize = 18;

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
