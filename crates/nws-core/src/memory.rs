//! What the limit on memory counts: values, and beside them names with their entries in the tables.

use nws_proto::Fault;

use crate::core::Core;
use crate::effect::Payload;
use crate::fault;

/// A workspace beside its name: its entry, its owner's text, its tables.
const WORKSPACE_BYTES: u64 = 1024;
/// A variable beside its name, when it holds nothing.
const VARIABLE_BYTES: u64 = 512;
/// What a session has opened or bound, beside its name.
const HANDLE_BYTES: u64 = 128;
/// Names may take this much, and this part of the limit, where values have taken everything: who is to
/// fetch or delete has to open and bind first.
const RESERVE_BYTES: u64 = 1 << 20;
const RESERVE_PART: u64 = 8;

/// A name stands in its item and in the table that finds it.
pub(crate) fn workspace_bytes(name: &[u8]) -> u64 {
    WORKSPACE_BYTES + 2 * name.len() as u64
}

/// A name stands in its item and in the table that finds it.
pub(crate) fn variable_bytes(name: &[u8]) -> u64 {
    VARIABLE_BYTES + 2 * name.len() as u64
}

/// What a session keeps for a name that it has bound, or for a workspace that it has opened.
pub(crate) fn handle_bytes(name: &[u8]) -> u64 {
    HANDLE_BYTES + name.len() as u64
}

impl<V: Payload, J> Core<V, J> {
    fn taken_bytes(&self) -> u64 {
        self.bytes.saturating_add(self.undelivered_bytes).saturating_add(self.names_bytes)
    }

    /// Whether values that take this much find room.
    ///
    /// # Errors
    /// `MemoryFull`.
    pub(crate) fn check_room_for_values(&self, more_bytes: u64) -> Result<(), Fault> {
        let most = self.settings.values_bytes;
        if self.taken_bytes().saturating_add(more_bytes) <= most { Ok(()) } else { Err(fault::memory_full(most)) }
    }

    /// Whether a name with its entries that takes this much finds room.
    ///
    /// # Errors
    /// `MemoryFull`.
    pub(crate) fn check_room_for_names(&self, more_bytes: u64) -> Result<(), Fault> {
        let most = self.settings.values_bytes;
        let with_reserve = most.saturating_add(most / RESERVE_PART).saturating_add(RESERVE_BYTES);
        let after = self.taken_bytes().saturating_add(more_bytes);
        if after <= with_reserve { Ok(()) } else { Err(fault::memory_full(most)) }
    }
}
