//! The vocabulary of NetWorkSpaces and its bytes on the wire.
//!
//! Here live identifiers, modes, descriptors, limits, error codes, and the codec of the project's
//! own protocol (`docs/protocol.md` describes it byte by byte) and of the [`classic`] one. Nothing
//! here does I/O or looks at a clock.
//!
//! Start with [`Request`] and [`Reply`]: they are what the server's core takes and gives, what the
//! client sends and receives, and what a frame holds. Both are generic over the representation of
//! a value, so that the codec never copies one: the server uses reference-counted slices of the
//! frame that it received.
#![no_std]
extern crate alloc;

pub mod classic;
mod codec;
mod descriptor;
mod error;
mod frame;
mod handshake;
mod head;
mod ids;
pub mod limits;
mod listed;
mod long;
mod mode;
mod reply;
mod request;

pub use codec::{FromFrame, Malformed, Reader, Sink};
pub use descriptor::{Descriptor, Language};
pub use error::{ErrorClass, ErrorCode, Fault};
pub use frame::{FRAME_HEADER_BYTES, FrameHeader, Opcode};
pub use handshake::{
    Challenge, GREETING, Hello, NONCE_BYTES, PROTOCOL_VERSION, ProofBytes, Token, Welcome, client_proof, proofs_match,
    server_proof,
};
pub use head::{GRANT_HEAD_BYTES, Head, Heading, READING_BYTES, VALUES_HEAD_BYTES};
pub use ids::{
    Index, LeaseId, ReadingId, RequestId, SessionId, TransferId, VariableHandle, VariableId, WorkspaceHandle,
};
pub use listed::{VariableInfo, WorkspaceInfo};
pub use long::{ELSEWHERE, Given, LongRequest, Sent, decode_part, put_reading, put_transfer};
pub use mode::Mode;
pub use reply::{Adopted, Event, Grant, OrphanedLease, Reply};
pub use request::{Cursor, FinishItem, Item, OpenMode, Request, Retrieve, Wait};
