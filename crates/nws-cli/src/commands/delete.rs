//! `nws delete`: deletes variables, or a workspace.

use std::ffi::OsString;

use crate::exit::Failure;
use crate::names;
use crate::remote::WorkspaceChoice;

/// Delete variables with their values, or a whole workspace.
///
/// Whoever waits for a value there is told. Deleting stops at the first variable that is not there.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The variables.
    #[arg(value_name = "VARIABLE", required_unless_present = "whole")]
    variables: Vec<OsString>,
    /// Delete the workspace with all that is in it.
    #[arg(long = "whole-workspace", conflicts_with = "variables", requires = "workspace")]
    whole: bool,
    #[command(flatten)]
    place: WorkspaceChoice,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    if arguments.whole {
        return Ok(arguments.place.server.connect()?.delete_workspace(arguments.place.name())?);
    }
    let (_server, workspace) = arguments.place.enter(false)?;
    for variable in &arguments.variables {
        workspace.delete_variable(names::bytes(variable))?;
    }
    Ok(())
}
