//! What a server may set.

use alloc::vec::Vec;
use nws_proto::limits;

use crate::chores::PART_UNITS;

/// Limits of one core. The defaults are those of the protocol; a server may lower them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Longest name of a workspace or variable, in bytes.
    pub name_bytes: u32,
    /// Most values in one request or reply.
    pub batch_values: u32,
    /// Most bytes of values in one reply of several.
    pub batch_bytes: u32,
    /// Most workspaces that one session may have open at a time.
    pub session_workspaces: u32,
    /// Most variable names that one session may have bound at a time.
    pub session_variables: u32,
    /// Most requests that one session may have waiting at a time.
    pub session_waiting: u32,
    /// Most requests of all sessions that may wait at a time.
    pub waiting: u32,
    /// Most ended sessions that may wait for one guardian to adopt them. The leases of further ones are
    /// returned as if they had no guardian.
    pub session_orphans: u32,
    /// Most values that one session may hold by lease at a time. What a guardian adopts comes on
    /// top.
    pub session_leases: u32,
    /// Longest value, in bytes.
    pub value_bytes: u64,
    /// Most bytes that values kept and leased, and names, may take at a time.
    pub values_bytes: u64,
    /// What is done at once of a large deletion, or of the end of a session that holds much, in units
    /// of some 100 ns. The rest of it is done in parts of this size.
    pub part_units: usize,
    /// Ends the names of temporary workspaces; the same for one run of the server, and another in
    /// every run.
    pub temporary_suffix: Vec<u8>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name_bytes: limits::NAME_BYTES.into(),
            batch_values: limits::BATCH_VALUES,
            batch_bytes: limits::BATCH_BYTES,
            session_workspaces: limits::SESSION_WORKSPACES,
            session_variables: limits::SESSION_VARIABLES,
            session_waiting: limits::SESSION_WAITING,
            waiting: limits::WAITING,
            session_orphans: limits::SESSION_ORPHANS,
            session_leases: limits::SESSION_LEASES,
            value_bytes: u64::MAX,
            values_bytes: u64::MAX,
            part_units: PART_UNITS,
            temporary_suffix: Vec::new(),
        }
    }
}
