//! Long listings, a part a turn.

use nws_proto::{Reply, Request, RequestId, SessionId};

use super::{EventLoop, TURN_UNITS};
use crate::listing::{Listing, Step};
use crate::stored::Stored;

/// What a part costs of a turn.
const PART_UNITS: usize = 400;
/// How many listings are made at a time: each takes memory.
const AT_A_TIME: usize = 4;

impl EventLoop {
    /// Begins a listing that is to be made in parts, where the request is for one; whether it is.
    #[inline]
    pub(super) fn begin_listing(
        &mut self,
        slot: usize,
        session: SessionId,
        id: RequestId,
        request: &Request<Stored>,
    ) -> bool {
        matches!(request, Request::ListVariables { .. } | Request::ListWorkspaces { .. })
            && self.core.is_long_listing(session, id, request)
            && self.begin_long_listing(slot, session, id, request)
    }

    fn begin_long_listing(
        &mut self,
        slot: usize,
        session: SessionId,
        id: RequestId,
        request: &Request<Stored>,
    ) -> bool {
        let Some(connection) = self.table.get(slot) else { return false };
        connection.listing = Listing::new(session, id, request, connection.classic.is_some()).map(Box::new);
        self.listings.push_back(slot);
        connection.listing.is_some()
    }

    /// Whether a listing is to be gone on with. None is, as long as too much waits to be sent already.
    pub(super) fn lists(&self) -> bool {
        !self.listings.is_empty() && !self.is_unsent_too_much()
    }

    /// Makes a part of each listing that is being made, as many as a turn has time for.
    pub(super) fn go_on_listing(&mut self) {
        let mut spent_units = 0;
        for _ in 0..self.listings.len().min(AT_A_TIME) {
            if spent_units >= TURN_UNITS || !self.lists() {
                return;
            }
            spent_units += PART_UNITS;
            let Some(slot) = self.listings.pop_front() else { return };
            let Some(connection) = self.table.get(slot) else { continue };
            // Another one may have come to this slot since.
            let Some(listing) = &mut connection.listing else { continue };
            let request = listing.request;
            match listing.step(&self.core) {
                Step::GoesOn => {
                    self.listings.insert(self.listings.len().min(AT_A_TIME - 1), slot);
                    continue;
                }
                Step::Whole(opcode, count, told) => {
                    connection.outbox.prepare(&mut self.spare);
                    match &mut connection.classic {
                        None => connection.outbox.listing(request, opcode, count, &told),
                        Some(classic) => classic.answer_text(&mut connection.outbox, &told),
                    }
                }
                Step::Failed(fault) => {
                    self.measures.count_fault(fault.code);
                    connection.outbox.prepare(&mut self.spare);
                    let failed = Reply::Failed(fault);
                    match &mut connection.classic {
                        None => connection.outbox.reply(request, &failed),
                        Some(classic) => classic.answer(&mut connection.outbox, &failed),
                    }
                }
            }
            connection.listing = None;
            connection.heard(self.now_ms);
            self.flush_soon(slot);
            // What it has asked since was not read.
            self.stand_in_line(slot);
        }
    }
}
