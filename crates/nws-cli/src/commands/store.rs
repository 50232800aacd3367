//! `nws store`: adds values to a variable.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use nws_client::Value;
use nws_client::blocking::Workspace;
use nws_proto::limits;

use crate::exit::{Exit, Failure};
use crate::long;
use crate::names;
use crate::remote::WorkspaceChoice;
use crate::value::{self, As};

/// Add values to a variable.
///
/// The variable comes into being with its first value, and is fifo unless it was declared otherwise;
/// so does the workspace, which stays until it is deleted. Up to 4,096 values are added all at once or not
/// at all, where they have 64 MiB at most; more go in several requests, and an error says how many were added.
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
    if let Some(mut source) = streamed(arguments)? {
        let variable = names::bytes(&arguments.variable);
        let (_server, workspace) = arguments.place.enter(true)?;
        return match long::store(&workspace, variable, &mut source, arguments.kind)? {
            Some(bytes) => {
                let value = value::read(bytes, arguments.kind).map_err(|message| Failure::new(Exit::Usage, message))?;
                Ok(workspace.store(variable, value)?)
            }
            None => Ok(()),
        };
    }
    let values = values(arguments)?;
    let (_server, workspace) = arguments.place.enter(true)?;
    add_all(&workspace, names::bytes(&arguments.variable), values)
}

/// In as few requests as may be.
fn add_all(workspace: &Workspace, variable: &[u8], values: Vec<Value>) -> Result<(), Failure> {
    let all = values.len();
    let mut left = values.into_iter().peekable();
    let mut added = 0;
    while left.peek().is_some() {
        let (mut request, mut request_bytes) = (Vec::new(), 0);
        while request.len() < limits::BATCH_VALUES as usize
            && let Some(value) =
                left.next_if(|next| request.is_empty() || request_bytes + next.bytes.len() <= MOST_BYTES)
        {
            request_bytes += value.bytes.len();
            request.push(value);
        }
        let count = request.len();
        workspace.store_many(variable, request).map_err(|error| {
            let mut failure = Failure::from(error);
            if added > 0 {
                failure.message = format!("{} (the first {added} of {all} values were added)", failure.message);
            }
            failure
        })?;
        added += count;
    }
    Ok(())
}

/// Of the values of one request.
const MOST_BYTES: usize = 64 << 20;

/// Where one value comes that need not be held in memory, if one does.
fn streamed(arguments: &Arguments) -> Result<Option<Box<dyn Read>>, Failure> {
    if arguments.lines || !matches!(arguments.kind, As::Auto | As::Text | As::Bytes) {
        return Ok(None);
    }
    match (&arguments.file, &arguments.values[..]) {
        (Some(path), []) => {
            let file = File::open(path).map_err(|error| unreadable(path, &error))?;
            Ok(Some(Box::new(file)))
        }
        (None, [only]) if only == "-" => Ok(Some(Box::new(io::stdin()))),
        _ => Ok(None),
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("{} cannot be read: {error}", path.display()))
}

/// All of them are read before the first is stored: what cannot be read stores nothing.
fn values(arguments: &Arguments) -> Result<Vec<Value>, Failure> {
    let mut values = Vec::new();
    if let Some(path) = &arguments.file {
        let bytes = fs::read(path).map_err(|error| unreadable(path, &error))?;
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
