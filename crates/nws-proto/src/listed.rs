//! What listings tell.

use alloc::vec::Vec;

use crate::codec::list;
use crate::{Malformed, Mode, Reader, Sink};

/// One workspace in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkspaceInfo {
    /// Its name.
    pub name: Vec<u8>,
    /// `ADDRESS (LABEL)` of who owns it, empty where nobody does.
    pub owner: Vec<u8>,
    /// Whether this session owns it.
    pub mine: bool,
    /// Whether it outlives its owner.
    pub persistent: bool,
    /// The names of its variables, sorted.
    pub variables: Vec<Vec<u8>>,
}

/// One variable in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VariableInfo {
    /// Its name.
    pub name: Vec<u8>,
    /// Values kept, without those that are leased.
    pub values: u64,
    /// Values handed out by lease and not finished.
    pub leased: u64,
    /// Fetches that wait.
    pub fetchers: u32,
    /// Finds that wait.
    pub finders: u32,
    /// `None` as long as nobody stored to it or declared it.
    pub mode: Option<Mode>,
}

impl WorkspaceInfo {
    /// Writes it as it stands in a listing, but for the names of its variables: so many follow, each by
    /// [`Sink::put_name`].
    pub fn encode_head<V>(&self, sink: &mut impl Sink<V>, variables: u32) {
        sink.put_name(&self.name);
        sink.put_name(&self.owner);
        sink.put_u8(u8::from(self.mine) | u8::from(self.persistent) << 1);
        sink.put_u32(variables);
    }

    pub(crate) fn read(reader: &mut Reader) -> Result<Self, Malformed> {
        let name = reader.name("workspace name")?;
        let owner = reader.name("owner")?;
        let flags = reader.u8("workspace flags")?;
        if flags > 3 {
            return Err(Malformed { expected: "workspace flags" });
        }
        let variables = list(reader, 2, u32::MAX, |reader| reader.name("variable name"))?;
        Ok(Self { name, owner, mine: flags & 1 != 0, persistent: flags & 2 != 0, variables })
    }
}

impl VariableInfo {
    /// Writes it as it stands in a listing.
    pub fn encode<V>(&self, sink: &mut impl Sink<V>) {
        sink.put_name(&self.name);
        sink.put_u64(self.values);
        sink.put_u64(self.leased);
        sink.put_u32(self.fetchers);
        sink.put_u32(self.finders);
        sink.put_u8(self.mode.map_or(0, Mode::to_wire));
    }

    pub(crate) fn read(reader: &mut Reader) -> Result<Self, Malformed> {
        Ok(Self {
            name: reader.name("variable name")?,
            values: reader.u64("values")?,
            leased: reader.u64("leased values")?,
            fetchers: reader.u32("fetchers")?,
            finders: reader.u32("finders")?,
            mode: match reader.u8("mode")? {
                0 => None,
                byte => Some(Mode::from_wire(byte).ok_or(Malformed { expected: "a mode from 0 to 4" })?),
            },
        })
    }
}
