//! Values from what can be read, and to what can be written.

use std::io::{self, Read, Write};

use bytes::Bytes;
use nws_proto::{Descriptor, limits};

use super::{LongStore, LongValue};
use crate::{Error, Workspace};

/// Stores all that can be read, as one value; how many bytes that were.
pub(crate) fn store_from(
    workspace: &Workspace,
    variable: &[u8],
    descriptor: Descriptor,
    mut reader: impl Read,
) -> Result<u64, Error> {
    let mut store = LongStore::new(workspace.clone());
    let mut length = 0;
    loop {
        let part = fill(&mut reader, limits::PART_BYTES as usize)
            .map_err(|error| Error::io("reading what is to be stored", &error))?;
        if part.is_empty() {
            store.store(variable, descriptor).wait()?;
            return Ok(length);
        }
        length += part.len() as u64;
        store.wait_push(part)?;
    }
}

/// Reads until there are so many bytes, or no more.
fn fill(reader: &mut impl Read, most: usize) -> io::Result<Bytes> {
    let mut bytes = Vec::with_capacity(most);
    reader.by_ref().take(most as u64).read_to_end(&mut bytes)?;
    Ok(bytes.into())
}

/// Writes a value, and is done with it; if that fails a fetched one is back at its place.
pub(crate) fn write_to(mut value: LongValue, mut writer: impl Write) -> Result<Descriptor, Error> {
    let failed = |error| Error::io("writing the value", &error);
    while let Some(part) = value.wait_next_part()? {
        writer.write_all(&part).map_err(failed)?;
    }
    writer.flush().map_err(failed)?;
    let descriptor = value.descriptor();
    value.done().wait()?;
    Ok(descriptor)
}
