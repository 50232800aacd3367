//! Every limit of the protocol, in one place. The server's settings may lower them.

/// Longest payload of one frame, in bytes.
pub const FRAME_PAYLOAD_BYTES: u32 = 1 << 30;
/// Longest payload of a frame before the client has proved the token, in bytes.
pub const HANDSHAKE_PAYLOAD_BYTES: u32 = 1024;
/// Longest name of a workspace or variable, in bytes.
pub const NAME_BYTES: u16 = 4096;
/// Longest owner label, in bytes.
pub const LABEL_BYTES: u16 = 256;
/// Most values in one frame.
pub const BATCH_VALUES: u32 = 1 << 16;
/// Most workspaces that one session may have open at a time.
pub const SESSION_WORKSPACES: u32 = 4096;
/// Most variable names that one session may have bound at a time.
pub const SESSION_VARIABLES: u32 = 1 << 16;
/// Most requests that one session may have waiting at a time.
pub const SESSION_WAITING: u32 = 1 << 16;
/// Most values that one session may hold by lease at a time.
pub const SESSION_LEASES: u32 = 1 << 20;
/// Longest wait, in milliseconds; longer ones are waits without end.
pub const WAIT_MS: u32 = u32::MAX - 1;
/// Shortest silence after which a session may ask to be ended, in milliseconds.
pub const SILENCE_MIN_MS: u32 = 100;
/// Silence after which a session ends where the client asked for nothing else, in milliseconds.
pub const SILENCE_DEFAULT_MS: u32 = 4000;

const _: () = {
    assert!(BATCH_VALUES <= SESSION_LEASES, "one batch must fit a session's leases");
    assert!(HANDSHAKE_PAYLOAD_BYTES < FRAME_PAYLOAD_BYTES);
    assert!(HANDSHAKE_PAYLOAD_BYTES > LABEL_BYTES as u32 + 256, "a hello with the longest label must fit");
    assert!(SILENCE_MIN_MS < SILENCE_DEFAULT_MS);
};
