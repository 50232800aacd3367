//! `nws watch`: prints the values of a variable as they come.

use std::ffi::OsString;
use std::io::{self, Write};

use crate::commands::fetch::Form;
use crate::exit::{Exit, Failure};
use crate::names;
use crate::remote::{Patience, WorkspaceChoice};

/// Print the values of a variable, those that are there and those that come, until Ctrl-C.
///
/// The values stay where they are. The variable has to be fifo or single; it may be stored to for the
/// first time later.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The variable.
    variable: OsString,
    /// Exit after so many values.
    #[arg(long, short = 'n', value_name = "N")]
    count: Option<u64>,
    #[command(flatten)]
    form: Form,
    #[command(flatten)]
    patience: Patience,
    #[command(flatten)]
    place: WorkspaceChoice,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (server, workspace) = arguments.place.enter(false)?;
    let name = names::bytes(&arguments.variable);
    let mut values = workspace.ifind(name);
    if let Some(timeout) = arguments.patience.timeout {
        values = values.timeout(timeout);
    }
    let mut printer = arguments.form.printer(server);
    let mut output = io::stdout().lock();
    let mut seen = 0;
    while arguments.count.is_none_or(|count| seen < count) {
        let Some(value) = values.next() else {
            let message = format!("the variable '{}' was deleted", names::shown(name));
            return Err(Failure::new(Exit::NotThere, message));
        };
        printer.print(&mut output, &value?)?;
        output.flush()?;
        seen += 1;
    }
    Ok(())
}
