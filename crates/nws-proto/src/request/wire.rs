//! The bytes of requests.

use alloc::vec::Vec;
use bytes::Bytes;

use crate::codec::{FromFrame, list};
use crate::{
    Cursor, Descriptor, ErrorCode, Fault, FinishItem, Index, Item, LeaseId, Malformed, Mode, Opcode, OpenMode, Reader,
    Request, RequestId, Retrieve, Sink, VariableHandle, VariableId, Wait, WorkspaceHandle, limits,
};

const FLAG_OWN: u8 = 1;
const FLAG_PERSISTENT: u8 = 2;
const FLAG_CREATE: u8 = 4;
const FLAG_TAKE: u8 = 1;
const FLAG_LEASE: u8 = 2;
const FLAG_DIED: u8 = 1;
const FLAG_RECALLED: u8 = 2;
const FLAG_DONE: u8 = 4;

const CURSOR_MODE: u8 = 0;
const CURSOR_OLDEST: u8 = 1;
const CURSOR_AFTER: u8 = 2;

/// Least bytes of an item: descriptor and length.
const ITEM_BYTES: usize = 8;
/// Least bytes of a finished lease: its id and an item.
const FINISH_BYTES: usize = 8 + ITEM_BYTES;
const LEASE_BYTES: usize = 8;

impl<V> Request<V> {
    /// Writes the payload. The caller keeps to [`limits`]: a batch has 1 to
    /// [`limits::BATCH_VALUES`] values, and the whole is no longer than the server said in its
    /// welcome; [`Request::payload_bytes`] tells.
    pub fn encode(&self, sink: &mut impl Sink<V>) {
        match self {
            Request::Ping => {}
            Request::Cancel { target } => sink.put_u32(target.0),
            Request::Open { workspace, name, mode, create } => {
                sink.put_u32(workspace.0);
                sink.put_name(name);
                sink.put_u8(open_flags(*mode, *create));
            }
            Request::MakeTemporary { workspace, template: name } => {
                sink.put_u32(workspace.0);
                sink.put_name(name);
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
                items.iter().for_each(|item| item.encode(sink));
            }
            Request::Retrieve(retrieve) => retrieve.encode(sink),
            Request::Finish { variable, items } => {
                sink.put_u32(variable.0);
                sink.put_u32(items.len() as u32);
                for item in items {
                    sink.put_u64(item.lease.0);
                    item.result.encode(sink);
                }
            }
            Request::Release { leases, died, recalled } => {
                let flags = if *died { FLAG_DIED } else { 0 } | if *recalled { FLAG_RECALLED } else { 0 };
                put_release(sink, flags, leases);
            }
            Request::ReleaseDone { leases } => put_release(sink, FLAG_DONE, leases),
            Request::Adopt { wait } => wait.encode(sink),
        }
    }
}

impl Request<Bytes> {
    /// The length of the payload that [`Request::encode`] writes, in bytes: to refuse what is too
    /// long before it is built, or to reserve room.
    pub fn payload_bytes(&self) -> u64 {
        let mut length = Length(0);
        self.encode(&mut length);
        length.0
    }
}

impl<V> Request<V> {
    /// The same request with its values made into others, where each can be.
    ///
    /// # Errors
    /// The first that `make` gives.
    pub fn try_map<W, E>(self, mut make: impl FnMut(V) -> Result<W, E>) -> Result<Request<W>, E> {
        Ok(match self {
            Request::Store { variable, items } => {
                let items = items.into_iter().map(|item| item.try_map(&mut make));
                Request::Store { variable, items: items.collect::<Result<_, E>>()? }
            }
            Request::Finish { variable, items } => {
                let items = items
                    .into_iter()
                    .map(|item| Ok(FinishItem { lease: item.lease, result: item.result.try_map(&mut make)? }));
                Request::Finish { variable, items: items.collect::<Result<_, E>>()? }
            }
            Request::Ping => Request::Ping,
            Request::Cancel { target } => Request::Cancel { target },
            Request::Open { workspace, name, mode, create } => Request::Open { workspace, name, mode, create },
            Request::MakeTemporary { workspace, template } => Request::MakeTemporary { workspace, template },
            Request::CloseWorkspace { workspace } => Request::CloseWorkspace { workspace },
            Request::DeleteWorkspace { name } => Request::DeleteWorkspace { name },
            Request::ListWorkspaces { name } => Request::ListWorkspaces { name },
            Request::Bind { variable, workspace, name } => Request::Bind { variable, workspace, name },
            Request::Unbind { variable } => Request::Unbind { variable },
            Request::Declare { variable, mode } => Request::Declare { variable, mode },
            Request::DeleteVariable { variable } => Request::DeleteVariable { variable },
            Request::ListVariables { workspace } => Request::ListVariables { workspace },
            Request::Retrieve(retrieve) => Request::Retrieve(retrieve),
            Request::Release { leases, died, recalled } => Request::Release { leases, died, recalled },
            Request::ReleaseDone { leases } => Request::ReleaseDone { leases },
            Request::Adopt { wait } => Request::Adopt { wait },
        })
    }
}

impl<V: FromFrame> Request<V> {
    /// Reads the payload of a frame with this opcode. Values share the payload's memory.
    ///
    /// # Errors
    /// [`ErrorCode::UnknownOpcode`] or [`ErrorCode::MalformedFrame`]; the connection is to end.
    pub fn decode(opcode: u16, payload: Bytes) -> Result<Self, Fault> {
        decode(opcode, Reader::new(&payload), Self::read)
    }

    /// The same of a payload whose memory is wanted back: values are copies. For short ones that
    /// costs less than to share.
    ///
    /// # Errors
    /// As for [`Request::decode`].
    pub fn decode_copying(opcode: u16, payload: &[u8]) -> Result<Self, Fault> {
        decode(opcode, Reader::copying(payload), Self::read)
    }

    fn read(opcode: Opcode, reader: &mut Reader) -> Result<Option<Self>, Malformed> {
        Ok(Some(match opcode {
            Opcode::Ping => Request::Ping,
            Opcode::Cancel => Request::Cancel { target: RequestId(reader.u32("request id")?) },
            Opcode::Open => Self::read_open(reader)?,
            Opcode::MakeTemporary => {
                Request::MakeTemporary { workspace: workspace(reader)?, template: reader.name("template")? }
            }
            Opcode::CloseWorkspace => Request::CloseWorkspace { workspace: workspace(reader)? },
            Opcode::DeleteWorkspace => Request::DeleteWorkspace { name: reader.name("workspace name")? },
            Opcode::ListWorkspaces => {
                let one = reader.flag("0 to list all workspaces, 1 to list one")?;
                Request::ListWorkspaces { name: if one { Some(reader.name("workspace name")?) } else { None } }
            }
            Opcode::Bind => Request::Bind {
                variable: variable(reader)?,
                workspace: workspace(reader)?,
                name: reader.name("variable name")?,
            },
            Opcode::Unbind => Request::Unbind { variable: variable(reader)? },
            Opcode::Declare => Request::Declare {
                variable: variable(reader)?,
                mode: Mode::from_wire(reader.u8("mode")?).ok_or(Malformed { expected: "a mode from 1 to 4" })?,
            },
            Opcode::DeleteVariable => Request::DeleteVariable { variable: variable(reader)? },
            Opcode::ListVariables => Request::ListVariables { workspace: workspace(reader)? },
            Opcode::Store => {
                Request::Store { variable: variable(reader)?, items: batch(reader, ITEM_BYTES, Item::read)? }
            }
            Opcode::Retrieve => Request::Retrieve(Retrieve::read(reader)?),
            Opcode::Finish => {
                Request::Finish { variable: variable(reader)?, items: batch(reader, FINISH_BYTES, FinishItem::read)? }
            }
            Opcode::Release => Self::read_release(reader)?,
            Opcode::Adopt => Request::Adopt { wait: Wait::read(reader)? },
            _ => return Ok(None),
        }))
    }

    fn read_open(reader: &mut Reader) -> Result<Self, Malformed> {
        let workspace = workspace(reader)?;
        let name = reader.name("workspace name")?;
        let flags = reader.u8("open flags")?;
        let mode = match flags & !FLAG_CREATE {
            0 => OpenMode::Use,
            FLAG_OWN => OpenMode::Own { persistent: false },
            own if own == FLAG_OWN | FLAG_PERSISTENT => OpenMode::Own { persistent: true },
            _ => return Err(Malformed { expected: "open flags: 0 use, 1 own, 3 own and persistent, and 4 to create" }),
        };
        Ok(Request::Open { workspace, name, mode, create: flags & FLAG_CREATE != 0 })
    }

    fn read_release(reader: &mut Reader) -> Result<Self, Malformed> {
        let flags = reader.u8("release flags")?;
        if flags & !(FLAG_DIED | FLAG_RECALLED) != 0 && flags != FLAG_DONE {
            return Err(Malformed { expected: "release flags: 1 died, 2 recalled, or 4 done alone" });
        }
        let leases = list(reader, LEASE_BYTES, limits::SESSION_LEASES, |reader| reader.u64("lease").map(LeaseId))?;
        if flags == FLAG_DONE {
            return Ok(Request::ReleaseDone { leases });
        }
        Ok(Request::Release { leases, died: flags & FLAG_DIED != 0, recalled: flags & FLAG_RECALLED != 0 })
    }
}

fn put_release<V>(sink: &mut impl Sink<V>, flags: u8, leases: &[LeaseId]) {
    sink.put_u8(flags);
    sink.put_u32(leases.len() as u32);
    leases.iter().for_each(|lease| sink.put_u64(lease.0));
}

/// Counts what would be written.
struct Length(u64);

impl Sink<Bytes> for Length {
    fn put(&mut self, bytes: &[u8]) {
        self.0 += bytes.len() as u64;
    }
    fn put_value(&mut self, value: &Bytes) {
        self.0 += value.len() as u64;
    }
    fn value_len(value: &Bytes) -> u64 {
        value.len() as u64
    }
}

fn open_flags(mode: OpenMode, create: bool) -> u8 {
    let own = match mode {
        OpenMode::Own { persistent: true } => FLAG_OWN | FLAG_PERSISTENT,
        OpenMode::Own { persistent: false } => FLAG_OWN,
        OpenMode::Use => 0,
    };
    own | if create { FLAG_CREATE } else { 0 }
}

fn workspace(reader: &mut Reader) -> Result<WorkspaceHandle, Malformed> {
    reader.u32("workspace handle").map(WorkspaceHandle)
}

fn variable(reader: &mut Reader) -> Result<VariableHandle, Malformed> {
    reader.u32("variable handle").map(VariableHandle)
}

/// Values that follow their count, between 1 and [`limits::BATCH_VALUES`].
fn batch<T>(
    reader: &mut Reader,
    least_bytes: usize,
    read: impl Fn(&mut Reader) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let items = list(reader, least_bytes, limits::BATCH_VALUES, read)?;
    if items.is_empty() { Err(Malformed { expected: "at least one value" }) } else { Ok(items) }
}

impl<V> Item<V> {
    /// The same item with its value made into another, where it can be.
    ///
    /// # Errors
    /// What `make` gives.
    pub fn try_map<W, E>(self, make: impl FnOnce(V) -> Result<W, E>) -> Result<Item<W>, E> {
        Ok(Item { descriptor: self.descriptor, value: make(self.value)? })
    }

    pub(crate) fn encode(&self, sink: &mut impl Sink<V>) {
        sink.put_u32(self.descriptor.0);
        sink.put_sized_value(&self.value);
    }
}

impl<V: FromFrame> Item<V> {
    pub(crate) fn read(reader: &mut Reader) -> Result<Self, Malformed> {
        let descriptor = Descriptor(reader.u32("descriptor")?);
        Ok(Self { descriptor, value: reader.value("value")? })
    }
}

impl<V: FromFrame> FinishItem<V> {
    fn read(reader: &mut Reader) -> Result<Self, Malformed> {
        Ok(Self { lease: LeaseId(reader.u64("lease")?), result: Item::read(reader)? })
    }
}

impl Wait {
    /// A wait of no milliseconds travels as one millisecond, as 0 says not to wait at all.
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
            Cursor::Mode => sink.put_u8(CURSOR_MODE),
            Cursor::Oldest => sink.put_u8(CURSOR_OLDEST),
            Cursor::After { variable, index } => {
                sink.put_u8(CURSOR_AFTER);
                sink.put_u64(variable.0);
                sink.put_u64(index.0);
            }
        }
    }

    fn read(reader: &mut Reader) -> Result<Self, Malformed> {
        let variable = variable(reader)?;
        let flags = reader.u8("retrieve flags")?;
        if flags & !(FLAG_TAKE | FLAG_LEASE) != 0 || flags == FLAG_LEASE {
            return Err(Malformed { expected: "retrieve flags: 0 find, 1 fetch, 3 fetch by lease" });
        }
        let wait = Wait::read(reader)?;
        let max_values = reader.u32("most values")?;
        if max_values == 0 || max_values > limits::BATCH_VALUES {
            return Err(Malformed { expected: "1 to 4096 as the most values" });
        }
        // No reply may outgrow a frame, whatever the client has room for.
        let max_bytes = reader.u32("most bytes")?.min(limits::BATCH_BYTES);
        let cursor = match reader.u8("cursor")? {
            CURSOR_MODE => Cursor::Mode,
            CURSOR_OLDEST => Cursor::Oldest,
            CURSOR_AFTER => Cursor::After {
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

/// Reads one whole payload, where `read` knows the opcode.
pub(crate) fn decode<T>(
    opcode: u16,
    mut reader: Reader,
    read: impl Fn(Opcode, &mut Reader) -> Result<Option<T>, Malformed>,
) -> Result<T, Fault> {
    let known = Opcode::from_wire(opcode).ok_or_else(|| unknown(opcode))?;
    let malformed = |Malformed { expected }| {
        Fault::new(ErrorCode::MalformedFrame, alloc::format!("malformed {known:?} frame: expected {expected}"))
    };
    let frame = read(known, &mut reader).map_err(malformed)?.ok_or_else(|| unknown(opcode))?;
    reader.end().map_err(malformed)?;
    Ok(frame)
}

fn unknown(opcode: u16) -> Fault {
    Fault::new(ErrorCode::UnknownOpcode, alloc::format!("expected an opcode of protocol version 1, got {opcode:#06x}"))
}
