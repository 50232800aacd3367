//! `nws declare`: gives a variable its mode.

use std::ffi::OsString;

use nws_proto::Mode;

use crate::exit::Failure;
use crate::names;
use crate::remote::WorkspaceChoice;

/// Give a variable its mode, before its first value comes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The variable.
    variable: OsString,
    /// In which order its values are retrieved: the oldest first, the newest first, one at random, or
    /// only the last one stored.
    #[arg(value_parser = ["fifo", "lifo", "multi", "single"])]
    mode: String,
    #[command(flatten)]
    place: WorkspaceChoice,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (_server, workspace) = arguments.place.enter(true)?;
    let mode = Mode::from_name(arguments.mode.as_bytes()).unwrap_or(Mode::Fifo);
    Ok(workspace.declare(names::bytes(&arguments.variable), mode)?)
}
