//! What goes in and comes out beside requests.

use alloc::vec::Vec;
use nws_proto::{Event, Reply, RequestId, SessionId};

/// A value's bytes, or a handle to them. Cloning must be cheap: a reader gets a clone.
pub trait Payload: Clone {
    /// How many bytes of values it stands for.
    fn len_bytes(&self) -> u64;

    /// How much memory keeping it takes, in bytes, for the limit on values.
    fn held_bytes(&self) -> u64 {
        self.len_bytes()
    }
}

/// What a value takes beside its bytes: its place in a variable, the handle to its memory. Without
/// it, empty values would be kept without any limit.
const KEEPING_BYTES: u64 = 64;

impl Payload for bytes::Bytes {
    fn len_bytes(&self) -> u64 {
        self.len() as u64
    }

    fn held_bytes(&self) -> u64 {
        self.len() as u64 + KEEPING_BYTES
    }
}

/// A session that begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionInit {
    /// Its id, never used before.
    pub session: SessionId,
    /// The peer's address, for people.
    pub address: Vec<u8>,
    /// What the peer calls itself.
    pub label: Vec<u8>,
    /// Who gets its leases when it ends; 0 for nobody.
    pub guardian: SessionId,
}

/// What the driver is to do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect<V> {
    /// Answer a request.
    Reply {
        /// Whose request.
        session: SessionId,
        /// Which.
        request: RequestId,
        /// The answer.
        reply: Reply<V>,
    },
    /// Tell a session something unasked.
    Event {
        /// Whom.
        session: SessionId,
        /// What.
        event: Event,
    },
}
