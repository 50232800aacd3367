//! The facts that a journal could write down, and from which the state could be told again.

use nws_proto::{Index, Item, LeaseId, Mode, SessionId, VariableId};

/// Something that has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact<'a, V> {
    /// A workspace came to be.
    WorkspaceMade {
        /// Its name.
        name: &'a [u8],
    },
    /// A workspace got its owner.
    WorkspaceOwned {
        /// Its name.
        name: &'a [u8],
        /// The owner's text.
        owner: &'a [u8],
        /// Whether it outlives its owner.
        persistent: bool,
    },
    /// A workspace went, and all its variables with it.
    WorkspaceDeleted {
        /// Its name.
        name: &'a [u8],
    },
    /// A variable came to be.
    VariableMade {
        /// From now on known by this.
        variable: VariableId,
        /// Its workspace's name.
        workspace: &'a [u8],
        /// Its name.
        name: &'a [u8],
    },
    /// A variable got its mode.
    Declare {
        /// Which.
        variable: VariableId,
        /// The mode.
        mode: Mode,
    },
    /// A variable went, with its values and their leases.
    VariableDeleted {
        /// Which.
        variable: VariableId,
    },
    /// A value came in; in single, those before it went.
    Put {
        /// Where.
        variable: VariableId,
        /// Its place.
        index: Index,
        /// The value.
        item: &'a Item<V>,
    },
    /// A value was fetched, and is gone.
    Take {
        /// Where from.
        variable: VariableId,
        /// Which.
        index: Index,
    },
    /// A value was fetched by lease.
    Lease {
        /// Where from.
        variable: VariableId,
        /// Which.
        index: Index,
        /// Its lease.
        lease: LeaseId,
        /// Who holds it.
        session: SessionId,
    },
    /// A lease ended, and its value is gone.
    Finish {
        /// Where the value came from.
        variable: VariableId,
        /// Which value.
        index: Index,
    },
    /// A value that was handed out came back.
    Restore {
        /// Where to.
        variable: VariableId,
        /// Its place.
        index: Index,
        /// How many holders died of it so far.
        deaths: u16,
    },
    /// A value in single went, as a newer one had come.
    Replaced {
        /// Where.
        variable: VariableId,
        /// Which.
        index: Index,
    },
}

/// Writes facts down in the order in which they happen.
pub trait Journal<V> {
    /// Writes one down.
    fn record(&mut self, fact: Fact<'_, V>);
}

/// No journal.
impl<V> Journal<V> for () {
    #[inline(always)]
    fn record(&mut self, _fact: Fact<'_, V>) {}
}
