//! The 12 bytes before every payload.

use crate::RequestId;

/// Length of a frame's header in bytes.
pub const FRAME_HEADER_BYTES: usize = 12;

/// What precedes a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Bytes that follow this header.
    pub payload_bytes: u32,
    /// The request that this is, or answers; 0 for events.
    pub request: RequestId,
    /// What the payload is, as sent: may be one that this version does not know.
    pub opcode: u16,
}

impl FrameHeader {
    /// The header's bytes.
    pub fn encode(self) -> [u8; FRAME_HEADER_BYTES] {
        let mut bytes = [0; FRAME_HEADER_BYTES];
        bytes[0..4].copy_from_slice(&self.payload_bytes.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.request.0.to_le_bytes());
        bytes[8..10].copy_from_slice(&self.opcode.to_le_bytes());
        bytes
    }

    /// The header that these bytes are, or `None` where the two reserved bytes are not 0.
    pub fn decode(bytes: &[u8; FRAME_HEADER_BYTES]) -> Option<Self> {
        let [a, b, c, d, e, f, g, h, i, j, 0, 0] = *bytes else { return None };
        Some(Self {
            payload_bytes: u32::from_le_bytes([a, b, c, d]),
            request: RequestId(u32::from_le_bytes([e, f, g, h])),
            opcode: u16::from_le_bytes([i, j]),
        })
    }
}

macro_rules! opcodes {
    ($($(#[$doc:meta])* $name:ident = $number:literal;)*) => {
        /// What a frame's payload is. Requests are below 0x80, replies from 0x80, events from 0xC0.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u16)]
        #[allow(missing_docs, reason = "docs/protocol.md has each one")]
        pub enum Opcode { $($(#[$doc])* $name = $number,)* }

        impl Opcode {
            /// Every opcode.
            pub const ALL: &'static [Opcode] = &[$(Opcode::$name),*];
            /// The opcode with this number.
            pub const fn from_wire(number: u16) -> Option<Opcode> {
                match number { $($number => Some(Opcode::$name),)* _ => None }
            }
            /// The number on the wire.
            pub const fn to_wire(self) -> u16 { self as u16 }
        }
    };
}

opcodes! {
    Hello = 0x01;
    Ping = 0x02;
    Cancel = 0x03;
    Open = 0x10;
    MakeTemporary = 0x11;
    DeleteWorkspace = 0x12;
    ListWorkspaces = 0x13;
    CloseWorkspace = 0x14;
    Bind = 0x20;
    Unbind = 0x21;
    Declare = 0x22;
    DeleteVariable = 0x23;
    ListVariables = 0x24;
    Store = 0x30;
    Retrieve = 0x31;
    Finish = 0x32;
    Release = 0x33;
    Adopt = 0x34;
    BeginTransfer = 0x40;
    TransferPart = 0x41;
    DropTransfer = 0x42;
    ReadPart = 0x43;
    CloseReading = 0x44;

    Done = 0x80;
    Failed = 0x81;
    TimedOut = 0x82;
    Canceled = 0x83;
    Opened = 0x84;
    Workspaces = 0x85;
    Variables = 0x86;
    Values = 0x87;
    Finished = 0x88;
    Adopted = 0x89;
    Pong = 0x8A;
    Part = 0x8B;

    Challenge = 0xC0;
    Welcome = 0xC1;
    Recall = 0xC2;
    Goodbye = 0xC3;
}
