//! From a connection's first bytes to its session.

use bytes::Bytes;
use nws_core::SessionInit;
use nws_proto::{
    Challenge, ErrorCode, Fault, FrameHeader, GREETING, Hello, NONCE_BYTES, Opcode, PROTOCOL_VERSION, SessionId,
    Welcome, client_proof, limits, proofs_match, server_proof,
};

use super::serve::Onward;
use super::{EventLoop, UNIX_PART};
use crate::config::random_bytes;
use crate::connection::Phase;
use crate::input::{Admission, Arrival, Scratch};
use crate::server::Split;

/// The first byte of a TLS handshake.
const TLS: u8 = 0x16;

impl EventLoop {
    /// Takes the next step, where its bytes have come: `None` when there may be another.
    pub(super) fn shake_hands(&mut self, slot: usize, scratch: &mut Scratch) -> Option<Onward> {
        let Some(connection) = self.table.get(slot) else { return Some(Onward::Stop) };
        match connection.phase {
            Phase::Greeting => {
                if scratch.peek() == Some(TLS) {
                    self.close(slot, "it speaks TLS, which this server does not");
                    return Some(Onward::Stop);
                }
                let Some(greeting) = scratch.take_array() else { return Some(Onward::Receive) };
                self.answer_greeting(slot, greeting);
            }
            Phase::Challenged { nonce } => match connection.input.next(scratch, admit) {
                Ok(Some(Arrival::Frame(_, payload))) => self.answer_hello(slot, nonce, payload),
                Ok(Some(Arrival::Short(_, payload))) => {
                    self.answer_hello(slot, nonce, Bytes::copy_from_slice(payload));
                }
                Ok(_) => return Some(Onward::Receive),
                Err(fault) => self.say_goodbye(slot, fault),
            },
            _ => {}
        }
        None
    }

    fn answer_greeting(&mut self, slot: usize, greeting: [u8; GREETING.len()]) {
        if greeting != GREETING {
            return self.greet_classic(slot, greeting);
        }
        let Some(connection) = self.table.get(slot) else { return };
        if connection.surplus {
            let message = too_many_connections(self.descriptors, connection.stream.is_unix());
            return self.say_goodbye(slot, Fault::new(ErrorCode::TooManyConnections, message));
        }
        let Ok(nonce) = random_bytes() else { return self.close(slot, "there are no random numbers") };
        let challenge = Challenge {
            oldest_version: PROTOCOL_VERSION,
            newest_version: PROTOCOL_VERSION,
            server: self.server_id,
            nonce,
        };
        let mut payload = Vec::with_capacity(64);
        challenge.encode(&mut payload);
        connection.outbox.short(Opcode::Challenge, &payload);
        connection.phase = Phase::Challenged { nonce };
        self.flush_soon(slot);
    }

    fn answer_hello(&mut self, slot: usize, nonce: [u8; NONCE_BYTES], payload: Bytes) {
        if let Err(fault) = self.let_in(slot, nonce, payload) {
            self.say_goodbye(slot, fault);
        }
    }

    fn let_in(&mut self, slot: usize, nonce: [u8; NONCE_BYTES], payload: Bytes) -> Result<(), Fault> {
        let hello = read_hello(payload)?;
        if !proofs_match(&hello.proof, &client_proof(&self.rules.token, &nonce, &hello.nonce)) {
            let message = "expected the proof of this server's token; use the token from the server's folder";
            return Err(Fault::new(ErrorCode::NotAuthorized, message));
        }
        let Some(connection) = self.table.get(slot) else { return Ok(()) };
        let session = SessionId(self.next_session);
        self.next_session += 1;
        let silence_ms = granted_silence_ms(hello.silence_ms, connection.stream.is_unix(), self.limits.silence_ms);
        self.core.session_opened(SessionInit {
            session,
            address: connection.address.clone(),
            label: hello.label,
            guardian: hello.guardian,
        })?;
        connection.phase = Phase::Open { session, silence_ms };
        let welcome = Welcome {
            session,
            proof: server_proof(&self.rules.token, &nonce, &hello.nonce),
            frame_payload_bytes: self.limits.frame_payload_bytes,
            silence_ms,
        };
        let mut payload = Vec::with_capacity(64);
        welcome.encode(&mut payload);
        connection.outbox.short(Opcode::Welcome, &payload);
        self.table.add_session(session, slot);
        self.log_session(slot, session, "own");
        self.flush_soon(slot);
        self.appoint(slot);
        Ok(())
    }
}

/// What a client hears for whom there is no room.
pub(super) fn too_many_connections(descriptors: Split, unix: bool) -> String {
    let Split { connections: most, scarce, .. } = descriptors;
    let to_do = if scarce {
        "close some, or raise the limit on descriptors (ulimit -n), which leaves room for no more"
    } else {
        "close some, or raise it"
    };
    match most / UNIX_PART {
        kept if kept > 0 && !unix => format!(
            "expected at most {} connections by TCP: of {most} (setting connections) a tenth is kept for the Unix \
             socket; {to_do}",
            most - kept
        ),
        _ => format!("expected at most {most} connections (setting connections); {to_do}"),
    }
}

fn admit(header: &FrameHeader, _come: &[u8]) -> Admission {
    let refuse = |code, message| Admission::Refuse(Fault::new(code, message));
    if header.opcode != Opcode::Hello.to_wire() {
        return refuse(ErrorCode::UnknownOpcode, format!("expected a hello, got opcode {:#06x}", header.opcode));
    }
    if header.payload_bytes > limits::HANDSHAKE_PAYLOAD_BYTES {
        let most = limits::HANDSHAKE_PAYLOAD_BYTES;
        return refuse(
            ErrorCode::FrameTooLong,
            format!("expected a hello of at most {most} bytes, got {}", header.payload_bytes),
        );
    }
    Admission::Take
}

/// The version goes first: what follows it is another version's business.
fn read_hello(payload: Bytes) -> Result<Hello, Fault> {
    if let Some(version) = payload.first_chunk().map(|bytes| u16::from_le_bytes(*bytes))
        && version != PROTOCOL_VERSION
    {
        let message = format!("expected version {PROTOCOL_VERSION} of the protocol, got {version}");
        return Err(Fault::new(ErrorCode::VersionMismatch, message));
    }
    Ok(Hello::decode(payload)?)
}

/// Over TCP a peer whose machine is gone looks like one that is quiet, so only a Unix socket may be
/// quiet for ever.
fn granted_silence_ms(asked_ms: u32, unix: bool, default_ms: u32) -> u32 {
    match asked_ms {
        0 if unix => 0,
        0 | u32::MAX => default_ms,
        asked_ms => asked_ms.max(limits::SILENCE_MIN_MS),
    }
}

#[cfg(test)]
mod tests {
    use super::granted_silence_ms;

    #[test]
    fn silence_without_limit_is_granted_over_a_unix_socket_only() {
        assert_eq!(granted_silence_ms(0, true, 4000), 0);
        assert_eq!(granted_silence_ms(0, false, 4000), 4000);
        assert_eq!(granted_silence_ms(u32::MAX, true, 4000), 4000);
        assert_eq!(granted_silence_ms(1, true, 4000), 100);
        assert_eq!(granted_silence_ms(9000, false, 4000), 9000);
    }
}
