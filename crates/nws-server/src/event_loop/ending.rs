//! Ending sessions, connections, and the server.

use nws_proto::{ErrorCode, Event, Fault, Opcode, SessionId};

use super::EventLoop;
use crate::connection::Phase;
use crate::log::Level;

/// What closing a connection costs of a turn.
const CLOSE_UNITS: usize = 10;

impl EventLoop {
    /// What is to be done when a connection's time has come.
    pub(super) fn keep_appointment(&mut self, slot: usize) {
        let Some(connection) = self.table.get(slot) else { return };
        match connection.phase {
            // Whoever it is may speak another protocol, and would not understand.
            Phase::Greeting => self.close(slot, "it said nothing in time"),
            Phase::Closing { .. } => self.close(slot, "it did not hang up in time"),
            Phase::Challenged { .. } => {
                let message =
                    format!("expected a hello within {} ms (setting handshake-time)", self.limits.handshake_ms);
                self.say_goodbye(slot, Fault::new(ErrorCode::Silent, message));
            }
            Phase::Open { .. } if connection.is_kept_waiting() => self.keep_in_touch(slot),
            Phase::Open { .. } if connection.pinged_ms.is_none() => {
                connection.pinged_ms = Some(self.now_ms);
                connection.outbox.short(Opcode::Ping, &[]);
                self.flush_soon(slot);
            }
            Phase::Open { silence_ms, .. } => self.end_if_silent(slot, silence_ms),
        }
    }

    /// It is the disk that is slow. What the client said meanwhile was not heard, its pings among it, so it is
    /// told unasked that the server lives.
    fn keep_in_touch(&mut self, slot: usize) {
        let Some(connection) = self.table.get(slot) else { return };
        connection.heard(self.now_ms);
        connection.told_ms = self.now_ms;
        if let Some((place, by)) = connection.outbox.overtake(Opcode::Ping) {
            connection.transit.shift(place, by.cast_signed());
            self.flush_soon(slot);
        }
    }

    /// Its word may lie in the kernel and have waited for this turn: only who has said nothing at all
    /// is ended.
    fn end_if_silent(&mut self, slot: usize, silence_ms: u32) {
        self.serve(slot);
        let Some(connection) = self.table.get(slot) else { return };
        if connection.pinged_ms.is_some() && connection.session().is_some() {
            let message =
                format!("expected a sign of life within {silence_ms} ms (setting silence-time); answer pings in time");
            self.say_goodbye(slot, Fault::new(ErrorCode::Silent, message));
        }
    }

    /// Ends the session and tells the connection why, where it can still hear it.
    pub(super) fn say_goodbye(&mut self, slot: usize, fault: Fault) {
        self.end_connection(slot, Some(fault));
    }

    /// Ends the session, and the connection as soon as it has what is on its way to it.
    pub(super) fn end_connection(&mut self, slot: usize, fault: Option<Fault>) {
        if self.table.get(slot).is_some_and(|connection| !connection.transit.is_empty()) {
            self.flush_one(slot);
        }
        if self.table.get(slot).is_some_and(|connection| !connection.transit.is_empty()) {
            // Its values stop half way and go back: what followed them here would be no frame there.
            return self.close(slot, "it does not read what it fetched");
        }
        if let Some(fault) = &fault {
            self.measures.count_fault(fault.code);
            self.log_goodbye(slot, fault);
        }
        self.end_session(slot, fault.as_ref().map_or("its bytes are no request", |fault| fault.code.slug()));
        let until_ms = self.now_ms + u64::from(self.limits.goodbye_ms);
        let Some(connection) = self.table.get(slot) else { return };
        connection.phase = Phase::Closing { until_ms };
        connection.paused = false;
        connection.listing = None;
        // The classic protocol has no word for it.
        if let Some(fault) = fault.filter(|_| connection.classic.is_none()) {
            connection.outbox.event(&Event::Goodbye(fault));
        }
        self.flush_soon(slot);
        self.appoint(slot);
    }

    /// Says that a session has begun.
    pub(super) fn log_session(&mut self, slot: usize, session: SessionId, protocol: &str) {
        let Some(connection) = self.table.get(slot) else { return };
        let peer = String::from_utf8_lossy(&connection.address);
        let fields: [(&str, &dyn std::fmt::Display); 3] =
            [("peer", &peer), ("session", &session), ("protocol", &protocol)];
        self.shared.log.write(Level::Debug, "a session has begun", &fields);
    }

    /// Who goes down with the server is no news.
    fn log_goodbye(&mut self, slot: usize, fault: &Fault) {
        if fault.code == ErrorCode::ShuttingDown {
            return;
        }
        let Some(connection) = self.table.get(slot) else { return };
        let peer = String::from_utf8_lossy(&connection.address);
        let fields: [(&str, &dyn std::fmt::Display); 2] = [("peer", &peer), ("code", &fault.code.slug())];
        self.shared.log.of_a_connection(Level::Warn, &fault.message, &fields);
    }

    /// Closes the connection now.
    pub(super) fn close(&mut self, slot: usize, why: &str) {
        self.end_session(slot, why);
        self.spent_units += CLOSE_UNITS;
        if let Some(mut connection) = self.table.remove(slot) {
            let peer = String::from_utf8_lossy(&connection.address);
            self.shared.log.write(Level::Debug, "a connection has ended", &[("peer", &peer), ("why", &why)]);
            self.receiving_bytes -= connection.counted_bytes;
            self.unsent_bytes -= connection.unsent_bytes;
            self.loaded_bytes -= connection.outbox.loaded_bytes();
            // Closing the descriptor takes it out of the poll as well.
            let _ = self.poll.registry().deregister(&mut connection.stream);
        }
    }

    /// From here on no value goes to the session.
    fn end_session(&mut self, slot: usize, why: &str) {
        let Some(connection) = self.table.get(slot) else { return };
        let Some(session) = connection.session() else { return };
        self.shared.log.write(Level::Debug, "a session has ended", &[("session", &session), ("why", &why)]);
        let until_ms = self.now_ms;
        connection.phase = Phase::Closing { until_ms };
        self.transit_bytes -= connection.transit.bytes();
        let undelivered = connection.transit.undelivered(connection.outbox.sent());
        connection.awaits_disk = false;
        let long = connection.long.take();
        self.count_receiving(slot);
        self.table.remove_session(session);
        self.core.session_ended(session, &mut self.effects);
        let unread = long.map(|mut long| long.readings.undelivered()).unwrap_or_default();
        for (variable, values) in undelivered.into_iter().chain(unread) {
            self.core.undelivered(variable, values, &mut self.effects);
        }
        self.carry_out(None);
    }

    /// Tells everybody. What the core holds ends with the process, so it is not asked: nobody shall
    /// hear of deleted workspaces because their owners were sent away first.
    pub(super) fn begin_to_stop(&mut self) {
        self.stop_at_ms = Some(self.now_ms + u64::from(self.limits.goodbye_ms));
        self.listeners.clear();
        self.accept_again_ms = None;
        for slot in self.table.used_slots() {
            let Some(connection) = self.table.get(slot) else { continue };
            let session = connection.session();
            match (session, &connection.phase) {
                (Some(session), _) => {
                    connection.phase = Phase::Closing { until_ms: self.now_ms };
                    self.transit_bytes -= connection.transit.bytes();
                    connection.transit = Default::default();
                    self.table.remove_session(session);
                    let message = "the server is going down; connect again when it is back";
                    self.say_goodbye(slot, Fault::new(ErrorCode::ShuttingDown, message));
                }
                (None, Phase::Closing { .. }) => {}
                (None, _) => self.close(slot, "the server goes down"),
            }
        }
    }

    pub(crate) fn has_stopped(&self) -> bool {
        self.stop_at_ms.is_some_and(|stop_at_ms| self.table.len() == 0 || stop_at_ms <= self.now_ms)
    }
}
