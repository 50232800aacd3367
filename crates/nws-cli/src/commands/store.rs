//! `nws store`: adds values to a variable.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use nws_client::Value;

use crate::exit::{Exit, Failure};
use crate::names;
use crate::remote::WorkspaceChoice;
use crate::value::{self, As};

/// Add values to a variable.
///
/// The variable comes into being with its first value, and is fifo unless it was declared otherwise;
/// so does the workspace, which stays until it is deleted.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The variable.
    variable: OsString,
    /// The values, in this order; - reads one from standard input.
    #[arg(value_name = "VALUE", required_unless_present = "file", allow_negative_numbers = true)]
    values: Vec<OsString>,
    /// Store what this file holds, as one value.
    #[arg(long, short, value_name = "FILE", conflicts_with = "values")]
    file: Option<PathBuf>,
    /// Store each line of what is read as a value of its own, without its end.
    #[arg(long)]
    lines: bool,
    /// What the values are stored as.
    #[arg(long = "as", value_name = "KIND", value_enum, default_value = "auto")]
    kind: As,
    #[command(flatten)]
    place: WorkspaceChoice,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let values = values(arguments)?;
    let (_server, workspace) = arguments.place.enter(true)?;
    Ok(workspace.store_many(names::bytes(&arguments.variable), values)?)
}

/// All of them are read before the first is stored: it is all or none.
fn values(arguments: &Arguments) -> Result<Vec<Value>, Failure> {
    let mut values = Vec::new();
    if let Some(path) = &arguments.file {
        let bytes = fs::read(path)
            .map_err(|error| Failure::new(Exit::Failed, format!("{} cannot be read: {error}", path.display())))?;
        add(&mut values, bytes, arguments)?;
    }
    for value in &arguments.values {
        if value == "-" {
            let mut bytes = Vec::new();
            io::stdin().lock().read_to_end(&mut bytes)?;
            add(&mut values, bytes, arguments)?;
        } else {
            let value = value::read(value.clone().into_vec(), arguments.kind);
            values.push(value.map_err(|message| Failure::new(Exit::Usage, message))?);
        }
    }
    Ok(values)
}

fn add(values: &mut Vec<Value>, bytes: Vec<u8>, arguments: &Arguments) -> Result<(), Failure> {
    let usage = |message| Failure::new(Exit::Usage, message);
    if !arguments.lines {
        values.push(value::read(bytes, arguments.kind).map_err(usage)?);
        return Ok(());
    }
    let ended = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    if bytes.is_empty() {
        return Ok(());
    }
    for line in ended.split(|byte| *byte == b'\n') {
        values.push(value::read(line.to_vec(), arguments.kind).map_err(usage)?);
    }
    Ok(())
}
