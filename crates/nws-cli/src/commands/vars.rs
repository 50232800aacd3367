//! `nws vars`: the variables of a workspace.

use std::io::{self, Write};

use nws_proto::{Mode, VariableInfo};
use serde_json::json;

use crate::exit::Failure;
use crate::remote::WorkspaceChoice;
use crate::{names, table};

/// List the variables of a workspace: their modes, their values, and who waits.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Print an array of JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: WorkspaceChoice,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (_server, workspace) = arguments.place.enter(false)?;
    let variables = workspace.list_variables()?;
    let mut output = io::stdout().lock();
    if arguments.json {
        let told: Vec<serde_json::Value> = variables.iter().map(to_json).collect();
        return Ok(writeln!(output, "{}", serde_json::Value::from(told))?);
    }
    let mut rows = vec![["VARIABLE", "MODE", "VALUES", "LEASED", "FETCHERS", "FINDERS"].map(str::to_owned).to_vec()];
    rows.extend(variables.iter().map(|info| {
        let counts = [info.values, info.leased, info.fetchers.into(), info.finders.into()];
        let mode = info.mode.map_or("-", Mode::name).to_owned();
        [names::shown(&info.name), mode].into_iter().chain(counts.map(|count| count.to_string())).collect()
    }));
    Ok(output.write_all(table::aligned(&rows).as_bytes())?)
}

fn to_json(info: &VariableInfo) -> serde_json::Value {
    json!({
        "name": String::from_utf8_lossy(&info.name),
        "mode": info.mode.map(Mode::name),
        "values": info.values,
        "leased": info.leased,
        "fetchers": info.fetchers,
        "finders": info.finders,
    })
}
