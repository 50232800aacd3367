//! What a client asks.

mod wire;

use alloc::vec::Vec;

pub(crate) use wire::decode;

use crate::{Descriptor, Index, LeaseId, Mode, Opcode, RequestId, VariableHandle, VariableId, WorkspaceHandle};

/// A value with the bits that say how it is to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item<V> {
    /// How the bytes are to be read.
    pub descriptor: Descriptor,
    /// The bytes, or a handle to them.
    pub value: V,
}

/// Whether opening a workspace may make the opener its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// The opener becomes the owner of a workspace that never had one.
    Own {
        /// Whether the workspace outlives its owner; counts only for who becomes owner.
        persistent: bool,
    },
    /// The opener never becomes the owner.
    Use,
}

/// How long a retrieval waits for a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Not at all: the Try forms.
    No,
    /// This many milliseconds, then [`crate::Reply::TimedOut`].
    Ms(u32),
    /// Until there is one.
    Forever,
}

/// Where a retrieval looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cursor {
    /// Where the variable's mode says.
    Mode,
    /// At the oldest value kept: an iterator that has seen nothing yet.
    Oldest,
    /// At the first value kept after this one: an iterator that has seen it.
    After {
        /// The instance of the variable that the iterator began on.
        variable: VariableId,
        /// The last value seen.
        index: Index,
    },
}

/// A fetch or find in all its forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retrieve {
    /// Where from.
    pub variable: VariableHandle,
    /// Take the values away (fetch) or read them (find).
    pub take: bool,
    /// Take them by lease, to be finished or released later. Only with `take`.
    pub lease: bool,
    /// How long to wait where there is none.
    pub wait: Wait,
    /// Where to look.
    pub cursor: Cursor,
    /// At most this many values; a find without an iterator gives one. At least 1.
    pub max_values: u32,
    /// No further value where the sum of their bytes would pass this; the first always goes.
    pub max_bytes: u32,
}

/// A leased value that is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinishItem<V> {
    /// Which.
    pub lease: LeaseId,
    /// What to store in its stead in the variable that the request names; nothing where it is empty and
    /// its descriptor is [`Descriptor::NOTHING`], as when one item has the results of several.
    pub result: Item<V>,
}

/// What a client asks. Every request is answered by exactly one [`crate::Reply`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request<V> {
    /// Is anybody there? Either end may ask.
    Ping,
    /// Ends the wait of a request in flight; done also where it was answered already.
    Cancel {
        /// The request that waits.
        target: RequestId,
    },
    /// Opens or uses a workspace under a handle of the client's choice.
    Open {
        /// To be bound.
        workspace: WorkspaceHandle,
        /// The workspace's name.
        name: Vec<u8>,
        /// Whether the client is willing to own it.
        mode: OpenMode,
        /// Whether to make it where there is none.
        create: bool,
    },
    /// Makes a workspace with a name that nobody has, and uses it.
    MakeTemporary {
        /// To be bound.
        workspace: WorkspaceHandle,
        /// A printf format with one integer conversion.
        template: Vec<u8>,
    },
    /// Forgets a handle and the variables bound through it. Ownership stays.
    CloseWorkspace {
        /// To be forgotten.
        workspace: WorkspaceHandle,
    },
    /// Deletes what bears the name now.
    DeleteWorkspace {
        /// The workspace's name.
        name: Vec<u8>,
    },
    /// Lists all workspaces, or one.
    ListWorkspaces {
        /// Only this one.
        name: Option<Vec<u8>>,
    },
    /// Binds a variable's name to a handle of the client's choice. Makes no variable.
    Bind {
        /// To be bound.
        variable: VariableHandle,
        /// The workspace it is in.
        workspace: WorkspaceHandle,
        /// The variable's name.
        name: Vec<u8>,
    },
    /// Forgets a variable's handle.
    Unbind {
        /// To be forgotten.
        variable: VariableHandle,
    },
    /// Gives a variable its mode.
    Declare {
        /// Which.
        variable: VariableHandle,
        /// The mode that it has or shall have.
        mode: Mode,
    },
    /// Deletes a variable with its values; who waits on it is told.
    DeleteVariable {
        /// Which.
        variable: VariableHandle,
    },
    /// Lists a workspace's variables.
    ListVariables {
        /// Which workspace.
        workspace: WorkspaceHandle,
    },
    /// Adds values, in this order. All or none.
    Store {
        /// Where to.
        variable: VariableHandle,
        /// At least one.
        items: Vec<Item<V>>,
    },
    /// Fetches or finds.
    Retrieve(Retrieve),
    /// Ends leases, storing a result for each in the same step.
    Finish {
        /// Where the results go.
        variable: VariableHandle,
        /// Each by itself: one whose lease has ended is refused, the others hold.
        items: Vec<FinishItem<V>>,
    },
    /// Gives leased values back to their places; leases that have ended are passed over.
    Release {
        /// Which.
        leases: Vec<LeaseId>,
        /// Count a death on each.
        died: bool,
        /// This answers an [`crate::Event::Recall`]; the list may be empty then.
        recalled: bool,
    },
    /// Ends leases whose values are done, with nothing in their stead; on the wire a flag of
    /// [`Opcode::Release`].
    ReleaseDone {
        /// Each by itself: one that has ended is refused, the others hold.
        leases: Vec<LeaseId>,
    },
    /// Waits until a session that named this one as its guardian has ended, and takes over its
    /// leases.
    Adopt {
        /// How long.
        wait: Wait,
    },
}

impl<V> Request<V> {
    /// Whether it may wait, and not without end.
    #[inline]
    pub const fn waits_for_a_time(&self) -> bool {
        matches!(self, Request::Retrieve(Retrieve { wait: Wait::Ms(_), .. }) | Request::Adopt { wait: Wait::Ms(_) })
    }

    /// How many values it brings.
    pub fn values(&self) -> usize {
        match self {
            Request::Store { items, .. } => items.len(),
            Request::Finish { items, .. } => items.len(),
            _ => 0,
        }
    }

    /// What the frame's header says.
    pub const fn opcode(&self) -> Opcode {
        match self {
            Request::Ping => Opcode::Ping,
            Request::Cancel { .. } => Opcode::Cancel,
            Request::Open { .. } => Opcode::Open,
            Request::MakeTemporary { .. } => Opcode::MakeTemporary,
            Request::CloseWorkspace { .. } => Opcode::CloseWorkspace,
            Request::DeleteWorkspace { .. } => Opcode::DeleteWorkspace,
            Request::ListWorkspaces { .. } => Opcode::ListWorkspaces,
            Request::Bind { .. } => Opcode::Bind,
            Request::Unbind { .. } => Opcode::Unbind,
            Request::Declare { .. } => Opcode::Declare,
            Request::DeleteVariable { .. } => Opcode::DeleteVariable,
            Request::ListVariables { .. } => Opcode::ListVariables,
            Request::Store { .. } => Opcode::Store,
            Request::Retrieve(_) => Opcode::Retrieve,
            Request::Finish { .. } => Opcode::Finish,
            Request::Release { .. } | Request::ReleaseDone { .. } => Opcode::Release,
            Request::Adopt { .. } => Opcode::Adopt,
        }
    }
}
