//! Every limit of the protocol, in one place. The server's settings may lower them.

/// Longest payload of one frame, in bytes.
pub const FRAME_PAYLOAD_BYTES: u32 = 1 << 30;
/// Longest payload of a frame before the client has proved the token, in bytes.
pub const HANDSHAKE_PAYLOAD_BYTES: u32 = 1024;
/// Longest payload of a request that carries no values, in bytes: a release of all leases of a session.
pub const PLAIN_PAYLOAD_BYTES: u32 = 8 * SESSION_LEASES + 8;
/// Longest value that travels in one frame, in bytes: what fits a request fits the reply too, whose
/// fields before a value are longer.
pub const VALUE_BYTES: u32 = FRAME_PAYLOAD_BYTES - 64;
/// Most bytes of values in one reply of several; a retrieval that asks for more gets this.
pub const BATCH_BYTES: u32 = FRAME_PAYLOAD_BYTES - (1 << 21);
/// Longest message of an error, in bytes; the encoder cuts what is longer.
pub const MESSAGE_BYTES: u32 = 1000;
/// Longest name of a workspace or variable, in bytes.
pub const NAME_BYTES: u16 = 4096;
/// Longest owner label, in bytes.
pub const LABEL_BYTES: u16 = 256;
/// Most values in one frame: the server takes in and gives out so many without a pause that others notice.
pub const BATCH_VALUES: u32 = 1 << 12;
/// Most workspaces that one session may have open at a time.
pub const SESSION_WORKSPACES: u32 = 4096;
/// Most variable names that one session may have bound at a time.
pub const SESSION_VARIABLES: u32 = 1 << 16;
/// Most requests that one session may have waiting at a time.
pub const SESSION_WAITING: u32 = 1 << 16;
/// Most requests of all sessions together that may wait at a time.
pub const WAITING: u32 = 1_000_000;
/// Most ended sessions that may wait for one guardian to adopt them.
pub const SESSION_ORPHANS: u32 = 4096;
/// Most values that one session may hold by lease at a time.
pub const SESSION_LEASES: u32 = 1 << 20;
/// Longest part of a value that travels in parts, in bytes.
pub const PART_BYTES: u32 = 1 << 20;
/// Most values that one session may be sending in parts at a time.
pub const SESSION_TRANSFERS: u32 = 64;
/// Most values that one session may have open to be read in parts at a time.
pub const SESSION_READINGS: u32 = 1 << 16;
/// Longest wait, in milliseconds; longer ones are waits without end.
pub const WAIT_MS: u32 = u32::MAX - 1;
/// Shortest silence after which a session may ask to be ended, in milliseconds.
pub const SILENCE_MIN_MS: u32 = 100;
/// Silence after which a session ends where the client asked for nothing else, in milliseconds.
pub const SILENCE_DEFAULT_MS: u32 = 4000;

const _: () = {
    assert!(BATCH_VALUES <= SESSION_LEASES, "one batch must fit a session's leases");
    assert!(SESSION_WAITING <= WAITING, "one session may not wait more often than all together");
    assert!(PLAIN_PAYLOAD_BYTES < FRAME_PAYLOAD_BYTES);
    assert!(PART_BYTES + 8 <= PLAIN_PAYLOAD_BYTES, "a part must fit a frame");
    assert!(HANDSHAKE_PAYLOAD_BYTES < FRAME_PAYLOAD_BYTES);
    assert!(HANDSHAKE_PAYLOAD_BYTES > LABEL_BYTES as u32 + 256, "a hello with the longest label must fit");
    assert!(HANDSHAKE_PAYLOAD_BYTES >= MESSAGE_BYTES + 6, "a goodbye must fit a handshake's frame");
    assert!(NAME_BYTES < u16::MAX, "a name that was cut to its length field must still be too long");
    assert!(VALUE_BYTES + 20 + 18 <= FRAME_PAYLOAD_BYTES, "every value must fit a reply");
    assert!(BATCH_BYTES + 20 + 18 * BATCH_VALUES <= FRAME_PAYLOAD_BYTES, "every batch must fit a reply");
    assert!(SILENCE_MIN_MS < SILENCE_DEFAULT_MS);
};
