//! What a client asks.

use alloc::vec::Vec;
use bytes::Bytes;

use crate::{
    Descriptor, ErrorCode, Fault, Index, LeaseId, Malformed, Mode, Opcode, Reader, RequestId, Sink, VariableHandle,
    VariableId, WorkspaceHandle, limits,
};

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
    /// What to store in its stead in the variable that the request names.
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
    /// Waits until a session that named this one as its guardian has ended, and takes over its
    /// leases.
    Adopt {
        /// How long.
        wait: Wait,
    },
}

const FLAG_TAKE: u8 = 1;
const FLAG_LEASE: u8 = 2;
const FLAG_DIED: u8 = 1;
const FLAG_RECALLED: u8 = 2;
const FLAG_OWN: u8 = 1;
const FLAG_PERSISTENT: u8 = 2;
const FLAG_CREATE: u8 = 4;

impl<V> Request<V> {
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
            Request::Release { .. } => Opcode::Release,
            Request::Adopt { .. } => Opcode::Adopt,
        }
    }

    /// Writes the payload.
    pub fn encode(&self, sink: &mut impl Sink<V>) {
        match self {
            Request::Ping => {}
            Request::Cancel { target } => sink.put_u32(target.0),
            Request::Open { workspace, name, mode, create } => {
                sink.put_u32(workspace.0);
                sink.put_name(name);
                let own = match mode {
                    OpenMode::Own { persistent: true } => FLAG_OWN | FLAG_PERSISTENT,
                    OpenMode::Own { persistent: false } => FLAG_OWN,
                    OpenMode::Use => 0,
                };
                sink.put_u8(own | if *create { FLAG_CREATE } else { 0 });
            }
            Request::MakeTemporary { workspace, template } => {
                sink.put_u32(workspace.0);
                sink.put_name(template);
            }
            Request::CloseWorkspace { workspace } | Request::ListVariables { workspace } => sink.put_u32(workspace.0),
            Request::DeleteWorkspace { name } => sink.put_name(name),
            Request::ListWorkspaces { name } => {
                sink.put_u8(name.is_some().into());
                if let Some(name) = name {
                    sink.put_name(name);
                }
            }
            Request::Bind { variable, workspace, name } => {
                sink.put_u32(variable.0);
                sink.put_u32(workspace.0);
                sink.put_name(name);
            }
            Request::Unbind { variable } | Request::DeleteVariable { variable } => sink.put_u32(variable.0),
            Request::Declare { variable, mode } => {
                sink.put_u32(variable.0);
                sink.put_u8(mode.to_wire());
            }
            Request::Store { variable, items } => {
                sink.put_u32(variable.0);
                sink.put_u32(items.len() as u32);
                for item in items {
                    sink.put_u32(item.descriptor.0);
                    sink.put_sized_value(&item.value);
                }
            }
            Request::Retrieve(retrieve) => retrieve.encode(sink),
            Request::Finish { variable, items } => {
                sink.put_u32(variable.0);
                sink.put_u32(items.len() as u32);
                for item in items {
                    sink.put_u64(item.lease.0);
                    sink.put_u32(item.result.descriptor.0);
                    sink.put_sized_value(&item.result.value);
                }
            }
            Request::Release { leases, died, recalled } => {
                sink.put_u8(if *died { FLAG_DIED } else { 0 } | if *recalled { FLAG_RECALLED } else { 0 });
                sink.put_u32(leases.len() as u32);
                for lease in leases {
                    sink.put_u64(lease.0);
                }
            }
            Request::Adopt { wait } => wait.encode(sink),
        }
    }
}

impl Request<Bytes> {
    /// Reads the payload of a frame with this opcode. Values share the payload's memory.
    ///
    /// # Errors
    /// [`ErrorCode::UnknownOpcode`] or [`ErrorCode::MalformedFrame`]; the connection is to end.
    pub fn decode(opcode: u16, payload: Bytes) -> Result<Self, Fault> {
        let known = Opcode::from_wire(opcode).ok_or_else(|| unknown(opcode))?;
        let mut reader = Reader::new(payload);
        let request = Self::read(known, &mut reader).and_then(|request| match request {
            Some(request) => reader.end().map(|()| Some(request)),
            None => Ok(None),
        });
        match request {
            Ok(Some(request)) => Ok(request),
            Ok(None) => Err(unknown(opcode)),
            Err(malformed) => Err(malformed.into()),
        }
    }

    fn read(opcode: Opcode, reader: &mut Reader) -> Result<Option<Self>, Malformed> {
        Ok(Some(match opcode {
            Opcode::Ping => Request::Ping,
            Opcode::Cancel => Request::Cancel { target: RequestId(reader.u32("request")?) },
            Opcode::Open => {
                let workspace = WorkspaceHandle(reader.u32("workspace handle")?);
                let name = reader.name("workspace name")?;
                let flags = reader.u8("open flags")?;
                let mode = match flags & !FLAG_CREATE {
                    0 => OpenMode::Use,
                    FLAG_OWN => OpenMode::Own { persistent: false },
                    own if own == FLAG_OWN | FLAG_PERSISTENT => OpenMode::Own { persistent: true },
                    _ => return Err(Malformed { expected: "open flags" }),
                };
                Request::Open { workspace, name, mode, create: flags & FLAG_CREATE != 0 }
            }
            Opcode::MakeTemporary => Request::MakeTemporary {
                workspace: WorkspaceHandle(reader.u32("workspace handle")?),
                template: reader.name("template")?,
            },
            Opcode::CloseWorkspace => {
                Request::CloseWorkspace { workspace: WorkspaceHandle(reader.u32("workspace handle")?) }
            }
            Opcode::DeleteWorkspace => Request::DeleteWorkspace { name: reader.name("workspace name")? },
            Opcode::ListWorkspaces => {
                let one = reader.flag("0 or 1")?;
                Request::ListWorkspaces { name: if one { Some(reader.name("workspace name")?) } else { None } }
            }
            Opcode::Bind => Request::Bind {
                variable: VariableHandle(reader.u32("variable handle")?),
                workspace: WorkspaceHandle(reader.u32("workspace handle")?),
                name: reader.name("variable name")?,
            },
            Opcode::Unbind => Request::Unbind { variable: VariableHandle(reader.u32("variable handle")?) },
            Opcode::Declare => Request::Declare {
                variable: VariableHandle(reader.u32("variable handle")?),
                mode: Mode::from_wire(reader.u8("mode")?).ok_or(Malformed { expected: "a mode from 1 to 4" })?,
            },
            Opcode::DeleteVariable => {
                Request::DeleteVariable { variable: VariableHandle(reader.u32("variable handle")?) }
            }
            Opcode::ListVariables => {
                Request::ListVariables { workspace: WorkspaceHandle(reader.u32("workspace handle")?) }
            }
            Opcode::Store => Request::Store {
                variable: VariableHandle(reader.u32("variable handle")?),
                items: batch(reader, 8, Item::read)?,
            },
            Opcode::Retrieve => Request::Retrieve(Retrieve::read(reader)?),
            Opcode::Finish => Request::Finish {
                variable: VariableHandle(reader.u32("variable handle")?),
                items: batch(reader, 16, |reader| {
                    Ok(FinishItem { lease: LeaseId(reader.u64("lease")?), result: Item::read(reader)? })
                })?,
            },
            Opcode::Release => {
                let flags = reader.u8("release flags")?;
                if flags & !(FLAG_DIED | FLAG_RECALLED) != 0 {
                    return Err(Malformed { expected: "release flags" });
                }
                let count = reader.count(8, "lease count")?;
                let leases = (0..count).map(|_| reader.u64("lease").map(LeaseId)).collect::<Result<Vec<_>, _>>()?;
                Request::Release { leases, died: flags & FLAG_DIED != 0, recalled: flags & FLAG_RECALLED != 0 }
            }
            Opcode::Adopt => Request::Adopt { wait: Wait::read(reader)? },
            _ => return Ok(None),
        }))
    }
}

/// Items that follow their count, between 1 and [`limits::BATCH_VALUES`].
fn batch<T>(
    reader: &mut Reader,
    least_bytes: usize,
    read: impl Fn(&mut Reader) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let count = reader.count(least_bytes, "value count")?;
    if count == 0 || count > limits::BATCH_VALUES as usize {
        return Err(Malformed { expected: "1 to 65536 values in a frame" });
    }
    let mut items = Vec::with_capacity(count);
    for _ in 0..count {
        items.push(read(reader)?);
    }
    Ok(items)
}

impl Item<Bytes> {
    pub(crate) fn read(reader: &mut Reader) -> Result<Self, Malformed> {
        Ok(Self { descriptor: Descriptor(reader.u32("descriptor")?), value: reader.value("value")? })
    }
}

impl Wait {
    fn encode<V>(self, sink: &mut impl Sink<V>) {
        sink.put_u32(match self {
            Wait::No => 0,
            Wait::Ms(ms) => ms.clamp(1, limits::WAIT_MS),
            Wait::Forever => u32::MAX,
        });
    }

    fn read(reader: &mut Reader) -> Result<Self, Malformed> {
        Ok(match reader.u32("wait")? {
            0 => Wait::No,
            u32::MAX => Wait::Forever,
            ms => Wait::Ms(ms),
        })
    }
}

impl Retrieve {
    fn encode<V>(&self, sink: &mut impl Sink<V>) {
        sink.put_u32(self.variable.0);
        sink.put_u8(if self.take { FLAG_TAKE } else { 0 } | if self.lease { FLAG_LEASE } else { 0 });
        self.wait.encode(sink);
        sink.put_u32(self.max_values);
        sink.put_u32(self.max_bytes);
        match self.cursor {
            Cursor::Mode => sink.put_u8(0),
            Cursor::Oldest => sink.put_u8(1),
            Cursor::After { variable, index } => {
                sink.put_u8(2);
                sink.put_u64(variable.0);
                sink.put_u64(index.0);
            }
        }
    }

    fn read(reader: &mut Reader) -> Result<Self, Malformed> {
        let variable = VariableHandle(reader.u32("variable handle")?);
        let flags = reader.u8("retrieve flags")?;
        if flags & !(FLAG_TAKE | FLAG_LEASE) != 0 || flags == FLAG_LEASE {
            return Err(Malformed { expected: "retrieve flags: 0 find, 1 fetch, 3 fetch by lease" });
        }
        let wait = Wait::read(reader)?;
        let max_values = reader.u32("most values")?;
        if max_values == 0 || max_values > limits::BATCH_VALUES {
            return Err(Malformed { expected: "1 to 65536 as the most values" });
        }
        let max_bytes = reader.u32("most bytes")?;
        let cursor = match reader.u8("cursor")? {
            0 => Cursor::Mode,
            1 => Cursor::Oldest,
            2 => Cursor::After {
                variable: VariableId(reader.u64("variable id")?),
                index: Index(reader.u64("value index")?),
            },
            _ => return Err(Malformed { expected: "a cursor from 0 to 2" }),
        };
        let (take, lease) = (flags & FLAG_TAKE != 0, flags & FLAG_LEASE != 0);
        Ok(Self { variable, take, lease, wait, cursor, max_values, max_bytes })
    }
}

impl From<Malformed> for Fault {
    fn from(malformed: Malformed) -> Self {
        Fault::new(ErrorCode::MalformedFrame, alloc::format!("{malformed}"))
    }
}

pub(crate) fn unknown(opcode: u16) -> Fault {
    Fault::new(ErrorCode::UnknownOpcode, alloc::format!("expected an opcode of protocol version 1, got {opcode:#06x}"))
}
