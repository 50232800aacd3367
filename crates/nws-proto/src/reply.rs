//! What the server answers, and what it says unasked.

use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;

use crate::codec::{FromFrame, list};
use crate::listed::{VariableInfo, WorkspaceInfo};
use crate::request::decode;
use crate::{
    ErrorCode, Fault, Index, Item, LeaseId, Malformed, Opcode, Reader, SessionId, Sink, VariableHandle, VariableId,
    limits,
};

/// One value handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant<V> {
    /// Its place in the variable.
    pub index: Index,
    /// How many holders died of it so far.
    pub deaths: u16,
    /// The value.
    pub item: Item<V>,
}

/// A lease that a guardian takes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrphanedLease {
    /// Now the guardian's.
    pub lease: LeaseId,
    /// The value's place in its variable.
    pub index: Index,
    /// How many holders died of it so far.
    pub deaths: u16,
}

/// What a guardian takes over from a session that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adopted {
    /// The session that ended.
    pub session: SessionId,
    /// What it held, in the order of lease ids.
    pub leases: Vec<OrphanedLease>,
}

/// What the server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply<V> {
    /// It is done, and there is nothing more to say.
    Done,
    /// It is not done, and nothing changed.
    Failed(Fault),
    /// The wait is over and there was nothing.
    TimedOut,
    /// The client ended the wait itself.
    Canceled,
    /// A workspace is open.
    Opened {
        /// Its name: the one asked for, or the one made.
        name: Vec<u8>,
        /// Whether this session owns it.
        owned: bool,
    },
    /// The workspaces, sorted by name.
    Workspaces(Vec<WorkspaceInfo>),
    /// The variables, sorted by name.
    Variables(Vec<VariableInfo>),
    /// Values; none where a Try form found nothing.
    Values {
        /// The instance of the variable that they come from, for iterators.
        variable: VariableId,
        /// The lease of the first one, the others' follow by one; 0: not leased.
        first_lease: LeaseId,
        /// In order of retrieval.
        values: Vec<Grant<V>>,
    },
    /// The leases are ended and the results stored, but for these.
    Finished {
        /// Positions in the request, and why.
        refused: Vec<(u32, ErrorCode)>,
    },
    /// A session in this one's care has ended.
    Adopted(Adopted),
    /// Somebody is there.
    Pong,
}

/// What the server says unasked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Others wait for values of this variable while this session holds some that it may not have
    /// begun: it shall release what it can spare, and say `recalled` even if that is nothing.
    Recall {
        /// As this session bound it.
        variable: VariableHandle,
        /// How many would help.
        wanted: u32,
    },
    /// The server ends this connection, for this reason.
    Goodbye(Fault),
}

impl<V> Reply<V> {
    /// What the frame's header says.
    pub const fn opcode(&self) -> Opcode {
        match self {
            Reply::Done => Opcode::Done,
            Reply::Failed(_) => Opcode::Failed,
            Reply::TimedOut => Opcode::TimedOut,
            Reply::Canceled => Opcode::Canceled,
            Reply::Opened { .. } => Opcode::Opened,
            Reply::Workspaces(_) => Opcode::Workspaces,
            Reply::Variables(_) => Opcode::Variables,
            Reply::Values { .. } => Opcode::Values,
            Reply::Finished { .. } => Opcode::Finished,
            Reply::Adopted(_) => Opcode::Adopted,
            Reply::Pong => Opcode::Pong,
        }
    }

    /// Writes the payload.
    pub fn encode(&self, sink: &mut impl Sink<V>) {
        match self {
            Reply::Done | Reply::TimedOut | Reply::Canceled | Reply::Pong => {}
            Reply::Failed(fault) => fault.encode(sink),
            Reply::Opened { name, owned } => {
                sink.put_name(name);
                sink.put_u8((*owned).into());
            }
            Reply::Workspaces(workspaces) => {
                sink.put_u32(workspaces.len() as u32);
                for workspace in workspaces {
                    workspace.encode_head(sink, workspace.variables.len() as u32);
                    workspace.variables.iter().for_each(|name| sink.put_name(name));
                }
            }
            Reply::Variables(variables) => {
                sink.put_u32(variables.len() as u32);
                variables.iter().for_each(|variable| variable.encode(sink));
            }
            Reply::Values { variable, first_lease, values } => {
                sink.put_u64(variable.0);
                sink.put_u64(first_lease.0);
                sink.put_u32(values.len() as u32);
                for grant in values {
                    sink.put_u64(grant.index.0);
                    sink.put_u16(grant.deaths);
                    grant.item.encode(sink);
                }
            }
            Reply::Finished { refused } => {
                sink.put_u32(refused.len() as u32);
                for (position, code) in refused {
                    sink.put_u32(*position);
                    sink.put_u16(code.to_wire());
                }
            }
            Reply::Adopted(adopted) => {
                sink.put_u64(adopted.session.0);
                sink.put_u32(adopted.leases.len() as u32);
                for orphan in &adopted.leases {
                    sink.put_u64(orphan.lease.0);
                    sink.put_u64(orphan.index.0);
                    sink.put_u16(orphan.deaths);
                }
            }
        }
    }
}

impl<V> Reply<V> {
    /// The same reply with its values made into others, where each can be.
    ///
    /// # Errors
    /// The first that `make` gives.
    pub fn try_map<W, E>(self, mut make: impl FnMut(V) -> Result<W, E>) -> Result<Reply<W>, E> {
        Ok(match self {
            Reply::Values { variable, first_lease, values } => {
                let values = values.into_iter().map(|grant| {
                    Ok(Grant { index: grant.index, deaths: grant.deaths, item: grant.item.try_map(&mut make)? })
                });
                Reply::Values { variable, first_lease, values: values.collect::<Result<_, E>>()? }
            }
            Reply::Done => Reply::Done,
            Reply::Failed(fault) => Reply::Failed(fault),
            Reply::TimedOut => Reply::TimedOut,
            Reply::Canceled => Reply::Canceled,
            Reply::Opened { name, owned } => Reply::Opened { name, owned },
            Reply::Workspaces(workspaces) => Reply::Workspaces(workspaces),
            Reply::Variables(variables) => Reply::Variables(variables),
            Reply::Finished { refused } => Reply::Finished { refused },
            Reply::Adopted(adopted) => Reply::Adopted(adopted),
            Reply::Pong => Reply::Pong,
        })
    }
}

impl<V: FromFrame> Reply<V> {
    /// Reads the payload of a frame with this opcode. Values share the payload's memory.
    ///
    /// # Errors
    /// [`ErrorCode::UnknownOpcode`] or [`ErrorCode::MalformedFrame`]; the connection is to end.
    pub fn decode(opcode: u16, payload: Bytes) -> Result<Self, Fault> {
        decode(opcode, Reader::new(&payload), Self::read)
    }

    fn read(opcode: Opcode, reader: &mut Reader) -> Result<Option<Self>, Malformed> {
        Ok(Some(match opcode {
            Opcode::Done => Reply::Done,
            Opcode::Failed => Reply::Failed(Fault::read(reader)?),
            Opcode::TimedOut => Reply::TimedOut,
            Opcode::Canceled => Reply::Canceled,
            Opcode::Opened => Reply::Opened { name: reader.name("workspace name")?, owned: reader.flag("0 or 1")? },
            Opcode::Workspaces => Reply::Workspaces(list(reader, 9, u32::MAX, WorkspaceInfo::read)?),
            Opcode::Variables => Reply::Variables(list(reader, 27, u32::MAX, VariableInfo::read)?),
            Opcode::Values => Self::read_values(reader)?,
            Opcode::Finished => Reply::Finished {
                refused: list(reader, 6, limits::BATCH_VALUES, |reader| {
                    let position = reader.u32("position")?;
                    Ok((position, read_code(reader)?))
                })?,
            },
            Opcode::Adopted => Reply::Adopted(Adopted {
                session: SessionId(reader.u64("session")?),
                // A guardian of guardians may have taken over more than a session can fetch.
                leases: list(reader, 18, u32::MAX, OrphanedLease::read)?,
            }),
            Opcode::Pong => Reply::Pong,
            _ => return Ok(None),
        }))
    }

    fn read_values(reader: &mut Reader) -> Result<Self, Malformed> {
        let variable = VariableId(reader.u64("variable id")?);
        let first_lease = LeaseId(reader.u64("lease")?);
        let values = list(reader, 18, limits::BATCH_VALUES, Grant::read)?;
        // Whoever counts the leases up from the first one must not run over the end.
        if first_lease.0.checked_add(values.len() as u64).is_none() {
            return Err(Malformed { expected: "a lease id for every value" });
        }
        Ok(Reply::Values { variable, first_lease, values })
    }
}

impl Event {
    /// What the frame's header says.
    pub const fn opcode(&self) -> Opcode {
        match self {
            Event::Recall { .. } => Opcode::Recall,
            Event::Goodbye(_) => Opcode::Goodbye,
        }
    }

    /// Writes the payload.
    pub fn encode(&self, sink: &mut impl Sink<Bytes>) {
        match self {
            Event::Recall { variable, wanted } => {
                sink.put_u32(variable.0);
                sink.put_u32(*wanted);
            }
            Event::Goodbye(fault) => fault.encode(sink),
        }
    }

    /// Reads the payload of a frame with this opcode.
    ///
    /// # Errors
    /// [`ErrorCode::UnknownOpcode`] or [`ErrorCode::MalformedFrame`]; the connection is to end.
    pub fn decode(opcode: u16, payload: Bytes) -> Result<Self, Fault> {
        decode(opcode, Reader::new(&payload), Self::read)
    }

    fn read(opcode: Opcode, reader: &mut Reader) -> Result<Option<Self>, Malformed> {
        Ok(Some(match opcode {
            Opcode::Recall => Event::Recall {
                variable: VariableHandle(reader.u32("variable handle")?),
                wanted: reader.u32("wanted values")?,
            },
            Opcode::Goodbye => Event::Goodbye(Fault::read(reader)?),
            _ => return Ok(None),
        }))
    }
}

fn read_code(reader: &mut Reader) -> Result<ErrorCode, Malformed> {
    ErrorCode::from_wire(reader.u16("error code")?).ok_or(Malformed { expected: "a known error code" })
}

impl Fault {
    fn encode<V>(&self, sink: &mut impl Sink<V>) {
        sink.put_u16(self.code.to_wire());
        sink.put_text(cut(&self.message, limits::MESSAGE_BYTES as usize));
    }

    fn read(reader: &mut Reader) -> Result<Self, Malformed> {
        let code = read_code(reader)?;
        let message: String = reader.text("message")?;
        if message.len() > limits::MESSAGE_BYTES as usize {
            return Err(Malformed { expected: "a message of at most 1000 bytes" });
        }
        Ok(Fault { code, message })
    }
}

/// The longest start of `text` that has at most `most_bytes` and ends between two characters.
fn cut(text: &str, most_bytes: usize) -> &str {
    let mut end = text.len().min(most_bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

impl OrphanedLease {
    fn read(reader: &mut Reader) -> Result<Self, Malformed> {
        Ok(Self {
            lease: LeaseId(reader.u64("lease")?),
            index: Index(reader.u64("value index")?),
            deaths: reader.u16("deaths")?,
        })
    }
}

impl<V: FromFrame> Grant<V> {
    fn read(reader: &mut Reader) -> Result<Self, Malformed> {
        Ok(Self { index: Index(reader.u64("value index")?), deaths: reader.u16("deaths")?, item: Item::read(reader)? })
    }
}
